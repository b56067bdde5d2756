"""`Idempotency-Key`: the same request again answers what it made, and makes nothing more."""

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, connections
from django.db.models import F
from django.test import Client

from documents import lifecycle, uploads
from documents.models import Document, IdempotencyKey, KnowledgeBase, Membership, Tally
from processing import reconcile
from tests.documents.test_api import put_file

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]

KNOWLEDGE_BASES = "/api/v1/knowledge-bases"
DOCUMENTS = f"{KNOWLEDGE_BASES}/handbook/documents"


def send(
    client: Client, name: str = "a.md", content: bytes = b"# A\n", key: str = "1", to: str = ""
) -> Any:
    sent = {"file": SimpleUploadedFile(name, content)}
    return client.post(to or DOCUMENTS, sent, headers={"Idempotency-Key": key})


@pytest.fixture
def client(api: Callable[[User], Client], editor: User) -> Client:
    return api(editor)


def objects() -> int:
    """How many files are stored."""
    root = Path(default_storage.location)  # type: ignore[attr-defined]
    return sum(each.is_file() for each in root.rglob("*")) if root.exists() else 0


def test_an_upload_whose_answer_was_lost_is_made_once(client: Client) -> None:
    first, again = send(client), send(client)
    assert first.status_code == again.status_code == 201
    assert again.json() == first.json()
    assert Document.objects.count() == objects() == 1
    assert not Tally.objects.filter(name="duplicates_refused").exists()


def test_the_same_file_with_other_tags_is_another_request(client: Client) -> None:
    def tagged(tags: str) -> Any:
        sent = {"file": SimpleUploadedFile("a.md", b"# A\n"), "tags": tags}
        return client.post(DOCUMENTS, sent, headers={"Idempotency-Key": "1"})

    assert tagged("one, two").status_code == tagged("Two,one").status_code == 201
    assert tagged("three").json()["error"]["code"] == "idempotency_key_reused"
    assert Document.objects.get().tags == ["one", "two"]


def test_who_may_not_see_it_any_more_is_not_told_how_it_is(client: Client) -> None:
    document = Document.objects.get(pk=send(client).json()["id"])
    other = KnowledgeBase.objects.create(name="Secret", slug="secret")
    Document.objects.filter(pk=document.pk).update(knowledge_base=other)
    again = send(client)
    assert again.status_code == 404
    assert "secret" not in again.content.decode().lower()


def test_the_answer_tells_how_it_is_now(client: Client) -> None:
    document = Document.objects.get(pk=send(client).json()["id"])
    claim = lifecycle.claim(document.pk)
    assert claim
    lifecycle.succeed(claim, [])
    answer = send(client).json()
    assert (answer["id"], answer["status"]) == (str(document.pk), "ready")
    assert answer["explain"].startswith("Ready since")
    client.delete(f"/api/v1/documents/{document.pk}")
    again = send(client)
    assert (again.status_code, again.json()["id"]) == (201, str(document.pk))
    assert again.json()["explain"].startswith("Deleted at")
    assert Document.objects.count() == 1


@pytest.mark.parametrize("other", [{"name": "b.md"}, {"content": b"# B\n"}])
def test_another_request_with_the_key_is_refused(other: dict[str, Any], client: Client) -> None:
    send(client)
    response = send(client, **other)
    assert response.status_code == 422
    assert response.json()["error"]["code"] == "idempotency_key_reused"
    assert Document.objects.count() == objects() == 1


def test_the_same_file_for_another_knowledge_base_is_another_request(
    client: Client, editor: User
) -> None:
    other = KnowledgeBase.objects.create(name="Other", slug="other")
    other.membership_set.create(user=editor, role=Membership.Role.OWNER)
    send(client)
    there = f"{KNOWLEDGE_BASES}/other/documents"
    assert send(client, to=there).status_code == 422
    assert send(client, to=there, key="2").status_code == 201


def test_a_key_is_its_users_own(
    client: Client, api: Callable[[User], Client], make_user: Callable[..., User]
) -> None:
    send(client)
    other = make_user("other")
    KnowledgeBase.objects.get().membership_set.create(user=other, role=Membership.Role.EDITOR)
    response = send(api(other))
    assert response.status_code == 409  # the name's; not what edith's request made
    assert send(api(other), "b.md").status_code == 201


def test_who_has_lost_access_is_told_nothing(client: Client) -> None:
    send(client)
    Membership.objects.all().delete()
    assert send(client).status_code == 404


def test_a_request_that_was_refused_did_not_take_the_key(
    client: Client, make_document: MakeDocument, editor: User
) -> None:
    there = make_document("a.md")
    assert send(client).status_code == 409
    assert send(client, "a.exe", b"MZ").status_code == 415
    lifecycle.soft_delete(there.pk, editor)
    assert send(client).status_code == 201


def test_a_key_is_forgotten_after_its_time(client: Client, settings: Any) -> None:
    send(client)
    kept = timedelta(hours=24)
    assert kept == settings.IDEMPOTENCY_KEPT
    IdempotencyKey.objects.update(created_at=F("created_at") - kept + timedelta(minutes=5))
    reconcile.run()
    assert send(client).status_code == 201
    IdempotencyKey.objects.update(created_at=F("created_at") - timedelta(minutes=10))
    assert send(client).status_code == 409
    assert send(client, "b.md").status_code == 201  # the key is free for another one
    IdempotencyKey.objects.update(created_at=F("created_at") - kept)
    reconcile.run()
    assert not IdempotencyKey.objects.exists()


@pytest.mark.parametrize("key", ["x" * 256, "käse"])
def test_a_key_that_cannot_be_kept_is_refused(key: str, client: Client) -> None:
    assert send(client, key=key).status_code == 400
    assert Document.objects.count() == 0


def test_a_replacement_whose_answer_was_lost_is_made_once(
    client: Client, make_document: MakeDocument
) -> None:
    old = make_document()
    path = f"/api/v1/documents/{old.pk}/file"

    def replace(content: bytes = b"# New\n") -> Any:
        return put_file(client, path, "notes.md", content, {"Idempotency-Key": "1"})

    first, again = replace(), replace()
    assert first.status_code == again.status_code == 201
    assert first.json()["id"] == again.json()["id"]
    assert Document.objects.count() == objects() == 2
    assert replace(b"# Newer\n").status_code == 422


def test_a_knowledge_base_whose_answer_was_lost_is_made_once(client: Client) -> None:
    def make(name: str = "Mine") -> Any:
        return client.post(
            KNOWLEDGE_BASES, {"name": name}, "application/json", headers={"Idempotency-Key": "1"}
        )

    first = make()
    assert make().json() == first.json()
    assert make("Other").status_code == 422
    assert KnowledgeBase.objects.count() == 2


# --- Two at once --------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("loser", ["a.md", "b.md"])
def test_of_two_at_once_one_makes_it_and_the_other_answers_so(
    loser: str, client: Client, editor: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The winner's transaction is held open until the other waits for its lock.

    Of the same file it waits for the name, of another for the key.
    """
    is_registered, may_commit = threading.Event(), threading.Event()
    remember = uploads.Once.remember

    def hold(once: uploads.Once, made: object) -> None:
        remember(once, made)
        if not is_registered.is_set():
            is_registered.set()
            assert may_commit.wait(60)

    monkeypatch.setattr(uploads.Once, "remember", hold)
    answers: dict[str, Any] = {}

    def upload(who: str, name: str) -> None:
        answers[who] = send(client, name)
        connections.close_all()

    winner = threading.Thread(target=upload, args=("first", "a.md"))
    winner.start()
    assert is_registered.wait(60)
    second = threading.Thread(target=upload, args=("second", loser))
    second.start()
    _wait_until_somebody_waits_for_a_lock()
    may_commit.set()
    winner.join(60)
    second.join(60)
    assert answers["first"].status_code == 201
    if loser == "a.md":
        assert answers["second"].status_code == 201
        assert answers["second"].json()["id"] == answers["first"].json()["id"]
    else:
        assert answers["second"].json()["error"]["code"] == "idempotency_key_reused"
    assert Document.objects.count() == objects() == 1


def _wait_until_somebody_waits_for_a_lock() -> None:
    pause = threading.Event()
    with connection.cursor() as cursor:
        for _ in range(600):
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
            pause.wait(0.1)
    raise AssertionError("nobody waits")
