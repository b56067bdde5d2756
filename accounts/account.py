"""The pages of one's own account."""

from typing import Any

from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import get_user_model, update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import PasswordChangeForm
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from documents import tokens
from documents.models import ApiToken

from . import changes, clock
from .forms import ProfileForm, TokenForm


@login_required
@require_safe
def account(request: HttpRequest) -> HttpResponse:
    return _account(request)


@login_required
@require_POST
def profile(request: HttpRequest) -> HttpResponse:
    """Name and time zone."""
    user = get_user_model().objects.get(username=request.user.get_username())
    initial = {"time_zone": clock.chosen_by(request.user)}
    form = ProfileForm(request.POST, instance=user, initial=initial)
    if not form.is_valid():
        return _account(request, profile_form=form, status=400)
    with transaction.atomic():
        form.save()
        clock.choose(request, form.cleaned_data["time_zone"])
        if form.has_changed():
            changes.record(user, ", ".join(form.changed_data).replace("_", " "))
    messages.success(request, "Saved.")
    return redirect("account")


@sensitive_post_parameters()
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def password(request: HttpRequest) -> HttpResponse:
    """A new password ends all sessions but this one."""
    form = PasswordChangeForm(request.user, request.POST or None)  # type: ignore[arg-type]
    if request.method == "POST" and form.is_valid():
        with transaction.atomic():
            user = form.save()
            changes.record(user, "new password")
        update_session_auth_hash(request, user)
        UserSession.objects.create_from_request(request)  # this session has another key now
        messages.success(request, "Your password is changed. All other sessions have ended.")
        return redirect("account")
    return render(request, "accounts/password.html", {"form": form})


@login_required
@require_POST
def make_token(request: HttpRequest) -> HttpResponse:
    """Its secret is shown in the answer, and never again."""
    form = TokenForm(request.user, request.POST)
    if not form.is_valid():
        return _account(request, token_form=form, status=400)
    return _account(request, secret=form.issue())


@login_required
@require_POST
def end_token(request: HttpRequest, token_id: int) -> HttpResponse:
    name = tokens.revoke(request.user, token_id)
    messages.success(request, f"The token “{name}” has ended.")
    return redirect("account")


def _account(request: HttpRequest, status: int = 200, **more: Any) -> HttpResponse:
    own_tokens = ApiToken.objects.filter(user=request.user.pk).select_related("knowledge_base")
    context = {
        "profile_form": ProfileForm(
            instance=request.user, initial={"time_zone": clock.chosen_by(request.user)}
        ),
        "token_form": TokenForm(request.user),
        "tokens": own_tokens.order_by("-created_at", "-pk"),
        "now": timezone.now(),
        "mail": settings.MAIL,
        "oidc": settings.OIDC_NAME if settings.OIDC_ISSUER else "",
    }
    return render(request, "accounts/account.html", context | more, status=status)
