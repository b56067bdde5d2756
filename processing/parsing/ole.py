"""The container of the old Office programs and of Outlook's messages: streams with names, through
olefile.
"""

from typing import IO

import olefile

from processing.errors import PermanentError
from processing.parsing.sentences import DAMAGED, ENCRYPTED

MAX_STREAM_BYTES = 300 * 1024**2


class Container:
    """Names are paths, "Attachment 1/Data", in any case."""

    def __init__(self, file: IO[bytes]) -> None:
        """Raises PermanentError: `encrypted`, `corrupt`."""
        try:
            self._file = olefile.OleFileIO(file)
            entries = self._file.listdir(streams=True, storages=False)
        except (OSError, ValueError, IndexError, OverflowError, RecursionError) as error:
            raise PermanentError("corrupt", DAMAGED) from error
        self.names = ["/".join(entry) for entry in entries]
        if "EncryptedPackage" in self.names:
            raise PermanentError("encrypted", ENCRYPTED)

    def __contains__(self, name: str) -> bool:
        return bool(self._file.exists(name))

    def read(self, name: str) -> bytes:
        """The stream; of a damaged one nothing."""
        try:
            if self._file.get_size(name) > MAX_STREAM_BYTES:
                return b""
            with self._file.openstream(name) as stream:
                return bytes(stream.read())
        except (OSError, ValueError, IndexError, OverflowError, TypeError):
            return b""
