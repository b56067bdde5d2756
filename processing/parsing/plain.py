"""Plain text."""

from typing import IO

from processing.parsing.decoding import decode
from processing.parsing.draft import Draft

NO_TEXT = "This file contains no text; check that it is the right one and upload it again."


def read(file: IO[bytes], draft: Draft) -> None:
    """One section. Raises PermanentError: see `decode`."""
    draft.add(decode(file.read()))
