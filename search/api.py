"""POST /api/v1/search."""

import time
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest
from ninja import Field, Router, Schema

from documents.models import KnowledgeBase
from documents.refusals import Refused
from processing.index import ProcessingError

from .query import MAX_LIMIT, search

router = Router()


class SearchIn(Schema):
    query: str = Field(min_length=1, max_length=2000)
    knowledge_bases: list[str] | None = None
    limit: int = Field(10, ge=1, le=MAX_LIMIT)


class PassageOut(Schema):
    document_id: UUID = Field(alias="chunk.document_id")
    chunk_id: UUID = Field(alias="chunk.pk")
    filename: str = Field(alias="document.filename")
    knowledge_base: str = Field(alias="document.knowledge_base.slug")
    page: int | None = Field(alias="chunk.page")
    heading: str = Field(alias="chunk.heading")
    start: int = Field(alias="chunk.start")
    end: int = Field(alias="chunk.end")
    text: str = Field(alias="chunk.text")
    score: float


class SearchOut(Schema):
    results: list[PassageOut]
    took_ms: float


@router.post("search", response=SearchOut)
def search_passages(request: HttpRequest, data: SearchIn) -> Any:
    """The best passages first; `knowledge_bases` null searches all that the caller may see."""
    began = time.monotonic()
    if data.knowledge_bases:
        visible = KnowledgeBase.objects.visible_to(request.user).values_list("slug", flat=True)
        if set(data.knowledge_bases).difference(visible):
            raise Http404  # as everywhere for what may not be seen
    try:
        results = search(request.user, data.query, data.knowledge_bases, data.limit)
    except ProcessingError as error:
        message = "Search is not available just now; please try again in a moment."
        raise Refused("search_unavailable", message, 503) from error
    return {"results": results, "took_ms": round((time.monotonic() - began) * 1000, 1)}
