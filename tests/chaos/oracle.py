"""Compares what the clients were told with what is there, once everything has come to rest."""

import hashlib
import math
import uuid
from collections.abc import Iterator
from uuid import UUID

from tests.chaos.contents import Content, Expected, expected
from tests.chaos.model import Fate, Model, Violation
from tests.chaos.snapshot import Row, Snapshot

DIMENSIONS = 384  # of the embedded model, whose vectors have unit length


def check(model: Model, snapshot: Snapshot) -> list[Violation]:
    """Everything that is wrong; empty when all promises were kept."""
    return [
        *_acknowledged(model, snapshot),
        *_documents(model, snapshot),
        *_removed(model, snapshot),
        *_leftovers(snapshot),
    ]


def _acknowledged(model: Model, snapshot: Snapshot) -> Iterator[Violation]:
    """Each acknowledged upload is there, as often and as much alive as the clients were told."""
    for document in model.documents.values():
        row = snapshot.documents.get(UUID(document.id))
        if document.fate is Fate.REMOVED and document.slug not in snapshot.slugs.values():
            continue
        if row is None:
            yield Violation("lost", f"{document.id} was acknowledged and has no row")
            continue
        told = (document.slug, document.filename, document.content.sha256)
        kept = (snapshot.slugs[row["knowledge_base_id"]], row["filename"], row["sha256"])
        if told != kept or row["size"] != len(document.content.data):
            yield Violation("lost", f"{document.id} was acknowledged as {told} and is {kept}")
        deleted = row["deleted_at"] is not None
        if document.fate is Fate.LIVE and deleted:
            yield Violation("lost", f"{document.id} is deleted, which nobody asked for")
        if document.fate is Fate.DELETED and not deleted:
            yield Violation("resurrected", f"{document.id} was deleted, and is live")


def _documents(model: Model, snapshot: Snapshot) -> Iterator[Violation]:
    """Each document was sent by somebody, and became what it had to become."""
    names: set[tuple[str, str]] = set()
    arrived: dict[tuple[str, str, str], int] = {}
    for document_id, row in snapshot.documents.items():
        name = (snapshot.slugs[row["knowledge_base_id"]], row["filename"])
        sent = model.attempts.get(name, {}).get(row["sha256"])
        known = model.documents.get(str(document_id))
        if sent is None or not (known or sent.unanswered):
            yield Violation("unexplained", f"nobody was told of {document_id}: {row}")
            continue
        arrived[(*name, row["sha256"])] = arrived.get((*name, row["sha256"]), 0) + 1
        if arrived[(*name, row["sha256"])] > sent.sent:
            yield Violation("duplicate", f"{name} was sent {sent.sent} times, and arrived more")
        if row["deleted_at"] is None:
            if name in names:
                yield Violation("duplicate", f"two live documents are called {name}")
            names.add(name)
            yield from _live(row, sent.content, snapshot)
        elif document_id not in _awaiting_replacement(snapshot):
            yield from _deleted(row, snapshot)


def _removed(model: Model, snapshot: Snapshot) -> Iterator[Violation]:
    """A knowledge base that was deleted is gone, and left no row behind."""
    for slug, was_answered in model.removed.items():
        if was_answered and slug in snapshot.slugs.values():
            yield Violation("resurrected", f"the knowledge base {slug} was deleted, and is there")


def _live(row: Row, content: Content, snapshot: Snapshot) -> Iterator[Violation]:
    wanted = expected(content)
    original = f"{row['knowledge_base_id']}/{row['id']}/original"
    if snapshot.objects.get(original) != content.sha256:
        yield Violation("object", f"{original} is {snapshot.objects.get(original)}")
    if wanted.failure:
        if (row["status"], row["failure_code"]) != ("failed", wanted.failure):
            yield Violation("stuck", f"{row['id']} should have failed as {wanted.failure}: {row}")
        return
    if row["status"] != "ready":
        yield Violation("stuck", f"{row['id']} is {row['status']}: {row}")
        return
    yield from _text(row, wanted, snapshot)
    yield from _passages(row, wanted, snapshot)
    yield from _vectors(row, wanted, snapshot)


def _text(row: Row, wanted: Expected, snapshot: Snapshot) -> Iterator[Violation]:
    prefix = f"{row['knowledge_base_id']}/{row['id']}"
    for name, start, end in _texts(row, snapshot):
        found = snapshot.objects.get(f"{prefix}/{name}")
        if found != hashlib.sha256(wanted.text[start:end].encode()).hexdigest():
            yield Violation("object", f"{prefix}/{name} is {found}")


def _passages(row: Row, wanted: Expected, snapshot: Snapshot) -> Iterator[Violation]:
    kept = [
        (c["id"], c["position"], c["start"], c["end"], c["text"], c["page"], c["heading"])
        for c in snapshot.chunks[row["id"]]
    ]
    right = [
        (_id(row, p.position), p.position, p.start, p.end, p.text, p.page, p.heading)
        for p in wanted.pieces
    ]
    if kept != right or row["chunk_count"] != len(right):
        yield Violation(
            "passages", f"{row['id']} has {row['chunk_count']}, {kept} instead of {right}"
        )


def _vectors(row: Row, wanted: Expected, snapshot: Snapshot) -> Iterator[Violation]:
    points = snapshot.points[row["id"]]
    right = {_id(row, piece.position): piece.position for piece in wanted.pieces}
    if missing := right.keys() - points.keys():
        yield Violation("vectors", f"{row['id']} lacks {len(missing)} of {len(right)} points")
    if orphans := points.keys() - right.keys():
        yield Violation("orphan vectors", f"{row['id']} has {len(orphans)} beside {len(right)}")
    for point_id in points.keys() & right.keys():
        payload, dense = points[point_id]["payload"], points[point_id]["vector"]["dense"]
        told = (payload["knowledge_base"], payload["position"])
        if told != (str(row["knowledge_base_id"]), right[point_id]):
            yield Violation("vectors", f"{row['id']}: the point {point_id} says {payload}")
        if len(dense) != DIMENSIONS or not math.isclose(math.hypot(*dense), 1, abs_tol=1e-3):
            yield Violation("vectors", f"{row['id']}: {point_id} is no vector of the model")


def _deleted(row: Row, snapshot: Snapshot) -> Iterator[Violation]:
    """With no time to be restored in, what was deleted is purged by now."""
    if row["purged_at"] is None:
        yield Violation("stuck", f"{row['id']} was deleted and is not purged: {row}")
    if snapshot.chunks[row["id"]]:
        yield Violation("orphan passages", f"{row['id']} is purged and has passages")


def _leftovers(snapshot: Snapshot) -> Iterator[Violation]:
    """What nobody owns any more."""
    live = {key for key, row in snapshot.documents.items() if row["deleted_at"] is None}
    owners = live | _awaiting_replacement(snapshot)
    for document_id, points in snapshot.points.items():
        if points and document_id not in owners:
            yield Violation("orphan vectors", f"{document_id} has {len(points)} and is gone")
    for key in snapshot.objects:
        _, folder, name = key.split("/")
        if UUID(folder) not in owners:
            yield Violation("orphan objects", f"{key}: its document is gone")
        elif name not in _names(snapshot.documents[UUID(folder)], snapshot):
            yield Violation("orphan objects", f"{key}: nobody reads it")
    for message in snapshot.outbox:
        yield Violation("stuck", f"a message was never posted: {message}")
    for document_id, row in snapshot.documents.items():
        if row["lease_expires_at"] is not None:
            yield Violation("stuck", f"{document_id} is still leased")


def _awaiting_replacement(snapshot: Snapshot) -> set[UUID]:
    """Deleted documents that are kept: what replaced them was never READY (nobody can read it)."""
    return {
        row["replaces_id"]
        for row in snapshot.documents.values()
        if row["deleted_at"] is None and row["indexed_at"] is None
    }


def _names(row: Row, snapshot: Snapshot) -> set[str]:
    return {"original", *(name for name, _, _ in _texts(row, snapshot))}


def _texts(row: Row, snapshot: Snapshot) -> list[tuple[str, int, int | None]]:
    """(name, start, end) of the objects that hold the text of the index."""
    parts = [part for part in snapshot.parts[row["id"]] if part["reading"] == row["indexed_epoch"]]
    if not parts:
        return [(f"text-{row['indexed_epoch']}", 0, None)]
    return [(f"text-{p['epoch']}-{p['number']}", p["start"], p["end"]) for p in parts]


def _id(row: Row, position: int) -> uuid.UUID:
    return uuid.uuid5(row["id"], str(position))
