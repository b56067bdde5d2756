"""Leases: renewed together, lost honestly, and never longer than the hard limit."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from documents import lifecycle
from documents.models import Document, Heartbeat
from documents.models.querysets import WORKER_LOCK, PostgresStartedAt
from processing import heartbeat
from processing.errors import LeaseLost, RetryableError, TurnOver, WorkerStopping
from processing.heartbeat import Lease
from processing.parsing import client
from tests.conftest import let_lease_expire

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]


@pytest.fixture
def hold(make_document: MakeDocument) -> Iterator[Callable[..., Lease]]:
    """Claim a new document and hold its lease until the end of the test."""
    with ExitStack() as stack:

        def claimed(filename: str = "notes.md") -> Lease:
            now = heartbeat.time.monotonic()
            claim = lifecycle.claim(make_document(filename).pk)
            assert claim
            return stack.enter_context(heartbeat.hold(claim, now))

        yield claimed


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let this process's clock go on by so many seconds."""
    passed = [0.0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + passed[0])
    monkeypatch.setattr(heartbeat, "time", clock)
    return lambda seconds: passed.append(passed.pop() + seconds)


@contextmanager
def beating() -> Iterator[threading.Thread]:
    stop = threading.Event()
    thread = threading.Thread(target=heartbeat.run, args=[stop])
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


def eventually(condition: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def remaining(lease: Lease) -> timedelta:
    expires_at = Document.objects.get(pk=lease.claim.document_id).lease_expires_at
    assert expires_at
    return expires_at - timezone.now()


def shorten(*leases: Lease) -> None:
    ids = [lease.claim.document_id for lease in leases]
    soon = Now() + timedelta(seconds=3)
    Document.objects.filter(pk__in=ids).update(lease_expires_at=soon)


def test_one_update_renews_all_leases(hold: Callable[..., Lease]) -> None:
    leases = [hold(f"{n}.md") for n in range(3)]
    shorten(*leases)
    with CaptureQueriesContext(connection) as queries:
        heartbeat.beat()
    updates = [q for q in queries if q["sql"].startswith("UPDATE")]
    assert len(updates) == 1
    assert all(remaining(lease) > timedelta(seconds=15) for lease in leases)
    for lease in leases:
        lease.check()


def test_an_idle_worker_says_that_it_lives_in_one_statement(db: None) -> None:
    with CaptureQueriesContext(connection) as queries:
        heartbeat.beat()
    assert len(queries) == 1
    assert Heartbeat.objects.get(kind="worker").seen_at


def test_a_second_beat_moves_the_sign_of_life(db: None) -> None:
    heartbeat.beat()
    Heartbeat.objects.update(seen_at=Now() - timedelta(hours=1))
    heartbeat.beat()
    assert timezone.now() - Heartbeat.objects.get().seen_at < timedelta(minutes=1)


def test_a_lease_that_another_worker_took_is_lost_and_the_others_are_not(
    hold: Callable[..., Lease],
) -> None:
    lost, kept = hold("lost.md"), hold("kept.md")
    document = Document.objects.get(pk=lost.claim.document_id)
    assert lifecycle.reclaim(let_lease_expire(document))
    assert lifecycle.claim(document.pk)
    heartbeat.beat()
    with pytest.raises(LeaseLost):
        lost.check()
    kept.check()


def test_a_lease_is_lost_with_its_document(hold: Callable[..., Lease], editor: User) -> None:
    lease = hold()
    lifecycle.soft_delete(lease.claim.document_id, editor)
    heartbeat.beat()
    with pytest.raises(LeaseLost):
        lease.check()


def test_progress_finds_a_lost_lease_before_the_next_beat(
    hold: Callable[..., Lease], editor: User
) -> None:
    lease = hold()
    lease.progress("embed", 1, 2)
    lifecycle.soft_delete(lease.claim.document_id, editor)
    lease.check()
    with pytest.raises(LeaseLost):
        lease.progress("embed", 2, 2)


@pytest.mark.django_db(transaction=True)
def test_progress_holds_no_connection_afterwards(hold: Callable[..., Lease]) -> None:
    lease = hold()
    lease.progress("parse")
    assert connection.connection is None


def test_what_makes_no_progress_is_stopped_and_says_where(
    hold: Callable[..., Lease], later: Callable[[float], None]
) -> None:
    lease = hold()
    lease.progress("embed", 64, 300, "passage 65")
    later(299)
    heartbeat.beat()
    lease.check()
    later(2)
    with pytest.raises(RetryableError) as caught:
        lease.check()
    assert caught.value.code == "stalled"
    assert "passage 65" in caught.value.sentence


def test_what_gets_on_is_not_stopped_but_its_turn_ends_when_something_is_kept(
    hold: Callable[..., Lease], later: Callable[[float], None]
) -> None:
    lease = hold()
    for _ in range(3):
        later(90)
        heartbeat.beat()
        lease.progress("parse")
    with pytest.raises(TurnOver):
        lease.progress("embed", 1, 2, keep=True)
    assert Document.objects.get().kept_count == 1


def test_what_is_done_is_kept_before_a_worker_stops(hold: Callable[..., Lease]) -> None:
    lease = hold()
    heartbeat._stop_at = 0
    with pytest.raises(WorkerStopping):
        lease.progress("embed", 32, 300, keep=True)
    assert Document.objects.get().kept_count == 32


def test_a_lease_over_the_hard_limit_is_not_renewed(
    hold: Callable[..., Lease], later: Callable[[float], None]
) -> None:
    """A heartbeat proves life, not progress."""
    old = hold("old.md")
    later(599)
    young = hold("young.md")
    later(2)
    shorten(old, young)
    heartbeat.beat()
    assert remaining(old) < timedelta(seconds=4)
    assert remaining(young) > timedelta(seconds=15)


def test_a_worker_that_could_not_renew_for_a_lease_stops_by_its_own_clock(
    hold: Callable[..., Lease],
    later: Callable[[float], None],
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.LEASE = timedelta(seconds=20)
    lease = hold()

    def away(claims: Any) -> Any:
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(lifecycle, "renew", away)
    later(19)
    with pytest.raises(OperationalError):
        heartbeat.beat()
    lease.check()
    later(2)
    with pytest.raises(LeaseLost):
        lease.check()


def test_a_beat_that_took_long_counts_from_its_beginning(
    hold: Callable[..., Lease],
    later: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When the answer came after 15 s the database may have counted from the first of them."""
    lease = hold()
    renew = lifecycle.renew

    def slow(claims: Any) -> Any:
        held = renew(claims)
        later(15)
        return held

    monkeypatch.setattr(lifecycle, "renew", slow)
    heartbeat.beat()
    later(6)
    with pytest.raises(LeaseLost):
        lease.check()


@pytest.mark.django_db(transaction=True)
def test_of_very_many_that_are_alive_none_waits_for_another_to_say_so() -> None:
    Heartbeat.beat(Heartbeat.Kind.WORKER)
    with psycopg.connect(
        os.environ["DATABASE_URL"], dbname=connection.settings_dict["NAME"]
    ) as other:
        other.execute("SELECT FROM documents_heartbeat FOR UPDATE")  # until the end of the block
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '100ms'")
        try:
            Heartbeat.beat(Heartbeat.Kind.WORKER)
        finally:
            connection.close()


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_away_does_not_end_the_heartbeat(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LEASE = timedelta(seconds=0.2)
    beat, failures = Heartbeat.beat, []

    def away(kind: str) -> None:
        if len(failures) < 3:
            failures.append(kind)
            raise OperationalError("server closed the connection")
        beat(kind)

    monkeypatch.setattr(Heartbeat, "beat", away)
    with beating():
        eventually(lambda: Heartbeat.objects.exists())
    assert len(failures) == 3


@pytest.mark.django_db(transaction=True)
def test_the_heartbeat_survives_that_postgresql_ends_its_connection(settings: Any) -> None:
    settings.LEASE = timedelta(seconds=0.2)
    with beating() as thread:
        eventually(lambda: Heartbeat.objects.exists())
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE usename = current_user AND pid <> pg_backend_pid()"
            )
        Heartbeat.objects.all().delete()
        eventually(lambda: Heartbeat.objects.exists())
        assert thread.is_alive()


@pytest.mark.django_db(transaction=True)
def test_no_connection_is_held_between_two_beats() -> None:
    with beating():
        eventually(lambda: Heartbeat.objects.exists())
        connection.close()  # this thread's
        eventually(all_connections_are_in_the_pool, seconds=2)


def all_connections_are_in_the_pool() -> bool:
    stats = connection.pool.get_stats()  # type: ignore[attr-defined]
    return bool(stats["pool_available"] == stats["pool_size"])


@pytest.mark.django_db(transaction=True)
def test_the_heartbeat_needs_no_connection_of_the_pool(settings: Any) -> None:
    settings.LEASE = timedelta(seconds=0.4)
    connection.close()  # this thread's own goes back, too
    pool = connection.pool  # type: ignore[attr-defined]
    with ExitStack() as taken:
        for _ in range(pool.max_size):
            taken.enter_context(pool.connection())
        with beating():
            eventually(lambda: heartbeat_seen(pool))
    connection.close_pool()  # type: ignore[attr-defined] # grown; other tests cut its connections


def heartbeat_seen(pool: Any) -> bool:
    with psycopg.connect(**pool.kwargs) as other:
        row = other.execute("SELECT count(*) FROM documents_heartbeat").fetchone()
        return bool(row and row[0])


def killed(document: Document) -> Document:
    """As if its worker had been killed after its last beat, 7 of the lease's 20 seconds ago."""
    Document.objects.filter(pk=document.pk).update(lease_expires_at=Now() + timedelta(seconds=13))
    document.refresh_from_db()
    return document


@pytest.mark.django_db(transaction=True)
def test_a_worker_whose_session_ended_is_known_to_be_dead_before_its_lease_is_over(
    make_document: MakeDocument,
) -> None:
    document = make_document()
    with beating():
        eventually(lambda: Heartbeat.objects.exists())
        assert lifecycle.claim(document.pk, heartbeat.WORKER)
        killed(document)
        assert not Document.objects.abandoned().exists()
    eventually(lambda: Document.objects.abandoned().exists(), seconds=5)  # 13 of the lease are left
    document.refresh_from_db()
    assert lifecycle.reclaim(document)
    document.refresh_from_db()
    assert (document.status, document.deaths, document.worker) == ("pending", 1, None)


@pytest.mark.django_db(transaction=True)
def test_a_cut_session_is_forgiven_until_a_beat_is_missed(make_document: MakeDocument) -> None:
    document = make_document()
    assert lifecycle.claim(document.pk, heartbeat.WORKER)  # nobody beats, but it is 5 s at most
    assert not Document.objects.abandoned().exists()


@pytest.mark.django_db(transaction=True)
def test_after_a_cut_the_session_is_there_again_with_the_next_beat(settings: Any) -> None:
    settings.LEASE = timedelta(seconds=0.4)
    with beating():
        eventually(lambda: worker_sessions() == 1)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks"
                " WHERE locktype = 'advisory' AND classid = %s",
                [WORKER_LOCK],
            )
        eventually(lambda: worker_sessions() == 0, seconds=1)
        eventually(lambda: worker_sessions() == 1)


def worker_sessions() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE classid = %s AND objid = %s",
            [WORKER_LOCK, heartbeat.WORKER],
        )
        return int(cursor.fetchone()[0])


def test_a_worker_is_not_charged_for_a_restart_of_postgresql(
    hold: Callable[..., Lease], monkeypatch: pytest.MonkeyPatch, make_document: MakeDocument
) -> None:
    document = Document.objects.get(pk=hold().claim.document_id)
    let_lease_expire(document)  # renewed last an hour and a lease ago
    monkeypatch.setattr(
        PostgresStartedAt, "template", "(statement_timestamp() - interval '1 hour')"
    )
    assert lifecycle.reclaim(document)
    document.refresh_from_db()
    assert (document.status, document.attempts, document.deaths) == ("pending", 0, 0)


@pytest.mark.django_db(transaction=True)
def test_a_server_that_falls_silent_costs_a_beat_not_the_heartbeat(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """No timeout of PostgreSQL's ends a wait for an answer that never comes."""
    settings.LEASE = timedelta(seconds=1)
    monkeypatch.setattr(heartbeat, "BEAT_TIMEOUT", 1)
    silences = []
    beat = Heartbeat.beat

    def silent_once(kind: str) -> None:
        if not silences:
            with connection.cursor() as cursor:
                silences.append(kind)
                cursor.execute("SET statement_timeout = 0")
                cursor.execute("SELECT pg_sleep(60)")
        beat(kind)

    monkeypatch.setattr(Heartbeat, "beat", silent_once)
    with beating():
        eventually(lambda: Heartbeat.objects.exists(), seconds=5)
    assert silences


def test_a_worker_that_is_to_stop_may_finish_what_takes_15_seconds(
    hold: Callable[..., Lease], later: Callable[[float], None]
) -> None:
    lease = hold()
    heartbeat.wind_down()
    later(14)
    heartbeat.beat()
    lease.check()
    later(2)
    with pytest.raises(WorkerStopping):
        lease.check()


def test_what_is_blocked_when_the_worker_ends_is_handed_back_and_its_writes_refused(
    hold: Callable[..., Lease],
) -> None:
    lease = hold()
    heartbeat.hand_back_all()
    document = Document.objects.get(pk=lease.claim.document_id)
    assert (document.status, document.attempts) == ("pending", 0)
    with pytest.raises(LeaseLost):
        lease.progress("embed")


@pytest.mark.django_db(transaction=True)
def test_a_long_work_keeps_its_lease_for_longer_than_a_lease(
    hold: Callable[..., Lease], settings: Any
) -> None:
    settings.LEASE = timedelta(seconds=0.8)
    lease = hold()
    with beating():
        for _ in range(6):
            time.sleep(0.2)
            lease.check()
    assert not Document.objects.abandoned().exists()


@pytest.mark.django_db(transaction=True)
def test_a_thread_that_outlives_its_limit_by_a_lease_takes_its_process_with_it(
    hold: Callable[..., Lease],
    later: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    hold()
    later(619)
    with beating():
        pass
    assert not ended
    later(2)
    with beating():
        pass
    assert ended == [70]


def test_a_claim_that_is_done_with_is_no_longer_beaten_for(make_document: MakeDocument) -> None:
    claim = lifecycle.claim(make_document().pk)
    assert claim
    with pytest.raises(ZeroDivisionError), heartbeat.hold(claim, time.monotonic()):
        raise ZeroDivisionError
    with CaptureQueriesContext(connection) as queries:
        heartbeat.beat()
    assert not [query for query in queries if query["sql"].startswith("UPDATE")]


def test_a_worker_that_cannot_filter_its_parsers_says_so_at_every_beat(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(heartbeat, "_unfiltered", False)
    heartbeat.look_at_the_sandbox()
    heartbeat.beat()
    assert not Heartbeat.unfiltered()  # here it can
    monkeypatch.setattr(client, "unfiltered", lambda: "no such thing")
    heartbeat.look_at_the_sandbox()
    heartbeat.beat()
    assert Heartbeat.unfiltered()
    assert "parsers run without their seccomp filter: no such thing" in caplog.text


def test_where_the_filter_is_required_a_worker_without_it_says_why_and_ends(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, settings: Any
) -> None:
    settings.PARSER_SANDBOX = "required"
    monkeypatch.setattr(heartbeat, "_unfiltered", False)
    monkeypatch.setattr(client, "unfiltered", lambda: "no such thing")
    monkeypatch.setattr(os, "_exit", sys.exit)
    with pytest.raises(SystemExit) as ended:
        heartbeat.look_at_the_sandbox()
    assert ended.value.code == 70
    assert Heartbeat.unfiltered()
    assert "no such thing" in caplog.text
