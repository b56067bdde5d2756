"""Pages of long lists: the last costs what the first does."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext

from documents.models import Document, KnowledgeBase

pytestmark = pytest.mark.django_db
COUNT = 3000


@pytest.fixture
def waiting(knowledge_base: KnowledgeBase) -> None:
    """So many documents that wait, all of one moment, as one transaction makes them."""
    rows = [
        Document(
            knowledge_base=knowledge_base, filename=f"{number}.md", content_type="text/markdown",
            size=1, sha256="0" * 64, due_at=Now(),
        )
        for number in range(COUNT)
    ]  # fmt: skip
    Document.objects.bulk_create(rows, batch_size=500)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE documents_document")


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


def rows_counted(statements: list[dict[str, str]]) -> int:
    """For how many rows these statements count the queue, by PostgreSQL's own plan of each."""
    loops = 0
    with connection.cursor() as cursor:
        for statement in statements:
            if "COUNT(*)" not in statement["sql"] or "U0" not in statement["sql"]:
                continue
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement['sql']}")
            loops += _loops(cursor.fetchone()[0][0]["Plan"])
    return loops


def _loops(plan: dict[str, Any]) -> int:
    here = plan["Actual Loops"] if plan.get("Subplan Name") and "Aggregate" in str(plan) else 0
    return here + sum(_loops(each) for each in plan.get("Plans", []))


@pytest.mark.parametrize(("where", "size"), [("web", 25), ("api", 50), ("admin", 50)])
def test_the_last_page_asks_for_its_own_rows_only(
    where: str, size: int, ask: dict[str, Callable[[int], Any]], waiting: None
) -> None:
    counts = []
    for number in (1, COUNT // size):
        ask[where](number)  # once for what is cached
        with CaptureQueriesContext(connection) as captured:
            shown, _ = ask[where](number)
        assert len(shown) == size
        counts.append(len(captured))
        assert 0 < rows_counted(captured.captured_queries) <= 3 * size
    assert counts[0] == counts[1]


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
