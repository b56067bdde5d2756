"""Collects a document's sections while a reader walks through it, and keeps the heading path."""

import re
from dataclasses import dataclass

from formats.unread import nothing_read, pages
from processing.errors import PermanentError
from processing.parsing.model import ParsedDocument, Section
from processing.parsing.unread import Passed, merged

# More than the largest upload (50 MiB) can hold as plain text; an inflated archive can hold more.
MAX_CHARS = 60_000_000
MAX_SECTIONS = 200_000  # the longest good documents that we know have 30,000
MAX_TITLE_CHARS = 200
MAX_PATH_CHARS = 500
SEPARATOR = "\n\n"

# PostgreSQL stores neither NUL nor surrogates; the other control characters would only show as
# boxes. The soft hyphen and the byte order mark show as nothing at all, but keep a word from being
# found.
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\xad\ufeff]")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_BLANK_LINES = re.compile(r"\n{3,}")


def clean(text: str) -> str:
    """The text as it is stored and cited: `\\n` line ends, at most one blank line, nothing that
    PostgreSQL refuses.
    """
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

    def takes(self, size: int) -> bool:
        """Whether there was room for one more file; then it is counted."""
        if self.files < 1 or size > self.bytes:
            return False
        self.files -= 1
        self.bytes -= size
        return True


class Draft:
    """A document under construction; one inside of another has a `depth` of 1, and shares its
    `allowance`.
    """

    def __init__(self, around: "Draft | None" = None) -> None:
        self.depth: int = around.depth + 1 if around else 0
        self.allowance: Allowance = around.allowance if around else Allowance()
        self._parts: list[str] = []
        self._sections: list[Section] = []
        self._passed: list[Passed] = []
        self._length = 0

    def add(
        self,
        text: str,
        *,
        page: int | None = None,
        heading: str = "",
        apart: bool = False,
        context: str = "",
        separator: str | None = None,
    ) -> None:
        """Append a section; one without any visible character is left out. `separator` is the white
        space before it, an empty line if None.

        Raises PermanentError("too_large") past MAX_CHARS of text or MAX_SECTIONS.
        """
        text = clean(text)
        if not text:
            return
        between = (SEPARATOR if separator is None else separator) if self._parts else ""
        start = self._length + len(between)
        end = self._length = start + len(text)
        if end > MAX_CHARS:
            raise PermanentError(
                "too_large",
                f"This document has over {MAX_CHARS:,} characters; split it and upload the parts.",
            )
        if len(self._parts) == MAX_SECTIONS:
            raise PermanentError(
                "too_large",
                f"This document has over {MAX_SECTIONS:,} headings; split it and upload the parts.",
            )
        self._parts.append(between + text)
        self._sections.append(Section(start, end, page, heading, apart, clean(context)))

    def unread(self, kind: str, place: str = "", count: int = 1, page: int | None = None) -> None:
        """Say what was passed over (`formats.unread`): things at a place, or a page as a whole,
        although there may be some words on it.
        """
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
                apart=section.apart or (apart and not number),
                context="\n".join(filter(None, (context, section.context))),
                separator=part[: len(part) - len(text)] if number else None,
            )
        for entry in inner._passed:
            place = f"{heading}, {pages([entry.page], page)}" if entry.page is not None else heading
            if entry.place:
                place = f"{heading} > {entry.place}" if heading else entry.place
            self.unread(entry.kind, place, entry.count)

    @property
    def count(self) -> int:
        """The sections until now."""
        return len(self._sections)

    @property
    def text(self) -> str:
        """All of it until now."""
        return "".join(self._parts)

    @property
    def is_empty(self) -> bool:
        """Whether there is no letter and no digit in it yet."""
        return not any(any(map(str.isalnum, part)) for part in self._parts)

    @property
    def has_said(self) -> bool:
        """Whether it has said of something that it was not read."""
        return bool(self._passed)

    def finish(self, no_text: str) -> ParsedDocument:
        """The document. Raises PermanentError("no_text") when hardly anything was read: there is no
        letter and no digit but on pages that were passed over. `no_text` is the sentence when
        nothing was passed over.
        """
        passed = {entry.page for entry in self._passed if entry.page is not None}
        read = (
            any(map(str.isalnum, part))
            for part, section in zip(self._parts, self._sections, strict=True)
            if section.page not in passed
        )
        if not any(read):
            found = [(entry.kind, entry.count) for entry in self._passed]
            raise PermanentError(
                "no_text", nothing_read(found, self.is_empty) if found else no_text
            )
        return ParsedDocument("".join(self._parts), tuple(self._sections), merged(self._passed))
