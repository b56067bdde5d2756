"""Servers that misbehave on order, and a way to point the application at them.

For what our own engines cannot be asked to do: answer 429, hang, or send vectors that are wrong.
"""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from lumikb.storage import FileStorage
from processing.index import vectors

DIMENSIONS = 384


@dataclass
class Call:
    """One request as it came."""

    method: str
    path: str
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reply:
    """An answer; a body that is not bytes goes out as JSON (with NaN, where it has one).

    With `drip`, a byte in so many seconds goes out, for at most ten bytes; then the stub hangs up.
    """

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    drip: float = 0


Answer = Callable[[Call], Reply | None]


class Stub:
    """An HTTP server for one test; `answer` may return None, and the caller waits in vain."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.calls: list[Call] = []
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True).start()

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(stub) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                call = Call(self.command, self.path, body, dict(self.headers))
                stub.calls.append(call)
                reply = stub.answer(call)
                if reply is None:
                    stub.closing.wait(30)
                    return
                data = reply.body if isinstance(reply.body, bytes) else _as_json(reply.body)
                self.send_response(reply.status)
                headers = {"Content-Type": "application/json", "Content-Length": str(len(data))}
                for name, value in (headers | reply.headers).items():
                    self.send_header(name, value)
                self.end_headers()
                if not reply.drip:
                    self.wfile.write(data)
                for byte in data[:10] if reply.drip else b"":
                    self.wfile.write(bytes([byte]))
                    stub.closing.wait(reply.drip)

            do_POST = do_PUT = do_DELETE = do_GET

            def log_message(self, *args: Any) -> None:
                pass

        return Handler


@contextmanager
def stubbed(answer: Answer) -> Iterator[Stub]:
    stub = Stub(answer)
    try:
        yield stub
    finally:
        stub.close()


@contextmanager
def embedding_stub(settings: Any, answer: Answer) -> Iterator[Stub]:
    """The embedding service answers as told."""
    usual = settings.EMBEDDING_API_BASE
    with stubbed(answer) as stub:
        settings.EMBEDDING_API_BASE = f"{stub.url}/v1"
        yield stub
    settings.EMBEDDING_API_BASE = usual


@contextmanager
def qdrant_stub(settings: Any, answer: Answer) -> Iterator[Stub]:
    """Qdrant answers as told."""
    with stubbed(answer) as stub, qdrant_at(settings, stub.url):
        yield stub


@contextmanager
def qdrant_at(settings: Any, url: str) -> Iterator[None]:
    """Qdrant is at another address for a while."""
    usual = settings.QDRANT_URL
    settings.QDRANT_URL = url
    vectors._client.cache_clear()
    try:
        yield
    finally:
        settings.QDRANT_URL = usual
        vectors._client.cache_clear()


def refused_url() -> str:
    """Where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def failing(status: int, **headers: str) -> Answer:
    """Always this status; `Retry_After="7"` is a header."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {"status": {"error": "no"}, "error": {"message": "no", "type": "server_error"}}
    return lambda call: Reply(body, status, named)


def refusing(word: str, status: int = 400) -> Answer:
    """An embedding service that accepts all texts but those with this word."""

    def answer(call: Call) -> Reply:
        if any(word in text for text in call.json["input"]):
            return failing(status)(call) or Reply()
        return good_embeddings(call)

    return answer


def hanging(call: Call) -> None:
    """Never answer."""


def forwarding(url: str, before: Callable[[Call], None] = lambda call: None) -> Answer:
    """The real server's answers; `before` sees each request first."""

    def answer(call: Call) -> Reply:
        before(call)
        reply = httpx.request(
            call.method, url + call.path, content=call.body, headers=call.headers, trust_env=False
        )
        return Reply(reply.content, reply.status_code)

    return answer


def embedding_reply(items: list[tuple[int, list[float]]]) -> Reply:
    """An OpenAI-compatible answer of (index, vector)."""
    data = [{"object": "embedding", "index": index, "embedding": v} for index, v in items]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return Reply({"object": "list", "model": "stub", "data": data, "usage": usage})


def unit(axis: int) -> list[float]:
    """A vector of length 1 along an axis: easily told from others."""
    return [float(number == axis) for number in range(DIMENSIONS)]


def good_embeddings(call: Call) -> Reply:
    return embedding_reply([(n, unit(n % DIMENSIONS)) for n, _ in enumerate(call.json["input"])])


class WatchedStorage(FileStorage):
    """Calls `watch` before every access, and before every block that is read."""

    watch: Callable[[str], None] = staticmethod(lambda operation: None)

    def _open(self, *args: Any, **kwargs: Any) -> Any:
        self.watch("open")
        file = super()._open(*args, **kwargs)
        file.file = _WatchedFile(file.file, self.watch)
        return file

    def _save(self, *args: Any, **kwargs: Any) -> Any:
        self.watch("save")
        return super()._save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> None:
        self.watch("delete")
        super().delete(*args, **kwargs)

    def exists(self, *args: Any, **kwargs: Any) -> bool:
        self.watch("exists")
        return super().exists(*args, **kwargs)

    def listdir(self, *args: Any, **kwargs: Any) -> Any:
        self.watch("listdir")
        return super().listdir(*args, **kwargs)

    def scan(self, after: str = "") -> Any:
        for each in super().scan(after):
            self.watch("scan")
            yield each


class _WatchedFile:
    def __init__(self, file: Any, watch: Callable[[str], None]) -> None:
        self._file = file
        self._watch = watch

    def read(self, *size: int) -> bytes:
        self._watch("read")
        return self._file.read(*size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _as_json(body: Any) -> bytes:
    return json.dumps(body).encode()
