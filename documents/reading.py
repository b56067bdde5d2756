"""A document's text, page by page, with its passages; its pages as they look; and its versions."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.db.models import Max
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from . import audit, pictures, texts
from .deadlines import within
from .downloads import page_picture
from .models import Chunk, Document
from .permissions import document_for
from .refusals import Refused

PASSAGES = 20  # on a page of a file that has no pages itself
MOST_PASSAGES = 200  # on one that has
MOST_VERSIONS = 20


@dataclass(frozen=True, slots=True)
class Piece:
    """Some of the text: a passage, or what stands between two."""

    text: str
    chunk: Chunk | None = None


@login_required
@require_safe
def text(request: HttpRequest, document_id: UUID) -> HttpResponse:
    """Page `page` of the file, or so many passages of a file without pages."""
    document = document_for(request.user, document_id)
    audit.record(audit.Action.READ, request.user, document)
    chunks = Chunk.objects.filter(document=document, reading=document.chunk_reading)
    pages = chunks.aggregate(last=Max("page"))["last"]
    count = pages or -(-document.chunk_count // PASSAGES)
    number = _number(request.GET.get("page", ""), count)
    shown = chunks.order_by("position").defer("words")
    if pages:
        found = list(shown.filter(page=number)[:MOST_PASSAGES])
    else:
        found = list(shown[(number - 1) * PASSAGES : number * PASSAGES])
    context: dict[str, Any] = {
        "document": document,
        "number": number,
        "count": count,
        "previous": number - 1,
        "next": number + 1 if number < count else 0,
        "has_pages": bool(pages),
    }
    try:
        context["pieces"] = _pieces(document, found)
    except OSError:
        context["pieces"] = [Piece(each.text, each) for each in found]
        context["text_missing"] = True
    return render(request, "documents/text.html", context)


@login_required
@require_safe
@vary_on_headers("HX-Request")  # or "back" shows the fragment as if it were the page
def page(request: HttpRequest, document_id: UUID, number: int) -> HttpResponse:
    """A page as it looks, with the rectangles of its passages; for htmx only what changes while it
    is being drawn. `passage` is the position of the one that somebody looks for.
    """
    document = document_for(request.user, document_id)
    if not document.has_pictures or not 1 <= number <= settings.PARSE_MAX_PAGES:
        raise Http404
    if request.method == "GET" and not request.htmx:  # type: ignore[attr-defined]
        audit.record(audit.Action.READ, request.user, document, detail=f"page {number}")
    drawn = pictures.ask(document, number)
    chunks = Chunk.objects.filter(document=document, reading=document.chunk_reading)
    shown = list(chunks.filter(page=number).order_by("position").defer("words")[:MOST_PASSAGES])
    wanted = request.GET.get("passage", "")
    chosen = next((each for each in shown if str(each.position) == wanted), None)
    count = drawn.pages or chunks.aggregate(last=Max("page"))["last"] or 1
    context = {
        "document": document,
        "picture": drawn,
        "passages": [(each, pictures.outline(drawn, each), each == chosen) for each in shown],
        "chosen": chosen,
        "is_placed": bool(chosen and pictures.outline(drawn, chosen)),
        "number": number,
        "count": count,
        "previous": min(number - 1, count),
        "next": number + 1 if number < count else 0,
    }
    if not request.htmx:  # type: ignore[attr-defined]
        return render(request, "documents/page.html", context)
    response = render(request, "documents/_sheet.html", context)
    if context["is_placed"]:  # the address names a place that was not there when it was opened
        response["HX-Reswap"] = "outerHTML show:#chosen:top"
    return response


@login_required
@require_safe
def picture(request: HttpRequest, document_id: UUID, number: int) -> HttpResponseBase:
    """The picture of a page that is drawn; one that is lost will be drawn anew."""
    drawn = pictures.drawn(document_for(request.user, document_id), number)
    if drawn is None:
        raise Http404
    try:
        return page_picture(drawn)
    except FileNotFoundError:
        pictures.forget(drawn)
        raise Http404 from None
    except Refused as refused:
        return HttpResponse(str(refused), status=refused.status, content_type="text/plain")


def versions(document: Document) -> list[Document]:
    """This and those that it has replaced, the newest first."""
    found = [document]
    while found[-1].replaces_id and len(found) < MOST_VERSIONS:
        earlier = Document.objects.select_related("uploaded_by")
        found.append(earlier.get(pk=found[-1].replaces_id))
    return found


def _pieces(document: Document, chunks: list[Chunk]) -> list[Piece]:
    """What stands from the first of these passages to the last; one that overlaps with the one
    before begins where that ends.
    """
    if not chunks:
        return []
    first, last = min(each.start for each in chunks), max(each.end for each in chunks)
    with within(settings.REQUEST_TIMEOUT):
        whole = texts.excerpt(document, first, last)
    pieces = []
    at = first
    for chunk in sorted(chunks, key=lambda each: each.start):
        if chunk.start > at:
            pieces.append(Piece(whole[at - first : chunk.start - first]))
        begin = max(chunk.start, at)
        if chunk.end > begin:
            pieces.append(Piece(whole[begin - first : chunk.end - first], chunk))
            at = chunk.end
    return pieces


def _number(wanted: str, count: int) -> int:
    number = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 10 else 1
    return min(max(number, 1), max(count, 1))
