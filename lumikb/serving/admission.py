"""How much of a request's body is read: decided by its head, before any of it."""

from importlib import import_module
from io import BytesIO
from typing import Any, NoReturn

from django.conf import settings
from django.contrib.auth import get_user
from django.core.exceptions import RequestDataTooBig
from django.core.handlers.wsgi import WSGIRequest
from django.db import DatabaseError

from documents.connections import release
from documents.models import ApiToken
from documents.refusals import no_room
from documents.room import is_full
from documents.uploads import ENVELOPE_BYTES, MOST_LARGE_FILES

FORM_BYTES = ENVELOPE_BYTES  # what anybody may send


class Unreadable(Exception):
    """In the place of a body that is not there: says why when it is read, for who answers first."""

    def read(self, size: int = -1) -> NoReturn:
        raise self.args[0]

    readline = read

    def close(self) -> None:
        pass


def too_large() -> Unreadable:
    return Unreadable(RequestDataTooBig("The body is larger than any of ours."))


def lost(error: OSError) -> Unreadable:
    return Unreadable(no_room() if is_full(error) else error)


def most_bytes(environ: dict[str, Any]) -> int:
    """What this caller may send: a form, and files too when we know him. Asks the database."""
    try:
        known = _is_known(WSGIRequest(environ | {"wsgi.input": BytesIO()}))
    except DatabaseError:
        known = False  # the application will say what is wrong
    finally:
        release()
    return FORM_BYTES + MOST_LARGE_FILES * settings.UPLOAD_MAX_BYTES if known else FORM_BYTES


def _is_known(request: Any) -> bool:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return ApiToken.user_of(token.strip()) is not None
    key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    if not key:
        return False
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(key)
    return bool(get_user(request).is_authenticated)
