"""A trigger that writes down every change of a document, and what no change may ever do.

The rows are written in the transactions of the product itself: they are true even when whoever
made the change was killed right after it.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from tests.chaos.faults import Fault
from tests.chaos.model import Violation

SQL = """
CREATE TABLE chaos_audit (
    id bigserial PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    document_id uuid NOT NULL,
    deleted_row boolean NOT NULL DEFAULT false,  -- before it was purged
    old_status text, new_status text,
    old_epoch integer, new_epoch integer,
    old_lease timestamptz,
    indexed_epoch integer,
    kept_epoch integer
);
CREATE FUNCTION chaos_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO chaos_audit (document_id, deleted_row) VALUES (OLD.id, OLD.purged_at IS NULL);
    ELSE
        INSERT INTO chaos_audit
            (document_id, old_status, new_status, old_epoch, new_epoch, old_lease, indexed_epoch,
            kept_epoch)
        VALUES (OLD.id, OLD.status, NEW.status, OLD.lease_epoch, NEW.lease_epoch,
            OLD.lease_expires_at, NEW.indexed_epoch, OLD.kept_epoch);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_update AFTER UPDATE ON documents_document FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status OR OLD.lease_epoch IS DISTINCT FROM NEW.lease_epoch
        OR OLD.indexed_epoch IS DISTINCT FROM NEW.indexed_epoch
        OR OLD.deleted_at IS DISTINCT FROM NEW.deleted_at)
    EXECUTE FUNCTION chaos_audit();
CREATE TRIGGER chaos_delete AFTER DELETE ON documents_document FOR EACH ROW
    EXECUTE FUNCTION chaos_audit();
"""
FINISHED = ("ready", "failed")
LEASE_SECONDS = 20  # the product's default
Lease = tuple[UUID, int]  # a document and its epoch


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the audit; those of one document are in the order in which they happened."""

    id: int
    at: datetime
    document_id: UUID
    deleted_row: bool
    old_status: str | None
    new_status: str | None
    old_epoch: int | None
    new_epoch: int | None
    old_lease: datetime | None
    indexed_epoch: int | None
    kept_epoch: int | None  # in which the reading began that this worker went on with

    @property
    def is_claim(self) -> bool:
        return (self.old_status, self.new_status) == ("pending", "processing")

    @property
    def is_success(self) -> bool:
        return self.old_status == "processing" and self.new_status == "ready"


def install(connection: psycopg.Connection[Any]) -> None:
    connection.execute(SQL)


def changes(connection: psycopg.Connection[Any], after: int = 0) -> list[Change]:
    with connection.cursor(row_factory=class_row(Change)) as cursor:
        cursor.execute("SELECT * FROM chaos_audit WHERE id > %s ORDER BY id", [after])
        return cursor.fetchall()


def violations(rows: Iterable[Change]) -> list[Violation]:
    """What the fence should have stopped."""
    return [Violation("fence", f"{wrong}: {row}") for row in rows if (wrong := _wrong(row))]


def _wrong(row: Change) -> str:
    if row.deleted_row:
        return "a document's row was deleted that was not purged"
    if row.new_status is None:  # with its knowledge base, after it
        return ""
    old, new = row.old_epoch or 0, row.new_epoch or 0
    if new < old:
        return "the lease's epoch decreased"
    if new != old + (1 if row.is_claim else 0):
        return "the lease's epoch grows by one in a claim, and only there"
    if row.new_status == "processing" != row.old_status and not row.is_claim:
        return "claimed from a status that is not pending"
    if row.new_status in FINISHED and row.old_status == "pending":
        return "finished without a claim"
    if row.is_success and (row.old_lease is None or row.indexed_epoch != (row.kept_epoch or old)):
        return "READY by a worker that did not hold the lease"
    return ""


def reclaimed(connection: psycopg.Connection[Any]) -> set[Lease]:
    """The leases that were taken from workers, by the documents' own timelines."""
    found = connection.execute(
        "SELECT document_id, epoch FROM documents_documentevent"
        " WHERE kind = 'reclaimed' OR detail LIKE 'worker_died%'"
    )
    return {(document_id, epoch) for document_id, epoch in found}


def worker_recoveries(
    rows: Sequence[Change], lost: Collection[Lease], faults: Iterable[Fault]
) -> tuple[list[float], list[float]]:
    """Seconds from a worker's kill until each document that it cost its lease was free again, and
    until it was claimed again, or finished.

    Which worker held a document is not known from outside; but its lease was renewed as long as
    that worker lived, so the first fault at any worker after the last renewal was the cause.
    """
    hits = [fault for fault in faults if fault.target.startswith("worker")]
    freed, claimed = [], []
    killed_at: dict[UUID, float] = {}
    for row in rows:
        at = row.at.timestamp()
        if row.old_lease and (row.document_id, row.old_epoch) in lost:
            renewed = row.old_lease.timestamp() - LEASE_SECONDS
            cause = next((hit for hit in hits if renewed < hit.at < at), None)
            if cause and cause.is_kill:
                killed_at[row.document_id] = cause.at
                freed.append(at - cause.at)
        if (row.is_claim or row.new_status in FINISHED) and row.document_id in killed_at:
            claimed.append(at - killed_at.pop(row.document_id))
    return freed, claimed


def service_recoveries(rows: Sequence[Change], faults: Iterable[Fault]) -> list[float]:
    """Seconds from each kill until a document that was claimed after it was READY."""
    claims: dict[UUID, float] = {}
    passes: list[tuple[float, float]] = []  # (claimed, READY) of one lease each
    for row in rows:
        if row.is_claim:
            claims[row.document_id] = row.at.timestamp()
        elif row.is_success and row.document_id in claims:
            passes.append((claims[row.document_id], row.at.timestamp()))
    found = [
        min((ready - fault.at for claimed, ready in passes if claimed > fault.at), default=None)
        for fault in faults
        if fault.is_kill
    ]
    return [seconds for seconds in found if seconds is not None]
