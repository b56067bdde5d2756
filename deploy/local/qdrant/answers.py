"""The objects of qdrant_edge to Qdrant's REST JSON."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import qdrant_edge as edge


def collection_json(info: edge.ShardInfo, config: dict[str, Any], is_green: bool) -> dict[str, Any]:
    """`GET /collections/{c}`. `config`: the engine's own edge_config.json, almost REST's."""
    vectors = config.get("vectors") or {}
    return {
        "status": "green" if is_green else "yellow",
        "optimizer_status": "ok",
        "points_count": info.points_count,
        "indexed_vectors_count": info.indexed_vectors_count,
        "segments_count": info.segments_count,
        "config": {
            "params": {
                "vectors": vectors.get("", vectors),
                "sparse_vectors": {
                    name: _sparse_json(params)
                    for name, params in (config.get("sparse_vectors") or {}).items()
                },
            },
            "quantization_config": config.get("quantization_config"),
            # Of a collection of an earlier version, until it is made anew: m = 0 says "no graph".
            "hnsw_config": config.get("hnsw_config")
            or {"m": 0, "ef_construct": 100, "full_scan_threshold": 10_000},
            "optimizer_config": {
                "default_segment_number": 0,
                "indexing_threshold": config["optimizers"]["indexing_threshold"],
                "flush_interval_sec": 5,
            },
        },
        "payload_schema": {key: _index_json(index) for key, index in info.payload_schema.items()},
    }


def record_json(record: Any) -> dict[str, Any]:
    """A point that was found: a Record, or a ScoredPoint with its version and score."""
    answer = {"id": id_json(record.id), "payload": record.payload}
    if record.vector is not None:
        answer["vector"] = _vector_json(record.vector)
    if isinstance(record, edge.ScoredPoint):
        answer |= {"version": record.version, "score": record.score}
    return answer


def hits(response: edge.FacetResponse) -> list[dict[str, Any]]:
    """The values of a facet, each with the number of its points."""
    return [{"value": hit.value, "count": hit.count} for hit in response.hits]


def id_json(value: Any) -> int | str | None:
    """A point's id as JSON has it; None stays None."""
    return str(value) if isinstance(value, UUID) else value


def _sparse_json(params: dict[str, Any]) -> dict[str, Any]:
    on_disk = params.get("on_disk")
    index = {} if on_disk is None else {"index": {"on_disk": on_disk}}
    return {key: value for key, value in params.items() if key != "on_disk"} | index


def _index_json(info: edge.PayloadIndexInfo) -> dict[str, Any]:
    kind = str(info.data_type).rpartition(".")[2].lower()
    params = {"type": kind}
    if tenant := getattr(info.params, "is_tenant", None):
        params["is_tenant"] = tenant
    return {"data_type": kind, "params": params, "points": info.points}


def _vector_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _vector_json(vector) for name, vector in value.items()}
    if isinstance(value, edge.SparseVector):
        return {"indices": list(value.indices), "values": list(value.values)}
    return value
