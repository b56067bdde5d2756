"""What a scan yields, how far it has come, and how it reads documents."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

from django.db.models import QuerySet

from documents.connections import release
from documents.models import Document, Status

PAGE = 500  # documents in one query
FIRST = UUID(int=0)  # before all documents


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that differs: `what` names it, `persists` is a second look at it alone, `mend` puts
    it right (False: somebody else did), None when a person must."""

    check: str
    what: str
    mend: Callable[[], object] | None
    persists: Callable[[], bool] = lambda: True


@dataclass(slots=True)
class Mark:
    """How far a scan has come: it begins behind `place`, and ends there when its time is over.

    Empty: at the beginning; and when it has come to the end.
    """

    place: str = ""
    until: float = math.inf  # by time.monotonic()

    def is_over(self, place: str) -> bool:
        """All up to this place was looked at; whether the scan is to end there."""
        self.place = place
        return time.monotonic() > self.until


@dataclass(frozen=True, slots=True)
class Scan:
    """One way through everything, and the checks whose findings it yields. One that takes long over
    many documents is done in slices: it is given a mark.
    """

    find: Callable[..., Iterator[Finding]]
    checks: list[str]
    in_slices: bool = False


def pages(documents: QuerySet[Document], after: UUID = FIRST) -> Iterator[list[Document]]:
    """By primary key, each page a query of its own: no connection is held between two of them."""
    while page := list(documents.filter(pk__gt=after).order_by("pk")[:PAGE]):
        release()
        yield page
        after = page[-1].pk
    release()


def ready() -> QuerySet[Document]:
    return Document.objects.live().filter(status=Status.READY)


def owned(document_ids: set[UUID]) -> set[UUID]:
    """Those whose documents still own their points and objects; deleted ones do until purged."""
    owners = Document.objects.filter(pk__in=document_ids, purged_at=None)
    found = set(owners.values_list("pk", flat=True))
    release()
    return found
