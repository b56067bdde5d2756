"""How much a person, and a knowledge base, may have: PERSON_LIMITS, KNOWLEDGE_BASE_LIMITS, and what
the admin says of one of them instead.

Whoever adds something where there is a limit does so in a transaction that only one at a time has:
so of two at the last free place one gets in. Where there is none, nothing is asked and nobody
waits. What is counted is there anyway: `DocumentCount`. Deleted documents do not count.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.humanize.templatetags.humanize import intcomma
from django.db import DatabaseError, connection, transaction
from django.db.models import OuterRef, Q, QuerySet, Sum
from django.db.models.functions import Now
from django.template.defaultfilters import filesizeformat

from . import lifecycle
from .connections import release
from .counts import ALL, LIVE
from .models import Document, DocumentCount, KnowledgeBase, Limit, UploadUnderWay
from .refusals import Refused

LOCK = 0x4C554D4C  # the class of the advisory locks: any constant, "LUML"
STORED_IN = 2  # times REQUEST_TIMEOUT: an upload under way has ended by then
PERSON, BASE = "person", "knowledge base"

Numbers = dict[str, int]


@dataclass(frozen=True, slots=True)
class Bound:
    """What a person or a knowledge base may have at most."""

    whose: str
    id: int
    most: Numbers

    @property
    def owner(self) -> str:
        return f"{self.whose} {self.id}"


def beside(knowledge_bases: QuerySet[KnowledgeBase], user: Any) -> QuerySet[KnowledgeBase]:
    """These, with what is said of their limits and the user's: `of` need not ask then."""
    person = Limit.as_json(user=user.pk or 0)
    return knowledge_bases.annotate(
        limits=Limit.as_json(knowledge_base=OuterRef("pk")), limits_of_person=person
    )


def of(knowledge_base: KnowledgeBase, user: Any) -> list[Bound]:
    """Those that bind who adds documents in this user's name, if there are any."""
    known = vars(knowledge_base)
    if "limits" not in known:
        asked = beside(KnowledgeBase.objects.filter(pk=knowledge_base.pk), user or Nobody).first()
        known = vars(asked) if asked else {"limits": None, "limits_of_person": None}
    bounds = [_bound(BASE, knowledge_base.pk, settings.KNOWLEDGE_BASE_LIMITS, known["limits"])]
    if user is not None:
        own = known["limits_of_person"]
        bounds.append(_bound(PERSON, user.pk, settings.PERSON_LIMITS, own))
    return [bound for bound in bounds if bound.most]


class Nobody:
    """In whose name an import without a person is made."""

    pk = 0


def look_ahead(bounds: Sequence[Bound], size: int) -> None:
    """Before so many bytes are stored as a new document. Raises Refused."""
    for bound in bounds:
        were = _numbers(bound)
        one = {"documents": 1, "waiting": 1, "bytes": size}
        _refuse_beyond(bound, were, {kind: were[kind] + one[kind] for kind in were})


@contextmanager
def kept(bounds: Sequence[Bound]) -> Iterator[None]:
    """Around what adds documents, which is undone if it is too much. Raises Refused."""
    if not bounds:
        yield
        return
    with transaction.atomic():
        _lock(bounds)
        were = [_numbers(bound) for bound in bounds]
        yield
        for bound, before in zip(bounds, were, strict=True):
            _refuse_beyond(bound, before, _numbers(bound))


@contextmanager
def under_way(bounds: Sequence[Bound]) -> Iterator[None]:
    """An upload is one of those at a time from here to the end of the block. Raises Refused."""
    limited = [bound for bound in bounds if "uploads" in bound.most]
    with ExitStack() as stack:
        if limited:
            stack.callback(_ended, _begun(limited))
        yield


def restore(document_id: UUID, by: Any) -> bool:
    """`lifecycle.restore`, where there is room. Raises Refused, too."""
    with kept(_of_documents([document_id])):
        return lifecycle.restore(document_id, by)


def restore_all(
    document_ids: Collection[UUID],
    by: Any,
    still: Callable[[Collection[UUID]], Collection[UUID]] = lambda ids: ids,
) -> list[UUID]:
    """`lifecycle.restore_all`, of all or of none where there is a limit. Raises Refused.

    `still` chooses, and may hold, some of them: after the limits, as all do that hold both.
    """
    with kept(_of_documents(document_ids)):
        return lifecycle.restore_all(still(document_ids), by)


def _of_documents(document_ids: Collection[UUID]) -> list[Bound]:
    """Those that bind these documents, whosever they are."""
    documents = Document.objects.filter(pk__in=document_ids).order_by()
    users = {each.pk: each for each in _users(documents)}
    bases = KnowledgeBase.objects.filter(pk__in=documents.values("knowledge_base"))
    pairs = documents.values_list("knowledge_base", "uploaded_by").distinct()
    known = {base.pk: base for base in bases}
    bounds: dict[str, Bound] = {}
    for base, user in pairs:
        if base in known:
            bounds |= {each.owner: each for each in of(known[base], users.get(user))}
    return list(bounds.values())


def _users(documents: Any) -> Any:
    return get_user_model().objects.filter(pk__in=documents.values("uploaded_by"))


def _bound(whose: str, pk: int, usual: Numbers, own: Numbers | None) -> Bound:
    said = {kind: most for kind, most in (own or {}).items() if most is not None}
    return Bound(whose, pk, usual | said)


def _lock(bounds: Sequence[Bound]) -> None:
    """Until the end of the transaction, in one order so that none deadlocks."""
    with connection.cursor() as cursor:
        for owner in sorted(bound.owner for bound in bounds):
            cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [LOCK, owner])


def _numbers(bound: Bound) -> Numbers:
    """What it has now, this transaction's changes included."""
    if bound.whose == PERSON:
        summed, changed = Q(knowledge_base=ALL, person=bound.id), Q(person=bound.id)
    else:
        summed, changed = Q(knowledge_base=bound.id, person=ALL), Q(knowledge_base=bound.id)
    rows = DocumentCount.objects.filter(
        summed & Q(is_sum=True) | changed & Q(is_sum=False), state__in=LIVE
    )
    by_state = {
        state: (documents, size)
        for state, documents, size in rows.values_list("state").annotate(
            Sum("documents"), Sum("bytes")
        )
    }
    return {
        "documents": sum(documents for documents, _ in by_state.values()),
        "bytes": sum(size for _, size in by_state.values()),
        "waiting": by_state.get("unfinished", (0, 0))[0],
    }


def _refuse_beyond(bound: Bound, before: Numbers, now: Numbers) -> None:
    """What does not make it more is allowed, however much there is."""
    for kind, number in now.items():
        most = bound.most.get(kind)
        if most is not None and number > most and number > before[kind]:
            raise _refusal(bound, kind, before[kind])


def _begun(bounds: Sequence[Bound]) -> list[int]:
    """Raises Refused."""
    rows = UploadUnderWay.objects
    with transaction.atomic():
        _lock(bounds)
        for bound in bounds:
            rows.filter(owner=bound.owner, until__lt=Now()).delete()
            if (count := rows.filter(owner=bound.owner).count()) >= bound.most["uploads"]:
                raise _refusal(bound, "uploads", count)
        until = Now() + STORED_IN * timedelta(seconds=settings.REQUEST_TIMEOUT)
        made = [rows.create(owner=bound.owner, until=until) for bound in bounds]
    release()
    return [each.pk for each in made]


def _ended(pks: Sequence[int]) -> None:
    with suppress(DatabaseError):  # `until` ends it
        UploadUnderWay.objects.filter(pk__in=pks).delete()


AGAIN = {"waiting": 30, "uploads": 2}  # seconds after which to try again what passes by itself


def _refusal(bound: Bound, kind: str, has: int) -> Refused:
    who = "You" if bound.whose == PERSON else "This knowledge base"
    have = "have" if bound.whose == PERSON else "has"
    most = filesizeformat(bound.most[kind]) if kind == "bytes" else intcomma(bound.most[kind])
    is_now = filesizeformat(has) if kind == "bytes" else intcomma(has)
    passing = kind in AGAIN
    s = "" if has == 1 else "s"
    says = {
        "documents": f"{who} {have} {is_now} document{s}, and may have {most}.",
        "bytes": f"{who} {have} {is_now} of files, and may have {most}: this is too much.",
        "waiting": f"{who} {have} {is_now} document{s} not ready yet; at most {most} may wait.",
        "uploads": f"{who} {have} {is_now} upload{s} under way; {most} at a time are the limit.",
    }[kind]
    how = (
        "Nothing was kept; try again in a moment."
        if passing
        else "Nothing was kept. Delete what is not needed any more, or ask your operator for more."
    )
    details: dict[str, Any] = {"limit": kind, "of": bound.whose, "most": bound.most[kind]}
    if passing:
        details["retry_after"] = AGAIN[kind]
    return Refused("limit_reached", f"{says} {how}", 429 if passing else 409, details)
