"""PDF through PDFium: one section per page, divided where the outline (the bookmarks) names a
heading on it.
"""

import itertools
import re
from collections import defaultdict
from typing import IO

import pypdfium2 as pdfium
import pypdfium2.raw as raw

from processing.errors import PermanentError
from processing.parsing.draft import Draft, Outline
from processing.parsing.pdf_repair import salvage
from processing.parsing.sentences import DAMAGED, ENCRYPTED

NO_TEXT = "This PDF contains only images; run text recognition (OCR) on it and upload the result."
MAX_PAGES = 5_000
MAX_BOOKMARKS = 10_000
# Above this share of control characters a page's font has no character map: what PDFium returns is
# not its text.
MAX_UNMAPPED_SHARE = 0.1

_BREAK = re.compile(r"(?:\x02|\ufffe)(?:\r\n)?(.?)")  # PDFium's marks for a hyphen at a line's end
_LINE_END = re.compile(r"\x02|\ufffe|\r\n")
_UNMAPPED = re.compile(r"[\x00-\x08\x0b-\x1f\ufffd\ue000-\uf8ff]")


def read(file: IO[bytes], draft: Draft) -> None:
    """Raises PermanentError: `encrypted`, `corrupt`, `too_large`."""
    document = _open(file.read())
    if len(document) > MAX_PAGES:
        raise PermanentError(
            "too_large",
            f"This PDF has more than {MAX_PAGES:,} pages; split it and upload the parts.",
        )
    outline = Outline()
    bookmarks = _bookmarks(document)
    for number in range(1, len(document) + 1):
        text = _page_text(document, number)
        for heading, part in _divide(text, bookmarks[number], outline):
            draft.add(part, page=number, heading=heading)


def _open(data: bytes) -> pdfium.PdfDocument:
    try:
        return pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        # PDFium keeps the last error, perhaps of a document before; every locked one says /Encrypt.
        if b"/Encrypt" in data and error.err_code in (
            raw.FPDF_ERR_PASSWORD,
            raw.FPDF_ERR_SECURITY,
        ):
            raise PermanentError("encrypted", ENCRYPTED) from error
        if rebuilt := salvage(data):
            return pdfium.PdfDocument(rebuilt)
        raise PermanentError("corrupt", DAMAGED) from error


def _page_text(document: pdfium.PdfDocument, number: int) -> str:
    try:
        page = document[number - 1]
    except pdfium.PdfiumError:
        return ""  # a damaged page in a readable document: the others are worth having
    textpage = page.get_textpage()
    try:
        text = textpage.get_text_range()
        # Text outside the page's own area is never seen (some programs label images so).
        if not text.strip() or not textpage.get_text_bounded().strip():
            return ""
    finally:
        textpage.close()
        page.close()
    lengths = sorted(map(len, _LINE_END.split(text)))
    text = _BREAK.sub(_join, text).replace("\r\n", "\n")
    if len(_UNMAPPED.findall(text)) > MAX_UNMAPPED_SHARE * len(text):
        return ""
    return _unwrap(text.split("\n"), 0.6 * lengths[int(0.9 * (len(lengths) - 1))])


def _join(match: re.Match[str]) -> str:
    """ "con-sectetuer" loses the hyphen of its line end; "Schwarz-Weiß" keeps it."""
    follower = match[1]
    return f"-{follower}" if follower.isupper() or follower.isdigit() else follower


def _unwrap(lines: list[str], full: float) -> str:
    """Join the lines of a paragraph, so that passages can end with sentences.

    Only where a line of `full` length is followed by a small letter: tables, lists, verses and code
    keep their lines.
    """
    lines = [line.rstrip() for line in lines]
    text = [lines[0]]
    for above, line in itertools.pairwise(lines):
        joins = line[:1].islower() and len(above) >= full and above[-1:] not in ".!?:;"
        text.append((" " if joins else "\n") + line)
    return "".join(text)


def _bookmarks(document: pdfium.PdfDocument) -> dict[int, list[tuple[int, str]]]:
    """1-based page number -> (level, title) of the outline's entries that point to it, in order."""
    found: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for bookmark in itertools.islice(document.get_toc(), MAX_BOOKMARKS):
        destination = bookmark.get_dest()
        index = destination.get_index() if destination else None
        if index is not None:
            found[index + 1].append((bookmark.level, bookmark.get_title()))
    return found


def _divide(text: str, bookmarks: list[tuple[int, str]], outline: Outline) -> list[tuple[str, str]]:
    """(heading path, text) of the parts of a page; a bookmark whose title is not found on a line
    counts from the page's top.
    """
    parts = []
    done = 0
    for level, title in bookmarks:
        words = r"\s+".join(map(re.escape, title.split()))
        found = (
            re.compile(rf"^(?:[\dA-Z.]{{1,12}}\s+)?{words}\s*$", re.MULTILINE).search(text, done)
            if words
            else None
        )
        if found:
            parts.append((outline.path, text[done : found.start()]))
            done = found.start()
        outline.enter(level, title)
    return [*parts, (outline.path, text[done:])]
