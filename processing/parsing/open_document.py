"""OpenDocument, as an archive or as one XML file: texts, presentations (a place per slide, its
number as the page) and spreadsheets (a table per sheet, its name as the heading).

By the XML itself: odfpy has had no release since 2020, and gives elements, not what they show.
"""

import base64
import binascii
import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any

from lxml import etree

from processing.errors import PermanentError
from processing.parsing.archive import UNREADABLE, Archive
from processing.parsing.draft import Draft, Outline, one_line
from processing.parsing.drawing import local
from processing.parsing.flow import Flow, Pictures, Sink, Words
from processing.parsing.mathml import formula
from processing.parsing.open_document_numbers import Counters, ListNumbers
from processing.parsing.sentences import DAMAGED, ENCRYPTED
from processing.parsing.tables import ABOVE, LEFT, without_columns

NO_TEXT = (
    "This document contains no text; if its pages are images, "
    "run text recognition (OCR) and upload the result."
)
MAX_CELLS = 2_000_000
MAX_COLUMNS = 16_384  # LibreOffice has no more
MAX_REPEATS = 1_000  # of a row or a cell with a value; programs repeat empty ones to the end
MAX_SPACES = 100
MAX_DEPTH = 100  # of what stands in each other: sections, lists, frames
# A picture of this size may well show text; a logo or an icon seldom does.
_PICTURE_CM = (6.0, 4.0)

_NS = "urn:oasis:names:tc:opendocument:xmlns:"
_OFFICE, _TEXT, _TABLE = f"{{{_NS}office:1.0}}", f"{{{_NS}text:1.0}}", f"{{{_NS}table:1.0}}"
_DRAW, _STYLE, _SVG = f"{{{_NS}drawing:1.0}}", f"{{{_NS}style:1.0}}", f"{{{_NS}svg-compatible:1.0}}"
_SHOW, _LINK = f"{{{_NS}presentation:1.0}}", "{http://www.w3.org/1999/xlink}href"
_PARSER = etree.XMLParser(
    resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True, huge_tree=False
)
# Deleted text, the machinery of forms and of fields, animations.
_GONE = {"tracked-changes", "forms", "sequence-decls", "variable-decls", "user-field-decls"}
_GONE |= {"note-citation", "ruby-text", "hidden-text", "script", "event-listeners", "par"}
_GONE |= {"number", "animations", "alphabetical-index-mark", "bibliography-mark-start"}
_SHAPES = {"custom-shape", "rect", "line", "ellipse", "polyline", "polygon", "path", "connector"}
_SHAPES |= {"circle", "caption", "measure", "regular-polygon"}
_FOOTERS = {"footer", "date-time", "page-number", "header"}
# What a drawing is called, beside which a chart and a document have a title too.
_DESCRIBES = {f"{_SVG}title", f"{_SVG}desc"}
_CM = {"cm": 1.0, "mm": 0.1, "in": 2.54, "pt": 2.54 / 72, "px": 2.54 / 96}


def read(file: IO[bytes], draft: Draft) -> None:
    """Raises PermanentError: see `Archive`; `too_large` past MAX_CELLS."""
    _Reader(_Source(file), draft).read()


class _Source:
    """The parts of the document."""

    def __init__(self, file: IO[bytes]) -> None:
        self._archive: Archive | None = None
        if file.read(2) == b"PK":
            file.seek(0)
            self._archive = Archive(file)
            self._refuse_encrypted()
            self.content = self.xml("content.xml")
        else:
            file.seek(0)
            self.content = _parsed(file.read())
        if self.content is None:
            raise PermanentError("corrupt", DAMAGED)

    def xml(self, name: str) -> Any:
        """The root element of a part; None where there is none, or it is damaged."""
        data = self.read(name)
        return _parsed(data) if data else None

    def read(self, name: str) -> bytes | None:
        if self._archive is None:
            return None
        try:
            return self._archive.read(name.removeprefix("./"))
        except KeyError:
            return None

    def _refuse_encrypted(self) -> None:
        manifest = self.read("META-INF/manifest.xml") or b""
        if b"encryption-data" in manifest:
            raise PermanentError("encrypted", ENCRYPTED)


def _parsed(data: bytes) -> Any:
    try:
        return etree.fromstring(data, _PARSER)
    except (etree.XMLSyntaxError, ValueError):
        return None


class _Reader:
    def __init__(self, source: _Source, draft: Draft) -> None:
        self._source = source
        self._draft = draft
        self._outline = Outline()
        self._notes: list[str] = []
        self._comments: list[str] = []
        self._objects: set[str] = set()  # that were met
        self._waiting: list[str] = []  # objects that stand where there is no room for them
        self._hidden: set[tuple[str, str]] = set()  # styles: (family, name)
        self._numbers = ListNumbers()
        self._pictures = Pictures(draft, self._load_picture)
        self._has_slides = False
        self._looked_at: list[str] = []  # what came of the pictures of a slide
        self._inline: list[Any] = []  # the pictures that stand in the XML itself
        self._cells = 0
        self._depth = 0

    def read(self) -> None:
        root = self._source.content
        body = root.find(f"{_OFFICE}body")
        if body is None or not len(body):
            raise PermanentError("corrupt", DAMAGED)
        styles = self._source.xml("styles.xml")
        for tree in (styles, root):
            if tree is not None:
                self._numbers.learn(tree)
                self._hidden |= _invisible(tree, self._hidden)
        match local(body[0]):
            case "spreadsheet":
                self._read_sheets(body[0])
            case "presentation" | "drawing":
                self._read_slides(body[0])
            case _:
                flow = Flow(self._draft)
                self._blocks(body[0], flow)
                flow.end()
                self._read_margins(root if styles is None else styles)
        self._draft.add("\n".join(self._notes), heading="Footnotes" if self._notes else "")
        self._draft.add("\n".join(self._comments), heading="Comments" if self._comments else "")
        rest = Flow(self._draft)
        self._show_waiting(rest)  # of headers, notes and titles
        rest.end()

    # Kinds of documents

    def _read_sheets(self, body: Any) -> None:
        hidden = _hidden_styles(self._source.content)
        for sheet in body.iter(f"{_TABLE}table"):
            if sheet.getparent() is not body:
                continue
            name = one_line(sheet.get(f"{_TABLE}name", ""))
            if sheet.get(f"{_TABLE}style-name") in hidden:
                self._draft.unread("hidden_sheet", f"sheet {name}")
                continue
            flow = Flow(self._draft, heading=name, apart=True)
            passed: Counter[str] = Counter()
            flow.table(_without_hidden(self._rows(sheet, passed), sheet, passed))
            for kind, count in (+passed).items():
                self._draft.unread(kind, f"sheet {name}", count)
            self._show_waiting(flow)
            for shapes in sheet.iterfind(f"{_TABLE}shapes"):
                self._blocks(shapes, flow)
            for comment in self._comments:
                flow.line(comment)
            self._comments.clear()
            flow.end()

    def _read_slides(self, body: Any) -> None:
        self._has_slides = True  # a slide is in the report as a whole
        for number, page in enumerate(body.iterfind(f"{_DRAW}page"), 1):
            title = next((f for f in page if f.get(f"{_SHOW}class") == "title"), None)
            words = Words()
            if title is not None:
                self._blocks(title, words)
            flow = Flow(self._draft, page=number, heading=one_line(words.text()))
            if words.text():
                flow.line(words.text())
                flow.line("")
            self._looked_at = []
            for shape in page:
                if shape is not title and local(shape) != "notes":
                    self._block(shape, flow)
            for notes in page.iterfind(f"{_SHOW}notes"):
                self._blocks(notes, flow)
            for comment in self._comments:
                flow.line(comment)
            self._comments.clear()
            if self._looked_at and not flow.has_text:
                kind = "image_page" if "unread" in self._looked_at else "wordless_page"
                self._draft.unread(kind, page=number)
            flow.end()

    def _read_margins(self, styles: Any) -> None:
        """Headers and footers, each once."""
        said: dict[str, None] = {}
        for page in styles.iter(f"{_STYLE}master-page"):
            for margin in page:
                if local(margin).startswith(("header", "footer")):
                    words = Words()
                    self._blocks(margin, words)
                    said[words.text()] = None
        self._draft.add("\n".join(said))

    # Blocks

    def _blocks(self, parent: Any, sink: Sink) -> None:
        if self._depth == MAX_DEPTH:
            return
        self._depth += 1
        for block in parent:
            self._block(block, sink)
        self._depth -= 1

    def _block(self, block: Any, sink: Sink) -> None:
        match local(block):
            case "p":
                self._paragraph(block, sink)
            case "h":
                self._heading(block, sink)
            case "list":
                self._list(block, sink)
            case "table" if block.tag == f"{_TABLE}table":
                sink.table(self._rows(block), _header_rows(block))
                self._show_waiting(sink)
            case "annotation":
                self._comments.append(self._inner(block))
            case "frame":
                self._frame(block, sink)
            case "section" if block.get(f"{_TEXT}display") == "none":
                self._draft.unread("hidden_part")
            case "math":
                sink.line(formula(block))
            case name if name in _SHAPES:
                self._describe(block, sink)
                self._blocks(block, sink)
            case name if name not in _GONE and block.tag not in _DESCRIBES:
                self._blocks(block, sink)

    def _paragraph(self, block: Any, sink: Sink, sign: str = "") -> None:
        after: list[Any] = []
        sink.line(sign + self._text(block, after))
        for inner in after:
            self._block(inner, sink)

    def _heading(self, block: Any, sink: Sink, sign: str = "") -> None:
        """`sign` stands before one in a list, which has no number of its own then."""
        after: list[Any] = []
        text = self._text(block, after)
        if text.strip():
            said = block.get(f"{_TEXT}outline-level") or "1"
            level = int(said) if said.isdecimal() else 1
            if not sign and block.get(f"{_TEXT}is-list-header") != "true":
                sign = self._numbers.heading(level, block.get(f"{_TEXT}start-value"))
            text = sign + text
            if isinstance(sink, Flow):
                sink.end()
                sink.heading = self._outline.enter(level, text)
        sink.line(text)
        for inner in after:
            self._block(inner, sink)

    def _list(self, block: Any, sink: Sink, level: int = 1, around: Counters | None = None) -> None:
        counters = self._numbers.list_of(block, around)
        for item in block:
            if local(item) not in ("list-item", "list-header"):
                continue
            is_counted = local(item) == "list-header"  # it has no number
            for inner in item:
                match local(inner):
                    case "list" if self._depth < MAX_DEPTH:
                        self._depth += 1
                        self._list(inner, sink, level + 1, counters)
                        self._depth -= 1
                    case "p" | "h" if not is_counted:
                        is_counted = True
                        start = item.get(f"{_TEXT}start-value")
                        sign = self._numbers.item(counters, level, start)
                        sign = sign if _says_something(inner) else ""
                        if local(inner) == "h":
                            self._heading(inner, sink, "" if sign == "- " else sign)
                        else:
                            self._paragraph(inner, sink, sign)
                    case _:
                        self._block(inner, sink)

    def _frame(self, frame: Any, sink: Sink) -> None:
        if frame.get(f"{_SHOW}class") in _FOOTERS or frame.get(f"{_SHOW}placeholder") == "true":
            return
        self._describe(frame, sink)
        for inner in frame:
            match local(inner):
                case "text-box" | "table":
                    self._blocks_of(inner, sink)
                    return
                case "object" | "object-ole":
                    name = inner.get(_LINK)
                    if not name:  # in one file, it stands where it is shown
                        self._blocks(inner, sink)
                    elif isinstance(sink, Flow):
                        self._show_object(name, sink)
                    else:
                        self._waiting.append(name)
                    return
                case "plugin":
                    self._draft.unread("recording")
                    return
                case "image":
                    sizes = [
                        _centimetres(frame.get(f"{_SVG}{side}")) for side in ("width", "height")
                    ]
                    counts = all(map(float.__ge__, sizes, _PICTURE_CM)) and not self._has_slides
                    said = self._pictures.show(self._picture_name(inner), sink, counts=counts)
                    self._looked_at.append(said)
                    return

    def _picture_name(self, image: Any) -> str:
        if name := image.get(_LINK):
            return str(name)
        self._inline.append(image)
        return f"#{len(self._inline)}"

    def _load_picture(self, name: str) -> bytes | None:
        try:
            if not name.startswith("#"):
                return self._source.read(name)
            return base64.b64decode(
                self._inline[int(name[1:]) - 1].findtext(f"{_OFFICE}binary-data") or ""
            )
        except (binascii.Error, ValueError, *UNREADABLE):
            return None

    def _blocks_of(self, inner: Any, sink: Sink) -> None:
        if local(inner) == "table":
            self._block(inner, sink)
        else:
            self._blocks(inner, sink)

    def _describe(self, shape: Any, sink: Sink) -> None:
        for name in ("title", "desc"):
            if text := shape.findtext(f"{_SVG}{name}"):
                sink.line(text)

    def _inner(self, block: Any) -> str:
        words = Words()
        for inner in block:
            if local(inner) in ("p", "list"):
                self._block(inner, words)
        return " ".join(words.text().split())

    # Text

    def _text(self, paragraph: Any, after: list[Any]) -> str:
        """The paragraph's text; what stands in it and is no part of it comes `after`."""
        parts: list[str] = []
        stack: list[tuple[Any, bool]] = [(paragraph, False)]
        while stack:
            node, is_tail = stack.pop()
            if is_tail:
                parts.append(_squeezed(node.tail or ""))
                continue
            if node is not paragraph:
                stack.append((node, True))
                name = local(node)
                if name == "s":
                    count = node.get(f"{_TEXT}c") or "1"
                    parts.append(" " * min(int(count) if count.isdecimal() else 1, MAX_SPACES))
                elif name == "tab":
                    parts.append("\t")
                elif name == "line-break":
                    parts.append("\n")
                elif name == "note":
                    self._note(node)
                elif name == "annotation":
                    self._comments.append(self._inner(node))
                elif name in ("frame", "g", *_SHAPES):
                    after.append(node)
                if name in ("s", "tab", "line-break", "note", "annotation", "frame", "g"):
                    continue
                if name in _SHAPES or name in _GONE or node.tag in _DESCRIBES:
                    continue
            if self._is_hidden(node):
                self._draft.unread("hidden_part")
                continue
            parts.append(_squeezed(node.text or ""))
            stack += [(child, False) for child in reversed(node)]
        return "".join(parts)

    def _is_hidden(self, node: Any) -> bool:
        """Whether its style hides what is written in it."""
        family = "text" if local(node) in ("span", "a") else "paragraph"
        is_invisible = (family, node.get(f"{_TEXT}style-name") or "") in self._hidden
        return is_invisible and _says_something(node)

    def _note(self, note: Any) -> None:
        body = note.find(f"{_TEXT}note-body")
        if body is not None and self._depth < MAX_DEPTH:
            self._depth += 1
            sign = note.findtext(f"{_TEXT}note-citation") or ""
            self._notes.append(f"{sign} {self._inner(body)}".strip())
            self._depth -= 1

    # Tables

    def _rows(self, table: Any, hidden: Counter[str] | None = None) -> Iterator[list[str]]:
        """Of a sheet (which counts what is `hidden`) with an empty row for those without a value.
        Rows that are folded up, or do not match a filter, are shown by a click.
        """
        covered: dict[int, int] = {}
        is_gap = False
        for row in _all_rows(table):
            cells = self._row(row, covered)
            if not any(cells):
                is_gap = hidden is not None
                continue
            if hidden is not None and _is_hidden(row):
                hidden["hidden_row"] += _repeats(row, "rows")
                continue
            if is_gap:
                yield []
            is_gap = False
            for _ in range(_repeats(row, "rows")):
                self._count(len(cells))
                yield cells

    def _row(self, row: Any, covered: dict[int, int]) -> list[str]:
        cells: list[str] = []
        empty = 0
        for cell in row:
            kind = local(cell)
            if kind not in ("table-cell", "covered-table-cell"):
                continue
            times = _repeats(cell, "columns")
            text = self._cell(cell) if kind == "table-cell" else ""
            if len(cells) + min(empty, MAX_COLUMNS) + times > MAX_COLUMNS:
                break
            if kind == "covered-table-cell":
                for _ in range(times):
                    column = len(cells) + empty
                    above = covered.get(column, 0) > 0
                    if above:
                        covered[column] -= 1
                    cells += [""] * empty + [ABOVE if above else LEFT]
                    empty = 0
                continue
            if not text:
                empty += int(cell.get(f"{_TABLE}number-columns-repeated") or 1)
                continue
            cells += [""] * empty
            empty = 0
            height = cell.get(f"{_TABLE}number-rows-spanned") or "1"
            if height.isdecimal() and int(height) > 1:
                covered[len(cells)] = int(height) - 1
            cells += [text] * times
        return cells

    def _cell(self, cell: Any) -> str:
        words = Words()
        for inner in cell:
            if local(inner) != "annotation" or cell.get(f"{_OFFICE}value-type") is None:
                self._block(inner, words)
            else:
                self._comments.append(self._inner(inner))
        text = " ".join(words.text().split())
        return text or (cell.get(f"{_OFFICE}value") or cell.get(f"{_OFFICE}string-value") or "")

    def _count(self, cells: int) -> None:
        self._cells += cells
        if self._cells > MAX_CELLS:
            raise PermanentError(
                "too_large",
                f"This document has over {MAX_CELLS:,} cells; split it and upload the parts.",
            )

    # Objects

    def _show_waiting(self, sink: Sink) -> None:
        """What stands in a table's cells, or elsewhere where it has no room."""
        self._pictures.show_waiting(sink)
        waiting, self._waiting = self._waiting, []
        for name in waiting:
            if isinstance(sink, Flow):
                self._show_object(name, sink)
            else:  # of a table within a cell
                self._waiting.append(name)

    def _show_object(self, name: str, flow: Flow) -> None:
        """A chart's or a formula's texts; a file of another program is reported."""
        name = name.removeprefix("./")
        if name in self._objects:
            return
        self._objects.add(name)
        root = self._source.xml(f"{name}/content.xml")
        if root is None:
            self._draft.unread("embedded_file")
            return
        body = root.find(f"{_OFFICE}body")
        self._block(root if body is None else body, flow)


def _says_something(block: Any) -> bool:
    return any(not text.isspace() for text in block.itertext())


def _invisible(tree: Any, known: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The styles of letters and paragraphs by which nothing is shown: (family, name)."""
    found = set(known)
    for style in tree.iter(f"{_STYLE}style"):
        family = style.get(f"{_STYLE}family") or ""
        said = [each.get(f"{_TEXT}display") for each in style.iterfind(f"{_STYLE}text-properties")]
        display = next(filter(None, said), None)
        parent = (family, style.get(f"{_STYLE}parent-style-name") or "")
        if display == "none" or (display is None and parent in found):
            found.add((family, style.get(f"{_STYLE}name") or ""))
    return found


def _hidden_styles(root: Any) -> set[str]:
    """Those of tables that are not shown."""
    return {
        style.get(f"{_STYLE}name", "")
        for style in root.iter(f"{_STYLE}style")
        for properties in style.iterfind(f"{_STYLE}table-properties")
        if properties.get(f"{_TABLE}display") == "false"
    }


def _without_hidden(
    rows: Iterator[list[str]], sheet: Any, passed: Counter[str]
) -> Iterator[list[str]]:
    """The rows of a sheet without the columns that are hidden."""
    hidden: set[int] = set()
    at = 0
    for column in sheet.iter(f"{_TABLE}table-column"):
        said = column.get(f"{_TABLE}number-columns-repeated") or "1"
        end = min(at + (int(said) if said.isdecimal() else 1), MAX_COLUMNS)
        if _is_hidden(column):
            hidden.update(range(at, end))
        at = end
    return without_columns(rows, hidden, passed)


def _is_hidden(line: Any) -> bool:
    """A row or a column, unless it is folded up with others."""
    if line.get(f"{_TABLE}visibility") != "collapse":
        return False
    return not local(line.getparent()).endswith("-group")


def _all_rows(table: Any) -> Iterator[Any]:
    for child in table:
        match local(child):
            case "table-row":
                yield child
            case "table-header-rows" | "table-rows" | "table-row-group":
                yield from _all_rows(child)


def _header_rows(table: Any) -> int | None:
    head = table.find(f"{_TABLE}table-header-rows")
    return None if head is None else sum(1 for _ in itertools.islice(_all_rows(head), 5))


def _repeats(element: Any, kind: str) -> int:
    said = element.get(f"{_TABLE}number-{kind}-repeated") or "1"
    return min(max(int(said), 1), MAX_REPEATS) if said.isdecimal() else 1


def _squeezed(text: str) -> str:
    """White space as OpenDocument counts it: several are one, and so is the end of a line."""
    if not text:
        return ""
    inner = " ".join(text.split())
    before = " " if text[0].isspace() else ""
    after = " " if text[-1].isspace() and inner else ""
    return before + inner + after


def _centimetres(length: str | None) -> float:
    for unit, factor in _CM.items():
        if length and length.endswith(unit):
            with suppress(ValueError):
                return float(length[: -len(unit)]) * factor
    return 0.0
