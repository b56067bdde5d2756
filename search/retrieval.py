"""A query's passages: candidates of both halves of the index, ranked, and what PostgreSQL knows of
them.

PostgreSQL has the last word on every hit: what is deleted, not permitted or not asked for ends
there, whatever the index says.
"""

import logging
import math
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from datetime import time as clock
from enum import StrEnum
from functools import reduce
from itertools import islice
from operator import or_
from typing import Any
from unicodedata import normalize
from uuid import UUID

from django.conf import settings
from django.db.models import BooleanField, F, Func, Q, QuerySet, TextField, Value
from django.utils import timezone

import formats
from documents.connections import release
from documents.deadlines import within
from documents.models import Chunk, Document, KnowledgeBase
from documents.models.querysets import tidy_tag
from processing.index import (
    Misconfigured,
    PermanentError,
    ProcessingError,
    RetryableError,
    ServiceUnavailable,
    centres,
    embeddings,
    generations,
    terms,
    vectors,
)
from processing.index.model import Model

from .fusion import Fused, fused
from .passages import Passage
from .query import Query
from .relevance import Asked
from .reranking import reranked

log = logging.getLogger(__name__)

MOST_RESULTS = 200  # of a query: who wants to see more asks another one
DEPTH = 200  # candidates of each half
DEEPER = 8  # and so many times as many when PostgreSQL refused most of them
DEEPEST = 12_800
SPARE = 1.2  # fetches this many times as many as are wanted: what is refused leaves no gap
MOST_CHOSEN = 5000  # documents or passages that the index is told by their ids; more are sifted
SHOWN = (  # what pages, API and `Passage` need of a hit: half of a document's columns are moments
    *("page", "heading", "context", "start", "end", "text", "language", "recognised"),
    *("document__filename", "document__content_type"),
    *("document__knowledge_base__name", "document__knowledge_base__slug"),
)
REST = 10.0  # seconds for which an embedding service that did not answer is not asked again
INDEX_REST = 2.0  # and an index


class OnlyWords(StrEnum):
    """Why the words alone were searched."""

    AWAY = "away"  # the embedding service did not answer: it may in a moment
    MISCONFIGURED = "misconfigured"  # it or the index refuses our key, our model or its vectors


@dataclass(slots=True)
class Found:
    """What a search finds."""

    passages: Iterator[Passage]
    only_words: OnlyWords | None = None

    def best(self, limit: int) -> list[Passage]:
        return list(islice(self.passages, limit))


def search(user: Any, query: Query, wanted: int = 10) -> Found:
    """The passages in the knowledge bases that the user may see, best first, read as they are
    taken; `wanted` says how many are likely to be.

    Raises ServiceUnavailable or RetryableError when the index fails or takes longer than
    `SEARCH_INDEX_TIMEOUT`. Without the embedding service, and with vectors that the index refuses,
    the words alone are searched.
    """
    knowledge_base_ids = list(searched(user, query).values_list("pk", flat=True))
    if query.is_empty or not knowledge_base_ids:
        return Found(iter(()))
    documents = _documents(query, knowledge_base_ids)
    allowed = _allowed(query, documents)
    if not query.has_words:
        return Found(_beginnings(allowed))
    only = _chosen(query, documents, allowed)
    if only and not (only.document_ids or only.chunk_ids):
        return Found(iter(()))
    release()
    with within(settings.REQUEST_TIMEOUT):
        index = generations.serving()
        dense, only_words = _meaning(query.text, index.model)
        words = terms.query_weights(query.text)
        common = centres.commonness(dense or (), query.text, index.model)
        asked = Asked(query.text, terms.asked(query.text), common)
        question = _Question(asked, index, dense, words, knowledge_base_ids, allowed, only)
        try:
            first = question.candidates(DEPTH)  # now, and not when the page is half made
        except RetryableError:  # no outage: Qdrant refuses what it is asked
            if dense is None:
                raise
            log.exception("searching by words only: the index refuses the vector of a query")
            only_words = OnlyWords.MISCONFIGURED
            question = replace(question, dense=None)
            first = question.candidates(DEPTH)
    return Found(reranked(query.text, question.passages(first, wanted)), only_words)


def searched(user: Any, query: Query) -> QuerySet[KnowledgeBase]:
    """The knowledge bases that the query is to look in."""
    found = KnowledgeBase.objects.visible_to(user)
    if query.knowledge_bases is not None:
        found = found.named(query.knowledge_bases)
    if query.bases:
        found = found.meant_by(query.bases)
    for other in query.without:
        if other.bases:
            found = found.exclude(pk__in=KnowledgeBase.objects.meant_by(other.bases))
    return found


def warm_up() -> None:
    """Load LiteLLM (2 s) and the model that tells languages (0.3 s) before somebody waits."""
    embeddings.warm_up()
    terms.query_weights("words")


def is_ours(error: ProcessingError) -> bool:
    """Whether it is an operator's to mend: waiting does not help."""
    return isinstance(error, Misconfigured | PermanentError)


@dataclass(frozen=True, slots=True)
class _Question:
    asked: Asked
    index: generations.Index
    dense: Sequence[float] | None
    words: dict[int, float]
    knowledge_base_ids: Collection[int]
    allowed: QuerySet[Chunk]
    only: vectors.Only | None

    def candidates(self, depth: int) -> tuple[list[Fused], bool]:
        """Ranked, and whether there may be more of them."""
        with patiently(settings.QDRANT_URL):
            found = vectors.candidates(
                self.dense,
                self.words,
                self.knowledge_base_ids,
                depth,
                self.only,
                self.index.collection,
            )
        is_more = max(len(found.by_meaning), len(found.by_words)) == depth
        return fused(found, self.asked.words), is_more

    def passages(self, first: tuple[list[Fused], bool], wanted: int) -> Iterator[Passage]:
        given: set[UUID] = set()
        depth = DEPTH
        ranked, is_more = first
        while True:
            fresh = (each for each in ranked if each.chunk_id not in given)
            size = math.ceil(wanted * SPARE)
            while batch := list(islice(fresh, size)):
                for passage in self._known(batch):
                    given.add(passage.chunk.pk)
                    yield passage
                    if len(given) >= MOST_RESULTS:
                        return
            if not is_more or depth >= DEEPEST:
                return
            depth *= (
                DEEPER  # deleted documents, whose points stay until they are purged, came first
            )
            release()
            with within(settings.REQUEST_TIMEOUT):
                ranked, is_more = self.candidates(depth)

    def _known(self, batch: Sequence[Fused]) -> list[Passage]:
        chunks = self.allowed.in_bulk([each.chunk_id for each in batch])
        return [
            Passage(chunks[each.chunk_id], each.score, each.cosine, self.asked)
            for each in batch
            if each.chunk_id in chunks
        ]


def _documents(query: Query, knowledge_base_ids: Collection[int]) -> QuerySet[Document]:
    """Those among whose passages the query is to look."""
    searchable = Document.objects.searchable().order_by()
    return searchable.filter(_document_filter(query), knowledge_base__in=knowledge_base_ids)


def _allowed(query: Query, documents: QuerySet[Document]) -> QuerySet[Chunk]:
    """The passages that the query may find at all, with their documents."""
    chunks = Chunk.objects.current().filter(document__in=documents).order_by()
    for phrase in query.phrases:
        chunks = chunks.filter(_stands_in_it(phrase))
    for phrase in query.excluded:
        chunks = chunks.exclude(_stands_in_it(phrase))
    return chunks.select_related("document__knowledge_base").only(*SHOWN)


def _document_filter(query: Query) -> Q:
    chosen = Q()
    for name in query.names:
        chosen &= Q(filename__icontains=normalize("NFC", name))
    if query.types:
        chosen &= reduce(or_, map(_of_type, query.types))
    if query.tags:
        chosen &= Q(tags__contains=[tidy_tag(each) for each in query.tags])
    if query.after:
        chosen &= Q(created_at__gte=_begin_of(query.after))
    if query.before:
        chosen &= Q(created_at__lt=_begin_of(query.before))
    for other in query.without:
        chosen &= ~_document_filter(other)
    return chosen


def _of_type(typed: str) -> Q:
    meant = Q(content_type__in=[each.media_type for each in formats.meant_by(typed)])
    extension = formats.extension_of_many(typed)
    return meant & Q(filename__iendswith=extension) if extension else meant


def _begin_of(day: Any) -> datetime:
    return timezone.make_aware(datetime.combine(day, clock.min))


def _stands_in_it(phrase: str) -> Func:
    """Whether the passage has these words, one after the other."""
    asked = Value(terms.tsquery(phrase), output_field=TextField())
    template = "COALESCE(%(expressions)s::tsquery, false)"
    return Func(
        F("words"), asked, template=template, arg_joiner=" @@ ", output_field=BooleanField()
    )


def _chosen(
    query: Query, documents: QuerySet[Document], allowed: QuerySet[Chunk]
) -> vectors.Only | None:
    """The few documents or passages among which the index is to look; None when they are many, of
    which enough will be among the candidates. How many passages they have costs nothing.
    """
    if query.phrases:
        ids = list(allowed.values_list("pk", flat=True)[: MOST_CHOSEN + 1])
        return vectors.Only(chunk_ids=ids) if len(ids) <= MOST_CHOSEN else None
    if query.chooses_documents:
        ids = list(documents.values_list("pk", flat=True)[: MOST_CHOSEN + 1])
        return vectors.Only(document_ids=ids) if len(ids) <= MOST_CHOSEN else None
    return None


def _beginnings(allowed: QuerySet[Chunk]) -> Iterator[Passage]:
    """Documents were asked for and no words: the newest first, by their first passages."""
    first = allowed.filter(position=0).order_by("-document__created_at", "pk")
    return (Passage(chunk, 0.0) for chunk in first[:MOST_RESULTS])


# --- The index ----------------------------------------------------------------------------------

_asked_again_at: dict[str, float] = {}
"""By the address of an index that did not answer in time: the monotonic clock."""


@contextmanager
def patiently(index: str) -> Iterator[None]:
    """Nobody waits longer than `SEARCH_INDEX_TIMEOUT` for an index that hangs; and after somebody
    has, one at a time asks it again, and the others are told at once. Raises ServiceUnavailable.
    """
    again_at, now = _asked_again_at.get(index), time.monotonic()
    if again_at is not None:
        if now < again_at:
            raise ServiceUnavailable("vectors", "no answer in time")
        _asked_again_at[index] = now + settings.SEARCH_INDEX_TIMEOUT
    hung = False
    try:
        with within(settings.SEARCH_INDEX_TIMEOUT):
            yield
    except ServiceUnavailable:
        hung = time.monotonic() >= now + settings.SEARCH_INDEX_TIMEOUT
        raise
    finally:  # any answer, also a refusal, is one
        if hung:
            _asked_again_at[index] = time.monotonic() + INDEX_REST
        else:
            _asked_again_at.pop(index, None)


# --- The embedding service ----------------------------------------------------------------------

_rests_until: dict[str | None, tuple[float, OnlyWords]] = {}
"""By its address: the monotonic clock, and why."""


def _meaning(text: str, model: Model) -> tuple[Sequence[float] | None, OnlyWords | None]:
    """The query's vector, or why there is none.

    Not every query waits for a service that is away: after one has, the others go on by words.
    """
    service = settings.EMBEDDING_API_BASE
    until, why = _rests_until.get(service, (0.0, None))
    if time.monotonic() < until:
        return None, why
    embeddings.warm_up()  # what has been imported need not be waited for
    try:
        with within(settings.SEARCH_EMBEDDING_TIMEOUT):
            return embeddings.embed_query(text, model), None
    except ProcessingError as error:
        log.warning("searching by words only: %s", error)
        why = OnlyWords.MISCONFIGURED if is_ours(error) else OnlyWords.AWAY
        if is_ours(error) or isinstance(error, ServiceUnavailable):  # and not this text alone
            _rests_until[service] = time.monotonic() + REST, why
        return None, why
