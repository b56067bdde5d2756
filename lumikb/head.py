"""HEAD of the API: what GET would answer, without its body. Ninja has no operation for it."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase


def as_get(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware. The server leaves the body out."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if request.method != "HEAD" or not request.path_info.startswith("/api/"):
            return get_response(request)
        request.method = "GET"
        try:
            response = get_response(request)
        finally:
            request.method = "HEAD"
        if not response.streaming:  # the length of what GET answers, which Django sets later
            response.headers.setdefault("Content-Length", str(len(response.content)))  # type: ignore[attr-defined]
        return response

    return middleware
