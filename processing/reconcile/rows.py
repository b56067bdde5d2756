"""What PostgreSQL alone can tell: documents that nobody works on, messages that are lost.

The relay heals the first two each second; here they are mended also when it does not run.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet

from documents import kept, lifecycle
from documents.connections import release
from documents.models import Chunk, Document
from documents.models.querysets import DocumentQuerySet
from processing import actors, queue

from .finding import Finding, pages

LEASE_EXPIRED = "lease expired"
MESSAGE_LOST = "message lost"
PURGE_OVERDUE = "purge overdue"
EARLIER_PASSAGES = "passages of earlier readings"


def abandoned() -> Iterator[Finding]:
    return _each(LEASE_EXPIRED, Document.objects.abandoned(), lifecycle.reclaim)


def unposted() -> Iterator[Finding]:
    lost = _not_in_redis(Document.objects.unposted(), actors.process)
    return _each(MESSAGE_LOST, lost, lifecycle.repost)


def unpurged() -> Iterator[Finding]:
    purgeable = Document.objects.purgeable().filter(outboxmessage=None)
    return _each(PURGE_OVERDUE, _not_in_redis(purgeable, actors.purge), lifecycle.repost_purge)


def earlier_passages() -> Iterator[Finding]:
    """What search read before: the worker that should have deleted it vanished just then."""
    earlier = Chunk.objects.filter(document=OuterRef("pk"), reading__lt=OuterRef("chunk_reading"))
    read_again = Document.objects.filter(purged_at=None, lease_epoch__gt=1, chunk_reading__gt=0)
    return _each(
        EARLIER_PASSAGES,
        read_again.filter(Exists(earlier)),
        lambda document: kept.sweep(document, document.chunk_reading),
    )


def _not_in_redis(documents: DocumentQuerySet, actor: Any) -> DocumentQuerySet:
    """Those whose message does not wait there for a worker. Raises ConnectionError."""
    if not documents.exists():
        return documents
    release()
    return documents.exclude(pk__in=queue.documents_of(actor.actor_name))


def _each(
    check: str, documents: QuerySet[Document], mend: Callable[[Document], bool | None]
) -> Iterator[Finding]:
    for page in pages(documents):
        for document in page:
            yield Finding(check, str(document.pk), partial(mend, document))
