"""The pages, as a browser sees them: with and without htmx, and when something is wrong."""

import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from documents import lifecycle
from documents.models import Chunk, Document, KnowledgeBase, Membership

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]

LIST = "/kb/handbook/"
UPLOAD = "/kb/handbook/upload"
HTMX = {"HX-Request": "true"}


def file(name: str = "notes.md", content: bytes = b"# Notes\n") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def said(response: Any) -> list[tuple[str, str]]:
    """The messages that the next page shows: level and text."""
    return [(message.level_tag, message.message) for message in get_messages(response.wsgi_request)]


def is_whole_page(response: Any) -> bool:
    return b"<!doctype html>" in response.content.lower()


def at(document: Document, part: str = "") -> str:
    return f"/documents/{document.pk}/{part}"


@pytest.fixture
def finished(make_document: MakeDocument) -> Document:
    """A READY document with one passage."""
    document = make_document()
    claim = lifecycle.claim(document.pk)
    assert claim
    chunk_id = Chunk.id_for(document.pk, 0)
    chunk = Chunk(id=chunk_id, document=document, position=0, text="heron", start=0, end=5)
    lifecycle.succeed(claim, [chunk])
    document.refresh_from_db()
    return document


# --- login --------------------------------------------------------------------------------------


def test_a_page_asks_for_a_login_and_then_shows_itself(editor: User) -> None:
    browser = Client()
    response = browser.get(LIST)
    assert (response.status_code, response.headers["Location"]) == (302, f"/login/?next={LIST}")
    login = browser.get(response.headers["Location"])
    assert login.status_code == 200
    data = {"username": "edith", "password": "right-horse-1", "next": LIST}
    response = browser.post("/login/", data)
    assert (response.status_code, response.headers["Location"]) == (302, LIST)
    assert b"Handbook" in browser.get(LIST).content


@pytest.mark.parametrize(
    ("username", "password"),
    [("edith", "wrong"), ("nobody", "right-horse-1"), ("", ""), ("nul\0", "x"), ("x" * 999, "x")],
)
def test_a_wrong_login_is_told_so_and_not_what_is_wrong(
    username: str, password: str, editor: User
) -> None:
    response = Client().post("/login/", {"username": username, "password": password})
    assert response.status_code == 200
    assert not response.wsgi_request.user.is_authenticated
    assert b'role="alert"' in response.content


def test_a_login_leads_to_no_other_site(editor: User) -> None:
    data = {"username": "edith", "password": "right-horse-1", "next": "https://evil.example/"}
    assert Client().post("/login/", data).headers["Location"] == "/"


def test_a_logout_is_a_post_and_ends_the_session(page: Client) -> None:
    assert page.get("/logout/").status_code == 405
    page.post("/logout/")
    assert page.get("/").status_code == 302


def test_an_anonymous_fragment_leads_to_the_login_too(knowledge_base: KnowledgeBase) -> None:
    assert Client().get(LIST, headers=HTMX).status_code == 302


# --- knowledge bases ----------------------------------------------------------------------------


def test_the_first_page_lists_knowledge_bases_with_their_counts(
    page: Client, finished: Document, make_document: MakeDocument, editor: User
) -> None:
    make_document("waiting.md")
    lifecycle.soft_delete(make_document("deleted.md").pk, editor)
    response = page.get("/")
    [listed] = response.context["knowledge_bases"]
    assert (listed.name, listed.document_count, listed.ready_count) == ("Handbook", 2, 1)
    assert b"Handbook" in response.content


def test_a_knowledge_base_made_by_the_form_is_opened(page: Client, editor: User) -> None:
    response = page.post("/", {"name": "Field <b>Notes</b>"}, follow=True)
    [(there, status)] = response.redirect_chain
    assert status == 302
    assert there.startswith("/kb/field-b-notes-b-")
    assert b"Field &lt;b&gt;Notes&lt;/b&gt;" in response.content
    made = KnowledgeBase.objects.exclude(slug="handbook").get()
    assert made.role_of(editor) == Membership.Role.OWNER


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "nul\0"])
def test_a_knowledge_base_without_a_good_name_is_told_so(name: str, page: Client) -> None:
    response = page.post("/", {"name": name})
    assert response.status_code == 200
    assert b'aria-invalid="true"' in response.content
    assert KnowledgeBase.objects.count() == 1


# --- the list -----------------------------------------------------------------------------------


def test_the_list_shows_each_document_with_what_it_waits_for(
    page: Client, make_document: MakeDocument
) -> None:
    make_document()
    response = page.get(LIST)
    assert is_whole_page(response)
    assert b"notes.md" in response.content
    assert b"Waiting: no worker has been seen yet." in response.content


def test_htmx_gets_only_the_table(page: Client, make_document: MakeDocument) -> None:
    make_document()
    response = page.get(LIST, headers=HTMX)
    assert b"notes.md" in response.content
    assert not is_whole_page(response)
    assert "HX-Request" in response.headers["Vary"]


def test_the_list_asks_again_while_something_is_in_progress(
    page: Client, finished: Document, make_document: MakeDocument
) -> None:
    assert b"every 2s" not in page.get(LIST).content
    make_document("waiting.md")
    assert b"every 2s" in page.get(LIST).content


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", {"notes.md", "waiting.md"}),
        ("status=ready", {"notes.md"}),
        ("status=pending", {"waiting.md"}),
        ("status=deleted", {"deleted.md"}),
        ("status=stuck", set()),
        ("status=no-such", set()),
        ("q=WAIT", {"waiting.md"}),
        ("q=%20notes%20", {"notes.md"}),
    ],
)
def test_the_list_is_filtered(
    query: str,
    shown: set[str],
    page: Client,
    finished: Document,
    make_document: MakeDocument,
    editor: User,
) -> None:
    make_document("waiting.md")
    lifecycle.soft_delete(make_document("deleted.md").pk, editor)
    response = page.get(f"{LIST}?{query}")
    assert {document.filename for document in response.context["page"]} == shown


@pytest.mark.parametrize("q", ["no", "报告", "zz", "not"])
def test_a_short_part_of_a_name_says_that_not_all_were_looked_through(
    q: str, page: Client, make_document: MakeDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_document("notes.md")
    make_document("报告.md")
    said = "Only the 1 newest"
    assert said not in page.get(LIST, {"q": q}).text
    monkeypatch.setattr("documents.views.NEWEST", 1)
    assert (said in page.get(LIST, {"q": q}).text) == (len(q) < 3)
    assert said not in page.get(LIST).text


@pytest.mark.parametrize(
    ("number", "shown"),
    [("1", 1), ("2", 2), ("99", 2), ("9" * 5000, 1), ("0", 1), ("-1", 1), ("x", 1), ("", 1)],
)
def test_the_list_has_pages(
    number: str,
    shown: int,
    page: Client,
    make_document: MakeDocument,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("documents.views.PAGE_SIZE", 2)
    for name in ("a.md", "b.md", "c.md"):
        make_document(name)
    response = page.get(LIST, {"page": number, "q": ".md"}, follow=True)
    moved = [f"{LIST}?page={shown}&q=.md"] if number not in ("1", "2", "") else []
    assert [address for address, _ in response.redirect_chain] == moved
    assert response.context["page"].number == shown
    assert f"page={3 - shown}".encode() in response.content
    assert b"q=.md" in response.content, "the filter is lost on the way"


def test_a_list_of_many_needs_no_more_queries(
    page: Client, make_document: MakeDocument, django_assert_max_num_queries: Any
) -> None:
    for number in range(10):
        make_document(f"{number}.md")
    # session, user, knowledge base, count, ids of the page, page, role
    with django_assert_max_num_queries(7):
        page.get(LIST)


def test_a_name_is_shown_and_never_run(page: Client, make_document: MakeDocument) -> None:
    document = make_document("<img src=x onerror=alert(1)>.md")
    for path in (LIST, at(document), f"{LIST}?q=<script>alert(1)</script>"):
        content = page.get(path).content
        assert b"<img src=x" not in content
        assert b"<script>alert" not in content


def test_a_viewer_sees_no_upload_and_no_buttons(
    page: Client, finished: Document, knowledge_base: KnowledgeBase
) -> None:
    assert page.get(LIST).content.count(b'type="file"') == 2  # files, and a folder
    knowledge_base.membership_set.update(role="viewer")
    assert b'type="file"' not in page.get(LIST).content
    content = page.get(at(finished)).content
    assert not re.findall(rb'action="/documents/', content)


# --- upload -------------------------------------------------------------------------------------


def test_several_files_are_taken_and_one_refused_hinders_no_other(
    page: Client, make_document: MakeDocument, settings: Any
) -> None:
    settings.UPLOAD_MAX_BYTES = 1000
    make_document("there.md")
    sent = [
        file("one.md"),
        file("empty.md", b""),
        file("there.md"),
        file("program.exe", b"MZ"),
        file("long.md", b"x" * 1001),
        file("two.md"),
    ]
    response = page.post(UPLOAD, {"file": sent})
    assert (response.status_code, response.headers["Location"]) == (302, LIST)
    live = Document.objects.values_list("filename", flat=True)
    assert set(live) == {"there.md", "one.md", "two.md"}
    messages = said(response)
    assert sorted(level for level, _ in messages) == ["error"] * 4 + ["success"] * 2
    for name in ("empty.md", "there.md", "program.exe", "long.md"):
        assert any(level == "error" and name in text for level, text in messages), name


def test_htmx_gets_a_result_for_each_file(page: Client) -> None:
    sent = [file("one.md"), file("program.exe", b"MZ")]
    response = page.post(UPLOAD, {"file": sent}, headers=HTMX)
    assert response.status_code == 415
    assert not is_whole_page(response)
    assert b"one.md" in response.content
    assert b"program.exe" in response.content
    assert b"Accepted are" in response.content


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (("notes.md", b"# Notes\n"), 201),
        (("empty.md", b""), 400),
        (("there.md", b"again"), 409),
        (("long.md", b"x" * 1001), 413),
        (("program.exe", b"MZ"), 415),
        (("..md", b"x"), 400),
    ],
)
def test_htmx_is_told_the_outcome_by_the_status(
    sent: tuple[str, bytes],
    status: int,
    page: Client,
    make_document: MakeDocument,
    settings: Any,
) -> None:
    settings.UPLOAD_MAX_BYTES = 1000
    make_document("there.md")
    response = page.post(UPLOAD, {"file": file(*sent)}, headers=HTMX)
    assert response.status_code == status


def test_a_duplicate_offers_to_open_or_replace_what_is_there(
    page: Client, make_document: MakeDocument
) -> None:
    there = make_document()
    response = page.post(UPLOAD, {"file": file("notes.md")}, headers=HTMX)
    assert f'href="{at(there)}"'.encode() in response.content
    assert f'"{at(there, "replace")}"'.encode() in response.content
    assert f"“{there.filename}”".encode() in response.content


def test_a_hostile_name_in_a_refusal_is_escaped(page: Client) -> None:
    response = page.post(UPLOAD, {"file": file("<img src=x>.exe", b"MZ")}, headers=HTMX)
    assert b"<img src=x>" not in response.content
    assert b"&lt;img src=x&gt;.exe" in response.content


def test_no_file_is_told_so(page: Client) -> None:
    assert said(page.post(UPLOAD)) == [("error", "Choose a file first.")]
    assert page.post(UPLOAD, headers=HTMX).status_code == 400


# --- a document ---------------------------------------------------------------------------------


def test_a_document_shows_its_state_and_timeline(page: Client, finished: Document) -> None:
    response = page.get(at(finished))
    assert is_whole_page(response)
    assert b"Ready since" in response.content
    assert [event.kind for event in response.context["events"]] == [
        "registered", "claimed", "succeeded",
    ]  # fmt: skip
    assert b"edith" in response.content


def test_htmx_gets_only_the_state_and_stops_asking_when_it_is_final(
    page: Client, make_document: MakeDocument
) -> None:
    document = make_document()
    response = page.get(at(document), headers=HTMX)
    assert not is_whole_page(response)
    assert b"every 2s" in response.content
    claim = lifecycle.claim(document.pk)
    assert claim
    lifecycle.fail(claim, "encrypted", "It is protected by a password.")
    response = page.get(at(document), headers=HTMX)
    assert b"every 2s" not in response.content
    assert b'<p class="explanation">It is protected by a password.</p>' in response.content


def test_a_document_can_be_requeued(page: Client, finished: Document) -> None:
    response = page.post(at(finished, "requeue"))
    assert (response.status_code, response.headers["Location"]) == (302, at(finished))
    assert said(response) == [("success", "notes.md will be processed again.")]
    finished.refresh_from_db()
    assert finished.status == "pending"


def test_what_is_not_finished_is_not_requeued_and_says_so(
    page: Client, make_document: MakeDocument
) -> None:
    response = page.post(at(make_document(), "requeue"))
    [(level, text)] = said(response)
    assert (level, "nothing was done" in text) == ("info", True)


def test_a_document_can_be_deleted_and_restored(page: Client, finished: Document) -> None:
    assert said(page.post(at(finished, "delete")))[0][0] == "success"
    finished.refresh_from_db()
    assert finished.deleted_at
    shown = page.get(at(finished)).content
    assert at(finished, "restore").encode() in shown
    assert at(finished, "delete").encode() not in shown
    assert said(page.post(at(finished, "restore")))[-1] == ("success", "notes.md is back.")
    finished.refresh_from_db()
    assert (finished.status, finished.deleted_at) == ("ready", None)


def test_a_document_whose_name_is_taken_is_not_restored_and_says_why(
    page: Client, finished: Document, make_document: MakeDocument, editor: User
) -> None:
    lifecycle.soft_delete(finished.pk, editor)
    make_document()
    [(level, text)] = said(page.post(at(finished, "restore")))
    assert (level, "already in this knowledge base" in text) == ("error", True)


def test_a_replaced_document_leads_to_its_new_version(page: Client, finished: Document) -> None:
    response = page.post(at(finished, "replace"), {"file": file("notes-2.md", b"# New\n")})
    new = Document.objects.live().get()
    assert response.headers["Location"] == at(new)
    assert (new.filename, new.replaces) == ("notes.md", finished)
    assert said(response)[0][0] == "success"
    assert page.get(at(new)).status_code == page.get(at(finished)).status_code == 200


@pytest.mark.parametrize("data", [{}, {"file": ("notes.exe", b"MZ")}, {"file": ("a.md", b"")}])
def test_a_replacement_that_is_refused_changes_nothing(
    data: dict[str, Any], page: Client, finished: Document
) -> None:
    data = {key: file(*sent) for key, sent in data.items()}
    response = page.post(at(finished, "replace"), data)
    assert response.headers["Location"] == at(finished)
    assert said(response)[0][0] == "error"
    finished.refresh_from_db()
    assert finished.deleted_at is None


@pytest.mark.parametrize("part", ["requeue", "delete", "restore", "replace"])
def test_a_link_cannot_change_anything(part: str, page: Client, finished: Document) -> None:
    before = Document.objects.values().get()
    response = page.get(at(finished, part))
    assert (response.status_code, response.headers["Allow"]) == (405, "POST")
    assert is_whole_page(response)
    assert Document.objects.values().get() == before


def test_the_original_of_a_pdf_opens_and_all_else_is_saved(
    page: Client, make_document: MakeDocument
) -> None:
    pdf = make_document("a.pdf", b"%PDF-1.4", "application/pdf")
    html = make_document("a.html", b"<script>", "text/html")
    shown, saved = page.get(at(pdf, "content")), page.get(at(html, "content"))
    assert shown.headers["Content-Disposition"].startswith("inline")
    assert saved.headers["Content-Disposition"].startswith("attachment")
    assert saved.headers["Content-Type"] == "application/octet-stream"
    assert b"".join(saved.streaming_content) == b"<script>"  # type: ignore[attr-defined]


def test_an_original_that_is_missing_is_a_page_that_says_so(
    page: Client, finished: Document
) -> None:
    default_storage.delete(finished.storage_key)
    response = page.get(at(finished, "content"))
    assert response.status_code == 410
    assert b"The stored file is missing." in response.content


# --- what goes wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/nothing", "/kb/none/", f"/documents/{UUID(int=0)}/", "/kb/a%00b/"]
)
def test_what_is_not_there_is_a_page_that_says_so(path: str, page: Client) -> None:
    response = page.get(path)
    assert response.status_code == 404
    assert is_whole_page(response)
    assert b"There is nothing here, or it is not yours to see or change." in response.content


@pytest.mark.parametrize("query", ["q=%00", "status=%00", "q=%FF", "page=%00"])
def test_a_nul_in_the_address_is_no_crash(query: str, page: Client) -> None:
    page.raise_request_exception = False
    assert page.get(f"{LIST}?{query}").status_code in (200, 302, 400)


def test_a_crash_is_a_page_without_its_trace(page: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*args: Any) -> None:
        raise RuntimeError("the secret of the trace")

    monkeypatch.setattr("documents.views.knowledge_base_for", crash)
    page.raise_request_exception = False
    response = page.get(LIST)
    assert response.status_code == 500
    assert is_whole_page(response)
    assert b"secret" not in response.content


def test_another_site_can_send_no_form(editor: User, finished: Document) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(editor)
    for path in (at(finished, "delete"), at(finished, "replace"), UPLOAD, "/"):
        response = browser.post(path, {"file": file(), "name": "Forged"})
        assert response.status_code == 403
        assert is_whole_page(response)
    assert Document.objects.live().count() == KnowledgeBase.objects.count() == 1


def test_a_form_with_its_token_is_taken(editor: User, knowledge_base: KnowledgeBase) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(editor)
    content = browser.get(LIST).content.decode()
    [token, *_] = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', content)
    browser.post(UPLOAD, {"file": file(), "csrfmiddlewaretoken": token})
    assert Document.objects.count() == 1


@pytest.mark.parametrize("path", ["/", LIST, "/search/", "/login/"])
def test_a_page_cannot_be_framed_or_sniffed(path: str, page: Client) -> None:
    response = page.get(path)
    assert response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "same-origin"
