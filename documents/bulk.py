"""The same for many documents: a set that was shown and confirmed, a slice at a time.

The set is frozen when it is shown: what comes later is not in it. Up to `AT_ONCE` are done with the
confirmation; larger ones by the relays, each slice in one transaction that also crosses it off, so
that a kill repeats nothing and leaves nothing out. They go in bulk: whatever somebody uploads
meanwhile goes first.
"""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any
from uuid import UUID

from django.core.exceptions import EmptyResultSet
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from . import lifecycle, limits
from .failpoints import failpoint
from .models import BulkAction, BulkSlice, Document, KnowledgeBase, OutboxMessage
from .permissions import may_edit
from .refusals import Refused

OPERATE = "documents.change_document"  # who may act on documents in the admin
AT_ONCE = 1000
SLICE = 250  # a relay's: 0.1 s, for which what somebody uploads meanwhile waits

Action = BulkAction.Action
Priority = OutboxMessage.Priority
Act = Callable[[BulkSlice, BulkAction, int], list[UUID]]

FREEZE = """
    INSERT INTO documents_bulkslice (bulk_id, documents)
    SELECT %s, array_agg(id ORDER BY id)
    FROM (
        SELECT id, (row_number() OVER (ORDER BY id) - 1)
            / CASE WHEN count(*) OVER () > %s THEN %s ELSE %s END AS slice
        FROM ({}) AS chosen(id)
    ) AS cut
    GROUP BY slice ORDER BY slice
    RETURNING cardinality(documents)
"""


def freeze(
    action: str, documents: Any, by: Any, which: str, base: KnowledgeBase | None = None
) -> BulkAction:
    """The documents of a queryset as they are now; nothing is done to them before `confirm`."""
    try:
        ids, parameters = documents.order_by().values("pk").query.sql_with_params()
    except EmptyResultSet:  # Django knows that it asks for nothing
        return freeze(action, Document.objects.filter(status=""), by, which, base)
    with transaction.atomic():
        bulk = BulkAction.objects.create(
            action=action, by=by, which=which[:500], knowledge_base=base, total=0
        )
        with connection.cursor() as cursor:
            sizes = [AT_ONCE, SLICE, AT_ONCE]
            cursor.execute(FREEZE.format(ids), [bulk.pk, *sizes, *parameters])
            bulk.total = sum(count for (count,) in cursor.fetchall())
        bulk.save(update_fields=["total"])
    return bulk


def shown(bulk: BulkAction, count: int) -> list[UUID]:
    """Some of the set, for who is to confirm it."""
    first = BulkSlice.objects.filter(bulk=bulk).order_by("pk").first()
    return first.documents[:count] if first else []


def is_number(typed: str) -> bool:
    """Of a row, as an address may have it: digits of a bigint."""
    return typed.isascii() and typed.isdigit() and len(typed) < 19


def frozen_before(number: str, action: str, by: Any, **where: Any) -> BulkAction | None:
    """The set of this number, if it is this person's and was frozen for that."""
    if not is_number(number):
        return None
    return BulkAction.objects.filter(pk=int(number), action=action, by_id=by.pk, **where).first()


def confirm(bulk: BulkAction) -> BulkAction:
    """Do it: at once, or from now on. Whoever confirms it again changes nothing."""
    with transaction.atomic():
        waiting = BulkAction.objects.filter(pk=bulk.pk, confirmed_at=None)
        finished = {} if bulk.total else {"finished_at": Now()}
        if waiting.update(confirmed_at=Now(), **finished):
            if bulk.total <= AT_ONCE:
                _carry_out(BulkSlice.objects.filter(bulk=bulk), Priority.INTERACTIVE)
            else:
                OutboxMessage.ring()
    bulk.refresh_from_db()
    return bulk


def carry_out_slice() -> bool:
    """One slice of what is confirmed; whether there was one. For the relay."""
    confirmed = BulkSlice.objects.filter(bulk__confirmed_at__isnull=False)
    with transaction.atomic():
        return _carry_out(confirmed, Priority.BULK)


def _carry_out(slices: Any, priority: int) -> bool:
    free = slices.select_for_update(skip_locked=True, of=["self"]).select_related("bulk__by")
    each = free.order_by("pk").first()
    if each is None:
        return False
    bulk = each.bulk
    changed = len(ACTS[bulk.action](each, bulk, priority)) if _may_still(bulk) else 0
    failpoint("bulk.changed")
    # First this, which makes relays that have the last two slices wait for one another.
    BulkAction.objects.filter(pk=bulk.pk).update(
        done=F("done") + changed, skipped=F("skipped") + len(each.documents) - changed
    )
    each.delete()
    if not BulkSlice.objects.filter(bulk=bulk).exists():
        BulkAction.objects.filter(pk=bulk.pk).update(finished_at=Now())
    return True


def _may_still(bulk: BulkAction) -> bool:
    """Whether who confirmed it would be let do it now: who left, or lost the right, goes no
    further.
    """
    if bulk.by is None or not bulk.by.is_active:
        return False
    if bulk.knowledge_base is None:
        return bulk.by.is_staff and bulk.by.has_perm(OPERATE)
    return may_edit(bulk.by, bulk.knowledge_base)


def _still_there(ids: Collection[UUID], bulk: BulkAction) -> list[UUID]:
    """Without those that were moved out of its knowledge base, and are no business of its people
    any more; none is until this transaction ends.
    """
    if bulk.knowledge_base_id is None:
        return list(ids)
    of_base = Document.objects.filter(pk__in=ids, knowledge_base=bulk.knowledge_base_id)
    locked = of_base.order_by("pk").select_for_update(no_key=True)
    return list(locked.values_list("pk", flat=True))


def _requeue(part: BulkSlice, bulk: BulkAction, priority: int) -> list[UUID]:
    """Finished ones anew; those that wait or whose worker vanished, at once.

    What has changed since the set was frozen has been requeued by another click, say.
    """
    frozen, ids = bulk.created_at, _still_there(part.documents, bulk)
    requeued = lifecycle.requeue_all(ids, bulk.by, bulk.which, priority, frozen)
    others = set(ids).difference(requeued)
    return requeued + lifecycle.unstick_all(others, bulk.by, priority, frozen)


def _unstick(part: BulkSlice, bulk: BulkAction, priority: int) -> list[UUID]:
    ids = _still_there(part.documents, bulk)
    return lifecycle.unstick_all(ids, bulk.by, priority, bulk.created_at)


def _delete(part: BulkSlice, bulk: BulkAction, priority: int) -> list[UUID]:
    return lifecycle.soft_delete_all(_still_there(part.documents, bulk), bulk.by)


def _restore(part: BulkSlice, bulk: BulkAction, priority: int) -> list[UUID]:
    """None of a slice for which there is no room."""
    try:
        return limits.restore_all(part.documents, bulk.by, partial(_still_there, bulk=bulk))
    except Refused:
        return []


ACTS: dict[str, Act] = {
    Action.REQUEUE: _requeue,
    Action.UNSTICK: _unstick,
    Action.DELETE: _delete,
    Action.RESTORE: _restore,
}
