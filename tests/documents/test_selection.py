"""What is done to the ticked documents of a list, and the tags by which documents are found."""

import io
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from documents import lifecycle, tags
from documents.models import Document, KnowledgeBase
from documents.refusals import Refused

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]
SELECTION = "/kb/handbook/selection"
BULK = "/api/v1/knowledge-bases/handbook/documents/bulk"


def post(page: Client, action: str, *documents: Document, **more: Any) -> Any:
    data = {"action": action, "id": [str(each.pk) for each in documents], **more}
    return page.post(SELECTION, data, follow=True)


def live() -> set[str]:
    return set(Document.objects.live().values_list("filename", flat=True))


def test_the_chosen_are_deleted_and_undo_brings_them_back(
    page: Client, make_document: MakeDocument
) -> None:
    a, b, _ = (make_document(f"{name}.md") for name in "abc")
    deleted = post(page, "delete", a, b)
    assert "2 documents are deleted." in deleted.content.decode()
    assert live() == {"c.md"}
    assert set(deleted.context["undo"]) == {str(a.pk), str(b.pk)}
    assert "2 documents were deleted." in deleted.content.decode()
    assert not page.get("/kb/handbook/").context["undo"]  # told once
    post(page, "restore", a, b)
    assert live() == {"a.md", "b.md", "c.md"}


def test_undo_brings_back_nothing_that_was_deleted_before(
    page: Client, make_document: MakeDocument, make_user: Callable[..., User]
) -> None:
    a, b = make_document("a.md"), make_document("b.md")
    lifecycle.soft_delete(a.pk, make_user("other"))  # while the list was on the screen
    assert post(page, "delete", a, b).context["undo"] == [str(b.pk)]
    assert post(page, "delete", a, b).context["undo"] == []


def test_who_cannot_be_restored_hinders_no_other(page: Client, make_document: MakeDocument) -> None:
    a, b = make_document("a.md"), make_document("b.md")
    post(page, "delete", a, b)
    make_document("a.md")
    answer = post(page, "restore", a, b)
    assert "1 document is restored. 1 could not be, or need not." in answer.content.decode()
    assert live() == {"a.md", "b.md"}


def test_those_that_failed_are_tried_again(page: Client, make_document: MakeDocument) -> None:
    failed, waiting = make_document("a.md"), make_document("b.md")
    claim = lifecycle.claim(failed.pk)
    assert claim
    lifecycle.fail(claim, "encrypted", "It is encrypted.")
    answer = post(page, "requeue", failed, waiting)
    assert "1 document is queued again." in answer.content.decode()
    failed.refresh_from_db()
    assert failed.status == "pending"


def test_what_is_in_another_knowledge_base_is_passed_over(
    page: Client, editor: User, make_document: MakeDocument
) -> None:
    elsewhere = KnowledgeBase.objects.create(name="Elsewhere")
    elsewhere.membership_set.create(user=editor, role="owner")
    other = make_document("other.md", knowledge_base=elsewhere)
    page.post(SELECTION, {"action": "delete", "id": [str(other.pk), "x", "\x00", "9" * 40]})
    assert live() == {"other.md"}


def test_a_viewer_only_downloads(
    page: Client, knowledge_base: KnowledgeBase, make_document: MakeDocument
) -> None:
    document = make_document()
    knowledge_base.membership_set.update(role="viewer")
    for action in ("delete", "requeue", "restore", "tag", "untag", "nothing"):
        assert post(page, action, document, tags="x").status_code == 404
    assert post(page, "zip", document).status_code == 200
    assert live() == {"notes.md"}


def test_the_chosen_come_as_one_zip(page: Client, make_document: MakeDocument) -> None:
    content = b"x" * 700_000
    chosen = [make_document("größe.md", content), make_document("b.md", b"b")]
    answer = post(page, "zip", *chosen)
    assert answer.headers["Content-Type"] == "application/zip"
    assert 'filename="Handbook.zip"' in answer.headers["Content-Disposition"]
    zipped = zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content)))
    assert zipped.testzip() is None
    assert {name: zipped.read(name) for name in zipped.namelist()} == {
        "größe.md": content, "b.md": b"b",
    }  # fmt: skip


def test_two_of_one_name_are_both_in_the_zip(page: Client, make_document: MakeDocument) -> None:
    old = make_document("a.md", b"old")
    post(page, "delete", old)
    answer = post(page, "zip", old, make_document("a.md", b"new"))
    zipped = zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content)))
    assert {zipped.read(name) for name in zipped.namelist()} == {b"old", b"new"}


def test_a_zip_of_which_a_file_is_missing_is_none(
    page: Client, make_document: MakeDocument
) -> None:
    there, missing = make_document("a.md"), make_document("b.md")
    default_storage.delete(missing.storage_key)
    answer = post(page, "zip", there, missing)
    assert "One of the stored files is missing." in answer.content.decode()


def test_more_than_fits_is_refused(page: Client, make_document: MakeDocument) -> None:
    document = make_document()
    Document.objects.update(size=2 * 1024**3)
    assert "choose fewer" in post(page, "zip", document).content.decode()


# --- Tags ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("Draft,  final  version ", ["draft", "final version"]),
        ("b,a,B,,", ["a", "b"]),
        ("é, e\u0301", ["é"]),
        (["reports/2024"], ["reports/2024"]),
        ("", []),
    ],
)
def test_tags_are_kept_in_one_form(words: Any, kept: list[str]) -> None:
    assert tags.clean(words) == kept


@pytest.mark.parametrize("words", ["x" * 101, "a\x00b", "a\u202eb", [str(n) for n in range(21)]])
def test_what_is_no_tag_is_refused(words: Any) -> None:
    with pytest.raises(Refused):
        tags.clean(words)


@pytest.mark.parametrize("tag", ["नमस्\u200dते", "می\u200cخواهم", "👩\u200d🔬"])
def test_a_tag_keeps_the_joiners_that_it_is_spelt_with(tag: str) -> None:
    assert tags.clean(tag) == [tag]


def test_a_tag_has_no_comma_wherever_it_is_sent(
    make_document: MakeDocument, api: Callable[[User], Client], editor: User
) -> None:
    document, client = make_document(), api(editor)
    body = {"action": "tag", "ids": [str(document.pk)], "tags": ["u,v"]}
    address = "/api/v1/knowledge-bases/handbook/documents/bulk"
    one = client.patch(f"/api/v1/documents/{document.pk}", {"tags": ["u,v"]}, "application/json")
    for answer in (client.post(address, body, "application/json"), one):
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_tag")


def test_a_tag_is_looked_for_as_it_is_kept(
    make_document: MakeDocument, api: Callable[[User], Client], editor: User
) -> None:
    tags.put(make_document(), ["Q1  report"], editor)
    found = api(editor).get("/api/v1/knowledge-bases/handbook/documents", {"tag": " Q1   REPORT "})
    assert found.json()["count"] == 1


def test_tags_come_with_an_upload_and_go_on_with_a_new_version(
    api: Callable[[User], Client], editor: User
) -> None:
    client = api(editor)
    url = "/api/v1/knowledge-bases/handbook/documents"
    form = {"file": SimpleUploadedFile("a.md", b"a"), "tags": "B,a"}
    made = client.post(url, form).json()
    assert made["tags"] == ["a", "b"]
    file = SimpleUploadedFile("a.md", b"new")
    url_of_file = f"/api/v1/documents/{made['id']}/file"
    body = encode_multipart(BOUNDARY, {"file": file})
    replaced = client.put(url_of_file, body, MULTIPART_CONTENT).json()
    assert replaced["tags"] == ["a", "b"]
    assert [each["id"] for each in client.get(f"{url}?tag=A").json()["results"]] == [replaced["id"]]
    assert client.get(f"{url}?tag=c").json()["count"] == 0


def test_tags_are_put_on_many_and_taken_off(
    page: Client, make_document: MakeDocument, api: Callable[[User], Client], editor: User
) -> None:
    a, b = make_document("a.md", tags=["old"]), make_document("b.md")
    assert "2 documents are tagged." in post(page, "tag", a, b, tags="New, x").content.decode()
    assert [list(each.tags) for each in (refreshed(a), refreshed(b))] == [
        ["new", "old", "x"], ["new", "x"],
    ]  # fmt: skip
    data = {"action": "untag", "ids": [str(a.pk), str(b.pk)], "tags": ["old", "X"]}
    answer = api(editor).post(BULK, data, "application/json")
    assert answer.json() == {"done": 2, "asked": 2}
    assert [list(each.tags) for each in (refreshed(a), refreshed(b))] == [["new"], ["new"]]


@pytest.mark.parametrize(
    ("action", "more", "only"),
    [
        ("delete", {"tags": ["old"]}, "`tags` is for tag and untag only"),
        ("tag", {"tags": ["x"], "knowledge_base": "other"}, "`knowledge_base` is for move only"),
        ("move", {"tags": ["x"], "knowledge_base": "other"}, "`tags` is for tag and untag only"),
    ],
)
def test_what_an_action_has_no_use_for_is_refused(
    action: str,
    more: dict[str, Any],
    only: str,
    make_document: MakeDocument,
    api: Callable[[User], Client],
    editor: User,
) -> None:
    document = make_document(tags=["old"])
    data = {"action": action, "ids": [str(document.pk)], **more}
    answer = api(editor).post(BULK, data, "application/json")
    assert answer.status_code == 400
    assert only in answer.json()["error"]["message"]
    assert refreshed(document).deleted_at is None


def test_a_document_that_has_no_room_for_more_tags_keeps_its_own(
    make_document: MakeDocument,
) -> None:
    full = make_document(tags=[f"{n:02}" for n in range(20)])
    assert tags.add([full.pk], ["one more"], None) == 0
    assert len(refreshed(full).tags) == 20


def test_the_list_shows_those_with_a_tag(page: Client, make_document: MakeDocument) -> None:
    make_document("a.md", tags=["draft"])
    make_document("b.md")
    shown = page.get("/kb/handbook/?tag=Draft").context["page"].object_list
    assert [each.filename for each in shown] == ["a.md"]


def test_a_document_is_renamed_and_tagged_by_the_api(
    api: Callable[[User], Client], editor: User, make_document: MakeDocument
) -> None:
    document, other = make_document("a.md"), make_document("b.md")
    url = f"/api/v1/documents/{document.pk}"
    client = api(editor)
    change = {"filename": " c.md", "tags": ["Draft"]}
    answer = client.patch(url, change, "application/json").json()
    assert (answer["filename"], answer["tags"]) == ("c.md", ["draft"])
    taken = client.patch(url, {"filename": other.filename}, "application/json")
    assert (taken.status_code, taken.json()["error"]["code"]) == (409, "duplicate_filename")
    assert client.patch(url, {"filename": "c.pdf"}, "application/json").status_code == 400
    assert client.patch(url, {"status": "ready"}, "application/json").status_code == 422
    assert refreshed(document).filename == "c.md"


def test_a_ready_one_is_indexed_anew_under_its_new_name(
    api: Callable[[User], Client], editor: User, make_ready: MakeDocument
) -> None:
    document = make_ready("a.md")
    url = f"/api/v1/documents/{document.pk}"
    answer = api(editor).patch(url, {"filename": "b.md"}, "application/json").json()
    assert answer["status"] == "pending"
    assert answer["indexed_at"]  # and found meanwhile
    events = [each.kind for each in document.events.order_by("pk")][-2:]
    assert events == ["renamed", "requeued"]


def test_one_in_work_is_not_renamed(
    api: Callable[[User], Client], editor: User, make_document: MakeDocument
) -> None:
    document = make_document("a.md")
    lifecycle.claim(document.pk)
    url = f"/api/v1/documents/{document.pk}"
    answer = api(editor).patch(url, {"filename": "b.md"}, "application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "in_progress")


def test_states_of_many_are_asked_for_at_once(
    page: Client, make_document: MakeDocument, django_assert_max_num_queries: Any
) -> None:
    documents = [make_document(f"{n}.md") for n in range(5)]
    post(page, "delete", documents[0])
    data = {"ids": [str(each.pk) for each in documents]}
    url = "/api/v1/knowledge-bases/handbook/documents/states"
    with django_assert_max_num_queries(4):
        states = page.post(url, data, "application/json").json()
    assert {each["id"] for each in states} == set(data["ids"][1:])
    assert {each["explain"] for each in states} == {"Waiting in the queue."}


def refreshed(document: Document) -> Document:
    document.refresh_from_db()
    return document


def test_the_numbers_of_a_list_lead_to_what_they_count(
    page: Client, make_document: MakeDocument
) -> None:
    failed, _ = make_document("a.md"), make_document("b.md")
    claim = lifecycle.claim(failed.pk)
    assert claim
    lifecycle.fail(claim, "encrypted", "It is encrypted.")
    shown = page.get("/kb/handbook/")
    assert shown.context["shown_numbers"] == [("failed", "1 failed"), ("pending", "1 waiting")]
    assert '<a href="?status=failed">1 failed</a>' in shown.content.decode()


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("filename", ["a.md", "b.md", "c.md"]),
        ("-filename", ["c.md", "b.md", "a.md"]),
        ("created_at", ["b.md", "a.md", "c.md"]),
        ("nonsense", ["c.md", "a.md", "b.md"]),
    ],
)
def test_a_list_is_sorted_as_somebody_wishes(
    sort: str, names: list[str], page: Client, make_document: MakeDocument
) -> None:
    for name in ("b.md", "a.md", "c.md"):
        make_document(name)
    shown = page.get("/kb/handbook/", {"sort": sort}).context["page"].object_list
    assert [each.filename for each in shown] == names


def test_all_of_a_tags_list_are_no_more_than_those(
    page: Client, make_document: MakeDocument
) -> None:
    make_document("a.md", tags=["draft"])
    make_document("b.md")
    asked = page.post("/kb/handbook/bulk", {"action": "delete", "tag": "draft"})
    assert [each.filename for each in asked.context["some"]] == ["a.md"]
