"""Opens the zip archives that Office and EPUB files are, and refuses the ones that would blow up.

Limits as OWASP advises for uploads, on what the directory declares and on what is really inflated;
but only of the members that somebody reads: what is never inflated harms nobody. zipfile never
returns more bytes of a member than its directory declares, so a directory that lies low gives a
damaged member (CRC); but a document may name one member ten thousand times. The child's memory
limit is the last line.
"""

import zipfile
import zlib
from types import TracebackType
from typing import IO, Any

from processing.errors import PermanentError
from processing.parsing.sentences import DAMAGED, ENCRYPTED

MAX_MEMBERS = 10_000
MAX_INFLATED_BYTES = 300 * 1024**2  # of one member, and of all that the directory declares
MAX_READS = 4  # of all members, on average: a sheet is looked at before it is read
# Real XML in Office files stays below 100; only members over 1 MiB are judged by it.
MAX_RATIO = 200
_JUDGED_BYTES = 1024**2

# What may be raised where a member is read.
UNREADABLE = (PermanentError, OSError, zipfile.BadZipFile, zlib.error, NotImplementedError)

_OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_FLAG = 0x1


class Archive(zipfile.ZipFile):
    """A zip archive whose members are judged when they are opened, and counted as they are
    inflated.

    `open` and `read` raise PermanentError: `encrypted`, `corrupt`, `too_large`.
    """

    def __init__(self, file: IO[bytes]) -> None:
        """Raises PermanentError: `encrypted`, `corrupt`, `too_large`."""
        _refuse_ole2(file)
        try:
            super().__init__(file)
        except (zipfile.BadZipFile, ValueError, OSError) as error:
            raise PermanentError("corrupt", DAMAGED) from error
        if len(self.filelist) > MAX_MEMBERS:
            raise _bomb()
        declared = sum(member.file_size for member in self.filelist)
        self._budget = MAX_READS * min(declared, MAX_INFLATED_BYTES) + _JUDGED_BYTES

    def open(self, name: str | zipfile.ZipInfo, *args: Any, **options: Any) -> Any:
        member = name if isinstance(name, zipfile.ZipInfo) else self.getinfo(name)
        if member.flag_bits & _ENCRYPTED_FLAG:
            raise PermanentError("encrypted", ENCRYPTED)
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # No Office program and no EPUB uses the others, and zipfile cannot inflate them in
            # bounded steps.
            raise PermanentError("corrupt", DAMAGED)
        size = member.file_size
        if size > _JUDGED_BYTES and size > MAX_RATIO * member.compress_size:
            raise _bomb()
        if size > min(self._budget, MAX_INFLATED_BYTES):
            raise _bomb()
        return _Counted(super().open(member, *args, **options), self)

    def count(self, inflated: int) -> None:
        self._budget -= inflated
        if self._budget < 0:
            raise _bomb()


class _Counted:
    """A member's stream that tells its archive what was inflated."""

    def __init__(self, stream: IO[bytes], archive: Archive) -> None:
        self._stream = stream
        self._archive = archive

    def read(self, size: int | None = -1) -> bytes:
        data = self._stream.read(-1 if size is None else size)
        self._archive.count(len(data))
        return data

    def __enter__(self) -> "_Counted":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()


def _refuse_ole2(file: IO[bytes]) -> None:
    """Office wraps a document with a password in the container of its old formats."""
    head = file.read(len(_OLE2))
    file.seek(0)
    if head != _OLE2:
        return
    data = file.read()
    if "EncryptedPackage".encode("utf-16-le") in data:
        raise PermanentError("encrypted", ENCRYPTED)
    raise PermanentError("corrupt", DAMAGED)


def _bomb() -> PermanentError:
    return PermanentError(
        "too_large", "This file unpacks to far more than we read; split it and upload the parts."
    )
