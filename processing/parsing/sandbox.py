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
import threading
import time
from pathlib import Path

from processing.errors import PermanentError, RetryableError
from processing.parsing.formats import READERS
from processing.parsing.model import ParsedDocument, Section

logger = logging.getLogger(__name__)

COMMAND = ("-m", "processing.parsing.child")

MAX_ANSWER_BYTES = 256 * 1024**2  # draft.MAX_CHARS at up to four bytes each, and the sections
MAX_COMPLAINT_BYTES = 16 * 1024
# Dramatiq's TimeLimitExceeded reaches a thread only between two bytecodes: wait no longer in C.
SLICE_SECONDS = 0.1

_ROOT = Path(__file__).resolve().parents[2]


def parse(
    path: Path, content_type: str, *, timeout: float = 300.0, memory_bytes: int = 1024**3
) -> ParsedDocument:
    """Read a document in a child process of its own: at most `timeout` seconds (wall clock, and as
    much CPU time) and `memory_bytes` of address space.

    Raises PermanentError (`unsupported_type`, `encrypted`, `corrupt`, `no_text`, `too_large`) for
    what is the document's fault, RetryableError (`parser_timeout`, `parser_died`) when the child
    did not come to an end. When another exception interrupts this call, the child is killed.
    """
    if content_type not in READERS:
        raise PermanentError(
            "unsupported_type",
            "We cannot read files of this type; convert it to PDF and upload the result.",
        )
    limits = (math.ceil(timeout), memory_bytes, os.getpid())
    arguments = [str(Path(path).resolve()), content_type, *map(str, limits)]
    run = _Run(arguments, timeout)
    thread = threading.Thread(target=run.supervise, name="parser", daemon=True)
    try:
        thread.start()
        while thread.is_alive():
            thread.join(SLICE_SECONDS)
    finally:
        run.cancelled.set()
    if run.complaints:
        text = run.complaints.decode("utf-8", "replace").strip()
        logger.warning("Parsing %s (%s): %s", path, content_type, text)
    if run.error:
        raise run.error
    return _document(run.status, run.output)


class _Run:
    """One child, from its start to its end, looked after by a thread that nobody interrupts.

    Dramatiq raises its time limit into the thread that asked for the document, at any bytecode:
    also between the fork and the line that remembers the child.
    """

    def __init__(self, arguments: list[str], timeout: float) -> None:
        # -S: the packages are found by PYTHONPATH. -P: never from the current directory.
        self._command = [sys.executable, "-S", "-P", *COMMAND, *arguments]
        self._deadline = time.monotonic() + timeout
        self.cancelled = threading.Event()
        self.output = bytearray()
        self.complaints = bytearray()  # the end of what it wrote to its error output
        self.status = 0
        self.error: Exception | None = None

    def supervise(self) -> None:
        try:
            with subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
                env=_environment(),
                start_new_session=True,
            ) as process:
                try:
                    self._collect(process)
                finally:
                    # The whole group, before the leader is reaped: until then its id cannot belong
                    # to anybody else. After a normal end this changes nothing: the pipes close
                    # when the exit status is decided.
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    self.status = process.wait()
        except Exception as error:
            self.error = error

    def _collect(self, process: "subprocess.Popen[bytes]") -> None:
        """Read both pipes until they close, or until it is enough."""
        with selectors.DefaultSelector() as selector:
            for pipe, kept in ((process.stdout, self.output), (process.stderr, self.complaints)):
                if pipe is not None:
                    selector.register(pipe, selectors.EVENT_READ, kept)
            while selector.get_map() and not self.cancelled.is_set():
                if time.monotonic() > self._deadline:
                    raise _timeout()
                for key, _ in selector.select(SLICE_SECONDS):
                    data = os.read(key.fd, 1024**2)
                    key.data.extend(data)
                    if not data:
                        selector.unregister(key.fileobj)
                del self.complaints[:-MAX_COMPLAINT_BYTES]
                if len(self.output) > MAX_ANSWER_BYTES:
                    raise PermanentError(
                        "too_large",
                        "This document has too much text; split it and upload the parts.",
                    )


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


def _document(status: int, output: bytearray) -> ParsedDocument:
    if status == -signal.SIGXCPU:
        raise _timeout()
    try:
        if status != 0:
            raise ValueError(f"exit status {status}")
        answer = json.loads(output)
        if "error" in answer:
            raise PermanentError(*answer["error"])
        sections = tuple(Section(*section) for section in answer["sections"])
        return ParsedDocument(answer["text"], sections)
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
