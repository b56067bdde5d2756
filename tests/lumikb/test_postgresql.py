"""Our PostgreSQL backend: deadlines, the pool after a restart, and the roles' limits."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any, NoReturn
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from django.db import (
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    connection,
    connections,
    transaction,
)

from documents.connections import unpooled
from lumikb.postgresql import base
from processing import middleware
from tests.local.conftest import eventually

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "ops"])

END_OTHERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE usename = current_user AND pid <> pg_backend_pid()
"""


@pytest.fixture(autouse=True)
def _pool_of_its_own() -> Iterator[None]:
    close_pool()
    yield
    close_pool()


def close_pool() -> None:
    for each in connections.all():
        each.close()
        each.close_pool()


@pytest.fixture
def proxied() -> Iterator[tuple[Any, threading.Event]]:
    """A connection of the web's through a relay that passes bytes on until the event is set."""
    url = urlsplit(os.environ["DATABASE_URL"])
    silent = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server, ExitStack() as stack:

        def relay() -> None:
            client, _ = server.accept()
            upstream = socket.create_connection((url.hostname, url.port))
            for each in (stack.enter_context(client), stack.enter_context(upstream)):
                each.settimeout(30)
            pairs = ((client, upstream), (upstream, client))
            for pair in pairs:
                threading.Thread(target=pass_on, args=(*pair, silent), daemon=True).start()

        threading.Thread(target=relay, daemon=True).start()
        own = unpooled(host="127.0.0.1", port=server.getsockname()[1], statement_timeout=1)
        own.settings_dict = own.settings_dict | {"HOST": "", "PORT": ""}
        yield own, silent
        own.close()


def pass_on(source: socket.socket, target: socket.socket, silent: threading.Event) -> None:
    with suppress(OSError):  # the test is over
        while data := source.recv(65536):
            if silent.is_set():
                return
            target.sendall(data)


def test_a_server_that_falls_silent_is_given_up_soon_after_it_should_have_answered(
    proxied: tuple[Any, threading.Event],
) -> None:
    own, silent = proxied
    own.ensure_connection()
    silent.set()
    began = time.monotonic()
    with (
        pytest.raises(OperationalError, match="has not answered within 2 seconds"),
        own.cursor() as c,
    ):
        c.execute("SELECT 1")
    assert 2 <= time.monotonic() - began < 8
    assert own.connection.closed  # its answer could be taken for the next one's


def test_a_statement_that_takes_too_long_is_ended_by_the_server() -> None:
    own = unpooled(statement_timeout=0.5)
    began = time.monotonic()
    with pytest.raises(OperationalError, match="statement timeout"):
        own.cursor().execute("SELECT pg_sleep(10)")
    assert time.monotonic() - began < 5
    own.close()


@pytest.mark.parametrize(
    ("alias", "milliseconds"), [("default", 30_000), ("ops", 2_000)], ids=["the web's", "ops"]
)
def test_a_statement_may_take_as_long_as_its_role_or_its_options_say(
    alias: str, milliseconds: int
) -> None:
    own = connections.create_connection(alias)
    own.ensure_connection()
    assert own.connection.deadline == milliseconds / 1000 + base.GRACE
    with own.cursor() as cursor:
        cursor.execute("SELECT setting::int FROM pg_settings WHERE name = 'statement_timeout'")
        assert cursor.fetchone() == (milliseconds,)
    own.close()


@pytest.mark.parametrize("document", ["", str(uuid4())], ids=["", "a document in work"])
def test_after_a_restart_the_first_caller_of_a_full_pool_does_not_wait_for_the_others(
    document: str,
) -> None:
    """Nor when the pool's warnings would be kept with a document that is worked on."""
    middleware._document_id.set(document)
    pool = full_pool()
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as outside:
        assert len(outside.execute(END_OTHERS).fetchall()) >= pool.max_size
        while outside.execute(END_OTHERS).fetchall():  # they end a moment after they are told to
            time.sleep(0.01)
    began = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    assert time.monotonic() - began < 2


def full_pool() -> Any:
    """The pool, when it has opened all the connections that it may."""
    connection.ensure_connection()
    pool = connection.pool  # type: ignore[attr-defined]
    with ExitStack() as taken:
        for _ in range(pool.max_size - 1):
            taken.enter_context(pool.connection())
    connection.close()
    assert pool.get_stats()["pool_size"] == pool.max_size == 10
    return pool


def test_a_transaction_that_loses_its_connection_waits_for_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection.ensure_connection()
    taken: list[None] = []
    take = base.ConnectionPool.getconn

    def counted(pool: Any, *args: Any, **kwargs: Any) -> Any:
        taken.append(None)
        return take(pool, *args, **kwargs)

    monkeypatch.setattr(base.ConnectionPool, "getconn", counted)
    with pytest.raises(OperationalError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    assert not taken
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    assert len(taken) == 1
    connection.close()
    stats = connection.pool.get_stats  # type: ignore[attr-defined]
    # The lost one went back, too.
    eventually(lambda: stats()["pool_size"] == stats()["pool_available"])


def test_who_finds_the_pool_empty_for_too_long_is_told_so() -> None:
    connection.ensure_connection()
    pool = connection.pool  # type: ignore[attr-defined]
    connection.close()
    with ExitStack() as taken:
        for _ in range(pool.max_size):
            taken.enter_context(pool.connection())
        pool.timeout = 0.2
        with pytest.raises(OperationalError, match="couldn't get a connection"):
            connection.ensure_connection()


@pytest.mark.parametrize("statement", ["DROP TABLE documents_chunk", "CREATE TABLE mine (id int)"])
def test_the_web_cannot_change_a_table(statement: str) -> None:
    with pytest.raises(ProgrammingError, match=r"must be owner|permission denied"):
        connection.cursor().execute(statement)


def test_one_role_at_its_limit_keeps_no_other_out() -> None:
    with ExitStack() as taken:
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            connect_for_ever(os.environ["DATABASE_URL"], taken)
        for variable in ("WORKER_DATABASE_URL", "OPS_DATABASE_URL"):
            psycopg.connect(os.environ[variable]).close()


def connect_for_ever(url: str, opened: ExitStack) -> NoReturn:
    while True:
        opened.enter_context(psycopg.connect(url))


@pytest.fixture
def strangers(superuser: psycopg.Connection) -> Iterator[None]:
    """Somebody else on this server, who has taken every connection that it gives to anybody."""
    superuser.execute("CREATE ROLE stranger LOGIN PASSWORD 'strange'")
    url = urlsplit(os.environ["DATABASE_URL"])
    url = url._replace(netloc=f"stranger:strange@{url.hostname}:{url.port}")
    with ExitStack() as taken:
        with pytest.raises(psycopg.OperationalError, match="remaining connection slots"):
            connect_for_ever(url.geturl(), taken)
        yield
    superuser.execute("DROP ROLE stranger")


@pytest.mark.usefixtures("strangers")
def test_ops_gets_in_when_strangers_have_taken_all_that_is_open_to_them() -> None:
    for variable in ("DATABASE_URL", "WORKER_DATABASE_URL"):
        with pytest.raises(psycopg.OperationalError, match="remaining connection slots"):
            psycopg.connect(os.environ[variable])
    with ExitStack() as ours:
        for _ in range(25):
            ours.enter_context(psycopg.connect(os.environ["OPS_DATABASE_URL"]))


def test_an_older_postgresql_is_refused_with_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    own = unpooled()
    own.ensure_connection()
    monkeypatch.setattr(type(own), "pg_version", 150018)
    with pytest.raises(NotSupportedError, match="PostgreSQL 16 or later is required"):
        own.check_database_version_supported()
    own.close()
