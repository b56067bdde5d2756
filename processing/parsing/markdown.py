"""Markdown stays as its author wrote it; we only find the headings (CommonMark's ATX and Setext,
outside of code) and the tables. HTML in it is read as HTML, and pictures in it are no text.
"""

import re
from html import unescape
from typing import IO

from processing.parsing.decoding import decode
from processing.parsing.draft import Draft, Outline, clean
from processing.parsing.html import inline_picture, read_markup
from processing.parsing.picture import add_shown
from processing.parsing.tables import column_names, names_line

NO_TEXT = "This file contains no text; check that it is the right one and upload it again."

# No title is longer; and the expressions below take quadratic time on long lines made for it.
MAX_TITLE_LINE = 1_000

_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))??(?:[ \t]+#+)?[ \t]*")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_NO_TITLE = re.compile(r" {4}|\t| {0,3}(?:[>|#]|[-*+][ \t]|\d{1,9}[.)][ \t]|[-=*_ \t]*$)")
# Lines that CommonMark takes for HTML up to the next empty one.
_HTML = re.compile(
    r" {0,3}</?(?:address|article|aside|blockquote|body|center|dd|details|dialog|div|dl|dt|fieldset"
    r"|figcaption|figure|footer|form|h[1-6]|header|hr|html|iframe|legend|li|main|nav|ol|p|section"
    r"|summary|table|tbody|td|tfoot|th|thead|tr|ul|img|picture)(?:[\s>]|/>|$)",
    re.IGNORECASE,
)
# Those that go on to their own end, over empty lines too.
_RAW = re.compile(r" {0,3}<(pre|script|style|textarea)(?:[\s>]|$)", re.IGNORECASE)
_RAW_END = re.compile(r"</(pre|script|style|textarea)>", re.IGNORECASE)
MAX_RULE_LINE = 2_000
_RULE = re.compile(r"\s*\|?(?:\s*:?-+:?\s*\|)*(?:\s*:?-+:?\s*)?")
_BAR = re.compile(r"(?<!\\)\|")
# A picture that a text holds itself.
PICTURE = re.compile(r"data:[\w.+-]+/[\w.+-]+(?:;[\w.=-]+)*;base64,[\w+/=%-]*")
_BEGIN, _END = "\ue0f0", "\ue0f1"  # of private use: they mean nothing in a file
_MARK = re.compile(f"{_BEGIN}(\\d*){_END}")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_MARKS = re.compile(r"\\([!-/:-@\[-`{-~])|[*`]|(?<!\w)_+|_+(?!\w)|[ \t]*\{#[^}]*\}$")


def read(file: IO[bytes], draft: Draft) -> None:
    """One section per heading; tables are sections of their own. Raises PermanentError: see
    `decode`.
    """
    read_text(decode(file.read()), draft, Outline())


def read_text(text: str, draft: Draft, outline: Outline) -> None:
    """The same for a text; `outline` goes on from where it stands (the cells of a notebook)."""
    pictures = _Pictures(draft, outline)
    lines = _without_comments(clean(pictures.marked(text)).split("\n"))
    start = _front_matter_end(lines)
    pictures.add(lines[:start])
    _read_body(lines, start, draft, outline, pictures)


class _Pictures:
    """The pictures that the text holds itself: a mark stands for each until it is added."""

    def __init__(self, draft: Draft, outline: Outline) -> None:
        self._draft = draft
        self._outline = outline
        self._sources: list[str] = []

    def marked(self, text: str) -> str:
        def mark(match: re.Match[str]) -> str:
            self._sources.append(match[0])
            return f"{_BEGIN}{len(self._sources) - 1}{_END}"

        return PICTURE.sub(mark, _MARK.sub("", text))

    def restored(self, text: str) -> str:
        """With the pictures themselves."""
        return _MARK.sub(lambda match: self._sources[int(match[1])], text)

    def add(self, lines: list[str], context: str = "") -> None:
        """Add the lines, then what is written in their pictures."""
        text = "\n".join(lines)
        self._draft.add(_MARK.sub("", text), heading=self._outline.path, context=context)
        for match in _MARK.finditer(text):
            if data := inline_picture(self._sources[int(match[1])]):
                add_shown(data, self._draft, heading=self._outline.path)


def _read_body(
    lines: list[str], start: int, draft: Draft, outline: Outline, pictures: _Pictures
) -> None:
    fence = ""
    ends = _raw_ends(lines)
    number = start
    while number < len(lines):
        fence, in_code = _follow_fence(fence, lines[number])
        end = number if in_code else _block_end(lines, number, ends)
        if end > number:
            pictures.add(lines[start:number])
            block = lines[number:end]
            if _HTML.match(block[0]) or _RAW.match(block[0]):
                markup = pictures.restored("\n".join(block))
                read_markup(markup, draft, outline, titled=False)
            else:
                names = names_line(column_names([_cells(block[0])]))
                pictures.add(block, names)
            start = number = end
            continue
        heading = None if in_code else _heading(lines, number, start)
        if heading:
            pictures.add(lines[start:number])
            start = number
            outline.enter(heading[0], _plain(heading[1]))
        number += 1
    pictures.add(lines[start:])


def _without_comments(lines: list[str]) -> list[str]:
    """Nobody sees them; those in code are code, and what never ends is none."""
    kept = []
    fence, is_open = "", False
    last = max((number for number, line in enumerate(lines) if "-->" in line), default=-1)
    for number, line in enumerate(lines):
        if number > last:
            kept.append(line)
            continue
        if not is_open:
            fence, in_code = _follow_fence(fence, line)
            if in_code:
                kept.append(line)
                continue
        shown = []
        while line:
            if is_open:
                _, end, line = line.partition("-->")
                is_open = not end
            else:
                before, begin, line = line.partition("<!--")
                is_open = bool(begin) and (number < last or "-->" in line)
                shown.append(before if is_open or not begin else before + begin)
        kept.append("".join(shown))
    return kept


def _raw_ends(lines: list[str]) -> dict[str, int]:
    """The last line in which raw HTML of a kind ends."""
    return {
        end[1].lower(): number
        for number, line in enumerate(lines)
        for end in _RAW_END.finditer(line)
    }


def _block_end(lines: list[str], number: int, ends: dict[str, int]) -> int:
    """Behind the last line of a table or of HTML that begins here; `number` where none does."""
    raw = _RAW.match(lines[number])
    if raw and ends.get(raw[1].lower(), -1) >= number:
        close = f"</{raw[1].lower()}>"
        return next(n for n in range(number, len(lines)) if close in lines[n].lower()) + 1
    is_table = number + 1 < len(lines) and _is_table(lines[number], lines[number + 1])
    if not is_table and not _HTML.match(lines[number]):
        return number
    end = number + 1
    while end < len(lines) and lines[end].strip() and ("|" in lines[end] or not is_table):
        end += 1
    return end


def _is_table(line: str, below: str) -> bool:
    return (
        "|" in line
        and "|" in below
        and len(below) <= MAX_RULE_LINE
        and _RULE.fullmatch(below) is not None
        and len(_cells(line)) == len(_cells(below))
    )


def _cells(line: str) -> list[str]:
    """Of a row of a table; a bar behind a backslash is text."""
    line = line.strip().removeprefix("|").removesuffix("|")
    return [cell.strip().replace("\\|", "|") for cell in _BAR.split(line)]


def _front_matter_end(lines: list[str]) -> int:
    """The number of lines of YAML between two `---`, or of TOML between two `+++`, at the very top;
    its last line would look like a Setext heading.
    """
    ends = {"---": ("---", "..."), "+++": ("+++",)}.get(lines[0], ())
    return next((number + 1 for number, line in enumerate(lines[1:200], 1) if line in ends), 0)


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
    """As it is shown: without marks; what stands behind a backslash is none."""
    return _MARKS.sub(lambda mark: mark[1] or "", unescape(_LINK.sub(r"\1", title)))
