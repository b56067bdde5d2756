"""Qdrant's REST JSON to the objects of qdrant_edge.

qdrant_edge has no constructor from JSON, so this is that translation, for what LumiKB asks of
Qdrant and its near neighbours. What it does not know it refuses with `ValueError`.
It is also the guard of the engine, which logs an update before it looks at it: a sparse vector of
unequal lengths panics, and its shard can never be loaded again (qdrant_edge 0.9.0, tried).
"""

from __future__ import annotations

from typing import Any

import qdrant_edge as edge

from deploy.local.qdrant.filters import (
    condition_filter,
    listed,
    only,
    optional_filter,
    point_id,
    present,
)

DEFAULT_LIMIT = 10
DEFAULT_RRF_K = 2
"""Both as in Qdrant's REST API (https://api.qdrant.tech/api-reference/search/query-points)."""

MAX_FLOAT32 = 3.4e38

GRAPH = edge.HnswIndexConfig(m=16, ef_construct=128, full_scan_threshold=10_000)
GRAPH_FROM = 200_000
"""KB of vectors: 133,000 of 384 numbers. 100,000 take 140 s of processor time for their graph, and
search them in 3 ms instead of 25, on a machine with much else to do. Below, that is not worth it.
"""

EF = 256
"""Candidates that a search of the graph looks at: more of them find more, and take longer."""

_STAGE = ("prefetch", "query", "using", "filter", "params", "score_threshold", "limit")


def shard_config(body: dict[str, Any]) -> edge.EdgeConfig:
    """`PUT /collections/{c}`, or what the engine wrote down of a collection. Shards, copies and
    most index tuning are taken and ignored. What is shortened or on the disk, the engine does."""
    vectors = body.get("vectors") or {}
    optimizers = body.get("optimizers_config") or body.get("optimizers") or {}
    if "size" in vectors:
        vectors = {"": vectors}
    return edge.EdgeConfig(
        vectors={
            name: edge.EdgeVectorParams(
                size=_positive(params["size"], "size"),
                distance=getattr(edge.Distance, params["distance"]),
                on_disk=params.get("on_disk"),
            )
            for name, params in vectors.items()
        },
        sparse_vectors={
            name: edge.EdgeSparseVectorParams(
                modifier=_modifier((params or {}).get("modifier")),
                # As REST has it, or as the engine wrote it down.
                on_disk=((params or {}).get("index") or params or {}).get("on_disk"),
            )
            for name, params in (body.get("sparse_vectors") or {}).items()
        },
        quantization_config=_quantization(body.get("quantization_config")),
        hnsw_config=GRAPH,
        optimizers=edge.EdgeOptimizersConfig(
            indexing_threshold=optimizers.get("indexing_threshold") or GRAPH_FROM
        ),
    )


def index_operation(body: dict[str, Any]) -> edge.UpdateOperation:
    """`PUT /collections/{c}/index`, with a schema like "keyword" or {"type": "keyword", ...}."""
    schema = body["field_schema"]
    if isinstance(schema, str):
        kind = getattr(edge.PayloadSchemaType, schema.capitalize())
    else:
        options = present(schema)
        kind = getattr(edge, f"{options.pop('type').capitalize()}IndexParams")(**options)
    return edge.UpdateOperation.create_field_index(body["field_name"], kind)


def upsert_operation(body: dict[str, Any], config: dict[str, Any]) -> edge.UpdateOperation:
    """`PUT /collections/{c}/points`, its vectors checked against the collection's `config`: the
    engine applies a batch, in no particular order, up to its first bad point."""
    only(body, "points")
    points = []
    for item in body["points"]:
        vectors = item["vector"] if isinstance(item["vector"], dict) else {"": item["vector"]}
        vectors = {name: _fitting(name, _vector(vectors[name]), config) for name in vectors}
        points.append(edge.Point(point_id(item["id"]), vectors, item.get("payload") or {}))
    return edge.UpdateOperation.upsert_points(points)


def delete_operation(body: dict[str, Any]) -> edge.UpdateOperation:
    """`POST /collections/{c}/points/delete`: by ids or by a filter, one of the two."""
    match present(body):
        case {"points": list(ids), **rest} if not rest:
            return edge.UpdateOperation.delete_points([point_id(value) for value in ids])
        case {"filter": dict(conditions), **rest} if not rest:
            return edge.UpdateOperation.delete_points_by_filter(condition_filter(conditions))
    raise ValueError("expected either points or filter")


def payload_operation(body: dict[str, Any]) -> edge.UpdateOperation:
    """`POST /collections/{c}/points/payload`: keys that are set, by ids or by a filter."""
    match present(body):
        case {"payload": dict(payload), "points": list(ids), **rest} if not rest:
            return edge.UpdateOperation.set_payload([point_id(value) for value in ids], payload)
        case {"payload": dict(payload), "filter": dict(conditions), **rest} if not rest:
            selected = condition_filter(conditions)
            return edge.UpdateOperation.set_payload_by_filter(selected, payload)
    raise ValueError("expected payload and either points or filter")


def retrieval(body: dict[str, Any]) -> tuple[list[edge.PointId], tuple[Any, Any]]:
    """`POST /collections/{c}/points`: the ids, and whether with payload and with vectors."""
    only(body, "ids", "with_payload", "with_vector")
    payload = _selector(body.get("with_payload"), default=True)
    ids: list[edge.PointId] = [point_id(value) for value in body["ids"]]
    return ids, (payload, body.get("with_vector") or False)


def count_request(body: dict[str, Any]) -> edge.CountRequest:
    """`POST /collections/{c}/points/count`."""
    only(body, "filter", "exact")
    return edge.CountRequest(
        exact=body.get("exact") is not False, filter=optional_filter(body.get("filter"))
    )


def facet_request(body: dict[str, Any]) -> edge.FacetRequest:
    """`POST /collections/{c}/facet`: how many points each value of a payload key has."""
    only(body, "key", "limit", "filter", "exact")
    return edge.FacetRequest(
        body["key"],
        limit=_positive(_default(body.get("limit"), DEFAULT_LIMIT), "limit"),
        exact=bool(body.get("exact")),
        filter=optional_filter(body.get("filter")),
    )


def query_request(body: dict[str, Any]) -> edge.QueryRequest:
    """`POST /collections/{c}/points/query`."""
    only(body, "offset", "with_payload", "with_vector", *_STAGE)
    return edge.QueryRequest(
        offset=_count(body.get("offset") or 0, "offset"),
        with_payload=_selector(body.get("with_payload"), default=False),
        with_vector=body.get("with_vector") or False,
        **_stage(body),
    )


def batch_request(body: dict[str, Any]) -> list[edge.QueryRequest]:
    """`POST /collections/{c}/points/query/batch`: several queries, answered together."""
    only(body, "searches")
    return [query_request(present(search)) for search in body["searches"]]


def scroll_request(body: dict[str, Any]) -> edge.ScrollRequest:
    """`POST /collections/{c}/points/scroll`."""
    only(body, "offset", "limit", "filter", "with_payload", "with_vector")
    offset = body.get("offset")
    return edge.ScrollRequest(
        offset=None if offset is None else point_id(offset),
        limit=_positive(_default(body.get("limit"), DEFAULT_LIMIT), "limit"),
        filter=optional_filter(body.get("filter")),
        with_payload=_selector(body.get("with_payload"), default=True),
        with_vector=body.get("with_vector") or False,
    )


def _selector(value: Any, *, default: bool) -> Any:
    """`with_payload`: true, false, a list of keys, or {"include": [...]} or {"exclude": [...]}."""
    if not isinstance(value, dict):
        return default if value is None else value
    ((kind, keys),) = value.items()
    return getattr(edge.PayloadSelector, kind.capitalize())(keys)


def _stage(body: dict[str, Any]) -> dict[str, Any]:
    return {
        "prefetches": [_prefetch(item) for item in listed(body.get("prefetch") or [])],
        "query": _scoring(body.get("query"), body.get("using") or None),
        "filter": optional_filter(body.get("filter")),
        "params": _search_params(body.get("params") or {}),
        "score_threshold": body.get("score_threshold"),
        "limit": _positive(_default(body.get("limit"), DEFAULT_LIMIT), "limit"),
    }


def _prefetch(body: dict[str, Any]) -> edge.Prefetch:
    only(body, *_STAGE)
    return edge.Prefetch(**_stage(body))


def _scoring(query: Any, using: str | None) -> Any:
    match query:
        case None:
            return None
        case {"fusion": "rrf"}:
            return edge.Fusion.Rrf(k=DEFAULT_RRF_K)
        case {"fusion": "dbsf"}:
            return edge.Fusion.Dbsf()
        case {"rrf": dict(options)}:
            only(options, "k", "weights")
            k = _positive(_default(options.get("k"), DEFAULT_RRF_K), "k")
            return edge.Fusion.Rrf(k=k, weights=options.get("weights"))
        case {"nearest": vector}:
            only(query, "nearest")
            return edge.Query.Nearest(_vector(vector), using=using)
        case list() | {"indices": _}:
            return edge.Query.Nearest(_vector(query), using=using)
    raise ValueError("the local server knows the queries nearest, fusion and rrf")


def _search_params(params: dict[str, Any]) -> edge.SearchParams:
    corpus = (params.get("idf") or {}).get("corpus")
    idf = edge.IdfParams(corpus=condition_filter(corpus)) if corpus else None
    exact, ef = bool(params.get("exact")), params.get("hnsw_ef") or EF
    shortened = params.get("quantization")
    return edge.SearchParams(
        exact=exact,
        hnsw_ef=ef,
        quantization=edge.QuantizationSearchParams(**present(shortened)) if shortened else None,
        idf=idf,
    )


def _fitting(name: str, vector: Any, config: dict[str, Any]) -> Any:
    kind = "vectors" if isinstance(vector, list) else "sparse_vectors"
    expected = (config.get(kind) or {}).get(name)
    if expected is None:
        raise ValueError(f"Not existing vector name error: {name}")
    if kind == "vectors" and len(vector) != expected["size"]:
        size = expected["size"]
        raise ValueError(f"Vector dimension error: expected dim: {size}, got {len(vector)}")
    return vector


def _vector(value: Any) -> Any:
    if isinstance(value, list):
        return _finite(value)
    only(value, "indices", "values")
    indices, values = value["indices"], _finite(value["values"])
    if not isinstance(indices, list) or not len(indices) == len(values) == len(set(indices)):
        raise ValueError("a sparse vector needs as many values as indices, and each index once")
    return edge.SparseVector(indices, values)


def _finite(numbers: list[Any]) -> list[Any]:
    if numbers and not -MAX_FLOAT32 <= min(numbers) <= max(numbers) <= MAX_FLOAT32:
        raise ValueError("a vector's numbers must be finite and fit into 32 bits")
    return numbers


def _modifier(value: str | None) -> Any:
    return edge.Modifier.Idf if value == "idf" else None


def _quantization(body: dict[str, Any] | None) -> Any:
    if body is None:
        return None
    only(body, "scalar", "binary")
    if scalar := body.get("scalar"):
        options = present(scalar)
        kind = getattr(edge.ScalarType, options.pop("type").capitalize())
        return edge.ScalarQuantizationConfig(kind, **options)
    return edge.BinaryQuantizationConfig(**present(body["binary"]))


def _default(value: Any, default: int) -> Any:
    return default if value is None else value


def _positive(value: Any, name: str) -> int:
    if _count(value, name) < 1:
        raise ValueError(f"{name}: value {value} invalid, must be 1 or larger")
    return value


def _count(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name}: value {value!r} invalid, must be an unsigned integer")
    return value
