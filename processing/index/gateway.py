"""LiteLLM, which speaks to the services that have models: the only module that imports it."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import httpx
from django.conf import settings

from documents.deadlines import within
from processing.errors import http_reason


def embedding(model: str, texts: Sequence[str]) -> Sequence[Any]:
    """What the embedding service answers, within `EMBEDDING_TIMEOUT` seconds."""
    litellm = _litellm()
    with within(settings.EMBEDDING_TIMEOUT):
        answer = litellm.embedding(
            model=model,
            input=list(texts),
            api_base=settings.EMBEDDING_API_BASE,
            api_key=settings.EMBEDDING_API_KEY,
            timeout=settings.EMBEDDING_TIMEOUT,  # for one read
        )
    data: Sequence[Any] = answer.data
    return data


def rerank(query: str, texts: Sequence[str]) -> Sequence[Any]:
    """What the reranking service answers, within `RERANK_TIMEOUT` seconds."""
    litellm = _litellm()
    with within(settings.RERANK_TIMEOUT):
        answer = litellm.rerank(
            model=settings.RERANK_MODEL,
            query=query,
            documents=list(texts),
            top_n=len(texts),
            return_documents=False,
            api_base=settings.RERANK_API_BASE,
            api_key=settings.RERANK_API_KEY,
            timeout=settings.RERANK_TIMEOUT,  # for one read
        )
    return answer.results or []


def warm_up() -> None:
    """Import LiteLLM, which takes two seconds, before somebody waits for it."""
    _litellm()


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


@cache
def _litellm() -> Any:
    import litellm

    litellm.suppress_debug_info = True
    # num_retries=0 is ignored; retries are the outbox's business.
    litellm.DEFAULT_MAX_RETRIES = 0  # type: ignore[misc]
    return litellm
