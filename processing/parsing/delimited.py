"""CSV, with whatever delimiter."""

import csv
import io
from typing import IO

from processing.parsing.decoding import decode
from processing.parsing.draft import Draft, clean
from processing.parsing.tables import add_table

NO_TEXT = "This file contains no text; check that it is the right one and upload it again."
_DIALECT_CHARS = 8_192  # the sniffer's regular expressions are slow on long samples
_DELIMITERS = ",;\t|"


def read(file: IO[bytes], draft: Draft) -> None:
    """One table. A file that is no proper CSV is taken as plain text. Raises
    as `decode`.
    """
    text = clean(decode(file.read()))
    csv.field_size_limit(len(text) + 1)  # our own limit is the document's
    sample = text[:_DIALECT_CHARS]
    try:
        dialect = csv.Sniffer().sniff(sample, _DELIMITERS)
    except csv.Error:
        dialect = csv.excel
    try:
        rows = list(csv.reader(io.StringIO(text), dialect, strict=True))
    except csv.Error:
        draft.add(text)
        return
    add_table(draft, rows)
