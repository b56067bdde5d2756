"""What is drawn on the sheets of an XLS beside its cells, by [MS-XLS]: text boxes and charts. xlrd
passes them over.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from processing.parsing.flow import Sink
from processing.parsing.numberformat import shown

MAX_POINTS = 50_000  # of all charts of a sheet
MAX_SERIES = 255  # Excel's own limit

_SHEET, _BEGIN, _END, _CONTINUED = 0x0085, 0x0809, 0x000A, 0x003C
_OBJECT, _TEXT, _NOTE = 0x005D, 0x01B6, 0x0019
_SERIES, _NAME, _OPEN, _CLOSE = 0x1003, 0x100D, 0x1033, 0x1034
_CACHED, _NUMBER, _LABEL, _CATEGORIES = 0x1065, 0x0203, 0x0204, 2
_CHART_SHEET = 2


@dataclass(slots=True)
class Chart:
    titles: list[str] = field(default_factory=list)
    series: list[str] = field(default_factory=list)
    categories: dict[int, str] = field(default_factory=dict)
    values: dict[tuple[int, int], str] = field(default_factory=dict)  # (point, series)

    def show(self, sink: Sink) -> None:
        for title in self.titles:
            sink.line(title)
        points = sorted({*self.categories, *(point for point, _ in self.values)})
        count = min(max((number + 1 for _, number in self.values), default=0), MAX_SERIES)
        names = [*self.series, *[""] * count][:count]
        points = points[: MAX_POINTS // max(count, 1)]  # however far apart the values are
        if points:
            rows = (
                [self.categories.get(n, ""), *(self.values.get((n, m), "") for m in range(count))]
                for n in points
            )
            sink.table([["", *names], *rows], 1)


@dataclass(slots=True)
class Drawn:
    """On a sheet; `is_chart`: it has no cells, and is a chart as a whole."""

    boxes: list[str] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    is_chart: bool = False
    is_hidden: bool = False


def drawn_on(stream: bytes) -> dict[str, Drawn]:
    """By the names of the sheets; of what is damaged as far as it goes."""
    sheets: dict[int, bytes] = {}
    for kind, content in _records(stream, 0, len(stream)):
        if kind == _SHEET and len(content) > 8:
            sheets.setdefault(struct.unpack_from("<I", content)[0], content)
        elif kind == _END:
            break
    found: dict[str, Drawn] = {}
    places = sorted(sheets)
    for place, end in zip(places, [*places[1:], len(stream)], strict=True):
        state, type, count = sheets[place][4:7]
        drawn = found[_text(sheets[place][7:], count)] = _read(stream, place, end)
        drawn.is_chart, drawn.is_hidden = type == _CHART_SHEET, bool(state & 3)
    return found


def _read(stream: bytes, start: int, stop: int) -> Drawn:
    drawn = Drawn()
    depth = level = points = 0
    in_series: int | None = None  # how deep the series is that is open
    is_note = is_category = False
    left = 0  # characters of the text that is open
    for kind, content in _records(stream, start, stop):
        if kind == _BEGIN:
            depth += 1
            if content[2:4] == b"\x20\0":
                drawn.charts.append(Chart())
                level, in_series = 0, None
        elif kind == _END:
            depth -= 1
            if depth <= 0:
                break
        elif kind == _OBJECT and len(content) > 5:
            is_note = struct.unpack_from("<H", content, 4)[0] == _NOTE
        elif kind == _TEXT and len(content) > 11 and not is_note:
            left = struct.unpack_from("<H", content, 10)[0]
            drawn.boxes.append("")
        elif kind == _CONTINUED and left and content:
            said = _text(content, left)
            left -= len(said)
            drawn.boxes[-1] += said
        elif not drawn.charts:
            continue
        elif kind in (_OPEN, _CLOSE):
            level += 1 if kind == _OPEN else -1
            in_series = None if in_series == level and kind == _CLOSE else in_series
        elif kind == _SERIES:
            drawn.charts[-1].series.append("")
            in_series = level
        elif kind == _NAME and len(content) > 4:
            name = _text(content[3:], content[2])
            if in_series is None:
                drawn.charts[-1].titles.append(name)
            else:
                drawn.charts[-1].series[-1] = name
        elif kind == _CACHED and content:
            is_category = content[0] == _CATEGORIES
        elif kind in (_NUMBER, _LABEL) and len(content) > 8 and points < MAX_POINTS:
            points += 1
            point, series = struct.unpack_from("<HH", content)
            value = _value(kind, content)
            if is_category:
                drawn.charts[-1].categories.setdefault(point, value)
            elif series < MAX_SERIES:
                drawn.charts[-1].values[point, series] = value
    return drawn


def _value(kind: int, content: bytes) -> str:
    if kind == _LABEL:
        return _text(content[8:], struct.unpack_from("<H", content, 6)[0])
    if len(content) < 14:
        return ""
    return shown(struct.unpack_from("<d", content, 6)[0], "General")


def _text(data: bytes, count: int) -> str:
    """So many characters behind the byte that says how wide they are."""
    if not data:
        return ""
    if data[0] & 1:
        return data[1 : 1 + 2 * count].decode("utf-16-le", "replace")
    return data[1 : 1 + count].decode("latin-1")


def _records(stream: bytes, at: int, end: int) -> Iterator[tuple[int, bytes]]:
    while at + 4 <= end:
        kind, size = struct.unpack_from("<HH", stream, at)
        yield kind, stream[at + 4 : at + 4 + size]
        at += 4 + size
