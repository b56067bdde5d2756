"""The monitoring's fixtures: every process has just done its work, and Prometheus may ask."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from django.db import connection, connections
from django.db.models import F

from documents.models import Heartbeat
from lumikb import health
from processing import heartbeat, reconcile, relay
from tests.local.conftest import eventually
from tests.lumikb.monitoring import TOKEN


@pytest.fixture
def monitored(
    transactional_db: None, settings: Any, broker: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Relay, worker and reconciler were seen just now; /metrics knows TOKEN."""
    settings.METRICS_TOKEN = TOKEN
    monkeypatch.setattr(health, "DEADLINE", 20.0)  # on a busy machine too: what is well, answers
    all_work()
    assert set(Heartbeat.objects.values_list("kind", flat=True)) == set(Heartbeat.Kind.values)
    yield
    connections["ops"].close_pool()  # type: ignore[attr-defined] # the next test may cut it off


def all_work() -> None:
    """Each of them does its work once."""
    Heartbeat.objects.all().delete()
    with relaying():
        eventually(lambda: Heartbeat.objects.filter(kind="relay").exists())
    heartbeat.beat()
    reconcile.run()


@contextmanager
def relaying() -> Iterator[None]:
    """A relay runs, in a thread; it looks up more often than usual, also whether to stop."""
    stop = threading.Event()
    thread = threading.Thread(target=relay.run, args=[stop])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relay, "POLL_SECONDS", 0.05)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(10)
            assert not thread.is_alive()


def let_time_pass(kind: str, **time: float) -> None:
    """As if this kind of process had been seen last so long ago."""
    Heartbeat.objects.filter(kind=kind).update(seen_at=F("seen_at") - timedelta(**time))


@pytest.fixture
def full_pool(monitored: None) -> Iterator[Callable[[], None]]:
    """All connections of the web's pool are taken; the function gives them back."""
    connection.close()
    pool = connection.pool  # type: ignore[attr-defined]
    usual = pool.timeout
    taken = [pool.getconn() for _ in range(pool.max_size)]

    def give_back() -> None:
        while taken:
            pool.putconn(taken.pop())

    yield give_back
    give_back()
    pool.timeout = usual
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined] # grown; others cut its connections


@pytest.fixture
def ops_at() -> Callable[[str], Any]:
    """PostgreSQL is at another address for the ops role."""

    @contextmanager
    def at(url: str) -> Iterator[None]:
        ops: Any = connections["ops"]
        usual = {name: ops.settings_dict[name] for name in ("HOST", "PORT")}
        ops.close_pool()
        ops.settings_dict.update(HOST=urlsplit(url).hostname, PORT=urlsplit(url).port)
        try:
            yield
        finally:
            ops.close_pool()
            ops.settings_dict.update(usual)

    return at


@pytest.fixture
def redis_at(broker: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Redis is at another address."""

    @contextmanager
    def at(url: str) -> Iterator[None]:
        elsewhere = redis.ConnectionPool(port=urlsplit(url).port)
        with monkeypatch.context() as patch:
            patch.setattr(broker.client, "connection_pool", elsewhere)
            yield

    return at
