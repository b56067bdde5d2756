"""LiteLLM, which speaks to the services that have models: the only module that imports it."""

from functools import cache
from typing import Any

import httpx

from processing.errors import http_reason


@cache
def litellm() -> Any:
    """The module; its import takes two seconds."""
    import litellm

    litellm.suppress_debug_info = True
    # num_retries=0 is ignored; retries are the outbox's business.
    litellm.DEFAULT_MAX_RETRIES = 0  # type: ignore[misc]
    return litellm


def status_of(error: Exception) -> int | None:
    """LiteLLM's many classes have one thing in common: a status code. None: no error of theirs."""
    return getattr(error, "status_code", None)


def reason_of(error: Exception, status: int) -> str:
    """Why the service is not available, as an operator reads it."""
    # LiteLLM makes a 500 of a service that nobody reaches.
    return "no connection" if _is_unanswered(error) else http_reason(status)


def _is_unanswered(error: BaseException | None) -> bool:
    while error and not isinstance(error, httpx.TransportError):
        error = error.__cause__ or error.__context__
    return error is not None and not isinstance(error, httpx.TimeoutException)
