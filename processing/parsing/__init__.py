"""From a file to its text, with the place of every part of it; in a child process, because files
can be hostile.

`sandbox` is the outside and `child` the inside of that process; `client` and `server` are the two
ends of what starts it; one module per format; `draft` collects their sections.
"""

from collections.abc import Generator
from pathlib import Path
from typing import Any

from processing.parsing.model import Drawn, Limits, ParsedDocument, Section, Unread
from processing.parsing.unread import Passed, Piece, compact, merged

__all__ = [
    "Drawn",
    "Limits",
    "ParsedDocument",
    "Passed",
    "Piece",
    "Section",
    "Unread",
    "compact",
    "draw",
    "merged",
    "parse",
    "pieces",
]


def draw(path: Path, content_type: str, page: int, **options: Any) -> Drawn:
    """See `processing.parsing.sandbox.draw`."""
    from processing.parsing import sandbox

    return sandbox.draw(path, content_type, page, **options)


def parse(path: Path, content_type: str, **options: Any) -> ParsedDocument:
    """See `processing.parsing.sandbox.parse`, which the fork server (it imports this package too)
    need not load.
    """
    from processing.parsing import sandbox

    return sandbox.parse(path, content_type, **options)


def pieces(path: Path, content_type: str, **options: Any) -> Generator[Piece]:
    """See `processing.parsing.sandbox.pieces`."""
    from processing.parsing import sandbox

    return sandbox.pieces(path, content_type, **options)
