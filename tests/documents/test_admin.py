"""The operators' window: it shows what is stuck and why, asks before it acts, and leaves a name."""

import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from documents import lifecycle
from documents.models import (
    ApiToken,
    Document,
    Heartbeat,
    KnowledgeBase,
    Outage,
    OutboxMessage,
    ReconcileRun,
)
from tests.conftest import LONG_AGO, let_lease_expire

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]

LIST = "/admin/documents/document/"
ACTIONS = ["requeue", "requeue_all_stuck", "delete_documents", "restore_documents"]


def names(response: Any) -> set[str]:
    """The documents in the list."""
    return {document.filename for document in response.context["cl"].result_list}


def choose(client: Client, action: str, *documents: Document, **more: Any) -> Any:
    """Tick these documents and press "Go"."""
    data = {"action": action, ACTION_CHECKBOX_NAME: [document.pk for document in documents]}
    return client.post(more.pop("path", LIST), data | more)


def confirm(client: Client, asked: Any, path: str = LIST) -> Any:
    """Press "Yes" on the page that asks: send all its fields back."""
    form = asked.content.decode().partition('<form method="post">')[2].partition("</form>")[0]
    data: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form):
        data.setdefault(name, []).append(value)
    return client.post(path, data, follow=True)


def all_rows() -> list[Any]:
    return [
        *Document.objects.order_by("pk").values(),
        *OutboxMessage.objects.order_by("pk").values(),
        Document.objects.values("events__pk").count(),
    ]


@pytest.fixture
def operator(make_user: Callable[..., User]) -> User:
    """A staff member who may look at documents and change them, and no more."""
    user = make_user("olga", is_staff=True)
    wanted = Permission.objects.filter(
        codename__in=["view_document", "change_document", "view_outboxmessage", "view_reconcilerun"]
    )
    user.user_permissions.set(wanted)
    return user


@pytest.fixture
def client(operator: User) -> Client:
    client = Client()
    client.force_login(operator)
    return client


@pytest.fixture
def root(make_user: Callable[..., User]) -> Client:
    """A superuser's browser."""
    client = Client()
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def pending(make_document: MakeDocument) -> Document:
    return make_document("pending.md")


@pytest.fixture
def failed(make_document: MakeDocument) -> Document:
    document = make_document("failed.md")
    claim = lifecycle.claim(document.pk)
    assert claim
    lifecycle.fail(claim, "encrypted", "It is protected by a password.")
    document.refresh_from_db()
    return document


@pytest.fixture
def ready(make_document: MakeDocument) -> Document:
    document = make_document("ready.md")
    claim = lifecycle.claim(document.pk)
    assert claim
    lifecycle.succeed(claim, [])
    document.refresh_from_db()
    return document


@pytest.fixture
def stuck(make_document: MakeDocument) -> Document:
    """Its worker vanished."""
    document = make_document("stuck.md")
    assert lifecycle.claim(document.pk)
    return let_lease_expire(document)


@pytest.fixture
def deleted(make_document: MakeDocument, editor: User) -> Document:
    document = make_document("deleted.md")
    lifecycle.soft_delete(document.pk, editor)
    return document


# --- the list -----------------------------------------------------------------------------------


def test_the_list_says_of_each_document_why_it_is_not_ready(
    client: Client, pending: Document, failed: Document, stuck: Document, ready: Document
) -> None:
    response = client.get(LIST)
    assert names(response) == {"pending.md", "failed.md", "stuck.md", "ready.md"}
    for sentence in (
        "Waiting: no worker has been seen yet.",
        "It is protected by a password.",
        "Its worker has not been heard of since",
        "Ready since",
    ):
        assert sentence in response.content.decode()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {"pending.md", "failed.md", "stuck.md", "ready.md"}),
        ("?stuck=yes", {"stuck.md"}),
        ("?status__exact=failed", {"failed.md"}),
        ("?failure_code=encrypted", {"failed.md"}),
        ("?failure_code=corrupt", set()),
        ("?deleted=yes", {"deleted.md"}),
        ("?deleted=all", {"pending.md", "failed.md", "stuck.md", "ready.md", "deleted.md"}),
        ("?q=READY", {"ready.md"}),
        ("?q=%00", {"pending.md", "failed.md", "stuck.md", "ready.md"}),
    ],
)
def test_the_list_is_filtered(
    query: str,
    expected: set[str],
    client: Client,
    pending: Document,
    failed: Document,
    stuck: Document,
    ready: Document,
    deleted: Document,
) -> None:
    assert names(client.get(LIST + query)) == expected


def test_a_document_is_stuck_when_nothing_has_happened_for_long(
    client: Client, pending: Document
) -> None:
    assert names(client.get(f"{LIST}?stuck=yes")) == set()
    Document.objects.update(progressed_at=Now() - LONG_AGO, due_at=Now() - LONG_AGO)
    assert names(client.get(f"{LIST}?stuck=yes")) == {"pending.md"}


def test_the_list_is_filtered_by_knowledge_base(client: Client, pending: Document) -> None:
    other = KnowledgeBase.objects.create(name="Other", slug="other")
    for knowledge_base, expected in ((pending.knowledge_base, {"pending.md"}), (other, set())):
        response = client.get(LIST, {"knowledge_base__id__exact": knowledge_base.pk})
        assert names(response) == expected
    for made_up in ("abc", "9" * 30, "²"):
        assert names(client.get(LIST, {"knowledge_base__id__exact": made_up})) == set()


def queries_of(client: Client, path: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        client.get(path)
    return len(captured)


def test_the_queries_of_the_list_do_not_grow_with_it(
    client: Client, make_document: MakeDocument
) -> None:
    make_document("0.md")
    few = queries_of(client, LIST)
    for number in range(1, 20):
        make_document(f"{number}.md")
    assert queries_of(client, LIST) == few


def test_the_queries_of_a_document_do_not_grow_with_its_timeline(
    client: Client, failed: Document, operator: User
) -> None:
    path = f"{LIST}{failed.pk}/change/"
    client.get(path)  # once for what is cached
    few = queries_of(client, path)
    for _ in range(10):
        lifecycle.soft_delete(failed.pk, operator)
        lifecycle.restore(failed.pk, operator)
    assert queries_of(client, path) == few


def test_a_name_is_shown_and_never_run(client: Client, make_document: MakeDocument) -> None:
    document = make_document("<script>alert(1)</script>.md")
    claim = lifecycle.claim(document.pk)
    assert claim
    lifecycle.fail(claim, "corrupt", "<script>alert(2)</script>")
    asked = choose(client, "requeue", document)
    for response in (client.get(LIST), client.get(f"{LIST}{document.pk}/change/"), asked):
        assert b"<script>alert" not in response.content
        assert b"&lt;script&gt;alert(1)" in response.content


# --- a document ---------------------------------------------------------------------------------


def test_a_document_shows_its_timeline(client: Client, failed: Document, editor: User) -> None:
    content = client.get(f"{LIST}{failed.pk}/change/").content.decode()
    assert "It is protected by a password." in content
    kinds = re.findall(r'field-kind">\s*<p>(\w+)</p>', content)
    assert kinds == ["registered", "claimed", "failed"]
    assert editor.username in content


def test_the_history_of_a_document_is_a_page(client: Client, failed: Document) -> None:
    assert client.get(f"{LIST}{failed.pk}/history/").status_code == 200


@pytest.mark.parametrize(
    "model", ["document", "outboxmessage", "reconcilerun"], ids=lambda model: str(model)
)
def test_nothing_is_written_by_hand_not_even_by_a_superuser(
    model: str, root: Client, pending: Document
) -> None:
    ReconcileRun.objects.create()
    row = {
        "document": pending,
        "outboxmessage": OutboxMessage.objects.get(),
        "reconcilerun": ReconcileRun.objects.get(),
    }[model]
    here = f"/admin/documents/{model}/"
    before = all_rows()
    assert root.get(here).status_code == 200
    assert root.get(f"{here}{row.pk}/change/").status_code == 200
    assert root.post(f"{here}{row.pk}/change/", {"status": "ready"}).status_code == 403
    for address in (f"{here}add/", f"{here}{row.pk}/delete/"):
        assert root.get(address).status_code == 403
        assert root.post(address, {"post": "yes"}).status_code == 403
    choose(root, "delete_selected", pending, path=here, post="yes")
    assert all_rows() == before


def test_a_reconcile_run_shows_what_it_found(root: Client) -> None:
    findings = [
        {"check": "abandoned", "found": 3, "mended": 2, "skipped": ""},
        {"check": "points", "found": 0, "mended": 0, "skipped": "Qdrant does not answer <b>"},
    ]
    run = ReconcileRun.objects.create(findings=findings)
    assert b"points" in root.get("/admin/documents/reconcilerun/").content
    content = root.get(f"/admin/documents/reconcilerun/{run.pk}/change/").content.decode()
    assert "abandoned: found 3, mended 2" in content
    assert "Qdrant does not answer &lt;b&gt;" in content


# --- actions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_asks_first_and_changes_nothing(
    action: str, client: Client, failed: Document, stuck: Document, deleted: Document
) -> None:
    before = all_rows()
    response = choose(client, action, failed, path=f"{LIST}?deleted=all")
    assert response.status_code == 200
    assert b"Are you sure?" in response.content
    assert b'name="confirmed"' in response.content
    assert all_rows() == before


def test_a_confirmed_requeue_leaves_the_operators_name(
    client: Client, failed: Document, operator: User
) -> None:
    response = confirm(client, choose(client, "requeue", failed))
    assert "1 of 1 documents requeued." in response.content.decode()
    failed.refresh_from_db()
    assert (failed.status, failed.attempts) == ("pending", 0)
    event = failed.events.last()
    assert event
    assert (event.kind, event.by) == ("requeued", operator)


def test_requeueing_what_hangs_sets_it_going(
    client: Client, stuck: Document, operator: User
) -> None:
    confirm(client, choose(client, "requeue", stuck))
    stuck.refresh_from_db()
    assert stuck.status == "pending"
    event = stuck.events.last()
    assert event
    assert (event.kind, event.by) == ("unstuck", operator)


def test_requeueing_what_is_being_worked_on_does_nothing(client: Client, pending: Document) -> None:
    lifecycle.claim(pending.pk)
    response = confirm(client, choose(client, "requeue", pending))
    assert "0 of 1 documents requeued." in response.content.decode()


def test_all_that_is_stuck_is_requeued_without_a_tick_and_nothing_else(
    client: Client, stuck: Document, failed: Document, pending: Document
) -> None:
    lost = Document.objects.filter(pk=pending.pk)
    lost.update(progressed_at=Now() - LONG_AGO, due_at=Now() - LONG_AGO)
    asked = choose(client, "requeue_all_stuck")
    assert "stuck.md" in asked.content.decode()
    assert "failed.md" not in asked.content.decode()
    response = confirm(client, asked)
    assert "2 of 2 documents requeued." in response.content.decode()
    for document in (stuck, pending, failed):
        document.refresh_from_db()
    assert [stuck.status, pending.status, failed.status] == ["pending", "pending", "failed"]
    assert names(client.get(f"{LIST}?stuck=yes")) == set()


def test_a_confirmed_delete_can_be_restored(
    client: Client, ready: Document, operator: User
) -> None:
    confirm(client, choose(client, "delete_documents", ready))
    ready.refresh_from_db()
    assert ready.deleted_at
    there = f"{LIST}?deleted=yes"
    response = confirm(client, choose(client, "restore_documents", ready, path=there), there)
    assert "1 of 1 documents restored." in response.content.decode()
    ready.refresh_from_db()
    assert (ready.status, ready.deleted_at) == ("ready", None)
    last_two = list(ready.events.values_list("kind", "by__username"))[-2:]
    assert last_two == [("deleted", "olga"), ("restored", "olga")]


def test_what_cannot_be_restored_is_counted_and_hinders_no_other(
    client: Client, deleted: Document, ready: Document, make_document: MakeDocument, operator: User
) -> None:
    make_document("deleted.md")
    lifecycle.soft_delete(ready.pk, operator)
    there = f"{LIST}?deleted=yes"
    response = confirm(
        client, choose(client, "restore_documents", deleted, ready, path=there), there
    )
    assert "1 of 2 documents restored." in response.content.decode()
    ready.refresh_from_db()
    assert ready.deleted_at is None


@pytest.mark.parametrize(
    ("path", "chosen"), [(LIST, "7"), (LIST, "\0"), ("/admin/documents/knowledgebase/", "none")]
)
def test_what_is_no_id_is_a_bad_request(path: str, chosen: str, root: Client) -> None:
    root.raise_request_exception = False
    data = {"action": "requeue", ACTION_CHECKBOX_NAME: chosen}
    assert root.post(path, data).status_code == 400


def test_an_action_on_all_pages_reaches_all(
    client: Client, make_document: MakeDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [make_document(f"{number}.md") for number in range(5)]
    monkeypatch.setattr(admin.site.get_model_admin(Document), "list_per_page", 2)
    response = confirm(client, choose(client, "delete_documents", documents[0], select_across="1"))
    assert "5 of 5 documents deleted." in response.content.decode()


def test_django_s_own_delete_that_knows_no_lifecycle_is_not_offered(
    root: Client, pending: Document
) -> None:
    offered = {value for value, _ in root.get(LIST).context["action_form"].fields["action"].choices}
    assert offered == {"", *ACTIONS}


# --- who ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ACTIONS)
def test_who_may_only_look_is_offered_no_action_and_can_force_none(
    action: str,
    client: Client,
    operator: User,
    failed: Document,
    stuck: Document,
    deleted: Document,
) -> None:
    operator.user_permissions.set(Permission.objects.filter(codename="view_document"))
    before = all_rows()
    assert client.get(LIST).status_code == 200
    for path in (LIST, f"{LIST}?deleted=all"):
        choose(client, action, failed, stuck, deleted, path=path, confirmed="yes")
    assert all_rows() == before


ADMIN = [
    "documents/document",
    "documents/bulkaction", "documents/generation", "documents/knowledgebase",
    "documents/limit",
    "documents/heartbeat",
    "documents/outage", "documents/outboxmessage",
    "documents/reconcilerun", "documents/auditentry",
    "documents/apitoken", "auth/user", "auth/group",
    "axes/accessattempt", "mfa/authenticator",
]  # fmt: skip


@pytest.mark.parametrize("model", ADMIN)
def test_staff_without_permission_sees_nothing(model: str, client: Client, operator: User) -> None:
    operator.user_permissions.clear()
    assert client.get(f"/admin/{model}/").status_code == 403


@pytest.mark.parametrize("path", ["", *[f"{model}/" for model in ADMIN]])
def test_who_is_no_staff_is_sent_to_the_login(path: str, page: Client) -> None:
    response = page.get(f"/admin/{path}")
    assert response.status_code == 302
    assert "/admin/login/" in response.headers["Location"]


def test_the_admin_has_these_models_and_no_others() -> None:
    """Dramatiq's Task is not there: its page trusts HTML, and no table is behind it."""
    registered = {f"{m._meta.app_label}/{m._meta.model_name}" for m in admin.site._registry}
    assert registered == set(ADMIN)


@pytest.mark.parametrize("model", ADMIN)
def test_every_list_and_form_renders(model: str, root: Client, failed: Document) -> None:
    app, name = model.split("/")
    assert root.get(f"/admin/{model}/").status_code == 200
    if name not in (
        "document",
        "outage",
        "outboxmessage",
        "reconcilerun",
        "accessattempt",
        "auditentry",
        "authenticator",
        "bulkaction",
        "heartbeat",
        "generation",
    ):
        assert root.get(reverse(f"admin:{app}_{name}_add")).status_code == 200
    assert root.get("/admin/").status_code == 200


# --- knowledge bases and tokens -----------------------------------------------------------------


def test_knowledge_bases_are_listed_with_their_counts(
    root: Client, pending: Document, failed: Document, ready: Document, deleted: Document
) -> None:
    response = root.get("/admin/documents/knowledgebase/")
    [row] = response.context["cl"].result_list
    counts = (row.document_count, row.ready_count, row.failed_count, row.unfinished_count)
    assert counts == (3, 1, 1, 1)


def test_several_knowledge_bases_are_deleted_with_what_is_in_them(
    root: Client, ready: Document
) -> None:
    other = KnowledgeBase.objects.create(name="Other")
    chosen = {"action": "delete_selected", "_selected_action": [ready.knowledge_base_id, other.pk]}
    asked = root.post("/admin/documents/knowledgebase/", chosen).text
    assert "1 document(s)" in asked
    assert KnowledgeBase.objects.count() == 2
    root.post("/admin/documents/knowledgebase/", chosen | {"post": "yes"})
    assert not KnowledgeBase.objects.exists()


def test_a_token_is_shown_once_and_only_its_hash_is_kept(root: Client, editor: User) -> None:
    path = "/admin/documents/apitoken/"
    response = root.post(f"{path}add/", {"user": editor.pk, "name": "backup"}, follow=True)
    [secret] = set(re.findall(r"lumikb_[\w-]{40,}", response.content.decode()))
    assert ApiToken.user_of(secret) == editor
    token = ApiToken.objects.get()
    assert secret not in str(ApiToken.objects.values().get())
    for address in (path, f"{path}{token.pk}/change/", f"{path}{token.pk}/delete/", "/admin/"):
        content = root.get(address).content.decode()
        assert secret not in content
        assert token.digest not in content


def test_only_a_superuser_makes_a_token_in_anothers_name(
    root: Client, make_user: Callable[..., User]
) -> None:
    olga = make_user("olga", is_staff=True)
    olga.user_permissions.add(Permission.objects.get(codename="add_apitoken"))
    page = Client()
    page.force_login(olga)
    path = "/admin/documents/apitoken/add/"
    page.post(path, {"user": User.objects.get(is_superuser=True).pk, "name": "mine"})
    assert not ApiToken.objects.exists()
    page.post(path, {"user": olga.pk, "name": "mine"})
    assert ApiToken.objects.get().user == olga


def test_a_token_cannot_be_changed_but_revoked(root: Client, editor: User) -> None:
    secret = ApiToken.issue(editor, "backup")
    path = f"/admin/documents/apitoken/{ApiToken.objects.get().pk}/"
    assert root.post(f"{path}change/", {"user": editor.pk, "name": "mine"}).status_code == 403
    root.post(f"{path}delete/", {"post": "yes"})
    assert ApiToken.user_of(secret) is None


def test_a_worker_without_its_sandbox_is_shown(root: Client) -> None:
    warning = "cannot filter the system calls of its parsers"
    Heartbeat.beat(Heartbeat.Kind.WORKER)
    assert warning not in root.get("/admin/").content.decode()
    Heartbeat.beat(Heartbeat.UNFILTERED)
    assert warning in root.get("/admin/").content.decode()
    assert warning in root.get("/admin/documents/heartbeat/").content.decode()
    Heartbeat.objects.update(seen_at=Now() - LONG_AGO)
    assert warning not in root.get("/admin/").content.decode()


def test_an_outage_is_shown_and_an_operator_can_have_it_asked_again(
    root: Client, client: Client, pending: Document
) -> None:
    claim = lifecycle.claim(pending.pk)
    assert claim
    lifecycle.postpone(claim, "the embedding service is not available.", "embedding")
    page = "/admin/documents/outage/"
    assert "the embedding service is not available." in root.get(page).content.decode()
    ticked = {"action": "retry_now", ACTION_CHECKBOX_NAME: ["embedding"]}
    assert client.post(page, ticked).status_code == 403  # may change documents, not this
    assert Outage.objects.open().exists()
    root.post(page, ticked)
    assert not Outage.objects.open().exists()


# --- doors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["operator", "root"])
def test_no_address_leads_to_the_page_of_any_row_of_any_table(
    who: str, request: pytest.FixtureRequest, client: Client, knowledge_base: KnowledgeBase
) -> None:
    """Django's `r/<type>/<id>/` told any staff the slug of every knowledge base."""
    browser = client if who == "operator" else request.getfixturevalue("root")
    for type_id in ContentType.objects.values_list("pk", flat=True):
        for pk in (knowledge_base.pk, 10**12, "x"):
            assert browser.get(f"/admin/r/{type_id}/{pk}/").status_code == 404
    assert browser.get("/admin/r/x/y/").status_code == 404


def test_the_admin_links_to_the_pages_of_what_it_shows(root: Client, pending: Document) -> None:
    for row in (pending, pending.knowledge_base):
        path = reverse(f"admin:documents_{row._meta.model_name}_change", args=[row.pk])
        assert f'href="{row.get_absolute_url()}"' in root.get(path).content.decode()


@pytest.mark.parametrize("path", ["history/", "change/", "delete/", ""])
@pytest.mark.parametrize("model", ["document", "knowledgebase"])
def test_staff_without_permission_cannot_try_which_rows_there_are(
    model: str, path: str, client: Client, operator: User, pending: Document
) -> None:
    operator.user_permissions.clear()
    there = pending.pk if model == "document" else pending.knowledge_base_id
    missing = UUID(int=0) if model == "document" else 10**12
    answers = [
        client.get(f"/admin/documents/{model}/{pk}/{path}", follow=True) for pk in (there, missing)
    ]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert answers[0].content == answers[1].content


def test_the_filter_by_failure_has_no_empty_link(
    client: Client, failed: Document, ready: Document
) -> None:
    content = client.get(LIST).content.decode()
    assert re.findall(r'href="\?failure_code=([^"]*)"[^>]*>([^<]*)<', content) == [
        ("encrypted", "encrypted")
    ]
