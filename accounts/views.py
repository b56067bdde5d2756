"""Sharing a knowledge base, and joining one."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from documents import members as sharing
from documents import removal
from documents.forms import AboutForm
from documents.models import KnowledgeBase, Membership
from documents.permissions import knowledge_base_for, owned_knowledge_base
from documents.refusals import Refused

from . import invitations
from .adapters import INVITATION
from .forms import AddForm, AddGroupForm, InviteForm, RoleForm
from .models import Invitation


@login_required
@require_safe
def members(request: HttpRequest, slug: str) -> HttpResponse:
    """Who is a member; for owners, what changes that."""
    return _members(request, knowledge_base_for(request.user, slug))


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def about(request: HttpRequest, slug: str) -> HttpResponse:
    """Rename and describe a knowledge base. Its address stays."""
    knowledge_base = owned_knowledge_base(request.user, slug)
    form = AboutForm(request.POST or None, instance=knowledge_base)
    if request.method == "POST" and form.is_valid():
        form.save_for(request.user)
        messages.success(request, "Saved.")
        return redirect(knowledge_base)
    return render(request, "accounts/about.html", {"knowledge_base": knowledge_base, "form": form})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, slug: str) -> HttpResponse:
    """Delete a knowledge base, when it was said what goes with it, and how many."""
    knowledge_base = owned_knowledge_base(request.user, slug)
    if request.method == "POST":
        removal.delete(knowledge_base, request.user)
        messages.success(request, f"“{knowledge_base.name}” is deleted.")
        return redirect("knowledge-bases")
    context = {"knowledge_base": knowledge_base, "going": removal.takes_along(knowledge_base)}
    return render(request, "accounts/delete.html", context)


@login_required
@require_POST
def add(request: HttpRequest, slug: str) -> HttpResponse:
    def act(knowledge_base: KnowledgeBase, name: str, role: str) -> str:
        user = sharing.find_user(name)
        sharing.add(knowledge_base, request.user, user, role)
        return f"{user} is a member now, as {role}."

    return _change(request, slug, act, AddForm)


@login_required
@require_POST
def add_group(request: HttpRequest, slug: str) -> HttpResponse:
    def act(knowledge_base: KnowledgeBase, name: str, role: str) -> str:
        group = sharing.find_group(name)
        sharing.add_group(knowledge_base, request.user, group, role)
        return f"All in the group {group} are members now, as {role}."

    return _change(request, slug, act, AddGroupForm)


@login_required
@require_POST
def change_member(request: HttpRequest, slug: str, user_id: int) -> HttpResponse:
    def act(knowledge_base: KnowledgeBase, role: str) -> str:
        sharing.change(knowledge_base, request.user, user_id, role)
        return f"The role is {role} now."

    return _change(request, slug, act, RoleForm)


@login_required
@require_POST
def change_group(request: HttpRequest, slug: str, group_id: int) -> HttpResponse:
    def act(knowledge_base: KnowledgeBase, role: str) -> str:
        sharing.change_group(knowledge_base, request.user, group_id, role)
        return f"The role is {role} now."

    return _change(request, slug, act, RoleForm)


@login_required
@require_POST
def remove_member(request: HttpRequest, slug: str, user_id: int) -> HttpResponse:
    def act(knowledge_base: KnowledgeBase) -> str:
        sharing.remove(knowledge_base, request.user, user_id)
        return "Removed."

    return _change(request, slug, act)


@login_required
@require_POST
def remove_group(request: HttpRequest, slug: str, group_id: int) -> HttpResponse:
    def act(knowledge_base: KnowledgeBase) -> str:
        sharing.remove_group(knowledge_base, request.user, group_id)
        return "Removed."

    return _change(request, slug, act)


@login_required
@require_POST
def hand_over(request: HttpRequest, slug: str, user_id: int) -> HttpResponse:
    def act(knowledge_base: KnowledgeBase) -> str:
        sharing.hand_over(knowledge_base, request.user, user_id)
        return "Handed over."

    return _change(request, slug, act)


@login_required
@require_POST
def leave(request: HttpRequest, slug: str) -> HttpResponse:
    knowledge_base = knowledge_base_for(request.user, slug)
    try:
        sharing.leave(knowledge_base, request.user)
    except Refused as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, f"You have left “{knowledge_base.name}”.")
    return _back(request, knowledge_base)


@login_required
@require_POST
def invite(request: HttpRequest, slug: str) -> HttpResponse:
    """Make an invitation and show its link, which is shown only now."""
    knowledge_base = owned_knowledge_base(request.user, slug)
    form = InviteForm(request.POST)
    if not form.is_valid():
        return _members(request, knowledge_base, invite_form=form, status=400)
    made, link, sent = invitations.invite(request, knowledge_base, **form.cleaned_data)
    return _members(request, knowledge_base, made=made, link=link, sent=sent)


@login_required
@require_POST
def end_invitation(request: HttpRequest, slug: str, invitation_id: int) -> HttpResponse:
    knowledge_base = owned_knowledge_base(request.user, slug)
    invitations.withdraw(knowledge_base, request.user, invitation_id)
    messages.success(request, "That invitation counts no more.")
    return redirect("members", knowledge_base.slug)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, secret: str) -> HttpResponse:
    """What somebody is invited to; he joins with a click, when he has logged in."""
    found = Invitation.of(secret)
    if found is None:
        message = "This invitation is over, used or withdrawn. Ask who sent it for a new one."
        return render(request, "error.html", {"status": 404, "message": message}, status=404)
    if request.method == "POST":
        if not request.user.is_authenticated:
            request.session[INVITATION] = secret  # lets him sign up
            page = "account_signup" if "signup" in request.POST else settings.LOGIN_URL
            return redirect(f"{reverse(page)}?next={request.path}")
        role = invitations.accept(found, request.user)
        messages.success(request, f"Welcome. You are {_a(role)} here.")
        return redirect(found.knowledge_base)
    context = {"invitation": found, "a_role": _a(found.role)}
    return render(request, "accounts/invitation.html", context)


def _members(
    request: HttpRequest, knowledge_base: KnowledgeBase, status: int = 200, **more: Any
) -> HttpResponse:
    role = knowledge_base.role_of(request.user)
    is_owner = role == Membership.Role.OWNER
    people = knowledge_base.membership_set.select_related("user").order_by("user__username")
    groups = knowledge_base.groupmembership_set.select_related("group").order_by("group__name")
    context = {
        "knowledge_base": knowledge_base,
        "people": people,
        "groups": groups,
        "roles": Membership.Role.values,
        "is_owner": is_owner,
        "is_member": any(each.user_id == request.user.pk for each in people),
        "invite_form": InviteForm(),
        "mail": settings.MAIL,
    }
    if is_owner:
        invited = Invitation.objects.live().filter(knowledge_base=knowledge_base)
        context["invitations"] = invited.select_related("knowledge_base", "created_by")
    return render(request, "accounts/members.html", context | more, status=status)


def _change(
    request: HttpRequest,
    slug: str,
    act: Callable[..., str],
    form_class: type[forms.Form] = forms.Form,
) -> HttpResponse:
    """Do it with what the form says, and tell what was done, or why not."""
    knowledge_base = owned_knowledge_base(request.user, slug)
    form = form_class(request.POST)
    if not form.is_valid():
        messages.error(
            request, " ".join(str(error) for errors in form.errors.values() for error in errors)
        )
    else:
        try:
            messages.success(request, act(knowledge_base, **form.cleaned_data))
        except Refused as refused:
            messages.error(request, str(refused))
    return _back(request, knowledge_base)


def _back(request: HttpRequest, knowledge_base: KnowledgeBase) -> HttpResponse:
    """To the members, for who may still see them."""
    if knowledge_base.role_of(request.user):
        return redirect("members", knowledge_base.slug)
    return redirect("knowledge-bases")


def _a(role: str) -> str:
    return f"an {role}" if role[0] in "aeio" else f"a {role}"
