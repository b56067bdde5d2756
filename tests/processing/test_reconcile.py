"""What the reconciler finds, what it mends, and what it leaves alone because it cannot tell."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import DataError, OperationalError, connection
from django.db.models import F
from django.db.models.functions import Now
from django.test import Client

from documents import kept, lifecycle
from documents.models import (
    Chunk,
    Document,
    KnowledgeBase,
    OutboxMessage,
    ReconcileRun,
    TextPart,
)
from lumikb.storage import FileStorage
from processing import flight, reconcile
from processing.index import vectors
from processing.reconcile import finding, index, objects
from processing.reconcile.finding import Finding, Scan
from tests.conftest import LONG_AGO, let_lease_expire, process
from tests.e2e.product import wait_for
from tests.failpoints import REPOSITORY, Directory, names

from . import stubs
from .stubs import Call, Reply, failing, forwarding, hanging, qdrant_at, qdrant_stub, refused_url

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]
LONG_DELETED = timedelta(days=2)


@pytest.fixture
def ready(make_document: MakeDocument) -> Callable[..., Document]:
    """A READY document with one passage and one point, made without the parser: it is quicker."""

    def make(filename: str = "notes.md", **fields: Any) -> Document:
        document = make_document(filename, **fields)
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
    grow_old(key, days_old)
    return Path(default_storage.path(key))


def grow_old(key: str, days: float = 2) -> None:
    then = time.time() - days * 86400
    os.utime(default_storage.path(key), (then, then))


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
    listed = {point for page in vectors.documents() for point in page}
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


def with_an_earlier_text(document: Document) -> None:
    """A worker died after it had stored its text, and the next try succeeded."""
    assert lifecycle.requeue(document.pk)
    OutboxMessage.objects.filter(document=document).delete()
    claim = lifecycle.claim(document.pk)
    assert claim
    passages = list(document.chunk_set.all())
    assert lifecycle.succeed(claim, passages)
    kept.sweep(document, claim.epoch)
    default_storage.save(document.text_key(claim.epoch), ContentFile(b"x"))
    grow_old(document.text_key(1))


def with_earlier_passages(document: Document) -> None:
    """A worker died after the document was READY, before it had deleted what search read before."""
    before = list(document.chunk_set.all())
    with_an_earlier_text(document)
    default_storage.delete(document.text_key(1))
    for each in before:
        each.reading = 1
    Chunk.objects.bulk_create(before)


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
    "with earlier passages": ("passages of earlier readings", with_earlier_passages),
    "with an earlier text": ("texts that nobody reads", with_an_earlier_text),
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
    days_old: float, there: bool, make_document: MakeDocument
) -> None:
    """A younger one may be an upload whose row is about to be written."""
    make_document()
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


def texts(document: Document) -> set[str]:
    return {name for name in default_storage.listdir(document.storage_prefix)[1] if "text" in name}


def test_a_text_is_kept_that_the_index_has_or_that_a_worker_at_work_has_stored(
    ready: Callable[..., Document],
) -> None:
    document = ready()
    assert lifecycle.requeue(document.pk)
    claim = lifecycle.claim(document.pk)
    assert claim
    put_object(document.text_key(claim.epoch), days_old=2)
    grow_old(document.text_key(1))
    assert findings() == {}
    assert lifecycle.retry_later(claim, "again", "Once more.")
    assert findings() == {"texts that nobody reads": (1, 1)}
    assert texts(document) == {"text-1"}


def test_a_text_is_kept_with_which_the_next_turn_goes_on(ready: Callable[..., Document]) -> None:
    """However long ago the last one was: the service was away for days, say."""
    document = ready()
    Document.objects.update(status="pending", lease_epoch=3, kept_epoch=2)
    for epoch in (2, 3):
        put_object(document.text_key(epoch), days_old=2)
    assert findings() == {"texts that nobody reads": (1, 1)}
    assert texts(document) == {"text-1", "text-2"}


def test_the_parts_of_the_text_that_search_reads_are_kept_and_no_others(
    ready: Callable[..., Document],
) -> None:
    document = ready()
    default_storage.delete(document.text_key(1))
    fields = {"document": document, "reading": 1, "start": 0, "end": 1}
    TextPart.objects.bulk_create([TextPart(**fields, epoch=1, number=n) for n in (0, 1)])
    for name in ("text-1-0", "text-1-1", "text-1-2", "text-2-0"):
        put_object(f"{document.storage_prefix}/{name}", days_old=2)
    assert findings() == {"texts that nobody reads": (1, 1)}
    assert texts(document) == {"text-1-0", "text-1-1", "text-2-0"}  # the last: of a time to come


def test_the_pictures_of_the_text_that_search_reads_are_kept_and_no_others(
    ready: Callable[..., Document],
) -> None:
    document = ready()
    for name in ("page-1-1", "page-1-12", "page-0-1"):
        put_object(f"{document.storage_prefix}/{name}", days_old=2)
    assert findings() == {"texts that nobody reads": (1, 1)}
    assert default_storage.exists(f"{document.storage_prefix}/page-1-12")
    assert not default_storage.exists(f"{document.storage_prefix}/page-0-1")


def test_a_young_text_that_nobody_reads_is_left_for_a_day(ready: Callable[..., Document]) -> None:
    document = ready()
    with_an_earlier_text(document)
    grow_old(document.text_key(1), days=0.9)
    assert findings() == {}
    assert texts(document) == {"text-1", "text-2"}


def test_an_object_in_the_wrong_knowledge_base_is_kept_while_its_document_is(
    ready: Callable[..., Document],
) -> None:
    document = ready()
    path = put_object(f"{document.knowledge_base_id + 1}/{document.pk}/original", days_old=9)
    assert findings() == {}
    assert path.exists()


def test_a_document_whose_last_orphan_is_deleted_leaves_no_folder(
    ready: Callable[..., Document],
) -> None:
    ready()
    path = put_object(f"1/{uuid4()}/original", days_old=2)
    assert findings() == {"objects without a document": (1, 1)}
    assert not path.parent.exists()


def test_rows_and_objects_are_told_apart_in_any_order_of_knowledge_bases(
    ready: Callable[..., Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys sort as text: 10 before 9. Each base has documents with and without a file, and orphans
    before, between and behind them."""
    missing, orphans = set(), set()
    for pk in (2_000_000, 10_000_000, 3_000_000):
        knowledge_base = KnowledgeBase.objects.create(pk=pk, name=str(pk), slug=str(pk))
        for n in range(12):
            document = ready(f"{pk}-{n}.md", knowledge_base=knowledge_base)
            if n % 3 == 0:
                default_storage.delete(document.storage_key)
                missing.add(str(document.pk))
        for _ in range(5):
            orphans.add(f"{pk}/{uuid4()}/original")
    orphans |= {f"0/{uuid4()}/original", f"99999999/{uuid4()}/text-1"}
    for key in orphans:
        put_object(key, days_old=2)
    monkeypatch.setattr(finding, "PAGE", 5)
    found = list(objects.compared())
    assert {each.what for each in found if each.check == "stored file missing"} == missing
    assert {each.what for each in found if each.check == "objects without a document"} == orphans
    assert len(found) == len(missing) + len(orphans)


def test_documents_are_counted_by_the_page_and_not_one_by_one(
    ready: Callable[..., Document],
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    django_assert_max_num_queries: Any,
) -> None:
    for n in range(30):
        ready(f"{n}.md")
    monkeypatch.setattr(finding, "PAGE", 10)
    real = forwarding(settings.QDRANT_URL, lambda call: None)
    with qdrant_stub(settings, real) as stub, django_assert_max_num_queries(7):
        assert list(index.incomplete()) == []
    assert len(stub.calls) == 3


# --- The second look -----------------------------------------------------------------------------


def test_a_document_that_is_whole_at_the_second_look_is_left_alone(
    ready: Callable[..., Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if it had been indexed anew between the two."""
    ready()
    monkeypatch.setattr(vectors, "counts", lambda document_ids: {})
    assert findings() == {}


def test_a_document_that_is_being_processed_at_the_second_look_is_left_alone(
    ready: Callable[..., Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    document = ready()
    real = vectors.counts

    def requeued_meanwhile(document_ids: Any) -> Any:
        without_points(document)
        lifecycle.requeue(document.pk)
        return real(document_ids)

    monkeypatch.setattr(vectors, "counts", requeued_meanwhile)
    assert findings() == {}
    assert OutboxMessage.objects.count() == 1


def test_a_file_that_is_there_at_the_second_look_is_not_missing(
    ready: Callable[..., Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if it had been stored after the listing had passed its place."""
    document = ready()
    listed = [each for each in default_storage.scan() if each[0] != document.storage_key]  # type: ignore[attr-defined]
    monkeypatch.setattr(FileStorage, "scan", lambda storage, after="": iter(listed))
    assert findings() == {}


def test_an_object_whose_row_is_there_at_the_second_look_is_not_deleted(
    make_document: MakeDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = make_document()
    grow_old(document.storage_key)
    monkeypatch.setattr(objects, "owners", lambda behind: iter(()))
    assert findings() == {}
    assert default_storage.exists(document.storage_key)


# --- Collections ---------------------------------------------------------------------------------


def test_a_collection_whose_maker_died_gets_its_indexes(
    ready: Callable[..., Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as dying:
        dying.setattr(vectors, "create_indexes", lambda **_: None)
        ready()
    assert findings() == {"index not set up": (1, 1)}
    assert vectors.missing_indexes() == []


def test_a_collection_of_other_vectors_is_reported_and_nobody_requeued(
    ready: Callable[..., Document], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready()
    name = vectors.collection()
    monkeypatch.setattr(vectors, "collection", lambda: name)
    settings.EMBEDDING_DIMENSIONS = 3
    assert skipped() == {"index not set up"}
    settings.EMBEDDING_DIMENSIONS = 384


def test_of_an_earlier_models_points_only_the_purged_ones_are_deleted(
    ready: Callable[..., Document], settings: Any
) -> None:
    """The others may be another installation's: its name begins as ours does."""
    current, earlier = settings.EMBEDDING_MODEL, "hosted_vllm/earlier"
    live, purged = ready("live.md"), ready("purged.md")
    stranger = Document(pk=uuid4(), knowledge_base=live.knowledge_base)
    settings.EMBEDDING_MODEL = earlier
    name = vectors.collection()
    for document in (live, purged, stranger):
        put_point(document)
    settings.EMBEDDING_MODEL = current
    purged_with_points(purged)
    try:
        assert findings() == {
            "index of another model": (1, 0),
            "points without a document": (1, 1),
            "purged points of another model": (1, 1),
        }
        settings.EMBEDDING_MODEL = earlier
        assert [vectors.count(each.pk) for each in (live, purged, stranger)] == [1, 0, 1]
    finally:
        settings.EMBEDDING_MODEL = current
        vectors._client().delete_collection(name)


# --- Cannot tell ---------------------------------------------------------------------------------

OF_QDRANT = {
    "index not set up", "index incomplete", "points without a document",
    "index of another model", "purged points of another model",
    "points in another knowledge base",
}  # fmt: skip
OF_STORAGE = {"stored file missing", "objects without a document", "texts that nobody reads"}


def only(monkeypatch: pytest.MonkeyPatch, *checks: str) -> None:
    scans = [scan for scan in reconcile.SCANS if set(scan.checks) & set(checks)]
    monkeypatch.setattr(reconcile, "SCANS", scans)


@pytest.fixture
def all_broken(ready: Callable[..., Document]) -> tuple[Any, ...]:
    """A document with each fault that Qdrant and the storage can tell of, and orphans in both."""
    document = ready()
    with_a_point_too_many(document)
    without_file(document)
    for _ in range(3):
        put_point(Document(pk=uuid4(), knowledge_base=document.knowledge_base))
        put_object(f"0/{uuid4()}/original", days_old=9)
    put_object(document.text_key(0), days_old=9)
    return everything()


def test_all_that_is_broken_there_is_found_when_it_can_be_told(all_broken: Any) -> None:
    """So that what follows can fail."""
    assert findings() == {
        "index incomplete": (1, 1),
        "points without a document": (3, 3),
        "objects without a document": (3, 3),
        "texts that nobody reads": (1, 1),
    }


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
    only(monkeypatch, *OF_QDRANT)
    with away(settings):
        assert skipped() == OF_QDRANT
    assert everything() == all_broken


@pytest.mark.parametrize(
    ("path", "answered", "check"),
    [
        ("/facet", 1, "index incomplete"),
        ("/points/count", 0, "index incomplete"),  # the second look
        ("/points/scroll", 1, "points without a document"),
    ],
)
def test_a_qdrant_that_goes_away_in_the_midst_of_a_scan_ends_it_before_anything_is_done(
    path: str,
    answered: int,
    check: str,
    all_broken: tuple[Any, ...],
    ready: Callable[..., Document],
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_a_point_too_many(ready("second.md"))
    before = everything()
    monkeypatch.setattr(finding, "PAGE", 1)
    monkeypatch.setattr(vectors, "SCROLL", 2)
    only(monkeypatch, check)
    asked: list[Call] = []
    real = forwarding(settings.QDRANT_URL, lambda call: None)

    def only_the_first(call: Call) -> Reply | None:
        if not call.path.endswith(path):
            return real(call)
        asked.append(call)
        return real(call) if len(asked) <= answered else Reply({}, 503)

    with qdrant_stub(settings, only_the_first):
        assert skipped() == {each for scan in reconcile.SCANS for each in scan.checks}
    assert len(asked) == answered + 1
    assert everything() == before


Listing = Iterator[tuple[str, Any]]


def breaks_off(listing: Listing) -> Listing:
    yield from islice(listing, 4)
    raise ConnectionError("no route to host")


def is_cut_off_at_the_end(listing: Listing) -> Listing:
    yield from listing
    raise OSError("the list of objects is cut off")


def comes_in_no_order(listing: Listing) -> Listing:
    return reversed(list(listing))


def comes_twice(listing: Listing) -> Listing:
    for each in listing:
        yield each
        yield each


def is_empty(listing: Listing) -> Listing:
    return iter(())


@pytest.mark.parametrize(
    "fault", [breaks_off, is_cut_off_at_the_end, comes_in_no_order, comes_twice, is_empty]
)
def test_a_listing_that_is_not_whole_makes_nobody_requeued_and_nothing_deleted(
    fault: Callable[[Listing], Listing],
    all_broken: tuple[Any, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    only(monkeypatch, *OF_STORAGE)
    real = FileStorage.scan
    monkeypatch.setattr(FileStorage, "scan", lambda storage, after="": fault(real(storage, after)))
    assert skipped() == OF_STORAGE
    assert everything() == all_broken


def test_a_storage_that_is_not_mounted_makes_nobody_requeued(
    ready: Callable[..., Document], settings: Any, tmp_path: Path
) -> None:
    document = ready()
    mounted = settings.STORAGES
    (tmp_path / "mountpoint").mkdir()
    elsewhere = mounted["default"] | {"OPTIONS": {"location": tmp_path / "mountpoint"}}
    settings.STORAGES = mounted | {"default": elsewhere}
    assert skipped() == OF_STORAGE
    settings.STORAGES = mounted
    document.refresh_from_db()
    assert document.status == "ready"


def test_files_are_not_deleted_because_the_database_is_a_new_one(
    make_document: MakeDocument, knowledge_base: KnowledgeBase
) -> None:
    """Not restored yet, or not the right one. A purged document's row is enough to know it by."""
    orphan = put_object(f"{knowledge_base.pk}/{uuid4()}/original", days_old=9)
    assert skipped() == OF_STORAGE
    assert orphan.exists()
    document = make_document()
    default_storage.delete(document.storage_key)
    Document.objects.update(deleted_at=Now(), purging_at=Now(), purged_at=Now())
    assert findings() == {"objects without a document": (1, 1)}
    assert not orphan.exists()


def test_an_empty_storage_without_documents_is_just_empty(db: None) -> None:
    assert findings() == {}


def test_a_check_that_cannot_tell_does_not_keep_the_others_from_theirs(
    ready: Callable[..., Document], settings: Any
) -> None:
    document = ready()
    unposted(document)
    put_object(f"0/{uuid4()}/original", days_old=9)
    ready("index.md")
    with qdrant_refusing(settings):
        found = findings()
    assert found == {
        "message lost": (1, 1),
        **dict.fromkeys(OF_QDRANT, (0, 0)),
        "objects without a document": (1, 1),
    }


@pytest.mark.parametrize(
    "error", [DataError("no such thing"), OperationalError("lock timeout"), ZeroDivisionError()]
)
def test_an_error_in_one_check_ends_that_check_only(
    error: Exception, ready: Callable[..., Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(document: Document) -> bool:
        raise error

    unposted(ready("1.md"))
    without_points(ready("2.md"))
    monkeypatch.setattr(lifecycle, "repost", fail)
    assert findings() == {"message lost": (1, 0), "index incomplete": (1, 1)}


# --- A run ---------------------------------------------------------------------------------------


@pytest.fixture
def committed(transactional_db: None, ready: Callable[..., Document]) -> Callable[..., Document]:
    """As `ready`, for tests in which other sessions look."""
    return ready


def slow(under_way: threading.Event, go_on: threading.Event) -> Scan:
    def find() -> Iterator[Finding]:
        under_way.set()
        assert go_on.wait(10)
        return iter(())

    return Scan(find, ["slow"])


@pytest.mark.django_db(transaction=True)
def test_a_second_run_is_refused_while_the_first_is_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    under_way, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(reconcile, "SCANS", [slow(under_way, go_on)])
    first = threading.Thread(target=lambda: (reconcile.run(), connection.close()))
    first.start()
    assert under_way.wait(5)
    assert reconcile.run() is None
    go_on.set()
    first.join()
    assert reconcile.run()
    assert ReconcileRun.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_run_whose_lock_is_lost_mends_no_more(
    committed: Callable[..., Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(3):
        unposted(committed(f"{n}.md"))
    real = lifecycle.repost

    def lose_the_lock(document: Document) -> bool:
        assert real(document)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks"
                " WHERE locktype = 'advisory' AND objid = %s",
                [flight.RECONCILE],
            )
        return True

    monkeypatch.setattr(lifecycle, "repost", lose_the_lock)
    with pytest.raises(flight.FlightLost):
        reconcile.run()
    assert OutboxMessage.objects.count() == 1
    assert ReconcileRun.objects.get().finished_at is None
    monkeypatch.setattr(lifecycle, "repost", real)
    assert findings() == {"message lost": (2, 2)}


@pytest.mark.django_db(transaction=True)
def test_no_connection_of_the_pool_is_held_while_a_service_is_asked(
    committed: Callable[..., Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    document = committed()
    without_points(document)
    put_point(Document(pk=uuid4(), knowledge_base=document.knowledge_base))
    put_object(f"0/{uuid4()}/original", days_old=9)
    held: dict[str, bool] = {}

    def watch(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            held[name] = held.get(name, False) or connection.connection is not None
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, watched)

    services = ("counts", "count", "delete", "scroll", "missing_indexes", "earlier_collections")
    for name in services:
        watch(vectors, name)
    watch(FileStorage, "delete")
    scan = FileStorage.scan

    def watched_scan(storage: FileStorage, after: str = "") -> Listing:
        for each in scan(storage, after):
            held["scan"] = held.get("scan", False) or connection.connection is not None
            yield each

    monkeypatch.setattr(FileStorage, "scan", watched_scan)
    reconcile.run()
    assert held == dict.fromkeys([*services, "scan"], False)


def test_a_run_mends_no_more_than_its_limit_and_says_that_there_is_more(
    ready: Callable[..., Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "LIMIT", 2)
    for n in range(3):
        unposted(ready(f"{n}.md"))
    assert findings() == {"message lost": (2, 2)}
    assert [row["check"] for row in ReconcileRun.objects.get().findings if row["more"]] == [
        "message lost"
    ]
    assert findings() == {"message lost": (1, 1)}


def test_of_two_checks_in_one_scan_the_one_at_its_limit_does_not_stop_the_other(
    ready: Callable[..., Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "LIMIT", 1)
    without_file(ready())
    for _ in range(3):
        put_object(f"0/{uuid4()}/original", days_old=9)
    assert findings() == {"objects without a document": (1, 1), "stored file missing": (1, 1)}


def test_a_run_leaves_its_report_for_the_operator(ready: Callable[..., Document]) -> None:
    document = ready()
    unposted(document)
    reconcile.run()
    run = ReconcileRun.objects.get()
    assert run.finished_at
    assert [row["check"] for row in run.findings] == [
        check for scan in reconcile.SCANS for check in scan.checks
    ]
    [found] = [row for row in run.findings if row["found"]]
    assert found.pop("seconds") < 10
    assert found == {
        "check": "message lost",
        "found": 1,
        "mended": 1,
        "skipped": "",
        "more": False,
        "examples": [str(document.pk)],
        "place": "",
        "since": "",
    }


# --- Killed, and two at once, as processes -------------------------------------------------------


@pytest.fixture
def start(settings: Any, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`manage.py reconcile` in a process of its own, on this test's database and services."""
    started: list[subprocess.Popen[str]] = []
    name = settings.DATABASES["default"]["NAME"]
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}")
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "DATABASE_URL": database._replace(
            path=f"/{settings.DATABASES['default']['NAME']}"
        ).geturl(),
        "STORAGE_ROOT": str(tmp_path / "objects"),
        "QDRANT_COLLECTION_PREFIX": settings.QDRANT_COLLECTION_PREFIX,
        "FAILPOINTS": str(tmp_path),
    }

    def start(*arguments: str, **more: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "reconcile", *arguments],
            env=env | more,
            cwd=REPOSITORY,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        return process

    yield start
    for each in started:
        each.kill()
        each.communicate()


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("failpoint", names("reconcile."))
def test_a_run_that_is_killed_anywhere_leaves_the_next_to_mend_the_rest(
    failpoint: str, committed: Callable[..., Document], start: Start, tmp_path: Path
) -> None:
    whole, lost = committed("whole.md"), committed("lost.md")
    without_points(lost)
    orphan = put_object(f"0/{uuid4()}/original", days_old=9)
    stranger = Document(pk=uuid4(), knowledge_base=whole.knowledge_base)
    put_point(stranger)
    Directory(tmp_path).set(failpoint, "kill")
    first = start()
    first.communicate(timeout=60)
    assert first.returncode == -signal.SIGKILL
    assert ReconcileRun.objects.exclude(finished_at=None).count() == 0

    assert json.loads(command("--json"))["finished_at"]  # with status 1 it would raise SystemExit
    assert (vectors.count(stranger.pk), vectors.count(whole.pk)) == (0, 1)
    assert not orphan.exists()
    assert default_storage.exists(whole.storage_key)
    assert list(OutboxMessage.objects.values_list("document", flat=True)) == [lost.pk]
    assert findings() == {}


@pytest.mark.django_db(transaction=True)
def test_of_two_processes_the_second_says_that_another_run_is_under_way(
    start: Start, tmp_path: Path
) -> None:
    failpoints = Directory(tmp_path)
    failpoints.set("reconcile.locked", "hang")
    first = start()
    wait_for(lambda: not failpoints.pending("reconcile.locked"), 30, "the first to have the lock")
    second = start()
    assert second.communicate(timeout=60) == ("", "Another run is under way.\n")
    assert second.returncode == 0
    failpoints.go("reconcile.locked")
    printed, _ = first.communicate(timeout=60)
    assert printed.startswith("reconciled at ")
    assert ReconcileRun.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("at", ["reconcile.checked", None])
def test_the_command_that_repeats_stops_at_once_in_a_run_and_between_two(
    at: str | None, start: Start, tmp_path: Path
) -> None:
    failpoints = Directory(tmp_path)
    if at:
        failpoints.set(at, "hang")
    process = start("--every", "600")
    if at:
        wait_for(lambda: not failpoints.pending(at), 30, "the run to be under way")
    else:
        finished = ReconcileRun.objects.exclude(finished_at=None)
        wait_for(lambda: finished.exists(), 30, "the run to end")
    began = time.monotonic()
    process.terminate()
    assert process.wait(timeout=20) == 0
    assert time.monotonic() - began < 10


@pytest.mark.django_db(transaction=True)
def test_a_database_that_can_only_be_read_makes_the_run_fail_and_changes_nothing(
    committed: Callable[..., Document], start: Start, owner: psycopg.Connection
) -> None:
    without_points(committed())
    before = everything()
    name = connection.settings_dict["NAME"]
    owner.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    try:
        process = start()
        _, errors = process.communicate(timeout=60)
    finally:
        owner.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    assert process.returncode == 1
    assert "read-only transaction" in errors
    assert everything() == before


# --- The command ---------------------------------------------------------------------------------


def command(*arguments: str) -> str:
    out = StringIO()
    call_command("reconcile", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def test_the_command_prints_a_table(ready: Callable[..., Document]) -> None:
    document = ready()
    unposted(document)
    lines = command().splitlines()
    assert lines[0].startswith("reconciled at ")
    assert lines[1].split() == ["check", "found", "mended", "seconds"]
    [line] = [line for line in lines if line.startswith("message lost")]
    assert line.split()[2:4] == ["1", "1"]
    assert line.endswith(str(document.pk))
    checks = [check for scan in reconcile.SCANS for check in scan.checks]
    assert len(lines) == 2 + len(checks)


def test_the_command_ends_with_status_1_when_a_check_could_not_tell(
    ready: Callable[..., Document], settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    ready()
    with qdrant_refusing(settings), pytest.raises(SystemExit) as caught:
        call_command("reconcile")
    assert caught.value.code == 1
    printed = capsys.readouterr().out.splitlines()
    [line] = [line for line in printed if line.startswith("index incomplete")]
    assert line.endswith("cannot tell: vectors: no connection")


def test_the_command_says_that_a_dry_run_was_one(ready: Callable[..., Document]) -> None:
    unposted(ready())
    printed = command("--dry-run")
    assert "dry run: nothing mended" in printed
    [line] = [line for line in printed.splitlines() if line.startswith("message lost")]
    assert line.split()[2:4] == ["1", "0"]


def test_the_command_prints_json_that_parses(ready: Callable[..., Document]) -> None:
    unposted(ready())
    report = json.loads(command("--json", "--dry-run"))
    assert report["dry_run"] is True
    assert report["finished_at"] > report["started_at"]
    [row] = [row for row in report["findings"] if row["found"]]
    assert (row["check"], row["found"], row["mended"]) == ("message lost", 1, 0)


def test_the_command_that_repeats_is_ended_by_no_failure(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(BaseException):
        pass

    away = OperationalError("server closed the connection"), psycopg.OperationalError("refused")
    runs = iter([*away, flight.FlightLost("gone"), ZeroDivisionError(), Stopped()])

    def run(dry_run: bool) -> None:
        raise next(runs)

    monkeypatch.setattr(signal, "signal", lambda *_: None)  # this process's handlers are pytest's
    monkeypatch.setattr(reconcile, "run", run)
    with pytest.raises(Stopped):
        command("--every", "0.01")


# --- The admin -----------------------------------------------------------------------------------

LIST = "/admin/documents/reconcilerun/"


@pytest.fixture
def root(client: Client, make_user: Callable[..., User]) -> Client:
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    return client


def test_the_list_of_runs_says_when_all_was_compared_and_mended_last(
    root: Client, ready: Callable[..., Document], settings: Any
) -> None:
    ready()
    ReconcileRun.objects.create()  # it was killed
    reconcile.run(dry_run=True)
    with qdrant_refusing(settings):
        reconcile.run()
    assert root.get(LIST).context["last_success"] is None
    assert b"No success yet" in root.get(LIST).content
    success = reconcile.run()
    with qdrant_refusing(settings):
        reconcile.run()
    response = root.get(LIST)
    assert response.context["last_success"] == success
    content = response.content.decode()
    assert "Last success: " in content
    outcomes = re.findall(r'field-outcome">([^<]+)<', content)
    assert outcomes == ["Incomplete", "Complete", "Incomplete", "Complete", "Not finished"]


def test_a_run_shows_examples_and_that_there_is_more(
    root: Client, ready: Callable[..., Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "LIMIT", 1)
    documents = [ready(f"{n}.md") for n in range(2)]
    for document in documents:
        unposted(document)
    run = reconcile.run()
    assert run
    content = root.get(f"{LIST}{run.pk}/change/").content.decode()
    first = min(document.pk for document in documents)
    more = "and more, which the next run looks at"
    assert f"message lost: found 1, mended 1; {first}; {more}" in content
