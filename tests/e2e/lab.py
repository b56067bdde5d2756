"""A whole product whose processes and services the tests hurt, and what is measured on it."""

import itertools
import json
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import redis

from benchmarks.client import percentile
from tests.e2e.product import Product, wait_for
from tests.e2e.stores import Held, Stores
from tests.failpoints import Directory
from tests.processing.stubs import Call, Reply, Stub, failing

PATIENCE = 300  # seconds for anything that must happen, on the busiest machine; the bars are apart
WORDS = "The heron number {} nests in April beside the old mill; the ferryman counts it twice. "


class EmbeddingService:
    """Stands before the product's own, from its first question on; answers 429 while it is
    `throttled`.
    """

    def __init__(self, port: Callable[[], int]) -> None:
        self._port = port  # of the product's own, which is there when the product asks
        self.throttled = False
        self.refused: list[float] = []  # when, in monotonic seconds
        self.stub = Stub(self._answer)
        self.stub._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a killed client hangs up
        self._real = httpx.Client(trust_env=False, timeout=120)

    def _answer(self, call: Call) -> Reply | None:
        if self.throttled:
            self.refused.append(time.monotonic())
            return failing(429)(call)
        url = f"http://127.0.0.1:{self._port()}{call.path}"
        reply = self._real.request(call.method, url, content=call.body, headers=call.headers)
        return Reply(reply.content, reply.status_code)


class Lab:
    """The running product, the actions at its failpoints, its stores and its embedding service."""

    def __init__(self, folder: Path, module: str = "deploy.local", **env: str) -> None:
        actions = folder / "failpoints"
        actions.mkdir()
        self.failpoints = Directory(actions)
        self.embedding = EmbeddingService(lambda: _port_of(self.processes()["embeddings"]))
        settings = {
            "DJANGO_SETTINGS_MODULE": "tests.e2e.settings",
            "EMBEDDING_STUB": f"{self.embedding.stub.url}/v1",
            "FAILPOINTS": str(actions),
        }
        self.product = Product(folder / "home", module, **settings | env)
        try:
            self.product.start()
        except BaseException:  # nobody else would stop it
            self.close()
            raise
        self.stores = Stores(self.product)
        self.slug = self.product.knowledge_base("lab")
        self._sentences = int(env.get("CHUNK_MAX_CHARS", 1000)) // 90  # so many fill a passage
        self._numbers = itertools.count(1)

    def close(self) -> None:
        assert self.product.stop() == 0
        self.embedding.stub.close()

    def text(self, passages: int) -> bytes:
        """Markdown that is cut into so many passages, each with words of its own."""
        numbers = range(self._sentences)
        sections = (
            f"## Section {n}\n\n" + "".join(WORDS.format(n * 100 + k) for k in numbers) + "\n\n"
            for n in range(passages)
        )
        return "".join(sections).encode()

    def upload(self, content: bytes, suffix: str = ".md") -> str:
        """Under a name that no other document has; returns the document's id."""
        return self.product.upload(self.slug, self.new_name(suffix), content)

    def new_name(self, suffix: str = ".md") -> str:
        return f"{next(self._numbers)}{suffix}"

    @contextmanager
    def without(self, kind: str) -> Iterator[None]:
        """Processes of that kind stand still: without the relay, no worker hears of an upload."""
        names = [name for name in self.processes() if name.startswith(kind)]
        for name in names:
            self.product.signal(name, signal.SIGSTOP)
        try:
            yield
        finally:
            for name in names:
                self.product.signal(name, signal.SIGCONT)

    def ready_at(self, documents: Iterable[str]) -> dict[str, float]:
        """When each was first seen READY, in seconds since 1970."""
        waiting, ready = list(documents), {}

        def all_ready() -> bool:
            for document in list(waiting):
                if self.product.document(document)["status"] == "ready":
                    ready[document] = time.time()
                    waiting.remove(document)
            return not waiting

        wait_for(
            all_ready, PATIENCE, lambda: str([self.product.document(each) for each in waiting])
        )
        return ready

    def undisturbed(self, content: bytes, suffix: str = ".md") -> Held:
        """What is stored of a file when nothing happens to it."""
        document = self.upload(content, suffix)
        self.product.wait_until_ready([document], PATIENCE)
        held = self.stores.held(document)
        assert held.row["attempts"] == 1
        return held

    def has_no_messages(self) -> bool:
        """Are none left for a worker to take, neither in the outbox nor in Redis?"""
        broker = redis.Redis.from_url(self.product.setting("REDIS_URL"))
        return not broker.llen("dramatiq:documents") and not self.stores.sql(
            "SELECT id FROM documents_outboxmessage WHERE due_at <= now()"
        )

    def processes(self) -> dict[str, int]:
        """The running main processes by name, the servers and the supervisor too."""
        found: dict[str, int] = json.loads((self.product.home / "pids.json").read_text())
        return found

    def workers(self) -> list[str]:
        return [name for name in self.processes() if name.startswith("worker")]

    def name_of(self, pid: int) -> str:
        """The program that this process belongs to."""
        names = [name for name in self.processes() if name != "supervisor"]
        return next(name for name in names if pid in self.product.pids(name))

    def log(self) -> str:
        """What all the processes have said so far."""
        return self.product.log.read_text(errors="replace")


def _port_of(pid: int) -> int:
    """The port that this server of ours was told to listen on."""
    arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return int(arguments[arguments.index("--port") + 1])


def lived(pid: int) -> float:
    """Seconds since this process was started."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    up = float(Path("/proc/uptime").read_text().split()[0])
    return up - ticks / os.sysconf("SC_CLK_TCK")


def figures(name: str, seconds: Sequence[float]) -> str:
    """One line: how many, and their p50, p99 and maximum in seconds."""
    p50, p99 = (percentile(list(seconds), share) for share in (50, 99))
    return f"{name}: n {len(seconds)}, p50 {p50:.1f} s, p99 {p99:.1f} s, max {max(seconds):.1f} s"
