"""The index in Qdrant: the only module that speaks to it; layout.py says how it is laid out there.

One collection per generation (generations.py). A point is a passage: its id is the chunk's, its
payload holds ids only. It is a projection of PostgreSQL and can be rebuilt.
"""

import atexit
import json
import math
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypeVar, cast
from uuid import UUID

import httpx
from django.conf import settings
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from documents.deadlines import within
from processing.errors import Misconfigured, RetryableError, ServiceUnavailable, http_reason

from . import generations, layout
from .layout import DENSE, SPARSE

T = TypeVar("T")

WORDS_OF_BEST = "words of the best"
BEST = 5  # passages whose words are looked at
OURS_TO_MEND = {401, 403, 404}  # a refused key, an address where no Qdrant is
UNAVAILABLE = {408, 429}  # and 5xx
FACET = 100  # documents; the engine's time grows with the square of them (500: 160 ms, 100: 9 ms)
INDEXES: dict[str, Any] = {  # what is filtered by; without its index a filter reads every point
    "knowledge_base": models.KeywordIndexParams(
        type=models.KeywordIndexType.KEYWORD, is_tenant=True
    ),
    "document": models.PayloadSchemaType.KEYWORD,
    "position": models.PayloadSchemaType.INTEGER,
}
SCROLL = 1000  # points in one page of a listing


@dataclass(frozen=True, slots=True)
class Point:
    id: UUID
    position: int
    dense: Sequence[float]
    sparse: dict[int, float]


@dataclass(frozen=True, slots=True)
class Hit:
    chunk_id: UUID
    score: float


@dataclass(frozen=True, slots=True)
class Candidates:
    """What each half of the index finds, best first: cosines, and sums of BM25."""

    by_meaning: list[Hit]
    by_words: list[Hit]
    words_of_best: list[set[int]]  # all the terms of the first few of `by_words`


@dataclass(frozen=True, slots=True)
class Only:
    """A choice of documents, or of passages, that was made elsewhere."""

    document_ids: Collection[UUID] | None = None
    chunk_ids: Collection[UUID] | None = None


def collection() -> str:
    """The one that search reads. Below, `name` is another: it is being filled, or was left."""
    return generations.serving().collection


def upsert(
    knowledge_base_id: int, document_id: UUID, points: Sequence[Point], name: str | None = None
) -> None:
    """Write points; the same ids again overwrite. Makes the collection when it is missing.

    Raises ServiceUnavailable, RetryableError.
    """
    if not points:
        return
    structs = [
        models.PointStruct(
            id=str(point.id),
            vector={
                DENSE: list(point.dense),
                SPARSE: models.SparseVector(
                    indices=list(point.sparse), values=list(point.sparse.values())
                ),
            },
            payload={
                "knowledge_base": str(knowledge_base_id),
                "document": str(document_id),
                "position": point.position,
            },
        )
        for point in points
    ]
    name = name or collection()
    with _translated():
        try:
            _client().upsert(name, structs, wait=True)
        except UnexpectedResponse as error:
            if error.status_code != 404:
                raise
            _create(name, len(points[0].dense))
            _client().upsert(name, structs, wait=True)


def trim(document_id: UUID, keep: int, name: str | None = None) -> None:
    """Delete the document's points at positions from `keep` on: an earlier index was longer."""
    tail = models.FieldCondition(key="position", range=models.Range(gte=keep))
    _delete(models.Filter(must=[_of_document(document_id), tail]), name)


def delete(document_id: UUID, name: str | None = None) -> None:
    """Delete all the points of a document, in the collection `name` or the one in use."""
    _delete(models.Filter(must=[_of_document(document_id)]), name)


def move(document_id: UUID, knowledge_base_id: int, name: str | None = None) -> None:
    """Say of a document's points, as many as there are, in which knowledge base they are now.

    Raises ServiceUnavailable, RetryableError.
    """
    payload = {"knowledge_base": str(knowledge_base_id)}
    points = models.FilterSelector(filter=models.Filter(must=[_of_document(document_id)]))
    name = name or collection()
    _ask(lambda: _client().set_payload(name, payload, points, wait=True), name)


def count(document_id: UUID) -> int:
    """The exact number of the document's points. Raises ServiceUnavailable."""
    of_document = models.Filter(must=[_of_document(document_id)])
    answer = _ask(lambda: _client().count(collection(), of_document, exact=True))
    return answer.count if answer else 0


def counts(document_ids: Sequence[UUID], name: str | None = None) -> dict[UUID, int]:
    """The exact number of points of each of these documents that has any.

    Raises ServiceUnavailable, RetryableError (when the collection lacks the index of `document`).
    """
    name = name or collection()
    found: dict[UUID, int] = {}
    for start in range(0, len(document_ids), FACET):
        answer = _ask(
            partial(_facet, name, [str(each) for each in document_ids[start : start + FACET]]), name
        )
        if answer:
            found |= {UUID(str(hit.value)): hit.count for hit in answer.hits}
    return found


def dense_of(chunk_ids: Sequence[UUID], name: str | None = None) -> dict[UUID, Sequence[float]]:
    """The vectors of these passages, of those that the index has. Raises ServiceUnavailable."""
    ids = [str(each) for each in chunk_ids]
    name = name or collection()
    found = _ask(lambda: _client().retrieve(name, ids, with_vectors=[DENSE]), name)
    return {
        UUID(str(point.id)): cast("list[float]", point.vector[DENSE])
        for point in found or []
        if isinstance(point.vector, dict) and DENSE in point.vector
    }


def candidates(
    dense: Sequence[float] | None,
    sparse: dict[int, float],
    knowledge_base_ids: Collection[int],
    depth: int,
    only: Only | None = None,
    name: str | None = None,
) -> Candidates:
    """The best `depth` passages of these knowledge bases by each half, in one round trip; `only` of
    these documents or passages. Without a vector, or without words, that half finds nothing.

    Raises ServiceUnavailable, RetryableError.
    """
    asked: dict[str, dict[str, Any]] = {}
    if dense is not None:
        asked[DENSE] = {"query": list(dense), "using": DENSE, "limit": depth}
        if params := layout.of_search():
            asked[DENSE]["params"] = params.model_dump(mode="json", exclude_unset=True)
    if sparse:
        words = {"indices": list(sparse), "values": list(sparse.values())}
        asked[SPARSE] = {"query": words, "using": SPARSE, "limit": depth}
        asked[WORDS_OF_BEST] = asked[SPARSE] | {"limit": BEST, "with_vector": [SPARSE]}
    if not asked:
        return Candidates([], [], [])
    allowed = _allowed(knowledge_base_ids, only).model_dump(mode="json", exclude_none=True)
    name = name or collection()
    answers = _ask(
        partial(_batch, name, [each | {"filter": allowed} for each in asked.values()]), name
    )
    found = dict(zip(asked, answers or (), strict=bool(answers)))
    return Candidates(
        _hits(found.get(DENSE, ())),
        _hits(found.get(SPARSE, ())),
        [set(point["vector"][SPARSE]["indices"]) for point in found.get(WORDS_OF_BEST, ())],
    )


def nearest(
    dense: Sequence[float],
    knowledge_base_ids: Collection[int],
    depth: int,
    without: UUID,
    name: str | None = None,
) -> list[Hit]:
    """The best `depth` passages by their meaning, but those of one document.

    Raises ServiceUnavailable, RetryableError.
    """
    name = name or collection()
    allowed = _allowed(knowledge_base_ids, None)
    allowed.must_not = [_of_document(without)]
    ask = partial(
        _client().query_points,
        name,
        using=DENSE,
        query_filter=allowed,
        limit=depth,
        search_params=layout.of_search(),
    )
    answer = _ask(lambda: ask(query=list(dense)), name)
    return [Hit(UUID(str(point.id)), point.score) for point in answer.points] if answer else []


def documents(name: str | None = None) -> Iterator[set[tuple[UUID, str]]]:
    """The pages of `scroll`, all of them."""
    return (page for page, _ in scroll(name))


def scroll(
    name: str | None = None, offset: str | None = None
) -> Iterator[tuple[set[tuple[UUID, str]], str | None]]:
    """The documents that have points, each with the knowledge base that its points say, a page of
    points at a time; one may come again. With each page the offset of the next one, None at the
    last; from there it can be gone on with.

    Of the collection `name`, by default the one in use. Points whose payload names no document are
    not ours. Raises ServiceUnavailable: an incomplete listing is never taken for a complete one.
    """
    name = name or collection()
    ask = partial(_client().scroll, name, limit=SCROLL, with_payload=["document", "knowledge_base"])
    while answer := _ask(partial(ask, offset=offset), name):
        points, following = answer
        offset = None if following is None else str(following)
        payloads = [point.payload or {} for point in points]
        page = {
            (UUID(payload["document"]), str(payload.get("knowledge_base", "")))
            for payload in payloads
            if "document" in payload
        }
        yield page, offset
        if offset is None:
            return


def ping() -> None:
    """Raise ServiceUnavailable unless Qdrant answers and knows our key."""
    with _translated():
        _client().collection_exists(settings.QDRANT_COLLECTION_PREFIX)  # any name will do


def drop(name: str) -> None:
    """Delete a whole collection, if it is there. Raises ServiceUnavailable."""
    with _translated():
        _client().delete_collection(name)


def earlier_collections() -> list[str]:
    """Collections with our prefix that nobody writes: of an earlier model, most likely.

    Raises ServiceUnavailable.
    """
    prefix = f"{settings.QDRANT_COLLECTION_PREFIX}-"
    written = {collection(), *(index.collection for index in generations.written())}
    with _translated():
        names = [each.name for each in _client().get_collections().collections]
    return sorted(name for name in names if name.startswith(prefix) and name not in written)


def missing_indexes() -> list[str]:
    """What the collection in use cannot filter by: whoever made it may have died before its end.

    Raises ServiceUnavailable, Misconfigured when the collection holds other vectors than search
    compares them with.
    """
    info = _described(collection(), generations.serving().model.dimensions)
    return [key for key in INDEXES if key not in info.payload_schema] if info else []


def check_dimensions(name: str, dimensions: int) -> None:
    """Raises ServiceUnavailable, Misconfigured when the collection holds other vectors."""
    _described(name, dimensions)


def create_indexes(keys: Iterable[str] = INDEXES, name: str | None = None) -> None:
    """Make it possible to filter by these; one that is there stays. Raises ServiceUnavailable."""
    with _translated():
        for key in keys:
            _client().create_payload_index(name or collection(), key, INDEXES[key])


@cache
def _client() -> QdrantClient:
    # A key over plain HTTP is what a private network has; the client would warn of it each time.
    warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
    # It closes its connections when it is let go of, and warns when Python itself is half gone.
    atexit.register(_client.cache_clear)
    return QdrantClient(
        url=settings.QDRANT_URL,
        api_key=settings.QDRANT_API_KEY,
        # Connections are kept. The client would keep none to 127.0.0.1, and each search would make
        # one, for which documents/deadlines.py starts a thread.
        limits=httpx.Limits(),
        timeout=math.ceil(settings.QDRANT_TIMEOUT),  # for one read; `_translated` ends the call
        check_compatibility=False,  # would call the server while the client is built
    )


def _create(name: str, dimensions: int) -> None:
    try:
        _client().create_collection(name, **layout.of_collection(dimensions))
    except UnexpectedResponse as error:
        if error.status_code != 409:  # 409: another worker made it just now
            raise
    create_indexes(name=name)


def _described(name: str, dimensions: int) -> models.CollectionInfo | None:
    info = _ask(lambda: _client().get_collection(name), name)
    if info is None:
        return None
    vectors = info.config.params.vectors
    size = vectors[DENSE].size if isinstance(vectors, dict) and DENSE in vectors else None
    if size != dimensions:
        raise Misconfigured(
            "vectors", f"the collection {name} holds vectors of {size} numbers, not of {dimensions}"
        )
    return info


def _delete(points: models.Filter, name: str | None = None) -> None:
    selected = models.FilterSelector(filter=points)
    _ask(lambda: _client().delete(name or collection(), selected, wait=True), name)


def _of_document(document_id: UUID) -> models.FieldCondition:
    return models.FieldCondition(key="document", match=models.MatchValue(value=str(document_id)))


def _allowed(knowledge_base_ids: Collection[int], only: Only | None) -> models.Filter:
    tenants = models.MatchAny(any=[str(pk) for pk in knowledge_base_ids])
    must: list[Any] = [models.FieldCondition(key="knowledge_base", match=tenants)]
    if only and only.document_ids is not None:
        these = models.MatchAny(any=[str(each) for each in only.document_ids])
        must.append(models.FieldCondition(key="document", match=these))
    if only and only.chunk_ids is not None:
        must.append(models.HasIdCondition(has_id=[str(each) for each in only.chunk_ids]))
    return models.Filter(must=must)


def _batch(name: str, searches: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The points that each of these finds, as they come: models of the client's for 400 hits took
    longer than the index itself.
    """
    answer = _client().http.client.request(
        type_=dict[str, Any],
        method="POST",
        url="/collections/{collection_name}/points/query/batch",
        path_params={"collection_name": name},
        headers={"Content-Type": "application/json"},
        content=json.dumps({"searches": searches}),
    )
    return [each["points"] for each in answer["result"]]


def _hits(points: Iterable[dict[str, Any]]) -> list[Hit]:
    return [Hit(UUID(point["id"]), point["score"]) for point in points]


def _facet(name: str, document_ids: list[str]) -> models.FacetResponse:
    of_documents = models.FieldCondition(key="document", match=models.MatchAny(any=document_ids))
    return _client().facet(
        name,
        "document",
        models.Filter(must=[of_documents]),
        limit=len(document_ids),
        exact=True,
    )


def _ask(call: Callable[[], T], name: str | None = None) -> T | None:
    """The answer, or None when the collection is missing: it is made with its first point.

    Qdrant itself must say so: the 404 of a proxy that has lost its Qdrant means nothing. A
    collection that was made between the two questions is asked again.
    """
    with _translated():
        try:
            return call()
        except UnexpectedResponse as error:
            if error.status_code != 404:
                raise
            if not _client().collection_exists(name or collection()):
                return None
        return call()


@contextmanager
def _translated() -> Iterator[None]:
    """One call to Qdrant, in its time and with its errors made ours."""
    try:
        with within(settings.QDRANT_TIMEOUT):
            yield
    except QdrantException as error:  # 429; without `retry_after_s` when that was no whole number
        retry_after = getattr(error, "retry_after_s", None)
        raise ServiceUnavailable("vectors", "HTTP 429", retry_after) from error
    except ResponseHandlingException as error:
        timeout = isinstance(error.source, httpx.TimeoutException)
        reason = "no answer in time" if timeout else "no connection"
        raise ServiceUnavailable("vectors", reason) from error
    except UnexpectedResponse as error:
        status = error.status_code or 500
        if status in OURS_TO_MEND:
            raise Misconfigured("vectors", http_reason(status)) from error
        if status in UNAVAILABLE or status >= 500:
            raise ServiceUnavailable("vectors", http_reason(status)) from error
        raise RetryableError(
            "index_refused", f"The vector database did not accept the passages (HTTP {status})."
        ) from error
