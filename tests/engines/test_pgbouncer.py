"""Web, heartbeat and relay through a real PgBouncer, set up by deploy/postgres/pgbouncer.ini."""

import configparser
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError, connection, connections
from django.test import Client

from deploy.local.postgres import SQL
from deploy.local.process import REPOSITORY
from deploy.local.servers import free_ports
from documents.connections import release, unpooled
from documents.models import Document, OutboxMessage
from documents.models.querysets import WORKER_LOCK
from processing import relay
from tests.conftest import process

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH')}:/usr/sbin")
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        not PROGRAM and not os.environ.get("CI"),
        reason="there is no pgbouncer on this machine (Debian: apt-get install pgbouncer)",
    ),
]
WORKER = 4711
# A worker's heartbeat alone, in a process that can be killed.
HEARTBEAT = f"""
import threading, django
django.setup()
from processing import heartbeat
heartbeat.WORKER = {WORKER}
heartbeat.run(threading.Event())
"""


class PgBouncer:
    """One between the test's database and the application's roles; `start` after a `kill`."""

    def __init__(self, home: Path, database: dict[str, Any]) -> None:
        [self.port] = free_ports(1)
        self.url = (
            f"postgres://{database['USER']}:{database['PASSWORD']}@127.0.0.1:{self.port}"
            f"/{database['NAME']}"
        )
        users = home / "userlist.txt"
        users.write_text(f'"{database["USER"]}" "{database["PASSWORD"]}"\n')
        settings = configparser.ConfigParser(interpolation=None)
        settings.read(SQL / "pgbouncer.ini")
        settings["databases"] = {database["NAME"]: f"host=127.0.0.1 port={database['PORT']}"}
        settings["pgbouncer"].update(
            listen_port=str(self.port), auth_file=str(users), unix_socket_dir=""
        )
        self._settings = home / "pgbouncer.ini"
        with self._settings.open("w") as file:
            settings.write(file)
        self._root = os.geteuid() == 0  # as whom PgBouncer refuses to run
        for path in (home, *home.iterdir()) if self._root else ():
            shutil.chown(path, "nobody")
        self.start()

    def start(self) -> None:
        assert PROGRAM, "CI installs pgbouncer"
        self._process = subprocess.Popen(
            [PROGRAM, "--quiet", str(self._settings)],
            user="nobody" if self._root else None,
            stderr=subprocess.DEVNULL,
        )

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def pgbouncer(transactional_db: None) -> Iterator[PgBouncer]:
    """All connections of this process go by way of it."""
    database = connections["default"].settings_dict
    direct = database["PORT"]
    with tempfile.TemporaryDirectory(prefix="lumikb-pgbouncer-") as home:
        bouncer = PgBouncer(Path(home), database)
        _go_by(bouncer.port)
        try:
            eventually(bouncer.listens, seconds=20)
            yield bouncer
        finally:
            _go_by(direct)
            bouncer.kill()


def _go_by(port: int) -> None:
    connections["default"].close()
    connections["default"].close_pool()
    connections["default"].settings_dict["PORT"] = port


def eventually(condition: Callable[[], object], seconds: float = 10) -> None:
    """Of a server that is not there yet, or not any more, too."""
    deadline = time.monotonic() + seconds
    while not _true(condition):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def _true(condition: Callable[[], object]) -> bool:
    try:
        return bool(condition())
    except OperationalError:
        return False


def ask(sql: str, *parameters: Any, of: Any = connection) -> Any:
    with of.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchone()[0]


def backend(of: Any) -> int:
    return int(ask("SELECT pg_backend_pid()", of=of))


@contextmanager
def running_relay() -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=relay.run, args=[stop])
    thread.start()
    try:
        yield
    finally:
        stop.set()
        OutboxMessage.ring()
        thread.join(15)
        assert not thread.is_alive()


def test_an_upload_becomes_ready_and_is_found(
    pgbouncer: PgBouncer, page: Client, knowledge_base: Any
) -> None:
    assert connection.settings_dict["PORT"] == pgbouncer.port
    file = SimpleUploadedFile("herons.md", b"# Herons\n\nThe heron nests in April.\n")
    response = page.post(f"/api/v1/knowledge-bases/{knowledge_base.slug}/documents", {"file": file})
    assert response.status_code == 201, response.content
    assert process(Document.objects.get()).status == "ready"
    assert "nests in April" in page.get("/search/", {"q": "heron"}, follow=True).content.decode()


def test_a_relay_is_woken_by_a_notification(
    pgbouncer: PgBouncer,
    make_document: Callable[..., Document],
    broker: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay, "POLL_SECONDS", 60)
    listening = "SELECT count(*) FROM pg_stat_activity WHERE query ILIKE 'listen%%'"
    with running_relay():
        eventually(lambda: ask(listening))
        time.sleep(0.1)
        make_document()
        eventually(lambda: not OutboxMessage.objects.exists(), seconds=10)


def test_a_worker_that_is_killed_is_known_to_be_dead_at_once(pgbouncer: PgBouncer) -> None:
    """Its advisory lock goes with its session, which PgBouncer ends as it was its own."""
    locks = "SELECT count(*) FROM pg_locks WHERE classid = %s AND objid = %s"
    worker = subprocess.Popen(
        [sys.executable, "-c", HEARTBEAT],
        env=os.environ | {"DATABASE_URL": pgbouncer.url},
        cwd=REPOSITORY,
    )
    try:
        eventually(lambda: ask(locks, WORKER_LOCK, WORKER) == 1, seconds=60)
    finally:
        worker.kill()
        worker.wait()
    eventually(lambda: ask(locks, WORKER_LOCK, WORKER) == 0, seconds=5)


def test_a_session_leaves_nothing_to_the_next_one(pgbouncer: PgBouncer) -> None:
    first = unpooled(statement_timeout=3)
    ask("SELECT pg_advisory_lock(1, 2) IS NULL", of=first)
    assert ask("SHOW statement_timeout", of=first) == "3s"
    server = backend(first)
    first.close()

    def the_same_server() -> bool:
        second = unpooled()
        try:
            if backend(second) != server:
                return False
            assert ask("SHOW statement_timeout", of=second) == "30s"  # the role's
            assert ask("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'", of=second) == 0
            return True
        finally:
            second.close()

    eventually(the_same_server)


def test_a_pgbouncer_that_is_killed_and_comes_back_is_used_again(
    pgbouncer: PgBouncer, page: Client
) -> None:
    assert page.get("/").status_code == 200
    release()  # to the pool, as at the end of a request
    pgbouncer.kill()
    pgbouncer.start()
    eventually(pgbouncer.listens)
    began = time.monotonic()
    assert page.get("/").status_code == 200
    assert time.monotonic() - began < 15
