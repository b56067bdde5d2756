"""The page of one document in the admin: what can be done with it, and who has looked at it."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.test import Client

from documents import lifecycle
from documents.models import (
    AuditEntry,
    Document,
    DocumentError,
    KnowledgeBase,
    Limit,
    OutboxMessage,
)
from documents.roles import make_groups
from processing import actors

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]


@pytest.fixture
def browser_of(make_user: Callable[..., User]) -> Callable[[str], Client]:
    """A browser in which a member of one of the groups that ship is logged in."""

    def browser(group: str) -> Client:
        make_groups(apps, None)
        user = make_user(group.lower(), is_staff=True)
        user.groups.add(Group.objects.get(name=group))
        client = Client()
        client.force_login(user)
        return client

    return browser


@pytest.fixture
def operator(browser_of: Callable[[str], Client]) -> Client:
    return browser_of("Operators")


def page_of(document: Document) -> str:
    return f"/admin/documents/document/{document.pk}/change/"


def buttons(client: Client, document: Document) -> set[str]:
    content = client.get(page_of(document)).content.decode()
    return set(re.findall(r'name="action" value="(\w+)"', content))


def press(client: Client, document: Document, action: str, **more: str) -> Any:
    path = f"/admin/documents/document/{document.pk}/act/"
    return client.post(path, {"action": action} | more, follow=True)


def confirm(client: Client, document: Document, action: str) -> str:
    """Press the button, and "Yes" on the page that asks; what the page says then."""
    before = Document.objects.filter(pk=document.pk).values().get()
    asked = press(client, document, action).content.decode()
    assert "Are you sure?" in asked
    assert 'name="confirmed" value="yes"' in asked
    assert Document.objects.filter(pk=document.pk).values().get() == before
    content: str = press(client, document, action, confirmed="yes").content.decode()
    document.refresh_from_db()
    return content


def fail(document: Document) -> Document:
    claim = lifecycle.claim(document.pk)
    assert claim
    lifecycle.fail(claim, "corrupt", "It is damaged.")
    document.refresh_from_db()
    return document


# --- What can be done -----------------------------------------------------------------------------


def test_the_buttons_are_those_that_can_be_pressed(
    operator: Client, make_document: MakeDocument, editor: User
) -> None:
    pending, failed, deleted = (make_document(f"{name}.md") for name in "abc")
    fail(failed)
    lifecycle.soft_delete(deleted.pk, editor)
    assert buttons(operator, pending) == {"requeue", "give_up", "delete"}
    assert buttons(operator, failed) == {"requeue", "delete"}
    assert buttons(operator, deleted) == {"restore", "purge"}
    lifecycle.purge_now(deleted.pk, editor)
    assert buttons(operator, deleted) == set()


def test_a_requeue_needs_no_question(operator: Client, make_document: MakeDocument) -> None:
    document = fail(make_document("a.md"))
    said = press(operator, document, "requeue").content.decode()
    assert "“a.md” is processed again, with all its tries." in said
    document.refresh_from_db()
    assert document.status == "pending"
    assert press(operator, document, "requeue").status_code == 200  # what waits is set going


def test_who_is_given_up_is_failed_and_its_worker_learns_of_it(
    operator: Client, make_document: MakeDocument
) -> None:
    document = make_document("a.md")
    claim = lifecycle.claim(document.pk)
    assert claim
    assert "“a.md” is given up." in confirm(operator, document, "give_up")
    assert (document.status, document.failure_code) == ("failed", "given_up")
    assert document.lease_expires_at is None
    assert document.is_worth_another_try
    assert not lifecycle.succeed(claim, [])
    assert not lifecycle.renew([claim])
    assert lifecycle.requeue(document.pk)


def test_what_is_done_already_is_said(
    operator: Client, make_document: MakeDocument, editor: User
) -> None:
    document = fail(make_document("a.md"))
    assert "has changed meanwhile" in confirm(operator, document, "give_up")
    lifecycle.soft_delete(document.pk, editor)
    make_document("a.md")
    assert "Another document has its name" in press(operator, document, "restore").content.decode()


def test_a_limit_holds_for_who_restores_too(
    operator: Client, make_ready: MakeDocument, editor: User, knowledge_base: KnowledgeBase
) -> None:
    document = make_ready("a.md")
    lifecycle.soft_delete(document.pk, editor)
    Limit.objects.create(knowledge_base=knowledge_base, documents=0)
    assert "may have 0" in press(operator, document, "restore").content.decode()
    chosen = {"action": "restore_documents", "_selected_action": [document.pk], "confirmed": "yes"}
    there = "/admin/documents/document/?deleted=yes"
    said = operator.post(there, chosen, follow=True).content.decode()
    assert "0 of 1 documents restored. 1 found no room, or had changed meanwhile." in said
    document.refresh_from_db()
    assert document.deleted_at


def test_a_deleted_document_is_purged_at_once_and_never_comes_back(
    operator: Client, make_ready: MakeDocument, editor: User
) -> None:
    document = make_ready("a.md")
    assert not lifecycle.purge_now(document.pk, editor)  # not while it is live
    confirm(operator, document, "delete")
    assert "being removed for good" in confirm(operator, document, "purge")
    assert not lifecycle.restore(document.pk, editor)
    assert not lifecycle.purge_now(document.pk, editor)
    [message] = OutboxMessage.objects.filter(document=document, action="purge")
    assert message.due_at <= message.created_at  # not after PURGE_AFTER
    actors.purge.fn(str(document.pk))
    document.refresh_from_db()
    assert document.purged_at
    assert document.chunk_set.count() == 0


def test_what_is_replaced_is_not_purged_while_search_needs_it(
    make_ready: MakeDocument, make_document: MakeDocument, editor: User
) -> None:
    old = make_ready("a.md")
    new = Document(
        knowledge_base=old.knowledge_base, filename="a.md", content_type="text/markdown",
        size=1, sha256="0" * 64, uploaded_by=editor,
    )  # fmt: skip
    assert lifecycle.replace(old, new)
    assert not lifecycle.purge_now(old.pk, editor)
    old.refresh_from_db()
    assert old.purging_at is None


def test_an_unknown_button_does_nothing(operator: Client, make_document: MakeDocument) -> None:
    document = make_document("a.md")
    before = Document.objects.values().get()
    assert press(operator, document, "explode", confirmed="yes").status_code == 200
    assert operator.get(f"/admin/documents/document/{document.pk}/act/").status_code == 302
    assert Document.objects.values().get() == before


@pytest.mark.parametrize("role", ["Auditors", "Operators"])
def test_who_operates_or_audits_sees_the_groups_of_a_knowledge_base(
    role: str, browser_of: Callable[[str], Client], knowledge_base: KnowledgeBase
) -> None:
    readers = Group.objects.create(name="Readers of the archive")
    knowledge_base.groupmembership_set.create(group=readers, role="viewer")
    there = f"/admin/documents/knowledgebase/{knowledge_base.pk}/change/"
    assert "Readers of the archive" in browser_of(role).get(there).text


def test_an_auditor_has_no_buttons_and_cannot_press_them(
    browser_of: Callable[[str], Client], make_document: MakeDocument
) -> None:
    auditor = browser_of("Auditors")
    document = make_document("a.md")
    assert buttons(auditor, document) == set()
    for action in ("requeue", "give_up", "delete", "purge", "restore"):
        assert press(auditor, document, action, confirmed="yes").status_code == 403
    assert auditor.get(f"/admin/documents/document/{document.pk}/original").status_code == 403


# --- What is seen ---------------------------------------------------------------------------------


def test_that_an_operator_looked_at_it_is_written_down(
    operator: Client, make_document: MakeDocument
) -> None:
    document = make_document("a.md", b"# Secret\n")
    path = f"/admin/documents/document/{document.pk}"
    operator.get(f"{path}/change/")
    operator.get(f"{path}/errors.txt")
    answer = operator.get(f"{path}/original")
    assert answer.getvalue() == b"# Secret\n"
    seen = AuditEntry.objects.filter(document_id=document.pk, person="operators").order_by("pk")
    assert list(seen.values_list("action", "detail")) == [
        ("read", "in the admin: its page"),
        ("read", "in the admin: its errors"),
        ("downloaded", "in the admin: original"),
    ]
    assert operator.get(f"/documents/{document.pk}/").status_code == 404  # no member


def test_its_errors_are_downloaded_with_their_tracebacks(
    operator: Client, make_document: MakeDocument
) -> None:
    document = make_document("a.md")
    path = f"/admin/documents/document/{document.pk}/errors.txt"
    assert "Nothing is kept" in operator.get(path).content.decode()
    for number in range(12):
        DocumentError.keep(document.pk, f"failed {number}\nTraceback (most recent call last): ...")
    answer = operator.get(path)
    text = answer.content.decode()
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert answer["Content-Disposition"].startswith("attachment")
    assert re.findall(r"failed (\d+)", text) == [str(number) for number in range(11, 1, -1)]
    assert "Traceback" in text


def test_its_messages_and_what_it_waits_for_are_on_its_page(
    operator: Client, make_document: MakeDocument
) -> None:
    document = make_document("a.md")
    content = operator.get(page_of(document)).content.decode()
    assert "Messages that wait" in content
    assert re.search(r'field-action">\s*<p>Process</p>', content)
    assert "Waiting: no worker has been seen yet." in content
    assert "View on site" not in content  # which would be 404 for them
