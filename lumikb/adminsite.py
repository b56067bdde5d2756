"""Django's admin without the doors that ask nobody whether he may."""

from collections.abc import Callable
from typing import Any

from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.http import HttpRequest
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, reverse


class Site(AdminSite):
    """No `r/<type>/<id>/`, which leads any staff to the page, and so to the name, of any row.

    Those admins that link to a page of ours have `view_on_site` for it.
    """

    def login(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """There is one page to log in: one of the admin's own would ask for no second factor."""
        if not request.user.is_authenticated:
            there = request.GET.get(REDIRECT_FIELD_NAME) or reverse("admin:index")
            return redirect_to_login(there)
        if not self.has_permission(request):
            raise PermissionDenied
        return redirect("admin:index")

    def get_urls(self) -> list[URLPattern | URLResolver]:
        from .operations import pages  # the models are there by now

        urls = [url for url in super().get_urls() if getattr(url, "name", None) != "view_on_site"]
        return pages.urls(self) + urls

    def index(self, request: HttpRequest, extra_context: Any = None) -> TemplateResponse:
        """The models, and above them whether all is well: for those who may see documents."""
        from .operations import pages

        return super().index(request, pages.overview(request) | (extra_context or {}))

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Any:
        """With what Django does not ask before the views of a model."""
        model_admin = getattr(view, "__self__", None)
        if not isinstance(model_admin, ModelAdmin) or view.__name__ not in _GUARDS:
            return super().admin_view(view, cacheable)
        guard = _GUARDS[view.__name__]

        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            guard(model_admin, request)
            return view(request, *args, **kwargs)

        return super().admin_view(guarded, cacheable)


def _may_look(model_admin: ModelAdmin, request: HttpRequest) -> None:
    """A row's history is for those who may look at rows; Django says first if there is one."""
    if not model_admin.has_view_or_change_permission(request):
        raise PermissionDenied


def _chosen_can_be_rows(model_admin: ModelAdmin, request: HttpRequest) -> None:
    """What is no id at all would be an error of the server."""
    try:
        for chosen in request.POST.getlist(ACTION_CHECKBOX_NAME):
            model_admin.opts.pk.to_python(chosen)
    except ValidationError as error:
        raise BadRequest from error


_GUARDS = {"history_view": _may_look, "changelist_view": _chosen_can_be_rows}
