"""From the outbox to Redis: what is posted, in which order, and what survives which failure."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.db.models import F
from django.db.models.functions import Now

from documents import bulk, lifecycle, outages
from documents.models import (
    BulkSlice,
    Document,
    DocumentEvent,
    KnowledgeBase,
    Outage,
    OutboxMessage,
)
from processing import actors, reconcile, relay
from tests import many
from tests.conftest import LONG_AGO, let_lease_expire, process

from .stubs import refused_url

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("broker")]
MakeDocument = Callable[..., Document]
Priority = OutboxMessage.Priority


@pytest.fixture
def posted(broker: Any) -> Callable[[], list[tuple[str, str]]]:
    """What Redis holds, taken out: the actor and the document's id, in a worker's order."""

    def take() -> list[tuple[str, str]]:
        taken = []
        for message in broker.consume(actors.QUEUE, prefetch=1000, timeout=50):
            if message is None:
                return taken
            broker.do_ack(actors.QUEUE, message._message.options["redis_message_id"])
            taken.append((message.actor_name, message.args[0]))
        raise AssertionError

    return take


def process_of(*documents: Document) -> list[tuple[str, str]]:
    return [("process", str(document.pk)) for document in documents]


def eventually(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@contextmanager
def running() -> Iterator[threading.Thread]:
    """A relay in a thread of its own."""
    stop = threading.Event()
    thread = threading.Thread(target=relay.run, args=[stop])
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


@contextmanager
def redis_refuses(broker: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The broker's Redis is where nobody listens."""
    nowhere = redis.ConnectionPool(port=int(refused_url().rsplit(":", 1)[1]))
    with monkeypatch.context() as patch:
        patch.setattr(broker.client, "connection_pool", nowhere)
        yield


# --- What is posted ------------------------------------------------------------------------------


def test_a_due_message_is_posted_and_its_row_is_gone(
    make_document: MakeDocument, posted: Callable[[], list[Any]]
) -> None:
    document = make_document()
    assert relay.post_due() == 1
    assert posted() == process_of(document)
    assert not OutboxMessage.objects.exists()
    assert relay.post_due() == 0


def test_what_is_not_due_yet_waits(
    make_document: MakeDocument, posted: Callable[[], list[Any]]
) -> None:
    make_document()
    OutboxMessage.objects.update(due_at=Now() + timedelta(seconds=30))
    assert relay.post_due() == 0
    assert posted() == []
    assert OutboxMessage.objects.count() == 1


def test_a_purge_is_posted_to_its_own_actor(
    make_document: MakeDocument, editor: User, posted: Callable[[], list[Any]]
) -> None:
    document = make_document()
    lifecycle.soft_delete(document.pk, editor)
    OutboxMessage.objects.filter(action="process").delete()
    OutboxMessage.objects.update(due_at=Now())
    relay.post_due()
    assert posted() == [("purge", str(document.pk))]


def test_a_message_of_an_action_that_this_relay_does_not_know_stops_nobody_else(
    make_document: MakeDocument, posted: Callable[[], list[Any]]
) -> None:
    """A newer release writes it while this one still runs; it stays, to be seen in the admin."""
    make_document("poison.md")
    OutboxMessage.objects.update(action="translate")
    document = make_document()
    assert relay.post_due() == 1
    assert posted() == process_of(document)
    assert OutboxMessage.objects.get().action == "translate"


def test_interactive_work_goes_before_retries_and_bulk(
    make_document: MakeDocument, posted: Callable[[], list[Any]]
) -> None:
    order = [Priority.BULK, Priority.INTERACTIVE, Priority.RESUMED]
    documents = [make_document(f"{priority}.md") for priority in order]
    for document, priority in zip(documents, order, strict=True):
        OutboxMessage.objects.filter(document=document).update(priority=priority)
    relay.post_due()
    assert posted() == process_of(*reversed(documents))


def test_knowledge_bases_take_turns(
    make_document: MakeDocument,
    knowledge_base: KnowledgeBase,
    settings: Any,
    posted: Callable[[], list[Any]],
) -> None:
    """A thousand documents in one knowledge base do not hold up two in another."""
    other = KnowledgeBase.objects.create(name="Other", slug="other")
    many = [make_document(f"{n}.md") for n in range(4)]
    few = [make_document(f"{n}.md", knowledge_base=other) for n in range(2)]
    settings.RELAY_WINDOW = 4
    relay.post_due()
    assert posted() == process_of(many[0], few[0], many[1], few[1])
    relay.post_due()
    assert posted() == process_of(many[2], many[3])


def test_redis_holds_no_more_than_the_window(
    make_document: MakeDocument, settings: Any, broker: Any
) -> None:
    settings.RELAY_WINDOW = 3
    for n in range(5):
        make_document(f"{n}.md")
    assert [relay.post_due(), relay.post_due()] == [3, 0]
    assert broker.do_qsize(actors.QUEUE) == 3
    taken = [next(iter(broker.consume(actors.QUEUE, timeout=100))) for _ in range(2)]
    assert relay.post_due() == 0  # what a worker holds counts until it is done
    for message in taken:
        broker.do_ack(actors.QUEUE, message._message.options["redis_message_id"])
    assert relay.post_due() == 2


# --- Two relays, and crashes ---------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_what_one_relay_is_posting_no_other_posts(
    make_document: MakeDocument,
    posted: Callable[[], list[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first one is held between sending and committing; the second does not wait for it."""
    first = make_document("first.md")
    sent, go_on = threading.Event(), threading.Event()
    send = actors.process.send

    def held(document_id: str) -> None:
        send(document_id)
        sent.set()
        assert go_on.wait(10)

    monkeypatch.setattr(actors.process, "send", held)
    slow = threading.Thread(target=lambda: (relay.post_due(), connection.close()))
    slow.start()
    assert sent.wait(5)
    monkeypatch.setattr(actors.process, "send", send)
    second = make_document("second.md")
    assert relay.post_due() == 1
    go_on.set()
    slow.join(5)
    assert sorted(posted()) == sorted(process_of(first, second))
    assert not OutboxMessage.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_crash_between_sending_and_committing_posts_twice_and_processes_once(
    make_document: MakeDocument,
    posted: Callable[[], list[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    document = make_document()

    class Killed(BaseException):
        pass

    send = actors.process.send

    def killed(document_id: str) -> None:
        send(document_id)
        raise Killed

    monkeypatch.setattr(actors.process, "send", killed)
    with pytest.raises(Killed):
        relay.post_due()
    monkeypatch.setattr(actors.process, "send", send)
    assert relay.post_due() == 1
    copies = posted()
    assert copies == process_of(document, document)
    for _ in copies:
        process(document)
    assert (document.status, document.lease_epoch) == ("ready", 1)


@pytest.mark.django_db(transaction=True)
def test_a_redis_that_falls_silent_keeps_the_transaction_for_one_deadline(
    make_document: MakeDocument, broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first of two messages; nothing of them is lost."""
    make_document("first.md")
    make_document("second.md")
    send, deadline = actors.process.send, 0.5
    with socket.create_server(("127.0.0.1", 0)) as silent, monkeypatch.context() as patch:
        port = silent.getsockname()[1]
        nowhere = redis.ConnectionPool(port=port, socket_timeout=deadline)

        def fall_silent(document_id: str) -> None:
            send(document_id)
            patch.setattr(broker.client, "connection_pool", nowhere)

        patch.setattr(actors.process, "send", fall_silent)
        began = time.monotonic()
        with pytest.raises(redis.TimeoutError):
            relay.post_due()
        assert time.monotonic() - began < 3 * deadline
    assert not connection.in_atomic_block
    assert relay.post_due() == 2


def test_a_message_of_a_row_that_commits_late_is_not_skipped(
    make_document: MakeDocument, posted: Callable[[], list[Any]]
) -> None:
    """There is no high-water mark: a lower id that appears after a higher one was posted counts."""
    late, early = make_document("late.md"), make_document("early.md")
    row = OutboxMessage.objects.get(document=late)
    OutboxMessage.objects.filter(pk=row.pk).delete()
    assert relay.post_due() == 1
    row.save(force_insert=True)
    assert relay.post_due() == 1
    assert posted() == process_of(early, late)


# --- The loop ------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_notification_wakes_the_relay_long_before_its_poll(
    make_document: MakeDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "POLL_SECONDS", 30)
    waits = []
    with running():
        eventually(lambda: is_listening())
        time.sleep(0.1)
        for n in range(3):
            make_document(f"{n}.md")
            began = time.monotonic()
            eventually(lambda: not OutboxMessage.objects.exists(), seconds=5)
            waits.append(time.monotonic() - began)
        ring_a_moment_later()
    assert sorted(waits)[1] < 1, waits


def is_listening() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE query ILIKE 'listen%%'")
        return bool(cursor.fetchone()[0])


def ring_a_moment_later() -> None:
    """A relay that is to stop notices when it wakes."""

    def ring() -> None:
        time.sleep(0.2)
        with connection.cursor() as cursor:
            cursor.execute(f"NOTIFY {OutboxMessage.CHANNEL}")
        connection.close()

    threading.Thread(target=ring).start()


@pytest.mark.django_db(transaction=True)
def test_a_lost_notification_costs_one_poll(
    make_document: MakeDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OutboxMessage, "CHANNEL", "nobody_listens")
    with running():
        time.sleep(0.3)
        monkeypatch.setattr(OutboxMessage, "CHANNEL", "somewhere_else")
        make_document()
        eventually(lambda: not OutboxMessage.objects.exists(), seconds=2.5)


@pytest.mark.django_db(transaction=True)
def test_while_redis_refuses_the_rows_stay_and_the_loop_goes_on(
    make_document: MakeDocument,
    broker: Any,
    posted: Callable[[], list[Any]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with running():
        with redis_refuses(broker, monkeypatch):
            document = make_document()
            eventually(lambda: "cannot relay just now" in caplog.text)
            assert OutboxMessage.objects.count() == 1
        eventually(lambda: not OutboxMessage.objects.exists())
    assert posted() == process_of(document)


@pytest.mark.django_db(transaction=True)
def test_the_loop_survives_that_postgresql_ends_all_its_connections(
    make_document: MakeDocument, posted: Callable[[], list[Any]]
) -> None:
    documents = []
    with running() as thread:
        for n in range(3):
            eventually(is_listening)
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE usename = current_user AND pid <> pg_backend_pid()"
                )
            documents.append(make_document(f"{n}.md"))
            eventually(lambda: not OutboxMessage.objects.exists(), seconds=15)
        assert thread.is_alive()
    assert set(posted()) == set(process_of(*documents))


@pytest.mark.django_db(transaction=True)
def test_the_loop_survives_that_its_connection_ends_in_the_midst_of_a_tick(
    make_document: MakeDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []

    def end_own_connection() -> None:
        if len(ended) < 2:
            ended.append("connection")
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    monkeypatch.setattr(relay, "heal", end_own_connection)
    with running():
        eventually(lambda: len(ended) == 2)
        make_document()
        eventually(lambda: not OutboxMessage.objects.exists(), seconds=3)


@pytest.mark.django_db(transaction=True)
def test_healing_that_fails_keeps_nothing_from_being_posted(
    make_document: MakeDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it does for as long as somebody has locked the row of an abandoned document."""

    def refused() -> None:
        raise OperationalError("canceling statement due to lock timeout")

    monkeypatch.setattr(relay, "heal", refused)
    make_document()
    with running():
        eventually(lambda: not OutboxMessage.objects.exists(), seconds=3)


@pytest.mark.django_db(transaction=True)
def test_where_there_is_always_something_to_post_many_are_requeued_all_the_same(
    knowledge_base: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers that are as quick as the relay leave no post without a message."""
    many.make_bases(1, 1)
    many.make_documents("failed", 2500)
    operator = User.objects.create_superuser("oscar")
    action = bulk.freeze("requeue", Document.objects.filter(status="failed"), operator, "all")
    bulk.confirm(action)
    monkeypatch.setattr(relay, "post_due", lambda rounds: 1)
    with running():
        eventually(lambda: not BulkSlice.objects.exists(), 60)
    action.refresh_from_db()
    assert (action.done, action.total) == (2500, 2500)


def test_the_relay_stops_when_it_is_told_to_and_within_a_poll() -> None:
    stop = threading.Event()
    stop.set()
    relay.run(stop)


# --- Healing -------------------------------------------------------------------------------------


def test_a_document_whose_worker_vanished_is_taken_over(
    make_document: MakeDocument, posted: Callable[[], list[Any]]
) -> None:
    document = make_document()
    OutboxMessage.objects.all().delete()
    assert lifecycle.claim(document.pk)
    let_lease_expire(document)
    relay.heal()
    assert relay.post_due() == 1
    assert posted() == process_of(document)
    assert process(document).status == "ready"
    assert document.attempts == 2


def test_a_document_whose_lease_is_good_is_left_alone(make_document: MakeDocument) -> None:
    document = make_document()
    assert lifecycle.claim(document.pk)
    relay.heal()
    document.refresh_from_db()
    assert document.status == "processing"


def test_what_redis_lost_is_posted_again(
    make_document: MakeDocument, broker: Any, posted: Callable[[], list[Any]]
) -> None:
    documents = [make_document(f"{n}.md") for n in range(3)]
    assert relay.post_due() == 3
    broker.client.flushall()
    relay.heal()
    assert relay.post_due() == 0, "before the grace period it may be on its way"
    Document.objects.update(posted_at=F("posted_at") - LONG_AGO)
    relay.heal()
    assert relay.post_due() == 3
    assert set(posted()) == set(process_of(*documents))


@pytest.mark.parametrize("taken", [0, 1, 2])
def test_a_message_that_waits_in_redis_or_that_a_worker_has_taken_is_not_lost(
    taken: int, make_document: MakeDocument, broker: Any
) -> None:
    """A queue of hours must not fill Redis with copies, nor timelines and logs with losses."""
    for number in range(2):
        make_document(f"{number}.md")
    assert relay.post_due() == 2
    if taken:
        consumer = broker.consume(actors.QUEUE, prefetch=taken, timeout=50)
        assert next(consumer) is not None
    for _ in range(5):
        Document.objects.update(posted_at=F("posted_at") - LONG_AGO)
        relay.heal()
        assert relay.post_due() == 0
    [report] = [row for row in reconcile.run().findings if row["check"] == "message lost"]
    assert (report["found"], report["skipped"]) == (0, "")
    assert broker.client.hlen(f"dramatiq:{actors.QUEUE}.msgs") == 2
    assert not DocumentEvent.objects.filter(kind="reposted").exists()


def test_what_waits_in_redis_does_not_stand_before_what_redis_lost(
    make_document: MakeDocument, broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "HEAL_LIMIT", 2)
    documents = [make_document(f"{n}.md") for n in range(5)]
    assert relay.post_due() == 5
    [lost] = broker.consume(actors.QUEUE, prefetch=1, timeout=50).__next__().args
    consumed = broker.client.smembers(f"dramatiq:__acks__.{broker.broker_id}.{actors.QUEUE}")
    broker.do_ack(actors.QUEUE, *consumed)
    Document.objects.update(posted_at=F("posted_at") - LONG_AGO)
    relay.heal()
    [event] = DocumentEvent.objects.filter(kind="reposted")
    assert str(event.document_id) == lost
    assert len(documents) == broker.do_qsize(actors.QUEUE) + relay.post_due()


@pytest.mark.parametrize("key", ["dramatiq:documents", "dramatiq:documents.msgs"])
def test_what_redis_lost_in_part_is_posted_again(
    key: str, make_document: MakeDocument, broker: Any
) -> None:
    """No worker gets a message that has no turn, or a turn that has no message."""
    make_document()
    relay.post_due()
    broker.client.delete(key)
    Document.objects.update(posted_at=F("posted_at") - LONG_AGO)
    relay.heal()
    assert OutboxMessage.objects.count() == 1


def test_of_a_redis_that_does_not_answer_nobody_can_tell(
    make_document: MakeDocument, broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_document()
    relay.post_due()
    Document.objects.update(posted_at=F("posted_at") - LONG_AGO)
    with redis_refuses(broker, monkeypatch):
        with pytest.raises(ConnectionError):
            relay.heal()
        [report] = [row for row in reconcile.run().findings if row["check"] == "message lost"]
    assert report["skipped"] == "cannot tell: Redis does not answer"
    assert not OutboxMessage.objects.exists()


def test_a_purge_that_waits_in_redis_is_not_overdue(
    make_document: MakeDocument, broker: Any, editor: User, settings: Any
) -> None:
    settings.PURGE_AFTER *= 0
    document = make_document()
    lifecycle.soft_delete(document.pk, editor)
    OutboxMessage.objects.filter(action="process").delete()
    assert relay.post_due() == 1

    def overdue() -> int:
        report = reconcile.run()
        return sum(row["found"] for row in report.findings if row["check"] == "purge overdue")

    assert overdue() == 0
    broker.client.flushall()
    assert overdue() == 1


def test_nobody_is_taken_over_within_a_lease_of_postgresqls_start(
    make_document: MakeDocument, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """While it was away nobody could renew a lease."""
    monkeypatch.undo()
    document = make_document()
    assert lifecycle.claim(document.pk)
    let_lease_expire(document)
    settings.LEASE = timedelta(days=1)  # the tests' PostgreSQL started since then
    relay.heal()
    document.refresh_from_db()
    assert document.status == "processing"
    settings.LEASE = timedelta(0)
    relay.heal()
    document.refresh_from_db()
    assert document.status == "pending"


def test_the_broker_has_deadlines(broker: Any) -> None:
    options = broker.client.connection_pool.connection_kwargs
    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (3, 3)
    assert isinstance(broker.client, redis.Redis)


def test_while_a_service_is_away_documents_wait_in_the_outbox_and_purges_do_not(
    make_document: MakeDocument, posted: Callable[[], list[tuple[str, str]]], editor: User
) -> None:
    waiting, deleted = make_document("waiting.md"), make_document("deleted.md")
    lifecycle.soft_delete(deleted.pk, editor)
    OutboxMessage.objects.filter(action="purge").update(due_at=Now())
    outages.failed("vectors", "the vector database is not available.", None, is_probe=False)
    relay.post_due()
    assert posted() == [("purge", str(deleted.pk))]
    Outage.objects.update(retry_at=Now())
    relay.post_due()
    assert ("process", str(waiting.pk)) in posted()


def test_those_who_waited_for_a_day_of_outage_are_given_up(make_document: MakeDocument) -> None:
    document = make_document()
    outages.failed("vectors", "the vector database is not available.", None, is_probe=False)
    Outage.objects.update(since=Now() - timedelta(hours=25))
    Document.objects.update(progressed_at=Now() - timedelta(hours=25))
    relay.heal()
    document.refresh_from_db()
    assert (document.status, document.failure_code) == ("failed", "service_unavailable")


def test_what_waited_long_in_the_outbox_is_not_lost_the_moment_it_is_posted(
    make_document: MakeDocument, posted: Callable[[], list[tuple[str, str]]]
) -> None:
    document = make_document()
    Document.objects.update(posted_at=Now() - LONG_AGO)
    relay.post_due()
    relay.heal()
    assert not OutboxMessage.objects.exists()
    assert posted() == [("process", str(document.pk))]
    Document.objects.update(posted_at=Now() - LONG_AGO)
    relay.heal()
    assert OutboxMessage.objects.exists()
