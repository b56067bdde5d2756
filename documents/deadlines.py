"""A deadline for a whole call to a service, however its client divides it.

All our clients have timeouts, but for one read, one connect, one try: a server that sends a byte a
second is never late for them, and a name with four addresses is tried four times. What LiteLLM,
qdrant-client, botocore and redis-py have in common is Python's socket: there `within` is kept, for
TLS too, and each client says "timed out" in its own way, as it would of one read.

libpq has sockets of its own; lumikb/postgresql/base.py is PostgreSQL's deadline.
"""

import functools
import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_give_up_at = ContextVar("give_up_at", default=math.inf)  # by the monotonic clock, of this thread

WAITING = {
    socket.socket: ("connect", "recv", "recv_into", "send", "sendall"),
    ssl.SSLSocket: ("do_handshake", "read", "send"),  # what its other methods call
}


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """All that this thread waits for on sockets in this block ends in time, with a TimeoutError.

    The clients make it one of theirs. Inside another such block the earlier end holds.
    """
    token = _give_up_at.set(min(_give_up_at.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _give_up_at.reset(token)


def seconds_left() -> float:
    """Until this thread's deadline; infinite when it has none, negative when it is over."""
    return _give_up_at.get() - time.monotonic()


def install() -> None:
    """Teach Python's sockets, once for a process."""
    for kind, names in WAITING.items():
        for name in names:
            setattr(kind, name, _limited(getattr(kind, name)))
    socket.getaddrinfo = _looked_up(socket.getaddrinfo)


def _limited(wait: Callable[..., Any]) -> Callable[..., Any]:
    """A socket's method that waits no longer than this thread may."""

    @functools.wraps(wait)
    def method(sock: socket.socket, *args: Any, **kwargs: Any) -> Any:
        left = seconds_left()
        usual = sock.gettimeout()
        if left == math.inf or usual == 0:  # 0: does not wait
            return wait(sock, *args, **kwargs)
        if left <= 0:
            raise TimeoutError("timed out")
        if usual is not None and usual <= left:
            return wait(sock, *args, **kwargs)
        sock.settimeout(left)
        try:
            return wait(sock, *args, **kwargs)
        finally:
            if sock.fileno() != -1:
                sock.settimeout(usual)

    return method


def _looked_up(look_up: Callable[..., Any]) -> Callable[..., Any]:
    """The resolver cannot be interrupted, and has its own idea of time: it is left behind."""

    @functools.wraps(look_up)
    def getaddrinfo(*args: Any, **kwargs: Any) -> Any:
        left = seconds_left()
        if left == math.inf:
            return look_up(*args, **kwargs)
        answer: Future[Any] = Future()

        def ask() -> None:
            try:
                answer.set_result(look_up(*args, **kwargs))
            except Exception as error:
                answer.set_exception(error)

        threading.Thread(target=ask, name="getaddrinfo", daemon=True).start()
        return answer.result(timeout=max(left, 0))

    return getaddrinfo
