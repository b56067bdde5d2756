"""The audit: each deed of a person is one line, which nobody who serves people can change."""

import json
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection, transaction
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext

from documents import audit, lifecycle
from documents.models import AuditEntry, Document, DocumentEvent, KnowledgeBase, Membership

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]
LIST = "/admin/documents/auditentry/"


def lines(**which: Any) -> list[tuple[str, str, str]]:
    """Who, what and about what, the oldest first."""
    found = AuditEntry.objects.filter(**which).order_by("pk")
    return list(found.values_list("person", "action", "what"))


@pytest.fixture
def root(make_user: Callable[..., User]) -> Client:
    """A superuser's browser."""
    client = Client()
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    return client


# --- What is written down -------------------------------------------------------------------------


def test_what_a_person_does_with_a_document_is_one_line_each(
    make_document: MakeDocument, editor: User
) -> None:
    document = make_document("a.md")
    lifecycle.rename(document.pk, editor, "a.md")
    lifecycle.soft_delete(document.pk, editor)
    lifecycle.restore(document.pk, editor)
    claim = lifecycle.claim(document.pk)
    assert claim
    lifecycle.fail(claim, "corrupt", "It is damaged.")
    lifecycle.requeue(document.pk, editor)
    lifecycle.unstick(document, editor)
    lifecycle.abort(document.pk, editor)
    lifecycle.soft_delete(document.pk, editor)
    lifecycle.purge_now(document.pk, editor)
    deeds = [
        "uploaded",
        "renamed",
        "deleted",
        "restored",
        "requeued",
        "unstuck",
        "given_up",
        "deleted",
        "purged",
    ]
    assert lines(document_id=document.pk) == [("edith", deed, "a.md") for deed in deeds]
    assert lines(knowledge_base_id=document.knowledge_base_id) == lines(person_id=editor.pk)
    assert {deed for _, deed, _ in lines()} <= set(AuditEntry.Action.values)


def test_what_the_machinery_does_is_no_line(make_document: MakeDocument) -> None:
    document = make_document("a.md")
    before = lines()
    claim = lifecycle.claim(document.pk)
    assert claim
    lifecycle.succeed(claim, [])
    lifecycle.requeue(document.pk)
    assert lines() == before


def test_many_events_in_one_statement_are_a_line_each(
    make_document: MakeDocument, editor: User
) -> None:
    documents = [make_document(f"{number}.md") for number in range(3)]
    DocumentEvent.objects.bulk_create(
        DocumentEvent(document=each, kind="requeued", epoch=0, by=editor) for each in documents
    )
    assert [what for _, _, what in lines(action="requeued")] == ["0.md", "1.md", "2.md"]


def test_a_line_costs_an_upload_no_statement(make_document: MakeDocument) -> None:
    make_document("a.md")
    with CaptureQueriesContext(connection) as captured:
        make_document("b.md")
    assert len(lines(action="uploaded")) == 2
    assert not [query for query in captured if "audit" in query["sql"]]


def test_a_line_outlives_what_it_tells_of(make_document: MakeDocument, editor: User) -> None:
    document = make_document("a.md")
    before = lines()
    Document.objects.filter(pk=document.pk).delete()
    KnowledgeBase.objects.all().delete()
    User.objects.all().delete()
    assert lines() == before


def test_who_reads_and_who_downloads_is_written_down_once(
    page: Client, api: Callable[[User], Client], editor: User, make_document: MakeDocument
) -> None:
    document = make_document("a.md")
    page.get(f"/documents/{document.pk}/")
    page.get(f"/documents/{document.pk}/", headers={"HX-Request": "true"})  # the page asks itself
    page.head(f"/documents/{document.pk}/")
    page.get(f"/documents/{document.pk}/content")
    api(editor).get(f"/api/v1/documents/{document.pk}/content")
    page.get("/documents/00000000-0000-0000-0000-000000000000/")
    deeds = [deed for _, deed, _ in lines(document_id=document.pk)]
    assert deeds == ["uploaded", "read", "downloaded", "downloaded"]


def test_a_download_of_what_is_missing_is_none(page: Client, make_document: MakeDocument) -> None:
    document = make_document("a.md")
    default_storage.delete(document.storage_key)
    assert page.get(f"/documents/{document.pk}/content").status_code == 410
    assert lines(action="downloaded") == []


@pytest.mark.parametrize("words", [False, True])
def test_a_search_is_counted_and_its_words_only_kept_if_that_is_wanted(
    words: bool, page: Client, api: Any, editor: User, make_ready: MakeDocument, settings: Any
) -> None:
    settings.AUDIT_SEARCH_WORDS = words
    document = make_ready("a.md")
    page.get("/search/", {"q": "heron", "kb": "handbook"})
    body = json.dumps({"query": "heron"})
    api(editor).post("/api/v1/search", body, content_type="application/json")
    page.get("/search/")  # the empty form
    details = list(AuditEntry.objects.filter(action="searched").values_list("detail", flat=True))
    assert details == (["1 shown: heron"] * 2 if words else ["1 shown"] * 2)
    about = AuditEntry.objects.filter(action="searched").order_by("pk")
    assert [each.knowledge_base_id for each in about] == [document.knowledge_base_id, None]


def test_logins_are_written_down_and_failed_ones_in_whose_name(
    make_user: Callable[..., User],
) -> None:
    user = make_user("edith")
    browser = Client()
    browser.post("/login/", {"username": "edith", "password": "wrong"})
    browser.post("/login/", {"username": "my-secret-passphrase", "password": "edith"})
    browser.post("/login/", {"username": "a\x00b", "password": "x"})
    browser.post("/login/", {"username": "edith", "password": "right-horse-1"})
    browser.post("/logout/")
    assert lines() == [
        ("edith", "login_failed", ""),
        ("", "login_failed", "a name that nobody has"),
        ("edith", "logged_in", ""),
        ("edith", "logged_out", ""),
    ]
    assert not AuditEntry.objects.filter(what__contains="secret").exists()
    assert AuditEntry.objects.filter(person_id=user.pk).count() == 3
    assert set(AuditEntry.objects.values_list("detail", flat=True)) == {"from 127.0.0.1"}


def test_what_is_changed_in_the_admin_is_a_line(
    root: Client, editor: User, knowledge_base: KnowledgeBase
) -> None:
    membership = Membership.objects.get()
    form = {
        "name": "Handbook",
        "groupmembership_set-TOTAL_FORMS": "0",
        "groupmembership_set-INITIAL_FORMS": "0",
        "membership_set-TOTAL_FORMS": "1",
        "membership_set-INITIAL_FORMS": "1",
        "membership_set-0-id": str(membership.pk),
        "membership_set-0-knowledge_base": str(knowledge_base.pk),
        "membership_set-0-user": str(editor.pk),
        "membership_set-0-role": "viewer",
    }
    path = f"/admin/documents/knowledgebase/{knowledge_base.pk}/change/"
    assert root.post(path, form).status_code == 302
    root.post("/admin/auth/group/add/", {"name": "Readers"})
    shared, changed = (
        AuditEntry.objects.filter(person="root").exclude(action="logged_in").order_by("pk")
    )
    assert (shared.action, shared.knowledge_base_id) == ("shared", knowledge_base.pk)
    assert "edith (viewer)" in shared.detail
    assert (changed.action, changed.what) == ("changed", "group: Readers")
    shown = root.get(LIST).content.decode()
    assert "changed; changed membership edith (viewer) (Role)" in shown
    assert "group: Readers" in shown


def test_a_new_name_or_description_of_a_knowledge_base_is_a_line(
    page: Client, api: Any, editor: User, knowledge_base: KnowledgeBase
) -> None:
    Membership.objects.update(role="owner")
    client, url = api(editor), "/api/v1/knowledge-bases/handbook"
    for change in ({"name": "Manual"}, {"name": "Manual"}, {"description": "Secret."}):
        assert client.patch(url, change, "application/json").status_code == 200
    about = {"name": "Guide", "description": ""}
    for _ in range(2):
        assert page.post("/kb/handbook/about/", about).status_code == 302
    told = AuditEntry.objects.filter(action="changed", person="edith").order_by("pk")
    assert list(told.values_list("what", "detail")) == [
        ("Manual", "renamed from “Handbook”"),
        ("Manual", "described anew"),
        ("Guide", "renamed from “Manual”, described anew"),
    ]
    assert {each.knowledge_base_id for each in told} == {knowledge_base.pk}


def test_a_documents_other_tags_are_a_line_of_each(
    page: Client, api: Any, editor: User, make_document: MakeDocument
) -> None:
    a, b = make_document("a.md"), make_document("b.md", tags=["new"])
    api(editor).patch(f"/api/v1/documents/{a.pk}", {"tags": ["x", "y"]}, "application/json")
    page.post(f"/documents/{a.pk}/tags", {"tags": "y, X"})  # as they are
    page.post(f"/documents/{a.pk}/tags", {"tags": ""})
    for action in ("tag", "tag", "untag", "untag"):
        ticked = {"action": action, "id": [str(a.pk), str(b.pk)], "tags": "new"}
        page.post("/kb/handbook/selection", ticked)
    told = AuditEntry.objects.filter(action="changed", person="edith").order_by("pk")
    assert list(told.values_list("document_id", "what", "detail")) == [
        (a.pk, "a.md", "tags: x, y"),
        (a.pk, "a.md", "tags: none"),
        (a.pk, "a.md", "tagged: new"),
        *sorted((each.pk, each.filename, "untagged: new") for each in (a, b)),
    ]


# --- That nobody changes it -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.update(person="somebody else"),
        lambda rows: rows.delete(),
        lambda rows: rows._raw_delete(rows.db),
    ],
    ids=["update", "delete", "raw delete"],
)
def test_the_web_cannot_change_a_line(change: Any, editor: User) -> None:
    audit.record("read", editor, what="x")
    with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
        change(AuditEntry.objects.all())
    assert lines(what="x") == [("edith", "read", "x")]


def test_a_migration_takes_the_right_to_change_a_line_away(owner: Any) -> None:
    """Where `grants.sql` was run before there was a table, as in every new installation."""
    migration = import_module("documents.migrations.0014_audit")
    owner.execute("GRANT UPDATE, DELETE ON documents_auditentry TO lumikb_web")
    owner.execute(migration.APPEND_ONLY)
    owner.execute("GRANT TRUNCATE ON documents_auditentry TO lumikb_web")  # empties the tests'
    for right in ("UPDATE", "DELETE", "INSERT"):
        [(has,)] = owner.execute(
            "SELECT has_table_privilege('lumikb_web', 'documents_auditentry', %s)", [right]
        )
        assert has == (right == "INSERT")


def test_nobody_changes_a_line_in_the_admin_either(root: Client) -> None:
    audit.record("read", None, what="x")
    pk = AuditEntry.objects.get(what="x").pk
    for path in (f"{LIST}add/", f"{LIST}{pk}/delete/"):
        assert root.post(path, {"post": "yes"}).status_code == 403
    assert root.post(f"{LIST}{pk}/change/", {"what": "y"}).status_code == 403


def test_what_is_too_old_is_chosen_by_its_age(editor: User, settings: Any) -> None:
    """That the reconciler removes it is in tests/processing/test_reconcile_requests.py."""
    settings.AUDIT_DAYS = 10
    AuditEntry.objects.create(action="read", what="old", at=Now() - timedelta(days=11))
    AuditEntry.objects.create(action="read", what="new", at=Now() - timedelta(days=9))
    assert list(AuditEntry.objects.over().values_list("what", flat=True)) == ["old"]


# --- That operators find it -----------------------------------------------------------------------


@pytest.fixture
def told(make_document: MakeDocument, make_user: Callable[..., User]) -> Document:
    """Lines of two people, about two documents and more."""
    document = make_document("a.md")
    make_document("b.md")
    other = make_user("otto")
    audit.record("read", other, document)
    audit.record("searched", other)
    return document


def shown(client: Client, query: dict[str, Any]) -> set[tuple[str, str]]:
    response = client.get(LIST, query)
    return {(each.person, each.action) for each in response.context["cl"].result_list}


def test_it_is_found_by_person_document_and_knowledge_base(root: Client, told: Document) -> None:
    user = User.objects.get(username="otto")
    of_otto = {("otto", "read"), ("otto", "searched")}
    of_document = {("edith", "uploaded"), ("otto", "read")}
    assert (
        shown(root, {"q": "otto"})
        == shown(root, {"q": "Otto"})
        == shown(root, {"person_id": user.pk})
        == of_otto
    )
    assert shown(root, {"q": str(told.pk)}) == shown(root, {"document_id": told.pk}) == of_document
    assert shown(root, {"q": "handbook"}) == of_document
    assert shown(root, {"q": "nobody"}) == shown(root, {"q": "ott"}) == set()
    assert shown(root, {"action__exact": "searched"}) == {("otto", "searched")}
    assert shown(root, {"within": "1", "q": "otto"}) == of_otto
    assert shown(root, {"q": "%00\x00"}) >= of_otto


def test_it_is_exported_as_it_is_filtered_and_that_is_a_line(root: Client, told: Document) -> None:
    answer = root.get(f"{LIST}export/", {"document_id": told.pk})
    assert answer["Content-Type"] == "application/x-ndjson"
    exported = [json.loads(line) for line in answer.getvalue().decode().splitlines()]
    assert [each["action"] for each in exported] == ["read", "uploaded"]
    assert exported[0] | {"at": ""} == {
        "at": "", "action": "read", "person": "otto", "document_id": str(told.pk),
        "person_id": User.objects.get(username="otto").pk, "detail": "", "what": "a.md",
        "knowledge_base_id": told.knowledge_base_id,
    }  # fmt: skip
    assert lines(action="exported") == [("root", "exported", "audit")]


def test_an_export_of_nobody_that_there_can_be_leads_back_to_the_list(root: Client) -> None:
    answer = root.get(f"{LIST}export/", {"person_id": "abc"})
    assert (answer.status_code, answer.url) == (302, LIST)  # type: ignore[attr-defined]


def test_an_export_has_each_line_once_over_its_pages(
    root: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("documents.audit.PAGE", 3)
    moment = AuditEntry.objects.create(action="read", what="0").at
    for number in range(1, 10):  # of one moment, as of one transaction
        AuditEntry.objects.create(action="read", what=str(number), at=moment)
    answer = root.get(f"{LIST}export/", {"action__exact": "read"})
    whats = [json.loads(line)["what"] for line in answer.getvalue().decode().splitlines()]
    assert whats == [str(number) for number in range(9, -1, -1)]


def test_too_long_an_export_is_not_cut_in_silence(
    root: Client, told: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("documents.admin.audit.MOST_EXPORTED", 1)
    answer = root.get(f"{LIST}export/", {"document_id": told.pk}, follow=True)
    assert "More than 1 lines: choose" in answer.content.decode()
    assert lines(action="exported") == []


def test_a_name_in_a_line_is_shown_and_never_run(root: Client, editor: User) -> None:
    audit.record("read", editor, what="<script>alert(1)</script>", detail="[<b>")
    content = root.get(LIST).content
    assert b"<script>alert" not in content
    assert b"&lt;script&gt;alert(1)" in content


def test_it_is_exported_by_command_too(told: Document, capsys: pytest.CaptureFixture[str]) -> None:
    AuditEntry.objects.create(action="read", what="old", at=Now() - timedelta(days=3))
    call_command("export_audit", "--days", "2")
    whats = [json.loads(line)["what"] for line in capsys.readouterr().out.splitlines()]
    assert whats == list(AuditEntry.objects.exclude(what="old").values_list("what", flat=True))
    call_command("export_audit")
    assert '"what": "old"' in capsys.readouterr().out


@pytest.mark.parametrize("days", ["999999999", "9999999999999", "0", "-3", "1.5", "ten", ""])
def test_a_number_of_days_that_is_none_is_refused_with_a_sentence(days: str) -> None:
    with pytest.raises(CommandError, match="is no number of days: they are 1 to 36500"):
        call_command("export_audit", "--days", days)


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "1e99", "soon"])
@pytest.mark.parametrize(
    "command",
    [
        ["reconcile", "--every"],
        ["reembed", "--for"],
        ["import_documents", "handbook", ".", "--watch", "--every"],
    ],
    ids=lambda command: command[0],
)
def test_a_number_of_seconds_that_is_none_is_refused_too(command: list[str], seconds: str) -> None:
    with pytest.raises(CommandError, match="is no number of seconds: they are 0 to"):
        call_command(*command, seconds)


def test_who_makes_a_knowledge_base_is_written_down(page: Client, api: Any, editor: User) -> None:
    page.post("/", {"name": "New"})
    api(editor).post("/api/v1/knowledge-bases", {"name": "Newer"}, content_type="application/json")
    made = AuditEntry.objects.filter(action="changed", detail="made").order_by("pk")
    assert list(made.values_list("person", "what")) == [("edith", "New"), ("edith", "Newer")]
    assert all(KnowledgeBase.objects.filter(pk=each.knowledge_base_id).exists() for each in made)
