"""The JSON API of sharing, and of one's own tokens; lumikb/api.py mounts it under /api/v1/."""

from datetime import datetime
from typing import Any, Literal

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Field, Router, Schema
from ninja.responses import Status as Reply
from pydantic import ConfigDict

from documents import members as sharing
from documents import tokens
from documents.models import ApiToken, GroupMembership, Membership
from documents.permissions import (
    knowledge_base_for,
    owned_knowledge_base,
    require_all_rights,
)
from documents.problems import problems
from documents.refusals import Refused

from . import invitations
from .forms import InviteForm, TokenForm
from .models import Invitation

router = Router()
Role = Literal["viewer", "editor", "owner"]


class MemberIn(Schema):
    """One of `user` (user name or mail address) and `group` (its name)."""

    model_config = ConfigDict(extra="forbid")

    user: str | None = None
    group: str | None = None
    role: Role = "viewer"


class RoleIn(Schema):
    model_config = ConfigDict(extra="forbid")

    role: Role


class MemberOut(Schema):
    kind: Literal["user", "group"]
    id: int = Field(description="Of the user, or of the group.")
    name: str
    role: Role


class InvitationIn(Schema):
    model_config = ConfigDict(extra="forbid")

    role: Role = "viewer"
    days: int = Field(7, description="Until its end: 1, 7 or 30.")
    email: str = Field("", description="For one person, who gets a mail; else for all with it.")


class InvitationOut(Schema):
    id: int
    role: Role
    email: str
    created_at: datetime
    expires_at: datetime


class InvitationMade(InvitationOut):
    url: str = Field(description="Shown only now.")
    sent: bool = Field(description="Whether a mail went out with it.")


@router.get("knowledge-bases/{slug}/members", response={200: list[MemberOut], **problems(404)})
def list_members(request: HttpRequest, slug: str) -> Any:
    """Users first, then groups, by name. Every member may ask."""
    knowledge_base = knowledge_base_for(request.user, slug)
    people = knowledge_base.membership_set.select_related("user").order_by("user__username")
    groups = knowledge_base.groupmembership_set.select_related("group").order_by("group__name")
    return [*map(_member, people), *map(_member, groups)]


@router.post("knowledge-bases/{slug}/members", response={201: MemberOut, **problems(404, 409)})
def add_member(request: HttpRequest, slug: str, data: MemberIn) -> Any:
    """Add somebody who has an account, or a group; an owner may."""
    knowledge_base = owned_knowledge_base(request.user, slug)
    if (data.user is None) == (data.group is None):
        raise Refused("invalid_request", "Name either a user or a group.", 400)
    added: Membership | GroupMembership
    if data.group is not None:
        group = sharing.find_group(data.group)
        added = sharing.add_group(knowledge_base, request.user, group, data.role)
    else:
        user = sharing.find_user(data.user or "")
        added = sharing.add(knowledge_base, request.user, user, data.role)
    return Reply(201, _member(added))


@router.patch(
    "knowledge-bases/{slug}/members/{user_id}", response={200: MemberOut, **problems(404, 409)}
)
def change_member(request: HttpRequest, slug: str, user_id: int, data: RoleIn) -> Any:
    """An owner may; the last owner stays one (409)."""
    knowledge_base = owned_knowledge_base(request.user, slug)
    sharing.change(knowledge_base, request.user, user_id, data.role)
    return _member(get_object_or_404(knowledge_base.membership_set, user=user_id))


@router.delete(
    "knowledge-bases/{slug}/members/{user_id}", response={204: None, **problems(404, 409)}
)
def remove_member(request: HttpRequest, slug: str, user_id: int) -> Any:
    """An owner may, and everybody for himself; the last owner stays (409)."""
    knowledge_base = knowledge_base_for(request.user, slug)
    if user_id == request.user.pk and _may_write(request):
        sharing.leave(knowledge_base, request.user)
    else:
        sharing.remove(knowledge_base, request.user, user_id)
    return Reply(204, None)


@router.patch(
    "knowledge-bases/{slug}/groups/{group_id}", response={200: MemberOut, **problems(404)}
)
def change_group(request: HttpRequest, slug: str, group_id: int, data: RoleIn) -> Any:
    """An owner may."""
    knowledge_base = owned_knowledge_base(request.user, slug)
    sharing.change_group(knowledge_base, request.user, group_id, data.role)
    return _member(get_object_or_404(knowledge_base.groupmembership_set, group=group_id))


@router.delete("knowledge-bases/{slug}/groups/{group_id}", response={204: None, **problems(404)})
def remove_group(request: HttpRequest, slug: str, group_id: int) -> Any:
    """An owner may."""
    sharing.remove_group(knowledge_base_for(request.user, slug), request.user, group_id)
    return Reply(204, None)


@router.get(
    "knowledge-bases/{slug}/invitations", response={200: list[InvitationOut], **problems(404)}
)
def list_invitations(request: HttpRequest, slug: str) -> Any:
    """Those that count still, newest first; an owner may ask."""
    knowledge_base = owned_knowledge_base(request.user, slug)
    return list(Invitation.objects.live().filter(knowledge_base=knowledge_base))


@router.post("knowledge-bases/{slug}/invitations", response={201: InvitationMade, **problems(404)})
def make_invitation(request: HttpRequest, slug: str, data: InvitationIn) -> Any:
    """Make a link with which people join; an owner may."""
    knowledge_base = owned_knowledge_base(request.user, slug)
    form = InviteForm(data.dict())
    if not form.is_valid():
        raise _invalid(form)
    made, link, sent = invitations.invite(request, knowledge_base, **form.cleaned_data)
    fields = {name: getattr(made, name) for name in InvitationOut.model_fields}
    return Reply(201, fields | {"url": link, "sent": sent})


@router.delete(
    "knowledge-bases/{slug}/invitations/{invitation_id}", response={204: None, **problems(404)}
)
def end_invitation(request: HttpRequest, slug: str, invitation_id: int) -> Any:
    """It counts no more."""
    knowledge_base = owned_knowledge_base(request.user, slug)
    invitations.withdraw(knowledge_base, request.user, invitation_id)
    return Reply(204, None)


class TokenIn(Schema):
    model_config = ConfigDict(extra="forbid")

    name: str
    days: int | None = Field(None, description="Until its end; without, it has none.")
    read_only: bool = False
    knowledge_base: str | None = Field(None, description="The slug of the only one it is for.")


class TokenOut(Schema):
    id: int
    name: str
    read_only: bool
    knowledge_base: str | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None

    @staticmethod
    def resolve_knowledge_base(token: ApiToken) -> str | None:
        return token.knowledge_base.slug if token.knowledge_base else None


class TokenMade(TokenOut):
    secret: str = Field(description="Shown only now.")


@router.get("tokens", response={200: list[TokenOut], **problems(403)})
def list_tokens(request: HttpRequest) -> Any:
    """Your own, newest first."""
    require_all_rights(request.user)
    own = ApiToken.objects.filter(user=request.user.pk).select_related("knowledge_base")
    return list(own.order_by("-created_at", "-pk"))


@router.post("tokens", response={201: TokenMade, **problems(403)})
def make_token(request: HttpRequest, data: TokenIn) -> Any:
    """Make one. Only a session may (403): or who has stolen a token could outlive it."""
    if ApiToken.used_by(request.user):
        raise Refused("session_only", "A token is made by somebody who has logged in.", 403)
    slug = data.knowledge_base
    chosen = knowledge_base_for(request.user, slug).pk if slug is not None else None
    fields = data.dict(exclude={"knowledge_base"}) | {"knowledge_base": chosen}
    form = TokenForm(request.user, {f"token-{name}": value for name, value in fields.items()})
    if not form.is_valid():
        raise _invalid(form)
    secret = form.issue()
    token = ApiToken.objects.select_related("knowledge_base").get(digest=ApiToken.digest_of(secret))
    token.secret = secret  # type: ignore[attr-defined]
    return Reply(201, token)


@router.delete("tokens/{token_id}", response={204: None, **problems(403, 404)})
def end_token(request: HttpRequest, token_id: int) -> Any:
    """It is refused from then on."""
    require_all_rights(request.user)
    tokens.revoke(request.user, token_id)
    return Reply(204, None)


def _member(member: Membership | GroupMembership) -> dict[str, Any]:
    if isinstance(member, Membership):
        who, kind, name = member.user_id, "user", member.user.get_username()
    else:
        who, kind, name = member.group_id, "group", member.group.name
    return {"kind": kind, "id": who, "name": name, "role": member.role}


def _may_write(request: HttpRequest) -> bool:
    token = ApiToken.used_by(request.user)
    return token is None or not token.read_only


def _invalid(form: Any) -> Refused:
    wrong = form.errors.get_json_data()
    message = " ".join(error["message"] for each in wrong.values() for error in each)
    return Refused("invalid_request", message, 400, wrong)
