"""The audit: who did what, by person, document and knowledge base; and its export."""

import json
from datetime import timedelta
from tempfile import TemporaryFile
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db.models.functions import Now
from django.http import FileResponse, HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.http import urlencode

from documents import audit
from documents.members import called
from documents.models import AuditEntry, Document, KnowledgeBase

from .capped import CappedPaginator
from .readonly import ReadOnly

MOST_EXPORTED = 200_000  # lines of one export: a few seconds


class PeriodFilter(admin.SimpleListFilter):
    title = "time"
    parameter_name = "within"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1", "The last day"), ("7", "The last week"), ("31", "The last month")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() not in ("1", "7", "31"):
            return queryset
        return queryset.filter(at__gt=Now() - timedelta(days=int(str(self.value()))))


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ["at", "who", "action", "on", "details"]
    list_display_links = None
    list_filter = ["action", PeriodFilter]
    list_per_page = 100
    paginator = CappedPaginator
    show_full_result_count = False
    search_fields = ["person"]  # what is really done with the words: get_search_results
    ordering = ["-at", "-pk"]

    def get_urls(self) -> list[URLPattern]:
        export = self.admin_site.admin_view(self.export)
        name = "documents_auditentry_export"
        return [path("export/", export, name=name), *super().get_urls()]

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        """By an index: of a person, of a document, or of a knowledge base."""
        term = search_term.strip()
        if not term or not term.isprintable():
            return queryset, False
        try:
            return queryset.filter(document_id=UUID(term)), False
        except ValueError:
            pass
        user = called(term, get_user_model().objects.all())
        if user is not None:
            return queryset.filter(person_id=user.pk), False
        knowledge_base = KnowledgeBase.objects.named([term]).first()
        if knowledge_base is not None:
            return queryset.filter(knowledge_base_id=knowledge_base.pk), False
        return queryset.none(), False

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        """The links of other pages filter by these."""
        own = {"person_id", "document_id", "knowledge_base_id"}
        return lookup in own or super().lookup_allowed(lookup, value, request)

    @admin.display(description="person", ordering="at")
    def who(self, entry: AuditEntry) -> str:
        if entry.person_id is None:
            return entry.person or "–"
        return format_html('<a href="?person_id={}">{}</a>', entry.person_id, entry.person)

    @admin.display(description="what")
    def on(self, entry: AuditEntry) -> str:
        if entry.document_id:
            return format_html('<a href="?document_id={}">{}</a>', entry.document_id, entry.what)
        if entry.knowledge_base_id:
            return format_html(
                '<a href="?knowledge_base_id={}">{}</a>', entry.knowledge_base_id, entry.what
            )
        return entry.what

    @admin.display(description="details")
    def details(self, entry: AuditEntry) -> str:
        """What Django's admin writes down of a change is made a sentence of."""
        verb, _, change = entry.detail.partition(" [")
        try:
            changes = json.loads(f"[{change}") if change else []
        except ValueError:
            return entry.detail
        return "; ".join(filter(None, [verb, *map(_change, changes)]))

    def export(self, request: HttpRequest) -> HttpResponseBase:
        """The filtered lines, newest first, one JSON object a line; that they went out is one, too.

        Written to the disk first: no connection is held while they go out.
        """
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            chosen = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:
            return redirect("admin:documents_auditentry_changelist")
        if chosen.order_by()[: MOST_EXPORTED + 1].count() > MOST_EXPORTED:
            messages.error(
                request,
                f"More than {MOST_EXPORTED:,} lines: choose a time, an action or a person first, "
                "or use manage.py export_audit.",
            )
            here = reverse("admin:documents_auditentry_changelist")
            return redirect(f"{here}?{request.GET.urlencode()}")
        file = TemporaryFile()  # noqa: SIM115 (FileResponse closes it)
        for line in audit.lines(chosen):
            file.write(line)
        file.seek(0)
        audit.record(
            audit.Action.EXPORTED, request.user, what="audit", detail=request.GET.urlencode()
        )
        return FileResponse(
            file, as_attachment=True, filename="audit.jsonl", content_type="application/x-ndjson"
        )


def link_to(**what: Any) -> str:
    """The address of the lines about a document, a knowledge base or a person."""
    return f"{reverse('admin:documents_auditentry_changelist')}?{urlencode(what)}"


def looked_at(request: HttpRequest, document: Document, how: str) -> None:
    """An operator needs no membership for it; so it is written down."""
    action = audit.Action.DOWNLOADED if how == "original" else audit.Action.READ
    audit.record(action, request.user, document, detail=f"in the admin: {how}")


def _change(change: dict[str, Any]) -> str:
    """One of Django's: {"changed": {"fields": [...], "name": ..., "object": ...}}."""
    [(verb, about)] = change.items()
    named = " ".join(filter(None, [about.get("name", ""), about.get("object", "")]))
    fields = ", ".join(about.get("fields", []))
    return " ".join(filter(None, [verb, named, fields and f"({fields})"]))
