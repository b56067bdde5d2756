"""The routes of Qdrant's REST API that this server answers, in Qdrant's envelope."""

from __future__ import annotations

import hmac
import itertools
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

import qdrant_edge as edge

from deploy.local.jsonserver import HttpError, Request
from deploy.local.qdrant import answers, requests
from deploy.local.qdrant.store import Store

API_VERSION = "1.20.0"
"""The qdrant-client whose requests this answers; the stock client compares it with its own."""

NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,200}")
"""Collection names: a subset of Qdrant's that is also a plain directory name."""

Result = TypeVar("Result")

_MISUNDERSTOOD = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)


def refusal(status: int, sentence: str) -> dict[str, Any]:
    """An error in Qdrant's envelope."""
    return {"status": {"error": sentence}, "time": 0.0}


class Api:
    """The routes, each one the translation of one engine call."""

    def __init__(self, store: Store, key: str) -> None:
        self._store = store
        self._key = key
        self._operation_ids = itertools.count()

    def answer(self, request: Request) -> Any:
        """The body for one request; `HttpError` 400, 401, 404, 409 or 500."""
        started = time.perf_counter()
        match request.method, request.path:
            case "GET", ():
                return {"title": "LumiKB's local server on qdrant_edge", "version": API_VERSION}
            case "GET", ("healthz" | "livez" | "readyz",):
                return "ok"
        self._check_key(request)
        match request.method, request.path:
            case "GET", ("collections",):
                result: Any = {"collections": [{"name": name} for name in self._store.names()]}
            case method, ("collections", name, *rest):
                if not NAME.fullmatch(name):
                    raise HttpError(400, f"Wrong input: collection names match {NAME.pattern}")
                result = self._collection(f"{method} {'/'.join(rest)}".strip(), name, request)
            case _:
                raise _no_route(request)
        return {"result": result, "status": "ok", "time": time.perf_counter() - started}

    def _check_key(self, request: Request) -> None:
        given = request.headers.get("api-key") or request.bearer()
        if self._key and not given:
            raise HttpError(401, "Must provide an API key or an Authorization bearer token")
        if self._key and not hmac.compare_digest(given.encode(), self._key.encode()):
            raise HttpError(401, "Invalid API key or JWT")

    def _collection(self, route: str, name: str, request: Request) -> Any:
        store, body = self._store, request.json()
        match route:
            case "GET":
                return self._info(name)
            case "GET exists":
                return {"exists": name in store.names()}
            case "PUT":
                store.create(name, _understood(requests.shard_config, body))
                return True
            case "DELETE":
                return store.delete(name)
            case "PUT index":
                return self._updated(name, _understood(requests.index_operation, body))
            case "PUT points":
                points = _understood(requests.upsert_operation, body, store.config(name))
                return self._updated(name, points, len(body["points"]))
            case "POST points/delete":
                return self._updated(name, _understood(requests.delete_operation, body))
            case "POST points/payload":
                return self._updated(name, _understood(requests.payload_operation, body))
            case "POST points":
                ids, options = _understood(requests.retrieval, body)
                found = store.read(name, lambda shard: shard.retrieve(ids, *options))
                return [answers.record_json(record) for record in found]
            case "POST points/count":
                count = _understood(requests.count_request, body)
                return {"count": store.read(name, lambda shard: shard.count(count))}
            case "POST facet":
                facet = _understood(requests.facet_request, body)
                return {"hits": store.read(name, lambda shard: answers.hits(shard.facet(facet)))}
            case "POST points/scroll":
                scroll = _understood(requests.scroll_request, body)
                found, following = store.read(name, lambda shard: shard.scroll(scroll))
                page = [answers.record_json(record) for record in found]
                return {"points": page, "next_page_offset": answers.id_json(following)}
            case "POST points/query":
                query = _understood(requests.query_request, body)
                hits = store.read(name, lambda shard: shard.query(query))
                return {"points": [answers.record_json(hit) for hit in hits]}
            case "POST points/query/batch":
                queries = _understood(requests.batch_request, body)
                found_each = store.read(name, lambda shard: [shard.query(q) for q in queries])
                return [
                    {"points": [answers.record_json(hit) for hit in hits]} for hits in found_each
                ]
        raise _no_route(request)

    def _updated(
        self, name: str, operation: edge.UpdateOperation, points: int = 0
    ) -> dict[str, Any]:
        self._store.update(name, operation, points)
        return {"operation_id": next(self._operation_ids), "status": "completed"}

    def _info(self, name: str) -> dict[str, Any]:
        info = self._store.read(name, lambda shard: shard.info())
        is_green = not self._store.is_rebuilding(name)
        return answers.collection_json(info, self._store.config(name), is_green)


def _understood(translate: Callable[..., Result], *arguments: Any) -> Result:
    try:
        return translate(*arguments)
    except _MISUNDERSTOOD as error:
        # The engine's own refusals go on for several lines about its Rust types.
        first_line = next(iter(str(error).splitlines()), "")
        kind = "missing " if isinstance(error, KeyError) else ""
        raise HttpError(400, f"Wrong input: {kind}{first_line}") from error


def _no_route(request: Request) -> HttpError:
    address = "/".join(request.path)
    return HttpError(404, f"the local server does not answer {request.method} /{address}")
