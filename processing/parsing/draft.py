"""Collects a document's sections while a reader walks through it, and keeps the heading path."""

import re
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from formats.unread import nothing_read, pages
from processing.errors import PermanentError
from processing.parsing.model import USUAL, Limits, ParsedDocument, Section
from processing.parsing.unread import Passed, Piece, merged

MAX_SECTIONS = 200_000  # of a piece; the longest good documents that we know have 30,000
# A piece is handed over at the first cut behind so many characters, or seconds of the processor.
PIECE_CHARS = 80_000  # with a page more it still is one object of documents/texts.py
PIECE_SECONDS = 5.0
PART_UNITS = 32_768  # that a part has, whether it needs them or not: PIECE_CHARS, or a page, each
MAX_TITLE_CHARS = 200
MAX_PATH_CHARS = 500
SEPARATOR = "\n\n"

# PostgreSQL stores neither NUL nor surrogates; the other control characters would only show as
# boxes. The soft hyphen and the byte order mark show as nothing at all, but keep a word from being
# found.
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\xad\ufeff]")
# What colours a terminal: without its first sign, the rest would stand in the words.
_TERMINAL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?)")
# As printers were told to write bold letters and lines below them: each is there twice.
_STRUCK_OVER = re.compile(r"[^\n\x08]\x08")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_BLANK_LINES = re.compile(r"\n{3,}")
_SPACE = re.compile(r"\s*")


def clean(text: str) -> str:
    """The text as it is stored and cited: `\\n` line ends, at most one blank line, nothing that
    PostgreSQL refuses.
    """
    if "\x1b" in text:
        text = _TERMINAL.sub("", text)
    if "\x08" in text:
        text = _STRUCK_OVER.sub("", text)
    text = re.sub(r"\r\n?|[\x0b\x0c]", "\n", text)
    text = _SURROGATES.sub("\ufffd", _CONTROLS.sub("", text))
    # Line by line: a regular expression for trailing spaces takes quadratic time on a long run of
    # them.
    text = "\n".join(line.rstrip() for line in text.split("\n"))
    return _BLANK_LINES.sub("\n\n", text).strip()


def one_line(text: str) -> str:
    """A title: one line of at most MAX_TITLE_CHARS characters."""
    return " ".join(clean(text).replace("\u200b", "").split())[:MAX_TITLE_CHARS].rstrip()


class Outline:
    """The path of headings above the current place."""

    def __init__(self) -> None:
        self._open: list[tuple[int, str]] = []

    def enter(self, level: int, title: str) -> str:
        """Pass a heading (1 is the highest; 0 is the document's title) and return the path from now
        on.
        """
        self._open = [(above, name) for above, name in self._open if above < level]
        if title := one_line(title).replace(" > ", " › "):
            self._open.append((level, title))
        return self.path

    @property
    def path(self) -> str:
        """For example "Manual > Installation"; when too long, its deep end is what matters."""
        path = " > ".join(name for _, name in self._open)
        return path if len(path) <= MAX_PATH_CHARS else "…" + path[1 - MAX_PATH_CHARS :]


@dataclass(slots=True)
class Allowance:
    """What a document may still bring along: files inside of it, at any depth, and their bytes."""

    files: int = 1_000
    bytes: int = 500 * 1024**2
    pictures: int = 0  # that were met until now
    began_at: float = field(default_factory=time.process_time)

    def takes(self, size: int) -> bool:
        """Whether there was room for one more file; then it is counted."""
        if self.files < 1 or size > self.bytes:
            return False
        self.files -= 1
        self.bytes -= size
        return True

    def renewed(self) -> "Allowance":
        """That of a document beside this one, in the same file."""
        return Allowance(pictures=self.pictures, began_at=self.began_at)


class Paused(BaseException):
    """Enough for one process: the next one goes on. No reader takes it for an error of the file."""


class Draft:
    """A document under construction; one inside of another has a `depth` of 1, and shares its
    limits and its `allowance`.

    It is handed over in pieces while it is being read, and another process can go on behind any of
    them: by reading again all that comes before, of which nothing counts. A reader whose units
    (pages) can be read one without the other says by `cut` where they begin, and leaves out those
    that are there already.
    """

    def __init__(
        self,
        around: "Draft | None" = None,
        *,
        limits: Limits = USUAL,
        start: int = 1,
        chars: int = 0,
        hand_over: Callable[[Piece], None] | None = None,
        tell: Callable[[str, int], None] = lambda place, part: None,
        pause_after: float = float("inf"),
        pass_over: Collection[int] = (),
    ) -> None:
        """`start`: the unit at which to begin, behind `chars` characters of others.

        `hand_over` takes the pieces as they come; `tell` hears where the reader is, and the number
        of the part that it is in (0: in none); `cut` raises Paused after so many seconds of the
        processor. `pass_over`: the numbers of parts that are not to be read, as `tell` heard them
        when all began at the same unit.
        """
        self.depth: int = around.depth + 1 if around else 0
        self.allowance: Allowance = around.allowance if around else Allowance()
        self.limits: Limits = around.limits if around else limits
        self.count = 0  # the sections until now
        self._start = start
        self._hand_over = hand_over
        self._tell = tell
        self._pause_after = pause_after
        self._pass_over = pass_over
        self._handed_over_at = time.process_time()
        self._unit = 0  # the last that began
        self._given = start  # the last before which all was handed over
        self._is_cut = False  # by the reader; else each section is a unit
        self._part = 0  # the number of the part that is being read
        self._parts_begun = 0
        self._part_chars = 0  # since its last unit began
        self._is_part_cut = False  # by the units of a document inside of it
        self._outer: Draft | None = None  # whose units are those of this one, too
        self._begin_outer: Callable[[str], bool] = lambda place: True
        self._is_held = False  # what there is, until the part has ended
        self.is_taken = False  # something of it, by the document around it
        self._is_costly = False  # what is there to be handed over
        self._is_kept = start > 1  # what comes now is there already
        self._has_text = chars > 0  # in what was handed over
        self._examined = 0  # characters in which nothing was said
        self._parts: list[str] = []
        self._sections: list[Section] = []
        self._passed: list[Passed] = []
        self._base = self._length = chars

    def cut(self, place: str) -> bool:
        """Here begins a unit of the file, at a place that a person finds ("page 12"). Returns
        whether to read it: not when it is there already, and then nothing that is added of it, or
        said to be unread, counts. A reader calls this for each of its units, before anything else
        of it, and does of those that it leaves out what the next ones need (headings).

        Raises Paused, with all before this handed over.
        """
        self._is_cut = True
        return self._begin_outer(place) if self._outer else self._begin_cut(place)

    def uncut(self) -> None:
        """The last unit that the reader names by `cut` has ended."""
        self._is_cut = False

    @contextmanager
    def part(self, place: str) -> Iterator[bool]:
        """Something that can be read without what comes before it, and may take long (a message, a
        file inside of this one, a picture), in a document whose sections are units. Says whether
        to read it: not when all of it is there already; nor when it alone has used up a process,
        which is reported. In another part, or between two cuts, it is none of its own.

        Raises Paused, with all before this handed over.
        """
        if self._is_cut:
            yield not self._is_kept
            return
        around, last = self._part, self._unit
        self._parts_begun += 1
        self._part = self._parts_begun
        try:
            if not around:
                first = (self._unit // PART_UNITS + 1) * PART_UNITS
                last = first + PART_UNITS - 1
                if last < self._start:
                    self._is_kept = True
                    self.count += 1
                    yield False
                    return
                self._unit = first - 1
                self._part_chars = 0
                self._begin_cut(place)
            yield self._is_to_be_read(place)
            if around and self._is_part_cut:
                self._begin_unit("")  # what comes now is not of the other document's last unit
                self._part_chars = 0
        finally:
            self._part = around
            self._is_part_cut = False
            if not around:
                self._unit = last
                self._is_held = False
            if not isinstance(sys.exception(), MemoryError):  # which is of the part
                self._tell("", around)

    def inside(self, heading: str, page: str) -> "Draft":
        """A document inside of this one, to be appended below this heading. In a part its units are
        units of this one: what it has of each is appended when the next one begins.
        """
        inner = Draft(self)
        if self._part:
            inner._outer = self
            inner._begin_outer = lambda place: self._begin_unit_of(inner, heading, page, place)
        return inner

    def costs(self) -> None:
        """The unit under way has taken long: it waits for no other one to be handed over with, and
        who is killed at the next one has not lost it.
        """
        self._is_costly = True
        if self._outer:
            self._outer.costs()

    def add(
        self,
        text: str,
        *,
        page: int | None = None,
        heading: str = "",
        apart: bool = False,
        context: str = "",
        separator: str | None = None,
        recognised: bool = False,
    ) -> None:
        """Append a section; one without any visible character is left out, and a very long one is
        several. `separator` is the white space before it, an empty line if None.

        Raises PermanentError("too_large") past the limit of characters, or MAX_SECTIONS in a piece.
        """
        text = clean(text)
        if not text:
            return
        if len(text) > 2 * PIECE_CHARS:
            for space, block in _blocks(text):
                between = separator if space is None else space
                self.add(
                    block,
                    page=page,
                    heading=heading,
                    apart=apart and space is None,
                    context=context,
                    separator=between,
                    recognised=recognised,
                )
            return
        if self._part:
            self._add_to_part(len(text))
        elif not self._is_cut:
            behind = f"character {self._length:,}" if self._length else ""
            self._begin_unit(f"page {page}" if page else heading or behind)
        self.count += 1
        if self._is_kept:
            return
        if lost := text.count("\ufffd"):
            self.unread("lost_letter", count=lost)
        between = (SEPARATOR if separator is None else separator) if self._length else ""
        start = self._length + len(between)
        end = self._length = start + len(text)
        if end > self.limits.chars:
            most = f"{self.limits.chars:,}"
            raise PermanentError(
                "too_large",
                f"This document has over {most} characters; split it and upload the parts.",
            )
        if len(self._sections) == MAX_SECTIONS:
            raise PermanentError(
                "too_large",
                f"This document has over {MAX_SECTIONS:,} sections; split it and upload the parts.",
            )
        self._parts.append(between + text)
        place = (start - self._base, end - self._base, page, heading)
        self._sections.append(Section(*place, apart, clean(context), recognised))

    def unread(self, kind: str, place: str = "", count: int = 1, page: int | None = None) -> None:
        """Say what was passed over (`formats.unread`): things at a place, or a page as a whole,
        although there may be some words on it.
        """
        if not self._is_kept:
            self._passed.append(Passed(kind, place, count, page))

    def append(
        self,
        inner: "Draft",
        heading: str,
        page: str = "page",
        *,
        apart: bool = True,
        context: str = "",
    ) -> None:
        """Append another document's sections, below this heading. Their pages are none of this
        document's, so they become a part of it: "invoice.pdf, page 2", or what else a `page` is
        called. `context` comes before their own. Raises as `add`.
        """
        for number, (part, section) in enumerate(zip(inner._parts, inner._sections, strict=True)):
            text = part.lstrip()
            own = heading if section.page is None else f"{heading}, {page} {section.page}"
            self.add(
                text,
                heading=" > ".join(filter(None, (own, section.heading))),
                apart=section.apart or apart,
                context="\n".join(filter(None, (context, section.context))),
                separator=part[: len(part) - len(text)] if number else None,
                recognised=section.recognised,
            )
            apart = False
        for entry in inner._passed:
            if entry.kind == "lost_letter":
                continue  # said again with the text
            place = f"{heading}, {pages([entry.page], page)}" if entry.page is not None else heading
            if entry.place:
                place = f"{heading} > {entry.place}" if heading else entry.place
            self.unread(entry.kind, place, entry.count)
        inner.is_taken = inner.is_taken or bool(inner._sections or inner._passed)
        inner._base = inner._length
        inner._parts, inner._sections, inner._passed = [], [], []

    @property
    def text(self) -> str:
        """All of it until now, but for what was handed over."""
        return "".join(self._parts)

    @property
    def is_empty(self) -> bool:
        """Whether there is no letter and no digit in it yet."""
        has_some = any(any(map(str.isalnum, part)) for part in self._parts)
        return not (has_some or self.is_taken)

    @property
    def has_said(self) -> bool:
        """Whether it has said of something that it was not read."""
        return bool(self._passed)

    def finish(self, no_text: str) -> ParsedDocument:
        """The document, when nothing of it was handed over. Raises as `last`."""
        self._must_be_read(no_text)
        return ParsedDocument("".join(self._parts), tuple(self._sections), merged(self._passed))

    def last(self, no_text: str) -> Piece:
        """What was not handed over yet. Raises PermanentError("no_text") when hardly anything was
        read: there is no letter and no digit but on pages that were passed over. `no_text` is the
        sentence when nothing was passed over.
        """
        self._must_be_read(no_text)
        return self._piece(0, "")

    @property
    def is_in_pieces(self) -> bool:
        """Whether another process goes on where this one has had enough."""
        if self._outer:
            return self._is_cut and self._outer.is_in_pieces
        return self._hand_over is not None

    @property
    def passed(self) -> tuple[Passed, ...]:
        """What was passed over since something was handed over."""
        return tuple(self._passed)

    def _begin_cut(self, place: str) -> bool:
        self._begin_unit(place)
        is_first = self._unit == self._start  # of one process at least a unit
        if self._is_kept or self._hand_over is None or self._is_held or is_first:
            return not self._is_kept
        spent = time.process_time()
        is_late = spent > self._pause_after
        if is_late or self._is_costly or spent - self._handed_over_at > PIECE_SECONDS:
            self._give(place, is_late)
        if is_late:
            raise Paused
        return True

    def _is_to_be_read(self, place: str) -> bool:
        self._tell(place, self._part)
        if self._part not in self._pass_over:
            return True
        self._is_kept = False
        self._unit = max(self._unit, self._start)  # what of it is there already stays
        self.unread("slow_part", place)
        # Nobody is to come here again: at the end of all this, and not before, it is handed over.
        self._is_held = True
        self.costs()
        return False

    def _begin_unit_of(self, inner: "Draft", heading: str, page: str, place: str) -> bool:
        """As `cut`, for a document inside of a part."""
        self.append(inner, heading, page, apart=not inner.is_taken)
        self._is_part_cut = True
        if (self._unit + 1) % PART_UNITS:
            self._begin_cut(place)
        if self._is_kept:
            inner.is_taken = True
            return False
        self._tell(f"{heading}, {place}", self._part)
        return True

    def _add_to_part(self, chars: int) -> None:
        """A part has units, too; how it is divided depends on nothing but its text."""
        if self._is_part_cut:
            return
        if self._part_chars >= PIECE_CHARS and (self._unit + 1) % PART_UNITS:
            self._part_chars = 0
            self._begin_unit("")
        self._part_chars += chars

    def _begin_unit(self, place: str) -> None:
        self._unit += 1
        self._is_kept = self._unit < self._start
        if self._is_kept or self._hand_over is None:
            return
        if self._length - self._base >= PIECE_CHARS and not self._ends_with_a_title():
            self._give(place)
        if place and not self._part:
            self._tell(place, 0)

    def _ends_with_a_title(self) -> bool:
        """What says nothing without that which follows; but no piece has only such."""
        is_cut = self._is_cut or self._is_part_cut
        is_short = not is_cut and len(self._parts[-1]) < MAX_TITLE_CHARS
        return is_short and self._length - self._base < 2 * PIECE_CHARS

    def _give(self, place: str, anyhow: bool = False) -> None:
        """Hand over what there is. Not what says nothing: that is decided of the whole."""
        if self._hand_over is None or self._unit == self._given or self._is_held:
            return
        if not (anyhow or self._has_text or self._says_something()):
            return
        self._hand_over(self._piece(self._unit, place))
        self._given = self._unit
        self._handed_over_at = time.process_time()
        self._is_costly = False
        self._has_text = self._length > 0
        self._base = self._length
        self._parts, self._sections, self._passed = [], [], []

    def _says_something(self) -> bool:
        """Looked at again when there is twice as much."""
        if self._length < 2 * self._examined:
            return False
        self._examined = self._length
        return self._is_read()

    def _must_be_read(self, no_text: str) -> None:
        if not self._has_text and not self._is_read():
            found = [(entry.kind, entry.count) for entry in self._passed]
            raise PermanentError(
                "no_text", nothing_read(found, self.is_empty) if found else no_text
            )

    def _is_read(self) -> bool:
        passed = {entry.page for entry in self._passed if entry.page is not None}
        return any(
            any(map(str.isalnum, part))
            for part, section in zip(self._parts, self._sections, strict=True)
            if section.page not in passed
        )

    def _piece(self, unit: int, place: str) -> Piece:
        text = "".join(self._parts)
        return Piece(text, tuple(self._sections), tuple(self._passed), unit, place)


def _blocks(text: str) -> Iterator[tuple[str | None, str]]:
    """(the white space before it, a block) of a long text, cut between paragraphs if there are
    any, else between lines, else between words; None before the first one.
    """
    start = 0
    space: str | None = None
    while len(text) - start > PIECE_CHARS:
        limit = start + PIECE_CHARS
        ends = (text.rfind(mark, start + PIECE_CHARS // 2, limit) for mark in ("\n\n", "\n", " "))
        block = text[start : next((end for end in ends if end > 0), limit)].rstrip()
        yield space, block
        end = start + len(block)
        start = end + len(_SPACE.match(text, end)[0])  # type: ignore[index]  # matches anything
        space = text[end:start]
    yield space, text[start:]
