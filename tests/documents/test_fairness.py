"""Who is begun when more documents wait than can run: by the claim, in PostgreSQL."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from documents import fairness, lifecycle, outages
from documents.lifecycle import Claim
from documents.models import Document, KnowledgeBase, OutboxMessage
from processing import heartbeat
from processing.errors import TurnOver
from tests.conftest import let_lease_expire
from tests.documents.test_races import in_thread, uncommitted, wait_until_blocked

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]
Priority = OutboxMessage.Priority


@pytest.fixture
def make(make_document: MakeDocument, make_user: Callable[..., User]) -> Callable[..., Any]:
    """`make("anna", 3)`: so many waiting documents of a user's, in order; `gone` is nobody."""
    users: dict[str, User] = {}
    numbers = itertools.count()

    def make(name: str, count: int = 1, **fields: Any) -> list[Document]:
        if name != "gone" and name not in users:
            users[name] = make_user(name)
        made = [
            make_document(f"{name} {next(numbers)}.md", uploaded_by=users.get(name))
            for _ in range(count)
        ]
        Document.objects.filter(pk__in=[each.pk for each in made]).update(**fields)
        return made

    return make


def claim(document: Document) -> Claim:
    claimed = lifecycle.claim(document.pk)
    assert claimed
    return claimed


def name_of(claimed: Claim) -> str:
    return str(Document.objects.get(pk=claimed.document_id).filename).split()[0]


def running() -> Counter[str]:
    names = Document.objects.filter(status="processing").values_list("filename", flat=True)
    return Counter(name.split()[0] for name in names)


def begin(*documents: Document) -> list[str]:
    """Whose documents these messages begin, one after the other."""
    return [name_of(claim(each)) for each in documents]


# --- Among users ---------------------------------------------------------------------------------


def test_a_second_document_gives_way_to_another_users_first(make: Any) -> None:
    giants, [note] = make("anna", 4), make("bert")
    assert claim(giants[0]).document_id == giants[0].pk
    assert claim(giants[1]).document_id == note.pk
    assert begin(*giants[2:]) == ["anna", "anna"], "nobody else waits now"


def test_no_user_has_more_than_half_while_another_has_enough(make: Any) -> None:
    annas, berts = make("anna", 6), make("bert", 6)
    for first, second in zip(annas[:3], annas[3:], strict=True):
        claim(first)
        claim(second)
    assert running() == {"anna": 3, "bert": 3}
    assert lifecycle.claim(berts[0].pk) is None, "it is at work: its own message came too late"


def test_an_odd_slot_is_not_left_empty(make: Any) -> None:
    annas, berts = make("anna", 3), make("bert", 3)
    begin(annas[0], berts[0], annas[1])
    assert running() == {"anna": 2, "bert": 1}
    begin(annas[2])
    assert running() == {"anna": 2, "bert": 2}


def test_with_one_slot_turns_alternate_however_long_one_user_waited_first(make: Any) -> None:
    giants, notes = make("anna", 4), make("bert", 2)
    served = []
    for giant in [giants[0], giants[1], giants[2], giants[3], giants[1]]:
        claimed = claim(giant)
        served.append(name_of(claimed))
        finish(claimed, yields=claimed.document_id != notes[0].pk)
    assert served == ["anna", "bert", "anna", "bert", "anna"]


def test_three_users_have_one_slot_in_turn(make: Any) -> None:
    annas, _, _ = make("anna", 9), make("bert", 9), make("carl", 9)
    served = []
    for document in annas:
        claimed = claim(document)
        served.append(name_of(claimed))
        finish(claimed)
    assert set(Counter(served).values()) <= {2, 3, 4, 5}
    assert all(one != next_ for one, next_ in itertools.pairwise(served))


def test_users_that_are_gone_are_one_user(make: Any) -> None:
    begun, waiting = make("gone", 2)
    [note] = make("bert")
    claim(begun)
    assert claim(waiting).document_id == note.pk
    [another] = make("anna")
    Document.objects.filter(pk=note.pk).update(uploaded_by=another.uploaded_by)
    assert claim(another).document_id == waiting.pk, "and they are not forgotten either"


@pytest.mark.parametrize(
    "hidden",
    [
        {"due_at": Now() + lifecycle.settings.STUCK_AFTER},
        {"status": "ready"},
        {"deleted_at": Now()},
        {"priority": Priority.BULK},
    ],
)
def test_who_could_not_be_begun_or_may_wait_keeps_nobody(make: Any, hidden: dict[str, Any]) -> None:
    giants = make("anna", 2)
    make("bert", **hidden)
    assert begin(*giants) == ["anna", "anna"]


def test_whose_worker_vanished_does_not_count_as_running(make: Any) -> None:
    giants, _ = make("anna", 2), make("bert")
    claim(giants[0])
    let_lease_expire(giants[0])
    [other] = make("carl")
    claim(other)
    assert claim(giants[1]).document_id == giants[1].pk


def test_of_four_workers_that_claim_at_once_no_user_gets_more_than_half(
    transactional_db: None, make: Any
) -> None:
    giants, _ = make("anna", 4), make("bert", 2)
    start = threading.Barrier(4)

    def run(document: Document) -> None:
        try:
            start.wait()
            lifecycle.claim(document.pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[each]) for each in giants]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert running() == {"anna": 2, "bert": 2}


def test_where_nobody_else_waits_a_users_claims_wait_for_none_of_each_other(
    transactional_db: None, make: Any
) -> None:
    first, second = make("anna", 2)
    with uncommitted(lambda: lifecycle.claim(first.pk)):
        assert in_thread(lambda: lifecycle.claim(second.pk)).result(10)


def test_who_comes_when_another_waits_sees_what_was_begun_before(
    transactional_db: None, make: Any
) -> None:
    first, second = make("anna", 2)
    with uncommitted(lambda: lifecycle.claim(first.pk)):
        make("bert")
        late = in_thread(lambda: lifecycle.claim(second.pk))
        wait_until_blocked()
    assert late.result(10)
    assert running() == {"anna": 1, "bert": 1}


# --- Interactive before bulk ---------------------------------------------------------------------


@pytest.mark.parametrize("whose", ["anna", "bert"])
def test_bulk_is_not_begun_while_something_interactive_waits(make: Any, whose: str) -> None:
    [bulk], [note] = make("anna", priority=Priority.BULK), make(whose)
    assert claim(bulk).document_id == note.pk
    assert claim(bulk).document_id == bulk.pk


# --- What becomes of a refused one's message -----------------------------------------------------


def test_a_refused_one_asks_again_at_once_when_another_was_begun_in_its_place(make: Any) -> None:
    begun, refused = make("anna", 2, priority=Priority.BULK)
    make("bert", priority=Priority.BULK)
    claim(begun)
    OutboxMessage.objects.all().delete()
    claim(refused)
    [message] = OutboxMessage.objects.filter(due_at__lte=Now())
    assert (message.document_id, message.priority) == (refused.pk, Priority.BULK)
    refused.refresh_from_db()
    assert (refused.status, refused.attempts, refused.lease_epoch) == ("pending", 0, 0)
    assert list(refused.events.values_list("kind", flat=True)) == ["registered"]


def test_who_may_be_what_kills_workers_is_not_begun_by_anybody_who_comes_along(make: Any) -> None:
    begun, refused = make("anna", 2)
    make("bert", deaths=lifecycle.settings.MAX_DEATHS - 1)
    claim(begun)
    OutboxMessage.objects.all().delete()
    assert lifecycle.claim(refused.pk) is None
    [message] = OutboxMessage.objects.filter(due_at__gt=Now())
    assert message.document_id == refused.pk


# --- Those that run make room --------------------------------------------------------------------


def test_a_turn_ends_early_when_its_user_has_too_many_and_another_waits(make: Any) -> None:
    claims = [claim(each) for each in make("anna", 2)]
    now = time.monotonic()
    lease = heartbeat.Lease(claims[0], now - heartbeat.SHORTEST_TURN)
    lease.end_turn()
    make("bert")
    heartbeat.Lease(claims[0], now + 60).end_turn()  # it has just begun
    with pytest.raises(TurnOver) as over:
        lease.end_turn()
    assert over.value.makes_room


def test_the_only_one_that_runs_has_its_whole_turn(make: Any) -> None:
    [giant] = make("anna")
    claimed = claim(giant)
    make("bert")
    assert not fairness.must_make_room(claimed.document_id)


def test_the_room_that_is_made_stays_free_for_the_next_note_too(make: Any) -> None:
    [giant] = make("anna")
    claimed = claim(giant)
    OutboxMessage.objects.all().delete()
    assert lifecycle.yield_turn(claimed, makes_room=True)
    assert lifecycle.claim(giant.pk) is None
    [message] = OutboxMessage.objects.filter(due_at__gt=Now() + fairness.ROOM_KEPT / 2)
    giant.refresh_from_db()
    assert message.document_id == giant.pk
    assert message.due_at >= giant.due_at
    Document.objects.filter(pk=giant.pk).update(due_at=Now())
    assert claim(giant).document_id == giant.pk


def test_bulk_that_runs_makes_room_for_what_is_interactive(make: Any) -> None:
    [bulk] = make("anna", priority=Priority.BULK)
    claimed = claim(bulk)
    assert not fairness.must_make_room(claimed.document_id)
    make("anna")
    assert fairness.must_make_room(claimed.document_id)


def test_nobody_makes_room_for_those_who_wait_for_a_service(make: Any) -> None:
    claims = [claim(each) for each in make("anna", 2)]
    make("bert")
    outages.failed("vectors", "It is away.", None, is_probe=False)
    assert not fairness.must_make_room(claims[0].document_id)


# --- Without a look at all that waits ------------------------------------------------------------


def test_a_claim_reads_as_little_when_thousands_wait(
    make: Any, knowledge_base: KnowledgeBase, owner: Any
) -> None:
    begun, refused = make("anna", 2)
    [other] = make("bert")
    claim(begun)
    many = [
        Document(
            knowledge_base=knowledge_base, filename=f"{name} {n}", content_type="text/plain",
            size=1, sha256="", uploaded_by=user, priority=priority,
        )
        for name, user, priority in (
            ("more", begun.uploaded_by, Priority.INTERACTIVE),
            ("bulk", other.uploaded_by, Priority.BULK),
        )
        for n in range(500)
    ]  # fmt: skip
    Document.objects.bulk_create(many)
    owner.execute("ANALYZE documents_document")
    questions = [
        (fairness._LOCK, refused),
        (fairness._LOOK, refused),
        (fairness._ROOM, begun),
    ]
    for question, document in questions:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {question}", [document.pk])
            [plan] = cursor.fetchone()
        assert rows_looked_at(plan[0]["Plan"]) < 50


def rows_looked_at(plan: dict[str, Any]) -> float:
    here = 0.0
    if "Scan" in plan["Node Type"]:
        per_loop = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
        here = (per_loop + plan.get("Rows Removed by Index Recheck", 0)) * plan["Actual Loops"]
    return here + sum(map(rows_looked_at, plan.get("Plans", [])))


def test_a_claim_that_comes_too_late_costs_one_statement(make: Any) -> None:
    [document] = make("anna")
    claim(document)
    with CaptureQueriesContext(connection) as queries:
        assert lifecycle.claim(document.pk) is None
    assert len([query for query in queries if "SAVEPOINT" not in query["sql"]]) == 1


def finish(claimed: Claim, yields: bool = True) -> None:
    assert lifecycle.yield_turn(claimed) if yields else lifecycle.succeed(claimed)
