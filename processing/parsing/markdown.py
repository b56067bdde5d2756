"""Markdown stays as its author wrote it; we only find the headings (CommonMark's ATX and Setext,
outside of code).
"""

import re
from typing import IO

from processing.parsing.decoding import decode
from processing.parsing.draft import Draft, Outline, clean

NO_TEXT = "This file contains no text; check that it is the right one and upload it again."

# No title is longer; and the expressions below take quadratic time on long lines made for it.
MAX_TITLE_LINE = 1_000

_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))??(?:[ \t]+#+)?[ \t]*")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_NO_TITLE = re.compile(r" {4}|\t| {0,3}(?:[>|#]|[-*+][ \t]|\d{1,9}[.)][ \t]|[-=*_ \t]*$)")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_MARKS = re.compile(r"[*`]|(?<!\w)_+|_+(?!\w)|[ \t]*\{#[^}]*\}$")


def read(file: IO[bytes], draft: Draft) -> None:
    """One section per heading. Raises PermanentError: see `decode`."""
    lines = clean(decode(file.read())).split("\n")
    outline = Outline()
    start = _front_matter_end(lines)
    draft.add("\n".join(lines[:start]))
    fence = ""
    for number in range(start, len(lines)):
        line = lines[number]
        fence, in_code = _follow_fence(fence, line)
        heading = None if in_code else _heading(lines, number, start)
        if heading:
            draft.add("\n".join(lines[start:number]), heading=outline.path)
            start = number
            outline.enter(heading[0], _plain(heading[1]))
    draft.add("\n".join(lines[start:]), heading=outline.path)


def _front_matter_end(lines: list[str]) -> int:
    """The number of lines of YAML between two `---` at the very top; its last line would look like
    a Setext heading.
    """
    if lines[0] != "---":
        return 0
    return next(
        (number + 1 for number, line in enumerate(lines[1:200], 1) if line in ("---", "...")), 0
    )


def _follow_fence(fence: str, line: str) -> tuple[str, bool]:
    """(the fence open after this line, whether this line is code)."""
    match = _FENCE.fullmatch(line)
    if fence:
        closes = match and match[1].startswith(fence) and not match[2].strip()
        return ("" if closes else fence), True
    if match and not (match[1][0] == "`" and "`" in match[2]):
        return match[1], True
    return "", False


def _heading(lines: list[str], number: int, start: int) -> tuple[int, str] | None:
    """(level, title) of a heading that begins on this line. Of Setext headings only those of one
    line: more are rules, mostly.
    """
    line = lines[number]
    if len(line) > MAX_TITLE_LINE:
        return None
    if atx := _ATX.fullmatch(line):
        return len(atx[1]), atx[2] or ""
    below = _UNDERLINE.fullmatch(lines[number + 1]) if number + 1 < len(lines) else None
    opens = number == start or not lines[number - 1] or _ATX.fullmatch(lines[number - 1])
    if below and opens and not _NO_TITLE.match(line):
        return (1 if below[1][0] == "=" else 2), line
    return None


def _plain(title: str) -> str:
    return _MARKS.sub("", _LINK.sub(r"\1", title))
