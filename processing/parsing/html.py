"""HTML through selectolax: the text of the page without its machinery, one section per heading."""

import re
from collections.abc import Iterator
from typing import IO, Any

from selectolax.lexbor import LexborHTMLParser

from processing.parsing.decoding import decode
from processing.parsing.draft import Draft, Outline

NO_TEXT = "This page contains no text; save it after it has loaded and upload the result."

_DROPPED = {"head", "script", "style", "noscript", "template", "nav", "svg", "iframe", "object"}
_DROPPED |= {"canvas", "audio", "video", "button", "input", "select", "textarea", "-comment"}
_DROPPED_ROLES = {"navigation", "search"}
_BLOCKS = {
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "caption",
    "center",
    "dd",
    "details",
}
_BLOCKS |= {"dialog", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1"}
_BLOCKS |= {"h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "ol", "p", "pre", "section"}
_BLOCKS |= {"summary", "table", "tbody", "tfoot", "thead", "ul"}
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_CELLS = {"td", "th"}
_CELL_END = " | "
_SPACE = re.compile(r"[ \t\n\r\f]+")
_CHARSET = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([\w.:-]{2,40})""", re.IGNORECASE)
# HTML's rules walk up the open elements at each new one: 100,000 deep takes lexbor 15 s, so deeper
# elements are left out, not their text. Chromium's own limit.
MAX_DEPTH = 512
MAX_TAG_CHARS = 64 * 1024  # lexbor compares each attribute with all before it
_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/<>]*)[^<>]*>?")
# Without content, or closed by what follows: many of them in a row are not deep.
_FLAT = {"area", "base", "br", "col", "dd", "dt", "embed", "hr", "img", "input", "li", "link"}
_FLAT |= {"meta", "option", "p", "param", "source", "tbody", "td", "tfoot", "th", "thead", "tr"}
_FLAT |= {"track", "wbr"}
MIN_MAIN_CHARS = 200
_CHARSET_BYTES = 4_096  # HTML demands it within the first 1,024; many pages are late


def read(file: IO[bytes], draft: Draft) -> None:
    """Raises PermanentError: see `decode`."""
    read_markup(decode_markup(file.read()), draft, Outline())


def decode_markup(data: bytes) -> str:
    """The text of an HTML or XHTML file, by its own declaration where the bytes leave a doubt."""
    declared = _CHARSET.search(data[:_CHARSET_BYTES])
    return decode(data, declared[1].decode("ascii") if declared else None)


def read_markup(markup: str, draft: Draft, outline: Outline) -> None:
    """Add the page's sections; `outline` goes on from where it stands (the chapters of a book).

    The title stands in for the heading on a page that has none.
    """
    tree = LexborHTMLParser(_flattened(markup))
    root = _main(tree)
    if root is None:
        return
    lines = _Lines()
    headings = 0
    for node, entering in _walk(root):
        if node.tag in _HEADINGS and entering:
            draft.add(lines.take(), heading=outline.path)
        lines.feed(node, entering)
        if node.tag in _HEADINGS and not entering:
            outline.enter(_HEADINGS[node.tag], lines.so_far())
            headings += 1
    text = lines.take()
    title = tree.css_first("head > title")
    if title is not None and text.strip() and not headings:
        outline.enter(1, title.text())
        text = f"{title.text()}\n\n{text}"
    draft.add(text, heading=outline.path)


def _flattened(markup: str) -> str:
    """The markup without the tags that would lie deeper than MAX_DEPTH, and without the attributes
    of the longest; in linear time.
    """
    depth = 0

    def keep(tag: re.Match[str]) -> str:
        nonlocal depth
        kept = tag[0] if len(tag[0]) <= MAX_TAG_CHARS else f"<{tag[1]}{tag[2]}>"
        if tag[2].lower() in _FLAT:
            return kept
        depth = max(0, depth + (-1 if tag[1] else 1))
        return kept if depth + bool(tag[1]) <= MAX_DEPTH else ""

    return _TAG.sub(keep, markup)


def _main(tree: LexborHTMLParser) -> Any:
    """The main element, unless it holds next to nothing (a shell that a script would fill), else
    the body.
    """
    main = tree.css_first("main") or tree.css_first("[role=main]")
    return main if main is not None and len(main.text(strip=True)) >= MIN_MAIN_CHARS else tree.body


def _walk(root: Any) -> Iterator[tuple[Any, bool]]:
    """Each node when it is entered and when it is left; without recursion, for pages nested 100,000
    deep.
    """
    node, entering = root, True
    while True:
        if entering and _is_dropped(node):
            entering = False
        else:
            yield node, entering
        if entering and node.child is not None:
            node = node.child
        elif entering:
            entering = False
        elif node.mem_id == root.mem_id:
            return
        elif node.next is not None:
            node, entering = node.next, True
        else:
            node = node.parent


def _is_dropped(node: Any) -> bool:
    if node.tag in _DROPPED:
        return True
    if node.tag.startswith("-"):
        return False
    attributes = node.attributes
    return "hidden" in attributes or attributes.get("role") in _DROPPED_ROLES


class _Lines:
    """Running text from inline and block elements, with the white space that a browser would
    show.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._pre = 0
        self._cells: list[int] = []  # where the open cells began

    def feed(self, node: Any, entering: bool) -> None:
        tag = node.tag
        if tag == "-text" and entering:
            self.text(node.text_content or "")
        elif tag == "br" and entering:
            self._parts.append("\n")
        elif tag in _CELLS and entering:
            self._cells.append(len(self._parts))
        elif tag in _CELLS:
            self._end_cell()
        elif tag == "tr":
            self._end_row()
        elif tag in _BLOCKS:
            self._pre += (1 if entering else -1) if tag == "pre" else 0
            self.end()
            if tag == "li" and entering:
                self._parts.append("- ")
            if tag in ("p", "table", "pre", *_HEADINGS) and not self._in_cell():
                self._parts.append("\n")

    def text(self, text: str) -> None:
        if not self._pre:
            text = _SPACE.sub(" ", text)
            if not self._parts or self._parts[-1][-1:] in (" ", "\n"):
                text = text.lstrip(" ")
        if text:
            self._parts.append(text)

    def end(self) -> None:
        """End the line, unless it is a list item or a cell that has just begun."""
        if (
            self._parts
            and not self._parts[-1].endswith("\n")
            and self._parts[-1] not in ("- ", _CELL_END)
        ):
            self._parts.append("\n")

    def so_far(self) -> str:
        return "".join(self._parts)

    def take(self) -> str:
        text = self.so_far().removesuffix("- ")
        self._parts.clear()
        self._cells = [0 for _ in self._cells]
        return text

    def _end_cell(self) -> None:
        start = self._cells.pop() if self._cells else 0
        while len(self._parts) > start and not self._parts[-1].strip():
            self._parts.pop()
        if len(self._parts) > start:
            self._parts.append(_CELL_END)

    def _end_row(self) -> None:
        if self._parts and self._parts[-1] == _CELL_END:
            self._parts[-1] = "\n"
        self.end()

    def _in_cell(self) -> bool:
        return bool(self._parts) and self._parts[-1] in ("- ", _CELL_END)
