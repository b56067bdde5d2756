"""From a stored file to an exact index on the real engines, and what each failure leaves behind."""

import re
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from qdrant_client import models

from documents import lifecycle, texts
from documents.models import Chunk, Document, KnowledgeBase, Outage, Status
from processing import actors, parsing, pipeline, relay
from processing.errors import LeaseLost
from processing.heartbeat import Lease
from processing.index import generations, vectors
from tests.conftest import let_lease_expire, let_outages_pass, process

from . import stubs
from .files import samples
from .stubs import Call, Reply, embedding_stub, forwarding, good_embeddings, qdrant_stub

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]

LONG = "\n\n".join(
    f"# Part {n}\n\n" + f"The heron of part {n} stands in the reeds and waits. " * 15
    for n in range(4)
).encode()


def extracted_text(document: Document) -> str:
    assert document.indexed_epoch
    return texts.excerpt(document, 0, 10**9)


def objects(document: Document) -> set[str]:
    prefix = document.storage_prefix
    return set(default_storage.listdir(prefix)[1]) if default_storage.exists(prefix) else set()


def point_ids(document: Document) -> set[UUID]:
    points, _ = vectors._client().scroll(
        vectors.collection(),
        models.Filter(must=[vectors._of_document(document.pk)]),
        limit=1000,
    )
    return {UUID(str(point.id)) for point in points}


def assert_exact(document: Document) -> list[Chunk]:
    """Text, passages and points agree; returns the passages."""
    text = extracted_text(document)
    chunks = list(document.chunk_set.all())
    assert chunks
    assert [chunk.position for chunk in chunks] == list(range(document.chunk_count))
    assert [text[chunk.start : chunk.end] for chunk in chunks] == [chunk.text for chunk in chunks]
    assert vectors.count(document.pk) == len(chunks)
    assert point_ids(document) == {chunk.pk for chunk in chunks}
    return chunks


@contextmanager
def watched_storage(
    settings: Any, monkeypatch: pytest.MonkeyPatch, watch: Callable[[str], None]
) -> Iterator[None]:
    usual = settings.STORAGES
    watched = usual["default"] | {"BACKEND": "tests.processing.stubs.WatchedStorage"}
    settings.STORAGES = usual | {"default": watched}
    monkeypatch.setattr(stubs.WatchedStorage, "watch", staticmethod(watch))
    yield
    settings.STORAGES = usual


# --- To READY ------------------------------------------------------------------------------------


@pytest.mark.parametrize("content_type", samples())
def test_each_format_becomes_ready_with_an_exact_index(
    content_type: str, make_ready: MakeDocument
) -> None:
    filename, content = samples()[content_type]
    chunks = assert_exact(make_ready(filename, content, content_type))
    assert any("Lovelace" in chunk.text for chunk in chunks)


def test_who_has_lost_the_lease_fetches_no_further(
    make_document: Callable[..., Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    monkeypatch.setattr(pipeline, "failpoint", steps.append)

    def lost(lease: Lease) -> None:
        raise LeaseLost

    monkeypatch.setattr(Lease, "check", lost)
    process(make_document())
    assert steps == []


def test_a_long_document_is_embedded_in_batches_and_says_how_far_it_is(
    make_document: MakeDocument, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EMBEDDING_BATCH_SIZE = 3
    said: list[tuple[Any, ...]] = []
    monkeypatch.setattr(
        pipeline.Lease,
        "progress",
        lambda lease, *what, keep=False: said.append((*map(str, what), keep)),
    )
    with embedding_stub(settings, good_embeddings) as stub:
        document = process(make_document(content=LONG))
    assert document.status == "ready", document.explain()
    assert [len(call.json["input"]) for call in stub.calls] == [3, document.chunk_count - 3]
    total = str(document.chunk_count)
    assert said == [
        ("parse", False),
        ("embed", "0", total, "passage 1", False),
        ("embed", "3", total, "passage 4", True),
        ("index", total, total, True),
    ]


def test_a_passage_is_embedded_with_its_heading(make_document: MakeDocument, settings: Any) -> None:
    with embedding_stub(settings, good_embeddings) as stub:
        process(make_document(content=b"# Wading birds\n\nThey nest in April.\n"))
    [text] = stub.calls[0].json["input"]
    assert text.removeprefix("passage: ").startswith("Wading birds\n")
    assert text.endswith("They nest in April.")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"Nests \x00 of \x00\x00 herons.", id="NUL"),
        pytest.param(b"Nests \xed\xa0\x80 of herons.", id="surrogate in UTF-8"),
        pytest.param("Nests of herons.".encode("utf-16") + b"\x00\xd8", id="half a pair in UTF-16"),
    ],
)
def test_a_text_with_what_postgresql_cannot_store_becomes_ready(
    content: bytes, make_ready: MakeDocument
) -> None:
    assert_exact(make_ready("nests.txt", content, "text/plain"))


# --- Again ---------------------------------------------------------------------------------------


def test_a_requeued_document_has_a_new_text_object_and_the_old_one_is_gone(
    make_ready: MakeDocument,
) -> None:
    document = make_ready()
    assert objects(document) == {"original", "text-1"}
    assert lifecycle.requeue(document.pk)
    assert_exact(process(document))
    assert objects(document) == {"original", "text-2"}


def test_a_text_of_a_time_that_the_database_does_not_know_any_more_is_replaced(
    make_document: MakeDocument,
) -> None:
    """A backup's rows are older than its objects: an epoch comes for the second time."""
    document = make_document(content=b"The heron nests in April.\n")
    default_storage.save(document.text_key(1), ContentFile(b"Another parser read this."))
    process(document)
    assert document.status == Status.READY
    assert document.attempts == 1
    assert extracted_text(document) == "The heron nests in April."
    assert not Outage.objects.exists()


def test_the_texts_of_tries_that_did_not_succeed_are_removed_too(
    make_document: MakeDocument, settings: Any
) -> None:
    """An outage of a day makes thousands of tries."""
    document = make_document()
    with embedding_stub(settings, stubs.failing(503)):
        for _ in range(3):
            process(document)
            let_outages_pass()
    assert objects(document) == {"original", "text-1", "text-2", "text-3"}
    assert_exact(process(document))
    assert objects(document) == {"original", "text-4"}


def test_the_parts_of_an_earlier_text_go_when_there_is_a_new_one(
    make_ready: MakeDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "PART_CHARS", 2000)
    document = make_ready(content=LONG)
    assert objects(document) == {"original", "text-1-0", "text-1-1"}
    lifecycle.requeue(document.pk)
    process(document)
    assert objects(document) == {"original", "text-2-0", "text-2-1"}
    assert list(document.text_parts.values_list("reading", "number")) == [(2, 0), (2, 1)]
    assert_exact(document)


def test_a_storage_that_fails_after_the_success_does_not_undo_it(
    make_ready: MakeDocument, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = make_ready()
    lifecycle.requeue(document.pk)

    def watch(operation: str) -> None:
        if operation in ("listdir", "delete"):
            raise ConnectionError("gone")

    with watched_storage(settings, monkeypatch, watch):
        process(document)
    assert (document.status, document.indexed_epoch) == ("ready", 2)


def test_a_shorter_index_leaves_no_tail_of_the_longer_one(
    make_ready: MakeDocument, settings: Any
) -> None:
    settings.CHUNK_MAX_CHARS = 200
    document = make_ready(content=LONG)
    before = document.chunk_count
    settings.CHUNK_MAX_CHARS = 1000
    lifecycle.requeue(document.pk)
    assert len(assert_exact(process(document))) < before


def test_a_second_run_of_the_same_file_has_the_same_passages(make_ready: MakeDocument) -> None:
    document = make_ready(content=LONG)
    fields = ("id", "position", "text", "page", "heading", "start", "end")
    before = list(document.chunk_set.values_list(*fields))
    lifecycle.requeue(document.pk)
    process(document)
    assert list(document.chunk_set.values_list(*fields)) == before


# --- What goes wrong -----------------------------------------------------------------------------


def test_a_changed_object_fails_the_document_for_good(make_document: MakeDocument) -> None:
    document = make_document()
    default_storage.delete(document.storage_key)
    default_storage.save(document.storage_key, ContentFile(b"# Something else\n"))
    process(document)
    assert (document.status, document.failure_code) == ("failed", "file_changed")
    assert objects(document) == {"original"}


def test_a_missing_object_fails_the_document_for_good(make_document: MakeDocument) -> None:
    document = make_document()
    default_storage.delete(document.storage_key)
    process(document)
    assert (document.status, document.failure_code) == ("failed", "file_missing")


@pytest.mark.parametrize("operation", ["open", "save"])
def test_a_storage_that_does_not_answer_postpones_and_gives_the_try_back(
    operation: str, make_document: MakeDocument, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = make_document()

    def watch(now: str) -> None:
        if now == operation:
            raise TimeoutError("no answer")

    with watched_storage(settings, monkeypatch, watch):
        process(document)
    assert (document.status, document.attempts) == ("pending", 0)
    assert "the file storage is not available" in document.waiting_for


def test_a_count_that_is_not_exact_is_not_ready(make_document: MakeDocument, settings: Any) -> None:
    real = forwarding(settings.QDRANT_URL, lambda call: None)

    def lose_one(call: Call) -> Reply | None:
        if call.path.endswith("/count"):
            return Reply({"result": {"count": 0}})
        return real(call)

    with qdrant_stub(settings, lose_one):
        document = process(make_document())
    assert (document.status, document.attempts) == ("pending", 1)
    assert document.waiting_for == "The index has 0 of 1 passages."
    assert not document.chunk_set.exists()


def test_a_reply_that_is_lost_after_the_points_were_written_ends_in_the_same_index(
    make_document: MakeDocument, settings: Any
) -> None:
    real = forwarding(settings.QDRANT_URL, lambda call: None)

    def lose_reply(call: Call) -> Reply | None:
        reply = real(call)
        return Reply({}, 504) if "/points" in call.path else reply

    with qdrant_stub(settings, lose_reply):
        document = process(make_document())
    assert document.status == "pending"
    let_outages_pass()
    assert_exact(process(document))


def test_a_document_that_is_deleted_while_it_is_embedded_gets_no_passages(
    make_document: MakeDocument, editor: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = make_document()
    index = pipeline._index
    monkeypatch.setattr(
        pipeline, "_index", lambda *a: (index(*a), lifecycle.soft_delete(document.pk, editor))
    )
    process(document)
    assert document.deleted_at
    assert not document.indexed_at
    assert not document.chunk_set.exists()


def test_a_worker_that_lost_its_lease_while_embedding_leaves_the_other_ones_work_alone(
    make_document: MakeDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second worker does all of its work in the middle of the first one's."""
    document = make_document(content=LONG)
    index = pipeline._index

    def overtaken(*arguments: Any) -> None:
        index(*arguments)
        monkeypatch.setattr(pipeline, "_index", index)
        assert lifecycle.reclaim(let_lease_expire(document))
        process(document)
        assert document.status == "ready"

    monkeypatch.setattr(pipeline, "_index", overtaken)
    process(document)
    assert_exact(document)
    assert (document.status, document.indexed_epoch, document.lease_epoch) == ("ready", 2, 2)
    assert list(document.events.values_list("kind", flat=True)) == [
        "registered", "claimed", "reclaimed", "claimed", "succeeded",
    ]  # fmt: skip


# --- Connections and statements ------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_no_connection_is_held_while_bytes_move_or_a_file_is_parsed(
    make_ready: MakeDocument, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A re-index and a purge, so that every kind of call is among them."""
    document = make_ready(content=LONG)
    lifecycle.requeue(document.pk)
    worker = connection._connections["default"]  # type: ignore[attr-defined]  # this thread's
    held: dict[str, bool] = {}

    def watch(what: str) -> None:
        held[what] = held.get(what, False) or worker.connection is not None

    pieces = parsing.pieces

    def watched_pieces(*args: Any, **options: Any) -> Generator[parsing.Piece]:
        watch("parse")
        for piece in pieces(*args, **options):
            yield piece
            watch("parse")

    monkeypatch.setattr(parsing, "pieces", watched_pieces)
    with ExitStack() as stack:
        qdrant = forwarding(settings.QDRANT_URL, lambda call: watch("qdrant"))
        service = settings.EMBEDDING_API_BASE.removesuffix("/v1")
        embedding = forwarding(service, lambda call: watch("embedding"))
        stack.enter_context(qdrant_stub(settings, qdrant))
        stack.enter_context(embedding_stub(settings, embedding))
        stack.enter_context(watched_storage(settings, monkeypatch, watch))
        assert process(document).status == "ready"
        Document.objects.update(deleted_at=Now() - timedelta(days=2))
        actors.purge.fn(str(document.pk))
    document.refresh_from_db()
    assert document.purged_at
    storage = {"open", "read", "save", "exists", "listdir", "delete"}
    assert held == dict.fromkeys({"parse", "embedding", "qdrant", *storage}, False)


STATEMENTS = 24
TRANSACTION_CONTROL = 8  # four transactions


@pytest.mark.django_db(transaction=True)
def test_an_upload_takes_this_many_statements_until_it_is_ready(
    api: Callable[[User], Client], editor: User, knowledge_base: KnowledgeBase, broker: Any
) -> None:
    """From the request of the API, by way of the relay and Redis, to READY with one passage.

    Counted is each statement that reads, writes or notifies; BEGIN, COMMIT and SAVEPOINT, which
    Django logs too, have a number of their own. Not counted: the relay's idle polls, the heartbeat,
    and the pool's empty query when it checks a connection, which Django does not log.
    """
    generations.establish()  # not the first passage that there ever was
    generations.serving()
    client = api(editor)
    client.get("/api/v1/knowledge-bases/handbook")  # once in 5 minutes a token's use is written
    file = SimpleUploadedFile("notes.md", b"# Notes\n\nThe heron nests in April.\n")
    with CaptureQueriesContext(connection) as queries:
        response = client.post("/api/v1/knowledge-bases/handbook/documents", {"file": file})
        assert response.status_code == 201, response.content
        assert relay.post_due() == 1
        message = next(iter(broker.consume(actors.QUEUE, timeout=1000)))
        actors.process.fn(*message.args)
    document = Document.objects.get()
    assert (document.status, document.chunk_count) == ("ready", 1)
    control = re.compile("BEGIN|COMMIT|SAVEPOINT|RELEASE")
    sent = [query["sql"] for query in queries]
    statements = [sql for sql in sent if not control.match(sql)]
    assert len(statements) == STATEMENTS, "\n".join(sql[:100] for sql in statements)
    assert len(sent) - len(statements) == TRANSACTION_CONTROL


# --- Purge ---------------------------------------------------------------------------------------


def test_a_purge_removes_points_objects_and_passages_of_this_document_only(
    make_ready: MakeDocument,
) -> None:
    document, neighbour = make_ready(content=LONG), make_ready("other.md")
    Document.objects.filter(pk=document.pk).update(deleted_at=Now() - timedelta(days=2))
    actors.purge.fn(str(document.pk))
    document.refresh_from_db()
    assert document.purged_at
    assert (vectors.count(document.pk), objects(document)) == (0, set())
    assert not document.chunk_set.exists()
    assert_exact(neighbour)


def test_a_purge_can_be_run_again(make_ready: MakeDocument) -> None:
    document = make_ready()
    pipeline.purge(document)
    pipeline.purge(document)
    assert (vectors.count(document.pk), objects(document)) == (0, set())


def test_a_purge_of_a_document_without_any_object_is_no_error(make_document: MakeDocument) -> None:
    document = make_document()
    document.pk = UUID(int=1)
    pipeline.purge(document)
