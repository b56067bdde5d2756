"""A deleted knowledge base: there for nobody at once, and in the end nothing is left of it."""

import random
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import count, repeat
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db.models.functions import Now
from django.http import Http404
from django.test import Client

from accounts.models import Invitation
from documents import bulk, counts, failpoints, lifecycle, removal
from documents.lifecycle import Claim
from documents.models import (
    ApiToken,
    AuditEntry,
    BulkAction,
    Document,
    DocumentCount,
    DocumentEvent,
    Generation,
    KnowledgeBase,
    Membership,
    OutboxMessage,
)
from processing import actors, relay
from processing.errors import ServiceUnavailable
from processing.index import generations, vectors
from tests import many
from tests.conftest import process
from tests.documents.test_races import in_thread, objects, uncommitted, wait_until_blocked
from tests.failpoints import names
from tests.processing.stubs import unit

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]
API = "/api/v1/knowledge-bases/handbook"


class Killed(BaseException):
    pass


@pytest.fixture
def owner(make_user: Callable[..., User], knowledge_base: KnowledgeBase) -> User:
    user = make_user("olga")
    knowledge_base.membership_set.create(user=user, role="owner")
    return user


@pytest.fixture
def neighbour(make_ready: MakeDocument, editor: User) -> Document:
    """A document of another knowledge base."""
    other = KnowledgeBase.objects.create(name="Other", slug="other")
    other.membership_set.create(user=editor, role="editor")
    return make_ready("neighbour.md", b"The heron of the neighbours.\n", knowledge_base=other)


def carry_on() -> None:
    """What relays and workers do, until nothing is left to be done."""
    idle = 0
    for _ in range(1000):
        done = removal.carry_out_slice()
        counts.add_up()
        purges = list(OutboxMessage.objects.filter(action="purge"))
        for message in purges:
            actors.purge.fn(str(message.document_id))
            message.delete()
        idle = 0 if done or purges else idle + 1
        if idle == 2:
            return
    raise AssertionError("it comes to no end")


def rows_of(base: int) -> dict[str, int]:
    """What PostgreSQL has of a knowledge base and of documents that are no more, by table."""
    found = {}
    for model in apps.get_models():
        if model is AuditEntry:
            continue
        fields = {field.name: field for field in model._meta.get_fields() if field.concrete}
        if "knowledge_base" in fields:
            manager = model._base_manager
            found[model.__name__] = manager.filter(knowledge_base=base).count()
        elif "document" in fields:
            orphans = model._base_manager.exclude(document__in=Document.objects.all())
            found[model.__name__] = orphans.count()
    found["KnowledgeBase"] = KnowledgeBase.with_deleted.filter(pk=base).count()
    return {name: count for name, count in found.items() if count}


def test_nothing_is_left_of_it_and_all_of_its_neighbour(
    make_ready: MakeDocument,
    make_document: MakeDocument,
    knowledge_base: KnowledgeBase,
    owner: User,
    neighbour: Document,
) -> None:
    ready, deleted = make_ready(), make_ready("deleted.md")
    lifecycle.soft_delete(deleted.pk, owner)
    purged = make_ready("purged.md")
    lifecycle.soft_delete(purged.pk, owner)
    lifecycle.purge_now(purged.pk, owner)
    actors.purge.fn(str(purged.pk))
    replaced = make_ready("replaced.md")
    new = Document(
        knowledge_base=knowledge_base, filename="replaced.md", content_type="text/markdown",
        size=1, sha256="0" * 64,
    )  # fmt: skip
    assert lifecycle.replace(replaced, new)
    failed, waiting = make_document("failed.md"), make_document("waiting.md")
    lifecycle.abort(failed.pk, owner)
    knowledge_base.groupmembership_set.create(group=Group.objects.create(name="All"))
    ApiToken.issue(owner, "of this alone", knowledge_base=knowledge_base)
    Invitation.issue(knowledge_base, owner, "viewer", 7)
    bulk.freeze("requeue", Document.objects.all(), owner, "all", knowledge_base)
    of_all = counts.of_all()

    removal.delete(knowledge_base, owner)
    carry_on()

    assert rows_of(knowledge_base.pk) == {}
    assert list(Document.objects.all()) == [neighbour]
    gone = [ready, deleted, purged, replaced, failed, waiting]
    assert sum(vectors.count(each.pk) for each in gone) == 0
    folder = default_storage.path(str(knowledge_base.pk))
    assert not [path for path in objects() if str(path).startswith(f"{folder}/")]
    assert vectors.count(neighbour.pk) == neighbour.chunk_count
    assert default_storage.exists(neighbour.storage_key)
    live = {state: number for state, number in counts.of_all().items() if number}
    assert of_all["ready"] == 2
    assert live == {"ready": 1}


def test_who_did_it_is_written_down(
    make_document: MakeDocument, knowledge_base: KnowledgeBase, owner: User
) -> None:
    document = make_document()
    removal.delete(knowledge_base, owner)
    carry_on()
    entries = AuditEntry.objects.filter(action="deleted", knowledge_base_id=knowledge_base.pk)
    told = {(each.person, each.document_id, each.what, each.detail) for each in entries}
    assert told == {
        ("olga", None, "Handbook", "the knowledge base, with 1 document"),
        ("olga", document.pk, "notes.md", "with its knowledge base"),
    }


def test_one_with_tombstones_only_goes(
    make_document: MakeDocument, knowledge_base: KnowledgeBase, owner: User
) -> None:
    document = make_document()
    lifecycle.soft_delete(document.pk, owner)
    lifecycle.purge_now(document.pk, owner)
    actors.purge.fn(str(document.pk))
    removal.delete(knowledge_base, owner)
    carry_on()
    assert rows_of(knowledge_base.pk) == {}


def test_one_without_anything_goes(knowledge_base: KnowledgeBase, owner: User) -> None:
    removal.delete(knowledge_base, owner)
    carry_on()
    assert rows_of(knowledge_base.pk) == {}


def test_from_then_on_it_is_there_for_nobody(
    make_ready: MakeDocument,
    make_user: Callable[..., User],
    api: Callable[[User], Client],
    knowledge_base: KnowledgeBase,
    owner: User,
) -> None:
    document = make_ready()
    chunk = document.chunk_set.get()
    root = make_user("root", is_superuser=True, is_staff=True)
    bound = ApiToken.issue(owner, "of this alone", knowledge_base=knowledge_base)
    _, secret = Invitation.issue(knowledge_base, owner, "viewer", 7)
    clients = [api(owner), api(root)]
    removal.delete(knowledge_base, owner)
    for client in clients:
        for address in (
            API, f"{API}/documents", f"{API}/members", f"/api/v1/documents/{document.pk}",
            f"/api/v1/documents/{document.pk}/content",
        ):  # fmt: skip
            assert client.get(address).status_code == 404, address
        assert client.get("/api/v1/knowledge-bases").json() == []
        found = client.post("/api/v1/search", {"query": "heron"}, "application/json").json()
        assert found["results"] == []
    for user in (owner, root):
        client = Client()
        client.force_login(user)
        for address in ("/kb/handbook/", f"/documents/{document.pk}/", f"/passages/{chunk.pk}/"):
            assert client.get(address).status_code == 404, address
        assert "Handbook" not in client.get("/").text
        assert client.get(f"/invitations/{secret}/").status_code == 404
    token = Client(headers={"Authorization": f"Bearer {bound}"})
    assert token.get("/api/v1/knowledge-bases").status_code == 401


def test_only_an_owner_deletes_it(
    editor: User,
    owner: User,
    make_user: Callable[..., User],
    api: Callable[[User], Client],
    knowledge_base: KnowledgeBase,
) -> None:
    viewer, other = make_user("vera"), make_user("otto")
    knowledge_base.membership_set.create(user=viewer, role="viewer")
    for user in (editor, viewer, other):
        client = api(user)
        assert client.delete(API).status_code == 404
        client = Client()
        client.force_login(user)
        assert client.post("/kb/handbook/delete/").status_code == 404
    assert KnowledgeBase.objects.filter(slug="handbook").exists()
    assert api(owner).delete(API).status_code == 204
    assert not KnowledgeBase.objects.filter(slug="handbook").exists()


def test_the_page_says_what_goes_with_it_and_how_many(
    make_document: MakeDocument, knowledge_base: KnowledgeBase, owner: User
) -> None:
    documents = [make_document(f"{number}.md") for number in range(3)]
    lifecycle.soft_delete(documents[0].pk, owner)
    page = Client()
    page.force_login(owner)
    asked = page.get("/kb/handbook/delete/").text
    for said in ("2 documents", "1 restorable document<", "2 memberships", "for good"):
        assert said in asked
    assert KnowledgeBase.objects.filter(slug="handbook").exists()
    done = page.post("/kb/handbook/delete/", follow=True)
    assert "“Handbook” is deleted." in done.text


def test_in_the_admin_too(
    make_document: MakeDocument, make_user: Callable[..., User], knowledge_base: KnowledgeBase
) -> None:
    make_document()
    admin = Client()
    admin.force_login(make_user("root", is_superuser=True, is_staff=True))
    here = f"/admin/documents/knowledgebase/{knowledge_base.pk}"
    asked = admin.get(f"{here}/delete/").text
    assert "1 document(s)" in asked
    assert "notes.md" not in asked
    assert admin.post(f"{here}/delete/", {"post": "yes"}).status_code == 302
    assert not KnowledgeBase.objects.filter(slug="handbook").exists()
    assert "Handbook" in admin.get("/admin/documents/knowledgebase/").text  # until it is gone
    assert admin.get(f"{here}/change/").status_code == 200
    assert admin.post(f"{here}/change/", {"name": "Back"}).status_code == 403
    carry_on()
    assert admin.get(f"{here}/change/").status_code == 302
    assert rows_of(knowledge_base.pk) == {}


def test_many_go_slice_by_slice_and_behind_what_people_upload(
    knowledge_base: KnowledgeBase, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "SLICE", 10)
    many.make_documents("ready", 35)
    removal.delete(knowledge_base, owner)
    seen = []
    while removal.carry_out_slice():
        seen.append(Document.objects.exclude(purging_at=None).count())
    assert seen == [10, 20, 30, 35]
    assert set(OutboxMessage.objects.values_list("priority", flat=True)) == {10}
    carry_on()
    assert rows_of(knowledge_base.pk) == {}


def test_relays_carry_it_out(
    make_document: MakeDocument, knowledge_base: KnowledgeBase, owner: User, broker: Any
) -> None:
    make_document()
    removal.delete(knowledge_base, owner)
    assert removal.carry_out_slice()
    assert relay.post_due() == 1
    message = next(iter(broker.consume(actors.QUEUE, timeout=1000)))
    assert message.actor_name == actors.purge.actor_name
    actors.purge.fn(*message.args)
    relay.heal()  # adds up
    while removal.carry_out_slice():
        pass
    assert rows_of(knowledge_base.pk) == {}


@pytest.mark.parametrize("point", [*names("removal."), *names("purge.")])
def test_a_kill_leaves_nothing(
    point: str,
    make_ready: MakeDocument,
    make_document: MakeDocument,
    knowledge_base: KnowledgeBase,
    owner: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At each time that something comes there, one after the other."""
    monkeypatch.setattr(removal, "SLICE", 2)
    documents = [make_ready(), make_ready("two.md"), make_document("three.md")]
    removal.delete(knowledge_base, owner)
    kills = 0
    for kill_at in count(1):
        reached = repeat(point, kill_at - 1)

        def reach(name: str, until: Any = reached) -> None:
            if name == point and next(until, None) is None:
                raise Killed

        monkeypatch.setattr(failpoints, "reach", reach)
        try:
            carry_on()
            break
        except Killed:
            kills += 1
    assert kills
    monkeypatch.setattr(failpoints, "reach", None)
    assert rows_of(knowledge_base.pk) == {}
    assert not objects()
    assert sum(vectors.count(each.pk) for each in documents) == 0
    deleted = AuditEntry.objects.filter(action="deleted").exclude(document_id=None)
    assert deleted.count() == 3  # each once


@pytest.mark.django_db(transaction=True)
def test_however_many_and_whenever_it_is_killed_nothing_is_left(
    knowledge_base: KnowledgeBase,
    owner: User,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """5,000 with --full. Killed a hundred times at whatever comes then; each purge that was killed
    is found by its row, as the reconciler finds it.
    """
    full = bool(request.config.getoption("--full"))
    many.make_documents("ready", 5000 if full else 50)
    documents = list(Document.objects.all())
    for number, document in enumerate(documents):
        default_storage.save(document.storage_key, ContentFile(b"x"))
        point = vectors.Point(document.pk, 0, unit(number % 8), {1: 1.0})
        vectors.upsert(knowledge_base.pk, document.pk, [point])
    monkeypatch.setattr(removal, "SLICE", 1000 if full else 10)
    chance = random.Random(7)
    kills = 0

    def reach(name: str) -> None:
        nonlocal kills
        if name.startswith(("removal.", "purge.")) and chance.random() < (0.005 if full else 0.05):
            kills += 1
            raise Killed

    began = time.monotonic()
    removal.delete(knowledge_base, owner)
    answered = time.monotonic() - began
    monkeypatch.setattr(failpoints, "reach", reach)
    while KnowledgeBase.with_deleted.exists():
        try:
            carry_on()
        except Killed:
            for document in Document.objects.purgeable().filter(outboxmessage=None)[:1]:
                lifecycle.repost_purge(document)
    taken = time.monotonic() - began
    print(f"\n{len(documents)}: answered in {answered:.2f} s, gone in {taken:.1f} s, {kills} kills")
    assert kills
    assert rows_of(knowledge_base.pk) == {}
    assert not objects()
    assert list(vectors.documents()) in ([], [set()])


def test_a_lost_purge_is_found_and_done(
    make_ready: MakeDocument, knowledge_base: KnowledgeBase, owner: User, broker: Any
) -> None:
    from processing.reconcile import rows

    make_ready()
    removal.delete(knowledge_base, owner)
    removal.carry_out_slice()
    OutboxMessage.objects.all().delete()  # as with a Redis that has lost it
    assert not removal.carry_out_slice()
    [finding] = rows.unpurged()
    assert finding.mend
    finding.mend()
    carry_on()
    assert rows_of(knowledge_base.pk) == {}


def test_while_the_index_is_away_the_rows_stay(
    make_ready: MakeDocument,
    knowledge_base: KnowledgeBase,
    owner: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    document = make_ready()
    removal.delete(knowledge_base, owner)

    def away(*_: Any) -> None:
        raise ServiceUnavailable("vectors", "no connection")

    with monkeypatch.context() as outage:
        outage.setattr(vectors, "delete", away)
        carry_on()
        assert Document.objects.filter(pk=document.pk).exists()
        assert KnowledgeBase.with_deleted.filter(slug="handbook").exists()
    lifecycle.repost_purge(document)  # as the reconciler does
    carry_on()
    assert vectors.count(document.pk) == 0
    assert rows_of(knowledge_base.pk) == {}


def test_what_a_worker_has_is_purged_when_he_must_have_noticed(
    make_document: MakeDocument, knowledge_base: KnowledgeBase, owner: User
) -> None:
    in_work, idle = make_document("in work.md"), make_document("idle.md")
    claim = lifecycle.claim(in_work.pk)
    assert claim
    removal.delete(knowledge_base, owner)
    removal.carry_out_slice()
    messages = {each.document_id: each for each in OutboxMessage.objects.filter(action="purge")}
    assert messages[idle.pk].is_due
    delay = messages[in_work.pk].due_at - messages[idle.pk].due_at
    assert delay > timedelta(seconds=30)
    assert not lifecycle.renew([claim])
    assert not lifecycle.succeed(claim)


def test_a_worker_that_was_very_late_changes_nothing(
    make_document: MakeDocument, knowledge_base: KnowledgeBase, owner: User
) -> None:
    claim = lifecycle.claim(make_document().pk)
    assert claim
    removal.delete(knowledge_base, owner)
    carry_on()
    late: list[Callable[[Claim], bool]] = [
        lifecycle.succeed,
        lifecycle.hand_back,
        lifecycle.yield_turn,
        lambda claim: lifecycle.postpone(claim, "away.", "vectors"),
        lambda claim: lifecycle.retry_later(claim, "stalled", "It stalled."),
        lambda claim: lifecycle.fail(claim, "encrypted", "It is encrypted."),
        lambda claim: lifecycle.progress(claim, "embed"),
    ]
    assert [write(claim) for write in late] == [False] * len(late)
    assert not DocumentEvent.objects.exists()


def test_nobody_brings_a_document_back(
    make_document: MakeDocument, knowledge_base: KnowledgeBase, owner: User
) -> None:
    document = make_document()
    lifecycle.soft_delete(document.pk, owner)
    everything = bulk.freeze("restore", Document.objects.all(), owner, "all")  # the admin's
    removal.delete(knowledge_base, owner)
    removal.carry_out_slice()
    assert not lifecycle.restore(document.pk, owner)
    assert bulk.confirm(everything).done == 0


def test_points_in_a_retired_index_go_too(
    make_ready: MakeDocument, knowledge_base: KnowledgeBase, owner: User
) -> None:
    document = make_ready()
    old = generations.first_name(generations.wanted().model)
    Generation.objects.filter(collection=old).update(state="retired")
    fields = generations.fields_of(generations.wanted()) | {"collection": f"{old}-new"}
    Generation.objects.create(state="serving", **fields)
    generations.forget()
    assert vectors.counts([document.pk], old) == {document.pk: document.chunk_count}
    removal.delete(knowledge_base, owner)
    carry_on()
    assert vectors.counts([document.pk], old) == {}


def test_a_set_under_way_ends_with_it(knowledge_base: KnowledgeBase, owner: User) -> None:
    many.make_documents("failed", 1001)
    documents = Document.objects.all()
    bulk.confirm(bulk.freeze("requeue", documents, owner, "all", knowledge_base))
    assert bulk.carry_out_slice()
    removal.delete(knowledge_base, owner)
    assert not bulk.carry_out_slice()
    assert not BulkAction.objects.exists()


def test_the_same_request_after_its_document_is_gone_is_told_so(
    api: Callable[[User], Client], owner: User, knowledge_base: KnowledgeBase
) -> None:
    """It was moved elsewhere, and went with what it was moved to."""
    from django.core.files.uploadedfile import SimpleUploadedFile

    client = api(owner)

    def upload() -> Any:
        file = SimpleUploadedFile("notes.md", b"Herons.\n")
        return client.post(f"{API}/documents", {"file": file}, headers={"Idempotency-Key": "one"})

    assert upload().status_code == 201
    other = KnowledgeBase.objects.create(name="Other")
    Document.objects.update(knowledge_base=other)
    assert removal.begin(other, owner)
    carry_on()
    assert upload().status_code == 404


# --- At the same time ----------------------------------------------------------------------------


def stored(base: KnowledgeBase) -> Document:
    return Document(
        knowledge_base=base, filename="late.md", content_type="text/markdown", size=1,
        sha256="0" * 64,
    )  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_an_upload_at_the_moment_of_the_deletion_finds_it_gone(
    api: Callable[[User], Client], editor: User, knowledge_base: KnowledgeBase, owner: User
) -> None:
    from django.core.files.uploadedfile import SimpleUploadedFile

    client = api(editor)

    def upload() -> Any:
        file = SimpleUploadedFile("late.md", b"Herons.\n")
        return client.post(f"{API}/documents", {"file": file})

    with uncommitted(lambda: removal.delete(knowledge_base, owner)):
        loser = in_thread(upload)
        wait_until_blocked()
    answer = loser.result(10)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert not objects()
    carry_on()
    assert rows_of(knowledge_base.pk) == {}


@pytest.mark.django_db(transaction=True)
def test_a_deletion_waits_for_the_upload_before_it_and_takes_it_along(
    knowledge_base: KnowledgeBase, owner: User
) -> None:
    with uncommitted(lambda: lifecycle.register(stored(knowledge_base))):
        loser = in_thread(removal.delete, knowledge_base, owner)
        wait_until_blocked()
    loser.result(10)
    assert AuditEntry.objects.filter(detail="the knowledge base, with 1 document").exists()
    carry_on()
    assert rows_of(knowledge_base.pk) == {}


@pytest.mark.django_db(transaction=True)
def test_an_upload_during_a_slice_does_not_wait_and_is_refused(
    knowledge_base: KnowledgeBase, owner: User, make_document: MakeDocument
) -> None:
    make_document()
    removal.delete(knowledge_base, owner)
    with uncommitted(removal.carry_out_slice):
        late = in_thread(lifecycle.register, stored(knowledge_base))
        with pytest.raises(lifecycle.KnowledgeBaseGone):
            late.result(10)
    carry_on()
    assert rows_of(knowledge_base.pk) == {}


@pytest.mark.django_db(transaction=True)
def test_who_renames_it_at_that_moment_does_not_bring_it_back(
    knowledge_base: KnowledgeBase, owner: User
) -> None:
    page = Client()
    page.force_login(owner)
    stale = KnowledgeBase.objects.get(slug="handbook")
    with uncommitted(lambda: removal.delete(knowledge_base, owner)):
        loser = in_thread(page.post, "/kb/handbook/about/", {"name": "New"})
        wait_until_blocked()
    assert loser.result(10).status_code == 404
    stale.name = "New"
    stale.save()
    assert not KnowledgeBase.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_nothing_is_moved_into_it(
    knowledge_base: KnowledgeBase, owner: User, make_document: MakeDocument
) -> None:
    from django.db import IntegrityError

    other = KnowledgeBase.objects.create(name="Other")
    document = make_document(knowledge_base=other)
    removal.delete(knowledge_base, owner)
    with pytest.raises(IntegrityError):
        Document.objects.filter(pk=document.pk).update(knowledge_base=knowledge_base)


@pytest.mark.django_db(transaction=True)
def test_of_two_clicks_one_deletes_it(knowledge_base: KnowledgeBase, owner: User) -> None:
    with uncommitted(lambda: removal.delete(knowledge_base, owner)):
        loser = in_thread(removal.delete, knowledge_base, owner)
        wait_until_blocked()
    with pytest.raises(Http404):
        loser.result(10)
    assert AuditEntry.objects.filter(action="deleted", document_id=None).count() == 1


@pytest.mark.django_db(transaction=True)
def test_who_has_just_been_demoted_does_not_delete_it(
    knowledge_base: KnowledgeBase, owner: User, make_user: Callable[..., User]
) -> None:
    from documents import members

    second = make_user("oleg")
    knowledge_base.membership_set.create(user=second, role="owner")
    with uncommitted(lambda: members.change(knowledge_base, second, owner.pk, "editor")):
        loser = in_thread(removal.delete, knowledge_base, owner)
        wait_until_blocked()
    with pytest.raises(Http404):
        loser.result(10)
    assert KnowledgeBase.objects.filter(slug="handbook").exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_relays_one_takes_a_slice(
    knowledge_base: KnowledgeBase, owner: User, make_document: MakeDocument
) -> None:
    make_document()
    removal.delete(knowledge_base, owner)
    with uncommitted(removal.carry_out_slice) as first:
        assert in_thread(removal.carry_out_slice).result(10) is False
    assert first.result(10) is True


@pytest.mark.django_db(transaction=True)
def test_who_joins_at_the_moment_of_the_deletion_joins_nothing(
    knowledge_base: KnowledgeBase, owner: User, make_user: Callable[..., User]
) -> None:
    from documents import members

    late = make_user("late")
    with uncommitted(lambda: removal.delete(knowledge_base, owner)):
        loser = in_thread(members.join, knowledge_base, late, "viewer")
        wait_until_blocked()
    with pytest.raises(Http404):
        loser.result(10)
    assert not Membership.objects.exists()


def test_what_is_counted_adds_up_before_its_numbers_go(
    make_document: MakeDocument, knowledge_base: KnowledgeBase, owner: User, neighbour: Document
) -> None:
    make_document()
    removal.delete(knowledge_base, owner)
    removal.carry_out_slice()
    for message in OutboxMessage.objects.filter(action="purge"):
        actors.purge.fn(str(message.document_id))
    while removal.carry_out_slice():
        pass
    assert KnowledgeBase.with_deleted.filter(slug="handbook").exists()  # not added up yet
    carry_on()
    assert not DocumentCount.objects.filter(knowledge_base=knowledge_base.pk).exists()
    assert counts.of_all()["ready"] == 1


def test_a_document_of_another_is_processed_meanwhile(
    make_document: MakeDocument, knowledge_base: KnowledgeBase, owner: User
) -> None:
    other = KnowledgeBase.objects.create(name="Other")
    document = make_document("other.md", knowledge_base=other)
    removal.delete(knowledge_base, owner)
    Document.objects.filter(pk=document.pk).update(due_at=Now())
    assert process(document).status == "ready"
