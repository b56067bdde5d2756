"""What parsing hands on: one text, and where in the document each part of it stands."""

from collections.abc import Callable
from dataclasses import dataclass, replace

# A line of the child's answer: a piece, which is the whole document where it cannot be cut.
MAX_ANSWER_BYTES = 256 * 1024**2


@dataclass(frozen=True, slots=True)
class Limits:
    """Of a document: what has more is not read at all, and says so."""

    # More than the largest upload (50 MiB) can hold as plain text; an inflated archive can hold
    # more.
    chars: int = 60_000_000
    pages: int = 50_000
    cells: int = 2_000_000  # 15 s of the processor here
    # Text recognition: the last page that may need it (0: none), and its languages, "deu+eng"; all
    # that there are if empty.
    recognised_pages: int = 0
    languages: str = ""


USUAL = Limits()


@dataclass(frozen=True, slots=True)
class Section:
    """`text[start:end]` of a parsed document, and its place.

    Offsets count characters and are half-open. `page` is the 1-based PDF page or slide number;
    `heading` the heading path "A > B", the sheet's name or the slide's title ("" where there is
    none). `apart` marks a section that shares no passage with those before it although no page
    divides them: a sheet. `context` is what a part of it needs to be understood and does not say
    itself, line by line: a table's column names, the name of a row that goes on. `recognised`: it
    was read from a picture, and may have mistakes that the file has not.
    """

    start: int
    end: int
    page: int | None
    heading: str
    apart: bool = False
    context: str = ""
    recognised: bool = False

    def moved(self, chars: int) -> "Section":
        """The same, so many characters further on."""
        return replace(self, start=self.start + chars, end=self.end + chars)


@dataclass(frozen=True, slots=True)
class Unread:
    """Something in the file that was not read: `count` of a kind (see `unread.KINDS`), at a place
    that a person finds ("pages 2 to 6", "sheet Prices"; "" for the whole document).
    """

    kind: str
    place: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """A document's text and its sections: ordered, not empty, not overlapping, with only white
    space between them; and what was not read.
    """

    text: str
    sections: tuple[Section, ...]
    unread: tuple[Unread, ...] = ()


Matrix = tuple[float, float, float, float, float, float]


def matrix_of(
    to: Callable[[float, float], tuple[float, float]], x: float = 0.0, y: float = 0.0, by: float = 1
) -> Matrix:
    """An affine map, as SVG writes it, from where it leads (x, y) and what is `by` beside them."""
    (e, f), (a, b), (c, d) = to(x, y), to(x + by, y), to(x, y + by)
    a, b, c, d = (a - e) / by, (b - f) / by, (c - e) / by, (d - f) / by
    return a, b, c, d, e - a * x - c * y, f - b * x - d * y


@dataclass(frozen=True, slots=True)
class Letter:
    """The character of a page's text at this offset, and its box: the left and the lower side, the
    right and the upper side, wherever a page's matrix begins.
    """

    at: int
    left: float
    bottom: float
    right: float
    top: float


@dataclass(frozen=True, slots=True)
class Drawn:
    """A page as it looks: a WebP picture of `width` by `height` pixels, one of `pages` in the file.

    `text` is the page's, as it was read; `matrix` leads from its letters to the picture, whose
    width and height are 1.
    """

    picture: bytes
    width: int
    height: int
    pages: int
    text: str
    letters: tuple[Letter, ...]
    matrix: Matrix
