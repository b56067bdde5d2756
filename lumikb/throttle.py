"""Who guesses passwords waits: for one name at one address, and for many names from one network.

A network is an IPv4 address, or the /64 that one customer has of IPv6. Many people may share one,
behind the proxy of an office, say: that some of them (or a visitor) fail again and again locks out
nobody in a browser in which he has logged in before. It shows a signed cookie, of his name.
"""

from collections.abc import Callable
from typing import Any

from axes.attempts import get_cool_off_threshold
from axes.handlers.database import AxesDatabaseHandler
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.db.models import Sum
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse

from .network import login_name

COOKIE = "known_browser"
COOKIE_SECONDS = 90 * 24 * 3600


class Handler(AxesDatabaseHandler):
    """AXES_HANDLER."""

    def get_failures(self, request: Any, credentials: dict[str, Any] | None = None) -> int:
        """Of this name at this address; so many that it is locked out for what its network did."""
        failures: int = super().get_failures(request, credentials)
        network = request.axes_ip_address
        if failures >= settings.AXES_FAILURE_LIMIT or not network:
            return failures
        if _is_known_browser_of(login_name(request, credentials), request):
            return failures
        recent = AccessAttempt.objects.filter(
            ip_address=network, attempt_time__gte=get_cool_off_threshold(request)
        )
        together = recent.aggregate(Sum("failures_since_start"))["failures_since_start__sum"] or 0
        locks_out = together >= settings.LOGIN_FAILURES_PER_NETWORK
        return settings.AXES_FAILURE_LIMIT if locks_out else failures


def remember_browsers(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: a browser in which somebody logs in is known to be his from then on."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if name := getattr(request, "has_logged_in", None):
            response.set_signed_cookie(
                COOKIE,
                name,
                salt=COOKIE,
                max_age=COOKIE_SECONDS,
                path=settings.SESSION_COOKIE_PATH,
                secure=settings.SESSION_COOKIE_SECURE,
                httponly=True,
                samesite="Strict",
            )
        return response

    return middleware


@receiver(user_logged_in)
def _has_logged_in(request: Any, user: Any, **kwargs: Any) -> None:
    if request is not None:
        request.has_logged_in = user.get_username()


def _is_known_browser_of(name: str | None, request: HttpRequest) -> bool:
    known = request.get_signed_cookie(COOKIE, None, salt=COOKIE, max_age=COOKIE_SECONDS)
    return known is not None and known == name
