"""YAML stays as its author wrote it, with its comments; the names that lead to a line are its
headings. It is never evaluated: nothing in it can grow.
"""

import re
from typing import IO

from processing.parsing.decoding import decode
from processing.parsing.draft import Draft, Outline, clean

NO_TEXT = "This file contains no text; check that it is the right one and upload it again."
# A section for each name down to this depth: deeper ones are too small to be cited.
MAX_DEPTH = 2
MAX_HEADINGS = 50_000  # what is beyond them has none of its own

_NAME = re.compile(
    r"""( {0,40})(?:"([^"\n]{1,200})"|'([^'\n]{1,200})'|([\w./@$ -]{1,200}?)):"""
    r"[ \t]*(?:[&|>#!].*)?"
)
_BLOCK = re.compile(r".*(?:^|[:\-\s])[|>][-+\d]*[ \t]*(?:#.*)?")


def read(file: IO[bytes], draft: Draft) -> None:
    """Raises as `decode`."""
    outline = Outline()
    lines: list[str] = []
    indents: list[int] = []  # of the open names
    block: int | None = None  # the indent of a name whose text goes on below it
    for line in clean(decode(file.read())).split("\n"):
        indent = len(line) - len(line.lstrip())
        if line[indent : indent + 2] in ("-", "- "):
            indent += 1  # the entries of a list may stand as far left as its name
        if block is not None and line and indent <= block:
            block = None
        if block is None and line and not line.lstrip().startswith("#"):
            name = _NAME.fullmatch(line)
            while indents and indent <= indents[-1]:
                indents.pop()
            if line.startswith("---"):
                indents.clear()
            if name and len(indents) < MAX_DEPTH and draft.count < MAX_HEADINGS:
                draft.add("\n".join(lines), heading=outline.path)
                lines = []
                indents.append(indent)
                outline.enter(len(indents), name[2] or name[3] or name[4])
            elif outline.path.count(" > ") >= len(indents) and outline.path:
                draft.add("\n".join(lines), heading=outline.path)
                lines = []
                outline.enter(len(indents) + 1, "")
            if _BLOCK.fullmatch(line[:1_000]):
                block = indent
        lines.append(line)
    draft.add("\n".join(lines), heading=outline.path)
