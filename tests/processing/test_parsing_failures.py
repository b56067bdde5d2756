"""Documents that cannot be read: the code and the sentence, and that nothing blows up on the
way.
"""

import random
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from unittest import mock

import pytest

from processing.errors import PermanentError
from processing.parsing import parse, sandbox
from tests.processing import files, hostile

MIB = 1024**2


@pytest.fixture
def failure(tmp_path):
    """Reads the bytes in a child process and returns the error."""

    def read(data: bytes, content_type: str) -> PermanentError:
        path = tmp_path / "document"
        path.write_bytes(data)
        with pytest.raises(PermanentError) as caught:
            parse(path, content_type, timeout=60)
        assert caught.value.sentence.endswith(".")
        return caught.value

    return read


def bomb(inflated: int) -> bytes:
    return files.with_member(files.docx([]), "word/document.xml", b"\0" * inflated)


DAMAGED = {
    "a truncated PDF": (files.pdf(["x"])[:60], files.PDF),
    "a truncated DOCX": (files.docx([("Normal", "x")])[:-3000], files.DOCX),
    "a DOCX that is a workbook": (files.xlsx({"A": [["x"]]}), files.DOCX),
    "members that share their bytes": (  # one of them is read
        hostile.overlapping(files.docx([]), "word/document.xml", 5_000),
        files.DOCX,
    ),
    "an XLSX that is no zip": (b"hello", files.XLSX),
    "a PPTX with a broken part": (
        files.with_member(files.pptx([("T", "x", "")]), "ppt/presentation.xml", "<broken"),
        files.PPTX,
    ),
    "a zip that is no EPUB": (files.zipped({"a": "b"}), files.EPUB),
    "an EPUB without chapters": (files.epub([]), files.EPUB),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_documents_are_corrupt(name, failure):
    assert failure(*DAMAGED[name]).code == "corrupt"


ENCRYPTED = {
    "PDF": (files.encrypted_pdf(), files.PDF),
    "DOCX": (files.encrypted_office(), files.DOCX),
    "XLSX": (files.encrypted_office(), files.XLSX),
    "EPUB": (files.epub(["<p>x</p>"], encrypted="chapter%201.xhtml"), files.EPUB),
}


@pytest.mark.parametrize("name", ENCRYPTED)
def test_documents_with_a_password_are_encrypted(name, failure):
    error = failure(*ENCRYPTED[name])
    assert error.code == "encrypted"
    assert "remove the protection" in error.sentence


WITHOUT_TEXT = {
    "PDF of images": (files.image_only_pdf(), files.PDF, "OCR"),
    "DOCX": (files.docx([("Normal", " ")]), files.DOCX, "OCR"),
    "PPTX": (files.pptx([("", "", "")]), files.PPTX, "OCR"),
    "XLSX": (files.xlsx({"A": []}), files.XLSX, "values"),
    "EPUB": (files.epub(["<img/>"]), files.EPUB, "OCR"),
    "Markdown": (b"---\n\n***\n", files.MARKDOWN, "no text"),
    "HTML": (b"<script>var x</script>", files.HTML, "no text"),
    "text": (b"\0\0\0 ... !", files.TEXT, "no text"),
    "CSV": (b",,,\n", files.CSV, "no text"),
}


@pytest.mark.parametrize("name", WITHOUT_TEXT)
def test_documents_without_a_letter_have_no_text_and_say_what_to_do(name, failure):
    data, content_type, advice = WITHOUT_TEXT[name]
    error = failure(data, content_type)
    assert error.code == "no_text"
    assert advice in error.sentence


TOO_LARGE = {
    "a member that inflates a thousandfold": (bomb(50 * MIB), files.DOCX),
    "a sheet that is named 5,000 times": (hostile.one_sheet_often(), files.XLSX),
    "a chapter that is named 20,000 times": (hostile.one_chapter_often(), files.EPUB),
    "a PDF stream of 2 GB": (hostile.huge_stream(), files.PDF),
    "too many members": (files.zipped({str(n): "" for n in range(10_001)}), files.EPUB),
    "a PDF of many pages": (files.pdf_of_shared_pages(50_001), files.PDF),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_bombs_are_too_large(name, failure):
    assert failure(*TOO_LARGE[name]).code == "too_large"


def test_a_heading_in_every_line_is_read_in_pieces(tmp_path):
    path = tmp_path / "document"
    path.write_bytes(b"# a\n" * 250_000)
    document = parse(path, files.MARKDOWN, timeout=60)
    assert len(document.sections) == 250_000


def test_a_workbook_of_more_cells_than_we_read_is_too_large(failure):
    # Rows of one value each, 16,384 cells wide.
    rows = "".join(f'<row r="{n}"><c r="XFD{n}"><v>1</v></c></row>' for n in range(1, 201))
    sheet = (
        '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        f"<sheetData>{rows}</sheetData></worksheet>"
    )
    data = files.with_member(files.xlsx({"A": []}), "xl/worksheets/sheet1.xml", sheet)
    assert failure(data, files.XLSX).code == "too_large"


def test_a_member_that_inflates_to_more_than_its_directory_says_is_corrupt(failure):
    data = files.docx([("Normal", "x" * 5000)])
    start = data.rindex(b"PK\x01\x02", 0, data.rindex(b"word/document.xml"))
    lie = data[: start + 24] + (100).to_bytes(4, "little") + data[start + 28 :]
    assert failure(lie, files.DOCX).code == "corrupt"


@pytest.mark.parametrize("content_type", [files.PDF, files.TEXT, files.HTML, files.CSV])
def test_random_bytes_are_refused(content_type, failure):
    data = random.Random(7).randbytes(4096)
    assert failure(data, content_type).code in ("corrupt", "unsupported_type")


def test_an_unknown_type_is_unsupported(failure):
    assert failure(b"x", "application/x-none").code == "unsupported_type"


def test_a_file_of_an_old_program_that_is_none_of_ours_is_not_what_its_name_says(failure):
    data = files.encrypted_office().replace("EncryptedPackage".encode("utf-16-le"), bytes(32))
    assert failure(data, files.DOCX).code == "corrupt"


# A billion laughs: a8 is a7 ten times, and so on.
LAUGHS = ['<!ENTITY a0 "ha">', *(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 9))]
ENTITIES = f"<!DOCTYPE x [{''.join(LAUGHS)}]>"
EXTERNAL = '<!DOCTYPE x [<!ENTITY a8 SYSTEM "{}">]>'
W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def documents_with(doctype: str) -> dict[str, bytes]:
    """One of each XML format whose text is the entity a8."""
    paragraph = "<w:p><w:r><w:t>read &a8;</w:t></w:r></w:p>"
    body = f'<w:document xmlns:w="{W}"><w:body>{paragraph}</w:body></w:document>'
    strings = (
        '<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        "<si><t>&a8;</t></si></sst>"
    )
    opf = '<package xmlns="http://www.idpf.org/2007/opf">&a8;</package>'
    return {
        files.DOCX: files.with_member(files.docx([]), "word/document.xml", doctype + body),
        files.XLSX: files.with_member(
            files.xlsx({"A": [["x"]]}), "xl/sharedStrings.xml", doctype + strings
        ),
        files.EPUB: files.with_member(files.epub([""]), "The Book/content.opf", doctype + opf),
    }


@pytest.mark.parametrize("content_type", [files.DOCX, files.XLSX, files.EPUB])
def test_entities_are_not_expanded(content_type, tmp_path):
    path = tmp_path / "document"
    path.write_bytes(documents_with(ENTITIES)[content_type])
    try:
        assert "haha" not in parse(path, content_type, timeout=30).text
    except PermanentError as error:
        assert error.code == "corrupt"  # noqa: PT017 - both outcomes are right


@pytest.fixture
def canary():
    """A web server and the list of the requests that it got."""
    hits: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            hits.append(self.path)
            self.send_error(404)

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/canary", hits
    server.shutdown()
    server.server_close()


def test_nothing_is_fetched_and_no_local_file_is_read(canary, tmp_path):
    url, hits = canary
    secret = tmp_path / "secret"
    secret.write_text("the secret")
    hostile = {
        **documents_with(EXTERNAL.format(url)),
        files.HTML: f'<p>text</p><img src="{url}"><iframe src="{url}"></iframe>'.encode(),
    }
    local = documents_with(EXTERNAL.format(secret.as_uri()))
    for content_type, data in [*hostile.items(), *local.items()]:
        path = tmp_path / "document"
        path.write_bytes(data)
        try:
            assert "secret" not in parse(path, content_type, timeout=30).text
        except PermanentError as error:
            assert error.code == "corrupt"  # noqa: PT017 - both outcomes are right
    assert hits == []


# Each took from 15 seconds to hours before something was done about it.
QUADRATIC = {
    "elements 100,000 deep": (b"<div>" * 100_000 + b"<p>bottom</p>", files.HTML, "bottom"),
    "elements 100,000 deep, closed": (
        b"<div>" * 100_000 + b"</div>" * 100_000 + b"<p>after</p>",
        files.HTML,
        "after",
    ),
    "an element of many attributes": (
        b"<p " + b" ".join(b"a%d" % n for n in range(300_000)) + b">text",
        files.HTML,
        "text",
    ),
    "styles based on each other": (hostile.style_loop(5_000), files.DOCX, "x"),
    "spaces inside a heading": (b"# a" + b" " * 100_000 + b"x", files.MARKDOWN, "# a"),
    "brackets in a heading": (b"# " + b"[" * 100_000 + b"x", files.MARKDOWN, "# ["),
    "lines of TeX as they are written that never end": (
        b"Herons.\n" + b"\\begin{verbatim}\n" * 20_000,
        files.TEX,
        "Herons.",
    ),
    "locked parts of a mail that never end": (
        b"From: a@example.com\nSubject: x\n\n" + b"-----BEGIN PGP MESSAGE-----\n" * 10_000,
        files.EML,
        "Subject: x",
    ),
}


@pytest.mark.parametrize("name", QUADRATIC)
def test_what_libraries_and_expressions_take_quadratic_time_for_is_read_soon(name, tmp_path):
    content, content_type, text = QUADRATIC[name]
    path = tmp_path / "document"
    path.write_bytes(content)
    with mock.patch.object(sandbox, "MAX_CPU_SECONDS", 10):
        assert parse(path, content_type).text.startswith(text)


def test_paragraphs_and_rows_without_end_tags_are_not_deep(tmp_path):
    path = tmp_path / "document"
    path.write_bytes(b"<p>one" * 2_000 + b"<table>" + b"<tr><td>two" * 2_000)
    text = parse(path, files.HTML).text
    assert text.count("one\n") == text.count("two\n") + 1 == 2_000


def test_damaged_samples_never_do_worse_than_an_error_with_a_sentence(tmp_path):
    """Cut and flip bytes of every sample: each is read or refused, and the child never dies."""
    rng = random.Random(20)
    for content_type, (name, data) in files.samples().items():
        for kind in ("cut", "flip"):
            damaged = bytearray(data)
            if kind == "cut":
                del damaged[rng.randrange(len(data)) :]
            else:
                for _ in range(1 + len(data) // 200):
                    damaged[rng.randrange(len(data))] = rng.randrange(256)
            path = tmp_path / name
            path.write_bytes(damaged)
            try:
                assert parse(path, content_type, timeout=60).text
            except PermanentError as error:
                assert error.sentence.endswith(".")  # noqa: PT017 - both outcomes are right
