"""The machinery: what waits to be posted, which service is away, what the reconciler found."""

from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.db.models import BooleanField, Func, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.timezone import localtime

from documents import audit, outages
from documents.models import Generation, Heartbeat, Outage, OutboxMessage, ReconcileRun

from .capped import CappedPaginator
from .readonly import ReadOnly, person
from .requests import Requests

MEANINGS = {
    Heartbeat.Kind.WORKER: "A worker was alive.",
    Heartbeat.Kind.RELAY: "A relay had posted all that was due.",
    Heartbeat.Kind.RECONCILE: "The reconciler had compared everything.",
    Heartbeat.UNFILTERED: (
        "A worker cannot filter the system calls of its parsers (seccomp): they run without, or "
        "it does not start, as PARSER_SANDBOX says."
    ),
}


@admin.register(OutboxMessage)
class OutboxMessageAdmin(ReadOnly, admin.ModelAdmin):
    empty_says = "Nothing waits to be given to a worker."
    list_display = ["document", "action", "priority", "due_at", "created_at"]
    list_filter = ["action", "priority"]
    list_select_related = ["document"]
    ordering = ["-pk"]  # no other order has an index of all
    sortable_by = ()
    show_full_result_count = False
    paginator = CappedPaginator


@admin.register(Outage)
class OutageAdmin(ReadOnly, admin.ModelAdmin):
    empty_says = (
        "No service is away. One that is stands here, with what it answered and when it is asked "
        "again; who knows that it is back can end its outage."
    )
    list_display = ["service", "reason", "since", "failures", "failed_at", "retry_at"]
    actions = ["retry_now", "end"]

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("documents.change_outage")

    @admin.action(description="Ask the services again now", permissions=["operate"])
    def retry_now(self, request: HttpRequest, queryset: QuerySet[Outage]) -> None:
        outages.retry_now()
        audit.record(audit.Action.CHANGED, request.user, what="outages", detail="asked again now")
        messages.success(request, "The next document tries whether the services are back.")

    @admin.action(description="End these outages: the services are back", permissions=["operate"])
    def end(self, request: HttpRequest, queryset: QuerySet[Outage]) -> None:
        ended = [each.service for each in queryset if outages.end(each.service)]
        for service in ended:
            what = f"outage: {service}"
            audit.record(audit.Action.CHANGED, request.user, what=what, detail="ended")
        names = ", ".join(ended) or "none"
        messages.success(
            request, f"Outages ended: {names}. A worker that finds a service away says so again."
        )


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnly, admin.ModelAdmin):
    """When each kind of process last did its work."""

    list_display = ["kind", "seen_at", "meaning"]

    @admin.display
    def meaning(self, sign: Heartbeat) -> str:
        return MEANINGS[sign.kind]


@admin.register(Generation)
class GenerationAdmin(ReadOnly, admin.ModelAdmin):
    """The index in use, the one being filled, and those before: processing/reembed.py."""

    list_display = ["collection", "state", "bar", "says", "trouble", "model", "serving_since"]
    actions = ["remove"]

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("documents.change_generation")

    @admin.display(description="filled")
    def bar(self, generation: Generation) -> str:
        percent = generation.percent()
        return format_html('<progress max="100" value="{}">{} %</progress>', percent, percent)

    @admin.display(description="progress")
    def says(self, generation: Generation) -> str:
        return generation.says()

    @admin.action(
        description="Remove indexes that are not in use any more", permissions=["operate"]
    )
    def remove(self, request: HttpRequest, queryset: QuerySet[Generation]) -> None:
        count = queryset.filter(state=Generation.State.RETIRED).update(
            state=Generation.State.REMOVED
        )
        audit.record(audit.Action.CHANGED, request.user, what="indexes", detail=f"removed {count}")
        messages.success(request, f"The reconciler removes {count} with its next run.")


@admin.register(ReconcileRun)
class ReconcileRunAdmin(Requests, ReadOnly, admin.ModelAdmin):
    list_display = [
        *("__str__", "outcome", "duration", "kind", "requested_by", "found", "mended", "skipped")
    ]
    list_select_related = ["requested_by"]
    list_filter = ["dry_run"]
    fields = [
        *("requested_at", "who", "started_at", "finished_at", "outcome", "kind"),
        "table",
    ]
    readonly_fields = ["outcome", "kind", "table", "who"]
    who = person("requested_by", "requested by")

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
        context = {
            "last_success": succeeded.order_by("-finished_at").first(),
            "may_run": self.has_operate_permission(request),
        }
        return super().changelist_view(request, context | (extra_context or {}))

    @admin.display
    def outcome(self, run: ReconcileRun) -> str:
        if run.started_at is None:
            return "Waits for the reconciler"
        if run.finished_at is None:
            return "Not finished"
        return "Incomplete" if self.skipped(run) else "Complete"

    @admin.display
    def kind(self, run: ReconcileRun) -> str:
        return "Dry run: mends nothing" if run.dry_run else "Run"

    @admin.display
    def duration(self, run: ReconcileRun) -> str:
        if run.started_at is None or run.finished_at is None:
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
        return format_html('<pre class="lumikb-findings" tabindex="0">{}</pre>', "\n".join(rows))

    @staticmethod
    def _sentence(row: dict[str, Any]) -> str:
        if row["skipped"]:
            return row["skipped"]
        more = ["and more, which the next run looks at"] if row.get("more") else []
        if row.get("place"):
            more.append(f"looked at as far as {row['place']}, since {_moment(row['since'])}")
        elif row.get("since"):
            more.append(f"looked at everything, since {_moment(row['since'])}")
        found = f"found {row['found']}, mended {row['mended']}"
        return "; ".join([found, *row.get("examples", []), *more])


def _moment(written: str) -> str:
    """Of a report, in the time zone in use."""
    return f"{localtime(datetime.fromisoformat(written)):%Y-%m-%d %H:%M:%S %Z}"
