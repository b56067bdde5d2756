"""History does not grow for ever: what is older than it is kept for goes, slice by slice."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Now

from documents import bulk, history, lifecycle
from documents.models import (
    AuditEntry,
    BulkAction,
    BulkSlice,
    Document,
    DocumentError,
    DocumentEvent,
    IdempotencyKey,
    ReconcileRun,
)
from processing import reconcile
from tests import many

pytestmark = pytest.mark.django_db(transaction=True)
MakeDocument = Callable[..., Document]


def days_ago(days: int) -> Any:
    return Now() - timedelta(days=days)


@pytest.fixture(autouse=True)
def _kept(settings: Any) -> None:
    settings.HISTORY_DAYS = 10
    settings.AUDIT_DAYS = 20


@pytest.fixture(autouse=True)
def _may_remove(owner: Any) -> Any:
    """As the role of the reconciler: the tests have the web's, which may not delete a line."""
    owner.execute("GRANT DELETE ON documents_auditentry TO lumikb_web")
    yield
    owner.execute("REVOKE DELETE ON documents_auditentry FROM lumikb_web")


def purged(document: Document, days: int) -> Document:
    lifecycle.soft_delete(document.pk, None)
    Document.objects.filter(pk=document.pk).update(purging_at=Now(), deleted_at=days_ago(days))
    assert lifecycle.finish_purge(document.pk)
    Document.objects.filter(pk=document.pk).update(purged_at=days_ago(days))
    return document


def test_events_go_but_how_a_document_came(make_document: MakeDocument, editor: User) -> None:
    document = make_document()
    lifecycle.abort(document.pk, editor)
    lifecycle.requeue(document.pk, editor)
    lifecycle.rename(document.pk, editor, "renamed.md")
    DocumentEvent.objects.exclude(kind="requeued").update(created_at=days_ago(11))
    assert history.sweep() == 1  # that it was given up
    kinds = [each.kind for each in document.events.all()]
    assert sorted(kinds) == ["registered", "renamed", "requeued"]


def test_tombstones_go_with_their_events_and_what_is_deleted_only_stays(
    make_document: MakeDocument, editor: User
) -> None:
    old, new, deleted = (make_document(f"{n}.md") for n in range(3))
    purged(old, 11)
    purged(new, 9)
    lifecycle.soft_delete(deleted.pk, editor)
    Document.objects.filter(pk=deleted.pk).update(deleted_at=days_ago(50))
    assert history.sweep() == 1
    assert set(Document.objects.all()) == {new, deleted}
    assert not DocumentEvent.objects.filter(document=old.pk).exists()
    assert AuditEntry.objects.filter(document_id=old.pk).exists()


def test_what_was_replaced_goes_and_its_replacement_stays(
    make_ready: MakeDocument, editor: User
) -> None:
    old = make_ready()
    new = Document(
        knowledge_base=old.knowledge_base, filename=old.filename, size=1, sha256="0" * 64,
        content_type=old.content_type,
    )  # fmt: skip
    assert lifecycle.replace(old, new)
    claim = lifecycle.claim(new.pk)
    assert claim
    assert lifecycle.succeed(claim)
    purged(old, 11)
    history.sweep()
    assert Document.objects.get().replaces is None


def test_finished_sets_go_and_those_under_way_stay(
    make_document: MakeDocument, editor: User
) -> None:
    make_document()

    def made() -> BulkAction:
        return bulk.freeze("delete", Document.objects.all(), editor, "all")

    done, under_way, unconfirmed = made(), made(), made()
    bulk.confirm(done)
    BulkAction.objects.filter(pk=under_way.pk).update(confirmed_at=Now())
    BulkAction.objects.update(created_at=days_ago(50))
    BulkAction.objects.filter(pk=done.pk).update(finished_at=days_ago(11))
    assert history.sweep() == 2
    assert BulkAction.objects.get() == under_way
    assert BulkSlice.objects.get().bulk == under_way
    assert not BulkAction.objects.filter(pk=unconfirmed.pk).exists()


def test_each_other_thing_has_its_time(make_document: MakeDocument, editor: User) -> None:
    document = make_document()
    for days in (5, 15, 25, 35):
        what = str(days)
        AuditEntry.objects.create(action="read", what=what, at=days_ago(days))
        DocumentError.objects.create(document=document, text=what, at=days_ago(days))
        ReconcileRun.objects.create(started_at=days_ago(days))
        IdempotencyKey.objects.create(
            user=editor, key=what, fingerprint=what, created_at=days_ago(days)
        )
    waiting = ReconcileRun.objects.create(started_at=None, requested_at=days_ago(50))
    while history.sweep(slice_size=1):
        pass
    read = AuditEntry.objects.filter(action="read").values_list("what", flat=True)
    assert set(read) == {"5", "15"}
    assert set(DocumentError.objects.values_list("text", flat=True)) == {"5", "15", "25"}
    assert ReconcileRun.objects.count() == 2
    assert ReconcileRun.objects.filter(pk=waiting.pk).exists()
    assert not IdempotencyKey.objects.exists()


def test_it_goes_in_slices_in_a_run_of_the_reconciler(
    make_document: MakeDocument, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    make_document()
    event = DocumentEvent.objects.get()
    DocumentEvent.objects.bulk_create(
        DocumentEvent(document=event.document, kind="claimed", epoch=1, created_at=days_ago(11))
        for _ in range(25)
    )
    slices = []
    usual = history.sweep

    def sweep() -> int:
        slices.append(usual(slice_size=10))
        return slices[-1]

    monkeypatch.setattr(history, "sweep", sweep)
    assert reconcile.run()
    assert slices == [10, 10, 5, 0]
    assert DocumentEvent.objects.get() == event


def test_a_run_ends_in_time_however_much_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "sweep", lambda: 1)
    monkeypatch.setattr(reconcile, "FORGET_SECONDS", 0.1)
    assert reconcile.run()


def test_what_is_looked_for_is_found_by_an_index(
    make_document: MakeDocument, knowledge_base: Any
) -> None:
    """However many rows there are that stay."""
    many.make_documents("ready", 2000)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO documents_documentevent (document_id, kind, detail, epoch, created_at)"
            " SELECT id, 'succeeded', '', 1, now() FROM documents_document"
        )
        cursor.execute("ANALYZE documents_document, documents_documentevent")
    for find in history.OLD:
        rows = find()
        if rows.model in (Document, DocumentEvent):
            plan = rows.values_list("pk", flat=True)[:1000].explain()
            assert "Index" in plan, plan
            assert "Seq Scan" not in plan, plan
