"""What PostgreSQL alone can tell: documents that nobody works on, messages that are lost.

The relay heals the first two each second; here they are mended also when it does not run.
"""

from collections.abc import Callable, Iterator
from functools import partial

from django.db.models import QuerySet

from documents import lifecycle
from documents.models import Document

from .finding import Finding, pages

LEASE_EXPIRED = "lease expired"
MESSAGE_LOST = "message lost"
PURGE_OVERDUE = "purge overdue"


def abandoned() -> Iterator[Finding]:
    return _each(LEASE_EXPIRED, Document.objects.abandoned(), lifecycle.reclaim)


def unposted() -> Iterator[Finding]:
    return _each(MESSAGE_LOST, Document.objects.unposted(), lifecycle.repost)


def unpurged() -> Iterator[Finding]:
    purgeable = Document.objects.purgeable().filter(outboxmessage=None)
    return _each(PURGE_OVERDUE, purgeable, lifecycle.repost_purge)


def _each(
    check: str, documents: QuerySet[Document], mend: Callable[[Document], bool]
) -> Iterator[Finding]:
    for page in pages(documents):
        for document in page:
            yield Finding(check, str(document.pk), partial(mend, document))
