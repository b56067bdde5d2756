"""Who shares at the same time: never is a knowledge base left without an owner."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.http import Http404

from accounts import invitations
from accounts.models import Invitation
from documents import members
from documents.models import KnowledgeBase
from documents.refusals import Refused
from tests.documents.test_races import in_thread, uncommitted, wait_until_blocked

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def owners(make_user: Callable[..., User], knowledge_base: KnowledgeBase) -> list[User]:
    users = [make_user("olga"), make_user("oleg")]
    for user in users:
        knowledge_base.membership_set.create(user=user, role="owner")
    return users


def remaining(knowledge_base: KnowledgeBase) -> list[str]:
    owners = knowledge_base.membership_set.filter(role="owner").order_by("pk")
    return list(owners.values_list("user__username", flat=True))


def test_of_two_owners_who_remove_each_other_one_stays(
    owners: list[User], knowledge_base: KnowledgeBase
) -> None:
    olga, oleg = owners
    with uncommitted(lambda: members.remove(knowledge_base, olga, oleg.pk)):
        loser = in_thread(members.remove, knowledge_base, oleg, olga.pk)
        wait_until_blocked()
    with pytest.raises(Http404):
        loser.result(10)
    assert remaining(knowledge_base) == ["olga"]


def test_of_two_owners_who_leave_one_stays(
    owners: list[User], knowledge_base: KnowledgeBase
) -> None:
    olga, oleg = owners
    with uncommitted(lambda: members.leave(knowledge_base, olga)):
        loser = in_thread(members.leave, knowledge_base, oleg)
        wait_until_blocked()
    with pytest.raises(Refused, match="keeps an owner"):
        loser.result(10)
    assert remaining(knowledge_base) == ["oleg"]


def test_who_is_demoted_meanwhile_changes_nobody(
    owners: list[User], knowledge_base: KnowledgeBase
) -> None:
    olga, oleg = owners
    with uncommitted(lambda: members.change(knowledge_base, olga, oleg.pk, "viewer")):
        loser = in_thread(members.change, knowledge_base, oleg, olga.pk, "viewer")
        wait_until_blocked()
    with pytest.raises(Http404):
        loser.result(10)
    assert remaining(knowledge_base) == ["olga"]


def test_an_invitation_for_one_is_used_by_one(
    owners: list[User], make_user: Callable[..., User], knowledge_base: KnowledgeBase
) -> None:
    invitation, _ = Invitation.issue(knowledge_base, owners[0], "viewer", 7, "new@example.com")
    first, second = make_user("first"), make_user("second")
    with uncommitted(lambda: invitations.accept(invitation, first)):
        loser = in_thread(invitations.accept, invitation, second)
        wait_until_blocked()
    with pytest.raises(Http404):
        loser.result(10)
    members_now = knowledge_base.membership_set.values_list("user__username", flat=True)
    assert set(members_now) == {"olga", "oleg", "first"}
