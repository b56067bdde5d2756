"""Thousands of lives of documents, invented by Hypothesis, on the real PostgreSQL.

Several workers use claims of any age again and again, while people delete, restore, replace and
requeue, services go away, messages get lost and time passes. After every step each row, message,
passage and event is compared with a model in plain Python (model.py). At the end of each life only
the relay, one worker and time go on: nothing may be left that hangs.

Nothing waits: hours pass by moving all times into the past. Each life is a transaction that is
rolled back. The constraints are checked at once, foreign keys at its end.
"""

import random
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache, partial
from operator import attrgetter
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from hypothesis import HealthCheck, Phase, note, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from documents import kept, lifecycle, outages
from documents.lifecycle import Claim, DuplicateFilename
from documents.models import Chunk, Document, DocumentEvent, KnowledgeBase, Outage, OutboxMessage
from documents.models.querysets import WORKER_LOCK, PostgresStartedAt
from tests.documents import model
from tests.documents.model import Doc, Model

Row = dict[str, Any]

HOUR = timedelta(hours=1)
DAYS = 100  # hours; longer than anything waits
MOST_DOCUMENTS = 5  # so that the actors meet at one
DOCUMENT_TIMES = ["due_at", "posted_at", "progressed_at", "postponed_since", "deleted_at"]
DOCUMENT_TIMES += ["lease_expires_at"]
OUTAGE_TIMES = ["since", "failed_at", "retry_at"]
PLAIN_COLUMNS = ["id", "filename", "replaces_id", "status", "attempts", "deaths", "lease_epoch"]
PLAIN_COLUMNS += ["worker", "failure_code", "indexed_epoch", "chunk_count", "attempts_kept"]
PLAIN_COLUMNS += ["deaths_kept", "furthest", "turns", "kept_epoch", "kept_count"]
FOUND_BY = ["due", "abandoned", "given_up", "unposted", "searchable", "purgeable"]

# When PostgreSQL started, in place of pg_postmaster_start_time().
STARTED = "current_setting('test.started')::timestamptz"
SET_STARTED = "SELECT set_config('test.started', ({now} - %s)::text, true)"

NAMES = 3  # of files

is_live = attrgetter("is_live")
is_deleted = attrgetter("is_deleted")
is_due = attrgetter("is_due")
is_leased = attrgetter("is_leased")
is_finished = attrgetter("is_finished")
is_unposted = attrgetter("is_unposted")
is_purging = attrgetter("is_purging")
is_read = attrgetter("is_read")
hangs = attrgetter("hangs")

done: Counter[str] = Counter()  # what all the lives were made of


class Lives(RuleBasedStateMachine):
    """Half of the picks take a document or a claim with which the step will do something."""

    picks = st.integers(0, 9)
    filenames = st.sampled_from(["a.md", "b.md", "c.md"])
    workers = st.sampled_from([None, model.ALIVE, model.GONE])
    services = st.sampled_from(["", "storage", "embedding"])

    def __init__(self) -> None:
        super().__init__()
        self.transaction = transaction.atomic()
        self.transaction.__enter__()
        self.model = Model()
        self.ids = random.Random(1)  # a life that is lived again has the same: sets go by them
        self.claims: list[Claim] = []  # of all workers, held and lost
        self.looks: list[Document] = []  # at each document as it was claimed
        self.rows: dict[UUID, Row] = {}  # as they were after the last step
        self.seen = 0  # the newest event that was checked
        self.user = User.objects.create(username="edith")
        self.knowledge_base = KnowledgeBase.objects.create(name="Handbook", slug="handbook")
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [WORKER_LOCK, model.ALIVE])
        self._postgres_started("clock_timestamp()", self.model.started)

    @initialize()
    def begin(self) -> None:
        self.register("a.md")
        self.claim(0, None)

    # --- Coming in -------------------------------------------------------------------------------

    @precondition(lambda self: self._has_room() and sum(map(is_live, self._docs())) < NAMES)
    @rule(filename=filenames)
    def register(self, filename: str) -> None:
        document = self._new(filename)
        expected = self.model.register(Doc(document.pk, filename))
        self._same(expected, lifecycle.register, document)

    @precondition(lambda self: self._has_room())
    @rule(pick=picks, filename=filenames)
    def replace(self, pick: int, filename: str) -> None:
        old = self._doc(pick, is_live)
        document = self._new(filename)
        expected = self.model.replace(old, Doc(document.pk, filename))
        self._same(expected, lifecycle.replace, self._row(old), document)

    # --- The workers -----------------------------------------------------------------------------

    @precondition(lambda self: self._some(is_due))
    @rule(pick=picks, worker=workers)
    def claim(self, pick: int, worker: int | None) -> None:
        doc = self._doc(pick, is_due)
        claim = self.model.claim(doc, worker)
        self._same(claim, lifecycle.claim, doc.id, worker)
        if claim:
            self.claims.append(claim)
            self.looks.append(self._row(doc))

    @precondition(lambda self: self._some(is_due) and not self.model.outages)
    @rule(pick=picks, worker=workers, count=st.integers(0, 2))
    def do_all(self, pick: int, worker: int | None, count: int) -> None:
        self.claim(pick, worker)
        self.progress(0)
        self.succeed(0, count)

    @precondition(lambda self: self._some(is_leased))
    @rule(one=picks, other=picks)
    def renew(self, one: int, other: int) -> None:
        claims = [self._claim(one), self._claim(other)]  # as one process does
        self._same(self.model.renew(claims), lifecycle.renew, claims)

    @precondition(lambda self: self._some(is_leased))
    @rule(pick=picks)
    def progress(self, pick: int) -> None:
        claim = self._claim(pick)
        self._same(self.model.progress(claim), lifecycle.progress, claim, "embed", 1, 2)

    @rule(pick=picks, count=st.integers(0, 2))
    def succeed(self, pick: int, count: int) -> None:
        claim = self._claim(pick)
        if self.model.documents[claim.document_id].reading == claim.epoch:
            return  # what a worker has kept it does not do once more at once
        chunks = self._chunks(claim, claim.epoch, count)
        self._same(self.model.succeed(claim, count), lifecycle.succeed, claim, chunks)

    @precondition(lambda self: self._some(is_leased))
    @rule(pick=picks)
    def read(self, pick: int) -> None:
        claim = self._claim(pick)
        self._same(self.model.read(claim), self._read, claim)

    @precondition(lambda self: self._some(is_leased) and self._some(is_read))
    @rule(pick=picks)
    def keep(self, pick: int) -> None:
        claim = self._claim(pick)
        if is_read(self.model.documents[claim.document_id]):
            keep = partial(lifecycle.progress, keep=True)
            self._same(self.model.keep(claim), keep, claim, "embed", 1, 2)

    @precondition(lambda self: self._some(is_read))
    @rule(pick=picks)
    def succeed_with_what_was_kept(self, pick: int) -> None:
        claim = self._claim(pick)
        if is_read(self.model.documents[claim.document_id]):
            succeed = partial(lifecycle.succeed, kept=2)
            self._same(self.model.succeed(claim, 2, kept=True), succeed, claim)

    @precondition(lambda self: self._some(is_leased) and self._some(is_read))
    @rule(pick=picks)
    def forget(self, pick: int) -> None:
        claim = self._claim(pick)
        self._same(self.model.forget(claim), kept.forget, claim)
        expected = self.model.retry_later(claim, "odd", None)
        self._same(expected, lifecycle.retry_later, claim, "odd", "Odd.")

    @precondition(lambda self: self._some(is_leased))
    @rule(pick=picks)
    def yield_turn(self, pick: int) -> None:
        claim = self._claim(pick)
        self._same(self.model.yield_turn(claim), lifecycle.yield_turn, claim)

    @rule(pick=picks)
    def sweep(self, pick: int) -> None:
        """A worker that has succeeded, perhaps long ago, deletes what is older than its own."""
        doc = self._doc(pick, is_finished)
        if doc.indexed is not None:
            kept.sweep(self._row(doc), doc.indexed)

    @precondition(lambda self: self._some(is_leased))
    @rule(pick=picks)
    def fail(self, pick: int) -> None:
        claim = self._claim(pick)
        self._same(self.model.fail(claim, "bad"), lifecycle.fail, claim, "bad", "Bad.")

    @precondition(lambda self: self._some(is_leased))
    @rule(pick=picks, tries=st.sampled_from([None, 2]))
    def retry_later(self, pick: int, tries: int | None) -> None:
        claim = self._claim(pick)
        expected = self.model.retry_later(claim, "odd", tries)
        self._same(expected, lifecycle.retry_later, claim, "odd", "Odd.", tries)

    @precondition(lambda self: self._some(is_leased))
    @rule(pick=picks, service=services, wish=st.sampled_from([None, 4, 9]))
    def postpone(self, pick: int, service: str, wish: int | None) -> None:
        claim = self._claim(pick)
        expected = self.model.postpone(claim, service, wish)
        self._same(expected, lifecycle.postpone, claim, "Away.", service, wish and wish * HOUR)

    @precondition(lambda self: self.model.outages)
    @rule()
    def a_probe_gets_through(self) -> None:
        self._same(self.model.over(), outages.over)

    @precondition(lambda self: self._some(is_leased))
    @rule(pick=picks)
    def hand_back(self, pick: int) -> None:
        claim = self._claim(pick)
        self._same(self.model.hand_back(claim), lifecycle.hand_back, claim)

    # --- Healing ---------------------------------------------------------------------------------

    @precondition(lambda self: self._some(self.model.is_abandoned))
    @rule(pick=picks)
    def reclaim_after_an_older_look(self, pick: int) -> None:
        abandoned = self._doc(pick, self.model.is_abandoned)
        looks = [look for look in self.looks if look.pk == abandoned.id] or self.looks
        look = looks[pick % len(looks)]
        expected = self.model.reclaim(self.model.documents[look.pk], look.lease_epoch)
        self._same(expected, lifecycle.reclaim, look)

    @precondition(lambda self: self._some(self.model.is_abandoned))
    @rule(pick=picks)
    def reclaim(self, pick: int) -> None:
        doc = self._doc(pick, self.model.is_abandoned)
        if is_leased(doc):
            self._same(self.model.reclaim(doc, doc.epoch), lifecycle.reclaim, self._row(doc))

    @precondition(lambda self: self._some(self.model.is_given_up))
    @rule(pick=picks)
    def give_up(self, pick: int) -> None:
        doc = self._doc(pick, self.model.is_given_up)
        self._same(self.model.give_up(doc), lifecycle.give_up, self._row(doc))

    @precondition(lambda self: self._some(is_unposted))
    @rule(pick=picks)
    def repost(self, pick: int) -> None:
        doc = self._doc(pick, is_unposted)
        self._same(self.model.repost(doc), lifecycle.repost, self._row(doc))

    @precondition(lambda self: self._some(self.model.is_purgeable))
    @rule(pick=picks)
    def repost_purge(self, pick: int) -> None:
        doc = self._doc(pick, lambda doc: self.model.is_purgeable(doc) and not doc.outbox)
        self._same(self.model.repost_purge(doc), lifecycle.repost_purge, self._row(doc))

    # --- People ----------------------------------------------------------------------------------

    @precondition(lambda self: self._some(is_finished))
    @rule(pick=picks)
    def requeue(self, pick: int) -> None:
        doc = self._doc(pick, is_finished)
        self._same(self.model.requeue(doc), lifecycle.requeue, doc.id, self.user)

    @precondition(lambda self: self._some(hangs))
    @rule(pick=picks)
    def unstick(self, pick: int) -> None:
        doc = self._doc(pick, hangs)
        self._same(self.model.unstick(doc), lifecycle.unstick, self._row(doc), self.user)

    @rule(pick=picks)
    def soft_delete(self, pick: int) -> None:
        doc = self._doc(pick, is_live)
        self._same(self.model.soft_delete(doc), lifecycle.soft_delete, doc.id, self.user)

    @precondition(lambda self: self._some(is_deleted))
    @rule(pick=picks)
    def restore(self, pick: int) -> None:
        doc = self._doc(pick, is_deleted)
        expected = self.model.restore(doc)
        answer = True if expected is doc else expected or False
        self._same(answer, lifecycle.restore, doc.id, self.user)

    @precondition(lambda self: len(self._docs()) > 1)
    @rule(
        transition=st.sampled_from(
            ["requeue_all", "unstick_all", "soft_delete_all", "restore_all"]
        ),
        left_out=picks,
    )
    def all_but_one(self, transition: str, left_out: int) -> None:
        """A set in which some are of any state."""
        docs = sorted(self._docs(), key=attrgetter("id"))
        del docs[left_out % len(docs)]
        expected = getattr(self.model, transition)(docs)
        ids = [doc.id for doc in docs]
        self._same(expected, getattr(lifecycle, transition), ids, self.user)

    # --- Going out -------------------------------------------------------------------------------

    @precondition(lambda self: self._some(self.model.is_purgeable))
    @rule(pick=picks)
    def begin_purge(self, pick: int) -> None:
        doc = self._doc(pick, self.model.is_purgeable)
        self._same(self.model.begin_purge(doc), lifecycle.begin_purge, doc.id)

    @precondition(lambda self: self._some(is_purging))
    @rule(pick=picks)
    def finish_purge(self, pick: int) -> None:
        doc = self._doc(pick, is_purging)
        self._same(self.model.finish_purge(doc), lifecycle.finish_purge, doc.id)

    # --- The world -------------------------------------------------------------------------------

    @rule(hours=st.sampled_from([2, 3, 7]))
    def time_passes(self, hours: int) -> None:
        self.model.age(hours)
        _move(Document.objects.all(), DOCUMENT_TIMES, hours)
        _move(DocumentEvent.objects.all(), ["created_at"], hours)
        _move(OutboxMessage.objects.all(), ["due_at"], hours)
        _move(Outage.objects.all(), OUTAGE_TIMES, hours)
        self._postgres_started(STARTED, hours)

    @precondition(lambda self: self._some(is_leased))
    @rule(pick=picks)
    def its_worker_falls_silent(self, pick: int) -> None:
        doc = self._doc(pick, is_leased)
        if doc.lease is not None:
            doc.lease -= model.LEASE
            _move(Document.objects.filter(pk=doc.id), ["lease_expires_at"], model.LEASE)

    @rule(pick=picks)
    def its_messages_are_posted_or_lost(self, pick: int) -> None:
        doc = self._doc(pick, lambda doc: bool(doc.outbox))
        doc.outbox = [(action, due) for action, due in doc.outbox if due > 0]
        OutboxMessage.objects.filter(document=doc.id, due_at__lte=Now()).delete()

    @precondition(lambda self: self.model.started > 4 * model.LEASE)
    @rule()
    def postgres_restarts(self) -> None:
        self.time_passes(2)
        self.model.started = 0
        self._postgres_started("clock_timestamp()", 0)

    # --- What must always hold -------------------------------------------------------------------

    @invariant()
    def the_database_is_as_the_model(self) -> None:
        done["steps"] += 1
        docs = self.model.documents.values()
        rows = _documents()
        assert rows.keys() == {doc.id for doc in docs}
        for doc in docs:
            assert {doc: rows[doc.id].items() ^ self._row_of(doc).items()} == {doc: set()}
        self._nothing_that_must_not_be(rows)
        assert sorted(
            _rows(OutboxMessage.objects.values_list("document_id", "action", "due_at"))
        ) == (sorted((doc.id, action, due) for doc in docs for action, due in doc.outbox))
        assert sorted(
            _rows(Chunk.objects.current().values_list("document_id", "position", "text"))
        ) == sorted((doc.id, n, f"epoch {doc.indexed}") for doc in docs for n in range(doc.chunks))
        assert sorted(
            _rows(Outage.objects.values_list("service", "failures", *OUTAGE_TIMES))
        ) == sorted(
            (service, away.failures, -away.since, -away.failed, away.retry)
            for service, away in self.model.outages.items()
        )
        new = DocumentEvent.objects.filter(pk__gt=self.seen).order_by("pk")
        events = list(new.values_list("pk", "document_id", "kind"))
        assert sorted(event[1:] for event in events) == sorted(self.model.events)
        self.seen = events[-1][0] if events else self.seen
        self.model.events = []

    def _nothing_that_must_not_be(self, rows: dict[UUID, Row]) -> None:
        """Said of the rows alone: the model might be wrong as the lifecycle is."""
        for pk, row in rows.items():
            is_live = row["deleted_at"] is None
            has_lease = row["lease_expires_at"] is not None
            assert has_lease == (is_live and row["status"] == "processing")
            assert (row["failure_code"] != "") == (row["status"] == "failed")
            assert 0 <= row["attempts"] - row["attempts_kept"] <= model.MAX_ATTEMPTS
            assert 0 <= row["deaths"] - row["deaths_kept"] <= model.MAX_DEATHS
            assert row["lease_epoch"] >= self.rows.get(pk, row)["lease_epoch"]
            if is_live and row["indexed_epoch"] is not None:
                assert row["searchable"]
        names = [row["filename"] for row in rows.values() if row["deleted_at"] is None]
        assert len(names) == len(set(names))
        self.rows = rows

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self._everything_comes_home()
                connection.check_constraints()
        finally:
            transaction.set_rollback(True)
            self.transaction.__exit__(None, None, None)

    def _everything_comes_home(self) -> None:
        """Nobody but the relay, a worker and time: is everything done in the end?"""
        for _ in range(4):  # a lease that ends, its message, what it replaced, that one's purge
            self.time_passes(DAYS)
            for document in Document.objects.abandoned():
                assert lifecycle.reclaim(document)
            for document in Document.objects.given_up():
                assert lifecycle.give_up(document)
            for document in Document.objects.unposted():
                assert lifecycle.repost(document)
            for document in Document.objects.purgeable().filter(outboxmessage=None):
                assert lifecycle.repost_purge(document)
            for message in OutboxMessage.objects.filter(due_at__lte=Now()):
                message.delete()
                if message.action == "purge":
                    lifecycle.begin_purge(message.document_id)
                    lifecycle.finish_purge(message.document_id)
                elif claim := lifecycle.claim(message.document_id):
                    if claim.is_probe:
                        outages.over()
                    assert lifecycle.succeed(claim, [])
        assert not Document.objects.live().exclude(status__in=["ready", "failed"]).exists()
        assert not Document.objects.purgeable().exists()
        assert not OutboxMessage.objects.exists()

    # --- What the rules are made of --------------------------------------------------------------

    def _same(self, expected: Any, transition: Callable[..., Any], *arguments: Any) -> None:
        """Does the transition answer what the model answered?"""
        is_accepted = True
        try:
            answer = transition(*arguments)
        except DuplicateFilename as error:
            answer, is_accepted = error.existing, False
        note(f"{transition} of {arguments}: {answer}")
        assert _plain(answer) == _plain(expected)
        name = getattr(transition, "func", transition).__name__
        done[f"{name} {'accepted' if answer and is_accepted else 'refused'}"] += 1

    def _read(self, claim: Claim) -> bool:
        """As the pipeline does it."""
        document = Document.objects.get(pk=claim.document_id)
        work = kept.begin(claim, document, "of file and parser")
        if work is None:
            return False
        chunks = [] if work.is_read else self._chunks(claim, work.reading, 2)
        if not kept.add(claim, work.reading, [], chunks):
            return False
        return kept.mark(claim, replace(work, unit=0, chars=model.READ_CHARS, passages=2))

    @staticmethod
    def _chunks(claim: Claim, reading: int, count: int) -> list[Chunk]:
        return [
            Chunk(
                id=Chunk.id_for(claim.document_id, position),
                document_id=claim.document_id,
                position=position,
                text=f"epoch {reading}",
                start=0,
                end=1,
            )
            for position in range(count)
        ]

    def _has_room(self) -> bool:
        return len(self.model.documents) < MOST_DOCUMENTS

    def _docs(self) -> list[Doc]:
        return list(self.model.documents.values())

    def _some(self, is_likely: Callable[[Doc], bool]) -> bool:
        return any(map(is_likely, self._docs()))

    def _doc(self, pick: int, is_likely: Callable[[Doc], bool]) -> Doc:
        number, is_any = divmod(pick, 2)
        among = [doc for doc in self._docs() if is_any or is_likely(doc)] or self._docs()
        return among[number % len(among)]

    def _claim(self, pick: int) -> Claim:
        number, is_any = divmod(pick, 2)
        held = [claim for claim in self.claims if self.model.holder(claim)]
        among = self.claims if is_any or not held else held
        return among[-1 - number % len(among)]

    def _new(self, filename: str) -> Document:
        return Document(
            id=UUID(int=self.ids.getrandbits(128), version=4),
            knowledge_base=self.knowledge_base,
            filename=filename,
            content_type="text/markdown",
            size=1,
            sha256="",
            uploaded_by=self.user,
        )

    def _row(self, doc: Doc) -> Document:
        return Document.objects.get(pk=doc.id)

    def _row_of(self, doc: Doc) -> Row:
        """The row that the model's document should have; as _documents()."""
        return {
            "filename": doc.filename,
            "replaces_id": doc.replaces and doc.replaces.id,
            "status": doc.status,
            "attempts": doc.attempts,
            "deaths": doc.deaths,
            "attempts_kept": doc.attempts_kept,
            "deaths_kept": doc.deaths_kept,
            "furthest": doc.furthest,
            "turns": doc.turns,
            "kept_epoch": doc.reading,
            "kept_count": doc.kept,
            "lease_epoch": doc.epoch,
            "worker": doc.worker,
            "failure_code": doc.failure,
            "indexed_epoch": doc.indexed,
            "chunk_count": doc.chunks,
            "due_at": doc.due,
            "posted_at": -doc.posted,
            "progressed_at": -doc.progressed,
            "postponed_since": None if doc.postponed is None else -doc.postponed,
            "deleted_at": None if doc.deleted is None else -doc.deleted,
            "lease_expires_at": doc.lease,
            "is_purging": doc.is_purging,
            "is_purged": doc.is_purged,
            "due": doc.is_due,
            "abandoned": self.model.is_abandoned(doc),
            "given_up": self.model.is_given_up(doc),
            "unposted": doc.is_unposted,
            "searchable": self.model.is_searchable(doc),
            "purgeable": self.model.is_purgeable(doc),
        }

    def _postgres_started(self, moment: str, hours: int) -> None:
        """So many hours before that moment."""
        with connection.cursor() as cursor:
            cursor.execute(SET_STARTED.format(now=moment), [hours * HOUR])


def _documents() -> dict[UUID, Row]:
    names, query = _documents_query()
    return {row[0]: dict(zip(names[1:], row[1:], strict=True)) for row in _rows(query)}


@cache
def _documents_query() -> tuple[list[str], Any]:
    """All documents, and which of the querysets find them."""
    sets = {name: getattr(Document.objects, name)() for name in FOUND_BY}
    flags: Any = {name: Exists(found.filter(pk=OuterRef("pk"))) for name, found in sets.items()}
    flags["is_purging"] = Q(purging_at__isnull=False)
    flags["is_purged"] = Q(purged_at__isnull=False)
    columns = PLAIN_COLUMNS + DOCUMENT_TIMES
    query = Document.objects.annotate(**flags).values_list(*columns, *flags)
    return [*columns, *flags], query.query.sql_with_params()


def _rows(query: Any) -> list[tuple[Any, ...]]:
    """The rows of a queryset, or of compiled SQL; all times in whole hours from now."""
    if isinstance(query, QuerySet):
        rows = list(query)
    else:
        with connection.cursor() as cursor:
            rows = cursor.execute(*query).fetchall()
    return [tuple(map(_hours, row)) for row in rows]


def _hours(value: Any) -> Any:
    return round((value - timezone.now()) / HOUR) if isinstance(value, datetime) else value


def _move(rows: QuerySet[Any], columns: list[str], hours: int) -> None:
    rows.update(**{column: F(column) - hours * HOUR for column in columns})


def _plain(answer: Any) -> Any:
    """Documents, the model's and the real ones, by their ids; of a set each once, in any order."""
    return sorted(answer) if isinstance(answer, list) else getattr(answer, "id", answer)


@pytest.fixture
def whole_hours(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The times of the model: so long that the test's own time does not matter."""
    settings.MAX_ATTEMPTS, settings.MAX_DEATHS = model.MAX_ATTEMPTS, model.MAX_DEATHS
    for name in (
        *("LEASE", "REPOST_AFTER", "STUCK_AFTER", "PURGE_AFTER", "POSTPONE_GIVE_UP"),
        *("RETRY_BACKOFF", "RETRY_BACKOFF_MAX", "OUTAGE_BACKOFF", "OUTAGE_BACKOFF_MAX"),
    ):
        setattr(settings, name, getattr(model, name) * HOUR)
    monkeypatch.setattr(outages, "LONGEST_WISH", model.LONGEST_WISH * HOUR)
    monkeypatch.setattr(outages, "UNWATCHED", model.UNWATCHED * HOUR)
    monkeypatch.setattr(PostgresStartedAt, "template", STARTED)
    monkeypatch.setattr(lifecycle.random, "uniform", lambda low, high: (low + high) / 2)


@pytest.mark.timeout(3600)
@pytest.mark.django_db(transaction=True)
def test_no_life_of_a_document_goes_wrong(
    whole_hours: None, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """`pytest --full` invents new lives; without it they are the same each time."""
    is_full = request.config.getoption("--full")
    number = random.randrange(10**9) if is_full else 2  # whose lives hold more than those of 1
    try:
        run_state_machine_as_test(
            seed(number)(Lives),
            settings=settings(
                max_examples=800 if is_full else 60,
                stateful_step_count=100 if is_full else 50,
                database=None,
                deadline=None,
                print_blob=True,
                phases=[Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        with capsys.disabled():
            print(f"\nStateful test, seed {number}: {done.pop('steps', 0)} steps,")
            print(", ".join(f"{count} {name}" for name, count in sorted(done.items())))
