"""Who is next when more documents wait than can run at once.

While another user's documents wait with the same priority, a user who has more than half of those
that run gets no further one; nor does one who has just half and had the last turn, so that with one
slot turns alternate. And nothing is begun while something of a better priority waits. Whoever is
first to ask in vain does the work of the one for whom he is refused: no slot is left empty. Only
one that was given up for others stays free for them a moment longer (ROOM_KEPT): who has one note
often has more, and a long document would have the slot again for a batch.

All workers together are meant, and PostgreSQL decides, where the claim is made. Who waits is told
by looks at the ends of an index, however many do. Documents whose user is gone are one user's.

In SQL, because each claim asks: Django would take longer to write these questions than PostgreSQL
to answer them.
"""

from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from .models import Document

LOCK = 0x4C554D46  # the class of the advisory locks: any constant, "LUMF"
ROOM_KEPT = timedelta(seconds=2)  # for others, by a document that ended its turn for them
AGAIN = timedelta(seconds=1)  # until a refused one asks again, where nobody else could be begun

_WAITING = (
    "SELECT id FROM documents_document"
    " WHERE deleted_at IS NULL AND status = 'pending' AND due_at <= statement_timestamp()"
)
_RUNNING = (
    "SELECT count(*) FROM documents_document"
    " WHERE deleted_at IS NULL AND status = 'processing'"
    " AND lease_expires_at > statement_timestamp()"
)
_BETTER = (
    f"({_WAITING} AND priority < this.priority"
    " ORDER BY priority, coalesce(uploaded_by_id, 0), due_at LIMIT 1)"
)
# The oldest of the next user, in a circle; this user's own are not looked at.
_OTHER = "coalesce({}, {})".format(
    *(
        f"({_WAITING} AND priority = this.priority AND coalesce(uploaded_by_id, 0) {is_behind}"
        " this.owner ORDER BY coalesce(uploaded_by_id, 0), due_at LIMIT 1)"
        for is_behind in (">", "<")
    )
)
_THIS = (
    "SELECT priority, coalesce(uploaded_by_id, 0) AS owner FROM documents_document WHERE id = %s"
)
_OWN = f"({_RUNNING} AND coalesce(uploaded_by_id, 0) = this.owner)"
_LAST = (
    "(SELECT coalesce(uploaded_by_id, 0) FROM documents_document WHERE claimed_at IS NOT NULL"
    " ORDER BY claimed_at DESC LIMIT 1)"
)
# OFFSET 0: or PostgreSQL would ask for both.
_LOCK = (
    "SELECT CASE WHEN next.id IS NULL"  # noqa: S608
    f" THEN pg_advisory_xact_lock_shared({LOCK}, this.owner::int)"
    f" ELSE pg_advisory_xact_lock({LOCK}, this.owner::int) END, next.id FROM"
    f" ({_THIS} AND deleted_at IS NULL AND status = 'pending' AND due_at <= statement_timestamp()"
    " FOR UPDATE) AS this"
    f" CROSS JOIN LATERAL (SELECT coalesce({_BETTER}, {_OTHER}) AS id OFFSET 0) AS next"
)
_LOOK = (
    f"SELECT {_BETTER}, {_OTHER}, {_OWN}, ({_RUNNING}), {_LAST} = this.owner FROM ({_THIS}) AS this"  # noqa: S608
)
_ROOM = (
    f"SELECT {_BETTER} IS NOT NULL OR {_OTHER} IS NOT NULL AND 2 * {_OWN} > ({_RUNNING}) + 1"  # noqa: S608
    f" FROM ({_THIS} AND NOT EXISTS (SELECT FROM documents_outage)) AS this"
)


class Asked(NamedTuple):
    """A due document that a worker asks for, and whether others wait that may come first."""

    document_id: UUID
    is_contended: bool


def lock(document_id: UUID) -> Asked | None:
    """Lock this document, and then all claims of its user until the end of the transaction, or
    several at once would each find the others not begun. None when it is not due any more.

    Where nobody else waits, nobody counts: such claims do not wait for each other; who counts waits
    for them. The document comes first: whoever has it locked keeps nobody from the user's others.
    """
    row = _answer(_LOCK, document_id)
    return Asked(document_id, row[1] is not None) if row else None


def first(asked: Asked) -> UUID | None:
    """Whose turn it is, if it is another's."""
    if not asked.is_contended or not (row := _answer(_LOOK, asked.document_id)):
        return None
    better, other, own, running, had_the_last = row
    has_his_share = 2 * own > running or (2 * own == running and had_the_last)
    return better or (other if has_his_share else None)


def can_be_begun(document_id: UUID) -> bool:
    """By anybody who comes along: not when it is locked, or must be alone (see
    processing/isolation.py).
    """
    free = Document.objects.due().without_last_chance().filter(pk=document_id)
    return bool(free.select_for_update(skip_locked=True).values_list("pk"))


def must_make_room(document_id: UUID) -> bool:
    """Is this one, which runs, to end its turn early? When its user has more than half of those
    that run, rounded up, while another user's wait; or something of a better priority waits. Not
    during an outage: nobody could be begun.
    """
    row = _answer(_ROOM, document_id)
    return bool(row and row[0])


def _answer(question: str, document_id: UUID) -> tuple[Any, ...] | None:
    with connection.cursor() as cursor:
        cursor.execute(question, [document_id])
        row: tuple[Any, ...] | None = cursor.fetchone()
    return row
