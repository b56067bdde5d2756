"""An upload's way from the request to a registered document.

The body streams to a temporary file, hashed and counted on its way; then the object is stored with
no database connection held; then one short transaction registers it. Refusals are `Refused` errors
with a stable code, and nothing is stored for them.
"""

import hashlib
import logging
import os
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO, Any, cast

from django.conf import settings
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.core.files.uploadhandler import (
    FileUploadHandler,
    SkipFile,
    TemporaryFileUploadHandler,
)
from django.http import HttpRequest, HttpResponseBase, QueryDict
from django.template.defaultfilters import filesizeformat
from django.utils.datastructures import MultiValueDict

from . import lifecycle
from .connections import release
from .models import Document, KnowledgeBase

log = logging.getLogger(__name__)

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
ENVELOPE_BYTES = 64 * 1024  # what multipart adds to a file: boundaries, headers, small fields
MOST_LARGE_FILES = 4  # in one request; the page's script sends one


@dataclass
class Refused(Exception):
    """An upload that is not accepted: a stable code, a sentence for a person, an HTTP status."""

    code: str
    message: str
    status: int
    details: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message


def empty_file() -> Refused:
    return Refused("empty_file", "The file is empty.", 400)


def file_too_large() -> Refused:
    limit = filesizeformat(settings.UPLOAD_MAX_BYTES)
    return Refused(
        "file_too_large",
        f"The file is larger than {limit}, the most that is accepted.",
        413,
        {"max_bytes": settings.UPLOAD_MAX_BYTES},
    )


def unsupported_type(why: str) -> Refused:
    types = ", ".join(extension.removeprefix(".").upper() for extension in TYPES)
    return Refused(
        "unsupported_type", f"{why} Accepted are: {types}.", 415, {"accepted": list(TYPES)}
    )


def invalid_filename(why: str) -> Refused:
    return Refused("invalid_filename", why, 400)


def duplicate_filename(error: lifecycle.DuplicateFilename, filename: str) -> Refused:
    details = {"filename": filename}
    if error.existing:
        details["document_id"] = str(error.existing.pk)
    return Refused(
        "duplicate_filename",
        f"“{filename}” is already in this knowledge base. Open it, or replace it with this file.",
        409,
        details,
    )


def storage_unavailable() -> Refused:
    return Refused(
        "storage_unavailable",
        "The file could not be stored just now. Nothing was kept; please try again in a moment.",
        503,
    )


class ReceivedFile(TemporaryUploadedFile):
    """What HashingUploadHandler hands over."""

    size: int
    sha256: str


class HashingUploadHandler(TemporaryFileUploadHandler):
    """Streams each file to disk; counts and hashes the bytes that really come.

    A file over `UPLOAD_MAX_BYTES` is dropped, whatever its Content-Length says, and named in
    `request.oversized_files`.
    """

    def handle_raw_input(
        self, input_data: Any, META: Any, content_length: int, *args: Any, **kwargs: Any
    ) -> tuple[QueryDict, MultiValueDict[str, Any]] | None:
        """A request that says it is larger than any of ours is not read at all."""
        if content_length <= MOST_LARGE_FILES * settings.UPLOAD_MAX_BYTES + ENVELOPE_BYTES:
            return None
        self.request.oversized_files = ["the request"]  # type: ignore[union-attr]
        return QueryDict(), MultiValueDict()

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        FileUploadHandler.new_file(self, *args, **kwargs)
        # Not Django's: that one's path ends as the user's name does, however long that is.
        self.file = ReceivedFile("upload", self.content_type, 0, self.charset)
        self.file.name = self.file_name
        self.hash = hashlib.sha256()
        self.received = 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self.received += len(raw_data)
        if self.received > settings.UPLOAD_MAX_BYTES:
            self.file.close()
            oversized = getattr(self.request, "oversized_files", [])
            self.request.oversized_files = [*oversized, self.file_name]  # type: ignore[union-attr]
            raise SkipFile
        self.hash.update(raw_data)
        super().receive_data_chunk(raw_data, start)

    def file_complete(self, file_size: int) -> ReceivedFile:
        file = cast(ReceivedFile, super().file_complete(file_size))
        file.sha256 = self.hash.hexdigest()
        return file


def close_files(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware: when a request has its answer, none of its temporary files is left.

    Django leaves that of a body that breaks off to the garbage collector.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        try:
            return get_response(request)
        finally:
            for handler in request.upload_handlers:
                handler.upload_interrupted()

    return middleware


def file_from(request: HttpRequest) -> ReceivedFile:
    """The one file of the request's field `file`. Raises Refused."""
    # Reading request.FILES reads the client's body, which may take minutes.
    release()
    file = request.FILES.get("file")
    if getattr(request, "oversized_files", None):
        raise file_too_large()
    if file is None:
        raise invalid_filename('Send the file as multipart field "file", with its file name.')
    return cast(ReceivedFile, file)


def accept(file: ReceivedFile, knowledge_base: KnowledgeBase, by: Any) -> Document:
    """Store the file and register it. Raises Refused."""
    filename, content_type = _check(file)
    if existing := lifecycle.namesake(knowledge_base.pk, filename):  # saves the upload of bytes
        raise duplicate_filename(lifecycle.DuplicateFilename(existing), filename)
    document = _store(file, knowledge_base.pk, filename, content_type, by)
    try:
        return lifecycle.register(document)
    except lifecycle.DuplicateFilename as error:
        _discard(document)
        raise duplicate_filename(error, filename) from error


def replace(file: ReceivedFile, old: Document, by: Any) -> Document:
    """Store the file in the place of a live document, under that one's name if they share a type.

    Raises Refused.
    """
    filename, content_type = _check(file)
    if content_type == old.content_type:
        filename = old.filename
    document = _store(file, old.knowledge_base_id, filename, content_type, by)
    try:
        replaced = lifecycle.replace(old, document)
    except lifecycle.DuplicateFilename as error:
        _discard(document)
        raise duplicate_filename(error, filename) from error
    if replaced is None:
        _discard(document)
        raise Refused("not_found", "The document to replace was deleted or replaced.", 404)
    return replaced


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


def _check(file: ReceivedFile) -> tuple[str, str]:
    filename = clean_filename(file.name or "")
    if not file.size:
        raise empty_file()
    return filename, detect_type(filename, file)


def _store(
    file: ReceivedFile, knowledge_base_id: int, filename: str, content_type: str, by: Any
) -> Document:
    """Put the object into storage; no database connection is held while it goes there."""
    document = Document(
        knowledge_base_id=knowledge_base_id,
        filename=filename,
        content_type=content_type,
        size=file.size,
        sha256=file.sha256,
        uploaded_by=by,
    )
    file.content_type = content_type  # what an S3 server will say it is; not what the client said
    release()
    try:
        default_storage.save(document.storage_key, file)
    except OSError as error:  # what Django's file storage and ours for S3 raise
        log.warning("cannot store an upload: %s", error)
        raise storage_unavailable() from error
    return document


def _discard(document: Document) -> None:
    """Delete the object of a document that lost; the reconciler sweeps what this misses."""
    try:
        default_storage.delete(document.storage_key)
        default_storage.delete(document.storage_prefix)  # on a disk, the empty folder
    except OSError as error:
        log.warning("left an object behind: %s: %s", document.storage_key, error)


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
