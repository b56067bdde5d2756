"""The operators' window: what is stuck, what failed and why, and buttons that call lifecycle."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth import get_user_model
from django.db.models import BooleanField, Count, Func, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.timesince import timesince

from . import lifecycle, outages
from .models import (
    ApiToken,
    Document,
    DocumentEvent,
    KnowledgeBase,
    Membership,
    Outage,
    OutboxMessage,
    ReconcileRun,
    Status,
)

admin.site.site_header = "LumiKB"
admin.site.site_title = "LumiKB"
admin.site.index_title = "Operations"
admin.site.enable_nav_sidebar = False  # the width is the documents'


class ReadOnly:
    """A window without a handle: rows are looked at, never written by hand."""

    def has_add_permission(self, *args: Any) -> bool:
        return False

    def has_change_permission(self, *args: Any) -> bool:
        return False

    def has_delete_permission(self, *args: Any) -> bool:
        return False


class StuckFilter(admin.SimpleListFilter):
    title = "stuck"
    parameter_name = "stuck"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Stuck")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.stuck() if self.value() == "yes" else queryset


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


@admin.register(Document)
class DocumentAdmin(ReadOnly, admin.ModelAdmin):
    list_display = [
        "filename", "knowledge_base", "state", "explanation",
        "stage", "progress", "attempts", "age",
    ]  # fmt: skip
    list_filter = [StuckFilter, "status", "knowledge_base", "failure_code", DeletedFilter]
    list_select_related = ["knowledge_base"]
    list_per_page = 50
    search_fields = ["filename", "id", "sha256"]
    date_hierarchy = "created_at"
    actions = ["requeue", "requeue_all_stuck", "delete_documents", "restore_documents"]
    fieldsets = [
        (None, {"fields": ["state", "explanation", "knowledge_base", "uploaded_by", "created_at"]}),
        ("File", {"fields": ["filename", "content_type", "size", "sha256", "storage_key"]}),
        (
            "Processing",
            {"fields": ["stage", "progress", "attempts", "deaths", "due_at", "progressed_at"]},
        ),
        ("Lease", {"fields": ["lease_epoch", "lease_expires_at"]}),
        ("Waiting", {"fields": ["waiting_for", "postponed_since", "posted_at"]}),
        ("Failure", {"fields": ["failure_code", "failure_message"]}),
        ("Index", {"fields": ["chunk_count", "indexed_at", "indexed_epoch"]}),
        ("Deletion", {"fields": ["replaces", "deleted_at", "purging_at", "purged_at"]}),
    ]
    readonly_fields = ["state", "explanation", "progress", "created_at", "storage_key"]
    inlines = [EventInline]
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> Any:
        return Document.objects.explained()

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
                "documents": documents[:20],
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


class MembershipInline(admin.TabularInline):
    model = Membership
    extra = 1


@admin.register(KnowledgeBase)
class KnowledgeBaseAdmin(admin.ModelAdmin):
    list_display = ["name", "slug", "documents", "ready", "failed", "unfinished", "created_at"]
    prepopulated_fields = {"slug": ["name"]}
    search_fields = ["name", "slug"]
    inlines = [MembershipInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[KnowledgeBase]:
        def count(**conditions: Any) -> Count:
            return Count("document", Q(document__deleted_at=None, **conditions), distinct=True)

        return (
            super()
            .get_queryset(request)
            .annotate(
                document_count=count(),
                ready_count=count(document__status=Status.READY),
                failed_count=count(document__status=Status.FAILED),
                unfinished_count=count(document__status__in=[Status.PENDING, Status.PROCESSING]),
            )
        )

    @admin.display(ordering="document_count")
    def documents(self, knowledge_base: Any) -> int:
        return knowledge_base.document_count

    @admin.display(ordering="ready_count")
    def ready(self, knowledge_base: Any) -> int:
        return knowledge_base.ready_count

    @admin.display(ordering="failed_count")
    def failed(self, knowledge_base: Any) -> int:
        return knowledge_base.failed_count

    @admin.display(ordering="unfinished_count")
    def unfinished(self, knowledge_base: Any) -> int:
        return knowledge_base.unfinished_count


@admin.register(OutboxMessage)
class OutboxMessageAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ["document", "action", "priority", "due_at", "created_at"]
    list_filter = ["action", "priority"]
    list_select_related = ["document"]
    ordering = ["due_at"]


@admin.register(Outage)
class OutageAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ["service", "reason", "since", "failures", "failed_at", "retry_at"]
    actions = ["retry_now"]

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("documents.change_outage")

    @admin.action(description="Ask the services again now", permissions=["operate"])
    def retry_now(self, request: HttpRequest, queryset: QuerySet[Outage]) -> None:
        outages.retry_now()
        messages.success(request, "The next document tries whether the services are back.")


@admin.register(ReconcileRun)
class ReconcileRunAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ["started_at", "outcome", "duration", "dry_run", "found", "mended", "skipped"]
    list_filter = ["dry_run"]
    fields = ["started_at", "finished_at", "outcome", "dry_run", "table"]
    readonly_fields = ["outcome", "table"]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Say above the list when all was compared and mended last."""
        could_not_tell = Func(
            "findings",
            template="jsonb_path_exists(%(expressions)s, '$[*] ? (@.skipped != \"\")')",
            output_field=BooleanField(),
        )
        succeeded = (
            ReconcileRun.objects.alias(could_not_tell=could_not_tell)
            .filter(dry_run=False, could_not_tell=False)
            .exclude(finished_at=None)
        )
        context = {"last_success": succeeded.order_by("-finished_at").first()}
        return super().changelist_view(request, context | (extra_context or {}))

    @admin.display
    def outcome(self, run: ReconcileRun) -> str:
        if run.finished_at is None:
            return "Not finished"
        return "Incomplete" if self.skipped(run) else "Complete"

    @admin.display
    def duration(self, run: ReconcileRun) -> str:
        if run.finished_at is None:
            return ""
        return f"{(run.finished_at - run.started_at).total_seconds():.1f} s"

    @admin.display
    def found(self, run: ReconcileRun) -> int:
        return sum(row["found"] for row in run.findings)

    @admin.display
    def mended(self, run: ReconcileRun) -> int:
        return sum(row["mended"] for row in run.findings)

    @admin.display
    def skipped(self, run: ReconcileRun) -> str:
        return ", ".join(row["check"] for row in run.findings if row["skipped"])

    @admin.display(description="findings")
    def table(self, run: ReconcileRun) -> str:
        rows = [f"{row['check']}: {self._sentence(row)}" for row in run.findings]
        return format_html('<pre class="lumikb-findings">{}</pre>', "\n".join(rows))

    @staticmethod
    def _sentence(row: dict[str, Any]) -> str:
        if row["skipped"]:
            return row["skipped"]
        more = ["and more, which the next run looks at"] if row.get("more") else []
        found = f"found {row['found']}, mended {row['mended']}"
        return "; ".join([found, *row.get("examples", []), *more])


class ApiTokenForm(forms.ModelForm):
    class Meta:
        model = ApiToken
        fields = ["user", "name"]


@admin.register(ApiToken)
class ApiTokenAdmin(admin.ModelAdmin):
    """Make and revoke; a token cannot be changed, and its secret is shown once, when it is made."""

    form = ApiTokenForm
    list_display = ["name", "user", "created_at"]
    list_select_related = ["user"]

    def has_change_permission(self, request: HttpRequest, token: Any = None) -> bool:
        return False

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        """Only a superuser makes tokens in another's name."""
        if not request.user.is_superuser:
            own = Q(username=request.user.get_username())
            kwargs["queryset"] = get_user_model().objects.filter(own)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, token: Any, form: Any, change: bool) -> None:
        secret = token.renew()
        token.save()
        messages.warning(request, f"The token, shown only now: {secret}")
