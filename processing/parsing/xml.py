"""XML of any vocabulary: its texts and the values of its attributes in their order, each below the
names of the elements around it.
"""

import io
import re
from typing import IO, Any

from lxml import etree

from processing.parsing import office_xml, open_document, svg
from processing.parsing.decoding import decode
from processing.parsing.draft import Draft, Outline
from processing.parsing.html import decode_markup, read_markup

NO_TEXT = "This file contains no text; check that it is the right one and upload it again."
MAX_NAMES = 4  # of the elements around a text: more say nothing to a person
MAX_ATTRIBUTES = 200  # of an element
MAX_HEADINGS = 50_000  # what is beyond them has none of its own
# Names of attributes that hold no words.
_MACHINERY = re.compile(r"(?:xmlns|schemaLocation|noNamespaceSchemaLocation|space|base)$")
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")


def read(file: IO[bytes], draft: Draft) -> None:
    """What is no XML is taken as plain text; documents that other programs keep as XML are read as
    such. Raises as `decode`, and what their readers raise.
    """
    data = file.read()
    root, is_whole = _root(data)
    if root is None:
        draft.add(decode(data))
        return
    if not is_whole:
        draft.unread("damaged_file")
    if _read_document(root, data, draft):
        return
    writer = _Writer(draft)
    for event, element in etree.iterwalk(root, events=("start", "end")):
        writer.take(event, element)
    writer.end()


def _read_document(root: Any, data: bytes, draft: Draft) -> bool:
    """Read what is a document of an Office program, a page or a drawing."""
    name = etree.QName(root)
    if read_office := office_xml.reader_of(root):
        read_office(root, draft)
    elif name.localname == "document" and "opendocument" in (name.namespace or ""):
        open_document.read(io.BytesIO(data), draft)
    elif name.localname == "html":
        read_markup(decode_markup(data), draft, Outline())
    elif name.localname == "svg":
        draft.add("\n".join(svg.texts(data)))
    else:
        return False
    return True


def _root(data: bytes) -> tuple[Any, bool]:
    """(the root element, whether all of it is there). Entities that the file declares itself are
    resolved, as far as libxml2 takes them for no bomb; others, and files, never.
    """
    options = {"no_network": True, "remove_comments": True, "remove_pis": True}
    try:
        return etree.fromstring(data, etree.XMLParser(resolve_entities="internal", **options)), True
    except (etree.XMLSyntaxError, ValueError):
        pass
    # An unknown encoding, or a wrong one.
    text = _DECLARATION.sub("", decode_markup(data)).encode("utf-8", "replace")
    for recover in (False, True):
        parser = etree.XMLParser(
            resolve_entities=False, recover=recover, encoding="utf-8", **options
        )
        try:
            return etree.fromstring(text, parser), not recover
        except (etree.XMLSyntaxError, ValueError):
            continue
    return None, False


class _Writer:
    """Lines while they share a heading. An element with texts between its children is a paragraph
    of its own, in which they are no lines.
    """

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._outline = Outline()
        self._path = ""
        self._lines: list[str] = []
        self._depth = 0
        self._mixed: Any = None

    def take(self, event: str, element: Any) -> None:
        if not isinstance(element.tag, str):  # an entity that was not resolved
            return
        if event == "end":
            if element is self._mixed:
                self._mixed = None
            if self._mixed is None:
                self._depth -= 1
            return
        if self._mixed is not None:
            return
        self._depth += 1
        name = etree.QName(element).localname
        said = [
            f"{etree.QName(key).localname}: {value}"
            for key, value in element.items()[:MAX_ATTRIBUTES]
            if value.strip() and not _MACHINERY.match(etree.QName(key).localname)
        ]
        if len(element) == 0:
            text = " ".join((element.text or "").split())
            self._line(name, text, said)
        elif _is_mixed(element):
            self._line(name, " ".join("".join(element.itertext()).split()), said)
            self._mixed = element
        else:
            if self._depth <= MAX_NAMES:
                self._enter(name)
            if said:
                self._lines.append(f"{name} ({', '.join(said)})")

    def end(self) -> None:
        self._draft.add("\n".join(self._lines), heading=self._path)
        self._lines = []

    def _enter(self, name: str) -> None:
        """Of elements that follow each other, those of the same name share a section."""
        path = self._outline.enter(self._depth, name)
        if path != self._path and self._draft.count < MAX_HEADINGS:
            self.end()
            self._path = path

    def _line(self, name: str, text: str, said: list[str]) -> None:
        if self._depth <= MAX_NAMES:
            self._enter("")
        if text or said:
            attributes = f" ({', '.join(said)})" if said else ""
            self._lines.append(f"{name}{attributes}: {text}" if text else f"{name}{attributes}")


def _is_mixed(element: Any) -> bool:
    return bool((element.text or "").strip()) or any(
        (child.tail or "").strip() for child in element
    )
