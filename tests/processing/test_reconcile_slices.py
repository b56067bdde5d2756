"""Over very much, a run goes on where the one before ended: nothing is left out, nothing is found
that is not so.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.files.storage import default_storage
from django.core.management import call_command

from documents.models import Document, KnowledgeBase, ReconcileRun
from processing import reconcile
from processing.index import vectors
from processing.reconcile import finding, index, objects
from processing.reconcile.finding import Mark
from tests.processing.test_reconcile import put_object, put_point, ready  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)
MakeDocument = Callable[..., Document]


@pytest.fixture(autouse=True)
def _slices_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents, and the time of a run is over at once."""
    for module in (finding, objects):
        monkeypatch.setattr(module, "PAGE", 2)
    monkeypatch.setattr(vectors, "SCROLL", 2)
    monkeypatch.setattr(reconcile, "SCAN_SECONDS", -1.0)


@pytest.fixture
def documents(ready: MakeDocument) -> list[Document]:  # noqa: F811
    """Seven that are ready, in two knowledge bases, in the order of their folders."""
    other = KnowledgeBase.objects.create(name="Other")
    made = [ready(f"{number}.md") for number in range(4)]
    made += [ready(f"{number}.md", knowledge_base=other) for number in range(3)]
    return sorted(made, key=lambda each: each.storage_prefix)


def put_orphan(key: str) -> str:
    put_object(key, days_old=9)
    return key


def rows(report: ReconcileRun | None) -> dict[str, dict[str, Any]]:
    assert report
    return {row["check"]: row for row in report.findings}


def passes(check: str) -> list[ReconcileRun]:
    """Runs until one has come to the end with this check."""
    reports: list[ReconcileRun] = []
    while not reports or rows(reports[-1])[check]["place"]:
        report = reconcile.run()
        assert report
        reports.append(report)
        assert len(reports) < 20
    return reports


def found(reports: list[ReconcileRun], check: str) -> int:
    return sum(rows(report)[check]["found"] for report in reports)


def test_what_is_missing_anywhere_is_found_once_in_a_pass(documents: list[Document]) -> None:
    vectors.delete(documents[0].pk)
    vectors.delete(documents[6].pk)
    reports = passes(index.INCOMPLETE)
    assert len(reports) > 3
    assert found(reports, index.INCOMPLETE) == 2
    since = {rows(report)[index.INCOMPLETE]["since"] for report in reports}
    assert len(since) == 1  # all of one pass
    following = rows(reconcile.run())[index.INCOMPLETE]
    assert following["since"] not in since
    assert following["place"]


def test_objects_and_documents_are_compared_slice_by_slice(documents: list[Document]) -> None:
    for each in (documents[0], documents[3], documents[6]):
        default_storage.delete(each.storage_key)
    first, last = documents[0].knowledge_base_id, documents[6].knowledge_base_id
    orphans = {
        put_orphan(f"{first}/{UUID(int=0)}/original"),
        put_orphan(f"{last}/{UUID(int=2**128 - 1)}/original"),
        put_orphan(f"{last}/{uuid4()}/original"),
        put_orphan(f"0/{uuid4()}/original"),
        put_orphan(f"99999999/{uuid4()}/text-1"),
    }
    reports = passes(objects.MISSING)
    assert len(reports) > 4
    assert found(reports, objects.MISSING) == 3
    assert found(reports, objects.ORPHANS) == 5
    assert not [key for key in orphans if default_storage.exists(key)]
    assert all(default_storage.exists(each.storage_key) for each in documents[1:3])


def test_points_are_looked_over_slice_by_slice(documents: list[Document]) -> None:
    nobody = uuid4()
    put_point(Document(pk=nobody, knowledge_base=documents[0].knowledge_base))
    vectors.move(documents[3].pk, 99999999)
    reports = passes(index.ORPHANS)
    assert len(reports) > 2
    assert (found(reports, index.ORPHANS), found(reports, index.ASTRAY)) == (1, 1)
    assert vectors.count(nobody) == 0


@pytest.mark.parametrize("place", range(8))
def test_from_any_place_on_all_behind_it_is_compared_and_nothing_else(
    documents: list[Document], place: int
) -> None:
    prefixes = ["", *(f"{each.storage_prefix}/" for each in documents)]
    behind = [each for each in documents if f"{each.storage_prefix}/" > prefixes[place]]
    assert list(objects.owners(prefixes[place])) == behind
    listed = {each.document_id for each in objects.listed(prefixes[place])}
    assert listed == {each.pk for each in behind}


def test_a_storage_that_goes_away_between_two_slices_makes_nobody_requeued(
    documents: list[Document],
) -> None:
    reconcile.run()
    root = Path(default_storage.location)  # type: ignore[attr-defined]
    for entry in root.iterdir():
        shutil.rmtree(entry)
    report = rows(reconcile.run())
    assert "is it the right one?" in report[objects.MISSING]["skipped"]
    assert Document.objects.filter(status="ready").count() == 7


def test_what_could_not_be_told_is_looked_at_again(
    documents: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = rows(reconcile.run())[objects.MISSING]["place"]
    assert first

    def broken(*_: Any) -> Any:
        raise OSError("the list is cut off")

    with monkeypatch.context() as fault:
        fault.setattr(type(default_storage._wrapped), "scan", broken)  # type: ignore[attr-defined]
        assert rows(reconcile.run())[objects.MISSING]["place"] == first
    assert rows(reconcile.run())[objects.MISSING]["place"] > first


def test_where_more_was_found_than_may_be_mended_the_next_run_looks_again(
    documents: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "LIMIT", 1)
    base = documents[0].knowledge_base_id
    orphans = [put_orphan(f"{base}/{UUID(int=number)}/original") for number in range(2)]
    first = rows(reconcile.run())
    assert (first[objects.ORPHANS]["more"], first[objects.MISSING]["place"]) == (True, "")
    reports = passes(objects.MISSING)
    assert found(reports, objects.ORPHANS) == 1
    assert not [key for key in orphans if default_storage.exists(key)]


@pytest.mark.parametrize("asked", ["dry run", "request"])
def test_who_asks_for_a_run_gets_all_of_it(documents: list[Document], asked: str) -> None:
    vectors.delete(documents[6].pk)
    vectors.delete(documents[0].pk)
    reconcile.run(dry_run=False)
    before = rows(ReconcileRun.objects.latest("pk"))
    if asked == "dry run":
        report = rows(reconcile.run(dry_run=True))
    else:
        ReconcileRun.objects.create(started_at=None, requested_at="2026-01-01T00:00Z")
        report = rows(reconcile.run_requested())
    left = 2 - before[index.INCOMPLETE]["found"]
    assert report[index.INCOMPLETE]["found"] == left
    assert report[index.INCOMPLETE]["place"] == ""
    after = rows(reconcile.run())[index.INCOMPLETE]
    assert after["place"] != before[index.INCOMPLETE]["place"]  # the others' way goes on


def test_enough_time_is_one_run(documents: list[Document], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "SCAN_SECONDS", 60.0)
    assert len(passes(index.INCOMPLETE)) == 1


def test_it_is_said_how_far_it_is(
    documents: list[Document], capsys: pytest.CaptureFixture[str], client: Any, make_user: Any
) -> None:
    call_command("reconcile")
    printed = capsys.readouterr().out
    assert "the next run goes on" in printed
    call_command("reconcile", json=True)
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert [row["place"] for row in findings if row["check"] == index.INCOMPLETE] != [""]
    client.force_login(make_user("root", is_superuser=True, is_staff=True))
    run = ReconcileRun.objects.latest("pk")
    assert (
        "looked at as far as" in client.get(f"/admin/documents/reconcilerun/{run.pk}/change/").text
    )


def test_a_scan_that_is_given_no_mark_looks_at_everything(documents: list[Document]) -> None:
    vectors.delete(documents[6].pk)
    assert len(list(index.incomplete())) == 1
    mark = Mark()
    assert list(objects.compared(mark)) == []
    assert mark.place == ""
