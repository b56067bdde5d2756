"""Who may: knowledge bases with their members, and API tokens."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_user_model
from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from documents import counts
from documents.models import ApiToken, GroupMembership, KnowledgeBase, Membership
from formats import tessdata

from .named import Named, NamedMoments


class MembershipInline(Named, admin.TabularInline):
    model = Membership
    extra = 1


class GroupMembershipInline(admin.TabularInline):
    model = GroupMembership
    extra = 0


class KnowledgeBaseList(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        counts.tell(self.result_list)


@admin.register(KnowledgeBase)
class KnowledgeBaseAdmin(admin.ModelAdmin):
    list_display = ["name", "slug", "documents", "ready", "failed", "unfinished", "created_at"]
    readonly_fields = ["slug"]  # made from the name; people have links to it
    search_fields = ["name", "slug"]
    inlines = [MembershipInline, GroupMembershipInline]

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any
    ) -> Any:
        """Says which languages there are."""
        form = super().get_form(request, obj, change, **options)
        if field := form.base_fields.get("languages"):
            known = ", ".join(tessdata.languages()) or "none"
            state = "off (OCR)" if settings.OCR == "off" else "on"
            field.help_text = f"{field.help_text} Text recognition is {state}; it knows {known}."
        return form

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KnowledgeBaseList

    def view_on_site(self, knowledge_base: KnowledgeBase) -> str:
        return knowledge_base.get_absolute_url()

    @admin.display
    def documents(self, knowledge_base: Any) -> str:
        there = reverse("admin:documents_document_changelist")
        return format_html(
            '<a href="{}?knowledge_base__id__exact={}">{}</a>',
            *(there, knowledge_base.pk, knowledge_base.document_count),
        )

    @admin.display
    def ready(self, knowledge_base: Any) -> int:
        return knowledge_base.ready_count

    @admin.display
    def failed(self, knowledge_base: Any) -> int:
        return knowledge_base.failed_count

    @admin.display
    def unfinished(self, knowledge_base: Any) -> int:
        return knowledge_base.unfinished_count


class ApiTokenForm(forms.ModelForm):
    class Meta:
        model = ApiToken
        fields = ["user", "name", "expires_at", "read_only", "knowledge_base"]


@admin.register(ApiToken)
class ApiTokenAdmin(NamedMoments, admin.ModelAdmin):
    """Make and revoke; a token cannot be changed, and its secret is shown once, when it is made."""

    form = ApiTokenForm
    list_display = [
        "name", "user", "read_only", "knowledge_base", "created_at", "expires_at", "last_used_at",
    ]  # fmt: skip
    list_select_related = ["user", "knowledge_base"]

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
