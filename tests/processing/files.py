"""Makes small documents of every format, as bytes: good ones, broken ones and hostile ones."""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from docx import Document
from openpyxl import Workbook
from pptx import Presentation
from pptx.util import Inches

from tests.processing import old_office

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
EPUB = "application/epub+zip"
MARKDOWN = "text/markdown"
HTML = "text/html"
TEXT = "text/plain"
CSV = "text/csv"
JSON, XML, YAML = "application/json", "application/xml", "application/yaml"
NOTEBOOK = "application/x-ipynb+json"
RST, ASCIIDOC, TEX = "text/x-rst", "text/asciidoc", "text/x-tex"
SRT, VTT = "application/x-subrip", "text/vtt"
SVG = "image/svg+xml"
EML, MBOX, MHTML = "message/rfc822", "application/mbox", "multipart/related"
MSG = "application/vnd.ms-outlook"
DOC, XLS = "application/msword", "application/vnd.ms-excel"
PPT = "application/vnd.ms-powerpoint"
RTF = "application/rtf"
ODT = "application/vnd.oasis.opendocument.text"
ODS = "application/vnd.oasis.opendocument.spreadsheet"
ODP = "application/vnd.oasis.opendocument.presentation"


@cache
def samples() -> dict[str, tuple[str, bytes]]:
    """One good document of each format: content type -> (file name, bytes). Each says "Ada
    Lovelace" somewhere.
    """
    said = "Ada Lovelace wrote the first program."
    return {
        PDF: ("ada.pdf", pdf(["A first page.", said])),
        DOCX: ("ada.docx", docx([("Heading 1", "People"), ("Normal", said)])),
        PPTX: ("ada.pptx", pptx([("Start", "Welcome", ""), ("People", said, "Speak slowly.")])),
        XLSX: ("ada.xlsx", xlsx({"People": [["Name", "Born"], ["Ada Lovelace", 1815]]})),
        EPUB: ("ada.epub", epub([f"<h1>People</h1><p>{said}</p>"])),
        MARKDOWN: ("ada.md", f"# People\n\n{said}\n".encode()),
        HTML: ("ada.html", f"<html><body><h1>People</h1><p>{said}</p></body></html>".encode()),
        TEXT: ("ada.txt", said.encode()),
        CSV: ("ada.csv", b"name,born\nAda Lovelace,1815\n"),
        **_more_samples(said),
    }


def _more_samples(said: str) -> dict[str, tuple[str, bytes]]:
    cells = [{"cell_type": "markdown", "source": ["# People\n", said]}]
    head = f"From: Ada <ada@example.org>\nSubject: People\n\n{said}\n"
    page = "From: <Saved by Blink>\nContent-Type: text/html\n\n<h1>People</h1>"
    texts = {
        "application/xhtml+xml": ("xhtml", f"<html><body><p>{said}</p></body></html>"),
        SVG: ("svg", f'<svg xmlns="http://www.w3.org/2000/svg"><text>{said}</text></svg>'),
        XML: ("xml", f"<people><person>{said}</person></people>"),
        JSON: ("json", json.dumps({"people": {"person": said}})),
        YAML: ("yaml", f"people:\n  person: {said}\n"),
        NOTEBOOK: ("ipynb", json.dumps({"cells": cells})),
        "text/tab-separated-values": ("tsv", "name\tborn\nAda Lovelace\t1815\n"),
        RST: ("rst", f"People\n======\n\n{said}\n"),
        ASCIIDOC: ("adoc", f"= People\n\n{said}\n"),
        TEX: ("tex", f"\\section{{People}}\n{said}\n"),
        SRT: ("srt", f"1\n00:00:01,000 --> 00:00:02,000\n{said}\n"),
        VTT: ("vtt", f"WEBVTT\n\n00:01.000 --> 00:02.000\n{said}\n"),
        "text/calendar": (
            "ics",
            f"BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:{said}\nEND:VEVENT\nEND:VCALENDAR\n",
        ),
        "text/vcard": ("vcf", "BEGIN:VCARD\nFN:Ada Lovelace\nEND:VCARD\n"),
        "text/x-log": ("log", f"2026-11-29 {said}\n"),
        "text/x-source": ("py", f"# {said}\n"),
        RTF: ("rtf", rf"{{\rtf1\ansi {said}\par}}"),
        EML: ("eml", head),
        MBOX: ("mbox", f"From ada@example.org Mon Nov  2 10:00:00 2026\n{head}"),
        MHTML: ("mhtml", f"{page}<p>{said}</p>"),
    }
    sheet = [["Name", "Born"], ["Ada Lovelace", 1815.0]]
    return {
        **{kind: (f"ada.{end}", text.encode()) for kind, (end, text) in texts.items()},
        DOC: ("ada.doc", old_office.doc([(1, "People"), (0, said)])),
        PPT: ("ada.ppt", old_office.ppt([("People", said, "Speak slowly.")])),
        XLS: ("ada.xls", old_office.xls({"People": sheet})),
        MSG: ("ada.msg", old_office.msg("People", said)),
        ODT: ("ada.odt", open_document("text", f"<text:p>{said}</text:p>")),
        ODS: ("ada.ods", ods({"People": [["Name"], ["Ada Lovelace"]]})),
        ODP: (
            "ada.odp",
            open_document(
                "presentation",
                f"<draw:page><draw:frame><draw:text-box><text:p>{said}</text:p>"
                "</draw:text-box></draw:frame></draw:page>",
            ),
        ),
    }


# OpenDocument


def open_document(kind: str, body: str, *, before: str = "", flat: bool = False) -> bytes:
    """A document of this kind; `before` comes before the body: styles."""
    names = {"office": "office", "text": "text", "table": "table", "draw": "drawing"}
    names |= {"style": "style", "svg": "svg-compatible", "presentation": "presentation"}
    spaces = "".join(
        f' xmlns:{short}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
        for short, name in names.items()
    )
    media_type = f"application/vnd.oasis.opendocument.{kind}"
    root = "office:document" if flat else "office:document-content"
    said = f' office:mimetype="{media_type}"' if flat else ""
    xml = (
        f'<{root}{spaces} xmlns:xlink="http://www.w3.org/1999/xlink"{said}>{before}'
        f"<office:body><office:{kind}>{body}</office:{kind}></office:body></{root}>"
    )
    if flat:
        return xml.encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo("mimetype"), media_type)
        archive.writestr(zipfile.ZipInfo("content.xml"), xml, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def ods(sheets: Mapping[str, Sequence[Sequence[str]]]) -> bytes:
    """A spreadsheet of texts."""
    body = ""
    for name, rows in sheets.items():
        lines = (
            "".join(f"<table:table-cell><text:p>{cell}</text:p></table:table-cell>" for cell in row)
            for row in rows
        )
        inside = "".join(f"<table:table-row>{line}</table:table-row>" for line in lines)
        body += f'<table:table table:name="{name}">{inside}</table:table>'
    return open_document("spreadsheet", body)


# PDF, written by hand


def pdf(pages: Sequence[str], outline: Sequence[tuple[str, int]] = ()) -> bytes:
    """A PDF with these texts (Latin-1, a line per line); `outline` lists bookmarks as (title,
    1-based page).
    """
    return _pdf_file(*_pdf_objects([_text_stream(page) for page in pages], outline))


def encrypted_pdf() -> bytes:
    """A PDF that asks for the password "secret" (the standard handler with 40 bits)."""
    padding = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")
    user = (b"secret" + padding)[:32]
    identity = b"0123456789abcdef"
    owner = _rc4(hashlib.md5(user, usedforsecurity=False).digest()[:5], user)
    seed = user + owner + b"\xfc\xff\xff\xff" + identity
    key = hashlib.md5(seed, usedforsecurity=False).digest()[:5]
    encrypt = b"/Encrypt<</Filter/Standard/V 1/R 2/P -4/O<%s>/U<%s>>>/ID[<%s><%s>]" % (
        *(part.hex().encode() for part in (owner, _rc4(key, padding), identity, identity)),
    )
    objects, root = _pdf_objects([_text_stream("Not to be read")])
    return _pdf_file(objects, root, trailer=encrypt)


def image_only_pdf(pages: int = 2) -> bytes:
    """Pages that hold a small grey image each, and a label outside of the page where nobody can see
    it.
    """
    image = b"q 200 0 0 200 0 0 cm BI /W 2 /H 2 /CS /G /BPC 8 ID \x00\x80\xc0\xff EI Q"
    label = b" BT /F1 12 Tf 10 5000 Td (Background) Tj ET"
    return _pdf_file(*_pdf_objects([image + label] * pages))


def pdf_without_page_tree() -> bytes:
    """A PDF with a hole where its page tree was, as an interrupted download leaves it."""
    data = pdf(["Saved from the wreck", "And this too"])
    start, end = data.index(b"2 0 obj"), data.index(b"3 0 obj")
    return data[:start] + bytes(end - start) + data[end:]


def pdf_of_shared_pages(count: int) -> bytes:
    """A small PDF whose page tree names one page `count` times."""
    objects, root = _pdf_objects([_text_stream("Again")])
    objects[1] = b"<</Type/Pages/Count %d/Kids[%s]>>" % (count, b"4 0 R " * count)
    return _pdf_file(objects, root)


def _text_stream(text: str) -> bytes:
    escaped = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    lines = b" T* ".join(b"(%s) Tj" % line.encode("latin-1") for line in escaped.split("\n"))
    return b"BT /F1 12 Tf 14 TL 50 780 Td %s ET" % lines


def _pdf_objects(
    streams: Iterable[bytes], outline: Sequence[tuple[str, int]] = ()
) -> tuple[list[bytes], bytes]:
    """The objects, number 1 first, and what the catalogue says."""
    objects = [
        b"",
        b"",
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
    ]
    kids = []
    for stream in streams:
        kids.append(b"%d 0 R" % (len(objects) + 1))
        page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</Font<</F1 3 0 R>>>>"
        objects.append(page + b"/Contents %d 0 R>>" % (len(objects) + 2))
        objects.append(b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream))
    objects[1] = b"<</Type/Pages/Count %d/Kids[%s]>>" % (len(kids), b" ".join(kids))
    catalog = b"<</Type/Catalog/Pages 2 0 R"
    if outline:
        root = len(objects) + 1
        catalog += b"/Outlines %d 0 R" % root
        ends = (root + 1, root + len(outline))
        objects.append(b"<</Type/Outlines/First %d 0 R/Last %d 0 R>>" % ends)
        for number, (title, page) in enumerate(outline, root + 1):
            following = b"/Next %d 0 R" % (number + 1) if number < ends[1] else b""
            entry = b"<</Title(%s)/Parent %d 0 R/Dest[%s/Fit]" % (
                title.encode(),
                root,
                kids[page - 1],
            )
            objects.append(entry + following + b">>")
    objects[0] = catalog + b">>"
    return objects, b"/Root 1 0 R"


def _pdf_file(objects: Sequence[bytes], root: bytes, trailer: bytes = b"") -> bytes:
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj%s endobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    out += b"trailer<</Size %d%s%s>>\nstartxref\n%d\n%%%%EOF\n" % (size, root, trailer, start)
    return bytes(out)


def _rc4(key: bytes, data: bytes) -> bytes:
    box, j, out = list(range(256)), 0, bytearray()
    for i in range(256):
        j = (j + box[i] + key[i % len(key)]) % 256
        box[i], box[j] = box[j], box[i]
    i = j = 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + box[i]) % 256
        box[i], box[j] = box[j], box[i]
        out.append(byte ^ box[(box[i] + box[j]) % 256])
    return bytes(out)


# Office and EPUB


def docx(blocks: Sequence[tuple[str, Any]]) -> bytes:
    """A Word document of (style name, text); the style "Table" takes rows of cells instead."""
    document = Document()
    for style, content in blocks:
        if style == "Table":
            table = document.add_table(len(content), len(content[0]))
            for row, values in zip(table.rows, content, strict=True):
                for cell, value in zip(row.cells, values, strict=True):
                    cell.text = value
        else:
            document.add_paragraph(content, style)
    return _saved(document)


def pptx(slides: Sequence[tuple[str, str, str]]) -> bytes:
    """A presentation of (title, text, notes); each text stands in a box within a group."""
    presentation = Presentation()
    for title, text, notes in slides:
        slide = presentation.slides.add_slide(presentation.slide_layouts[5])
        slide.shapes.title.text = title
        group = slide.shapes.add_group_shape()
        box = group.shapes.add_textbox(Inches(1), Inches(2), Inches(5), Inches(1))
        box.text_frame.text = text
        if notes:
            slide.notes_slide.notes_text_frame.text = notes
    return _saved(presentation)


def xlsx(sheets: Mapping[str, Iterable[Sequence[Any]]]) -> bytes:
    """A workbook of sheets of rows."""
    workbook = Workbook(write_only=True)
    for name, rows in sheets.items():
        sheet = workbook.create_sheet(name)
        for row in rows:
            sheet.append(row)
    return with_member(_saved(workbook), "docProps/core.xml", "<coreProperties/>")  # with the time


def epub(chapters: Sequence[str], *, title: str = "A Book", encrypted: str = "") -> bytes:
    """A book of XHTML bodies, its files in a folder with a space; `encrypted` names a chapter file
    with DRM.
    """
    names = [f"chapter {number}.xhtml" for number in range(1, len(chapters) + 1)]
    items = "".join(
        f'<item id="c{n}" href="{name.replace(" ", "%20")}"/>' for n, name in enumerate(names)
    )
    spine = "".join(f'<itemref idref="c{n}"/>' for n in range(len(names)))
    members = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": "<container "
        'xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
        '<rootfiles><rootfile full-path="The Book/content.opf"/></rootfiles></container>',
        "The Book/content.opf": '<package xmlns="http://www.idpf.org/2007/opf">'
        f"<manifest>{items}</manifest><spine>{spine}</spine></package>",
    }
    for name, body in zip(names, chapters, strict=True):
        members[f"The Book/{name}"] = (
            f"<html><head><title>{title}</title></head><body>{body}</body></html>"
        )
    if encrypted:
        reference = f'<CipherReference URI="The%20Book/{encrypted}"/>'
        members["META-INF/encryption.xml"] = f"<encryption>{reference}</encryption>"
    return zipped(members)


def zipped(members: Mapping[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            # Not dated today: the same files come out the same.
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def with_member(data: bytes, name: str, content: str | bytes) -> bytes:
    """The same archive with one member replaced or added."""
    return zipped({**members(data), name: content})


def members(data: bytes) -> dict[str, bytes]:
    """name -> content of an archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def encrypted_office() -> bytes:
    """What an Office file with a password looks like: the old container with an encrypted package
    inside.
    """
    magic = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
    return magic + bytes(504) + "EncryptedPackage".encode("utf-16-le") + bytes(512)


def _saved(document: Any) -> bytes:
    out = io.BytesIO()
    document.save(out)
    return zipped(members(out.getvalue()))
