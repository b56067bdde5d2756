"""Who is next when more documents wait than can run at once.

While another user's documents wait with the same priority, a user who has more than half of those
that run gets no further one; nor does one who has just half and had the last turn, so that with one
slot turns alternate. And nothing is begun while something of a better priority waits. Whoever is
first to ask in vain does the work of the one for whom he is refused: no slot is left empty.

All workers together are meant, and PostgreSQL decides, where the claim is made. Each question is
answered by a look at one end of an index, however many wait. Documents whose user is gone are one
user's.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Count, F, IntegerField, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, Now
from django.db.models.lookups import Exact, GreaterThan, IsNull

from .models import Document, Outage, Status
from .models.document import OWNER

LOCK = 0x4C554D46  # the class of the advisory locks: any constant, "LUMF"
AGAIN = timedelta(seconds=1)  # until a refused one asks again, where nobody else could be begun

_NOBODY = Value(-1)
_OUTER_OWNER = Coalesce(OuterRef("uploaded_by"), 0)


def lock(due: QuerySet[Document]) -> bool:
    """Lock this document, and then all claims of its user until the end of the transaction, or
    several at once would each find the others not begun. False when it is not due any more.

    The document comes first: whoever has it locked keeps nobody from the user's others.
    """
    rows, params = due.select_for_update().values(owner=OWNER).query.sql_with_params()
    question = f"SELECT pg_advisory_xact_lock(%s, owner::int) FROM ({rows}) AS due"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(question, [LOCK, *params])
        return cursor.fetchone() is not None


def may_begin() -> Q:
    """Which of the documents that are due may be claimed: for a filter of them."""
    return ~_is_refused()


def first_of_others(document_id: UUID) -> UUID | None:
    """For whom this one is refused; None when it is locked, or must be alone (see
    processing/isolation.py) and so cannot be begun by anybody who comes along.
    """
    asked = Document.objects.filter(pk=document_id)
    first = asked.values_list(Coalesce(_first_better(), _first_of_others()), flat=True).first()
    if first is None:
        return None
    free = Document.objects.due().filter(
        pk=first, deaths__lt=F("deaths_kept") + settings.MAX_DEATHS - 1
    )
    return free.select_for_update(skip_locked=True).values_list("pk", flat=True).first()


def must_make_room(document_id: UUID) -> bool:
    """Is this one, which runs, to end its turn early? When its user has more than half of those
    that run, rounded up, while another user's wait; or something of a better priority waits.
    """
    has_too_many = Q(GreaterThan(2 * _own_running(), _running_count() + 1))
    wanted = Q(_of_others_waiting()) & has_too_many | Q(_better_waiting())
    running = Document.objects.filter(pk=document_id)
    return running.filter(wanted).exclude(_during_an_outage()).exists()


def _is_refused() -> Q:
    own, all_, last = _own_running(), _running_count(), _last_served()
    has_his_share = Q(GreaterThan(2 * own, all_)) | (
        Q(Exact(2 * own, all_)) & Q(Exact(last, Coalesce(F("uploaded_by"), 0)))
    )
    return Q(_of_others_waiting()) & has_his_share | Q(_better_waiting())


def _during_an_outage() -> Q:
    """Nobody could be begun."""
    return ~Q(IsNull(Subquery(Outage.objects.values("service")[:1]), True))


def _of_others_waiting() -> IsNull:
    return IsNull(_first_of_others(), False)


def _better_waiting() -> IsNull:
    return IsNull(_first_better(), False)


def _first_of_others() -> Coalesce:
    """The oldest of the next user, in a circle; this user's own, however many, are not looked
    at.
    """
    same = _waiting().filter(priority=OuterRef("priority")).order_by("owner", "due_at")
    behind = same.filter(owner__gt=_OUTER_OWNER).values("pk")
    before = same.filter(owner__lt=_OUTER_OWNER).values("pk")
    return Coalesce(Subquery(behind[:1]), Subquery(before[:1]))


def _first_better() -> Subquery:
    better = _waiting().filter(priority__lt=OuterRef("priority"))
    return Subquery(better.order_by("priority", "owner", "due_at").values("pk")[:1])


def _waiting() -> Any:
    return Document.objects.due().alias(owner=OWNER)


def _own_running() -> Coalesce:
    return _count(_running().alias(owner=OWNER).filter(owner=_OUTER_OWNER))


def _running_count() -> Coalesce:
    return _count(_running())


def _running() -> Any:
    return Document.objects.live().filter(status=Status.PROCESSING, lease_expires_at__gt=Now())


def _count(documents: Any) -> Coalesce:
    counted = documents.values("status").values(count=Count("*"))
    return Coalesce(Subquery(counted, output_field=IntegerField()), 0)


def _last_served() -> Coalesce:
    served = Document.objects.exclude(claimed_at=None).order_by("-claimed_at")
    return Coalesce(Subquery(served.values(owner=OWNER)[:1]), _NOBODY)
