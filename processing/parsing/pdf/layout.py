"""What of a page is a table, and what is running text."""

import itertools
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from processing.parsing.pdf.words import Line, Word
from processing.parsing.tables import LEFT


class Cell(str):
    """The text of a table's cell, which knows the words that it is made of."""

    words: list[Word]

    @classmethod
    def of(cls, words: list[Word]) -> "Cell":
        cell = cls(" ".join(word.text for word in words))
        cell.words = words
        return cell


Rows = list[list[str]]
Block = list[Line] | Rows

# In heights of a line. A space between words is a third, in justified lines up to two thirds.
CELL_GAP = 0.85
ROW_GAP = 3.0  # rows further apart are none of one table
GUTTER = 0.5  # the least white space between two columns
ALIGNED = 2.0  # points
MIN_ROWS = 3
MIN_COLUMN_ROWS = 5  # of running text
# Cells of more words on average are running text in columns.
MAX_CELL_WORDS = 5.0
MAX_ROW_WORDS = 2_000  # of a page: beyond it nobody typeset a table by hand
_NOTHING = 0.15  # this share of the rows may cross the white space between columns


@dataclass(slots=True)
class Row:
    """The words at one height, from left to right, and the parts of it between wide gaps."""

    words: list[Word]
    parts: int

    @property
    def middle(self) -> float:
        return self.words[0].middle


def blocks(lines: list[Line]) -> list[Block]:
    """The page in its order: lines of running text, and tables where their first word stood."""
    tables = _tables(lines)
    if not tables:
        return [lines] if lines else []
    owner = {id(word): n for n, (words, _) in enumerate(tables) for word in words}
    found: list[Block] = [[]]
    begun: set[int] = set()
    for line in lines:
        rest = []
        for word in line:
            table = owner.get(id(word))
            if table is None:
                rest.append(word)
            elif table not in begun:
                begun.add(table)
                if rest:
                    found[-1].append(rest)  # type: ignore[arg-type]
                    rest = []
                found += [tables[table][1], []]
        if rest:
            found[-1].append(rest)  # type: ignore[arg-type]
    return [block for block in found if block]


def words_in(blocks: list[Block]) -> Iterator[Word]:
    """The words of a page, in the order of its text."""
    for block in blocks:
        for row in block:
            for part in row:
                yield from [part] if isinstance(part, Word) else getattr(part, "words", ())


def _tables(lines: list[Line]) -> list[tuple[list[Word], Block]]:
    """(its words, its rows) of each table, and of text in columns that was drawn across them."""
    words = [word for line in lines for word in line]
    if len(words) < 2 * MIN_ROWS or len(words) > MAX_ROW_WORDS:
        return []
    rows = _rows(words)
    if sum(row.parts > 1 for row in rows) < MIN_ROWS:
        return []
    line_of = {id(word): n for n, line in enumerate(lines) for word in line}
    drawn = {id(word): n for n, word in enumerate(words)}
    found = []
    for run in _runs(rows):
        for part in _beside(run, drawn):
            if table := _table(part, line_of):
                found.append(table)
    return found


def _rows(words: list[Word]) -> list[Row]:
    """The words by their height on the page, the highest first."""
    found: list[list[Word]] = []
    for word in sorted(words, key=lambda word: -word.middle):
        if found and abs(found[-1][0].middle - word.middle) <= 0.4 * min(
            found[-1][0].height, word.height
        ):
            found[-1].append(word)
        else:
            found.append([word])
    return [_row(row) for row in found]


def _row(words: list[Word]) -> Row:
    words.sort(key=lambda word: word.left)
    height = max(word.height for word in words)
    gaps = (right.left - left.right for left, right in itertools.pairwise(words))
    return Row(words, 1 + sum(gap > CELL_GAP * height for gap in gaps))


def _runs(rows: list[Row]) -> list[list[Row]]:
    """Neighbours of which most have several parts; it begins and ends with such a row."""
    runs: list[list[Row]] = []
    waiting: list[Row] = []
    for row in rows:
        above = waiting[-1] if waiting else runs[-1][-1] if runs else None
        near = above is not None and above.middle - row.middle <= ROW_GAP * max(
            row.words[0].height, above.words[0].height
        )
        if row.parts > 1:
            if runs and near:
                runs[-1] += [*waiting, row]
            else:
                runs.append([row])
            waiting = []
        elif near and len(waiting) < 2:
            waiting.append(row)
        else:
            waiting = [] if not near else [*waiting, row]
    return [part for run in runs for part in _apart(run) if len(part) >= MIN_ROWS]


def _apart(run: list[Row]) -> list[list[Row]]:
    """The tables of which a run is made: where no column of those above goes on below. A line alone
    between them, the title of the second, is of neither.
    """
    tables = [run]
    at = MIN_ROWS
    while at <= len(tables[-1]) - MIN_ROWS:
        rows = tables[-1]
        above = [row for row in rows[at - MIN_ROWS : at] if row.parts > 1]
        below = [row for row in rows[at : at + MIN_ROWS + 1] if row.parts > 1]
        if min(len(above), len(below)) >= MIN_ROWS and not _share_columns(above, below):
            title = 1 if rows[at].parts == 1 else 0
            tables[-1:] = [rows[:at], rows[at + title :]]
            at = MIN_ROWS
        else:
            at += 1
    return tables


def _share_columns(above: list[Row], below: list[Row]) -> bool:
    """Whether a column behind the first stands at the same place: by its left or right side, or its
    middle.
    """
    one, other = ([_places(row) for row in rows] for rows in (above, below))
    return any(
        abs(here - there) <= ALIGNED
        for kind in range(3)
        for here in {place[kind] for row in one for place in row}
        for there in {place[kind] for row in other for place in row}
    )


def _places(row: Row) -> list[tuple[float, float, float]]:
    """(left, right, middle) of the parts behind the first one."""
    height = max(word.height for word in row.words)
    parts = [[row.words[0]]]
    for word in row.words[1:]:
        if word.left - parts[-1][-1].right > CELL_GAP * height:
            parts.append([])
        parts[-1].append(word)
    return [
        (part[0].left, part[-1].right, (part[0].left + part[-1].right) / 2) for part in parts[1:]
    ]


def _beside(run: list[Row], drawn: dict[int, int]) -> list[list[Row]]:
    """The tables that stand side by side at the height of a run: the file draws one row by row,
    and then the other. One table is drawn in rows, or in columns.
    """
    for gutter in _gutters(run)[1:-1]:
        sides: tuple[list[Row], list[Row]] = ([], [])
        for row in run:
            for n, side in enumerate(sides):
                words = [word for word in row.words if (word.left >= gutter[1] - 0.1) == bool(n)]
                if words:
                    side.append(_row(words))
        left, right = sides
        if min(len(left), len(right)) < MIN_ROWS or not all(_is_in_rows(s, drawn) for s in sides):
            continue
        places = [[drawn[id(word)] for row in side for word in row.words] for side in sides]
        if max(places[0]) < min(places[1]):
            return [left, *_beside(right, drawn)]
    return [run]


def _is_in_rows(rows: list[Row], drawn: dict[int, int]) -> bool:
    """Whether several columns were drawn row by row."""
    places = [[drawn[id(word)] for word in row.words] for row in rows]
    return sum(row.parts > 1 for row in rows) >= MIN_ROWS and all(
        max(above) < min(below) for above, below in itertools.pairwise(places)
    )


def _table(run: list[Row], line_of: dict[int, int]) -> tuple[list[Word], Block] | None:
    gutters = _gutters(run)
    if not gutters:
        return None
    cells = [_cells(row, gutters) for row in run]
    while cells and sum(map(bool, cells[0])) < 2:  # what stands above is no part of it
        del cells[0], run[0]
    while cells and sum(map(bool, cells[-1])) < 2:
        del cells[-1], run[-1]
    words = [word for row in run for word in row.words]
    if len(cells) < MIN_ROWS:
        return None
    if not _is_table(cells):
        across = sum(len({line_of[id(word)] for word in row.words}) == 1 for row in run)
        if len(cells) < MIN_COLUMN_ROWS or across < 0.5 * len(run) or not _is_text(cells):
            return None
        return words, [cell for column in zip(*cells, strict=True) for cell in column if cell]
    return words, [_texts(row) for row in _joined(cells, run)]


def _gutters(run: list[Row]) -> list[tuple[float, float]]:
    """The white spaces between columns: hardly a row has a word there, most have one on each
    side.
    """
    height = statistics.median(word.height for row in run for word in row.words)
    changes: list[tuple[float, int]] = []
    for row in run:
        # Words at a distance of a space are one: a gap between them is no gutter.
        start, end = row.words[0].left, row.words[0].right
        for word in row.words[1:]:
            if word.left - end > GUTTER * height:
                changes += [(start, 1), (end, -1)]
                start = word.left
            end = max(end, word.right)
        changes += [(start, 1), (end, -1)]
    changes.sort()
    allowed = int(_NOTHING * len(run))
    found: list[tuple[float, float]] = []
    covered, since = 0, None
    for place, change in changes:
        covered += change
        if covered <= allowed and since is None:
            since = place
        elif covered > allowed and since is not None:
            found.append((since, place))
            since = None
    return [
        gutter
        for gutter in found[1 if found and found[0][0] == changes[0][0] else 0 :]
        if gutter[1] - gutter[0] >= GUTTER * height and _divides(gutter, run)
    ]


def _divides(gutter: tuple[float, float], run: list[Row]) -> bool:
    """Whether there are words on both sides of it in many rows; or in few, and they begin or end
    below each other.
    """
    behind = []
    for row in run:
        right = [word for word in row.words if word.left >= gutter[1] - 0.1]
        if right and row.words[0].left < gutter[0]:
            behind.append(right)
    if len(behind) >= max(2, 0.4 * len(run)):
        return True
    starts = [words[0].left for words in behind]
    return len(behind) >= 2 and max(starts) - min(starts) <= ALIGNED


def _cells(row: Row, gutters: list[tuple[float, float]]) -> list[list[Word]]:
    """The words of each column; those that reach over several stand in the first."""
    cells: list[list[Word]] = [[] for _ in range(len(gutters) + 1)]
    for word in row.words:
        column = sum((left + right) / 2 <= word.left for left, right in gutters)
        # A long text that began before goes on.
        if column and cells[column - 1] and not cells[column]:
            before = cells[column - 1][-1]
            if (
                word.left - before.right < 0.4 * word.height
                and before.right > gutters[column - 1][0]
            ):
                column -= 1
        cells[column].append(word)
    return cells


def _is_table(cells: list[list[list[Word]]]) -> bool:
    """Short texts, so that no columns of running text are taken for one."""
    columns = list(zip(*cells, strict=True))
    lengths = [
        statistics.mean(len(cell) for cell in column if cell) for column in columns if any(column)
    ]
    if len(lengths) < 2:
        return False
    long = sum(length > MAX_CELL_WORDS for length in lengths)
    filled = sum(sum(map(bool, row)) > 1 for row in cells)
    return long <= (1 if len(lengths) > 2 else 0) + (len(lengths) == 2 and min(lengths) <= 2) and (
        filled >= max(MIN_ROWS, 0.5 * len(cells))
    )


def _is_text(cells: list[list[list[Word]]]) -> bool:
    """Whether all columns are running text."""
    columns = list(zip(*cells, strict=True))
    return all(
        statistics.mean(len(cell) for cell in column) > 0.8 * MAX_CELL_WORDS for column in columns
    )


def _joined(cells: list[list[list[Word]]], run: list[Row]) -> list[list[list[Word]]]:
    """A line that goes on in a cell of the row above is part of it: it is alone in its row, not in
    the first column, and stands nearer than rows do.
    """
    steps = [above.middle - below.middle for above, below in itertools.pairwise(run)]
    near = min(steps, default=0.0) * 1.15
    rows = [cells[0]]
    varies = max(steps, default=0.0) > near
    for row, step in zip(cells[1:], steps, strict=True):
        alone = sum(map(bool, row)) == 1 and not row[0]
        if varies and alone and step <= near:
            rows[-1] = [above + below for above, below in zip(rows[-1], row, strict=True)]
        else:
            rows.append(row)
    return rows


def _texts(row: list[list[Word]]) -> list[str]:
    texts = [Cell.of(cell) for cell in row]
    return [LEFT if _is_covered(row, column) else text for column, text in enumerate(texts)]


def _is_covered(row: list[list[Word]], column: int) -> bool:
    """Whether the text of a cell before reaches through this one."""
    if row[column] or column == 0:
        return False
    before = next((cell for cell in reversed(row[:column]) if cell), None)
    following = next((cell for cell in row[column + 1 :] if cell), None)
    if before is None or following is None:
        return False
    return before[-1].right > following[0].left - 0.5 * before[-1].height
