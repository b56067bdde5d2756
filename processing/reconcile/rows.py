"""What PostgreSQL alone can tell: documents that nobody works on, messages that are lost.

The relay heals the first two each second; here they are mended also when it does not run.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from django.db.models import QuerySet

from documents import lifecycle
from documents.connections import release
from documents.models import Document
from documents.models.document import DocumentQuerySet
from processing import actors, queue

from .finding import Finding, pages

LEASE_EXPIRED = "lease expired"
MESSAGE_LOST = "message lost"
PURGE_OVERDUE = "purge overdue"


def abandoned() -> Iterator[Finding]:
    return _each(LEASE_EXPIRED, Document.objects.abandoned(), lifecycle.reclaim)


def unposted() -> Iterator[Finding]:
    lost = _not_in_redis(Document.objects.unposted(), actors.process)
    return _each(MESSAGE_LOST, lost, lifecycle.repost)


def unpurged() -> Iterator[Finding]:
    purgeable = Document.objects.purgeable().filter(outboxmessage=None)
    return _each(PURGE_OVERDUE, _not_in_redis(purgeable, actors.purge), lifecycle.repost_purge)


def _not_in_redis(documents: DocumentQuerySet, actor: Any) -> DocumentQuerySet:
    """Those whose message does not wait there for a worker. Raises ConnectionError."""
    if not documents.exists():
        return documents
    release()
    return documents.exclude(pk__in=queue.documents_of(actor.actor_name))


def _each(
    check: str, documents: QuerySet[Document], mend: Callable[[Document], bool]
) -> Iterator[Finding]:
    for page in pages(documents):
        for document in page:
            yield Finding(check, str(document.pk), partial(mend, document))
