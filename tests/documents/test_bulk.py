"""The same for many documents: frozen when it is shown, each once, whatever is killed."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.db.models import Count
from django.test import Client
from django.test.utils import CaptureQueriesContext

from documents import bulk, lifecycle
from documents.models import (
    BulkAction,
    BulkSlice,
    Document,
    DocumentEvent,
    KnowledgeBase,
    OutboxMessage,
)
from processing import relay
from tests import many

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]
LIST = "/kb/handbook/"
BULK = "/kb/handbook/bulk"


@pytest.fixture
def slices_of_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "AT_ONCE", 10)
    monkeypatch.setattr(bulk, "SLICE", 10)


@pytest.fixture
def failed(knowledge_base: KnowledgeBase, editor: User) -> Any:
    """35 of them."""
    many.make_documents("failed", 35)
    return Document.objects.filter(status="failed")


def frozen(action: str, documents: Any, by: User) -> BulkAction:
    return bulk.freeze(action, documents, by, "status failed", KnowledgeBase.objects.get())


def requeued() -> dict[int, int]:
    """How many documents were requeued so many times."""
    events = DocumentEvent.objects.filter(kind="requeued").values("document")
    times = events.annotate(times=Count("pk")).values_list("times", flat=True)
    return {number: list(times).count(number) for number in set(times)}


def test_nothing_is_done_before_it_is_confirmed(
    failed: Any, editor: User, slices_of_ten: None
) -> None:
    action = frozen("requeue", failed, editor)
    assert (action.total, BulkSlice.objects.count()) == (35, 4)
    assert not bulk.carry_out_slice()
    assert failed.count() == 35


def test_what_comes_after_it_was_shown_is_not_in_it(
    failed: Any, editor: User, make_document: MakeDocument
) -> None:
    action = frozen("requeue", failed, editor)
    late = make_document("late.md")
    claim = lifecycle.claim(late.pk)
    assert claim
    lifecycle.fail(claim, "encrypted", "It is encrypted.")
    done = bulk.confirm(action)
    assert (done.total, done.done, done.skipped) == (35, 35, 0)
    assert list(failed) == [late]


def test_a_small_set_is_done_at_once_in_few_statements(failed: Any, editor: User) -> None:
    action = frozen("requeue", failed, editor)
    with CaptureQueriesContext(connection) as captured:
        done = bulk.confirm(action)
    assert done.finished_at
    assert len(captured) < 25
    assert requeued() == {1: 35}
    priorities = set(OutboxMessage.objects.values_list("priority", flat=True))
    assert priorities == {OutboxMessage.Priority.INTERACTIVE}


def test_what_the_relays_do_is_cut_into_smaller_slices_than_what_is_done_at_once(
    failed: Any, editor: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "AT_ONCE", 34)
    monkeypatch.setattr(bulk, "SLICE", 8)
    all_but_one = failed.exclude(pk=failed.first().pk)
    for documents, sizes in ((failed, [8, 8, 8, 8, 3]), (all_but_one, [34])):
        action = frozen("requeue", documents, editor)
        slices = BulkSlice.objects.filter(bulk=action).order_by("pk")
        assert [len(each.documents) for each in slices] == sizes


def test_a_large_one_is_done_by_the_relay_in_bulk_slice_by_slice(
    failed: Any, editor: User, slices_of_ten: None, broker: Any
) -> None:
    action = bulk.confirm(frozen("requeue", failed, editor))
    assert (action.done, action.finished_at) == (0, None)
    seen = []
    while bulk.carry_out_slice():
        action.refresh_from_db()
        seen.append(action.done)
    assert seen == [10, 20, 30, 35]
    assert action.finished_at
    assert requeued() == {1: 35}
    priorities = set(OutboxMessage.objects.values_list("priority", flat=True))
    assert priorities == {OutboxMessage.Priority.BULK}
    event = DocumentEvent.objects.filter(kind="requeued").first()
    assert event
    assert event.by == editor


def test_those_that_have_changed_meanwhile_are_skipped_and_counted(
    failed: Any, editor: User, slices_of_ten: None
) -> None:
    action = bulk.confirm(frozen("requeue", failed, editor))
    lifecycle.soft_delete_all(list(failed.values_list("pk", flat=True)[:5]), editor)
    while bulk.carry_out_slice():
        pass
    action.refresh_from_db()
    assert (action.done, action.skipped, action.total) == (30, 5, 35)
    assert "5 had changed meanwhile" in action.says()


def test_a_kill_in_a_slice_repeats_nothing_and_leaves_nothing_out(
    failed: Any, editor: User, slices_of_ten: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    action = bulk.confirm(frozen("requeue", failed, editor))
    assert bulk.carry_out_slice()

    class Killed(BaseException):
        pass

    def kill(name: str) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(bulk, "failpoint", kill)
        with pytest.raises(Killed):
            bulk.carry_out_slice()
    action.refresh_from_db()
    assert action.done == 10
    while bulk.carry_out_slice():
        pass
    action.refresh_from_db()
    assert (action.done, requeued()) == (35, {1: 35})


@pytest.mark.django_db(transaction=True)
def test_of_twelve_clicks_at_the_same_moment_one_does_it(
    knowledge_base: KnowledgeBase, editor: User
) -> None:
    many.make_documents("failed", 35)
    shown = [frozen("requeue", Document.objects.filter(status="failed"), editor) for _ in range(3)]
    clicks = [
        threading.Thread(target=lambda each=each: (bulk.confirm(each), connection.close()))
        for each in shown * 4
    ]
    for click in clicks:
        click.start()
    for click in clicks:
        click.join(30)
    assert requeued() == {1: 35}
    assert OutboxMessage.objects.count() == 35
    assert sum(BulkAction.objects.values_list("done", flat=True)) == 35


@pytest.mark.django_db(transaction=True)
def test_two_relays_share_the_slices_and_the_last_one_ends_it(
    knowledge_base: KnowledgeBase, editor: User, slices_of_ten: None
) -> None:
    many.make_documents("failed", 35)
    action = bulk.confirm(frozen("requeue", Document.objects.filter(status="failed"), editor))

    def carry_out() -> None:
        while bulk.carry_out_slice():
            pass
        connection.close()

    relays = [threading.Thread(target=carry_out) for _ in range(2)]
    for each in relays:
        each.start()
    for each in relays:
        each.join(30)
    action.refresh_from_db()
    assert (action.done, requeued()) == (35, {1: 35})
    assert action.finished_at


@pytest.mark.django_db(transaction=True)
def test_the_relay_carries_out_what_is_confirmed_and_posts_uploads_first(
    knowledge_base: KnowledgeBase, editor: User, make_document: MakeDocument, broker: Any
) -> None:
    many.make_documents("failed", 1500)
    bulk.confirm(frozen("requeue", Document.objects.filter(status="failed"), editor))
    upload = make_document("upload.md")
    stop = threading.Event()
    thread = threading.Thread(target=relay.run, args=[stop])
    thread.start()
    try:
        deadline = threading.Event()
        for _ in range(600):
            if not BulkSlice.objects.exists():
                break
            deadline.wait(0.1)
    finally:
        stop.set()
        thread.join(20)
    assert not BulkSlice.objects.exists()
    assert not OutboxMessage.objects.filter(document=upload).exists(), "it was posted first"
    assert requeued() == {1: 1500}


@pytest.mark.parametrize("action", ["requeue", "unstick", "delete", "restore"])
def test_a_thousand_cost_as_many_statements_as_ten(
    action: str, knowledge_base: KnowledgeBase, editor: User
) -> None:
    many.make_documents("failed", 1010)
    ids = list(Document.objects.values_list("pk", flat=True))
    if action == "restore":
        lifecycle.soft_delete_all(ids, editor)
    counts = []
    frozen_now = frozen(action, Document.objects.none(), editor)
    frozen_now.refresh_from_db()
    assert frozen_now.by == editor
    for some in (ids[:10], ids[10:]):
        part = BulkSlice(bulk=frozen_now, documents=some)
        with CaptureQueriesContext(connection) as captured:
            changed = bulk.ACTS[action](part, frozen_now, OutboxMessage.Priority.BULK)
        assert len(changed) == (0 if action == "unstick" else len(some))
        counts.append(len(captured))
    assert counts[0] == counts[1]


# --- On the page ---------------------------------------------------------------------------------


def press(page: Client, asked: Any) -> Any:
    """Confirm what the page asks."""
    shown = asked.context["bulk"]
    return page.post(BULK, {"action": shown.action, "bulk": shown.pk}, follow=True)


def test_an_editor_does_it_to_all_of_a_list(page: Client, failed: Any) -> None:
    assert "Process again" in page.get(LIST, {"status": "failed"}).content.decode()
    asked = page.post(BULK, {"action": "requeue", "status": "failed"})
    assert "35 documents" in asked.content.decode()
    assert failed.count() == 35
    response = press(page, asked)
    assert "35 of 35 done." in response.content.decode()
    assert requeued() == {1: 35}


def test_a_large_one_shows_its_bar_in_the_list(
    page: Client, failed: Any, slices_of_ten: None
) -> None:
    content = press(page, page.post(BULK, {"action": "delete", "q": "failed 1"})).content.decode()
    assert "Delete 11 documents" in content
    assert "0 of 11 so far." in content
    assert 'hx-trigger="every 2s' in content
    while bulk.carry_out_slice():
        pass
    assert "so far" not in page.get(LIST).content.decode()
    assert Document.objects.exclude(deleted_at=None).count() == 11


def test_a_viewer_and_a_stranger_cannot(
    failed: Any, knowledge_base: KnowledgeBase, make_user: Callable[..., User], editor: User
) -> None:
    action = bulk.freeze("delete", failed, editor, "all", knowledge_base)
    viewer, stranger = make_user("vera"), make_user("sam")
    knowledge_base.membership_set.create(user=viewer, role="viewer")
    for person in (viewer, stranger):
        browser = Client()
        browser.force_login(person)
        for asked in ({"action": "delete"}, {"action": "delete", "bulk": action.pk}):
            assert browser.post(BULK, asked).status_code == 404
    assert failed.live().count() == 35


@pytest.mark.parametrize("lost", ["the role", "the account", "the person", "nothing"])
def test_who_loses_the_right_gets_no_further(
    lost: str,
    failed: Any,
    knowledge_base: KnowledgeBase,
    editor: User,
    slices_of_ten: None,
) -> None:
    action = bulk.confirm(frozen("delete", failed, editor))
    assert bulk.carry_out_slice()
    if lost == "the role":
        knowledge_base.membership_set.filter(user=editor).update(role="viewer")
    elif lost == "the account":
        User.objects.filter(pk=editor.pk).update(is_active=False)
    elif lost == "the person":
        BulkAction.objects.update(by=None)  # as it is left
    while bulk.carry_out_slice():
        pass
    action.refresh_from_db()
    done = 35 if lost == "nothing" else 10
    assert (action.done, action.skipped, bool(action.finished_at)) == (done, 35 - done, True)
    assert Document.objects.exclude(deleted_at=None).count() == done


def test_nor_does_an_operator(
    failed: Any, slices_of_ten: None, make_user: Callable[..., User]
) -> None:
    operator = make_user("oscar", is_staff=True)
    right = Permission.objects.get(codename="change_document", content_type__app_label="documents")
    operator.user_permissions.add(right)
    action = bulk.confirm(bulk.freeze("delete", failed, operator, "all"))
    assert bulk.carry_out_slice()
    operator.user_permissions.clear()
    while bulk.carry_out_slice():
        pass
    action.refresh_from_db()
    assert (action.done, action.skipped) == (10, 25)


def test_nobody_confirms_what_another_was_shown(
    failed: Any, knowledge_base: KnowledgeBase, make_user: Callable[..., User], page: Client
) -> None:
    action = bulk.freeze("delete", failed, make_user("other"), "all", knowledge_base)
    for number in (action.pk, action.pk + 1, "²", "-1", "9" * 19, "9" * 5000):
        assert page.post(BULK, {"action": "delete", "bulk": number}).status_code == 404
    assert failed.live().count() == 35
