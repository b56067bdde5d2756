"""The figures of a run, for people."""

import threading
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.client import percentile
from tests.chaos import audit
from tests.chaos.audit import Change
from tests.chaos.faults import Fault
from tests.chaos.model import Model, Violation
from tests.chaos.snapshot import Snapshot
from tests.chaos.watch import Watch

KINDS = (  # the promises; printed also when all were kept
    "lost", "stuck", "duplicate", "orphan vectors", "orphan objects", "fence", "resurrected",
    "deleted document found", "not found", "passages", "vectors", "object", "unexplained",
)  # fmt: skip


@dataclass
class Report:
    seed: str
    folder: Path
    model: Model
    faults: list[Fault] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    judged: threading.Event = field(default_factory=threading.Event)  # nobody need watch any more
    watch: Watch | None = None
    snapshot: Snapshot | None = None
    rest_seconds: float = 0.0
    requeued_after: Counter[str] = field(default_factory=Counter)  # failure code -> documents
    swept: Counter[str] = field(default_factory=Counter)  # reconciler's check -> findings
    freed_seconds: list[float] = field(default_factory=list)
    claimed_seconds: list[float] = field(default_factory=list)
    service_seconds: list[float] = field(default_factory=list)

    @property
    def kills(self) -> Counter[str]:
        return Counter(fault.target for fault in self.faults if fault.is_kill)

    def recoveries(self, changes: Sequence[Change], reclaimed: Collection[audit.Lease]) -> None:
        self.freed_seconds, self.claimed_seconds = audit.worker_recoveries(
            changes, reclaimed, self.faults
        )
        self.service_seconds = audit.service_recoveries(changes, self.faults)

    def progress(self, unfinished: int) -> str:
        return (
            f"  {self.kills.total()} kills, {len(self.faults) - self.kills.total()} other faults,"
            f" {len(self.model)} documents, {unfinished} unfinished"
        )

    def text(self) -> str:
        others = Counter(f"{f.action} {f.target}" for f in self.faults if not f.is_kill)
        rows = len(self.snapshot.documents) if self.snapshot else 0
        counted = Counter(violation.kind for violation in self.violations)
        lines = [
            f"seed {self.seed}",
            f"kills: {self.kills.total()} ({_listed(self.kills)})",
            f"other faults: {others.total()} ({_listed(others)})",
            f"documents: {len(self.model)} acknowledged, {rows} in the database",
            f"clients: {_listed(self.model.figures)}",
            f"until everything rested: {self.rest_seconds:.0f} s",
            f"FAILED after too many disturbed tries, READY after a requeue:"
            f" {_listed(self.requeued_after) or 'none'}",
            f"found by the reconciler at the end: {_listed(self.swept) or 'nothing'}",
            "time to recovery",
            f"  a killed worker's document is free: {_times(self.freed_seconds)}",
            f"  it is claimed again (behind the queue): {_times(self.claimed_seconds)}",
            f"  after any kill, a document has gone all the way: {_times(self.service_seconds)}",
            f"violations: {_listed(counted, always=KINDS)}",
        ]
        lines += [f"  {violation}"[:2000] for violation in self.violations[:20]]
        return "\n".join(lines)


def _times(seconds: list[float]) -> str:
    if not seconds:
        return "none to measure"
    p50, p99 = (percentile(seconds, share) for share in (50, 99))
    return f"n {len(seconds)}, p50 {p50:.1f} s, p99 {p99:.1f} s, max {max(seconds):.1f} s"


def _listed(counter: Counter[str], always: Sequence[str] = ()) -> str:
    names = [*always, *(name for name in sorted(counter) if name not in always)]
    return ", ".join(f"{name} {counter[name]}" for name in names)
