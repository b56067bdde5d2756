"""Files inside of files: what is attached to a mail or a PDF, objects in an Office file, the
members of a ZIP in one of them.
"""

import importlib
import io
from pathlib import PurePosixPath

from formats import BY_EXTENSION, BY_MEDIA_TYPE, Format, of_content, of_file
from formats.signatures import HEAD_BYTES
from processing.errors import PermanentError
from processing.parsing.archive import UNREADABLE, Archive
from processing.parsing.draft import Draft, one_line
from processing.parsing.package import Package

MAX_DEPTH = 4  # a file in a ZIP in a mail in a mail

_ARCHIVES = {".zip"}
_MESSAGE = "message/rfc822"
# What archives of a Mac hold beside the files.
_SHADOWS = ("__MACOSX/", ".DS_Store", "Thumbs.db")


def read_embedded(
    name: str, data: bytes | None, draft: Draft, *, below: str = "", media_type: str = ""
) -> None:
    """Append the sections of an embedded file, `below` a heading and its name; what cannot be read
    is reported. `media_type` helps where the name does not say what it is.

    Its own page numbers are none of the document's: see `Draft.append`. It is a part of the
    document (`Draft.part`). Raises as `Draft.add`.
    """
    title = one_line(name.replace("\\", "/").rpartition("/")[2]) or "attachment"
    place = f"{below} > {title}" if below else title
    if not (data and draft.depth < MAX_DEPTH and draft.allowance.takes(len(data))):
        draft.unread("embedded_file", place)
        return
    with draft.part(place) as is_read:
        if is_read:
            _read_below(place, title, data, draft, below, media_type)


def _read_below(
    place: str, title: str, data: bytes, draft: Draft, below: str, media_type: str
) -> None:
    kind, page = "embedded_file", "page"
    suffix = PurePosixPath(title).suffix.lower()
    if suffix in _ARCHIVES or (data.startswith(b"PK\x03\x04") and suffix not in BY_EXTENSION):
        inner = Draft(draft)
        kind = _read_archive(data, inner) or kind
    elif format := _format(suffix, media_type, data):
        page = format.page
        inner = draft.inside(place, page)
        kind = _read(format, data, inner) or kind
    else:
        draft.unread(kind, place)
        return
    if below and media_type == _MESSAGE and not inner.is_empty:
        place = below  # a message has its subject
    if inner.is_empty and not inner.has_said:
        draft.unread(kind if kind == "locked_file" else "embedded_file", place)
        return
    if kind != "embedded_file":
        inner.unread(kind)
    draft.append(inner, place, page, apart=not inner.is_taken)


def read_object(package: Package, part: str, place: str, draft: Draft) -> None:
    """The same for a part of an Office file; `place` is where a person finds what cannot be read:
    mostly in the container of a program that we do not know.
    """
    if PurePosixPath(part).suffix.lower() not in BY_EXTENSION:
        draft.unread("embedded_file", place)
        return
    read_embedded(part, package.content(part), draft)


def _format(suffix: str, media_type: str, data: bytes) -> Format | None:
    """What its name says, else what its media type says, as far as its content agrees; else what
    its content says.
    """
    head, file = data[:HEAD_BYTES], io.BytesIO(data)
    if suffix in BY_EXTENSION and (format := of_file(suffix, head, file)):
        return format
    said = BY_MEDIA_TYPE.get(media_type)
    return said if said and said.recognises(head, file) else of_content(head, file)


def _read(format: Format, data: bytes, inner: Draft) -> str:
    """The kind of the report's entry when it broke off; what was read until then stays."""
    reader = importlib.import_module(f"processing.parsing.{format.reader}")
    try:
        reader.read(io.BytesIO(data), inner)
    except (MemoryError, ImportError):
        raise
    except PermanentError as error:
        return "locked_file" if error.code == "encrypted" else "damaged_part"
    except Exception:  # what libraries raise at damaged files
        return "damaged_part"
    return ""


def _read_archive(data: bytes, inner: Draft) -> str:
    """Its files in their order, each below its name; as `_read`."""
    try:
        archive = Archive(io.BytesIO(data))
    except UNREADABLE:
        return "damaged_part"
    for member in archive.infolist():
        if member.is_dir() or any(shadow in member.filename for shadow in _SHADOWS):
            continue
        if inner.allowance.files < 1:
            inner.unread("embedded_file", one_line(member.filename))
            continue
        try:
            content = archive.read(member)
        except UNREADABLE as error:
            is_locked = isinstance(error, PermanentError) and error.code == "encrypted"
            kind = "locked_file" if is_locked else "embedded_file"
            inner.unread(kind, one_line(member.filename))
            continue
        read_embedded(member.filename, content, inner)
    return ""
