"""Shards, copies and shortened vectors: what goes to Qdrant, and what its engine makes of it."""

import math
import random
import runpy
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import qdrant_edge as edge
from environs import EnvError

from deploy.local.qdrant import requests
from processing.index import layout, vectors
from processing.index.vectors import Point

from .stubs import DIMENSIONS, forwarding, qdrant_stub, unit

pytestmark = pytest.mark.django_db

SETTINGS = Path(__file__).parents[2] / "lumikb/settings.py"
SCALAR = {"scalar": {"type": "int8", "quantile": 0.99, "always_ram": True}}
BINARY = {"binary": {"always_ram": True}}
PLAIN = {
    "vectors": {"dense": {"size": DIMENSIONS, "distance": "Cosine"}},
    "sparse_vectors": {"bm25": {"modifier": "idf"}},
}
ON_DISK = {
    "vectors": {"dense": {"size": DIMENSIONS, "distance": "Cosine", "on_disk": True}},
    "sparse_vectors": {"bm25": {"modifier": "idf", "index": {"on_disk": True}}},
    "hnsw_config": {"on_disk": True},
}
CLUSTER = {"QDRANT_SHARDS": 6, "QDRANT_REPLICAS": 3, "QDRANT_WRITE_CONSISTENCY": 2}
ASKED = [
    ({}, PLAIN),
    (
        CLUSTER,
        PLAIN | {"shard_number": 6, "replication_factor": 3, "write_consistency_factor": 2},
    ),
    ({"QDRANT_QUANTIZATION": "scalar"}, PLAIN | {"quantization_config": SCALAR}),
    ({"QDRANT_QUANTIZATION": "binary"}, PLAIN | {"quantization_config": BINARY}),
    ({"QDRANT_ON_DISK": True}, ON_DISK),
    (
        {"QDRANT_SHARDS": 2, "QDRANT_QUANTIZATION": "scalar", "QDRANT_ON_DISK": True},
        ON_DISK | {"quantization_config": SCALAR, "shard_number": 2},
    ),
]


def put() -> UUID:
    """One passage; returns its id."""
    document = uuid4()
    vectors.upsert(1, document, [Point(document, 0, unit(0), {7: 1.0})])
    return document


def changed(settings: Any, wanted: dict[str, Any]) -> None:
    for name, value in wanted.items():
        setattr(settings, name, value)


def without_nulls(body: Any) -> Any:
    """What a body says: a null is no word."""
    if isinstance(body, dict):
        return {key: without_nulls(value) for key, value in body.items() if value is not None}
    return body


@pytest.mark.parametrize(("wanted", "asked"), ASKED, ids=lambda value: ",".join(value))
def test_a_collection_is_asked_for_as_the_settings_say(
    wanted: dict[str, Any], asked: dict[str, Any], settings: Any
) -> None:
    changed(settings, wanted)
    with qdrant_stub(settings, forwarding(settings.QDRANT_URL)) as stub:
        passage = put()
        [creation] = [c for c in stub.calls if c.path == f"/collections/{vectors.collection()}"]
        found = vectors.candidates(unit(0), {7: 1.0}, [1], 5)
        near = vectors.nearest(unit(0), [1], 5, without=uuid4())
    assert (creation.method, without_nulls(creation.json)) == ("PUT", asked)
    cosines = [*found.by_meaning, *near]
    assert [(hit.chunk_id, round(hit.score, 6)) for hit in cosines] == [(passage, 1.0)] * 2
    assert [hit.chunk_id for hit in found.by_words] == [passage]


@pytest.mark.parametrize(("wanted", "asked"), ASKED, ids=lambda value: ",".join(value))
def test_the_engine_keeps_what_it_was_asked_for(
    wanted: dict[str, Any], asked: dict[str, Any], settings: Any
) -> None:
    """All but shards and copies: it is one node."""
    changed(settings, wanted)
    put()
    config = vectors._client().get_collection(vectors.collection()).config
    quantization = config.quantization_config
    said = without_nulls(quantization.model_dump(mode="json")) if quantization else None
    assert said == asked.get("quantization_config")
    assert isinstance(config.params.vectors, dict)
    assert bool(config.params.vectors["dense"].on_disk) == settings.QDRANT_ON_DISK
    sparse = (config.params.sparse_vectors or {})["bm25"]
    assert bool(sparse.index and sparse.index.on_disk) == settings.QDRANT_ON_DISK
    assert vectors.missing_indexes() == []


@pytest.mark.parametrize("quantization", ["none", "scalar", "binary"])
def test_what_was_shortened_is_compared_whole_in_the_end(quantization: str, settings: Any) -> None:
    settings.QDRANT_QUANTIZATION = quantization
    with qdrant_stub(settings, forwarding(settings.QDRANT_URL)) as stub:
        put()
        vectors.candidates(unit(0), {7: 1.0}, [1], 5)
        vectors.nearest(unit(0), [1], 5, without=uuid4())
        asked = {c.path.rpartition("/points")[2]: c.json for c in stub.calls}
    by_meaning, *by_words = asked["/query/batch"]["searches"]
    expected = {"quantization": {"rescore": True, "oversampling": 2.0}}
    for query in (by_meaning, asked["/query"]):
        params = without_nulls(query.get("params"))
        if quantization == "none":
            assert params is None
        else:
            params["quantization"].pop("ignore", None)
            assert params == expected
    assert all(query.get("params") is None for query in by_words), "words are not shortened"


def test_the_scores_of_a_shortened_index_are_cosines(settings: Any, tmp_path: Path) -> None:
    """Qdrant's engine, with an index that it really builds: as it is asked by default, scores are
    those of the shortened vectors.
    """
    settings.QDRANT_QUANTIZATION = "scalar"
    body = without_nulls(
        {
            "vectors": {"dense": {"size": DIMENSIONS, "distance": "Cosine"}},
            "quantization_config": layout.of_collection(DIMENSIONS)[
                "quantization_config"
            ].model_dump(mode="json"),
        }
    )
    asked = requests.shard_config(body)
    shard = edge.EdgeShard.create(
        str(tmp_path / "shard"),
        edge.EdgeConfig(
            vectors=asked.vectors,
            quantization_config=asked.quantization_config,
            optimizers=edge.EdgeOptimizersConfig(indexing_threshold=1),
        ),
    )
    chance = random.Random(7)
    stored = [direction(chance) for _ in range(300)]
    points = [edge.Point(number, {"dense": each}, {}) for number, each in enumerate(stored)]
    shard.update(edge.UpdateOperation.upsert_points(points))
    assert shard.optimize()
    query = direction(chance)

    def error(params: edge.SearchParams) -> float:
        nearest = edge.Query.Nearest(query, using="dense")
        hits = shard.query(edge.QueryRequest(query=nearest, limit=10, params=params, prefetches=[]))
        assert len(hits) == 10
        return max(abs(hit.score - cosine(query, stored[int(str(hit.id))])) for hit in hits)

    search = layout.of_search()
    assert search
    assert search.quantization
    ours = edge.QuantizationSearchParams(
        rescore=search.quantization.rescore, oversampling=search.quantization.oversampling
    )
    assert error(edge.SearchParams()) > 1e-4
    assert error(edge.SearchParams(quantization=ours)) < 1e-5
    shard.close()


def cosine(one: list[float], other: list[float]) -> float:
    """Of vectors of length 1."""
    return sum(a * b for a, b in zip(one, other, strict=True))


def direction(chance: random.Random) -> list[float]:
    numbers = [chance.gauss(0, 1) for _ in range(DIMENSIONS)]
    length = math.hypot(*numbers)
    return [number / length for number in numbers]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"QDRANT_SHARDS": "0"}, '"QDRANT_SHARDS" invalid'),
        ({"QDRANT_SHARDS": "many"}, '"QDRANT_SHARDS" invalid'),
        ({"QDRANT_REPLICAS": "-1"}, '"QDRANT_REPLICAS" invalid'),
        ({"QDRANT_QUANTIZATION": "int8"}, "Must be one of: none, scalar, binary"),
        ({"QDRANT_ON_DISK": "perhaps"}, '"QDRANT_ON_DISK" invalid'),
        (
            {"QDRANT_REPLICAS": "2", "QDRANT_WRITE_CONSISTENCY": "3"},
            '"QDRANT_WRITE_CONSISTENCY" invalid: 3 copies must take each write, and there are 2 of '
            r"them \(QDRANT_REPLICAS\)",
        ),
        ({"QDRANT_WRITE_CONSISTENCY": "2"}, "2 copies must take each write, and there are 1 of"),
    ],
)
def test_what_cannot_be_stops_the_start_with_a_sentence(
    given: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(EnvError, match=sentence):
        runpy.run_path(str(SETTINGS))


def test_as_many_copies_as_there_are_may_be_asked_to_take_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in CLUSTER.items():
        monkeypatch.setenv(name, str(value))
    ours = runpy.run_path(str(SETTINGS))
    assert {name: ours[name] for name in CLUSTER} == CLUSTER
