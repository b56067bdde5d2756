"""All that the front page shows, in a few statements."""

import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import connection
from django.utils import timezone

from documents import figures
from documents.models import Generation, Heartbeat, Outage, ReconcileRun

from .chart import chart

TIGHT = 0.9  # so full a disk is worth a warning


@dataclass(frozen=True, slots=True)
class Sign:
    """When a kind of process last did its work, and whether that is too long ago."""

    name: str
    seen_at: datetime | None
    is_late: bool


@dataclass(frozen=True, slots=True)
class Disk:
    what: str
    free: int  # bytes
    total: int

    @property
    def percent(self) -> int:
        return round(100 * (self.total - self.free) / self.total) if self.total else 0

    @property
    def is_tight(self) -> bool:
        return self.total > 0 and self.free < (1 - TIGHT) * self.total


def read() -> dict[str, Any]:
    """What the template names, in as many statements at any number of documents."""
    now = timezone.now()
    totals = figures.by_status()
    done = figures.finished(totals)
    in_work = figures.at_work()
    waiting = figures.oldest_waiting()
    runs = ReconcileRun.objects
    return {
        "now": now,
        "totals": totals,
        "finished": done,
        "periods": list(figures.PERIODS),
        "causes": figures.causes(),
        "chart": chart(done.hours, now),
        "oldest_waiting": waiting,
        "waits_long": waiting is not None and now - waiting.due_at > settings.STUCK_AFTER,
        "slowest": in_work[0] if in_work else None,
        "workers": figures.workers(in_work),
        "signs": _signs(now),
        "last_run": runs.exclude(finished_at=None).order_by("-finished_at").first(),
        "outages": list(Outage.objects.all()),
        "generations": list(Generation.objects.filter(state__in=["serving", "filling"])),
        "disks": _disks(),
        "database_bytes": _database_bytes(),
    }


def _signs(now: datetime) -> list[Sign]:
    seen = dict(Heartbeat.objects.values_list("kind", "seen_at"))
    late: dict[str, tuple[str, timedelta]] = {
        Heartbeat.Kind.WORKER: ("A worker’s heartbeat", 2 * settings.LEASE),
        Heartbeat.Kind.RELAY: ("The relay’s last tick", settings.RELAY_LATE),
        Heartbeat.Kind.RECONCILE: ("The last whole run of reconcile", settings.RECONCILE_LATE),
    }
    return [
        Sign(name, at := seen.get(kind), at is not None and now - at > limit)
        for kind, (name, limit) in late.items()
    ]


def _disks() -> list[Disk]:
    """Of this web process's machine, each once: uploads on their way, and files where they stay."""
    folders = {"Uploads on their way": settings.FILE_UPLOAD_TEMP_DIR or gettempdir()}
    if not settings.S3_BUCKET:
        folders["Stored files"] = default_storage.location  # type: ignore[attr-defined]
    disks: dict[int, Disk] = {}
    for what, folder in folders.items():
        try:
            device = Path(folder).stat().st_dev
            usage = shutil.disk_usage(folder)
        except OSError:
            continue  # not made yet; the check of the storage says what is wrong with it
        if device in disks:
            what = f"{disks[device].what}, {what.lower()}"
        disks[device] = Disk(what, usage.free, usage.total)
    return list(disks.values())


def _database_bytes() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        return cursor.fetchone()[0]
