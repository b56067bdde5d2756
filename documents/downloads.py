"""The stored file on its way back to a person."""

from django.conf import settings
from django.core.files.storage import default_storage
from django.http import FileResponse, HttpResponseBase

from .connections import release
from .deadlines import within
from .models import Document
from .refusals import Refused, content_unavailable

# Whatever is in it runs nothing and loads nothing, in a browser that shows it all the same, too.
FILE_POLICY = "sandbox; default-src 'none'; frame-ancestors 'none'"
# Chromium's own PDF viewer does not open in a sandbox.
PDF_POLICY = "default-src 'none'; frame-ancestors 'none'"


def original(document: Document) -> HttpResponseBase:
    """Stream the original. Only a PDF is shown in the browser; all else is saved, never run.

    Raises Refused when storage does not have it, or does not answer.
    """
    release()
    try:
        with within(settings.REQUEST_TIMEOUT):  # until it begins: the client may be slow
            file = default_storage.open(document.storage_key)
    except FileNotFoundError:
        raise Refused("file_missing", "The stored file is missing.", 410) from None
    except OSError as error:
        raise content_unavailable() from error
    inline = document.content_type == "application/pdf"
    return FileResponse(
        file,
        as_attachment=not inline,
        filename=document.filename,
        content_type=document.content_type if inline else "application/octet-stream",
        headers={
            "Content-Length": document.size,  # a stream from S3 does not know its own
            "Content-Security-Policy": PDF_POLICY if inline else FILE_POLICY,
        },
    )
