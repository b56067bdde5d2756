"""Cuts a parsed document into passages: what is embedded, found and cited.

A passage never crosses a page, a slide or a sheet. Small sections with headings of their own share
one as long as it is less than half full; beyond that a heading begins a new passage.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby, takewhile

from semantic_text_splitter import TextSplitter

from processing.parsing import ParsedDocument, Section

# semantic-text-splitter takes quadratic time on text without the boundary that it looks for (3 MB
# without white space: a minute; without sentences: 22 s; in windows of this size 0.3 s), so it
# never sees more than this at once.
WINDOW_CHARS = 10_000
# A passage is cited by one section's heading when that section fills this share of it.
MAIN_SHARE = 0.75

# Best first: paragraph, line, sentence, word, and clause (Chinese has no spaces).
_BOUNDARIES = [
    re.compile(p) for p in (r"\n\n", r"\n", r"[.!?](?=\s)|[。！？]", r"\s", r"[,;，；、]")
]


@dataclass(frozen=True, slots=True)
class Piece:
    """The passage `document.text[start:end]`, and where it stands. `position` counts from 0;
    `context` is what its sections say of it and it does not say itself (`Section.context`).
    """

    position: int
    start: int
    end: int
    text: str
    page: int | None
    heading: str
    context: str
    recognised: bool = False  # some of it was read from a picture


def split(
    document: ParsedDocument,
    max_chars: int = 1000,
    fits: Callable[[str, str], bool] = lambda around, text: True,
) -> list[Piece]:
    """The passages in order, of at most `max_chars` characters, not overlapping, without outer
    white space. Each of them `fits`, with its heading and context as the first argument, unless it
    is a single character.

    `document.text[piece.start:piece.end] == piece.text` holds for each of them.
    """
    pieces: list[Piece] = []
    for sections in _groups(document.sections, max_chars):
        for start, end in _ranges(document.text, sections, max_chars):
            for piece in _fitting(document.text, sections, start, end, fits):
                pieces.append(replace(piece, position=len(pieces)))
    return pieces


def _groups(sections: Iterable[Section], max_chars: int) -> Iterator[list[Section]]:
    """Neighbours that may share passages."""
    for _, block in groupby(sections, lambda section: section.page):
        group: list[Section] = []
        for section in block:
            if group and (section.apart or not _belongs(section, group, max_chars)):
                yield group
                group = []
            group.append(section)
        yield group


def _belongs(section: Section, group: list[Section], max_chars: int) -> bool:
    """Whether a section joins those before it: they are less than half full, and both fit; or they
    are hardly more than a title, which says nothing without what follows.
    """
    length = group[-1].end - group[0].start
    fits = section.end - group[0].start <= max_chars
    return length < max_chars / 5 or (fits and length < max_chars / 2)


def _ranges(text: str, sections: list[Section], max_chars: int) -> Iterator[tuple[int, int]]:
    """The passages of one group. A crumb (a title, a last line) is put to its neighbour: before the
    next one if that stays within `max_chars`, else after the one before.
    """
    crumb = max_chars // 10
    splitter = TextSplitter(max_chars - crumb)
    pending: tuple[int, int] | None = None
    start = sections[0].start
    for end in _cuts(text, start, sections[-1].end):
        for offset, chunk in splitter.chunk_indices(text[start:end]):
            if not (stripped := chunk.strip()):
                continue
            first = start + offset + len(chunk) - len(chunk.lstrip())
            last = first + len(stripped)
            small = last - first < crumb or (pending and pending[1] - pending[0] < crumb)
            if pending and small and last - pending[0] <= max_chars:
                pending = (pending[0], last)
                continue
            if pending:
                yield pending
            pending = (first, last)
        start = end
    if pending:
        yield pending


def _fitting(
    text: str, sections: list[Section], start: int, end: int, fits: Callable[[str, str], bool]
) -> Iterator[Piece]:
    """The passage, or else its halves, each cut at the best boundary, until they fit."""
    passage, heading = text[start:end], _heading(sections, start, end)
    context = _context(sections, start, end, passage)
    around = "\n".join(filter(None, (heading, context)))
    if end - start == 1 or fits(around, passage):
        read = any(part.recognised and part.start < end and part.end > start for part in sections)
        yield Piece(0, start, end, passage, sections[0].page, heading, context, read)
        return
    splitter = TextSplitter(max(1, (end - start) * 5 // 9))
    for offset, chunk in splitter.chunk_indices(passage):
        if stripped := chunk.strip():
            first = start + offset + len(chunk) - len(chunk.lstrip())
            yield from _fitting(text, sections, first, first + len(stripped), fits)


def _cuts(text: str, start: int, end: int) -> Iterator[int]:
    """The ends of the windows for the splitter, each at the best boundary in its last fifth; the
    last one is `end`.
    """
    while end - start > WINDOW_CHARS:
        limit = start + WINDOW_CHARS
        tail = text[limit - WINDOW_CHARS // 5 : limit]
        ends = (_last_end(boundary, tail) for boundary in _BOUNDARIES)
        start = limit - len(tail) + next(filter(None, ends), len(tail))
        yield start
    yield end


def _last_end(boundary: re.Pattern[str], text: str) -> int:
    return max((match.end() for match in boundary.finditer(text)), default=0)


def _heading(sections: list[Section], start: int, end: int) -> str:
    """The heading that cites `[start, end)` best: that of the section that fills most of it, else
    the path that all its sections share, else that of the first.
    """
    inside = [section for section in sections if section.start < end and section.end > start]
    for section in inside:
        if min(end, section.end) - max(start, section.start) >= MAIN_SHARE * (end - start):
            return section.heading
    paths = [section.heading.split(" > ") for section in inside]
    same = takewhile(lambda names: len(set(names)) == 1, zip(*paths, strict=False))
    return " > ".join(names[0] for names in same) or inside[0].heading


def _context(sections: list[Section], start: int, end: int, text: str) -> str:
    """What the sections of `[start, end)` say of it, each line once and not what stands there."""
    inside = (section for section in sections if section.start < end and section.end > start)
    said = dict.fromkeys(line for section in inside for line in section.context.split("\n"))
    return "\n".join(line for line in said if line and line not in text)
