"""Documents go to another knowledge base, by somebody who may change both."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.db import transaction

from . import audit, lifecycle, limits
from .models import Document, KnowledgeBase
from .refusals import Refused, duplicate_filename, is_deleted, knowledge_base_gone


def move(document: Document, to: KnowledgeBase, by: Any) -> None:
    """One. Raises Refused."""
    if document.deleted_at:
        raise is_deleted()
    if document.knowledge_base_id == to.pk:
        return
    try:
        with transaction.atomic(), limits.kept(limits.of(to, None)):  # with its audit
            moved = lifecycle.move(document.pk, to.pk, by)
            if moved:
                _audit([document], to, by)
    except lifecycle.DuplicateFilename as error:
        raise duplicate_filename(error, document.filename, document.sha256) from error
    except lifecycle.KnowledgeBaseGone as error:
        raise knowledge_base_gone() from error
    if not moved:
        message = "It is being processed, or replaces another; move it when it is ready."
        raise Refused("in_progress", message, 409)


def move_all(document_ids: Collection[UUID], to: KnowledgeBase, by: Any) -> list[UUID]:
    """Those that can be moved; none if there is no room for all of them. Raises Refused."""
    documents = list(Document.objects.filter(pk__in=document_ids).select_related("knowledge_base"))
    try:
        with transaction.atomic(), limits.kept(limits.of(to, None)):  # with its audit
            moved = lifecycle.move_all(document_ids, to.pk, by)
            _audit([each for each in documents if each.pk in set(moved)], to, by)
    except lifecycle.KnowledgeBaseGone as error:
        raise knowledge_base_gone() from error
    return moved


def _audit(documents: list[Document], to: KnowledgeBase, by: Any) -> None:
    """Of the knowledge base that has them no more; the event tells it of the other."""
    for each in documents:
        audit.record(
            audit.Action.MOVED,
            by,
            each.knowledge_base,
            what=each.filename,
            detail=f"{each.pk} to {to.slug}",
        )
