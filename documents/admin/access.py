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
from documents.members import find_user
from documents.models import ApiToken, GroupMembership, KnowledgeBase, Limit, Membership
from documents.models.limits import KINDS
from documents.refusals import Refused
from documents.removal import begin, takes_along
from formats import tessdata

from .named import Named, NamedMoments
from .readonly import person


class MembershipInline(Named, admin.TabularInline):
    template = "admin/documents/inline.html"
    model = Membership
    extra = 1
    readonly_fields = ("who",)
    who = person("user", "user")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        may_choose = self.has_change_permission(request, obj)
        return ["user" if may_choose else "who", "role"]


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
    """One that is deleted is shown until nothing of it is left, and cannot be changed any more."""

    list_display = [
        "name", "slug", "documents", "ready", "failed", "unfinished", "created_at", "deleted_at",
    ]  # fmt: skip
    readonly_fields = ["slug"]  # made from the name; people have links to it
    search_fields = ["name", "slug"]
    inlines = [MembershipInline, GroupMembershipInline]

    def get_queryset(self, request: HttpRequest) -> Any:
        return KnowledgeBase.with_deleted.order_by("name", "pk")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not (obj and obj.deleted_at) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not (obj and obj.deleted_at) and super().has_delete_permission(request, obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """What goes is said in numbers, not row by row; and nothing protects it."""
        going = [
            f"{each}: {', '.join(f'{number:,} {what}(s)' for number, what in takes_along(each))}; "
            "gone at once, for everybody, and for good"
            for each in objs
        ]
        return going, {"knowledge bases": len(going)}, set(), []

    def delete_model(self, request: HttpRequest, obj: KnowledgeBase) -> None:
        begin(obj, request.user)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for each in queryset:
            begin(each, request.user)

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

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        """Who is no member has no page of it beside this one."""
        mine = KnowledgeBase.objects.visible_to(request.user)
        is_member = object_id.isascii() and object_id.isdigit() and mine.filter(pk=object_id)
        extra = {"is_member": bool(is_member)}
        return super().change_view(request, object_id, *args, **kwargs | {"extra_context": extra})

    def view_on_site(self, knowledge_base: KnowledgeBase) -> str | None:
        return None if knowledge_base.deleted_at else knowledge_base.get_absolute_url()

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


class LimitForm(forms.ModelForm):
    """Whose it is, by name: operators see no list of people, and there may be many."""

    person = forms.CharField(required=False, max_length=254, help_text="user name or mail address")
    base = forms.CharField(
        label="Knowledge base",
        required=False,
        max_length=100,
        help_text="the end of its address: handbook-x7k2m of /kb/handbook-x7k2m/",
    )

    class Meta:
        model = Limit
        fields = KINDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.user:
            self.initial["person"] = self.instance.user.get_username()
        if self.instance.knowledge_base:
            self.initial["base"] = self.instance.knowledge_base.slug

    def clean_person(self) -> str:
        name: str = self.cleaned_data["person"]
        if name and name == self.initial.get("person"):
            return name  # who may have left meanwhile
        try:
            self.instance.user = find_user(name) if name else None
        except Refused as refused:
            raise forms.ValidationError(str(refused)) from refused
        return name

    def clean_base(self) -> str:
        slug: str = self.cleaned_data["base"]
        self.instance.knowledge_base = KnowledgeBase.objects.named([slug]).first()
        if slug and not self.instance.knowledge_base:
            raise forms.ValidationError(KnowledgeBase.unknown(slug))
        return slug

    def clean(self) -> None:
        super().clean()
        whose = {"user": self.instance.user, "knowledge_base": self.instance.knowledge_base}
        chosen = {name: value for name, value in whose.items() if value}
        if len(chosen) != 1:
            raise forms.ValidationError("Choose a person or a knowledge base.")
        if not any(self.cleaned_data.get(number) is not None for number in KINDS):
            raise forms.ValidationError("Say at least one number, or delete this limit.")
        if Limit.objects.filter(**chosen).exclude(pk=self.instance.pk).exists():
            raise forms.ValidationError(f"There is a limit of “{self.instance}” already.")


@admin.register(Limit)
class LimitAdmin(admin.ModelAdmin):
    """Of whom more, or less, is allowed than of others: documents/limits.py."""

    list_display = ["__str__", "documents", "bytes", "waiting", "uploads"]
    list_select_related = ["user", "knowledge_base"]
    form = LimitForm
    fieldsets = [
        ("Whose: of a person or of a knowledge base", {"fields": ["person", "base"]}),
        (
            "The most that may be",
            {
                "fields": KINDS,
                "description": "What stays empty is as the settings say for all "
                "(PERSON_LIMITS, KNOWLEDGE_BASE_LIMITS).",
            },
        ),
    ]


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
