"""What the reconciler finds, what it mends, and what it leaves alone because it cannot tell."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import OperationalError, connection
from django.db.models import F
from django.db.models.functions import Now

from documents import lifecycle
from documents.models import Chunk, Document, OutboxMessage, ReconcileRun
from processing import reconcile, vectors
from tests.conftest import LONG_AGO, let_lease_expire, process

from . import stubs
from .stubs import Call, Reply, failing, forwarding, hanging, qdrant_at, qdrant_stub, refused_url

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]
LONG_DELETED = timedelta(days=2)


@pytest.fixture
def ready(make_document: MakeDocument) -> Callable[..., Document]:
    """A READY document with one passage and one point, made without the parser: it is quicker."""

    def make(filename: str = "notes.md") -> Document:
        document = make_document(filename)
        OutboxMessage.objects.filter(document=document).delete()
        claim = lifecycle.claim(document.pk)
        assert claim
        put_point(document)
        pk = Chunk.id_for(document.pk, 0)
        passage = Chunk(id=pk, document=document, position=0, text="x", start=0, end=1)
        assert lifecycle.succeed(claim, [passage])
        default_storage.save(document.text_key(claim.epoch), ContentFile(b"x"))
        document.refresh_from_db()
        return document

    return make


def put_point(document: Document, position: int = 0) -> None:
    pk = Chunk.id_for(document.pk, position)
    point = vectors.Point(pk, position, stubs.unit(position), {1: 1.0})
    vectors.upsert(document.knowledge_base_id, document.pk, [point])


def put_object(key: str, days_old: float = 0) -> Path:
    default_storage.save(key, ContentFile(b"bytes"))
    path = Path(default_storage.path(key))
    then = time.time() - days_old * 86400
    os.utime(path, (then, then))
    return path


def findings(dry_run: bool = False) -> dict[str, tuple[int, int]]:
    """What one run found and mended, by the checks that found anything or could not tell."""
    report = reconcile.run(dry_run=dry_run)
    assert report
    assert report.finished_at
    return {
        row["check"]: (row["found"], row["mended"])
        for row in report.findings
        if row["found"] or row["skipped"]
    }


def skipped() -> set[str]:
    """The checks that could not tell, in one run."""
    report = reconcile.run()
    assert report
    assert all(
        row["skipped"].startswith("cannot tell") for row in report.findings if row["skipped"]
    )
    return {row["check"] for row in report.findings if row["skipped"]}


def everything() -> tuple[Any, ...]:
    """All that a run could change."""
    rows = list(Document.objects.order_by("pk").values())
    outbox = list(OutboxMessage.objects.order_by("pk").values())
    listed = {document for page in vectors.documents() for document in page}
    root = Path(default_storage.location)  # type: ignore[attr-defined]
    return rows, outbox, listed, sorted(path for path in root.rglob("*") if path.is_file())


# --- Each thing that it finds --------------------------------------------------------------------


def abandoned(document: Document) -> None:
    assert lifecycle.requeue(document.pk)
    OutboxMessage.objects.filter(document=document).delete()
    assert lifecycle.claim(document.pk)
    let_lease_expire(document)


def unposted(document: Document) -> None:
    assert lifecycle.requeue(document.pk)
    OutboxMessage.objects.filter(document=document).delete()
    Document.objects.filter(pk=document.pk).update(posted_at=F("posted_at") - LONG_AGO)


def unpurged(document: Document) -> None:
    Document.objects.filter(pk=document.pk).update(deleted_at=Now() - LONG_DELETED)


def without_points(document: Document) -> None:
    vectors.delete(document.pk)


def with_a_point_too_many(document: Document) -> None:
    put_point(document, 1)


def without_passages(document: Document) -> None:
    document.chunk_set.all().delete()


def without_file(document: Document) -> None:
    default_storage.delete(document.storage_key)


def purged_with_points(document: Document) -> None:
    unpurged(document)
    default_storage.delete(document.storage_key)
    default_storage.delete(document.text_key(1))
    assert lifecycle.begin_purge(document.pk)
    assert lifecycle.finish_purge(document.pk)


def purged_with_objects(document: Document) -> None:
    vectors.delete(document.pk)
    unpurged(document)
    assert lifecycle.begin_purge(document.pk)
    assert lifecycle.finish_purge(document.pk)
    default_storage.delete(document.text_key(1))
    default_storage.delete(document.storage_key)
    put_object(document.storage_key, days_old=2)


BREAK: dict[str, tuple[str, Callable[[Document], None]]] = {
    "abandoned": ("lease expired", abandoned),
    "unposted": ("message lost", unposted),
    "unpurged": ("purge overdue", unpurged),
    "without points": ("index incomplete", without_points),
    "with a point too many": ("index incomplete", with_a_point_too_many),
    "without passages": ("index incomplete", without_passages),
    "without file": ("stored file missing", without_file),
    "purged with points": ("points without a document", purged_with_points),
    "purged with objects": ("objects without a document", purged_with_objects),
}


def test_what_agrees_is_found_by_no_check(ready: Callable[..., Document]) -> None:
    ready()
    before = everything()
    assert findings() == {}
    assert everything() == before


@pytest.mark.parametrize("broken", BREAK)
def test_each_fault_is_found_and_mended_once(broken: str, ready: Callable[..., Document]) -> None:
    """The second run finds nothing: what it did the first time is enough."""
    ready("whole.md")
    check, break_ = BREAK[broken]
    break_(ready())
    assert findings() == {check: (1, 1)}
    assert findings() == {}


@pytest.mark.parametrize("broken", BREAK)
def test_a_dry_run_finds_the_same_and_changes_nothing(
    broken: str, ready: Callable[..., Document]
) -> None:
    check, break_ = BREAK[broken]
    break_(ready())
    before = everything()
    assert findings(dry_run=True) == {check: (1, 0)}
    assert everything() == before


def test_a_document_without_points_is_indexed_again(make_ready: MakeDocument) -> None:
    document = make_ready()
    vectors.delete(document.pk)
    reconcile.run()
    assert process(document).status == "ready"
    assert vectors.count(document.pk) == 1
    assert document.events.get(kind="requeued").detail == "its index was not complete"


def test_a_collection_that_is_gone_is_made_again(ready: Callable[..., Document]) -> None:
    ready()
    vectors._client().delete_collection(vectors.collection())
    assert findings() == {"index incomplete": (1, 1)}


def test_a_document_whose_file_is_missing_fails_with_a_sentence(
    ready: Callable[..., Document],
) -> None:
    document = ready()
    without_file(document)
    reconcile.run()
    assert process(document).failure_code == "file_missing"
    assert findings() == {}


def test_a_purge_whose_message_waits_is_not_posted_again(ready: Callable[..., Document]) -> None:
    unpurged(ready())
    assert findings() == {"purge overdue": (1, 1)}
    assert OutboxMessage.objects.count() == 1
    assert findings() == {}
    assert OutboxMessage.objects.count() == 1


# --- What has an owner ---------------------------------------------------------------------------


def test_a_deleted_document_that_can_be_restored_keeps_its_points_and_objects(
    ready: Callable[..., Document], editor: User
) -> None:
    document = ready()
    for key in (document.storage_key, document.text_key(1)):
        os.utime(default_storage.path(key), (0, 0))
    lifecycle.soft_delete(document.pk, editor)
    assert findings() == {}
    assert lifecycle.restore(document.pk, editor)
    assert vectors.count(document.pk) == 1
    assert default_storage.exists(document.storage_key)
    assert default_storage.exists(document.text_key(1))


def test_a_document_that_waits_to_be_purged_keeps_its_points_and_objects_until_the_purge(
    ready: Callable[..., Document],
) -> None:
    document = ready()
    os.utime(default_storage.path(document.storage_key), (0, 0))
    unpurged(document)
    assert lifecycle.begin_purge(document.pk)
    reconcile.run()
    assert vectors.count(document.pk) == 1
    assert default_storage.exists(document.storage_key)


def test_points_of_a_document_that_never_was_are_deleted(ready: Callable[..., Document]) -> None:
    owned = ready()
    stranger = Document(pk=uuid4(), knowledge_base=owned.knowledge_base)
    put_point(stranger)
    assert findings() == {"points without a document": (1, 1)}
    assert (vectors.count(stranger.pk), vectors.count(owned.pk)) == (0, 1)


@pytest.mark.parametrize(("days_old", "there"), [(0.9, True), (1.1, False)])
def test_an_object_without_a_row_is_deleted_when_it_is_older_than_a_day(
    days_old: float, there: bool, db: None
) -> None:
    """A younger one may be an upload whose row is about to be written."""
    path = put_object(f"1/{uuid4()}/original", days_old)
    reconcile.run()
    assert path.exists() is there


@pytest.mark.parametrize(
    "key", ["readme.txt", "1/readme.txt", "1/not-a-document/original", f"1/{UUID(int=1)}/a/b"]
)
def test_what_is_not_stored_as_a_document_is_not_ours_to_delete(key: str, db: None) -> None:
    path = put_object(key, days_old=9)
    assert findings() == {}
    assert path.exists()


# --- Cannot tell ---------------------------------------------------------------------------------

OF_QDRANT = {"index incomplete", "points without a document"}
OF_STORAGE = {"stored file missing", "objects without a document"}


@pytest.fixture
def all_broken(ready: Callable[..., Document]) -> tuple[Any, ...]:
    """A document with each fault that Qdrant and the storage can tell of, and an orphan in both."""
    document = ready()
    with_a_point_too_many(document)
    without_file(document)
    put_point(Document(pk=uuid4(), knowledge_base=document.knowledge_base))
    put_object(f"1/{uuid4()}/original", days_old=9)
    return everything()


@contextmanager
def qdrant_refusing(settings: Any) -> Iterator[None]:
    with qdrant_at(settings, refused_url()):
        yield


@contextmanager
def qdrant_answering(settings: Any, answer: Any) -> Iterator[None]:
    usual, settings.QDRANT_TIMEOUT = settings.QDRANT_TIMEOUT, 1
    with qdrant_stub(settings, answer):
        yield
    settings.QDRANT_TIMEOUT = usual


@pytest.mark.parametrize(
    "away",
    [
        qdrant_refusing,
        lambda settings: qdrant_answering(settings, failing(500)),
        lambda settings: qdrant_answering(settings, failing(429)),
        lambda settings: qdrant_answering(settings, failing(400)),
        lambda settings: qdrant_answering(settings, failing(404)),
        lambda settings: qdrant_answering(settings, hanging),
        lambda settings: qdrant_answering(settings, lambda call: Reply({"result": "what?"})),
    ],
    ids=["refuses", "500", "429", "400", "404", "hangs", "nonsense"],
)
def test_a_qdrant_that_cannot_tell_makes_nobody_requeued_and_nothing_deleted(
    away: Any, all_broken: tuple[Any, ...], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(reconcile.CHECKS, "stored file missing")
    monkeypatch.delitem(reconcile.CHECKS, "objects without a document")
    with away(settings):
        assert skipped() == OF_QDRANT
    assert everything() == all_broken


def test_a_storage_that_cannot_tell_makes_nobody_requeued_and_nothing_deleted(
    all_broken: tuple[Any, ...], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(operation: str) -> None:
        raise ConnectionError("no route to host")

    for check in OF_QDRANT:
        monkeypatch.delitem(reconcile.CHECKS, check)
    usual = settings.STORAGES
    watched = usual["default"] | {"BACKEND": "tests.processing.stubs.WatchedStorage"}
    settings.STORAGES = usual | {"default": watched}
    monkeypatch.setattr(stubs.WatchedStorage, "watch", staticmethod(away))
    assert skipped() == OF_STORAGE
    settings.STORAGES = usual
    assert everything() == all_broken


def test_a_check_that_cannot_tell_does_not_keep_the_others_from_theirs(
    ready: Callable[..., Document], settings: Any
) -> None:
    document = ready()
    unposted(document)
    put_object(f"1/{uuid4()}/original", days_old=9)
    ready("index.md")
    with qdrant_refusing(settings):
        found = findings()
    assert found == {
        "message lost": (1, 1),
        "index incomplete": (0, 0),
        "points without a document": (0, 0),
        "objects without a document": (1, 1),
    }


def test_a_qdrant_that_goes_away_in_the_midst_of_a_listing_ends_the_check(
    ready: Callable[..., Document], settings: Any
) -> None:
    ready()
    counts: list[str] = []
    real = forwarding(settings.QDRANT_URL, lambda call: None)

    def only_the_first_count(call: Call) -> Reply | None:
        counts.extend([call.path] if call.path.endswith("/count") else [])
        return real(call) if len(counts) < 2 else Reply({}, 503)

    ready("second.md")
    with qdrant_stub(settings, only_the_first_count):
        assert "index incomplete" in skipped()
    assert not Document.objects.exclude(status="ready").exists()


# --- A run ---------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_second_run_is_refused_while_the_first_is_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    under_way, go_on = threading.Event(), threading.Event()

    def wait() -> Iterator[Any]:
        under_way.set()
        assert go_on.wait(10)
        return iter(())

    monkeypatch.setattr(reconcile, "CHECKS", {"slow": wait})
    first = threading.Thread(target=lambda: (reconcile.run(), connection.close()))
    first.start()
    assert under_way.wait(5)
    assert reconcile.run() is None
    go_on.set()
    first.join()
    assert reconcile.run()
    assert ReconcileRun.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_run_that_was_killed_does_not_lock_out_the_next() -> None:
    """Its lock is its connection's and ends with it."""
    killed = psycopg.connect(**connection.get_connection_params())
    killed.execute("SELECT pg_advisory_lock(%s)", [reconcile.ADVISORY_LOCK])
    assert reconcile.run() is None
    killed.close()
    deadline = time.monotonic() + 5
    while reconcile.run() is None:
        assert time.monotonic() < deadline


def test_a_run_mends_no_more_than_its_limit(
    ready: Callable[..., Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "LIMIT", 2)
    for n in range(3):
        unposted(ready(f"{n}.md"))
    assert findings() == {"message lost": (2, 2)}
    assert findings() == {"message lost": (1, 1)}


def test_a_run_leaves_its_report_for_the_operator(ready: Callable[..., Document]) -> None:
    unposted(ready())
    reconcile.run()
    run = ReconcileRun.objects.get()
    assert run.finished_at
    assert len(run.findings) == len(reconcile.CHECKS)
    [found] = [row for row in run.findings if row["found"]]
    assert found == {"check": "message lost", "found": 1, "mended": 1, "skipped": ""}


# --- The command ---------------------------------------------------------------------------------


def command(*arguments: str) -> str:
    out = StringIO()
    call_command("reconcile", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def test_the_command_prints_a_table(ready: Callable[..., Document]) -> None:
    unposted(ready())
    lines = command().splitlines()
    assert lines[0].startswith("reconciled at ")
    assert "  message lost                 found 1, mended 1" in lines
    assert len(lines) == 1 + len(reconcile.CHECKS)


def test_the_command_says_that_a_dry_run_was_one(ready: Callable[..., Document]) -> None:
    unposted(ready())
    printed = command("--dry-run")
    assert "dry run: nothing mended" in printed
    assert "found 1, mended 0" in printed


def test_the_command_prints_json_that_parses(ready: Callable[..., Document]) -> None:
    unposted(ready())
    report = json.loads(command("--json", "--dry-run"))
    assert report["dry_run"] is True
    assert report["finished_at"] > report["started_at"]
    assert {"check": "message lost", "found": 1, "mended": 0, "skipped": ""} in report["findings"]


def test_the_command_that_repeats_survives_a_database_that_is_away(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(Exception):
        pass

    runs = iter([OperationalError("server closed the connection"), Stopped()])

    def run(dry_run: bool) -> None:
        raise next(runs)

    monkeypatch.setattr(reconcile, "run", run)
    with pytest.raises(Stopped):
        command("--every", "0.01")
