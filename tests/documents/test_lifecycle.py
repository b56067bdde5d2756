"""Every transition: what it does, and that its guard holds."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from documents import kept, lifecycle
from documents.lifecycle import Claim
from documents.models import Chunk, Document, OutboxMessage, Status
from tests.conftest import LONG_AGO, let_lease_expire

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]


def outbox(document: Document) -> list[tuple[str, timedelta]]:
    """The document's messages: what for, and in how long due (in whole seconds)."""
    return [
        (
            message.action,
            timedelta(seconds=round((message.due_at - message.created_at).total_seconds())),
        )
        for message in OutboxMessage.objects.filter(document=document).order_by("pk")
    ]


def kinds(document: Document) -> list[str]:
    return list(document.events.values_list("kind", flat=True))


def chunks(document: Document, count: int = 1) -> list[Chunk]:
    return [
        Chunk(
            id=Chunk.id_for(document.pk, n), document=document, position=n, text="x", start=0, end=1
        )
        for n in range(count)
    ]


@pytest.fixture
def pending(make_document: MakeDocument) -> Document:
    return make_document()


@pytest.fixture
def claimed(pending: Document) -> Claim:
    claim = lifecycle.claim(pending.pk)
    assert claim is not None
    return claim


# --- register -----------------------------------------------------------------------------------


def test_a_registered_document_is_pending_with_its_message_and_its_event(pending: Document) -> None:
    pending.refresh_from_db()
    assert pending.status == Status.PENDING
    assert outbox(pending) == [("process", timedelta(0))]
    assert kinds(pending) == ["registered"]


def test_the_same_name_again_is_a_duplicate_and_leaves_no_message(
    pending: Document, make_document: MakeDocument
) -> None:
    with pytest.raises(lifecycle.DuplicateFilename) as caught:
        make_document()
    assert caught.value.existing == pending.pk
    assert OutboxMessage.objects.count() == 1


def test_another_violation_is_not_taken_for_a_duplicate(make_document: MakeDocument) -> None:
    decomposed = "re\u0301sume\u0301.md"
    with pytest.raises(IntegrityError) as caught:
        make_document(decomposed)
    assert not isinstance(caught.value, lifecycle.DuplicateFilename)


def test_a_deleted_documents_name_is_free(
    pending: Document, make_document: MakeDocument, editor: User
) -> None:
    assert lifecycle.soft_delete(pending.pk, editor)
    assert make_document().status == Status.PENDING


# --- claim --------------------------------------------------------------------------------------


def test_a_claim_counts_the_try_and_raises_the_epoch(pending: Document) -> None:
    assert lifecycle.claim(pending.pk) == Claim(pending.pk, epoch=1, attempt=1)
    pending.refresh_from_db()
    assert (pending.status, pending.attempts, pending.lease_epoch) == ("processing", 1, 1)
    assert pending.lease_expires_at


def test_only_the_first_of_two_claims_gets_the_document(pending: Document) -> None:
    assert lifecycle.claim(pending.pk)
    assert lifecycle.claim(pending.pk) is None


def test_a_document_that_is_not_due_yet_cannot_be_claimed(pending: Document) -> None:
    Document.objects.filter(pk=pending.pk).update(due_at=Now() + timedelta(minutes=1))
    assert lifecycle.claim(pending.pk) is None


def test_a_deleted_document_cannot_be_claimed(pending: Document, editor: User) -> None:
    lifecycle.soft_delete(pending.pk, editor)
    assert lifecycle.claim(pending.pk) is None


# --- the fence ----------------------------------------------------------------------------------

WORKER_WRITES: dict[str, Callable[[Claim], Any]] = {
    "renew": lambda claim: lifecycle.renew([claim]),
    "progress": lambda claim: lifecycle.progress(claim, "embed", 1, 2),
    "succeed": lambda claim: lifecycle.succeed(claim, []),
    "fail": lambda claim: lifecycle.fail(claim, "corrupt", "It is damaged."),
    "retry_later": lambda claim: lifecycle.retry_later(claim, "x", "It did not work."),
    "postpone": lambda claim: lifecycle.postpone(claim, "a service is away"),
    "hand_back": lifecycle.hand_back,
    "yield_turn": lifecycle.yield_turn,
    "keep": lambda claim: lifecycle.progress(claim, "embed", 1, 2, keep=True),
    "kept.add": lambda claim: kept.add(claim, 1, [], chunks(Document(pk=claim.document_id))),
    "kept.mark": lambda claim: kept.mark(claim, kept.Kept("x", 1, 2, 3, 4)),
    "kept.forget": kept.forget,
}


def snapshot(document: Document) -> tuple[Any, ...]:
    row = Document.objects.filter(pk=document.pk).values().get()
    return row, kinds(document), outbox(document), Chunk.objects.filter(document=document).count()


@pytest.mark.parametrize("write", WORKER_WRITES)
def test_the_write_of_a_late_worker_changes_nothing(write: str, pending: Document) -> None:
    late = lifecycle.claim(pending.pk)
    assert late
    assert lifecycle.reclaim(let_lease_expire(pending))
    assert lifecycle.claim(pending.pk)
    before = snapshot(pending)
    assert not WORKER_WRITES[write](late)
    assert snapshot(pending) == before


@pytest.mark.parametrize("write", WORKER_WRITES)
def test_the_write_of_a_worker_whose_document_was_reclaimed_changes_nothing(
    write: str, pending: Document
) -> None:
    late = lifecycle.claim(pending.pk)
    assert late
    assert lifecycle.reclaim(let_lease_expire(pending))
    before = snapshot(pending)
    assert not WORKER_WRITES[write](late)
    assert snapshot(pending) == before


@pytest.mark.parametrize("write", WORKER_WRITES)
def test_the_write_of_a_worker_whose_document_was_deleted_changes_nothing(
    write: str, pending: Document, claimed: Claim, editor: User
) -> None:
    lifecycle.soft_delete(pending.pk, editor)
    before = snapshot(pending)
    assert not WORKER_WRITES[write](claimed)
    assert snapshot(pending) == before


# --- the worker's way ---------------------------------------------------------------------------


def test_renewing_tells_which_of_several_leases_are_still_held(make_document: MakeDocument) -> None:
    first, second = make_document("one.md"), make_document("two.md")
    held, lost = lifecycle.claim(first.pk), lifecycle.claim(second.pk)
    assert held
    assert lost
    lifecycle.reclaim(let_lease_expire(second))
    assert lifecycle.renew([held, lost]) == {held}


def test_success_makes_it_ready_with_exactly_these_chunks(
    pending: Document, claimed: Claim
) -> None:
    assert lifecycle.succeed(claimed, chunks(pending, 3))
    pending.refresh_from_db()
    assert (pending.status, pending.chunk_count, pending.indexed_epoch) == ("ready", 3, 1)
    assert pending.lease_expires_at is None
    assert pending.chunk_set.count() == 3
    assert kinds(pending) == ["registered", "claimed", "succeeded"]


def test_a_failure_has_a_code_and_a_sentence(pending: Document, claimed: Claim) -> None:
    assert lifecycle.fail(claimed, "encrypted", "It is protected by a password.")
    pending.refresh_from_db()
    assert (pending.status, pending.failure_code) == ("failed", "encrypted")
    assert pending.explain() == "It is protected by a password."


def test_a_retry_waits_longer_each_time_and_fails_when_the_tries_are_spent(
    pending: Document,
) -> None:
    waits = []
    for _ in range(7):
        claim = lifecycle.claim(pending.pk)
        assert claim
        OutboxMessage.objects.all().delete()
        assert lifecycle.retry_later(claim, "parser_died", "The parser died.")
        [(action, wait)] = outbox(pending)
        assert action == "process"
        waits.append(wait.total_seconds())
        Document.objects.filter(pk=pending.pk).update(due_at=Now())
    assert 7 <= waits[0] <= 13 < waits[1] <= 25
    assert waits[-1] <= 750
    OutboxMessage.objects.all().delete()
    last = lifecycle.claim(pending.pk)
    assert last
    assert last.attempt == 8
    assert lifecycle.retry_later(last, "parser_died", "The parser died.")
    pending.refresh_from_db()
    assert (pending.status, pending.failure_code) == ("failed", "parser_died")
    assert outbox(pending) == []


def test_an_outage_gives_the_try_back(pending: Document, claimed: Claim) -> None:
    OutboxMessage.objects.all().delete()
    wish = timedelta(seconds=60)
    assert lifecycle.postpone(claimed, "the embedding service is away.", "embedding", wish)
    pending.refresh_from_db()
    assert (pending.status, pending.attempts, pending.lease_epoch) == ("pending", 0, 1)
    [(action, wait)] = outbox(pending)
    assert action == "process"
    assert wait == pytest.approx(wish, abs=timedelta(seconds=1))
    assert "the embedding service is away. Next try at" in pending.explain()


def test_an_outage_of_more_than_a_day_fails_the_document(pending: Document, claimed: Claim) -> None:
    Document.objects.update(postponed_since=Now() - timedelta(hours=25))
    assert lifecycle.postpone(claimed, "the vector database is away.")
    pending.refresh_from_db()
    assert (pending.status, pending.failure_code) == ("failed", "service_unavailable")


# --- healing ------------------------------------------------------------------------------------


def test_a_live_lease_cannot_be_reclaimed(pending: Document, claimed: Claim) -> None:
    pending.refresh_from_db()
    assert not lifecycle.reclaim(pending)


def test_a_reclaimed_document_is_due_at_once(pending: Document, claimed: Claim) -> None:
    assert lifecycle.reclaim(let_lease_expire(pending))
    second = lifecycle.claim(pending.pk)
    assert second == Claim(pending.pk, epoch=2, attempt=2)
    assert kinds(pending)[-2:] == ["reclaimed", "claimed"]


def test_a_reclaim_of_an_older_look_does_not_touch_the_new_worker(pending: Document) -> None:
    lifecycle.claim(pending.pk)
    stale = let_lease_expire(pending)
    assert lifecycle.reclaim(stale)
    lifecycle.claim(pending.pk)
    Document.objects.filter(pk=pending.pk).update(lease_expires_at=Now() - LONG_AGO)
    assert not lifecycle.reclaim(stale)


def test_a_document_that_kills_three_workers_fails_and_says_so(pending: Document) -> None:
    for _ in range(3):
        claim = lifecycle.claim(pending.pk)
        assert claim
        assert lifecycle.progress(claim, "parse")
        assert lifecycle.reclaim(let_lease_expire(pending))
    pending.refresh_from_db()
    assert (pending.status, pending.failure_code) == ("failed", "worker_died")
    assert pending.explain() == (
        "Processing it killed its worker 3 times, the last time at: reading the text."
    )
    assert lifecycle.claim(pending.pk) is None


def test_a_lost_message_is_posted_again_after_a_grace_period(pending: Document) -> None:
    OutboxMessage.objects.all().delete()
    assert not lifecycle.repost(pending)
    Document.objects.update(
        posted_at=Now() - LONG_AGO, progressed_at=Now() - LONG_AGO, due_at=Now() - LONG_AGO
    )
    pending.refresh_from_db()
    assert lifecycle.repost(pending)
    assert outbox(pending) == [("process", timedelta(0))]
    assert not lifecycle.repost(pending)


def test_a_message_that_waits_in_the_outbox_is_not_lost(pending: Document) -> None:
    Document.objects.update(posted_at=Now() - LONG_AGO, due_at=Now() - LONG_AGO)
    assert not lifecycle.repost(pending)


# --- people -------------------------------------------------------------------------------------


def test_a_failed_document_can_be_requeued_with_all_its_tries(
    pending: Document, claimed: Claim, editor: User
) -> None:
    lifecycle.fail(claimed, "corrupt", "It is damaged.")
    assert lifecycle.requeue(pending.pk, editor)
    pending.refresh_from_db()
    assert (pending.status, pending.attempts, pending.failure_message) == ("pending", 0, "")
    event = pending.events.last()
    assert event
    assert (event.kind, event.by) == ("requeued", editor)
    assert lifecycle.claim(pending.pk) == Claim(pending.pk, epoch=2, attempt=1)


def test_a_ready_document_stays_searchable_while_it_is_processed_anew(
    pending: Document, claimed: Claim, editor: User
) -> None:
    lifecycle.succeed(claimed, chunks(pending))
    assert lifecycle.requeue(pending.pk, editor)
    assert Document.objects.searchable().filter(pk=pending.pk).exists()


@pytest.mark.parametrize("is_claimed", [False, True])
def test_what_is_not_finished_cannot_be_requeued(
    is_claimed: bool, pending: Document, editor: User
) -> None:
    if is_claimed:
        lifecycle.claim(pending.pk)
    assert not lifecycle.requeue(pending.pk, editor)


def test_unstick_takes_over_from_a_dead_worker_but_not_from_a_living_one(
    pending: Document, claimed: Claim, editor: User
) -> None:
    pending.refresh_from_db()
    assert not lifecycle.unstick(pending, editor)
    assert lifecycle.unstick(let_lease_expire(pending), editor)
    assert lifecycle.claim(pending.pk)


def test_unstick_makes_a_waiting_document_due(
    pending: Document, claimed: Claim, editor: User
) -> None:
    lifecycle.postpone(claimed, "away")
    pending.refresh_from_db()
    assert lifecycle.claim(pending.pk) is None
    assert lifecycle.unstick(pending, editor)
    assert lifecycle.claim(pending.pk)


def test_unstick_gives_a_document_at_its_last_try_all_its_tries_again(
    pending: Document, editor: User
) -> None:
    Document.objects.filter(pk=pending.pk).update(attempts=2)
    assert lifecycle.claim(pending.pk) == Claim(pending.pk, epoch=1, attempt=3)
    assert lifecycle.unstick(let_lease_expire(pending), editor)
    assert lifecycle.claim(pending.pk) == Claim(pending.pk, epoch=2, attempt=1)


def test_a_restart_of_the_worker_is_no_outage(pending: Document, claimed: Claim) -> None:
    assert lifecycle.hand_back(claimed)
    pending.refresh_from_db()
    assert (pending.status, pending.attempts, pending.postponed_since) == ("pending", 0, None)
    assert lifecycle.claim(pending.pk)


def test_a_time_in_which_nobody_tried_is_no_outage(pending: Document, claimed: Claim) -> None:
    lifecycle.postpone(claimed, "the vector database is away.")
    Document.objects.update(
        postponed_since=Now() - timedelta(days=3), due_at=Now() - timedelta(days=2)
    )
    again = lifecycle.claim(pending.pk)
    assert again
    assert lifecycle.postpone(again, "the vector database is away.")
    pending.refresh_from_db()
    assert pending.status == Status.PENDING


def test_what_people_upload_goes_before_what_is_mended(
    pending: Document, claimed: Claim, editor: User
) -> None:
    lifecycle.succeed(claimed, chunks(pending))
    OutboxMessage.objects.all().delete()
    lifecycle.requeue(pending.pk, reason="its index was not complete")
    assert OutboxMessage.objects.get().priority == OutboxMessage.Priority.BULK


# --- delete, restore, replace, purge ------------------------------------------------------------


def test_a_deleted_document_is_purged_after_a_day(pending: Document, editor: User) -> None:
    OutboxMessage.objects.all().delete()
    assert lifecycle.soft_delete(pending.pk, editor)
    assert not lifecycle.soft_delete(pending.pk, editor)
    assert outbox(pending) == [("purge", timedelta(hours=24))]
    assert not lifecycle.begin_purge(pending.pk)


def test_a_restored_document_goes_on_where_it_was(
    pending: Document, claimed: Claim, editor: User
) -> None:
    lifecycle.soft_delete(pending.pk, editor)
    OutboxMessage.objects.filter(action="process").delete()
    assert lifecycle.restore(pending.pk, editor)
    pending.refresh_from_db()
    assert pending.status == Status.PENDING
    assert outbox(pending) == [("process", timedelta(0))]


def test_a_ready_document_is_restored_ready_and_without_work(
    pending: Document, claimed: Claim, editor: User
) -> None:
    lifecycle.succeed(claimed, chunks(pending))
    OutboxMessage.objects.all().delete()
    lifecycle.soft_delete(pending.pk, editor)
    assert not Document.objects.searchable().exists()
    assert lifecycle.restore(pending.pk, editor)
    assert outbox(pending) == []
    assert Document.objects.searchable().exists()


def test_a_document_whose_name_was_taken_meanwhile_cannot_be_restored(
    pending: Document, make_document: MakeDocument, editor: User
) -> None:
    lifecycle.soft_delete(pending.pk, editor)
    newer = make_document()
    with pytest.raises(lifecycle.DuplicateFilename) as caught:
        lifecycle.restore(pending.pk, editor)
    assert caught.value.existing == newer.pk


def test_a_purge_that_has_begun_cannot_be_undone(
    pending: Document, claimed: Claim, editor: User
) -> None:
    lifecycle.succeed(claimed, chunks(pending))
    lifecycle.soft_delete(pending.pk, editor)
    Document.objects.update(deleted_at=Now() - timedelta(days=2))
    assert lifecycle.begin_purge(pending.pk)
    assert lifecycle.begin_purge(pending.pk), "a worker that died in between begins again"
    assert not lifecycle.restore(pending.pk, editor)
    assert lifecycle.finish_purge(pending.pk)
    assert not lifecycle.finish_purge(pending.pk)
    assert not Chunk.objects.exists()
    assert kinds(pending)[-2:] == ["deleted", "purged"]


@pytest.fixture
def replaced(pending: Document, claimed: Claim, make_document: MakeDocument) -> Document:
    """`pending`, indexed and then replaced by the document that this gives."""
    lifecycle.succeed(claimed, chunks(pending))
    OutboxMessage.objects.all().delete()
    new = next_version(pending)
    assert lifecycle.replace(pending, new)
    return new


def next_version(document: Document) -> Document:
    """Stored, and not registered yet."""
    return Document(
        knowledge_base=document.knowledge_base,
        filename=document.filename,
        content_type=document.content_type,
        size=1,
        sha256="0" * 64,
        tags=document.tags,
        uploaded_by=document.uploaded_by,
    )


def test_the_old_document_is_searchable_until_its_replacement_is_ready(
    pending: Document, replaced: Document
) -> None:
    searchable = Document.objects.searchable()
    assert list(searchable) == [pending]
    assert outbox(pending) == [], "its purge comes with the success of the new one"
    claim = lifecycle.claim(replaced.pk)
    assert claim
    lifecycle.succeed(claim, chunks(replaced))
    assert list(searchable.all()) == [replaced]
    assert outbox(pending) == [("purge", timedelta(hours=24))]


def test_a_replacement_has_the_tags_that_were_put_on_while_it_was_stored(
    pending: Document,
) -> None:
    new = next_version(pending)
    Document.objects.filter(pk=pending.pk).update(tags=["signed"])
    assert lifecycle.replace(pending, new)
    assert Document.objects.get(pk=new.pk).tags == ["signed"]


def test_what_waits_for_its_replacement_is_not_purged(
    pending: Document, replaced: Document
) -> None:
    Document.objects.filter(pk=pending.pk).update(deleted_at=Now() - timedelta(days=2))
    assert not lifecycle.begin_purge(pending.pk)
    claim = lifecycle.claim(replaced.pk)
    assert claim
    lifecycle.succeed(claim, chunks(replaced))
    assert lifecycle.begin_purge(pending.pk)


def test_a_replaced_document_comes_back_when_its_replacement_failed(
    pending: Document, replaced: Document, editor: User
) -> None:
    claim = lifecycle.claim(replaced.pk)
    assert claim
    lifecycle.fail(claim, "corrupt", "It is damaged.")
    assert list(Document.objects.searchable()) == [pending]
    assert lifecycle.restore(pending.pk, editor)
    replaced.refresh_from_db()
    assert replaced.deleted_at
    assert outbox(pending) == []
    assert list(Document.objects.searchable()) == [pending]


def test_what_was_restored_is_replaced_by_nothing_any_more(
    pending: Document, replaced: Document, editor: User
) -> None:
    claim = lifecycle.claim(replaced.pk)
    assert claim
    lifecycle.fail(claim, "corrupt", "It is damaged.")
    lifecycle.restore(pending.pk, editor)
    lifecycle.soft_delete(pending.pk, editor)
    lifecycle.restore(replaced.pk, editor)
    assert not Document.objects.searchable().exists(), "it was deleted for good"


def test_restoring_what_is_not_deleted_deletes_no_replacement(
    pending: Document, replaced: Document, editor: User
) -> None:
    Document.objects.filter(pk=replaced.pk).update(filename="other.md")
    lifecycle.restore(pending.pk, editor)
    Document.objects.filter(pk=replaced.pk).update(deleted_at=None, replaces=pending)
    assert not lifecycle.restore(pending.pk, editor)
    replaced.refresh_from_db()
    assert replaced.deleted_at is None


def test_a_replaced_document_says_that_it_is_still_found(
    pending: Document, replaced: Document
) -> None:
    pending.refresh_from_db()
    assert "found until the new one is ready" in pending.explain()


def test_deleting_the_replacement_lets_go_of_the_old_one_too(
    pending: Document, replaced: Document, editor: User
) -> None:
    lifecycle.soft_delete(replaced.pk, editor)
    assert not Document.objects.searchable().exists()
    assert outbox(pending) == [("purge", timedelta(hours=24))]


def test_a_replacement_of_a_replacement_keeps_the_last_indexed_one_searchable(
    pending: Document, replaced: Document
) -> None:
    third = Document(
        knowledge_base=pending.knowledge_base, filename="third.md", content_type="text/markdown",
        size=1, sha256="1" * 64, uploaded_by=pending.uploaded_by,
    )  # fmt: skip
    assert lifecycle.replace(replaced, third)
    assert third.replaces_id == pending.pk
    assert list(Document.objects.searchable()) == [pending]


def test_a_rename_while_the_replacement_was_on_its_way_stays(pending: Document) -> None:
    new = Document(
        knowledge_base=pending.knowledge_base, filename=pending.filename, content_type="text/plain",
        size=1, sha256="1" * 64, uploaded_by=pending.uploaded_by,
    )  # fmt: skip
    assert lifecycle.rename(pending.pk, pending.uploaded_by, "renamed.md")
    assert lifecycle.replace(pending, new)
    new.refresh_from_db()
    assert new.filename == "renamed.md"


def test_only_one_of_two_replacements_of_one_document_wins(
    pending: Document, replaced: Document
) -> None:
    late = Document(
        knowledge_base=pending.knowledge_base, filename="late.md", content_type="text/markdown",
        size=1, sha256="2" * 64, uploaded_by=pending.uploaded_by,
    )  # fmt: skip
    assert lifecycle.replace(pending, late) is None
    assert not Document.objects.filter(filename="late.md").exists()


# --- what the database refuses ------------------------------------------------------------------


@pytest.mark.parametrize(
    "impossible",
    [
        {"status": "processing"},
        {"lease_expires_at": Now()},
        {"status": "failed"},
        {"failure_message": "x", "failure_code": "x"},
        {"filename": ""},
        {"filename": "re\u0301sume\u0301.md"},
    ],
)
def test_the_database_refuses_an_impossible_row(
    impossible: dict[str, Any], pending: Document
) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Document.objects.filter(pk=pending.pk).update(**impossible)
