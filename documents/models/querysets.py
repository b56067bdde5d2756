"""Which documents: the words by which the rest of the code asks for them."""

import uuid
from bisect import bisect_left
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self
from unicodedata import normalize

from django.conf import settings
from django.db import connection, models
from django.db.models import Exists, F, Func, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce, Now
from django.db.models.lookups import LessThan

from .access import ApiToken, KnowledgeBase
from .records import Heartbeat, Outage, OutboxMessage
from .states import Status

if TYPE_CHECKING:
    from .document import Document

TRIGRAM = 3  # characters: what the index of names is made of
NEWEST = 10_000  # documents that are looked through where no index helps
BEATS = 10  # so often a lease is renewed before it would run out: every 2 of 20 seconds
WORKER_LOCK = 0x4C554D57  # the class of the advisory locks: any constant, "LUMW"
MOST_AHEAD = 1000  # so many are counted, for a sentence that is read in passing

# When those that wait before these documents were due, of each person (0: nobody) and priority the
# first, and whether others wait too. The order among a person's knowledge bases is not looked at:
# they take turns.
AHEAD = """
    WITH asked AS (
        SELECT person, level.priority,
            max(CASE WHEN level.priority = page.priority THEN due_at ELSE 'infinity' END) AS until
        FROM unnest(%(people)s::bigint[], %(priorities)s::int[], %(due)s::timestamptz[])
            AS page(person, priority, due_at)
        JOIN unnest(%(levels)s::int[]) AS level(priority) ON level.priority <= page.priority
        GROUP BY person, level.priority
    )
    SELECT asked.person, asked.priority, waiting.due_at, ends.first <> ends.last OR (
        ends.first IS NOT NULL AND EXISTS (
            SELECT FROM documents_document
            WHERE deleted_at IS NULL AND status = 'pending' AND uploaded_by_id IS NULL
        )
    )
    FROM asked
    CROSS JOIN LATERAL (
        (SELECT due_at FROM documents_document
        WHERE deleted_at IS NULL AND status = 'pending' AND uploaded_by_id = asked.person
            AND priority = asked.priority AND due_at <= least(asked.until, statement_timestamp())
        ORDER BY due_at LIMIT %(most)s)
        UNION ALL
        (SELECT due_at FROM documents_document
        WHERE asked.person = 0 AND deleted_at IS NULL AND status = 'pending'
            AND uploaded_by_id IS NULL
            AND priority = asked.priority AND due_at <= least(asked.until, statement_timestamp())
        ORDER BY due_at LIMIT %(most)s)
    ) AS waiting
    CROSS JOIN (
        SELECT min(uploaded_by_id) AS first, max(uploaded_by_id) AS last FROM documents_document
        WHERE deleted_at IS NULL AND status = 'pending'
    ) AS ends
    ORDER BY asked.person, asked.priority, waiting.due_at
"""


def is_short(q: str) -> bool:
    """Whether only the `NEWEST` names are looked through for this: no index finds it."""
    return 0 < len(normalize("NFC", q)) < TRIGRAM


class PostgresStartedAt(Func):
    function = "pg_postmaster_start_time"
    output_field = models.DateTimeField()


class WorkerIsConnected(Func):
    """Does the worker process of this number hold its advisory lock? See processing/heartbeat.py.

    True for no number: only its lease can tell.
    """

    template = (
        "(%(expressions)s IS NULL OR EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory'"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND classid = %(lock)s AND objid = %(expressions)s))"
    )
    output_field = models.BooleanField()


class DocumentQuerySet(models.QuerySet["Document"]):
    def live(self) -> Self:
        return self.filter(deleted_at=None)

    def visible_to(self, user: Any) -> Self:
        """Those of the knowledge bases that are visible to the user."""
        if user.is_superuser and ApiToken.used_by(user) is None:
            return self.filter(knowledge_base__deleted_at=None)
        return self.filter(knowledge_base__in=KnowledgeBase.objects.visible_to(user))

    def matching(self, status: str = "", q: str = "", tag: str = "") -> Self:
        """What a list shows: a status, `partly_read`, `stuck` or `deleted`, else all live; `q` in
        the name; with this tag. Of fewer than `TRIGRAM` characters of a name among the newest only:
        no index finds them.
        """
        if status == "deleted":
            found = self.exclude(deleted_at=None).filter(purging_at=None)
        elif status == "stuck":
            found = self.stuck()
        elif status == "partly_read":
            found = self.partly_read()
        else:
            found = self.live().filter(Q(status=status) if status else Q())
        if tag:
            found = found.filter(tags__contains=[tidy_tag(tag)])
        return found.called(q)

    def called(self, q: str) -> Self:
        """Those in whose names this stands; all for nothing."""
        if not (q := normalize("NFC", q)):
            return self
        if is_short(q):
            newest = self.values("pk")[:NEWEST]
            return self.filter(pk__in=newest, filename__icontains=q)
        return self.filter(filename__icontains=q)

    def finished_within(self, period: timedelta) -> Self:
        """READY or FAILED, since then."""
        finished = self.live().filter(status__in=[Status.READY, Status.FAILED])
        return finished.filter(finished_at__gt=Now() - period)

    def failed_for(self, code: str) -> Self:
        """FAILED, live, for this cause."""
        return self.live().filter(status=Status.FAILED, failure_code=code)

    def due(self) -> Self:
        return self.live().filter(status=Status.PENDING, due_at__lte=Now())

    def without_last_chance(self) -> Self:
        """But for those whose next death is the last: `Document.has_last_chance`."""
        return self.filter(deaths__lt=F("deaths_kept") + settings.MAX_DEATHS - 1)

    def leased_by(self, document_id: uuid.UUID, epoch: int) -> Self:
        """The fence: only the worker of this epoch finds its document here."""
        return self.live().filter(pk=document_id, status=Status.PROCESSING, lease_epoch=epoch)

    def abandoned(self) -> Self:
        """Nobody works on these, by the database's clock and its list of sessions.

        Their lease ran out; or, much sooner, the session of the worker's heartbeat ended, which a
        killed process cannot prevent, and no other session renewed the lease at the next beat (nor
        half a beat later: a cut connection is a living worker's, which renews on a new one).
        None for one lease after PostgreSQL itself was away: nobody could renew.
        """
        missed_a_beat = Q(lease_expires_at__lt=Now() + settings.LEASE * (1 - 1.5 / BEATS))
        gone = ~Q(WorkerIsConnected("worker", lock=WORKER_LOCK))
        return self.live().filter(
            Q(lease_expires_at__lt=Now()) | missed_a_beat & gone,
            Q(LessThan(PostgresStartedAt(), Now() - settings.LEASE)),
            status=Status.PROCESSING,
        )

    def interrupted_by_postgres(self) -> Self:
        """PostgreSQL was away since the lease was renewed last: its worker may be innocent."""
        return self.filter(LessThan(F("lease_expires_at") - settings.LEASE, PostgresStartedAt()))

    def given_up(self) -> Self:
        """They wait for a service that has been away for `POSTPONE_GIVE_UP`, as long as they."""
        waiting_since = Coalesce("postponed_since", "progressed_at")
        return self.live().filter(
            LessThan(waiting_since, Now() - settings.POSTPONE_GIVE_UP),
            Exists(Outage.objects.lasting()),
            status=Status.PENDING,
        )

    def unposted(self) -> Self:
        """Due, but no message says so: it was lost on the way, or lost with Redis."""
        return (
            self.due()
            .filter(posted_at__lt=Now() - settings.REPOST_AFTER)
            .exclude(Exists(OutboxMessage.objects.filter(document=OuterRef("pk"))))
        )

    def posted_long_ago(self) -> Self:
        """Due, their message has left the outbox for Redis, and no worker has taken it in time."""
        long_ago = Now() - settings.REPOST_AFTER
        return self.due().filter(is_posted=True, posted_at__lt=long_ago).order_by("posted_at")

    def stuck(self) -> Self:
        """Due, and nothing has happened to them for `STUCK_AFTER`, or their worker is gone."""
        long_ago = Now() - settings.STUCK_AFTER
        return self.live().filter(
            Q(status=Status.PENDING, due_at__lt=long_ago, progressed_at__lt=long_ago)
            | Q(status=Status.PROCESSING, progressed_at__lt=long_ago, due_at__lt=Now())
            | Q(status=Status.PROCESSING, lease_expires_at__lt=Now())
        )

    def partly_read(self) -> Self:
        """Ready, but the parser passed something over: the index `document_partly_read`."""
        return self.live().filter(~Q(unread=[]), status=Status.READY)

    def searchable(self) -> Self:
        """Indexed and live, or replaced by a document that is not indexed yet: no gap."""
        return self.filter(
            Q(deleted_at=None) | self._awaits_replacement(), purging_at=None
        ).exclude(indexed_at=None)

    def purgeable(self) -> Self:
        """Deleted for longer than `PURGE_AFTER`, or without a way back already; not purged, and
        needed by no replacement.
        """
        return self.filter(
            Q(deleted_at__lte=Now() - settings.PURGE_AFTER) | ~Q(purging_at=None), purged_at=None
        ).exclude(self._awaits_replacement())

    def purgeable_now(self) -> Self:
        """Deleted, not purged, and needed by no replacement; no operator has said so before."""
        deleted = self.filter(purging_at=None).exclude(deleted_at=None)
        return deleted.exclude(self._awaits_replacement())

    def explained_page(self) -> list["Document"]:
        """These (the slice that a page shows) in their order, with what `explain()` needs.

        Their ids are found by themselves: nothing is asked of the rows that a slice skips.
        """
        shown = self.model.objects.explained().select_related("knowledge_base")
        shown = shown.filter(pk__in=self.values("pk"))
        shown.query.order_by = self.query.order_by
        shown.query.standard_ordering = self.query.standard_ordering
        page = list(shown)
        _look_ahead([each for each in page if each.status == Status.PENDING])
        return page

    def explained(self) -> Self:
        """Annotates what `Document.explain()` needs to know of other rows, but for the queue."""
        workers = Heartbeat.objects.filter(kind=Heartbeat.Kind.WORKER)
        outages = Outage.objects.all()  # the one that lasts longest first
        return self.annotate(
            outage_reason=Subquery(outages.values("reason")[:1]),
            outage_retry_at=Subquery(outages.values("retry_at")[:1]),
            worker_seen_at=Subquery(workers.values("seen_at")),
            is_awaiting_replacement=self._awaits_replacement(),
            is_replaced=Exists(self.model.objects.filter(replaces=OuterRef("pk"), deleted_at=None)),
        )

    def _awaits_replacement(self) -> Exists:
        return Exists(
            self.model.objects.filter(replaces=OuterRef("pk"), deleted_at=None, indexed_at=None)
        )


def tidy_tag(typed: str) -> str:
    """A tag as it is kept: NFC, lower case, with single spaces."""
    return " ".join(normalize("NFC", typed).lower().split())


def _look_ahead(documents: list["Document"]) -> None:
    """Tell them how many of the queue are ahead, up to `MOST_AHEAD` and one more."""
    if not documents:
        return
    asked: dict[str, Any] = {
        "people": [each.uploaded_by_id or 0 for each in documents],
        "priorities": [each.priority for each in documents],
        "due": [each.due_at for each in documents],
        "levels": OutboxMessage.Priority.values,
        "most": MOST_AHEAD + 1,
    }
    queues: dict[int, list[tuple[int, datetime]]] = {}
    others_wait = False
    with connection.cursor() as cursor:
        cursor.execute(AHEAD, asked)
        for person, priority, due_at, others_wait in cursor.fetchall():  # noqa: B007 (the last)
            queues.setdefault(person, []).append((priority, due_at))
    for each in documents:
        queue = queues.get(each.uploaded_by_id or 0, [])
        each.ahead_count = bisect_left(queue, (each.priority, each.due_at))  # type: ignore[attr-defined]
        each.others_wait = bool(others_wait)  # type: ignore[attr-defined]
