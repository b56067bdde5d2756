"""The oracle finds nothing wrong in what is right, and each thing that is wrong."""

import hashlib
import math
import random
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import connection

from documents import lifecycle
from documents.models import Document
from tests.chaos import audit, contents, oracle
from tests.chaos.audit import Change
from tests.chaos.contents import Content, expected
from tests.chaos.faults import Fault
from tests.chaos.model import Acknowledged, Attempts, Fate, Model, Violation
from tests.chaos.snapshot import Row, Snapshot

NOW = datetime(2026, 11, 24, tzinfo=UTC)
LIVE, DELETED, BROKEN, ARRIVED = (UUID(int=number) for number in range(1, 5))
UNIT = [1 / math.sqrt(oracle.DIMENSIONS)] * oracle.DIMENSIONS


class World:
    """What clients were told and what is there: a live document of several passages, a deleted
    one, one that nobody can read, and one whose upload had no answer and arrived.
    """

    def __init__(self) -> None:
        choice = random.Random("oracle")
        self.model, self.snapshot = Model(), Snapshot(slugs={1: "kb"})
        made = (contents.make(choice, ".md") for _ in range(1000))
        several = next(each for each in made if len(expected(each).pieces) == 3)
        unreadable = Content(".pdf", contents.files.encrypted_pdf(), "")
        self._put(LIVE, several)
        self._put(DELETED, contents.make(choice, ".txt"), Fate.DELETED)
        self._put(BROKEN, unreadable)
        self._put(ARRIVED, contents.make(choice, ".txt"), told=False)

    def row(self, document_id: UUID = LIVE) -> Row:
        return self.snapshot.documents[document_id]

    def told(self, document_id: UUID = LIVE) -> Acknowledged:
        return self.model.documents[str(document_id)]

    def wrong(self) -> list[str]:
        return [violation.kind for violation in oracle.check(self.model, self.snapshot)]

    def _put(
        self, document_id: UUID, content: Content, fate: Fate = Fate.LIVE, told: bool = True
    ) -> None:
        filename = f"{document_id.int}{content.suffix}"
        wanted = expected(content)
        self.model.sending("kb", filename, content)
        if told:
            self.model.accept(Acknowledged(str(document_id), "kb", filename, content, fate))
        else:
            self.model.no_answer("kb", filename, content)
        deleted = NOW if fate is Fate.DELETED else None
        self.snapshot.documents[document_id] = {
            "id": document_id, "knowledge_base_id": 1, "filename": filename,
            "sha256": content.sha256, "size": len(content.data), "deleted_at": deleted,
            "purged_at": deleted, "status": "failed" if wanted.failure else "ready",
            "failure_code": wanted.failure, "chunk_count": len(wanted.pieces), "indexed_epoch": 2,
            "lease_expires_at": None, "indexed_at": None if wanted.failure else NOW,
            "replaces_id": None,
        }  # fmt: skip
        if deleted:
            return
        prefix = f"1/{document_id}"
        self.snapshot.objects[f"{prefix}/original"] = content.sha256
        if not wanted.failure:
            digest = hashlib.sha256(wanted.text.encode()).hexdigest()
            self.snapshot.objects[f"{prefix}/text-2"] = digest
        for piece in wanted.pieces:
            point_id = uuid.uuid5(document_id, str(piece.position))
            kept = {name: getattr(piece, name) for name in piece.__slots__}
            self.snapshot.chunks[document_id].append({"id": point_id, **kept})
            payload = {"knowledge_base": "1", "position": piece.position}
            self.snapshot.points[document_id][point_id] = {
                "payload": payload,
                "vector": {"dense": UNIT},
            }


def test_what_is_right_is_no_violation() -> None:
    assert World().wrong() == []


def point(world: World) -> Row:
    return next(iter(world.snapshot.points[LIVE].values()))


def attempts(world: World, document_id: UUID) -> Attempts:
    row = world.row(document_id)
    return world.model.attempts["kb", row["filename"]][row["sha256"]]


def copy_row(world: World, document_id: UUID) -> None:
    attempts(world, document_id).unanswered = 1
    copy = world.row(document_id) | {"id": STRANGE}
    world.snapshot.documents[STRANGE] = copy


def repeat_passage(world: World) -> None:
    passages = world.snapshot.chunks[LIVE]
    passages.append(passages[0])


STRANGE = UUID(int=9)
Doctor = Callable[[World], Any]
DOCTORS: list[tuple[str, str, Doctor]] = [
    ("lost", "its row is gone", lambda w: w.snapshot.documents.pop(LIVE)),
    ("lost", "it has other bytes than were sent", lambda w: w.row().update(size=1)),
    ("lost", "nobody deleted it", lambda w: w.row().update(deleted_at=NOW, purged_at=NOW)),
    ("resurrected", "it was deleted", lambda w: setattr(w.told(), "fate", Fate.DELETED)),
    ("unexplained", "nobody sent it", lambda w: w.model.attempts.pop(("kb", "4.txt"))),
    ("unexplained", "not told", lambda w: setattr(attempts(w, ARRIVED), "unanswered", 0)),
    ("duplicate", "sent once, there twice", lambda w: copy_row(w, DELETED)),
    ("duplicate", "two live ones of a name", lambda w: copy_row(w, ARRIVED)),
    ("stuck", "it is not finished", lambda w: w.row().update(status="processing")),
    ("stuck", "it failed, and was in order", lambda w: w.row().update(status="failed")),
    ("stuck", "nobody can read it", lambda w: w.row(BROKEN).update(status="ready")),
    ("stuck", "it is still leased", lambda w: w.row().update(lease_expires_at=NOW)),
    ("stuck", "it was never purged", lambda w: w.row(DELETED).update(purged_at=None)),
    ("stuck", "its message was never posted", lambda w: w.snapshot.outbox.append({"id": 1})),
    ("passages", "one is missing", lambda w: w.snapshot.chunks[LIVE].pop()),
    ("passages", "one is there twice", repeat_passage),
    ("passages", "one is another", lambda w: w.snapshot.chunks[LIVE][1].update(text="x")),
    ("passages", "they are miscounted", lambda w: w.row().update(chunk_count=2)),
    ("orphan passages", "purged", lambda w: w.snapshot.chunks.update({DELETED: [{}]})),
    ("vectors", "one is missing", lambda w: w.snapshot.points[LIVE].popitem()),
    ("vectors", "one is of another passage", lambda w: point(w)["payload"].update(position=7)),
    ("vectors", "one is no vector", lambda w: point(w)["vector"].update(dense=[0.0] * 384)),
    ("orphan vectors", "a tail", lambda w: w.snapshot.points[LIVE].update({STRANGE: {}})),
    ("orphan vectors", "purged", lambda w: w.snapshot.points.update({DELETED: {LIVE: {}}})),
    ("orphan vectors", "no row", lambda w: w.snapshot.points.update({STRANGE: {LIVE: {}}})),
    (
        "orphan objects",
        "no row",
        lambda w: w.snapshot.objects.update({f"1/{STRANGE}/original": ""}),
    ),
    ("orphan objects", "purged", lambda w: w.snapshot.objects.update({f"1/{DELETED}/text-1": ""})),
    ("orphan objects", "old text", lambda w: w.snapshot.objects.update({f"1/{LIVE}/text-1": ""})),
    ("object", "its file is gone", lambda w: w.snapshot.objects.pop(f"1/{LIVE}/original")),
    ("object", "its text is wrong", lambda w: w.snapshot.objects.update({f"1/{LIVE}/text-2": ""})),
]


@pytest.mark.parametrize(("kind", "what", "doctor"), DOCTORS)
def test_what_is_wrong_is_named(kind: str, what: str, doctor: Doctor) -> None:
    world = World()
    doctor(world)
    assert kind in world.wrong(), what


def test_what_went_with_its_knowledge_base_is_not_lost_and_leaves_nothing() -> None:
    world = World()
    world.model.removing("kb")
    world.model.was_removed("kb")
    assert "resurrected" in world.wrong()  # it is there
    assert str(LIVE) in world.model.gone()
    world.snapshot.slugs.clear()
    world.snapshot.documents.clear()
    assert set(world.wrong()) == {"orphan vectors", "orphan objects"}
    world.snapshot.points.clear()
    world.snapshot.objects.clear()
    assert world.wrong() == []


def test_what_a_failed_replacement_was_to_replace_is_kept() -> None:
    world = World()
    world.row(DELETED).update(purged_at=None)
    assert world.wrong() == ["stuck"]
    world.row(BROKEN).update(replaces_id=DELETED)
    assert world.wrong() == []


def test_a_second_document_of_a_live_name_is_refused_by_the_model() -> None:
    told = World().told()
    model = Model()
    model.accept(told)
    with pytest.raises(Violation, match="duplicate"):
        model.accept(Acknowledged("other", told.slug, told.filename, told.content))
    told.fate = Fate.EITHER  # its deletion had no answer: a second one may be right
    model.accept(Acknowledged("another", told.slug, told.filename, told.content))


def test_a_replaced_document_is_gone_when_its_replacement_was_seen_ready() -> None:
    old, new = (Acknowledged(name, "kb", "a.md", World().told().content) for name in ("old", "new"))
    model = Model({"old": old, "new": new})
    old.fate, old.replaced_by = Fate.DELETED, new
    assert model.gone() == set()
    new.ready_at = new.known_at
    assert model.gone() == {"old"}


@pytest.fixture
def audited(owner: psycopg.Connection) -> Iterator[psycopg.Connection]:
    audit.install(owner)
    yield owner
    owner.execute("DROP TABLE chaos_audit; DROP FUNCTION chaos_audit CASCADE")


def test_the_audit_sees_every_change_and_what_no_fence_would_let_through(
    audited: psycopg.Connection, make_document: Callable[..., Document]
) -> None:
    document = make_document()
    claim = lifecycle.claim(document.pk)
    assert claim
    assert lifecycle.succeed(claim, [])
    changes = audit.changes(audited)
    assert [change.new_status for change in changes] == ["processing", "ready"]
    assert audit.violations(changes) == []
    wrong = [
        "lease_epoch = lease_epoch - 1",
        "lease_epoch = lease_epoch + 1",
        "status = 'processing', lease_expires_at = now()",
    ]
    for assignments in wrong:
        seen = audit.changes(audited)[-1].id
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE documents_document SET {assignments}")  # noqa: S608
        assert [v.kind for v in audit.violations(audit.changes(audited, seen))] == ["fence"]


def test_a_row_may_go_when_its_document_is_purged_only(
    audited: psycopg.Connection, make_document: Callable[..., Document]
) -> None:
    for purged_at, kinds in ((None, ["fence"]), (NOW, [])):
        document = make_document()
        Document.objects.filter(pk=document.pk).update(
            purged_at=purged_at, purging_at=purged_at, deleted_at=purged_at
        )
        seen = max((change.id for change in audit.changes(audited)), default=0)
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM documents_documentevent")
            cursor.execute("DELETE FROM documents_outboxmessage")
            cursor.execute("DELETE FROM documents_document")
        changes = audit.changes(audited, seen)
        assert len(changes) == 1
        assert [v.kind for v in audit.violations(changes)] == kinds


def change(seconds: float, old: str, new: str, epoch: int, **other: Any) -> Change:
    """A change of the live document; its lease was renewed 1 s before."""
    at = NOW + timedelta(seconds=seconds)
    new_epoch = epoch + (1 if (old, new) == ("pending", "processing") else 0)
    lease = at + timedelta(seconds=audit.LEASE_SECONDS - 1) if old == "processing" else None
    fields: dict[str, Any] = {
        "id": int(seconds), "at": at, "document_id": LIVE, "deleted_row": False,
        "old_status": old, "new_status": new, "old_epoch": epoch, "new_epoch": new_epoch,
        "old_lease": lease, "indexed_epoch": epoch if new == "ready" else None,
        "kept_epoch": None,
    }  # fmt: skip
    return Change(**fields | other)


def test_ready_by_a_worker_without_the_lease_is_a_violation() -> None:
    assert audit.violations([change(1, "processing", "ready", 2)]) == []
    [late] = audit.violations([change(1, "processing", "ready", 2, indexed_epoch=1)])
    assert late.kind == "fence"
    resumed = {"indexed_epoch": 1, "kept_epoch": 1}
    assert audit.violations([change(1, "processing", "ready", 2, **resumed)]) == []
    [finished] = audit.violations([change(1, "pending", "ready", 2)])
    assert finished.kind == "fence"


def test_recovery_is_measured_from_the_kill_that_cost_the_lease() -> None:
    def kill(seconds: float, target: str) -> Fault:
        return Fault((NOW + timedelta(seconds=seconds)).timestamp(), "kill", target)

    rows = [
        change(1, "pending", "processing", 0),
        change(20, "processing", "pending", 1, old_lease=NOW + timedelta(seconds=25)),
        change(21, "pending", "processing", 1),
        change(30, "processing", "ready", 2),
    ]
    faults = [kill(2, "worker child"), kill(6, "worker master"), kill(22, "redis")]
    # Renewed last at 5 s: the worker that was killed at 2 s was another.
    freed, claimed = audit.worker_recoveries(rows, {(LIVE, 1)}, faults)
    assert (freed, claimed) == ([pytest.approx(14)], [pytest.approx(15)])
    assert audit.worker_recoveries(rows, set(), faults) == ([], [])
    # 2 s and 6 s: claimed at 21 s, READY at 30 s; nothing was claimed after 22 s.
    assert audit.service_recoveries(rows, faults) == [pytest.approx(28), pytest.approx(24)]
