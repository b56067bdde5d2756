"""The worker's side of the fork server: started when the first document needs it, replaced when it
is gone, and ended with the worker.
"""

import json
import logging
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

logger = logging.getLogger(__name__)

COMMAND = ("-m", "processing.parsing.server")
# To answer a request; the first one includes the start (0.7 s on a quiet machine).
ANSWER_SECONDS = 60
# How often the caller's check is asked, and how long an exception that Dramatiq raises into the
# thread can wait: those arrive only between two bytecodes.
SLICE_SECONDS = 0.1
BLOCK_BYTES = 2**20  # of an answer, at once

_ROOT = Path(__file__).resolve().parents[2]


def unfiltered() -> str:
    """Why the children run without the filter of system calls on this system; empty when they do
    not. Tried in a process of its own (0.1 s).
    """
    try:
        done = subprocess.run(
            [sys.executable, "-S", "-P", "-m", "processing.parsing.seccomp"],
            env=_environment(),
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            timeout=ANSWER_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"its test did not end within {ANSWER_SECONDS} s"
    return done.stdout or (f"its test failed: {done.stderr}" if done.returncode else "")


class ServerLost(Exception):
    """The fork server ended, or did not answer, before the child did: another try will help."""


class OutOfTime(Exception):
    """The child did not end in time."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a child ended: its exit status (negative: a signal), the most memory it had, in KiB."""

    status: int
    memory_kib: int


class ForkServer:
    """One process for all threads of this one. Nothing is started before `start` is called."""

    def __init__(self, command: tuple[str, ...] = COMMAND) -> None:
        # -S: the packages are found by PYTHONPATH. -P: never from the current directory.
        self._command = [sys.executable, "-S", "-P", *command]
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    @contextmanager
    def start(
        self, request: dict[str, Any], files: Sequence[IO[bytes]], check: Callable[[], None]
    ) -> Iterator["Child"]:
        """Have one child do what the request says, within the block. What is left of it is killed
        behind that.

        `check` is called every SLICE_SECONDS. Raises ServerLost, or what `check` raised.
        """
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with control:
            control.settimeout(SLICE_SECONDS)
            with theirs:
                process = self._send(json.dumps(request).encode(), [*files, theirs])
            if _receive(control, ANSWER_SECONDS, check) is None:
                self._discard(process)  # it is stuck, for all documents
                raise ServerLost
            yield Child(control, check)

    def _forget(self) -> None:
        """As it begins, and in a forked copy of the worker: the server is the original's."""
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None

    def _send(
        self, message: bytes, files: Sequence[IO[bytes] | socket.socket]
    ) -> "subprocess.Popen[bytes]":
        """Hand the request to a server that lives; one that ended meanwhile is replaced."""
        descriptors = [file.fileno() for file in files]
        with self._lock:
            for _ in range(2):
                if (
                    self._process is None
                    or self._requests is None
                    or self._process.poll() is not None
                ):
                    self._process, self._requests = self._launch()
                try:
                    socket.send_fds(self._requests, [message], descriptors)
                    return self._process
                except OSError as error:  # it ended just now, or takes nothing any more
                    logger.warning("a new fork server: %s", error)
                    self._process.kill()
                    self._process = None
        raise ServerLost

    def _discard(self, process: "subprocess.Popen[bytes]") -> None:
        with self._lock:
            process.kill()
            if self._process is process:
                self._process = None

    def _launch(self) -> "tuple[subprocess.Popen[bytes], socket.socket]":
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(ANSWER_SECONDS)
        started: Future[subprocess.Popen[bytes]] = Future()
        threading.Thread(
            target=self._look_after, args=(theirs, started), name="fork server", daemon=True
        ).start()
        return started.result(), ours

    def _look_after(self, end: socket.socket, started: "Future[subprocess.Popen[bytes]]") -> None:
        """Start it in a thread that lives as long as it does: the kernel kills it when the thread
        that started it ends.
        """
        try:
            with end:
                process = subprocess.Popen(
                    self._command,
                    stdin=end.fileno(),
                    stdout=subprocess.DEVNULL,
                    cwd="/",
                    env=_environment(),
                    start_new_session=True,
                )
        except OSError as error:
            started.set_exception(error)
            return
        started.set_result(process)
        status = process.wait()
        logger.warning("the fork server ended with status %s", status)


class Child:
    """One that runs. `timeout`s are seconds of waiting for it, all together."""

    def __init__(self, control: socket.socket, check: Callable[[], None]) -> None:
        self._control = control
        self._check = check
        self._waited = 0.0

    def lines(self, answer: int, timeout: float, most: int) -> Iterator[bytes]:
        """What it writes to the pipe with this end of ours, until it closes its own; a line of at
        most so many bytes. Raises ValueError, OutOfTime, and what `check` raises.
        """
        begun: list[bytes] = []
        size = 0
        while block := self._read(answer, timeout):
            *whole, rest = block.split(b"\n")
            for end in whole:
                yield b"".join([*begun, end])
                begun, size = [], 0
            begun.append(rest)
            size += len(rest)
            if size > most:
                raise ValueError(f"a line of more than {most} bytes")
        if size:
            yield b"".join(begun)

    def wait(self, timeout: float) -> Ending:
        """How it ended. Raises ServerLost, OutOfTime, and what `check` raises."""
        ending = _receive(self._control, max(timeout - self._waited, SLICE_SECONDS), self._check)
        if ending is None:
            raise OutOfTime
        return Ending(**ending)

    def _read(self, answer: int, timeout: float) -> bytes:
        while self._waited <= timeout:
            self._check()
            began = time.monotonic()
            ready, _, _ = select.select([answer], [], [], SLICE_SECONDS)
            self._waited += time.monotonic() - began
            if ready:
                return os.read(answer, BLOCK_BYTES)
        raise OutOfTime


def _receive(
    control: socket.socket, timeout: float, check: Callable[[], None]
) -> dict[str, int] | None:
    """The server's next message, None when it does not come in time. Raises ServerLost."""
    deadline = time.monotonic() + timeout
    while time.monotonic() <= deadline:
        with suppress(TimeoutError):
            if message := control.recv(4096):
                answer: dict[str, int] = json.loads(message)
                return answer
            raise ServerLost
        check()
    return None


_OCR = ("OCR", "OCR_LANGUAGES", "OCR_TESSDATA")


def _environment() -> dict[str, str]:
    """What the server needs to start; none of our secrets."""
    search_path = [str(_ROOT), *(entry for entry in sys.path if os.path.isabs(entry))]
    environment = {
        "PYTHONPATH": os.pathsep.join(search_path),
        "PYTHONUTF8": "1",
        "LC_ALL": "C.UTF-8",
        # Memory in pages of 2 MB, where the kernel has them for who asks: of the 200 MB that the
        # server has, a fork need not note 50,000 (8 ms a document in place of 15).
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    }
    for name in ("LD_LIBRARY_PATH", "PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE", *_OCR):
        if name in os.environ:
            environment[name] = os.environ[name]
    return environment
