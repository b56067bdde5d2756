"""HTML through selectolax: the text of the page without its machinery, one section per heading;
its tables are sections of their own.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from typing import IO, Any
from urllib.parse import unquote

from lxml import etree
from selectolax.lexbor import LexborHTMLParser

from processing.parsing.decoding import decode
from processing.parsing.draft import Draft, Outline
from processing.parsing.drawing import is_exponent
from processing.parsing.mathml import formula
from processing.parsing.picture import add_shown
from processing.parsing.styles import Styles
from processing.parsing.tables import ABOVE, LEFT, add_table
from processing.parsing.word_numbers import in_format

NO_TEXT = "This page contains no text; save it after it has loaded and upload the result."

_DROPPED = {"head", "script", "style", "template", "nav", "object", "canvas", "audio", "video"}
_DROPPED |= {"datalist", "-comment"}
# The reading of a ruby, the source of a formula, the name and the machinery of a drawing.
_DROPPED |= {"rt", "rp", "rtc", "annotation", "annotation-xml", "desc", "defs", "metadata", "title"}
_DROPPED_ROLES = {"navigation", "search"}
_BLOCKS = {"address", "article", "aside", "blockquote", "body", "button", "caption", "center", "dd"}
_BLOCKS |= {"details", "dialog", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer"}
_BLOCKS |= {"legend", "optgroup", "option"}
_BLOCKS |= {"form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "iframe", "li", "main"}
_BLOCKS |= {"ol", "p", "pre", "section", "summary", "table", "tbody", "td", "text", "textarea"}
_BLOCKS |= {"tfoot", "th", "thead", "tr", "ul"}
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_APART = ("p", "table", "pre", *_HEADINGS)  # an empty line stands before and after
# Of a style's `display`: what stands apart, and what sets its children apart.
_ROWS = {"flex", "grid", "inline-flex", "inline-grid"}
_APART_BY_STYLE = {"block", "flex", "grid", "list-item", "table", "table-cell", "table-row"}
_PICTURES = {"img", "image"}
_INLINE = re.compile(r"data:image/[\w.+-]+(?:;[\w.=-]+)*;base64,", re.IGNORECASE)
_URL_SAFE = str.maketrans("-_", "+/", " \t\r\n")
MIN_PICTURE_BYTES = 2_000  # a smaller one is an icon
_SENDS = {"submit", "reset"}
_INPUTS = {None, "", "text", "email", "number", "tel", "url", "date", "month", "time", "week"}
_MARKS = {"checkbox": ("☐", "☑"), "radio": ("○", "◉")}
_NUMBERS = {"a": "lowerLetter", "A": "upperLetter", "i": "lowerRoman", "I": "upperRoman"}
_SPACE = re.compile(r"[ \t\n\r\f]+")
_FRAME = re.compile(r"<frame\s[^<>]*?src\s*=", re.IGNORECASE)
_OPENERS = ("aria-controls", "data-target", "data-bs-target", "href")
_QUOTED = re.compile(r"""["']#?([\w:.-]+)["']""")
_CHARSET = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([\w.:-]{2,40})""", re.IGNORECASE)
_SHADOW = re.compile(r"\sshadowroot(?:mode)?\s*=", re.IGNORECASE)
# HTML's rules walk up the open elements at each new one: 100,000 deep takes lexbor 15 s, so deeper
# elements are left out, not their text. Chromium's own limit.
MAX_DEPTH = 512
MAX_TAG_CHARS = 64 * 1024  # lexbor compares each attribute with all before it
_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/<>]*)[^<>]*>?")
# Without content, or closed by what follows: many of them in a row are not deep.
_FLAT = {"area", "base", "br", "col", "dd", "dt", "embed", "hr", "img", "input", "li", "link"}
_FLAT |= {"meta", "option", "p", "param", "source", "tbody", "td", "tfoot", "th", "thead", "tr"}
_FLAT |= {"track", "wbr"}
_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param"}
_VOID |= {"source", "track", "wbr"}
_IS_XML = re.compile(r"\s*<\?xml\s|.*<html[^<>]*\sxmlns=", re.DOTALL | re.IGNORECASE)
_EMPTY = re.compile(r"<([a-zA-Z][\w:.-]{0,40})((?:\s[^<>]*?)?)/>")
MIN_MAIN_CHARS = 200
MAX_INNER_CHARS = 300  # of a list or a table within a cell of another
MAX_FRAMES = 100  # documents inside of the page, by srcdoc
MAX_COLUMNS = 1_000  # HTML's own limit for a cell
_CHARSET_BYTES = 4_096  # HTML demands it within the first 1,024; many pages are late


def read(file: IO[bytes], draft: Draft) -> None:
    """Raises PermanentError: see `decode`."""
    read_markup(decode_markup(file.read()), draft, Outline())


def decode_markup(data: bytes) -> str:
    """The text of an HTML or XHTML file, by its own declaration where the bytes leave a doubt."""
    declared = _CHARSET.search(data[:_CHARSET_BYTES])
    return decode(data, declared[1].decode("ascii") if declared else None)


def inline_picture(source: str) -> bytes | None:
    """The picture that an address holds itself ("data:image/png;base64,..."), if it does."""
    match = _INLINE.match(source)
    if match is None:
        return None
    try:
        return base64.b64decode(unquote(source[match.end() :]).translate(_URL_SAFE))
    except (binascii.Error, ValueError):
        return None


def read_markup(
    markup: str,
    draft: Draft,
    outline: Outline,
    *,
    titled: bool = True,
    picture: Callable[[str], bytes | None] = inline_picture,
) -> set[str]:
    """Add the page's sections; `outline` goes on from where it stands (the chapters of a book).

    If `titled`, the page's title comes first unless a heading repeats it, and stands in for a main
    heading that is missing. `picture` loads what an image's `src` names, None if it cannot. Returns
    what came of the pictures (see `picture.add_shown`).
    """
    if frames := len(_FRAME.findall(markup)):
        draft.unread("included_file", count=frames)
    tree = _parsed(markup)
    root = _main(tree)
    if root is None:
        return set()
    page = _Page(tree, draft, outline, picture)
    if page.has_text(root):
        if titled:
            page.enter_title()
        page.read(root)
    if count := page.hidden:
        draft.unread("hidden_part", count=count)
    return page.pictures


class _Page:
    """One page while it is read."""

    def __init__(
        self,
        tree: LexborHTMLParser,
        draft: Draft,
        outline: Outline,
        picture: Callable[[str], bytes | None],
    ) -> None:
        self.pictures: set[str] = set()  # what came of them
        self._load = picture
        self._met: set[str] = set()
        self._tree = tree
        self._draft = draft
        self._outline = outline
        self._lines = _Lines()
        self._styles = Styles(node.text() for node in tree.css("style") if _is_for_screens(node))
        # Most pages have neither, and each question costs.
        self._is_laid_out = self._styles.lay_out or tree.css_first("[style*=display]") is not None
        self._displays: dict[int, str] = {}
        self._has_roles = tree.css_first("[role=heading]") is not None
        self._opened = set(_opened(tree))
        self._hidden: dict[int, bool] = {}  # whether there is text in what is not shown
        self._frames = 0

    @property
    def hidden(self) -> int:
        """How many of its parts have words and are not shown."""
        return sum(self._hidden.values())

    def has_text(self, root: Any) -> bool:
        return any(
            node.tag in ("iframe", "input", "img")
            or (node.tag == "-text" and node.text_content.strip())
            for node, _ in _walk(root, self._is_dropped)
        )

    def enter_title(self) -> None:
        title = self._tree.css_first("head > title")
        name = " ".join(title.text().split()) if title is not None else ""
        headings = self._tree.css(", ".join(_HEADINGS))
        said = {" ".join(node.text().split()).casefold() for node in headings}
        if not name or name.casefold() in said:
            return
        if self._tree.css_first("h1") is None:
            self._outline.enter(0, name)
        self._lines.line(name)

    def read(self, root: Any) -> None:
        for node, entering in _walk(root, self._is_leaf):
            if entering and node.tag == "table" and _is_data(node):
                self._end()
                if not self._is_dropped(node):
                    self._read_table(node)
            elif entering and node.tag == "iframe":
                self._read_frame(node)
            elif entering and node.tag in _PICTURES:
                self._feed(node, entering)
                self._read_picture(node)
            else:
                self._feed(node, entering)
        self._end()

    def _feed(self, node: Any, entering: bool) -> None:
        level = _level(node) if self._has_roles else _HEADINGS.get(node.tag)
        if level and entering:
            self._end()
        self._put(self._lines, node, entering)
        if level and not entering:
            self._outline.enter(level, self._lines.so_far())
            self._lines.end()

    def _put(self, lines: "_Lines", node: Any, entering: bool) -> None:
        is_apart = self._is_laid_out and node.tag not in _BLOCKS and self._is_apart(node)
        if is_apart and entering:
            lines.end()
        lines.feed(node, entering)
        if is_apart and not entering:
            lines.end()

    def _is_apart(self, node: Any) -> bool:
        """Whether the page's styles set it apart from what stands beside it."""
        if node.tag.startswith("-") or node.tag == "br":
            return False
        if self._display(node) in _APART_BY_STYLE:
            return True
        return node.parent is not None and self._display(node.parent) in _ROWS

    def _display(self, node: Any) -> str:
        if node.mem_id not in self._displays:
            self._displays[node.mem_id] = self._styles.display(node.tag, node.attributes)
        return self._displays[node.mem_id]

    def _end(self) -> None:
        self._draft.add(self._lines.take(), heading=self._outline.path)

    def _is_leaf(self, node: Any) -> bool:
        """Whether its children are not walked through."""
        return (node.tag == "table" and _is_data(node)) or self._is_dropped(node)

    def _is_dropped(self, node: Any) -> bool:
        if node.tag is None or node.tag in _DROPPED:  # of a name that is no letters, it has none
            return True
        if node.tag.startswith("-"):
            return False
        attributes = node.attributes
        if node.tag == "noscript":  # what it replaces is there, or it asks for a browser's script
            return "javascript" in node.text().casefold()
        if node.tag == "button" and attributes.get("type") in _SENDS:
            return True
        if node.tag == "option" and "selected" not in attributes:
            return True
        if attributes.get("role") in _DROPPED_ROLES:
            return True
        if not self._is_hidden(node, attributes):
            return False
        if node.mem_id not in self._hidden:
            self._hidden[node.mem_id] = any(map(str.isalnum, node.text()))
        return True

    def _is_hidden(self, node: Any, attributes: Any) -> bool:
        """Not what a click shows: a page's tabs, the answers below its questions."""
        if "hidden" in attributes:
            is_hidden = attributes["hidden"] != "until-found"
        else:
            is_hidden = self._styles.hides(node.tag, attributes)
        return (
            is_hidden
            and attributes.get("id") not in self._opened
            and attributes.get("role") != "tabpanel"
        )

    def _read_frame(self, node: Any) -> None:
        source = node.attributes.get("srcdoc")
        self._frames += 1
        if not source or self._frames > MAX_FRAMES:
            return
        body = _parsed(source).body
        if body is not None:
            self._lines.end()
            for inner, entering in _walk(body, self._is_leaf):
                self._feed(inner, entering)
            self._lines.end()
            self._displays.clear()  # its elements are gone, and others may get their numbers

    def _read_table(self, table: Any) -> None:
        caption = next((node for node in _children(table) if node.tag == "caption"), None)
        if caption is not None:
            self._draft.add(self._text(caption), heading=self._outline.path)
        rows = [
            [
                (node, self._text(node))
                for node in _children(row)
                if node.tag in ("td", "th") and not self._is_dropped(node)
            ]
            for row in _rows(table)
            if not self._is_dropped(row) and not self._is_dropped(row.parent)
        ]
        grid = _grid(rows)
        add_table(self._draft, grid, header=_header(table, rows), heading=self._outline.path)
        for node in table.css("img"):
            self._read_picture(node)

    def _read_picture(self, node: Any) -> None:
        names = (node.attributes.get(name) for name in ("src", "xlink:href", "href"))
        source = next(filter(None, names), "")
        if not source or source in self._met:
            return
        self._met.add(source)
        data = self._load(source)
        if data and len(data) >= MIN_PICTURE_BYTES:
            self._end()
            self.pictures.add(add_shown(data, self._draft, heading=self._outline.path))

    def _text(self, root: Any) -> str:
        lines = _Lines()
        for node, entering in _walk(root, self._is_dropped):
            self._put(lines, node, entering)
        return lines.take()


def _parsed(markup: str) -> LexborHTMLParser:
    """The page, in which formulas are text."""
    tree = LexborHTMLParser(_flattened(markup))
    if tree.css_first("math") is None:
        return tree
    inner = {node.mem_id for node in tree.css("math math")}
    for node in tree.css("math"):
        if node.mem_id not in inner:
            node.replace_with(_formula(node))
    return tree


def _formula(node: Any) -> str:
    """On one line, apart from the text where it has its own."""
    parser = etree.XMLParser(recover=True, resolve_entities=False)
    element = etree.fromstring(node.html.replace("&nbsp;", " "), parser)
    said = node.text() if element is None else formula(element)
    return f" {said} " if node.attributes.get("display") == "block" else said


def _level(node: Any) -> int | None:
    """Of a heading, by its tag or by its role."""
    if node.tag in _HEADINGS or node.tag.startswith("-"):
        return _HEADINGS.get(node.tag)
    if node.attributes.get("role") != "heading":
        return None
    return min(max(_whole(node.attributes.get("aria-level"), 2), 1), 6)


def _is_for_screens(style: Any) -> bool:
    media = (style.attributes.get("media") or "all").lower()
    return "all" in media or "screen" in media


def _opened(tree: LexborHTMLParser) -> Iterator[str]:
    """The ids of what a click shows, as far as the page says so."""
    for node in tree.css("[aria-controls], [data-target], [data-bs-target], [href^='#']"):
        for name in _OPENERS:
            yield from (node.attributes.get(name) or "").replace("#", " ").split()
    for node in tree.css("[onclick]"):
        yield from _QUOTED.findall(node.attributes.get("onclick") or "")


def _flattened(markup: str) -> str:
    """The markup without the tags that would lie deeper than MAX_DEPTH, and without the attributes
    of the longest; shadow roots as if they stood in the page. In linear time.
    """
    if _IS_XML.match(markup[:_CHARSET_BYTES]):
        markup = _EMPTY.sub(_opened_and_closed, markup)
    depth = 0
    templates: list[bool] = []  # of the open ones, whether each is a shadow root

    def keep(tag: re.Match[str]) -> str:
        nonlocal depth
        kept = tag[0] if len(tag[0]) <= MAX_TAG_CHARS else f"<{tag[1]}{tag[2]}>"
        name = tag[2].lower()
        if name in ("frameset", "noframes"):  # what stands there for browsers without frames
            return ""
        if name in _FLAT:
            return kept
        if name == "template":
            if tag[1] and templates and templates.pop():
                kept = "</div>"
            elif not tag[1]:
                templates.append(bool(_SHADOW.search(kept)))
                kept = "<div>" if templates[-1] else kept
        depth = max(0, depth + (-1 if tag[1] else 1))
        return kept if depth + bool(tag[1]) <= MAX_DEPTH else ""

    return _TAG.sub(keep, markup)


def _opened_and_closed(tag: re.Match[str]) -> str:
    """What XML may write as one tag, and HTML takes for a beginning: `<title/>`."""
    return tag[0] if tag[1].lower() in _VOID else f"<{tag[1]}{tag[2]}></{tag[1]}>"


def _main(tree: LexborHTMLParser) -> Any:
    """The main element, unless it holds next to nothing (a shell that a script would fill), else
    the body.
    """
    main = tree.css_first("main") or tree.css_first("[role=main]")
    if main is not None and len(main.text(strip=True)) >= MIN_MAIN_CHARS:
        return main
    return tree.body if tree.body is not None else tree.root


def _walk(root: Any, is_leaf: Callable[[Any], bool]) -> Iterator[tuple[Any, bool]]:
    """Each node when it is entered and when it is left; without recursion, for pages nested 100,000
    deep. A leaf's children are left out, and so is a leaf that is dropped.
    """
    node, entering = root, True
    while True:
        leaf = entering and is_leaf(node)
        if leaf and node.tag != "table":
            entering = False
        else:
            yield node, entering
        if entering and not leaf and node.child is not None:
            node = node.child
        elif entering:
            entering = False
        elif node.mem_id == root.mem_id:
            return
        elif node.next is not None:
            node, entering = node.next, True
        else:
            node = node.parent


def _children(node: Any) -> Iterator[Any]:
    child = node.child
    while child is not None:
        yield child
        child = child.next


def _is_data(table: Any) -> bool:
    """Whether it is a table, and not a page that is laid out by one."""
    if table.attributes.get("role") in ("presentation", "none"):
        return False
    if table.css_first(f"{', '.join(_HEADINGS)}, iframe, form") is not None:
        return False
    rows = [[node for node in _children(row) if node.tag in ("td", "th")] for row in _rows(table)]
    rows = [cells for cells in rows if len(cells) > 1]
    if not rows or table.css_first("table table, ul, ol") is None:
        return bool(rows)
    # Little lists and tables in cells, beside rows without such or below names of columns.
    inner = [node for cells in rows for cell in cells for node in cell.css("table, ul, ol")]
    if any(len(node.text(strip=True)) > MAX_INNER_CHARS for node in inner):
        return False
    plain = [all(cell.css_first("table, ul, ol") is None for cell in cells) for cells in rows]
    is_named = plain[0] and len(rows) > 1 and all(cell.tag == "th" for cell in rows[0])
    return is_named or sum(plain) > 1


def _rows(table: Any) -> list[Any]:
    """Its rows as they are shown: the head first, the foot last."""
    parts: dict[str, list[Any]] = {"thead": [], "tbody": [], "tfoot": []}
    for child in _children(table):
        if child.tag == "tr":
            parts["tbody"].append(child)
        elif child.tag in parts:
            parts[child.tag] += [row for row in _children(child) if row.tag == "tr"]
    return [row for part in parts.values() for row in part]


def _header(table: Any, rows: list[list[tuple[Any, str]]]) -> int | None:
    """How many rows name the columns: those of the head, or those at the top whose cells are all
    header cells; None where the page does not say.
    """
    head = next((part for part in _children(table) if part.tag == "thead"), None)
    if head is not None and head.css_first("tr") is not None:
        return sum(row.tag == "tr" for row in _children(head))
    count = 0
    for row in rows:
        if not row or any(cell.tag != "th" for cell, _ in row):
            break
        count += 1
    return count if 0 < count < len(rows) else None


def _grid(rows: list[list[tuple[Any, str]]]) -> list[list[str]]:
    """A text for each place: cells over several rows or columns cover theirs."""
    grid: list[list[str]] = []
    below: dict[int, int] = {}  # column -> the rows that its cell still covers
    part = None  # of the table: no cell reaches into the next one
    for cells in rows:
        if cells and cells[0][0].parent.parent.mem_id != part:
            part = cells[0][0].parent.parent.mem_id
            below.clear()
        line: list[str] = []
        for cell, text in cells:
            while below.get(len(line), 0) > 0:
                below[len(line)] -= 1
                line.append(ABOVE)
            width, height = (_span(cell, name) for name in ("colspan", "rowspan"))
            width = min(width, MAX_COLUMNS - len(line))
            for column in range(len(line), len(line) + width):
                below[column] = height - 1
            line += [text, *[LEFT] * (width - 1)] if width > 0 else []
        while below.get(len(line), 0) > 0:
            below[len(line)] -= 1
            line.append(ABOVE)
        grid.append(line)
    return grid


def _span(cell: Any, name: str) -> int:
    said = (cell.attributes.get(name) or "").strip()
    if name == "rowspan" and said == "0":
        return MAX_COLUMNS  # to the end
    return min(max(int(said), 1), MAX_COLUMNS) if said.isascii() and said.isdigit() else 1


class _Lines:
    """Running text from inline and block elements, with the white space that a browser would
    show.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._pre = 0
        self._item_at = -1  # how many parts there were when an item began
        self._numbers: dict[int, int] = {}  # of the last item of each ordered list

    def feed(self, node: Any, entering: bool) -> None:
        tag = node.tag
        if tag == "-text" and entering:
            self.text(node.text_content or "")
        elif tag == "br" and entering:
            self._parts.append("\n")
        elif tag == "img" and entering:
            self.text(f" {node.attributes.get('alt') or ''} ")
        elif tag == "input" and entering:
            kind = node.attributes.get("type")
            if kind in _INPUTS:
                self.text(f" {node.attributes.get('value') or ''} ")
            elif kind in _MARKS:
                self.text(f" {_MARKS[kind]['checked' in node.attributes]} ")
        elif tag == "sup" and entering and (power := _power(node, self._parts)):
            self._parts.append(power)
        elif tag in _BLOCKS:
            self._pre += (1 if entering else -1) if tag in ("pre", "textarea") else 0
            self.end()
            if tag == "li" and entering:
                self._parts.append(self._mark_of(node))
                self._item_at = len(self._parts)
            if tag in _APART and not self._in_item():
                self._parts.append("\n")

    def text(self, text: str) -> None:
        if not self._pre:
            text = _SPACE.sub(" ", text)
            if not self._parts or self._parts[-1][-1:] in (" ", "\n"):
                text = text.lstrip(" ")
        if text:
            self._parts.append(text)

    def line(self, text: str) -> None:
        """A line apart."""
        self._parts += [text, "\n", "\n"]

    def end(self) -> None:
        """End the line, unless it is a list item that has just begun."""
        if self._parts and not self._parts[-1].endswith("\n") and not self._in_item():
            self._parts.append("\n")

    def so_far(self) -> str:
        return "".join(self._parts)

    def take(self) -> str:
        if self._in_item():
            self._parts.pop()
        text = self.so_far()
        self._parts.clear()
        self._item_at = -1
        return text

    def _in_item(self) -> bool:
        return self._item_at == len(self._parts)

    def _mark_of(self, item: Any) -> str:
        """What stands before an item: its number, or a dash."""
        list_ = item.parent
        if list_ is None or list_.tag != "ol":
            return "- "
        is_reversed = "reversed" in list_.attributes
        first = sum(child.tag == "li" for child in _children(list_)) if is_reversed else 1
        step = -1 if is_reversed else 1
        before = _whole(list_.attributes.get("start"), first) - step
        number = _whole(
            item.attributes.get("value"), self._numbers.get(list_.mem_id, before) + step
        )
        self._numbers[list_.mem_id] = number
        kind = item.attributes.get("type") or list_.attributes.get("type") or "1"
        return f"{in_format(number, _NUMBERS.get(kind, 'decimal'))}. "


def _whole(text: str | None, usual: int) -> int:
    said = (text or "").strip()
    return int(said) if re.fullmatch(r"-?[0-9]{1,9}", said) else usual


def _power(node: Any, before: list[str]) -> str:
    """A raised number behind a number is its power, not more of its digits."""
    raised = node.text(strip=True)
    return "^" if is_exponent(raised) and before and before[-1][-1:].isdigit() else ""
