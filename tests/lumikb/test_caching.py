"""Nobody keeps a copy of what is people's: no browser, and no proxy on the way."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from documents.models import Document
from tests.documents.test_permissions import addresses

pytestmark = pytest.mark.django_db


def kept(response: Any) -> bool:
    return "no-store" not in response.headers.get("Cache-Control", "")


def test_pages_files_and_answers_of_the_api_are_kept_nowhere(
    page: Client, editor: User, api: Any, make_ready: Callable[..., Document]
) -> None:
    document = make_ready()
    chunk = document.chunk_set.get()
    there = {"<slug:slug>": "handbook", "<uuid:document_id>": document.pk}
    there |= {"<slug>": "handbook", "<document_id>": document.pk, "<uuid:chunk_id>": chunk.pk}
    paths = [f"/{address}" for address in addresses()]
    for pattern, value in there.items():
        paths = [path.replace(pattern, str(value)) for path in paths]
    asked = [path for path in paths if "<" not in path]
    seen: dict[int, list[str]] = {}
    for client in (page, api(editor)):
        for path in [*asked, "/admin/", "/nothing"]:
            response = client.get(path)
            seen.setdefault(response.status_code, []).append(path)
            assert not kept(response), path
    for path in ("/", "/login/", "/api/v1/knowledge-bases"):
        assert not kept(Client().get(path)), path
    assert len(asked) > 20
    assert {200, 302, 404, 405} <= seen.keys()
    assert f"/documents/{document.pk}/content" in seen[200]
    assert f"/api/v1/documents/{document.pk}/content" in seen[200]


def test_errors_are_kept_nowhere(page: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("documents.views.knowledge_base_for", lambda *args: 1 / 0)
    page.raise_request_exception = False
    response = page.get("/kb/handbook/")
    assert (response.status_code, kept(response)) == (500, False)


@pytest.mark.parametrize("path", ["/static/lumikb.js", "/static/admin/css/base.css"])
def test_static_files_may_be_kept(client: Client, path: str) -> None:
    assert client.get(path).headers["Cache-Control"] == "max-age=60, public"
