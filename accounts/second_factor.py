"""Who guesses the codes of a second factor is counted as who guesses passwords: by axes."""

from typing import Any

from allauth.core import context
from allauth.mfa.base import forms
from axes.handlers.proxy import AxesProxyHandler
from django.contrib.auth.signals import user_login_failed
from django.core.exceptions import ValidationError


class _Counted(forms.BaseAuthenticateForm):
    user: Any

    def clean_code(self) -> str:
        credentials = {"username": self.user.get_username()}
        request = context.request
        if not AxesProxyHandler.is_allowed(request, credentials):
            request.axes_locked_out = True
            raise ValidationError("Too many attempts failed.")
        try:
            return super().clean_code()
        except ValidationError:
            user_login_failed.send(sender=type(self), credentials=credentials, request=request)
            raise


class AuthenticateForm(_Counted, forms.AuthenticateForm):
    pass


class ReauthenticateForm(_Counted, forms.ReauthenticateForm):
    pass
