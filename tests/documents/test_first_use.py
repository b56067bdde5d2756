"""Where somebody who has never seen the pages would hesitate: what they find there instead."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from documents import lifecycle
from documents.models import Document, DocumentEvent, KnowledgeBase, Membership, ReconcileRun

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]
LIST = "/admin/documents/document/"


@pytest.fixture
def operator(make_user: Callable[..., User]) -> Client:
    user = make_user("oscar", is_staff=True)
    user.groups.add(Group.objects.get(name="Operators"))
    client = Client()
    client.force_login(user)
    return client


def fail(document: Document) -> Document:
    claim = lifecycle.claim(document.pk)
    assert claim
    lifecycle.fail(claim, "corrupt", "It is damaged.")
    return document


def succeed(document: Document) -> Document:
    claim = lifecycle.claim(document.pk)
    assert claim
    lifecycle.succeed(claim, [])
    return document


def htmx(page: Client, address: str, trigger: str) -> str:
    answer = page.get(address, headers={"HX-Request": "true", "HX-Trigger": trigger})
    return answer.content.decode()


# --- Readers and editors --------------------------------------------------------------------------


def test_the_deleted_can_be_restored_as_soon_as_the_list_shows_them(
    page: Client, make_document: MakeDocument, editor: User
) -> None:
    lifecycle.soft_delete(make_document().pk, editor)
    address = "/kb/handbook/?status=deleted"
    filtered = htmx(page, address, "filters")
    assert 'id="selection-actions" hx-swap-oob="true"' in filtered
    assert 'value="restore">Restore</button>' in filtered
    assert 'name="next" value="?status=deleted"' in filtered
    assert 'value="requeue"' not in filtered
    assert "selection-actions" not in htmx(page, address, "documents")  # a tag may be in the making


def test_what_has_become_ready_can_be_read_without_a_reload(
    page: Client, make_document: MakeDocument
) -> None:
    document = succeed(make_document())
    polled = htmx(page, document.get_absolute_url(), "state")
    assert 'id="links" hx-swap-oob="true"' in polled
    assert "What was read" in polled
    assert "hx-swap-oob" not in page.get(document.get_absolute_url()).content.decode()


def test_what_was_replaced_does_not_say_that_somebody_deleted_it(
    page: Client, make_document: MakeDocument
) -> None:
    old = succeed(make_document())
    address = f"{old.get_absolute_url()}replace"
    answer = page.post(address, {"file": SimpleUploadedFile("b.md", b"# New\n")}, follow=True)
    assert "notes.md is stored as the new version." in answer.content.decode()
    new = succeed(Document.objects.live().get())
    old.refresh_from_db()
    assert old.explain().startswith("Replaced at ")
    assert "by a newer version; it can be looked at until" in old.explain()
    lifecycle.soft_delete(new.pk, None)
    assert Document.objects.get(pk=new.pk).explain().startswith("Deleted at ")


def test_an_owner_finds_how_to_share_and_where_to_delete(
    page: Client, knowledge_base: KnowledgeBase, editor: User
) -> None:
    assert ">Members</a>" in page.get("/kb/handbook/").content.decode()
    mine = Membership.objects.filter(knowledge_base=knowledge_base, user=editor)
    mine.update(role=Membership.Role.OWNER)
    content = page.get("/kb/handbook/").content.decode()
    assert ">Share</a>" in content
    assert ">Settings</a>" in content


def test_a_new_token_comes_with_a_request_that_works(page: Client) -> None:
    made = page.post("/account/tokens", {"token-name": "reader", "token-days": "1"})
    content = made.content.decode()
    secret = made.context["secret"]
    assert f'Bearer {secret}" http://testserver/api/v1/knowledge-bases</pre>' in content.replace(
        "&quot;", '"'
    )


# --- Operators ------------------------------------------------------------------------------------


def test_the_timeline_says_of_which_cause_all_were_requeued(
    operator: Client, make_document: MakeDocument
) -> None:
    documents = [fail(make_document(f"{name}.md")) for name in "ab"]
    address = f"{LIST}?status__exact=failed&failure_code=corrupt"
    chosen = {"action": "requeue", "select_across": "1", "_selected_action": documents[0].pk}
    asked = operator.post(address, chosen)
    said = "all with the status failed, that failed with corrupt"
    assert said in asked.content.decode()
    confirmed = chosen | {"confirmed": "yes", "bulk": asked.context["bulk"].pk}
    done = operator.post(address, confirmed, follow=True).content.decode()
    assert '2 of 2 documents requeued. <a href="/admin/causes/">' in done
    details = DocumentEvent.objects.filter(kind="requeued").values_list("detail", flat=True)
    assert list(details) == [said, said]


def test_an_operator_deletes_a_knowledge_base_of_others(
    operator: Client, knowledge_base: KnowledgeBase, make_document: MakeDocument
) -> None:
    make_document()
    address = f"/admin/documents/knowledgebase/{knowledge_base.pk}/"
    content = operator.get(f"{address}change/").content.decode()
    assert f'href="{address}delete/"' in content
    assert "View on site" not in content  # it is not there for an operator
    assert "1 document(s)" in operator.get(f"{address}delete/").content.decode()
    assert operator.post(f"{address}delete/", {"post": "yes"}).status_code == 302
    assert not KnowledgeBase.objects.exists()


def test_no_page_of_an_operator_links_to_a_person(
    operator: Client, knowledge_base: KnowledgeBase, make_document: MakeDocument
) -> None:
    pages: list[Any] = [
        f"{LIST}{make_document().pk}/change/",
        f"/admin/documents/knowledgebase/{knowledge_base.pk}/change/",
    ]
    for address in pages:
        content = operator.get(address).content.decode()
        assert "edith" in content
        assert "/auth/user/" not in content


def test_lists_say_what_they_are_and_why_they_are_empty(operator: Client) -> None:
    content = operator.get("/admin/documents/outage/").content.decode()
    assert "<h1>Outages</h1>" in content
    assert "No service is away." in content


def test_a_dry_run_that_found_nothing_has_nothing_to_apply(operator: Client) -> None:
    def shown(**finding: Any) -> str:
        row = {"check": "message lost", "found": 0, "mended": 0, "skipped": ""} | finding
        moment = timezone.now()
        run = ReconcileRun.objects.create(findings=[row], dry_run=True, finished_at=moment)
        address = f"/admin/documents/reconcilerun/{run.pk}/change/"
        return operator.get(address).content.decode()

    assert "there is nothing to mend" in shown()
    assert "Apply: find again and mend" not in shown()
    assert "Apply: find again and mend" in shown(found=1)
    assert "Apply: find again and mend" in shown(skipped="Qdrant does not answer.")
    assert "2026-11-30 06:52:56 UTC" in shown(since="2026-11-30T06:52:56.069716+0000")
