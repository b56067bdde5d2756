"""Each alert fires when what it watches breaks, and no other does.

Each test breaks something real between two scrapes of the real /metrics; only the waiting is done
by moving times in the database. `firing` evaluates the rules of deploy/prometheus/alerts.yml.
"""

import os
import re
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import F
from django.db.models.functions import Now
from django.test import Client

from documents import lifecycle, outages
from documents.models import Document, Outage, OutboxMessage
from processing import durations, heartbeat, reconcile, relay
from tests.conftest import let_lease_expire, process
from tests.lumikb import monitoring
from tests.lumikb.conftest import all_work, let_time_pass, relaying
from tests.lumikb.monitoring import DEPLOY, Scrape, alerts, scrape
from tests.lumikb.promql import names_in
from tests.processing.stubs import embedding_stub, failing, qdrant_at, refused_url

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "ops"])
MakeDocument = Callable[..., Document]
Firing = Callable[[], set[str]]


@pytest.fixture
def firing(monitored: None, tmp_path: Path) -> Firing:
    """The alerts that fire if all stays as it is now, after it was well."""
    before = scrape()
    return lambda: monitoring.firing(before, scrape(), tmp_path)


def claimed(document: Document) -> lifecycle.Claim:
    claim = lifecycle.claim(document.pk)
    assert claim
    return claim


def let_documents_wait(**since: float) -> None:
    """As if they had been due, or silent, for so long."""
    then = Now() - timedelta(**since)
    Document.objects.update(due_at=then, progressed_at=then)


# --- Is everything there? -------------------------------------------------------------------------


def test_no_alert_fires_when_all_is_well(firing: Firing, make_ready: MakeDocument) -> None:
    make_ready()
    all_work()  # that may have taken a minute
    assert firing() == set()


def test_after_a_fresh_start_the_others_are_waited_for_and_then_missed(
    transactional_db: None, settings: Any, tmp_path: Path
) -> None:
    settings.METRICS_TOKEN = monitoring.TOKEN
    web_alone = scrape()
    everybody_else = {"RelayLate", "NoWorker", "ReconcileLate"}
    assert monitoring.firing({}, web_alone, tmp_path) == everybody_else


def test_a_web_that_refuses_prometheus(firing: Firing, settings: Any) -> None:
    settings.METRICS_TOKEN = "another"
    assert firing() == {"LumiKBDown"}


def test_postgres_refuses_the_ops_role_too(firing: Firing, ops_at: Callable[[str], Any]) -> None:
    with ops_at(refused_url()):
        assert firing() == {"PostgresDown"}


def test_a_migration_is_not_applied(firing: Firing) -> None:
    migrations = MigrationRecorder(connection).migration_qs
    applied = migrations.get(app="documents", name="0003_metrics")
    applied.delete()
    try:
        assert firing() == {"MigrationsMissing"}
    finally:
        migrations.create(app=applied.app, name=applied.name, applied=applied.applied)


def test_redis_refuses(firing: Firing, redis_at: Callable[[str], Any]) -> None:
    with redis_at(refused_url()):
        assert firing() == {"RedisDown"}


def test_the_storage_takes_no_file(firing: Firing, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "objects", ignore_errors=True)
    (tmp_path / "objects").write_text("not a folder")
    assert firing() == {"StorageDown"}


def test_qdrant_refuses(firing: Firing, settings: Any) -> None:
    with qdrant_at(settings, refused_url()):
        assert firing() == {"QdrantDown"}


# --- Is everybody at work? ------------------------------------------------------------------------


def test_the_relay_has_stopped(firing: Firing) -> None:
    let_time_pass("relay", seconds=40)
    assert firing() == {"RelayLate"}
    all_work()
    assert firing() == set()


def test_a_relay_that_cannot_post_does_not_tick(
    firing: Firing, redis_at: Callable[[str], Any]
) -> None:
    let_time_pass("relay", seconds=40)
    with redis_at(refused_url()), relaying():
        time.sleep(0.5)
        assert firing() == {"RelayLate", "RedisDown"}


def test_the_workers_have_stopped(firing: Firing) -> None:
    let_time_pass("worker", seconds=70)
    assert firing() == {"NoWorker"}
    heartbeat.beat()
    assert firing() == set()


def test_reconcile_cannot_tell(firing: Firing, settings: Any) -> None:
    let_time_pass("reconcile", minutes=61)
    with qdrant_at(settings, refused_url()):
        reconcile.run()
    assert firing() == {"ReconcileLate"}
    reconcile.run(dry_run=True)
    assert firing() == {"ReconcileLate"}
    reconcile.run()
    assert firing() == set()


# --- Do documents become ready? -------------------------------------------------------------------


def test_nobody_works_on_what_is_due(firing: Firing, make_document: MakeDocument) -> None:
    make_document()
    let_documents_wait(minutes=20)
    assert firing() == {"IngestionStalled"}


def test_a_queue_that_moves_is_too_long(firing: Firing, make_document: MakeDocument) -> None:
    done = claimed(make_document("done.md"))
    make_document("waits.md")
    let_documents_wait(minutes=40)
    lifecycle.fail(done, "odd", "Odd.")
    assert firing() == {"DocumentsWaitLong"}


def test_a_worker_holds_a_document_and_does_nothing(
    firing: Firing, make_document: MakeDocument
) -> None:
    claimed(make_document())
    let_documents_wait(minutes=20)
    assert firing() == {"DocumentStuck"}


def test_messages_are_not_posted(firing: Firing, make_document: MakeDocument) -> None:
    document = make_document()
    message = OutboxMessage.Action.PROCESS
    OutboxMessage.objects.bulk_create(
        OutboxMessage(document=document, action=message) for _ in range(1000)
    )
    assert firing() == {"OutboxGrows"}


def test_many_documents_fail(firing: Firing, make_document: MakeDocument) -> None:
    for number in range(21):
        lifecycle.fail(claimed(make_document(f"{number}.md")), "odd", "Odd.")
    assert firing() == {"DocumentsFail"}


def test_a_stage_takes_long(firing: Firing, make_document: MakeDocument) -> None:
    with heartbeat.hold(claimed(make_document()), time.monotonic() - 200):
        pass
    heartbeat.beat()
    assert firing() == {"StageSlow"}


# --- What goes wrong and is mended by itself, more often than it should ---------------------------


def test_workers_die(firing: Firing, make_document: MakeDocument) -> None:
    for number in range(3):
        document = make_document(f"{number}.md")
        claimed(document)
        let_lease_expire(document)
    relay.heal()
    assert firing() == {"WorkersDie"}


def test_a_service_is_away(firing: Firing, make_document: MakeDocument, settings: Any) -> None:
    with embedding_stub(settings, failing(429)):
        process(make_document())
    Outage.objects.update(since=F("since") - timedelta(minutes=6))
    assert firing() == {"ServiceAway"}


def test_a_service_is_away_for_so_long_that_ingestion_has_stalled(
    firing: Firing, make_document: MakeDocument
) -> None:
    lifecycle.postpone(claimed(make_document()), "it is not available.", "embedding")
    Outage.objects.update(since=F("since") - timedelta(minutes=20))
    assert firing() == {"ServiceAway", "IngestionStalled"}


def test_a_service_comes_and_goes(firing: Firing, make_document: MakeDocument) -> None:
    document = make_document()
    for _ in range(51):
        lifecycle.postpone(claimed(document), "it is not available.", "embedding")
        outages.over()
        Document.objects.update(due_at=Now())
    Document.objects.update(status="ready")
    OutboxMessage.objects.all().delete()
    assert firing() == {"ServiceUnsteady"}


def test_somebody_uploads_the_same_files_again_and_again(
    firing: Firing, api: Callable[[User], Client], editor: User, make_document: MakeDocument
) -> None:
    make_document("notes.md")
    client = api(editor)
    for _ in range(51):
        file = SimpleUploadedFile("notes.md", b"# Notes\n")
        url = "/api/v1/knowledge-bases/handbook/documents"
        assert client.post(url, {"file": file}).status_code == 409
    assert firing() == {"ManyDuplicates"}


def test_reconcile_finds_that_a_stored_file_is_lost(
    firing: Firing, make_ready: MakeDocument
) -> None:
    default_storage.delete(make_ready().storage_key)
    reconcile.run()
    assert firing() == {"IndexOrFileLost"}


def test_reconcile_finds_an_object_without_a_document(
    firing: Firing, make_document: MakeDocument
) -> None:
    make_document()
    key = default_storage.save(f"1/{uuid.uuid4()}/original", ContentFile(b"nobody's"))
    os.utime(default_storage.path(key), (0, 0))  # older than any upload that is under way
    reconcile.run()
    assert firing() == {"OrphansFound"}


# --- Connections to PostgreSQL --------------------------------------------------------------------


def test_requests_wait_for_a_connection(firing: Firing, full_pool: Callable[[], None]) -> None:
    waiting = [threading.Thread(target=ask_and_release) for _ in range(40)]
    for each in waiting:
        each.start()
    time.sleep(1)
    assert pool_of(scrape())["lumikb_pool_waiting"] == 40  # it answers while they wait
    full_pool()
    for each in waiting:
        each.join()
    assert firing() == {"PoolExhausted"}


def test_requests_wait_for_a_connection_in_vain(
    firing: Firing, full_pool: Callable[[], None], settings: Any
) -> None:
    connection.pool.timeout = 0.1  # type: ignore[attr-defined] # seconds, for 30
    answer = Client(raise_request_exception=False).get("/api/v1/knowledge-bases", headers=BEARER)
    assert answer.status_code == 503
    assert firing() == {"PoolTimeouts"}


def test_a_role_has_nearly_all_its_connections(firing: Firing) -> None:
    parameters = connection.get_connection_params()
    parameters.pop("cursor_factory", None)
    parameters.pop("context", None)
    opened = [psycopg.connect(**parameters) for _ in range(55)]  # of 60
    try:
        assert firing() == {"RoleNearItsLimit"}
    finally:
        for each in opened:
            each.close()


BEARER = {"Authorization": "Bearer lumikb_nobody's"}


def ask_and_release() -> None:
    Document.objects.exists()
    connection.close()


def pool_of(samples: Scrape) -> dict[str, float]:
    return {name: value for (name, _), value in samples.items() if "pool" in name}


# --- The rules themselves -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def source() -> Iterator[str]:
    return Path(__file__).read_text()  # type: ignore[return-value]


def test_every_alert_is_made_to_fire_here(source: str) -> None:
    assert {alert.name for alert in alerts() if f'"{alert.name}"' not in source} == set()


def test_every_alert_has_its_entry_in_the_runbook() -> None:
    headings = re.findall(r"^### (\w+)$", (DEPLOY / "RUNBOOK.md").read_text(), re.MULTILINE)
    assert headings == [alert.name for alert in alerts()]
    for alert in alerts():
        assert alert.runbook == f"deploy/RUNBOOK.md#{alert.name.lower()}"


def test_every_metric_that_an_alert_reads_is_exported(monitored: None) -> None:
    exported = {name for name, _ in scrape()}
    read = set().union(*(names_in(alert.expression) for alert in alerts()))
    assert read - exported == set()


def test_every_metric_is_explained_in_the_runbook_or_read_by_an_alert(monitored: None) -> None:
    runbook = (DEPLOY / "RUNBOOK.md").read_text()
    read = set().union(*(names_in(alert.expression) for alert in alerts()))
    exported = {name for name, _ in scrape()} - {"up"}
    families = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in exported - read}
    assert {name for name in families if name not in runbook} == set()


def test_durations_that_the_database_does_not_take_are_kept(
    monitored: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    durations.observe("parse", 3.0)
    with monkeypatch.context() as patch:
        patch.setattr(durations.Tally, "add_all", lambda amounts: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            durations.save()
    durations.save()
    counted = {
        key: value for key, value in scrape().items() if key[0] == "lumikb_stage_seconds_sum"
    }
    assert sum(counted.values()) == 3.0
