"""After the faults: wait until everything rests, let operators do their part, and compare."""

import json
import logging
import os
import random
import time
from collections import Counter
from pathlib import Path

import httpx
from psycopg.rows import dict_row

from tests.chaos import audit, oracle, snapshot
from tests.chaos.contents import expected
from tests.chaos.model import Acknowledged, Fate, Model, Violation
from tests.chaos.report import Report
from tests.chaos.snapshot import Row
from tests.chaos.watch import connect
from tests.e2e.product import Product, wait_for

log = logging.getLogger("chaos.judge")

REST_SECONDS = 300  # without any progress, or since the last backoff was over
LONGEST_REST = 1500
SWEEPS = 6  # runs of the reconciler, at most, until it finds nothing
SEARCHES = 60  # for live documents, and for those that are gone
GRACE_SECONDS = 2 * 86_400  # twice the time for which the product leaves objects without a row
# What a document that is in order can fail of: too many of its tries were disturbed.
DISTURBED = {
    "worker_died", "internal_error", "parser_died", "parser_timeout", "index_incomplete",
    "index_refused", "embedding_refused", "bad_embeddings", "stalled", "service_unavailable",
}  # fmt: skip

UNFINISHED = """
SELECT id, status, attempts, lease_epoch, furthest, due_at,
    extract(epoch FROM due_at - now()) AS due_in
FROM documents_document WHERE deleted_at IS NULL AND status IN ('pending', 'processing')
"""
WAITING = """
SELECT (SELECT count(*) FROM documents_outboxmessage)
    + (SELECT count(*) FROM documents_knowledgebase WHERE deleted_at IS NOT NULL)
"""


def judge(
    product: Product, model: Model, servers: dict[str, str], report: Report
) -> list[Violation]:
    """All violations; empty when there are none. Nothing disturbs the product any more."""
    url = servers["postgres"]
    wait_for(product.answers, 120, "the web server to answer again")
    report.rest_seconds = _rest(url)
    _requeue_failed(product, model, url, report)
    _sweep(product, url, report)
    held = snapshot.take(
        url,
        servers["qdrant"],
        product.setting("QDRANT_API_KEY"),
        Path(product.setting("STORAGE_ROOT")),
    )
    report.snapshot = held
    with connect(url) as connection:
        changes = audit.changes(connection)
        report.recoveries(changes, audit.reclaimed(connection))
    return [*audit.violations(changes), *oracle.check(model, held), *_search(product, model)]


def _rest(url: str) -> float:
    """Wait until nothing is unfinished, no message waits and no knowledge base is on its way out;
    returns the seconds it took.
    """
    began = bar = time.monotonic()
    before: set[tuple[str, int]] = set()
    while True:
        unfinished, messages = _unfinished(url)
        if not unfinished and not messages:
            return time.monotonic() - began
        now = time.monotonic()
        # Somebody finished or got further: the machine is slow, and nobody is stuck.
        furthest = {(row["id"], row["furthest"]) for row in unfinished}
        if before - furthest:
            bar = now
        before = furthest
        # A backoff that is not over yet is no standstill.
        bar = max([bar, *(now + float(row["due_in"]) for row in unfinished if row["due_in"] > 0)])
        if now > min(bar + REST_SECONDS, began + LONGEST_REST):
            raise Violation("stuck", f"{len(unfinished)}: {unfinished[:5]}; messages: {messages}")
        time.sleep(1)


def _unfinished(url: str) -> tuple[list[Row], int]:
    with connect(url) as connection, connection.cursor(row_factory=dict_row) as cursor:
        waiting = connection.execute(WAITING).fetchone()
        return cursor.execute(UNFINISHED).fetchall(), waiting[0] if waiting else 0


def _requeue_failed(product: Product, model: Model, url: str, report: Report) -> None:
    """As an operator does after an outage: those whose tries were spent begin anew."""
    with connect(url) as connection, connection.cursor(row_factory=dict_row) as cursor:
        failed = cursor.execute(
            "SELECT d.id, d.sha256, d.filename, d.failure_code, d.failure_message, k.slug"
            " FROM documents_document d JOIN documents_knowledgebase k ON k.id = knowledge_base_id"
            " WHERE d.deleted_at IS NULL AND d.status = 'failed'"
        ).fetchall()
    for row in failed:
        sent = model.attempts.get((row["slug"], row["filename"]), {}).get(row["sha256"])
        if sent and expected(sent.content).failure == row["failure_code"]:
            continue
        if row["failure_code"] not in DISTURBED:
            raise Violation("wrongly failed", str(row))
        report.requeued_after[row["failure_code"]] += 1
        product.api.post(f"documents/{row['id']}/requeue").raise_for_status()
    if report.requeued_after:
        _rest(url)


def _sweep(product: Product, url: str, report: Report) -> None:
    """Run the reconciler, with all objects older than its grace, until it finds nothing."""
    storage = Path(product.setting("STORAGE_ROOT"))
    for _ in range(SWEEPS):
        old = time.time() - GRACE_SECONDS
        for path in storage.rglob("*"):
            if path.is_file():
                os.utime(path, (old, old))
        findings = _reconcile(product)
        log.info("reconciled: %s", findings)
        found = Counter({row["check"]: row["found"] for row in findings if row["found"]})
        if not found:
            return
        report.swept += found
        _rest(url)
    raise Violation("reconcile", f"found something in each of {SWEEPS} runs: {report.swept}")


def _reconcile(product: Product) -> list[Row]:
    """What one run found; another one may be under way, for which it waits.

    Raises Violation when it could not tell: nothing is in its way any more.
    """
    deadline = time.monotonic() + REST_SECONDS
    while time.monotonic() < deadline:
        try:
            lines = product.manage("reconcile", "--json").splitlines()
        except AssertionError as error:
            raise Violation("reconcile", str(error)) from error
        if lines:
            findings: list[Row] = json.loads(lines[-1])["findings"]
            return findings
        time.sleep(1)
    raise Violation("reconcile", "another run was under way all the time")


def _search(product: Product, model: Model) -> list[Violation]:
    """What is live is found by its own word, what is gone is not."""
    choice = random.Random(len(model.documents))
    readable = [document for document in model.documents.values() if document.content.marker]
    gone = model.gone()
    wrong = []
    for document in _some(choice, [each for each in readable if each.fate is Fate.LIVE]):
        if document.id not in _found(product, document):
            wrong.append(
                Violation("not found", f"by a search: {document.id} “{document.filename}”")
            )
    for document in _some(choice, [each for each in readable if each.id in gone]):
        if document.id in _found(product, document):
            wrong.append(
                Violation(
                    "deleted document found", f"by a search: {document.id} “{document.filename}”"
                )
            )
    return wrong


def _some(choice: random.Random, documents: list[Acknowledged]) -> list[Acknowledged]:
    return choice.sample(documents, min(SEARCHES, len(documents)))


def _found(product: Product, document: Acknowledged) -> set[str]:
    body: Row = {"query": document.content.marker}
    if document.fate is not Fate.REMOVED:  # else there is none of that name
        body["knowledge_bases"] = [document.slug]
    answer: httpx.Response = product.api.post("search", json=body)
    return {result["document_id"] for result in answer.raise_for_status().json()["results"]}
