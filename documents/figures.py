"""What an operator is shown of all documents together, in as many statements at any number.

What is counted is counted exactly, by ranges of an index alone: a range of a million documents
takes 0.1 s, and everything that is older than a week is counted as a whole.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode
from uuid import UUID

from django.db import connection
from django.db.models import Count

from .models import Document, Status
from .models.querysets import WORKER_LOCK

HOURS = 24  # of the chart
PERIODS = {  # of the filter of the admin's list, too
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
}
MOST_AT_WORK = 50  # documents in work that are named

# How many became so in each of the last 24 hours, and in the six days before.
FINISHED = """
    SELECT hour,
           (SELECT count(*) FROM documents_document WHERE deleted_at IS NULL AND status = 'ready'
            AND finished_at > since AND finished_at <= until),
           (SELECT count(*) FROM documents_document WHERE deleted_at IS NULL AND status = 'failed'
            AND finished_at > since AND finished_at <= until)
    FROM (SELECT n AS hour, now() - n * interval '1 hour' AS until,
                 now() - (n + CASE WHEN n < 24 THEN 1 ELSE 144 END) * interval '1 hour' AS since
          FROM generate_series(0, 24) AS n) AS hours
    ORDER BY hour
"""

# The causes of the failures by a walk from one code to the next in the index `document_causes`.
FAILED = "documents_document WHERE deleted_at IS NULL AND status = 'failed'"
CAUSES = f"""
    WITH RECURSIVE cause (code) AS (
        (SELECT failure_code FROM {FAILED} ORDER BY failure_code LIMIT 1)
        UNION ALL
        SELECT (SELECT failure_code FROM {FAILED} AND failure_code > cause.code
                ORDER BY failure_code LIMIT 1)
        FROM cause WHERE cause.code IS NOT NULL
    )
    SELECT code,
           (SELECT count(*) FROM {FAILED} AND failure_code = code
            AND finished_at > now() - interval '1 hour'),
           (SELECT count(*) FROM {FAILED} AND failure_code = code
            AND finished_at <= now() - interval '1 hour'
            AND finished_at > now() - interval '1 day'),
           (SELECT count(*) FROM {FAILED} AND failure_code = code
            AND finished_at <= now() - interval '1 day'
            AND finished_at > now() - interval '7 days'),
           (SELECT count(*) FROM {FAILED} AND failure_code = code
            AND finished_at <= now() - interval '7 days'),
           (SELECT min(finished_at) FROM {FAILED} AND failure_code = code),
           example.*
    FROM cause LEFT JOIN LATERAL (
        SELECT id, filename, failure_message, finished_at FROM {FAILED} AND failure_code = code
        ORDER BY finished_at DESC LIMIT 1
    ) AS example ON true
    WHERE code IS NOT NULL
"""  # noqa: S608 (made of our own words)

# Names of sessions are for every role to see; who else they are is not.
WORKERS = """
    SELECT DISTINCT ON (objid) objid::bigint, application_name
    FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND classid = %s AND pg_locks.database =
        (SELECT oid FROM pg_database WHERE datname = current_database())
    ORDER BY objid, application_name
"""
SESSION = re.compile(r"worker (?P<pid>\d+) (?P<began>\d+) (?P<host>.+)")


def session_name(host: str, pid: int, began: float) -> str:
    """What a worker's heartbeat calls its session, which `workers` reads; PostgreSQL keeps 63
    characters.
    """
    return f"worker {pid} {began:.0f} {host}"[:63]


@dataclass(frozen=True, slots=True)
class Counts:
    """Within an hour, a day, a week, and whenever."""

    hour: int
    day: int
    week: int
    all: int


@dataclass(frozen=True, slots=True)
class Cause:
    """Why documents failed: how many, the first and the last of them, and the last one itself."""

    code: str
    counts: Counts
    since: datetime
    last: datetime
    example: UUID
    filename: str
    sentence: str

    @property
    def title(self) -> str:
        return self.code.replace("_", " ").capitalize()

    @property
    def filter(self) -> str:
        """Of the admin's list of documents."""
        return urlencode({"status__exact": Status.FAILED, "failure_code": self.code})


@dataclass(frozen=True, slots=True)
class Hour:
    """Of the chart: what became ready and failed in an hour, `ago` hours before this one."""

    ago: int
    ready: int
    failed: int


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker process whose session is there, and what it has in work; `since` it began."""

    number: int
    name: str
    since: datetime | None
    documents: list[Document]


@dataclass(frozen=True, slots=True)
class Finished:
    ready: Counts
    failed: Counts
    hours: list[Hour]


def by_status() -> dict[str, int]:
    """All live ones."""
    rows = Document.objects.live().order_by().values_list("status")
    return dict.fromkeys(Status.values, 0) | dict(rows.annotate(count=Count("*")))


def finished(totals: dict[str, int]) -> Finished:
    """What became ready and what failed, within a week."""
    with connection.cursor() as cursor:
        cursor.execute(FINISHED)
        rows = cursor.fetchall()
    hours = [Hour(ago, ready, failed) for ago, ready, failed in rows]

    def counts(status: str) -> Counts:
        numbers = [getattr(hour, status) for hour in hours]
        return Counts(numbers[0], sum(numbers[:HOURS]), sum(numbers), totals[status])

    return Finished(counts("ready"), counts("failed"), hours[:HOURS])


def causes() -> list[Cause]:
    """Why documents have failed, the most frequent first."""
    with connection.cursor() as cursor:
        cursor.execute(CAUSES)
        rows = cursor.fetchall()
    found = []
    for code, hour, day, week, older, since, example, filename, sentence, last in rows:
        counts = Counts(hour, hour + day, hour + day + week, hour + day + week + older)
        found.append(Cause(code, counts, since, last, example, filename, sentence))
    return sorted(found, key=lambda cause: (-cause.counts.all, cause.code))


def oldest_waiting() -> Document | None:
    """Of those that are due."""
    return Document.objects.due().order_by("due_at").first()


def at_work() -> list[Document]:
    """Those in work, the one first that has made no progress for longest."""
    processing = Document.objects.live().filter(status=Status.PROCESSING)
    return list(processing.order_by("progressed_at")[:MOST_AT_WORK])


def workers(in_work: list[Document]) -> list[Worker]:
    """Those that are connected, by their heartbeat's session (processing/heartbeat.py)."""
    with connection.cursor() as cursor:
        cursor.execute(WORKERS, [WORKER_LOCK])
        rows = cursor.fetchall()
    of_worker: dict[int | None, list[Document]] = {}
    for document in in_work:
        of_worker.setdefault(document.worker, []).append(document)
    found = []
    for number, name in rows:
        own = SESSION.fullmatch(name)
        since = datetime.fromtimestamp(int(own["began"]), UTC) if own else None
        who = f"{own['host']}, process {own['pid']}" if own else "A worker"
        found.append(Worker(number, who, since, of_worker.get(number, [])))
    return found
