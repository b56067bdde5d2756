"""From a file to its text, with the place of every part of it; in a child process, because files
can be hostile.

`sandbox` is the outside and `child` the inside of that process; `client` and `server` are the two
ends of what starts it; one module per format; `draft` collects their sections.
"""

from collections.abc import Callable
from pathlib import Path

from processing.parsing.model import ParsedDocument, Section, Unread

__all__ = ["ParsedDocument", "Section", "Unread", "parse"]


def parse(
    path: Path,
    content_type: str,
    *,
    timeout: float = 300.0,
    memory_bytes: int = 1024**3,
    check: Callable[[], None] | None = None,
) -> ParsedDocument:
    """See `processing.parsing.sandbox.parse`, which the fork server (it imports this package too)
    need not load.
    """
    from processing.parsing import sandbox

    return sandbox.parse(
        path, content_type, timeout=timeout, memory_bytes=memory_bytes, check=check
    )
