"""Times are shown in the zone that somebody has chosen.

A cookie remembers it in each browser in which he logs in: a request asks no database for it.
"""

from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from .models import Profile

COOKIE = "time_zone"
COOKIE_SECONDS = 365 * 24 * 3600
# Places, and UTC; not the hundreds of old names of the same.
ZONES = sorted(
    name
    for name in available_timezones()
    if name == "UTC" or ("/" in name and not name.startswith(("Etc/", "SystemV/", "US/")))
)


def in_chosen_zone(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware."""

    def middleware(request: HttpRequest) -> HttpResponse:
        name = request.COOKIES.get(COOKIE)
        with timezone.override(ZoneInfo(name) if name in _KNOWN else None):
            response = get_response(request)
        chosen = getattr(request, "chosen_zone", None)
        if chosen:
            response.set_cookie(
                COOKIE,
                chosen,
                max_age=COOKIE_SECONDS,
                path=settings.SESSION_COOKIE_PATH,
                secure=settings.SESSION_COOKIE_SECURE,
                httponly=True,
                samesite="Lax",
            )
        elif chosen == "" and name:
            response.delete_cookie(COOKIE, path=settings.SESSION_COOKIE_PATH)
        return response

    return middleware


def chosen_by(user: Any) -> str:
    """The zone's name, or "" for the installation's."""
    return Profile.objects.filter(user=user).values_list("time_zone", flat=True).first() or ""


def choose(request: Any, name: str) -> None:
    """From now on, in this browser; and wherever he logs in from now on."""
    Profile.objects.update_or_create(user=request.user, defaults={"time_zone": name})
    request.chosen_zone = name


@receiver(user_logged_in)
def _remember(request: Any, user: Any, **kwargs: Any) -> None:
    if request is not None:
        request.chosen_zone = chosen_by(user)


_KNOWN = frozenset(ZONES)
