"""The best passages in a better order, where the operator names a model for it."""

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from django.conf import settings

from documents.connections import release
from documents.deadlines import within
from processing.index import ProcessingError, reranking

from .passages import Passage

log = logging.getLogger(__name__)

DEPTH = 50  # passages: a model reads each of them with the query
REST = 10.0  # seconds for which a service that did not answer in time is not asked again

_rests_until: dict[tuple[str, str | None], float] = {}  # by its model and address; monotonic


def reranked(query: str, passages: Iterator[Passage]) -> Iterator[Passage]:
    """The first `DEPTH` as `RERANK_MODEL` orders them, the others after them. Without a model, or
    when it does not answer in time, all as they were.
    """
    if settings.RERANK_MODEL and query:
        yield from _in_better_order(query, list(islice(passages, DEPTH)))
    yield from passages


def _in_better_order(query: str, first: list[Passage]) -> list[Passage]:
    service = settings.RERANK_MODEL, settings.RERANK_API_BASE
    if len(first) < 2 or time.monotonic() < _rests_until.get(service, 0.0):
        return first
    release()
    try:
        with within(settings.REQUEST_TIMEOUT):
            order = reranking.best_first(query, [passage.said for passage in first])
    except ProcessingError as error:
        log.warning("the results are not reranked: %s", error)
        _rests_until[service] = time.monotonic() + REST
        return first
    # The scores are those of the places: each list of results falls.
    scores = [passage.score for passage in first]
    return [replace(first[n], score=score) for n, score in zip(order, scores, strict=True)]
