"""Whose text the local embedding server takes next."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from threading import Barrier, BrokenBarrierError

import pytest

from deploy.local import turns
from deploy.local.turns import Turns

SOON = 20  # seconds in which a busy machine gets round to everything


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def meets(barrier: Barrier, turn: AbstractContextManager[None], seconds: float) -> bool:
    """Whether somebody else has a turn at the same time."""
    with turn:
        try:
            barrier.wait(seconds)
        except BrokenBarrierError:
            return False
        return True


def test_texts_of_batches_take_turns_and_queries_do_not_wait_for_each_other(
    pool: ThreadPoolExecutor,
) -> None:
    each = Turns()
    together = Barrier(2)
    queries = [pool.submit(meets, together, each.query(), SOON) for _ in range(2)]
    assert all(query.result(SOON) for query in queries)
    apart = Barrier(2)
    passages = [pool.submit(meets, apart, each.passage(), 0.2) for _ in range(2)]
    assert not any(passage.result(SOON) for passage in passages)


def test_a_query_begins_beside_a_passage_and_is_over_before_the_next_one_begins(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "PATIENCE", SOON)
    each = Turns()
    order: list[str] = []

    def passage() -> None:
        with each.passage():
            order.append("passage")

    with each.passage(), each.query():
        next_one = pool.submit(passage)
        order.append("query")
    next_one.result(SOON)
    with each.query():
        next_one = pool.submit(passage)
        assert not wait([next_one], 0.1).done
        order.append("query")
    next_one.result(SOON)
    assert order == ["query", "passage"] * 2


def test_a_storm_of_queries_does_not_stop_the_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE", 0.01)
    each = Turns()
    with each.query(), each.passage():
        pass  # it has waited for so long


def test_a_query_that_failed_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE", SOON)
    each = Turns()
    with pytest.raises(ValueError, match="x"), each.query():
        raise ValueError("x")
    with each.passage():
        pass
    assert each._queries == 0
