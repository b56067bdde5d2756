"""How much a person and a knowledge base may have: exact, however many come at once."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext

from documents import bulk, counts, lifecycle, limits, uploads
from documents.models import Document, KnowledgeBase, Limit, Membership, UploadUnderWay
from documents.refusals import Refused
from documents.roles import make_groups
from tests.conftest import process
from tests.documents.test_races import in_thread, objects, uncommitted, wait_until_blocked

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]
Upload = Callable[..., Any]
DOCUMENTS = "/api/v1/knowledge-bases/handbook/documents"
NOTES = b"The heron nests in April.\n"


@pytest.fixture
def upload(api: Callable[[User], Client], editor: User) -> Upload:
    client = api(editor)

    def upload(name: str = "new.md", content: bytes = NOTES, base: str = "handbook") -> Any:
        return client.post(
            f"/api/v1/knowledge-bases/{base}/documents",
            {"file": SimpleUploadedFile(name, content)},
        )

    return upload


def refused(answer: Any) -> tuple[int, str, str, str]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["details"]["limit"], error["details"]["of"]


# --- Each limit -----------------------------------------------------------------------------------


@pytest.mark.parametrize("whose", ["PERSON_LIMITS", "KNOWLEDGE_BASE_LIMITS"])
@pytest.mark.parametrize(
    ("most", "status"),
    [({"documents": 2}, 409), ({"bytes": 2 * len(NOTES)}, 409), ({"waiting": 2}, 429)],
)
def test_as_many_as_there_may_be_and_not_one_more(
    whose: str, most: dict[str, int], status: int, upload: Upload, settings: Any
) -> None:
    setattr(settings, whose, most)
    assert [upload(f"{n}.md").status_code for n in range(2)] == [201, 201]
    stored = len(objects())
    answer = upload()
    of = "person" if whose == "PERSON_LIMITS" else "knowledge base"
    assert refused(answer) == (status, "limit_reached", *most, of)
    message = answer.json()["error"]["message"]
    assert message.startswith("You" if of == "person" else "This knowledge base")
    assert "Nothing was kept" in message
    assert ("Retry-After" in answer.headers) == (status == 429)
    assert (Document.objects.count(), len(objects())) == (2, stored)


def test_a_larger_file_than_there_is_room_for(upload: Upload, settings: Any) -> None:
    settings.PERSON_LIMITS = {"bytes": 100}
    assert upload("small.md", b"x" * 60).status_code == 201
    assert upload("large.md", b"x" * 41).status_code == 409
    assert upload("fits.md", b"x" * 40).status_code == 201


def test_what_is_done_waits_no_more_and_what_failed_neither(
    upload: Upload, editor: User, settings: Any
) -> None:
    settings.PERSON_LIMITS = {"waiting": 1}
    assert upload("a.md").status_code == 201
    assert upload("b.md").status_code == 429
    process(Document.objects.get())
    assert upload("b.md").status_code == 201
    lifecycle.abort(Document.objects.get(filename="b.md").pk, editor)
    assert upload("c.md").status_code == 201


def test_deleted_documents_make_room(upload: Upload, editor: User, settings: Any) -> None:
    settings.PERSON_LIMITS = {"documents": 1}
    assert upload("a.md").status_code == 201
    assert upload("b.md").status_code == 409
    lifecycle.soft_delete(Document.objects.get().pk, editor)
    assert upload("b.md").status_code == 201


def test_it_is_right_before_and_after_the_numbers_are_added_up(
    upload: Upload, settings: Any
) -> None:
    settings.PERSON_LIMITS = settings.KNOWLEDGE_BASE_LIMITS = {"documents": 3}
    assert upload("a.md").status_code == 201
    counts.add_up()
    assert upload("b.md").status_code == 201
    assert upload("c.md").status_code == 201
    assert upload("d.md").status_code == 409
    counts.add_up()
    assert upload("d.md").status_code == 409


def test_a_persons_are_those_of_all_knowledge_bases_and_nobody_elses(
    upload: Upload, editor: User, make_document: MakeDocument, settings: Any
) -> None:
    settings.PERSON_LIMITS = {"documents": 2}
    other = KnowledgeBase.objects.create(name="Other", slug="other")
    other.membership_set.create(user=editor, role="editor")
    for number in range(5):
        make_document(f"{number}.md", uploaded_by=None)
    assert upload("a.md").status_code == 201
    assert upload("a.md", base="other").status_code == 201
    assert upload("b.md").status_code == 409
    assert upload("b.md", base="other").status_code == 409


def test_a_knowledge_bases_are_everybodys_and_no_other_ones(
    upload: Upload, editor: User, make_document: MakeDocument, settings: Any
) -> None:
    settings.KNOWLEDGE_BASE_LIMITS = {"documents": 1}
    other = KnowledgeBase.objects.create(name="Other", slug="other")
    other.membership_set.create(user=editor, role="editor")
    make_document(uploaded_by=None)
    assert upload("a.md").status_code == 409
    assert upload("a.md", base="other").status_code == 201


def test_a_duplicate_is_called_one_also_when_there_is_no_room(
    upload: Upload, settings: Any
) -> None:
    settings.PERSON_LIMITS = {"documents": 1}
    assert upload("a.md").status_code == 201
    assert upload("a.md").json()["error"]["code"] == "duplicate_filename"


# --- Who may have more, or less -------------------------------------------------------------------


def test_the_admin_says_otherwise_of_one(
    upload: Upload, editor: User, knowledge_base: KnowledgeBase, settings: Any
) -> None:
    settings.PERSON_LIMITS = {"documents": 1, "waiting": 2}
    Limit.objects.create(user=editor, documents=1000)
    assert [upload(f"{n}.md").status_code for n in range(2)] == [201, 201]
    assert refused(upload())[2] == "waiting"  # that one is as for all
    Limit.objects.update(waiting=1000)
    assert upload().status_code == 201
    Limit.objects.create(knowledge_base=knowledge_base, documents=3)
    assert refused(upload("x.md"))[2:] == ("documents", "knowledge base")


def test_another_persons_and_another_knowledge_bases_do_not_count(
    upload: Upload, make_user: Callable[..., User]
) -> None:
    Limit.objects.create(user=make_user("other"), documents=0)
    Limit.objects.create(knowledge_base=KnowledgeBase.objects.create(name="Other"), documents=0)
    assert upload().status_code == 201


def test_an_operator_sets_it_by_name(
    make_user: Callable[..., User], editor: User, knowledge_base: KnowledgeBase
) -> None:
    make_groups(apps, None)
    operator = make_user("olga", is_staff=True)
    operator.groups.add(Group.objects.get(name="Operators"))
    admin = Client()
    admin.force_login(operator)
    add = "/admin/documents/limit/add/"
    assert admin.post(add, {"person": "edith", "documents": "5"}).status_code == 302
    assert admin.post(add, {"base": "handbook", "bytes": "99"}).status_code == 302
    said = {(str(each), each.documents, each.bytes) for each in Limit.objects.all()}
    assert said == {("edith", 5, None), ("Handbook", None, 99)}
    for wrong, why in (
        ({"person": "edith", "documents": "6"}, "already"),
        ({"person": "nobody"}, "Nobody here"),
        ({"base": "nothing"}, "There is no knowledge base"),
        ({"base": "Hand"}, "handbook  (Handbook)"),
        ({"person": "olga"}, "Say at least one number"),
        ({}, "Choose a person or a knowledge base"),
        ({"person": "olga", "base": "handbook"}, "Choose a person or a knowledge base"),
    ):
        answer = admin.post(add, wrong)
        assert answer.status_code == 200
        assert why in answer.text
    assert Limit.objects.count() == 2
    here = f"/admin/documents/limit/{Limit.objects.get(user=editor).pk}/change/"
    assert 'value="edith"' in admin.get(here).text
    assert admin.post(here, {"person": "edith", "documents": "7"}).status_code == 302
    assert Limit.objects.get(user=editor).documents == 7
    for page in ("", "add/"):
        assert admin.get(f"/admin/documents/limit/{page}").status_code == 200


# --- What else adds -------------------------------------------------------------------------------


def test_a_replacement_takes_no_further_place_but_its_bytes_count(
    api: Callable[[User], Client], editor: User, upload: Upload, settings: Any
) -> None:
    settings.PERSON_LIMITS = {"documents": 1, "bytes": 100}
    pk = upload("a.md", b"x" * 50).json()["id"]

    def replace(content: bytes) -> Any:
        from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

        body = encode_multipart(BOUNDARY, {"file": SimpleUploadedFile("a.md", content)})
        return api(editor).put(f"/api/v1/documents/{pk}/file", body, MULTIPART_CONTENT)

    assert refused(replace(b"x" * 101)) == (409, "limit_reached", "bytes", "person")
    assert Document.objects.live().get().pk.hex == pk.replace("-", "")
    assert replace(b"x" * 100).status_code == 201


def test_who_has_too_much_already_may_replace_with_less(
    upload: Upload, editor: User, settings: Any
) -> None:
    upload("a.md", b"x" * 500)
    settings.PERSON_LIMITS = {"documents": 0, "bytes": 10}
    old = Document.objects.get()
    file = uploads.ReceivedFile("a.md", "text/markdown", 20, None)
    file.write(b"x" * 20)
    file.seek(0)
    file.sha256 = "0" * 64
    assert uploads.replace(file, old, editor)
    file.close()


def test_what_is_restored_needs_a_place(
    upload: Upload, editor: User, api: Callable[[User], Client], page: Client, settings: Any
) -> None:
    settings.PERSON_LIMITS = {"documents": 1}
    pk = upload("a.md").json()["id"]
    lifecycle.soft_delete(Document.objects.get().pk, editor)
    assert upload("b.md").status_code == 201
    assert refused(api(editor).post(f"/api/v1/documents/{pk}/restore"))[:2] == (
        409,
        "limit_reached",
    )
    said = page.post(f"/documents/{pk}/restore", follow=True).text
    assert "You have 1 document, and may have 1." in said
    ticked = {"action": "restore", "id": [pk]}
    assert "may have 1" in page.post("/kb/handbook/selection", ticked, follow=True).text
    deleted = Document.objects.exclude(deleted_at=None)
    everything = bulk.freeze("restore", deleted, editor, "all", KnowledgeBase.objects.get())
    assert bulk.confirm(everything).skipped == 1
    assert Document.objects.live().count() == 1
    settings.PERSON_LIMITS = {"documents": 2}
    assert api(editor).post(f"/api/v1/documents/{pk}/restore").status_code == 200


def test_an_import_says_so_of_each_file(
    knowledge_base: KnowledgeBase, editor: User, tmp_path: Any, settings: Any, capsys: Any
) -> None:
    settings.PERSON_LIMITS = {"documents": 2}
    for number in range(4):
        (tmp_path / f"{number}.md").write_bytes(NOTES)

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit):
            call_command("import_documents", "handbook", str(tmp_path), *arguments)
        return str(capsys.readouterr().out)

    said = run("--as", "edith", "--json")
    assert said.count('"what": "imported"') == 2
    assert said.count("You have 2 documents, and may have 2.") == 2
    assert Document.objects.count() == 2
    settings.KNOWLEDGE_BASE_LIMITS = {"documents": 3}
    said = run("--json")
    assert said.count('"what": "unchanged"') == 2
    assert said.count("This knowledge base has 3 documents, and may have 3.") == 1


def test_on_the_page_too(page: Client, settings: Any) -> None:
    settings.PERSON_LIMITS = {"documents": 1}
    files = {"file": [SimpleUploadedFile(f"{n}.md", NOTES) for n in range(2)]}
    said = page.post("/kb/handbook/upload", files, headers={"HX-Request": "true"})
    assert said.status_code == 409
    assert "You have 1 document, and may have 1." in said.text
    assert "data-retry" in said.text
    settings.PERSON_LIMITS = {"waiting": 1}
    files = {"file": [SimpleUploadedFile("new.md", NOTES)]}
    said = page.post("/kb/handbook/upload", files, headers={"HX-Request": "true"})
    assert (said.status_code, said.headers["Retry-After"]) == (429, "5")


# --- Uploads at a time ----------------------------------------------------------------------------


def test_so_many_uploads_at_a_time(
    upload: Upload, editor: User, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.PERSON_LIMITS = {"uploads": 1}
    answers = []
    store = uploads._store

    def storing(*args: Any, **fields: Any) -> Document:
        with monkeypatch.context() as inner:
            inner.setattr(uploads, "_store", store)
            answers.append(upload("during.md"))
        return store(*args, **fields)

    monkeypatch.setattr(uploads, "_store", storing)
    assert upload("a.md").status_code == 201
    assert refused(answers[0]) == (429, "limit_reached", "uploads", "person")
    assert answers[0].headers["Retry-After"] == "2"
    monkeypatch.setattr(uploads, "_store", store)
    assert upload("b.md").status_code == 201
    assert not UploadUnderWay.objects.exists()


def test_an_upload_that_fails_or_whose_process_died_keeps_no_place(
    upload: Upload, editor: User, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.PERSON_LIMITS = {"uploads": 1}
    assert upload("a.md").status_code == 201
    assert upload("a.md").status_code == 409
    UploadUnderWay.objects.create(owner=f"person {editor.pk}", until=Now() + timedelta(seconds=9))
    assert upload("b.md").status_code == 429
    UploadUnderWay.objects.update(until=Now() - timedelta(seconds=1))
    assert upload("b.md").status_code == 201


# --- At the same time -----------------------------------------------------------------------------


def stored(editor: User, base: KnowledgeBase, name: str) -> Document:
    return Document(
        knowledge_base=base, filename=name, content_type="text/markdown", size=10,
        sha256="0" * 64, uploaded_by=editor,
    )  # fmt: skip


@pytest.mark.parametrize("whose", ["PERSON_LIMITS", "KNOWLEDGE_BASE_LIMITS"])
@pytest.mark.parametrize("most", [{"documents": 2}, {"bytes": 2 * len(NOTES)}, {"waiting": 2}])
@pytest.mark.django_db(transaction=True)
def test_of_two_at_the_last_free_place_one_gets_in(
    whose: str,
    most: dict[str, int],
    upload: Upload,
    editor: User,
    knowledge_base: KnowledgeBase,
    settings: Any,
) -> None:
    setattr(settings, whose, most)
    assert upload("first.md").status_code == 201

    def register() -> None:
        document = stored(editor, knowledge_base, "winner.md")
        document.size = len(NOTES)
        with limits.kept(limits.of(knowledge_base, editor)):
            lifecycle.register(document)

    with uncommitted(register):
        loser = in_thread(upload, "loser.md")
        wait_until_blocked()
    assert refused(loser.result(10))[1] == "limit_reached"
    assert Document.objects.count() == 2
    assert len(objects()) == 1  # the winner has none here


@pytest.mark.django_db(transaction=True)
def test_a_place_that_is_given_up_again_is_taken_by_the_next(
    upload: Upload, editor: User, knowledge_base: KnowledgeBase, settings: Any
) -> None:
    settings.PERSON_LIMITS = {"documents": 1}

    def register() -> None:
        with limits.kept(limits.of(knowledge_base, editor)):
            lifecycle.register(stored(editor, knowledge_base, "winner.md"))

    with uncommitted(register, rolled_back=True):
        next_one = in_thread(upload, "next.md")
        wait_until_blocked()
    assert next_one.result(10).status_code == 201


@pytest.mark.django_db(transaction=True)
def test_of_ten_uploads_at_once_as_many_as_may(
    api: Callable[[User], Client], editor: User, settings: Any
) -> None:
    settings.PERSON_LIMITS = {"documents": 3}
    client = api(editor)

    def upload(number: int) -> int:
        file = SimpleUploadedFile(f"{number}.md", NOTES)
        status: int = client.post(DOCUMENTS, {"file": file}).status_code
        return status

    answers = [in_thread(upload, number) for number in range(10)]
    assert sorted(each.result(30) for each in answers) == [201] * 3 + [409] * 7
    assert Document.objects.count() == len(objects()) == 3


@pytest.mark.django_db(transaction=True)
def test_who_restores_and_who_uploads_do_not_both_get_the_last_place(
    upload: Upload, editor: User, knowledge_base: KnowledgeBase, settings: Any
) -> None:
    settings.PERSON_LIMITS = {"documents": 1}
    assert upload("a.md").status_code == 201
    deleted = Document.objects.get()
    lifecycle.soft_delete(deleted.pk, editor)
    with uncommitted(lambda: limits.restore(deleted.pk, editor)):
        loser = in_thread(upload, "b.md")
        wait_until_blocked()
    assert refused(loser.result(10))[1] == "limit_reached"
    assert Document.objects.live().get() == deleted


def test_the_limit_of_who_has_left_can_be_changed(admin_client: Client, editor: User) -> None:
    limit = Limit.objects.create(user=editor, documents=1)
    User.objects.filter(pk=editor.pk).update(is_active=False)
    asked = {"person": editor.get_username(), "base": "", "documents": 2}
    answer = admin_client.post(f"/admin/documents/limit/{limit.pk}/change/", asked)
    assert answer.status_code == 302, answer.context["errors"]
    limit.refresh_from_db()
    assert limit.documents == 2


@pytest.mark.django_db(transaction=True)
def test_many_that_are_restored_hold_no_document_while_they_wait_for_the_limits(
    upload: Upload, editor: User, settings: Any
) -> None:
    """Who restores one has the limits first, and then waits for the document: for ever, else."""
    settings.PERSON_LIMITS = {"documents": 9}
    upload("a.md")
    deleted, base = Document.objects.get(), KnowledgeBase.objects.get()
    lifecycle.soft_delete(deleted.pk, editor)
    everything = bulk.freeze("restore", Document.objects.all(), editor, "all", base)
    with transaction.atomic():
        limits._lock(limits.of(base, editor))
        many = in_thread(bulk.confirm, everything)
        wait_until_blocked()
        assert Document.objects.select_for_update(nowait=True).get(pk=deleted.pk) == deleted
    assert many.result(10).done == 1


@pytest.mark.django_db(transaction=True)
def test_two_uploads_do_not_both_take_the_one_turn(
    editor: User, knowledge_base: KnowledgeBase, settings: Any
) -> None:
    settings.PERSON_LIMITS = {"uploads": 1}
    bounds = limits.of(knowledge_base, editor)

    def begin() -> None:
        with limits.under_way(bounds):
            pass

    with uncommitted(lambda: limits._begun(bounds)):
        loser = in_thread(begin)
        wait_until_blocked()
    with pytest.raises(Refused, match="under way"):
        loser.result(10)


@pytest.mark.django_db(transaction=True)
def test_whoever_has_a_limit_keeps_nobody_else_waiting(
    upload: Upload, editor: User, make_user: Callable[..., User], api: Any, settings: Any
) -> None:
    settings.PERSON_LIMITS = {"documents": 5}
    base = KnowledgeBase.objects.get()
    other = make_user("otto")
    Membership.objects.create(knowledge_base=base, user=other, role="editor")
    client = api(other)

    def register() -> None:
        with limits.kept(limits.of(base, editor)):
            lifecycle.register(stored(editor, base, "held.md"))

    with uncommitted(register):
        file = SimpleUploadedFile("other.md", NOTES)
        answer = in_thread(client.post, DOCUMENTS, {"file": file}).result(10)
    assert answer.status_code == 201


# --- What it costs --------------------------------------------------------------------------------


def test_without_a_limit_nothing_is_asked(upload: Upload, settings: Any) -> None:
    upload("first.md")
    with CaptureQueriesContext(connection) as usual:
        assert upload("a.md").status_code == 201
    settings.PERSON_LIMITS = {"documents": 100}
    with CaptureQueriesContext(connection) as limited:
        assert upload("b.md").status_code == 201
    asked = [query["sql"] for query in usual if "documents_documentcount" in query["sql"]]
    assert asked == []
    assert len(limited) > len(usual)
    tables = ("documents_limit", "documents_uploadunderway")
    alone = [q["sql"] for q in usual if q["sql"].startswith("SELECT") and tables[0] in q["sql"]]
    assert all("documents_knowledgebase" in sql for sql in alone)
    assert len(alone) == 1


def test_a_number_costs_the_same_however_many_documents_there_are(
    editor: User, knowledge_base: KnowledgeBase, settings: Any
) -> None:
    settings.PERSON_LIMITS = settings.KNOWLEDGE_BASE_LIMITS = {"documents": 100}
    [base, person] = limits.of(knowledge_base, editor)
    for bound in (base, person):
        with CaptureQueriesContext(connection) as asked:
            assert limits._numbers(bound)["documents"] == 0
        assert len(asked) == 1
        assert 'documents_document"' not in asked[0]["sql"]
