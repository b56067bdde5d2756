"""The operators' front page and the failures by cause: true numbers, each with its list."""

import csv
import io
import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urljoin

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from selectolax.lexbor import LexborHTMLParser as HTMLParser

from documents import lifecycle
from documents.figures import Hour, session_name
from documents.models import AuditEntry, Document, Heartbeat, Outage, ReconcileRun
from documents.models.querysets import WORKER_LOCK
from documents.roles import make_groups
from lumikb import health
from lumikb.operations import csv as our_csv
from lumikb.operations.chart import HEIGHT, chart

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]
CAUSES = "/admin/causes/"
HOUR = timedelta(hours=1)
HTMX = {"HX-Request": "true"}


@pytest.fixture
def operator(make_user: Callable[..., User]) -> Client:
    return browser(make_user("olga", is_staff=True), "Operators")


@pytest.fixture
def auditor(make_user: Callable[..., User]) -> Client:
    return browser(make_user("otto", is_staff=True), "Auditors")


def browser(user: User, group: str) -> Client:
    make_groups(apps, None)
    user.groups.add(Group.objects.get(name=group))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def finish(make_document: MakeDocument) -> Callable[..., Document]:
    """A document that became ready, or failed for a cause, so long ago."""
    made: list[Document] = []

    def make(cause: str = "", ago: timedelta = timedelta(minutes=1), **fields: Any) -> Document:
        document = make_document(fields.pop("filename", f"{len(made)}.md"), **fields)
        made.append(document)
        claim = lifecycle.claim(document.pk)
        assert claim
        if cause:
            lifecycle.fail(claim, cause, f"Sentence of {document.filename}.")
        else:
            lifecycle.succeed(claim, [])
        Document.objects.filter(pk=document.pk).update(finished_at=Now() - ago)
        return document

    return make


def rows(page: Any) -> dict[str, list[tuple[str, str]]]:
    """Of the table of the documents: for each row its numbers and where they lead."""
    table = HTMLParser(page.content.decode()).css_first("table")
    found = {}
    for row in table.css("tbody tr"):
        cells = []
        for cell in row.css("td"):
            link = cell.css_first("a")
            number = re.sub(r"\D", "", (link or cell).text(deep=False))
            cells.append((number, str(link.attributes["href"]) if link else ""))
        found[row.css_first("th").text(strip=True)] = cells
    return found


# --- The front page ------------------------------------------------------------------------------


def test_documents_are_counted_by_status_and_cause_and_each_number_is_its_list(
    operator: Client, finish: Callable[..., Document], make_document: MakeDocument
) -> None:
    for ago in (HOUR / 2, 2 * HOUR, 30 * HOUR, 24 * 20 * HOUR):
        finish(ago=ago)
    for cause, ago in (("encrypted", HOUR / 2), ("encrypted", 3 * HOUR), ("corrupt", 50 * HOUR)):
        finish(cause, ago)
    make_document("waiting.md")
    assert lifecycle.claim(make_document("at-work.md").pk)
    deleted = finish()
    lifecycle.soft_delete(deleted.pk, User.objects.get(username="edith"))
    shown = rows(operator.get("/admin/"))
    numbers = {name: [number for number, _ in cells] for name, cells in shown.items()}
    assert numbers == {
        "Waiting": ["", "", "", "1"],
        "Processing": ["", "", "", "1"],
        "Ready": ["1", "2", "3", "4"],
        "Failed": ["1", "2", "3", "3"],
        "Encrypted": ["1", "2", "2", "2"],
        "Corrupt": ["0", "0", "1", "1"],
    }
    for cells in shown.values():
        for number, link in cells:
            if link:
                listed = operator.get(urljoin("/admin/", link)).context["cl"].result_count
                assert listed == int(number), link


def test_the_page_says_what_waits_who_works_and_what_is_away(
    operator: Client, make_document: MakeDocument
) -> None:
    waiting, working = make_document("waiting.md"), make_document("working.md")
    Document.objects.filter(pk=waiting.pk).update(due_at=Now() - 5 * HOUR)
    assert lifecycle.claim(working.pk, worker=12345)
    Heartbeat.objects.create(kind="relay", seen_at=Now() - HOUR)
    Heartbeat.objects.create(kind="worker", seen_at=Now())
    ReconcileRun.objects.create(finished_at=Now())
    Outage.objects.create(
        service="embedding", reason="It is away.", since=Now() - HOUR, failed_at=Now(),
        retry_at=Now(),
    )  # fmt: skip
    with connection.cursor() as cursor:  # as the heartbeat of a worker process
        name = session_name("host-7", 99, time.time() - 7300)
        cursor.execute("SELECT set_config('application_name', %s, true)", [name])
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s, %s)", [WORKER_LOCK, 12345])
    text = HTMLParser(operator.get("/admin/operations/", headers=HTMX).content.decode()).text(
        separator=" "
    )
    text = re.sub(r"\s+", " ", text)
    for expected in (
        "waiting.md , due for 5\xa0hours",
        "working.md , fetching the file, for",
        "The relay’s last tick 1\xa0hour ago: too long",
        "host-7, process 99 , for 2\xa0hours",
        "working.md (fetching the file)",
        "embedding for 1\xa0hour: It is away.",
        "Last run , ended",
    ):
        assert re.sub(r"\s+", " ", expected) in text, (expected, text)


def test_an_empty_installation_has_a_front_page(operator: Client) -> None:
    content = operator.get("/admin/").content.decode()
    for expected in ("None waits.", "None is in work.", "No worker is connected.", "No document"):
        assert expected in content


def test_the_page_refreshes_itself_and_has_no_style_or_script_of_its_own(operator: Client) -> None:
    page = operator.get("/admin/").content.decode()
    assert 'hx-get="/admin/operations/" hx-trigger="every 10s"' in page
    assert not re.search(r"<style|style=|<script(?![^>]* src=)|\son\w+=", page)


def test_the_sentences_are_those_of_health_ready(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {name: {check: health.Verdict(True, f"{check} is fine.") for check in checks}
               for name, checks in health.CHECKS_OF.items()}  # fmt: skip
    answers["redis"] = {"redis": health.Verdict(False, "Redis cannot <b>be used</b>.")}
    monkeypatch.setattr("lumikb.operations.pages.ask", lambda probes, seconds: answers)
    content = operator.get("/admin/operations/health/", headers=HTMX).content.decode()
    assert "Something is not well." in content
    assert "Redis cannot &lt;b&gt;be used" in content
    assert "ingestion is fine." in content
    answers["redis"] = {"redis": health.Verdict(True, "Redis answers.")}
    assert (
        "All is well." in operator.get("/admin/operations/health/", headers=HTMX).content.decode()
    )


def test_all_is_not_well_while_a_service_is_away_though_nobody_is_alarmed_yet(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def page() -> str:
        return operator.get("/admin/operations/health/", headers=HTMX).content.decode()

    def asked(probes: Any, seconds: float) -> dict[str, Any]:  # in the test's own transaction
        answers = {name: {name: health.Verdict(True, "Fine.")} for name in health.PROBES}
        return answers | {"postgres": health._postgres()}

    monkeypatch.setattr("lumikb.operations.pages.ask", asked)
    monkeypatch.setattr(health, "OPS", "default")
    assert "All is well." in page()
    Outage.objects.create(
        service="embedding", reason="It is away.", since=Now(), failed_at=Now(), retry_at=Now()
    )
    content = page()
    assert "Something is not well." in content
    assert re.search(r"Not well,\s*</span>\s*<b>ingestion</b>: Documents wait: It is away", content)
    assert content.count("lumikb-unwell") == 2, "the verdict and the one line"


def test_the_statements_of_the_page_do_not_grow(
    operator: Client, finish: Callable[..., Document], make_document: MakeDocument
) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as captured:
            operator.get("/admin/operations/", headers=HTMX)
            operator.get(CAUSES)
        return len(captured)

    operator.get("/admin/operations/", headers=HTMX)
    few = statements()
    for number in range(5):
        finish()
        finish(f"cause_{number}")
        lifecycle.claim(make_document(f"work-{number}.md").pk, worker=number + 1)
    assert statements() == few


def test_staff_without_the_right_sees_no_figures(make_user: Callable[..., User]) -> None:
    client = Client()
    client.force_login(make_user("staff", is_staff=True))
    assert b"Is it well?" not in client.get("/admin/").content
    for path in ("/admin/operations/", "/admin/operations/health/", CAUSES):
        assert client.get(path).status_code == 403


# --- The chart -----------------------------------------------------------------------------------


def test_a_bar_is_as_high_as_its_hour_and_the_latest_is_on_the_right() -> None:
    drawn = chart([Hour(0, 6, 4), Hour(1, 0, 0), Hour(2, 20, 0)], timezone.now())
    first, _, last = drawn.bars
    assert drawn.top == 20
    assert (first.hour.ago, last.hour.ago) == (2, 0)
    assert first.x < last.x
    assert (first.ready_height, first.ready_y) == (HEIGHT, 0)
    assert (last.ready_height, last.failed_height) == (HEIGHT * 6 / 20, HEIGHT * 4 / 20)
    assert last.failed_y + last.failed_height == pytest.approx(last.ready_y)
    assert last.ready_y + last.ready_height == pytest.approx(HEIGHT)
    assert drawn.busiest is first
    assert drawn.total == 30


def test_a_chart_of_nothing_has_no_bars() -> None:
    drawn = chart([Hour(ago, 0, 0) for ago in range(24)], timezone.now())
    assert (len(drawn.bars), drawn.busiest, drawn.total) == (24, None, 0)
    assert all(bar.ready_height == bar.failed_height == 0 for bar in drawn.bars)


def test_the_chart_has_its_numbers_in_a_table(
    operator: Client, finish: Callable[..., Document]
) -> None:
    finish(ago=HOUR / 2)
    finish("corrupt", ago=HOUR / 2)
    page = HTMLParser(operator.get("/admin/operations/", headers=HTMX).content.decode())
    assert len(page.css("svg rect")) == 2
    cells = [[cell.text() for cell in row.css("td")] for row in page.css("details tbody tr")]
    assert len(cells) == 24
    assert cells[-1] == ["1", "1"]
    assert "2 documents finished" in page.css_first("svg title").text()


# --- Failures by cause ---------------------------------------------------------------------------


def test_a_cause_says_how_many_since_when_and_an_example(
    operator: Client, finish: Callable[..., Document]
) -> None:
    finish("encrypted", 50 * HOUR, filename="first.pdf")
    finish("encrypted", HOUR / 2, filename="last.pdf")
    page = operator.get(CAUSES)
    [cause] = page.context["causes"]
    assert (cause.code, cause.filename, cause.sentence) == (
        "encrypted", "last.pdf", "Sentence of last.pdf.",
    )  # fmt: skip
    assert timezone.now() - cause.since > 49 * HOUR
    assert "Sentence of last.pdf." in page.content.decode()


def test_all_of_one_cause_are_requeued_when_that_is_confirmed(
    operator: Client, finish: Callable[..., Document]
) -> None:
    chosen = [finish("encrypted"), finish("encrypted")]
    other = finish("corrupt")
    address, data = _form(operator.get(CAUSES), "failure_code=encrypted")
    asked = operator.post(address, data)
    assert "2 documents" in asked.content.decode()
    assert Document.objects.filter(status="pending").count() == 0
    late = finish("encrypted", ago=-HOUR)  # after the question: not what was confirmed
    _, data = _form(asked, "Yes, go on")
    done = operator.post(address, data, follow=True).content.decode()
    assert "2 of 2 documents requeued." in done
    pending = set(Document.objects.filter(status="pending").values_list("pk", flat=True))
    assert pending == {document.pk for document in chosen}
    for document in (other, late):
        document.refresh_from_db()
        assert document.status == "failed"
    event = chosen[0].events.last()
    assert event
    assert (event.kind, str(event.by)) == ("requeued", "olga")


def _form(page: Any, words: str) -> tuple[str, dict[str, str]]:
    """(address, fields) of the form with these words."""
    [form] = (
        form
        for form in HTMLParser(page.content).css("form")
        if words in re.sub(r"\s+", " ", form.html or "")
    )
    fields = form.css("input[type=hidden]")
    return form.attributes.get("action") or "", {
        field.attributes["name"] or "": field.attributes["value"] or "" for field in fields
    }


def test_an_auditor_sees_the_causes_and_requeues_none(
    auditor: Client, operator: Client, finish: Callable[..., Document]
) -> None:
    finish("encrypted")
    address, data = _form(operator.get(CAUSES), "failure_code=encrypted")
    assert b"Requeue all" not in auditor.get(CAUSES).content
    assert b"Are you sure?" not in auditor.post(address, data, follow=True).content
    auditor.post(address, data | {"confirmed": "yes"})
    assert Document.objects.filter(status="failed").count() == 1


# --- CSV -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\u00a0=1", "＝1", "＠x", "|x"],
)  # fmt: skip
def test_no_cell_is_a_formula(value: str) -> None:
    assert our_csv.cell(value) == f"'{value}"


@pytest.mark.parametrize("value", ["a", "a=b", "", "2026-01-01", 5, -5, None, "日本"])
def test_other_cells_stay_as_they_are(value: Any) -> None:
    assert our_csv.cell(value) == value


def test_the_failures_are_exported_safe_against_formulas_and_that_is_recorded(
    operator: Client, finish: Callable[..., Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lumikb.operations.pages.PAGE", 2)
    for number in range(5):
        finish("corrupt", filename=f'=cmd|"{number}".md')
    finish("encrypted", filename="ünï, code.pdf")

    def exported(path: str) -> list[dict[str, str]]:
        answer = operator.get(path)
        assert answer["Content-Disposition"].startswith("attachment")
        content = answer.getvalue() if answer.streaming else answer.content
        return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))

    every = exported(f"{CAUSES}failures.csv")
    assert len(every) == len({row["document"] for row in every}) == 6
    assert {row["file"] for row in every if row["cause"] == "corrupt"} == {
        f'\'=cmd|"{number}".md' for number in range(5)
    }
    [one] = exported(f"{CAUSES}failures.csv?code=encrypted")
    assert (one["file"], one["knowledge base"]) == ("ünï, code.pdf", "Handbook")
    causes = exported(f"{CAUSES}causes.csv")
    assert [(row["cause"], row["all"]) for row in causes] == [("corrupt", "5"), ("encrypted", "1")]
    assert AuditEntry.objects.filter(action="exported", person="olga").count() == 3
