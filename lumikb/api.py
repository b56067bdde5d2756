"""/api/v1/: who calls, and one form for every error."""

from collections.abc import Callable, Sequence
from functools import lru_cache, wraps
from itertools import islice
from typing import Any

from csp.decorators import csp_update
from django.http import Http404, HttpRequest, HttpResponse
from django.templatetags.static import static
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError
from ninja.openapi import get_schema
from ninja.openapi.schema import OpenAPISchema
from ninja.security import HttpBearer, SessionAuth

from accounts.api import router as accounts_router
from documents.api import router as documents_router
from documents.connections import release
from documents.models import ApiToken
from documents.refusals import Refused, unknown_fields
from search.api import router as search_router

from .errors import NOT_FOUND, error_body
from .strictness import refuse_unknown

MOST_SAID = 3  # faults of a request, in its sentence; all of them are in the details


class Bearer(HttpBearer):
    """`Authorization: Bearer TOKEN`."""

    def authenticate(self, request: HttpRequest, token: str) -> Any:
        user = ApiToken.user_of(token)
        release()  # the body is read after this, as slowly as the client likes
        if user:
            request.user = user
            _read_put(request)
        return user


class Session(SessionAuth):
    """The browser's login. Who has none is told so (401), before any talk of CSRF (403)."""

    def __call__(self, request: HttpRequest) -> Any:
        if not request.user.is_authenticated:
            return None
        release()  # the check of the CSRF token may read the body
        user = super().__call__(request)
        if user:
            _read_put(request)
        return user


def _read_put(request: HttpRequest) -> None:
    """Find the files in the body of a PUT, where Django looks for none.

    Ninja's middleware for this would read the bodies of those whom nobody knows, too.
    """
    if request.method == "PUT":
        request.method = "POST"
        try:
            request._load_post_and_files()
        finally:
            request.method = "PUT"


def _docs(view: Callable[..., Any]) -> Any:
    """Swagger's style sheet has images in it and pale colours, and its page does not say in which
    language it is.
    """

    @wraps(view)
    def in_english(*args: Any, **kwargs: Any) -> HttpResponse:
        response = view(*args, **kwargs)
        ours = f'<link rel="stylesheet" href="{static("apidocs.css")}"></head>'.encode()
        page = response.content.replace(b"<html>", b'<html lang="en">', 1)
        response.content = page.replace(b"</head>", ours, 1)
        return response

    return csp_update({"img-src": ["data:"]})(in_english)


class Described(NinjaAPI):
    """Makes the description of itself once: that takes 0.2 s of a core, and anybody may ask."""

    def get_openapi_schema(
        self, *, path_prefix: str | None = None, path_params: dict[str, Any] | None = None
    ) -> OpenAPISchema:
        if path_prefix is None:
            path_prefix = self.get_root_path(path_params or {})
        return _described(self, path_prefix)


@lru_cache(maxsize=4)  # prefixes: there is one, but in tests
def _described(api: NinjaAPI, path_prefix: str) -> OpenAPISchema:
    return get_schema(api=api, path_prefix=path_prefix)


api = Described(
    title="LumiKB",
    version="1",
    description="Upload documents, watch them become ready, search them with citations.",
    auth=[Bearer(), Session()],
    docs_decorator=_docs,
)
api.add_decorator(refuse_unknown, mode="operation")
api.add_router("", documents_router, tags=["documents"])
api.add_router("", accounts_router, tags=["members"])
api.add_router("", search_router, tags=["search"])


@api.exception_handler(Refused)
def _refused(request: HttpRequest, error: Refused) -> HttpResponse:
    response = _error(request, error.status, error.code, error.message, error.details)
    if "retry_after" in error.details:
        response["Retry-After"] = str(error.details["retry_after"])
    return response


@api.exception_handler(Http404)
def _not_found(request: HttpRequest, error: Http404) -> HttpResponse:
    return _error(request, 404, "not_found", NOT_FOUND)


@api.exception_handler(ValidationError)
def _invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    unknown = [str(each["loc"][-1]) for each in error.errors if each["type"] == "extra_forbidden"]
    if unknown:
        return _refused(request, unknown_fields(unknown))
    wrong = {_field(e["loc"]): e["msg"].removeprefix("Value error, ") for e in error.errors}
    said = [f"{field}: {why}" for field, why in islice(wrong.items(), MOST_SAID)]
    message = f"The request is not of the right form. {'; '.join(said)}."
    return _error(request, 400, "invalid_request", message, wrong)


def _field(loc: Sequence[str | int]) -> str:
    """As the client wrote it: without the part of the request and our argument that it is for."""
    own = loc[2:] if loc[0] == "body" else loc[1:]
    return ".".join(map(str, own)) or "the body"


@api.exception_handler(HttpError)
def _http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    if error.status_code == 401:
        message = "Log in, or send the header “Authorization: Bearer TOKEN”."
        response = _error(request, 401, "unauthenticated", message)
        response["WWW-Authenticate"] = "Bearer"
        return response
    message = "The body is no JSON; send one object as application/json."
    if error.status_code != 400:  # Ninja's own of it say nothing else
        message = str(error)
    return _error(request, error.status_code, "invalid_request", message)


def _error(
    request: HttpRequest, status: int, code: str, message: str, details: Any = None
) -> HttpResponse:
    return api.create_response(request, error_body(code, message, details), status=status)
