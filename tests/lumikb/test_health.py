"""/health/live, /health/serving and /health/ready."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from django.db import connection, connections
from django.db.models.functions import Now
from django.test import Client

from deploy.local.servers import free_ports
from documents import lifecycle
from documents.models import Document, Generation, Heartbeat, Outage
from lumikb import health, probes
from lumikb.storage import S3Storage
from processing.index import embeddings, generations, vectors
from tests.chaos.proxy import Proxies
from tests.lumikb.conftest import let_time_pass
from tests.processing.stubs import (
    embedding_stub,
    failing,
    good_embeddings,
    qdrant_at,
    refused_url,
)

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "ops"])
MakeDocument = Callable[..., Document]


def ask(path: str = "/health/ready") -> tuple[int, dict[str, bool | None]]:
    """The status, and whether each check is well."""
    answer = Client().get(path)
    return answer.status_code, {name: each["ok"] for name, each in answer.json()["checks"].items()}


def says(check: str) -> str:
    return str(Client().get("/health/ready").json()["checks"][check]["says"])


def not_well() -> set[str]:
    status, checks = ask()
    found = {name for name, ok in checks.items() if not ok}
    assert status == (503 if found else 200)
    return found


def test_all_is_well_and_every_check_says_so_in_a_sentence(monitored: None) -> None:
    answer = Client().get("/health/ready")
    body = answer.json()
    assert (answer.status_code, body["ok"]) == (200, True)
    assert set(body["checks"]) == {
        *("database", "migrations", "storage", "redis", "vectors", "embedding"),
        *("relay", "worker", "reconcile", "sandbox", "ingestion", "index"),
    }
    assert all(check["ok"] and check["says"].endswith(".") for check in body["checks"].values())
    assert "no-store" in answer.headers["Cache-Control"]


def test_a_fresh_start_is_ready_before_the_others_have_run(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "DEADLINE", 20.0)  # on a busy machine too
    assert not Heartbeat.objects.exists()
    embeddings.warm_up()  # as gunicorn.py has it done
    assert not_well() == set()
    assert says("relay") == "The relay has not been seen yet."


@pytest.mark.parametrize(
    ("kind", "time"),
    [("relay", {"seconds": 31}), ("worker", {"seconds": 41}), ("reconcile", {"minutes": 61})],
)
def test_who_has_not_been_seen_for_too_long_is_red(
    kind: str, time: dict[str, float], monitored: None
) -> None:
    let_time_pass(kind, **time)
    assert not_well() == {kind}
    Heartbeat.beat(kind)
    assert not_well() == set()


def test_who_is_late_does_not_take_the_pages_away(monitored: None) -> None:
    for kind in Heartbeat.Kind.values:
        let_time_pass(kind, hours=2)
    assert not_well() == set(Heartbeat.Kind.values)
    assert ask("/health/serving") == (200, dict.fromkeys(health.SERVING, True))


def test_a_worker_without_seccomp_is_named_and_red_only_where_it_is_required(
    monitored: None, settings: Any
) -> None:
    Heartbeat.beat(Heartbeat.UNFILTERED)
    assert not_well() == set()
    assert says("sandbox").startswith("Parsers of a worker run without their filter")
    settings.PARSER_SANDBOX = "required"
    assert not_well() == {"sandbox"}
    let_time_pass(Heartbeat.UNFILTERED, seconds=41)  # that worker is gone
    assert not_well() == set()


def test_ingestion_that_stands_still_is_red_though_every_process_is_up(
    monitored: None, make_document: MakeDocument
) -> None:
    make_document()
    due = Document.objects.all()
    due.update(due_at=Now() - timedelta(minutes=14))
    assert not_well() == set()
    due.update(due_at=Now() - timedelta(minutes=16))
    assert not_well() == {"ingestion"}
    assert says("ingestion") == "Documents wait, and none has moved for 15 minutes."
    claim = lifecycle.claim(make_document("other.md").pk)
    assert not_well() == set()  # somebody is at work
    Document.objects.filter(status="processing").update(progressed_at=Now() - timedelta(minutes=16))
    assert not_well() == {"ingestion"}
    assert claim
    lifecycle.fail(claim, "odd", "Odd.")
    assert not_well() == set()  # the queue moves


def test_a_service_that_stays_away_is_named(monitored: None, make_document: MakeDocument) -> None:
    claim = lifecycle.claim(make_document().pk)
    assert claim
    lifecycle.postpone(claim, "the embedding service is not available (HTTP 429).", "embedding")
    sentence = "Documents wait: the embedding service is not available (HTTP 429)."
    assert (not_well(), says("ingestion")) == (set(), sentence)
    let_outage_last(minutes=16)
    assert (not_well(), says("ingestion")) == ({"ingestion"}, sentence)


def let_outage_last(**time: float) -> None:
    Outage.objects.update(since=Now() - timedelta(**time))


def test_a_service_that_refuses_is_named(
    monitored: None, settings: Any, redis_at: Callable[[str], Any]
) -> None:
    with redis_at(refused_url()), qdrant_at(settings, refused_url()):
        assert not_well() == {"redis", "vectors"}
        assert says("redis") == "Redis cannot be used (ConnectionError)."
    settings.QDRANT_API_KEY = "wrong"
    with qdrant_at(settings, settings.QDRANT_URL):
        assert not_well() == {"vectors"}


def test_a_wrong_model_or_number_of_dimensions_or_no_service_is_named(
    monitored: None, settings: Any
) -> None:
    model, dimensions = settings.EMBEDDING_MODEL, settings.EMBEDDING_DIMENSIONS
    settings.EMBEDDING_MODEL = "hosted_vllm/no-such-model"
    assert not_well() == {"embedding"}
    assert says("embedding") == ("The model of the settings cannot be used (embedding: HTTP 404).")
    settings.EMBEDDING_MODEL = model
    settings.EMBEDDING_DIMENSIONS = 1536
    assert not_well() == {"embedding"}
    assert "answers 384 dimensions where 1536 are configured" in says("embedding")
    settings.EMBEDDING_DIMENSIONS = dimensions
    with embedding_stub(settings, failing(500)):
        assert not_well() == {"embedding"}
        assert "HTTP 500" in says("embedding")
    assert not_well() == set()


def test_an_index_of_other_vectors_than_it_says_is_named(monitored: None) -> None:
    generations.establish()
    vectors.upsert(1, uuid4(), [vectors.Point(uuid4(), 0, [1.0, 0.0, 0.0], {})])
    assert not_well() == {"vectors"}
    assert "vectors of 3 numbers, not of 384" in says("vectors")


def test_the_embedding_service_is_not_asked_at_each_poll(monitored: None, settings: Any) -> None:
    with embedding_stub(settings, good_embeddings) as stub:
        assert not_well() == not_well() == set()
    assert len(stub.calls) == 1


def test_an_index_of_another_model_is_red_until_the_new_one_gets_on(
    monitored: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not_well() == set()  # an empty one is of any
    generations.establish()
    assert not_well() == set()
    settings.EMBEDDING_MODEL = "hosted_vllm/all-MiniLM-L6-v2"
    assert not_well() == {"index"}
    assert says("index") == "The index is of another model than the settings name; reembed."
    fields = generations.fields_of(generations.wanted()) | {"collection": "new"}
    Generation.objects.create(state="filling", **fields)
    Generation.objects.update(passages_done=10, passages_total=40)
    assert not_well() == set()
    assert says("index") == "A new index is being filled: 10 of 40 passages."
    Generation.objects.update(progressed_at=Now() - timedelta(minutes=16))
    assert not_well() == {"index"}
    Generation.objects.update(progressed_at=Now(), trouble="embedding: HTTP 404")
    assert says("index") == (
        "The new index does not get on: 10 of 40 passages. embedding: HTTP 404"
    )


def test_what_only_postgres_knows_is_not_told_without_it(
    monitored: None, ops_at: Callable[[str], Any]
) -> None:
    with ops_at(refused_url()):
        status, checks = ask()
        assert status == 503
        assert {name for name, ok in checks.items() if ok} == {
            *("redis", "storage", "vectors", "embedding")
        }
        assert checks["database"] is False
        assert checks["relay"] is None
        assert ask("/health/serving")[0] == 503


def test_it_answers_while_all_connections_of_the_web_are_taken(
    full_pool: Callable[[], None],
) -> None:
    connection.pool.timeout = 0.1  # type: ignore[attr-defined]
    assert not_well() == set()


def test_services_that_swallow_everything_delay_the_answer_by_the_deadline_at_most(
    monitored: None,
    settings: Any,
    ops_at: Callable[[str], Any],
    redis_at: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "DEADLINE", 1.0)
    names = ("postgres", "redis", "qdrant", "s3")
    ports = dict(zip(names, free_ports(4), strict=True))
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    somewhere = urlsplit(settings.QDRANT_URL).port  # that hears nothing of it
    assert somewhere
    with (
        Proxies(ports, lambda name: somewhere) as proxies,
        ops_at(urls["postgres"]),
        redis_at(urls["redis"]),
        qdrant_at(settings, urls["qdrant"]),
    ):
        for proxy in proxies.by_name.values():
            proxy.swallow()
        storage = S3Storage(
            bucket_name="b", endpoint_url=urls["s3"], access_key="a", secret_key="s", tries=1
        )
        monkeypatch.setattr(health, "default_storage", storage)
        settings.EMBEDDING_API_BASE = f"{urls['qdrant']}/v1"
        threads = []
        for _ in range(3):
            began = time.monotonic()
            status, checks = ask()
            took = time.monotonic() - began
            assert (status, any(checks.values())) == (503, False)
            assert took < health.DEADLINE + 5, took  # on a busy machine; S3 alone has 60 s
            threads.append(probing())
        assert max(threads) <= len(health.PROBES)  # no thread more for each that asks
        assert says("storage") == "The file storage has not answered within 1 seconds."


def test_a_disk_that_is_silent_costs_one_thread_and_holds_nobody_up() -> None:
    silent, asked = threading.Event(), []
    probe = probes.Probe(lambda: (asked.append(1), silent.wait(30))[1])
    began = time.monotonic()
    for _ in range(3):
        answers = probes.ask({"disk": probe}, 0.1)
        assert isinstance(answers["disk"], TimeoutError)
    assert time.monotonic() - began < 10
    assert len(asked) == 1
    silent.set()
    assert probes.ask({"disk": probe}, 30) == {"disk": True}


def probing() -> int:
    return sum(thread.name == "probe" for thread in threading.enumerate())


def test_alive_asks_nobody(ops_at: Callable[[str], Any], redis_at: Callable[[str], Any]) -> None:
    with ops_at(refused_url()), redis_at(refused_url()):
        assert Client().get("/health/live").content == b"ok\n"


@pytest.mark.parametrize("path", ["health/live", "health/serving", "health/ready", "metrics"])
def test_they_are_asked_by_get_and_by_head_only(path: str) -> None:
    client = Client(enforce_csrf_checks=True)
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        answer = client.generic(method, f"/{path}")
        assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_a_secret_of_an_address_is_not_shown(monitored: None, ops_at: Callable[[str], Any]) -> None:
    password = connections["ops"].settings_dict["PASSWORD"]
    address = refused_url()
    with ops_at(address):
        body = Client().get("/health/ready").content.decode()
    assert password not in body
    assert str(urlsplit(address).port) not in body
