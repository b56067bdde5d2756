"""The pages of knowledge bases and documents."""

from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.humanize.templatetags.humanize import intcomma
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.html import format_html
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from formats import BY_EXTENSION

from . import audit, counts, lifecycle, limits, refusals, tags, uploads
from .bulk import confirm, freeze, frozen_before, shown
from .downloads import original
from .forms import KnowledgeBaseForm
from .listing import NEWEST_FIRST, SORTS, Asked, Pages
from .models import BulkAction, Document, KnowledgeBase, Membership, Status
from .models.querysets import NEWEST, is_short
from .permissions import (
    MAY_EDIT,
    document_for,
    editable_document,
    editable_knowledge_base,
    knowledge_base_for,
    may_edit,
)
from .reading import versions
from .selection import undo_of

PAGE_SIZE = 25
KNOWLEDGE_BASES_SHOWN = 60
SORTS_SAID = {
    NEWEST_FIRST: "Newest first",
    "created_at": "Oldest first",
    "filename": "Name, A to Z",
    "-filename": "Name, Z to A",
}
BULK_SHOWN = 10  # documents of a set that is to be confirmed
BULK_OF_A_SEARCH = (BulkAction.Action.REQUEUE, BulkAction.Action.DELETE)
BULK_OFFERED = {
    **dict.fromkeys(["failed", "ready", "partly_read"], BULK_OF_A_SEARCH),
    "pending": (BulkAction.Action.DELETE,),
    "stuck": (BulkAction.Action.UNSTICK, BulkAction.Action.DELETE),
    "deleted": (BulkAction.Action.RESTORE,),
}


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def knowledge_bases(request: HttpRequest) -> HttpResponse:
    """The user's knowledge bases, and the form that makes one."""
    form = KnowledgeBaseForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        return redirect(form.save_for(request.user))
    q = request.GET.get("q", "").strip()
    visible = KnowledgeBase.objects.visible_to(request.user).called(q)
    page = Paginator(visible, KNOWLEDGE_BASES_SHOWN).get_page(request.GET.get("page"))
    page.object_list = list(page.object_list)
    counts.tell(page.object_list)
    context = {"knowledge_bases": page, "q": q, "form": form}
    return render(request, "documents/knowledge_bases.html", context)


@login_required
@require_safe
@vary_on_headers("HX-Request")  # or "back" shows the fragment as if it were the page
def documents(request: HttpRequest, slug: str) -> HttpResponse:
    """A knowledge base's documents and the upload; for htmx only the table, which polls itself."""
    knowledge_base = knowledge_base_for(request.user, slug)
    filters = {key: request.GET.get(key, "").strip() for key in ("status", "q", "tag")}
    numbers = counts.of_bases([knowledge_base.pk])[knowledge_base.pk]
    sort = request.GET.get("sort", "")
    sort = sort if sort in SORTS else NEWEST_FIRST
    pages = Pages.of(knowledge_base, PAGE_SIZE, Asked(**filters, sort=sort), numbers)
    wanted = request.GET.get("page") or "1"
    number = pages.number(wanted)
    if wanted != str(number):  # beyond the end, say: what is shown has an address of its own
        here = request.GET.copy()
        here["page"] = str(number)
        here.pop("near", None)
        return redirect(f"{request.path}?{here.urlencode()}")
    page = pages.page(number, near=request.GET.get("near", ""))
    under_way = BulkAction.objects.under_way(knowledge_base) if "bulk" in numbers else []
    role = knowledge_base.role_of(request.user)
    context = {
        "knowledge_base": knowledge_base,
        "page": page,
        "filters": filters,
        "statuses": Status.choices,
        "newest_only": _newest_only(filters["q"], numbers),
        "undo": [] if request.htmx else undo_of(request, knowledge_base),  # type: ignore[attr-defined]
        "here": f"?{request.GET.urlencode()}",
        # Not with each poll: somebody may be writing a tag there.
        "buttons_anew": request.htmx.trigger == "filters",  # type: ignore[attr-defined]
        "in_progress": bool(under_way) or any(not document.is_finished for document in page),
        "under_way": under_way,
        "bulk_actions": BULK_OFFERED.get(
            filters["status"], BULK_OF_A_SEARCH if filters["q"] or filters["tag"] else ()
        ),
        "shown_numbers": [
            (state, f"{intcomma(numbers[state])} {Status(state).label.lower()}")
            for state in (Status.READY, Status.FAILED, Status.PROCESSING, Status.PENDING)
            if numbers.get(state)
        ],
        "sorts": SORTS_SAID,
        "sort": sort,
        "may_edit": role in MAY_EDIT,
        "is_owner": role == Membership.Role.OWNER,
        "accepted": ",".join(BY_EXTENSION),
        "max_bytes": settings.UPLOAD_MAX_BYTES,
    }
    template = "documents/_table.html" if request.htmx else "documents/documents.html"  # type: ignore[attr-defined]
    return render(request, template, context)


@login_required
@require_POST
def bulk(request: HttpRequest, slug: str) -> HttpResponse:
    """Do the same to all documents of a list: asked first, when it is said which they are."""
    knowledge_base = editable_knowledge_base(request.user, slug)
    action = request.POST.get("action", "")
    if action not in BulkAction.Action.values:
        return redirect(knowledge_base)
    asked = Asked(**{key: request.POST.get(key, "").strip() for key in ("status", "q", "tag")})
    number = request.POST.get("bulk", "")
    if not number:
        chosen = asked.of(knowledge_base.document_set.all())
        which = f"status {asked.status or 'any'}" + (f", name with “{asked.q}”" if asked.q else "")
        which += f", tag {asked.tag}" if asked.tag else ""
        frozen = freeze(action, chosen, request.user, which, knowledge_base)
        some = Document.objects.filter(pk__in=shown(frozen, BULK_SHOWN)).explained_page()
        context = {"knowledge_base": knowledge_base, "bulk": frozen, "asked": asked, "some": some}
        return render(request, "documents/bulk.html", context)
    found = frozen_before(number, action, request.user, knowledge_base=knowledge_base)
    if found is None:
        raise Http404
    done = confirm(found)
    if done.finished_at:
        messages.success(request, f"{done.get_action_display()}: {done.says()}")
    return redirect(knowledge_base)


@login_required
@require_POST
def upload(request: HttpRequest, slug: str) -> HttpResponse:
    """Take the files of the form's field `file`, each for itself; one refused hinders no other."""
    knowledge_base = editable_knowledge_base(request.user, slug)
    files = request.FILES.getlist("file")  # reads the body: only now it is known what is too large
    results: list[Document | refusals.Refused] = []
    for name in getattr(request, "oversized_files", []):
        too_large = uploads.too_large(name)
        too_large.details["filename"] = name
        results.append(too_large)
    for file in files:
        try:
            results.append(
                uploads.accept(
                    cast(uploads.ReceivedFile, file),
                    knowledge_base,
                    request.user,
                    words=request.POST.get("tags", ""),
                )
            )
        except refusals.Refused as refused:
            refused.details.setdefault("filename", file.name)
            results.append(refused)
    if not results:
        results.append(refusals.invalid_filename("Choose a file first."))
    if request.htmx:  # type: ignore[attr-defined]
        context = {"results": results, "knowledge_base": knowledge_base}
        return render(request, "documents/_upload_results.html", context, status=_worst(results))
    for result in results:
        if isinstance(result, Document):
            messages.success(request, f"{result.filename} is stored; it waits to be processed.")
        else:
            messages.error(request, _with_link(result, result.details.get("filename", "")))
    return redirect(knowledge_base)


@login_required
@require_safe
@vary_on_headers("HX-Request")  # or "back" shows the fragment as if it were the page
def document(request: HttpRequest, document_id: UUID) -> HttpResponse:
    """A document's state and timeline; for htmx only the part that changes, which polls itself."""
    shown = document_for(request.user, document_id)
    if request.method == "GET" and not request.htmx:  # type: ignore[attr-defined]
        audit.record(audit.Action.READ, request.user, shown)
    context = {
        "document": shown,
        "explanation": shown.explain(),
        "events": shown.events.select_related("by"),
        "versions": [] if request.htmx else versions(shown),  # type: ignore[attr-defined]
        "may_edit": may_edit(request.user, shown.knowledge_base),
    }
    template = "documents/_state.html" if request.htmx else "documents/document.html"  # type: ignore[attr-defined]
    return render(request, template, context)


@login_required
@require_safe
def content(request: HttpRequest, document_id: UUID) -> HttpResponseBase:
    """The original file."""
    shown = document_for(request.user, document_id)
    try:
        response = original(shown)
    except refusals.Refused as refused:
        context = {"status": refused.status, "message": str(refused)}
        return render(request, "error.html", context, status=refused.status)
    if request.method == "GET":
        audit.record(audit.Action.DOWNLOADED, request.user, shown)
    return response


@login_required
@require_POST
def requeue(request: HttpRequest, document_id: UUID) -> HttpResponse:
    return _act(request, document_id, lifecycle.requeue, "will be processed again.")


@login_required
@require_POST
def delete(request: HttpRequest, document_id: UUID) -> HttpResponse:
    return _act(request, document_id, lifecycle.soft_delete, "is deleted. It can be restored.")


@login_required
@require_POST
def restore(request: HttpRequest, document_id: UUID) -> HttpResponse:
    return _act(request, document_id, limits.restore, "is back.")


@login_required
@require_POST
def tag(request: HttpRequest, document_id: UUID) -> HttpResponse:
    """Put these tags on a document, and no others."""
    target = editable_document(request.user, document_id)
    try:
        tags.put(target, tags.clean(request.POST.get("tags", "")), request.user)
        messages.success(request, "The tags are saved.")
    except refusals.Refused as refused:
        messages.error(request, str(refused))
    return redirect(target)


@login_required
@require_POST
def replace(request: HttpRequest, document_id: UUID) -> HttpResponse:
    """Put an uploaded file in the document's place."""
    old = editable_document(request.user, document_id)
    try:
        new = uploads.replace(uploads.file_from(request), old, request.user)
    except refusals.Refused as refused:
        messages.error(request, _with_link(refused))
        return redirect(old)
    stays = " The earlier version stays searchable until it is ready." if old.indexed_at else ""
    messages.success(request, f"{new.filename} is stored as the new version.{stays}")
    return redirect(new)


def _act(
    request: HttpRequest, document_id: UUID, action: Callable[[UUID, Any], bool], done: str
) -> HttpResponse:
    target = editable_document(request.user, document_id)
    try:
        if action(target.pk, request.user):
            messages.success(request, f"{target.filename} {done}")
        else:
            messages.info(request, f"{target.filename} has changed meanwhile; nothing was done.")
    except lifecycle.DuplicateFilename as error:
        duplicate = refusals.duplicate_filename(error, target.filename, target.sha256)
        messages.error(request, _with_link(duplicate))
    except refusals.Refused as refused:
        messages.error(request, str(refused))
    return redirect(target)


def _newest_only(q: str, numbers: counts.Counts) -> int:
    """So many are looked through for a name, if not all."""
    count = sum(numbers.get(state, 0) for state in counts.LIVE)
    return NEWEST if is_short(q) and count > NEWEST else 0


def _with_link(refused: refusals.Refused, name: str = "") -> str:
    """The sentence, with the file's name, and with a link to the document that is in the way."""
    is_named = not name or f"“{name}”" in str(refused)
    sentence = str(refused) if is_named else f"{name}: {refused}"
    if "document_id" not in refused.details:
        return sentence
    there = reverse("document", args=[refused.details["document_id"]])
    return format_html('{} <a href="{}">Open it</a>', sentence, there)


def _worst(results: list[Document | refusals.Refused]) -> int:
    return max(r.status if isinstance(r, refusals.Refused) else 201 for r in results)
