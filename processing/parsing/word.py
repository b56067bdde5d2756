"""DOCX through python-docx, in the document's order: paragraphs, tables, text boxes, then notes and
comments.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import IO, Any

from docx import Document
from docx.oxml import parse_xml
from docx.oxml.ns import qn

from processing.parsing.archive import open_archive
from processing.parsing.draft import Draft, Outline

NO_TEXT = (
    "This document contains no text; if its pages are images, "
    "run text recognition (OCR) and upload the result."
)

_MATH_TEXT = qn("m:t")
# Repeats the text box before it, for old programs.
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_STYLE_NAME = re.compile(r"heading ([1-9])|(title)", re.IGNORECASE)
_BODY_LEVEL = 9  # w:outlineLvl counts headings from 0; 9 is running text

MAX_STYLE_BASES = 20  # Word itself allows about ten; also ends the loops

# The parts beside the body that hold text of their own, by the end of their relationship's type.
_SIDE_PARTS = {"footnotes": "Footnotes", "endnotes": "Endnotes", "comments": "Comments"}


def read(file: IO[bytes], draft: Draft) -> None:
    """Raises PermanentError: see `open_archive`."""
    open_archive(file)
    document = Document(file)
    levels = _style_levels(document.styles.element)
    outline = Outline()
    lines: list[str] = []
    for block in _blocks(document.element.body):
        text = _table(block) if block.tag == _w("tbl") else _text(block)
        level = _heading_level(block, levels)
        if level is not None and text.strip():
            draft.add("\n".join(lines), heading=outline.path)
            lines = []
            outline.enter(level, text)
        lines += [text, ""] if level is not None or block.tag == _w("tbl") else [text]
    draft.add("\n".join(lines), heading=outline.path)
    for relation in document.part.rels.values():
        heading = _SIDE_PARTS.get(relation.reltype.rsplit("/", 1)[-1])
        if heading and not relation.is_external:
            root = parse_xml(relation.target_part.blob)
            draft.add(
                "\n".join(_text(block) for note in root for block in _blocks(note)), heading=heading
            )


@cache
def _w(name: str) -> str:
    return qn(f"w:{name}")


def _blocks(parent: Any) -> Iterator[Any]:
    return _children(parent, _w("p"), _w("tbl"))


def _children(parent: Any, *tags: str) -> Iterator[Any]:
    """The children of these kinds, also those inside content controls."""
    for child in parent:
        if child.tag in tags:
            yield child
        elif child.tag in (_w("sdt"), _w("sdtContent")):
            yield from _children(child, *tags)


def _text(element: Any) -> str:
    """The text as it is shown: with insertions, without deletions (Word keeps those in elements of
    another name).
    """
    parts: list[str] = []
    stack = [element]
    while stack:
        node = stack.pop()
        if node.tag in (_w("t"), _MATH_TEXT):
            parts.append(node.text or "")
        elif node.tag == _w("tab"):
            parts.append("\t")
        elif node.tag in (_w("br"), _w("cr")):
            parts.append("\n")
        elif node.tag == _w("noBreakHyphen"):
            parts.append("-")
        elif node.tag == _w("p") and parts:
            parts.append("\n")
        if node.tag not in (_w("pPr"), _FALLBACK):
            stack.extend(reversed(node))
    return "".join(parts)


def _table(table: Any) -> str:
    rows = (
        (_text(cell) for cell in _children(row, _w("tc"))) for row in _children(table, _w("tr"))
    )
    lines = (" | ".join(filter(None, (" ".join(text.split()) for text in row))) for row in rows)
    return "\n".join(filter(None, lines))


def _heading_level(paragraph: Any, levels: dict[str, int]) -> int | None:
    properties = paragraph.find(_w("pPr"))
    if properties is None:
        return None
    own = properties.find(_w("outlineLvl"))
    if own is not None:
        return _level(own)
    style = properties.find(_w("pStyle"))
    return None if style is None else levels.get(style.get(_w("val"), ""))


def _level(outline_level: Any) -> int | None:
    value = int(outline_level.get(_w("val"), _BODY_LEVEL))
    return value + 1 if value < _BODY_LEVEL else None


def _style_levels(styles: Any) -> dict[str, int]:
    """style id -> heading level, by the style's name (English in every language of Word), its
    outline level, or its base.
    """
    by_id = {style.get(_w("styleId")): style for style in styles.iter(_w("style"))}
    levels = {}
    for style_id, style in by_id.items():
        for _ in range(MAX_STYLE_BASES):
            if style is None:
                break
            if (level := _style_level(style)) is not None:
                levels[style_id] = level
                break
            base = style.find(_w("basedOn"))
            style = None if base is None else by_id.get(base.get(_w("val")))
    return levels


def _style_level(style: Any) -> int | None:
    name = style.find(_w("name"))
    match = _STYLE_NAME.fullmatch(name.get(_w("val"), "")) if name is not None else None
    if match:
        return 0 if match[2] else int(match[1])
    outline_level = style.find(f"{_w('pPr')}/{_w('outlineLvl')}")
    return None if outline_level is None else _level(outline_level)
