"""PPTX: one place per slide, its number as the page, its title as the heading; then what its notes
and comments say.

By the XML itself: python-pptx leaves out diagrams, alternatives, comments and most of a chart, and
opens no slide show.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

from processing.parsing import drawing
from processing.parsing.draft import Draft, one_line
from processing.parsing.drawing import A, children, local
from processing.parsing.embedded import read_object
from processing.parsing.flow import Flow, Pictures, Sink
from processing.parsing.package import Package, relation_id
from processing.parsing.tables import ABOVE, LEFT

NO_TEXT = (
    "This presentation contains no text; if its slides are images, "
    "run text recognition (OCR) and upload the result."
)
MAX_COLUMNS = 500

P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_TITLES = {"title", "ctrTitle"}
_REPEATED = {"ftr", "dt", "hdr"}  # on every slide: said once
_FRAMES = {"sp", "cxnSp", "pic", "graphicFrame", "grpSp", "contentPart"}


def read(file: IO[bytes], draft: Draft) -> None:
    """Raises PermanentError: see `Archive`."""
    package = Package(file)
    main = package.main("ppt/presentation.xml")
    deck = _Deck(package, draft)
    slides = package.xml(main, "presentation").iter(f"{P}sldId")
    parts = (package.target(main, relation_id(entry)) for entry in slides)
    for page, part in enumerate(filter(None, parts), 1):
        deck.read_slide(part, page)
    deck.read_embedded()
    if package.damaged:
        draft.unread("damaged_part", count=package.damaged)


class _Deck:
    """One presentation; remembers what it has said."""

    def __init__(self, package: Package, draft: Draft) -> None:
        self._package = package
        self._draft = draft
        self._said: set[str] = set()  # what stands on many slides
        self._embedded: dict[str, str] = {}  # parts that are files of their own: where they are
        self._pictures = Pictures(draft, package.content)
        self._part = ""
        self._page = 0

    def read_slide(self, part: str, page: int) -> None:
        self._part, self._page = part, page
        root = self._package.xml(part)
        shapes = list(_shapes(root))
        title = next((shape for shape in shapes if _is_title(shape)), None)
        text = "" if title is None else _text(title)
        flow = Flow(self._draft, page=page, heading=one_line(text))
        described = _Described(flow)
        if text:
            described.line(text)
            described.line("")
        for shape in shapes:
            if shape is not title:
                self._show(shape, described)
        has_text = described.has_text
        looked_at = [self._picture(node, described) for node in root.iter(f"{A}blip")]
        if not looked_at and root.find(f".//{P}pic") is not None:
            looked_at = ["unread"]  # it is kept elsewhere
        if not has_text and looked_at and "read" not in looked_at:
            kind = "image_page" if "unread" in looked_at else "wordless_page"
            self._draft.unread(kind, page=page)
        self._background(part, root, described)
        self._notes(part, described)
        self._comments(part, described)
        flow.end()

    def read_embedded(self) -> None:
        for part, place in self._embedded.items():
            read_object(self._package, part, place, self._draft)

    def _show(self, shape: Any, sink: "_Described") -> None:
        kind = _placeholder(shape)
        if kind == "sldNum":
            return
        if kind in _REPEATED:
            self._once(_text(shape), sink)
            return
        if local(shape) != "grpSp" and (said := drawing.alternative_text(_properties(shape))):
            sink.describe(said)
        match local(shape):
            case "sp" | "cxnSp":
                if text := _text(shape):
                    sink.line(text)
            case "grpSp":
                for inner in _framed(shape):
                    self._show(inner, sink)
            case "graphicFrame":
                self._graphic(shape, sink)
            case "pic" if shape.find(f".//{A}videoFile") is not None:
                self._draft.unread("recording", f"slide {self._page}")
            case "pic" if shape.find(f".//{A}audioFile") is not None:
                self._draft.unread("recording", f"slide {self._page}")

    def _graphic(self, frame: Any, sink: Sink) -> None:
        table = frame.find(f".//{A}tbl")
        if table is not None:
            rows = [_row(row) for row in table.iterfind(f"{A}tr")]
            properties = table.find(f"{A}tblPr")
            has_header = properties is not None and properties.get("firstRow") in ("1", "true")
            sink.table(rows, header=1 if has_header and len(rows) > 1 else None)
        elif drawing.show_graphic(self._package, self._part, frame, sink):
            return
        elif (embedded := frame.find(f".//{P}oleObj")) is not None:
            target = self._package.target(self._part, relation_id(embedded)) or ""
            self._embedded.setdefault(target, f"slide {self._page}")

    def _picture(self, node: Any, sink: Sink) -> str:
        part = self._package.target(self._part, relation_id(node, "embed"))
        return "unread" if part is None else self._pictures.show(part, sink, counts=False)

    def _background(self, part: str, root: Any, sink: Sink) -> None:
        """What the slide's layout and master write on it, beside the places that the slide fills:
        the first time that it is seen.
        """
        layout = self._package.first(part, "slideLayout")
        master = self._package.first(layout, "slideMaster") if layout else None
        for name in (layout, master):
            if name is None or root.get("showMasterSp") in ("0", "false") or name in self._said:
                return
            self._said.add(name)
            root = self._package.xml(name)
            for shape in _shapes(root):
                if _placeholder(shape) is None and local(shape) in ("sp", "grpSp"):
                    self._once(drawing.paragraphs(shape).strip(), sink)

    def _once(self, text: str, sink: Sink) -> None:
        if any(map(str.isalpha, text)) and text not in self._said:
            self._said.add(text)
            sink.line(text)

    def _notes(self, part: str, sink: Sink) -> None:
        notes = self._package.first(part, "notesSlide")
        if notes is None:
            return
        shapes = _shapes(self._package.xml(notes))
        texts = [_text(shape) for shape in shapes if _placeholder(shape) in ("body", None)]
        if text := "\n".join(filter(None, texts)).strip():
            sink.line("")
            sink.line(f"Notes: {text}")

    def _comments(self, part: str, sink: Sink) -> None:
        for relation in self._package.related(part, "comments"):
            root = self._package.xml(relation.target)
            texts = [node.text or "" for node in root.iter(f"{P}text")]
            texts += [drawing.paragraphs(node) for node in root.iter() if local(node) == "txBody"]
            for text in filter(str.strip, texts):
                sink.line("")
                sink.line(f"Comment: {text}")


class _Described:
    """Knows whether a slide has text of its own beside the descriptions of its pictures."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self.has_text = False

    def describe(self, text: str) -> None:
        self._flow.line(text)

    def line(self, text: str) -> None:
        self.has_text = self.has_text or any(map(str.isalnum, text))
        self._flow.line(text)

    def table(self, rows: Iterable[Sequence[str]], header: int | None = None) -> None:
        self.has_text = True
        self._flow.table(rows, header)

    def picture(self, data: bytes) -> str:
        return self._flow.picture(data)


def _shapes(root: Any) -> Iterator[Any]:
    """In the order of the file, which is the order that screen readers follow."""
    tree = root.find(f"{P}cSld/{P}spTree")
    if tree is not None:
        yield from _framed(tree)


def _framed(parent: Any) -> Iterator[Any]:
    return (child for child in children(parent) if local(child) in _FRAMES)


def _properties(shape: Any) -> Any:
    """The element with a shape's name and description; each kind of shape has its own parent."""
    return next(shape.iter(f"{P}cNvPr"), shape)


def _placeholder(shape: Any) -> str | None:
    """Which of the layout's places the shape fills; "body" where it does not say."""
    found = shape.find(f"./*/{P}nvPr/{P}ph")
    return None if found is None else found.get("type", "body")


def _is_title(shape: Any) -> bool:
    return _placeholder(shape) in _TITLES and bool(_text(shape))


def _text(shape: Any) -> str:
    body = shape.find(f"{P}txBody")
    return "" if body is None else drawing.paragraphs(body).strip()


def _row(row: Any) -> list[str]:
    texts: list[str] = []
    for cell in row.iterfind(f"{A}tc"):
        if cell.get("hMerge") in ("1", "true"):
            texts.append(LEFT)
        elif cell.get("vMerge") in ("1", "true"):
            texts.append(ABOVE)
        else:
            body = cell.find(f"{A}txBody")
            texts.append("" if body is None else drawing.paragraphs(body))
    return texts[:MAX_COLUMNS]
