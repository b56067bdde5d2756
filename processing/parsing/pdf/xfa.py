"""XFA forms, which Adobe's own programs draw from XML; the PDF's page only says "Please wait"."""

import ctypes
from collections import deque
from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import ParseError

import pypdfium2 as pdfium
import pypdfium2.raw as raw
from defusedxml import DefusedXmlException, ElementTree

MAX_PACKET = 20 * 1024**2  # bytes


def is_dynamic(document: pdfium.PdfDocument) -> bool:
    """Whether its pages are made by Adobe's programs alone: those that it has hold no fields."""
    forms = (raw.FORMTYPE_XFA_FULL, raw.FORMTYPE_XFA_FOREGROUND)
    if raw.FPDF_GetFormType(document) not in forms:
        return False
    return not any(raw.FPDFPage_GetAnnotCount(page) for page in document)


def lines_of(document: pdfium.PdfDocument) -> list[str]:
    """What the form says: its texts and "caption: value" of its fields, in its order; then the
    values that no field shows.
    """
    parts: list[Any] = []
    values: dict[str, deque[str]] = {}
    for root in _packets(document):
        for node in root.iter():
            if _name(node) == "data" and "xfa-data" in node.tag:
                for leaf in _leaves(node):
                    values.setdefault(_name(leaf), deque()).append(leaf.text.strip())
                break
        parts += _outermost(root)
    lines = []
    for node in parts:
        if _name(node) == "draw":
            lines.append(_text(node))
            continue
        caption = next((_text(child) for child in node if _name(child) == "caption"), "")
        waiting = values.get(node.get("name", ""))
        value = waiting.popleft() if waiting else ""
        lines.append(f"{caption.rstrip(':')}: {value}" if caption and value else caption or value)
    lines += [f"{name}: {value}" for name, waiting in values.items() for value in waiting]
    return [line for line in lines if line]


def _outermost(root: Any) -> list[Any]:
    """The texts and fields of the form's template, none inside of another."""
    found, stack = [], [root]
    while stack:
        node = stack.pop()
        if _name(node) in ("draw", "field"):
            found.append(node)
        elif _name(node) != "datasets":
            stack.extend(reversed(node))
    return found


def _packets(document: pdfium.PdfDocument) -> Iterator[Any]:
    for index in range(raw.FPDF_GetXFAPacketCount(document)):
        size = ctypes.c_ulong()
        raw.FPDF_GetXFAPacketContent(document, index, None, 0, size)
        if not 0 < size.value <= MAX_PACKET:
            continue
        data = ctypes.create_string_buffer(size.value)
        raw.FPDF_GetXFAPacketContent(document, index, data, size.value, size)
        try:
            yield ElementTree.fromstring(data.raw)
        except (ParseError, DefusedXmlException, ValueError):
            continue  # the parts before and after the XML's own: "<xdp:xdp>", "</xdp:xdp>"


def _leaves(node: Any) -> list[Any]:
    return [leaf for leaf in node.iter() if not len(leaf) and (leaf.text or "").strip()]


def _text(node: Any) -> str:
    found = (part.strip() for each in node.iter() for part in _strings(each))
    return " ".join(filter(None, found))


def _strings(node: Any) -> Iterator[str]:
    if _name(node) in ("text", "exData", "p", "span", "b", "i"):
        yield node.text or ""
        yield from (child.tail or "" for child in node)


def _name(node: Any) -> str:
    return str(node.tag).rpartition("}")[2]
