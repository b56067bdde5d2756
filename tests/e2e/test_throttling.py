"""An embedding service that answers 429 while many documents wait."""

import re
import time
from collections import Counter
from collections.abc import Callable
from itertools import accumulate, chain, repeat, takewhile

import pytest

from tests.e2e.lab import PATIENCE, Lab
from tests.e2e.product import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(2 * PATIENCE)]

THREADS = 4  # of each worker: so many documents may be under way when an outage begins
BAR = 1.2  # calls per worker per backoff
SAID = r"Waiting: the embedding service is not available \(HTTP 429\)\. Next try at \d\d:\d\d UTC\."


def test_documents_wait_out_a_throttled_embedding_service_at_no_cost(
    lab: Callable[..., Lab], full: bool
) -> None:
    seconds, count = (300, 500) if full else (20, 30)
    ward = lab(WORKERS="2")
    service, workers = ward.embedding, len(ward.workers())
    ward.undisturbed(ward.text(1))

    service.throttled, began = True, time.monotonic()
    documents = [ward.upload(ward.text(1)) for _ in range(count)]
    time.sleep(max(0, began + seconds - 5 - time.monotonic()))
    explained = [ward.product.document(each)["explain"] for each in documents[:: count // 10]]
    time.sleep(max(0, began + seconds - time.monotonic()))
    waiting = ward.stores.sql(
        "SELECT status, attempts FROM documents_document WHERE id = ANY(%s)", documents
    )
    service.throttled = False
    drained = wait_for(lambda: len(ready(ward, documents)) == count, PATIENCE, "all to be READY")

    calls = [at - began for at in service.refused]
    tries = backoffs(seconds)
    held = [ward.stores.held(document) for document in documents]
    kinds = Counter(chain.from_iterable(each.kinds() for each in held))
    print(
        f"\n{count} documents, 429 for {seconds} s, {workers} workers: {len(calls)} calls, "
        f"{len(calls) / workers / tries:.2f} per worker per backoff ({tries}), "
        f"at {[round(at, 1) for at in calls]} s; all READY {drained:.0f} s after the service was "
        f"back; {dict(kinds)}"
    )
    assert {row["status"] for row in waiting} <= {"pending", "processing"}
    assert [row for row in waiting if row["attempts"] > (row["status"] == "processing")] == []
    assert len([text for text in explained if re.fullmatch(SAID, text)]) >= 9, explained
    assert {each.row["attempts"] for each in held} == {1}
    assert set(kinds) == {"registered", "claimed", "postponed", "succeeded"}
    assert kinds["claimed"] == kinds["postponed"] + count
    assert 0 < len(calls) <= workers * THREADS + tries
    if full:
        assert len(calls) <= BAR * workers * tries


def backoffs(seconds: float) -> int:
    """How many of 10, 20, 40, 60, 60 ... seconds begin in so many."""
    begin = accumulate(chain([0, 10, 20, 40], repeat(60)))
    return len(list(takewhile(lambda at: at < seconds, begin)))


def ready(ward: Lab, documents: list[str]) -> list[object]:
    return list(
        ward.stores.sql(
            "SELECT id FROM documents_document WHERE id = ANY(%s) AND status = 'ready'", documents
        )
    )
