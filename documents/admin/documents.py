"""Documents: why each is where it is, its timeline, and what an operator can do about it."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.timesince import timesince

from documents import lifecycle
from documents.figures import PERIODS
from documents.models import Document, DocumentEvent, OutboxMessage
from formats.unread import LABELS

from .buttons import Buttons
from .readonly import ReadOnly


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
        counts = Document.objects.unread_counts()
        kinds = [(kind, f"{LABELS[kind]} ({count:,})") for kind, count in counts.items() if count]
        return [("any", f"Anything ({Document.objects.partly_read().count():,})"), *kinds]

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


class FailureFilter(admin.AllValuesFieldListFilter):
    """The codes that there are, without the empty one of all that has not failed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lookup_choices = self.lookup_choices.exclude(failure_code="")


class DocumentList(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = self.result_list.explained_page()


class EventInline(ReadOnly, admin.TabularInline):
    model = DocumentEvent
    verbose_name_plural = "timeline"
    fields = readonly_fields = ("created_at", "kind", "detail", "by", "epoch")
    ordering = ["created_at", "pk"]

    def has_view_permission(self, request: HttpRequest, document: Any = None) -> bool:
        """Who may look at a document may look at its timeline."""
        return self.admin_site.get_model_admin(Document).has_view_permission(request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[DocumentEvent]:
        return super().get_queryset(request).select_related("by")


class MessageInline(ReadOnly, admin.TabularInline):
    """What is to be posted for it, and when."""

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
        "knowledge_base",
        ("failure_code", FailureFilter),
        DeletedFilter,
    ]
    list_per_page = 50
    search_fields = ["filename", "id", "sha256"]
    date_hierarchy = "created_at"
    actions = ["requeue", "requeue_all_stuck", "delete_documents", "restore_documents"]
    fieldsets = [
        (None, {"fields": ["state", "explanation", "knowledge_base", "uploaded_by", "created_at"]}),
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
    readonly_fields = ["state", "explanation", "not_read", "progress", "created_at", "storage_key"]
    inlines = [MessageInline, EventInline]
    show_full_result_count = False

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
        return self._confirmed(request, documents, "requeue", _requeue, "requeued")

    @admin.action(description="Requeue ALL stuck documents", permissions=["operate"])
    def requeue_all_stuck(self, request: HttpRequest, documents: Any) -> HttpResponse | None:
        stuck = Document.objects.stuck()
        return self._confirmed(request, stuck, "requeue_all_stuck", lifecycle.unstick, "requeued")

    @admin.action(description="Delete the selected documents", permissions=["operate"])
    def delete_documents(self, request: HttpRequest, documents: Any) -> HttpResponse | None:
        return self._confirmed(request, documents, "delete_documents", _delete, "deleted")

    @admin.action(description="Restore the selected documents", permissions=["operate"])
    def restore_documents(self, request: HttpRequest, documents: Any) -> HttpResponse | None:
        return self._confirmed(request, documents, "restore_documents", _restore, "restored")

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Reading documents is `view`; acting on them needs the model's `change` permission."""
        return request.user.has_perm("documents.change_document")

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Let "requeue all stuck" be chosen without ticking a document."""
        if request.POST.get("action") == "requeue_all_stuck":
            data = request.POST.copy()
            data.setdefault(ACTION_CHECKBOX_NAME, str(UUID(int=0)))
            request.POST = data  # type: ignore[assignment]
        return super().changelist_view(request, extra_context)

    def _confirmed(
        self,
        request: HttpRequest,
        documents: Any,
        action: str,
        act: Callable[[Document, Any], bool],
        done: str,
    ) -> HttpResponse | None:
        """Ask first; then act on each document by itself, and say how many of them it changed."""
        if "confirmed" not in request.POST:
            context = {
                **self.admin_site.each_context(request),
                "title": "Are you sure?",
                "documents": documents[:20].explained_page(),
                "count": documents.count(),
                "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
                "select_across": request.POST.get("select_across", "0"),
                "action": action,
                "verb": dict(self.get_action_choices(request, []))[action],
                "opts": self.opts,
            }
            return TemplateResponse(request, "admin/documents/confirm.html", context)
        chosen = list(documents.order_by("created_at"))
        changed = sum(act(document, request.user) for document in chosen)
        self.message_user(
            request, f"{changed} of {len(chosen)} documents {done}.", messages.SUCCESS
        )
        return None


def _requeue(document: Document, by: Any) -> bool:
    return lifecycle.requeue(document.pk, by) or lifecycle.unstick(document, by)


def _delete(document: Document, by: Any) -> bool:
    return lifecycle.soft_delete(document.pk, by)


def _restore(document: Document, by: Any) -> bool:
    try:
        return lifecycle.restore(document.pk, by)
    except lifecycle.DuplicateFilename:
        return False
