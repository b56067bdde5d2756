"""What parsing hands on: one text, and where in the document each part of it stands."""

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
