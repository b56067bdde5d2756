"""What Word, PowerPoint and Excel draw alike (DrawingML): text in shapes, charts, diagrams,
equations, and the words that stand for a picture.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any

from processing.parsing.flow import Sink
from processing.parsing.numberformat import shown
from processing.parsing.package import Package, relation_id
from processing.parsing.symbols import in_font
from processing.parsing.word_numbers import in_format

A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
CX = "{http://schemas.microsoft.com/office/drawing/2014/chartex}"
DGM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}"
M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"

# What a program put in for want of words: the name of the picture's file.
_FILE_NAME = re.compile(r"\S+\.(?:png|jpe?g|gif|bmp|emf|wmf|svg|tiff?|webp|heic)", re.IGNORECASE)
_EXPONENT = re.compile(r"[+\u2212-]?\d{1,3}")
_INVISIBLE = dict.fromkeys(range(0x2061, 0x2065), " ")  # between a function and its argument
_AUTO_NUMBERS = {
    "alphaLc": "lowerLetter", "alphaUc": "upperLetter", "romanLc": "lowerRoman",
    "romanUc": "upperRoman", "circleNum": "decimalEnclosedCircle", "ea1": "chineseCounting",
}  # fmt: skip
MAX_SERIES = 255  # Excel's own limit
MAX_NAME = 1_000  # characters of a category of several levels
_SHOWS = {"t", "relIds", "chart", "pic", "imagedata", "textpath"}


def children(element: Any) -> Iterator[Any]:
    """The children, of alternatives the one that says more: the newer one, or the one for old
    programs.
    """
    for child in element:
        if child.tag == f"{MC}AlternateContent":
            for alternative in child:
                if any(local(node) in _SHOWS for node in alternative.iter()):
                    yield from children(alternative)
                    break
        elif isinstance(child.tag, str):  # not a processing instruction
            yield child


def local(node: Any) -> str:
    """The name of an element without its namespace."""
    return node.tag.rpartition("}")[2] if isinstance(node.tag, str) else ""


def paragraphs(body: Any) -> str:
    """The text of a shape, a line per paragraph."""
    counters: dict[int, int] = {}
    return "\n".join(
        _number(node, text, counters) + text
        for node in body.iter(f"{A}p")
        for text in [_paragraph(node)]
    )


def _number(paragraph: Any, text: str, counters: dict[int, int]) -> str:
    """The number that the program draws before a paragraph; `counters` are those of its levels."""
    properties = paragraph.find(f"{A}pPr")
    said = "0" if properties is None else properties.get("lvl", "0")
    level = int(said) if said in "012345678" else 0
    for deeper in [other for other in counters if other > level]:
        del counters[deeper]
    rule = None if properties is None else properties.find(f"{A}buAutoNum")
    if rule is None:
        if text.strip():
            counters.pop(level, None)
        return ""
    if not text.strip():
        return ""
    start = rule.get("startAt", "1")
    first = int(start[:5]) if start.isdecimal() else 1
    counters[level] = counters.get(level, first - 1) + 1
    kind = rule.get("type", "")
    formats = (name for begin, name in _AUTO_NUMBERS.items() if kind.startswith(begin))
    said = in_format(counters[level], next(formats, "decimal"))
    if kind.endswith("ParenBoth"):
        return f"({said}) "
    ends = {"ParenR": ")", "Period": "."}
    return f"{said}{next((end for name, end in ends.items() if kind.endswith(name)), '')} "


def _paragraph(paragraph: Any) -> str:
    parts: list[str] = []
    for run in children(paragraph):
        match local(run):
            case "r":
                if _is_power(run, parts):
                    parts.append("^")
                parts.append(_run(run))
            case "br":
                parts.append("\n")
            case "fld" if run.get("type") != "slidenum":
                parts.append(run.findtext(f"{A}t") or "")
            case "m":
                parts.append(equation(run))
    return "".join(parts)


def is_exponent(text: str) -> bool:
    """Whether a raised text is a number, so that behind another one it would be its digits."""
    return _EXPONENT.fullmatch(text.strip()) is not None


def _is_power(run: Any, before: list[str]) -> bool:
    """Whether it is a raised number behind a number, not more of its digits."""
    properties = run.find(f"{A}rPr")
    if properties is None or not properties.get("baseline", "0").strip("-0%").isdigit():
        return False
    is_raised = not properties.get("baseline", "").startswith("-")
    text = (run.findtext(f"{A}t") or "").strip()
    return is_raised and is_exponent(text) and bool(before) and before[-1][-1:].isdigit()


def _run(run: Any) -> str:
    text = run.findtext(f"{A}t") or ""
    font = run.find(f"{A}rPr/{A}sym")
    if font is None or not any("\uf000" <= character <= "\uf0ff" for character in text):
        return text
    return in_font(font.get("typeface"), text)


def alternative_text(properties: Any) -> str:
    """What a drawing's author says that it shows; "" for a mere file name."""
    said = " ".join((properties.get("descr") or "").split())
    return "" if _FILE_NAME.fullmatch(said) else said


def show_graphic(package: Package, part: str, graphic: Any, sink: Sink) -> bool:
    """Put the chart or diagram that this element of the part shows; whether there was one."""
    found = False
    for node in graphic.iter(f"{C}chart", f"{CX}chart", f"{DGM}relIds"):
        name = "dm" if node.tag == f"{DGM}relIds" else "id"
        if target := package.target(part, relation_id(node, name)):
            (show_diagram if name == "dm" else show_chart)(package, target, sink)
            found = True
    return found


def show_diagram(package: Package, part: str, sink: Sink) -> None:
    """SmartArt: the text of each of its points, in the order in which they were made."""
    for point in package.xml(part).iter(f"{DGM}pt"):
        body = point.find(f"{DGM}t")
        if body is not None and (text := paragraphs(body).strip()):
            sink.line(text)


def show_chart(package: Package, part: str, sink: Sink) -> None:
    """The titles of a chart, and its values as a table: a row for each category, a column for each
    series.
    """
    root = package.xml(part)
    for title in root.iter(f"{C}title", f"{CX}title"):
        text = paragraphs(title) or "".join(cached.text or "" for cached in title.iter(f"{C}v"))
        if text.strip():
            sink.line(text)
    rows = list(_chart_rows(root)) if root.tag.startswith(C) else list(_new_chart_rows(root))
    if rows:
        sink.table(rows, header=1)
    for drawing in package.related(part, "chartUserShapes"):
        sink.line(paragraphs(package.xml(drawing.target)))


def _chart_rows(root: Any) -> Iterator[list[str]]:
    names: list[str] = []
    columns: list[dict[int, str]] = []
    categories: dict[int, str] = {}
    for series in itertools.islice(root.iter(f"{C}ser"), MAX_SERIES):
        names.append(" ".join(v.text or "" for v in series.iterfind(f"{C}tx//{C}v")))
        columns.append(_points(series, "val", "yVal"))
        categories |= _points(series, "cat", "xVal")
    indexes = sorted(set(categories).union(*columns))
    if indexes:
        yield ["", *names]
    for index in indexes:
        yield [categories.get(index, ""), *(column.get(index, "") for column in columns)]


def _points(series: Any, *names: str) -> dict[int, str]:
    """The values that were saved with the chart, by their place; several levels joined."""
    points: dict[int, str] = {}
    for name in names:
        for cache in series.iterfind(f"{C}{name}/*/*"):
            if local(cache) not in ("strCache", "numCache", "multiLvlStrCache", "strLit", "numLit"):
                continue
            code = cache.findtext(f"{C}formatCode") or "General"
            for point in cache.iter(f"{C}pt"):
                index = int(point.get("idx", "0"))
                value = point.findtext(f"{C}v") or ""
                value = _as_number(value, code) if local(cache).startswith("num") else value
                points[index] = f"{value} {points[index]}"[:MAX_NAME] if index in points else value
    return points


def _new_chart_rows(root: Any) -> Iterator[list[str]]:
    """The kinds of chart since Office 2016 (waterfall, treemap): their dimensions side by side."""
    names = [
        " ".join(v.text or "" for v in s.iterfind(f"{CX}tx//{CX}v"))
        for s in root.iter(f"{CX}series")
    ]
    columns: list[Sequence[str]] = [
        [point.text or "" for point in level.iter(f"{CX}pt")] for level in root.iter(f"{CX}lvl")
    ]
    length = max(map(len, columns), default=0)
    if length:
        yield ["", *names]
    for index in range(length):
        yield [column[index] if index < len(column) else "" for column in columns]


def _as_number(value: str, code: str) -> str:
    try:
        return shown(float(value), code)
    except ValueError:
        return value


def equation(element: Any) -> str:
    """An equation on one line: "(a+b)/c", "x^2"."""

    def of(name: str) -> str:
        return "".join(equation(child) for child in element.iterfind(f"{M}{name}"))

    def each(name: str, between: str) -> str:
        return between.join(equation(child) for child in element.iterfind(f"{M}{name}"))

    match local(element):
        case "t":
            return (element.text or "").translate(_INVISIBLE)
        case "f":
            return f"{grouped(of('num'))}/{grouped(of('den'))}"
        case "sSup":
            return f"{of('e')}^{grouped(of('sup'))}"
        case "sSub":
            return f"{of('e')}_{grouped(of('sub'))}"
        case "sSubSup":
            return f"{of('e')}_{grouped(of('sub'))}^{grouped(of('sup'))}"
        case "rad":
            return f"{of('deg')}√{grouped(of('e'))}"
        case "d":
            begin, end = _character(element, "begChr", "("), _character(element, "endChr", ")")
            return f"{begin}{each('e', _character(element, 'sepChr', '|'))}{end}"
        case "m" if element.tag == f"{M}m":  # the other one holds equations
            return each("mr", "; ")
        case "mr":
            return each("e", ", ")
        case "eqArr":
            return each("e", "; ")
        case "limLow":
            return f"{of('e')}_{grouped(of('lim'))}"
        case "limUpp":
            return f"{of('e')}^{grouped(of('lim'))}"
        case "func":
            return f"{of('fName').rstrip()} {of('e')}"
        case "nary":
            lower, upper = of("sub"), of("sup")
            bounds = f"_{grouped(lower)}" * bool(lower) + f"^{grouped(upper)}" * bool(upper)
            return f"{_character(element, 'chr', '∫')}{bounds} {of('e')}"
    return "".join(equation(child) for child in children(element))


def grouped(text: str) -> str:
    return text if len(text) < 2 or text.isalnum() else f"({text})"


def _character(element: Any, name: str, usual: str) -> str:
    found = element.find(f"{M}{local(element)}Pr/{M}{name}")
    return usual if found is None else found.get(f"{M}val", usual)
