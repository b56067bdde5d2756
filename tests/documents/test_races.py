"""Who comes at the same time: exactly one of two effects, whichever they are.

A race is made, not hoped for: the winner's transaction is held open, the loser runs until
PostgreSQL makes it wait for the winner's lock, and only then the winner commits.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test import Client

from documents import lifecycle, uploads
from documents.lifecycle import Claim
from documents.models import Chunk, Document, OutboxMessage
from tests.conftest import LONG_AGO, let_lease_expire

pytestmark = pytest.mark.django_db(transaction=True)
MakeDocument = Callable[..., Document]

MULTIPART = "multipart/form-data; boundary=b"
NOTES = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="notes.md"\r\n\r\nx\r\n--b--\r\n'
)
DOCUMENTS = "/api/v1/knowledge-bases/handbook/documents"


def in_thread(function: Callable[..., Any], *args: Any) -> Future[Any]:
    """Run it beside the test, with a connection of its own."""

    def run() -> Any:
        try:
            return function(*args)
        finally:
            connection.close()

    pool = ThreadPoolExecutor(1)
    future = pool.submit(run)
    pool.shutdown(wait=False)
    return future


def wait_until_blocked() -> None:
    """Until PostgreSQL says that a session of this database waits for another's lock."""
    deadline = time.monotonic() + 4  # seconds; a wait for a lock is over after 5
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if cursor.fetchone() == (1,):
                return
        time.sleep(0.02)
    raise AssertionError("the loser did not meet the winner")


@contextmanager
def uncommitted(transition: Callable[[], Any], rolled_back: bool = False) -> Iterator[Future[Any]]:
    """Do it in a transaction that ends when the block does."""
    done, end = threading.Event(), threading.Event()

    def hold() -> Any:
        with transaction.atomic():
            result = transition()
            done.set()
            assert end.wait(10)
            transaction.set_rollback(rolled_back)
            return result

    future = in_thread(hold)
    try:
        assert done.wait(10)
        yield future
    finally:
        end.set()
        future.result(10)


def race(winner: Callable[[], Any], loser: Callable[[], Any]) -> tuple[Any, Any]:
    """What both of them return, when the loser meets the winner's lock."""
    with uncommitted(winner) as won:
        lost = in_thread(loser)
        wait_until_blocked()
    return won.result(10), lost.result(10)


def objects() -> list[Path]:
    return [path for path in Path(default_storage.path("")).rglob("*") if path.is_file()]


def kinds(document: Document) -> list[str]:
    return list(document.events.values_list("kind", flat=True))


def new_version(document: Document) -> Document:
    """A document to be put in this one's place."""
    return Document(
        knowledge_base=document.knowledge_base, filename=document.filename,
        content_type=document.content_type, size=1, sha256="0" * 64,
    )  # fmt: skip


# --- uploads ------------------------------------------------------------------------------------


@pytest.fixture
def upload(api: Callable[[User], Client], editor: User) -> Callable[[], Any]:
    """Upload notes.md, from any thread."""
    headers = {"Authorization": api(editor).defaults["HTTP_AUTHORIZATION"]}

    def upload() -> Any:
        client = Client(raise_request_exception=False, headers=headers)
        return client.post(DOCUMENTS, NOTES, MULTIPART)

    return upload


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the SELECT that only saves the work: the constraint alone decides."""
    without = vars(lifecycle) | {"namesake": lambda *_: None}
    monkeypatch.setattr(uploads, "lifecycle", SimpleNamespace(**without))


@pytest.mark.parametrize("is_checked_first", [True, False])
def test_of_fifty_uploads_of_one_name_exactly_one_is_taken(
    is_checked_first: bool, upload: Callable[[], Any], request: pytest.FixtureRequest
) -> None:
    if not is_checked_first:
        request.getfixturevalue("unchecked")
    start = threading.Barrier(50)

    def upload_at_once() -> Any:
        start.wait(30)
        return upload()

    answers = [future.result(60) for future in [in_thread(upload_at_once) for _ in range(50)]]
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 49
    document = Document.objects.get()
    refused = [answer.json()["error"] for answer in answers if answer.status_code == 409]
    assert {error["code"] for error in refused} == {"duplicate_filename"}
    assert {error["details"]["document_id"] for error in refused} == {str(document.pk)}
    assert objects() == [Path(default_storage.path(document.storage_key))]
    assert kinds(document) == ["registered"]
    assert OutboxMessage.objects.count() == 1


def test_an_upload_that_runs_into_another_is_refused_and_its_object_deleted(
    upload: Callable[[], Any], make_document: MakeDocument
) -> None:
    winner, loser = race(make_document, upload)
    assert loser.status_code == 409
    assert loser.json()["error"]["details"]["document_id"] == str(winner.pk)
    assert objects() == [Path(default_storage.path(winner.storage_key))]


def test_an_upload_that_waited_for_one_that_failed_is_taken(
    upload: Callable[[], Any], make_document: MakeDocument
) -> None:
    with uncommitted(make_document, rolled_back=True):
        second = in_thread(upload)
        wait_until_blocked()
    assert second.result(10).status_code == 201
    assert Document.objects.count() == 1


def test_an_upload_cannot_slip_in_between_the_old_version_and_the_new(
    upload: Callable[[], Any], unchecked: None, make_document: MakeDocument
) -> None:
    old = make_document()
    new = new_version(old)
    _, answer = race(lambda: lifecycle.replace(old, new), upload)
    assert answer.status_code == 409
    assert answer.json()["error"]["details"]["document_id"] == str(new.pk)
    assert list(Document.objects.live()) == [new]


def test_an_upload_that_runs_into_a_restore_is_refused(
    upload: Callable[[], Any], make_document: MakeDocument, editor: User
) -> None:
    document = make_document()
    lifecycle.soft_delete(document.pk, editor)
    _, answer = race(lambda: lifecycle.restore(document.pk, editor), upload)
    assert answer.status_code == 409
    assert list(Document.objects.live()) == [document]


def test_a_restore_that_runs_into_an_upload_is_refused(
    make_document: MakeDocument, editor: User
) -> None:
    document = make_document()
    lifecycle.soft_delete(document.pk, editor)

    def restore() -> Any:
        with pytest.raises(lifecycle.DuplicateFilename) as caught:
            lifecycle.restore(document.pk, editor)
        return caught.value.existing

    newer, existing = race(make_document, restore)
    assert existing == newer.pk
    assert list(Document.objects.live()) == [newer]


def test_two_replacements_by_upload_at_once_make_one(
    make_document: MakeDocument, api: Callable[[User], Client], editor: User
) -> None:
    old = make_document()
    client = api(editor)
    new = new_version(old)
    default_storage.save(new.storage_key, ContentFile(b"x"))
    _, answer = race(
        lambda: lifecycle.replace(old, new),
        lambda: client.put(f"/api/v1/documents/{old.pk}/file", NOTES, MULTIPART),
    )
    assert answer.status_code == 404
    assert list(Document.objects.live()) == [new]
    assert len(objects()) == 2, "the loser's object stays"


# --- transitions --------------------------------------------------------------------------------


@dataclass
class Scene:
    """A document, brought to where a race begins, and who is there."""

    document: Document
    claim: Claim
    editor: User

    @property
    def pk(self) -> Any:
        return self.document.pk

    def chunks(self) -> list[Chunk]:
        chunk_id = Chunk.id_for(self.pk, 0)
        return [Chunk(id=chunk_id, document=self.document, position=0, text="x", start=0, end=1)]


STATES: dict[str, Callable[[Scene], Any]] = {
    "pending": lambda s: lifecycle.hand_back(s.claim),
    "processing": lambda s: None,
    "abandoned": lambda s: let_lease_expire(s.document),
    "ready": lambda s: lifecycle.succeed(s.claim, s.chunks()),
    "failed": lambda s: lifecycle.fail(s.claim, "corrupt", "It is damaged."),
    "deleted": lambda s: lifecycle.soft_delete(s.pk, s.editor),
    "purgeable": lambda s: (
        lifecycle.soft_delete(s.pk, s.editor),
        Document.objects.update(deleted_at=Now() - timedelta(days=2)),
    ),
    "unposted": lambda s: (
        lifecycle.hand_back(s.claim),
        OutboxMessage.objects.all().delete(),
        Document.objects.update(posted_at=Now() - LONG_AGO, due_at=Now() - LONG_AGO),
    ),
}
DO: dict[str, Callable[[Scene], Any]] = {
    "claim": lambda s: lifecycle.claim(s.pk),
    "renew": lambda s: lifecycle.renew([s.claim]),
    "progress": lambda s: lifecycle.progress(s.claim, "embed", 1, 2),
    "succeed": lambda s: lifecycle.succeed(s.claim, s.chunks()),
    "fail": lambda s: lifecycle.fail(s.claim, "corrupt", "It is damaged."),
    "retry_later": lambda s: lifecycle.retry_later(s.claim, "x", "It did not work."),
    "postpone": lambda s: lifecycle.postpone(s.claim, "away"),
    "reclaim": lambda s: lifecycle.reclaim(s.document),
    "repost": lambda s: lifecycle.repost(s.document),
    "requeue": lambda s: lifecycle.requeue(s.pk, s.editor),
    "unstick": lambda s: lifecycle.unstick(s.document, s.editor),
    "soft_delete": lambda s: lifecycle.soft_delete(s.pk, s.editor),
    "restore": lambda s: lifecycle.restore(s.pk, s.editor),
    "replace": lambda s: lifecycle.replace(s.document, new_version(s.document)),
    "begin_purge": lambda s: lifecycle.begin_purge(s.pk),
}
WRITES_OF_A_WORKER = ["progress", "succeed", "fail", "retry_later", "postpone"]
RACES = [
    ("pending", "claim", "claim"),
    ("pending", "soft_delete", "claim"),
    ("pending", "replace", "claim"),
    *[("abandoned", "reclaim", write) for write in WRITES_OF_A_WORKER],
    *[("processing", "soft_delete", write) for write in WRITES_OF_A_WORKER],
    *[("abandoned", write, "reclaim") for write in WRITES_OF_A_WORKER if write != "progress"],
    ("abandoned", "renew", "reclaim"),
    ("abandoned", "reclaim", "reclaim"),
    ("abandoned", "soft_delete", "reclaim"),
    ("processing", "succeed", "fail"),
    ("unposted", "repost", "repost"),
    ("unposted", "claim", "repost"),
    ("unposted", "soft_delete", "repost"),
    ("ready", "requeue", "requeue"),
    ("failed", "requeue", "requeue"),
    ("failed", "soft_delete", "requeue"),
    ("ready", "replace", "requeue"),
    ("ready", "soft_delete", "soft_delete"),
    ("ready", "soft_delete", "replace"),
    ("ready", "replace", "soft_delete"),
    ("ready", "replace", "replace"),
    ("deleted", "restore", "restore"),
    ("purgeable", "restore", "begin_purge"),
    ("purgeable", "begin_purge", "restore"),
    ("pending", "claim", "unstick"),
]


@pytest.fixture
def scene(make_document: MakeDocument, editor: User) -> Scene:
    document = make_document()
    claim = lifecycle.claim(document.pk)
    assert claim
    document.refresh_from_db()
    return Scene(document, claim, editor)


def traces(document: Document) -> tuple[Any, ...]:
    """All that a transition may leave, but for the times."""
    row = Document.objects.filter(pk=document.pk).values(
        "status", "attempts", "lease_epoch", "stage", "progress_count", "chunk_count",
        "failure_code", "waiting_for",
    ).get()  # fmt: skip
    times = Document.objects.values_list(
        "lease_expires_at", "deleted_at", "indexed_at", "purging_at"
    ).get(pk=document.pk)
    return (
        row,
        [moment is not None for moment in times],
        kinds(document),
        OutboxMessage.objects.count(),
        Chunk.objects.count(),
        Document.objects.count(),
    )


@pytest.mark.parametrize(("state", "winner", "loser"), RACES)
def test_of_two_at_once_only_the_first_has_an_effect(
    state: str, winner: str, loser: str, scene: Scene
) -> None:
    STATES[state](scene)
    scene.document.refresh_from_db()
    scene_of_the_winner = replace(scene, document=Document.objects.get(pk=scene.pk))
    effect: list[Any] = []

    def win() -> Any:
        result = DO[winner](scene_of_the_winner)
        effect.append(traces(scene.document))
        return result

    won, lost = race(win, lambda: DO[loser](scene))
    assert won
    assert not lost
    assert traces(scene.document) == effect[0]


def test_deleting_what_is_just_being_claimed_takes_it_from_the_worker(scene: Scene) -> None:
    STATES["pending"](scene)
    claim, deleted = race(lambda: DO["claim"](scene), lambda: DO["soft_delete"](scene))
    assert claim
    assert deleted
    assert lifecycle.renew([claim]) == set()
    assert not lifecycle.succeed(claim, scene.chunks())
    assert not Chunk.objects.exists()


@pytest.mark.parametrize("is_restored_first", [True, False])
def test_an_old_version_and_the_new_one_are_never_both_live(
    is_restored_first: bool, scene: Scene
) -> None:
    """Somebody brings the old one back at the moment when the new one becomes READY."""
    lifecycle.succeed(scene.claim, scene.chunks())
    new = new_version(scene.document)
    assert lifecycle.replace(scene.document, new)
    claim = lifecycle.claim(new.pk)
    assert claim
    there = Scene(new, claim, scene.editor)
    restore, succeed = lambda: DO["restore"](scene), lambda: DO["succeed"](there)
    if is_restored_first:
        assert race(restore, succeed) == (True, False)
    else:
        with pytest.raises(lifecycle.DuplicateFilename):
            race(succeed, restore)
    winner = scene.document if is_restored_first else new
    assert list(Document.objects.live()) == [winner]
    assert list(Document.objects.searchable()) == [winner]
    assert not OutboxMessage.objects.filter(document=winner, action="purge").exists()


def test_a_lock_on_one_document_keeps_no_other_from_being_renewed(
    scene: Scene, make_document: MakeDocument
) -> None:
    other = make_document("other.md")
    claim = lifecycle.claim(other.pk)
    assert claim
    Document.objects.update(lease_expires_at=Now() - LONG_AGO)
    with uncommitted(lambda: DO["progress"](scene)):
        assert lifecycle.renew([scene.claim, claim]) == {scene.claim, claim}
    assert list(Document.objects.abandoned()) == [scene.document]
