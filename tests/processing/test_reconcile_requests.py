"""Runs that an operator asks for in the admin."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db.models.functions import Now
from django.test import Client

from documents import lifecycle
from documents.models import AuditEntry, Document, ReconcileRun
from documents.roles import make_groups
from processing import reconcile
from processing.management.commands import reconcile as command
from tests.conftest import let_lease_expire

LIST = "/admin/documents/reconcilerun/"


@pytest.fixture
def operator(make_user: Callable[..., User]) -> Client:
    make_groups(apps, None)
    user = make_user("olga", is_staff=True)
    user.groups.add(Group.objects.get(name="Operators"))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def abandoned(make_document: Callable[..., Document]) -> Document:
    document = make_document()
    assert lifecycle.claim(document.pk)
    return let_lease_expire(document)


@pytest.mark.django_db(transaction=True)
def test_a_dry_run_is_asked_for_read_and_applied(operator: Client, abandoned: Document) -> None:
    asked = operator.post(f"{LIST}request/", {"dry_run": "yes"}, follow=True)
    assert "Waits for the reconciler" in asked.content.decode()
    report = reconcile.run_requested()
    assert report
    assert (report.dry_run, report.requested_by.username) == (True, "olga")  # type: ignore[union-attr]
    page = operator.get(f"{LIST}{report.pk}/change/").content.decode()
    assert "lease expired: found 1, mended 0" in page
    abandoned.refresh_from_db()
    assert abandoned.status == "processing"
    assert "Apply: find again and mend" in page
    operator.post(f"{LIST}request/", {"dry_run": "no"})
    report = reconcile.run_requested()
    assert report
    assert not report.dry_run
    abandoned.refresh_from_db()
    assert abandoned.status == "pending"
    assert "Complete" in operator.get(LIST).content.decode()
    assert reconcile.run_requested() is None
    details = AuditEntry.objects.filter(what="reconcile").order_by("pk")
    assert list(details.values_list("person", "detail")) == [
        ("olga", "asked for a dry run"),
        ("olga", "asked for a run"),
    ]


@pytest.mark.django_db
def test_one_wish_of_a_kind_is_enough(operator: Client) -> None:
    for _ in range(2):
        operator.post(f"{LIST}request/", {"dry_run": "yes"})
    operator.post(f"{LIST}request/", {"dry_run": "no"})
    assert sorted(ReconcileRun.objects.values_list("dry_run", flat=True)) == [False, True]
    assert operator.get(f"{LIST}request/").status_code == 405


@pytest.mark.django_db
def test_an_auditor_reads_the_runs_and_asks_for_none(make_user: Callable[..., User]) -> None:
    make_groups(apps, None)
    user = make_user("otto", is_staff=True)
    user.groups.add(Group.objects.get(name="Auditors"))
    client = Client()
    client.force_login(user)
    assert b"Dry run" not in client.get(LIST).content
    assert client.post(f"{LIST}request/", {"dry_run": "no"}).status_code == 403
    assert not ReconcileRun.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_reconciler_that_goes_on_takes_a_wish_up_before_its_next_run(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(command.reembed, "work", lambda seconds: True)
    stop = threading.Event()
    made: list[bool] = []

    def run(requested: bool = False, dry_run: bool = False) -> Any:
        report = ReconcileRun.objects.get(started_at=None)
        ReconcileRun.objects.filter(pk=report.pk).update(started_at=Now(), finished_at=Now())
        report.refresh_from_db()
        made.append(report.dry_run)
        stop.set()
        return report

    monkeypatch.setattr(reconcile, "run", run)
    operator.post(f"{LIST}request/", {"dry_run": "yes"})
    command.Command()._until_the_next(stop, time.monotonic() + 60, json=True)
    assert made == [True]


@pytest.mark.django_db(transaction=True)
def test_a_single_run_makes_those_that_were_asked_for_first(operator: Client) -> None:
    operator.post(f"{LIST}request/", {"dry_run": "yes"})
    call_command("reconcile")
    runs = ReconcileRun.objects.order_by("finished_at")
    assert list(runs.values_list("dry_run", flat=True)) == [True, False]
