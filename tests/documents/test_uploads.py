"""The way in: what is taken, under which name, what is refused, and that then nothing is left."""

import gzip
import hashlib
import http.client
import io
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.files.storage import FileSystemStorage, default_storage
from django.db import connection, connections
from django.test import Client

from deploy.local.servers import free_ports, http_answers
from documents import filetypes, refusals, uploads
from documents.models import ApiToken, Document, DocumentEvent, KnowledgeBase, OutboxMessage
from formats import BY_EXTENSION, BY_MEDIA_TYPE, FORMATS, signatures
from tests.e2e.product import descendants
from tests.processing import files

DOCUMENTS = "/api/v1/knowledge-bases/handbook/documents"
MULTIPART = "multipart/form-data; boundary=limit"
MAX_BYTES = 200_000
NOTES = b"# Notes\n\nThe heron nests in April.\n"
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def multipart(*parts: tuple[str, bytes]) -> bytes:
    """A form's body with these files, byte for byte: Django's test client would clean the names."""
    header = b'--limit\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\n\r\n%b\r\n'
    quoted = [(name.replace("\\", "\\\\").replace('"', '\\"'), data) for name, data in parts]
    return b"".join(header % (name.encode(), data) for name, data in quoted) + b"--limit--\r\n"


def send(client: Client, name: str, content: bytes = NOTES) -> Any:
    return client.post(DOCUMENTS, multipart((name, content)), MULTIPART)


def refusal(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def objects() -> list[Path]:
    """Every object in storage."""
    root = Path(default_storage.path(""))
    return [path for path in root.rglob("*") if path.is_file()]


def rows() -> tuple[int, int, int]:
    """How many documents, messages and events there are."""
    return (
        Document.objects.count(),
        OutboxMessage.objects.count(),
        DocumentEvent.objects.count(),
    )


def eventually(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def received(settings: Any, tmp_path: Path) -> Path:
    """The directory where bodies are kept while they come; small files only."""
    directory = tmp_path / "received"
    directory.mkdir()
    settings.FILE_UPLOAD_TEMP_DIR = str(directory)
    settings.UPLOAD_MAX_BYTES = MAX_BYTES
    return directory


@pytest.fixture
def client(api: Callable[[User], Client], editor: User, received: Path) -> Client:
    client = api(editor)
    client.raise_request_exception = False
    return client


# --- what is taken ------------------------------------------------------------------------------


@pytest.mark.django_db
def test_an_upload_is_stored_hashed_and_registered(client: Client, received: Path) -> None:
    answer = send(client, "notes.md").json()
    document = Document.objects.get(pk=answer["id"])
    assert document.sha256 == sha256(NOTES).hexdigest()
    assert document.size == len(NOTES)
    assert [path.read_bytes() for path in objects()] == [NOTES]
    assert default_storage.exists(document.storage_key)
    assert rows() == (1, 1, 1)
    assert not list(received.iterdir()), "the temporary file stays"


@pytest.mark.django_db
def test_the_users_name_is_no_part_of_the_objects_key(client: Client) -> None:
    document = Document.objects.get(pk=send(client, "notes.md").json()["id"])
    assert document.storage_key == f"{document.knowledge_base_id}/{document.pk}/original"


@pytest.mark.django_db
@pytest.mark.parametrize("content_type", files.samples())
def test_every_format_is_taken(content_type: str, client: Client) -> None:
    name, content = files.samples()[content_type]
    response = send(client, name, content)
    assert response.status_code == 201
    assert response.json()["content_type"] == content_type


@pytest.mark.django_db
def test_a_file_of_exactly_the_limit_is_taken(client: Client) -> None:
    assert send(client, "full.txt", b"x" * MAX_BYTES).status_code == 201


def test_an_upload_is_committed_before_the_answer(transactional_editor: Client) -> None:
    """Another connection sees it: the answer does not promise what may still be rolled back."""
    identifier = send(transactional_editor, "notes.md").json()["id"]
    with psycopg.connect(**connection.get_connection_params()) as other:
        row = other.execute("SELECT 1 FROM documents_document WHERE id = %s", [identifier])
        assert row.fetchone()


# --- names --------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("notes.md", "notes.md"),
        ("NOTES.MD", "NOTES.MD"),
        ("two words.md", "two words.md"),
        ("../../etc/passwd.md", "passwd.md"),
        ("/etc/notes.md", "notes.md"),
        (r"C:\My Documents\notes.md", "notes.md"),
        (r"..\..\notes.md", "notes.md"),
        ("..\\/notes.md", "notes.md"),
        ("%2e%2e%2fnotes.md", "%2e%2e%2fnotes.md"),
        ("re\u0301sume\u0301.md", "r\u00e9sum\u00e9.md"),
        ("cod\u202efdp.md", "codfdp.md"),
        ("\u2066iso\u2069lated.md", "isolated.md"),
        ("zero\u200bwidth\ufeff.md", "zerowidth.md"),
        ("nul\0byte.md", "nulbyte.md"),
        ("shell.php\0.md", "shell.php.md"),
        ("bell\a and \x1bescape.md", "bell and escape.md"),
        ("tab\tstop.md", "tabstop.md"),
        ("a\u00a0\u3000 b.md", "a b.md"),
        ("  notes.md  ", "notes.md"),
        ("notes.md. . .", "notes.md"),
        ("notes.md...", "notes.md"),
        ("..notes.md", "..notes.md"),
        ("con.md", "con.md"),
        ("__proto__.md", "__proto__.md"),
        ("$(reboot).md", "$(reboot).md"),
        ("<script>alert(1)<\u2215script>.md", "<script>alert(1)<\u2215script>.md"),
        ('so "called".md', 'so "called".md'),
        ("x" * 300 + ".md", "x" * 252 + ".md"),
        ("\u00fc" * 300 + ".md", "\u00fc" * 252 + ".md"),
        ("u\u0308" * 200 + ".md", "\u00fc" * 126 + ".md"),
        ("\U0001f9a9.md", "\U0001f9a9.md"),
    ],
)
def test_a_name_is_cleaned(sent: str, kept: str, client: Client) -> None:
    response = send(client, sent)
    assert response.status_code == 201, response.content
    assert response.json()["filename"] == kept


@pytest.mark.django_db
@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "...", " ", "..md", "/", "folder/", "\\", ". .", "\0", "\u202e"],
)
def test_a_name_of_which_nothing_is_left_is_refused(name: str, client: Client) -> None:
    assert refusal(send(client, name)) == (400, "invalid_filename")
    assert rows() == (0, 0, 0)


@pytest.mark.parametrize("name", ["", ".", "..", " . . ", "\x1f", "\ud800", "\ue000", "a/.."])
def test_the_cleaning_does_not_rely_on_djangos(name: str) -> None:
    with pytest.raises(refusals.Refused, match="no usable name"):
        filetypes.clean_filename(name)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("می\u200cخواهم\u200c", "می\u200cخواهم"),
        ("क्\u200dष", "क्\u200dष"),
        ("👩\u200d👧", "👩\u200d👧"),
        ("zero\u200cwidth\u200d", "zerowidth"),
        ("می\u200b\u202eخواهم", "میخواهم"),
    ],
)
def test_joiners_stay_where_the_spelling_needs_them(name: str, shown: str) -> None:
    """In names of knowledge bases, and of files that are imported: Django has taken them from a
    form's.
    """
    assert filetypes.visible(name) == shown


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("say %22hello%22 100%.txt", 'say "hello" 100%.txt'),
        ("it%22s.txt", 'it"s.txt'),
        ("100%22%.txt", '100"%.txt'),
        ("a%20%22b%22.txt", "a%20%22b%22.txt"),  # it was written so, as an address is
        ("a%25b.txt", "a%25b.txt"),
    ],
)
def test_a_form_writes_only_quotation_marks_in_another_way(
    sent: str, name: str, client: Client
) -> None:
    assert send(client, sent).json()["filename"] == name


@pytest.mark.parametrize("length", [251, 252, 253, 1000, 1_000_000])
def test_a_clean_name_is_never_longer_than_the_column(length: int) -> None:
    for letter in ("x", "u\u0308", "\ufb01"):
        name = filetypes.clean_filename(letter * length + ".md")
        assert len(name) <= 255
        assert name.endswith(".md")
        assert name == unicodedata.normalize("NFC", name)


@pytest.mark.django_db
def test_a_header_that_is_too_long_is_refused(client: Client) -> None:
    assert send(client, "x" * 5000 + ".md").status_code == 400
    assert rows() == (0, 0, 0)


# --- types --------------------------------------------------------------------------------------

OTHERS = {
    "random": random.Random(0).randbytes(4096),
    "elf": b"\x7fELF" + bytes(60),
    "exe": b"MZ\x90" + bytes(60),
    "jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(range(256)) * 4,
    "old word": OLE + bytes(2000),
    "zip": files.zipped({"readme.txt": "hello"}),
    "gzip": gzip.compress(random.Random(1).randbytes(4096)),
}


MESSAGES = {files.EML, files.MBOX, files.MHTML}


def reads_text(content_type: str) -> bool:
    return BY_MEDIA_TYPE[content_type].recognises is signatures.is_text


def is_a_text(content: bytes, content_type: str) -> bool:
    return content_type != files.PDF and b"\0" not in content


# Contents that say by themselves what they are, whatever their name.
MARKED = {
    content_type
    for content_type, (_, content) in files.samples().items()
    if b"\0" in content or content_type in (files.PDF, files.RTF)
}


@pytest.mark.parametrize("extension", [format.extensions[0] for format in FORMATS])
def test_a_file_is_what_its_name_says_or_else_what_its_content_says(extension: str) -> None:
    named = BY_EXTENSION[extension].media_type
    for content_type, (_, content) in files.samples().items():
        agree = named == content_type or (reads_text(named) and is_a_text(content, content_type))
        if named in MESSAGES:
            agree = agree or content_type in MESSAGES
        if agree or content_type in MARKED:
            found = filetypes.detect_type(f"a{extension}", io.BytesIO(content))
            assert found == (named if agree else content_type)


TABLE = b"<table><tr><td>Name</td><td>Born</td></tr></table>"
WORD_XML = b'<?xml version="1.0"?><?mso-application progid="Word.Document"?><w:wordDocument/>'


@pytest.mark.parametrize(
    ("name", "content", "content_type"),
    [
        ("a.doc", b"{\\rtf1 Hello}", files.RTF),
        ("a.docx", b"{\\rtf1 Hello}", files.RTF),
        ("a.doc", b"<!-- saved --><HTML><p>Hello</p>", files.HTML),
        ("a.xls", b"\r\n" + TABLE, files.HTML),
        ("a.xlsx", "<html>ä".encode("utf-16"), files.HTML),
        ("a.xls", b"Name\tBorn\nAda\t1815\n", files.CSV),
        ("a.xls", "Name\tBorn\nAda\t1815\n".encode("utf-16"), files.CSV),
        ("a.xls", files.samples()[files.XLSX][1], files.XLSX),
        ("a.xlsx", files.samples()[files.XLS][1], files.XLS),
        ("a.doc", files.samples()[files.DOCX][1], files.DOCX),
        ("a.docx", files.samples()[files.ODT][1], files.ODT),
        ("a.doc", files.samples()[files.MHTML][1], files.MHTML),
        ("a.doc", b"MIME-Version: 1.0\nContent-Type: multipart/related; x\n\n", files.MHTML),
        ("a.msg", b"From: a@example.org\nSubject: x\n\nHello", files.EML),
        ("a.doc", WORD_XML, files.XML),
        ("a.doc", b"Just a letter.", files.TEXT),
        ("a.png", b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
        ("a.jpg", b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        ("a.pdf", b"\r\njunk\r\n%PDF-1.4", files.PDF),
        ("a.txt", files.samples()[files.DOCX][1], files.DOCX),
    ],
)
def test_a_wrong_name_is_no_reason_to_refuse_what_can_be_read(
    name: str, content: bytes, content_type: str
) -> None:
    assert filetypes.detect_type(name, io.BytesIO(content)) == content_type


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.pdf", b"Just a letter."),
        ("a.docx", b"Just a letter."),
        ("a.png", b"Just a letter."),
        ("a.pdf", b"RIFF\0\0\0\0WAVEfmt "),
        ("a.pdf", b"BM is what the letter begins with."),
        ("a.eml", b"people:\n  person: Ada\n"),
        ("a.mbox", b"BEGIN:VCARD\nFN:Ada\nEND:VCARD\n"),
    ],
)
def test_a_text_under_the_name_of_something_else_is_refused(name: str, content: bytes) -> None:
    with pytest.raises(refusals.Refused, match="not what the name says"):
        filetypes.detect_type(name, io.BytesIO(content))


@pytest.mark.parametrize("extension", [format.extensions[0] for format in FORMATS])
def test_no_name_makes_us_take_what_we_cannot_read(extension: str) -> None:
    for kind, content in OTHERS.items():
        if kind == "jpeg" or (kind, extension) == ("gzip", ".svg"):
            continue
        with pytest.raises(refusals.Refused, match="not what the name says"):
            filetypes.detect_type(f"a{extension}", io.BytesIO(content))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("report.pdf.exe", b"%PDF-1.4\n"),
        ("report.exe", b"MZ"),
        ("letter.doc", OLE + bytes(2000)),
        ("letter.docx", OLE + bytes(2000)),
        ("noextension", NOTES),
        ("notes." + "x" * 300, NOTES),
        (".md", NOTES),
        ("notes.md ", b"\x7fELF\2"),
        ("shell.md\0.exe", NOTES),
        ("md-random.bin", OTHERS["random"]),
    ],
)
def test_what_we_cannot_read_is_refused_with_a_list_of_what_we_can(
    name: str, content: bytes, client: Client, received: Path
) -> None:
    response = send(client, name, content)
    assert refusal(response) == (415, "unsupported_type")
    error = response.json()["error"]
    assert ".pdf" in error["details"]["accepted"]
    assert "PDF" in error["message"]
    assert (rows(), objects(), list(received.iterdir())) == ((0, 0, 0), [], [])


@pytest.mark.parametrize("content_type", [files.DOC, files.PPT, files.XLS, files.MSG])
def test_a_file_of_the_old_programs_that_is_cut_off_is_taken_to_be_told_that_it_is_damaged(
    content_type: str,
) -> None:
    name, content = files.samples()[content_type]
    directory = 512 * (int.from_bytes(content[0x30:0x34], "little") + 1)
    for length in (100, directory, directory + 100):
        cut = io.BytesIO(content[:length])
        assert filetypes.detect_type(name, cut) == content_type
        with pytest.raises(refusals.Refused, match="not what the name says"):
            filetypes.detect_type("a.pdf", cut)


@pytest.mark.parametrize("name", ["a.docx", "a.pptx", "a.xlsx"])
def test_an_office_file_with_a_password_is_taken_to_be_told_why_it_fails(name: str) -> None:
    assert filetypes.detect_type(name, io.BytesIO(files.encrypted_office()))


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffwith a mark".encode(),
        "UTF-16".encode("utf-16"),
        "UTF-32".encode("utf-32"),
        b"\0\0\xfe\xff" + "UTF-32".encode("utf-32-be"),
        "na\xefve, in Latin-1".encode("latin-1"),
        "\u65e5\u672c\u8a9e".encode("shift-jis"),
        "\U0001f9a9 \u05d0\u05d1 \u200b".encode(),
        b"one NUL \0 in a long enough line",
        b"half a pair \xed\xa0\x80",
    ],
)
def test_a_text_is_taken_in_any_encoding(text: bytes) -> None:
    assert filetypes.detect_type("a.txt", io.BytesIO(text)) == "text/plain"


def test_a_damaged_archive_is_left_to_the_parser_that_says_so() -> None:
    _, content = files.samples()[files.DOCX]
    assert filetypes.detect_type("a.docx", io.BytesIO(content[:-100])) == files.DOCX


class Watched(io.BytesIO):
    """Remembers how much was read of it, and how much at most at once."""

    total = largest = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.total += len(data)
        self.largest = max(self.largest, len(data))
        return data


def test_an_archive_that_lists_a_million_members_is_not_read_through() -> None:
    """50 MiB of it cost zipfile 15 s and 460 MB; here a tenth of that."""
    member = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", *[0] * 18).ljust(46, b"\0") + b"word/"
    directory = member * 100_000
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 65535, 65535, len(directory), 30, 0)
    file = Watched(b"PK\3\4" + bytes(26) + directory + end)
    assert filetypes.detect_type("a.docx", file) == files.DOCX
    assert file.total < 1.2 * 2**20


@pytest.mark.parametrize("is_encrypted", [True, False])
def test_an_old_office_file_is_never_whole_in_memory(is_encrypted: bool) -> None:
    """What says that it has a password may stand anywhere: here across two blocks."""
    says_so = "EncryptedPackage".encode("utf-16-le") if is_encrypted else b""
    file = Watched(OLE + bytes(2**20 - 20) + says_so + bytes(3 * 2**20))
    if is_encrypted:
        assert filetypes.detect_type("a.docx", file) == files.DOCX
    else:
        with pytest.raises(refusals.Refused):
            filetypes.detect_type("a.docx", file)
    assert file.largest <= 2**20


# --- sizes --------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_an_empty_file_is_refused(client: Client, received: Path) -> None:
    assert refusal(send(client, "empty.md", b"")) == (400, "empty_file")
    assert (rows(), objects(), list(received.iterdir())) == ((0, 0, 0), [], [])


@pytest.mark.django_db
@pytest.mark.parametrize("excess", [1, uploads.ENVELOPE_BYTES, 10 * MAX_BYTES])
def test_a_file_over_the_limit_is_refused(excess: int, client: Client, received: Path) -> None:
    response = send(client, "long.txt", b"x" * (MAX_BYTES + excess))
    assert refusal(response) == (413, "file_too_large")
    assert response.json()["error"]["details"] == {"max_bytes": MAX_BYTES}
    assert (rows(), objects(), list(received.iterdir())) == ((0, 0, 0), [], [])


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", MULTIPART),
        (b"--limit--\r\n", MULTIPART),
        (b"no multipart at all", MULTIPART),
        (b"x", "multipart/form-data"),
        (NOTES, "text/markdown"),
        (b"{}", "application/json"),
        (multipart(("notes.md", NOTES)).replace(b"filename=", b"x="), MULTIPART),
        (multipart(("notes.md", NOTES))[:-20], MULTIPART),
    ],
)
def test_a_body_without_a_whole_file_is_refused(
    body: bytes, content_type: str, client: Client, received: Path
) -> None:
    response = client.post(DOCUMENTS, body, content_type)
    assert response.status_code == 400, response.content
    assert response.json()["error"]["message"]
    assert (rows(), objects(), list(received.iterdir())) == ((0, 0, 0), [], [])


@pytest.mark.django_db
def test_too_many_parts_are_refused(client: Client, received: Path) -> None:
    body = multipart(*[(f"{number}.md", NOTES) for number in range(101)])
    assert client.post(DOCUMENTS, body, MULTIPART).status_code == 400
    assert (rows(), objects(), list(received.iterdir())) == ((0, 0, 0), [], [])


# --- duplicates ---------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    "again",
    [
        "r\u00e9sum\u00e9.md",
        "re\u0301sume\u0301.md",
        "folder/r\u00e9sum\u00e9.md",
        "r\u00e9\u200bsum\u00e9.md.",
    ],
)
def test_the_same_name_again_is_refused_and_names_what_is_there(again: str, client: Client) -> None:
    there = send(client, "r\u00e9sum\u00e9.md").json()
    response = send(client, again, b"# Another\n")
    assert refusal(response) == (409, "duplicate_filename")
    details = response.json()["error"]["details"]
    assert details == {
        "filename": "r\u00e9sum\u00e9.md", "document_id": there["id"],
        "sha256": hashlib.sha256(NOTES).hexdigest(), "same_content": False,
        "size": len(NOTES), "created_at": Document.objects.get().created_at.isoformat(),
    }  # fmt: skip
    same = send(client, again).json()["error"]["details"]
    assert same == details | {"same_content": True}
    assert (rows(), len(objects())) == ((1, 1, 1), 1)


@pytest.mark.django_db
def test_the_same_name_in_another_knowledge_base_is_another_document(
    client: Client, editor: User
) -> None:
    KnowledgeBase.objects.create(name="Other", slug="other").membership_set.create(
        user=editor, role="editor"
    )
    send(client, "notes.md")
    path = DOCUMENTS.replace("handbook", "other")
    assert client.post(path, multipart(("notes.md", NOTES)), MULTIPART).status_code == 201


# --- who may ------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_who_may_not_upload_leaves_nothing(
    client: Client, editor: User, knowledge_base: KnowledgeBase, received: Path
) -> None:
    anonymous = Client().post(DOCUMENTS, multipart(("notes.md", NOTES)), MULTIPART)
    assert refusal(anonymous) == (401, "unauthenticated")
    knowledge_base.membership_set.update(role="viewer")
    assert refusal(send(client, "notes.md")) == (404, "not_found")
    knowledge_base.membership_set.all().delete()
    assert refusal(send(client, "notes.md")) == (404, "not_found")
    unknown = client.post(
        DOCUMENTS.replace("handbook", "none"), multipart(("a.md", NOTES)), MULTIPART
    )
    assert refusal(unknown) == (404, "not_found")
    assert (rows(), objects(), list(received.iterdir())) == ((0, 0, 0), [], [])


# --- a service is away --------------------------------------------------------------------------


class StorageAway(FileSystemStorage):
    """Object storage that does not answer: an outside service's stub."""

    def _save(self, name: str, content: Any) -> str:
        raise OSError("connection refused")

    def _open(self, name: str, mode: str = "rb") -> Any:
        raise OSError("connection refused")


@pytest.fixture
def storage_away(settings: Any, tmp_path: Path) -> None:
    backend = {"BACKEND": f"{__name__}.StorageAway", "OPTIONS": {"location": tmp_path / "objects"}}
    settings.STORAGES = settings.STORAGES | {"default": backend}


@pytest.mark.django_db
def test_when_storage_is_away_an_upload_is_503_and_leaves_nothing(
    client: Client, received: Path, storage_away: None
) -> None:
    response = send(client, "notes.md")
    assert refusal(response) == (503, "storage_unavailable")
    assert response.headers["Retry-After"] == "5"
    assert (rows(), objects(), list(received.iterdir())) == ((0, 0, 0), [], [])


@pytest.mark.django_db
def test_when_storage_is_away_a_replacement_is_503_and_the_old_file_stays(
    client: Client, make_document: Callable[..., Document], settings: Any, request: Any
) -> None:
    old = make_document()
    request.getfixturevalue("storage_away")
    response = client.put(f"/api/v1/documents/{old.pk}/file", multipart(("a.md", NOTES)), MULTIPART)
    assert refusal(response) == (503, "storage_unavailable")
    old.refresh_from_db()
    assert old.deleted_at is None
    assert rows() == (1, 1, 1)


@pytest.mark.django_db
def test_when_storage_is_away_the_content_is_503(
    client: Client, make_document: Callable[..., Document], request: Any
) -> None:
    document = make_document()
    request.getfixturevalue("storage_away")
    response = client.get(f"/api/v1/documents/{document.pk}/content")
    assert refusal(response) == (503, "storage_unavailable")
    assert response.headers["Retry-After"] == "5"


@pytest.fixture
def transactional_editor(transactional_db: None, client: Client) -> Client:
    """The editor's client, in a database where a commit is a commit."""
    return client


@pytest.fixture
def database_away(owner: psycopg.Connection) -> Iterator[Callable[[], None]]:
    """Cuts the application off: its connections are ended and new ones are refused."""
    database: Any = connection
    name = database.settings_dict["NAME"]
    end_all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = current_user"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as outside:

        def cut() -> None:
            owner.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT 0')
            outside.execute(f"{end_all} AND pid <> pg_backend_pid()")

        database.pool.timeout = 0.3  # seconds, for 30
        yield cut
        owner.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT -1')
    database.close()
    database.close_pool()


@pytest.mark.parametrize("is_open", [True, False], ids=["in use", "in the pool"])
def test_when_the_database_is_away_the_api_is_503(
    is_open: bool, transactional_editor: Client, database_away: Callable[[], None]
) -> None:
    if not is_open:
        connection.close()
    database_away()
    response = send(transactional_editor, "notes.md")
    assert refusal(response) == (503, "service_unavailable")
    assert response.headers["Retry-After"] == "5"
    assert objects() == []


def test_when_the_database_is_away_the_pages_are_503(
    transactional_db: None, page: Client, database_away: Callable[[], None]
) -> None:
    page.raise_request_exception = False
    connection.close()
    database_away()
    for path in ("/", "/kb/handbook/", "/search/?q=heron"):
        response = page.get(path)
        assert (response.status_code, response.headers["Retry-After"]) == (503, "5"), path
        assert b"Not available just now" in response.content


def test_when_the_database_goes_away_during_the_upload_nobody_is_told_that_it_worked(
    transactional_editor: Client, database_away: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes after the object was stored: the object is an orphan, and never a document."""
    store = uploads._store

    def store_and_cut(*args: Any, **kwargs: Any) -> Document:
        document = store(*args, **kwargs)
        database_away()
        return document

    monkeypatch.setattr(uploads, "_store", store_and_cut)
    response = send(transactional_editor, "notes.md")
    assert refusal(response) == (503, "service_unavailable")
    assert response.headers["Retry-After"] == "5"


@pytest.mark.django_db(transaction=True, databases=["default", "ops"])
def test_when_the_database_is_away_a_process_is_alive_but_not_ready(
    database_away: Callable[[], None],
) -> None:
    client = Client(raise_request_exception=False)
    assert client.get("/health/ready").status_code == 200
    connection.close()
    connections["ops"].close_pool()  # type: ignore[attr-defined] # only the web's are ended
    database_away()
    assert client.get("/health/ready").status_code == 503
    assert client.get("/health/live").status_code == 200


# --- no connection is held while bytes move -----------------------------------------------------


class Watching(FileSystemStorage):
    """Notes at each transfer whether this thread holds a database connection."""

    held: ClassVar[list[bool]] = []

    def _save(self, name: str, content: Any) -> str:
        self.held.append(connection.connection is not None)
        return super()._save(name, content)  # type: ignore[misc]

    def _open(self, name: str, mode: str = "rb") -> Any:
        self.held.append(connection.connection is not None)
        return super()._open(name, mode)  # type: ignore[misc]


@pytest.fixture
def held(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether a connection was held: at each block that was received, sent to storage or opened."""
    backend = {"BACKEND": f"{__name__}.Watching", "OPTIONS": {"location": tmp_path / "objects"}}
    settings.STORAGES = settings.STORAGES | {"default": backend}
    Watching.held.clear()
    receive = uploads.HashingUploadHandler.receive_data_chunk

    def watched(self: Any, *args: Any) -> None:
        Watching.held.append(connection.connection is not None)
        receive(self, *args)

    monkeypatch.setattr(uploads.HashingUploadHandler, "receive_data_chunk", watched)
    return Watching.held


def logged_in(user: User) -> tuple[Client, dict[str, str]]:
    """A browser with a session, and the header that its scripts send."""
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(user)
    browser.get("/")
    return browser, {"X-CSRFToken": browser.cookies["csrftoken"].value}


def afresh(ask: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Ask as a server does, which begins each request without a connection."""
    connection.close()
    return ask(*args, **kwargs)


def test_a_script_holds_no_connection_while_its_bytes_move(
    transactional_editor: Client, held: list[bool]
) -> None:
    identifier = afresh(send, transactional_editor, "notes.md").json()["id"]
    path = f"/api/v1/documents/{identifier}"
    body = multipart(("notes.md", NOTES))
    assert afresh(transactional_editor.put, f"{path}/file", body, MULTIPART).status_code == 201
    assert afresh(transactional_editor.get, f"{path}/content").status_code == 200
    assert held == [False] * 5


def test_a_browser_holds_no_connection_while_its_bytes_move(
    transactional_db: None, editor: User, held: list[bool]
) -> None:
    browser, token = logged_in(editor)
    body = multipart(("one.md", NOTES), ("two.md", NOTES))
    response = afresh(browser.post, "/kb/handbook/upload", body, MULTIPART, headers=token)
    assert response.status_code == 302
    body = multipart(("three.md", NOTES))
    assert afresh(browser.post, DOCUMENTS, body, MULTIPART, headers=token).status_code == 201
    path = f"/documents/{Document.objects.get(filename='one.md').pk}/content"
    assert afresh(browser.get, path).status_code == 200
    assert held == [False] * 7


# --- through a real HTTP server -----------------------------------------------------------------


class Server:
    """gunicorn on the test database, with a small limit and directories of its own."""

    def __init__(self, directory: Path):
        self.received, self.objects = directory / "received", directory / "objects"
        self.received.mkdir()
        self.objects.mkdir()
        [self.port] = free_ports(1)
        database = urlsplit(os.environ["DATABASE_URL"])
        database = database._replace(path="/" + connection.settings_dict["NAME"])
        environment = {
            "DATABASE_URL": urlunsplit(database),
            "STORAGE_ROOT": str(self.objects),
            "UPLOAD_TEMP_DIR": str(self.received),
            "UPLOAD_MAX_BYTES": str(MAX_BYTES),
            "WEB_POOL_SIZE": "4",
        }
        self.log = (directory / "log").open("wb")
        command = [sys.executable, "-m", "gunicorn", "--config=lumikb/gunicorn.py", "--workers=1"]
        self.process = subprocess.Popen(
            [*command, "--threads=4", f"--bind=127.0.0.1:{self.port}"],
            env=os.environ | environment,
            stdout=self.log,
            stderr=self.log,
        )
        eventually(self.answers, 120)

    def answers(self) -> bool:
        try:
            http_answers("127.0.0.1", self.port, "/health/live")
        except OSError:
            return False
        return True

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)
        self.log.close()

    def unfinished(self) -> list[str]:
        """The bodies that are coming in: files that have no name."""
        targets = []
        for pid in descendants(self.process.pid):
            for file in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):  # closed meanwhile
                    targets.append(os.readlink(file))
        return [target for target in targets if target.startswith(str(self.received))]

    def is_clean(self) -> bool:
        """Neither rows, nor temporary files, nor objects."""
        left = [*self.received.iterdir(), *(p for p in self.objects.rglob("*") if p.is_file())]
        return rows() == (0, 0, 0) and not left


@pytest.fixture(scope="module")
def running_server(
    django_db_setup: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.stop()


@pytest.fixture
def server(running_server: Server, transactional_db: None, editor: User) -> Server:
    shutil.rmtree(running_server.objects)
    running_server.objects.mkdir()
    return running_server


@pytest.fixture
def request_head(editor: User) -> Callable[..., bytes]:
    """The head of an upload by the editor, as it goes over the wire."""
    token = ApiToken.issue(editor, "test")

    def head(*headers: str, method: str = "POST", path: str = DOCUMENTS) -> bytes:
        lines = [
            f"{method} {path} HTTP/1.1",
            "Host: localhost",
            f"Authorization: Bearer {token}",
            f"Content-Type: {MULTIPART}",
            "Connection: close",
            *headers,
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n"

    return head


def chunked(body: bytes) -> bytes:
    pieces = [body[start : start + 50_000] for start in range(0, len(body), 50_000)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def exchange(server: Server, *sent: bytes) -> tuple[int, bytes]:
    """Send these bytes, say that there are no more, and read the answer's status and body."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as wire:
        for part in sent:
            wire.sendall(part)
        wire.shutdown(socket.SHUT_WR)
        response = http.client.HTTPResponse(wire)
        response.begin()
        return response.status, response.read()


def test_a_body_without_a_length_is_read(
    server: Server, request_head: Callable[..., bytes]
) -> None:
    body = multipart(("notes.md", NOTES))
    head = request_head("Transfer-Encoding: chunked")
    status, _ = exchange(server, head, chunked(body))
    assert status == 201
    assert Document.objects.get().sha256 == sha256(NOTES).hexdigest()


def test_json_without_a_length_is_read(server: Server, editor: User) -> None:
    lines = [
        "POST /api/v1/knowledge-bases HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {ApiToken.issue(editor, 'test')}",
        "Content-Type: application/json",
        "Transfer-Encoding: chunked",
        "Connection: close",
    ]
    head = "\r\n".join(lines).encode() + b"\r\n\r\n"
    status, answer = exchange(server, head, chunked(b'{"name": "Field notes"}'))
    assert (status, b"Field notes" in answer) == (201, True)


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("excess", [1, uploads.ENVELOPE_BYTES, MAX_BYTES])
def test_a_body_without_a_length_is_measured_as_it_comes(
    method: str,
    excess: int,
    server: Server,
    request_head: Callable[..., bytes],
    make_document: Callable[..., Document],
) -> None:
    path = DOCUMENTS
    if method == "PUT":
        path = f"/api/v1/documents/{make_document().pk}/file"
    before = rows()
    head = request_head("Transfer-Encoding: chunked", method=method, path=path)
    body = multipart(("long.txt", b"x" * (MAX_BYTES + excess)))
    status, answer = exchange(server, head, chunked(body))
    assert (status, b"file_too_large" in answer) == (413, True)
    assert rows() == before
    assert not list(server.received.iterdir())


def test_a_length_over_the_limit_is_refused(
    server: Server, request_head: Callable[..., bytes]
) -> None:
    body = multipart(("long.txt", b"x" * (MAX_BYTES + 1)))
    status, answer = exchange(server, request_head(f"Content-Length: {len(body)}"), body)
    assert (status, b"file_too_large" in answer) == (413, True)
    assert server.is_clean()


@pytest.mark.parametrize("missing", [12, 1000, 8000])
def test_a_body_that_ends_before_its_length_is_not_taken(
    missing: int, server: Server, request_head: Callable[..., bytes]
) -> None:
    """12 bytes: all of the file is there but the boundary that ends it."""
    body = multipart(("notes.md", b"# Notes\n" * 1000))
    head = request_head(f"Content-Length: {len(body)}")
    status, _ = exchange(server, head, body[:-missing])
    assert status == 400
    assert server.is_clean()


def test_a_length_that_is_too_short_takes_nothing(
    server: Server, request_head: Callable[..., bytes]
) -> None:
    body = multipart(("notes.md", NOTES))
    status, _ = exchange(server, request_head("Content-Length: 100"), body)
    assert status == 400
    assert server.is_clean()


@pytest.mark.parametrize("length", ["-1", "many", "1e3", "99999999999999999999"])
def test_a_length_that_is_no_length_is_no_crash(
    length: str, server: Server, request_head: Callable[..., bytes]
) -> None:
    body = multipart(("notes.md", NOTES))
    status, _ = exchange(server, request_head(f"Content-Length: {length}"), body[:-20])
    assert status in (400, 413)
    assert server.is_clean()


@pytest.mark.parametrize("framing", ["Content-Length: 150000", "Transfer-Encoding: chunked"])
def test_a_client_that_hangs_up_leaves_nothing(
    framing: str, server: Server, request_head: Callable[..., bytes]
) -> None:
    body = multipart(("long.txt", b"x" * 150_000))[:100_000]
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as wire:
        wire.sendall(request_head(framing))
        wire.sendall(b"%x\r\n%b\r\n" % (len(body), body) if "chunked" in framing else body)
        eventually(server.unfinished)
    eventually(lambda: server.is_clean() and not server.unfinished())


@pytest.mark.django_db(transaction=True)
def test_a_request_larger_than_any_of_ours_is_not_read(
    client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.UPLOAD_MAX_BYTES = MAX_BYTES
    received: list[str] = []
    monkeypatch.setattr(
        uploads.HashingUploadHandler, "new_file", lambda self, *args: received.append("a file")
    )
    enormous = b"x" * (uploads.MOST_LARGE_FILES * MAX_BYTES + uploads.ENVELOPE_BYTES)
    assert refusal(send(client, "big.md", enormous)) == (413, "file_too_large")
    assert received == []
