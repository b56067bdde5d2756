"""One query in, ranked passages with citations out."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from documents.connections import release
from documents.deadlines import within
from documents.models import Chunk, Document, KnowledgeBase
from processing.index import embeddings, terms, vectors

MAX_LIMIT = 100
SPARE = 2  # asks the index for this many times the limit: what PostgreSQL refuses leaves no gap
WIDER = 8  # and for this many times as much when it was not enough
MOST_HITS = 10_000


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk that answers a query; a higher score is a better one, of this query only."""

    chunk: Chunk
    score: float

    @property
    def document(self) -> Document:
        return self.chunk.document


def search(
    user: Any, text: str, slugs: Collection[str] | None = None, limit: int = 10
) -> list[Passage]:
    """The best passages in the knowledge bases that the user may see; in these of them, if named.

    Raises ServiceUnavailable or RetryableError when the embedding service or the index fails, or
    both together take longer than `REQUEST_TIMEOUT`.
    """
    visible = KnowledgeBase.objects.visible_to(user).values_list("pk", "slug")
    knowledge_base_ids = [pk for pk, slug in visible if slugs is None or slug in slugs]
    text = text.encode(errors="replace").decode()  # half a surrogate pair cannot be sent
    if not text.strip() or not knowledge_base_ids:
        return []
    with within(settings.REQUEST_TIMEOUT):
        return _ranked(text, knowledge_base_ids, limit)


def highlight(text: str, query: str) -> SafeString:
    """The text as HTML, with the words that the query asks for in <mark>."""
    wanted = {term for term, _, _ in terms.terms(query)}
    pieces, end = [], 0
    for term, start, stop in terms.terms(text):
        if term in wanted:
            pieces += [escape(text[end:start]), "<mark>", escape(text[start:stop]), "</mark>"]
            end = stop
    pieces.append(escape(text[end:]))
    return mark_safe("".join(pieces))  # noqa: S308 (every piece of text is escaped above)


def _ranked(text: str, knowledge_base_ids: list[int], limit: int) -> list[Passage]:
    release()
    dense = embeddings.embed_query(text)
    words = terms.query_weights(text)
    asked = limit * SPARE
    while True:
        hits = vectors.query(dense, words, knowledge_base_ids, asked)
        passages = _cited(hits, knowledge_base_ids)[:limit]
        if len(passages) == limit or len(hits) < asked or asked >= MOST_HITS:
            return passages
        release()
        asked *= WIDER  # deleted documents, whose points stay until they are purged, came first


def _cited(hits: list[vectors.Hit], knowledge_base_ids: list[int]) -> list[Passage]:
    """What PostgreSQL knows of the hits: an orphan, or what the user may not see, ends here."""
    documents = Document.objects.searchable().filter(knowledge_base__in=knowledge_base_ids)
    chunks = (
        Chunk.objects.filter(document__in=documents)
        .select_related("document__knowledge_base")
        .in_bulk([hit.chunk_id for hit in hits])
    )
    return [Passage(chunks[hit.chunk_id], hit.score) for hit in hits if hit.chunk_id in chunks]
