"""What a person or a script reads when something went wrong that no view answers for."""

import sys
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.exceptions import DisallowedHost, RequestDataTooBig
from django.db import DataError, InterfaceError, OperationalError
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    JsonResponse,
    UnreadablePostError,
)
from django.shortcuts import render

from documents.connections import release
from documents.refusals import Refused, no_room
from documents.room import is_full

RETRY_AFTER_SECONDS = "5"
UNKEEPABLE = (
    "The request has a text or a number that cannot be kept: a NUL, half of a surrogate pair, or "
    "more digits than there is room for. Send it without."
)
UNKNOWN_HOST = (
    "The address by which you came is not one of this installation's. Take another one, or ask its "
    "operator to add this one to ALLOWED_HOSTS."
)
NOT_FOUND = "There is nothing here, or it is not yours to see or change."


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler400."""
    if isinstance(exception, RequestDataTooBig):
        return _answer(request, 413, "request_too_large", "The request is larger than any of ours.")
    if isinstance(exception, DisallowedHost):
        return _answer(request, 400, "unknown_host", UNKNOWN_HOST)
    return _answer(request, 400, "invalid_request", "The request could not be understood.")


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler403."""
    return _answer(request, 403, "forbidden", "You may not do this.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler404; also the answer to what the user may not see."""
    return _answer(request, 404, "not_found", NOT_FOUND)


def server_error(request: HttpRequest) -> HttpResponse:
    """handler500, but not for what is nobody's bug.

    A refusal may come while a middleware reads the body. A database that does not answer is 503. A
    text that it cannot hold (a NUL, or half of a surrogate pair) and a body that ends too soon are
    the request's fault.
    """
    error = sys.exc_info()[1]
    if error and is_full(error):
        error = no_room()
    if isinstance(error, Refused):
        return _answer(request, error.status, error.code, error.message)
    if isinstance(error, UnreadablePostError):
        return bad_request(request, error)
    if isinstance(error, DataError) or (
        isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed"
    ):
        return _answer(request, 400, "invalid_request", UNKEEPABLE)
    if isinstance(error, OperationalError | InterfaceError):
        message = "The database does not answer just now; please try again in a moment."
        return _answer(request, 503, "service_unavailable", message)
    return _answer(request, 500, "internal_error", "Something went wrong here; it was logged.")


def locked_out(request: HttpRequest, response: Any, credentials: Any) -> HttpResponse:
    """AXES_LOCKOUT_CALLABLE: the answer to too many wrong passwords, and to a right one after."""
    minutes = settings.AXES_COOLOFF_TIME.total_seconds() / 60
    message = (
        f"Too many attempts to log in failed. Wait {minutes:.0f} minutes before the next one, or "
        "ask your operator to unlock you."
    )
    answer = _answer(request, 429, "locked_out", message)
    answer["Retry-After"] = f"{minutes * 60:.0f}"
    return answer


def retry_after(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware: who is told "not just now" is told when."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if response.status_code in (429, 503):
            response.headers.setdefault("Retry-After", RETRY_AFTER_SECONDS)
        return response

    return middleware


def method_not_allowed(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: a wrong method, to which Django and Ninja answer in plain text or not at all."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if response.status_code != 405:
            return response
        allowed = response["Allow"].split(", ")
        if "GET" in allowed and "HEAD" not in allowed:
            allowed.append("HEAD")
        message = f"{request.method} is not possible here, only {', '.join(allowed)}."
        answer = _answer(request, 405, "method_not_allowed", message)
        answer["Allow"] = ", ".join(allowed)
        return answer

    return middleware


def _answer(request: HttpRequest, status: int, code: str, message: str) -> HttpResponse:
    """JSON under /api/, a page elsewhere; neither asks the database."""
    release()
    if request.path_info.startswith("/api/"):
        return JsonResponse(error_body(code, message), status=status)
    context = {"status": status, "code": code, "message": message}
    return render(request, "error.html", context, status=status)


def error_body(code: str, message: str, details: Any = None) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "details": details or {}}}
