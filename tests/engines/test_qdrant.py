"""Qdrant with an API key: with a wrong one, or none, everybody waits and nothing is given up."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.test import Client

from documents.models import Document
from processing import actors, reconcile
from processing.index import vectors
from tests.conftest import let_outages_pass, process

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]


@pytest.fixture
def use_key(settings: Any) -> Iterator[Callable[[str | None], None]]:
    """Change QDRANT_API_KEY, as by a restart of the application."""

    def use(key: str | None) -> None:
        settings.QDRANT_API_KEY = key
        vectors._client.cache_clear()

    yield use
    vectors._client.cache_clear()


@pytest.mark.parametrize("key", ["wrong", None])
def test_a_key_that_is_not_right_is_an_outage_with_a_clear_sentence(
    key: str | None,
    use_key: Callable[[str | None], None],
    make_document: MakeDocument,
    make_ready: MakeDocument,
    api: Callable[[User], Client],
    editor: User,
    settings: Any,
) -> None:
    right = settings.QDRANT_API_KEY
    old, new, unwanted = make_ready("old.md"), make_document("new.md"), make_ready("unwanted.md")
    Document.objects.filter(pk=unwanted.pk).update(deleted_at=Now() - timedelta(days=2))

    use_key(key)
    process(new)
    assert (new.status, new.attempts, new.failure_code) == ("pending", 0, "")
    assert new.waiting_for == (
        "the vector database is not available (HTTP 401: it refuses our key)."
    )
    answer = api(editor).post("/api/v1/search", {"query": "heron"}, "application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "search_misconfigured")
    actors.purge.fn(str(unwanted.pk))
    unwanted.refresh_from_db()
    assert not unwanted.purged_at
    findings = reconcile.run().findings
    assert [f for f in findings if f["skipped"].startswith("cannot tell")]
    old.refresh_from_db()
    assert old.status == "ready"

    use_key(right)
    let_outages_pass()
    assert process(new).status == "ready", new.explain()
    answer = api(editor).post("/api/v1/search", {"query": "heron"}, "application/json")
    assert {hit["filename"] for hit in answer.json()["results"]} == {"old.md", "new.md"}
    actors.purge.fn(str(unwanted.pk))
    unwanted.refresh_from_db()
    assert unwanted.purged_at
