"""The index against PostgreSQL: points and passages are counted, never only looked for."""

from collections.abc import Iterator
from functools import partial
from uuid import UUID

from django.db.models import Count

from documents import lifecycle
from documents.connections import release
from documents.models import Chunk, Document, Status
from processing import pipeline
from processing.index import vectors

from .finding import FIRST, Finding, Mark, owned, pages, ready

NOT_SET_UP = "index not set up"
INCOMPLETE = "index incomplete"
ORPHANS = "points without a document"
ASTRAY = "points in another knowledge base"
EARLIER = "index of another model"
EARLIER_POINTS = "purged points of another model"


def not_set_up() -> Iterator[Finding]:
    """The collection lacks what it filters by; no collection at all is made with its first point.

    One whose vectors are not those of the settings is for a person: this check cannot tell then.
    """
    if missing := vectors.missing_indexes():
        yield Finding(NOT_SET_UP, ", ".join(missing), partial(vectors.create_indexes, missing))


def incomplete(mark: Mark | None = None) -> Iterator[Finding]:
    """READY documents whose points or passages are not as many as they should be.

    They are processed anew and stay searchable by what there is.
    """
    mark = mark or Mark()
    behind = UUID(mark.place) if mark.place else FIRST
    for page in pages(ready().only("chunk_count", "indexed_epoch"), behind):
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
        if mark.is_over(str(page[-1].pk)):
            return
    mark.place = ""


def strays(mark: Mark | None = None) -> Iterator[Finding]:
    """Points whose document has no row or was purged: a row is there before its first point. And
    those that say another knowledge base than their document's, which was moved: who sees the one
    is not shown them, and who sees the other does not find them.
    """
    mark = mark or Mark()
    seen: set[UUID] = set()
    for page, following in vectors.scroll(offset=mark.place or None):
        bases = _bases_of({document_id for document_id, _ in page})
        for document_id, base in page:
            if bases.get(document_id) == base or document_id in seen:
                continue
            seen.add(document_id)
            if document_id in bases:
                yield Finding(
                    ASTRAY,
                    str(document_id),
                    partial(pipeline.move, document_id),
                    persists=partial(_is_astray, document_id, base),
                )
            else:
                yield Finding(
                    ORPHANS,
                    str(document_id),
                    partial(vectors.delete, document_id),
                    persists=partial(_is_unowned, document_id),
                )
        if following and mark.is_over(following):
            return
    mark.place = ""


def earlier() -> Iterator[Finding]:
    """What an earlier embedding model left. A person deletes it when nobody wants to go back.

    Its name alone does not prove that a collection is ours: two installations may share a Qdrant,
    as "lumikb" and "lumikb-test". The ids do, of documents that we know to be purged; their points
    go at once.
    """
    for name in vectors.earlier_collections():
        yield Finding(EARLIER, name, mend=None)
        seen: set[UUID] = set()
        for page in vectors.documents(name):
            for document_id in _purged({document_id for document_id, _ in page}) - seen:
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


def _bases_of(document_ids: set[UUID]) -> dict[UUID, str]:
    """The knowledge bases of those documents that own points, as the index says them."""
    owners = Document.objects.filter(pk__in=document_ids, purged_at=None)
    found = {pk: str(base) for pk, base in owners.values_list("pk", "knowledge_base_id")}
    release()
    return found


def _is_astray(document_id: UUID, base: str) -> bool:
    """It may just have been moved into the one that its points say, or a worker just have it."""
    resting = Document.objects.exclude(status=Status.PROCESSING, deleted_at=None)
    there = resting.filter(pk=document_id, purging_at=None)
    now = there.values_list("knowledge_base_id", flat=True).first()
    release()
    return now is not None and str(now) != base


def _is_unowned(document_id: UUID) -> bool:
    return not owned({document_id})


def _purged(document_ids: set[UUID]) -> set[UUID]:
    tombstones = Document.objects.filter(pk__in=document_ids).exclude(purged_at=None)
    found = set(tombstones.values_list("pk", flat=True))
    release()
    return found
