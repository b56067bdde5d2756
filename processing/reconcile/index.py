"""The index against PostgreSQL: points and passages are counted, never only looked for."""

from collections.abc import Iterator
from functools import partial
from uuid import UUID

from django.db.models import Count

from documents import lifecycle
from documents.connections import release
from documents.models import Chunk, Document
from processing.index import vectors

from .finding import Finding, owned, pages, ready

NOT_SET_UP = "index not set up"
INCOMPLETE = "index incomplete"
ORPHANS = "points without a document"
EARLIER = "index of another model"
EARLIER_POINTS = "purged points of another model"


def not_set_up() -> Iterator[Finding]:
    """The collection lacks what it filters by; no collection at all is made with its first point.

    One whose vectors are not those of the settings is for a person: this check cannot tell then.
    """
    if missing := vectors.missing_indexes():
        yield Finding(NOT_SET_UP, ", ".join(missing), partial(vectors.create_indexes, missing))


def incomplete() -> Iterator[Finding]:
    """READY documents whose points or passages are not as many as they should be.

    They are processed anew and stay searchable by what there is.
    """
    for page in pages(ready().only("chunk_count", "indexed_epoch")):
        ids = [document.pk for document in page]
        passages = passage_counts(ids)
        points = vectors.counts(ids)
        for document in page:
            counted = passages.get(document.pk, 0), points.get(document.pk, 0)
            if counted != (document.chunk_count, document.chunk_count):
                yield Finding(
                    INCOMPLETE,
                    str(document.pk),
                    partial(lifecycle.requeue, document.pk, reason="its index was not complete"),
                    persists=partial(_is_incomplete, document),
                )


def orphans() -> Iterator[Finding]:
    """Points whose document has no row or was purged: a row is there before its first point."""
    seen: set[UUID] = set()
    for document_ids in vectors.documents():
        for document_id in document_ids - owned(document_ids) - seen:
            seen.add(document_id)
            yield Finding(
                ORPHANS,
                str(document_id),
                partial(vectors.delete, document_id),
                persists=partial(_is_unowned, document_id),
            )


def earlier() -> Iterator[Finding]:
    """What an earlier embedding model left. A person deletes it when nobody wants to go back.

    Its name alone does not prove that a collection is ours: two installations may share a Qdrant,
    as "lumikb" and "lumikb-test". The ids do, of documents that we know to be purged; their points
    go at once.
    """
    for name in vectors.earlier_collections():
        yield Finding(EARLIER, name, mend=None)
        seen: set[UUID] = set()
        for document_ids in vectors.documents(name):
            for document_id in _purged(document_ids) - seen:
                seen.add(document_id)
                what = f"{document_id} in {name}"
                yield Finding(EARLIER_POINTS, what, partial(vectors.delete, document_id, name))


def passage_counts(document_ids: list[UUID]) -> dict[UUID, int]:
    """The number of passages in PostgreSQL of each of these documents that has any."""
    rows = (
        Chunk.objects.current().filter(document__in=document_ids).order_by().values_list("document")
    )
    counted = dict(rows.annotate(Count("pk")))
    release()
    return counted


def _is_incomplete(document: Document) -> bool:
    """Still READY by the same work, and counted by other means than before."""
    same = ready().filter(pk=document.pk, indexed_epoch=document.indexed_epoch)
    if not same.exists():
        return False
    passages = passage_counts([document.pk]).get(document.pk, 0)
    return not passages == document.chunk_count == vectors.count(document.pk)


def _is_unowned(document_id: UUID) -> bool:
    return not owned({document_id})


def _purged(document_ids: set[UUID]) -> set[UUID]:
    tombstones = Document.objects.filter(pk__in=document_ids).exclude(purged_at=None)
    found = set(tombstones.values_list("pk", flat=True))
    release()
    return found
