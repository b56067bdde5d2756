"""Documents that are like another one: by the vectors that are there, no model is asked.

A document is taken for the mean of some of its passages. Two questions to the index, whatever the
document's length, and as everywhere PostgreSQL has the last word on each hit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from django.conf import settings

from documents.connections import release
from documents.models import Chunk, Document, KnowledgeBase
from processing.index import generations, vectors

from .relevance import alike
from .retrieval import patiently

SAMPLE = 16  # passages that stand for the document, from its beginning to its end
SHOWN = 5
DEPTH = 100  # passages that are looked at: of a long document, many


@dataclass(frozen=True, slots=True)
class Similar:
    """A document, by its passage that is nearest."""

    chunk: Chunk
    cosine: float

    @property
    def document(self) -> Document:
        return self.chunk.document


def similar_to(document: Document, user: Any) -> list[Similar]:
    """The `SHOWN` documents nearest to this one, the nearest first, of those that the user may see;
    none that is not like it, as far as can be told of the model in use.

    Raises ServiceUnavailable or RetryableError when the index fails or takes longer than
    `SEARCH_INDEX_TIMEOUT`.
    """
    passages = Chunk.objects.current().filter(document=document, position__in=_spread(document))
    sample = dict(passages.order_by("position").values_list("pk", "text"))
    knowledge_bases = list(KnowledgeBase.objects.visible_to(user).values_list("pk", flat=True))
    if not sample or not knowledge_bases:
        return []
    index = generations.serving()
    release()
    with patiently(settings.QDRANT_URL):
        known = vectors.dense_of(list(sample), index.collection)
        if not known:
            return []
        mean = [fmean(numbers) for numbers in zip(*known.values(), strict=True)]
        found = vectors.nearest(mean, knowledge_bases, DEPTH, document.pk, index.collection)
    first = next(iter(sample.values()))
    fitting = [hit for hit in found if alike(first, hit.score)]
    return _by_document(fitting, knowledge_bases)[:SHOWN]


def _spread(document: Document) -> list[int]:
    """Positions of passages."""
    count = document.chunk_count or 0
    return sorted({count * n // SAMPLE for n in range(SAMPLE)}) if count else []


def _by_document(found: Sequence[vectors.Hit], knowledge_bases: Sequence[int]) -> list[Similar]:
    documents = Document.objects.searchable().filter(knowledge_base__in=knowledge_bases)
    chunks = (
        Chunk.objects.current()
        .filter(document__in=documents)
        .select_related("document__knowledge_base")
        .defer("words", "text", "context")
        .order_by()
        .in_bulk([hit.chunk_id for hit in found])
    )
    first: dict[Any, Similar] = {}
    for hit in found:
        if chunk := chunks.get(hit.chunk_id):
            first.setdefault(chunk.document_id, Similar(chunk, hit.score))
    return list(first.values())
