"""XLSX through openpyxl, read row by row: one section per sheet, with the values that Excel saved
last for its formulas.
"""

import datetime
from collections.abc import Iterator
from typing import IO, Any

from openpyxl import load_workbook

from processing.errors import PermanentError
from processing.parsing.archive import open_archive
from processing.parsing.draft import Draft, one_line
from processing.parsing.tables import add_table

NO_TEXT = "This workbook contains no values; fill it in, save it in Excel and upload it again."
MAX_CELLS = 2_000_000  # openpyxl reads about 200,000 a second here


def read(file: IO[bytes], draft: Draft) -> None:
    """Raises PermanentError: see `open_archive`; `too_large` past MAX_CELLS."""
    open_archive(file)
    workbook = load_workbook(file, read_only=True, data_only=True, keep_links=False)
    budget = iter(range(MAX_CELLS))
    for sheet in workbook.worksheets:
        sheet.reset_dimensions()  # the declared size may be 16,384 x 1,048,576
        name = one_line(sheet.title)
        add_table(draft, _rows(sheet, budget), heading=name, apart=True)


def _rows(sheet: Any, budget: Iterator[int]) -> Iterator[list[str]]:
    for values in sheet.iter_rows(values_only=True):
        for _ in values or (None,):
            if next(budget, None) is None:
                raise PermanentError(
                    "too_large",
                    f"This workbook has over {MAX_CELLS:,} cells; split it and upload the parts.",
                )
        yield [_shown(value) for value in values]


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ").removesuffix(" 00:00:00")
    return str(value)
