"""Passages put into a better order by a model that reads each together with the query."""

import math
from collections.abc import Sequence

from processing.errors import Misconfigured, RetryableError, ServiceUnavailable

from . import gateway

OURS_TO_MEND = {400, 401, 403, 404, 422}  # a wrong key, address or model


def best_first(query: str, passages: Sequence[str]) -> list[int]:
    """The places of the passages, the best first, as `RERANK_MODEL` has them; those that it leaves
    out come last, as they were.

    One attempt of at most `RERANK_TIMEOUT` seconds. Raises ServiceUnavailable, Misconfigured,
    RetryableError when the answer is nonsense.
    """
    try:
        results = gateway.rerank(query, passages)
    except Exception as error:
        status = gateway.status_of(error)
        if status is None:
            raise
        kind = Misconfigured if status in OURS_TO_MEND else ServiceUnavailable
        raise kind("reranking", gateway.reason_of(error, status)) from error
    return _places(results, len(passages))


def _places(results: Sequence[dict[str, float]], count: int) -> list[int]:
    try:
        scores = {int(each["index"]): float(each["relevance_score"]) for each in results}
    except (KeyError, TypeError, ValueError) as error:
        raise _nonsense() from error
    known = scores.keys() <= set(range(count)) and len(scores) == len(results)
    if not known or not all(map(math.isfinite, scores.values())):
        raise _nonsense()
    return sorted(range(count), key=lambda place: (-scores.get(place, -math.inf), place))


def _nonsense() -> RetryableError:
    return RetryableError("bad_reranking", "The reranking service's answer was not understood.")
