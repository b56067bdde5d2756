"""XLS through xlrd: each sheet as a table of what its cells show, then its notes.

python-calamine is quicker, and gives neither the formats of numbers nor merged cells and notes.
"""

import io
import struct
from collections.abc import Iterator
from typing import IO, Any

import xlrd

from processing.errors import PermanentError
from processing.parsing.draft import Draft, one_line
from processing.parsing.flow import Flow
from processing.parsing.numberformat import shown
from processing.parsing.ole import Container
from processing.parsing.sentences import DAMAGED, ENCRYPTED
from processing.parsing.tables import ABOVE, LEFT

NO_TEXT = "This workbook contains no values; fill it in, save it in Excel and upload it again."
MAX_CELLS = 2_000_000
_XF_GENERAL = "General"
_DAMAGES = (xlrd.compdoc.CompDocError, struct.error)


def read(file: IO[bytes], draft: Draft) -> None:
    """Raises PermanentError: `encrypted`, `corrupt`; `too_large` past MAX_CELLS."""
    Container(file)  # says of what it is that it is no workbook
    file.seek(0)
    try:
        book = xlrd.open_workbook(
            file_contents=file.read(),
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
        flow.table(_rows(book, sheet))
        for (row, column), note in sorted(sheet.cell_note_map.items()):
            place = f"{xlrd.colname(column)}{row + 1}"
            flow.line(f"{place}: {' '.join(note.text.split())}")
        flow.end()


def _rows(book: Any, sheet: Any) -> Iterator[list[str]]:
    covered = {}
    for top, bottom, left, right in sheet.merged_cells[:20_000]:
        for row in range(top, min(bottom, top + 1_000)):
            for column in range(left, right):
                if (row, column) != (top, left):
                    covered[row, column] = ABOVE if row > top and column == left else LEFT
    for row in range(sheet.nrows):
        cells = [_shown(book, cell) for cell in sheet.row(row)]
        if any(cells):
            cells = [text or covered.get((row, n), "") for n, text in enumerate(cells)]
        yield cells if any(cells) else []


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
