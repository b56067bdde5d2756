"""POST /api/v1/search."""

import time
from datetime import date
from typing import Annotated, Any
from unicodedata import normalize
from uuid import UUID

from django.http import HttpRequest
from ninja import Field, Router, Schema
from pydantic import BeforeValidator, ConfigDict

from documents.models import KnowledgeBase
from documents.permissions import document_for
from documents.problems import problems
from documents.refusals import Refused
from processing.index import ProcessingError

from .passages import fits
from .presentation import Group, grouped
from .query import MAX_LENGTH, Query, day, parse
from .recorded import record
from .retrieval import MOST_RESULTS, OnlyWords, is_ours, search
from .similar import similar_to

router = Router()

MAX_LIMIT = 100


def _day(value: Any) -> date:
    try:
        return day(str(value))
    except ValueError as error:
        raise ValueError("it is written like 2025-01-31, 2025-01 or 2025") from error


Slug = Annotated[str, Field(max_length=100)]
Words = Annotated[str, Field(min_length=1, max_length=MAX_LENGTH)]  # not an unset variable
Day = Annotated[date, BeforeValidator(_day, json_schema_input_type=str)]


class SearchIn(Schema):
    """`query` may have in it what people type on the page ("a phrase", -word, name:report ...); the
    fields say the same, and both hold."""

    model_config = ConfigDict(extra="forbid")  # a misspelt filter would search everything

    query: str = Field("", max_length=MAX_LENGTH, description="may be empty beside a filter")
    knowledge_bases: list[Slug] | None = Field(None, max_length=1000, description="their slugs")
    phrases: list[Words] = Field([], max_length=10, description="each passage has each of them")
    exclude: list[Words] = Field([], max_length=10, description="words and phrases")
    name: str | None = Field(None, min_length=1, max_length=255, description="a part of the file's")
    types: list[Words] = Field([], max_length=20, description="such as pdf, docx")
    tags: list[Words] = Field([], max_length=20, description="the document has each of them")
    after: Day | None = Field(None, description="uploaded then or later: 2025-01-31, 2025-01, 2025")
    before: Day | None = Field(None, description="uploaded before this day, month or year")
    limit: int = Field(10, ge=1, le=MAX_LIMIT)
    offset: int = Field(0, ge=0, le=MOST_RESULTS)
    grouped: bool = Field(False, description="one result a document, the same text once")


class ResultOut(Schema):
    """A passage, and what else its document has."""

    document_id: UUID = Field(alias="best.chunk.document_id")
    chunk_id: UUID = Field(alias="best.chunk.pk")
    filename: str = Field(alias="best.document.filename")
    knowledge_base: str = Field(alias="best.document.knowledge_base.slug")
    page: int | None = Field(alias="best.chunk.page")
    heading: str = Field(alias="best.chunk.heading")
    context: str = Field(alias="best.chunk.context")
    start: int = Field(alias="best.chunk.start")
    end: int = Field(alias="best.chunk.end")
    text: str = Field(alias="best.chunk.text")
    recognised: bool = Field(alias="best.chunk.recognised", description="read from a picture")
    score: float = Field(
        alias="best.score", description="higher is better, within this answer only"
    )
    relevance: float = Field(description="from 0 to 1, the same scale for all queries")
    more_in_document: int = Field(description="when grouped: its other passages")
    same_text: list[UUID] = Field(description="when grouped: documents that say the same")

    @staticmethod
    def resolve_relevance(group: Group) -> float:
        return round(group.best.relevance, 3)

    @staticmethod
    def resolve_more_in_document(group: Group) -> int:
        return len(group.more)

    @staticmethod
    def resolve_same_text(group: Group) -> list[UUID]:
        return [passage.document.pk for passage in group.same]


class SearchOut(Schema):
    results: list[ResultOut]
    fits: bool = Field(description="false: nothing answers this, the results only come nearest")
    half: str | None = Field(description='"words" when they alone could be searched, else null')
    half_because: OnlyWords | None = Field(
        description='"away": it may pass; "misconfigured": an operator has to mend it'
    )
    more: bool = Field(description="whether a greater offset has more")
    took_ms: float


@router.post("search", response={200: SearchOut, **problems(404)})
def search_passages(request: HttpRequest, data: SearchIn) -> Any:
    """The best passages first; `knowledge_bases` null searches all that the caller may see."""
    began = time.monotonic()
    query = _query(data)
    if query.is_empty and (query.excluded or not data.query):
        raise Refused("invalid_request", "Say in `query` what is searched for.", 400)
    if query.knowledge_bases:
        wanted = {normalize("NFC", slug) for slug in query.knowledge_bases}
        visible = KnowledgeBase.objects.visible_to(request.user).named(wanted)
        if unknown := wanted.difference(visible.values_list("slug", flat=True)):
            raise _no_knowledge_base(min(unknown))
    end = data.offset + data.limit + 1
    try:
        found = search(request.user, query, MOST_RESULTS if data.grouped else end)
        if data.grouped:
            groups = grouped(found.passages, end, folds=query.has_words)
        else:
            groups = [Group([passage]) for passage in found.best(end)]
    except ProcessingError as error:
        raise _refused(error) from error
    shown = groups[data.offset : end - 1]
    if not query.is_empty:
        record(request.user, query, len(shown))
    return {
        "results": shown,
        "fits": fits([group.best for group in groups[: data.limit]]),  # whatever the offset
        "half": "words" if found.only_words else None,
        "half_because": found.only_words,
        "more": len(groups) == end,
        "took_ms": round((time.monotonic() - began) * 1000, 1),
    }


class SimilarOut(Schema):
    """A document that is like another one."""

    document_id: UUID = Field(alias="document.pk")
    filename: str = Field(alias="document.filename")
    knowledge_base: str = Field(alias="document.knowledge_base.slug")
    cosine: float = Field(description="of its nearest passage: the scale is the model's own")


@router.get("documents/{document_id}/similar", response={200: list[SimilarOut], **problems(404)})
def similar_documents(request: HttpRequest, document_id: UUID) -> Any:
    """Documents that are like this one and that the caller may see, the nearest first."""
    document = document_for(request.user, document_id)
    try:
        return similar_to(document, request.user)
    except ProcessingError as error:
        raise _refused(error) from error


def _no_knowledge_base(slug: str) -> Refused:
    message = f"You see no knowledge base with the slug “{slug}”."
    return Refused("not_found", message, 404, {"knowledge_bases": slug})


def _refused(error: ProcessingError) -> Refused:
    if is_ours(error):
        message = "Search is not set up as it should be; an operator sees why in /health/ready."
        return Refused("search_misconfigured", message, 503)
    message = "Search is not available just now; please try again in a moment."
    return Refused("search_unavailable", message, 503)


def _query(data: SearchIn) -> Query:
    return parse(data.query).narrowed(
        phrases=data.phrases,
        excluded=data.exclude,
        names=[data.name] if data.name else [],
        types=data.types,
        tags=data.tags,
        knowledge_bases=data.knowledge_bases,
        after=data.after,
        before=data.before,
    )
