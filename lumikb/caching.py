"""Who may keep a copy of an answer."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase


def kept_nowhere(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware: no browser and no proxy keeps people's pages, their files, what the API says.

    Who logs out on a shared machine leaves nothing there. Static files say otherwise themselves.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return middleware
