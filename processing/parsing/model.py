"""What parsing hands on: one text, and where in the document each part of it stands."""

from dataclasses import dataclass

# An answer of the child: draft.MAX_CHARS at up to four bytes each, and the sections.
MAX_ANSWER_BYTES = 256 * 1024**2


@dataclass(frozen=True, slots=True)
class Section:
    """`text[start:end]` of a parsed document, and its place.

    Offsets count characters and are half-open. `page` is the 1-based PDF page or slide number;
    `heading` the heading path "A > B", the sheet's name or the slide's title ("" where there is
    none). `apart` marks a section that shares no passage with its neighbours although no page
    divides them: a sheet.
    """

    start: int
    end: int
    page: int | None
    heading: str
    apart: bool = False


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """A document's text and its sections: ordered, not empty, not overlapping, with only white
    space between them.
    """

    text: str
    sections: tuple[Section, ...]
