"""DOC of Word 97 to 2003 by [MS-DOC], and of Word 6 and 95 as far as their text goes: paragraphs,
tables, headings; then footnotes, headers, comments and text boxes.

On PyPI: msdoc2docx writes Word documents out of it, at ten times the code, and is half a year old;
legacy-doc gives text without tables and headings.
"""

import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from processing.errors import PermanentError
from processing.parsing.decoding import decode
from processing.parsing.draft import Draft, Outline
from processing.parsing.flow import Flow
from processing.parsing.old_pictures import pictures, show_pictures
from processing.parsing.old_word_numbers import numbers_of, styles_of
from processing.parsing.ole import Container
from processing.parsing.sentences import DAMAGED, ENCRYPTED
from processing.parsing.symbols import RUBY

NO_TEXT = (
    "This document contains no text; if its pages are images, "
    "run text recognition (OCR) and upload the result."
)
MAX_COLUMNS = 500
_MOST_LISTS = 0x7FE

_WORD_6_MARKS = (0xA5DC, 0xA5EC, 0xA59B, 0xA59C)
_WORD_97 = 0xC1  # the version of the format from which on there is a table of pieces
_ENCRYPTED, _TABLE_1 = 0x0100, 0x0200
_COUNTS, _CLX, _CHARACTERS, _PARAGRAPHS = 0x4C, 0x1A2, 0xFA, 0x102
_STYLES, _LISTS, _OVERRIDES = 0xA2, 0x2E2, 0x2EA
_PAGE_BYTES = 512
_IN_TABLE, _ROW_END, _LEVEL, _DELETED, _HIDDEN = 0x2416, 0x2417, 0x2640, 0x0800, 0x083C
_LIST, _LIST_LEVEL = 0x460B, 0x260A
_OPERANDS = {0: 1, 1: 1, 2: 2, 3: 4, 4: 2, 5: 2, 7: 3}
MAX_CODE_CHARS = 1_000
_SIGNS = str.maketrans(
    {0x0B: "\n", 0x0C: "\n", 0x0E: "\n", 0x1E: "-", 0x1F: None, 0x01: None, 0x02: None, 0x03: None}
    | {0x04: None, 0x05: None, 0x08: None, 0x28: "("}
)


def read(file: IO[bytes], draft: Draft) -> None:
    """Raises PermanentError: `encrypted`, `corrupt`."""
    container = Container(file)
    data = container.read("WordDocument")
    if len(data) < 0x60 or struct.unpack_from("<H", data)[0] not in _WORD_6_MARKS:
        raise PermanentError("corrupt", DAMAGED)
    version, flags = struct.unpack_from("<H", data, 2)[0], struct.unpack_from("<H", data, 10)[0]
    if flags & _ENCRYPTED:
        raise PermanentError("encrypted", ENCRYPTED)
    if version < _WORD_97:
        _read_old(data, draft)
        return
    table = container.read("1Table" if flags & _TABLE_1 else "0Table")
    try:
        document = _Document(data, table)
    except (struct.error, IndexError, ValueError) as error:
        raise PermanentError("corrupt", DAMAGED) from error
    _Writer(document, draft).write()
    for stream in (container.read("Data"), data):
        show_pictures(pictures(stream), draft)
    if any(name.startswith("ObjectPool/") for name in container.names):
        pools = {name.split("/")[1] for name in container.names if name.startswith("ObjectPool/")}
        draft.unread("embedded_file", count=len(pools))


def _read_old(data: bytes, draft: Draft) -> None:
    """Word 6 and 95: what stands between two places, in one code page."""
    start, end = struct.unpack_from("<II", data, 0x18)
    text = decode(data[start:end].replace(b"\0", b"")) if start < end <= len(data) else ""
    if not text:
        raise PermanentError("corrupt", DAMAGED)
    flow = Flow(draft)
    for line in _without_codes(text).translate(_SIGNS).replace("\x07", "\t").split("\r"):
        flow.line(line)
    flow.end()


@dataclass(slots=True)
class _Paragraph:
    text: str
    level: int | None = None
    in_table: bool = False
    ends_row: bool = False
    list: int = 0
    list_level: int = 0


class _Document:
    """The whole text, in which all parts follow each other, and how it is formatted."""

    def __init__(self, data: bytes, table: bytes) -> None:
        """Raises struct.error, IndexError, ValueError where it is damaged."""
        self._data = data
        self._table = table
        counts = struct.unpack_from("<8i", data, _COUNTS)
        body, notes, heads, _, comments, ends, boxes, head_boxes = (max(n, 0) for n in counts)
        self.parts = (body, notes, heads, comments, ends, boxes, head_boxes)
        self._pieces = self._find_pieces()
        if not self._pieces:
            raise ValueError("no pieces")
        self._starts = [start for start, *_ in self._pieces]
        self._styles = self._runs(_PARAGRAPHS, self._paragraph_page)
        self._firsts = [first for first, *_ in self._styles]
        self._sheet = styles_of(self._part(_STYLES))
        # What belongs to these two stands behind them.
        self.numbers = numbers_of(self._behind(_LISTS), self._behind(_OVERRIDES))
        characters = [
            (first, last, {code for code, value in _codes(codes) if value & 1})
            for first, last, codes in self._runs(_CHARACTERS, self._character_page)
        ]
        deleted = [(first, last) for first, last, codes in characters if _DELETED in codes]
        hidden = list(
            _in_a_row(
                (first, last)
                for first, last, codes in characters
                if _HIDDEN in codes and _DELETED not in codes
            )
        )
        self.text = "".join(self._decoded(piece, deleted + hidden) for piece in self._pieces)
        # Stretches of words that are not shown.
        self.hidden = sum(self._has_words(piece, part) for piece in self._pieces for part in hidden)

    def paragraphs(self, start: int, end: int) -> Iterator[_Paragraph]:
        """Those of a part of the text."""
        while start < end:
            ends = [at for sign in "\r\x07\x0c" if (at := self.text.find(sign, start, end)) >= 0]
            at = min(ends, default=end - 1)
            paragraph = _Paragraph(self.text[start : at + 1].replace("\0", ""))
            style, codes = self._style_at(at)
            if 1 <= style <= 9:
                paragraph.level = style
            if style < len(self._sheet):
                codes = self._sheet[style] + codes
            for code, value in _codes(codes):
                if code == _LEVEL:
                    paragraph.level = value + 1 if value < 9 else None
                elif code == _IN_TABLE:
                    paragraph.in_table = bool(value)
                elif code == _ROW_END:
                    paragraph.ends_row = bool(value)
                elif code == _LIST:  # above 0x7FF: those of Word 6
                    paragraph.list = value if value <= _MOST_LISTS else 0
                elif code == _LIST_LEVEL:
                    paragraph.list_level = value
            yield paragraph
            start = at + 1

    def _part(self, place: int) -> bytes:
        """Of the other stream, what this place says."""
        start, size = struct.unpack_from("<II", self._data, place)
        return self._table[start : start + size]

    def _behind(self, place: int) -> bytes:
        """The same, and what follows it."""
        if len(self._data) < place + 8:
            return b""
        start, size = struct.unpack_from("<II", self._data, place)
        return self._table[start:] if size else b""

    def _find_pieces(self) -> list[tuple[int, int, int, bool]]:
        """(first character, end, place in the file, whether it has one byte a character)."""
        clx = self._part(_CLX)
        at = 0
        while at < len(clx) and clx[at] == 1:
            at += 3 + struct.unpack_from("<H", clx, at + 1)[0]
        if at >= len(clx) or clx[at] != 2:
            raise ValueError("no table of pieces")
        table = clx[at + 5 : at + 5 + struct.unpack_from("<I", clx, at + 1)[0]]
        count = (len(table) - 4) // 12
        ends = struct.unpack_from(f"<{count + 1}I", table)
        pieces = []
        for number in range(count):
            place = struct.unpack_from("<I", table, 4 * (count + 1) + 8 * number + 2)[0]
            narrow = bool(place & 0x40000000)
            place = (place & 0x3FFFFFFF) // 2 if narrow else place & 0x3FFFFFFF
            if ends[number + 1] > ends[number] and ends[number + 1] <= 2 * len(self._data):
                pieces.append((ends[number], ends[number + 1], place, narrow))
        return pieces

    def _decoded(self, piece: tuple[int, int, int, bool], gone: list[tuple[int, int]]) -> str:
        """Its characters, those that are deleted or hidden as NUL, so that all keep their place."""
        first, end, place, narrow = piece
        width = 1 if narrow else 2
        data = bytearray(self._data[place : place + (end - first) * width])
        data += bytes((end - first) * width - len(data))
        for start, stop in gone:
            low, high = max(start, place) - place, min(stop, place + len(data)) - place
            for at in range(low, high, width):
                if data[at : at + width] not in (b"\r", b"\r\0", b"\x07", b"\x07\0"):
                    data[at : at + width] = bytes(width)
        return (
            data.decode("cp1252" if narrow else "utf-16-le", "replace") if narrow else _wide(data)
        )

    def _has_words(self, piece: tuple[int, int, int, bool], part: tuple[int, int]) -> bool:
        """Whether some stand in the piece between these two bytes of the file."""
        first, end, place, narrow = piece
        low, high = max(part[0], place), min(part[1], place + (end - first) * (1 if narrow else 2))
        data = self._data[low:high]
        text = data.decode("cp1252", "replace") if narrow else _wide(bytearray(data))
        return any(map(str.isalnum, _shown(text)))

    def _style_at(self, character: int) -> tuple[int, bytes]:
        """(number of the style, formatting) of the paragraph to which a character belongs."""
        piece = self._pieces[max(bisect_right(self._starts, character) - 1, 0)]
        place = piece[2] + (character - piece[0]) * (1 if piece[3] else 2)
        number = bisect_right(self._firsts, place) - 1
        if number < 0 or place >= self._styles[number][1]:
            return 0, b""
        codes = self._styles[number][2]
        return (struct.unpack_from("<H", codes)[0] if len(codes) > 1 else 0), codes[2:]

    def _runs(self, place: int, page: object) -> list[tuple[int, int, bytes]]:
        """(first byte, end, formatting) of all runs of a kind, sorted."""
        table = self._part(place)
        count = max((len(table) - 4) // 8, 0)
        numbers = struct.unpack_from(f"<{count}I", table, 4 * (count + 1)) if count else ()
        runs: list[tuple[int, int, bytes]] = []
        for number in dict.fromkeys(numbers):
            at = (number & 0x3FFFFF) * _PAGE_BYTES
            content = self._data[at : at + _PAGE_BYTES]
            if len(content) == _PAGE_BYTES:
                runs += page(content)  # type: ignore[operator]
        return sorted(runs, key=lambda run: run[0])

    def _paragraph_page(self, page: bytes) -> Iterator[tuple[int, int, bytes]]:
        count = page[-1]
        if 4 * (count + 1) + 13 * count > _PAGE_BYTES:
            return
        places = struct.unpack_from(f"<{count + 1}I", page)
        for number in range(count):
            at = 2 * page[4 * (count + 1) + 13 * number]
            codes = b""
            if at and at < _PAGE_BYTES - 2:
                size = 2 * page[at] - 1 if page[at] else 2 * page[at + 1]
                begin = at + (1 if page[at] else 2)
                codes = page[begin : begin + size]
            yield places[number], places[number + 1], codes

    def _character_page(self, page: bytes) -> Iterator[tuple[int, int, bytes]]:
        count = page[-1]
        if 5 * count + 4 > _PAGE_BYTES:
            return
        places = struct.unpack_from(f"<{count + 1}I", page)
        for number in range(count):
            at = 2 * page[4 * (count + 1) + number]
            if at:
                yield places[number], places[number + 1], page[at + 1 : at + 1 + page[at]]


def _in_a_row(places: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The same with those as one that touch: begin and code of a field are formatted apart."""
    begun: tuple[int, int] | None = None
    for first, last in places:
        if begun is not None and first <= begun[1]:
            begun = begun[0], max(begun[1], last)
            continue
        if begun is not None:
            yield begun
        begun = first, last
    if begun is not None:
        yield begun


def _wide(data: bytearray) -> str:
    """One character for each two bytes, halves of a pair too."""
    return "".join(map(chr, struct.unpack(f"<{len(data) // 2}H", data)))


def _codes(formatting: bytes) -> Iterator[tuple[int, int]]:
    """(code, operand) of each change of the formatting; of long operands the first byte."""
    at = 0
    while at + 2 < len(formatting):
        code = struct.unpack_from("<H", formatting, at)[0]
        kind = code >> 13
        size = _OPERANDS.get(kind, 0)
        yield code, int.from_bytes(formatting[at + 2 : at + 2 + (size or 1)], "little")
        if kind == 6:
            size = formatting[at + 2] + 1
            if code == 0xD608 and at + 4 <= len(formatting):
                size = struct.unpack_from("<H", formatting, at + 2)[0] + 1
        at += 2 + size


class _Writer:
    def __init__(self, document: _Document, draft: Draft) -> None:
        self._document = document
        self._draft = draft
        self._outline = Outline()
        self._flow = Flow(draft)
        self._cells: list[str] = []
        self._cell: list[str] = []
        self._rows: list[list[str]] = []

    def write(self) -> None:
        body, notes, heads, comments, ends, boxes, head_boxes = self._document.parts
        start = self._part(0, body)
        start = self._aside(start, notes, "Footnotes")
        start = self._aside(start, heads, "", once=True)
        start = self._aside(start, comments, "Comments")
        start = self._aside(start, ends, "Endnotes")
        start = self._aside(start, boxes, "")
        self._aside(start, head_boxes, "", once=True)
        if self._document.hidden:
            self._draft.unread("hidden_part", count=self._document.hidden)

    def _part(self, start: int, length: int) -> int:
        end = min(start + length, len(self._document.text))
        text = ""
        for paragraph in self._document.paragraphs(start, end):
            text += paragraph.text
            if text.count("\x13") > text.count("\x15") and len(text) < 100_000:
                continue  # a field goes on
            said = _shown(text)
            if paragraph.list:
                number = self._document.numbers.of(str(paragraph.list), paragraph.list_level)
                said = number + said.lstrip("\t") if said.strip() else said
            self._paragraph(paragraph, said)
            text = ""
        self._end_table()
        self._flow.end()
        return start + length

    def _paragraph(self, paragraph: _Paragraph, text: str) -> None:
        is_cell = paragraph.text.endswith("\x07")
        if not paragraph.in_table and not is_cell:
            self._end_table()
            if paragraph.level and text.strip():
                self._flow.end()
                self._flow.heading = self._outline.enter(paragraph.level, text)
            self._flow.line(text)
        elif paragraph.ends_row:
            if self._cells:
                self._rows.append(self._cells)
            self._cells, self._cell = [], []
        else:
            self._cell.append(text)
            if is_cell and len(self._cells) < MAX_COLUMNS:
                self._cells.append("\n".join(self._cell).strip())
                self._cell = []

    def _end_table(self) -> None:
        if self._cells:
            self._rows.append(self._cells)
        if self._rows:
            self._flow.table(self._rows)
        for text in self._cell:
            self._flow.line(text)
        self._rows, self._cells, self._cell = [], [], []

    def _aside(self, start: int, length: int, heading: str, once: bool = False) -> int:
        end = min(start + length, len(self._document.text))
        lines = [_shown(part).strip() for part in self._document.text[start:end].split("\r")]
        if once:
            lines = list(dict.fromkeys(lines))
        self._draft.add("\n".join(filter(None, lines)), heading=heading)
        return start + length


def _shown(text: str) -> str:
    text = _without_codes(text).translate(_SIGNS)
    text = text.replace("\x07", "\t").replace("\r", "").replace("\0", "").rstrip("\t")
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _without_codes(text: str) -> str:
    """Without what fields are made by: they stand as begin, code, separator, result, end."""
    if "\x13" not in text:
        return text.replace("\x15", "").replace("\x14", "")
    shown: list[str] = []
    open_codes: list[bool] = []  # of the open fields, whether we are still in the code
    code = ""
    for sign in text:
        if sign == "\x13":
            open_codes.append(True)
            code = ""
        elif sign == "\x14" and open_codes:
            open_codes[-1] = False
        elif sign == "\x15" and open_codes:
            if open_codes.pop() and (ruby := RUBY.search(code)):
                shown.append(ruby[1])
        elif any(open_codes):
            code += sign if len(code) < MAX_CODE_CHARS else ""
        else:
            shown.append(sign)
    return "".join(shown)
