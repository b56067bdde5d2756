"""A page as it looks, and where on it each letter of its text stands.

The page is read once more, by the reader of its format, and so gives the text that it gave before:
its letters are followed through it, in the order in which the reader took them.
"""

import importlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from formats import BY_MEDIA_TYPE
from processing.errors import PermanentError
from processing.parsing.draft import Draft, clean
from processing.parsing.model import Drawn, Letter, Limits, Matrix
from processing.parsing.sentences import NO_AREA

if TYPE_CHECKING:  # whose package imports this module
    from processing.parsing.pdf.words import Word

DPI = 150  # enough for small print on a large screen
MAX_PIXELS = 4_000_000  # a larger page is drawn smaller
MAX_SIDE = 6_000  # pixels, as well
QUALITY = 80  # of WebP: a page of text has 100 KB
BETWEEN = "|"  # beside white space: what stands between a table's cells
HYPHEN = "\x02"  # pdf/words.py, whose package imports this module
_MOST_LOST = 20  # letters in a row that the text has not: then it is not this page's


@dataclass(frozen=True, slots=True)
class Look:
    """What a reader's `look` gives: Pillow's image, how many pages the file has, the letters that
    were read, in their order; `matrix` as in `Drawn`.
    """

    image: Any
    pages: int
    letters: "list[Word]"
    matrix: Matrix


def draw(file: IO[bytes], content_type: str, page: int, limits: Limits) -> Drawn:
    """Raises PermanentError, MemoryError, ImportError, and anything for a damaged file."""
    reader = importlib.import_module(f"processing.parsing.{BY_MEDIA_TYPE[content_type].reader}")
    draft = Draft(limits=limits)
    look = reader.look(file, page, draft)
    picture = io.BytesIO()
    look.image.convert("RGB").save(picture, "WEBP", quality=QUALITY, method=2)
    letters = tuple(_placed(draft.text, look.letters))
    width, height = look.image.size
    return Drawn(picture.getvalue(), width, height, look.pages, draft.text, letters, look.matrix)


def size_for(width: float, height: float, per_inch: float) -> float:
    """By how much to scale a page of these sides, so many to the inch. Raises PermanentError."""
    if not (width > 0 and height > 0):
        raise PermanentError("no_page", NO_AREA)
    most = (MAX_PIXELS / (width * height)) ** 0.5
    return min(DPI / per_inch, most, MAX_SIDE / max(width, height))


def _placed(text: str, letters: "Iterable[Word]") -> Iterator[Letter]:
    """The letters that are in the text: of a hyphen at a line's end it may have none."""
    at = lost = 0
    for letter in letters:
        is_mark = letter.text == HYPHEN
        for sign in "-" if is_mark else clean(letter.text):
            here = at
            while here < len(text) and text[here] != sign and _is_between(text[here]):
                here += 1
            if here < len(text) and text[here] == sign and (here == at or not is_mark):
                yield Letter(here, letter.left, letter.bottom, letter.right, letter.top)
                at, lost = here + 1, 0
            else:
                lost += not is_mark
        if lost > _MOST_LOST:
            return


def _is_between(sign: str) -> bool:
    return sign.isspace() or sign == BETWEEN
