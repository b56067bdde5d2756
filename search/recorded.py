"""Who searched where, and how much was shown, is in the audit; for what, only if that is wanted."""

from typing import Any

from django.conf import settings

from documents import audit

from .query import Query
from .retrieval import searched


def record(user: Any, query: Query, shown: int) -> None:
    """A search of which so many passages or documents were shown."""
    is_narrow = query.knowledge_bases or query.bases
    found = list(searched(user, query)[:2]) if is_narrow else []
    where = found[0] if len(found) == 1 else None
    words = f": {query.text}" if settings.AUDIT_SEARCH_WORDS else ""
    audit.record(audit.Action.SEARCHED, user, where, detail=f"{shown} shown{words}")
