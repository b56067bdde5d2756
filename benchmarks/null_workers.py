"""Real worker processes that parse nothing and embed nothing, for benchmarks/workers.py.

    python -m benchmarks.null_workers COUNT FOLDER ARGUMENTS...

All that a worker imports is imported once; each is forked from that, with ARGUMENTS for Dramatiq's
command line. One that ends is started again after `RESTART_SECONDS`, as systemd does. Left out, to
fit so many into a small machine: the parser's processes (a text is taken as it is) and LiteLLM
(vectors are made up, after the `EMBEDDING_SECONDS` that a service would take).

In FOLDER is what they did, also those that were killed: in `statements` a line for each, after
the document that it was for; in `waits` the seconds that each connection was waited for.
"""

import os
import random
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import django
import dramatiq
from django.conf import settings
from django.db.backends.signals import connection_created
from dramatiq import cli
from psycopg_pool import ConnectionPool

RESTART_SECONDS = 2.0
EMBEDDING_SECONDS = 1.0


def main() -> None:
    count, folder = int(sys.argv[1]), Path(sys.argv[2])
    sys.argv = ["dramatiq", *sys.argv[3:]]
    django.setup()
    leave_out()
    note(folder)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    alive, due = {fork() for _ in range(count)}, deque[float]()
    while not stopped.wait(0.05):
        while ended := os.waitpid(-1, os.WNOHANG)[0]:
            alive.remove(ended)
            due.append(time.monotonic() + RESTART_SECONDS)
        while due and time.monotonic() > due[0]:
            due.popleft()
            alive.add(fork())
    for pid in alive:
        os.kill(pid, signal.SIGTERM)
    for pid in alive:
        os.waitpid(pid, 0)


def fork() -> int:
    """A worker, whose number is that of its processes' group: so it can be killed whole."""
    if pid := os.fork():
        return pid
    from processing import heartbeat

    os.setpgid(0, 0)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    # What a process makes up as it imports them.
    heartbeat.WORKER, heartbeat.BEGAN = os.getpid(), time.time()
    dramatiq.get_broker().broker_id = str(uuid4())
    random.seed()
    os._exit(cli.main() or 0)


def leave_out() -> None:
    from processing import actors, parsing  # noqa: F401 (imported before the fork)
    from processing.index import gateway

    def pieces(path: Path, *_: Any, **__: Any) -> Iterator[parsing.Piece]:
        text = path.read_text()
        yield parsing.Piece(text, (parsing.Section(0, len(text), None, ""),), (), 0, "")

    def embedding(_: str, texts: Sequence[str]) -> Sequence[Any]:
        time.sleep(EMBEDDING_SECONDS)
        size = range(settings.EMBEDDING_DIMENSIONS)
        return [
            {"index": n, "embedding": [random.gauss() for _ in size]} for n in range(len(texts))
        ]

    parsing.pieces = pieces  # type: ignore[assignment]
    gateway.embedding = embedding
    gateway.warm_up = lambda: None


def note(folder: Path) -> None:
    """Write down what is done from here on; a line is written whole, by so many processes."""
    from processing.middleware import document_in_work

    statements, waits = (
        os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for name in ("statements", "waits")
    )
    getconn = ConnectionPool.getconn

    def counted(execute: Any, sql: str, *arguments: Any) -> Any:
        os.write(statements, f"{document_in_work()} {' '.join(sql.split())}\n".encode())
        return execute(sql, *arguments)

    def count(connection: Any, **_: Any) -> None:
        if counted not in connection.execute_wrappers:
            connection.execute_wrappers.append(counted)

    def timed(*arguments: Any, **options: Any) -> Any:
        began = time.monotonic()
        connection = getconn(*arguments, **options)
        os.write(waits, f"{time.monotonic() - began:.6f}\n".encode())
        return connection

    connection_created.connect(count, weak=False)
    ConnectionPool.getconn = timed  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
