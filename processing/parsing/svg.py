"""SVG: the texts of a drawing in the order of the file, and what it says of itself."""

import zlib
from collections.abc import Iterator
from typing import IO, Any

from lxml import etree

from processing.errors import PermanentError
from processing.parsing.draft import Draft
from processing.parsing.drawing import local
from processing.parsing.sentences import DAMAGED

NO_TEXT = (
    "This drawing contains no text; if its letters are shapes, "
    "save it as a picture and upload that for text recognition (OCR)."
)
MAX_INFLATED_BYTES = 50 * 1024**2  # as much as an upload may have
MAX_DEPTH = 256  # libxml2's own
_PARSER = etree.XMLParser(
    resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True, recover=True
)
_TEXTS = {"text", "title", "desc", "foreignObject", "flowRoot"}
_SILENT = {"style", "script", "metadata"}


def read(file: IO[bytes], draft: Draft) -> None:
    """Raises PermanentError: `corrupt`, `too_large`."""
    data = file.read()
    if data.startswith(b"\x1f\x8b"):
        data = _inflated(data)
    if _root(data) is None:
        raise PermanentError("corrupt", DAMAGED)
    draft.add("\n".join(texts(data)))


def texts(data: bytes) -> Iterator[str]:
    """The lines of text that a drawing shows; of what is none, nothing."""
    root = _root(data)
    for node in () if root is None else root.iter():
        if local(node) in _TEXTS and not _is_in_text(node):
            text = " ".join("".join(_said(node)).split())
            if text:
                yield text


def _root(data: bytes) -> Any:
    try:
        return etree.fromstring(data, _PARSER)
    except etree.XMLSyntaxError:
        return None


def _is_in_text(node: Any) -> bool:
    return any(local(around) in _TEXTS for around in node.iterancestors())


def _said(node: Any, depth: int = 0) -> Iterator[str]:
    """Its text; a part that is put at a place of its own is a word of its own."""
    if local(node) in _SILENT or depth == MAX_DEPTH:
        return
    yield node.text or ""
    for child in node:
        is_apart = any(name in child.attrib for name in ("x", "y", "dy")) or local(child) == "p"
        yield " " if is_apart else ""
        yield from _said(child, depth + 1)
        yield child.tail or ""


def _inflated(data: bytes) -> bytes:
    inflater = zlib.decompressobj(31)
    try:
        found = inflater.decompress(data, MAX_INFLATED_BYTES)
    except zlib.error as error:
        raise PermanentError("corrupt", DAMAGED) from error
    if inflater.unconsumed_tail:
        raise PermanentError(
            "too_large",
            "This file unpacks to far more than we read; split it and upload the parts.",
        )
    return found
