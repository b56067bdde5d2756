"""The pages: the figures, which refresh themselves; the sentences of /health/ready; the causes."""

import io
from collections.abc import Callable, Iterator
from functools import wraps
from itertools import chain
from tempfile import TemporaryFile
from typing import Any

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_safe

from documents import audit, figures
from documents.models import Document
from lumikb import health
from lumikb.probes import ask

from . import csv
from .figures import read

PAGE = 1000  # documents in one query of an export
VIEW, CHANGE = "documents.view_document", "documents.change_document"


def urls(site: AdminSite) -> list[URLPattern]:
    """Below the admin's, for those who may see documents."""

    def guarded(view: Callable[..., HttpResponseBase]) -> Any:
        @wraps(view)
        def permitted(request: HttpRequest) -> HttpResponseBase:
            if not request.user.has_perm(VIEW):
                raise PermissionDenied
            return view(request, site)

        return site.admin_view(permitted)

    return [
        path("operations/", guarded(_figures), name="operations"),
        path("operations/health/", guarded(_health), name="operations_health"),
        path("causes/", guarded(_causes), name="causes"),
        path("causes/causes.csv", guarded(_causes_csv), name="causes_csv"),
        path("causes/failures.csv", guarded(_failures_csv), name="failures_csv"),
    ]


def overview(request: HttpRequest) -> dict[str, Any]:
    """For the admin's index: nothing for those who may not see documents."""
    if not request.user.has_perm(VIEW):
        return {}
    return {"operations": read()}


@require_safe
def _figures(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """What the front page puts in its place; to others, that page."""
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect("admin:index")
    return render(request, "admin/operations/_figures.html", overview(request))


@require_safe
def _health(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """What /health/ready says; it may take as long as a service is silent."""
    verdicts = health.judged(ask(health.PROBES, health.DEADLINE))
    context = {"verdicts": verdicts, "is_well": all(each.is_well for each in verdicts.values())}
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, "admin/operations/_health.html", context)
    context |= {**site.each_context(request), "title": "Is it well?"}
    return TemplateResponse(request, "admin/operations/health.html", context)


@require_safe
def _causes(request: HttpRequest, site: AdminSite) -> HttpResponse:
    context = {
        **site.each_context(request),
        "title": "Failures by cause",
        "causes": figures.causes(),
        "periods": list(figures.PERIODS),
        "may_requeue": request.user.has_perm(CHANGE),
    }
    return TemplateResponse(request, "admin/operations/causes.html", context)


@require_safe
def _causes_csv(request: HttpRequest, site: AdminSite) -> HttpResponse:
    text = io.StringIO()
    heading = (
        *("cause", "last hour", "last day", "last week", "all"),
        *("since", "last", "example", "sentence"),
    )
    rows = (
        (
            *(cause.code, cause.counts.hour, cause.counts.day, cause.counts.week),
            *(cause.counts.all, cause.since.isoformat(), cause.last.isoformat()),
            *(cause.filename, cause.sentence),
        )
        for cause in figures.causes()
    )
    csv.write(text, heading, rows)
    audit.record(audit.Action.EXPORTED, request.user, what="failures by cause")
    return _attachment(text.getvalue().encode(), "causes.csv")


@require_safe
def _failures_csv(request: HttpRequest, site: AdminSite) -> HttpResponseBase:
    """Each document that has failed, of one cause or of all; read in pages, kept on the disk."""
    code = request.GET.get("code", "")
    codes = [code] if code else [cause.code for cause in figures.causes()]
    heading = ("document", "knowledge base", "file", "cause", "sentence", "failed at", "uploaded")
    file = TemporaryFile()  # noqa: SIM115 (FileResponse closes it)
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    csv.write(text, heading, chain.from_iterable(map(_rows, codes)))
    text.detach()
    file.seek(0)
    audit.record(audit.Action.EXPORTED, request.user, what=f"failures {code}".strip())
    return FileResponse(file, as_attachment=True, filename="failures.csv", content_type="text/csv")


def _rows(code: str) -> Iterator[tuple[str, ...]]:
    """By the index `document_causes`, from one page to the next."""
    failed = Document.objects.failed_for(code).order_by("finished_at", "pk")
    page: list[Document] = []
    while True:
        rest = failed
        if page:
            last = page[-1]
            beyond = Q(finished_at__gt=last.finished_at) | Q(pk__gt=last.pk)
            rest = failed.filter(beyond, finished_at__gte=last.finished_at)
        page = list(rest.select_related("knowledge_base")[:PAGE])
        for each in page:
            moments = [at.isoformat() for at in (each.finished_at, each.created_at) if at]
            yield (
                *(str(each.pk), each.knowledge_base.name, each.filename),
                *(each.failure_code, each.failure_message, *moments),
            )
        if len(page) < PAGE:
            return


def _attachment(content: bytes, name: str) -> HttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(content, content_type="text/csv; charset=utf-8", headers=headers)
