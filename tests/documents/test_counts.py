"""The numbers that are kept are those that one would count."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from documents import counts, lifecycle
from documents.models import Document, DocumentCount, KnowledgeBase
from tests import many

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]


def counted(base: KnowledgeBase | None = None) -> dict[str, int]:
    """One after the other."""
    found: Counter[str] = Counter()
    for each in Document.objects.filter(**({"knowledge_base": base} if base else {})):
        if each.purging_at:
            continue
        if each.deleted_at:
            found["deleted"] += 1
            continue
        found[each.status] += 1
        if each.status == "failed":
            found[f"failed {each.failure_code}"] += 1
        if each.status == "ready" and each.unread:
            found["partly_read"] += 1
            found.update({f"unread {entry['kind']}" for entry in each.unread})
    return dict(found)


def kept(numbers: dict[str, int]) -> dict[str, int]:
    return {state: number for state, number in numbers.items() if number and state != "unfinished"}


@pytest.fixture
def lives(make_document: MakeDocument, editor: User, settings: Any) -> list[KnowledgeBase]:
    """Documents in every state there is, in two knowledge bases."""
    settings.PURGE_AFTER *= 0
    other = KnowledgeBase.objects.create(name="Other")
    for base in (KnowledgeBase.objects.exclude(pk=other.pk)[0], other):
        new = [make_document(f"{n}", knowledge_base=base) for n in range(9)]
        claims = [lifecycle.claim(each.pk) for each in new[:6]]
        unread = [{"kind": "image_page", "place": "page 1", "count": 1}] * 2
        lifecycle.succeed(claims[0])
        lifecycle.succeed(claims[1], unread=unread)
        lifecycle.fail(claims[2], "encrypted", "It is encrypted.")
        lifecycle.fail(claims[3], "encrypted", "It is encrypted.")
        lifecycle.retry_later(claims[4], "odd", "Odd.")
        lifecycle.requeue(new[3].pk, editor)
        lifecycle.soft_delete_all([new[6].pk, new[7].pk], editor)
        assert lifecycle.begin_purge(new[7].pk)
        assert lifecycle.finish_purge(new[7].pk)
    return [other, KnowledgeBase.objects.exclude(pk=other.pk)[0]]


@pytest.mark.parametrize("added_up", [0, 1, 2])
def test_they_are_right_whether_the_changes_are_added_up_or_not(
    added_up: int, lives: list[KnowledgeBase], make_document: MakeDocument, editor: User
) -> None:
    for _ in range(added_up):
        counts.add_up()
        lifecycle.soft_delete(make_document("later", knowledge_base=lives[0]).pk, editor)
    assert kept(counts.of_all()) == counted()
    numbers = counts.of_bases([base.pk for base in lives])
    for base in lives:
        assert kept(numbers[base.pk]) == counted(base)
    assert counted(lives[0])["deleted"] == 1 + added_up


def test_a_change_that_is_not_committed_is_not_counted(make_document: MakeDocument) -> None:
    make_document()
    before = counts.of_all()
    with transaction.atomic():
        make_document("another")
        assert counts.of_all() != before
        transaction.set_rollback(True)
    assert counts.of_all() == before


def test_rows_that_somebody_removes_by_hand_are_not_counted(lives: list[KnowledgeBase]) -> None:
    Document.objects.filter(status="failed").delete()
    assert kept(counts.of_all()) == counted()


def test_what_nobody_counts_a_workers_progress_writes_nothing(make_document: MakeDocument) -> None:
    claim = lifecycle.claim(make_document().pk)
    assert claim
    counts.add_up()
    lifecycle.progress(claim, "embed", 1, 2)
    lifecycle.renew([claim])
    assert not DocumentCount.objects.filter(is_sum=False).exists()


def test_the_size_and_the_person_are_kept_too(make_document: MakeDocument, editor: User) -> None:
    make_document("a", b"12345")
    make_document("b", b"123")
    counts.add_up()
    total = DocumentCount.objects.get(knowledge_base=-1, person=editor.pk, is_sum=True)
    assert (total.state, total.documents, total.bytes) == ("unfinished", 2, 8)


@pytest.mark.parametrize("count", [100, 3000])
def test_a_home_page_of_many_knowledge_bases_costs_as_many_statements(
    count: int, make_user: Callable[..., User]
) -> None:
    many.make_bases(count, 1)
    many.make_documents("ready", 2 * count)
    person = User.objects.get(username="person-1")
    browser = Client()
    browser.force_login(person)
    with CaptureQueriesContext(connection) as captured:
        response = browser.get("/")
    shown = response.context["knowledge_bases"]
    assert len(shown.object_list) == 60
    assert {base.document_count for base in shown} == {2}
    assert len(captured) <= 5
    named = browser.get("/", {"q": "Base 000077"}).context["knowledge_bases"]
    assert [base.name for base in named] == ["Base 000077"]
    last = browser.get("/", {"page": 999}).context["knowledge_bases"]
    assert last.number == -(-count // 60)


def test_the_search_page_offers_few_of_many_knowledge_bases_and_those_that_are_ticked(
    make_user: Callable[..., User],
) -> None:
    many.make_bases(200, 1)
    browser = Client()
    browser.force_login(User.objects.get(username="person-1"))
    response = browser.get("/search/", {"kb": "base-199", "called": "Base 0001"})
    offered = [base.slug for base in response.context["knowledge_bases"]]
    assert (len(offered), offered[0]) == (31, "base-199")
    assert set(offered[1:]) <= {f"base-{n}" for n in range(100, 200)}
