"""What people do to many documents at once: how far it is, and who did what."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from documents.models import BulkAction, Document

from .readonly import ReadOnly, person


@admin.register(BulkAction)
class BulkActionAdmin(ReadOnly, admin.ModelAdmin):
    empty_says = (
        "Nobody has done anything to many documents at once. It is done from the list of "
        "documents, and from the failures by cause."
    )
    list_display = ["__str__", "which", "by", "created_at", "bar", "says", "finished_at"]
    list_filter = ["action"]
    list_select_related = ["by"]
    fields = readonly_fields = (
        *("action", "which", "knowledge_base", "who", "bar", "says"),
        *("total", "done", "skipped", "created_at", "confirmed_at", "finished_at"),
    )
    who = person("by", "by")
    sortable_by = ()

    def has_view_permission(self, request: HttpRequest, bulk: Any = None) -> bool:
        """Who may look at documents may look at what is done to them."""
        return self.admin_site.get_model_admin(Document).has_view_permission(request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[BulkAction]:
        """Those that were only looked at are nobody's business."""
        return super().get_queryset(request).exclude(confirmed_at=None)

    @admin.display(description="how far")
    def bar(self, bulk: Any) -> str:
        return format_html(
            '<progress max="100" value="{}">{} %</progress>', bulk.percent, bulk.percent
        )

    @admin.display(description="progress")
    def says(self, bulk: Any) -> str:
        return bulk.says()
