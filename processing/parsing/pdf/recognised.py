"""Pages whose text was recognised, on their way into the draft: the same lines, paragraphs and
tables as those of a PDF with text, marked as read from a picture.
"""

import re
import time
from typing import Any

from formats import tessdata
from processing.parsing.draft import Draft
from processing.parsing.pdf.layout import blocks
from processing.parsing.pdf.text import running
from processing.parsing.pdf.words import HYPHEN, Line, Word
from processing.parsing.recognition import Picture, Reading, recognise
from processing.parsing.tables import add_table

__all__ = ["Picture", "add_page", "lines_of", "may", "recognise"]

# Of the processor, for one process: what comes after is said to be unread, except where another
# process goes on.
MAX_SECONDS = 25.0
_SPACELESS = re.compile(r"[\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]")
POINTS = 72


def may(draft: Draft, page: int) -> bool:
    """Whether a page is to be recognised: it is on, within the limit, and there is time."""
    if page > draft.limits.recognised_pages or not tessdata.languages():
        return False
    return draft.is_in_pieces or time.process_time() - draft.allowance.began_at < MAX_SECONDS


def add_page(picture: Picture, page: int, draft: Draft, heading: str = "") -> None:
    """A page of its own; one on which nothing was found is reported."""
    if not add_text(picture, draft, page=page, heading=heading):
        draft.unread("wordless_page", page=page)


def add_text(picture: Picture, draft: Draft, *, page: int | None = None, heading: str = "") -> bool:
    """Append what is written in a picture; whether anything is."""
    lines = lines_of(recognise(picture, draft.limits.languages), picture.dpi)
    for block in blocks(lines):
        if isinstance(block[0][0], str):
            rows: Any = block
            add_table(draft, rows, page=page, heading=heading, recognised=True)
        else:
            text = running(block)
            draft.add(text, page=page, heading=heading, recognised=True)
    return bool(lines)


def lines_of(reading: Reading, dpi: int) -> list[Line]:
    """In points from the lower left corner, as PDF counts."""
    scale = POINTS / dpi
    lines: list[Line] = []
    for found in reading.lines:
        words = [
            Word(
                word.text,
                word.left * scale,
                (reading.height - word.bottom) * scale,
                word.right * scale,
                (reading.height - word.top) * scale,
            )
            for word in found
        ]
        words = _without_spaces(words)
        last = words[-1]
        if len(last.text) > 2 and last.text[-1] in "-‐" and last.text[-2].isalpha():
            last.text = last.text[:-1] + HYPHEN
        lines.append(words)
    return lines


def _without_spaces(words: Line) -> Line:
    """Chinese and Japanese have none between words; Tesseract gives them letter by letter."""
    joined = words[:1]
    for word in words[1:]:
        before = joined[-1]
        if _SPACELESS.match(before.text[-1]) and _SPACELESS.match(word.text[0]):
            text, sides = before.text + word.text, (before.bottom, word.bottom)
            top = max(before.top, word.top)
            joined[-1] = Word(text, before.left, min(sides), word.right, top)
        else:
            joined.append(word)
    return joined
