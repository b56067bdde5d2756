"""Which files are taken: their names made safe, their types by name and by content."""

import os
import re
import unicodedata
from pathlib import PurePosixPath
from typing import IO

from .refusals import Refused, invalid_filename

OFFICE = "application/vnd.openxmlformats-officedocument"
TYPES = {
    ".pdf": "application/pdf",
    ".docx": f"{OFFICE}.wordprocessingml.document",
    ".pptx": f"{OFFICE}.presentationml.presentation",
    ".xlsx": f"{OFFICE}.spreadsheetml.sheet",
    ".epub": "application/epub+zip",
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".html": "text/html",
    ".htm": "text/html",
    ".csv": "text/csv",
    ".txt": "text/plain",
}
BLOCK_BYTES = 1024 * 1024  # the most of a file that is held in memory


def clean_filename(name: str) -> str:
    """The name as we keep it: no path, NFC, nothing invisible, at most 255 characters.

    Raises Refused when nothing is left of it.
    """
    name = name.replace("\\", "/").rsplit("/", 1)[-1]
    # Control, format (bidi, zero width), surrogate and unassigned characters.
    name = "".join(c for c in name if unicodedata.category(c)[0] != "C")
    name = re.sub(r"\s+", " ", unicodedata.normalize("NFC", name)).strip().rstrip(". ")
    path = PurePosixPath(name)
    if not path.stem.strip(". "):
        raise invalid_filename("The file has no usable name; rename it and upload it again.")
    if len(name) > 255:
        name = path.stem[: 255 - len(path.suffix)].rstrip() + path.suffix
    return name


def detect_type(filename: str, file: IO[bytes]) -> str:
    """The content type, when name and content agree on one that we read. Raises Refused.

    Only the kind of file is decided here; whether it is whole is found out by parsing it.
    """
    extension = PurePosixPath(filename).suffix.lower()
    content_type = TYPES.get(extension)
    if content_type is None:
        raise unsupported_type(f"Files of type “{extension or 'unknown'}” cannot be read.")
    file.seek(0)
    head = file.read(64 * 1024)
    if content_type == "application/pdf":
        matches = b"%PDF-" in head[:1024]
    elif content_type.startswith("text/"):
        matches = _looks_like_text(head)
    else:
        matches = _looks_like_archive_of(content_type, head, file)
    file.seek(0)
    if not matches:
        raise unsupported_type(f"The content is not what the name says ({extension}).")
    return content_type


def unsupported_type(why: str) -> Refused:
    types = ", ".join(extension.removeprefix(".").upper() for extension in TYPES)
    return Refused(
        "unsupported_type", f"{why} Accepted are: {types}.", 415, {"accepted": list(TYPES)}
    )


def _looks_like_text(head: bytes) -> bool:
    if head.startswith((b"%PDF-", b"PK\x03\x04", b"\x7fELF", b"\xd0\xcf\x11\xe0")):
        return False
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):  # UTF-16 or UTF-32, by its byte order mark
        return True
    # A stray NUL is a flaw of a text; one control character in 20 is no text. Random bytes have
    # one in 10.
    control = sum(head.count(byte) for byte in _CONTROL_BYTES)
    return control * 20 <= len(head)


_CONTROL_BYTES = [bytes([byte]) for byte in range(32) if byte not in b"\t\n\f\r\x1b"]

_MEMBERS = {  # what an archive of this type contains
    TYPES[".docx"]: b"word/",
    TYPES[".pptx"]: b"ppt/",
    TYPES[".xlsx"]: b"xl/",
    TYPES[".epub"]: b"META-INF/",
}


def _looks_like_archive_of(content_type: str, head: bytes, file: IO[bytes]) -> bool:
    if head.startswith(b"\xd0\xcf\x11\xe0"):  # OLE2: how Office wraps a file with a password
        file.seek(0)
        return _contains(file, "EncryptedPackage".encode("utf-16-le"))
    if not head.startswith(b"PK\x03\x04"):
        return False
    # An archive ends with the list of its members. Not read by zipfile: 50 MiB can list a million
    # of them, which took it 15 s and 460 MB.
    file.seek(max(file.seek(0, os.SEEK_END) - BLOCK_BYTES, 0))
    directory = file.read()
    if b"PK\x01\x02" not in directory:
        return True  # a damaged archive: parsing will say so
    member = rb"PK\x01\x02.{42}" + _MEMBERS[content_type]
    return re.search(member, directory, re.DOTALL) is not None


def _contains(file: IO[bytes], wanted: bytes) -> bool:
    end = b""
    while block := file.read(BLOCK_BYTES):
        if wanted in end + block:
            return True
        end = block[-len(wanted) :]
    return False
