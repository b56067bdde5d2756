"""Pictures of text inside of documents: read where they stand, marked as read from a picture,
within the limit of pages; counted where they are not read.
"""

import base64
import io
import json
from functools import cache
from typing import Any

import pytest
from PIL import Image

from processing.parsing import Limits, ParsedDocument, Unread
from processing.parsing.child import hand_over, reader
from processing.parsing.draft import Draft
from tests.processing import files, scans
from tests.processing.office import (
    p,
    part,
    r,
    rels,
    rows,
    slides,
    sp,
    tbl,
    tr,
    word,
    workbook,
)

ON, OFF = Limits(recognised_pages=1_000), Limits()


@cache
def picture(text: str, format: str = "PNG") -> bytes:
    image = scans.page(text, dpi=150, points=14).crop((90, 100, 800, 190))
    return scans.encoded(image, format)


KEY = "The boiler room key is green"
WORD = "boiler room key"


def read(data: bytes | str, content_type: str, limits: Limits = ON) -> ParsedDocument:
    function, no_text = reader(content_type)
    draft = Draft(limits=limits)
    function(io.BytesIO(data if isinstance(data, bytes) else data.encode()), draft)
    return draft.finish(no_text)


def shown(name: str = "image.png", cm: tuple[int, int] = (12, 8)) -> str:
    extent = f'<wp:extent cx="{cm[0] * 360_000}" cy="{cm[1] * 360_000}"/>'
    blip = f'<pic:pic><pic:blipFill><a:blip r:embed="{name}"/></pic:blipFill></pic:pic>'
    return f"<w:r><w:drawing><wp:inline>{extent}{blip}</wp:inline></w:drawing></w:r>"


def in_word(body: str, **pictures: bytes) -> bytes:
    parts = {f"{name}.png": ("image", data) for name, data in pictures.items()}
    return word(body, parts or {"image.png": ("image", picture(KEY))})


def inline(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def mhtml() -> str:
    encoded = base64.encodebytes(picture(KEY)).decode()
    return (
        "From: <Saved by Blink>\nMIME-Version: 1.0\nContent-Type: multipart/related; boundary=b\n\n"
        "--b\nContent-Type: text/html\nContent-Location: http://x.test/a/b.html\n\n"
        '<p>Before</p><img src="i.png">\n--b\nContent-Type: image/png\n'
        f"Content-Transfer-Encoding: base64\nContent-Location: http://x.test/a/i.png\n\n{encoded}\n"
        "--b--\n"
    )


def odt() -> bytes:
    frame = (
        '<draw:frame svg:width="12cm" svg:height="8cm"><draw:image xlink:href="Pictures/i.png" '
        'xmlns:xlink="http://www.w3.org/1999/xlink"/></draw:frame>'
    )
    data = files.open_document("text", f"<text:p>Before{frame}</text:p>")
    return files.with_member(data, "Pictures/i.png", picture(KEY))


def epub() -> bytes:
    data = files.epub(['<p>Before</p><img src="i.png"/>'])
    folder = next(n for n in files.members(data) if n.endswith(".xhtml")).rpartition("/")[0]
    return files.with_member(data, f"{folder}/i.png".lstrip("/"), picture(KEY))


def pptx() -> bytes:
    blip = '<p:pic><p:blipFill><a:blip r:embed="i.png"/></p:blipFill></p:pic>'
    return slides(sp("Before") + blip, parts={"i.png": ("image", picture(KEY))})


DOCUMENTS = {
    "docx": (files.DOCX, lambda: in_word(p("Before") + f"<w:p>{shown()}</w:p>")),
    "pptx": (files.PPTX, pptx),
    "odt": (files.ODT, odt),
    "html": (files.HTML, lambda: f'<p>Before</p><img src="{inline(picture(KEY))}">'),
    "mhtml": (files.MHTML, mhtml),
    "epub": (files.EPUB, epub),
    "markdown": (files.MARKDOWN, lambda: f"Before\n\n![x]({inline(picture(KEY))})\n"),
    "rtf": (
        files.RTF,
        lambda: rf"{{\rtf1 Before\par {{\pict\pngblip\picw9 {picture(KEY).hex()}}}\par}}",
    ),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_is_written_in_a_picture_is_read_where_it_stands(name):
    content_type, make = DOCUMENTS[name]
    document = read(make(), content_type)
    texts = [(document.text[s.start : s.end], s.recognised) for s in document.sections]
    assert "Before" in texts[0][0]
    assert not texts[0][1]
    assert any(WORD in text and recognised for text, recognised in texts[1:])
    assert document.unread == ()


def test_one_on_a_sheet_is_read_behind_its_cells():
    blip = "<xdr:blipFill><a:blip r:embed='i.png'/></xdr:blipFill>"
    drawing = part("xdr:wsDr", f"<xdr:pic>{blip}</xdr:pic>")
    data = workbook({"One": rows(["Name"])}, {"d.xml": ("drawing", drawing)})
    relations = rels({"i.png": ("image", "i.png")})
    data = files.with_member(data, "xl/worksheets/_rels/d.xml.rels", relations)
    data = files.with_member(data, "xl/worksheets/i.png", picture(KEY))
    document = read(data, files.XLSX)
    assert [s.recognised for s in document.sections] == [False, True]
    assert {s.heading for s in document.sections} == {"One"}
    assert WORD in document.text


def test_one_in_a_cell_stands_behind_its_table():
    cell = f"<w:tc><w:p>{r('Photo')}{shown()}</w:p></w:tc>"
    document = read(in_word(tbl(tr("Name", cell), tr("a", "b")) + p("After")), files.DOCX)
    texts = [document.text[s.start : s.end] for s in document.sections]
    assert texts[0] == "Name | Photo\na | b"
    assert WORD in texts[1]
    assert texts[2] == "After"


def test_the_same_picture_is_read_once_and_an_icon_not_at_all():
    icon = scans.encoded(Image.new("L", (64, 64), 128))
    body = f"<w:p>{shown()}{shown()}{shown('icon.png')}</w:p>" + p("x")
    document = read(in_word(body, image=picture(KEY), icon=icon), files.DOCX)
    assert document.text.count(WORD) == 1
    assert document.unread == ()


def test_what_is_behind_the_limit_or_cannot_be_opened_is_counted_if_it_is_large():
    other = picture("Another line of text is here")
    body = f"<w:p>{shown()}{shown('other.png')}{shown('bad.png')}{shown('bad2.png', (1, 1))}</w:p>"
    data = in_word(body + p("x"), image=picture(KEY), other=other, bad=b"\1\0\t\0", bad2=b"\1\0")
    document = read(data, files.DOCX, Limits(recognised_pages=1))
    assert WORD in document.text
    assert "Another" not in document.text
    assert document.unread == (Unread("picture", count=2),)
    assert read(data, files.DOCX, OFF).unread == (Unread("picture", count=3),)


def test_a_slide_that_is_a_picture_is_reported_only_where_it_is_not_read():
    blip = '<p:pic><p:blipFill><a:blip r:embed="i.png"/></p:blipFill></p:pic>'
    data = slides(blip, sp("x"), parts={"i.png": ("image", picture(KEY))})
    assert read(data, files.PPTX).unread == ()
    assert read(data, files.PPTX, OFF).unread == (Unread("image_page", "page 1"),)


def test_many_pictures_are_read_by_one_process_after_the_other():
    """Each process stops behind a picture; the pieces are those of one that does not."""
    pictures = {f"n{n}": picture(f"Line number {n} of the letter") for n in range(3)}
    body = "".join(
        f"<w:p>{r(f'Text {name}')}</w:p><w:p>{shown(f'{name}.png')}</w:p>" for name in pictures
    )
    data = in_word(body + p("End"), **pictures)
    text, unit, rounds = "", 1, 0
    while unit:
        stream = io.BytesIO()
        hand_over(
            io.BytesIO(data), files.DOCX, stream, start=unit, chars=len(text), limits=ON,
            pause_after=0.0,
        )  # fmt: skip
        rounds += 1
        pieces = [line for line in map(_loaded, stream.getvalue().splitlines()) if "text" in line]
        text += "".join(piece["text"] for piece in pieces)
        unit = pieces[-1]["unit"]
    assert rounds > 2
    assert text == read(data, files.DOCX).text


def _loaded(line: bytes) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(line)
    return content
