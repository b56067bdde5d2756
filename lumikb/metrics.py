"""Prometheus's /metrics: what PostgreSQL knows of all processes, and this process's pool.

Everything but the pool is read from PostgreSQL at the scrape, on the ops role: one target tells of
all web, worker, relay and reconcile processes, nothing is lost when one of them dies, and it
answers when the pool is empty. Of the pool each web process knows its own, and `process` says which
one has answered; gunicorn lets another one answer soon.
A scrape costs the checks of /health/ready and QUERIES statements, each by an index or on a table of
a few rows; it takes health.DEADLINE seconds at most.
"""

import math
import os
from collections.abc import Iterator
from datetime import timedelta
from itertools import accumulate
from typing import Any

from django.conf import settings
from django.db import connection, connections
from django.db.models import F, Min
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

from documents import counts
from documents.models import (
    Document,
    Heartbeat,
    Outage,
    OutboxMessage,
    ReconcileRun,
    Stage,
    Status,
    Tally,
)
from formats.unread import KINDS
from processing import durations

from . import health
from .health import OPS
from .probes import Probe, ask

QUERIES = 9
MOST_MESSAGES = 10_000  # that are counted
SERVICES = ("storage", "embedding", "vectors", "database")  # that a document may be postponed for

CONNECTIONS = """
    SELECT rolname, rolconnlimit, count(pid)
    FROM pg_roles LEFT JOIN pg_stat_activity ON usesysid = pg_roles.oid
    WHERE rolname IN ('lumikb', 'lumikb_web', 'lumikb_worker', 'lumikb_ops')
    GROUP BY rolname, rolconnlimit
"""

# ORDER BY: by the queues' index, or it would look through all of one action's for another's.
MESSAGES = """
    SELECT known.action,
        (SELECT count(*) FROM (
            SELECT FROM documents_outboxmessage AS message
            WHERE is_due AND message.action = known.action
            ORDER BY priority, person, base, due_at, id LIMIT %(most)s
        ) AS queued) + (SELECT count(*) FROM (
            SELECT FROM documents_outboxmessage AS message
            WHERE NOT is_due AND message.action = known.action
                AND due_at <= statement_timestamp() LIMIT %(most)s
        ) AS to_be_filed),
        (SELECT count(*) FROM (
            SELECT FROM documents_outboxmessage AS message
            WHERE NOT is_due AND message.action = known.action
                AND due_at > statement_timestamp() LIMIT %(most)s
        ) AS later)
    FROM unnest(%(actions)s::text[]) AS known(action)
"""


@csrf_exempt  # or who asks by a wrong method is told of a token, not of his method
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """For who sends `Authorization: Bearer METRICS_TOKEN`, else 401; without that setting 404.

    Numbers only, no names; still, how much is stored and what fails here is nobody else's business.
    """
    if not settings.METRICS_TOKEN:
        return HttpResponse("METRICS_TOKEN is not set.\n", status=404, content_type="text/plain")
    expected = f"Bearer {settings.METRICS_TOKEN}"
    if not constant_time_compare(request.headers.get("Authorization", ""), expected):
        headers = {"WWW-Authenticate": "Bearer"}
        return HttpResponse("unauthorized\n", "text/plain", status=401, headers=headers)
    registry = CollectorRegistry()
    registry.register(_Scrape())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class _Scrape(Collector):
    def describe(self) -> list[Metric]:
        return []  # registering it must not ask anybody

    def collect(self) -> Iterator[Metric]:
        answers = ask(health.PROBES | {"numbers": NUMBERS}, health.DEADLINE)
        yield _labelled(
            "check_ok",
            "1 when this check of /health/ready is well, else 0.",
            "check",
            {name: each.ok for name, each in health.judged(answers).items() if each.ok is not None},
        )
        if not isinstance(answers["numbers"], BaseException):  # else a check is not well
            yield from answers["numbers"]
        yield from _pool()


def _read() -> list[Metric]:
    """All that PostgreSQL knows."""
    return [
        *_documents(),
        *_outbox(),
        *_signs_of_life(),
        *_outages(),
        *_tallies(),
        *_reconcile(),
        *_connections(),
    ]


def _documents() -> Iterator[Metric]:
    documents = Document.objects.using(OPS)
    numbers = counts.of_all(OPS)
    yield _labelled(
        "documents",
        "Live documents by status.",
        "status",
        {status: numbers.get(status, 0) for status in Status.values},
    )
    yield _labelled(
        "documents_unread",
        "Live documents that are ready, of which something of this kind was not read.",
        "kind",
        {kind: numbers.get(f"unread {kind}", 0) for kind in KINDS},
    )
    waiting = documents.due().aggregate(age=Now() - Min("due_at"))["age"]
    yield GaugeMetricFamily(
        "lumikb_oldest_waiting_seconds",
        "How long the document that waits longest has been due; 0 when none waits.",
        _seconds(waiting),
    )
    processing = documents.live().filter(status=Status.PROCESSING)
    silent = processing.aggregate(age=Now() - Min("progressed_at"))["age"]
    yield GaugeMetricFamily(
        "lumikb_oldest_without_progress_seconds",
        "Of the documents in work, how long one has made no progress; 0 when none is in work.",
        _seconds(silent),
    )


def _outbox() -> Iterator[Metric]:
    family = GaugeMetricFamily(
        "lumikb_outbox_messages",
        "Messages that are not posted yet: those that are due, and those that are for later; "
        f"{MOST_MESSAGES} means so many or more.",
        labels=["action", "state"],
    )
    with connections[OPS].cursor() as cursor:
        cursor.execute(MESSAGES, {"actions": OutboxMessage.Action.values, "most": MOST_MESSAGES})
        for action, due, later in cursor.fetchall():
            family.add_metric([action, "due"], min(due, MOST_MESSAGES))
            family.add_metric([action, "later"], later)
    yield family


def _signs_of_life() -> Iterator[Metric]:
    ages = Heartbeat.ages(OPS)
    never = dict.fromkeys(Heartbeat.Kind.values, math.inf)
    yield _labelled(
        "last_seen_seconds",
        "Since a worker's heartbeat, a relay's tick and a whole run of reconcile; +Inf: never.",
        "kind",
        never | {kind: _seconds(age) for kind, age in ages.items()},
    )


def _outages() -> Iterator[Metric]:
    outages = Outage.objects.using(OPS).annotate(age=Now() - F("since"))
    away = dict(outages.values_list("service", "age"))
    yield _labelled(
        "outage_seconds",
        "How long documents have waited for this service; 0 when they do not.",
        "service",
        {service: _seconds(away.get(service)) for service in SERVICES},
    )


def _tallies() -> Iterator[Metric]:
    rows = Tally.objects.using(OPS).values_list("name", "label", "value")
    tallies = {(name, label): value for name, label, value in rows}
    yield CounterMetricFamily(
        "lumikb_worker_deaths",
        "Documents that were taken from a worker that vanished.",
        tallies.get(("worker_deaths", ""), 0),
    )
    yield CounterMetricFamily(
        "lumikb_duplicates_refused",
        "Uploads that were refused because the knowledge base has a file of that name.",
        tallies.get(("duplicates_refused", ""), 0),
    )
    postponements = CounterMetricFamily(
        "lumikb_postponements", "Documents put off because a service was away.", labels=["service"]
    )
    for service in SERVICES:
        postponements.add_metric([service], tallies.get(("postponements", service), 0))
    yield postponements
    stages = HistogramMetricFamily(
        "lumikb_stage_seconds", "How long the stages of processing took.", labels=["stage"]
    )
    bounds = [*map(str, durations.BUCKETS), "+Inf"]
    for stage in Stage.values:
        counts = [tallies.get((durations.COUNT, f"{stage} {n}"), 0) for n in range(len(bounds))]
        buckets = list(zip(bounds, accumulate(counts), strict=True))
        stages.add_metric([stage], buckets, tallies.get((durations.SUM, stage), 0))
    yield stages


def _reconcile() -> Iterator[Metric]:
    runs = ReconcileRun.objects.using(OPS).filter(dry_run=False).exclude(finished_at=None)
    last = runs.order_by("-pk").first()
    findings = last.findings if last else []
    yield _labelled(
        "reconcile_found",
        "What the last run of reconcile found, by check.",
        "check",
        {row["check"]: row["found"] for row in findings},
    )


def _connections() -> Iterator[Metric]:
    with connections[OPS].cursor() as cursor:
        cursor.execute(CONNECTIONS)
        rows = cursor.fetchall()
    yield _labelled(
        "connections",
        "Connections to PostgreSQL by role.",
        "role",
        {role: count for role, _, count in rows},
    )
    yield _labelled(
        "connections_limit",
        "What the role may open.",
        "role",
        {role: limit for role, limit, _ in rows if limit >= 0},
    )


def _pool() -> Iterator[Metric]:
    """Of this process alone."""
    process = str(os.getpid())
    pool = connection.pool  # type: ignore[attr-defined]
    stats = pool.get_stats() if pool else {}
    gauges = {
        "pool_connections": ("Connections that the pool of this web process has.", "pool_size"),
        "pool_idle": ("Those of them that nobody uses.", "pool_available"),
        "pool_waiting": ("Requests that wait for a connection now.", "requests_waiting"),
    }
    for name, (text, key) in gauges.items():
        yield _labelled(name, text, "process", {process: stats.get(key, 0)})
    counters = {
        "pool_wait_seconds": ("Time that requests have waited.", "requests_wait_ms", 1000),
        "pool_timeouts": ("Requests that waited in vain: 503.", "requests_errors", 1),
    }
    for name, (text, key, unit) in counters.items():
        family = CounterMetricFamily(f"lumikb_{name}", text, labels=["process"])
        family.add_metric([process], stats.get(key, 0) / unit)
        yield family


def _labelled(name: str, text: str, label: str, values: dict[str, Any]) -> Metric:
    family = GaugeMetricFamily(f"lumikb_{name}", text, labels=[label])
    for value in values:
        family.add_metric([value], float(values[value]))
    return family


def _seconds(age: timedelta | None) -> float:
    return max(0.0, age.total_seconds()) if age else 0.0


NUMBERS = Probe(_read)
