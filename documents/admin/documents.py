"""Documents: why each is where it is, its timeline, and what an operator can do about it."""

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.timesince import timesince

from documents import counts
from documents.bulk import OPERATE, confirm, freeze, frozen_before, is_number, shown
from documents.figures import PERIODS
from documents.listing import Pages, kept_count
from documents.models import (
    BulkAction,
    Document,
    DocumentEvent,
    KnowledgeBase,
    OutboxMessage,
    Status,
)
from formats.unread import LABELS

from .buttons import Buttons
from .readonly import ReadOnly, person

MOST_SHOWN = 20  # documents of a set that is to be confirmed
DONE: dict[str, str] = {
    BulkAction.Action.REQUEUE: "requeued",
    BulkAction.Action.UNSTICK: "requeued",
    BulkAction.Action.DELETE: "deleted",
    BulkAction.Action.RESTORE: "restored",
}
FILTERS = {  # what a list is filtered by, in words before the value
    "status__exact": "with the status",
    "failure_code": "that failed with",
    "knowledge_base__id__exact": "of the knowledge base number",
    "finished": "finished in the last",
    "stuck": "that are stuck:",
    "unread": "of which was not read:",
    "deleted": "deleted:",
}


class StuckFilter(admin.SimpleListFilter):
    title = "stuck"
    parameter_name = "stuck"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Stuck")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.stuck() if self.value() == "yes" else queryset


class UnreadFilter(admin.SimpleListFilter):
    title = "not read"
    parameter_name = "unread"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        numbers = counts.of_all()
        of_kind = {kind: numbers.get(f"unread {kind}", 0) for kind in LABELS}
        kinds = [(kind, f"{LABELS[kind]} ({count:,})") for kind, count in of_kind.items() if count]
        return [("any", f"Anything ({numbers.get('partly_read', 0):,})"), *kinds]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if not self.value():
            return queryset
        found = queryset.partly_read()
        if self.value() == "any":
            return found
        return found.filter(unread__contains=[{"kind": self.value()}])


class FinishedFilter(admin.SimpleListFilter):
    title = "ready or failed"
    parameter_name = "finished"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(period, f"In the last {period}") for period in PERIODS]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        period = PERIODS.get(self.value() or "")
        return queryset.finished_within(period) if period else queryset


class KnowledgeBaseFilter(admin.SimpleListFilter):
    """One of the first, or the one whose number the address says: the list of knowledge bases
    links to it. More than a screen of them would be no choice.
    """

    title = "knowledge base"
    parameter_name = "knowledge_base__id__exact"
    SHOWN = 20

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        wanted = request.GET.get(self.parameter_name, "")
        chosen = KnowledgeBase.objects.filter(pk=wanted) if is_number(wanted) else []
        first = KnowledgeBase.objects.all()[: self.SHOWN]
        return [
            (str(pk), name)
            for pk, name in {each.pk: each.name for each in [*chosen, *first]}.items()
        ]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        value = self.value()
        if not value:
            return queryset
        return queryset.filter(knowledge_base=value) if is_number(value) else queryset.none()


class DeletedFilter(admin.SimpleListFilter):
    title = "deletion"
    parameter_name = "deleted"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Deleted"), ("all", "Live and deleted")]

    def choices(self, changelist: Any) -> Iterator[Any]:
        for choice in super().choices(changelist):
            yield {**choice, "display": "Live"} if choice["display"] == "All" else choice

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "all":
            return queryset
        return queryset.exclude(deleted_at=None) if self.value() else queryset.live()


class FailureFilter(admin.SimpleListFilter):
    """The codes that there are."""

    title = "failure code"
    parameter_name = "failure_code"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        kept = sorted(counts.of_all().items())
        codes = [state.removeprefix("failed ") for state, n in kept if state[:7] == "failed " and n]
        return [(code, code) for code in codes]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if not self.value():
            return queryset
        return queryset.live().filter(status=Status.FAILED, failure_code=self.value())


class MoreThan(int):
    """As many as were counted."""

    def __str__(self) -> str:
        return f"more than {int(self):,}"


class DocumentList(ChangeList):
    """Newest first, or oldest; see documents/listing.py."""

    def get_ordering(self, request: HttpRequest, queryset: Any) -> Any:
        newest_first = str(super().get_ordering(request, queryset)[0]).startswith("-")
        return ["-created_at", "-pk"] if newest_first else ["created_at", "pk"]

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not isinstance(self.result_list, list):  # all on one page
            self.result_list = self.result_list.explained_page()
        if self.paginator.has_more:
            self.result_count = MoreThan(self.result_count)


class EventInline(ReadOnly, admin.TabularInline):
    template = "admin/documents/inline.html"
    model = DocumentEvent
    verbose_name_plural = "timeline"
    fields = readonly_fields = ("created_at", "kind", "detail", "who", "epoch")
    who = person("by", "by")
    ordering = ["created_at", "pk"]

    def has_view_permission(self, request: HttpRequest, document: Any = None) -> bool:
        """Who may look at a document may look at its timeline."""
        return self.admin_site.get_model_admin(Document).has_view_permission(request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[DocumentEvent]:
        return super().get_queryset(request).select_related("by")


class MessageInline(ReadOnly, admin.TabularInline):
    """What is to be posted for it, and when."""

    template = "admin/documents/inline.html"
    model = OutboxMessage
    verbose_name_plural = "messages that wait"
    fields = readonly_fields = ("action", "priority", "due_at", "created_at")
    ordering = ["due_at", "pk"]

    def has_view_permission(self, request: HttpRequest, document: Any = None) -> bool:
        return self.admin_site.get_model_admin(Document).has_view_permission(request)


@admin.register(Document)
class DocumentAdmin(Buttons, ReadOnly, admin.ModelAdmin):
    list_display = [
        "filename", "knowledge_base", "state", "explanation",
        "stage", "progress", "not_read", "attempts", "age",
    ]  # fmt: skip
    list_filter = [
        StuckFilter,
        "status",
        FinishedFilter,
        UnreadFilter,
        KnowledgeBaseFilter,
        FailureFilter,
        DeletedFilter,
        "created_at",
    ]
    list_per_page = 50
    search_fields = ["filename"]
    sortable_by = ["age"]  # all others would sort a million
    actions = ["requeue", "requeue_all_stuck", "delete_documents", "restore_documents"]
    fieldsets = [
        (None, {"fields": ["state", "explanation", "knowledge_base", "uploader", "created_at"]}),
        ("File", {"fields": ["filename", "content_type", "size", "sha256", "storage_key"]}),
        (
            "Processing",
            {
                "fields": [
                    "stage",
                    "progress",
                    "attempts",
                    "deaths",
                    "due_at",
                    "progressed_at",
                    "finished_at",
                ]
            },
        ),
        ("Lease", {"fields": ["lease_epoch", "lease_expires_at", "worker"]}),
        ("Waiting", {"fields": ["waiting_for", "postponed_since", "posted_at"]}),
        ("Failure", {"fields": ["failure_code", "failure_message"]}),
        ("Index", {"fields": ["not_read", "chunk_count", "indexed_at", "indexed_epoch"]}),
        ("Deletion", {"fields": ["replaces", "deleted_at", "purging_at", "purged_at"]}),
    ]
    readonly_fields = [
        *("state", "explanation", "not_read", "progress", "uploader", "created_at", "storage_key")
    ]
    uploader = person("uploaded_by", "uploaded by")
    inlines = [MessageInline, EventInline]
    show_full_result_count = False

    def get_paginator(
        self, request: HttpRequest, queryset: Any, per_page: int, *args: Any, **kwargs: Any
    ) -> Paginator:
        """The pages of documents; those of a document's history are few."""
        if queryset.model is not Document:
            return super().get_paginator(request, queryset, per_page, *args, **kwargs)
        return Pages(queryset, per_page, _kept(request.GET))

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        """What is whole is found by an index of its own."""
        term = search_term.strip().lower()
        if re.fullmatch(r"[0-9a-f]{64}", term):
            return queryset.filter(sha256=term), False
        try:
            return queryset.filter(pk=UUID(term)), False
        except ValueError:
            return queryset.called(search_term.strip()), False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return DocumentList

    def view_on_site(self, document: Document) -> str:
        return document.get_absolute_url()

    @admin.display(description="status", ordering="status")
    def state(self, document: Document) -> str:
        shown = "Deleted" if document.deleted_at else document.get_status_display()
        css = "deleted" if document.deleted_at else document.status
        return format_html('<span class="lumikb-status lumikb-{}">{}</span>', css, shown)

    @admin.display(description="progress")
    def progress(self, document: Document) -> str:
        if not document.progress_total:
            return ""
        return f"{document.progress_count}/{document.progress_total}"

    @admin.display(description="not read")
    def not_read(self, document: Document) -> str:
        return " ".join(document.unread_sentences)

    @admin.display(description="age", ordering="created_at")
    def age(self, document: Document) -> str:
        return timesince(document.created_at, depth=1)

    @admin.display(description="explanation")
    def explanation(self, document: Document) -> str:
        return document.explain()

    @admin.action(description="Requeue the selected documents", permissions=["operate"])
    def requeue(self, request: HttpRequest, documents: Any) -> HttpResponse | None:
        return self._confirmed(request, documents, BulkAction.Action.REQUEUE)

    @admin.action(description="Requeue ALL stuck documents", permissions=["operate"])
    def requeue_all_stuck(self, request: HttpRequest, documents: Any) -> HttpResponse | None:
        stuck = Document.objects.stuck()
        return self._confirmed(request, stuck, BulkAction.Action.UNSTICK)

    @admin.action(description="Delete the selected documents", permissions=["operate"])
    def delete_documents(self, request: HttpRequest, documents: Any) -> HttpResponse | None:
        return self._confirmed(request, documents, BulkAction.Action.DELETE)

    @admin.action(description="Restore the selected documents", permissions=["operate"])
    def restore_documents(self, request: HttpRequest, documents: Any) -> HttpResponse | None:
        return self._confirmed(request, documents, BulkAction.Action.RESTORE)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Reading documents is `view`; acting on them needs the model's `change` permission."""
        return request.user.has_perm(OPERATE)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Let "requeue all stuck" be chosen without ticking a document."""
        if request.POST.get("action") == "requeue_all_stuck":
            data = request.POST.copy()
            data.setdefault(ACTION_CHECKBOX_NAME, str(UUID(int=0)))
            request.POST = data  # type: ignore[assignment]
        return super().changelist_view(request, extra_context)

    def _confirmed(self, request: HttpRequest, documents: Any, action: str) -> HttpResponse | None:
        """Ask first: the set is frozen as it is shown. Then do it, and say how many were changed,
        or where to see how far it is.
        """
        if "confirmed" not in request.POST:
            bulk = freeze(action, documents, request.user, self._which(request))
            some = Document.objects.filter(pk__in=shown(bulk, MOST_SHOWN)).explained_page()
            context = {
                **self.admin_site.each_context(request),
                "title": "Are you sure?",
                "documents": some,
                "bulk": bulk,
                "more": bulk.total - len(some),
                "selected": request.POST.getlist(ACTION_CHECKBOX_NAME)[:1],
                "action": request.POST["action"],
                "verb": dict(self.get_action_choices(request, []))[request.POST["action"]],
                "opts": self.opts,
            }
            return TemplateResponse(request, "admin/documents/confirm.html", context)
        number = request.POST.get("bulk", "")
        if number:
            found = frozen_before(number, action, request.user)
            if found is None:
                self.message_user(
                    request, "That was not asked for; please choose again.", messages.ERROR
                )
                return None
        else:
            found = freeze(action, documents, request.user, self._which(request))
        bulk = confirm(found)
        if bulk.finished_at:
            said = f"{bulk.done:,} of {bulk.total:,} documents {DONE[action]}."
            if bulk.skipped:
                said += f" {bulk.skipped:,} {bulk.why_skipped}."
            if "failure_code" in request.GET:  # the list, which had all of that cause, has none now
                causes = reverse("admin:causes")
                said = format_html('{} <a href="{}">Failures by cause</a>', said, causes)
            is_done = bulk.done == bulk.total
            self.message_user(request, said, messages.SUCCESS if is_done else messages.WARNING)
            return None
        self.message_user(
            request, f"{bulk.total:,} documents are being {DONE[action]}.", messages.SUCCESS
        )
        return redirect("admin:documents_bulkaction_change", bulk.pk)

    def _which(self, request: HttpRequest) -> str:
        """The set, for who looks at it later."""
        if request.POST.get("action") == "requeue_all_stuck":
            return "all that are stuck"
        if request.POST.get("select_across") == "1":
            return "all " + (_said(request.GET) or "that there are")
        return "chosen one by one"


def _said(asked: QueryDict) -> str:
    """The filter of a list, as people read it."""
    words = []
    for name, value in asked.items():
        if name in ("p", "o", "all", "_facets") or not value:
            continue
        if name == "q":
            words.append(f"with “{value}” in the name")
        else:
            words.append(f"{FILTERS.get(name, name)} {value}")
    return ", ".join(words)


def _kept(asked: QueryDict) -> int | None:
    """The number of a list that is filtered by nothing, by the status or by the failure alone."""
    filters = {name: value for name, value in asked.items() if value and name not in ("p", "o")}
    numbers = counts.of_all()
    if set(filters) == {"failure_code"}:
        return numbers.get(f"failed {asked['failure_code']}", 0)
    if set(filters) <= {"status__exact"}:
        return kept_count(numbers, asked.get("status__exact", ""))
    return None
