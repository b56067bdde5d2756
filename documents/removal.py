"""A knowledge base goes, with all that is in it.

From then on it is there for nobody: no page, no search, no token knows it, nothing comes into it,
and there is no way back. The relays then remove what it has, a slice at a time: each of its
documents by the same purge as any other, so that points and objects go first, and its row after
them; at last its own row. A slice is one transaction and may come twice, so that a kill repeats
nothing and leaves nothing out.

Its slug is taken until then. Nobody gets it after that either: slugs end at random.
"""

from typing import Any

from django.db import models, transaction
from django.db.models.functions import Now
from django.http import Http404

from . import audit, counts, history, lifecycle
from .failpoints import failpoint
from .models import DocumentCount, KnowledgeBase, Membership, OutboxMessage

SLICE = 1000  # documents
AT_A_TICK = 100  # knowledge bases: if more go, some of them, whichever


def delete(knowledge_base: KnowledgeBase, by: Any) -> None:
    """As an owner may. Raises Http404, also when it is deleted already."""
    with transaction.atomic():
        if not _lock(knowledge_base) or knowledge_base.role_of(by) != Membership.Role.OWNER:
            raise Http404
        _begin(knowledge_base, by)


def begin(knowledge_base: KnowledgeBase, by: Any) -> bool:
    """As an operator may, whoever owns it; False when it is deleted already."""
    with transaction.atomic():
        if not _lock(knowledge_base):
            return False
        _begin(knowledge_base, by)
    return True


def takes_along(knowledge_base: KnowledgeBase) -> list[tuple[int, str]]:
    """What will go with it, for who is to confirm it: how many of what."""
    numbers = counts.of_bases([knowledge_base.pk])[knowledge_base.pk]
    members = knowledge_base.membership_set.count() + knowledge_base.groupmembership_set.count()
    going = [
        (sum(numbers.get(state, 0) for state in counts.LIVE), "document"),
        (numbers.get("deleted", 0), "restorable document"),
        (members, "membership"),
        (knowledge_base.apitoken_set.count(), "token"),
    ]
    return [(number, what) for number, what in going if number or what == "document"]


def carry_out_slice() -> bool:
    """One slice of each that goes; whether anything was done. For the relay."""
    going = KnowledgeBase.with_deleted.exclude(deleted_at=None).order_by("?")
    done = [_slice(pk) for pk in going.values_list("pk", flat=True)[:AT_A_TICK]]
    return any(done)


def _lock(knowledge_base: KnowledgeBase) -> bool:
    """Who brings something into it just now has done so when this returns, or finds it gone."""
    there = KnowledgeBase.objects.select_for_update().filter(pk=knowledge_base.pk)
    return bool(there.values_list("pk"))


def _begin(knowledge_base: KnowledgeBase, by: Any) -> None:
    [(documents, _), *_] = takes_along(knowledge_base)
    for relation in KnowledgeBase._meta.related_objects:
        if relation.on_delete is models.CASCADE:  # members, invitations, tokens and the like
            rows = relation.related_model._base_manager
            rows.filter(**{relation.field.name: knowledge_base.pk}).delete()
    KnowledgeBase.objects.filter(pk=knowledge_base.pk).update(deleted_at=Now(), deleted_by=by)
    detail = f"the knowledge base, with {documents:,} document{'' if documents == 1 else 's'}"
    audit.record(audit.Action.DELETED, by, knowledge_base, detail=detail)
    OutboxMessage.ring()


def _slice(pk: int) -> bool:
    with transaction.atomic():
        going = KnowledgeBase.with_deleted.filter(pk=pk).exclude(deleted_at=None)
        # Of several relays one has it; who refers to it meanwhile is refused, but need not wait.
        free = going.select_for_update(skip_locked=True, no_key=True, of=["self"])
        base = free.first()
        done = base is not None and (_remove_documents(base) or _remove_rows(base) or _finish(base))
        failpoint("removal.slice")
    return done


def _remove_documents(base: KnowledgeBase) -> bool:
    """The live ones first: what they were to replace can be purged only then."""
    deleted = base.document_set.exclude(deleted_at=None).filter(purging_at=None)
    for documents in (base.document_set.filter(deleted_at=None), deleted):
        if ids := list(documents.values_list("pk", flat=True)[:SLICE]):
            lifecycle.remove_all(ids, base.pk, base.deleted_by_id)
            return True
    return False


def _remove_rows(base: KnowledgeBase) -> bool:
    purged = base.document_set.exclude(purged_at=None).order_by()
    return bool(history.remove(list(purged.values_list("pk", flat=True)[:SLICE])))


def _finish(base: KnowledgeBase) -> bool:
    """Unless workers are still at it, or the numbers are not added up: those of all are made of
    them.
    """
    of_base = DocumentCount.objects.filter(knowledge_base=base.pk)
    if base.document_set.exists() or of_base.filter(is_sum=False).exists():
        return False
    of_base.delete()
    base.delete()
    return True
