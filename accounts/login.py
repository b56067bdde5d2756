"""Logging in: the form is ours; what follows the right password (a second factor) is allauth's."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.account import forms
from allauth.account.app_settings import EmailVerificationMethod
from allauth.account.internal.flows.login import perform_password_login
from allauth.account.models import EmailAddress, Login
from django.conf import settings
from django.contrib.auth import views
from django.contrib.auth.forms import AuthenticationForm
from django.http import Http404, HttpRequest, HttpResponse

NONE, MANDATORY = EmailVerificationMethod.NONE, EmailVerificationMethod.MANDATORY


class LoginView(views.LoginView):
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        ways = {"mail": settings.MAIL, "signup": bool(settings.SIGNUP_DOMAINS)}
        return super().get_context_data(**kwargs) | ways

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        user = form.get_user()
        login = Login(
            user=user,
            email_verification=MANDATORY if _signed_up_unconfirmed(user) else NONE,
            redirect_url=self.get_redirect_url() or None,
        )
        name = {"username": user.get_username()}
        return perform_password_login(self.request, name, login)


class ReauthenticateForm(forms.ReauthenticateForm):
    """It leads to the page for forgotten passwords only where that is there (with_mail)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not settings.MAIL:
            self.fields["password"].help_text = ""


def with_mail(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A page that is there only where mails are sent."""

    @wraps(view)
    def there(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not settings.MAIL:
            raise Http404
        return view(request, *args, **kwargs)

    return there


def _signed_up_unconfirmed(user: Any) -> bool:
    """By a mail address (SIGNUP_DOMAINS) that he has not shown to be his yet."""
    if user.last_login is not None:
        return False
    verified = EmailAddress.objects.filter(user=user).values_list("verified", flat=True)
    return bool(verified) and not any(verified)
