"""Qdrant's filters, of any depth, from REST's JSON to the objects of qdrant_edge.

What they do not know they refuse with `ValueError`: a filter must never be half understood.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import qdrant_edge as edge

_MATCHES = {
    "value": edge.MatchValue,
    "any": edge.MatchAny,
    "except": edge.MatchExcept,
    "text": edge.MatchText,
    "text_any": edge.MatchTextAny,
    "phrase": edge.MatchPhrase,
}


def optional_filter(body: dict[str, Any] | None) -> edge.Filter | None:
    """The filter of a request that may have none."""
    return None if body is None else condition_filter(body)


def condition_filter(body: dict[str, Any]) -> edge.Filter:
    """A filter of any depth: must, should, must_not and min_should."""
    only(body, "must", "should", "must_not", "min_should")
    kinds: dict[str, Any] = {
        kind: [_condition(item) for item in listed(body[kind])]
        for kind in ("must", "should", "must_not")
        if body.get(kind) is not None
    }
    if at_least := body.get("min_should"):
        conditions = [_condition(item) for item in at_least["conditions"]]
        kinds["min_should"] = edge.MinShould(conditions, at_least["min_count"])
    return edge.Filter(**kinds)


def point_id(value: Any) -> int | str:
    """A point's id: an unsigned integer, or a UUID in any of its spellings."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{value!r} is not a point id: an unsigned integer or a UUID")
    return value if isinstance(value, int) else str(UUID(value))


def only(body: dict[str, Any], *known: str) -> None:
    """Refuses what this server would otherwise ignore in silence."""
    if unknown := set(present(body)) - set(known):
        raise ValueError(f"the local server does not know {', '.join(sorted(unknown))}")


def present(body: dict[str, Any]) -> dict[str, Any]:
    """The body without its nulls, which say the same as absence."""
    return {key: value for key, value in body.items() if value is not None}


def listed(value: Any) -> list[Any]:
    """A list as it is, a single thing as a list of one: REST takes both."""
    return value if isinstance(value, list) else [value]


def _condition(body: dict[str, Any]) -> Any:
    body = present(body)
    match sorted(body):
        case ["key", "match"]:
            ((kind, value),) = present(body["match"]).items()
            return edge.FieldCondition(body["key"], match=_MATCHES[kind](value))
        case ["key", "range"]:
            bounds = body["range"]
            is_date = any(isinstance(bound, str) for bound in bounds.values())
            span = (edge.RangeDateTime if is_date else edge.RangeFloat)(**bounds)
            return edge.FieldCondition(body["key"], range=span)
        case ["has_id"]:
            return edge.HasIdCondition({point_id(value) for value in body["has_id"]})
        case ["is_empty"]:
            return edge.IsEmptyCondition(body["is_empty"]["key"])
        case ["is_null"]:
            return edge.IsNullCondition(body["is_null"]["key"])
    return condition_filter(body)  # which refuses what is not a filter either
