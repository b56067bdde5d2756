"""Files inside of files: attachments of a PDF, objects in an Office file."""

import importlib
import io
import zipfile
import zlib
from pathlib import PurePosixPath

from formats import BY_EXTENSION
from formats.signatures import HEAD_BYTES
from processing.errors import PermanentError
from processing.parsing.draft import Draft, one_line
from processing.parsing.package import Package

MAX_DEPTH = 1  # a file in a file in a file is not read
MAX_FILES = 100  # read of one document


def read_embedded(name: str, data: bytes | None, draft: Draft) -> None:
    """Append the sections of an embedded file, below its name; what cannot be read is reported.

    Its own page numbers are none of the document's, so its sections have none. Raises as
    `Draft.add`.
    """
    title = one_line(name.replace("\\", "/").rpartition("/")[2]) or "attachment"
    inner = Draft(depth=draft.depth + 1)
    if data and draft.depth < MAX_DEPTH and draft.embedded_count < MAX_FILES:
        draft.embedded_count += 1
        _read(title, data, inner)
    if inner.is_empty:
        draft.unread("embedded_file", title)
    else:
        draft.append(inner, title)


def read_object(package: Package, part: str, place: str, draft: Draft) -> None:
    """The same for a part of an Office file; `place` is where a person finds what cannot be read:
    mostly in the container of a program that we do not know.
    """
    if PurePosixPath(part).suffix.lower() not in BY_EXTENSION:
        draft.unread("embedded_file", place)
        return
    try:
        data = package.read(part)
    except (PermanentError, OSError, zipfile.BadZipFile, zlib.error):
        data = None
    read_embedded(part, data, draft)


def _read(name: str, data: bytes, inner: Draft) -> None:
    format = BY_EXTENSION.get(PurePosixPath(name).suffix.lower())
    file = io.BytesIO(data)
    if format is None or not format.recognises(data[:HEAD_BYTES], file):
        return
    file.seek(0)
    reader = importlib.import_module(f"processing.parsing.{format.reader}")
    try:
        reader.read(file, inner)
    except (MemoryError, ImportError):
        raise
    except Exception:  # a PermanentError, or what libraries raise at damaged files
        return  # what was read until then stays
