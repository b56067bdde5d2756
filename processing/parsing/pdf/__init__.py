"""PDF through PDFium: one section per page, divided where the outline (the bookmarks) names a
heading on it; its tables are sections of their own.
"""

import ctypes
import itertools
import logging
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

import pypdfium2 as pdfium
import pypdfium2.raw as raw

from processing.errors import PermanentError
from processing.parsing.draft import Draft, Outline
from processing.parsing.embedded import read_embedded
from processing.parsing.look import Look, size_for
from processing.parsing.model import Matrix, matrix_of
from processing.parsing.pdf import dictionary, fonts, objects, text, xfa
from processing.parsing.pdf.annotations import Annotations, annotations_of, attachments_of, place
from processing.parsing.pdf.layout import Block, Rows, blocks, words_in
from processing.parsing.pdf.recognised import POINTS, Picture, Recognised, may
from processing.parsing.pdf.recognised import read as recognise
from processing.parsing.pdf.repair import salvage
from processing.parsing.pdf.words import Line, letters_of, unturned, words_of
from processing.parsing.sentences import DAMAGED, ENCRYPTED, NO_SUCH_PAGE
from processing.parsing.tables import add_table

NO_TEXT = (
    "There is nothing to read on the pages of this PDF; "
    "check that it is the right file and upload it again."
)
UNREAD_FORM = (
    "This PDF is an XFA form that only Adobe Acrobat can show; "
    "print it to a PDF there and upload the result."
)
UNREAD_PORTFOLIO = (
    "This PDF is a portfolio: a cover and files that we cannot read; "
    "save them from it and upload them by themselves."
)
MAX_BOOKMARKS = 10_000
# A page under images of this share with fewer letters than MIN_PAGE_CHARS is a scan with a stamp.
SCAN_SHARE = 0.5
DPI = 250  # at which a page is drawn for text recognition
MAX_READ_PIXELS = 16_000_000  # a larger page is drawn smaller
MIN_PAGE_CHARS = 200
MAX_MARGIN_CHARS = 200  # of the foot of a page and the head of the next
# What begins another table, in the languages in which it begins alike.
_CAPTION = re.compile(r"(?:tab(?:le|elle|leau|ela|la|\.)|таблица|表)\s*\d", re.IGNORECASE)

fonts.install()
logging.getLogger("pypdfium2").setLevel(logging.ERROR)  # of XFA forms it says how to compile it


def warm_up() -> None:
    """Read what is on the disk: later no file opens."""
    dictionary.warm_up()


def read(file: IO[bytes], draft: Draft) -> None:
    """Raises PermanentError: `encrypted`, `corrupt`, `too_large`, `no_text`."""
    data = file.read()
    document, is_whole = _open(data)
    if not is_whole:
        draft.unread("damaged_file")
    if len(document) > draft.limits.pages:
        raise PermanentError(
            "too_large",
            f"This PDF has {len(document):,} pages, more than the {draft.limits.pages:,} that we "
            "read; split it and upload the parts.",
        )
    if xfa.is_dynamic(document):
        _read_form(document, draft)
        return
    document.init_forms()
    outline = Outline()
    bookmarks = _bookmarks(document)
    table = _OpenTable()
    for number in range(1, len(document) + 1):
        if not draft.cut(f"page {number}"):
            for level, title in bookmarks[number]:
                outline.enter(level, title)
            continue
        page = _read_page(document, number, draft)
        _add_page(page, number, bookmarks[number], outline, table, draft)
        for name, content in page.annotations.files:
            read_embedded(name, content, draft)
    draft.uncut()
    if raw.FPDFDoc_GetAttachmentCount(document):
        _read_attachments(document, data, draft)


def look(file: IO[bytes], number: int, draft: Draft) -> Look:
    """Page `number` as it looks, its text read into the draft. Raises PermanentError."""
    document, _ = _open(file.read())
    if number > len(document):
        raise PermanentError("no_page", NO_SUCH_PAGE)
    document.init_forms()
    found = _Page([], Annotations(), 0)
    if not xfa.is_dynamic(document):
        found = _read_page(document, number, draft)
        bookmarks = _bookmarks(document)[number]
        _add_page(found, number, bookmarks, Outline(), _OpenTable(), draft)
    try:
        page = document[number - 1]
    except pdfium.PdfiumError as error:
        raise PermanentError("no_page", NO_SUCH_PAGE) from error
    width, height = page.get_size()
    scale = size_for(width, height, POINTS)
    image = page.render(scale=scale).to_pil()
    if found.recognised:
        matrix, letters = found.recognised.matrix, Recognised.letters(found.blocks)
    else:
        matrix = _to_picture(page, found.turn)
        letters = list(letters_of(page, words_in(found.blocks), found.turn))
    return Look(image, len(document), letters, matrix)


def _to_picture(page: pdfium.PdfPage, turn: int) -> Matrix:
    """From the places of words to the page as it is drawn, whose width and height are 1."""
    parts = 1_000_000  # PDFium counts in whole pixels
    x, y = ctypes.c_int(), ctypes.c_int()
    left, bottom, right, top = page.get_bbox()

    def to(u: float, v: float) -> tuple[float, float]:
        point = unturned(turn, u, v)
        raw.FPDF_PageToDevice(page, 0, 0, parts, parts, 0, *point, x, y)
        return x.value / parts, y.value / parts

    sides = sorted((right - left, top - bottom))
    return matrix_of(to, *unturned(-turn % 4, left, bottom), min(sides[1], 100 * sides[0]))


class _OpenTable:
    """The names of the columns of the last table, as long as it may go on: between its parts are a
    foot and a head of a page at most.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self._is_next_page = False
        self._between = 0  # characters since that table

    def turn_page(self) -> None:
        self._is_next_page = True

    def pass_text(self, text: str) -> None:
        self._between += len(text)
        if self._between > MAX_MARGIN_CHARS or _CAPTION.match(text.strip()):
            self.names = []

    def names_for(self, rows: Rows) -> list[str]:
        """Those for a table that may be the rest of that one: on the next page, as wide."""
        goes_on = self._is_next_page and max(map(len, rows)) == len(self.names)
        names = self.names if goes_on else []
        self._is_next_page, self._between = False, 0
        return names


def _open(data: bytes) -> tuple[pdfium.PdfDocument, bool]:
    """The document, and whether all of it is there."""
    try:
        return pdfium.PdfDocument(data), True
    except pdfium.PdfiumError as error:
        # PDFium keeps the last error, perhaps of a document before; every locked one says /Encrypt.
        if b"/Encrypt" in data and error.err_code in (
            raw.FPDF_ERR_PASSWORD,
            raw.FPDF_ERR_SECURITY,
        ):
            raise PermanentError("encrypted", ENCRYPTED) from error
        if rebuilt := salvage(data):
            with suppress(pdfium.PdfiumError):
                return pdfium.PdfDocument(rebuilt), False
        raise PermanentError("corrupt", DAMAGED) from error


def _read_form(document: pdfium.PdfDocument, draft: Draft) -> None:
    lines = xfa.lines_of(document)
    if not lines:
        raise PermanentError("no_text", UNREAD_FORM)
    draft.add("\n".join(lines))


@dataclass(slots=True)
class _Page:
    """Its texts and tables in their order, what was put on it, how far its letters are turned; and
    what it was recognised from, if its picture was read.
    """

    blocks: list[Block]
    annotations: Annotations
    turn: int
    recognised: Recognised | None = None


def _add_page(
    page: _Page,
    number: int,
    bookmarks: list[tuple[int, str]],
    outline: Outline,
    table: "_OpenTable",
    draft: Draft,
) -> None:
    found: list[str | Rows] = []
    for block in page.blocks:
        is_table = isinstance(block[0][0], str)
        found.append(block if is_table else text.running(block))  # type: ignore[arg-type]
    place: dict[str, Any] = {"page": number, "recognised": page.recognised is not None}
    table.turn_page()
    for heading, part in _divide(found, bookmarks, outline):
        if isinstance(part, str):
            draft.add(part, heading=heading, **place)
            table.pass_text(part)
        else:
            names = table.names_for(part)
            table.names = add_table(draft, part, heading=heading, names=names, **place)
    for note in page.annotations.notes:
        draft.add(f"Note: {note}", page=number, heading=outline.path)


def _read_page(document: pdfium.PdfDocument, number: int, draft: Draft) -> _Page:
    """Reports what of it cannot be read."""
    try:
        page = document[number - 1]
    except pdfium.PdfiumError:
        draft.unread("damaged_page", page=number)
        return _Page([], Annotations(), 0)  # in a readable document: the others are worth having
    annotations = annotations_of(document, page)
    if annotations.is_drawn and raw.FPDFPage_Flatten(page, raw.FLAT_NORMALDISPLAY) == (
        raw.FLATTEN_SUCCESS
    ):
        page.close()
        page = document[number - 1]
    try:
        words = words_of(page)
        lines = text.with_initials(text.stacked(place(words.lines, annotations.fields)))
        letters = " ".join(word.text for line in lines for word in line)
        hidden = ""  # why there may be more to read than its letters say
        if text.is_garbled(lines, words.unmapped):
            hidden, lines = "unmapped_page", []
        elif len(letters) < MIN_PAGE_CHARS:
            hidden = _hidden(page, letters)
        recognised = _recognise(page, number, lines, hidden, draft) if hidden else None
    finally:
        page.close()
    folded = " ".join(letters.split())
    notes = [note for note in annotations.notes if " ".join(note.split()) not in folded]
    annotations.notes = notes
    found = blocks(recognised.lines if recognised else lines)
    return _Page(found, annotations, words.turn, recognised)


def _hidden(page: pdfium.PdfPage, letters: str) -> str:
    """A page with few letters may show others, as an image or as shapes."""
    share = objects.image_share(page)
    if share >= SCAN_SHARE or (not letters and objects.has_images(page)):
        return "image_page"
    return "drawn_page" if not letters and objects.is_drawing(page) else ""


def _recognise(
    page: pdfium.PdfPage, number: int, lines: list[Line], hidden: str, draft: Draft
) -> Recognised | None:
    """What its picture says, if that is more than the lines that it has as text; what is still not
    read is reported.
    """
    if not may(draft, number) or objects.is_heavy(page):
        draft.unread(hidden, page=number)
        return None
    width, height = page.get_size()
    dpi = min(DPI, int((MAX_READ_PIXELS * POINTS**2 / max(width * height, 1.0)) ** 0.5))
    drawn = page.render(scale=dpi / POINTS, grayscale=True)
    picture = Picture(bytes(drawn.buffer), drawn.width, drawn.height, drawn.stride, dpi)
    found = recognise(picture, draft)
    if not found.lines:
        draft.unread("wordless_page" if hidden == "image_page" else hidden, page=number)
    return found if _letters(found.lines) > _letters(lines) else None


def _letters(lines: list[Line]) -> int:
    return sum(len(word.text) for line in lines for word in line)


def _read_attachments(document: pdfium.PdfDocument, data: bytes, draft: Draft) -> None:
    is_portfolio = b"/Collection" in data and len(document) == 1
    before = draft.count
    files = list(attachments_of(document))
    for name, content in files:
        read_embedded(name, content, draft)
    if files and is_portfolio and draft.count == before:
        raise PermanentError("no_text", UNREAD_PORTFOLIO)


def _bookmarks(document: pdfium.PdfDocument) -> dict[int, list[tuple[int, str]]]:
    """1-based page number -> (level, title) of the outline's entries that point to it, in order."""
    found: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for bookmark in itertools.islice(document.get_toc(), MAX_BOOKMARKS):
        destination = bookmark.get_dest()
        index = destination.get_index() if destination else None
        if index is not None:
            found[index + 1].append((bookmark.level, bookmark.get_title()))
    return found


def _divide(
    found: list[str | Rows], bookmarks: list[tuple[int, str]], outline: Outline
) -> Iterator[tuple[str, str | Rows]]:
    """(heading path, text or table) of the parts of a page; a bookmark whose title is not found on
    a line counts from the page's top.
    """
    block, done = 0, 0
    for level, title in bookmarks:
        if at := _find(title, found, block, done):
            for part in _between(found, (block, done), at):
                yield outline.path, part
            block, done = at
        outline.enter(level, title)
    for part in _between(found, (block, done), (len(found), 0)):
        yield outline.path, part


def _find(title: str, found: list[str | Rows], block: int, done: int) -> tuple[int, int] | None:
    """(number of the text, offset in it) of the line that is this title."""
    words = r"\s+".join(map(re.escape, title.split()))
    if not words:
        return None
    line = re.compile(rf"^(?:[\dA-Z.]{{1,12}}\s+)?{words}\s*$", re.MULTILINE)
    for number in range(block, len(found)):
        text = found[number]
        if isinstance(text, str) and (match := line.search(text, done if number == block else 0)):
            return number, match.start()
    return None


def _between(
    found: list[str | Rows], start: tuple[int, int], end: tuple[int, int]
) -> Iterator[str | Rows]:
    for number in range(start[0], min(end[0] + 1, len(found))):
        part = found[number]
        if isinstance(part, str):
            first = start[1] if number == start[0] else 0
            yield part[first : end[1] if number == end[0] else len(part)]
        elif number < end[0]:
            yield part
