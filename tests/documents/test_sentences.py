"""A sentence that a person gets is true, or is not said."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.models.functions import Now
from django.test import Client

from documents import lifecycle
from documents.models import Document, KnowledgeBase, Membership, ReconcileRun
from documents.models.document import MAY_BE_OVER

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]
ROOT = Path(__file__).parents[2]
LIST = "/kb/handbook/"


def at(document: Document, part: str = "") -> str:
    return f"/documents/{document.pk}/{part}"


def text_of(response: Any) -> str:
    """What a page says, without its markup."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", response.content.decode()))


def fail(document: Document, code: str) -> Document:
    claim = lifecycle.claim(document.pk)
    assert claim
    lifecycle.fail(claim, code, "It cannot be read.")
    document.refresh_from_db()
    return document


@pytest.fixture
def ready(make_document: MakeDocument) -> Document:
    document = make_document("ready.md")
    claim = lifecycle.claim(document.pk)
    assert claim
    lifecycle.succeed(claim, [])
    document.refresh_from_db()
    return document


def codes(error: str) -> set[str]:
    """The codes with which this kind of error is raised while a document is processed."""
    raised: set[str] = set()
    for module in (ROOT / "processing").rglob("*.py"):
        raised |= set(re.findall(rf'{error}\(\s*"(\w+)"', module.read_text()))
    return raised


def test_what_may_be_over_is_known_for_every_kind_of_failure() -> None:
    permanent, passing = codes("PermanentError"), codes("RetryableError")
    assert {"encrypted", "corrupt"} <= permanent
    of_the_file = permanent - {"wrong_dimensions"}  # the operator's
    assert not MAY_BE_OVER & of_the_file
    of_a_search = {"bad_reranking"}
    too_slow_for_two_tries = {"parser_died", "parser_timeout"}
    assert passing - of_the_file - too_slow_for_two_tries - of_a_search <= MAY_BE_OVER


def test_each_failure_is_brought_about_by_a_test() -> None:
    """Those of readers one by one: tests/processing/test_failure_places.py."""
    others = (path for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__))
    said = "".join(path.read_text() for path in others)
    of_lifecycle = {"worker_died", "given_up", "service_unavailable", "internal_error"}
    known = codes("PermanentError") | codes("RetryableError") | of_lifecycle
    assert {code for code in known if f'"{code}"' not in said} == set()


@pytest.mark.parametrize("code", ["encrypted", "corrupt", "no_text", "too_large", "a_new_one"])
def test_nobody_is_invited_to_try_again_what_fails_again(
    code: str, page: Client, make_document: MakeDocument
) -> None:
    said = text_of(page.get(at(fail(make_document(), code))))
    assert "Try again" not in said
    assert "The same file will most likely fail again" in said
    assert "Process again" in said


@pytest.mark.parametrize("code", ["file_missing", "file_changed"])
def test_what_was_lost_is_not_said_to_fail_again(
    code: str, page: Client, make_document: MakeDocument
) -> None:
    said = text_of(page.get(at(fail(make_document(), code))))
    assert "Replace the file" in said
    assert "fail again" not in said


@pytest.mark.parametrize("code", ["service_unavailable", "internal_error"])
def test_what_may_be_over_can_be_tried_again(
    code: str, page: Client, make_document: MakeDocument
) -> None:
    said = text_of(page.get(at(fail(make_document(), code))))
    assert "Try again" in said
    assert "fail again" not in said


def test_what_was_never_searchable_does_not_stay_so(
    page: Client, make_document: MakeDocument, ready: Document
) -> None:
    waiting = make_document("waiting.md")
    for document, searchable in ((waiting, False), (ready, True)):
        said = text_of(page.get(at(document)))
        assert ("stays searchable" in said) == searchable
        assert ("Search stops finding it" in said) == searchable
        sent = {"file": SimpleUploadedFile("new.md", b"# New\n")}
        response = page.post(at(document, "replace"), sent, follow=True)
        assert ("stays searchable" in text_of(response)) == searchable


def test_a_restored_document_keeps_the_count_of_what_it_took(
    page: Client, ready: Document, make_document: MakeDocument, editor: User
) -> None:
    assert ready.attempts == 1
    tried = make_document("tried.md")
    Document.objects.filter(pk=tried.pk).update(attempts=5, deaths=2)
    for document in (ready, tried):
        lifecycle.soft_delete(document.pk, editor)
        assert lifecycle.restore(document.pk, editor)
        document.refresh_from_db()
    assert (ready.status, ready.attempts) == ("ready", 1)
    assert (tried.status, tried.attempts, tried.deaths) == ("pending", 0, 0)
    Document.objects.filter(pk=ready.pk).update(attempts=0)  # as it was restored by 0.2
    assert "Attempts" not in text_of(page.get(at(ready)))


def test_who_has_no_knowledge_base_is_promised_no_answers(page: Client) -> None:
    Membership.objects.all().delete()
    said = text_of(page.get("/"))
    assert "Welcome" in said
    assert "answer" not in said


@pytest.mark.parametrize(
    ("states", "sentence"),
    [
        ("", "No documents yet"),
        ("r", "1 document, all ready"),
        ("rrf", "3 documents: 2 ready, 1 failed"),
        ("rfw", "3 documents: 1 ready, 1 failed, 1 not done yet"),
        ("w", "1 document: 0 ready, 1 not done yet"),
    ],
)
def test_a_knowledge_base_hides_no_failures(
    states: str, sentence: str, page: Client, make_document: MakeDocument
) -> None:
    for number, state in enumerate(states):
        document = make_document(f"{number}.md")
        if state == "f":
            fail(document, "corrupt")
        elif state == "r":
            claim = lifecycle.claim(document.pk)
            assert claim
            lifecycle.succeed(claim, [])
    said = text_of(page.get("/"))
    assert re.search(re.escape(sentence) + r"(?! ?,)", said)


TIME = re.compile(r"\b\d\d?:\d\d(?::\d\d)?+(?! CES?T)")


@pytest.mark.parametrize("now", [True, False])
def test_every_time_says_in_which_zone(
    now: bool,
    page: Client,
    ready: Document,
    make_document: MakeDocument,
    make_user: Callable[..., User],
    settings: Any,
) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    waiting = make_document("waiting.md")
    claim = lifecycle.claim(waiting.pk)
    assert claim
    lifecycle.postpone(claim, "the storage is away.", "storage")
    lifecycle.soft_delete(make_document("deleted.md").pk, make_user("otto"))
    if not now:
        Document.objects.update(indexed_at=Now() - timedelta(days=3))
    ReconcileRun.objects.create(finished_at=Now())
    root = Client()
    root.force_login(make_user("root", is_staff=True, is_superuser=True))
    pages = [
        LIST, f"{LIST}?status=deleted", at(ready), at(waiting),
        "/admin/documents/document/", f"/admin/documents/document/{waiting.pk}/change/",
        "/admin/documents/reconcilerun/", "/admin/documents/outage/",
    ]  # fmt: skip
    seen = 0
    for path in pages:
        content = root.get(path).content.decode()
        content = re.sub(r'datetime="[^"]*"', "", content)
        seen += len(re.findall(r"\b\d\d?:\d\d\b", content))
        assert not TIME.findall(content), path
    assert seen > 20


def test_the_zone_is_looked_for() -> None:
    assert TIME.search("Next try at 14:32.")
    assert TIME.search("29 Nov 2026, 14:32:01")
    assert not TIME.search("Next try at 14:32 CET.")


def test_a_stored_file_that_cannot_be_fetched_is_no_failed_upload(
    page: Client, ready: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError

    monkeypatch.setattr(type(default_storage), "open", refuse, raising=False)
    response = page.get(at(ready, "content"))
    assert response.status_code == 503
    said = text_of(response)
    assert "does not answer just now" in said
    assert "Nothing was kept" not in said


def test_what_is_being_removed_cannot_be_restored(ready: Document, editor: User) -> None:
    lifecycle.soft_delete(ready.pk, editor)
    Document.objects.update(purging_at=Now())
    ready.refresh_from_db()
    assert "restored" not in ready.explain()
    assert ready.explain().endswith("its content is being removed.")


def test_files_that_are_too_large_together_are_not_said_to_be_so_each(
    page: Client, settings: Any
) -> None:
    settings.UPLOAD_MAX_BYTES = 100 * 1024
    files = [SimpleUploadedFile(f"{number}.md", b"x" * 99 * 1024) for number in range(5)]
    said = text_of(page.post(f"{LIST}upload", {"file": files}, follow=True))
    assert "More than 400.0 KB at once is not accepted" in said
    assert "The file is larger" not in said
    one = SimpleUploadedFile("a.md", b"x" * 101 * 1024)
    said = text_of(page.post(f"{LIST}upload", {"file": one}, follow=True))
    assert "a.md: The file is larger than 100.0 KB" in said


# --- without JavaScript -------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["upload", "restore", "replace"])
def test_without_javascript_a_name_that_is_taken_has_a_link(
    action: str, page: Client, make_document: MakeDocument, editor: User
) -> None:
    hostile = "<img src=x>.md"
    there = make_document(hostile)
    sent = {"file": SimpleUploadedFile(hostile, b"# New\n")}
    if action == "upload":
        response = page.post(f"{LIST}upload", sent, follow=True)
    elif action == "replace":
        other = make_document("other.txt", content_type="text/plain")
        response = page.post(at(other, "replace"), sent, follow=True)
    else:
        old = make_document("old.md")
        lifecycle.soft_delete(old.pk, editor)
        Document.objects.filter(pk=old.pk).update(filename=hostile)
        response = page.post(at(old, "restore"), follow=True)
    content = response.content.decode()
    assert f'<a href="{at(there)}">Open it</a>' in content
    assert "<img src=x" not in content


def test_a_duplicate_that_has_gone_again_is_not_pointed_at(
    page: Client, knowledge_base: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*args: Any) -> None:
        raise lifecycle.DuplicateFilename(None)

    monkeypatch.setattr("documents.lifecycle.namesake", gone)
    sent = {"file": SimpleUploadedFile("a.md", b"# New\n")}
    said = text_of(page.post(f"{LIST}upload", sent, follow=True))
    assert "was in this knowledge base a moment ago; please try again" in said
    assert "Open it" not in said


def test_the_description_of_the_api_says_its_language(client: Client) -> None:
    assert b'<html lang="en">' in client.get("/api/v1/docs").content
