"""Connections that cannot run out: many uploads share a few, and strangers starve none of ours."""

import os
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.contrib.auth.models import User
from django.db import connection

from benchmarks.client import percentile
from benchmarks.latency import note
from benchmarks.load import Target, once, sessions, statuses
from benchmarks.starvation import TICK, ready, starve
from benchmarks.web import s3, web
from documents.models import ApiToken, Document, KnowledgeBase
from tests.e2e.lab import PATIENCE, Lab

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2 * PATIENCE)]

POOL = 10  # connections of a web process
DELAY = 2.0  # seconds that S3 takes


@pytest.mark.django_db(transaction=True)
def test_64_uploads_at_once_into_a_slow_s3_share_ten_connections(
    editor: User, knowledge_base: KnowledgeBase
) -> None:
    token = ApiToken.issue(editor, "test")
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]  # what is counted is the web's
    with s3(DELAY) as storage:
        env = os.environ | storage.env() | {"WEB_CONCURRENCY": "1", "WEB_POOL_SIZE": str(POOL)}
        urls = {name: on_test_database(name) for name in ("DATABASE_URL", "OPS_DATABASE_URL")}
        with web(env | urls) as server, sessions(urls["OPS_DATABASE_URL"]) as seen:
            uploads = Target(server.port, "/api/v1/knowledge-bases/handbook/documents", token)
            answers = once(uploads, 64, note(1))
        stored = storage.keys()
    assert statuses(answers) == "64 x 201"
    assert len(stored) == Document.objects.count() == 64
    assert seen.most["lumikb_web"] <= POOL
    assert seen.oldest["lumikb_web"] < DELAY  # no transaction waited for S3


@pytest.mark.long
def test_strangers_that_take_every_connection_starve_neither_relay_nor_reconciler(
    lab: Callable[..., Lab], full: bool
) -> None:
    every = 5
    ward = lab(WORKERS="3", RELAYS="2", RECONCILE_EVERY=str(every))
    seconds, clients = (600, 64) if full else (10, 24)
    seen = starve(ward.product, ward.failpoints, ward.slug, seconds, clients)
    assert {answer.status for answer in seen.answers} <= {201, 503}
    assert percentile(list(seen.tick_ages), 99) <= 2 * TICK
    assert max(seen.pauses) <= 2 * every
    assert seen.refused == 0
    assert ready(ward.product, seen.accepted) == len(seen.accepted)


def on_test_database(variable: str) -> str:
    url = urlsplit(os.environ[variable])
    return urlunsplit(url._replace(path=f"/{connection.settings_dict['NAME']}"))
