"""Many clients that upload at once, cheap enough to share the machine with what they load; and what
PostgreSQL says meanwhile of its sessions.
"""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import psycopg

BOUNDARY = "limit"
SAMPLE_SECONDS = 0.05

SESSIONS = """
    SELECT usename, application_name, state, backend_xid IS NOT NULL,
           extract(epoch FROM clock_timestamp() - xact_start)::float
    FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` 0: none came. Times are monotonic seconds."""

    status: int
    began: float
    ended: float
    body: bytes = b""

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    @property
    def document_id(self) -> str:
        return str(json.loads(self.body)["id"])


@dataclass(frozen=True)
class Target:
    """Where to upload, and in whose name."""

    port: int
    path: str
    token: str = ""

    async def upload(self, content: bytes, timeout: float = 120) -> Answer:
        """One file under a name of its own, on a connection of its own."""
        body = _multipart(f"{uuid4()}.md", content)
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Authorization: Bearer {self.token}\r\nContent-Length: {len(body)}\r\n"
            f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
        )
        began = time.monotonic()
        try:
            answer = await asyncio.wait_for(_exchange(self.port, head.encode() + body), timeout)
            status = int(answer.split(None, 2)[1])
        except (OSError, IndexError, TimeoutError):
            return Answer(0, began, time.monotonic())
        return Answer(status, began, time.monotonic(), answer.partition(b"\r\n\r\n")[2])


def once(target: Target, clients: int, content: bytes) -> list[Answer]:
    """So many clients upload one file each, all at the same time."""

    async def all_at_once() -> list[Answer]:
        return await asyncio.gather(*(target.upload(content) for _ in range(clients)))

    return asyncio.run(all_at_once())


def steadily(target: Target, clients: int, content: bytes, seconds: float) -> list[Answer]:
    """So many clients, each one file after the other; none begins one after that time.

    One that is refused waits for a moment, as a client with manners does.
    """
    end = time.monotonic() + seconds
    answers: list[Answer] = []

    async def client() -> None:
        while time.monotonic() < end:
            answer = await target.upload(content)
            answers.append(answer)
            if answer.status != 201:
                await asyncio.sleep(0.5)

    async def all_of_them() -> None:
        await asyncio.gather(*(client() for _ in range(clients)))

    asyncio.run(all_of_them())
    return answers


def in_bursts(
    target: Target, clients: int, content: bytes, every: float, stop: threading.Event
) -> list[Answer]:
    """So many clients one file each, all at the same time; again every so many seconds, whatever
    becomes of those before, until `stop` is set.
    """

    async def all_bursts() -> list[Answer]:
        uploads: list[asyncio.Task[Answer]] = []
        while not stop.is_set():
            uploads += [asyncio.create_task(target.upload(content)) for _ in range(clients)]
            await asyncio.sleep(every)
        return await asyncio.gather(*uploads)

    return asyncio.run(all_bursts())


@dataclass
class Sessions:
    """What was seen of PostgreSQL's sessions, by role."""

    most: Counter[str] = field(default_factory=Counter)
    oldest: Counter[str] = field(default_factory=Counter)  # transaction, in seconds
    idle_in_transaction: Counter[str] = field(default_factory=Counter)  # the longest, in seconds
    samples: int = 0

    def note(self, rows: list[tuple[Any, ...]]) -> None:
        self.samples += 1
        for role, count in Counter(row[0] for row in rows).items():
            self.most[role] = max(self.most[role], count)
        for role, _, state, _, age in rows:
            self.oldest[role] = max(self.oldest[role], age or 0)
            if str(state).startswith("idle in transaction"):
                self.idle_in_transaction[role] = max(self.idle_in_transaction[role], age or 0)


@contextmanager
def sessions(database: str) -> Iterator[Sessions]:
    """Watch them while the block runs, by a role that may see them all (lumikb_ops)."""
    seen, stop = Sessions(), threading.Event()

    def watch() -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            while not stop.wait(SAMPLE_SECONDS):
                seen.note(connection.execute(SESSIONS).fetchall())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def statuses(answers: list[Answer]) -> str:
    """How many of each."""
    counted = Counter(answer.status for answer in answers)
    return ", ".join(f"{count} x {status or 'none'}" for status, count in sorted(counted.items()))


async def _exchange(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await reader.read()
    finally:
        writer.close()


def _multipart(filename: str, content: bytes) -> bytes:
    header = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"'
    return b"%b\r\n\r\n%b\r\n--%b--\r\n" % (header.encode(), content, BOUNDARY.encode())
