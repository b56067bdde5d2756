"""Stored files as one ZIP. It is made on disk, from where it goes out at the client's pace.

The files are not compressed: most are already.
"""

import shutil
from collections.abc import Collection
from tempfile import TemporaryFile
from typing import IO
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from django.conf import settings
from django.core.files.storage import default_storage
from django.http import FileResponse
from django.template.defaultfilters import filesizeformat
from django.utils import timezone

from .connections import release
from .deadlines import within
from .downloads import COPY_SECONDS, FILE_POLICY
from .models import Document
from .refusals import Refused, content_unavailable, no_room
from .room import is_full

MOST_BYTES = 1024 * 1024 * 1024  # together: what storage hands over before a proxy gives up
PART = 256 * 1024  # bytes


def archive(documents: Collection[Document], name: str) -> FileResponse:
    """An answer with these documents' originals. Raises Refused."""
    if sum(each.size for each in documents) > MOST_BYTES:
        most = filesizeformat(MOST_BYTES)
        raise Refused("too_much", f"That is more than {most} at once; choose fewer.", 413)
    release()
    made = TemporaryFile(dir=settings.FILE_UPLOAD_TEMP_DIR)  # noqa: SIM115 (FileResponse does)
    try:
        with within(COPY_SECONDS):
            _write(made, documents)
    except FileNotFoundError:
        made.close()
        raise Refused("file_missing", "One of the stored files is missing.", 410) from None
    except OSError as error:
        made.close()
        raise no_room() if is_full(error) else content_unavailable() from error
    made.seek(0)
    return FileResponse(
        made,
        as_attachment=True,
        filename=f"{name}.zip",
        content_type="application/zip",
        headers={"Content-Security-Policy": FILE_POLICY},
    )


def _write(into: IO[bytes], documents: Collection[Document]) -> None:
    used: set[str] = set()
    with ZipFile(into, "w", ZIP_STORED) as zipped:
        for document in documents:
            moment = timezone.localtime(document.created_at).timetuple()[:6]
            info = ZipInfo(_free(document.filename, used), moment)
            info.file_size = document.size
            with default_storage.open(document.storage_key) as file, zipped.open(info, "w") as to:
                shutil.copyfileobj(file, to, PART)


def _free(name: str, used: set[str]) -> str:
    """The name, or that with a number: deleted documents may share one."""
    stem, dot, extension = name.rpartition(".")
    free, number = name, 1
    while free in used:
        number += 1
        free = f"{stem} ({number}){dot}{extension}" if dot else f"{name} ({number})"
    used.add(free)
    return free
