"""Pages whose text was recognised, on their way into the draft: the same lines, paragraphs and
tables as those of a PDF with text, marked as read from a picture.
"""

import math
import re
import time
from dataclasses import dataclass
from typing import Any

from formats import tessdata
from processing.parsing.draft import Draft
from processing.parsing.model import Matrix, matrix_of
from processing.parsing.pdf.layout import Block, blocks, words_in
from processing.parsing.pdf.text import running
from processing.parsing.pdf.words import HYPHEN, Line, Word, parts_of
from processing.parsing.recognition import Picture, Reading, recognise
from processing.parsing.tables import add_table

__all__ = ["Picture", "Recognised", "add_page", "may", "read"]

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


@dataclass(frozen=True, slots=True)
class Recognised:
    """The lines of a picture; `matrix` leads from the places of their words to the picture as it
    was given, whose width and height are 1.
    """

    lines: list[Line]
    matrix: Matrix

    @staticmethod
    def letters(blocks: list[Block]) -> list[Word]:
        return [letter for word in words_in(blocks) for letter in parts_of(word)]


def read(picture: Picture, draft: Draft) -> Recognised:
    reading = recognise(picture, draft.limits.languages)
    draft.costs()
    return Recognised(lines_of(reading, picture.dpi), _to_picture(reading, picture.dpi))


def add_page(picture: Picture, page: int, draft: Draft, heading: str = "") -> Recognised:
    """A page of its own; one on which nothing was found is reported."""
    found = add_text(picture, draft, page=page, heading=heading)
    if not found.lines:
        draft.unread("wordless_page", page=page)
    return found


def add_text(
    picture: Picture, draft: Draft, *, page: int | None = None, heading: str = ""
) -> Recognised:
    """Append what is written in a picture."""
    found = read(picture, draft)
    for block in blocks(found.lines):
        if isinstance(block[0][0], str):
            rows: Any = block
            add_table(draft, rows, page=page, heading=heading, recognised=True)
        else:
            text = running(block)
            draft.add(text, page=page, heading=heading, recognised=True)
    return found


def _to_picture(reading: Reading, dpi: int) -> Matrix:
    """Back from the upright picture to the one that lay askew, or on its side."""
    wide, high = reading.width, reading.height
    width, height = (high, wide) if reading.turn % 2 else (wide, high)
    cos, sin = (f(math.radians(reading.degrees)) for f in (math.cos, math.sin))

    def back(u: float, v: float) -> tuple[float, float]:
        x, y = u * dpi / POINTS, high - v * dpi / POINTS
        x, y = ((x, y), (y, wide - x), (wide - x, high - y), (high - y, x))[reading.turn]
        x, y = x - width / 2, y - height / 2
        x, y = cos * x - sin * y, sin * x + cos * y  # to the right, as Pillow turned to the left
        return x / width + 0.5, y / height + 0.5

    return matrix_of(back)


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
