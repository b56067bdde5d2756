"""What an operator can do with one document, on its page: each button is one call of lifecycle."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from documents import lifecycle, limits
from documents.downloads import original
from documents.models import Document, Status
from documents.refusals import Refused

from .audit import link_to, looked_at

UNFINISHED = (Status.PENDING, Status.PROCESSING)


@dataclass(frozen=True, slots=True)
class Button:
    """`question`: what is asked first, empty where nothing can be lost."""

    name: str
    label: str
    fits: Callable[[Document], bool]
    act: Callable[[Document, Any], bool]
    done: str
    question: str = ""


def _requeue(document: Document, by: Any) -> bool:
    return lifecycle.requeue(document.pk, by) or lifecycle.unstick(document, by)


BUTTONS = [
    Button(
        "requeue",
        "Requeue",
        lambda document: not document.deleted_at,
        _requeue,
        "is processed again, with all its tries",
    ),
    Button(
        "give_up",
        "Give up",
        lambda document: not document.deleted_at and document.status in UNFINISHED,
        lambda document, by: lifecycle.abort(document.pk, by),
        "is given up",
        "Nobody works on it any more, until it is requeued; whoever uploaded it reads that an "
        "operator gave it up.",
    ),
    Button(
        "delete",
        "Delete",
        lambda document: not document.deleted_at,
        lambda document, by: lifecycle.soft_delete(document.pk, by),
        "is deleted",
        "Nobody finds it any more. It can be restored until its content is removed.",
    ),
    Button(
        "restore",
        "Restore",
        lambda document: bool(document.deleted_at and not document.purging_at),
        lambda document, by: limits.restore(document.pk, by),
        "is back",
    ),
    Button(
        "purge",
        "Purge now",
        lambda document: bool(document.deleted_at and not document.purging_at),
        lambda document, by: lifecycle.purge_now(document.pk, by),
        "is being removed for good",
        "Its file, its text and its passages are removed now, and cannot be brought back.",
    ),
]
BY_NAME = {button.name: button for button in BUTTONS}


class Buttons:
    """Of the page of one document in the admin."""

    admin_site: Any
    opts: Any

    def get_urls(self) -> list[URLPattern]:
        def own(route: str, view: Any, name: str) -> URLPattern:
            wrapped = self.admin_site.admin_view(view)
            return path(f"<path:object_id>/{route}", wrapped, name=f"documents_document_{name}")

        return [
            own("act/", self.act, "act"),
            own("errors.txt", self.errors, "errors"),
            own("original", self.original, "original"),
            *super().get_urls(),  # type: ignore[misc]
        ]

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        """With the buttons; and who looked at it is written down."""
        document = self._document(request, object_id)
        extra: dict[str, Any] = {"audit": link_to(document_id=object_id)}
        if document is not None:
            may_act = self.has_operate_permission(request)  # type: ignore[attr-defined]
            extra |= {
                "document": document,
                "buttons": [each for each in BUTTONS if may_act and each.fits(document)],
                "may_open": _may_open(request) and not document.purging_at,
                "is_member": Document.objects.visible_to(request.user)
                .filter(pk=document.pk, purging_at=None)
                .exists(),
            }
        response = super().change_view(  # type: ignore[misc]
            request, object_id, *args, **kwargs | {"extra_context": extra}
        )
        if document is not None and request.method == "GET" and response.status_code == 200:
            looked_at(request, document, "its page")
        return response

    def act(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, where something may be lost; then do it, and say whether it could be done."""
        if not self.has_operate_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied
        document = self._existing(request, object_id)
        here = reverse("admin:documents_document_change", args=[document.pk])
        button = BY_NAME.get(request.POST.get("action", ""))
        if button is None:
            return redirect(here)
        if button.question and "confirmed" not in request.POST:
            context = {
                **self.admin_site.each_context(request),
                "title": "Are you sure?",
                "document": document,
                "button": button,
                "opts": self.opts,
                "here": here,
            }
            return TemplateResponse(request, "admin/documents/document/act.html", context)
        try:
            done = button.act(document, request.user)
        except lifecycle.DuplicateFilename:
            messages.error(request, "Another document has its name; delete that one first.")
            return redirect(here)
        except Refused as refused:
            messages.error(request, str(refused))
            return redirect(here)
        if done:
            messages.success(request, f"“{document.filename}” {button.done}.")
        else:
            messages.warning(request, f"“{document.filename}” has changed meanwhile; look again.")
        return redirect(here)

    def errors(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What its workers' log said of it, with the tracebacks, as a text."""
        document = self._existing(request, object_id)
        looked_at(request, document, "its errors")
        kept = [f"--- {each.at:%F %T %Z}\n{each.text}\n" for each in document.errors.all()]
        parts = [f"{document.filename} ({document.pk})\n{document.explain()}\n", *kept]
        if len(parts) == 1:
            parts.append("Nothing is kept of what went wrong with it.\n")
        name = f'attachment; filename="errors-{document.pk}.txt"'
        return HttpResponse(
            "\n".join(parts),
            content_type="text/plain; charset=utf-8",
            headers={"Content-Disposition": name},
        )

    def original(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """The file, for an operator who is no member."""
        if not _may_open(request):
            raise PermissionDenied
        document = self._existing(request, object_id)
        try:
            response = original(document)
        except Refused as refused:
            messages.error(request, str(refused))
            return redirect("admin:documents_document_change", document.pk)
        looked_at(request, document, "original")
        return response

    def _existing(self, request: HttpRequest, object_id: str) -> Document:
        """Raises Http404, and PermissionDenied for who may not see documents at all."""
        if not self.has_view_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied
        document = self._document(request, object_id)
        if document is None:
            raise Http404
        return document

    def _document(self, request: HttpRequest, object_id: str) -> Document | None:
        found: Document | None = self.get_object(request, object_id)  # type: ignore[attr-defined]
        return found


def _may_open(request: HttpRequest) -> bool:
    return request.user.has_perm("documents.open_document")
