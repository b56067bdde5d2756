"""Compares PostgreSQL, the index and the storage, and mends what differs.

Each check yields what it finds; each finding is mended by one guarded transition or one deletion of
what nobody owns. "Cannot tell" is never "missing": a service that does not answer ends that check.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import Any
from uuid import UUID

from django.core.files.storage import default_storage
from django.db import Error as DatabaseError
from django.db import connection
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from documents import lifecycle
from documents.models import Chunk, Document, ReconcileRun, Status

from . import vectors
from .errors import ProcessingError

log = logging.getLogger(__name__)

ADVISORY_LOCK = 0x4C554D49  # any constant number: "LUMI"
LIMIT = 1000  # findings mended by a check in one run
ORPHAN_AGE = timedelta(days=1)  # an upload may be under way for hours before its row is there
PAGE = 500

Mend = Callable[[], object]


@dataclass
class Result:
    """What one check found and did; `skipped` says why it could not tell."""

    check: str
    found: int = 0
    mended: int = 0
    skipped: str = ""


def run(dry_run: bool = False) -> ReconcileRun | None:
    """Run all the checks once; None when another run is under way."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [ADVISORY_LOCK])
        if not cursor.fetchone()[0]:
            return None
    try:
        report = ReconcileRun.objects.create(dry_run=dry_run)
        report.findings = [asdict(_run_check(name, dry_run)) for name in CHECKS]
        report.finished_at = timezone.now()
        report.save()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [ADVISORY_LOCK])
    return report


def _run_check(name: str, dry_run: bool) -> Result:
    result = Result(name)
    try:
        for mend in islice(CHECKS[name](), LIMIT):
            result.found += 1
            if not dry_run and mend():
                result.mended += 1
    except (ProcessingError, OSError, DatabaseError) as error:
        result.skipped = f"cannot tell: {error}"
        log.warning("%s: %s", name, result.skipped)
    return result


def _abandoned() -> Iterator[Mend]:
    for document in Document.objects.abandoned().iterator(PAGE):
        yield partial(lifecycle.reclaim, document)


def _unposted() -> Iterator[Mend]:
    for document in Document.objects.unposted().iterator(PAGE):
        yield partial(lifecycle.repost, document)


def _unpurged() -> Iterator[Mend]:
    for document in Document.objects.purgeable().filter(outboxmessage=None).iterator(PAGE):
        yield partial(lifecycle.repost_purge, document)


def _incomplete_index() -> Iterator[Mend]:
    rows = Chunk.objects.filter(document=OuterRef("pk")).order_by().values("document")
    counted = Coalesce(Subquery(rows.values(count=Count("*"))), 0)
    for document in _ready().annotate(row_count=counted).iterator(PAGE):
        if not document.row_count == document.chunk_count == vectors.count(document.pk):
            yield partial(lifecycle.requeue, document.pk, reason="its index was not complete")


def _missing_object() -> Iterator[Mend]:
    """Requeued: the worker that does not find the file says so in a sentence."""
    for document in _ready().iterator(PAGE):
        if not default_storage.exists(document.storage_key):
            yield partial(lifecycle.requeue, document.pk, reason="its stored file was not found")


def _orphan_points() -> Iterator[Mend]:
    for document_ids in vectors.documents():
        for document_id in document_ids - _owners(document_ids):
            yield partial(_deleted, vectors.delete, document_id)


def _orphan_objects() -> Iterator[Mend]:
    """Objects older than a day whose document has no row, or was purged."""
    knowledge_bases, _ = _listdir("")
    for knowledge_base in knowledge_bases:
        folders, _ = _listdir(knowledge_base)
        document_ids = {document_id for name in folders if (document_id := _uuid(name))}
        for document_id in document_ids - _owners(document_ids):
            for name in _listdir(f"{knowledge_base}/{document_id}")[1]:
                key = f"{knowledge_base}/{document_id}/{name}"
                if timezone.now() - default_storage.get_modified_time(key) > ORPHAN_AGE:
                    yield partial(_deleted, default_storage.delete, key)


CHECKS: dict[str, Callable[[], Iterator[Mend]]] = {
    "lease expired": _abandoned,
    "message lost": _unposted,
    "purge overdue": _unpurged,
    "index incomplete": _incomplete_index,
    "stored file missing": _missing_object,
    "points without a document": _orphan_points,
    "objects without a document": _orphan_objects,
}


def _ready() -> QuerySet[Document]:
    return Document.objects.live().filter(status=Status.READY)


def _owners(document_ids: set[UUID]) -> set[UUID]:
    """Those whose documents still own their points and objects; deleted ones do until purged."""
    owners = Document.objects.filter(pk__in=document_ids, purged_at=None)
    return set(owners.values_list("pk", flat=True))


def _listdir(path: str) -> tuple[list[str], list[str]]:
    try:
        return default_storage.listdir(path)
    except FileNotFoundError:  # the storage's root is made with its first object
        return [], []


def _uuid(name: str) -> UUID | None:
    try:
        return UUID(name)
    except ValueError:
        return None


def _deleted(delete: Callable[[Any], None], what: Any) -> bool:
    delete(what)
    log.info("deleted %s, which no document owns", what)
    return True
