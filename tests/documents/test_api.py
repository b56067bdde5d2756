"""Every route of the API: what it answers, and that whatever goes wrong has one form."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from documents import lifecycle
from documents.models import ApiToken, AuditEntry, Chunk, Document, KnowledgeBase, Membership

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]

KNOWLEDGE_BASES = "/api/v1/knowledge-bases"
DOCUMENTS = f"{KNOWLEDGE_BASES}/handbook/documents"
DOCUMENT_KEYS = {
    "id", "knowledge_base", "filename", "content_type", "size", "sha256", "replaces", "tags",
    "status", "stage", "progress_count", "progress_total", "attempts", "due_at", "explain",
    "failure_code", "failure_message", "chunk_count", "unread", "indexed_at",
    "created_at", "progressed_at", "deleted_at",
}  # fmt: skip


def url(document: Document, part: str = "") -> str:
    return f"/api/v1/documents/{document.pk}{part}"


def notes(name: str = "notes.md", content: bytes = b"# Notes\n") -> dict[str, Any]:
    return {"file": SimpleUploadedFile(name, content)}


def put_file(
    client: Client, path: str, name: str, content: bytes, headers: dict[str, str] | None = None
) -> Any:
    body = (
        b'--limit\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\n\r\n%b\r\n'
        b"--limit--\r\n" % (name.encode(), content)
    )
    return client.put(path, body, "multipart/form-data; boundary=limit", headers=headers)


def error_of(response: Any) -> dict[str, Any]:
    """The error, after a look at its form."""
    assert response.headers["Content-Type"].startswith("application/json"), response.content
    assert response.json().keys() == {"error"}
    error = response.json()["error"]
    assert error.keys() == {"code", "message", "details"}
    assert isinstance(error["code"], str)
    assert error["message"]
    assert isinstance(error["details"], dict)
    return error


@pytest.fixture
def client(api: Callable[[User], Client], editor: User) -> Client:
    """A script with the editor's token; it sees a 500 as a client does."""
    client = api(editor)
    client.raise_request_exception = False
    return client


@pytest.fixture
def ready(make_document: MakeDocument) -> Document:
    """An indexed document, without the work of a worker."""
    document = make_document()
    claim = lifecycle.claim(document.pk)
    assert claim
    chunk = Chunk(
        id=Chunk.id_for(document.pk, 0), document=document, position=0, text="x", start=0, end=1
    )
    lifecycle.succeed(claim, [chunk])
    return document


# --- knowledge bases ----------------------------------------------------------------------------


def test_the_knowledge_bases_of_the_caller_are_listed(client: Client) -> None:
    KnowledgeBase.objects.create(name="Not yours", slug="not-yours")
    response = client.get(KNOWLEDGE_BASES)
    assert response.status_code == 200
    [listed] = response.json()
    assert listed.keys() == {"name", "description", "slug", "created_at"}
    assert (listed["name"], listed["slug"]) == ("Handbook", "handbook")
    for beyond in ({"page": 2}, {"page": 2, "limit": 1}):  # who asks until nothing comes
        assert client.get(KNOWLEDGE_BASES, beyond).json() == []


def test_what_the_database_cannot_read_is_no_error_of_ours(client: Client, ready: Document) -> None:
    assert client.get(KNOWLEDGE_BASES, {"q": "a\x00b"}).status_code == 400


def test_who_makes_a_knowledge_base_owns_it(client: Client, editor: User) -> None:
    response = client.post(KNOWLEDGE_BASES, {"name": "Field Notes"}, "application/json")
    assert response.status_code == 201
    assert response.json()["name"] == "Field Notes"
    assert re.fullmatch(r"field-notes-\w{7}", response.json()["slug"])
    made = KnowledgeBase.objects.get(slug=response.json()["slug"])
    assert made.role_of(editor) == Membership.Role.OWNER


@pytest.mark.parametrize(
    "data",
    [
        {"name": ""},
        {"name": "  "},
        {"name": "x" * 101},
        {"name": "NUL \0"},
        {"name": "Odd", "slug": "x" * 101},
        {"name": "NUL", "slug": "\0"},
        {"slug": "nameless"},
        {"name": ["not", "text"]},
        {"name": "half a pair \ud800"},
    ],
)
def test_a_knowledge_base_without_a_good_name_and_slug_is_refused(
    data: dict[str, Any], client: Client
) -> None:
    response = client.post(KNOWLEDGE_BASES, data, "application/json")
    assert response.status_code == 400
    error_of(response)
    assert KnowledgeBase.objects.count() == 1


def test_a_knowledge_base_can_be_looked_at(client: Client) -> None:
    response = client.get(f"{KNOWLEDGE_BASES}/handbook")
    assert response.status_code == 200
    assert response.json()["name"] == "Handbook"


# --- documents ----------------------------------------------------------------------------------


def test_an_upload_answers_with_the_document(client: Client, editor: User) -> None:
    response = client.post(DOCUMENTS, notes("notes.md", b"# Notes\n"))
    assert response.status_code == 201
    answer = response.json()
    assert answer.keys() == DOCUMENT_KEYS
    assert answer["knowledge_base"] == "handbook"
    assert (answer["filename"], answer["content_type"]) == ("notes.md", "text/markdown")
    assert (answer["status"], answer["size"]) == ("pending", 8)
    assert answer["explain"] == "Stored; it waits for a worker."
    assert Document.objects.get(pk=answer["id"]).uploaded_by == editor
    seen = client.get(f"/api/v1/documents/{answer['id']}").json()
    assert seen == answer | {"explain": "Waiting: no worker has been seen yet."}


def test_a_document_can_be_looked_at(client: Client, ready: Document) -> None:
    response = client.get(url(ready))
    assert response.status_code == 200
    answer = response.json()
    assert answer.keys() == DOCUMENT_KEYS
    assert (answer["id"], answer["status"], answer["chunk_count"]) == (str(ready.pk), "ready", 1)
    assert answer["explain"].startswith("Ready since")


def test_a_failed_document_says_why(client: Client, make_document: MakeDocument) -> None:
    document = make_document()
    claim = lifecycle.claim(document.pk)
    assert claim
    lifecycle.fail(claim, "encrypted", "It is protected by a password.")
    answer = client.get(url(document)).json()
    assert (answer["status"], answer["failure_code"]) == ("failed", "encrypted")
    assert answer["failure_message"] == answer["explain"] == "It is protected by a password."


def test_the_timeline_tells_what_happened_and_who_did_it(client: Client, ready: Document) -> None:
    client.post(url(ready, "/requeue"))
    response = client.get(url(ready, "/events"))
    assert response.status_code == 200
    events = response.json()
    assert [event["kind"] for event in events] == ["registered", "claimed", "succeeded", "requeued"]
    assert [event["by"] for event in events] == ["edith", None, None, "edith"]
    assert all(event.keys() == {"kind", "detail", "by", "created_at"} for event in events)
    times = [datetime.fromisoformat(event["created_at"]) for event in events]
    assert times == sorted(times)


def test_deleting_a_document_hides_it_and_restoring_brings_it_back(
    client: Client, ready: Document
) -> None:
    response = client.delete(url(ready))
    assert (response.status_code, response.content) == (204, b"")
    assert client.get(DOCUMENTS).json()["count"] == 0
    assert client.get(url(ready)).json()["deleted_at"]
    response = client.post(url(ready, "/restore"))
    assert response.status_code == 200
    assert (response.json()["status"], response.json()["deleted_at"]) == ("ready", None)
    assert client.get(DOCUMENTS).json()["count"] == 1


def test_deleting_twice_is_no_error(client: Client, ready: Document) -> None:
    assert client.delete(url(ready)).status_code == 204
    assert client.delete(url(ready)).status_code == 204
    assert ready.events.filter(kind="deleted").count() == 1


def test_a_purged_document_is_gone(client: Client, ready: Document, settings: Any) -> None:
    settings.PURGE_AFTER *= 0
    client.delete(url(ready))
    assert lifecycle.begin_purge(ready.pk)
    for response in (client.get(url(ready)), client.post(url(ready, "/restore"))):
        assert (response.status_code, error_of(response)["code"]) == (404, "not_found")


def test_what_is_not_deleted_cannot_be_restored(client: Client, ready: Document) -> None:
    response = client.post(url(ready, "/restore"))
    assert (response.status_code, error_of(response)["code"]) == (409, "not_deleted")


def test_a_document_whose_name_is_taken_again_cannot_be_restored(
    client: Client, ready: Document, make_document: MakeDocument
) -> None:
    client.delete(url(ready))
    taker = make_document()
    response = client.post(url(ready, "/restore"))
    assert response.status_code == 409
    error = error_of(response)
    assert error["code"] == "duplicate_filename"
    assert error["details"] == {
        "filename": "notes.md", "document_id": str(taker.pk),
        "sha256": taker.sha256, "same_content": True, "size": taker.size,
        "created_at": taker.created_at.isoformat(),
    }  # fmt: skip


def test_a_finished_document_can_be_requeued_once(client: Client, ready: Document) -> None:
    response = client.post(url(ready, "/requeue"))
    assert response.status_code == 202
    assert (response.json()["status"], response.json()["attempts"]) == ("pending", 0)
    response = client.post(url(ready, "/requeue"))
    assert (response.status_code, error_of(response)["code"]) == (409, "not_requeueable")


def test_replacing_keeps_the_name_and_the_old_one_searchable(
    client: Client, ready: Document
) -> None:
    response = put_file(client, url(ready, "/file"), "notes (final).md", b"# New notes\n")
    assert response.status_code == 201
    answer = response.json()
    assert (answer["filename"], answer["replaces"]) == ("notes.md", str(ready.pk))
    assert answer["status"] == "pending"
    assert list(Document.objects.searchable()) == [ready]
    assert client.get(DOCUMENTS).json()["count"] == 1


def test_a_replacement_of_another_type_comes_under_its_own_name(
    client: Client, ready: Document
) -> None:
    answer = put_file(client, url(ready, "/file"), "notes.txt", b"New notes\n").json()
    assert (answer["filename"], answer["content_type"]) == ("notes.txt", "text/plain")


def test_a_replacement_cannot_take_the_name_of_a_third_document(
    client: Client, ready: Document, make_document: MakeDocument
) -> None:
    make_document("taken.txt")
    response = put_file(client, url(ready, "/file"), "taken.txt", b"New notes\n")
    assert (response.status_code, error_of(response)["code"]) == (409, "duplicate_filename")
    ready.refresh_from_db()
    assert ready.deleted_at is None


def test_a_deleted_document_cannot_be_replaced(client: Client, ready: Document) -> None:
    client.delete(url(ready))
    response = put_file(client, url(ready, "/file"), "notes.md", b"# New notes\n")
    assert (response.status_code, error_of(response)["code"]) == (404, "not_found")
    assert Document.objects.count() == 1


def test_a_bad_replacement_leaves_the_old_one_alone(client: Client, ready: Document) -> None:
    response = put_file(client, url(ready, "/file"), "notes.exe", b"MZ")
    assert (response.status_code, error_of(response)["code"]) == (415, "unsupported_type")
    ready.refresh_from_db()
    assert ready.deleted_at is None


# --- lists --------------------------------------------------------------------------------------


@pytest.fixture
def shelf(make_document: MakeDocument, editor: User) -> None:
    """One document in each state: pending, failed and deleted."""
    make_document("pending.md")
    failed, deleted = make_document("failed.md"), make_document("deleted.md")
    claim = lifecycle.claim(failed.pk)
    assert claim
    lifecycle.fail(claim, "corrupt", "It is damaged.")
    lifecycle.soft_delete(deleted.pk, editor)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {"pending.md", "failed.md"}),
        ("?status=pending", {"pending.md"}),
        ("?status=failed", {"failed.md"}),
        ("?status=ready", set()),
        ("?status=stuck", set()),
        ("?status=deleted", {"deleted.md"}),
        ("?q=FAIL", {"failed.md"}),
        ("?q=%25", set()),
        ("?status=failed&q=pending", set()),
    ],
)
def test_the_list_is_filtered(query: str, expected: set[str], client: Client, shelf: None) -> None:
    response = client.get(DOCUMENTS + query)
    assert response.status_code == 200
    answer = response.json()
    assert {document["filename"] for document in answer["results"]} == expected
    assert (answer["count"], answer["page"], answer["pages"]) == (len(expected), 1, 1)


@pytest.mark.parametrize(
    ("page", "shown", "names"),
    [("1", 1, ["c.md", "b.md"]), ("2", 2, ["a.md"]), ("3", 3, []), ("9" * 40, int("9" * 40), [])],
)
def test_the_list_comes_in_pages_newest_first(
    page: str,
    shown: int,
    names: list[str],
    client: Client,
    make_document: MakeDocument,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("documents.api.PAGE_SIZE", 2)
    for name in ("a.md", "b.md", "c.md"):
        make_document(name)
    answer = client.get(DOCUMENTS, {"page": page}).json()
    assert [document["filename"] for document in answer["results"]] == names
    assert (answer["count"], answer["page"], answer["pages"]) == (3, shown, 2)


@pytest.mark.parametrize("page", ["0", "-1", "two", ""])
def test_a_page_that_is_no_number_from_one_is_refused(page: str, client: Client) -> None:
    response = client.get(DOCUMENTS, {"page": page})
    assert (response.status_code, error_of(response)["code"]) == (400, "invalid_request")


def test_the_queries_of_a_list_do_not_grow_with_it(
    client: Client, make_document: MakeDocument, django_assert_max_num_queries: Any
) -> None:
    for number in range(10):
        make_document(f"{number}.md")
    client.get(DOCUMENTS)  # the token's use is written, once in 5 minutes
    # the token, the knowledge base, the count, the ids of the page, the page
    with django_assert_max_num_queries(5):
        assert len(client.get(DOCUMENTS).json()["results"]) == 10


# --- content ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content_type", "sent_type", "disposition"),
    [
        ("a.pdf", "application/pdf", "application/pdf", 'inline; filename="a.pdf"'),
        ("a.html", "text/html", "application/octet-stream", 'attachment; filename="a.html"'),
        (
            'so "called".md',
            "text/markdown",
            "application/octet-stream",
            r'attachment; filename="so \"called\".md"',
        ),
        (
            "Überblick 雪.md",
            "text/markdown",
            "application/octet-stream",
            "attachment; filename*=utf-8''%C3%9Cberblick%20%E9%9B%AA.md",
        ),
    ],
)
def test_only_a_pdf_is_shown_and_all_else_is_saved_under_its_name(
    name: str,
    content_type: str,
    sent_type: str,
    disposition: str,
    client: Client,
    make_document: MakeDocument,
) -> None:
    document = make_document(name, b"bytes as they came", content_type)
    response = client.get(url(document, "/content"))
    assert response.status_code == 200
    assert response.headers["Content-Type"] == sent_type
    assert response.headers["Content-Disposition"] == disposition
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Length"] == "18"


def test_content_is_streamed(client: Client, make_document: MakeDocument) -> None:
    content = b"0123456789abcdef" * 10_000
    response: Any = client.get(url(make_document(content=content), "/content"))
    assert response.streaming
    pieces = list(response.streaming_content)
    assert len(pieces) > 1
    assert b"".join(pieces) == content


def test_a_filename_cannot_add_a_header(client: Client) -> None:
    body = (
        b'--limit\r\nContent-Disposition: form-data; name="file"; '
        b"filename*=UTF-8''a%0D%0ASet-Cookie:%20x=1%0D%0A.md\r\n\r\ntext\r\n--limit--\r\n"
    )
    response = client.post(DOCUMENTS, body, "multipart/form-data; boundary=limit")
    assert response.json()["filename"] == "aSet-Cookie: x=1.md"
    response = client.get(f"/api/v1/documents/{response.json()['id']}/content")
    assert "Set-Cookie" not in response.headers
    assert "\n" not in response.headers["Content-Disposition"]


def test_a_file_that_is_missing_is_gone_and_not_our_crash(
    client: Client, make_document: MakeDocument
) -> None:
    from django.core.files.storage import default_storage

    document = make_document()
    default_storage.delete(document.storage_key)
    response = client.get(url(document, "/content"))
    assert (response.status_code, error_of(response)["code"]) == (410, "file_missing")


# --- search -------------------------------------------------------------------------------------


def test_a_search_of_somebody_who_may_see_nothing_is_an_empty_list(client: Client) -> None:
    Membership.objects.all().delete()
    response = client.post("/api/v1/search", {"query": "herons"}, "application/json")
    assert response.status_code == 200
    assert response.json()["results"] == []
    assert response.json()["fits"] is False


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"query": ""},
        {"query": "x" * 2001},
        {"query": "x", "limit": 0},
        {"query": "x", "limit": 101},
        {"query": "x", "limit": "many"},
        {"query": "x", "knowledge_bases": "handbook"},
        {"query": ["x"]},
    ],
)
def test_a_search_that_makes_no_sense_is_refused(data: dict[str, Any], client: Client) -> None:
    response = client.post("/api/v1/search", data, "application/json")
    assert (response.status_code, error_of(response)["code"]) == (400, "invalid_request")


# --- every error has one form -------------------------------------------------------------------


def test_an_unknown_address_is_404(client: Client) -> None:
    for path in ("/api/v1/nothing", "/api/v2/", "/api/v1/documents/", f"{DOCUMENTS}/"):
        response = client.get(path)
        assert (response.status_code, error_of(response)["code"]) == (404, "not_found"), path


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"\xff", b"{'name': 'x'}"])
@pytest.mark.parametrize("path", [KNOWLEDGE_BASES, "/api/v1/search"])
def test_what_is_not_the_right_json_is_400(path: str, body: bytes, client: Client) -> None:
    response = client.post(path, body, "application/json")
    assert (response.status_code, error_of(response)["code"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/api/v1/search", b'{"query": "x", "limit": 0}', "limit: Input should be greater"),
        (f"{DOCUMENTS}/states", b'{"ids": ["x"]}', "ids.0: Input should be a valid UUID"),
        ("/api/v1/search", b"query=x", "The body is no JSON; send one object as application/json."),
        ("/api/v1/search", b'{"query": "x", "tags": ["\\u0000"]}', "Send it without."),
        ("/api/v1/search", b'{"query": "x", "name": "a\\u0000"}', "Send it without."),
        (KNOWLEDGE_BASES, b"[" * 100_000, "The body is no JSON"),
    ],
)
def test_the_sentence_says_what_is_to_be_done(
    path: str, body: bytes, said: str, client: Client
) -> None:
    response = client.post(path, body, "application/json")
    assert response.status_code == 400
    assert said in error_of(response)["message"]


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000])
def test_a_body_that_is_deeper_than_anybody_means_is_refused(
    body: bytes, client: Client, ready: Document
) -> None:
    response = client.post(url(ready, "/requeue"), body, "application/json")
    assert (response.status_code, error_of(response)["code"]) == (422, "unknown_field")


@pytest.mark.parametrize("part", ["", "/events", "/content"])
def test_head_answers_as_get_does_without_the_body(
    part: str, client: Client, ready: Document
) -> None:
    got, head = client.get(url(ready, part)), client.head(url(ready, part))
    assert (head.status_code, head.getvalue()) == (200, b"")  # type: ignore[attr-defined]
    for name in ("Content-Type", "Content-Length"):
        assert head.headers[name] == got.headers[name]
    assert AuditEntry.objects.filter(action="downloaded").count() == (part == "/content")


def test_head_of_what_is_not_there_or_has_no_get(client: Client) -> None:
    assert client.head(f"{KNOWLEDGE_BASES}/other").status_code == 404
    assert client.head("/api/v1/search").status_code == 405
    assert client.put(KNOWLEDGE_BASES).headers["Allow"].endswith(", HEAD")


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("Field\u202e \x1b[31mNotes", "Field [31mNotes"),
        ("one\r\nname", "one name"),
        ("Cafe\u0301 \U0001f426", "Café \U0001f426"),
    ],
)
def test_a_knowledge_bases_name_is_what_people_see(sent: str, kept: str, client: Client) -> None:
    response = client.post(KNOWLEDGE_BASES, {"name": sent}, "application/json")
    assert (response.status_code, response.json()["name"]) == (201, kept)
    response = client.post(KNOWLEDGE_BASES, {"name": "\u200b"}, "application/json")
    assert response.status_code == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", KNOWLEDGE_BASES),
        ("PUT", f"{KNOWLEDGE_BASES}/handbook"),
        ("PATCH", DOCUMENTS),
        ("GET", "/api/v1/search"),
        ("GET", f"/api/v1/documents/{UUID(int=0)}/requeue"),
        ("POST", f"/api/v1/documents/{UUID(int=0)}"),
        ("POST", f"/api/v1/documents/{UUID(int=0)}/file"),
    ],
)
def test_a_wrong_method_is_405_and_says_which_are_right(
    method: str, path: str, client: Client
) -> None:
    response = client.generic(method, path)
    assert response.status_code == 405
    assert error_of(response)["code"] == "method_not_allowed"
    assert response.headers["Allow"]


@pytest.mark.parametrize("value", ["%00", "x%00y", "%ED%A0%80", "%FF"])
@pytest.mark.parametrize(
    "path",
    [
        KNOWLEDGE_BASES + "?q={}",
        KNOWLEDGE_BASES + "/{}",
        KNOWLEDGE_BASES + "/{}/documents",
        DOCUMENTS + "?q={}",
        DOCUMENTS + "?status={}",
        "/api/v1/documents/{}",
    ],
)
def test_a_nul_or_half_a_character_in_the_address_is_no_crash(
    path: str, value: str, client: Client
) -> None:
    response = client.get(path.format(value))
    assert response.status_code in (200, 400, 404)
    if response.status_code != 200:
        error_of(response)


@pytest.mark.parametrize("slug", ["\0", "handbook\0", "\ud800"])
def test_a_nul_or_half_a_character_in_a_search_is_no_crash(slug: str, client: Client) -> None:
    data = {"query": "heron", "knowledge_bases": [slug]}
    response = client.post("/api/v1/search", data, "application/json")
    assert response.status_code in (400, 404)
    error_of(response)


def test_an_unknown_document_is_404(client: Client) -> None:
    response = client.get(f"/api/v1/documents/{uuid4()}")
    assert (response.status_code, error_of(response)["code"]) == (404, "not_found")


# --- who calls ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header", ["Bearer lumikb_guessed", "Bearer ", "Bearer \xff", "Basic ZWRpdGg6eA==", "Bearer"]
)
def test_a_wrong_token_is_401(header: str, knowledge_base: KnowledgeBase) -> None:
    response = Client(headers={"Authorization": header}).get(KNOWLEDGE_BASES)
    assert (response.status_code, error_of(response)["code"]) == (401, "unauthenticated")
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_the_token_of_somebody_who_left_is_401(client: Client, editor: User) -> None:
    User.objects.update(is_active=False)
    assert client.get(KNOWLEDGE_BASES).status_code == 401


def test_a_revoked_token_is_401(client: Client) -> None:
    ApiToken.objects.all().delete()
    assert client.get(KNOWLEDGE_BASES).status_code == 401


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_a_login_it_is_401_and_not_a_matter_of_csrf(
    method: str, knowledge_base: KnowledgeBase
) -> None:
    response = Client(enforce_csrf_checks=True).generic(method, KNOWLEDGE_BASES)
    assert (response.status_code, error_of(response)["code"]) == (401, "unauthenticated")


def test_a_browser_that_is_logged_in_may_call_too(page: Client) -> None:
    assert page.get(KNOWLEDGE_BASES).status_code == 200


def test_another_site_cannot_use_the_login_of_a_browser(editor: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(editor)
    response = browser.post(KNOWLEDGE_BASES, {"name": "Forged"}, "application/json")
    assert response.status_code == 403
    error_of(response)
    assert not KnowledgeBase.objects.filter(name="Forged").exists()


def test_a_browser_that_shows_its_csrf_token_is_let_in(editor: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(editor)
    browser.get("/")
    token = browser.cookies["csrftoken"].value
    response = browser.post(
        KNOWLEDGE_BASES, {"name": "Mine"}, "application/json", headers={"X-CSRFToken": token}
    )
    assert response.status_code == 201


# --- the documentation --------------------------------------------------------------------------


def test_the_documentation_lists_every_route_of_the_issues() -> None:
    response = Client().get("/api/v1/openapi.json")
    assert response.status_code == 200
    paths = response.json()["paths"]
    listed = {
        f"{method.upper()} {path.removeprefix('/api/v1/')}"
        for path, methods in paths.items()
        for method in methods
    }
    assert listed == {
        "GET knowledge-bases",
        "POST knowledge-bases",
        "GET knowledge-bases/{slug}",
        "DELETE knowledge-bases/{slug}",
        "GET knowledge-bases/{slug}/documents",
        "POST knowledge-bases/{slug}/documents",
        "GET documents/{document_id}",
        "DELETE documents/{document_id}",
        "GET documents/{document_id}/events",
        "GET documents/{document_id}/similar",
        "GET documents/{document_id}/content",
        "POST documents/{document_id}/requeue",
        "POST documents/{document_id}/restore",
        "PUT documents/{document_id}/file",
        "PATCH documents/{document_id}",
        "POST knowledge-bases/{slug}/documents/bulk",
        "POST knowledge-bases/{slug}/documents/states",
        "PATCH knowledge-bases/{slug}",
        "GET knowledge-bases/{slug}/members",
        "POST knowledge-bases/{slug}/members",
        "PATCH knowledge-bases/{slug}/members/{user_id}",
        "DELETE knowledge-bases/{slug}/members/{user_id}",
        "PATCH knowledge-bases/{slug}/groups/{group_id}",
        "DELETE knowledge-bases/{slug}/groups/{group_id}",
        "GET knowledge-bases/{slug}/invitations",
        "POST knowledge-bases/{slug}/invitations",
        "DELETE knowledge-bases/{slug}/invitations/{invitation_id}",
        "GET tokens",
        "POST tokens",
        "DELETE tokens/{token_id}",
        "POST search",
    }


def test_the_documentation_says_that_an_upload_needs_its_file() -> None:
    paths = Client().get("/api/v1/openapi.json").json()["paths"]
    for route in (
        paths["/api/v1/knowledge-bases/{slug}/documents"]["post"],
        paths["/api/v1/documents/{document_id}/file"]["put"],
    ):
        assert route["requestBody"]["required"]
        schema = route["requestBody"]["content"]["multipart/form-data"]["schema"]
        assert schema["required"] == ["file"]
        assert "file" in schema["properties"]


def test_the_description_is_made_once_however_often_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = Client().get("/api/v1/openapi.json").json()
    monkeypatch.setattr("lumikb.api.get_schema", None)  # whoever calls this fails
    assert Client().get("/api/v1/openapi.json").json() == first


def test_the_documentation_can_be_read_without_the_network() -> None:
    response = Client().get("/api/v1/docs")
    assert response.status_code == 200
    assert b"//cdn" not in response.content
