"""A long document is worked on in turns: what one has finished no other does again."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now

from documents import kept, lifecycle, outages, texts
from documents.models import Chunk, Document, Outage, OutboxMessage, TextPart
from processing import actors, fingerprint, parsing, pipeline
from processing.errors import RetryableError
from processing.index import embeddings, terms, vectors
from search import retrieval
from search.query import parse
from tests.conftest import let_lease_expire, let_outages_pass, process

from .stubs import (
    Call,
    Reply,
    Stub,
    embedding_stub,
    forwarding,
    good_embeddings,
    qdrant_stub,
)
from .test_pipeline import assert_exact

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]

LONG = "\n\n".join(
    f"# Part {n}\n\n" + f"The heron of part {n} stands in the reeds and waits. " * 15
    for n in range(12)
).encode()  # 12 passages
BATCH = 3


class Killed(BaseException):
    """A worker that is gone: nothing of it says so."""


@pytest.fixture(autouse=True, scope="module")
def _imported() -> None:
    """What takes seconds, before the first transaction begins."""
    embeddings.warm_up()


@pytest.fixture
def embedded(settings: Any) -> Iterator[Stub]:
    settings.EMBEDDING_BATCH_SIZE = BATCH
    with embedding_stub(settings, good_embeddings) as stub:
        yield stub


@pytest.fixture
def short_turns(settings: Any) -> None:
    """Each turn is over as soon as it has kept anything."""
    settings.TURN = timedelta(0)


@pytest.fixture
def parses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each time that a file is read."""
    pieces, calls = parsing.pieces, []

    def counted(*args: Any, **options: Any) -> Any:
        calls.append("read")
        return pieces(*args, **options)

    monkeypatch.setattr(parsing, "pieces", counted)
    return calls


def texts_of(stub: Stub) -> Counter[str]:
    return Counter(text for call in stub.calls for text in call.json["input"])


def kinds(document: Document) -> list[str]:
    return list(document.events.values_list("kind", flat=True))


def turns_until_ready(document: Document) -> int:
    for turn in range(1, 30):
        process(document)
        if document.status != "pending":
            assert document.status == "ready", document.explain()
            return turn
    raise AssertionError("it does not come to an end")


def die_after(monkeypatch: pytest.MonkeyPatch, name: str, times: int) -> None:
    """Kill the worker when it comes to this failpoint for the n-th time, and never again."""
    counts = iter(range(times, 0, -1))

    def reach(reached: str) -> None:
        if reached == name and next(counts, None) == 1:
            raise Killed

    monkeypatch.setattr(pipeline, "failpoint", reach)


def killed(document: Document) -> None:
    """A turn in which the worker dies, and the relay that takes the document from it."""
    with pytest.raises(Killed):
        process(document)
    assert lifecycle.reclaim(let_lease_expire(document))


# --- What a turn leaves to the next --------------------------------------------------------------


def test_turn_by_turn_each_passage_is_embedded_once_and_the_file_is_read_once(
    make_document: MakeDocument, embedded: Stub, short_turns: None, parses: list[str]
) -> None:
    document = make_document(content=LONG)
    turns = turns_until_ready(document)
    assert turns > 4
    assert set(texts_of(embedded).values()) == {1}
    assert parses == ["read"]
    assert document.attempts == 1
    assert kinds(document) == ["registered", "claimed", "succeeded"]
    assert len(assert_exact(document)) == len(texts_of(embedded)) == document.chunk_count


def test_a_document_of_one_batch_keeps_nothing_and_has_one_turn(
    make_document: MakeDocument, short_turns: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "add", lambda *args: pytest.fail("it was kept"))
    assert turns_until_ready(make_document()) == 1


def test_a_turn_that_is_over_waits_behind_the_others_and_is_due_at_once(
    make_document: MakeDocument, embedded: Stub, short_turns: None
) -> None:
    document, other = make_document(content=LONG), make_document("other.md")
    OutboxMessage.objects.filter(document=document).delete()
    process(document)
    messages = OutboxMessage.objects.order_by("priority", "due_at", "pk")
    assert [message.document_id for message in messages] == [other.pk, document.pk]
    assert (document.status, document.attempts, document.turns) == ("pending", 0, 1)
    assert Document.objects.due().filter(pk=document.pk).exists()


@pytest.mark.parametrize("name", ["worker.batch_embedded", "worker.batch_indexed"])
def test_a_killed_worker_loses_the_batch_under_way_and_no_more(
    name: str,
    make_document: MakeDocument,
    embedded: Stub,
    parses: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    document = make_document(content=LONG)
    for batch in (2, 1, 2):
        die_after(monkeypatch, name, batch)
        killed(document)
    process(document)
    extra = sum(texts_of(embedded).values()) - len(assert_exact(document))
    assert 0 < extra <= 3 * BATCH
    assert parses == ["read"]
    assert (document.status, document.deaths, document.attempts) == ("ready", 3, 4)
    assert kinds(document).count("reclaimed") == 3


@pytest.mark.parametrize("name", ["worker.text_stored", "worker.text_kept", "worker.counted"])
def test_a_worker_may_be_killed_anywhere_else_too(
    name: str, make_document: MakeDocument, embedded: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = make_document(content=LONG)
    die_after(monkeypatch, name, 1)
    killed(document)
    process(document)
    assert_exact(document)
    assert set(texts_of(embedded).values()) == {1}


def test_passages_that_a_worker_wrote_and_did_not_mark_are_written_anew(
    make_document: MakeDocument, embedded: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = make_document(content=LONG)
    monkeypatch.setattr(texts, "PART_CHARS", 2000)
    claim = lifecycle.claim(document.pk)
    assert claim
    work = kept.Kept(fingerprint.of(document), claim.epoch)
    assert kept.mark(claim, work)  # a piece before it, without any passage
    chunk = Chunk(
        id=Chunk.id_for(document.pk, 0), document=document, position=0, text="x", start=0, end=1
    )
    part = TextPart(document=document, reading=1, epoch=1, number=0, start=0, end=1)
    assert kept.add(claim, work.reading, [part], [chunk])
    assert lifecycle.reclaim(let_lease_expire(document))
    process(document)
    assert_exact(document)


def test_an_outage_in_the_middle_costs_no_passage_and_no_try(
    make_document: MakeDocument, settings: Any, embedded: Stub, parses: list[str]
) -> None:
    document = make_document(content=LONG)
    answer, calls = embedded.answer, iter(range(100))
    embedded.answer = lambda call: answer(call) if next(calls) < 2 else Reply({}, 503)
    process(document)
    assert (document.status, document.attempts) == ("pending", 0)
    embedded.answer = answer
    let_outages_pass()
    process(document)
    indexed = sum(texts_of(embedded).values()) - BATCH  # what the outage refused
    assert indexed == len(assert_exact(document))
    assert parses == ["read"]


def test_a_probe_that_goes_on_with_what_was_read_ends_no_outage_of_the_storage(
    make_document: MakeDocument, embedded: Stub, short_turns: None, parses: list[str]
) -> None:
    document = make_document(content=LONG)
    process(document)
    process(document)
    assert parses == ["read"]
    for service in ("embedding", "storage"):
        outages.failed(service, "no answer.", None, is_probe=False)
    let_outages_pass()
    process(document)
    assert [each.service for each in Outage.objects.all()] == ["storage"]


def test_the_pace_of_a_document_is_measured_anew_when_it_is_requeued(
    make_document: MakeDocument, editor: User
) -> None:
    document = make_document()
    claim = lifecycle.claim(document.pk)
    assert claim
    assert lifecycle.progress(claim, "embed", 3, 12, keep=True)
    assert lifecycle.fail(claim, "broken", "It is broken.")
    assert lifecycle.requeue(document.pk, editor)
    document.refresh_from_db()
    assert document.paced_since is None


def test_a_failed_document_that_is_requeued_goes_on_where_it_ended(
    make_document: MakeDocument, embedded: Stub, editor: User, short_turns: None, parses: list[str]
) -> None:
    document = make_document(content=LONG)
    for _ in range(3):
        process(document)
    claim = lifecycle.claim(document.pk)
    assert claim
    assert lifecycle.fail(claim, "service_unavailable", "Given up.")
    assert lifecycle.requeue(document.pk, editor)
    turns_until_ready(document)
    assert set(texts_of(embedded).values()) == {1}
    assert parses == ["read"]


def test_a_restored_document_goes_on_where_it_was(
    make_document: MakeDocument, embedded: Stub, editor: User, short_turns: None
) -> None:
    document = make_document(content=LONG)
    process(document)
    process(document)
    assert lifecycle.soft_delete(document.pk, editor)
    assert lifecycle.restore(document.pk, editor)
    turns_until_ready(document)
    assert set(texts_of(embedded).values()) == {1}
    assert_exact(document)


def test_with_a_slow_embedding_service_batches_are_smaller(
    make_document: MakeDocument, settings: Any, embedded: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EMBEDDING_BATCH_SIZE = 4
    document = make_document(content=LONG)
    clock = mock.Mock(monotonic=mock.Mock(side_effect=itertools.count(0, 4)))  # 4 s for a batch
    monkeypatch.setattr(pipeline, "time", clock)
    monkeypatch.setattr(pipeline, "BATCH_SECONDS", 2.0)
    process(document)
    sizes = [len(call.json["input"]) for call in embedded.calls]
    assert sizes[:3] == [4, 2, 1]
    assert set(sizes[3:]) == {1}
    assert_exact(document)


# --- What does not fit any more ------------------------------------------------------------------


def test_what_was_kept_by_another_splitting_is_done_afresh(
    make_document: MakeDocument, settings: Any, embedded: Stub, short_turns: None, parses: list[str]
) -> None:
    document = make_document(content=LONG)
    process(document)
    process(document)
    settings.CHUNK_MAX_CHARS = 400
    turns_until_ready(document)
    assert parses == ["read", "read"]
    chunks = assert_exact(document)
    assert max(len(chunk.text) for chunk in chunks) <= 400
    assert Chunk.objects.filter(document=document).count() == len(chunks)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EMBEDDING_MODEL", "openai/another"),
        ("CHUNK_MAX_CHARS", 900),
        ("EMBEDDING_PASSAGE_PREFIX", "another: "),
    ],
)
def test_the_fingerprint_is_another_with_what_makes_the_index(
    name: str, value: Any, make_document: MakeDocument, settings: Any
) -> None:
    document = make_document()
    before = fingerprint.of(document)
    settings.EMBEDDING_API_KEY = settings.EMBEDDING_TIMEOUT = settings.EMBEDDING_BATCH_SIZE = 7
    assert fingerprint.of(document) == before
    setattr(settings, name, value)
    assert fingerprint.of(document) != before


def test_the_fingerprint_is_another_with_the_languages_of_the_scans(
    make_document: MakeDocument,
) -> None:
    document = make_document()
    before = fingerprint.of(document)
    document.knowledge_base.languages = "deu"
    assert fingerprint.of(document) != before


def test_a_name_that_was_given_between_two_turns_is_that_of_all_passages(
    make_document: MakeDocument, editor: User, embedded: Stub, short_turns: None
) -> None:
    document = make_document("weir.md", LONG)
    for _ in range(3):
        process(document)
    assert document.kept_count
    assert document.status == "pending"
    assert lifecycle.rename(document.pk, editor, "sluice.md")
    turns_until_ready(document)
    assert_exact(document)
    bases = [document.knowledge_base_id]
    named = {
        name: len(vectors.candidates(None, terms.query_weights(name), bases, 100).by_words)
        for name in ("weir", "sluice")
    }
    assert named == {"weir": 0, "sluice": len(texts_of(embedded))}


def test_an_index_that_lost_what_was_kept_is_made_afresh_and_not_believed(
    make_document: MakeDocument, embedded: Stub, short_turns: None
) -> None:
    document = make_document(content=LONG)
    for _ in range(3):
        process(document)
    vectors.delete(document.pk)
    while document.status == "pending" and not document.waiting_for:
        process(document)
    assert document.waiting_for.startswith("The index has ")
    assert (document.attempts, document.fingerprint) == (1, "")
    Document.objects.update(due_at=Now())
    turns_until_ready(document)
    assert_exact(document)


def test_an_index_that_never_counts_right_runs_out_of_tries(
    make_document: MakeDocument, settings: Any, embedded: Stub
) -> None:
    """Although each try gets as far as the one before."""
    settings.MAX_ATTEMPTS = 3
    real = forwarding(settings.QDRANT_URL, lambda call: None)

    def lose_one(call: Call) -> Reply | None:
        if call.path.endswith("/count"):
            return Reply({"result": {"count": 2}})
        return real(call)

    document = make_document(content=LONG)
    with qdrant_stub(settings, lose_one):
        for _ in range(6):
            process(document)
            Document.objects.filter(status="pending").update(due_at=Now())
    assert (document.status, document.failure_code) == ("failed", "index_incomplete")


# --- Tries are counted since it got on -----------------------------------------------------------


def test_many_deaths_on_a_long_way_are_forgiven(
    make_document: MakeDocument, settings: Any, embedded: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MAX_ATTEMPTS = 4
    settings.EMBEDDING_BATCH_SIZE = 1
    document = make_document(content=LONG)
    for _ in range(5):
        die_after(monkeypatch, "worker.batch_embedded", 2)
        killed(document)
    process(document)
    assert_exact(document)
    assert (document.deaths, document.attempts) == (5, 6)


def test_three_deaths_at_one_passage_fail_the_document_and_name_it(
    make_document: MakeDocument, embedded: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = make_document(content=LONG)
    die_after(monkeypatch, "worker.batch_embedded", 3)
    killed(document)
    for _ in range(2):
        die_after(monkeypatch, "worker.batch_embedded", 1)
        killed(document)
    document.refresh_from_db()
    assert (document.status, document.failure_code) == ("failed", "worker_died")
    assert "3 times" in document.failure_message
    assert f"passage {2 * BATCH + 1}" in document.failure_message


def test_an_error_that_comes_back_is_tried_so_often_since_it_got_on(
    make_document: MakeDocument,
    settings: Any,
    embedded: Stub,
    short_turns: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.MAX_ATTEMPTS = 2
    document = make_document(content=LONG)
    index = pipeline._index

    def broken(*args: Any) -> None:
        raise RetryableError("bad_embeddings", "They make no sense.")

    for works in (True, True, False, True, False, True, False, False):
        monkeypatch.setattr(pipeline, "_index", index if works else broken)
        assert document.status == "pending", document.explain()
        process(document)
        Document.objects.filter(status="pending").update(due_at=Now())
    assert (document.status, document.failure_code) == ("failed", "bad_embeddings")


# --- What people see -----------------------------------------------------------------------------


def test_the_bar_never_goes_back(
    make_document: MakeDocument,
    embedded: Stub,
    short_turns: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    document = make_document(content=LONG)
    shares: list[float] = []

    def sample(*args: Any) -> None:
        now = Document.objects.get(pk=document.pk)
        if now.progress_total:
            shares.append(now.progress_count / now.progress_total)
        elif shares and now.status != "ready":
            shares.append(0.0)

    for name in ("claim", "progress", "yield_turn", "reclaim", "retry_later"):
        usual = getattr(lifecycle, name)
        monkeypatch.setattr(
            lifecycle, name, lambda *a, _usual=usual, **k: (_usual(*a, **k), sample())[0]
        )
    process(document)
    process(document)
    die_after(monkeypatch, "worker.batch_embedded", 1)
    killed(document)
    turns_until_ready(document)
    assert len(shares) > 10
    assert shares == sorted(shares)


def test_what_is_left_is_foretold_from_the_documents_own_pace(make_document: MakeDocument) -> None:
    document = make_document()
    assert lifecycle.claim(document.pk)
    Document.objects.update(
        stage="embed", progress_count=600, progress_total=3000, paced_count=0,
        paced_since=Now() - timedelta(minutes=3), progressed_at=Now(),
    )  # fmt: skip
    document.refresh_from_db()
    assert document.explain().endswith(": 600 of 3000, about 12 minutes.")
    document.progress_count = 40  # too few to tell
    assert document.explain().endswith(": 40 of 3000.")


def test_between_two_turns_it_says_that_it_goes_on(
    make_document: MakeDocument, embedded: Stub, short_turns: None
) -> None:
    document = make_document(content=LONG)
    process(document)
    process(document)
    assert document.explain() == "Its next turn is soon: 3 of 12."
    document.due_at += timedelta(seconds=30)  # it makes room, or the clocks differ
    assert document.explain() == "Its next turn is soon: 3 of 12."


# --- Search never shows a mixture ----------------------------------------------------------------


def test_until_the_new_passages_are_complete_search_shows_the_old_ones(
    make_ready: MakeDocument, settings: Any, embedded: Stub, editor: User
) -> None:
    document = make_ready(content=LONG)
    old = {(c.pk, c.text, c.start) for c in document.chunk_set.current()}
    lifecycle.requeue(document.pk)
    settings.CHUNK_MAX_CHARS, settings.TURN = 500, timedelta(0)
    for _ in range(4):
        process(document)
        assert document.status == "pending"
        assert {(c.pk, c.text, c.start) for c in document.chunk_set.current()} == old
        best = retrieval.search(editor, parse("heron"), 50).best(50)
        assert {(p.chunk.pk, p.chunk.text, p.chunk.start) for p in best} <= old
    turns_until_ready(document)
    new = assert_exact(document)
    assert {(c.pk, c.text, c.start) for c in new} != old
    assert document.chunk_set.count() == len(new)


def test_a_sweep_that_comes_late_leaves_the_reading_under_way_alone(
    make_document: MakeDocument, embedded: Stub, short_turns: None
) -> None:
    document = make_document(content=LONG)
    turns_until_ready(document)
    first = document.indexed_epoch
    assert first
    lifecycle.requeue(document.pk)
    process(document)
    process(document)
    kept.sweep(document, first)
    turns_until_ready(document)
    assert_exact(document)


# --- The purge -----------------------------------------------------------------------------------


def test_a_document_that_is_deleted_between_two_turns_is_purged_whole(
    make_document: MakeDocument, embedded: Stub, editor: User, short_turns: None
) -> None:
    document = make_document(content=LONG)
    process(document)
    process(document)
    lifecycle.soft_delete(document.pk, editor)
    process(document)  # its message comes all the same
    Document.objects.update(deleted_at=Now() - timedelta(days=2))
    actors.purge.fn(str(document.pk))
    assert vectors.count(document.pk) == 0
    assert not document.chunk_set.exists()
    assert not document.text_parts.exists()
