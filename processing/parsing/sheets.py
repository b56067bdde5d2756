"""XLSX: each sheet as a table of what its cells show, row by row; then its notes, text boxes and
charts.

By the XML itself, with openpyxl's calendar: openpyxl opens no workbook with a style, a name or a
view that it does not expect, although only the values and their formats matter here; and it knows
neither how a value is shown, nor text boxes, nor which formula has no value.
"""

import itertools
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape
from typing import IO, Any

from lxml import etree
from openpyxl.styles.numbers import BUILTIN_FORMATS

from processing.errors import PermanentError
from processing.parsing import drawing
from processing.parsing.draft import Draft, one_line
from processing.parsing.drawing import local
from processing.parsing.embedded import read_object
from processing.parsing.flow import Flow, Pictures, Sink
from processing.parsing.numberformat import shown
from processing.parsing.package import Package, relation_id, usual_names
from processing.parsing.tables import ABOVE, LEFT, MAX_HEADER_ROWS

NO_TEXT = "This workbook contains no values; fill it in, save it in Excel and upload it again."
MAX_COLUMNS = 16_384  # Excel has no more
MAX_MERGES = 20_000
MAX_OPEN_MERGES = 250  # in one row, where they cannot overlap
MAX_MERGED_WIDTH = 500

S = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_BLOCK_BYTES = 256 * 1024
_MAX_TAG_BYTES = 1024**2  # no tag is longer; texts may be
_EDGE_BYTES = 1024**2  # what stands before and after the cells, as far as it is looked at

# Cells that only have a style: a sheet may have millions of them.
_EMPTY = re.compile(rb"<(?:\w+:)?c\s[^<>]*/>|<(?:\w+:)?c\s[^<>]*></(?:\w+:)?c>")
_EMPTY_ROW = re.compile(rb"<(?:\w+:)?row\s[^<>]*?>\s*</(?:\w+:)?row>|<(?:\w+:)?row\s[^<>]*/>")
_DATA_ENDS = re.compile(rb"</(?:\w+:)?sheetData>|<(?:\w+:)?sheetData\s*/>")
_MERGED = re.compile(rb"<(?:\w+:)?mergeCell\s[^<>]*?ref=\"([A-Z]+\d+:[A-Z]+\d+)\"")
_FROZEN = re.compile(rb"<(?:\w+:)?pane\s(?=[^<>]*state=\"frozen)[^<>]*ySplit=\"(\d+)\"")
_COLUMN = re.compile(rb"<(?:\w+:)?col\s[^<>]*>")
_VALUE = re.compile(rb"""\s(\w+)=["']([^"']*)["']""")
_ACTIVE = re.compile(
    rb"<(?:\w+:)?autoFilter\s[^<>]*?ref=\"[A-Z]+(\d+):[A-Z]+(\d+)\"[^<>]*>\s*<(?:\w+:)?filterColumn"
)
_FILTERED = re.compile(rb"<(?:\w+:)?autoFilter\s[^<>]*?ref=\"[A-Z]+(\d+):")
_PRINTED = re.compile(rb"<(?:\w+:)?(?:odd|even|first)(?:Header|Footer)>([^<]*)<")
_PRINT_CODE = re.compile(r'&amp;(?:"[^"]*"|&quot;.*?&quot;|K[0-9A-F]{6}|\d+|[A-Z])', re.IGNORECASE)
_COUNTS = re.compile("&amp;[PNDTFA](?![a-z])")
_REFERENCE = re.compile(r"\$?([A-Z]{1,3})\$?(\d+)")
_ROWS = re.compile(r"\A[A-Z]+(\d+):[A-Z]+(\d+)\Z")
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_OLD_NOTE = "[Threaded comment]"


def read(file: IO[bytes], draft: Draft) -> None:
    """Raises PermanentError: see `Archive`; `too_large` past the limit of cells."""
    package = Package(file)
    workbook = _Workbook(package, draft.limits.cells, Pictures(draft, package.content))
    for sheet in package.xml(workbook.part).iter(f"{S}sheet"):
        target = package.target(workbook.part, relation_id(sheet))
        name = one_line(sheet.get("name", ""))
        if sheet.get("state", "visible") != "visible":
            draft.unread("hidden_sheet", f"sheet {name}")
        elif target is not None:
            _read_sheet(workbook, target, name, draft)
    if package.damaged:
        draft.unread("damaged_part", count=package.damaged)


@dataclass
class _Workbook:
    """What the sheets share."""

    package: Package
    limit: int  # of cells
    pictures: Pictures
    part: str = ""
    strings: list[str] = field(default_factory=list)
    formats: list[str] = field(default_factory=list)
    since_1904: bool = False
    cells: int = 0  # that were read

    def __post_init__(self) -> None:
        self.part = self.package.main("xl/workbook.xml")
        properties = self.package.xml(self.part, "workbook").find(f"{S}workbookPr")
        if properties is not None:
            self.since_1904 = properties.get("date1904") in ("1", "true")
        if name := self.package.first(self.part, "sharedStrings"):
            items = _elements(self.package.open(name), "si", self.package)
            self.strings = [_string(item) for item in items]
        if name := self.package.first(self.part, "styles"):
            self.formats = _formats(self.package.xml(name))


def _formats(root: Any) -> list[str]:
    """The format code of each style of a cell."""
    codes = dict(BUILTIN_FORMATS)
    for element in root.iterfind(f"{S}numFmts/{S}numFmt"):
        codes[_integer(element.get("numFmtId"))] = element.get("formatCode", "General")
    styles = root.iterfind(f"{S}cellXfs/{S}xf")
    return [codes.get(_integer(style.get("numFmtId")), "General") for style in styles]


def _read_sheet(workbook: _Workbook, part: str, name: str, draft: Draft) -> None:
    package = workbook.package
    flow = Flow(draft, heading=name, apart=True)
    sheet = _Sheet(workbook, part)
    for header, rows in sheet.tables():
        flow.table(rows, header)
    for kind, count in (+sheet.passed).items():
        draft.unread(kind, f"sheet {name}", count)
    for text in sheet.printed:
        flow.line(text)
    for cell, text in _notes(package, part):
        flow.line(f"{cell}: {text}")
    for relation in package.related(part, "drawing"):
        _show_drawing(workbook, relation.target, flow)
    flow.end()
    for relation in package.related(part, "package", "oleObject"):
        read_object(package, relation.target, f"sheet {name}", draft)


class _Sheet:
    """A sheet's rows, and what stands around them."""

    def __init__(self, workbook: _Workbook, part: str) -> None:
        self._workbook = workbook
        self._part = part
        self.passed: Counter[str] = Counter()  # kinds of the report
        head, tail = _edges(workbook.package.open(part))
        self._hidden = _hidden_columns(head)
        self._filtered = [(int(first), int(last)) for first, last in _ACTIVE.findall(tail)]
        self._merges = _Merges(_MERGED.findall(tail)[:MAX_MERGES])
        self._names = self._header(head, tail)
        self.printed = list(dict.fromkeys(filter(None, map(_printed, _PRINTED.findall(tail)))))

    def _header(self, head: bytes, tail: bytes) -> list[tuple[int, int]]:
        """(first row, last row) of the names of columns, as far as the sheet says so."""
        package = self._workbook.package
        found = {}
        for relation in package.related(self._part, "table"):
            root = package.xml(relation.target)
            first = _REFERENCE.match(root.get("ref", ""))
            if first and root.get("headerRowCount", "1") != "0":
                found[int(first[2])] = int(first[2])
            if root.find(f"{S}autoFilter/{S}filterColumn") is not None:
                self._filtered += [
                    (int(top), int(bottom)) for top, bottom in _ROWS.findall(root.get("ref", ""))
                ]
        if not found and (match := _FILTERED.search(tail)):
            found[int(match[1])] = int(match[1])
        if not found and (match := _FROZEN.search(head)) and int(match[1]) <= MAX_HEADER_ROWS:
            found[1] = int(match[1])
        return sorted(found.items())

    def tables(self) -> Iterator[tuple[int | None, Iterator[list[str]]]]:
        """(how many rows of header, rows): what stands above a header is a table of its own."""
        starts = [first for first, _ in self._names]
        parts = itertools.groupby(self._rows(), lambda row: bisect_right(starts, row[0]))
        for count, rows in parts:
            if not count:
                yield None, (cells for _, cells in rows)
                continue
            _, last = self._names[count - 1]
            names: list[list[str]] = []
            for number, cells in rows:
                if number > last:
                    rows = itertools.chain([(number, cells)], rows)
                    break
                names += [cells] if any(cells) else []
            yield len(names), itertools.chain(names, (cells for _, cells in rows))

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """(number, cells) of each row that has a value, with an empty one where some have none."""
        workbook = self._workbook
        done = 0
        hidden_values: set[int] = set()  # the hidden columns in which there are some
        stream = _WithoutEmpty(workbook.package.open(self._part))
        for row in _elements(stream, "row", workbook.package):
            number = _integer(row.get("r")) or done + 1
            cells = self._cells(row)
            if not any(cells):
                continue
            self._merges.cover(number, cells)
            workbook.cells += len(cells)
            if workbook.cells > workbook.limit:
                raise PermanentError(
                    "too_large",
                    f"This workbook has over {workbook.limit:,} cells; "
                    "split it and upload the parts.",
                )
            if self._is_hidden(row, number):
                self.passed["hidden_row"] += 1
                done = number if done else 0
                continue
            if self._hidden:
                hidden_values |= {n for n, text in enumerate(cells, 1) if text} & self._hidden
                cells = [text for n, text in enumerate(cells, 1) if n not in self._hidden]
                if not any(cells):
                    continue
            if number > done + 1 and done:
                yield number - 1, []
            yield number, cells
            done = number
        self.passed["hidden_column"] += len(hidden_values)

    def _is_hidden(self, row: Any, number: int) -> bool:
        """Not what a click shows: rows that are folded up, or do not match a filter."""
        if row.get("hidden") not in ("1", "true") or _integer(row.get("outlineLevel")):
            return False
        return not any(first < number <= last for first, last in self._filtered)

    def _cells(self, row: Any) -> list[str]:
        cells: list[str] = []
        for cell in row:
            reference = cell.get("r")
            column = _column(reference) if reference else len(cells) + 1
            text = self._shown(cell)
            if text or not reference:
                cells += [""] * (column - len(cells))
                cells[column - 1] = text
        return cells

    def _shown(self, cell: Any) -> str:
        kind = cell.get("t", "n")
        if kind == "inlineStr":
            inline = cell.find(f"{S}is")
            return "" if inline is None else _string(inline)
        value = cell.findtext(f"{S}v")
        if not value:
            formula = cell.find(f"{S}f")
            if formula is None or kind == "str":
                return ""
            self.passed["formula"] += 1
            return f"={formula.text}" if formula.text else ""
        match kind:
            case "s":
                index = _integer(value)
                strings = self._workbook.strings
                return strings[index] if 0 <= index < len(strings) else ""
            case "b":
                return "TRUE" if value.strip() in ("1", "true") else "FALSE"
            case "d":
                return value.replace("T", " ").removesuffix(" 00:00:00")
            case "n":
                return self._number(value, _integer(cell.get("s")))
        return _unescaped(value)

    def _number(self, value: str, style: int) -> str:
        formats = self._workbook.formats
        code = formats[style] if 0 <= style < len(formats) else "General"
        try:
            number = float(value)
        except ValueError:
            return value
        return shown(number, code, since_1904=self._workbook.since_1904)


class _Merges:
    """The cells that others cover."""

    def __init__(self, references: list[bytes]) -> None:
        boxes = []
        for reference in references:
            first, _, last = reference.decode().partition(":")
            (left, top), (right, bottom) = _place(first), _place(last)
            boxes.append((top, left, bottom, min(right, left + MAX_MERGED_WIDTH)))
        self._coming = sorted(boxes, reverse=True)
        self._open: list[tuple[int, int, int, int]] = []

    def cover(self, number: int, cells: list[str]) -> None:
        """Mark the covered cells of a row; rows come in order."""
        while self._coming and self._coming[-1][0] <= number:
            self._open.append(self._coming.pop())
        self._open = [box for box in self._open if box[2] >= number][-MAX_OPEN_MERGES:]
        for top, left, _, right in self._open:
            if top == number and right > left:
                cells += [""] * (right - len(cells))
                cells[left:right] = [LEFT] * (right - left)
            elif top < number and left <= len(cells):
                if not cells[left - 1]:
                    cells[left - 1] = ABOVE
                for column in range(left, min(right, len(cells))):
                    cells[column] = cells[column] or LEFT


def _edges(stream: IO[bytes]) -> tuple[bytes, bytes]:
    """What stands before the cells of a sheet, and after them."""
    head, tail, has_ended = b"", b"", False
    while block := stream.read(_BLOCK_BYTES):
        if len(head) < _BLOCK_BYTES:
            head += block
        tail += block
        if not has_ended:
            end = _DATA_ENDS.search(tail)
            has_ended = end is not None
            tail = tail[end.end() :] if end else tail[-100:]
        elif len(tail) > 4 * _EDGE_BYTES:
            break
    return head.partition(b"<row")[0], tail


def _hidden_columns(head: bytes) -> set[int]:
    """Their numbers, without those that are folded up, which a click shows."""
    hidden: set[int] = set()
    for column in _COLUMN.findall(head):
        said = {name: value.decode("ascii", "replace") for name, value in _VALUE.findall(column)}
        if said.get(b"hidden") in ("1", "true") and not _integer(said.get(b"outlineLevel")):
            first, last = _integer(said.get(b"min")), _integer(said.get(b"max"))
            hidden.update(range(first, min(last, MAX_COLUMNS) + 1))
    return hidden


class _WithoutEmpty:
    """The stream of a sheet's XML without the cells and rows that have only a style."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._rest = b""

    def read(self, size: int) -> bytes:
        """The next bytes, about so many; none at the end."""
        while block := self._stream.read(size):
            data = self._rest + block
            end = data.rfind(b">") + 1 or (len(data) if len(data) > _MAX_TAG_BYTES else 0)
            self._rest = data[end:]
            if data := _EMPTY_ROW.sub(_unless_it_counts, _EMPTY.sub(b"", data[:end])):
                return data
        data, self._rest = self._rest, b""
        return data


def _unless_it_counts(row: "re.Match[bytes]") -> bytes:
    """A row without a number of its own counts, even when it is empty."""
    return b"" if b' r="' in row[0] or b" r='" in row[0] else row[0]


def _elements(stream: IO[bytes] | _WithoutEmpty, name: str, package: Package) -> Iterator[Any]:
    """The elements of this name, one after the other; each is forgotten when the next is asked
    for. Of a damaged part those before the damage, and the package counts it.
    """
    parser = etree.XMLPullParser(
        events=("end",),
        tag=f"{S}{name}",
        resolve_entities=False,
        no_network=True,
        remove_comments=True,
        remove_pis=True,
    )
    is_whole = True
    while is_whole and (data := stream.read(_BLOCK_BYTES)):
        try:
            parser.feed(usual_names(data))
        except etree.XMLSyntaxError:
            is_whole = False
        for _, element in parser.read_events():
            yield element
            element.clear()
            while element.getprevious() is not None:
                del element.getparent()[0]
    try:
        parser.close()
    except etree.XMLSyntaxError:
        package.damaged += 1


def _string(item: Any) -> str:
    """The text of a string, in one or more runs; not how it is read (ruby)."""
    parts = []
    for child in item:
        if child.tag == f"{S}t":
            parts.append(child.text or "")
        elif child.tag == f"{S}r":
            parts.append(child.findtext(f"{S}t") or "")
    return _unescaped("".join(parts))


def _unescaped(text: str) -> str:
    """Excel writes what XML cannot hold as _x000D_."""
    if "_x" not in text:
        return text
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)


def _integer(text: str | None) -> int:
    try:
        return int(text or 0)
    except ValueError:
        return 0


def _place(reference: str) -> tuple[int, int]:
    """(column, row) of "B12", from 1."""
    match = _REFERENCE.match(reference)
    return (_column(match[1]), int(match[2])) if match else (1, 1)


def _column(reference: str) -> int:
    column = 0
    for letter in reference:
        if not "A" <= letter <= "Z":
            break
        column = column * 26 + ord(letter) - 64
    return min(column, MAX_COLUMNS) or 1


def _printed(text: bytes) -> str:
    """What is printed above or below every page, without the codes for its font; not what counts
    the pages.
    """
    places = re.split("&amp;[LCR]", text.decode("utf-8", "replace"))
    said = (_PRINT_CODE.sub(" ", place) for place in places if not _COUNTS.search(place))
    return " ".join(word for place in said for word in unescape(place).split())


def _notes(package: Package, part: str) -> Iterator[tuple[str, str]]:
    """(cell, text) of the sheet's notes and comments."""
    for relation in package.related(part, "threadedComment"):
        for comment in package.xml(relation.target):
            text = next((node.text for node in comment if local(node) == "text"), "")
            yield comment.get("ref", ""), " ".join((text or "").split())
    for relation in package.related(part, "comments"):
        for comment in package.xml(relation.target).iter(f"{S}comment"):
            text = "".join(_string(node) for node in comment.iterfind(f"{S}text"))
            if not text.startswith(_OLD_NOTE):
                yield comment.get("ref", ""), " ".join(text.split())


def _show_drawing(workbook: _Workbook, part: str, sink: Sink) -> None:
    """Text boxes, charts and pictures on a sheet."""
    package = workbook.package
    for node in package.xml(part).iter():
        match local(node):
            case "cNvPr":
                if said := drawing.alternative_text(node):
                    sink.line(said)
            case "txBody":
                sink.line(drawing.paragraphs(node))
            case "graphicData":
                drawing.show_graphic(package, part, node, sink)
            case "blip":
                if target := package.target(part, relation_id(node, "embed")):
                    workbook.pictures.show(target, sink, counts=False)
