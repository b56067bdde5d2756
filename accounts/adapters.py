"""Where LumiKB differs from what allauth does by itself."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from allauth.usersessions.models import UserSession
from axes.helpers import get_client_ip_address
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import transaction
from django.http import HttpRequest

from . import changes
from .models import Invitation

INVITATION = "invitation"  # in the session of a stranger who was invited


class AccountAdapter(DefaultAccountAdapter):
    """Signing up is for who is invited, or has a mail address of SIGNUP_DOMAINS."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return bool(settings.SIGNUP_DOMAINS or is_invited(request))

    def populate_username(self, request: HttpRequest, user: Any) -> None:
        """That of another place may be somebody else's here."""
        name = user.get_username()
        if name and get_user_model().objects.filter(username=name).exists():
            user.username = self.generate_unique_username([name, user.email, "user"])
        super().populate_username(request, user)

    def add_message(self, *args: Any, **kwargs: Any) -> None:
        """None about what everybody sees: that he has logged in, or out."""
        template = kwargs.get("message_template") or (args[2] if len(args) > 2 else "")
        if template not in ("account/messages/logged_in.txt", "account/messages/logged_out.txt"):
            super().add_message(*args, **kwargs)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        if settings.MAIL:
            super().send_mail(template_prefix, email, context)

    def set_password(self, user: Any, password: str) -> None:
        """A forgotten one is set anew."""
        with transaction.atomic():
            super().set_password(user, password)
            changes.record(user, "new password, by a mail")

    def get_client_ip(self, request: HttpRequest) -> str:
        """As our throttle has it."""
        return get_client_ip_address(request) or "0.0.0.0"  # noqa: S104 (not bound)


class SessionsAdapter(DefaultUserSessionsAdapter):
    def end_sessions(self, sessions: list[UserSession]) -> None:
        with transaction.atomic():
            super().end_sessions(sessions)
            if sessions:
                changes.record(sessions[0].user, f"sessions ended: {len(sessions)}")


class SocialAccountAdapter(DefaultSocialAccountAdapter):
    """OIDC: whom the provider lets in may come; its groups are ours, at each login."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        return True

    def save_user(self, request: HttpRequest, sociallogin: Any, form: Any = None) -> Any:
        user = super().save_user(request, sociallogin, form)
        take_groups(user, sociallogin)
        return user

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        if sociallogin.is_existing:
            take_groups(sociallogin.user, sociallogin)


def take_groups(user: Any, sociallogin: Any) -> None:
    """Of OIDC_GROUPS he is in those that the provider says, and no others; so with being staff."""
    data = sociallogin.account.extra_data
    claims = {**(data.get("id_token") or {}), **(data.get("userinfo") or {})} or data
    claimed = claims.get(settings.OIDC_GROUPS_CLAIM) or []
    names = {claimed} if isinstance(claimed, str) else {str(name) for name in claimed}
    told = []
    with transaction.atomic():
        if settings.OIDC_GROUPS:
            ours = [Group.objects.get_or_create(name=name)[0] for name in settings.OIDC_GROUPS]
            has = set(user.groups.all())
            left = [group for group in ours if group in has and group.name not in names]
            new = [group for group in ours if group not in has and group.name in names]
            user.groups.remove(*left)
            user.groups.add(*new)
            told += [f"in the group {group} no more" for group in left]
            told += [f"in the group {group}" for group in new]
        if settings.OIDC_STAFF_GROUP:
            was, user.is_staff = user.is_staff, settings.OIDC_STAFF_GROUP in names
            user.save(update_fields=["is_staff"])
            if user.is_staff != was:
                told.append("staff" if user.is_staff else "staff no more")
        if told:
            changes.record(user, f"as the provider says: {', '.join(told)}")


def is_invited(request: Any) -> bool:
    """Has he opened an invitation that counts still?"""
    secret = request.session.get(INVITATION)
    return bool(secret and Invitation.of(secret))
