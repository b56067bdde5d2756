"""Every sentence that a reader has for the uploader, with a file that gets it, and why it is true.

Word, PowerPoint, Excel and EPUB have theirs beside their other tests.
"""

import importlib
import io
import json
import pkgutil
from dataclasses import dataclass
from unittest import mock

import pytest

from processing import parsing
from processing.parsing import child, delimited, draft, html, markdown, pdf, plain, sentences
from processing.parsing.child import answer
from processing.parsing.model import Limits
from tests.processing import files, pdfs


@dataclass(frozen=True)
class Case:
    """`why`: what is true of the file, so that the sentence may be said."""

    data: bytes
    content_type: str
    sentence: str
    why: str


ADVICE = "run text recognition (OCR) on it and upload the result."

CASES = [
    Case(
        b"%PDF-1.7 nothing", files.PDF, sentences.DAMAGED, "PDFium and Poppler open nothing of it"
    ),
    Case(files.encrypted_pdf(), files.PDF, sentences.ENCRYPTED, "it needs a password to be opened"),
    Case(
        files.with_member(files.docx([]), "word/document.xml", "<broken"),
        files.DOCX,
        sentences.DAMAGED,
        "its main part is no XML, and Word opens nothing of it",
    ),
    Case(pdfs.of_page(b""), files.PDF, pdf.NO_TEXT, "its page is blank"),
    Case(pdfs.of_page(b"9 9 m 99 9 l S"), files.PDF, pdf.NO_TEXT, "there is one line on its page"),
    Case(pdfs.xfa(b"<a/>"), files.PDF, pdf.UNREAD_FORM, "it is an XFA form without any text"),
    Case(pdfs.portfolio({"a.bin": b"\0"}), files.PDF, pdf.UNREAD_PORTFOLIO, "a cover, and a file"),
    Case(
        pdfs.of_page(pdfs.FULL_PAGE),
        files.PDF,
        f"Nothing in this file was read: 1 page is an image in which no text was read; {ADVICE}",
        "its page is one image",
    ),
    Case(
        pdfs.stamped_scan(),
        files.PDF,
        "Hardly anything in this file was read: "
        f"3 pages are images in which no text was read; {ADVICE}",
        "images with a line of the scanner's on each",
    ),
    Case(
        pdfs.of_page(b"".join(b"%d 10 m %d 90 l S " % (n, n + 5) for n in range(40))),
        files.PDF,
        f"Nothing in this file was read: 1 page is a drawing in which no text was read; {ADVICE}",
        "forty strokes, which may be letters",
    ),
    Case(
        pdfs.of_page(
            pdfs.shown(bytes(range(1, 60))), b"", pdfs.A4, pdfs.composite("Identity-H", "Identity")
        ),
        files.PDF,
        "Nothing in this file was read: "
        f"1 page has fonts that do not say which letters they show; {ADVICE}",
        "its font numbers its shapes and names none",
    ),
    Case(
        pdfs.with_files({"a.bin": b"\0"}),
        files.PDF,
        "Nothing in this file was read: 1 embedded file was not read; "
        "save what is missing as a document of its own and upload that.",
        "a blank page, and a file inside that is of no kind that we read",
    ),
    Case(
        files.pdf_of_shared_pages(50_001),
        files.PDF,
        "This PDF has 50,001 pages, more than the 50,000 that we read; "
        "split it and upload the parts.",
        "it has 50,001",
    ),
    Case(b"<script>x</script>", files.HTML, html.NO_TEXT, "nothing of it is shown"),
    Case(b"---\n\n***\n", files.MARKDOWN, markdown.NO_TEXT, "two rules"),
    Case(b" ... \n", files.TEXT, plain.NO_TEXT, "three dots"),
    Case(b",,\n,,\n", files.CSV, delimited.NO_TEXT, "all cells are empty"),
    Case(
        bytes(range(256)) * 8,
        files.TEXT,
        "This file is not text; upload it in the format that its name says.",
        "it is full of control characters",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_each_sentence_is_said_of_a_file_of_which_it_is_true(case):
    said = answer(io.BytesIO(case.data), case.content_type)
    assert said.get("error", [None, said])[1] == case.sentence


@pytest.mark.parametrize(
    ("content_type", "data", "said"),
    [
        (files.TEXT, b"twelve chars", "This document has over 10 characters; split it"),
        (files.PDF, files.pdf(["a"] * 4), "This PDF has 4 pages, more than the 3 that we read"),
        (files.XLSX, files.xlsx({"s": [["a"]] * 6}), "This workbook has over 5 cells; split it"),
    ],
)
def test_a_document_past_a_limit_is_told_which(content_type, data, said):
    limits = Limits(chars=10, pages=3, cells=5)
    code, sentence = answer(io.BytesIO(data), content_type, limits)["error"]
    assert code == "too_large"
    assert said in sentence


def test_a_document_with_too_many_sections_is_told_so(monkeypatch):
    monkeypatch.setattr(draft, "MAX_SECTIONS", 2)
    code, sentence = answer(io.BytesIO(b"# a\n# b\n# c"), files.MARKDOWN)["error"]
    assert code == "too_large"
    assert "has over 2 sections; split it" in sentence


@pytest.mark.parametrize(
    ("reader", "sentence"),
    [
        (mock.Mock(side_effect=MemoryError), sentences.TOO_MUCH_MEMORY),
        (lambda _, draft: draft.add("x" * 100), sentences.TOO_MUCH_TEXT),
    ],
)
def test_what_is_too_much_for_us_has_a_sentence_that_blames_no_file(reader, sentence, monkeypatch):
    monkeypatch.setattr(child, "reader", lambda content_type: (reader, ""))
    monkeypatch.setattr(child, "MAX_ANSWER_BYTES", 50)
    stream = io.BytesIO()
    child.hand_over(io.BytesIO(), files.TEXT, stream)
    assert json.loads(stream.getvalue().splitlines()[-1])["error"] == ["too_large", sentence]


def test_no_sentence_of_the_text_formats_and_of_pdf_is_missing_above():
    said = {case.sentence for case in CASES}
    known = said | {value for name, value in vars(sentences).items() if name.isupper()}
    for module in pkgutil.iter_modules(parsing.__path__):
        if module.name in ("pdf", "html", "markdown", "plain", "delimited", "decoding"):
            loaded = importlib.import_module(f"processing.parsing.{module.name}")
            for name, value in vars(loaded).items():
                if name.isupper() and isinstance(value, str) and value.endswith("."):
                    assert value in known, f"{module.name}.{name}"
