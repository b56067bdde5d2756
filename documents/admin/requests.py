"""Runs of the reconciler that an operator asks for: the reconciler takes the wish up."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.urls import URLPattern, path

from documents import audit
from documents.models import ReconcileRun


class Requests:
    """Of the list and the page of the runs."""

    admin_site: Any

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.request_run)
        route = path("request/", view, name="documents_reconcilerun_request")
        return [route, *super().get_urls()]  # type: ignore[misc]

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("documents.change_reconcilerun")

    def request_run(self, request: Any) -> HttpResponse:
        """Wish for a run: `dry_run` finds and mends nothing. One that waits is enough."""
        if not self.has_operate_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        dry_run = request.POST.get("dry_run") != "no"
        kind = "dry run" if dry_run else "run"
        if ReconcileRun.objects.filter(started_at=None, dry_run=dry_run).exists():
            messages.info(request, f"A {kind} is asked for already.")
            return redirect("admin:documents_reconcilerun_changelist")
        run = ReconcileRun.objects.create(
            dry_run=dry_run, started_at=None, requested_at=Now(), requested_by=request.user
        )
        detail = f"asked for a {kind}"
        audit.record(audit.Action.CHANGED, request.user, what="reconcile", detail=detail)
        messages.success(request, f"The reconciler begins this {kind} as soon as it is free.")
        return redirect("admin:documents_reconcilerun_change", run.pk)

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        run = self.get_object(request, object_id)  # type: ignore[attr-defined]
        differs = run and any(row["found"] or row["skipped"] for row in run.findings)
        extra = {"may_run": self.has_operate_permission(request), "differs": differs}
        return super().change_view(  # type: ignore[misc]
            request, object_id, *args, **kwargs | {"extra_context": extra}
        )
