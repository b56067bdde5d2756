"""DOCX in the document's order: paragraphs with the numbers that Word draws, tables, text boxes,
diagrams and charts; then headers and footers once, notes and comments.

By the XML itself: python-docx gives neither numbers nor moves, text boxes, content controls,
hidden text or symbols, and opens no document without styles.
"""

import email.parser
import email.policy
import io
import re
from collections.abc import Iterator
from typing import IO, Any

from processing.parsing import drawing, rtf
from processing.parsing.decoding import decode
from processing.parsing.draft import Draft, Outline
from processing.parsing.drawing import children, local
from processing.parsing.embedded import read_object
from processing.parsing.flow import Flow, Pictures, Sink, Words
from processing.parsing.html import decode_markup, read_markup
from processing.parsing.package import Package, relation_id
from processing.parsing.symbols import RUBY, in_font, is_symbol_font
from processing.parsing.tables import ABOVE, LEFT
from processing.parsing.word_numbers import Numbers
from processing.parsing.word_styles import Style, Styles, W, is_on, number, outline_level, value

NO_TEXT = (
    "This document contains no text; if its pages are images, "
    "run text recognition (OCR) and upload the result."
)
MAX_COLUMNS = 500  # Word has 63
MAX_NESTED_CHARS = 300  # of a table within a cell of another
MAX_CHUNK_DEPTH = 2  # documents that are inserted as a whole into another one

_WP = "{http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing}"
_EMU_PER_CM = 360_000
# A picture of this size may well show text; a logo or an icon seldom does.
_PICTURE_CM = (6, 4)

_PROMPT = re.compile(r"\s*MACROBUTTON\s+\S+\s+([^\\]*)", re.IGNORECASE)
_SIGN = re.compile(r"\s*SYMBOL\s+(\d{1,3})(?:\s.*?\\f\s*\"?([^\"\\]+))?", re.IGNORECASE)
_ALSO = {"comments": "Comments", "footnotes": "Footnotes", "endnotes": "Endnotes"}
_GONE = {"del", "moveFrom", "pPr", "rPr", "tblPr", "tblGrid", "trPr", "tcPr", "sdtPr", "sectPr"}
_GONE |= {"instrText", "delText", "rubyPr", "rt", "customXmlPr", "smartTagPr", "sdtEndPr"}
_SIGNS = {"tab": "\t", "ptab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_DRAWN = {"drawing", "pict", "object", "txbxContent"}


def read(file: IO[bytes], draft: Draft) -> None:
    """Raises PermanentError: see `Archive`."""
    _Reader(Package(file), draft, Outline()).read()


class _Reader:
    """One document; `depth` counts those around it."""

    def __init__(self, package: Package, draft: Draft, outline: Outline, depth: int = 0) -> None:
        self._package = package
        self._draft = draft
        self._outline = outline
        self._depth = depth
        self._main = self._part = package.main("word/document.xml")
        self._styles = Styles(self._beside("styles"))
        self._numbers = Numbers(self._beside("numbering"))
        self._embedded: list[str] = []  # parts that are files of their own
        self._pictures = Pictures(draft, package.content)
        self._joins = ""  # a paragraph whose end was deleted: the next one goes on
        self._hidden = 0  # stretches of words that are not shown

    def read(self) -> None:
        root = self._package.xml(self._main, "document")
        body = root.find(f"{W}body")
        if body is None:
            body = root
        flow = Flow(self._draft, heading=self._outline.path)
        self._blocks(body, flow)
        flow.end()
        self._headers_and_footers(root)
        for relation in self._package.related(self._main, *_ALSO):
            self._part = relation.target
            flow = Flow(self._draft, heading=_ALSO[relation.kind])
            for note in self._package.xml(relation.target):
                self._blocks(note, flow)
            flow.end()
        for part in dict.fromkeys(self._embedded):
            read_object(self._package, part, "", self._draft)
        if self._package.damaged:
            self._draft.unread("damaged_part", count=self._package.damaged)
        if self._hidden:
            self._draft.unread("hidden_part", count=self._hidden)

    def _beside(self, kind: str) -> Any:
        name = self._package.first(self._main, kind)
        return self._package.xml(name) if name else None

    # Blocks

    def _blocks(self, parent: Any, sink: Sink) -> None:
        for block in children(parent):
            match local(block):
                case "p":
                    self._paragraph(block, sink)
                case "tbl":
                    self._table(block, sink)
                case "altChunk":
                    self._chunk(block, sink)
                case name if name not in _GONE:
                    self._blocks(block, sink)

    def _paragraph(self, paragraph: Any, sink: Sink) -> None:
        properties = paragraph.find(f"{W}pPr")
        style = self._styles.of(properties, "pStyle")
        runs = _Runs(self._styles, style)
        runs.take(paragraph)
        self._hidden += runs.hidden
        text = "".join(runs.parts)
        if properties is not None and (
            is_on(properties.find(f"{W}rPr"), "del") or _is_drop_cap(properties)
        ):
            self._joins += text
            text = ""
        else:
            text, self._joins = self._joins + text, ""
            text = self._number(properties, style, bool(text.strip())) + text
        level = style.level
        if properties is not None and (own := outline_level(properties)) is not None:
            level = own
        is_heading = level is not None and level >= 0 and bool(text.strip())
        if isinstance(sink, Flow) and is_heading and level is not None:
            sink.end()
            sink.heading = self._outline.enter(level, text)
        sink.line(text)
        if is_heading:
            sink.line("")
        for element in runs.drawn:
            self._show(element, sink)

    def _number(self, properties: Any, style: Style, is_shown: bool) -> str:
        own = None if properties is None else properties.find(f"{W}numPr")
        list_, level = style.list, style.list_level
        if own is not None:
            list_ = value(own, "numId") or list_
            level = number(value(own, "ilvl")) if value(own, "ilvl") else level
        if list_ is None:
            return ""
        named = None if properties is None else value(properties, "pStyle")
        drawn = self._numbers.of(list_, level, named)
        return drawn if is_shown else ""  # an empty one is counted, and says nothing

    def _table(self, table: Any, sink: Sink) -> None:
        rows = [row for row in _inside(table, "tr") if not _is_deleted(row)]
        cells = [list(_inside(row, "tc")) for row in rows]
        if _is_frame(cells):
            for row in cells:
                for cell in row:
                    self._blocks(cell, sink)
            return
        named = 0
        while named < len(rows) and _is_header(rows[named]):
            named += 1
        texts = [self._row(row, its) for row, its in zip(rows, cells, strict=True)]
        sink.table(texts, header=named if 0 < named < len(rows) else None)
        if isinstance(sink, Flow):
            self._pictures.show_waiting(sink)

    def _row(self, row: Any, cells: list[Any]) -> list[str]:
        before = number(value(row, "trPr/gridBefore")) or 0
        texts = [""] * min(before, MAX_COLUMNS)
        for cell in cells:
            merged = cell.find(f"{W}tcPr/{W}vMerge")
            if merged is not None and merged.get(f"{W}val", "continue") == "continue":
                texts.append(ABOVE)
            else:
                words = Words()
                self._blocks(cell, words)
                texts.append(words.text())
            width = number(value(cell, "tcPr/gridSpan")) or 1
            texts += [LEFT] * min(width - 1, MAX_COLUMNS)
        return texts

    def _chunk(self, block: Any, sink: Sink) -> None:
        """A file of another kind that Word shows as a part of this one."""
        target = self._package.target(self._part, relation_id(block))
        if target is None or not isinstance(sink, Flow):
            return
        sink.end()
        data = self._package.read(target)
        if data.startswith(b"PK") and self._depth < MAX_CHUNK_DEPTH:
            inner = Package(io.BytesIO(data))
            _Reader(inner, self._draft, self._outline, self._depth + 1).read()
        elif target.lower().endswith((".mht", ".mhtml", ".eml")):
            message = email.parser.BytesParser(policy=email.policy.default).parsebytes(data)
            body = message.get_body(("html", "plain"))
            if body is not None:
                read_markup(body.get_content(), self._draft, self._outline)
        elif b"<html" in data[:4096].lower():
            read_markup(decode_markup(data), self._draft, self._outline)
        elif data.startswith(b"{\\rtf"):
            inner_draft = Draft(self._draft)
            rtf.read(io.BytesIO(data), inner_draft)
            self._draft.append(inner_draft, self._outline.path, apart=False)
        elif data.startswith(b"PK"):
            self._draft.unread("embedded_file")
        else:
            self._draft.add(decode(data), heading=self._outline.path)
        sink.heading = self._outline.path

    def _headers_and_footers(self, root: Any) -> None:
        """Each text once, of those that some page shows."""
        settings = self._beside("settings")
        said: set[str] = set()
        done: set[str] = set()
        for name, heading in (("headerReference", "Header"), ("footerReference", "Footer")):
            for section in root.iter(f"{W}sectPr"):
                kinds = {"default"} | ({"first"} if is_on(section, "titlePg") else set())
                kinds |= {"even"} if is_on(settings, "evenAndOddHeaders") else set()
                for reference in section.iterfind(f"{W}{name}"):
                    part = self._package.target(self._main, relation_id(reference))
                    kind = reference.get(f"{W}type", "default")
                    if part is None or part in done or kind not in kinds:
                        continue
                    done.add(part)
                    self._part = part
                    words = Words()
                    self._blocks(self._package.xml(part), words)
                    if words.text() not in said and any(map(str.isalpha, words.text())):
                        said.add(words.text())
                        self._draft.add(words.text(), heading=heading)
                    flow = Flow(self._draft, heading=heading)
                    self._pictures.show_waiting(flow)
                    flow.end()
        self._part = self._main

    # Drawings

    def _show(self, element: Any, sink: Sink) -> None:
        """What is drawn at a place: its description, its text boxes, its diagram or chart."""
        described: set[str] = set()
        for node in _drawn(element):
            match local(node):
                case "docPr" | "cNvPr":
                    said = drawing.alternative_text(node)
                    if said and said not in described:
                        described.add(said)
                        sink.line(said)
                case "shape" if node.get("alt"):
                    sink.line(node.get("alt"))
                case "txbxContent":
                    self._blocks(node, sink)
                case "textpath":
                    sink.line(node.get("string") or "")
                case "chart" | "relIds":
                    drawing.show_graphic(self._package, self._part, node, sink)
                case "OLEObject":
                    target = self._package.target(self._part, relation_id(node))
                    self._embedded.append(target or "")
                case "pic" | "imagedata":
                    self._picture(node, sink, not described and _is_large(element))

    def _picture(self, node: Any, sink: Sink, counts: bool) -> None:
        blip = next(node.iter(f"{drawing.A}blip"), node)
        name = relation_id(blip, "embed") or relation_id(blip)
        if part := self._package.target(self._part, name):
            self._pictures.show(part, sink, counts=counts)
        elif counts:  # it is kept elsewhere
            self._draft.unread("picture")


class _Runs:
    """The text of a paragraph as it is shown, and what is drawn in it."""

    def __init__(self, styles: Styles, style: Style) -> None:
        self.parts: list[str] = []
        self.drawn: list[Any] = []
        self.hidden = 0  # stretches of words that are not shown
        self._was_hidden = False
        self._styles = styles
        self._style = style
        self._codes: list[bool] = []  # of the open fields, whether we are still in the code
        self._instructions: list[str] = []  # of the same

    def take(self, parent: Any) -> None:
        """With insertions, without deletions and what was moved away."""
        for node in children(parent):
            name = local(node)
            if name == "r":
                self._take_run(node, self._is_hidden(node))
            elif name in ("oMath", "oMathPara"):
                self.parts.append(drawing.equation(node))
            elif name in _DRAWN:
                self.drawn.append(node)
            elif name not in _GONE:
                self.take(node)

    def _is_hidden(self, run: Any) -> bool:
        properties = run.find(f"{W}rPr")
        own = is_on(properties, "vanish")
        if own is None:
            own = self._styles.of(properties, "rStyle").hides
        return bool(self._style.hides if own is None else own)

    def _take_run(self, run: Any, is_hidden: bool) -> None:
        font = run.find(f"{W}rPr/{W}rFonts")
        family = None if font is None else font.get(f"{W}ascii")
        for node in children(run):
            if local(node) == "fldChar":
                self._follow_field(node)
            if is_hidden and not any(self._codes):
                self._pass_over(node)
            if is_hidden or any(self._codes[:-1]):
                continue
            if self._codes and self._codes[-1] and local(node) != "fldChar":
                self._instructions[-1] += (node.text or "") if local(node) == "instrText" else ""
                continue
            match local(node):
                case "t":
                    self._was_hidden = False
                    text = node.text or ""
                    if _is_power(text, value(run, "rPr/vertAlign"), self.parts):
                        self.parts.append("^")
                    self.parts.append(in_font(family, text) if is_symbol_font(family) else text)
                case "sym":
                    code = number_in_hex(node.get(f"{W}char"))
                    self.parts.append(in_font(node.get(f"{W}font"), chr(code)) if code else "")
                case "ruby":  # only what stands on the line, not how it is read
                    base = node.find(f"{W}rubyBase")
                    if base is not None:
                        self.take(base)
                case "fldChar":
                    self.parts.append(_form_field(node))
                case name if name in _SIGNS:
                    self.parts.append(_SIGNS[name])
                case name if name in _DRAWN:
                    self.drawn.append(node)
                case name if name not in _GONE:
                    self.take(node)

    def _pass_over(self, node: Any) -> None:
        """Count what is hidden, once from where that begins to where something is shown again."""
        if any(map(str.isalnum, "".join(node.itertext(f"{W}t")))):
            self.hidden += not self._was_hidden
            self._was_hidden = True

    def _follow_field(self, character: Any) -> None:
        """A field is its code, then what that results in; either may have others in it."""
        match character.get(f"{W}fldCharType"):
            case "begin":
                self._codes.append(True)
                self._instructions.append("")
            case "separate" if self._codes:
                self._codes[-1] = False
            case "end" if self._codes:
                has_no_result = self._codes.pop()
                instruction = self._instructions.pop()
                if has_no_result and not any(self._codes):
                    self.parts.append(_drawn_by(instruction))


def _is_power(text: str, place: str | None, before: list[str]) -> bool:
    """Whether it is a raised number behind a number: its power, not more of its digits."""
    is_raised = place == "superscript" and drawing.is_exponent(text)
    return is_raised and bool(before) and before[-1][-1:].isdigit()


def _drawn_by(instruction: str) -> str:
    """What Word draws for a field that has no result of its own: a prompt, a sign, a word that has
    its reading above it.
    """
    if word := RUBY.search(instruction):
        return word[1]
    if prompt := _PROMPT.match(instruction):
        return prompt[1].strip()
    if (sign := _SIGN.match(instruction)) and (code := int(sign[1])) in range(32, 256):
        font = (sign[2] or "").strip()
        if is_symbol_font(font):
            return in_font(font, chr(0xF000 + code))
        return bytes([code]).decode("cp1252", "replace")
    return ""


def number_in_hex(text: str | None) -> int | None:
    try:
        code = int(text or "", 16)
    except ValueError:
        return None
    return code if 0 < code < 0x110000 else None


def _form_field(character: Any) -> str:
    """The fields of old forms whose values stand nowhere else: a box, a list."""
    box = character.find(f"{W}ffData/{W}checkBox")
    if box is not None:
        checked = is_on(box, "checked")
        return "☑" if (is_on(box, "default") if checked is None else checked) else "☐"
    choices = character.find(f"{W}ffData/{W}ddList")
    if choices is None:
        return ""
    entries = [entry.get(f"{W}val", "") for entry in choices.iterfind(f"{W}listEntry")]
    chosen = number(value(choices, "result") or value(choices, "default")) or 0
    return entries[chosen] if 0 <= chosen < len(entries) else ""


def _inside(parent: Any, name: str) -> Iterator[Any]:
    """The rows of a table or the cells of a row, also those inside content controls."""
    for child in children(parent):
        if child.tag == f"{W}{name}":
            yield child
        elif local(child) not in _GONE and local(child) not in ("tr", "tc", "tbl", "p"):
            yield from _inside(child, name)


def _drawn(element: Any) -> Iterator[Any]:
    """Everything in a drawing, but nothing in its text boxes: those are read as text."""
    yield element
    if local(element) != "txbxContent":
        for child in children(element):
            yield from _drawn(child)


def _is_frame(cells: list[list[Any]]) -> bool:
    """Whether a table is there to put things beside each other, more than a little one in a
    cell.
    """
    if max(map(len, cells), default=0) < 2:
        return True
    nested = [t for row in cells for cell in row for t in cell.iterfind(f".//{W}tbl")]
    if not nested:
        return False
    plain = sum(len(row) > 1 and all(c.find(f".//{W}tbl") is None for c in row) for row in cells)
    return plain < 2 or any(
        sum(len(node.text or "") for node in table.iter(f"{W}t")) > MAX_NESTED_CHARS
        for table in nested
    )


def _is_drop_cap(properties: Any) -> bool:
    """Whether the paragraph is the large letter with which the next one begins."""
    frame = properties.find(f"{W}framePr")
    return frame is not None and frame.get(f"{W}dropCap", "none") != "none"


def _is_deleted(row: Any) -> bool:
    return row.find(f"{W}trPr/{W}del") is not None


def _is_header(row: Any) -> bool:
    return bool(is_on(row.find(f"{W}trPr"), "tblHeader"))


def _is_large(element: Any) -> bool:
    extent = next(element.iter(f"{_WP}extent"), None)
    if extent is None:
        return False
    sides = (number(extent.get("cx")) or 0, number(extent.get("cy")) or 0)
    return all(side >= cm * _EMU_PER_CM for side, cm in zip(sides, _PICTURE_CM, strict=True))
