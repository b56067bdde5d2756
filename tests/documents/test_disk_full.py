"""A disk that is full: a sentence for who uploads, and nothing left behind.

The disk is the kernel's RLIMIT_FSIZE on this process: what is written beyond it fails as on a full
disk, in the same calls, after part of it has been written.
"""

import io
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile, File
from django.core.files.storage import default_storage
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from documents.models import Document, DocumentEvent, OutboxMessage
from lumikb.storage import FileStorage
from tests.conftest import process

DOCUMENTS = "/api/v1/knowledge-bases/handbook/documents"
ROOM = 50_000  # bytes
LARGE = b"heron " * 20_000


@contextmanager
def full_disk() -> Iterator[None]:
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


@pytest.fixture
def received(settings: Any, tmp_path: Path) -> Path:
    """Where bodies wait while they come."""
    directory = tmp_path / "received"
    directory.mkdir()
    settings.FILE_UPLOAD_TEMP_DIR = str(directory)
    return directory


def left(received: Path) -> list[Path]:
    stored = Path(default_storage.path("")).rglob("*")
    return [*received.iterdir(), *(path for path in stored if path.is_file())]


def rows() -> tuple[int, int, int]:
    return (
        Document.objects.count(), OutboxMessage.objects.count(), DocumentEvent.objects.count(),
    )  # fmt: skip


def a_file(content: bytes = LARGE) -> io.BytesIO:
    file = io.BytesIO(content)
    file.name = "notes.txt"
    return file


def error(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


# --- the temporary folder -------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_script_is_told(editor: User, api: Any, received: Path) -> None:
    client = api(editor)
    client.raise_request_exception = False
    with full_disk():
        response = client.post(DOCUMENTS, {"file": a_file()})
    assert error(response) == (507, "no_room")
    assert "no room" in response.json()["error"]["message"]
    assert (rows(), left(received)) == ((0, 0, 0), [])
    assert client.post(DOCUMENTS, {"file": a_file()}).status_code == 201


@pytest.mark.django_db
def test_a_script_that_replaces_is_told_and_the_old_file_stays(
    editor: User, api: Any, received: Path, make_document: Callable[..., Document]
) -> None:
    old = make_document()
    before = left(received)
    client = api(editor)
    client.raise_request_exception = False
    body = encode_multipart(BOUNDARY, {"file": a_file()})
    with full_disk():
        response = client.put(f"/api/v1/documents/{old.pk}/file", body, MULTIPART_CONTENT)
    assert error(response) == (507, "no_room")
    assert (rows(), left(received)) == ((1, 1, 1), before)


@pytest.mark.django_db
@pytest.mark.parametrize("with_script", [True, False])
def test_a_browser_is_told(editor: User, received: Path, with_script: bool) -> None:
    """Also where the body is read for the CSRF token, before any view."""
    browser = Client(enforce_csrf_checks=True, raise_request_exception=False)
    browser.force_login(editor)
    browser.get("/")
    token = browser.cookies["csrftoken"].value
    headers = {"X-CSRFToken": token, "HX-Request": "true"} if with_script else {}
    fields = {"csrfmiddlewaretoken": token, "file": a_file()}
    with full_disk():
        response = browser.post("/kb/handbook/upload", fields, headers=headers)
    assert response.status_code == 507
    assert b"There is no room left on the server" in response.content
    assert (rows(), left(received)) == ((0, 0, 0), [])


# --- the storage ----------------------------------------------------------------------------------


class FullStorage(FileStorage):
    def _save(self, name: str, content: Any) -> str:
        with full_disk():
            return super()._save(name, content)


@pytest.mark.django_db
def test_an_upload_that_the_storage_has_no_room_for_leaves_nothing(
    editor: User, api: Any, received: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = default_storage.path("")
    backend = {"BACKEND": f"{__name__}.FullStorage", "OPTIONS": {"location": location}}
    settings.STORAGES = settings.STORAGES | {"default": backend}

    def other_disk(*_: Any) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("django.core.files.move.os.rename", other_disk)
    assert error(api(editor).post(DOCUMENTS, {"file": a_file()})) == (507, "no_room")
    assert (rows(), left(received)) == ((0, 0, 0), [])


def test_an_object_that_does_not_fit_leaves_no_part_of_it() -> None:
    with full_disk(), pytest.raises(OSError, match="File too large"):
        default_storage.save("handbook/document/text", ContentFile(LARGE))
    assert default_storage.listdir("handbook") == ([], [])


def test_an_object_that_another_stores_meanwhile_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def stored_meanwhile(self: FileStorage, name: str) -> bool:
        monkeypatch.undo()
        default_storage.save(name, ContentFile(b"first"))
        return False

    monkeypatch.setattr(FileStorage, "exists", stored_meanwhile)
    with pytest.raises(FileExistsError):
        default_storage.save("handbook/document/text", ContentFile(b"second"))
    with default_storage.open("handbook/document/text") as file:
        assert file.read() == b"first"


class Stream(File):
    """As it comes from S3."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(LARGE))


@pytest.mark.django_db
def test_a_download_that_finds_no_room_on_its_way_is_refused(
    editor: User, api: Any, make_document: Any, monkeypatch: pytest.MonkeyPatch, received: Path
) -> None:
    document = make_document("notes.txt", LARGE, "text/plain")
    monkeypatch.setattr(default_storage._wrapped, "open", lambda *_: Stream(), raising=False)
    client = api(editor)
    path = f"/api/v1/documents/{document.pk}/content"
    with full_disk():
        assert error(client.get(path)) == (507, "no_room")
    assert client.get(path).getvalue() == LARGE


# --- PostgreSQL -----------------------------------------------------------------------------------


@pytest.fixture
def full_database(owner: psycopg.Connection) -> Iterator[None]:
    """It says what it says on a full disk, when a document is to be written."""
    owner.execute("""
        CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100';
        END $$;
        CREATE TRIGGER no_room BEFORE INSERT ON documents_document EXECUTE FUNCTION no_room();
    """)
    yield
    owner.execute("DROP FUNCTION no_room CASCADE")


@pytest.mark.parametrize("replacing", [False, True])
def test_what_postgresql_has_no_room_for_leaves_no_object(
    transactional_db: None,
    editor: User,
    api: Any,
    received: Path,
    make_document: Callable[..., Document],
    request: Any,
    replacing: bool,
) -> None:
    old = make_document()
    before = left(received)
    request.getfixturevalue("full_database")
    client = api(editor)
    client.raise_request_exception = False
    if replacing:
        path, field = f"/documents/{old.pk}/replace", a_file()
        client.force_login(editor)
        response = client.post(path, {"file": field})
        assert response.status_code == 507
    else:
        assert error(client.post(DOCUMENTS, {"file": a_file()})) == (507, "no_room")
    assert (rows(), left(received)) == ((1, 1, 1), before)


# --- a worker -------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_worker_without_room_puts_the_document_off_and_gives_the_try_back(
    make_document: Callable[..., Document],
) -> None:
    document = make_document("notes.txt", LARGE, "text/plain")
    with full_disk():
        process(document)
    assert (document.status, document.attempts) == ("pending", 0)
    assert "File too large" in document.explain()
