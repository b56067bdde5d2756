"""The search page and a passage in its context."""

from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from documents import texts
from documents.deadlines import within
from documents.models import Chunk, Document, KnowledgeBase
from processing.index import ProcessingError

from .query import highlight, search

CONTEXT_CHARS = 2000  # on either side of a passage: about a page together
PAGE_SIZE = 10


@login_required
@require_safe
def search_page(request: HttpRequest) -> HttpResponse:
    """The form and the passages; `kb` may be given more than once."""
    query = request.GET.get("q", "").strip()
    chosen = request.GET.getlist("kb")
    context = {"query": query, "chosen": chosen, "results": [], "failed": False}
    try:
        passages = search(request.user, query, chosen or None, PAGE_SIZE)
    except ProcessingError:
        context["failed"] = True
    else:
        context["results"] = [
            {"passage": passage, "html": highlight(passage.chunk.text, query)}
            for passage in passages
        ]
    context["knowledge_bases"] = KnowledgeBase.objects.visible_to(request.user)
    return render(request, "search/search.html", context, status=503 if context["failed"] else 200)


@login_required
@require_safe
def passage(request: HttpRequest, chunk_id: UUID) -> HttpResponse:
    """A passage as it stands in its document's text, with what is around it."""
    documents = Document.objects.visible_to(request.user).searchable()
    chunk = get_object_or_404(
        Chunk.objects.filter(document__in=documents).select_related("document__knowledge_base"),
        pk=chunk_id,
    )
    query = request.GET.get("q", "")
    context = {"chunk": chunk, "document": chunk.document, "query": query}
    first = max(chunk.start - CONTEXT_CHARS, 0)
    last = chunk.end + CONTEXT_CHARS
    try:
        with within(settings.REQUEST_TIMEOUT):
            text = texts.excerpt(chunk.document, first, last + 1)
    except OSError:
        context |= {"passage": highlight(chunk.text, query), "text_missing": True}
    else:
        context |= {
            "before": text[: chunk.start - first],
            "passage": highlight(text[chunk.start - first : chunk.end - first], query),
            "after": text[chunk.end - first : last - first],
            "cut_before": first > 0,
            "cut_after": len(text) > last - first,
        }
    return render(request, "search/passage.html", context)
