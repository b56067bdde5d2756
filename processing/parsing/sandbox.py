"""The outside of the sandbox: has the fork server start children for one document, one after the
other, takes what they have read, and never leaves one behind.
"""

import base64
import json
import logging
import math
import os
import signal
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from formats import BY_MEDIA_TYPE
from formats.unread import NOT_DRAWN, nothing_read
from processing.errors import PermanentError, RetryableError
from processing.parsing import seccomp
from processing.parsing.client import Ending, ForkServer, OutOfTime, ServerLost
from processing.parsing.model import (
    MAX_ANSWER_BYTES,
    USUAL,
    Drawn,
    Letter,
    Limits,
    ParsedDocument,
    Section,
)
from processing.parsing.sentences import (
    BROKE_OFF,
    TOO_LARGE_TO_DRAW,
    TOO_MUCH_MEMORY,
    TOO_MUCH_TEXT,
    TOO_SLOW,
    at,
)
from processing.parsing.unread import Passed, Piece, compact, merged

logger = logging.getLogger(__name__)

# Of processor time, which a busy machine does not stretch. A child that comes to a cut after half
# of it leaves the rest to another.
MAX_CPU_SECONDS = 45
MAX_COMPLAINT_BYTES = 16 * 1024
MAX_PAGE_BYTES = 32 * 1024**2  # of the answer with a page's picture
MAX_DEATHS = 3  # at one piece: then the next one would die there, too
MAX_PASSED_OVER = 5  # parts in a row that use up a child each

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
    **options: Any,
) -> ParsedDocument:
    """Read a whole document, however long; as `pieces`."""
    texts: list[str] = []
    sections: list[Section] = []
    passed: list[Passed] = []
    chars = 0
    for piece in pieces(path, content_type, **options):
        texts.append(piece.text)
        sections += (section.moved(chars) for section in piece.sections)
        passed += piece.passed
        chars += len(piece.text)
    return ParsedDocument("".join(texts), tuple(sections), merged(passed))


def pieces(
    path: Path,
    content_type: str,
    *,
    start: int = 1,
    chars: int = 0,
    passed: Iterable[Passed] = (),
    limits: Limits = USUAL,
    timeout: float = 300.0,
    memory_bytes: int = 1024**3,
    check: Callable[[], None] = lambda: None,
    moved: Callable[[str], None] = lambda place: None,
) -> Generator[Piece]:
    """Read a document piece by piece, from unit `start` on (`chars` characters and what was
    `passed` over come before it), in child processes. Each has at most `timeout` seconds by the
    clock while it is waited for, MAX_CPU_SECONDS of the processor and `memory_bytes` of address
    space. A child that has used up one of these at a later piece than its first is followed by
    another; and one that has used it up in a part of the document (`Draft.part`), by one that
    passes over that.

    `check` is called about every 0.1 s while a child is waited for, and `moved` with each place
    where it begins a unit. When one raises, or the generator is closed, the child is killed. Raises
    PermanentError (`unsupported_type`, `encrypted`, `corrupt`, `no_text`, `too_large`;
    `parser_timeout`, `parser_died` when the next try would end alike) and RetryableError
    (`parser_timeout`, `parser_died`) when it might not.
    """
    if content_type not in BY_MEDIA_TYPE:
        raise PermanentError(
            "unsupported_type",
            "We cannot read files of this type; convert it to PDF and upload the result.",
        )
    reading = _Reading(
        path, content_type, start, chars, list(passed), limits, timeout, memory_bytes
    )
    while reading.unit:
        yield from reading.by_one_child(check, moved)


def draw(
    path: Path,
    content_type: str,
    page: int,
    *,
    limits: Limits = USUAL,
    timeout: float = 300.0,
    memory_bytes: int = 1024**3,
    check: Callable[[], None] = lambda: None,
) -> Drawn:
    """A page of a document as it looks, by a child process with the limits of those of `pieces`.

    Raises PermanentError with a sentence of this page, RetryableError, and what `check` raises.
    """
    request = {
        "content_type": content_type,
        "page": page,
        "start": 1,
        "chars": 0,
        "limits": asdict(limits),
        "cpu_seconds": min(math.ceil(timeout), MAX_CPU_SECONDS),
        "memory_bytes": memory_bytes,
    }
    ours, theirs = map(os.fdopen, os.pipe(), ("rb", "wb"))
    with ours, theirs, _open(path) as document, _memory() as complaints:
        try:
            with _fork_server.start(request, (document, theirs, complaints), check) as child:
                theirs.close()
                lines = [*map(_line, child.lines(ours.fileno(), timeout, MAX_PAGE_BYTES))]
                ending = child.wait(timeout)
        except OutOfTime as slow:
            raise PermanentError("parser_timeout", TOO_LARGE_TO_DRAW) from slow
        except (ServerLost, ValueError, TypeError) as lost:
            raise RetryableError("parser_died", NOT_DRAWN) from lost
        if said := _tail(complaints):
            logger.info("Drawing page %d of %s (%s): %s", page, path, content_type, said)
    if -ending.status in (*_OWN_SIGNALS, signal.SIGXCPU):
        raise PermanentError("parser_died", TOO_LARGE_TO_DRAW)
    try:
        (line,) = lines
        if "error" in line:
            code, sentence = map(str, line["error"])
            raise PermanentError(code, sentence)
        return _drawn(line)
    except (ValueError, KeyError, TypeError) as nonsense:
        raise RetryableError("parser_died", NOT_DRAWN) from nonsense


def _drawn(line: dict[str, Any]) -> Drawn:
    """Raises ValueError, KeyError and TypeError for what no child of ours says."""
    picture = base64.b64decode(line["picture"], validate=True)
    if picture[:4] != b"RIFF" or picture[8:12] != b"WEBP":
        raise ValueError("no picture")
    width, height, pages = (int(line[name]) for name in ("width", "height", "pages"))
    letters = (Letter(int(at), *map(float, box)) for at, *box in line["letters"])
    a, b, c, d, e, f = map(float, line["matrix"])
    return Drawn(
        picture, width, height, pages, str(line["text"]), tuple(letters), (a, b, c, d, e, f)
    )


@dataclass
class _Reading:
    """How far it is."""

    path: Path
    content_type: str
    unit: int
    chars: int
    passed: list[Passed]
    limits: Limits
    timeout: float
    memory_bytes: int
    place: str = ""
    _got_on: bool = field(default=False, init=False)  # this child
    _part: int = field(default=0, init=False)  # in which it is
    _pass_over: list[int] = field(default_factory=list, init=False)  # parts from this unit on

    def by_one_child(
        self, check: Callable[[], None], moved: Callable[[str], None]
    ) -> Generator[Piece]:
        request = {
            "content_type": self.content_type,
            "start": self.unit,
            "chars": self.chars,
            "limits": asdict(self.limits),
            "cpu_seconds": min(math.ceil(self.timeout), MAX_CPU_SECONDS),
            "memory_bytes": self.memory_bytes,
            "pass_over": self._pass_over,
        }
        self._got_on = False
        self._part = 0
        began = time.monotonic()
        last: Piece | None = None
        error: list[str] | None = None
        ours, theirs = map(os.fdopen, os.pipe(), ("rb", "wb"))
        with ours, theirs, _open(self.path) as document, _memory() as complaints:
            try:
                files = (document, theirs, complaints)
                with _fork_server.start(request, files, check) as child:
                    theirs.close()  # or it would never be at its end
                    lines = child.lines(ours.fileno(), self.timeout, MAX_ANSWER_BYTES)
                    for line in map(_line, lines):
                        if "at" in line:
                            self._part = int(line["part"])
                            self.place = line["at"] or self.place
                            moved(self.place)
                        elif "error" in line:
                            error = self._error(line)
                        elif (piece := self._next(line)).unit:
                            yield piece
                        else:
                            last = piece
                    ending = child.wait(self.timeout)
            except ServerLost as lost:
                raise self._death() from lost
            except (ValueError, KeyError, TypeError) as nonsense:
                raise self._death() from nonsense
            except OutOfTime as slow:
                if self._got_on:
                    return
                sentence = at(self.place, TOO_SLOW)
                raise RetryableError("parser_timeout", sentence, tries=2) from slow
            self._log(began, ending, _tail(complaints))
        if self._is_spent(ending, error) and (self._got_on or self._can_pass_over()):
            return
        if error:
            raise PermanentError(*error)
        self._raise_what_ended(ending, last)
        if last:
            yield last

    def _next(self, line: dict[str, Any]) -> Piece:
        piece = Piece(
            str(line["text"]),
            tuple(Section(*section) for section in line["sections"]),
            tuple(Passed(*entry) for entry in line["passed"]),
            int(line["unit"]),
            str(line["place"]),
        )
        self.chars += len(piece.text)
        if self.chars > self.limits.chars:  # which the child knows, unless it is another's now
            raise PermanentError("too_large", TOO_MUCH_TEXT)
        if piece.unit and piece.unit <= self.unit:
            raise ValueError("it does not get on")
        self.unit = piece.unit
        self._pass_over = []
        self.passed = list(compact([*self.passed, *piece.passed]))
        self._got_on = bool(piece.unit)
        return piece

    def _error(self, line: dict[str, Any]) -> list[str]:
        """With what was passed over before this child."""
        code, sentence = map(str, line["error"])
        if code == "no_text" and self.passed:
            found = [*self.passed, *(Passed(*entry) for entry in line["passed"])]
            sentence = nothing_read([(each.kind, each.count) for each in found], is_empty=False)
        return [code, sentence]

    def _is_spent(self, ending: Ending, error: list[str] | None) -> bool:
        """Did it use up what one child has?"""
        is_short_of_memory = error is not None and error[1] == TOO_MUCH_MEMORY
        return ending.status == -signal.SIGXCPU or is_short_of_memory or self._burst(ending)

    def _can_pass_over(self) -> bool:
        """Was it in a part? Then the next child goes on without that."""
        if not self._part or len(self._pass_over) == MAX_PASSED_OVER:
            return False
        self._pass_over.append(self._part)
        return True

    def _burst(self, ending: Ending) -> bool:
        """Libraries in C end the process when they get no more memory; the last step is a big
        one.
        """
        return -ending.status in _OWN_SIGNALS and ending.memory_kib * 1024 > self.memory_bytes / 2

    def _raise_what_ended(self, ending: Ending, last: Piece | None) -> None:
        """Unless it ended well."""
        if self._burst(ending):
            raise PermanentError("too_large", TOO_MUCH_MEMORY)
        if ending.status == -signal.SIGXCPU:
            raise PermanentError("parser_timeout", at(self.place, TOO_SLOW))
        if -ending.status in _OWN_SIGNALS and not self.place:
            raise PermanentError("parser_died", BROKE_OFF)
        if ending.status or not (last or self._got_on):
            raise self._death()

    def _death(self) -> RetryableError:
        """What was handed over before it is kept by who wants to."""
        return RetryableError("parser_died", at(self.place, BROKE_OFF), tries=MAX_DEATHS)

    def _log(self, began: float, ending: Ending, said: str) -> None:
        logger.info(
            "read for %.2f s with at most %d MiB",
            time.monotonic() - began,
            ending.memory_kib // 1024,
        )
        if ending.status < 0:
            said = f"{said}\nended by {signal.Signals(-ending.status).name}".strip()
        if said:
            # A library that tries what it may not, and goes on without, is no cause for a warning.
            tried = all(line.startswith(seccomp.REFUSED) for line in said.splitlines())
            level = logging.INFO if tried and ending.status == 0 else logging.WARNING
            logger.log(level, "Parsing %s (%s): %s", self.path, self.content_type, said)


def _line(line: bytes) -> dict[str, Any]:
    content = json.loads(line)
    if not isinstance(content, dict):
        raise TypeError(f"no object: {line[:100]!r}")
    return content


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
