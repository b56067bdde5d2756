"""How loud the log is: a traceback for a fault of ours, a line for all else."""

import io
import logging
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from documents import lifecycle
from lumikb.logs import Proportion
from tests import embedded

DOCUMENTS = "/api/v1/knowledge-bases/handbook/documents"
pytestmark = pytest.mark.django_db


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the console shows of all that Django logs of requests."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    handler.addFilter(Proportion())
    logging.root.addHandler(handler)
    yield stream
    logging.root.removeHandler(handler)


def notes() -> SimpleUploadedFile:
    return SimpleUploadedFile("notes.md", b"# Notes\n\nThe heron nests in April.\n")


def test_a_duplicate_is_nothing_to_look_into(api: Any, editor: User, log: io.StringIO) -> None:
    client = api(editor)
    client.post(DOCUMENTS, {"file": notes()})
    assert client.post(DOCUMENTS, {"file": notes()}).status_code == 409
    assert log.getvalue() == f"INFO Conflict: {DOCUMENTS}\n"


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/nothing", {}, 404),
        ("/api/v1/knowledge-bases", {}, 401),
        ("/login/", {"Host": "evil.example"}, 400),
        ("/kb/handbook/?q=%00", {}, 400),  # a DataError of PostgreSQL's
    ],
)
def test_a_mistake_of_a_client_is_a_line(
    editor: User, log: io.StringIO, path: str, headers: dict[str, str], status: int
) -> None:
    browser = Client(raise_request_exception=False)
    if path.startswith("/kb/"):
        browser.force_login(editor)
    assert browser.get(path, headers=headers).status_code == status
    lines = log.getvalue().splitlines()
    assert lines
    assert [line for line in lines if not line.startswith("INFO ")] == []


def test_a_body_that_is_no_multipart_is_a_line(api: Any, editor: User, log: io.StringIO) -> None:
    client = api(editor)
    client.raise_request_exception = False
    assert client.post(DOCUMENTS, b"x", "multipart/form-data").status_code == 400
    [line] = log.getvalue().splitlines()
    assert line.startswith("INFO ")


def test_a_crash_has_its_traceback(
    page: Client, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("documents.views.knowledge_base_for", lambda *args: 1 / 0)
    page.raise_request_exception = False
    assert page.get("/kb/handbook/").status_code == 500
    assert log.getvalue().startswith("ERROR Internal Server Error: /kb/handbook/\nTraceback")
    assert "ZeroDivisionError" in log.getvalue()


def test_an_outage_is_a_line_with_its_reason(
    page: Client, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError

    def away(*_: Any) -> None:
        raise OperationalError("connection refused\nIs the server running?")

    monkeypatch.setattr("documents.views.knowledge_base_for", away)
    page.raise_request_exception = False
    assert page.get("/kb/handbook/").status_code == 503
    expected = "Service Unavailable: /kb/handbook/ (OperationalError: connection refused)\n"
    assert log.getvalue() == f"ERROR {expected}"


def test_a_quiet_log_does_not_have_the_lines_of_clients(
    client: Client, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.root, "level", logging.WARNING)
    client.get("/nothing")
    assert log.getvalue() == ""


@pytest.mark.django_db(transaction=True)
def test_a_duplicate_is_no_error_to_postgresql_either(
    make_document: Any, editor: User, superuser: psycopg.Connection
) -> None:
    """Neither an upload that runs into another, nor the return of one whose name is taken."""
    log = embedded.home() / "servers.log"
    violations = log.read_text().count("duplicate key")
    deleted = make_document()
    lifecycle.soft_delete(deleted.pk, editor)
    first = make_document()
    for refused in (lambda: make_document(), lambda: lifecycle.restore(deleted.pk, editor)):
        with pytest.raises(lifecycle.DuplicateFilename) as error:
            refused()
        assert error.value.existing == first.pk
    with pytest.raises(psycopg.errors.DivisionByZero):
        superuser.execute("SELECT 1 / 0 AS marker")
    deadline = time.monotonic() + 20
    while "1 / 0 AS marker" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert "1 / 0 AS marker" in log.read_text()
    assert log.read_text().count("duplicate key") == violations
