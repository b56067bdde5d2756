"""The forms of sharing and of accounts; the pages and the API both validate with them."""

from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth import get_user_model
from django.utils import timezone

from documents import tokens
from documents.models import KnowledgeBase, Membership

from .clock import ZONES
from .models import Invitation


class RoleForm(forms.Form):
    role = forms.ChoiceField(choices=Membership.Role.choices)


class AddForm(RoleForm):
    """Somebody who has an account, or a group."""

    name = forms.CharField(max_length=254, label="User name or mail address")


class AddGroupForm(RoleForm):
    name = forms.CharField(max_length=150, label="Group")


class InviteForm(RoleForm):
    email = forms.EmailField(required=False, label="Mail address")
    days = forms.TypedChoiceField(
        coerce=int,
        choices=[(days, f"{days} day{'' if days == 1 else 's'}") for days in Invitation.DAYS],
        initial=7,
        widget=forms.Select(attrs={"id": "invite-days"}),
    )


class ProfileForm(forms.ModelForm):
    """Somebody's own name, and the zone in which he reads times."""

    time_zone = forms.ChoiceField(required=False)

    class Meta:
        model = get_user_model()
        fields = ["first_name", "last_name"]

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        default = ("", f"The installation's ({settings.TIME_ZONE})")
        zone: Any = self.fields["time_zone"]
        zone.choices = [default, *((name, name.replace("_", " ")) for name in ZONES)]


class TokenForm(forms.Form):
    """A token of one's own."""

    name = forms.CharField(max_length=100, label="What it is for")
    days = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=3650,
        initial=90,
        label="Days until its end (empty: none)",
    )
    read_only = forms.BooleanField(required=False, label="May only read and search")
    knowledge_base = forms.ModelChoiceField(
        KnowledgeBase.objects.none(), required=False, empty_label="All that are yours"
    )

    def __init__(self, user: Any, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs | {"prefix": "token"})
        self._user = user
        bases: Any = self.fields["knowledge_base"]
        bases.queryset = KnowledgeBase.objects.visible_to(user)

    def issue(self) -> str:
        """Make it; returns its secret."""
        limits = dict(self.cleaned_data)
        days = limits.pop("days")
        end = timezone.now() + timedelta(days=days) if days else None
        name = limits.pop("name")
        return tokens.make(self._user, name, self._user, expires_at=end, **limits)
