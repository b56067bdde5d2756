"""The outside of the sandbox: has the fork server start a child for one document, waits for its
answer, and never leaves it behind.
"""

import json
import logging
import math
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from formats import BY_MEDIA_TYPE
from processing.errors import PermanentError, RetryableError
from processing.parsing import seccomp
from processing.parsing.client import ForkServer, OutOfTime, ServerLost
from processing.parsing.model import ParsedDocument, Section, Unread
from processing.parsing.sentences import BROKE_OFF, TOO_MUCH_MEMORY, TOO_SLOW

logger = logging.getLogger(__name__)

# Of processor time, which a busy machine does not stretch. The slowest good documents that we know
# (5,000 pages, 2 million cells) take 15 s.
MAX_CPU_SECONDS = 45
MAX_COMPLAINT_BYTES = 16 * 1024

# Signals that a process gets for what it did itself. SIGKILL is another's: an operator, or the
# kernel when the machine runs out of memory.
_OWN_SIGNALS = {
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGSEGV,
    signal.SIGSYS,
    signal.SIGTRAP,
}

_fork_server = ForkServer()


def parse(
    path: Path,
    content_type: str,
    *,
    timeout: float = 300.0,
    memory_bytes: int = 1024**3,
    check: Callable[[], None] | None = None,
) -> ParsedDocument:
    """Read a document in a child process of its own: at most `timeout` seconds by the clock,
    MAX_CPU_SECONDS of the processor and `memory_bytes` of address space.

    `check` is called about every 0.1 s; when it raises, or another exception interrupts this
    call, the child is killed. Raises PermanentError (`unsupported_type`, `encrypted`, `corrupt`,
    `no_text`, `too_large`; `parser_timeout`, `parser_died` when the next try would end alike) and
    RetryableError (`parser_timeout`, `parser_died`) when it might not.
    """
    if content_type not in BY_MEDIA_TYPE:
        raise PermanentError(
            "unsupported_type",
            "We cannot read files of this type; convert it to PDF and upload the result.",
        )
    request = {
        "content_type": content_type,
        "cpu_seconds": min(math.ceil(timeout), MAX_CPU_SECONDS),
        "memory_bytes": memory_bytes,
    }
    began = time.monotonic()
    with _open(path) as document, _memory() as answer, _memory() as complaints:
        try:
            ending = _fork_server.run(request, (document, answer, complaints), timeout, check)
        except ServerLost as error:
            raise RetryableError("parser_died", BROKE_OFF, tries=2) from error
        except OutOfTime as error:
            raise RetryableError("parser_timeout", TOO_SLOW, tries=2) from error
        said = _tail(complaints)
        answer.seek(0)
        written = answer.read()
    logger.info(
        "read in %.2f s with at most %d MiB", time.monotonic() - began, ending.memory_kib // 1024
    )
    if ending.status < 0:
        said = f"{said}\nended by {signal.Signals(-ending.status).name}".strip()
    if said:
        # A library that tries what it may not, and goes on without, is no cause for a warning.
        tried = all(line.startswith(seccomp.REFUSED) for line in said.splitlines())
        level = logging.INFO if tried and ending.status == 0 else logging.WARNING
        logger.log(level, "Parsing %s (%s): %s", path, content_type, said)
    if -ending.status in _OWN_SIGNALS and ending.memory_kib * 1024 > memory_bytes / 2:
        # Libraries in C end the process when they get no more memory; the last step is a big one.
        raise PermanentError("too_large", TOO_MUCH_MEMORY)
    return _document(ending.status, written)


def _open(path: Path) -> IO[bytes]:
    try:
        return open(path, "rb")
    except OSError as error:  # no fault of the document
        raise RetryableError("parser_died", BROKE_OFF, tries=2) from error


def _memory() -> IO[bytes]:
    """A file that is nowhere."""
    return open(os.memfd_create("parsing"), "w+b")


def _tail(complaints: IO[bytes]) -> str:
    """The end of what the child wrote to its error output."""
    size = complaints.seek(0, os.SEEK_END)
    complaints.seek(max(0, size - MAX_COMPLAINT_BYTES))
    return complaints.read().decode("utf-8", "replace").strip()


def _document(status: int, answer: bytes) -> ParsedDocument:
    if status == -signal.SIGXCPU:
        raise PermanentError("parser_timeout", TOO_SLOW)
    if -status in _OWN_SIGNALS:
        raise PermanentError("parser_died", BROKE_OFF)
    try:
        if status != 0:
            raise ValueError(f"exit status {status}")
        content: dict[str, Any] = json.loads(answer)
        if "error" in content:
            raise PermanentError(*content["error"])
        sections = tuple(Section(*section) for section in content["sections"])
        unread = tuple(Unread(*entry) for entry in content["unread"])
        return ParsedDocument(content["text"], sections, unread)
    except (ValueError, KeyError, TypeError) as error:
        raise RetryableError("parser_died", BROKE_OFF, tries=2) from error
