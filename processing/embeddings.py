"""Texts to vectors, through LiteLLM: the only module that speaks to an embedding service."""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

from django.conf import settings

from .errors import PermanentError, RetryableError, ServiceUnavailable

RETRY_LATER = {401, 403, 404, 408, 409, 429}  # and 5xx; refused keys and models are ours to mend


def embed(texts: Sequence[str]) -> list[list[float]]:
    """One vector per text, in their order, of `EMBEDDING_DIMENSIONS` finite numbers.

    One attempt of at most `EMBEDDING_TIMEOUT` seconds. Raises ServiceUnavailable, RetryableError
    when the service refuses the texts or answers nonsense, PermanentError on other dimensions.
    """
    litellm = _litellm()
    try:
        response = litellm.embedding(
            model=settings.EMBEDDING_MODEL,
            input=list(texts),
            api_base=settings.EMBEDDING_API_BASE,
            api_key=settings.EMBEDDING_API_KEY,
            timeout=settings.EMBEDDING_TIMEOUT,
        )
    except Exception as error:  # LiteLLM's many classes have one thing in common: a status code
        raise _translated(error) from error
    return _checked(response.data, len(texts))


def warm_up() -> None:
    """Import LiteLLM, which takes two seconds, before somebody waits for it."""
    _litellm()


@cache
def _litellm() -> Any:
    import litellm

    litellm.suppress_debug_info = True
    # num_retries=0 is ignored; retries are the outbox's business.
    litellm.DEFAULT_MAX_RETRIES = 0  # type: ignore[misc]
    return litellm


def _translated(error: Exception) -> Exception:
    status = getattr(error, "status_code", None)
    if status is None:
        return error  # not the service's answer: a defect of ours
    reason = "no answer in time" if status == 408 else f"HTTP {status}"
    if status in RETRY_LATER or status >= 500:
        headers = getattr(error, "litellm_response_headers", None) or {}
        return ServiceUnavailable("embedding", reason, _seconds(headers.get("retry-after")))
    return RetryableError(
        "embedding_refused", f"The embedding service did not accept the text ({reason})."
    )


def _seconds(header: str | None) -> float | None:
    try:
        seconds = float(header or "nan")
    except ValueError:  # a date; our own backoff will do
        return None
    return seconds if 0 <= seconds < math.inf else None


def _checked(data: Sequence[Any], expected: int) -> list[list[float]]:
    try:
        items = [item if isinstance(item, dict) else item.model_dump() for item in data]
        vectors = [item["embedding"] for item in sorted(items, key=lambda item: item["index"])]
    except (AttributeError, KeyError, TypeError) as error:
        raise RetryableError(
            "bad_embeddings", "The answer of the embedding service could not be understood."
        ) from error
    if len(vectors) != expected:
        raise RetryableError(
            "bad_embeddings",
            f"The embedding service answered {len(vectors)} vectors for {expected} passages.",
        )
    for vector in vectors:
        if len(vector) != settings.EMBEDDING_DIMENSIONS:
            raise PermanentError(
                "wrong_dimensions",
                f"The embedding model answers {len(vector)} dimensions where "
                f"{settings.EMBEDDING_DIMENSIONS} are configured; ask your operator.",
            )
        if not all(map(math.isfinite, vector)) or not any(vector):
            raise RetryableError(
                "bad_embeddings", "The embedding service answered a vector without a direction."
            )
    return vectors
