"""Sharing a knowledge base: who is added, changed and removed, so that an owner always remains.

Each function is one transaction that holds the knowledge base's row: of two owners who remove each
other, the second is told that he is no owner. Whoever shares must be an owner when he has the row,
whatever he was when he asked; else it is not there for him (Http404).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import Q
from django.http import Http404

from . import audit
from .models import GroupMembership, KnowledgeBase, Membership
from .refusals import Refused

OWNER = Membership.Role.OWNER


def called(name: str, users: Any) -> Any | None:
    """Of these users the one of this name; else the only one of it in whatever case."""
    return users.filter(username=name).first() or _only(users.filter(username__iexact=name))


def find_user(name: str) -> Any:
    """The active user of this name or mail address. Raises Refused when there is not just one."""
    name = name.strip()
    users = get_user_model().objects.filter(is_active=True)
    found = called(name, users)
    if found is None and "@" in name:
        found = _only(users.filter(email__iexact=name))
    if found is None:
        message = f"Nobody here is called “{name}”. Invite them with a link."
        raise Refused("unknown_user", message, 400, {"user": name})
    return found


def find_group(name: str) -> Group:
    """Raises Refused."""
    group = Group.objects.filter(name=name.strip()).first()
    if group is None:
        raise Refused("unknown_group", f"There is no group “{name}”.", 400, {"group": name})
    return group


def add(knowledge_base: KnowledgeBase, by: Any, user: Any, role: str) -> Membership:
    """Raises Refused when he is a member; his role is then not touched."""
    with _shared_by(knowledge_base, by):
        member, is_new = knowledge_base.membership_set.get_or_create(
            user=user, defaults={"role": role}
        )
        if is_new:
            _audit(knowledge_base, by, f"{user} is a member now, as {role}")
    if not is_new:
        raise _already(user, member.role)
    return member


def add_group(knowledge_base: KnowledgeBase, by: Any, group: Group, role: str) -> GroupMembership:
    """Raises Refused when it is one."""
    with _shared_by(knowledge_base, by):
        member, is_new = knowledge_base.groupmembership_set.get_or_create(
            group=group, defaults={"role": role}
        )
        if is_new:
            _audit(knowledge_base, by, f"the group {group} is a member now, as {role}")
    if not is_new:
        raise _already(group, member.role)
    return member


def change(knowledge_base: KnowledgeBase, by: Any, user_id: int, role: str) -> None:
    """Give a member another role. Raises Http404, and Refused for the last owner."""
    with _shared_by(knowledge_base, by):
        member = knowledge_base.membership_set.filter(user=user_id)
        _found(member.count())
        if member.exclude(role=role).update(role=role):
            _audit(knowledge_base, by, f"{_user(user_id)} is {role} now")


def change_group(knowledge_base: KnowledgeBase, by: Any, group_id: int, role: str) -> None:
    """Raises Http404."""
    with _shared_by(knowledge_base, by):
        member = knowledge_base.groupmembership_set.filter(group=group_id)
        _found(member.count())
        if member.exclude(role=role).update(role=role):
            _audit(knowledge_base, by, f"the group {_group(group_id)} is {role} now")


def remove(knowledge_base: KnowledgeBase, by: Any, user_id: int) -> None:
    """Himself too. Raises Http404, and Refused for the last owner."""
    with _shared_by(knowledge_base, by):
        _found(knowledge_base.membership_set.filter(user=user_id).delete()[0])
        _audit(knowledge_base, by, f"{_user(user_id)} is no member any more")


def remove_group(knowledge_base: KnowledgeBase, by: Any, group_id: int) -> None:
    """Raises Http404."""
    with _shared_by(knowledge_base, by):
        _found(knowledge_base.groupmembership_set.filter(group=group_id).delete()[0])
        _audit(knowledge_base, by, f"the group {_group(group_id)} is no member any more")


def leave(knowledge_base: KnowledgeBase, user: Any) -> None:
    """Whatever his role. Raises Http404, and Refused for the last owner."""
    with _keeps_an_owner(knowledge_base):
        _found(knowledge_base.membership_set.filter(user=user).delete()[0])
        _audit(knowledge_base, user, "left")


def hand_over(knowledge_base: KnowledgeBase, by: Any, user_id: int) -> None:
    """Another member becomes an owner in his stead; he stays as an editor. Raises Http404."""
    with _shared_by(knowledge_base, by):
        _found(knowledge_base.membership_set.filter(user=user_id).update(role=OWNER))
        others = ~Q(user=user_id)
        own = knowledge_base.membership_set.filter(others, user=by)
        own.update(role=Membership.Role.EDITOR)
        _audit(knowledge_base, by, f"handed over to {_user(user_id)}")


def join(knowledge_base: KnowledgeBase, user: Any, role: str) -> str:
    """Of somebody who was invited; who is a member keeps his role, if it is higher. Returns it."""
    with _keeps_an_owner(knowledge_base):
        member, is_new = knowledge_base.membership_set.get_or_create(
            user=user, defaults={"role": role}
        )
        roles = Membership.Role.values
        is_higher = roles.index(member.role) < roles.index(role)
        if is_higher:
            member.role = role
            member.save(update_fields=["role"])
        if is_new or is_higher:
            _audit(knowledge_base, user, f"joined, invited as {role}")
    return member.role


@contextmanager
def _shared_by(knowledge_base: KnowledgeBase, by: Any) -> Iterator[None]:
    with _keeps_an_owner(knowledge_base):
        if knowledge_base.role_of(by) != OWNER:
            raise Http404
        yield


@contextmanager
def _keeps_an_owner(knowledge_base: KnowledgeBase) -> Iterator[None]:
    """Holds the row; what would leave nobody who owns it, but somebody did before, is undone."""
    owners = knowledge_base.membership_set.filter(role=OWNER, user__is_active=True)
    with transaction.atomic():
        if not KnowledgeBase.objects.select_for_update().filter(pk=knowledge_base.pk).exists():
            raise Http404
        had_one = owners.exists()
        yield
        if had_one and not owners.exists():
            raise Refused(
                "last_owner",
                "A knowledge base keeps an owner. Make somebody else one first.",
                409,
            )


def _audit(knowledge_base: KnowledgeBase, by: Any, detail: str) -> None:
    audit.record(audit.Action.SHARED, by, knowledge_base, detail=detail)


def _only(users: Any) -> Any | None:
    found = users[:2]
    return found[0] if len(found) == 1 else None


def _user(user_id: int) -> str:
    return str(get_user_model().objects.get(pk=user_id))


def _group(group_id: int) -> str:
    return str(Group.objects.get(pk=group_id))


def _found(count: int) -> None:
    if not count:
        raise Http404


def _already(member: Any, role: str) -> Refused:
    message = f"{member} is a member already, as {role}."
    return Refused("already_member", message, 409, {"role": role})
