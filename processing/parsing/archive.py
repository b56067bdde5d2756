"""Opens the zip archives that Office and EPUB files are, and refuses the ones that would blow up.

Limits as OWASP advises for uploads: on what the directory declares, before anything is read, and on
what is really inflated. zipfile never returns more bytes of a member than its directory declares,
so a directory that lies low gives a damaged member (CRC); but a document may name one member ten
thousand times. The child's memory limit is the last line.
"""

import zipfile
from typing import IO

from processing.errors import PermanentError
from processing.parsing.sentences import DAMAGED, ENCRYPTED

MAX_MEMBERS = 10_000
MAX_INFLATED_BYTES = 300 * 1024**2
MAX_READS = 4  # of all parts, on average: a sheet is looked at before it is read
# Real XML in Office files stays below 100; only members over 1 MiB are judged by it.
MAX_RATIO = 200
_JUDGED_BYTES = 1024**2

_OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_FLAG = 0x1


_budget = 0  # bytes still to be inflated of the archive that was opened last: a child reads one


class _Metered(zipfile.ZipExtFile):
    """A member that counts what is inflated, whichever library opened it."""

    def read(self, n: int | None = -1) -> bytes:
        return _counted(super().read(n))

    def read1(self, n: int | None) -> bytes:  # type: ignore[override]
        return _counted(super().read1(n))


def count_all() -> None:
    """Make every archive of this process count, also those that the libraries open."""
    zipfile.ZipExtFile = _Metered  # type: ignore[misc]


def _counted(data: bytes) -> bytes:
    global _budget
    _budget -= len(data)
    if _budget < 0:
        raise _bomb()
    return data


def open_archive(file: IO[bytes]) -> zipfile.ZipFile:
    """The archive, its directory checked; after `count_all`, what is inflated of it counts.

    Raises PermanentError: `encrypted`, `corrupt`, `unsupported_type` (an old Office file),
    `too_large`.
    """
    global _budget
    _refuse_ole2(file)
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise PermanentError("corrupt", DAMAGED) from error
    members = archive.infolist()
    declared = sum(member.file_size for member in members)
    if len(members) > MAX_MEMBERS or declared > MAX_INFLATED_BYTES:
        raise _bomb()
    _budget = MAX_READS * declared + _JUDGED_BYTES
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
