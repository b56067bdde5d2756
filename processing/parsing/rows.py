"""How the row of a table reads in a passage, where the line with the column names may be far
away.
"""

import itertools
import re
from collections.abc import Iterable, Iterator

MAX_NAME_CHARS = 60
SAMPLE_ROWS = 20

_NUMBER = re.compile(r"[^\w]*\d[\d\s.,:/%+-]*[^\w]*")  # also amounts, dates and times


def row_lines(rows: Iterable[list[str]]) -> Iterator[str]:
    """One line per row that is not empty: "Name: Ada | Age: 36" below a header, else the cells
    alone, "Ada | 36".

    A header is a first row of several different names over columns that hold numbers further down;
    without that evidence the first row may be data, and naming values after it would be wrong.
    """
    numbered = ([" ".join(cell.split()) for cell in row] for row in rows)
    filled = (row for row in numbered if any(row))
    for row in filled:
        if sum(map(bool, row)) == 1:  # a title above the table
            yield next(filter(None, row))
            continue
        sample = list(itertools.islice(filled, SAMPLE_ROWS))
        names = [name[:MAX_NAME_CHARS] for name in row] if _is_header(row, sample) else []
        yield " | ".join(filter(None, row))
        yield from (_line(values, names) for values in itertools.chain(sample, filled))


def _is_header(first: list[str], sample: list[list[str]]) -> bool:
    names = [cell for cell in first if cell]
    if len(set(names)) < len(names) or any(map(_NUMBER.fullmatch, names)):
        return False
    return any(
        _NUMBER.fullmatch(cell)
        for row in sample
        for name, cell in zip(first, row, strict=False)
        if name
    )


def _line(values: list[str], names: list[str]) -> str:
    labelled = itertools.zip_longest(values, names[: len(values)], fillvalue="")
    return " | ".join(f"{name}: {value}" if name else value for value, name in labelled if value)
