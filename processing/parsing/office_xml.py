"""Office documents that are one XML file: Word's and PowerPoint's packages in one ("Flat OPC"), and
those of Word and Excel 2003. They are called .xml, and as often .doc and .xls.
"""

import base64
import binascii
import io
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

from lxml import etree

from processing.errors import PermanentError
from processing.parsing import sheets, slides, word
from processing.parsing.draft import Draft, one_line
from processing.parsing.drawing import local
from processing.parsing.flow import Flow
from processing.parsing.numberformat import shown
from processing.parsing.old_word_numbers import FORMATS
from processing.parsing.tables import ABOVE, LEFT, without_columns
from processing.parsing.word_styles import W

MAX_REPEATED = 1_000  # columns or rows that one cell covers, or that are left out

_PKG = "{http://schemas.microsoft.com/office/2006/xmlPackage}"
_WORD = "{http://schemas.microsoft.com/office/word/2003/wordml}"
_HINTS = "{http://schemas.microsoft.com/office/word/2003/auxHint}"
_MARKUP = "{http://schemas.microsoft.com/aml/2001/core}"
_EXCEL = "{urn:schemas-microsoft-com:office:spreadsheet}"
_NAMES = {"vmerge": "vMerge", "listPr": "numPr", "ilfo": "numId"}
_R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"


def reader_of(root: Any) -> Callable[[Any, Draft], None] | None:
    """What reads a document with this root element; None where it is of no such kind."""
    readers: dict[str, Callable[[Any, Draft], None]] = {
        f"{_PKG}package": _read_package,
        f"{_WORD}wordDocument": _read_word,
        f"{_EXCEL}Workbook": _read_workbook,
    }
    return readers.get(root.tag)


def _read_package(root: Any, draft: Draft) -> None:
    """The same parts as in an archive."""
    parts = {
        part.get(f"{_PKG}name", "").lstrip("/"): _content(part) for part in root.iter(f"{_PKG}part")
    }
    file = _archive(parts)
    for folder, reader in (("ppt/", slides), ("xl/", sheets)):
        if any(name.startswith(folder) for name in parts):
            reader.read(file, draft)
            return
    word.read(file, draft)


def _content(part: Any) -> bytes:
    data = part.find(f"{_PKG}xmlData")
    if data is not None:
        return b"".join(etree.tostring(child) for child in data[:1])
    try:
        return base64.b64decode(part.findtext(f"{_PKG}binaryData") or "")
    except (binascii.Error, ValueError):
        return b""


def _archive(parts: dict[str, bytes]) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name or "nameless", content)
    file.seek(0)
    return file


# Word 2003


def _read_word(root: Any, draft: Draft) -> None:
    """Its elements are those of today by other names."""
    root = deepcopy(root)
    parts: dict[str, tuple[str, Any]] = {}
    for section in root.iter(f"{_WORD}sectPr"):
        for margin in section.xpath("*[local-name()='hdr' or local-name()='ftr']"):
            name = f"{local(margin)}{len(parts)}"
            kind = "header" if local(margin) == "hdr" else "footer"
            parts[name] = (kind, margin)
            reference = etree.SubElement(section, f"{W}{kind}Reference")
            usual = {"odd": "default", None: "default"}
            said = margin.get(f"{_WORD}type")
            reference.set(f"{W}type", usual.get(said, said))
            reference.set(f"{{{_R}}}id", name)
    notes: dict[str, list[Any]] = {"footnotes": [], "endnotes": [], "comments": []}
    for node in list(root.iter(f"{_WORD}footnote", f"{_WORD}endnote", f"{_MARKUP}annotation")):
        _convert_aside(node, notes)
    for kind, found in notes.items():
        if found:
            holder = etree.Element(f"{W}{kind}")
            holder.extend(found)
            parts[kind] = (kind, holder)
    lists = root.find(f"{_WORD}lists")
    if lists is not None:
        parts["numbering"] = ("numbering", _lists(lists))
    styles = root.find(f"{_WORD}styles")
    if styles is not None:
        parts["styles"] = ("styles", styles)
    body = root.find(f"{_WORD}body")
    main = etree.Element(f"{W}document")
    main.append(etree.Element(f"{_WORD}body") if body is None else body)
    members = {"word/document.xml": _today(main)}
    for name, (_, part) in parts.items():
        members[f"word/{name}.xml"] = _today(part)
    members["word/_rels/document.xml.rels"] = _relations(
        (name, kind, f"{name}.xml") for name, (kind, _) in parts.items()
    )
    members["_rels/.rels"] = _relations([("r1", "officeDocument", "word/document.xml")])
    word.read(_archive(members), draft)


def _convert_aside(node: Any, notes: dict[str, list[Any]]) -> None:
    """Notes and comments stand where they are called; of changes the new text stays."""
    kind = local(node)
    if kind != "annotation":
        if (parent := node.getparent()) is not None and local(parent) == "r":
            parent.remove(node)
            notes[f"{kind}s"].append(node)
        return
    said = node.get(f"{_WORD}type", "")
    content = node.find(f"{_MARKUP}content")
    if said == "Word.Comment" and content is not None:
        notes["comments"].append(content)
    elif said in ("Word.Deletion", "Word.Insertion") and content is not None:
        node.tag = f"{W}{'del' if said == 'Word.Deletion' else 'ins'}"
        node[:] = list(content)
        return
    if said == "Word.Deletion" and local(node.getparent()) == "rPr":
        node.tag = f"{W}del"
    elif said.startswith("Word.") and (parent := node.getparent()) is not None:
        parent.remove(node)


def _today(part: Any) -> bytes:
    """The part with the names of its elements and attributes as they are now."""
    for node in part.iter():
        if not isinstance(node.tag, str):
            continue
        if node.tag.startswith((_WORD, _HINTS)):
            name = local(node)
            node.tag = W + _NAMES.get(name, name)
        if node.tag == f"{W}name":  # as LibreOffice writes a space
            node.set(f"{_WORD}val", node.get(f"{_WORD}val", "").replace("_20_", " "))
        for key, value in node.items():
            if key.startswith(_WORD):
                del node.attrib[key]
                node.set(W + key[len(_WORD) :], "false" if value == "off" else value)
    return bytes(etree.tostring(part))


def _lists(lists: Any) -> Any:
    """The rules for numbers, as they are written today."""
    root = etree.Element(f"{W}numbering")
    for kind in lists.iterfind(f"{_WORD}listDef"):
        kind.tag = f"{W}abstractNum"
        kind.set(f"{W}abstractNumId", kind.get(f"{_WORD}listDefId", ""))
        for format in kind.iter(f"{_WORD}nfc"):
            format.tag = f"{W}numFmt"
            name = FORMATS.get(_number(format.get(f"{_WORD}val")) or 0, "decimal")
            format.set(f"{_WORD}val", name)
        for level in kind.iter(f"{_WORD}lvl"):  # where it does not say
            if level.find(f"{W}numFmt") is None:
                etree.SubElement(level, f"{W}numFmt").set(f"{W}val", "decimal")
        root.append(kind)
    for list_ in lists.iterfind(f"{_WORD}list"):
        list_.tag = f"{W}num"
        list_.set(f"{W}numId", list_.get(f"{_WORD}ilfo", ""))
        for kind in list_.iterfind(f"{_WORD}ilst"):
            kind.tag = f"{W}abstractNumId"
        root.append(list_)
    return root


def _relations(found: "Iterator[tuple[str, str, str]] | list[tuple[str, str, str]]") -> bytes:
    root = etree.Element(f"{{{_RELATIONS}}}Relationships")
    for id, kind, target in found:
        etree.SubElement(
            root, f"{{{_RELATIONS}}}Relationship", Id=id, Type=f"{_R}/{kind}", Target=target
        )
    return bytes(etree.tostring(root))


# Excel 2003

_NAMED = {
    "General Number": "General", "General Date": "yyyy-mm-dd hh:mm", "Long Date": "yyyy-mm-dd",
    "Medium Date": "yyyy-mm-dd", "Short Date": "yyyy-mm-dd", "Long Time": "hh:mm:ss",
    "Medium Time": "hh:mm", "Short Time": "hh:mm", "Currency": "#,##0.00",
    "Euro Currency": "€#,##0.00", "Fixed": "0.00", "Standard": "#,##0.00", "Percent": "0.00%",
    "Scientific": "0.00E+00",
}  # fmt: skip
_MIDNIGHT = re.compile(r"T00:00:00(?:\.0+)?$")
_SECONDS = re.compile(r"T(\d\d:\d\d)(?::00(?:\.0+)?|(:\d\d)(?:\.\d+)?)$")


def _read_workbook(root: Any, draft: Draft) -> None:
    """Raises PermanentError: `too_large`."""
    codes = dict(_codes(root))
    cells = 0
    for sheet in root.iterfind(f"{_EXCEL}Worksheet"):
        name = one_line(sheet.get(f"{_EXCEL}Name", ""))
        if "".join(sheet.itertext("{*}Visible")).strip() in ("SheetHidden", "SheetVeryHidden"):
            draft.unread("hidden_sheet", f"sheet {name}")
            continue
        flow = Flow(draft, heading=name, apart=True)
        rows = []
        passed: Counter[str] = Counter()
        for table in sheet.iterfind(f"{_EXCEL}Table"):
            rows += _without_hidden(_rows(table, codes, passed), table, passed)
        for kind, count in (+passed).items():
            draft.unread(kind, f"sheet {name}", count)
        cells += sum(map(len, rows))
        if cells > draft.limits.cells:
            raise PermanentError(
                "too_large",
                f"This workbook has over {draft.limits.cells:,} cells; "
                "split it and upload the parts.",
            )
        flow.table(rows)
        for comment in sheet.iter(f"{_EXCEL}Comment"):
            flow.line(" ".join("".join(comment.itertext()).split()))
        flow.end()


def _codes(root: Any) -> Iterator[tuple[str, str]]:
    """(style, format code)."""
    for style in root.iterfind(f"{_EXCEL}Styles/{_EXCEL}Style"):
        format = style.find(f"{_EXCEL}NumberFormat")
        said = "" if format is None else format.get(f"{_EXCEL}Format", "")
        yield style.get(f"{_EXCEL}ID", ""), _NAMED.get(said, said)


def _without_hidden(rows: list[list[str]], table: Any, passed: Counter[str]) -> list[list[str]]:
    hidden: set[int] = set()
    at = 0
    for column in table.iterfind(f"{_EXCEL}Column"):
        at = _number(column.get(f"{_EXCEL}Index")) or at + 1
        span = min(_number(column.get(f"{_EXCEL}Span")) or 0, MAX_REPEATED)
        if column.get(f"{_EXCEL}Hidden") == "1":
            hidden.update(range(at - 1, at + span))
        at += span
    return list(without_columns(rows, hidden, passed))


def _rows(table: Any, codes: dict[str, str], passed: Counter[str]) -> list[list[str]]:
    rows: list[list[str]] = []
    covered: dict[tuple[int, int], str] = {}
    at = 0
    for row in table.iterfind(f"{_EXCEL}Row"):
        index = _number(row.get(f"{_EXCEL}Index")) or at + 1
        if index > at + 1 and rows:
            rows.append([])
        at = index
        cells: list[str] = []
        for cell in row.iterfind(f"{_EXCEL}Cell"):
            column = _number(cell.get(f"{_EXCEL}Index")) or 0
            while len(cells) < min(column - 1, MAX_REPEATED) or (at, len(cells)) in covered:
                cells.append(covered.pop((at, len(cells)), ""))
            wide, high = (
                min(_number(cell.get(f"{_EXCEL}{name}")) or 0, MAX_REPEATED)
                for name in ("MergeAcross", "MergeDown")
            )
            for below in range(1, high + 1):
                covered[at + below, len(cells)] = ABOVE
            cells += [_shown(cell, codes), *[LEFT] * wide]
        if row.get(f"{_EXCEL}Hidden") == "1":
            passed["hidden_row"] += any(cells)
        else:
            rows.append(cells if any(cells) else [])
    return rows


def _shown(cell: Any, codes: dict[str, str]) -> str:
    data = next((child for child in cell if local(child) == "Data"), None)
    if data is None:
        return ""
    text = "".join(data.itertext())
    match data.get(f"{_EXCEL}Type"):
        case "Number":
            try:
                return shown(float(text), codes.get(cell.get(f"{_EXCEL}StyleID", ""), "General"))
            except ValueError:
                return text
        case "DateTime":
            return _SECONDS.sub(r" \1\2", _MIDNIGHT.sub("", text))
        case "Boolean":
            return "TRUE" if text.strip() == "1" else "FALSE"
    return text


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 9 else None
