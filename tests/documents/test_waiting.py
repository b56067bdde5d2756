"""`?wait=30`: the answer comes when the document is ready or has failed, or as it is."""

import threading
import time
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from documents import lifecycle, waiting
from documents.models import Document
from tests.documents.test_api import put_file

MakeDocument = Callable[..., Document]


@pytest.mark.django_db(transaction=True)
def test_who_waits_is_told_when_it_is_done(
    api: Callable[[User], Client], editor: User, make_document: MakeDocument
) -> None:
    document = make_document()

    def finish() -> None:
        claim = lifecycle.claim(document.pk)
        assert claim
        lifecycle.fail(claim, "encrypted", "It is encrypted.")
        connection.close()

    worker = threading.Timer(0.5, finish)
    worker.start()
    answer = api(editor).get(f"/api/v1/documents/{document.pk}?wait=30").json()
    worker.join()
    assert (answer["status"], answer["explain"]) == ("failed", "It is encrypted.")


@pytest.mark.django_db
def test_who_replaces_may_wait_too(
    api: Callable[[User], Client], editor: User, make_document: MakeDocument
) -> None:
    began = time.monotonic()
    path = f"/api/v1/documents/{make_document().pk}/file?wait=1"
    assert put_file(api(editor), path, "a.md", b"# B\n").json()["status"] == "pending"
    assert time.monotonic() - began >= 1


@pytest.mark.django_db
def test_who_has_waited_so_long_is_told_how_it_is(
    api: Callable[[User], Client], editor: User, make_document: MakeDocument
) -> None:
    document = make_document()
    began = time.monotonic()
    answer = api(editor).get(f"/api/v1/documents/{document.pk}?wait=1").json()
    assert answer["status"] == "pending"
    assert time.monotonic() - began >= 1


@pytest.mark.django_db
@pytest.mark.parametrize("wait", ["-1", "61", "x"])
def test_nobody_waits_longer(
    wait: str, api: Callable[[User], Client], editor: User, make_document: MakeDocument
) -> None:
    answer = api(editor).get(f"/api/v1/documents/{make_document().pk}?wait={wait}")
    assert answer.status_code == 400


@pytest.mark.django_db
def test_those_for_whom_there_is_no_place_do_not_wait(
    api: Callable[[User], Client], editor: User, make_document: MakeDocument,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(waiting, "_places", threading.BoundedSemaphore(1))
    waiting._places.acquire()
    document = make_document()
    answer = api(editor).get(f"/api/v1/documents/{document.pk}?wait=30").json()
    assert answer["status"] == "pending"
