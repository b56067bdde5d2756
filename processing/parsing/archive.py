"""Opens the zip archives that Office and EPUB files are, and refuses the ones that would blow up.

Limits as OWASP advises for uploads. zipfile never returns more bytes of a member than its directory
declares, so a directory that lies low gives a damaged member (CRC), not a bomb; the child's memory
limit is the last line.
"""

import zipfile
from typing import IO

from processing.errors import PermanentError
from processing.parsing.sentences import DAMAGED, ENCRYPTED

MAX_MEMBERS = 10_000
MAX_INFLATED_BYTES = 300 * 1024**2
MAX_RATIO = (
    200  # real XML in Office files stays below 100; only members over 1 MiB are judged by it
)
_JUDGED_BYTES = 1024**2

_OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_FLAG = 0x1


def open_archive(file: IO[bytes]) -> zipfile.ZipFile:
    """The archive, its directory checked.

    Raises PermanentError: `encrypted`, `corrupt`, `unsupported_type` (an old Office file),
    `too_large`.
    """
    _refuse_ole2(file)
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise PermanentError("corrupt", DAMAGED) from error
    members = archive.infolist()
    if (
        len(members) > MAX_MEMBERS
        or sum(member.file_size for member in members) > MAX_INFLATED_BYTES
    ):
        raise _bomb()
    for member in members:
        if member.flag_bits & _ENCRYPTED_FLAG:
            raise PermanentError("encrypted", ENCRYPTED)
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # No Office program and no EPUB uses the others, and zipfile cannot inflate them in
            # bounded steps.
            raise PermanentError("corrupt", DAMAGED)
        if member.file_size > _JUDGED_BYTES and member.file_size > MAX_RATIO * member.compress_size:
            raise _bomb()
    return archive


def _refuse_ole2(file: IO[bytes]) -> None:
    """Office wraps a document with a password in the container of its old formats."""
    head = file.read(len(_OLE2))
    file.seek(0)
    if head != _OLE2:
        return
    data = file.read()
    if "EncryptedPackage".encode("utf-16-le") in data:
        raise PermanentError("encrypted", ENCRYPTED)
    raise PermanentError(
        "unsupported_type",
        "This file is in an old Office format; save it as DOCX, PPTX or XLSX and upload that.",
    )


def _bomb() -> PermanentError:
    return PermanentError(
        "too_large", "This file unpacks to far more than we read; split it and upload the parts."
    )
