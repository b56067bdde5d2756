"""A document goes to another knowledge base: found there, and by nobody else any more."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.test import Client

from documents import bulk, counts, lifecycle, moving, removal, uploads
from documents.models import AuditEntry, Document, KnowledgeBase, OutboxMessage
from documents.refusals import Refused
from processing import actors, pipeline, reconcile, relay
from processing.errors import ServiceUnavailable
from processing.index import vectors
from processing.reconcile import index
from processing.reconcile import objects as stored_objects
from tests.conftest import process
from tests.documents.test_races import in_thread, uncommitted, wait_until_blocked
from tests.documents.test_removal import carry_on, rows_of
from tests.documents.test_uploads import MULTIPART, multipart

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]
Api = Callable[[User], Client]


@pytest.fixture
def other(editor: User) -> KnowledgeBase:
    base = KnowledgeBase.objects.create(name="Other", slug="other")
    base.membership_set.create(user=editor, role="editor")
    return base


@pytest.fixture
def old_member(make_user: Callable[..., User], knowledge_base: KnowledgeBase) -> User:
    user = make_user("old")
    knowledge_base.membership_set.create(user=user, role="viewer")
    return user


@pytest.fixture
def new_member(make_user: Callable[..., User], other: KnowledgeBase) -> User:
    user = make_user("new")
    other.membership_set.create(user=user, role="viewer")
    return user


def patch(client: Client, document: Document, **change: Any) -> Any:
    return client.patch(f"/api/v1/documents/{document.pk}", change, "application/json")


def found_by(client: Client, query: str = "heron") -> list[str]:
    answer = client.post("/api/v1/search", {"query": query}, "application/json")
    return [each["filename"] for each in answer.json()["results"]]


def follow() -> None:
    """What the relay and a worker do with the messages of what was moved."""
    for message in OutboxMessage.objects.filter(action="move"):
        actors.move.fn(str(message.document_id))
        message.delete()


def points_say(document: Document) -> set[str]:
    return {base for page in vectors.documents() for pk, base in page if pk == document.pk}


def test_who_sees_the_new_one_finds_it_and_who_sees_the_old_one_does_not(
    make_ready: MakeDocument,
    api: Api,
    editor: User,
    old_member: User,
    new_member: User,
    other: KnowledgeBase,
) -> None:
    document = make_ready()
    old, new = api(old_member), api(new_member)
    assert (found_by(old), found_by(new)) == (["notes.md"], [])
    answer = patch(api(editor), document, knowledge_base="other")
    assert (answer.status_code, answer.json()["knowledge_base"]) == (200, "other")
    assert answer.json()["status"] == "ready"
    assert found_by(old) == []  # at once, whatever the index says
    assert old.get(f"/api/v1/documents/{document.pk}").status_code == 404
    follow()
    assert (found_by(old), found_by(new)) == ([], ["notes.md"])
    content = new.get(f"/api/v1/documents/{document.pk}/content")
    assert b"heron" in b"".join(content.streaming_content)
    events = [each["kind"] for each in new.get(f"/api/v1/documents/{document.pk}/events").json()]
    assert events[-1] == "moved"
    assert points_say(document) == {str(other.pk)}


def test_both_knowledge_bases_have_it_in_their_audit_and_no_name_of_the_other_is_told(
    make_ready: MakeDocument, api: Api, editor: User, other: KnowledgeBase, new_member: User
) -> None:
    document = make_ready()
    patch(api(editor), document, knowledge_base="other")
    entries = AuditEntry.objects.filter(action="moved")
    old = document.knowledge_base_id
    assert set(entries.values_list("knowledge_base_id", flat=True)) == {old, other.pk}
    assert set(entries.values_list("person", flat=True)) == {"edith"}
    told = api(new_member).get(f"/api/v1/documents/{document.pk}/events").text
    assert "andbook" not in told


def test_the_relay_and_a_worker_do_it(
    make_ready: MakeDocument, editor: User, other: KnowledgeBase, broker: Any
) -> None:
    document = make_ready()
    OutboxMessage.objects.all().delete()  # it was processed without its message
    moving.move(document, other, editor)
    assert relay.post_due() == 1
    message = next(iter(broker.consume(actors.QUEUE, timeout=1000)))
    assert message.actor_name == actors.move.actor_name
    actors.move.fn(*message.args)
    assert points_say(document) == {str(other.pk)}
    assert not OutboxMessage.objects.exists()


def test_a_name_that_is_taken_there_is_a_conflict(
    make_ready: MakeDocument, make_document: MakeDocument, api: Api, editor: User,
    other: KnowledgeBase, knowledge_base: KnowledgeBase,
) -> None:  # fmt: skip
    document, there = make_ready(), make_document(knowledge_base=other)
    answer = patch(api(editor), document, knowledge_base="other", tags=["new"])
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (409, "duplicate_filename")
    assert error["details"]["document_id"] == str(there.pk)
    document.refresh_from_db()
    assert (document.knowledge_base, document.tags) == (knowledge_base, [])
    lifecycle.soft_delete(there.pk, editor)
    assert patch(api(editor), document, knowledge_base="other").status_code == 200


def test_all_of_a_change_or_nothing(
    make_ready: MakeDocument, make_document: MakeDocument, api: Api, editor: User,
    other: KnowledgeBase, knowledge_base: KnowledgeBase,
) -> None:  # fmt: skip
    document = make_ready()
    make_document("taken.md", knowledge_base=other)
    answer = patch(api(editor), document, knowledge_base="other", filename="taken.md")
    assert answer.status_code == 409
    document.refresh_from_db()
    assert (document.knowledge_base, document.filename) == (knowledge_base, "notes.md")
    assert not OutboxMessage.objects.filter(action="move").exists()


@pytest.mark.parametrize("role", [None, "viewer"])
def test_who_may_not_change_both_moves_nothing(
    role: str | None,
    make_ready: MakeDocument,
    make_user: Callable[..., User],
    api: Api,
    knowledge_base: KnowledgeBase,
    other: KnowledgeBase,
) -> None:
    document = make_ready()
    user = make_user("mo")
    for mine, theirs in ((knowledge_base, other), (other, knowledge_base)):
        user.membership_set.all().delete()
        mine.membership_set.create(user=user, role="owner")
        if role:
            theirs.membership_set.create(user=user, role=role)
        assert patch(api(user), document, knowledge_base="other").status_code == 404
    random = patch(api(user), document, knowledge_base="none-such")
    assert random.status_code == 404
    document.refresh_from_db()
    assert document.knowledge_base == knowledge_base


def test_not_while_a_worker_has_it(
    make_document: MakeDocument, api: Api, editor: User, other: KnowledgeBase
) -> None:
    document = make_document()
    assert lifecycle.claim(document.pk)
    answer = patch(api(editor), document, knowledge_base="other")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "in_progress")


def test_one_that_waits_is_processed_where_it_is_then(
    make_document: MakeDocument, editor: User, other: KnowledgeBase
) -> None:
    document = make_document()
    moving.move(document, other, editor)
    assert not OutboxMessage.objects.filter(action="move").exists()
    assert process(Document.objects.get()).status == "ready"
    assert points_say(document) == {str(other.pk)}


def test_what_a_turn_has_kept_is_done_again(
    make_document: MakeDocument, editor: User, other: KnowledgeBase
) -> None:
    """Its points are in the index already, and say the knowledge base before."""
    document = make_document()
    Document.objects.filter(pk=document.pk).update(
        fingerprint="f" * 64, kept_epoch=1, kept_unit=0, kept_count=1, kept_passages=1
    )
    moving.move(document, other, editor)
    document.refresh_from_db()
    assert (document.fingerprint, document.kept_epoch) == ("", None)


def test_it_does_not_move_before_search_shows_it_in_the_place_of_another(
    make_ready: MakeDocument, editor: User, other: KnowledgeBase, api: Api
) -> None:
    old = make_ready()
    new = Document(
        knowledge_base=old.knowledge_base, filename=old.filename, size=1, sha256="0" * 64,
        content_type=old.content_type,
    )  # fmt: skip
    assert lifecycle.replace(old, new)
    with pytest.raises(Refused, match="replaces another"):
        moving.move(new, other, editor)
    claim = lifecycle.claim(new.pk)
    assert claim
    assert lifecycle.succeed(claim)
    moving.move(new, other, editor)
    new.refresh_from_db()
    assert (new.knowledge_base, new.replaces) == (other, None)


# --- Its objects stay where they are --------------------------------------------------------------


def test_its_objects_stay_and_go_with_it(
    make_ready: MakeDocument, editor: User, other: KnowledgeBase, knowledge_base: KnowledgeBase
) -> None:
    document = make_ready()
    key = document.storage_key
    moving.move(document, other, editor)
    document.refresh_from_db()
    assert document.storage_key == key
    moving.move(document, knowledge_base, editor)  # and back, and on
    document.refresh_from_db()
    assert document.storage_key == key
    lifecycle.soft_delete(document.pk, editor)
    lifecycle.purge_now(document.pk, editor)
    actors.purge.fn(str(document.pk))
    assert not default_storage.exists(key)


@pytest.mark.django_db(transaction=True)
def test_the_reconciler_takes_its_objects_for_its_own(
    make_ready: MakeDocument, editor: User, other: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in the midst of others of both, and when the one in whose folder they are is gone."""
    documents = [make_ready(f"{number}.md") for number in range(4)]
    there = make_ready("there.md", knowledge_base=other)
    for document in documents[1:3]:
        moving.move(document, other, editor)
    monkeypatch.setattr(stored_objects.Object, "is_old", True)
    assert list(stored_objects.compared()) == []
    assert removal.begin(KnowledgeBase.objects.get(slug="handbook"), editor)
    follow()
    carry_on()
    assert list(stored_objects.compared()) == []
    report = reconcile.run()
    assert report
    assert sum(row["found"] for row in report.findings) == 0
    left = {there, *documents[1:3]}
    assert set(Document.objects.all()) == left
    for document in Document.objects.all():
        assert default_storage.exists(document.storage_key)


def test_what_goes_with_the_new_one_leaves_nothing(
    make_ready: MakeDocument, editor: User, other: KnowledgeBase
) -> None:
    document = make_ready()
    moving.move(document, other, editor)
    document.refresh_from_db()
    assert removal.begin(other, editor)
    carry_on()
    assert rows_of(other.pk) == {}
    assert not default_storage.exists(document.storage_key)
    assert vectors.count(document.pk) == 0


def test_the_numbers_move_along(
    make_ready: MakeDocument, editor: User, other: KnowledgeBase, knowledge_base: KnowledgeBase
) -> None:
    document = make_ready()
    counts.add_up()
    moving.move(document, other, editor)
    numbers = counts.of_bases([other.pk, knowledge_base.pk])
    assert (numbers[other.pk].get("ready"), numbers[knowledge_base.pk].get("ready")) == (1, 0)


def test_it_needs_a_place_there(
    make_ready: MakeDocument, make_document: MakeDocument, editor: User, other: KnowledgeBase,
    api: Api, settings: Any,
) -> None:  # fmt: skip
    document = make_ready()
    make_document("there.md", knowledge_base=other)
    settings.KNOWLEDGE_BASE_LIMITS = {"documents": 1}
    settings.PERSON_LIMITS = {"documents": 1}  # he has no more than before
    answer = patch(api(editor), document, knowledge_base="other")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "limit_reached")
    settings.KNOWLEDGE_BASE_LIMITS = {"documents": 2}
    assert patch(api(editor), document, knowledge_base="other").status_code == 200


# --- Whatever happens meanwhile -------------------------------------------------------------------


def test_a_lost_message_is_found_by_the_points(
    make_ready: MakeDocument, editor: User, other: KnowledgeBase
) -> None:
    document, neighbour = make_ready(), make_ready("neighbour.md")
    moving.move(document, other, editor)
    OutboxMessage.objects.all().delete()
    [finding] = index.strays()
    assert (finding.check, finding.what) == (index.ASTRAY, str(document.pk))
    assert finding.persists()
    assert finding.mend
    finding.mend()
    assert points_say(document) == {str(other.pk)}
    assert points_say(neighbour) == {str(neighbour.knowledge_base_id)}
    assert list(index.strays()) == []


def test_what_is_mended_meanwhile_is_not_found(
    make_ready: MakeDocument, editor: User, other: KnowledgeBase, knowledge_base: KnowledgeBase
) -> None:
    document = make_ready()
    moving.move(document, other, editor)
    [finding] = index.strays()
    moving.move(Document.objects.get(), knowledge_base, editor)
    assert not finding.persists()
    vectors.delete(document.pk)
    assert list(index.strays()) == []


def test_points_that_say_nothing_of_use_are_found_too(make_ready: MakeDocument) -> None:
    document = make_ready()
    [chunk] = document.chunk_set.values_list("pk", flat=True)
    elsewhere = {"knowledge_base": "elsewhere"}
    vectors._client().set_payload(vectors.collection(), elsewhere, [str(chunk)])
    [finding] = index.strays()
    assert finding.persists()
    assert finding.mend
    finding.mend()
    assert points_say(document) == {str(document.knowledge_base_id)}


def test_moved_on_while_its_points_follow_it_ends_where_it_is(
    make_ready: MakeDocument,
    editor: User,
    other: KnowledgeBase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    document = make_ready()
    third = KnowledgeBase.objects.create(name="Third")
    moving.move(document, other, editor)
    usual = vectors.move

    def meanwhile(*args: Any) -> None:
        monkeypatch.setattr(vectors, "move", usual)
        moving.move(Document.objects.get(), third, editor)
        follow()  # the other message, by another worker
        usual(*args)

    monkeypatch.setattr(vectors, "move", meanwhile)
    pipeline.move(document.pk)
    assert points_say(document) == {str(third.pk)}


def test_while_the_index_is_away_it_is_moved_and_found_later(
    make_ready: MakeDocument, editor: User, other: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = make_ready()
    moving.move(document, other, editor)

    def away(*_: Any) -> None:
        raise ServiceUnavailable("vectors", "no connection")

    with monkeypatch.context() as outage:
        outage.setattr(vectors, "move", away)
        follow()
    assert points_say(document) == {str(document.knowledge_base_id)}
    [finding] = index.strays()
    assert finding.mend
    finding.mend()
    assert points_say(document) == {str(other.pk)}


def test_a_document_that_is_gone_moves_no_points() -> None:
    actors.move.fn(str(uuid4()))


def test_a_set_that_was_frozen_before_is_no_business_of_its_people_any_more(
    make_ready: MakeDocument, editor: User, other: KnowledgeBase, knowledge_base: KnowledgeBase
) -> None:
    document, stays = make_ready(), make_ready("stays.md")
    everything = Document.objects.filter(knowledge_base=knowledge_base)
    action = bulk.freeze("delete", everything, editor, "all", knowledge_base)
    moving.move(document, other, editor)
    done = bulk.confirm(action)
    assert (done.done, done.skipped) == (1, 1)
    assert list(Document.objects.live()) == [document]
    assert stays.pk != document.pk


def test_what_is_moved_under_a_new_name_does_not_meet_who_has_the_old_one_there(
    make_ready: MakeDocument, make_document: MakeDocument, api: Api, editor: User,
    other: KnowledgeBase,
) -> None:  # fmt: skip
    document = make_ready("a.md")
    make_document("a.md", knowledge_base=other)
    make_document("b.md")  # here it would meet one
    answer = patch(api(editor), document, knowledge_base="other", filename="c.md")
    assert (answer.status_code, answer.json()["filename"]) == (200, "c.md")
    assert answer.json()["knowledge_base"] == "other"


@pytest.mark.parametrize("change", [{"filename": "b.md"}, {"knowledge_base": "other"}])
def test_what_is_deleted_is_neither_renamed_nor_moved_and_says_so(
    change: dict[str, str], make_ready: MakeDocument, api: Api, editor: User, other: KnowledgeBase
) -> None:
    document = make_ready("a.md")
    lifecycle.soft_delete(document.pk, editor)
    error = patch(api(editor), document, **change).json()["error"]
    assert (error["code"], error["message"]) == ("deleted", "It is deleted; restore it first.")


# --- Many -----------------------------------------------------------------------------------------


def test_those_that_are_ticked_move(
    make_ready: MakeDocument, make_document: MakeDocument, page: Client, other: KnowledgeBase
) -> None:
    a, b, c = make_ready("a.md"), make_document("b.md"), make_document("c.md")
    make_document("c.md", knowledge_base=other)
    viewed = KnowledgeBase.objects.create(name="Only viewed", slug="viewed")
    ticked = {"action": "move", "id": [str(each.pk) for each in (a, b, c)]}
    asked = page.post("/kb/handbook/selection", ticked)
    assert [each.slug for each in asked.context["targets"]] == ["other"]
    assert Document.objects.filter(knowledge_base=other).count() == 1
    assert "Only viewed" not in asked.text
    done = page.post("/kb/handbook/selection", ticked | {"to": "other"}, follow=True)
    assert "2 documents are moved to “Other”. 1 could not be, or need not." in done.text
    moved = set(Document.objects.filter(knowledge_base=other).values_list("filename", flat=True))
    assert moved == {"a.md", "b.md", "c.md"}
    assert OutboxMessage.objects.filter(action="move").count() == 1
    assert page.post("/kb/handbook/selection", ticked | {"to": viewed.slug}).status_code == 404


def test_many_by_the_api(
    make_document: MakeDocument, api: Api, editor: User, other: KnowledgeBase
) -> None:
    documents = [make_document(f"{number}.md") for number in range(3)]
    body = {"action": "move", "ids": [str(each.pk) for each in documents]}
    address = "/api/v1/knowledge-bases/handbook/documents/bulk"
    client = api(editor)
    assert (
        "knowledge_base"
        in client.post(address, body, "application/json").json()["error"]["message"]
    )
    body["knowledge_base"] = "nowhere"
    assert client.post(address, body, "application/json").status_code == 404
    body["knowledge_base"] = "other"
    assert client.post(address, body, "application/json").json() == {"done": 3, "asked": 3}
    assert Document.objects.filter(knowledge_base=other).count() == 3


# --- At the same time -----------------------------------------------------------------------------


def test_what_moves_while_its_replacement_is_on_its_way_is_no_business_of_who_sends_it(
    make_document: MakeDocument,
    other: KnowledgeBase,
    editor: User,
    api: Api,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    document = make_document("plan.md")
    before = default_storage.listdir(str(document.knowledge_base_id))
    monkeypatch.setattr(uploads, "failpoint", lambda _: moving.move(document, other, editor))
    answer = api(editor).put(
        f"/api/v1/documents/{document.pk}/file", multipart(("plan.md", b"# New\n")), MULTIPART
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    there = Document.objects.get()
    assert (there.deleted_at, there.knowledge_base) == (None, other)
    assert default_storage.listdir(str(there.stored_in)) == before  # what came is not kept


@pytest.mark.django_db(transaction=True)
def test_of_two_that_take_one_name_there_one_does(
    make_document: MakeDocument, editor: User, other: KnowledgeBase
) -> None:
    document = make_document()

    def register() -> None:
        lifecycle.register(
            Document(
                knowledge_base=other, filename="notes.md", content_type="text/markdown",
                size=1, sha256="0" * 64,
            )
        )  # fmt: skip

    with uncommitted(register):
        loser = in_thread(moving.move, document, other, editor)
        wait_until_blocked()
    with pytest.raises(Refused, match="already in this knowledge base"):
        loser.result(10)
    document.refresh_from_db()
    assert document.knowledge_base != other


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_claims_it_at_that_moment_reads_where_it_is(
    make_document: MakeDocument, editor: User, other: KnowledgeBase
) -> None:
    document = make_document()
    with uncommitted(lambda: moving.move(document, other, editor)):
        worker = in_thread(process, document)
        wait_until_blocked()
    assert worker.result(60).status == "ready"
    assert points_say(document) == {str(other.pk)}


@pytest.mark.django_db(transaction=True)
def test_who_moves_what_a_worker_has_just_claimed_is_told_so(
    make_document: MakeDocument, editor: User, other: KnowledgeBase
) -> None:
    document = make_document()
    with uncommitted(lambda: lifecycle.claim(document.pk)):
        loser = in_thread(moving.move, document, other, editor)
        wait_until_blocked()
    with pytest.raises(Refused, match="being processed"):
        loser.result(10)


@pytest.mark.django_db(transaction=True)
def test_into_one_that_is_being_deleted_nothing_moves(
    make_document: MakeDocument, editor: User, other: KnowledgeBase
) -> None:
    document = make_document()
    with uncommitted(lambda: removal.begin(other, editor)):
        loser = in_thread(moving.move, document, other, editor)
        wait_until_blocked()
    with pytest.raises(Refused, match="just been deleted"):
        loser.result(10)
    carry_on()
    assert Document.objects.live().get() == document


@pytest.mark.django_db(transaction=True)
def test_what_moves_out_of_one_that_is_being_deleted_is_not_taken_along(
    make_document: MakeDocument, editor: User, other: KnowledgeBase, knowledge_base: KnowledgeBase
) -> None:
    document = make_document()
    assert removal.begin(knowledge_base, editor)
    with uncommitted(lambda: moving.move(document, other, editor)):
        slice_ = in_thread(removal.carry_out_slice)
        wait_until_blocked()
    slice_.result(10)
    carry_on()
    assert Document.objects.live().get() == document
    assert not KnowledgeBase.with_deleted.filter(slug="handbook").exists()
