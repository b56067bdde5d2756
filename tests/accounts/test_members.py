"""Sharing a knowledge base: who may, what it changes, and that an owner always remains."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core import mail
from django.db.models.functions import Now
from django.http import Http404
from django.test import Client

from accounts.models import Invitation
from documents import members
from documents.models import AuditEntry, KnowledgeBase
from documents.refusals import Refused

pytestmark = pytest.mark.django_db
MEMBERS = "/api/v1/knowledge-bases/handbook/members"
INVITATIONS = "/api/v1/knowledge-bases/handbook/invitations"


@pytest.fixture
def olga(make_user: Callable[..., User], knowledge_base: KnowledgeBase) -> User:
    """The owner."""
    user = make_user("olga", email="olga@example.com")
    knowledge_base.membership_set.create(user=user, role="owner")
    return user


@pytest.fixture
def nora(make_user: Callable[..., User]) -> User:
    """No member of anything."""
    return make_user("nora", email="Nora@Example.com")


def browser_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def roles(knowledge_base: KnowledgeBase) -> dict[str, str]:
    return dict(knowledge_base.membership_set.values_list("user__username", "role"))


@pytest.mark.parametrize("name", ["nora", "nora@example.com", " nora "])
def test_who_is_added_by_name_or_mail_reads_and_does_not_write(
    name: str, olga: User, nora: User, knowledge_base: KnowledgeBase
) -> None:
    browser_of(olga).post("/kb/handbook/members/add", {"name": name, "role": "viewer"})
    assert roles(knowledge_base) == {"olga": "owner", "nora": "viewer"}
    page = browser_of(nora).get("/kb/handbook/")
    assert page.status_code == 200
    assert b'id="upload"' not in page.content
    assert browser_of(nora).post("/kb/handbook/upload").status_code == 404


def test_of_two_with_one_mail_address_none_is_added_by_it(
    olga: User, nora: User, make_user: Callable[..., User], knowledge_base: KnowledgeBase
) -> None:
    make_user("other", email="nora@example.com")
    with pytest.raises(Refused) as refused:
        members.find_user("nora@example.com")
    assert refused.value.code == "unknown_user"


def test_a_name_in_another_case_is_found_where_it_is_one_persons(
    nora: User, make_user: Callable[..., User]
) -> None:
    anna, gone = make_user("Anna"), make_user("NORA")
    User.objects.filter(pk=gone.pk).update(is_active=False)
    assert [members.find_user(name) for name in ("anna", " ANNA ", "Nora")] == [anna, anna, nora]
    another = make_user("ANNA")
    assert [members.find_user(name) for name in ("ANNA", "Anna")] == [another, anna]
    with pytest.raises(Refused, match="Nobody here is called “anna”"):
        members.find_user("anna")


def test_a_member_is_not_added_again(
    olga: User, editor: User, api: Callable[[User], Client], knowledge_base: KnowledgeBase
) -> None:
    added = api(olga).post(MEMBERS, {"user": "edith", "role": "owner"}, "application/json")
    assert (added.status_code, added.json()["error"]["code"]) == (409, "already_member")
    assert roles(knowledge_base)["edith"] == "editor"


@pytest.mark.parametrize("how", ["change", "remove", "leave", "hand over to a stranger"])
def test_the_last_owner_stays(
    how: str, olga: User, editor: User, nora: User, knowledge_base: KnowledgeBase
) -> None:
    act: dict[str, Callable[[], Any]] = {
        "change": lambda: members.change(knowledge_base, olga, olga.pk, "editor"),
        "remove": lambda: members.remove(knowledge_base, olga, olga.pk),
        "leave": lambda: members.leave(knowledge_base, olga),
        "hand over to a stranger": lambda: members.hand_over(knowledge_base, olga, nora.pk),
    }
    with pytest.raises((Refused, Http404)):
        act[how]()
    assert roles(knowledge_base) == {"olga": "owner", "edith": "editor"}


def test_an_owner_who_may_not_log_in_is_none(
    olga: User, make_user: Callable[..., User], knowledge_base: KnowledgeBase
) -> None:
    gone = make_user("gone", is_active=False)
    knowledge_base.membership_set.create(user=gone, role="owner")
    with pytest.raises(Refused, match="keeps an owner"):
        members.leave(knowledge_base, olga)


def test_to_hand_over_makes_one_an_owner_and_the_other_an_editor(
    olga: User, editor: User, knowledge_base: KnowledgeBase
) -> None:
    browser_of(olga).post(f"/kb/handbook/members/{editor.pk}/hand-over")
    assert roles(knowledge_base) == {"olga": "editor", "edith": "owner"}
    assert browser_of(olga).get("/kb/handbook/about/").status_code == 404


def test_who_leaves_sees_it_no_more(
    editor: User, olga: User, page: Client, knowledge_base: KnowledgeBase
) -> None:
    answer = page.post("/kb/handbook/members/leave", follow=True)
    assert answer.redirect_chain == [("/", 302)]
    assert "You have left “Handbook”." in answer.content.decode()
    assert page.get("/kb/handbook/").status_code == 404
    assert roles(knowledge_base) == {"olga": "owner"}


def test_a_group_is_a_member_as_long_as_somebody_is_in_it(
    olga: User, nora: User, api: Callable[[User], Client], knowledge_base: KnowledgeBase
) -> None:
    group = Group.objects.create(name="Night shift")
    added = api(olga).post(MEMBERS, {"group": "Night shift", "role": "editor"}, "application/json")
    assert added.status_code == 201, added.content
    assert knowledge_base.role_of(nora) is None
    nora.groups.add(group)
    assert knowledge_base.role_of(nora) == "editor"
    assert api(nora).get("/api/v1/knowledge-bases").json()[0]["slug"] == "handbook"
    knowledge_base.membership_set.create(user=nora, role="viewer")
    assert knowledge_base.role_of(nora) == "editor"  # the higher one
    assert len(api(nora).get("/api/v1/knowledge-bases").json()) == 1  # and not twice
    nora.groups.clear()
    assert knowledge_base.role_of(nora) == "viewer"


def test_a_knowledge_base_is_renamed_and_described_and_keeps_its_address(
    olga: User, api: Callable[[User], Client], knowledge_base: KnowledgeBase
) -> None:
    url = "/api/v1/knowledge-bases/handbook"
    change = {"name": "Manual", "description": "For the night shift."}
    answer = api(olga).patch(url, change, "application/json")
    assert answer.json()["slug"] == "handbook"
    assert b"For the night shift." in browser_of(olga).get("/kb/handbook/").content
    assert api(olga).patch(url, {"name": " "}, "application/json").status_code == 400
    assert api(olga).patch(url, {"slug": "x"}, "application/json").status_code == 422
    knowledge_base.refresh_from_db()
    assert (knowledge_base.name, knowledge_base.description) == tuple(change.values())


def test_who_shares_is_in_the_audit(olga: User, nora: User, knowledge_base: KnowledgeBase) -> None:
    members.add(knowledge_base, olga, nora, "viewer")
    for _ in range(2):
        members.change(knowledge_base, olga, nora.pk, "owner")
    members.remove(knowledge_base, nora, olga.pk)
    told = AuditEntry.objects.order_by("pk").values_list("person", "action", "detail")
    assert list(told) == [
        ("olga", "shared", "nora is a member now, as viewer"),
        ("olga", "shared", "nora is owner now"),
        ("nora", "shared", "olga is no member any more"),
    ]


# --- Invitations --------------------------------------------------------------------------------


def link_for(olga: User, knowledge_base: KnowledgeBase, email: str = "") -> str:
    _, secret = Invitation.issue(knowledge_base, olga, "editor", 7, email)
    return f"/invitations/{secret}/"


def test_a_link_makes_everybody_who_has_it_a_member(
    olga: User, nora: User, make_user: Callable[..., User], api: Callable[[User], Client],
    knowledge_base: KnowledgeBase,
) -> None:  # fmt: skip
    made = api(olga).post(INVITATIONS, {"role": "editor", "days": 1}, "application/json").json()
    path = made["url"].removeprefix("http://testserver")
    for user in (nora, make_user("nils")):
        assert "as an editor" in browser_of(user).get(path).content.decode()
        assert browser_of(user).post(path).headers["Location"] == "/kb/handbook/"
    assert roles(knowledge_base) == {"olga": "owner", "nora": "editor", "nils": "editor"}
    listed = api(olga).get(INVITATIONS).json()
    assert [each["id"] for each in listed] == [made["id"]]
    assert "url" not in listed[0]


def test_one_that_goes_by_mail_is_for_one_person(
    olga: User, nora: User, make_user: Callable[..., User], knowledge_base: KnowledgeBase,
    settings: Any,
) -> None:  # fmt: skip
    settings.MAIL = True
    form = {"role": "viewer", "days": "7", "email": "new@example.com"}
    page = browser_of(olga).post("/kb/handbook/members/invite", form)
    assert b"A mail went to new@example.com." in page.content
    [sent] = mail.outbox
    assert sent.to == ["new@example.com"]
    link = next(each for each in sent.body.split() if "/invitations/" in each)
    path = link.removeprefix("http://testserver")
    assert browser_of(nora).post(path).status_code == 302
    assert browser_of(make_user("nils")).post(path).status_code == 404
    assert roles(knowledge_base) == {"olga": "owner", "nora": "viewer"}


def test_who_is_not_logged_in_logs_in_first(olga: User, knowledge_base: KnowledgeBase) -> None:
    path = link_for(olga, knowledge_base)
    assert Client().get(path).status_code == 200
    assert Client().post(path).headers["Location"] == f"/login/?next={path}"


@pytest.mark.parametrize("why", ["is over", "was ended", "its maker is an owner no more", "guess"])
def test_one_that_does_not_count_looks_like_none(
    why: str, olga: User, nora: User, editor: User, knowledge_base: KnowledgeBase
) -> None:
    path = link_for(olga, knowledge_base)
    if why == "is over":
        Invitation.objects.update(expires_at=Now() - timedelta(seconds=1))
    elif why == "was ended":
        number = Invitation.objects.get().pk
        browser_of(olga).post(f"/kb/handbook/members/invitations/{number}/end")
    elif why == "guess":
        path = f"/invitations/{'x' * 43}/"
    else:
        members.hand_over(knowledge_base, olga, editor.pk)
    client = browser_of(nora)
    for answer in (client.get(path), client.post(path)):
        assert answer.status_code == 404
        assert "Ask who sent it for a new one." in answer.text
    of_owner = browser_of(olga if knowledge_base.role_of(olga) == "owner" else editor)
    is_told = "counts no more" in of_owner.get("/kb/handbook/members/").text
    assert is_told == (why == "its maker is an owner no more")
    assert "nora" not in roles(knowledge_base)


def test_an_invitation_takes_nothing_from_a_member(
    olga: User, knowledge_base: KnowledgeBase
) -> None:
    browser_of(olga).post(link_for(olga, knowledge_base))
    assert roles(knowledge_base) == {"olga": "owner"}
    assert not AuditEntry.objects.filter(action="shared").exists()


def test_an_invitation_that_is_withdrawn_is_in_the_audit(
    olga: User, api: Callable[[User], Client], knowledge_base: KnowledgeBase
) -> None:
    for email in ("", "new@example.com"):
        link_for(olga, knowledge_base, email)
    open_one, by_mail = Invitation.objects.order_by("pk").values_list("pk", flat=True)
    for status in (302, 404):
        end = f"/kb/handbook/members/invitations/{open_one}/end"
        assert browser_of(olga).post(end).status_code == status
    for status in (204, 404):
        assert api(olga).delete(f"{INVITATIONS}/{by_mail}").status_code == status
    told = AuditEntry.objects.filter(action="shared").order_by("pk")
    assert list(told.values_list("person", "what", "detail")) == [
        ("olga", "Handbook", "withdrew the invitation of all who have a link as editor"),
        ("olga", "Handbook", "withdrew the invitation of new@example.com as editor"),
    ]
