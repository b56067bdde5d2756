"""Texts to vectors, by an embedding service: the only module that speaks to one."""

import hashlib
import math
from array import array
from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

from django.conf import settings
from django.core.cache import caches

from processing.errors import Misconfigured, PermanentError, RetryableError, ServiceUnavailable

from . import gateway
from .centres import centred
from .generations import serving
from .model import Model, configured

RETRY_LATER = {408, 409, 429}  # and 5xx
OURS_TO_MEND = {401, 403, 404}  # a refused key, an address or a model that is not there
SHORTEST, LONGEST = 1e-9, 1e9  # of a vector: what the index squares must fit into single precision
NOT_UNDERSTOOD = "The answer of the embedding service could not be understood."


def embed(passages: Sequence[str], model: Model | None = None) -> list[list[float]]:
    """One vector per passage, in their order, of as many finite numbers as the model has, which is
    that of the settings unless another one is given.

    One attempt of at most `EMBEDDING_TIMEOUT` seconds; when the texts are refused, one more with a
    harmless text. Raises ServiceUnavailable, RetryableError when the service refuses these texts or
    answers nonsense, PermanentError on other dimensions.
    """
    model = model or configured()
    return _vectors([model.passage_prefix + text for text in passages], model)


def embed_query(text: str, model: Model | None = None) -> list[float]:
    """The vector of a query, by default for the index that is read; remembered for ten minutes.
    It is to be compared with those of passages only (centres.py).

    Raises as `embed` does.
    """
    model = model or serving().model
    asked = repr((settings.EMBEDDING_API_BASE, astuple(model), text))
    key = hashlib.sha256(asked.encode(errors="replace")).hexdigest()
    cache = caches["queries"]
    if (known := cache.get(key)) is not None:
        return list(known)
    [vector] = _vectors([model.query_prefix + text], model)
    vector = centred(vector, text, model)
    cache.set(key, array("d", vector))
    return vector


def warm_up() -> None:
    """Import LiteLLM, which takes two seconds, before somebody waits for it."""
    gateway.warm_up()


def _vectors(texts: Sequence[str], model: Model) -> list[list[float]]:
    try:
        data = gateway.embedding(model.name, texts)
    except Exception as error:
        raise _translated(error, model) from error
    return _checked(data, len(texts), model.dimensions)


def _translated(error: Exception, model: Model) -> Exception:
    status = gateway.status_of(error)
    if status is None:
        return error  # not the service's answer: a defect of ours
    reason = gateway.reason_of(error, status)
    if status in OURS_TO_MEND:
        return Misconfigured("embedding", reason)
    if status in RETRY_LATER or status >= 500:
        headers = getattr(error, "litellm_response_headers", None) or {}
        return ServiceUnavailable("embedding", reason, _seconds(headers.get("retry-after")))
    if not _accepts_harmless_text(model):
        return Misconfigured(
            "embedding", f"{reason} for any text: its key or its model may be wrong"
        )
    return RetryableError(
        "embedding_refused", f"The embedding service did not accept the text ({reason})."
    )


def _accepts_harmless_text(model: Model) -> bool:
    """Is it this text that was refused? LiteLLM's proxy answers 400 to a wrong key, too, and to a
    model that it does not have: nothing that a document can mend.
    """
    try:
        gateway.embedding(model.name, ["text"])
    except Exception:
        return False
    return True


def _seconds(header: str | None) -> float | None:
    try:
        seconds = float(header or "nan")
    except ValueError:  # a date; our own backoff will do
        return None
    return seconds if 0 <= seconds < math.inf else None


def _checked(data: Sequence[Any], expected: int, dimensions: int) -> list[list[float]]:
    try:
        items = [item if isinstance(item, dict) else item.model_dump() for item in data]
        items.sort(key=lambda item: item["index"])
        indexes = [item["index"] for item in items]
        vectors = [[float(number) for number in item["embedding"]] for item in items]
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise RetryableError("bad_embeddings", NOT_UNDERSTOOD) from error
    if len(vectors) != expected:
        raise RetryableError(
            "bad_embeddings",
            f"The embedding service answered {len(vectors)} vectors for {expected} passages.",
        )
    if indexes != list(range(expected)):  # whose vector is whose?
        raise RetryableError("bad_embeddings", NOT_UNDERSTOOD)
    for vector in vectors:
        if len(vector) != dimensions:
            raise PermanentError(
                "wrong_dimensions",
                f"The embedding model answers {len(vector)} dimensions where "
                f"{dimensions} are configured; ask your operator.",
            )
        if not SHORTEST < math.hypot(*vector) < LONGEST:  # false for NaN, too
            raise RetryableError(
                "bad_embeddings", "The embedding service answered a vector without a direction."
            )
    return vectors
