r"""RTF by Microsoft's specification 1.9.1: paragraphs, tables, headings by their styles, footnotes;
headers and footers once, at the end.

On PyPI: striprtf gives neither headings nor tables, nor the letters of fonts that are in another
code page than the document.
"""

import re
from dataclasses import dataclass, replace
from html import escape
from typing import IO

from processing.errors import PermanentError
from processing.parsing.draft import Draft, Outline
from processing.parsing.drawing import is_exponent
from processing.parsing.flow import Flow
from processing.parsing.sentences import DAMAGED
from processing.parsing.symbols import RUBY

NO_TEXT = (
    "This document contains no text; if its pages are images, "
    "run text recognition (OCR) and upload the result."
)
MAX_DEPTH = 500  # of groups; deeper ones are read like those around them
MAX_COLUMNS = 500

_TOKEN = re.compile(
    rb"\\([a-zA-Z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-fA-F]{2})|\\([^a-zA-Z'])|([{}])"
    rb"|([^\\{}\r\n]+)|[\r\n]+|\\'?",
    re.DOTALL,
)
_BITMAP = re.compile(rb"\\(?:png|jpeg)blip")  # the others are drawings for Windows
_CONTROL = re.compile(rb"\\[a-z]{1,32}-?\d{0,10}")
# In a group that nobody reads, only what may end it counts.
_SKIPPED = re.compile(rb"\\bin(\d{1,9}) ?|\\[\\{}]|([{}])")
_SILENT = frozenset(
    b"colortbl pict objdata objclass objname fldinst datafield formfield themedata "
    b"colorschememapping datastore latentstyles xmlnstbl rsidtbl listtable listoverridetable "
    b"generator mmathPr private template filetbl revtbl bkmkstart bkmkend xe tc txe rxe "
    b"nonshppict pntxta pntxtb panose falt sp sn sv blipuid picprop listpicture "
    b"wgrffmtfilter userprops docvar mailmerge passwordhash protusertbl ftnsep ftnsepc "
    b"aftnsep aftnsepc atnid atnref atndate atntime bookmark atrfstart atrfend author "
    b"operator keywords doccomm company manager category hlinkbase creatim revtim printim "
    b"buptim subject nesttableprops fontemb fontfile mhtmltag oldcprops oldpprops pgptbl "
    b"background levelmarker leveltext levelnumbers listname shprslt".split()
)
# Starred groups that hold text.
_SHOWN = frozenset(b"shpinst shptxt shppict shpgrp do footnote annotation listtext".split())
# What a group is a part of, beside the body and headers.
_PARTS = frozenset(b"fonttbl stylesheet info title footnote annotation listtext".split())
_ASIDE = {b"footnote": "Footnotes", b"endnote": "Endnotes", b"annotation": "Comments"}
_STORIES = frozenset(b"header headerl headerr headerf footer footerl footerr footerf".split())
_SIGNS = {
    b"tab": "\t", b"line": "\n", b"emdash": "—", b"endash": "–", b"lquote": "‘", b"rquote": "’",
    b"ldblquote": "“", b"rdblquote": "”", b"bullet": "•", b"emspace": " ", b"enspace": " ",
    b"qmspace": " ", b"zwj": "\u200d", b"zwnj": "\u200c", b"nestcell": "\t", b"nestrow": "\n",
    b"softline": "\n",
}  # fmt: skip
_SYMBOLS = {b"~": "\xa0", b"_": "-", b"\\": "\\", b"{": "{", b"}": "}", b"\n": "\n", b"\r": "\n"}
# The code pages of \fcharset.
_CHARSETS = {
    0: "cp1252", 77: "mac_roman", 128: "cp932", 129: "cp949", 130: "johab", 134: "gb18030",
    136: "big5hkscs", 161: "cp1253", 162: "cp1254", 163: "cp1258", 177: "cp1255", 178: "cp1256",
    186: "cp1257", 204: "cp1251", 222: "cp874", 238: "cp1250", 255: "cp437",
}  # fmt: skip
_HEADING = re.compile(
    r"(?:heading|überschrift|titre|título|titolo|kop|rubrik) ?(\d)", re.IGNORECASE
)


def read(file: IO[bytes], draft: Draft) -> None:
    """Raises PermanentError: `corrupt`; and as `Draft.add`."""
    data = file.read()
    if b"{\\rtf" not in data[:1_000] and b"{\\urtf" not in data[:1_000]:
        raise PermanentError("corrupt", DAMAGED)
    reader = _Reader(data, draft)
    reader.read()
    if reader.is_cut_off:
        draft.unread("damaged_file")
    if reader.pictures:
        draft.unread("picture", count=reader.pictures)
    if reader.hidden:
        draft.unread("hidden_part", count=reader.hidden)


def text_of(data: bytes) -> str:
    """The text of an RTF without its places."""
    draft = Draft()
    _Reader(data, draft).read()
    return draft.text


def html_of(data: bytes) -> str:
    r"""The HTML that was wrapped in RTF, [MS-OXRTFEX]; empty where it was made of none."""
    return _Wrapped(data).html() if b"\\fromhtml" in data[:1_000] else ""


@dataclass(slots=True)
class _Group:
    codec: str = "cp1252"
    skip: int = 1  # characters after \u that say the same for old programs
    hidden: bool = False
    deleted: bool = False
    raised: bool = False
    story: bytes = b""  # what it is a part of, beside the body: a table of fonts, a footer
    style: int = -1  # in the table of styles
    font: int = -1
    in_table: bool = False
    level: int | None = None  # of the heading that the paragraph is


class _Reader:
    """One document."""

    def __init__(self, data: bytes, draft: Draft) -> None:
        self._data = data
        self._draft = draft
        self._outline = Outline()
        self._flow = Flow(draft)
        self._group = _Group()
        self._outer: list[_Group] = []
        self._deeper = 0
        self._default = "cp1252"
        self._fonts: dict[int, str] = {}
        self._levels: dict[int, int] = {}  # of headings, by the number of their style
        self._style_name = ""
        self._bytes = bytearray()
        self._left = 0
        self._text: list[str] = []
        self._cells: list[str] = []
        self._rows: list[list[str]] = []
        self._stories: dict[bytes, list[str]] = {}
        self._boxes: list[str] = []  # that stand behind the paragraph
        self._was_hidden = False
        self.hidden = 0
        self.pictures = 0
        self.is_cut_off = False

    def read(self) -> None:
        position, starred = 0, False
        data = self._data
        while match := _TOKEN.match(data, position):
            position = match.end()
            word, number, code, symbol, brace, text = match.groups()
            if text is not None:
                self._take_bytes(text)
            elif word is not None:
                value = int(number) if number is not None else None
                if word == b"bin":
                    position += max(value or 0, 0)
                elif self._is_silent(word, starred):
                    end = self._end_of_group(position)
                    if word == b"pict":
                        self._picture(position, end)
                    elif word == b"fldinst":
                        self._say(self._base_of_ruby(position, end))
                    position = end
                else:
                    self._word(word, value)
            elif code is not None:
                self._take_bytes(bytes([int(code, 16)]))
            elif symbol is not None:
                starred = symbol == b"*"
                if symbol in _SYMBOLS:
                    self._say(_SYMBOLS[symbol])
                continue
            elif brace == b"{":
                self._open()
            elif brace == b"}":
                self._close()
                if not self._outer and not self._deeper:
                    break
            starred = False
        self.is_cut_off = bool(self._outer or self._deeper)
        self._finish()

    # Groups

    def _is_silent(self, word: bytes, starred: bool) -> bool:
        if word in _SILENT:
            return True
        return starred and word not in _SHOWN and word not in _STORIES

    def _end_of_group(self, position: int) -> int:
        """Behind what is skipped, before the brace that ends it."""
        depth = 0
        while match := _SKIPPED.search(self._data, position):
            position = match.end()
            if match[1]:
                position += int(match[1])
            elif match[2] == b"{":
                depth += 1
            elif match[2] == b"}":
                if not depth:
                    return match.start()
                depth -= 1
        return len(self._data)

    def _open(self) -> None:
        self._flush()
        if len(self._outer) == MAX_DEPTH:
            self._deeper += 1
            return
        self._outer.append(self._group)
        self._group = replace(self._group)

    def _close(self) -> None:
        self._flush()
        if self._deeper:
            self._deeper -= 1
        elif self._outer:
            if self._group.story == b"stylesheet":
                self._end_style()
            ended, self._group = self._group, self._outer.pop()
            if self._group.story != ended.story:
                self._end_part(ended.story)

    def _end_part(self, part: bytes) -> None:
        """What stands aside is a line of its own; the drawn number of a paragraph, in it."""
        if part in _ASIDE:
            self._stories.setdefault(part, []).append("\n")
        elif part == b"box":
            self._boxes.append("".join(self._stories.pop(part, [])))
        elif part == b"listtext":
            sign = "".join(self._stories.pop(part, [])).strip()
            is_number = any(map(str.isalnum, sign)) and sign != "o"  # Word's second bullet
            self._write(f"{sign if is_number else '-'} " if sign else "")

    # Words

    def _word(self, word: bytes, value: int | None) -> None:
        group = self._group
        if word == b"u" and value is not None:
            self._say(chr(value % 0x10000))
            self._left = group.skip
            return
        self._flush()
        self._left = 0
        match word:
            case b"uc":
                group.skip = min(max(value or 0, 0), 10)
            case b"ansicpg" if value:
                self._default = group.codec = _codec(f"cp{value}")
            case b"mac" | b"pc" | b"pca":
                self._default = {b"mac": "mac_roman", b"pc": "cp437", b"pca": "cp850"}[word]
                group.codec = self._default
            case b"f" if value is not None:
                group.font = value
                if group.story != b"fonttbl":
                    group.codec = self._fonts.get(value, self._default)
            case b"fcharset" if group.story == b"fonttbl":
                known = _CHARSETS.get(value or 0, self._default)
                self._fonts[group.font] = self._default if not value else known
            case b"cpg" if group.story == b"fonttbl" and value:
                self._fonts[group.font] = _codec(f"cp{value}")
            case b"super":
                group.raised = value != 0
            case b"nosupersub":
                group.raised = False
            case b"plain":
                group.hidden = group.raised = False
                group.codec = self._default
            case b"v":
                group.hidden = value != 0
            case b"deleted":
                group.deleted = value != 0
            case b"ftnalt" if group.story == b"footnote":
                group.story = b"endnote"
            case b"shptxt" | b"dptxbxtext":
                group.story = group.story or b"box"  # one in a footer is a part of it
            case b"pntext":
                group.story = b"listtext"
            case _ if word in _STORIES or word in _PARTS:
                group.story = word
            case _:
                self._layout(word, value)

    def _layout(self, word: bytes, value: int | None) -> None:
        group = self._group
        if group.story == b"stylesheet":
            if word == b"s":
                group.style = value or 0
            elif word == b"outlinelevel" and value is not None and group.style >= 0:
                self._levels[group.style] = value + 1
            return
        match word:
            case b"pard":
                group.in_table, group.level = False, None
            case b"intbl" | b"itap":
                group.in_table = value != 0
            case b"s":
                group.level = self._levels.get(value or 0)
            case b"outlinelevel" if value is not None:
                group.level = value + 1 if value < 9 else None
            case b"par" | b"sect" | b"page" | b"column":
                self._end_paragraph(word)
            case b"cell":
                self._end_cell()
            case b"row":
                self._end_row()
            case _ if word in _SIGNS:
                self._say(_SIGNS[word])

    def _picture(self, start: int, end: int) -> None:
        """Those in a table stand before it."""
        content = self._data[start:end]
        digits = b""
        if _BITMAP.search(content[:1_000]):
            digits = b"".join(_CONTROL.split(content.rpartition(b"}")[2])[-1].split())
        try:
            data = bytes.fromhex(digits.decode("ascii"))
        except ValueError:
            data = b""
        if not data or self._flow.picture(data) == "unread":
            self.pictures += 1

    def _base_of_ruby(self, start: int, end: int) -> str:
        """Of a field that shows a word with how it is read above it, the word."""
        code = self._data[start:end]
        if b"EQ" not in code or b"\\o" not in code:
            return ""
        fonts = b"{\\rtf1\\ansi\\uc%d " % self._group.skip
        found = RUBY.search(text_of(fonts + code + b"}"))
        return found[1] if found else ""

    # Text

    def _take_bytes(self, text: bytes) -> None:
        if self._left:
            dropped = min(self._left, len(text))
            self._left -= dropped
            text = text[dropped:]
        self._bytes += text

    def _flush(self) -> None:
        if self._bytes:
            content = bytes(self._bytes)
            self._bytes.clear()
            self._write(content.decode(self._group.codec, "replace"))

    def _say(self, text: str) -> None:
        self._flush()
        if self._left:
            self._left -= 1
            return
        self._write(text)

    def _write(self, text: str) -> None:
        group = self._group
        if group.deleted or group.story in (b"fonttbl", b"info"):
            return
        if group.hidden:
            self.hidden += not self._was_hidden and any(map(str.isalnum, text))
            self._was_hidden = True
            return
        self._was_hidden = False
        if group.story == b"stylesheet":
            self._style_name += text
        elif group.story:
            self._stories.setdefault(group.story, []).append(text)
        else:
            before = self._text[-1] if self._text else ""
            if group.raised and is_exponent(text) and before[-1:].isdigit():
                self._text.append("^")  # a power, not more digits
            self._text.append(text)

    def _end_style(self) -> None:
        name, self._style_name = self._style_name, ""
        if (found := _HEADING.match(name.strip(" ;"))) and self._group.style >= 0:
            self._levels.setdefault(self._group.style, int(found[1]))

    def _end_paragraph(self, word: bytes) -> None:
        if self._group.story:
            self._write("\n")
        elif self._group.in_table and (self._cells or word == b"par"):
            self._text.append("\n")
        else:
            self._end_table()
            self._line()

    def _line(self) -> None:
        text = self._taken()
        if self._group.level and text.strip():
            self._flow.end()
            self._flow.heading = self._outline.enter(self._group.level, text)
        self._flow.line(text)
        self._end_boxes()

    def _end_boxes(self) -> None:
        for text in self._boxes:
            self._flow.line(_joined(text).strip())
        self._boxes = []

    def _end_cell(self) -> None:
        if len(self._cells) < MAX_COLUMNS and not self._group.story:
            self._cells.append(self._taken().strip())

    def _end_row(self) -> None:
        if not self._group.story and self._cells:
            self._rows.append(self._cells)
            self._cells = []

    def _end_table(self) -> None:
        if self._rows:
            self._flow.table(self._rows)
            self._rows = []
            self._end_boxes()

    def _taken(self) -> str:
        """The paragraph; pairs of \\u are one letter."""
        text = "".join(self._text)
        self._text = []
        return _joined(text)

    def _finish(self) -> None:
        self._flush()
        if self._cells:
            self._end_row()
        self._end_table()
        self._line()
        self._flow.end()
        said: dict[str, None] = {}
        for story in (*sorted(_STORIES), *_ASIDE):  # the properties' title is no part of the pages
            lines = _joined("".join(self._stories.get(story, []))).split("\n")
            text = "\n".join(line.strip() for line in lines)
            if text.strip() not in said:
                said[text.strip()] = None
                self._draft.add(text, heading=_ASIDE.get(story, ""))


class _Wrapped(_Reader):
    """The HTML inside."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data, Draft())
        self._out: list[str] = []
        self._is_rtf = False

    def html(self) -> str:
        self.read()
        return _joined("".join(self._out))

    def _is_silent(self, word: bytes, starred: bool) -> bool:
        return word != b"htmltag" and super()._is_silent(word, starred)

    def _word(self, word: bytes, value: int | None) -> None:
        if word == b"htmltag":
            self._flush()
            self._group.story = word
        elif word == b"htmlrtf":
            self._flush()
            self._is_rtf = value != 0
        else:
            super()._word(word, value)

    def _write(self, text: str) -> None:
        if self._group.story == b"htmltag":
            self._out.append(text)
        elif not self._group.story and not self._is_rtf:
            self._out.append(escape(text, quote=False))

    def _layout(self, word: bytes, value: int | None) -> None:
        if word == b"par":
            self._write("\n")
        elif word in _SIGNS and self._group.story != b"stylesheet":
            self._say(_SIGNS[word])

    def _finish(self) -> None:
        self._flush()


def _codec(name: str) -> str:
    try:
        return name if "".encode(name) == b"" else "cp1252"
    except LookupError:
        return {"cp65001": "utf-8", "cp10000": "mac_roman"}.get(name, "cp1252")


def _joined(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
