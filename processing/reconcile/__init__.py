"""Compares PostgreSQL, the index and the storage, and mends what differs.

A scan looks over everything, a page at a time, and remembers no more than one run may mend. Only
when it has come to the end, each finding is looked at again by itself and mended, by one guarded
transition or by deleting what nobody owns. "Cannot tell" is never "missing": a service that does
not answer, or a listing that breaks off, ends the scan before it has changed anything.
"""

import logging
import math
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from django.db import Error as DatabaseError
from django.db.models.functions import Now

from documents import history
from documents.connections import release
from documents.failpoints import failpoint
from documents.models import Heartbeat, ReconcileRun
from processing.errors import ProcessingError
from processing.flight import Flight, FlightLost, only_flight

from . import index, objects, rows
from .finding import Finding, Mark, Scan

log = logging.getLogger(__name__)

LIMIT = 1000  # findings of a check in one run: a mistake must not go far before somebody looks
REQUEUE_LIMIT = 10_000  # of what costs time only; 200 a minute would never rebuild a lost index
EXAMPLES = 3
FORGET_SECONDS = 60.0  # in one run
SCAN_SECONDS = 600.0  # of a scan in slices, in one run: a million documents take as long

SCANS = [
    Scan(rows.abandoned, [rows.LEASE_EXPIRED]),
    Scan(rows.unposted, [rows.MESSAGE_LOST]),
    Scan(rows.unpurged, [rows.PURGE_OVERDUE]),
    Scan(rows.earlier_passages, [rows.EARLIER_PASSAGES]),
    Scan(index.not_set_up, [index.NOT_SET_UP]),
    Scan(index.incomplete, [index.INCOMPLETE], in_slices=True),
    Scan(index.strays, [index.ORPHANS, index.ASTRAY], in_slices=True),
    Scan(index.earlier, [index.EARLIER, index.EARLIER_POINTS]),
    Scan(objects.compared, [objects.MISSING, objects.ORPHANS, objects.UNREAD], in_slices=True),
]
LIMITS = {index.INCOMPLETE: REQUEUE_LIMIT}  # the others': LIMIT


@dataclass
class Result:
    """What one check found and did, a row of the report.

    `skipped` says why it could not tell, `more` that there is more than one run may mend;
    `seconds` are None for a check that shares its scan with the one before. `place`: behind it the
    next run goes on; empty when all was looked at, in a pass that began with the run of `since`.
    """

    check: str
    found: int = 0
    mended: int = 0
    skipped: str = ""
    more: bool = False
    seconds: float | None = None
    examples: list[str] = field(default_factory=list)
    place: str = ""
    since: str = ""  # ISO 8601


def is_requested() -> bool:
    """Whether an operator waits for a run."""
    requested = ReconcileRun.objects.filter(started_at=None).exists()
    release()
    return requested


def run_requested() -> ReconcileRun | None:
    """The run that an operator has waited for longest; None when there is none, or one under way.

    Raises as `run`.
    """
    return run(requested=True)


def run(dry_run: bool = False, requested: bool = False) -> ReconcileRun | None:
    """Make all the checks once; None when another run is under way.

    Where there is very much to be looked at, this run goes on where the one before ended, and ends
    in its time; but one that was asked for, and a dry one, looks at everything.

    Raises FlightLost when this is no longer the only run, and what the database raises when not
    even a report can be written.
    """
    with only_flight() as flight:
        if flight is None:
            return None
        failpoint("reconcile.locked")
        report = _take_request() if requested else ReconcileRun.objects.create(dry_run=dry_run)
        if report is None:
            return None
        dry_run = report.dry_run
        report.refresh_from_db(fields=["started_at"])
        last, seconds = ({}, math.inf) if dry_run or requested else (_last(report), SCAN_SECONDS)
        for scan in SCANS:
            before = last.get(scan.checks[0], {})
            mark = Mark(before.get("place", ""), time.monotonic() + seconds)
            goes_on = bool(mark.place)
            results = _run(scan, mark, flight, dry_run)
            if scan.in_slices:
                results[0].since = before["since"] if goes_on else f"{report.started_at:%FT%T.%f%z}"
            report.findings += [asdict(result) for result in results]
            report.save(update_fields=["findings"])  # so far, should this run end here
            release()
            failpoint("reconcile.checked")
        ReconcileRun.objects.filter(pk=report.pk).update(finished_at=Now())
        _forget(flight)
        if not dry_run and not any(row["skipped"] for row in report.findings):
            Heartbeat.beat(Heartbeat.Kind.RECONCILE)
        report.refresh_from_db()
        release()
    return report


def _forget(flight: Flight) -> None:
    """What is old, a slice at a time; if it is very much, the next run goes on."""
    until = time.monotonic() + FORGET_SECONDS
    while history.sweep() and time.monotonic() < until:
        release()
        flight.check()


def _take_request() -> ReconcileRun | None:
    """In this flight, which is the only one, nobody else takes it."""
    waiting = ReconcileRun.objects.filter(started_at=None).order_by("requested_at").first()
    if waiting is None or not ReconcileRun.objects.filter(pk=waiting.pk, started_at=None).update(
        started_at=Now()
    ):
        return None
    waiting.refresh_from_db()
    return waiting


def _last(report: ReconcileRun) -> dict[str, dict[str, Any]]:
    """What the last run that came to its end says, by check."""
    runs = ReconcileRun.objects.filter(dry_run=False, requested_at=None).exclude(pk=report.pk)
    last = runs.exclude(finished_at=None).order_by("-started_at").first()
    release()
    return {row["check"]: row for row in last.findings} if last else {}


def _run(scan: Scan, mark: Mark, flight: Flight, dry_run: bool) -> list[Result]:
    results = {check: Result(check) for check in scan.checks}
    began, begin = time.monotonic(), mark.place
    try:
        for finding in _look_over(scan, results, mark):
            release()
            if finding.persists():
                release()
                _mend(finding, results[finding.check], flight, dry_run)
    except FlightLost:
        raise
    except Exception as error:
        for result in results.values():
            result.skipped = f"cannot tell: {error}"
        expected = isinstance(error, ProcessingError | OSError | DatabaseError)
        log.warning("%s: %s", ", ".join(results), error, exc_info=not expected)
    if any(result.skipped or result.more for result in results.values()):
        mark.place = begin  # not all that was looked at is mended: the next run looks again
    results[scan.checks[0]].place = mark.place
    results[scan.checks[0]].seconds = round(time.monotonic() - began, 1)
    release()
    return list(results.values())


def _look_over(scan: Scan, results: dict[str, Result], mark: Mark) -> list[Finding]:
    """All that the scan finds, up to the limits; nothing unless it comes to its end, or to that of
    its slice.
    """
    room = {check: LIMITS.get(check, LIMIT) for check in scan.checks}
    findings = []
    for finding in scan.find(mark) if scan.in_slices else scan.find():
        if not room[finding.check]:
            results[finding.check].more = True
            if all(result.more for result in results.values()):
                break
            continue
        room[finding.check] -= 1
        findings.append(finding)
    return findings


def _mend(finding: Finding, result: Result, flight: Flight, dry_run: bool) -> None:
    result.found += 1
    if len(result.examples) < EXAMPLES:
        result.examples.append(finding.what)
    if dry_run or finding.mend is None:
        return
    flight.check()
    failpoint("reconcile.found")
    if finding.mend() is not False:  # False: its guard did not hold any more
        result.mended += 1
        log.info("%s: mended %s", finding.check, finding.what)
    failpoint("reconcile.mended")
