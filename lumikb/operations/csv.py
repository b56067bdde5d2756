"""CSV that a spreadsheet shows and does not run."""

import csv
from collections.abc import Iterable
from typing import IO, Any

# A cell that begins so is a formula to one spreadsheet or another; the wide ones are to Excel's
# Japanese and Chinese editions. OWASP, "CSV Injection".
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "＝", "＋", "－", "＠")


def cell(value: Any) -> Any:
    """The value; a text that a spreadsheet would compute begins with an apostrophe."""
    if isinstance(value, str) and (value.startswith(FORMULA) or value.lstrip().startswith(FORMULA)):
        return f"'{value}"
    return value


def write(file: IO[str], heading: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """As RFC 4180 has it, with a mark by which Excel knows that it is UTF-8."""
    file.write("\N{BYTE ORDER MARK}")
    writer = csv.writer(file, quoting=csv.QUOTE_ALL)
    writer.writerow(heading)
    writer.writerows([cell(value) for value in row] for row in rows)
