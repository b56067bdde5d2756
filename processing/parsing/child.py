"""The inside of the sandbox: one forked process, which limits itself, reads a document or a part of
it, writes what it reads as it goes on, and ends.

Its files are open when it begins: 0 the document, 1 and 2 for what libraries print, ANSWER for the
answer, in lines of JSON: `{"at", "part"}`, where it is; `{"text", "sections", "passed", "unit",
"place"}`, a piece; `{"picture", ...}`, a page as it looks, if one was asked for; or `{"error":
[code, sentence], "passed"}` for what no other try would change. It ends after the last piece, or
when it has had enough: then another goes on. Anything else (a signal, exit status 1 with a
traceback) is not the document's fault.
"""

import base64
import ctypes
import importlib
import io
import json
import linecache
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Collection
from dataclasses import asdict, astuple
from pathlib import Path
from typing import IO, Any, NoReturn

from formats import BY_MEDIA_TYPE
from formats.unread import NOT_DRAWN
from processing.errors import PermanentError
from processing.parsing import look, seccomp, sentences
from processing.parsing.draft import Draft, Paused
from processing.parsing.model import MAX_ANSWER_BYTES, USUAL, Limits, ParsedDocument
from processing.parsing.sentences import BROKE_OFF, TOO_MUCH_MEMORY, TOO_MUCH_TEXT, UNREADABLE
from processing.parsing.unread import Piece

filtered = True  # False in a server that has found that it cannot be: the worker decides if it may

# Not 3: libraries that opened a file in the server (Tesseract, for its remarks) go on to write to
# its number.
DOCUMENT, ANSWER = 0, 15
MAX_OPEN_FILES = 16  # numbers below it
PR_SET_PDEATHSIG = 1

# What only a mistake of ours raises in our own code; libraries raise anything at damaged files.
_MISTAKES = (AssertionError, AttributeError, NameError, TypeError)
_OWN_CODE = str(Path(__file__).parents[1]) + os.sep


def die_with(parent: int) -> None:
    """End this process when the thread that started it does."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # the parent died before we could ask to die with it


def main(
    parent: int,
    content_type: str,
    start: int,
    chars: int,
    limits: dict[str, Any],
    cpu_seconds: int,
    memory_bytes: int,
    page: int = 0,
    pass_over: Collection[int] = (),
) -> NoReturn:
    """Read the document on file descriptor 0, from unit `start` on (see `Draft`); or, of a page,
    draw that and nothing else. Does not return.
    """
    status = 1
    try:
        die_with(parent)
        with open(DOCUMENT, "rb") as document:
            file = io.BytesIO(document.read())  # an error of the disk is none of the document
        # Before the filter, which does not let through what it asks for.
        stream = open(ANSWER, "wb", buffering=0)  # noqa: SIM115 (closed below)
        _limit(cpu_seconds, memory_bytes)
        with stream:
            if page:
                hand_over_page(file, content_type, stream, page, Limits(**limits))
            else:
                hand_over(
                    file,
                    content_type,
                    stream,
                    start=start,
                    chars=chars,
                    limits=Limits(**limits),
                    pause_after=cpu_seconds / 2,
                    pass_over=pass_over,
                )
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            # Never back into the server's loop; and without taking down the libraries, which costs
            # more than some documents.
            os._exit(status)


def _limit(cpu_seconds: int, memory_bytes: int) -> None:
    """Bound this process for good."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_OPEN_FILES, MAX_OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_ANSWER_BYTES, MAX_ANSWER_BYTES))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))  # seccomp's rule once more; not for root
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with open("/proc/self/oom_score_adj", "w") as adjustment:
            adjustment.write("1000")  # when the machine runs out of memory, this process goes first
    except OSError:
        pass
    # Tracebacks are written without the lines themselves: to read those would be refused.
    linecache.updatecache = lambda *_: []
    if filtered:
        seccomp.install()


def reader(content_type: str) -> tuple[Callable[[IO[bytes], Draft], None], str]:
    """(the function that reads this type, its sentence for a document without text)."""
    name = BY_MEDIA_TYPE[content_type].reader
    module = importlib.import_module(f"processing.parsing.{name}")
    return module.read, module.NO_TEXT


def hand_over(file: IO[bytes], content_type: str, stream: IO[bytes], **options: Any) -> None:
    """Write the pieces of a file, until it ends or `Draft`, which has the options, pauses.

    Raises ImportError: the installation is broken, not the document.
    """

    def write_piece(piece: Piece) -> None:
        line = _encoded(
            {
                "text": piece.text,
                "sections": [astuple(section) for section in piece.sections],
                "passed": [astuple(entry) for entry in piece.passed],
                "unit": piece.unit,
                "place": piece.place,
            }
        )
        if len(line) > MAX_ANSWER_BYTES:
            raise PermanentError("too_large", TOO_MUCH_TEXT)
        _write(stream, line)

    draft = Draft(
        hand_over=write_piece,
        tell=lambda place, part: _write(stream, _encoded({"at": place, "part": part})),
        **options,
    )
    try:
        if error := _read(file, content_type, draft, lambda text: write_piece(draft.last(text))):
            passed = [astuple(entry) for entry in draft.passed]
            _write(stream, _encoded({"error": error, "passed": passed}))
    except Paused:
        pass
    except MemoryError:
        del draft
        _write(stream, _encoded({"error": ["too_large", TOO_MUCH_MEMORY], "passed": []}))


def hand_over_page(
    file: IO[bytes], content_type: str, stream: IO[bytes], page: int, limits: Limits
) -> None:
    """Write a page as it looks, or why not. Raises ImportError."""
    try:
        drawn = asdict(look.draw(file, content_type, page, limits))
        drawn["picture"] = base64.b64encode(drawn["picture"]).decode()
        drawn["letters"] = [list(letter.values()) for letter in drawn["letters"]]
        line = _encoded(drawn)
    except PermanentError as error:
        line = _encoded({"error": [error.code, error.sentence]})
    except MemoryError:
        line = _encoded({"error": ["too_large", sentences.TOO_LARGE_TO_DRAW]})
    except ImportError:
        raise
    except Exception:
        traceback.print_exc()
        line = _encoded({"error": ["corrupt", NOT_DRAWN]})
    _write(stream, line)


def answer(file: IO[bytes], content_type: str, limits: Limits = USUAL) -> dict[str, object]:
    """A file read in one piece: `text`, `sections` and `unread`; or the `error`.

    Raises MemoryError and ImportError.
    """
    draft = Draft(limits=limits)
    found: list[ParsedDocument] = []
    if error := _read(file, content_type, draft, lambda text: found.append(draft.finish(text))):
        return {"error": error}
    return {
        "text": found[0].text,
        "sections": [astuple(section) for section in found[0].sections],
        "unread": [astuple(entry) for entry in found[0].unread],
    }


def _read(
    file: IO[bytes], content_type: str, draft: Draft, end: Callable[[str], None]
) -> list[str] | None:
    """Read a file into a draft, and `end` with the sentence for a document without text; returns
    the error that no other try would change.
    """
    read, no_text = reader(content_type)
    try:
        read(file, draft)
        end(no_text)
    except PermanentError as error:
        return [error.code, error.sentence]
    except (MemoryError, ImportError):
        raise
    except Exception as error:
        traceback.print_exc()
        return ["parser_died", BROKE_OFF] if _is_mistake(error) else ["corrupt", UNREADABLE]
    return None


def _encoded(line: dict[str, object]) -> bytes:
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


def _write(stream: IO[bytes], line: bytes) -> None:
    view = memoryview(line)
    while view:  # as much as there is room for in the pipe
        view = view[stream.write(view) :]


def _is_mistake(error: Exception) -> bool:
    """Whether our own code is wrong, rather than the file: by where it was raised, and what."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return isinstance(error, _MISTAKES) and frames[-1].f_code.co_filename.startswith(_OWN_CODE)
