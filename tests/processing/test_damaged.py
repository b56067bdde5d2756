"""Files that something happened to: each is read as far as it goes, or refused in a sentence, and
none finds a mistake of ours.
"""

import io
import random

import pytest

from formats import FORMATS
from processing.parsing import Unread, sentences
from processing.parsing.child import answer, reader
from tests.processing import files, office, old_office
from tests.processing.test_parsing import parts_of, read

EMPTY = {
    files.PDF: files.pdf([""]),
    files.DOCX: files.docx([]),
    files.PPTX: office.slides(""),
    files.XLSX: office.workbook({"One": "<sheetData/>"}),
    files.DOC: old_office.doc([(0, "")]),
    files.PPT: old_office.ppt([("", "", "")]),
    files.XLS: old_office.xls({"One": [[""]]}),
    files.ODT: files.open_document("text", ""),
    files.ODP: files.open_document("presentation", "<draw:page/>"),
    files.ODS: files.ods({"One": [[""]]}),
    files.RTF: b"{\\rtf1 }",
    files.EPUB: files.epub([""]),
    files.EML: b"X-Mailer: y\n\n",
    files.MBOX: b"From a@example.org Mon Nov  2 10:00:00 2026\n\n",
    files.MHTML: b"Content-Type: text/html\n\n<p></p>",
    files.MARKDOWN: b"***\n",
    files.RST: b".. a remark\n",
    files.ASCIIDOC: b"// a remark\n",
    files.TEX: b"% a remark\n",
    files.HTML: b"<p></p>",
    "application/xhtml+xml": b"<html><body/></html>",
    files.SVG: b"<svg/>",
    files.XML: b"<a/>",
    files.JSON: b"{}",
    files.YAML: b"---\n",
    files.NOTEBOOK: b'{"cells": []}',
    files.CSV: b",,\n",
    "text/tab-separated-values": b"\t\n",
    files.SRT: b"1\n00:00:01,000 --> 00:00:02,000\n\n",
    files.VTT: b"WEBVTT\n",
    "text/calendar": b"BEGIN:VCALENDAR\nEND:VCALENDAR\n",
    "text/vcard": b"BEGIN:VCARD\nEND:VCARD\n",
    "text/x-log": b"---",
    "text/x-source": b"///",
    files.TEXT: b"...",
}
# A picture's page is in its report, and a message has a sender and a date at least.
NEVER_EMPTY = {f.media_type for f in FORMATS if f.reader == "picture"} | {files.MSG}


def test_there_is_an_empty_file_of_each_format():
    assert EMPTY.keys() == {format.media_type for format in FORMATS} - NEVER_EMPTY


@pytest.mark.parametrize("content_type", EMPTY)
def test_a_file_without_text_is_told_so(content_type):
    said = answer(io.BytesIO(EMPTY[content_type]), content_type)
    assert said.get("error") == ["no_text", reader(content_type)[1]]


@pytest.mark.parametrize("content_type", files.samples())
def test_a_file_that_is_bent_a_little_is_read_or_refused(content_type):
    """Twenty times; `parser_died` would be a mistake of ours."""
    _, data = files.samples()[content_type]
    chance = random.Random(content_type)
    for _ in range(20):
        said = answer(io.BytesIO(bent(data, chance)), content_type)
        assert said.get("error", ["read"])[0] != "parser_died"  # type: ignore[index]


def bent(data: bytes, chance: random.Random) -> bytes:
    """With some bytes changed, taken out or put in; of an archive those of a member."""
    if data.startswith(b"PK"):
        members = files.members(data)
        name = chance.choice([name for name, content in members.items() if content])
        return files.zipped({**members, name: bent(members[name], chance)})
    made = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(made))
        match chance.randrange(3):
            case 0:
                made[at] = chance.choice([0, 1, 4, 128, 255, chance.randrange(256)])
            case 1:
                made[at:at] = made[chance.randrange(len(made)) :][:40]
            case _:
                del made[at : at + chance.randint(1, min(40, len(made) - 1))]
    return bytes(made)


def test_what_comes_before_the_damage_of_a_sheet_is_read_and_the_rest_is_said():
    data = office.workbook(
        {"One": office.rows(["Name"], ["Ada"], ["Bob"]), "Two": office.rows(["x"])}
    )
    member = "xl/worksheets/sheet1.xml"
    damaged = files.members(data)[member].decode().replace("Bob", "<Bob")
    document = read(files.with_member(data, member, damaged), files.XLSX)
    assert document.text == "Name\nAda\n\nx"
    assert document.unread == (Unread("damaged_part"),)


def test_a_mailbox_whose_first_line_has_no_time_is_one_message():
    text = parts_of(b"From me to you\nSubject: Hello\n\nText", files.MBOX)
    assert [part for _, _, part in text] == ["Subject: Hello", "Text"]


def test_an_instruction_in_a_page_is_nothing():
    data = b'<p>a <?xml:namespace prefix = o ns = "urn:x" />b<?php echo 1 ?></p>'
    assert parts_of(data, files.HTML) == [(None, "", "a b")]


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        (files.SVG, b"nothing of a drawing"),
        (files.SVG, b"\x1f\x8b\x08 no gzip"),
        (files.MSG, files.samples()[files.MSG][1][:30] + b"\xff" * 700),
    ],
)
def test_what_its_own_program_would_not_open_is_damaged(content_type, data):
    assert answer(io.BytesIO(data), content_type)["error"] == ["corrupt", sentences.DAMAGED]
