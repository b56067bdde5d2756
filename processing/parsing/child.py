"""The inside of the sandbox: one forked process, which limits itself, reads one document, writes
one JSON object, and ends.

Its files are open when it begins: 0 the document, 1 and 2 for what libraries print, 3 for the
answer: `{"text", "sections", "unread"}`, or `{"error": [code, sentence]}` for what no other try
would change. Anything else (a signal, exit status 1 with a traceback) is not the document's fault.
"""

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
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import IO, NoReturn

from formats import BY_MEDIA_TYPE
from processing.errors import PermanentError
from processing.parsing import seccomp
from processing.parsing.draft import Draft
from processing.parsing.model import MAX_ANSWER_BYTES
from processing.parsing.sentences import BROKE_OFF, TOO_MUCH_MEMORY, TOO_MUCH_TEXT, UNREADABLE

filtered = True  # False in a server that has found that it cannot be: the worker decides if it may

DOCUMENT, ANSWER = 0, 3
MAX_OPEN_FILES = 16
PR_SET_PDEATHSIG = 1

# What only a mistake of ours raises in our own code; libraries raise anything at damaged files.
_MISTAKES = (AssertionError, AttributeError, NameError, TypeError)
_OWN_CODE = str(Path(__file__).parents[1]) + os.sep


def die_with(parent: int) -> None:
    """End this process when the thread that started it does."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # the parent died before we could ask to die with it


def main(parent: int, content_type: str, cpu_seconds: int, memory_bytes: int) -> NoReturn:
    """Read the document on file descriptor 0; does not return."""
    status = 1
    try:
        die_with(parent)
        with open(DOCUMENT, "rb") as document:
            file = io.BytesIO(document.read())  # an error of the disk is none of the document
        # Before the filter, which does not let through what it asks for.
        stream = open(ANSWER, "wb", buffering=0)  # noqa: SIM115 (closed below)
        _limit(cpu_seconds, memory_bytes)
        encoded = _encoded(file, content_type)
        with stream:
            for start in range(0, len(encoded), 2**30):  # one write takes at most 2 GiB
                stream.write(encoded[start : start + 2**30])
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


def _encoded(file: IO[bytes], content_type: str) -> bytes:
    try:
        encoded = json.dumps(answer(file, content_type), ensure_ascii=False).encode()
    except MemoryError:
        return json.dumps({"error": ["too_large", TOO_MUCH_MEMORY]}).encode()
    if len(encoded) > MAX_ANSWER_BYTES:
        return json.dumps({"error": ["too_large", TOO_MUCH_TEXT]}).encode()
    return encoded


def reader(content_type: str) -> tuple[Callable[[IO[bytes], Draft], None], str]:
    """(the function that reads this type, its sentence for a document without text)."""
    name = BY_MEDIA_TYPE[content_type].reader
    module = importlib.import_module(f"processing.parsing.{name}")
    return module.read, module.NO_TEXT


def answer(file: IO[bytes], content_type: str) -> dict[str, object]:
    """The JSON object for one file.

    Raises MemoryError, and ImportError: the installation is broken, not the document.
    """
    read, no_text = reader(content_type)
    try:
        draft = Draft()
        read(file, draft)
        document = draft.finish(no_text)
    except PermanentError as error:
        return {"error": [error.code, error.sentence]}
    except (MemoryError, ImportError):
        raise
    except Exception as error:
        traceback.print_exc()
        if _is_mistake(error):
            return {"error": ["parser_died", BROKE_OFF]}
        return {"error": ["corrupt", UNREADABLE]}
    return {
        "text": document.text,
        "sections": [astuple(section) for section in document.sections],
        "unread": [astuple(entry) for entry in document.unread],
    }


def _is_mistake(error: Exception) -> bool:
    """Whether our own code is wrong, rather than the file: by where it was raised, and what."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return isinstance(error, _MISTAKES) and frames[-1].f_code.co_filename.startswith(_OWN_CODE)
