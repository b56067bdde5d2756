"""The outside of the sandbox: starts the child for one document, waits for its answer, and never
leaves it behind.
"""

import contextlib
import json
import logging
import math
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path

from processing.errors import PermanentError, RetryableError
from processing.parsing.formats import READERS
from processing.parsing.model import ParsedDocument, Section

logger = logging.getLogger(__name__)

COMMAND = ("-m", "processing.parsing.child")

MAX_ANSWER_BYTES = 256 * 1024**2  # draft.MAX_CHARS at up to four bytes each, and the sections
MAX_COMPLAINT_BYTES = 16 * 1024
# Dramatiq's TimeLimitExceeded reaches a thread only between two bytecodes: never wait longer than
# this in C.
SLICE_SECONDS = 0.1

_ROOT = Path(__file__).resolve().parents[2]


def parse(
    path: Path, content_type: str, *, timeout: float = 300.0, memory_bytes: int = 1024**3
) -> ParsedDocument:
    """Read a document in a child process of its own: at most `timeout` seconds (wall clock, and as
    much CPU time) and `memory_bytes` of address space.

    Raises PermanentError (`unsupported_type`, `encrypted`, `corrupt`, `no_text`, `too_large`) for
    what is the document's fault, RetryableError (`parser_timeout`, `parser_died`) when the child
    did not come to an end.
    """
    if content_type not in READERS:
        raise PermanentError(
            "unsupported_type",
            "We cannot read files of this type; convert it to PDF and upload the result.",
        )
    limits = (math.ceil(timeout), memory_bytes, os.getpid())
    arguments = [str(Path(path).resolve()), content_type, *map(str, limits)]
    with subprocess.Popen(
        # -S: the packages are found by PYTHONPATH. -P: never from the current directory.
        [sys.executable, "-S", "-P", *COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
        env=_environment(),
        start_new_session=True,
    ) as process:
        try:
            output, complaints = _collect(process, time.monotonic() + timeout)
        finally:
            # Also when Dramatiq interrupts us. The whole group, before the leader is reaped: until
            # then its id cannot belong to anybody else. After a normal end this changes nothing:
            # the pipes close when the exit status is decided.
            _kill_group(process.pid)
            process.wait()
    if complaints:
        logger.warning(
            "Parsing %s (%s): %s", path, content_type, complaints.decode("utf-8", "replace").strip()
        )
    return _document(process.returncode, output)


def _environment() -> dict[str, str]:
    """What the child needs to start; none of our secrets."""
    search_path = [str(_ROOT), *(entry for entry in sys.path if os.path.isabs(entry))]
    environment = {
        "PYTHONPATH": os.pathsep.join(search_path),
        "PYTHONUTF8": "1",
        "LC_ALL": "C.UTF-8",
    }
    for name in ("LD_LIBRARY_PATH", "PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE"):
        if name in os.environ:
            environment[name] = os.environ[name]
    return environment


def _collect(process: "subprocess.Popen[bytes]", deadline: float) -> tuple[bytearray, bytearray]:
    """What the child wrote to its output, and the end of what it wrote to its error output, until
    both are closed.
    """
    output, complaints = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        for pipe, received in ((process.stdout, output), (process.stderr, complaints)):
            if pipe is not None:
                selector.register(pipe, selectors.EVENT_READ, received)
        while selector.get_map():
            if time.monotonic() > deadline:
                raise _timeout()
            for key, _ in selector.select(SLICE_SECONDS):
                data = os.read(key.fd, 1024**2)
                key.data.extend(data)
                if not data:
                    selector.unregister(key.fileobj)
            if len(output) > MAX_ANSWER_BYTES:
                raise PermanentError(
                    "too_large",
                    "This document holds more text than we read; split it and upload the parts.",
                )
            del complaints[:-MAX_COMPLAINT_BYTES]
    return output, complaints


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _document(status: int, output: bytearray) -> ParsedDocument:
    if status == -signal.SIGXCPU:
        raise _timeout()
    try:
        if status != 0:
            raise ValueError(f"exit status {status}")
        answer = json.loads(output)
        if "error" in answer:
            raise PermanentError(*answer["error"])
        return ParsedDocument(
            answer["text"], tuple(Section(*section) for section in answer["sections"])
        )
    except (ValueError, KeyError, TypeError) as error:
        raise RetryableError(
            "parser_died",
            "Reading this document broke off; save it in another format and upload the result.",
        ) from error


def _timeout() -> RetryableError:
    return RetryableError(
        "parser_timeout",
        "Reading this document takes too long; split it and upload the parts.",
    )
