"""The HTTP plumbing that the local Qdrant and the local embedding server share.

For one machine: it listens on 127.0.0.1 only, speaks plain HTTP/1.1 and gives every connection a
thread. What an address means is decided by the one function that `serve` is given.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Thread
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

HOST = "127.0.0.1"
MAX_BODY_BYTES = 32 * 1024 * 1024
"""Qdrant's own default (`service.max_request_size_mb: 32`); the embedding server takes the same."""

log = logging.getLogger("deploy.local")


class HttpError(Exception):
    """An answer other than 200: an HTTP status code and one sentence for the caller."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """One request: its decoded path segments, lower-case headers, and body."""

    method: str
    path: tuple[str, ...]
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; `HttpError` 400 for anything else, also for NaN in it."""
        try:
            value = json.loads(self.body or b"{}", parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise HttpError(400, f"Format error in JSON body: {error}") from error
        if not isinstance(value, dict):
            raise HttpError(400, "Format error in JSON body: expected an object")
        return value

    def bearer(self) -> str:
        """The token of `Authorization: Bearer TOKEN`, or an empty string."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""


def serve(
    port: int,
    answer: Callable[[Request], Any],
    refusal: Callable[[int, str], Any],
    *,
    tick: Callable[[], None] = lambda: None,
    tick_seconds: float = 5.0,
) -> None:
    """Answers requests on 127.0.0.1:`port` until SIGTERM or SIGINT, then returns.

    `answer` runs in the connection's thread and returns the body of a 200: text is sent as it is,
    anything else as JSON. An `HttpError` it raises, or any other exception (500), is sent as
    `refusal(status, sentence)`. `tick` runs in the main thread every `tick_seconds`.
    A port that cannot be had ends the process with one sentence and exit code 1.
    """
    try:
        server = _Server((HOST, port), _handler(answer, refusal))
    except (OSError, OverflowError) as error:
        quit_saying(f"cannot listen on {HOST}:{port}: {reason(error)}")
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    Thread(target=server.serve_forever, daemon=True, name="accept").start()
    log.info("listening on http://%s:%s", HOST, port)
    with contextlib.suppress(SystemExit):  # raised by the signal, wherever the main thread then is
        while True:
            time.sleep(tick_seconds)
            tick()


def quit_saying(sentence: str) -> NoReturn:
    """Ends the process with exit code 1 and one sentence on stderr."""
    raise SystemExit(sentence)


def reason(error: BaseException) -> str:
    """The human part of an error: "Address already in use" without its errno."""
    return getattr(error, "strerror", None) or str(error)


def start_logging() -> None:
    """Logs to stderr at `LOG_LEVEL` (default INFO); each request is one line at DEBUG."""
    level = os.environ.get("LOG_LEVEL", "INFO").upper()
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(message)s")
    log.setLevel(level if level in logging.getLevelNamesMapping() else "INFO")


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def server_bind(self) -> None:
        # HTTPServer would look up the host's name here, which can wait seconds for a DNS server.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # a caller that hangs up is no event
            log.exception("a connection failed")


def _handler(
    answer: Callable[[Request], Any], refusal: Callable[[int, str], Any]
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version, sys_version = "LumiKB-local", ""
        timeout = 75  # seconds an idle keep-alive connection may hold its thread
        # A reply leaves in one write and without Nagle's algorithm: otherwise its second packet
        # waits up to 40 ms for the delayed acknowledgement of the first.
        wbufsize = -1
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            started = time.perf_counter()
            try:
                status, body = 200, answer(self._request())
            except HttpError as error:
                status, body = error.status, refusal(error.status, str(error))
            except (ConnectionError, TimeoutError):
                raise  # the caller hung up
            except Exception:
                log.exception("%s %s failed", self.command, self.path)
                status, body = 500, refusal(500, "internal error, see the server's log")
            is_text = isinstance(body, str)
            data = (body if is_text else json.dumps(body, separators=(",", ":"))).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if is_text else "application/json")
            self.send_header("Content-Length", str(len(data)))
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(data)
            took_ms = (time.perf_counter() - started) * 1000
            log.debug("%s %s %s %.1f ms", self.command, self.path, status, took_ms)

        do_POST = do_PUT = do_DELETE = do_GET

        def _request(self) -> Request:
            # A body left unread would be taken for the next request: hang up after refusing one.
            length = self.headers.get("Content-Length", "0")
            if not length.isdigit() or "Transfer-Encoding" in self.headers:
                self.close_connection = True
                raise HttpError(411, "send a Content-Length")
            if int(length) > MAX_BODY_BYTES:
                self.close_connection = True
                raise HttpError(413, f"the body is larger than {MAX_BODY_BYTES} bytes")
            segments = urlsplit(self.path).path.split("/")
            return Request(
                method=self.command,
                path=tuple(unquote(segment) for segment in segments if segment),
                headers={name.lower(): value for name, value in self.headers.items()},
                body=self.rfile.read(int(length)),
            )

        def log_message(self, format: str, *args: Any) -> None:
            log.debug(format, *args)

        def log_request(self, code: Any = "-", size: Any = "-") -> None:
            """Silent: do_GET writes the one line, with its duration."""

    return Handler


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _stop(signum: int, frame: Any) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise SystemExit(0)
