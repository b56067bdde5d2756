"""The stock qdrant-client against the local server: what LumiKB relies on, what may go wrong."""

import http.client
import json
import math
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient
from qdrant_client import models as m
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from deploy.local.qdrant import requests
from deploy.local.qdrant.store import Store, _load
from tests.local.conftest import eventually

pytestmark = pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")

KEY = "the-key"
PROJECT = Path(__file__).parents[2]
PARIS, ROME, OSLO, LIMA = (str(uuid.uuid5(uuid.NAMESPACE_DNS, city)) for city in "prol")
POINTS = [
    (PARIS, [1, 0, 0, 0], {7: 1.0, 9: 2.0}, {"kb": "a", "document": "d1", "n": 1}),
    (ROME, [0.9, 0.1, 0, 0], {7: 1.0}, {"kb": "a", "document": "d1", "n": 2}),
    (OSLO, [0, 1, 0, 0], {7: 1.0, 8: 1.0}, {"kb": "b", "document": "d2", "n": 3}),
    (LIMA, [0, 0, 1, 0], {8: 3.0}, {"kb": "c", "document": "d3", "n": 4}),
]


class Server:
    """The server in a process of its own, on a free port; `start` again after `kill`."""

    def __init__(self, data: Path) -> None:
        self.data = data
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def start(self) -> None:
        self.process = subprocess.Popen(command(self.port, self.data), env=environment())
        deadline = time.monotonic() + 20
        while self.get("/readyz")[0] != 200:
            assert self.process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server is not ready"
            time.sleep(0.02)

    def stop(self, signum: int = signal.SIGTERM) -> int:
        self.process.send_signal(signum)
        return self.process.wait(timeout=10)

    def get(self, path: str) -> tuple[int, str]:
        return self.send("GET", path, headers={})

    def send(self, method: str, path: str, body: str = "", **options) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, options.get("headers", {"api-key": KEY}))
            response = connection.getresponse()
            return response.status, response.read().decode()
        except ConnectionError:
            return 0, ""
        finally:
            connection.close()

    def client(self, key: str | None = KEY) -> QdrantClient:
        url = f"http://127.0.0.1:{self.port}"
        return QdrantClient(url=url, api_key=key, timeout=10, check_compatibility=False)


def command(port: int, data: Path) -> list[str]:
    return [sys.executable, "-m", "deploy.local.qdrant", f"--port={port}", f"--data={data}"]


def environment() -> dict[str, str]:
    return os.environ | {"QDRANT_API_KEY": KEY, "PYTHONPATH": str(PROJECT)}


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("qdrant"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_server(tmp_path) -> Iterator[Server]:
    server = Server(tmp_path / "qdrant")
    server.start()
    yield server
    server.process.kill()
    server.process.wait()


@pytest.fixture
def client(server) -> Iterator[QdrantClient]:
    client = server.client()
    create(client)
    fill(client)
    yield client
    client.delete_collection("docs")
    client.close()


def create(client: QdrantClient) -> None:
    client.create_collection(
        "docs",
        vectors_config={"dense": m.VectorParams(size=4, distance=m.Distance.COSINE)},
        sparse_vectors_config={"bm25": m.SparseVectorParams(modifier=m.Modifier.IDF)},
    )
    tenant = m.KeywordIndexParams(type=m.KeywordIndexType.KEYWORD, is_tenant=True)
    client.create_payload_index("docs", "kb", tenant)
    client.create_payload_index("docs", "document", m.PayloadSchemaType.KEYWORD)


def fill(client: QdrantClient) -> None:
    client.upsert(
        "docs",
        [
            m.PointStruct(id=id, vector={"dense": dense, "bm25": sparse(terms)}, payload=payload)
            for id, dense, terms, payload in POINTS
        ],
        wait=True,
    )


def sparse(terms: dict[int, float]) -> m.SparseVector:
    return m.SparseVector(indices=list(terms), values=list(terms.values()))


def where(key: str, *values: str) -> m.FieldCondition:
    return m.FieldCondition(key=key, match=m.MatchAny(any=list(values)))


def count(client: QdrantClient, filter: m.Filter | None = None) -> int:
    return client.count("docs", count_filter=filter, exact=True).count


@contextmanager
def refused(status: int, words: str | None = None) -> Iterator[None]:
    with pytest.raises(UnexpectedResponse, match=words) as caught:
        yield
    assert caught.value.status_code == status


def test_a_collection_is_described_as_it_was_created(client):
    assert [c.name for c in client.get_collections().collections] == ["docs"]
    assert client.collection_exists("docs")
    assert not client.collection_exists("other")
    info = client.get_collection("docs")
    assert info.points_count == 4
    assert info.config.params.vectors["dense"].size == 4
    assert info.config.params.vectors["dense"].distance == m.Distance.COSINE
    assert info.config.params.sparse_vectors["bm25"].modifier == m.Modifier.IDF
    assert info.payload_schema["kb"].params.is_tenant
    assert info.payload_schema["kb"].points == 4
    assert info.payload_schema["document"].data_type == m.PayloadSchemaType.KEYWORD


def test_a_collection_with_one_unnamed_vector_works_too(client):
    config = m.VectorParams(size=2, distance=m.Distance.COSINE)
    client.create_collection("plain", vectors_config=config)
    client.upsert(
        "plain", [m.PointStruct(id=7, vector=[0.0, 2.0], payload={"x": [1, {"y": None}]})]
    )
    (hit,) = client.query_points("plain", query=[0.0, 1.0], with_vectors=True).points
    assert (hit.id, hit.vector, hit.score) == (7, [0.0, 1.0], 1.0)
    assert client.get_collection("plain").config.params.vectors.size == 2
    assert client.retrieve("plain", [7, 8])[0].payload == {"x": [1, {"y": None}]}
    assert client.delete_collection("plain")
    assert not client.delete_collection("plain")


def test_dense_search_ranks_by_cosine_and_honours_limit_threshold_and_filter(client):
    query = [2.0, 0.0, 0.0, 0.0]
    hits = client.query_points(
        "docs", query=query, using="dense", limit=2, with_payload=False
    ).points
    assert [hit.id for hit in hits] == [PARIS, ROME]
    assert hits[0].score == pytest.approx(1)
    assert hits[1].score == pytest.approx(0.9 / math.hypot(0.9, 0.1))
    assert hits[0].payload is None
    only_b = m.Filter(must=[where("kb", "b", "nobody")])
    (hit,) = client.query_points("docs", query=query, using="dense", query_filter=only_b).points
    assert hit.id == OSLO
    good = client.query_points("docs", query=query, using="dense", score_threshold=0.999)
    assert [hit.id for hit in good.points] == [PARIS]


def test_sparse_search_weighs_rare_terms_as_qdrant_documents_idf(client):
    query = sparse({7: 1.0, 9: 1.0})
    hits = client.query_points("docs", query=query, using="bm25", with_payload=["n"]).points

    def idf(documents_with_term: int) -> float:
        return math.log((4 - documents_with_term + 0.5) / (documents_with_term + 0.5) + 1)

    assert hits[0].id == PARIS
    assert hits[0].score == pytest.approx(idf(3) + 2 * idf(1))
    assert hits[0].payload == {"n": 1}
    assert {hit.id for hit in hits[1:]} == {ROME, OSLO}
    assert hits[1].score == pytest.approx(idf(3))


@pytest.mark.parametrize(
    ("fusion", "expected"),
    [
        (m.FusionQuery(fusion=m.Fusion.RRF), {PARIS: 1 / 2 + 1 / 3, ROME: 1 / 3, OSLO: 1 / 2}),
        (
            m.RrfQuery(rrf=m.Rrf(k=60, weights=[1.0, 1.0])),
            {PARIS: 1 / 60 + 1 / 61, ROME: 1 / 61, OSLO: 1 / 60},
        ),
    ],
)
def test_hybrid_search_fuses_ranks_within_the_filter(client, fusion, expected):
    visible = m.Filter(must=[where("kb", "a", "b")])
    hits = client.query_points(
        "docs",
        prefetch=[
            m.Prefetch(query=[1.0, 0, 0, 0], using="dense", filter=visible, limit=2),
            m.Prefetch(query=sparse({8: 5.0, 9: 1.0}), using="bm25", filter=visible, limit=5),
        ],
        query=fusion,
        limit=10,
        with_payload=True,
    ).points
    # Dense ranks Paris, Rome. Sparse ranks Oslo or Paris first; Lima, the best, is filtered out.
    scores = {hit.id: hit.score for hit in hits}
    assert set(scores) == {PARIS, ROME, OSLO}
    assert scores[ROME] == pytest.approx(expected[ROME], rel=1e-4)
    assert scores[PARIS] == pytest.approx(expected[PARIS], rel=1e-4)
    assert scores[OSLO] == pytest.approx(expected[OSLO], rel=1e-4)
    assert hits[0].payload["document"] == "d1"


def test_several_queries_are_answered_together_each_for_itself(client):
    dense, words = client.query_batch_points(
        "docs",
        [
            m.QueryRequest(query=[2.0, 0.0, 0.0, 0.0], using="dense", limit=1),
            m.QueryRequest(
                query=sparse({7: 1.0, 9: 1.0}),
                using="bm25",
                filter=m.Filter(must=[where("kb", "a", "b")]),
                with_vector=["bm25"],
            ),
        ],
    )
    assert [hit.id for hit in dense.points] == [PARIS]
    assert dense.points[0].vector is None
    assert words.points[0].id == PARIS
    assert {7, 9} <= set(words.points[0].vector["bm25"].indices)
    with refused(400):
        client.query_batch_points("docs", [m.QueryRequest(query=[1.0], using="dense", limit=0)])


def test_weights_move_the_fused_ranks(client):
    prefetch = [
        m.Prefetch(query=[1.0, 0, 0, 0], using="dense", limit=1),
        m.Prefetch(query=sparse({8: 1.0}), using="bm25", limit=1),
    ]
    for weights, order in (([3.0, 1.0], [PARIS, LIMA]), ([1.0, 3.0], [LIMA, PARIS])):
        query = m.RrfQuery(rrf=m.Rrf(weights=weights))
        hits = client.query_points("docs", prefetch=prefetch, query=query).points
        assert [hit.id for hit in hits] == order
        assert hits[0].score > hits[1].score


def test_filters_of_every_kind_select_what_they_say(client):
    def ids(**kinds) -> set[str]:
        points, _ = client.scroll("docs", scroll_filter=m.Filter(**kinds), limit=100)
        return {point.id for point in points}

    a, b = where("kb", "a"), m.FieldCondition(key="kb", match=m.MatchValue(value="b"))
    assert ids(must=[a]) == {PARIS, ROME}
    assert ids(should=[a, b]) == {PARIS, ROME, OSLO}
    assert ids(must_not=[a]) == {OSLO, LIMA}
    assert ids(must=a) == {PARIS, ROME}
    assert ids(must=[where("kb")]) == set()
    assert ids(must=[m.FieldCondition(key="kb", match=m.MatchExcept(**{"except": ["a"]}))]) == {
        OSLO,
        LIMA,
    }
    assert ids(must=[m.HasIdCondition(has_id=[OSLO, LIMA])], must_not=[b]) == {LIMA}
    assert ids(must=[m.FieldCondition(key="n", range=m.Range(gte=2, lt=4))]) == {ROME, OSLO}
    nested = m.Filter(should=[b, m.Filter(must=[a, m.Filter(must_not=[where("n")])])])
    assert ids(must=[nested]) == {PARIS, ROME, OSLO}
    assert ids(
        min_should=m.MinShould(conditions=[a, where("document", "d1", "d2")], min_count=2)
    ) == {
        PARIS,
        ROME,
    }
    assert ids(must=[m.IsEmptyCondition(is_empty=m.PayloadField(key="n"))]) == set()
    assert count(client, m.Filter(must=[a])) == 2
    assert count(client) == 4


def test_a_facet_counts_the_points_of_each_value(client):
    def facet(*documents, limit=10):
        filter = m.Filter(must=[where("document", *documents)]) if documents else None
        response = client.facet("docs", "document", filter, limit=limit, exact=True)
        return {hit.value: hit.count for hit in response.hits}

    assert facet() == {"d1": 2, "d2": 1, "d3": 1}
    assert facet("d1", "d3", "nobody") == {"d1": 2, "d3": 1}
    assert facet(limit=1) == {"d1": 2}
    assert facet("nobody") == {}
    with refused(404, "Collection `nope` doesn"):
        client.facet("nope", "document")
    with refused(400, "limit"):
        client.facet("docs", "document", limit=0)
    with refused(400):
        client.facet("docs", "n")  # as a server: it needs the key's index


def test_an_index_made_late_knows_the_points_that_were_there(client):
    client.create_payload_index("docs", "n", m.PayloadSchemaType.INTEGER)
    assert client.get_collection("docs").payload_schema["n"].points == 4
    assert {hit.value for hit in client.facet("docs", "n", exact=True).hits} == {1, 2, 3, 4}


def test_scrolling_visits_every_point_once(client):
    seen, offset = [], None
    while True:
        page, offset = client.scroll("docs", limit=3, offset=offset, with_payload=["n"])
        seen += page
        if offset is None:
            break
    assert [point.id for point in seen] == sorted(id for id, *_ in POINTS)
    assert {point.payload["n"] for point in seen} == {1, 2, 3, 4}
    page, _ = client.scroll("docs", limit=1, with_payload=False, with_vectors=["bm25"])
    assert page[0].payload is None
    assert page[0].vector["bm25"].indices


def test_points_are_replaced_and_deleted_by_id_and_by_filter(client):
    moved = {"dense": [0.0, 0, 0, 1], "bm25": sparse({})}
    client.upsert("docs", [m.PointStruct(id=PARIS, vector=moved, payload={"kb": "z"})])
    assert count(client) == 4
    assert client.retrieve("docs", [PARIS])[0].payload == {"kb": "z"}
    client.delete("docs", [OSLO])
    assert count(client) == 3
    client.delete("docs", m.FilterSelector(filter=m.Filter(must=[where("document", "d1")])))
    assert count(client) == 2
    client.delete("docs", m.Filter(must=[where("document", "d1")]), wait=False)
    assert count(client) == 2


def test_refusals_carry_qdrants_status_codes(client):
    with refused(409, "already exists"):
        create(client)
    for call in (
        lambda: client.get_collection("nope"),
        lambda: client.count("nope"),
        lambda: client.upsert("nope", [m.PointStruct(id=1, vector=[1.0])]),
        lambda: client.query_points("nope", query=[1.0]),
        lambda: client.scroll("nope"),
        lambda: client.delete("nope", [1]),
    ):
        with refused(404, "Collection `nope` doesn"):
            call()
    with refused(400, "Vector dimension error: expected dim: 4, got 2"):
        client.query_points("docs", query=[1.0, 2.0], using="dense")
    with refused(400, "Not existing vector name"):
        client.query_points("docs", query=[1.0, 2.0], using="nothing")
    with refused(400, "limit"):
        client.query_points("docs", query=[1.0, 0, 0, 0], using="dense", limit=0)
    with refused(400, "does not know order_by"):
        client.scroll("docs", order_by="n")
    with refused(400, "names match"):
        client.get_collection("a b")


def test_a_batch_with_one_bad_point_changes_nothing(client):
    # Many good points: the engine takes a batch in random order, up to the bad one.
    good = [m.PointStruct(id=id, vector={"dense": [1.0, 0, 0, 0]}) for id in range(40)]
    for bad in ({"dense": [1.0]}, {"nothing": [1.0]}, {"dense": sparse({1: 1.0})}):
        with refused(400):
            client.upsert("docs", [*good, m.PointStruct(id=41, vector=bad)])
    with refused(400):
        client.upsert("docs", [*good, m.PointStruct(id="no-uuid", vector=good[0].vector)])
    assert count(client) == 4


@pytest.mark.parametrize(
    "vector",
    [
        '{"bm25": {"indices": [1, 2], "values": [1.0]}}',  # makes the engine panic
        '{"bm25": {"indices": [1, 1], "values": [1.0, 2.0]}}',
        '{"bm25": {"indices": [-1], "values": [1.0]}}',
        '{"bm25": {"indices": [4294967296], "values": [1.0]}}',
        '{"dense": [NaN, 0, 0, 0]}',
        '{"dense": [1e400, 0, 0, 0]}',
        '{"dense": [1e39, 0, 0, 0]}',
        '{"dense": ["1", 0, 0, 0]}',
        '{"dense": [[1, 0, 0, 0]]}',
        '{"dense": null}',
        "7",
    ],
)
def test_vectors_that_would_harm_the_engine_never_reach_it(server, client, vector):
    body = f'{{"points": [{{"id": 1, "vector": {vector}}}]}}'
    status, answer = server.send("PUT", "/collections/docs/points", body)
    assert status == 400, answer
    assert json.loads(answer)["status"]["error"]
    assert count(client) == 4


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[]",
        '{"filter": {"musst": []}}',
        '{"filter": {"must": [{"key": "kb"}]}}',
        '{"filter": {"must": [{"key": "kb", "match": {"valeu": "a"}}]}}',
        '{"filter": {"must": [{"key": "kb", "match": {"value": "a"}, "range": {"gt": 1}}]}}',
        '{"filter": ' + '{"must": [' * 2000 + "]}" * 2000 + "}",
        '{"filter": {"must": [{"key": "kb", "match": {"value": "\\ud800"}}]}}',
        "{}",
    ],
)
def test_a_delete_that_is_not_understood_deletes_nothing(server, client, body):
    status, answer = server.send("POST", "/collections/docs/points/delete", body)
    assert status == 400, answer
    assert count(client) == 4


def test_only_the_right_key_opens_the_door(server):
    assert server.get("/healthz")[0] == 200
    assert json.loads(server.get("/")[1])["version"]
    assert server.get("/collections")[0] == 401
    for key in (None, "wrong"):
        with refused(401):
            server.client(key).get_collections()
    bearer = {"Authorization": f"Bearer {KEY}"}
    assert server.send("GET", "/collections", headers=bearer)[0] == 200


def test_what_the_server_does_not_know_is_404_and_a_giant_body_413(server):
    assert server.send("POST", "/collections/docs/snapshots")[0] == 404
    headers = {"api-key": KEY, "Content-Length": str(10**9)}
    assert server.send("PUT", "/collections/docs/points", headers=headers)[0] == 413


def test_a_connection_that_is_kept_alive_answers_without_delay(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    started = time.monotonic()
    for _ in range(50):
        connection.request("GET", "/collections", headers={"api-key": KEY})
        assert connection.getresponse().read()
    assert time.monotonic() - started < 1  # 50 delayed acknowledgements would take 2 s
    connection.close()


def test_a_sigkill_loses_no_point_that_was_acknowledged(own_server):
    client = own_server.client()
    create(client)
    for batch in range(10):
        ids = range(batch * 100, batch * 100 + 100)
        vectors = [{"dense": [1.0, id, 0, 0], "bm25": sparse({id: 1.0})} for id in ids]
        client.upsert(
            "docs",
            [
                m.PointStruct(id=id, vector=vector, payload={"kb": f"k{id % 2}"})
                for id, vector in zip(ids, vectors, strict=True)
            ],
        )
    client.delete("docs", m.Filter(must=[m.HasIdCondition(has_id=[5, 6])]))
    assert own_server.stop(signal.SIGKILL) == -signal.SIGKILL
    with pytest.raises(ResponseHandlingException):
        client.count("docs")
    own_server.start()
    assert count(client) == 998
    assert count(client, m.Filter(must=[where("kb", "k1")])) == 499
    assert client.get_collection("docs").payload_schema["kb"].params.is_tenant
    (hit,) = client.query_points("docs", query=sparse({77: 1.0}), using="bm25").points
    assert hit.id == 77


def test_sigterm_ends_it_at_once_and_the_data_is_there_again(own_server):
    client = own_server.client()
    create(client)
    fill(client)
    started = time.monotonic()
    assert own_server.stop() == 0
    assert time.monotonic() - started < 2
    own_server.start()
    assert count(client) == 4
    client.delete_collection("docs")
    own_server.stop()
    own_server.start()
    assert client.get_collections().collections == []


SOON = 60.0  # seconds, on a busy machine: it is done in two on another
SMALL = {"vectors": {"v": {"size": 2, "distance": "Cosine"}}}


def put(store: Store, ids: range) -> None:
    points = [{"id": id, "vector": {"v": [1, id]}, "payload": {}} for id in ids]
    operation = requests.upsert_operation({"points": points}, store.config("c"))
    store.update("c", operation, len(points))


def remove(store: Store, ids: range) -> None:
    store.update("c", requests.delete_operation({"points": list(ids)}))


def ids_in(store: Store) -> set[int]:
    query = requests.query_request({"query": [1, 2500], "using": "v", "limit": 5000})
    return {hit.id for hit in store.read("c", lambda shard: shard.query(query))}


def segments(folder: Path) -> set[str]:
    return {path.name for path in (folder / "c" / "segments").iterdir()}


@pytest.fixture
def swept(tmp_path) -> Iterator[Store]:
    """Of whose 3,000 points 2,000 are deleted."""
    store = Store(tmp_path)
    store.create("c", requests.shard_config(SMALL))
    put(store, range(3000))
    remove(store, range(2000))
    yield store
    store.close()


def test_sweeping_out_deleted_points_leaves_the_others_searchable(swept, tmp_path):
    before = segments(tmp_path)
    swept.tick()
    assert swept.is_rebuilding("c")
    assert ids_in(swept) == set(range(2000, 3000))
    eventually(lambda: swept.tick() or not swept.is_rebuilding("c"), SOON)
    assert not before & segments(tmp_path)
    assert ids_in(swept) == set(range(2000, 3000))
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["c"]
    swept.close()
    again = Store(tmp_path)
    assert ids_in(again) == set(range(2000, 3000))
    assert not again.is_rebuilding("c")  # it is remembered
    again.close()


def test_what_is_written_while_a_shard_is_made_anew_is_in_both(swept, tmp_path):
    swept.tick()
    put(swept, range(3000, 3100))
    remove(swept, range(2000, 2010))
    put(swept, range(2005, 2010))
    expected = set(range(2005, 3100))
    assert ids_in(swept) == expected
    eventually(lambda: swept.tick() or not swept.is_rebuilding("c"), SOON)
    assert ids_in(swept) == expected
    swept.close()
    again = Store(tmp_path)
    assert ids_in(again) == expected
    again.close()


@pytest.mark.parametrize("step", ["copied", "made anew", "moving", "moved away", "moved in"])
def test_a_crash_while_a_shard_is_made_anew_loses_nothing(swept, tmp_path, monkeypatch, step):
    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    swept.tick()
    put(swept, range(3000, 3100))
    if step != "copied":
        eventually(lambda: swept._rebuild.status() is not None, SOON)
        if step == "made anew":
            monkeypatch.setattr(Store, "_put_in_place", crash)
        elif step == "moved in":
            monkeypatch.setattr("deploy.local.qdrant.store._load", once(_load, crash))
        else:
            first = crash if step == "moving" else Path.rename
            monkeypatch.setattr(Path, "rename", once(first, crash))
        with pytest.raises(KeyboardInterrupt):
            swept.tick()
        assert step == "made anew" or swept._closed
        monkeypatch.undo()
    if swept._rebuild:
        swept._rebuild._child.kill()
        swept._rebuild._child.wait()
    shutil.copytree(tmp_path, copied := tmp_path.with_name(f"{tmp_path.name}-copied"))
    again = Store(copied)
    assert ids_in(again) == set(range(2000, 3100))
    assert not [path for path in copied.glob(".*") if path.is_dir()]
    again.close()


def once(first: Callable[..., Any], then: Callable[..., Any]) -> Callable[..., Any]:
    """The one the first time, the other from then on."""
    calls = iter([first])
    return lambda *arguments: next(calls, then)(*arguments)


def test_a_collection_that_is_as_it_should_be_is_not_looked_at_again(tmp_path):
    store = Store(tmp_path)
    store.create("c", requests.shard_config(SMALL))
    put(store, range(1500))
    assert store.is_rebuilding("c")
    before = segments(tmp_path)
    eventually(lambda: store.tick() or not store.is_rebuilding("c"), SOON)
    assert segments(tmp_path) == before
    store.close()
    again = Store(tmp_path)
    assert not again.is_rebuilding("c")
    again.close()


def test_a_collection_can_be_deleted_while_it_is_made_anew(swept, tmp_path):
    swept.tick()
    assert swept.delete("c")
    swept.tick()
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def test_a_large_collection_has_a_graph_and_finds_what_exact_search_finds(tmp_path):
    dice = random.Random(14)
    body = {"vectors": {"v": {"size": 128, "distance": "Cosine"}}}
    body["optimizers_config"] = {"indexing_threshold": 500}  # KB
    store = Store(tmp_path)
    store.create("c", requests.shard_config(body))
    for start in range(0, 3000, 500):
        points = [
            {"id": id, "vector": [dice.gauss() for _ in range(128)], "payload": {"n": id % 7}}
            for id in range(start, start + 500)
        ]
        points = [point | {"vector": {"v": point["vector"]}} for point in points]
        store.update("c", requests.upsert_operation({"points": points}, store.config("c")), 500)
    eventually(lambda: store.tick() or not store.is_rebuilding("c"), SOON)
    indexes = [
        json.loads(file.read_text())["config"]["vector_data"]["v"]["index"]["type"]
        for file in (tmp_path / "c" / "segments").glob("*/segment.json")
    ]
    assert "hnsw" in indexes
    common = 0
    for _ in range(20):
        query = {"query": [dice.gauss() for _ in range(128)], "using": "v"}
        found = [
            {hit.id for hit in store.read("c", lambda shard: shard.query(asked))}  # noqa: B023 (called at once)
            for params in ({}, {"exact": True})
            for asked in [requests.query_request(query | {"params": params})]
        ]
        common += len(found[0] & found[1])
    assert common >= 0.97 * 200
    store.close()


def test_who_is_at_work_is_held_up_by_a_flush_only_now_and_then(tmp_path, monkeypatch):
    monkeypatch.setattr("deploy.local.qdrant.store.FLUSH_SECONDS", 3600)
    store = Store(tmp_path)
    body = {"vectors": {"v": {"size": 2, "distance": "Cosine"}}}
    store.create("c", requests.shard_config(body))
    points = {"points": [{"id": 1, "vector": {"v": [1, 1]}, "payload": {}}]}
    store.update("c", requests.upsert_operation(points, store.config("c")))
    store.tick()
    assert store._unflushed == {"c"}
    monkeypatch.setattr("deploy.local.qdrant.store.BUSY_FLUSH_SECONDS", 0)
    store.tick()
    assert store._unflushed == set()
    monkeypatch.undo()
    store.update("c", requests.upsert_operation(points, store.config("c")))
    monkeypatch.setattr("deploy.local.qdrant.store.FLUSH_SECONDS", 0)
    store.tick()
    assert store._unflushed == set()
    store.close()


def test_half_made_collections_are_swept_away_at_the_start(own_server):
    own_server.stop()
    (own_server.data / ".new-docs").mkdir()
    (own_server.data / ".old-docs").mkdir()
    own_server.start()
    create(own_server.client())
    assert [path.name for path in own_server.data.glob("*docs")] == ["docs"]


def run(port: int, data: Path) -> subprocess.CompletedProcess:
    # S603 is off in this project: the list of arguments is ours.
    return subprocess.run(
        command(port, data), env=environment(), capture_output=True, text=True, timeout=20
    )


def test_it_says_in_one_sentence_why_it_cannot_start(server, tmp_path):
    taken = run(server.port, tmp_path / "new")
    assert taken.returncode == 1
    assert taken.stderr == f"cannot listen on 127.0.0.1:{server.port}: Address already in use\n"

    in_use = run(0, server.data)
    assert in_use.returncode == 1
    assert in_use.stderr == f"cannot use {server.data}: another process is using it\n"

    (tmp_path / "file").touch()
    no_folder = run(0, tmp_path / "file")
    assert no_folder.returncode == 1
    assert no_folder.stderr == f"cannot use {tmp_path / 'file'}: File exists\n"

    (tmp_path / "damaged" / "docs").mkdir(parents=True)
    damaged = run(0, tmp_path / "damaged")
    assert damaged.returncode == 1
    assert "collection docs cannot be loaded" in damaged.stderr
    assert "Traceback" not in damaged.stderr
