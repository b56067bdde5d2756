"""Making an account."""

from allauth.account import forms
from allauth.core import context
from django.conf import settings
from django.core.exceptions import ValidationError

from .adapters import is_invited


class SignupForm(forms.SignupForm):
    """For who is invited, and for mail addresses of SIGNUP_DOMAINS."""

    def clean_email(self) -> str:
        email: str = super().clean_email()
        domain = email.rpartition("@")[2].lower()
        if not is_invited(context.request) and domain not in settings.SIGNUP_DOMAINS:
            raise ValidationError("An address of this domain may not sign up here.")
        return email
