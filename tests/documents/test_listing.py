"""Pages of long lists: the last costs what the first does."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from documents import listing
from documents.models import Document, KnowledgeBase
from tests import many

pytestmark = pytest.mark.django_db
COUNT = 3000
LIST = "/kb/handbook/"
DOCUMENTS = "/api/v1/knowledge-bases/handbook/documents"


@pytest.fixture
def waiting(knowledge_base: KnowledgeBase, editor: User) -> None:
    """So many documents that wait, all of one moment, as one transaction makes them."""
    many.make_documents("pending", COUNT, apart=0)
    many.analyze()


@pytest.fixture
def ask(
    api: Callable[[User], Client], page: Client, editor: User, make_user: Callable[..., User]
) -> dict[str, Callable[[int], tuple[list[Any], Any]]]:
    """Each list: from a page's number to the ids that it shows, and the answer."""
    root = Client()
    root.force_login(make_user("root", is_staff=True, is_superuser=True))
    script = api(editor)

    def of_web(number: int) -> tuple[list[Any], Any]:
        response = page.get("/kb/handbook/", {"page": number})
        return [document.pk for document in response.context["page"]], response

    def of_api(number: int) -> tuple[list[Any], Any]:
        response = script.get("/api/v1/knowledge-bases/handbook/documents", {"page": number})
        return [document["id"] for document in response.json()["results"]], response

    def of_admin(number: int) -> tuple[list[Any], Any]:
        response = root.get("/admin/documents/document/", {"p": number})
        return [document.pk for document in response.context["cl"].result_list], response

    return {"web": of_web, "api": of_api, "admin": of_admin}


def pages_read(statements: list[dict[str, str]]) -> int:
    """Pages of PostgreSQL that these statements look at, by its own plan of each."""
    read = 0
    with connection.cursor() as cursor:
        for statement in statements:
            if "documents_document" in statement["sql"]:
                cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement['sql']}")
                plan = cursor.fetchone()[0][0]["Plan"]
                read += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return read


@pytest.mark.parametrize(("where", "size"), [("web", 25), ("api", 50), ("admin", 50)])
def test_the_last_page_costs_what_the_first_does(
    where: str, size: int, ask: dict[str, Callable[[int], Any]], waiting: None
) -> None:
    counts, costs = [], []
    for number in (1, COUNT // size):
        ask[where](number)  # once for what is cached
        with CaptureQueriesContext(connection) as captured:
            shown, _ = ask[where](number)
        assert len(shown) == size
        counts.append(len(captured))
        costs.append(pages_read(captured.captured_queries))
    assert counts[0] == counts[1]
    assert costs[1] < 2 * costs[0]


@pytest.mark.parametrize(("where", "size"), [("web", 25), ("api", 50), ("admin", 50)])
def test_every_document_of_one_moment_is_on_one_page(
    where: str, size: int, ask: dict[str, Callable[[int], Any]], waiting: None
) -> None:
    pages = [ask[where](number)[0] for number in range(1, 6)]
    shown = [document for page in pages for document in page]
    assert len(shown) == len(set(shown)) == 5 * size


def test_beyond_the_end_the_api_shows_nothing_and_the_page_goes_to_the_last(
    ask: dict[str, Callable[[int], Any]], waiting: None
) -> None:
    shown, response = ask["api"](61)
    answer = response.json()
    assert (response.status_code, shown) == (200, [])
    assert (answer["page"], answer["pages"], answer["count"]) == (61, 60, COUNT)


# --- Walking -------------------------------------------------------------------------------------


def test_the_pages_that_links_lead_to_are_the_same_as_by_their_numbers(
    page: Client, waiting: None
) -> None:
    shown = page.get(LIST, {"page": 60}).context["page"]
    for there, number in ((shown.next_place, 61), (shown.previous_place, 59)):
        by_number = page.get(LIST, {"page": number}).context["page"]
        by_link = page.get(LIST, {"page": number, "near": there}).context["page"]
        assert [each.pk for each in by_link] == [each.pk for each in by_number]
        assert by_link.start_index() == by_number.start_index()


@pytest.mark.parametrize("sort", listing.SORTS)
def test_whoever_goes_from_page_to_page_sees_each_once_in_its_order(
    sort: str, page: Client, knowledge_base: KnowledgeBase, editor: User
) -> None:
    many.make_documents("pending", 60)
    expected = listing.sorted_by(Document.objects.all(), sort).values_list("pk", flat=True)
    at, seen = page.get(LIST, {"sort": sort}).context["page"], []
    while True:
        seen += [each.pk for each in at]
        if not at.has_next():
            break
        link = {"sort": sort, "page": at.next_page_number(), "near": at.next_place}
        before, at = at, page.get(LIST, link).context["page"]
        link = {"sort": sort, "page": before.number, "near": at.previous_place}
        assert [each.pk for each in page.get(LIST, link).context["page"]] == [
            each.pk for each in before
        ]
    assert seen == list(expected)


def test_a_link_leads_on_where_it_was_although_others_have_come(
    page: Client, waiting: None, make_document: Callable[..., Document]
) -> None:
    shown = page.get(LIST, {"page": 2}).context["page"]
    expected = [each.pk for each in page.get(LIST, {"page": 3}).context["page"]]
    for n in range(3):
        make_document(f"new-{n}")
    there = page.get(LIST, {"page": 3, "near": shown.next_place}).context["page"]
    assert [each.pk for each in there] == expected


@pytest.mark.parametrize("near", ["x", "b", "b~", "bIiI=", "b////", "\N{GRINNING FACE}"])
def test_a_link_that_was_made_up_leads_to_the_page_of_its_number(
    near: str, page: Client, waiting: None
) -> None:
    expected = [each.pk for each in page.get(LIST, {"page": 3}).context["page"]]
    there = page.get(LIST, {"page": 3, "near": near}).context["page"]
    assert [each.pk for each in there] == expected


@pytest.mark.parametrize("sort", ["-created_at", "created_at", "filename", "-filename"])
def test_who_follows_the_cursor_meets_each_document_once_and_comes_to_the_end(
    sort: str, api: Callable[[User], Client], editor: User, waiting: None
) -> None:
    script = api(editor)
    answer = script.get(DOCUMENTS, {"sort": sort, "limit": 500}).json()
    met = [each["filename"] for each in answer["results"]]
    while answer["next"]:
        answer = script.get(DOCUMENTS, {"cursor": answer["next"], "limit": 500}).json()
        met += [each["filename"] for each in answer["results"]]
    assert len(met) == len(set(met)) == COUNT
    if "filename" in sort:
        assert met == sorted(met, reverse=sort.startswith("-"))


def cursor_of(*place: str) -> str:
    return urlsafe_b64encode(json.dumps(place).encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "made up",
        urlsafe_b64encode(b"[" * 5000).decode(),
        cursor_of("-created_at", "2025-01-01T00:00:00", "0" * 32),
        cursor_of("-created_at", "9999-12-31T23:59:59-23:59", "0" * 32),
        cursor_of("created_at", "0001-01-01T00:00:00+23:59", "0" * 32),
        cursor_of("filename", "\ud800", "0" * 32),
    ],
)
def test_a_cursor_that_is_none_is_refused(
    cursor: str, api: Callable[[User], Client], editor: User
) -> None:
    response = api(editor).get(DOCUMENTS, {"cursor": cursor})
    assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_cursor")


@pytest.mark.parametrize("limit", ["0", "501", "-1", "many"])
def test_a_limit_has_limits(limit: str, api: Callable[[User], Client], editor: User) -> None:
    assert api(editor).get(DOCUMENTS, {"limit": limit}).status_code == 400


def test_a_document_is_found_by_its_whole_name_or_its_content(
    api: Callable[[User], Client], editor: User, make_document: Callable[..., Document]
) -> None:
    wanted = make_document("Résumé.md", b"# One\n")
    make_document("Résumé.md.md", b"# Two\n")
    script = api(editor)
    decomposed = "Re\u0301sume\u0301.md"
    for asked in ({"filename": decomposed}, {"sha256": wanted.sha256.upper()}):
        answer = script.get(DOCUMENTS, asked).json()
        assert [each["id"] for each in answer["results"]] == [str(wanted.pk)]
        assert (answer["count"], answer["more"], answer["next"]) == (1, False, None)


# --- How many ------------------------------------------------------------------------------------


def test_a_search_for_what_most_have_counts_no_further_than_it_says(
    page: Client, api: Callable[[User], Client], editor: User, waiting: None
) -> None:
    shown = page.get(LIST, {"q": ".md"})
    assert "more than 1,000 documents" in shown.content.decode()
    answer = api(editor).get(DOCUMENTS, {"q": ".md", "limit": 500, "page": 6}).json()
    assert (answer["count"], answer["more"]) == (1000, True)
    assert len(answer["results"]) == 500, "still, all of it can be had"
    assert api(editor).get(DOCUMENTS, {"q": ".md", "limit": 500, "page": 7}).json()["results"] == []


@pytest.mark.parametrize("most_sorted", [10, 20_000])
@pytest.mark.parametrize("sort", listing.SORTS)
def test_what_more_than_are_counted_are_found_by_comes_in_the_order_of_the_list(
    sort: str,
    most_sorted: int,
    waiting: None,
    api: Callable[[User], Client],
    editor: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listing, "MOST_SORTED", most_sorted)

    def page(**asked: str) -> list[str]:
        answer = api(editor).get(DOCUMENTS, {"sort": sort, "page": 3, "limit": 400} | asked)
        return [document["filename"] for document in answer.json()["results"]]

    assert page(q=".md") == page()
    assert len(page()) == 400


@pytest.mark.parametrize("q", ["7", "77", "777", "2777.md"])
def test_a_name_is_found_however_short_the_part(q: str, page: Client, waiting: None) -> None:
    expected = sum(q in f"pending {number + 1}.md" for number in range(COUNT))
    assert page.get(LIST, {"q": q}).context["page"].paginator.count == min(expected, 1000)


def test_the_admin_says_that_there_are_more_than_it_has_counted(
    ask: dict[str, Callable[[int], Any]], waiting: None, make_user: Callable[..., User]
) -> None:
    root = Client()
    root.force_login(make_user("boss", is_staff=True, is_superuser=True))
    content = root.get("/admin/documents/document/", {"q": ".md"}).content.decode()
    assert "more than 1,000 documents" in content
    content = root.get("/admin/documents/document/").content.decode()
    assert "3000 documents" in content
