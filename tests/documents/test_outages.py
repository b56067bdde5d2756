"""A service that is away: one asks, the others wait, and nobody pays with a try."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now

from documents import lifecycle, outages
from documents.models import Document, Outage, OutboxMessage
from tests.conftest import let_outages_pass

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]
REASON = "the embedding service is not available (HTTP 429)."


def claim(document: Document) -> lifecycle.Claim:
    claimed = lifecycle.claim(document.pk)
    assert claimed
    return claimed


@pytest.fixture
def first(make_document: MakeDocument) -> Document:
    """It met the outage first and waits."""
    document = make_document("first.md")
    assert lifecycle.postpone(claim(document), REASON, "embedding")
    return document


def wait() -> timedelta:
    """How long nobody is to ask."""
    outage = Outage.objects.annotate(now=Now()).get()
    return outage.retry_at - outage.now  # type: ignore[attr-defined]


def seconds(number: float) -> Any:
    return pytest.approx(timedelta(seconds=number), abs=timedelta(seconds=1))


def test_nothing_is_claimed_while_a_service_is_away(
    first: Document, make_document: MakeDocument
) -> None:
    second = make_document("second.md")
    OutboxMessage.objects.all().delete()
    assert lifecycle.claim(second.pk) is None
    second.refresh_from_db()
    assert (second.status, second.attempts, second.lease_epoch) == ("pending", 0, 0)
    assert OutboxMessage.objects.get().document == second  # it is not lost


def test_those_who_wait_learn_for_what_and_until_when(
    first: Document, make_document: MakeDocument
) -> None:
    for document in (first, make_document("second.md")):
        document.refresh_from_db()
        assert document.explain().startswith(f"Waiting: {REASON} Next try at ")


def test_when_the_time_has_come_one_claim_is_the_probe_and_the_next_waits_again(
    first: Document, make_document: MakeDocument
) -> None:
    second, third = make_document("second.md"), make_document("third.md")
    let_outages_pass()
    assert claim(second).is_probe
    assert lifecycle.claim(third.pk) is None


def test_of_two_workers_that_would_probe_at_once_one_does(
    transactional_db: None, make_document: MakeDocument
) -> None:
    outages.failed("vectors", REASON, None, is_probe=False)
    let_outages_pass()
    documents = [make_document(f"{n}.md") for n in range(8)]
    start = threading.Barrier(8)
    claims: list[lifecycle.Claim | None] = []

    def run(document: Document) -> None:
        try:
            start.wait()
            claims.append(lifecycle.claim(document.pk))
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[document]) for document in documents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claims) == 8
    assert sum(claim is not None for claim in claims) == 1


def test_a_probe_that_dies_is_followed_by_another_one_lease_later(
    first: Document, make_document: MakeDocument, settings: Any
) -> None:
    let_outages_pass()
    claim(make_document("second.md"))
    assert wait() == seconds(settings.LEASE.total_seconds())


def test_the_backoff_doubles_with_each_probe_up_to_a_minute(first: Document) -> None:
    waits = [wait()]
    for _ in range(4):
        let_outages_pass()
        assert lifecycle.postpone(claim(first), REASON, "embedding")
        waits.append(wait())
    assert waits == [seconds(10), seconds(20), seconds(40), seconds(60), seconds(60)]


def test_those_under_way_when_it_began_do_not_prolong_it(make_document: MakeDocument) -> None:
    claims = [claim(make_document(f"{n}.md")) for n in range(4)]
    for each in claims:
        assert lifecycle.postpone(each, REASON, "embedding")
    assert wait() == seconds(10)
    assert Outage.objects.get().failures == 1


@pytest.mark.parametrize(("wish", "waited"), [(42, 42), (2, 10), (90_000, 3600)])
def test_the_services_own_wish_counts_within_reason(wish: float, waited: float) -> None:
    left = outages.failed("embedding", REASON, timedelta(seconds=wish), is_probe=False)
    assert left == seconds(waited)


def test_a_probe_that_gets_through_lets_everybody_work(
    first: Document, make_document: MakeDocument
) -> None:
    outages.over()
    assert not claim(make_document("second.md")).is_probe


def test_a_probe_that_had_its_file_already_says_nothing_of_the_storage(first: Document) -> None:
    outages.failed("storage", "no answer.", None, is_probe=False)
    outages.over(is_fetched=False)
    assert Outage.objects.get().service == "storage"


def test_outages_before_a_document_got_on_are_forgiven(first: Document) -> None:
    """A long one meets several in a day, and none of them was a day long."""
    outages.over()
    Document.objects.update(postponed_since=Now() - timedelta(hours=25), due_at=Now())
    again = claim(first)
    assert lifecycle.progress(again, "embed", 3, 12, keep=True)
    assert lifecycle.postpone(again, REASON, "embedding")
    document = Document.objects.annotate(now=Now()).get()
    assert document.status == "pending"
    assert document.due_at - document.now == seconds(10)


def test_a_worker_that_lost_its_lease_says_nothing_of_the_service(
    make_document: MakeDocument, editor: Any
) -> None:
    """It may have been stopped for a minute: of course its connections are gone."""
    document = make_document()
    late = claim(document)
    lifecycle.soft_delete(document.pk, editor)
    assert not lifecycle.postpone(late, REASON, "embedding")
    assert not Outage.objects.exists()


def test_a_document_that_meets_outages_again_and_again_asks_ever_more_seldom(
    first: Document,
) -> None:
    """One that breaks the service by itself must not keep it from the others."""
    outages.over()
    Document.objects.update(postponed_since=Now() - timedelta(minutes=5), due_at=Now())
    assert lifecycle.postpone(claim(first), REASON, "embedding")
    document = Document.objects.annotate(now=Now()).get()
    assert document.due_at - document.now == seconds(120)


def test_after_a_day_of_outage_those_who_waited_as_long_are_failed_and_told_why(
    first: Document, make_document: MakeDocument
) -> None:
    long_waiting, new = make_document("long.md"), make_document("new.md")
    Outage.objects.update(since=Now() - timedelta(hours=25), failed_at=Now())
    Document.objects.exclude(pk=new.pk).update(
        progressed_at=Now() - timedelta(hours=24.5), postponed_since=None
    )
    assert set(Document.objects.given_up()) == {first, long_waiting}
    assert lifecycle.give_up(long_waiting)
    assert not lifecycle.give_up(new)
    long_waiting.refresh_from_db()
    assert (long_waiting.status, long_waiting.failure_code) == ("failed", "service_unavailable")
    assert long_waiting.explain() == f"Given up after 24 hours: {REASON}"


def test_a_day_in_which_nobody_asked_is_no_outage_of_a_day(first: Document) -> None:
    """The machine was switched off: the first failure after it begins a new count."""
    Outage.objects.update(since=Now() - timedelta(days=3), failed_at=Now() - timedelta(days=2))
    Document.objects.update(progressed_at=Now() - timedelta(days=3), postponed_since=None)
    assert not Document.objects.given_up().exists()
    let_outages_pass()
    assert lifecycle.postpone(claim(first), REASON, "embedding")
    Document.objects.update(progressed_at=Now() - timedelta(days=3), postponed_since=None)
    assert not Document.objects.given_up().exists()


def test_who_was_at_work_goes_on_before_those_who_wait_for_the_first_time(
    make_document: MakeDocument,
) -> None:
    assert lifecycle.hand_back(claim(make_document()))
    priorities = OutboxMessage.objects.order_by("pk").values_list("priority", flat=True)
    assert list(priorities) == [OutboxMessage.Priority.INTERACTIVE, OutboxMessage.Priority.RESUMED]
