"""The inside of the sandbox: `python -m processing.parsing.child PATH CONTENT_TYPE CPU_SECONDS
MEMORY_BYTES PARENT_PID`.

Limits itself, reads one file, writes one JSON object to standard output: `{"text", "sections"}`, or
`{"error": [code, sentence]}` for what is the document's fault. Anything else (a signal, exit status
1 with a traceback) is ours.
"""

import ctypes
import importlib
import io
import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO

from processing.errors import PermanentError
from processing.parsing.draft import Draft
from processing.parsing.formats import READERS
from processing.parsing.sentences import DAMAGED

MAX_OPEN_FILES = 64
MAX_FILE_BYTES = 16 * 1024**2  # only Python's bytecode cache writes files here
_PR_SET_PDEATHSIG = 1


def limit(cpu_seconds: int, memory_bytes: int, parent: int) -> None:
    """Bound this process for good, and tie its life to the thread that started it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # the parent died before we could ask to die with it
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_OPEN_FILES, MAX_OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, MAX_FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with open("/proc/self/oom_score_adj", "w") as adjustment:
            adjustment.write("1000")  # when the machine runs out of memory, this process goes first
    except OSError:
        pass
    # openpyxl imports these only to accept their types; they cost 0.3 s and much address space.
    sys.modules["numpy"] = sys.modules["pandas"] = None  # type: ignore[assignment]


def reader(content_type: str) -> tuple[Callable[[IO[bytes], Draft], None], str]:
    """(the function that reads this type, its sentence for a document without text)."""
    module_name, function = READERS[content_type]
    module = importlib.import_module(f"processing.parsing.{module_name}")
    return getattr(module, function), module.NO_TEXT


def answer(path: str, content_type: str) -> dict[str, object]:
    """The JSON object for one file.

    Raises only what is not the document's fault: OSError, ImportError, NameError.
    """
    read, no_text = reader(content_type)
    file = io.BytesIO(Path(path).read_bytes())  # an error of the disk is none of the document
    try:
        draft = Draft()
        read(file, draft)
        document = draft.finish(no_text)
    except PermanentError as error:
        return {"error": [error.code, error.sentence]}
    except MemoryError:
        return {
            "error": [
                "too_large",
                "This document needs more memory than we allow; split it and upload the parts.",
            ]
        }
    except (ImportError, NameError):
        raise  # the program is broken, not the document
    except Exception:
        # The libraries raise anything from KeyError to struct.error at damaged files.
        traceback.print_exc()
        return {"error": ["corrupt", DAMAGED]}
    sections = [[s.start, s.end, s.page, s.heading, s.apart] for s in document.sections]
    return {"text": document.text, "sections": sections}


def main() -> None:
    path, content_type, cpu_seconds, memory_bytes, parent = sys.argv[1:]
    output = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints must not end up inside the answer
    limit(int(cpu_seconds), int(memory_bytes), int(parent))
    encoded = json.dumps(answer(path, content_type), ensure_ascii=False).encode()
    with open(output, "wb") as stream:
        stream.write(encoded)
        stream.flush()
        sys.stderr.flush()
        os._exit(0)  # without taking down the libraries, which costs more than some documents


if __name__ == "__main__":
    main()
