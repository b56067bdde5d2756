"""The stored file, and the pictures of its pages, on their way to a person."""

import io
import shutil
from tempfile import TemporaryFile

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.http import FileResponse, HttpResponseBase

from .connections import release
from .deadlines import within
from .models import Document, PagePicture
from .refusals import Refused, content_unavailable, no_room
from .room import is_full

COPY_SECONDS = 60.0  # for all of a file from S3; nginx waits 120 s for an answer (deploy/nginx)
# Whatever is in it runs nothing and loads nothing, in a browser that shows it all the same, too.
FILE_POLICY = "sandbox; default-src 'none'; frame-ancestors 'none'"
# Chromium's own PDF viewer does not open in a sandbox.
PDF_POLICY = "default-src 'none'; frame-ancestors 'none'"


def original(document: Document) -> HttpResponseBase:
    """The original. Only a PDF is shown in the browser; all else is saved, never run.

    Raises Refused when storage does not have it, or does not answer.
    """
    try:
        file = _opened(document.storage_key)
    except FileNotFoundError:
        raise Refused("file_missing", "The stored file is missing.", 410) from None
    inline = document.content_type == "application/pdf"
    return FileResponse(
        file,
        as_attachment=not inline,
        filename=document.filename,
        content_type=document.content_type if inline else "application/octet-stream",
        headers={
            "Content-Length": document.size,
            "Content-Security-Policy": PDF_POLICY if inline else FILE_POLICY,
        },
    )


def page_picture(picture: PagePicture) -> HttpResponseBase:
    """Raises FileNotFoundError when it is lost, and Refused when storage does not answer."""
    return FileResponse(
        _opened(picture.key),
        content_type="image/webp",
        headers={"Content-Security-Policy": FILE_POLICY},
    )


def _opened(key: str) -> File:
    release()
    try:
        with within(settings.REQUEST_TIMEOUT):
            file = default_storage.open(key)
        with within(COPY_SECONDS):
            return _on_disk(file)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise no_room() if is_full(error) else content_unavailable() from error


def _on_disk(file: File) -> File:
    """From there it goes out at the client's pace, without a thread (lumikb/serving)."""
    try:
        file.fileno()
    except io.UnsupportedOperation:  # a stream from S3
        copy = TemporaryFile(dir=settings.FILE_UPLOAD_TEMP_DIR)  # noqa: SIM115 (FileResponse does)
        with file:
            shutil.copyfileobj(file, copy, file.DEFAULT_CHUNK_SIZE)
        copy.seek(0)
        return File(copy)
    return file
