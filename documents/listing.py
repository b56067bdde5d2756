"""Pages of lists of documents, the last as quick as the first.

The ids of a page's rows are found by an index alone, and only those rows are looked at. How many
there are is kept (documents/counts.py) or, where it is not, counted up to `MOST_COUNTED`. A page is
found behind the row that the one before ended with, where the link says it; else from whichever end
of the list is nearer.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Self
from unicodedata import normalize
from uuid import UUID

from django.core.paginator import EmptyPage, Page, PageNotAnInteger, Paginator
from django.db import models
from django.db.models import F, Func, Value
from django.db.models.functions import Coalesce
from django.db.models.lookups import GreaterThan, LessThan

from . import counts
from .models import Document, KnowledgeBase
from .models.querysets import DocumentQuerySet

MOST_COUNTED = 1000
MOST_SORTED = 20_000  # that a search finds: in 0.05 s
NEWEST_FIRST = "-created_at"
SORTS = (NEWEST_FIRST, "created_at", "filename", "-filename")  # each has an index
KEPT = ("", "pending", "processing", "ready", "failed", "partly_read", "deleted")
LIVE = ("pending", "processing", "ready", "failed")


def kept_count(of: counts.Counts, status: str) -> int:
    """Of a list without a search: its number from what is kept."""
    return sum(of.get(state, 0) for state in (LIVE if not status else (status,)))


@dataclass(frozen=True, slots=True)
class Asked:
    """Which documents a list shows, and in which order."""

    status: str = ""  # see DocumentQuerySet.matching
    q: str = ""  # in the name
    filename: str = ""
    sha256: str = ""
    sort: str = NEWEST_FIRST
    tag: str = ""

    def of(self, documents: DocumentQuerySet) -> DocumentQuerySet:
        found = documents.matching(self.status, self.q, self.tag)
        exactly = {"filename": normalize("NFC", self.filename), "sha256": self.sha256.lower()}
        return found.filter(**{name: value for name, value in exactly.items() if value})

    @property
    def is_kept(self) -> bool:
        """Nobody has to count how many these are."""
        return self.status in KEPT and not (self.q or self.filename or self.sha256 or self.tag)


class Pages(Paginator):
    """Documents in an order that has an index, with what `explain()` needs.

    `count`: how many there are, where that is known; else as many as are counted. `sort`: of
    `SORTS`, the order that they are in.
    """

    def __init__(
        self,
        documents: DocumentQuerySet,
        size: int,
        count: int | None = None,
        sort: str = NEWEST_FIRST,
    ):
        super().__init__(documents, size)
        self.documents = documents
        self._known = count
        self.sort = sort

    @classmethod
    def of(
        cls, base: KnowledgeBase, size: int, asked: Asked, numbers: counts.Counts | None = None
    ) -> Self:
        """Of a knowledge base's list; `numbers` are the knowledge base's, where they are known."""
        documents = sorted_by(asked.of(base.document_set.all()), asked.sort)
        if not asked.is_kept:
            return cls(documents, size, sort=asked.sort)
        numbers = numbers or counts.of_bases([base.pk])[base.pk]
        return cls(documents, size, kept_count(numbers, asked.status), asked.sort)

    @cached_property
    def _found(self) -> list[UUID]:
        """As many as are counted, and one more."""
        return list(self.documents.order_by().values_list("pk", flat=True)[: MOST_COUNTED + 1])

    @cached_property
    def _listed(self) -> DocumentQuerySet:
        """What is searched for is found first and then sorted: by the index of its order PostgreSQL
        would look at all others for what stands at its end. But not where very much is found.
        """
        if self._known is not None:
            return self.documents
        if not self.has_more:
            return self.documents.filter(pk__in=self._found)
        found = self.documents.order_by()[: MOST_SORTED + 1].count()
        return _by_no_index(self.documents) if found <= MOST_SORTED else self.documents

    @property
    def count(self) -> int:
        return min(len(self._found), MOST_COUNTED) if self._known is None else self._known

    @property
    def has_more(self) -> bool:
        """There are more than are counted, and shown: who looks for one says more about it."""
        return self._known is None and len(self._found) > MOST_COUNTED

    def number(self, wanted: Any) -> int:
        """The page that a person means: the first for no number, the last beyond the end."""
        try:
            return self.validate_number(wanted)
        except PageNotAnInteger:
            return 1
        except EmptyPage:
            return 1 if int(wanted) < 1 else self.num_pages

    def page(self, number: Any, near: str = "") -> "DocumentPage":
        """`near`: what the link to it says of where it is, a `Place`."""
        number = self.validate_number(number)
        place = Place.read(near[1:])
        if place is None or place.sort != self.sort or number == 1:
            rows = self.rows((number - 1) * self.per_page, self.per_page)
        elif near.startswith("b"):
            rows = place.behind(self._listed)[: self.per_page].explained_page()
        else:
            rows = place.before(self._listed)[: self.per_page].explained_page()[::-1]
        return DocumentPage(rows, number, self)

    def rows(self, bottom: int, size: int) -> list[Document]:
        """So many from there on, found from the end that is nearer."""
        top = min(bottom + size, self.count)
        if self._known is None or bottom <= self.count - top:
            return self._listed[bottom : bottom + size].explained_page()
        from_end = self._listed.reverse()[self.count - top : self.count - bottom]
        return from_end.explained_page()[::-1]


def _by_no_index(documents: DocumentQuerySet) -> DocumentQuerySet:
    """In the same order, for which PostgreSQL must sort: no index is of such expressions."""
    order = []
    for column in map(str, documents.query.order_by):
        same: Any = Coalesce(column.removeprefix("-"), column.removeprefix("-"))
        order.append(same.desc() if column.startswith("-") else same.asc())
    return documents.order_by(*order)


class DocumentPage(Page):
    paginator: Pages

    @property
    def next_place(self) -> str:
        """For the link to the next page: behind the last row of this one."""
        return self._place("b", -1) if self.object_list else ""

    @property
    def previous_place(self) -> str:
        return self._place("a", 0) if self.object_list else ""

    def _place(self, side: str, row: int) -> str:
        return side + Place.of(self.object_list[row], self.paginator.sort).text


class Row(Func):
    """`ROW(a, b)`, which PostgreSQL compares as one, and finds by an index of both."""

    function = "ROW"
    output_field = models.TextField()  # any


@dataclass(frozen=True, slots=True)
class Place:
    """A row in a list that is sorted by one of `SORTS`: where a page begins or ends."""

    sort: str
    value: datetime | str
    document_id: UUID

    @classmethod
    def of(cls, document: Document, sort: str) -> Self:
        return cls(sort, getattr(document, sort.removeprefix("-")), document.pk)

    @classmethod
    def read(cls, text: str) -> Self | None:
        """From `text`; None for anything else."""
        try:
            sort, value, name = json.loads(urlsafe_b64decode(text.encode()))
            if sort not in SORTS or not isinstance(value, str) or "\0" in value:
                return None
            value.encode()  # half a surrogate is no name
            is_time = sort.endswith("_at")
            return cls(sort, _moment(value) if is_time else value, UUID(name))
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
            return None

    @property
    def text(self) -> str:
        value = self.value if isinstance(self.value, str) else self.value.isoformat()
        return urlsafe_b64encode(
            json.dumps([self.sort, value, self.document_id.hex]).encode()
        ).decode()

    def behind(self, documents: DocumentQuerySet) -> DocumentQuerySet:
        """Those that come after it, in its order."""
        return self._beside(sorted_by(documents, self.sort), is_behind=True)

    def before(self, documents: DocumentQuerySet) -> DocumentQuerySet:
        """Those that come before it, the nearest first."""
        return self._beside(sorted_by(documents, self.sort).reverse(), is_behind=False)

    def _beside(self, documents: DocumentQuerySet, is_behind: bool) -> DocumentQuerySet:
        column = self.sort.removeprefix("-")
        field: Any = Document._meta.get_field(column)
        here = Row(Value(self.value, field), Value(self.document_id, models.UUIDField()))
        goes_down = self.sort.startswith("-") == is_behind
        compared = LessThan if goes_down else GreaterThan
        return documents.filter(compared(Row(F(column), F("pk")), here))


def _moment(value: str) -> datetime:
    """Raises ValueError or OverflowError for one that no row has."""
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError(value)
    return moment.astimezone(UTC)


def sorted_by(documents: DocumentQuerySet, sort: str) -> DocumentQuerySet:
    """By one of `SORTS`, those of the same value by their ids in the same direction."""
    return documents.order_by(sort, "-pk" if sort.startswith("-") else "pk")
