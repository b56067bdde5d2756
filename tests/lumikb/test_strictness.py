"""What the API does not know it refuses, at every route, and says what that was."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from documents.models import Document, KnowledgeBase
from lumikb.api import api as ninja
from tests.documents.test_api import put_file

pytestmark = pytest.mark.django_db
DOCUMENTS = "/api/v1/knowledge-bases/handbook/documents"


BODIES = [
    ("/documents/bulk", '{"action": "delete", "ids": []}'),
    ("/documents/states", '{"ids": []}'),
    ("/members", '{"user": "x"}'),
    ("/invitations", "{}"),
    ("/tokens", '{"name": "x"}'),
]


def operations() -> Iterator[tuple[str, str]]:
    for path, methods in ninja.get_openapi_schema()["paths"].items():
        for method in methods:
            yield method.upper(), path


@pytest.fixture
def client(api: Callable[[User], Client], editor: User) -> Client:
    return api(editor)


def unknown(response: Any) -> set[str]:
    """The names that were refused."""
    assert response.status_code == 422, response.content
    error = response.json()["error"]
    assert error["code"] == "unknown_field"
    assert all(name in error["message"] for name in error["details"])
    return set(error["details"])


def ask(client: Client, method: str, path: str, document: Document, query: str = "") -> Any:
    numbers = dict.fromkeys(("user_id", "group_id", "invitation_id", "token_id"), 4711)
    path = path.format(slug="handbook", document_id=document.pk, **numbers)
    sent: dict[str, Any] = {}
    if path == "/api/v1/knowledge-bases" and method == "POST":
        sent = {"data": '{"name": "New"}', "content_type": "application/json"}
    elif path == "/api/v1/search":
        sent = {"data": '{"query": " "}', "content_type": "application/json"}
    elif body := next((text for end, text in BODIES if path.endswith(end)), ""):
        sent = {"data": body, "content_type": "application/json"} if method != "GET" else {}
    elif method == "PATCH":
        sent = {"data": '{"role": "viewer"}', "content_type": "application/json"}
        if "/members/" not in path and "/groups/" not in path:
            sent["data"] = "{}"
    elif path.endswith("/file"):
        return put_file(client, path + query, "new.md", b"# New\n")
    elif method == "POST" and path == DOCUMENTS:
        return client.post(path + query, {"file": SimpleUploadedFile("new.md", b"# New\n")})
    return client.generic(method, path + query, **sent)


@pytest.mark.parametrize(("method", "path"), operations())
def test_a_query_parameter_that_is_not_known_is_refused_by_its_name(
    method: str, path: str, client: Client, make_document: Callable[..., Document]
) -> None:
    document = make_document()
    before = list(Document.objects.values()), KnowledgeBase.objects.count()
    response = ask(client, method, path, document, "?statsu=failed&limt=5")
    assert unknown(response) == {"statsu", "limt"}
    assert (list(Document.objects.values()), KnowledgeBase.objects.count()) == before
    status = ask(client, method, path, document).status_code
    assert status < 300 or "re" in path or status in (403, 404)  # what only owners may


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("/api/v1/search", {"query": "x", "knowledge_base": ["handbook"]}),
        ("/api/v1/knowledge-bases", {"name": "x", "knowledge_base": 1}),
        ("/api/v1/documents/{}/requeue", {"knowledge_base": 1}),
        ("/api/v1/documents/{}/restore", {"knowledge_base": 1}),
    ],
)
def test_a_key_that_is_not_known_is_refused_by_its_name(
    path: str, data: dict[str, Any], client: Client, make_document: Callable[..., Document]
) -> None:
    path = path.format(make_document().pk)
    assert unknown(client.post(path, data, "application/json")) == {"knowledge_base"}
    assert not KnowledgeBase.objects.filter(name="x").exists()


@pytest.mark.parametrize("body", [b"[1]", b"text", b"\xff"])
def test_a_body_that_nobody_reads_is_refused(
    body: bytes, client: Client, make_document: Callable[..., Document]
) -> None:
    path = f"/api/v1/documents/{make_document().pk}"
    for method in (client.delete, client.post):
        there = path if method == client.delete else f"{path}/requeue"
        assert unknown(method(there, body, "application/json")) == {"the body"}
    assert Document.objects.live().exists()


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_an_empty_body_is_none(
    body: bytes, client: Client, make_document: Callable[..., Document]
) -> None:
    path = f"/api/v1/documents/{make_document().pk}"
    assert client.delete(path, body, "application/json").status_code == 204


def test_a_field_or_a_file_beside_the_file_is_refused(client: Client) -> None:
    sent = {"file": SimpleUploadedFile("a.md", b"# A\n")}
    assert unknown(client.post(DOCUMENTS, sent | {"replace": "yes"})) == {"replace"}
    more = {"second": SimpleUploadedFile("b.md", b"# B\n")}
    assert unknown(client.post(DOCUMENTS, sent | more)) == {"second"}
    assert not Document.objects.exists()


@pytest.mark.parametrize("count", [2, 3])
def test_two_files_in_one_upload_are_refused_and_none_is_kept(
    count: int, client: Client, make_document: Callable[..., Document]
) -> None:
    files = [SimpleUploadedFile(f"{number}.md", b"# A\n") for number in range(count)]
    response = client.post(DOCUMENTS, {"file": files})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "one_file_only")
    assert not Document.objects.exists()
    old = make_document()
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.md"\r\n\r\n# A\r\n'
    response = client.put(
        f"/api/v1/documents/{old.pk}/file",
        part * count + b"--b--\r\n",
        "multipart/form-data; boundary=b",
    )
    assert (response.status_code, response.json()["error"]["code"]) == (400, "one_file_only")
    assert Document.objects.count() == 1


def test_a_form_of_a_browser_may_carry_its_csrf_token(editor: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(editor)
    browser.get("/")
    token = browser.cookies["csrftoken"].value
    sent = {"file": SimpleUploadedFile("a.md", b"# A\n"), "csrfmiddlewaretoken": token}
    assert browser.post(DOCUMENTS, sent).status_code == 201


def test_who_is_not_known_is_not_told_what_is(knowledge_base: KnowledgeBase) -> None:
    assert Client().get(f"{DOCUMENTS}?statsu=x").status_code == 401


@pytest.mark.parametrize("named", [["handbook"] * 100_000, ["x" * 101], ["x"] * 1001])
def test_a_search_names_no_more_than_the_description_says(named: list[str], client: Client) -> None:
    sent = {"query": "x", "knowledge_bases": named}
    response = client.post("/api/v1/search", sent, "application/json")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_request")
    schema = ninja.get_openapi_schema()["components"]["schemas"]["SearchIn"]["properties"]
    [listed, _] = schema["knowledge_bases"]["anyOf"]
    assert (listed["maxItems"], listed["items"]["maxLength"]) == (1000, 100)


def test_naming_many_knowledge_bases_costs_two_questions(
    client: Client, editor: User, django_assert_max_num_queries: Any
) -> None:
    made = KnowledgeBase.objects.bulk_create(
        KnowledgeBase(name="x", slug=f"x-{number}") for number in range(999)
    )
    for each in made:
        each.membership_set.create(user=editor, role="viewer")
    slugs = [each.slug for each in made]
    client.get("/api/v1/knowledge-bases/x-0")  # the token's use is written, once in 5 minutes
    # The token, are all visible, which are they; and, once a second, which index is read.
    with django_assert_max_num_queries(4):
        response = client.post(
            "/api/v1/search", {"query": " ", "knowledge_bases": slugs}, "application/json"
        )
    assert response.json()["results"] == []
    slugs += [str(UUID(int=0))]
    response = client.post(
        "/api/v1/search", {"query": " ", "knowledge_bases": slugs}, "application/json"
    )
    assert response.status_code == 404


# --- the description ----------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), operations())
def test_the_description_names_the_errors_of_every_operation(method: str, path: str) -> None:
    """Which they are at each route is compared with what it answers in test_routes.py."""
    described = ninja.get_openapi_schema()["paths"][path][method.lower()]["responses"]
    assert {400, 401, 422, 500, 503} <= described.keys()
    assert (404 in described) == ("{" in path or path.endswith("/search"))
    for status, response in described.items():
        if status >= 400:
            [content] = response["content"].values()
            assert content["schema"]["$ref"].endswith("/ProblemOut")
