"""Who logs in, or fails to, or logs out, is in the audit."""

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import receiver

from documents import audit

from .network import client_address, login_name


@receiver(user_logged_in)
def _logged_in(request: Any, user: Any, **kwargs: Any) -> None:
    audit.record(audit.Action.LOGGED_IN, user, detail=_from(request))


@receiver(user_logged_out)
def _logged_out(request: Any, user: Any, **kwargs: Any) -> None:
    if user is not None:
        audit.record(audit.Action.LOGGED_OUT, user, detail=_from(request))


@receiver(user_login_failed)
def _failed(credentials: dict[str, Any], request: Any = None, **kwargs: Any) -> None:
    """In whose name; but no name that nobody has: people type passwords into the wrong field."""
    name = login_name(request, credentials) if request or "username" in credentials else None
    user = None
    if name and name.isprintable():
        user = get_user_model().objects.filter(username=name).first()
    what = "" if user else "a name that nobody has"
    audit.record(audit.Action.LOGIN_FAILED, user, what=what, detail=_from(request))


def _from(request: Any) -> str:
    address = client_address(request) if request is not None else None
    return f"from {address}" if address else ""
