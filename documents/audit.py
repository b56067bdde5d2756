"""Writes down what a person did, where no event does: see `documents/models/audit.py`."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from django.db.models import Q, QuerySet

from .connections import release
from .models import AuditEntry, Document, KnowledgeBase

Action = AuditEntry.Action
PAGE = 1000  # lines in one query of an export


def record(
    action: str,
    by: Any,
    about: Document | KnowledgeBase | None = None,
    what: str = "",
    detail: str = "",
) -> None:
    """`by` did this, to a document or a knowledge base, or to what `what` names.

    In the transaction that does it, where there is one; else no connection is held when it is done.
    """
    _entry(action, by, about, what, detail).save(force_insert=True)
    release()


def record_each(action: str, by: Any, documents: Iterable[Document], detail: str = "") -> None:
    """`record`, of many documents in one statement."""
    AuditEntry.objects.bulk_create(_entry(action, by, each, "", detail) for each in documents)
    release()


def _entry(
    action: str, by: Any, about: Document | KnowledgeBase | None, what: str, detail: str
) -> AuditEntry:
    entry = AuditEntry(action=action, what=what[:255], detail=detail[:500])
    if by is not None and by.pk:
        entry.person_id, entry.person = by.pk, by.get_username()
    if isinstance(about, Document):
        entry.document_id, entry.knowledge_base_id = about.pk, about.knowledge_base_id
        entry.what = entry.what or about.filename
    elif isinstance(about, KnowledgeBase):
        entry.knowledge_base_id, entry.what = about.pk, entry.what or about.name
    return entry


def lines(entries: QuerySet[AuditEntry]) -> Iterator[bytes]:
    """One JSON object a line, newest first, read a page at a time."""
    ordered = entries.order_by("-at", "-pk")
    page: list[AuditEntry] = []
    while True:
        rest = ordered
        if page:
            last = page[-1]
            rest = ordered.filter(Q(at__lt=last.at) | Q(pk__lt=last.pk), at__lte=last.at)
        page = list(rest[:PAGE])
        for entry in page:
            yield json.dumps(entry.as_json(), ensure_ascii=False).encode() + b"\n"
        if len(page) < PAGE:
            return
