"""The index on the real engine, and what we make of a Qdrant that misbehaves."""

import socket
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, VectorParams

from processing.errors import RetryableError, ServiceUnavailable, http_reason
from processing.index import vectors
from processing.index.vectors import Point

from .stubs import Reply, failing, forwarding, hanging, qdrant_at, qdrant_stub, refused_url, unit

pytestmark = pytest.mark.django_db  # which index is in use, PostgreSQL says

ONE, TWO = 1, 2  # knowledge bases


def put(document: UUID, count: int = 1, knowledge_base: int = ONE, axis: int = 0) -> list[UUID]:
    """Index points of a document; returns their ids."""
    points = [
        Point(UUID(int=document.int + n), n, unit(axis + n), {axis + n: 1.0}) for n in range(count)
    ]
    vectors.upsert(knowledge_base, document, points)
    return [point.id for point in points]


def find(
    axis: int, *knowledge_bases: int, words: dict[int, float] | None = None, limit: int = 5
) -> list[UUID]:
    """The best by either half, each once."""
    found = vectors.candidates(unit(axis), words or {}, knowledge_bases, limit)
    return list(dict.fromkeys(hit.chunk_id for hit in [*found.by_meaning, *found.by_words]))


# --- On the real engine --------------------------------------------------------------------------


def test_the_collection_is_named_after_the_model_and_its_dimensions(settings: Any) -> None:
    settings.QDRANT_COLLECTION_PREFIX = "lumikb"
    settings.EMBEDDING_MODEL = "openai/Text-Embedding_3.large"
    assert vectors.collection() == "lumikb-text-embedding-3-large-384"


def test_the_first_point_makes_the_collection_with_its_tenant_index(settings: Any) -> None:
    put(uuid4())
    info = vectors._client().get_collection(vectors.collection())
    assert set(info.payload_schema) == {"knowledge_base", "document", "position"}
    assert info.payload_schema["knowledge_base"].params.is_tenant is True  # type: ignore[union-attr]


def test_a_missing_collection_is_an_empty_one() -> None:
    nobody = uuid4()
    vectors.trim(nobody, keep=0)
    vectors.move(nobody, ONE)
    vectors.delete(nobody)
    assert vectors.count(nobody) == 0
    assert find(0, ONE, words={1: 1.0}) == []
    assert list(vectors.documents()) == []


def test_two_workers_that_make_the_collection_at_once_both_succeed(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both meet at the creation: neither sees the collection of the other before."""
    meeting = threading.Barrier(2, timeout=10)

    def meet(call: Any) -> None:
        if (call.method, call.path) == ("PUT", f"/collections/{vectors.collection()}"):
            meeting.wait()

    documents = [uuid4(), uuid4()]
    with qdrant_stub(settings, forwarding(settings.QDRANT_URL, meet)) as stub:
        workers = [threading.Thread(target=put, args=[document]) for document in documents]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        creations = [c for c in stub.calls if c.path == f"/collections/{vectors.collection()}"]
    assert len(creations) == 2
    assert [vectors.count(document) for document in documents] == [1, 1]


def test_the_same_points_again_are_no_more_points() -> None:
    document = uuid4()
    put(document, 3)
    put(document, 3)
    assert vectors.count(document) == 3


def test_trim_takes_the_tail_of_this_document_only() -> None:
    document, neighbour = uuid4(), uuid4()
    kept, *_ = put(document, 4)
    put(neighbour, 4, axis=10)
    vectors.trim(document, keep=1)
    assert (vectors.count(document), vectors.count(neighbour)) == (1, 4)
    assert find(0, ONE, limit=1) == [kept]


def test_delete_takes_all_points_of_this_document_only() -> None:
    document, neighbour = uuid4(), uuid4()
    put(document, 3)
    put(neighbour, 2)
    vectors.delete(document)
    assert (vectors.count(document), vectors.count(neighbour)) == (0, 2)


def test_a_query_sees_only_the_named_knowledge_bases() -> None:
    [ours] = put(uuid4(), knowledge_base=ONE)
    [theirs] = put(uuid4(), knowledge_base=TWO)
    words = {0: 1.0}
    assert find(0, ONE, words=words) == [ours]
    assert set(find(0, ONE, TWO, words=words)) == {ours, theirs}
    assert find(0, 3, words=words) == []


def test_a_word_finds_what_the_dense_vector_finds_last() -> None:
    ids = put(uuid4(), 30)
    assert find(0, ONE, words={29: 1.0}, limit=1) == [ids[0], ids[29]]


def test_a_payload_holds_ids_and_no_text() -> None:
    document = uuid4()
    put(document)
    [point], _ = vectors._client().scroll(vectors.collection())
    assert point.payload == {"knowledge_base": "1", "document": str(document), "position": 0}


def test_every_document_with_points_is_listed_over_several_pages() -> None:
    many, few = uuid4(), uuid4()
    put(few)
    weight = unit(0)
    vectors.upsert(ONE, many, [Point(uuid4(), n, weight, {1: 1.0}) for n in range(1100)])
    pages = list(vectors.documents())
    assert len(pages) == 2
    assert {document for document, _ in set().union(*pages)} == {many, few}


def test_the_points_of_many_documents_are_counted_in_few_calls(settings: Any) -> None:
    documents = [uuid4() for _ in range(250)]
    for number, document in enumerate(documents[:4]):
        put(document, number)
    with qdrant_stub(settings, forwarding(settings.QDRANT_URL, lambda call: None)) as stub:
        assert vectors.counts(documents) == dict(zip(documents[1:4], (1, 2, 3), strict=True))
    assert len(stub.calls) == 3


def test_the_indexes_of_a_collection_whose_maker_died_are_missed_and_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert vectors.missing_indexes() == [], "there is no collection yet"
    with monkeypatch.context() as dying:
        dying.setattr(vectors, "create_indexes", lambda **_: None)
        document = uuid4()
        put(document)
    missing = vectors.missing_indexes()
    assert missing == ["knowledge_base", "document", "position"]
    with pytest.raises(RetryableError):
        vectors.counts([document])
    vectors.create_indexes(missing)
    assert vectors.missing_indexes() == []
    assert vectors.counts([document]) == {document: 1}


def test_a_collection_of_other_vectors_is_said_to_be_one(settings: Any) -> None:
    put(uuid4())
    name = vectors.collection()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(vectors, "collection", lambda: name)
        settings.EMBEDDING_DIMENSIONS = 3
        with pytest.raises(ServiceUnavailable, match="vectors of 384 numbers, not of 3"):
            vectors.missing_indexes()


def test_the_collections_of_earlier_models_are_told_from_others(settings: Any) -> None:
    current, earlier = vectors.collection(), f"{settings.QDRANT_COLLECTION_PREFIX}-older-384"
    put(uuid4())
    assert vectors.earlier_collections() == []
    client = vectors._client()
    for name in (earlier, f"not-{current}"):
        client.create_collection(name, VectorParams(size=2, distance=Distance.COSINE))
    assert vectors.earlier_collections() == [earlier]
    for name in (earlier, f"not-{current}"):
        client.delete_collection(name)


def test_connections_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    connect = socket.create_connection
    monkeypatch.setattr(
        socket, "create_connection", lambda *a, **b: opened.append(a) or connect(*a, **b)
    )
    vectors._client.cache_clear()
    for _ in range(5):
        vectors.ping()
    assert 1 <= len(opened) < 5  # an idle one is closed after a while


def test_the_points_of_a_document_move_and_no_others() -> None:
    moved, stays = uuid4(), uuid4()
    put(moved, 3)
    put(stays, 2)
    vectors.move(moved, ONE + 1)
    assert set().union(*vectors.documents()) == {(moved, str(ONE + 1)), (stays, str(ONE))}
    assert vectors.counts([moved, stays]) == {moved: 3, stays: 2}
    assert len(find(0, ONE + 1)) == 3


def test_points_that_are_not_ours_are_no_documents() -> None:
    document = uuid4()
    put(document)
    vectors._client().upsert(
        vectors.collection(),
        [{"id": 1, "vector": {"dense": unit(0)}, "payload": {"other": 1}}],  # type: ignore[list-item]
    )
    assert list(vectors.documents()) == [{(document, str(ONE))}]


# --- Qdrant misbehaves ---------------------------------------------------------------------------

CALLS: dict[str, Callable[[], Any]] = {
    "upsert": lambda: put(uuid4()),
    "trim": lambda: vectors.trim(uuid4(), keep=1),
    "delete": lambda: vectors.delete(uuid4()),
    "count": lambda: vectors.count(uuid4()),
    "counts": lambda: vectors.counts([uuid4()]),
    "missing_indexes": vectors.missing_indexes,
    "earlier_collections": vectors.earlier_collections,
    "create_indexes": vectors.create_indexes,
    "query": lambda: find(0, ONE),
    "documents": lambda: list(vectors.documents()),
    "move": lambda: vectors.move(uuid4(), ONE),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", [401, 403, 408, 429, 500, 503])
def test_a_status_that_is_not_the_documents_fault_is_an_outage(
    call: str, status: int, settings: Any
) -> None:
    with qdrant_stub(settings, failing(status)) as stub:
        with pytest.raises(ServiceUnavailable) as caught:
            CALLS[call]()
        assert len(stub.calls) == 1, "one attempt: retries are the outbox's business"
    error = caught.value
    assert (error.service, error.reason) == ("vectors", http_reason(status))


def test_a_collection_that_is_made_between_two_questions_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is missing when its points are counted, and there when one asks whether it is."""
    document = uuid4()
    exists = QdrantClient.collection_exists

    def late(client: QdrantClient, name: str, **kwargs: Any) -> bool:
        put(document)
        return exists(client, name, **kwargs)

    monkeypatch.setattr(QdrantClient, "collection_exists", late)
    assert vectors.count(document) == 1


@pytest.mark.parametrize("call", CALLS)
def test_a_404_that_qdrant_did_not_say_is_an_outage_and_no_empty_index(
    call: str, settings: Any
) -> None:
    """An ingress without its backend says 404 to everything; the reconciler must not believe it."""
    page = Reply(b"<html>default backend - 404</html>", 404)
    with qdrant_stub(settings, lambda call: page), pytest.raises(ServiceUnavailable):
        CALLS[call]()


@pytest.mark.parametrize("wish", ["7", "Wed, 21 Oct 2026 07:28:00 GMT", "1.5"])
def test_the_services_own_wish_when_to_come_back_is_kept_if_it_is_a_number(
    wish: str, settings: Any
) -> None:
    with (
        qdrant_stub(settings, failing(429, Retry_After=wish)),
        pytest.raises(ServiceUnavailable) as caught,
    ):
        vectors.count(uuid4())
    assert caught.value.retry_after == (7 if wish == "7" else None)


@pytest.mark.parametrize("status", [400, 422])
def test_a_refusal_of_the_points_counts_as_a_try(status: int, settings: Any) -> None:
    with qdrant_stub(settings, failing(status)), pytest.raises(RetryableError) as caught:
        put(uuid4())
    assert caught.value.code == "index_refused"


@pytest.mark.parametrize("call", ["upsert", "query"])
def test_an_answer_that_does_not_come_ends_at_the_timeout(call: str, settings: Any) -> None:
    settings.QDRANT_TIMEOUT = 1
    began = time.monotonic()
    with qdrant_stub(settings, hanging), pytest.raises(ServiceUnavailable) as caught:
        CALLS[call]()
    assert time.monotonic() - began < 10
    assert caught.value.reason == "no answer in time"


@pytest.mark.parametrize("call", CALLS)
def test_nobody_listening_is_an_outage(call: str, settings: Any) -> None:
    with qdrant_at(settings, refused_url()), pytest.raises(ServiceUnavailable) as caught:
        CALLS[call]()
    assert caught.value.reason == "no connection"


def test_an_answer_that_is_none_is_an_outage(settings: Any) -> None:
    with (
        qdrant_stub(settings, lambda call: Reply({"result": "what?"})),
        pytest.raises(ServiceUnavailable),
    ):
        vectors.count(uuid4())


def test_a_listing_that_breaks_off_is_never_taken_for_a_complete_one(settings: Any) -> None:
    document = uuid4()
    first = {"points": [{"id": 1, "payload": {"document": str(document)}}], "next_page_offset": 2}
    pages = iter([Reply({"result": first}), Reply({}, 500)])
    with qdrant_stub(settings, lambda call: next(pages)):
        listing = vectors.documents()
        assert next(listing) == {(document, "")}
        with pytest.raises(ServiceUnavailable):
            next(listing)


def test_the_client_has_the_timeout_of_the_settings(settings: Any) -> None:
    settings.QDRANT_TIMEOUT = 7
    with qdrant_at(settings, settings.QDRANT_URL):
        client: QdrantClient = vectors._client()
        assert client.http.client._client.timeout.read == 7  # type: ignore[attr-defined]
