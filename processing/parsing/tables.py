"""How a table becomes text, for every format: a line per row, all its cells in their places, each
thing once; what a row needs to be understood away from its header is its section's context.
"""

import itertools
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field

from processing.parsing.draft import PIECE_CHARS, Draft

CELL_END = " | "
MAX_NAME_CHARS = 60  # of a column's or a row's name in a context
# A context is embedded before its passage (of 1,000 characters by default), and small models see
# about as much in all: a table with longer names is cut between its columns.
MAX_CONTEXT_CHARS = 500
MAX_LINE_CHARS = 600  # a row beyond it is cut between its cells, so that each part says whose it is
MIN_PART_CHARS = 80  # what is shorter says nothing alone
MAX_PARTS = 50_000  # of the cut rows of one table; those after them stay whole
SAMPLE_ROWS = 20
MAX_HEADER_ROWS = 5


class _Covered(str):
    """The text of a cell that is covered by another: none."""


LEFT = _Covered()  # this cell is one with the one to its left
ABOVE = _Covered()  # this cell is one with the one above it

_NUMBER = re.compile(r"[^\w]*\d[\d\s.,:/%+-]*[^\w]*")  # also amounts, dates and times
_YEAR = re.compile(r"(?:1[5-9]|20|21)\d\d(?:\s?[/–-]\s?\d{2,4})?")
_DATE = re.compile(r"\d{1,4}([./-])\d{1,2}\1(?:\d{1,4})?")


def add_table(
    draft: Draft,
    rows: Iterable[Sequence[str]],
    *,
    header: int | None = None,
    page: int | None = None,
    heading: str = "",
    apart: bool = False,
    recognised: bool = False,
    names: Sequence[str] = (),
) -> list[str]:
    """Append a table as sections of its own; returns the names of its columns.

    `rows` are the texts of the cells, one for each column ("" where it is empty, LEFT or ABOVE
    where another cell covers it); they may come one by one. `header` is the number of the first
    rows that name the columns, where the file says so; None lets the values decide. An empty row
    begins another table, perhaps below a header of its own. `names` are those of a table that this
    one goes on, from the page before: they count unless it has others. The rest is as in
    `Draft.add`, and so is what it raises.
    """
    writer = _Writer(draft, page, heading, apart, recognised)
    writer.use_names(list(names))
    ahead = _Ahead([_one_line(cell) for cell in row] for row in rows)
    first = True
    while ahead.fill():
        row = ahead.rows[0]
        if not any(row):
            ahead.take(1)
        elif first and header is None and _is_title(row):
            writer.title(ahead.take(1)[0])
        else:
            if first and header is not None:
                count = header
            elif first and names and row[: len(names)] == list(names):
                count = 1  # said again
            else:
                count = _header_rows(ahead.block(), first and not names)
            if count or (first and not names):
                writer.name_columns(ahead.take(count))
            first = False
            while ahead.fill() and any(ahead.rows[0]):
                writer.row(ahead.take(1)[0])
    writer.end()
    return writer.names


def without_columns(
    rows: Iterable[list[str]], hidden: Set[int], passed: Counter[str]
) -> Iterator[list[str]]:
    """The rows of a sheet without its hidden columns (their places); those that have values are
    counted in `passed`. A row of which nothing is left is none.
    """
    found: set[int] = set()
    for row in rows:
        shown = row
        if hidden:
            found |= {n for n, text in enumerate(row) if text} & hidden
            shown = [text for n, text in enumerate(row) if n not in hidden]
        if any(shown) or not row:
            yield shown
    passed["hidden_column"] += len(found)


def names_line(names: Sequence[str]) -> str:
    """The context of rows below these column names."""
    return CELL_END.join(name[:MAX_NAME_CHARS].rstrip() for name in names).strip()


def column_names(header: Sequence[Sequence[str]]) -> list[str]:
    """One name for each column, from one or more rows of header: "2024 Q1" below a cell "2024" that
    covers two columns. Those at the end without one are left out.
    """
    names: list[list[str]] = [[] for _ in range(max(map(len, header), default=0))]
    for row in header:
        if len(header) > 1 and _is_title(row):
            continue
        said = ""
        for column, cell in enumerate(row):
            said = said if cell is LEFT else cell
            if said and said not in names[column]:
                names[column].append(said)
    while names and not names[-1]:
        names.pop()
    return [" ".join(parts) for parts in names]


def _is_title(row: Sequence[str]) -> bool:
    """Whether there is one text in it, which stands alone or covers the whole width."""
    covered = sum(cell is LEFT for cell in row)
    return sum(map(bool, row)) == 1 and covered in (0, len(row) - 1)


def _one_line(cell: str) -> str:
    return cell if isinstance(cell, _Covered) else " ".join(cell.split())


class _Ahead:
    """Rows that are looked at before they are taken."""

    def __init__(self, rows: Iterable[list[str]]) -> None:
        self._source = iter(rows)
        self.rows: deque[list[str]] = deque()

    def fill(self) -> bool:
        """Whether there is another row, after some have been made ready."""
        missing = SAMPLE_ROWS + MAX_HEADER_ROWS - len(self.rows)
        if missing > SAMPLE_ROWS // 2 or not self.rows:
            self.rows.extend(itertools.islice(self._source, missing))
        return bool(self.rows)

    def block(self) -> list[list[str]]:
        """The next rows up to an empty one, as far as they are ready."""
        return list(itertools.takewhile(any, self.rows))

    def take(self, count: int) -> list[list[str]]:
        return [self.rows.popleft() for _ in range(min(count, len(self.rows)))]


def _header_rows(block: list[list[str]], first: bool) -> int:
    """How many rows at the beginning of a block name its columns. Further blocks need the better
    evidence: their rows may go on below the columns above.
    """
    count = 1 + (len(block) > 1 and _is_title(block[0]))  # a title belongs to what follows
    # Cells that cover several columns, or rows, have more of the header below them.
    while count < min(len(block) - 1, MAX_HEADER_ROWS) and (
        any(cell is LEFT for cell in block[count - 1])
        or any(cell is ABOVE for cell in block[count])
    ):
        count += 1
    names = column_names(block[:count])
    return count if _are_names(names, block[count:], strictly=not first) else 0


def _are_names(names: list[str], below: list[list[str]], *, strictly: bool) -> bool:
    """Different texts over columns that hold numbers further down.

    Texts over nothing but texts are names as well at the top of a table of three columns and more,
    unless one of them comes again below; what ends with a colon stands beside its value.
    """
    said = [name for name in names if name]
    if len(said) < 2 or max(map(len, said)) > 2 * MAX_NAME_CHARS:
        return False
    is_repeated = len(set(said)) < len(said)  # as in exports: "Date | Sum | Date | Sum"
    if len(set(said)) == 1:
        return False
    columns = [[row[n] for row in below if n < len(row) and row[n]] for n in range(len(names))]
    if any(
        name.endswith(":") or name in column for name, column in zip(names, columns, strict=True)
    ):
        return False
    numbers = [name for name in said if _NUMBER.fullmatch(name)]
    if numbers:
        if is_repeated:
            return False
        values = [cell for n, cells in enumerate(columns) if names[n] in numbers for cell in cells]
        return (names[0] == "" or names[0] not in numbers) and _is_series(numbers, values)
    if any(
        _NUMBER.fullmatch(cell) for n, cells in enumerate(columns) if names[n] for cell in cells
    ):
        return True
    return not (strictly or is_repeated) and len(said) > 2 and bool(below)


def _is_series(numbers: list[str], values: list[str]) -> bool:
    """Whether numbers are the names of columns: years or dates over something else, or 1, 2, 3."""
    for kind in (_YEAR, _DATE):
        if all(map(kind.fullmatch, numbers)):
            return 2 * sum(bool(kind.fullmatch(value)) for value in values) <= len(values)
    return len(numbers) > 1 and any(
        numbers == [str(n) for n in range(start, start + len(numbers))] for start in (0, 1)
    )


@dataclass
class _Writer:
    """Collects lines while they share a context."""

    draft: Draft
    page: int | None
    heading: str
    apart: bool  # whether the next section is
    recognised: bool
    names: list[str] = field(default_factory=list)
    _is_wide: bool = False
    _lines: list[str] = field(default_factory=list)
    _chars: int = 0  # of these rows
    _has_rows: bool = False  # among these lines
    _context: str = ""
    _above: dict[int, str] = field(default_factory=dict)  # by column: what ABOVE stands for
    _began: bool = False
    _parts: int = 0

    def name_columns(self, header: list[list[str]]) -> None:
        if self._has_rows:
            self.end()
        self.use_names(column_names(header))
        for row in header:
            if len(header) > 1 and _is_title(row):
                self.title(row)
            else:
                self._lines.append(self._as_line(row))

    def use_names(self, names: list[str]) -> None:
        self.names = names
        self._is_wide = len(names_line(names)) > MAX_CONTEXT_CHARS
        self._context = "" if self._is_wide else names_line(names)

    def row(self, cells: list[str]) -> None:
        line = self._as_line(cells)
        whose = self._covering(cells)
        if (self._is_wide or len(line) > MAX_LINE_CHARS) and self._parts < MAX_PARTS:
            self.end()
            self._add_parts(cells, whose)
            return
        context = "\n".join(whose if self._is_wide else [*whose, names_line(self.names)]).strip()
        if context != self._context:
            self.end()
            self._context = context
        self._lines.append(line)
        self._chars += len(line)
        self._has_rows = True
        if self._chars > PIECE_CHARS:
            self.end()

    def title(self, cells: list[str]) -> None:
        """A row of one text, which stands above the columns."""
        self._lines.append("".join(cells))

    def end(self) -> None:
        if self._lines:
            self._add("\n".join(self._lines), self._context)
            self._lines = []
            self._chars = 0
        self._has_rows = False

    def _add_parts(self, cells: list[str], above: list[str]) -> None:
        """A row whose parts are sections of their own, on one line."""
        whose = [*above, _name_of(cells)]
        parts = self._cut(cells)
        for number, part in enumerate(parts):
            text = CELL_END.join(cells[part.start : part.stop])
            text += CELL_END.rstrip() if number < len(parts) - 1 else ""
            names = names_line(self.names[part.start : part.stop])
            self.apart = True
            self._add(text, "\n".join([*whose, names]), " " if number else "\n")
        self.apart = True
        self._parts += len(parts)

    def _add(self, text: str, context: str, separator: str = "\n") -> None:
        self.draft.add(
            text,
            page=self.page,
            heading=self.heading,
            apart=self.apart,
            context=context,
            separator=separator if self._began else None,
            recognised=self.recognised,
        )
        self._began = True
        self.apart = False

    def _as_line(self, cells: list[str]) -> str:
        """All cells up to the last column that has a name or a value."""
        width = len(cells)
        while width > len(self.names) and not cells[width - 1]:
            width -= 1
        padding = [""] * (len(self.names) - width)
        return CELL_END.join([*cells[:width], *padding]).lstrip(" ")

    def _covering(self, cells: list[str]) -> list[str]:
        """The texts of the cells above that go on in this row."""
        said = []
        for column, cell in enumerate(cells):
            if cell is ABOVE:
                said.append(self._above.get(column, ""))
            else:
                self._above[column] = cell[:MAX_NAME_CHARS]
        return list(dict.fromkeys(filter(None, said)))

    def _cut(self, cells: list[str]) -> list[range]:
        """The columns of each part, as many as its line and its context may have; empty cells go
        with the part before them.
        """
        starts = [0]
        length = names = 0
        for column, cell in enumerate(cells):
            name = self.names[column][:MAX_NAME_CHARS] if column < len(self.names) else ""
            before = length
            length += len(cell) + len(CELL_END)
            names += len(name) + len(CELL_END)
            is_full = length > MAX_LINE_CHARS and before >= MIN_PART_CHARS
            if column and cell and (is_full or names > MAX_CONTEXT_CHARS):
                starts.append(column)
                length, names = len(cell), len(name)
        return [range(*ends) for ends in itertools.pairwise([*starts, len(cells)])]


def _name_of(cells: list[str]) -> str:
    """What a row is called: by its first text, or its first cell where that is a number and no
    text is near.
    """
    said = [cell for cell in cells[:3] if cell] or [cell for cell in cells if cell][:1]
    texts = [n for n, cell in enumerate(said) if not _NUMBER.fullmatch(cell)]
    return CELL_END.join(cell[:MAX_NAME_CHARS] for cell in said[: texts[0] + 1 if texts else 1])
