"""An upload's way from the request to a registered document.

The body streams to a temporary file, hashed and counted on its way; then the object is stored with
no database connection held; then one short transaction registers it. Refusals are `Refused` errors
with a stable code, and nothing is stored for them.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import PurePosixPath
from typing import Any, cast

from django.conf import settings
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.core.files.uploadhandler import (
    FileUploadHandler,
    SkipFile,
    TemporaryFileUploadHandler,
)
from django.db import DatabaseError, transaction
from django.http import HttpRequest, HttpResponseBase, QueryDict
from django.utils.datastructures import MultiValueDict

from formats import BY_EXTENSION

from . import lifecycle, limits, tags
from .connections import release
from .deadlines import within
from .failpoints import failpoint
from .filetypes import as_written, clean_filename, detect_type
from .idempotency import KeyTaken, Once
from .models import Document, KnowledgeBase, OutboxMessage, Tally
from .refusals import (
    Refused,
    duplicate_filename,
    empty_file,
    file_too_large,
    invalid_filename,
    is_deleted,
    knowledge_base_gone,
    no_room,
    request_too_large,
    storage_unavailable,
    too_many_files,
)
from .room import is_full

log = logging.getLogger(__name__)

Priority = OutboxMessage.Priority

ENVELOPE_BYTES = 64 * 1024  # what multipart adds to a file: boundaries, headers, small fields
MOST_LARGE_FILES = 4  # in one request; the page's script sends one


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
        """A request that says it is larger than any of ours is not read at all.

        Nor is one with more than a form's fields from somebody who has not logged in.
        """
        known = self.request and self.request.user.is_authenticated
        release()  # from here on, at the client's pace
        files = MOST_LARGE_FILES * settings.UPLOAD_MAX_BYTES if known else 0
        if content_length <= files + ENVELOPE_BYTES:
            return None
        self.request.oversized_files = [""]  # type: ignore[union-attr]  # all of it
        return QueryDict(), MultiValueDict()

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        FileUploadHandler.new_file(self, *args, **kwargs)
        # Not Django's: that one's path ends as the user's name does, however long that is.
        with _room():
            self.file = ReceivedFile("upload", self.content_type, 0, self.charset)
        self.file.name = as_written(self.file_name or "")
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
        with _room():
            super().receive_data_chunk(raw_data, start)

    def file_complete(self, file_size: int) -> ReceivedFile:
        with _room():
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
                with suppress(OSError):  # a full disk does not take what is still in a buffer
                    handler.upload_interrupted()

    return middleware


def file_from(request: HttpRequest) -> ReceivedFile:
    """The one file of the request's field `file`. Raises Refused."""
    # Reading request.FILES reads the client's body, which may take minutes.
    release()
    files = request.FILES.getlist("file")
    for name in getattr(request, "oversized_files", []):
        raise too_large(name)
    if not files:
        raise invalid_filename('Send the file as multipart field "file", with its file name.')
    if len(files) > 1:
        raise too_many_files(len(files))
    return cast(ReceivedFile, files[0])


def too_large(name: str) -> Refused:
    """Of one of `request.oversized_files`."""
    if name:
        return file_too_large()
    return request_too_large(MOST_LARGE_FILES * settings.UPLOAD_MAX_BYTES)


def accept(
    file: ReceivedFile,
    knowledge_base: KnowledgeBase,
    by: Any,
    key: str = "",
    words: str = "",
    origin: str = "",
) -> Document:
    """Store the file and register it, with the tags that `words` names. Raises Refused.

    With a `key` (Idempotency-Key) that came with this file before: what was registered then. With
    an `origin` it is from no request, and waits in bulk: documents/imports.py.
    """
    with_tags = tags.clean(words)
    once = _once(by, key, "upload", knowledge_base.pk, file, *with_tags)
    if made := _made_before(once):
        return made
    filename, content_type = _check(file)
    bounds = limits.of(knowledge_base, by)
    try:
        if existing := lifecycle.namesake(knowledge_base.pk, filename):  # saves the upload of bytes
            raise lifecycle.DuplicateFilename(existing)
        limits.look_ahead(bounds, file.size)
        with limits.under_way(bounds):
            document = _store(
                file, knowledge_base, filename, content_type, by, origin, tags=with_tags
            )
            with _registered(document, bounds, once):
                lifecycle.register(document, origin)
    except (lifecycle.DuplicateFilename, lifecycle.KnowledgeBaseGone, KeyTaken) as error:
        return _same_or_refused(once, error, filename, file)
    failpoint("upload.registered")
    return document


def replace(
    file: ReceivedFile, old: Document, by: Any, key: str = "", origin: str = ""
) -> Document:
    """Store the file in the place of a live document, under that one's name if they share a type.

    Raises Refused. With a `key` and an `origin` as in `accept`.
    """
    once = _once(by, key, "replace", old.pk, file)
    if made := _made_before(once):
        return made
    filename, content_type = _check(file)
    if content_type == old.content_type:
        filename = old.filename
    bounds = limits.of(old.knowledge_base, by)
    try:
        with limits.under_way(bounds):
            document = _store(
                file, old.knowledge_base, filename, content_type, by, origin, tags=old.tags
            )
            with _registered(document, bounds, once):
                if lifecycle.replace(old, document, origin) is None:
                    message = "The document to replace was deleted, replaced or moved."
                    raise Refused("not_found", message, 404)
    except (
        lifecycle.DuplicateFilename,
        lifecycle.KnowledgeBaseGone,
        KeyTaken,
        Refused,
    ) as error:
        return _same_or_refused(once, error, filename, file)
    return document


def rename(document: Document, by: Any, name: str) -> None:
    """Give it another name of the same type. Raises Refused."""
    if document.deleted_at:
        raise is_deleted()
    filename = clean_filename(name)
    extension = PurePosixPath(filename).suffix.lower()
    kind = BY_EXTENSION.get(extension)
    is_same = extension == PurePosixPath(document.filename).suffix.lower()
    if not is_same and (kind is None or kind.media_type != document.content_type):
        raise invalid_filename("The name must end as the file's type does.")
    if filename == document.filename:
        return
    try:
        renamed = lifecycle.rename(document.pk, by, filename)
    except lifecycle.DuplicateFilename as error:
        raise duplicate_filename(error, filename, document.sha256) from error
    if not renamed:
        message = "It is being processed just now; rename it when that is done."
        raise Refused("in_progress", message, 409)


def _once(
    by: Any, key: str, action: str, where: object, file: ReceivedFile, *more: str
) -> Once | None:
    if not key:
        return None
    return Once(by, key, (action, str(where), file.name or "", file.sha256, *more))


def _made_before(once: Once | None) -> Document | None:
    """What this request made when it came first. Raises Refused when that is gone, or is no
    business of the one who sent it any more.
    """
    if once is None or (made := once.made()) is None:
        return None
    there = Document.objects.visible_to(once.user).filter(purging_at=None)
    document = there.select_related("knowledge_base").filter(pk=made).first()
    if document is None:
        message = "What this request made before is deleted for good, or not yours to see any more."
        raise Refused("not_found", message, 404)
    return document


@contextmanager
def _registered(
    document: Document, bounds: Sequence[limits.Bound], once: Once | None
) -> Iterator[None]:
    """Around the transaction that does it."""
    with _kept_only_if_registered(document), limits.kept(bounds), _remembered(once, document):
        yield


@contextmanager
def _kept_only_if_registered(document: Document) -> Iterator[None]:
    """Around its transaction: what is not registered has no object.

    PostgreSQL that has no room has said no; a lost connection may hide a commit (reconcile).
    """
    try:
        yield
    except (lifecycle.DuplicateFilename, lifecycle.KnowledgeBaseGone, KeyTaken, Refused):
        _discard(document)
        raise
    except DatabaseError as error:
        if is_full(error):
            _discard(document)
        raise


@contextmanager
def _remembered(once: Once | None, document: Document) -> Iterator[None]:
    """Around its registration: one transaction with the key, if there is one."""
    if once is None:
        yield
        return
    with transaction.atomic():
        yield
        once.remember(document.pk)


def _same_or_refused(
    once: Once | None, error: Exception, filename: str, file: ReceivedFile
) -> Document:
    """What the same request, a moment faster, has registered; else the error as a refusal."""
    if made := _made_before(once):
        return made
    if isinstance(error, lifecycle.DuplicateFilename):
        Tally.add("duplicates_refused")
        raise duplicate_filename(error, filename, file.sha256) from error
    if isinstance(error, lifecycle.KnowledgeBaseGone):
        raise knowledge_base_gone() from error
    raise error


def _check(file: ReceivedFile) -> tuple[str, str]:
    filename = clean_filename(file.name or "")
    if not file.size:
        raise empty_file()
    return filename, detect_type(filename, file)


def _store(
    file: ReceivedFile,
    knowledge_base: KnowledgeBase,
    filename: str,
    content_type: str,
    by: Any,
    origin: str,
    **fields: Any,
) -> Document:
    """Put the object into storage; no database connection is held while it goes there."""
    document = Document(
        knowledge_base=knowledge_base,
        filename=filename,
        content_type=content_type,
        size=file.size,
        sha256=file.sha256,
        uploaded_by=by,
        priority=Priority.BULK if origin else Priority.INTERACTIVE,
        **fields,
    )
    file.content_type = content_type  # what an S3 server will say it is; not what the client said
    release()
    try:
        with within(settings.REQUEST_TIMEOUT):
            default_storage.save(document.storage_key, file)
    except OSError as error:  # what Django's file storage and ours for S3 raise
        log.warning("cannot store an upload: %s", error)
        raise no_room() if is_full(error) else storage_unavailable() from error
    failpoint("upload.stored")
    return document


@contextmanager
def _room() -> Iterator[None]:
    """For what is written into a temporary file. Raises Refused when the disk is full."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise no_room() from error
        raise


def _discard(document: Document) -> None:
    """Delete the object of a document that lost; the reconciler sweeps what this misses."""
    try:
        with within(settings.REQUEST_TIMEOUT):
            default_storage.delete(document.storage_key)
            default_storage.delete(document.storage_prefix)  # on a disk, the empty folder
    except OSError as error:
        log.warning("left an object behind: %s: %s", document.storage_key, error)
