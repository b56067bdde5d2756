"""What no other test would miss: a breakage of tests/mutants survived without each of these."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models.functions import Now

from documents import lifecycle
from documents.lifecycle import Claim
from documents.models import Document, DocumentEvent, OutboxMessage
from documents.models.querysets import WORKER_LOCK

MakeDocument = Callable[..., Document]


class PowerCut(Exception):
    pass


def claimed(document: Document) -> Claim:
    claim = lifecycle.claim(document.pk)
    assert claim
    return claim


TRANSITIONS: dict[str, Callable[[Document, User], Any]] = {
    "retry_later": lambda document, by: lifecycle.retry_later(claimed(document), "odd", "Odd."),
    "postpone": lambda document, by: lifecycle.postpone(claimed(document), "away.", "storage"),
    "hand_back": lambda document, by: lifecycle.hand_back(claimed(document)),
    "soft_delete": lambda document, by: lifecycle.soft_delete(document.pk, by),
    "unstick": lifecycle.unstick,
}


@pytest.mark.django_db
def test_a_document_and_its_message_are_one_commit(
    make_document: MakeDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_the_power_before_messages(monkeypatch)
    with pytest.raises(PowerCut):
        make_document()
    assert not Document.objects.exists()
    assert not DocumentEvent.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("name", TRANSITIONS)
def test_a_transition_and_its_message_are_one_commit(
    name: str, make_document: MakeDocument, editor: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = make_document()
    cut_the_power_before_messages(monkeypatch)
    with pytest.raises(PowerCut):
        TRANSITIONS[name](document, editor)
    kinds = set(DocumentEvent.objects.values_list("kind", flat=True))
    assert kinds <= {"registered", "claimed"}
    document.refresh_from_db()
    assert document.deleted_at is None
    assert document.status == ("processing" if "claimed" in kinds else "pending")


def cut_the_power_before_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(*fields: Any) -> None:
        raise PowerCut

    monkeypatch.setattr(OutboxMessage, "add", cut)


@pytest.fixture
def listener(transactional_db: None) -> Iterator[psycopg.Connection]:
    parameters = connection.get_connection_params()
    with psycopg.connect(**parameters, autocommit=True) as session:
        session.execute(f"LISTEN {OutboxMessage.CHANNEL}")
        yield session


def test_the_bell_rings_with_the_commit_and_not_before(
    listener: psycopg.Connection, make_document: MakeDocument
) -> None:
    with transaction.atomic():
        make_document()
        assert list(listener.notifies(timeout=0.5, stop_after=1)) == []
    assert len(list(listener.notifies(timeout=10, stop_after=1))) == 1


def test_nobody_can_set_a_failpoint_in_the_product(tmp_path: Path) -> None:
    (tmp_path / "worker.claimed.always").write_text("raise")
    program = """
import django
django.setup()
from documents import failpoints
failpoints.failpoint("worker.claimed")
assert failpoints.reach is None
"""
    product = os.environ | {
        "DJANGO_SETTINGS_MODULE": "lumikb.settings",
        "FAILPOINTS": str(tmp_path),
    }
    subprocess.run([sys.executable, "-c", program], env=product, check=True)


@pytest.mark.django_db
@pytest.mark.parametrize("has_session", [True, False])
def test_half_a_lease_is_enough_to_know_that_a_worker_without_a_session_is_dead(
    has_session: bool, make_document: MakeDocument, settings: Any
) -> None:
    worker = 4711
    if has_session:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [WORKER_LOCK, worker])
    settings.LEASE = timedelta(hours=1)  # so that the test's own time does not matter
    document = make_document()
    assert lifecycle.claim(document.pk, worker)
    assert not Document.objects.abandoned().exists()  # a cut session has until the next beat
    Document.objects.update(lease_expires_at=Now() + settings.LEASE / 2)
    assert Document.objects.abandoned().exists() != has_session
