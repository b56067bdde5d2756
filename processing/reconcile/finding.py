"""What a scan yields, and how it reads documents."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from documents.connections import release
from documents.models import Document, Status

PAGE = 500  # documents in one query


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that differs: `what` names it, `persists` is a second look at it alone, `mend` puts
    it right (False: somebody else did), None when a person must."""

    check: str
    what: str
    mend: Callable[[], object] | None
    persists: Callable[[], bool] = lambda: True


@dataclass(frozen=True, slots=True)
class Scan:
    """One way through everything, and the checks whose findings it yields."""

    find: Callable[[], Iterator[Finding]]
    checks: list[str]


def pages(documents: QuerySet[Document]) -> Iterator[list[Document]]:
    """By primary key, each page a query of its own: no connection is held between two of them."""
    page: list[Any] = []
    while True:
        after = page[-1].pk if page else UUID(int=0)
        page = list(documents.filter(pk__gt=after).order_by("pk")[:PAGE])
        release()
        if not page:
            return
        yield page


def ready() -> QuerySet[Document]:
    return Document.objects.live().filter(status=Status.READY)


def owned(document_ids: set[UUID]) -> set[UUID]:
    """Those whose documents still own their points and objects; deleted ones do until purged."""
    owners = Document.objects.filter(pk__in=document_ids, purged_at=None)
    found = set(owners.values_list("pk", flat=True))
    release()
    return found
