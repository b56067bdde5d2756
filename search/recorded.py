"""Who searched where, and how much was shown, is in the audit; for what, only if that is wanted."""

from typing import Any

from django.conf import settings

from documents import audit
from documents.models import KnowledgeBase

from .query import Query


def record(user: Any, query: Query, shown: int) -> None:
    """A search of which so many passages or documents were shown."""
    slugs = query.knowledge_bases or ()
    where = None
    if len(slugs) == 1:
        where = KnowledgeBase.objects.visible_to(user).named(slugs).first()
    words = f": {query.text}" if settings.AUDIT_SEARCH_WORDS else ""
    audit.record(audit.Action.SEARCHED, user, where, detail=f"{shown} shown{words}")
