"""/metrics: who may read it, what it costs, and that the numbers are true."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext

from documents import lifecycle
from documents.models import Document, OutboxMessage, Tally
from lumikb import metrics
from processing import durations, heartbeat
from tests.conftest import process
from tests.lumikb.monitoring import TARGET, TOKEN, scrape
from tests.processing.stubs import refused_url

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "ops"])
MakeDocument = Callable[..., Document]


def value(name: str, **labels: str) -> float:
    return scrape()[f"lumikb_{name}", frozenset((labels | TARGET).items())]


@pytest.mark.parametrize(
    ("token", "header", "status"),
    [
        (TOKEN, f"Bearer {TOKEN}", 200),
        (TOKEN, f"Bearer {TOKEN}x", 401),
        (TOKEN, "Bearer gr\u00fcn", 401),
        (TOKEN, "", 401),
        ("", "Bearer ", 404),
        (None, "Bearer None", 404),
    ],
)
def test_only_who_has_the_token_reads_it(
    token: str | None, header: str, status: int, settings: Any
) -> None:
    settings.METRICS_TOKEN = token
    answer = Client().get("/metrics", headers={"Authorization": header})
    assert answer.status_code == status
    assert (b"lumikb_documents" in answer.content) == (status == 200)


def test_an_api_token_is_not_enough(api: Callable[[User], Client], editor: User) -> None:
    assert api(editor).get("/metrics").status_code == 401


def test_documents_are_counted_by_status(monitored: None, make_document: MakeDocument) -> None:
    deleted = make_document("deleted.md")
    assert deleted.uploaded_by
    lifecycle.soft_delete(deleted.pk, deleted.uploaded_by)
    make_document("waiting.md")
    lifecycle.claim(make_document("processing.md").pk)
    failed = lifecycle.claim(make_document("failed.md").pk)
    assert failed
    lifecycle.fail(failed, "odd", "Odd.")
    counted = {status: value("documents", status=status) for status in ("pending", "ready")}
    assert counted == {"pending": 1, "ready": 0}
    assert value("documents", status="processing") == value("documents", status="failed") == 1


def test_documents_are_counted_by_what_was_not_read_of_them(
    monitored: None, make_document: MakeDocument
) -> None:
    for name, kinds in (("a.pdf", ["image_page", "embedded_file"]), ("b.pdf", ["image_page"])):
        claim = lifecycle.claim(make_document(name).pk)
        assert claim
        report = [{"kind": kind, "place": "", "count": 2} for kind in kinds]
        assert lifecycle.succeed(claim, [], report)
    assert value("documents_unread", kind="image_page") == 2
    assert value("documents_unread", kind="embedded_file") == 1
    assert value("documents_unread", kind="formula") == 0


def test_ages_are_those_of_the_oldest(monitored: None, make_document: MakeDocument) -> None:
    assert value("oldest_waiting_seconds") == value("oldest_without_progress_seconds") == 0
    for minutes, name in ((1, "a.md"), (3, "b.md"), (2, "c.md"), (-9, "later.md")):
        document = make_document(name)
        due = Now() - timedelta(minutes=minutes)
        Document.objects.filter(pk=document.pk).update(due_at=due)
    lifecycle.claim(make_document("at work.md").pk)
    silent = Now() - timedelta(minutes=4)
    Document.objects.filter(status="processing").update(progressed_at=silent)
    assert 180 <= value("oldest_waiting_seconds") < 230
    assert 240 <= value("oldest_without_progress_seconds") < 290


def test_the_outbox_is_counted(monitored: None, make_document: MakeDocument, editor: User) -> None:
    make_document()
    lifecycle.soft_delete(make_document("deleted.md").pk, editor)
    assert value("outbox_messages", action="process", state="due") == 2
    assert value("outbox_messages", action="purge", state="due") == 0
    assert value("outbox_messages", action="purge", state="later") == 1
    OutboxMessage.objects.all().delete()
    assert value("outbox_messages", action="process", state="due") == 0


def test_every_stage_is_timed_and_survives_its_worker(
    monitored: None, make_document: MakeDocument
) -> None:
    process(make_document())
    durations.save()
    durations.save()  # once more: nothing is counted twice
    for stage in ("fetch", "parse", "embed", "index"):
        assert value("stage_seconds_count", stage=stage) == 1
        assert value("stage_seconds_bucket", stage=stage, le="600.0") == 1
        assert value("stage_seconds_sum", stage=stage) > 0


def test_a_duration_falls_into_its_bucket(monitored: None) -> None:
    for seconds in (0.05, 0.1, 3.0, 700.0):
        durations.observe("parse", seconds)
    heartbeat.beat()
    counts = {
        bound: value("stage_seconds_bucket", stage="parse", le=bound)
        for bound in ("0.1", "0.5", "2.0", "10.0", "600.0", "+Inf")
    }
    assert counts == {"0.1": 2, "0.5": 2, "2.0": 2, "10.0": 3, "600.0": 3, "+Inf": 4}
    assert value("stage_seconds_sum", stage="parse") == pytest.approx(703.15)


def test_a_postponement_that_does_not_happen_is_not_counted(
    monitored: None, make_document: MakeDocument
) -> None:
    claim = lifecycle.claim(make_document().pk)
    assert claim
    assert lifecycle.postpone(claim, "it is not available.", "vectors")
    assert not lifecycle.postpone(claim, "it is not available.", "vectors")  # it has lost the lease
    assert value("postponements_total", service="vectors") == 1


def test_a_scrape_costs_few_statements_each_by_an_index(monitored: None) -> None:
    ops = connections["ops"]
    with CaptureQueriesContext(ops) as captured:
        metrics._read()
    statements = [each["sql"] for each in captured]
    assert len(statements) == metrics.QUERIES
    of_documents = [each for each in statements if "documents_document" in each]
    assert len(of_documents) == 3
    with ops.cursor() as cursor:
        cursor.execute(
            "SET enable_seqscan = off"
        )  # the table is small: that alone would be cheaper
        for statement in of_documents:
            cursor.execute(f"EXPLAIN {statement}")
            plan = "\n".join(row[0] for row in cursor.fetchall())
            assert "Seq Scan" not in plan, plan
        cursor.execute("RESET enable_seqscan")


def test_it_answers_while_all_connections_of_the_web_are_taken(
    full_pool: Callable[[], None],
) -> None:
    connection.pool.timeout = 0.1  # type: ignore[attr-defined]
    samples = scrape()
    pool = {name: each for (name, _), each in samples.items() if name.startswith("lumikb_pool")}
    assert pool["lumikb_pool_connections"] == 10
    assert pool["lumikb_pool_idle"] == 0
    assert any(name == "lumikb_documents" for name, _ in samples)


def test_without_postgres_it_says_so_and_does_not_guess(
    monitored: None, ops_at: Callable[[str], Any]
) -> None:
    with ops_at(refused_url()):
        samples = scrape()
    checks = {
        dict(labels)["check"]: each for (name, labels), each in samples.items() if "check" in name
    }
    assert checks == {"database": 0, "embedding": 1, "redis": 1, "storage": 1, "vectors": 1}
    assert not any(name == "lumikb_documents" for name, _ in samples)


def test_tallies_add_up_whoever_counts(transactional_db: None) -> None:
    Tally.add("worker_deaths")
    Tally.add_all({("worker_deaths", ""): 2, ("postponements", "storage"): 0.5})
    assert set(Tally.objects.values_list("name", "label", "value")) == {
        ("worker_deaths", "", 3.0),
        ("postponements", "storage", 0.5),
    }
