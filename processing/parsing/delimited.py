"""CSV, with whatever delimiter."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from processing.parsing.decoding import decode
from processing.parsing.draft import Draft, clean
from processing.parsing.tables import add_table

NO_TEXT = "This file contains no text; check that it is the right one and upload it again."
SAMPLE_CHARS = 200_000
# The comma last: the others hardly stand in values, and decimals have it.
_DELIMITERS = ";\t|,"
# Of the rows must have the same number of cells, else it is no table.
MIN_SHARE = 0.6
_SAID = re.compile(r'"?sep=(.)"?\n', re.IGNORECASE)  # the first line, for Excel


@dataclass(frozen=True, slots=True)
class Dialect:
    """How cells are kept apart; the ways to write a quote in a cell are tried in this order."""

    delimiter: str
    doublequote: bool = True
    escapechar: str | None = None
    quotes: bool = True

    def rows(self, text: str) -> Iterator[list[str]]:
        """Raises csv.Error where a quote is not closed, or text follows a closed one."""
        return csv.reader(
            io.StringIO(text, newline=""),
            delimiter=self.delimiter,
            doublequote=self.doublequote,
            escapechar=self.escapechar,
            quoting=csv.QUOTE_MINIMAL if self.quotes else csv.QUOTE_NONE,
            skipinitialspace=self.quotes,
            strict=True,
        )


def read(file: IO[bytes], draft: Draft) -> None:
    """One table. A file that is no proper CSV is taken as plain text. Raises as `decode`."""
    text = clean(decode(file.read()))
    csv.field_size_limit(len(text) + 1)  # our own limit is the document's
    said = _SAID.match(text)
    text = text[said.end() :] if said else text
    for dialect in _dialects(text, said[1] if said else _DELIMITERS):
        try:
            rows = [row for row in dialect.rows(text) if any(map(str.strip, row))]
        except csv.Error:
            continue
        add_table(draft, rows)
        return
    draft.add(text)


def _dialects(text: str, delimiters: str) -> Iterator[Dialect]:
    """Those by which the text's beginning is a table."""
    sample = text[:SAMPLE_CHARS]
    if len(text) > SAMPLE_CHARS:
        sample = sample[: sample.rfind("\n")]
    for quotes in ((True, None, True), (False, "\\", True), (True, None, False)):
        tried = [Dialect(delimiter, *quotes) for delimiter in delimiters]
        scores = {dialect: score for dialect in tried if (score := _score(dialect, sample))}
        if scores:
            yield max(scores, key=lambda dialect: scores[dialect])


def _score(dialect: Dialect, sample: str) -> tuple[float, int] | None:
    """(share of rows with the usual number of cells, that number); None for no table, except a
    single column whose cells are all quoted.
    """
    widths: Counter[int] = Counter()
    try:
        for row in dialect.rows(sample):
            if any(row):
                widths[len(row)] += 1
    except csv.Error:
        # The last row of the sample may go on behind it.
        if not widths or len(sample) < SAMPLE_CHARS // 2:
            return None
    if not widths:
        return None
    # Titles above a table, and notes below it, are one cell.
    wide = {width: count for width, count in widths.items() if width > 1}
    if not wide:
        lines = sample.strip().split("\n")
        quoted = sum(line.startswith('"') for line in lines)
        return (MIN_SHARE, 1) if quoted >= len(lines) - 1 > 0 else None
    width = max(wide, key=lambda width: wide[width])
    share = wide[width] / widths.total()
    return (round(share, 1), width) if share >= MIN_SHARE else None
