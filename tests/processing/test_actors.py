"""What a message makes happen: one outcome, one transition; and the worker around it."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import dramatiq
import pytest
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.db import OperationalError, connection
from django.db.models.functions import Now
from dramatiq import Worker
from dramatiq.middleware import SkipMessage, TimeLimit, TimeLimitExceeded

from documents import lifecycle
from documents.models import Document, Outage, OutboxMessage
from documents.models import Heartbeat as Seen
from processing import actors, heartbeat, middleware, pipeline
from processing.errors import (
    LeaseLost,
    PermanentError,
    RetryableError,
    ServiceUnavailable,
    TurnOver,
    WorkerStopping,
    stalled,
)
from processing.index import vectors
from tests.conftest import let_outages_pass, process

from .stubs import failing, qdrant_at, qdrant_stub, refused_url

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]

BACKOFF = timedelta(seconds=10)


@pytest.fixture
def outcome(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say what the pipeline does instead of its work."""

    def ends_with(error: BaseException, first: Callable[[], object] = lambda: None) -> None:
        def run(lease: heartbeat.Lease) -> None:
            first()
            raise error

        monkeypatch.setattr(pipeline, "run", run)

    return ends_with


def about(delay: timedelta) -> Any:
    return pytest.approx(delay, abs=timedelta(seconds=1))


def eventually(condition: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def delay(document: Document) -> timedelta:
    """In how long it is due, and its one waiting message with it."""
    [message] = OutboxMessage.objects.filter(document=document).order_by("-pk")[:1]
    assert abs(message.due_at - document.due_at) < timedelta(milliseconds=50)
    return document.due_at - document.posted_at


def kinds(document: Document) -> list[str]:
    return list(document.events.values_list("kind", flat=True))


# --- One outcome, one transition -----------------------------------------------------------------


def test_success_is_ready_with_a_timeline_of_its_own(make_ready: MakeDocument) -> None:
    document = make_ready()
    assert (document.status, document.attempts) == ("ready", 1)
    assert kinds(document) == ["registered", "claimed", "succeeded"]


def test_a_permanent_error_fails_at_the_first_try(
    make_document: MakeDocument, outcome: Callable[..., None]
) -> None:
    outcome(PermanentError("encrypted", "The file asks for a password."))
    document = process(make_document())
    assert (document.status, document.attempts) == ("failed", 1)
    assert document.failure_code == "encrypted"
    assert document.explain() == "The file asks for a password."
    assert kinds(document) == ["registered", "claimed", "failed"]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (RetryableError("parser_died", "The parser died."), "The parser died."),
        (TimeLimitExceeded(), stalled("")),
        (
            ZeroDivisionError("secret detail"),
            "Something went wrong here while processing it; it is logged for the operator.",
        ),
    ],
    ids=["RetryableError", "TimeLimitExceeded", "unknown"],
)
def test_an_error_that_may_go_away_counts_the_try_and_waits(
    error: BaseException,
    sentence: str,
    make_document: MakeDocument,
    outcome: Callable[..., None],
) -> None:
    outcome(error)
    document = process(make_document())
    assert (document.status, document.attempts) == ("pending", 1)
    assert document.waiting_for == sentence
    assert BACKOFF * 0.7 < delay(document) < BACKOFF * 1.3
    assert kinds(document) == ["registered", "claimed", "retried"]


@pytest.mark.parametrize(
    ("error", "code", "tries"),
    [
        (RetryableError("index_incomplete", "It is not."), "index_incomplete", 8),
        (RetryableError("parser_died", "The parser died.", tries=2), "parser_died", 2),
        (TimeLimitExceeded(), "stalled", 3),
        (ZeroDivisionError("secret detail"), "internal_error", 8),
    ],
    ids=["RetryableError", "two tries", "TimeLimitExceeded", "unknown"],
)
def test_an_error_that_does_not_go_away_fails_with_the_last_try(
    error: BaseException,
    code: str,
    tries: int,
    make_document: MakeDocument,
    outcome: Callable[..., None],
) -> None:
    outcome(error)
    document = make_document()
    for _ in range(tries):
        process(document)
        Document.objects.update(due_at=Now())
    document.refresh_from_db()
    assert (document.status, document.attempts, document.failure_code) == ("failed", tries, code)
    assert "secret detail" not in document.failure_message


def test_an_outage_gives_the_try_back_and_waits(
    make_document: MakeDocument, outcome: Callable[..., None]
) -> None:
    outcome(ServiceUnavailable("embedding", "HTTP 503"))
    document = process(make_document())
    assert (document.status, document.attempts) == ("pending", 0)
    assert document.waiting_for == "the embedding service is not available (HTTP 503)."
    assert BACKOFF * 0.7 < delay(document) < BACKOFF * 1.3
    assert kinds(document) == ["registered", "claimed", "postponed"]


def test_an_outage_never_uses_up_the_tries(
    make_document: MakeDocument, outcome: Callable[..., None]
) -> None:
    outcome(ServiceUnavailable("storage", "TimeoutError"))
    document = make_document()
    for _ in range(5):
        process(document)
        let_outages_pass()
    document.refresh_from_db()
    assert (document.status, document.attempts, document.lease_epoch) == ("pending", 0, 5)


def test_the_services_wish_when_to_come_back_is_honoured(
    make_document: MakeDocument, outcome: Callable[..., None]
) -> None:
    outcome(ServiceUnavailable("vectors", "HTTP 429", retry_after=42))
    assert delay(process(make_document())) == about(timedelta(seconds=42))


@pytest.mark.parametrize("wish", [0, -5])
def test_a_wish_to_come_back_at_once_waits_all_the_same(
    wish: float, make_document: MakeDocument, outcome: Callable[..., None]
) -> None:
    outcome(ServiceUnavailable("embedding", "HTTP 429", retry_after=wish))
    assert delay(process(make_document())) > BACKOFF * 0.7


@pytest.mark.parametrize("wish", [1e9, 1e300])
def test_a_wish_to_come_back_never_is_cut_to_an_hour(
    wish: float, make_document: MakeDocument, outcome: Callable[..., None]
) -> None:
    outcome(ServiceUnavailable("embedding", "HTTP 429", retry_after=wish))
    assert delay(process(make_document())) == about(timedelta(hours=1))


def test_a_shutdown_hands_the_document_to_the_next_worker_at_once(
    make_document: MakeDocument, outcome: Callable[..., None]
) -> None:
    outcome(WorkerStopping())
    document = process(make_document())
    assert (document.status, document.attempts) == ("pending", 0)
    assert delay(document) == timedelta(0)
    assert Document.objects.due().get() == document


def test_a_lost_lease_touches_nothing(
    make_document: MakeDocument, outcome: Callable[..., None]
) -> None:
    outcome(LeaseLost())
    document = process(make_document())
    assert (document.status, document.attempts) == ("processing", 1)
    assert kinds(document) == ["registered", "claimed"]


@pytest.mark.parametrize(
    "error",
    [
        PermanentError("corrupt", "It is damaged."),
        RetryableError("parser_died", "The parser died."),
        ServiceUnavailable("storage", "TimeoutError"),
        WorkerStopping(),
        TimeLimitExceeded(),
        ZeroDivisionError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_outcome_touches_a_document_that_was_deleted_meanwhile(
    error: BaseException,
    make_document: MakeDocument,
    outcome: Callable[..., None],
    editor: User,
) -> None:
    document = make_document()
    outcome(error, first=lambda: lifecycle.soft_delete(document.pk, editor))
    process(document)
    assert kinds(document) == ["registered", "claimed", "deleted"]
    assert document.deleted_at
    assert not document.failure_code


@pytest.mark.parametrize("error", [LeaseLost(), WorkerStopping(), ZeroDivisionError()])
def test_no_lease_is_renewed_after_its_message(
    error: BaseException, make_document: MakeDocument, outcome: Callable[..., None]
) -> None:
    outcome(error)
    process(make_document())
    assert not heartbeat._leases


# --- Messages that come twice, too late, or from nowhere -----------------------------------------


def test_a_message_for_a_finished_document_is_a_no_op(make_ready: MakeDocument) -> None:
    document = make_ready()
    before = kinds(document)
    process(document)
    assert (kinds(document), document.lease_epoch) == (before, 1)


def test_a_message_for_a_document_that_another_worker_has_is_a_no_op(
    make_document: MakeDocument,
) -> None:
    document = make_document()
    assert lifecycle.claim(document.pk)
    process(document)
    assert (document.lease_epoch, document.attempts) == (1, 1)


def test_a_message_for_a_deleted_document_is_a_no_op(
    make_document: MakeDocument, editor: User
) -> None:
    document = make_document()
    lifecycle.soft_delete(document.pk, editor)
    assert process(document).lease_epoch == 0


@pytest.mark.parametrize("actor", [actors.process, actors.purge])
def test_a_message_for_a_document_that_never_was_is_a_no_op(actor: Any, db: None) -> None:
    actor.fn(str(uuid4()))


# --- Purge ---------------------------------------------------------------------------------------


@pytest.fixture
def deleted(make_ready: MakeDocument) -> Document:
    """A document that was deleted two days ago."""
    document = make_ready()
    Document.objects.update(deleted_at=Now() - timedelta(days=2))
    return document


def test_a_purge_that_comes_before_its_time_is_a_no_op(
    make_ready: MakeDocument, editor: User
) -> None:
    document = make_ready()
    lifecycle.soft_delete(document.pk, editor)
    actors.purge.fn(str(document.pk))
    document.refresh_from_db()
    assert (document.purging_at, vectors.count(document.pk)) == (None, 1)


def test_a_purge_of_a_restored_document_is_a_no_op(deleted: Document, editor: User) -> None:
    assert lifecycle.restore(deleted.pk, editor)
    actors.purge.fn(str(deleted.pk))
    assert default_storage.exists(deleted.storage_key)
    assert vectors.count(deleted.pk) == 1


def test_a_purge_that_a_service_stopped_is_finished_by_the_next(
    deleted: Document, settings: Any
) -> None:
    with qdrant_at(settings, refused_url()):
        actors.purge.fn(str(deleted.pk))
    deleted.refresh_from_db()
    assert deleted.purging_at
    assert not deleted.purged_at
    actors.purge.fn(str(deleted.pk))
    deleted.refresh_from_db()
    assert deleted.purged_at
    assert kinds(deleted)[-1] == "purged"


def test_a_purge_that_comes_twice_is_recorded_once(deleted: Document) -> None:
    actors.purge.fn(str(deleted.pk))
    actors.purge.fn(str(deleted.pk))
    assert kinds(deleted).count("purged") == 1


# --- The worker around it ------------------------------------------------------------------------


@pytest.fixture
def worker(broker: Any, transactional_db: None) -> Iterator[Worker]:
    """Dramatiq's own, in this process, on the real Redis; it is one per process in production."""
    part(middleware.Heartbeat)._stop.clear()
    worker = Worker(broker, worker_timeout=50, worker_threads=2)
    worker.start()
    yield worker
    worker.stop()


def part(kind: type) -> Any:
    [found] = [each for each in dramatiq.get_broker().middleware if type(each) is kind]
    return found


def status(document: Document) -> str:
    return Document.objects.values_list("status", flat=True).get(pk=document.pk)


def test_a_worker_takes_a_document_from_redis_and_makes_it_ready(
    make_document: MakeDocument, worker: Worker
) -> None:
    document = make_document()
    actors.process.send(str(document.pk))
    eventually(lambda: status(document) == "ready")
    eventually(lambda: Seen.objects.filter(kind="worker").exists())


@pytest.mark.parametrize("arguments", [["garbage"], [], [None], ["x", "y"]])
def test_a_message_that_makes_no_sense_does_not_stop_the_worker(
    arguments: list[Any],
    make_document: MakeDocument,
    worker: Worker,
    broker: Any,
    outcome: Callable[..., None],
) -> None:
    outcome(PermanentError("corrupt", "It is damaged."))
    document = make_document()
    for actor in (actors.process, actors.purge):
        broker.enqueue(actor.message_with_options(args=arguments))
    actors.process.send(str(document.pk))
    eventually(lambda: status(document) == "failed")
    eventually(lambda: broker.do_qsize(actors.QUEUE) == 0)  # no retry, no hot loop


def test_ten_copies_of_a_message_are_processed_once(
    make_document: MakeDocument, worker: Worker, broker: Any
) -> None:
    document = make_document()
    for _ in range(10):
        actors.process.send(str(document.pk))
    eventually(lambda: status(document) == "ready")
    eventually(lambda: broker.do_qsize(actors.QUEUE) == 0)
    assert kinds(document) == ["registered", "claimed", "succeeded"]


def test_a_worker_that_is_stopped_gives_its_document_back_uncharged(
    make_document: MakeDocument, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = threading.Event()

    def busy(lease: heartbeat.Lease) -> None:
        started.set()
        for _ in range(3000):
            lease.check()
            time.sleep(0.01)

    monkeypatch.setattr(pipeline, "run", busy)
    monkeypatch.setattr(heartbeat, "FINISH_SECONDS", 0.3)
    document = make_document()
    actors.process.send(str(document.pk))
    assert started.wait(5)
    worker.stop()
    document.refresh_from_db()
    assert (document.status, document.attempts) == ("pending", 0)
    assert kinds(document)[-1] == "handed_back"


def test_a_document_over_the_hard_limit_is_interrupted_and_tried_again(
    make_document: MakeDocument, worker: Worker, broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    timer = part(TimeLimit).manager
    if not timer.is_alive():
        timer.start()  # a process that `dramatiq` started has it from its boot

    def endless(lease: heartbeat.Lease) -> None:
        while True:
            time.sleep(0.01)

    monkeypatch.setattr(pipeline, "run", endless)
    document = make_document()
    message = actors.process.message_with_options(args=[str(document.pk)], time_limit=200)
    broker.enqueue(message)
    eventually(lambda: kinds(document)[-1] == "retried")
    assert Document.objects.get().waiting_for == stalled("")


def all_connections_are_in_the_pool() -> bool:
    connection.close()  # this thread's
    stats = connection.pool.get_stats()  # type: ignore[attr-defined]
    return bool(stats["pool_available"] == stats["pool_size"])


def test_a_processed_message_leaves_no_connection_behind(
    make_document: MakeDocument, worker: Worker, outcome: Callable[..., None]
) -> None:
    outcome(PermanentError("corrupt", "It is damaged."))
    document = make_document()
    actors.process.send(str(document.pk))
    eventually(lambda: status(document) == "failed")
    eventually(all_connections_are_in_the_pool, seconds=2)


def test_a_skipped_message_leaves_no_connection_behind(
    worker: Worker, broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    skipped = threading.Event()

    class Skip(dramatiq.Middleware):
        def before_process_message(self, *args: Any) -> None:
            Document.objects.exists()  # a connection is taken
            raise SkipMessage

        def after_skip_message(self, *args: Any) -> None:
            skipped.set()

    monkeypatch.setattr(broker, "middleware", [*broker.middleware, Skip()])
    actors.process.send(str(uuid4()))
    assert skipped.wait(5)
    eventually(all_connections_are_in_the_pool, seconds=2)


def test_the_time_limit_is_the_last_middleware_and_no_retries_are_among_them() -> None:
    """TimeLimit placed earlier kills worker threads while the others clean up: STACK.md 1.3."""
    names = [type(each).__name__ for each in dramatiq.get_broker().middleware]
    assert names[0] == "ReturnConnections"
    assert names[-1] == "TimeLimit"
    assert not {"Retries", "AdminMiddleware", "AgeLimit"} & set(names)


@pytest.mark.parametrize("actor", [actors.process, actors.purge])
def test_every_actor_has_the_hard_time_limit(actor: Any) -> None:
    assert actor.options["time_limit"] == 600_000


def test_qdrant_refusing_the_purge_leaves_it_to_the_reconciler(
    deleted: Document, settings: Any
) -> None:
    with qdrant_stub(settings, failing(400)), pytest.raises(RetryableError):
        actors.purge.fn(str(deleted.pk))
    assert Document.objects.purgeable().get() == deleted


# --- PostgreSQL itself is away -------------------------------------------------------------------


def test_an_error_of_postgresql_is_not_the_documents_fault(
    make_document: MakeDocument, outcome: Callable[..., None]
) -> None:
    outcome(OperationalError("server closed the connection unexpectedly"))
    document = process(make_document())
    assert (document.status, document.attempts) == ("pending", 0)
    assert document.waiting_for == "the database was away."
    assert not Outage.objects.exists()  # the others find out by themselves


@pytest.mark.parametrize(
    ("error", "transition"),
    [
        (PermanentError("encrypted", "It is locked."), "fail"),
        (RetryableError("corrupt", "It broke off."), "retry_later"),
        (TurnOver(), "yield_turn"),
        (WorkerStopping(), "hand_back"),
    ],
)
def test_nor_is_one_that_comes_when_the_outcome_is_said(
    make_document: MakeDocument,
    outcome: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    transition: str,
) -> None:
    """A row that somebody has locked for too long, say: else its lease would run out, and the
    document be charged with a death.
    """
    outcome(error)
    locked = Mock(side_effect=OperationalError("canceling statement due to lock timeout"))
    monkeypatch.setattr(lifecycle, transition, locked)
    document = process(make_document())
    assert locked.called
    assert (document.status, document.attempts, document.deaths) == ("pending", 0, 0)
    assert document.waiting_for == "the database was away."


def test_a_document_is_given_back_as_soon_as_postgresql_answers_again(
    make_document: MakeDocument, outcome: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome(OperationalError("server closed the connection unexpectedly"))
    postpone, calls = lifecycle.postpone, []

    def away_twice(*args: Any) -> bool:
        calls.append(args)
        if len(calls) < 3:
            raise OperationalError("connection refused")
        return postpone(*args)

    monkeypatch.setattr(lifecycle, "postpone", away_twice)
    monkeypatch.setattr(actors.time, "sleep", lambda seconds: None)
    document = process(make_document())
    assert len(calls) == 3
    assert (document.status, document.attempts) == ("pending", 0)


def test_nobody_waits_for_postgresql_longer_than_the_lease(
    make_document: MakeDocument, outcome: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome(OperationalError("server closed the connection unexpectedly"))
    passed = [0.0]

    def away(*args: Any) -> bool:
        raise OperationalError("connection refused")

    clock = SimpleNamespace(
        monotonic=lambda: time.monotonic() + passed[0],
        sleep=lambda seconds: passed.append(passed.pop() + seconds),
    )
    monkeypatch.setattr(lifecycle, "postpone", away)
    monkeypatch.setattr(actors, "time", clock)
    monkeypatch.setattr(heartbeat, "time", clock)
    document = process(make_document())
    assert 19 <= passed[0] <= 22
    assert document.status == "processing"  # until the lease says it


# --- A service is away ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        PermanentError("corrupt", "It is damaged."),
        LeaseLost(),
        WorkerStopping(),
        ZeroDivisionError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_probe_that_ends_for_another_reason_lets_the_next_one_ask_at_once(
    error: Exception, make_document: MakeDocument, outcome: Callable[..., None]
) -> None:
    outcome(ServiceUnavailable("embedding", "HTTP 503"))
    process(make_document("first.md"))
    Outage.objects.update(retry_at=Now())
    outcome(error)
    process(make_document("probe.md"))
    claim = lifecycle.claim(make_document("next.md").pk)
    assert claim
    assert claim.is_probe


def test_a_probe_that_meets_the_outage_keeps_the_others_waiting(
    make_document: MakeDocument, outcome: Callable[..., None]
) -> None:
    outcome(ServiceUnavailable("embedding", "HTTP 503"))
    process(make_document("first.md"))
    Outage.objects.update(retry_at=Now())
    process(make_document("probe.md"))
    assert lifecycle.claim(make_document("next.md").pk) is None
