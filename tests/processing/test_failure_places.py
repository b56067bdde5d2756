"""Every place in which a reader refuses a file is reached by a file here, which gets a sentence
that is true of it.
"""

import ast
import gzip
import hashlib
import io
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest
from PIL import Image

from processing import parsing
from processing.errors import PermanentError
from processing.parsing import draft, look, pdf, sandbox, sentences
from processing.parsing.child import answer
from processing.parsing.model import USUAL, Limits
from processing.parsing.sentences import DAMAGED, ENCRYPTED, NO_AREA, NO_SUCH_PAGE
from tests.processing import files, old_office, pdfs, scans
from tests.processing.test_parsing_sandbox import (  # noqa: F401 (fixtures)
    document,
    hostile,
    obedient,
)

FOLDER = Path(parsing.__path__[0])
OF_CHILDREN = {"sandbox.py"}  # what became of a child
ELSEWHERE = {"child.py"}  # within one: `test_parsing_sentences`
PNG, TIFF = "image/png", "image/tiff"
BOMB = "This file unpacks to far more than we read; split it and upload the parts."
USUAL_SECTIONS = draft.MAX_SECTIONS
Place = tuple[str, int]


@dataclass(frozen=True)
class Case:
    """`why`: what is true of the file. `page`: it is asked how that page looks."""

    why: str
    data: bytes
    content_type: str
    sentence: str
    limits: Limits = USUAL
    page: int = 0
    most: tuple[str, int] | None = None  # a limit of ours that is lower for once


def docx(name: str = "word/document.xml", content: bytes | str = "<broken") -> bytes:
    return files.with_member(files.docx([]), name, content)


def epub(name: str, content: str) -> bytes:
    return files.with_member(files.epub(["<p>x</p>"]), name, content)


def locked(data: bytes) -> bytes:
    """With the mark of encryption on each member, as archivers set it."""
    made = bytearray(data)
    for sign, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = made.find(sign)
        while at >= 0:
            made[at + offset] |= 1
            at = made.find(sign, at + 1)
    return bytes(made)


def by_lzma(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_LZMA) as archive:
        for name, content in files.members(data).items():
            archive.writestr(name, content)
    return out.getvalue()


def without(data: bytes, *names: str) -> bytes:
    return files.zipped({k: v for k, v in files.members(data).items() if k not in names})


def word(table: bytes = b"", **streams: bytes) -> bytes:
    """A DOC whose other stream is this one."""
    data = bytearray(files.samples()[files.DOC][1][512:])
    return old_office.container({"WordDocument": bytes(data[:4096]), "1Table": table, **streams})


def old_word(version: int = 0xC1, flags: int = 0, end: int = 0) -> bytes:
    head = bytearray(0x400)
    struct.pack_into("<HH", head, 0, 0xA5EC, version)
    struct.pack_into("<H", head, 10, flags)
    struct.pack_into("<II", head, 0x18, 0x100, end)
    return old_office.container({"WordDocument": bytes(head).ljust(4096, b"\0")})


def parts_in_parts(depth: int) -> bytes:
    parts = (
        b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(depth)
    )
    return b"From: a@example.org\n" + b"".join(parts)


def deck(stream: bytes = b"", user: bytes = bytes(40)) -> bytes:
    return old_office.container(
        {"PowerPoint Document": stream.ljust(4096, b"\0"), "Current User": user.ljust(4096)}
    )


def broken(image: bytes) -> bytes:
    """A picture whose head is sound, and nothing else of it."""
    return image[:60] + bytes(len(image) - 60)


EXCEL_XML = (
    '<?xml version="1.0"?><?mso-application progid="Excel.Sheet"?><Workbook xmlns="urn:schemas-'
    'microsoft-com:office:spreadsheet"><Worksheet xmlns:ss="urn:schemas-microsoft-com:office:'
    'spreadsheet" ss:Name="A"><Table><Row><Cell><Data>1</Data></Cell><Cell><Data>2</Data></Cell>'
    "</Row></Table></Worksheet></Workbook>"
)
CELLS = "This workbook has over {} cells; split it and upload the parts."
SMALL = Limits(cells=1)
PAGE_OF_NOTHING = pdfs.of_page(b"", b"/CropBox[2000 2000 2100 2100]")
WORKBOOK = b"\x09\x08\x10\0\0\x06\5".ljust(5000, b"\0")
OPF = "The Book/content.opf"

CASES = [
    # Archives
    Case("it is no archive any more", b"PK\3\4 gone", files.DOCX, DAMAGED),
    Case("its members are encrypted", locked(files.docx([])), files.DOCX, ENCRYPTED),
    Case("no program packs it so", by_lzma(files.docx([])), files.DOCX, DAMAGED),
    Case("a password wraps it", files.encrypted_office(), files.DOCX, ENCRYPTED),
    Case("it is no document", old_office.container({"x": b"y"}), files.DOCX, DAMAGED),
    Case("it blows up", docx(content=bytes(50 * 1024**2)), files.DOCX, BOMB),
    # Office
    Case("its main part is missing", without(files.docx([]), "word/document.xml"), files.DOCX,
         DAMAGED),
    Case("its main part is no XML", docx(), files.DOCX, DAMAGED),
    Case("its main part is another", docx(content="<a/>"), files.DOCX, DAMAGED),
    Case("it has two cells", files.xlsx({"A": [["a", "b"]]}), files.XLSX, CELLS.format(1), SMALL),
    Case("it has two cells in XML", EXCEL_XML.encode(), files.XML, CELLS.format(1), SMALL),
    # Books
    Case("it has no chapters", files.epub([]), files.EPUB, DAMAGED),
    Case("it is sold with a lock", files.epub(["x"], encrypted="chapter%201.xhtml"), files.EPUB,
         ENCRYPTED),
    Case("it has no package", files.zipped({"a": "b"}), files.EPUB, DAMAGED),
    Case("its package is empty", epub(OPF, ""), files.EPUB, DAMAGED),
    # The old programs
    Case("it is no container", b"\xd0\xcf\x11\xe0 gone", files.DOC, DAMAGED),
    Case("a password wraps it", old_office.container({"EncryptedPackage": b"x"}), files.DOC,
         ENCRYPTED),
    Case("it has no text of Word", old_office.container({"WordDocument": b"x"}), files.DOC,
         DAMAGED),
    Case("it is encrypted", old_word(flags=0x100), files.DOC, ENCRYPTED),
    Case("where its text is, is lost", old_word(), files.DOC, DAMAGED),
    Case("its text ends before it begins", old_word(version=0x65), files.DOC, DAMAGED),
    Case("it is encrypted", old_office.ppt([("a", "b", "")], encrypted=True), files.PPT,
         ENCRYPTED),
    Case("it has no presentation", old_office.container({"Current User": b"x"}), files.PPT,
         DAMAGED),
    Case("it says nowhere what it holds", deck(), files.PPT, DAMAGED),
    Case("it has records without end", old_office.ppt([("a", "b", "")]), files.PPT, DAMAGED,
         most=("old_slides.MAX_RECORDS", 1)),
    Case("it is encrypted", old_office.xls({"a": [["x"]]}, encrypted=True), files.XLS, ENCRYPTED),
    Case("it is no workbook", old_office.container({"Workbook": b"x" * 5000}), files.XLS, DAMAGED),
    Case("it is cut off", old_office.container({"Workbook": WORKBOOK}), files.XLS, DAMAGED),
    Case("it has three cells", old_office.xls({"a": [["x", "y", "z"]]}), files.XLS,
         CELLS.format(2), most=("old_sheets.MAX_CELLS", 2)),
    # OpenDocument, RTF
    Case("its content is no XML", files.with_member(files.samples()[files.ODT][1], "content.xml",
         "<x"), files.ODT, DAMAGED),
    Case("it is encrypted", files.with_member(files.samples()[files.ODT][1],
         "META-INF/manifest.xml", "<encryption-data/>"), files.ODT, ENCRYPTED),
    Case("it has no body", b"<office/>", files.ODT, DAMAGED),
    Case("it has three cells", files.ods({"a": [["x", "y", "z"]]}), files.ODS,
         "This document has over 2 cells; split it and upload the parts.",
         most=("open_document.MAX_CELLS", 2)),
    Case("it is no RTF", b"{\\html }", files.RTF, DAMAGED),
    # Texts
    Case("it is full of control characters", bytes(range(256)) * 8, files.TEXT,
         "This file is not text; upload it in the format that its name says."),
    Case("it has twelve characters", b"twelve chars", files.TEXT,
         "This document has over 10 characters; split it and upload the parts.", Limits(chars=10)),
    Case("it has three headings", b"# a\n# b\n# c", files.MARKDOWN,
         "This document has over 2 sections; split it and upload the parts.",
         most=("draft.MAX_SECTIONS", 2)),
    Case("there are three dots", b"...", files.TEXT,
         "This file contains no text; check that it is the right one and upload it again."),
    Case("it is no JSON", b"{", files.NOTEBOOK, DAMAGED),
    Case("it is a list", b"[]", files.NOTEBOOK, DAMAGED),
    Case("it has no cells", b"{}", files.NOTEBOOK, DAMAGED),
    Case("it is no drawing", b"nothing", files.SVG, DAMAGED),
    Case("it is no gzip", b"\x1f\x8b\x08 nothing", files.SVG, DAMAGED),
    Case("it blows up", gzip.compress(b"<svg>" + bytes(5000)), files.SVG, BOMB,
         most=("svg.MAX_INFLATED_BYTES", 2000)),
    Case("it has three messages", (files.samples()[files.MBOX][1] + b"\n") * 3, files.MBOX,
         "This mailbox has more than 2 messages; split it and upload the parts.",
         most=("mail.MAX_MESSAGES", 2)),
    Case("it has parts in parts without end", parts_in_parts(1_100), files.EML, DAMAGED),
    # Pictures and PDF
    Case("it has two pages", scans.tiff([scans.page("a", dpi=60)] * 2), TIFF,
         "This file has more than 1 pages; split it and upload the parts.",
         most=("picture.MAX_PAGES", 1)),
    Case("it has 900 pixels", scans.encoded(Image.new("L", (30, 30))), PNG,
         "This picture has 900 pixels, more than the 100 that we read; "
         "upload a smaller copy of it.",
         Limits(recognised_pages=1), most=("picture.MAX_PIXELS", 100)),
    Case("it is no picture", b"\x89PNG\r\n\x1a\n", PNG, DAMAGED),
    Case("there is only its head", broken(scans.encoded(scans.page("a", dpi=60))), PNG, DAMAGED,
         Limits(recognised_pages=1)),
    Case("it has one page", scans.encoded(scans.page("a", dpi=60)), PNG, NO_SUCH_PAGE, page=2),
    Case("there is only its head", broken(scans.encoded(scans.page("a", dpi=60))), PNG, DAMAGED,
         page=1),
    Case("it has four pages", files.pdf(["a"] * 4), files.PDF,
         "This PDF has 4 pages, more than the 3 that we read; split it and upload the parts.",
         Limits(pages=3)),
    Case("it needs a password", files.encrypted_pdf(), files.PDF, ENCRYPTED),
    Case("it is no PDF", b"%PDF-1.7 nothing", files.PDF, DAMAGED),
    Case("it is a form without text", pdfs.xfa(b"<a/>"), files.PDF, pdf.UNREAD_FORM),
    Case("it is a cover and a file", pdfs.portfolio({"a.bin": b"\0"}), files.PDF,
         pdf.UNREAD_PORTFOLIO),
    Case("it has one page", files.pdf(["a"]), files.PDF, NO_SUCH_PAGE, page=2),
    Case("its page is no page", files.pdf(["a"]).replace(b"/Type/Page/", b"/Type/None/"), files.PDF,
         NO_SUCH_PAGE, page=1),
    Case("its page has no area", PAGE_OF_NOTHING, files.PDF, NO_AREA, page=1),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.content_type}: {case.why}")
def test_each_sentence_is_true_of_its_file(case: Case) -> None:
    assert said_of(case) == case.sentence


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> set[Place]:
    """Where a PermanentError was made in this process."""
    found: set[Place] = set()
    init = PermanentError.__init__

    def noted(error: PermanentError, code: str, sentence: str) -> None:
        frame = sys._getframe(1)
        found.add((frame.f_code.co_filename, frame.f_lineno))
        init(error, code, sentence)

    monkeypatch.setattr(PermanentError, "__init__", noted)
    return found


def test_each_place_that_refuses_a_file_has_one_here(reached: set[Place]) -> None:
    for case in CASES:
        said_of(case)
    assert set(places()) - reached == set()


# One page, which takes more than a second: no other child would come further.
LONG_PAGE = b"".join(pdfs.said(n % 500, n * 7 % 800, f"w{n}", 5) for n in range(150_000))
LONG_TEXT = ("Ж" * 999 + "\n").encode() * 30_000


def test_each_place_that_judges_a_child_is_reached_and_says_what_is_true(
    reached: set[Place],
    hostile: Callable[..., object],  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def asked(
        data: bytes, content_type: str = files.PDF, ask: Callable[..., object] = sandbox.parse,
        **options: object,
    ) -> Callable[[], object]:  # fmt: skip
        path = tmp_path / hashlib.sha256(data).hexdigest()
        path.write_bytes(data)
        return lambda: ask(path, content_type, **options)

    def drawn(path: Path, content_type: str, **options: int) -> object:
        return sandbox.draw(path, content_type, **options)

    long = pdfs.of_page(LONG_PAGE)
    small = 400 * 1024**2
    piece = "{'text': 'x' * 99, 'sections': [], 'passed': [], 'unit': 2, 'place': ''}"
    too_much = f"os.write(15, json.dumps({piece}).encode() + b'\\n')"
    many = Limits(chars=50)
    situations: list[tuple[Callable[[], object], str]] = [
        (asked(b"x", "application/x-none"), "We cannot read files of this type; convert it to PDF"),
        (asked(b"%PDF gone"), DAMAGED),
        (asked(long, timeout=300), sentences.at("page 1", sentences.TOO_SLOW)),
        (asked(LONG_TEXT, files.TEXT, memory_bytes=small), sentences.TOO_MUCH_MEMORY),
        (asked(long, ask=drawn, page=1, timeout=300), sentences.TOO_LARGE_TO_DRAW),
        (asked(long, ask=drawn, page=1, timeout=0.05), sentences.TOO_LARGE_TO_DRAW),
        (asked(files.pdf(["a"]), ask=drawn, page=2), NO_SUCH_PAGE),
        # No file is known that crashes a library, or makes a child write too much.
        (lambda: hostile("os.abort()"), sentences.BROKE_OFF),
        (lambda: hostile(f"x = b'x' * {small}\nos.abort()", memory_bytes=2 * small),
         sentences.TOO_MUCH_MEMORY),
        (lambda: hostile(too_much, limits=many), sentences.TOO_MUCH_TEXT),
    ]  # fmt: skip
    monkeypatch.setattr(sandbox, "MAX_CPU_SECONDS", 1)
    for situation, sentence in situations:
        with pytest.raises(PermanentError) as caught:
            situation()
        assert caught.value.sentence.startswith(sentence)
    assert set(places(OF_CHILDREN)) - reached == set()


def said_of(case: Case) -> str:
    """The sentence; or what was read, to be seen where it should not have been."""
    file = io.BytesIO(case.data)
    name, most = case.most or ("draft.MAX_SECTIONS", USUAL_SECTIONS)
    with mock.patch(f"processing.parsing.{name}", most):
        if not case.page:
            answered = answer(file, case.content_type, case.limits)
            return str(answered.get("error", ["", answered])[1])  # type: ignore[index]
        try:
            return str(look.draw(file, case.content_type, case.page, case.limits))
        except PermanentError as error:
            assert error.code in ("no_page", "corrupt")  # noqa: PT017 (both are right)
            return error.sentence


def places(names: set[str] | None = None) -> Iterator[Place]:
    """Each call of PermanentError in the modules of these names; else in the readers."""
    for path in sorted(FOLDER.rglob("*.py")):
        if path.name not in names if names else path.name in OF_CHILDREN | ELSEWHERE:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "PermanentError":
                yield str(path), node.lineno
