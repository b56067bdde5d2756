"""Whose turn it is in the queue, and that asking for it costs the same however many wait."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from documents import counts, lifecycle, outages
from documents.models import Document, KnowledgeBase, OutboxMessage
from processing import relay
from processing.rounds import Rounds
from tests import many

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]
Priority = OutboxMessage.Priority
ROOM = 100


@pytest.fixture
def bases() -> list[KnowledgeBase]:
    return [KnowledgeBase.objects.create(name=f"Base {n}") for n in range(50)]


@pytest.fixture
def people(make_user: Callable[..., User]) -> list[User]:
    return [make_user(f"person-{n}") for n in range(7)]


def served(rounds: Rounds, room: int) -> list[Document]:
    """The documents whose turn it is, taken out of the queue."""
    taken = rounds.take(room)
    messages = OutboxMessage.objects.select_related("document").in_bulk(taken)
    OutboxMessage.objects.filter(pk__in=taken).delete()
    return [messages[pk].document for pk in taken]


def names(documents: list[Document]) -> list[str]:
    return [document.filename for document in documents]


@pytest.mark.parametrize("room", [1, 2, 3, 100])
def test_who_has_one_document_does_not_wait_for_anothers_hundred(
    room: int, make_document: MakeDocument, people: list[User]
) -> None:
    for n in range(20):
        make_document(f"many-{n}", uploaded_by=people[0])
    make_document("one", uploaded_by=people[1])
    rounds = Rounds()
    first: list[str] = []
    while len(first) < 2:
        first += names(served(rounds, room))
    assert "one" in first[:2]


def test_who_has_fifty_knowledge_bases_is_no_faster_than_with_one(
    make_document: MakeDocument, people: list[User], bases: list[KnowledgeBase]
) -> None:
    for n in range(50):
        make_document(f"{n}", uploaded_by=people[0], knowledge_base=bases[n])
        make_document(f"{n}", uploaded_by=people[1])
    rounds = Rounds()
    shares = Counter(each.uploaded_by_id for _ in range(10) for each in served(rounds, 4))
    assert shares == {people[0].pk: 20, people[1].pk: 20}


def test_more_people_than_there_is_room_for_are_all_served_before_one_is_served_twice(
    make_document: MakeDocument, people: list[User]
) -> None:
    for n in range(3):
        for person in people:
            make_document(f"{person} {n}", uploaded_by=person)
    rounds = Rounds()
    order = [each.uploaded_by_id for _ in range(7) for each in served(rounds, 3)]
    assert order == [person.pk for person in people] * 3


def test_the_knowledge_bases_of_one_person_take_turns_over_several_takes(
    make_document: MakeDocument, bases: list[KnowledgeBase]
) -> None:
    for n in range(2):
        for base in bases[:5]:
            make_document(f"{base} {n}", knowledge_base=base)
    rounds = Rounds()
    order = [each.knowledge_base_id for _ in range(5) for each in served(rounds, 2)]
    assert order == [base.pk for base in bases[:5]] * 2


def test_the_oldest_of_a_knowledge_base_is_first_and_none_is_left_out(
    make_document: MakeDocument,
) -> None:
    documents = [make_document(f"{n}") for n in range(9)]
    oldest = documents[4]
    OutboxMessage.objects.filter(document=oldest).update(due_at=Now() - timedelta(hours=1))
    rounds = Rounds()
    order = [each for _ in range(3) for each in served(rounds, 4)]
    assert order == [oldest, *documents[:4], *documents[5:]]


def test_documents_of_nobody_have_a_turn_like_a_persons(
    make_document: MakeDocument, people: list[User]
) -> None:
    for n in range(3):
        make_document(f"nobody-{n}", uploaded_by=None)
        make_document(f"{n}", uploaded_by=people[0])
    shares = Counter(each.uploaded_by_id for each in served(Rounds(), 4))
    assert shares == {None: 2, people[0].pk: 2}


def test_bulk_waits_as_long_as_anybody_has_something_interactive(
    make_document: MakeDocument, people: list[User]
) -> None:
    for n in range(4):
        make_document(f"bulk-{n}", uploaded_by=people[0])
    OutboxMessage.objects.update(priority=Priority.BULK)
    for n in range(6):
        make_document(f"{n}", uploaded_by=people[1])
    make_document("one", uploaded_by=people[2])
    rounds = Rounds()
    taken: list[str] = []
    while more := names(served(rounds, 4)):
        taken += more
    assert sorted(taken[:7]) == ["0", "1", "2", "3", "4", "5", "one"]
    assert taken[7:] == ["bulk-0", "bulk-1", "bulk-2", "bulk-3"]


def test_many_purges_leave_most_of_the_room_to_documents(
    make_document: MakeDocument, editor: User, settings: Any
) -> None:
    settings.PURGE_AFTER *= 0
    gone = [make_document(f"gone-{n}") for n in range(20)]
    OutboxMessage.objects.all().delete()
    assert len(lifecycle.soft_delete_all([each.pk for each in gone], editor)) == 20
    assert len(served(Rounds(), 8)) == 8, "alone they have all of it"
    for n in range(20):
        make_document(f"{n}")
    taken = names(served(Rounds(), 8))
    assert sum(name.startswith("gone") for name in taken) == 2
    assert len(taken) == 8


def test_what_is_for_later_joins_its_persons_queue_when_it_is_due(
    make_document: MakeDocument, people: list[User]
) -> None:
    """A row of an earlier release says nothing of whose it is."""
    make_document("old", uploaded_by=people[0])
    OutboxMessage.objects.update(is_due=False, person=0, base=0)
    OutboxMessage.objects.update(due_at=Now() + timedelta(hours=1))
    assert not served(Rounds(), 4)
    OutboxMessage.objects.update(due_at=Now())
    [message] = Rounds().take(4)
    row = OutboxMessage.objects.get(pk=message)
    document = row.document
    assert (row.person, row.base) == (people[0].pk, document.knowledge_base_id)


def test_while_a_service_is_away_only_purges_are_taken_however_many_documents_wait(
    make_document: MakeDocument, editor: User, settings: Any
) -> None:
    settings.PURGE_AFTER *= 0
    documents = [make_document(f"{n}") for n in range(5)]
    lifecycle.soft_delete(documents[0].pk, editor)
    outages.failed("vectors", "the vector database is not available.", None, is_probe=False)
    [purge] = Rounds().take(4)
    assert OutboxMessage.objects.get(pk=purge).action == "purge"


# --- However many wait ---------------------------------------------------------------------------


def pages_read(ask: Callable[[], Any]) -> int:
    """Pages of PostgreSQL that its statements look at, by its own count."""
    with CaptureQueriesContext(connection) as captured:
        ask()
    read = 0
    for statement in captured.captured_queries:
        sql = statement["sql"]
        if not sql.lstrip().startswith(("SELECT", "WITH")) or "FOR UPDATE" in sql:
            continue
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}")
            plan = cursor.fetchone()[0]
        plan = json.loads(plan) if isinstance(plan, str) else plan
        read += plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"]
    return read


@pytest.mark.parametrize(("bases", "people"), [(1, 1), (1000, 1), (1000, 100)])
def test_a_take_looks_at_as_many_rows_of_twenty_thousand_as_of_two_thousand(
    bases: int, people: int
) -> None:
    many.make_bases(bases, people)
    costs = []
    for count, first in ((2_000, 0), (18_000, 2_000)):
        many.make_documents("pending", count, first)
        many.analyze()
        costs.append(pages_read(lambda: Rounds().take(ROOM)))
    assert costs[1] < 2 * costs[0] + 2 * ROOM  # a row, and where it is, for each message


def test_healing_looks_at_as_many_rows_of_twenty_thousand_as_of_two_thousand() -> None:
    many.make_bases(100, 10)
    costs = []
    for count, first in ((2_000, 0), (18_000, 2_000)):
        many.make_documents("pending", count, first)
        Document.objects.update(posted_at=Now() - timedelta(hours=1))
        many.analyze()
        counts.add_up()  # what making them has left to be added up
        costs.append(pages_read(relay.heal))
    assert costs[1] < 2 * costs[0]
