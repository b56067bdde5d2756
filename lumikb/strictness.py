"""What the API does not know it refuses: a misspelt filter must not find everything."""

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest

from documents.connections import release
from documents.refusals import unknown_fields

FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
BROWSERS_OWN = {"csrfmiddlewaretoken"}


def refuse_unknown(view: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator of every operation of the API: no other query parameters, fields or files.

    The keys of a JSON body that an operation reads are the business of its schema.
    """
    known: dict[str, set[str]] = {}
    for model in view._ninja_operation.models:  # type: ignore[attr-defined]
        names = getattr(model, "__ninja_flatten_map__", model.model_fields)
        known.setdefault(model.__ninja_param_source__, set()).update(names)

    @wraps(view)
    def strict(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        _compare(request.GET, known.get("query", set()))
        if "file" in known:  # one without a form has no file, and the view says so
            _compare({*request.POST, *request.FILES}, known["file"] | known.get("form", set()))
        elif "body" not in known and request.method not in ("GET", "HEAD"):
            _compare(_fields(request), set())
        return view(request, *args, **kwargs)

    return strict


def _compare(sent: Any, known: set[str]) -> None:
    if unknown := set(sent) - known - BROWSERS_OWN:
        raise unknown_fields(unknown, known)


def _fields(request: HttpRequest) -> set[str]:
    """What a body names that no schema reads."""
    release()  # it may come slowly
    if request.content_type in FORMS:
        return {*request.POST, *request.FILES}
    if not request.body:
        return set()
    try:
        content = json.loads(request.body)
    except (ValueError, RecursionError):  # no JSON, or deeper than anybody means
        return {"the body"}
    return set(content) if isinstance(content, dict) else {"the body"}
