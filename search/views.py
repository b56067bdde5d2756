"""The search page and a passage in its context."""

from datetime import date
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from documents import audit, texts
from documents.deadlines import within
from documents.models import Chunk, Document, KnowledgeBase
from documents.permissions import document_for
from formats import FORMATS
from processing.index import ProcessingError

from .passages import fits
from .presentation import Group, grouped, highlight
from .query import MAX_LENGTH, Query, day, parse
from .recorded import record
from .retrieval import MOST_RESULTS, OnlyWords, is_ours, search
from .similar import similar_to

CONTEXT_CHARS = 2000  # on either side of a passage: about a page together
PAGE_SIZE = 10  # documents
MOST_CHOICES = 30  # knowledge bases to be ticked; the others are found by their names
MORE_SHOWN = 3  # of their other passages, folded in
FIELDS = ("name", "type", "tag", "after", "before")


@login_required
@require_safe
def search_page(request: HttpRequest) -> HttpResponse:
    """The form and the documents with their passages; `kb` may be given more than once."""
    asked = request.GET
    query = _query(asked)
    page = _page(asked)
    context: dict[str, Any] = {
        "query": asked.get("q", "").strip()[:MAX_LENGTH],
        "asked": query,
        "chosen": asked.getlist("kb"),
        "fields": {field: asked.get(field, "") for field in FIELDS},
        "types": [(each.label.lower(), each.label) for each in FORMATS],
        "results": [],
    }
    context["narrowed"] = any(context["fields"].values())
    status = 200
    try:
        found = search(request.user, query, MOST_RESULTS)
        groups = grouped(found.passages, page * PAGE_SIZE + 1, folds=query.has_words)
        shown = groups[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
        context |= {
            "results": [_shown(group, query) for group in shown],
            "only_words": found.only_words,
            "misconfigured": found.only_words == OnlyWords.MISCONFIGURED,
            "fits": page > 1 or fits([group.best for group in shown]),
            "previous_page": _url(asked, page - 1) if page > 1 else "",
            "next_page": _url(asked, page + 1) if len(groups) > page * PAGE_SIZE else "",
            "first": (page - 1) * PAGE_SIZE + 1,
        }
        if not query.is_empty:
            record(request.user, query, len(shown))
    except ProcessingError as error:
        context["failed"] = True
        context["misconfigured"] = is_ours(error)
        status = 503
    context |= _choices(request.user, asked)
    return render(request, "search/search.html", context, status=status)


@login_required
@require_safe
def passage(request: HttpRequest, chunk_id: UUID) -> HttpResponse:
    """A passage as it stands in its document's text, with what is around it."""
    documents = Document.objects.visible_to(request.user).searchable()
    chunk = get_object_or_404(
        Chunk.objects.current()
        .filter(document__in=documents)
        .select_related("document__knowledge_base"),
        pk=chunk_id,
    )
    if request.method == "GET":
        audit.record(audit.Action.READ, request.user, chunk.document, detail="a passage")
    asked = parse(request.GET.get("q", ""))
    context = {"chunk": chunk, "document": chunk.document, "query": request.GET.get("q", "")}
    first = max(chunk.start - CONTEXT_CHARS, 0)
    last = chunk.end + CONTEXT_CHARS
    try:
        with within(settings.REQUEST_TIMEOUT):
            text = texts.excerpt(chunk.document, first, last + 1)
    except OSError:
        marked = highlight(chunk.text, asked.text, chunk.language, asked.phrases)
        context |= {"passage": marked, "text_missing": True}
    else:
        said = text[chunk.start - first : chunk.end - first]
        marked = highlight(said, asked.text, chunk.language, asked.phrases)
        context |= {
            "before": text[: chunk.start - first],
            "passage": marked,
            "after": text[chunk.end - first : last - first],
            "cut_before": first > 0,
            "cut_after": len(text) > last - first,
        }
    return render(request, "search/passage.html", context)


@login_required
@require_safe
def similar(request: HttpRequest, document_id: UUID) -> HttpResponse:
    """What is like a document; for htmx only the part for the document's page."""
    document = document_for(request.user, document_id)
    context: dict[str, Any] = {"document": document}
    try:
        context["similar"] = similar_to(document, request.user)
    except ProcessingError:
        context["failed"] = True
    template = "search/_similar.html" if request.htmx else "search/similar.html"  # type: ignore[attr-defined]
    return render(request, template, context)


def _choices(user: Any, asked: QueryDict) -> dict[str, Any]:
    """The knowledge bases that can be ticked: those that are, and the first that are called so."""
    visible = KnowledgeBase.objects.visible_to(user)
    called = asked.get("called", "").strip()
    ticked = list(visible.named(asked.getlist("kb")[:MOST_CHOICES]))
    others = visible.called(called).exclude(pk__in=[each.pk for each in ticked])
    shown = list(others[: MOST_CHOICES + 1])
    return {
        "knowledge_bases": ticked + shown[:MOST_CHOICES],
        "called": called,
        "more_knowledge_bases": bool(called) or len(shown) > MOST_CHOICES,
    }


def _query(asked: QueryDict) -> Query:
    return parse(asked.get("q", "")).narrowed(
        names=[asked.get("name", "").strip().replace("\x00", "")],
        types=[asked.get("type", "")],
        tags=[asked.get("tag", "").strip().replace("\x00", "")],
        knowledge_bases=asked.getlist("kb") or None,
        after=_day(asked.get("after", "")),
        before=_day(asked.get("before", "")),
    )


def _day(value: str) -> date | None:
    try:
        return day(value)
    except ValueError:
        return None


def _page(asked: QueryDict) -> int:
    number = asked.get("page", "")
    last = MOST_RESULTS // PAGE_SIZE
    is_number = number.isascii() and number.isdigit() and len(number) < 10
    return min(max(int(number), 1), last) if is_number else 1


def _url(asked: QueryDict, page: int) -> str:
    changed = asked.copy()
    changed["page"] = str(page)
    return f"?{changed.urlencode()}"


def _shown(group: Group, query: Query) -> dict[str, Any]:
    passages = [
        {
            "passage": each,
            "html": highlight(each.chunk.text, query.text, each.chunk.language, query.phrases),
        }
        for each in group.passages[: 1 + MORE_SHOWN]
    ]
    return {
        "best": passages[0],
        "more": passages[1:],
        "more_count": len(group.more),
        "same": group.same,
    }
