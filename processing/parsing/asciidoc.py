"""AsciiDoc stays as its author wrote it, without comments; we find the headings, outside of blocks
of code.
"""

import re
from typing import IO

from processing.parsing.decoding import decode
from processing.parsing.draft import Draft, Outline, clean
from processing.parsing.markdown import PICTURE

NO_TEXT = "This file contains no text; check that it is the right one and upload it again."

MAX_TITLE_LINE = 1_000
_HEADING = re.compile(r"(={1,6}|#{1,6})[ \t]+(\S.*?)(?:[ \t]+\1)?")
_BLOCK = re.compile(r"(-{4,}|\.{4,}|\+{4,}|/{4,}|`{3,}).*")
_MARKS = re.compile(r"(?<!\w)([*`_#]{1,2})(\S(?:.*?\S)?)\1(?!\w)|\[\[[^\]]*\]\]")


def read(file: IO[bytes], draft: Draft) -> None:
    """Raises as `decode`."""
    text, pictures = PICTURE.subn("", clean(decode(file.read())))
    if pictures:
        draft.unread("picture", count=pictures)
    outline = Outline()
    lines: list[str] = []
    block = ""
    for line in text.split("\n"):
        mark = _BLOCK.fullmatch(line[:MAX_TITLE_LINE])
        if block:
            is_comment = block.startswith("////")
            if line == block:
                block = ""
            if not is_comment:
                lines.append(line)
            continue
        if mark:
            block = mark[1]
            if block.startswith("////"):
                continue
        elif line.startswith("//"):
            continue
        elif line.startswith("include::"):
            draft.unread("included_file")
        elif len(line) <= MAX_TITLE_LINE and (heading := _HEADING.fullmatch(line)):
            draft.add("\n".join(lines), heading=outline.path)
            lines = []
            outline.enter(len(heading[1]), _MARKS.sub(r"\2", heading[2]))
        lines.append(line)
    draft.add("\n".join(lines), heading=outline.path)
