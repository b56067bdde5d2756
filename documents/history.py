"""What happened long ago is forgotten: after AUDIT_DAYS what people did, after HISTORY_DAYS what
documents went through, and after its own time what is of use for a while only.

The reconciler does it, a slice at a time. What is kept is `OLD`, in one place.
"""

from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now

from .models import (
    AuditEntry,
    BulkAction,
    Document,
    DocumentError,
    DocumentEvent,
    IdempotencyKey,
    ReconcileRun,
)

SLICE = 10_000  # rows
TOMBSTONES = 1000  # with their events
ERRORS_KEPT = timedelta(days=30)
UNCONFIRMED_KEPT = timedelta(days=1)  # a set that was shown and that nobody has confirmed


def sweep(slice_size: int = SLICE) -> int:
    """Delete a slice of each; how many rows, 0 when nothing is over."""
    swept = 0
    for find in OLD:
        rows = find()
        most = min(slice_size, TOMBSTONES) if rows.model is Document else slice_size
        old = list(rows.values_list("pk", flat=True)[:most])
        swept += remove(old) if rows.model is Document else _delete(rows.model, old)
    return swept


def remove(tombstones: Collection[UUID]) -> int:
    """Delete the rows of purged documents, with their events; how many."""
    return _delete(Document, tombstones, ~Q(purged_at=None))


def _delete(model: Any, pks: Collection[Any], still: Q | None = None) -> int:
    """How many of these rows were there, without what goes with them."""
    if not pks:
        return 0
    rows = model._base_manager.filter(still or Q(), pk__in=pks)
    deleted: int = rows.delete()[1].get(model._meta.label, 0)
    return deleted


def _long_ago() -> Any:
    return Now() - timedelta(days=settings.HISTORY_DAYS)


# Each by its index, the oldest first.
OLD: list[Callable[[], Any]] = [
    lambda: AuditEntry.objects.over().order_by("at"),
    # How a document came, and whether people have taken it over since, is asked
    # (documents/imports.py) as long as there is a row.
    lambda: (
        DocumentEvent.objects.exclude(kind__in=["registered", "renamed", "moved"])
        .filter(created_at__lt=_long_ago())
        .order_by("created_at")
    ),
    lambda: Document.objects.filter(purged_at__lt=_long_ago()).order_by("purged_at"),
    lambda: ReconcileRun.objects.filter(started_at__lt=_long_ago()).order_by("started_at"),
    lambda: BulkAction.objects.filter(finished_at__lt=_long_ago()).order_by("pk"),
    lambda: (
        BulkAction.objects.filter(created_at__lt=Now() - UNCONFIRMED_KEPT, confirmed_at=None)
    ).order_by("pk"),
    lambda: DocumentError.objects.filter(at__lt=Now() - ERRORS_KEPT).order_by("at"),
    lambda: IdempotencyKey.objects.over().order_by("created_at"),
]
