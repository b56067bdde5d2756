"""XLS through xlrd: each sheet as a table of what its cells show, then its notes, text boxes and
charts.

python-calamine is quicker, and gives neither the formats of numbers nor merged cells and notes.
"""

import io
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any

import xlrd

from processing.errors import PermanentError
from processing.parsing.draft import Draft, one_line
from processing.parsing.flow import Flow
from processing.parsing.numberformat import shown
from processing.parsing.old_charts import Drawn, drawn_on
from processing.parsing.old_pictures import pictures, show_pictures
from processing.parsing.ole import Container
from processing.parsing.sentences import DAMAGED, ENCRYPTED
from processing.parsing.tables import ABOVE, LEFT, without_columns

NO_TEXT = "This workbook contains no values; fill it in, save it in Excel and upload it again."
MAX_CELLS = 2_000_000
_FILTERED = "_FilterDatabase"  # what Excel calls the table below a filter
_DRAWINGS, _CONTINUED = 0x00EB, 0x003C
_XF_GENERAL = "General"
_DAMAGES = (xlrd.compdoc.CompDocError, struct.error)


def read(file: IO[bytes], draft: Draft) -> None:
    """Raises PermanentError: `encrypted`, `corrupt`; `too_large` past MAX_CELLS."""
    container = Container(file)  # says of what it is that it is no workbook
    # Not the container itself: of one that goes in a circle, xlrd would read without end.
    stream = container.read("Workbook") or container.read("Book")
    try:
        book = xlrd.open_workbook(
            file_contents=stream,
            formatting_info=True,
            ragged_rows=True,  # one cell far to the right does not make all rows long
            logfile=io.StringIO(),
        )
    except xlrd.XLRDError as error:
        if "encrypted" in str(error).lower():
            raise PermanentError("encrypted", ENCRYPTED) from error
        raise PermanentError("corrupt", DAMAGED) from error
    except (*_DAMAGES, AssertionError, ArithmeticError, LookupError, ValueError) as error:
        raise PermanentError("corrupt", DAMAGED) from error
    drawn = drawn_on(stream)
    cells = 0
    for sheet in book.sheets():
        name = one_line(sheet.name)
        if sheet.visibility:
            draft.unread("hidden_sheet", f"sheet {name}")
            continue
        cells += sum(map(sheet.row_len, range(sheet.nrows)))
        if cells > MAX_CELLS:
            raise PermanentError(
                "too_large",
                f"This workbook has over {MAX_CELLS:,} cells; split it and upload the parts.",
            )
        flow = Flow(draft, heading=name, apart=True)
        passed: Counter[str] = Counter()
        hidden = {n for n, column in sheet.colinfo_map.items() if _is_hidden(column)}
        flow.table(without_columns(_rows(book, sheet, passed), hidden, passed))
        for (row, column), note in sorted(sheet.cell_note_map.items()):
            place = f"{xlrd.colname(column)}{row + 1}"
            flow.line(f"{place}: {' '.join(note.text.split())}")
        if sheet.name in drawn:
            _show(drawn[sheet.name], flow)
        flow.end()
        for kind, count in (+passed).items():
            draft.unread(kind, f"sheet {name}", count)
    for name, page in drawn.items():
        if page.is_chart and page.is_hidden:
            draft.unread("hidden_sheet", f"sheet {one_line(name)}")
        elif page.is_chart:
            flow = Flow(draft, heading=one_line(name), apart=True)
            _show(page, flow)
            flow.end()
    shown = [one_line(sheet.name) for sheet in book.sheets() if not sheet.visibility]
    heading = shown[0] if len(shown) == 1 else ""
    show_pictures(pictures(_drawings(stream)), draft, heading)


def _show(drawn: Drawn, flow: Flow) -> None:
    for box in drawn.boxes:
        flow.line(box)
    for chart in drawn.charts:
        chart.show(flow)


def _drawings(stream: bytes) -> bytes:
    """What all sheets draw: the records of its kind, and those that go on with one."""
    parts = []
    at = 0
    goes_on = False
    while at + 4 <= len(stream):
        kind, size = struct.unpack_from("<HH", stream, at)
        goes_on = kind == _DRAWINGS or (goes_on and kind == _CONTINUED)
        if goes_on:
            parts.append(stream[at + 4 : at + 4 + size])
        at += 4 + size
    return b"".join(parts)


def _rows(book: Any, sheet: Any, passed: Counter[str]) -> Iterator[list[str]]:
    covered = {}
    for top, bottom, left, right in sheet.merged_cells[:20_000]:
        for row in range(top, min(bottom, top + 1_000)):
            for column in range(left, right):
                if (row, column) != (top, left):
                    covered[row, column] = ABOVE if row > top and column == left else LEFT
    filtered = _filtered(book, sheet)
    for row in range(sheet.nrows):
        cells = [_shown(book, cell) for cell in sheet.row(row)]
        if row in sheet.rowinfo_map and _is_hidden(sheet.rowinfo_map[row]) and row not in filtered:
            passed["hidden_row"] += any(cells)
            continue
        if any(cells):
            cells = [text or covered.get((row, n), "") for n, text in enumerate(cells)]
        yield cells if any(cells) else []


def _is_hidden(info: Any) -> bool:
    """Of a row or a column; what is folded up is shown by a click."""
    return bool(info.hidden) and not info.outline_level


def _filtered(book: Any, sheet: Any) -> range:
    """The rows that a filter may hide, which a click shows."""
    for name in book.name_obj_list:
        if name.builtin and name.name.endswith(_FILTERED) and name.scope == sheet.number:
            with suppress(xlrd.XLRDError, AttributeError, IndexError, TypeError):
                _, top, bottom, *_ = name.area2d()
                return range(top + 1, bottom)
    return range(0)


def _shown(book: Any, cell: Any) -> str:
    match cell.ctype:
        case xlrd.XL_CELL_TEXT:
            return str(cell.value)
        case xlrd.XL_CELL_NUMBER | xlrd.XL_CELL_DATE:
            return shown(float(cell.value), _code(book, cell.xf_index), since_1904=book.datemode)
        case xlrd.XL_CELL_BOOLEAN:
            return "TRUE" if cell.value else "FALSE"
        case xlrd.XL_CELL_ERROR:
            return str(xlrd.error_text_from_code.get(cell.value, ""))
    return ""


def _code(book: Any, style: int) -> str:
    """The format code of a style of cells."""
    if not 0 <= style < len(book.xf_list):
        return _XF_GENERAL
    format = book.format_map.get(book.xf_list[style].format_key)
    return format.format_str if format else _XF_GENERAL
