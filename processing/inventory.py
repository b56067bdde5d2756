"""What the stores hold, counted: with a backup, and again after its restore.

The inventory that is taken before the backup is its manifest. What it says of documents can be
asked again of any later time, whatever was uploaded, processed and deleted meanwhile: their rows
are never deleted, what goes into the digest never changes, and each row says when it came and when
it was purged. All else is compared with those rows: a file, an extracted text, a passage or a point
that a live document should have is there, or it is missing.
"""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from django.contrib.auth import get_user_model
from django.core.files.storage import default_storage
from django.db import connection
from django.db.models import Count, Q

from documents import texts
from documents.connections import release
from documents.models import Document, KnowledgeBase

from .index import vectors
from .reconcile import index, objects
from .reconcile.finding import pages

EXAMPLES = 5
# Uploads and purges of before `as_of` are committed by then: their last transactions are short.
SETTLE_SECONDS = 1.0


@dataclass(slots=True)
class Tally:
    """Things of one kind: how many there are, and how many live documents lack some."""

    found: int = 0
    missing: int = 0
    examples: list[str] = field(default_factory=list)  # documents

    def count(self, document: Document, found: int, expected: int) -> None:
        self.found += found
        if found < expected:
            self.missing += expected - found
            if len(self.examples) < EXAMPLES:
                self.examples.append(str(document.pk))


@dataclass(slots=True)
class Inventory:
    """`documents` and `digest` are of the time `as_of`, all the rest of now."""

    as_of: datetime  # by the database's clock
    users: int = 0
    knowledge_bases: int = 0
    documents: int = 0  # the rows, those of deleted and purged documents too
    digest: str = ""  # of what their files were called and contained; not of purged ones
    by_status: dict[str, int] = field(default_factory=dict)  # live documents
    objects: int = 0  # all that is stored
    bytes: int = 0
    files: Tally = field(default_factory=Tally)  # as they were uploaded, whole
    texts: Tally = field(default_factory=Tally)  # extracted
    passages: Tally = field(default_factory=Tally)
    points: Tally = field(default_factory=Tally)  # in the collection in use
    collection: str = ""

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """What became of one by `asdict` and JSON. Raises TypeError, KeyError or ValueError."""
        tallies = {name: Tally(**values[name]) for name in TALLIES}
        as_of = datetime.fromisoformat(values["as_of"])
        return cls(**values | tallies | {"as_of": as_of})

    def lacks(self, manifest: Self) -> list[str]:
        """Sentences that say what was there and is not; empty when all is back."""
        lacking = [
            f"{name.replace('_', ' ')}: {getattr(self, name)} of {before}"
            for name in ("users", "knowledge_bases", "documents")
            if getattr(self, name) < (before := getattr(manifest, name))
        ]
        if self.digest != manifest.digest:
            lacking.append("documents: they are not the same ones")
        for name in TALLIES:
            now, before = getattr(self, name), getattr(manifest, name)
            if now.missing > before.missing:
                documents = ", ".join(now.examples)
                lacking.append(f"{name}: {now.missing} are missing, of documents {documents} ...")
        return lacking


TALLIES = ("files", "texts", "passages", "points")


def take(as_of: datetime | None = None, checksums: bool = False) -> Inventory:
    """Count everything, streaming; `checksums`: read each file and compare its SHA-256.

    `as_of`: the time of the manifest that this one is to be compared with; by default now.
    Raises OSError, ServiceUnavailable, RetryableError or django.db.Error when a store does not
    answer or cannot be listed whole: an incomplete inventory is none.
    """
    if as_of is None:
        as_of = _now()
        release()
        time.sleep(SETTLE_SECONDS)
    inventory = Inventory(as_of, collection=vectors.collection())
    since = {"created_at__lte": inventory.as_of}
    inventory.users = get_user_model().objects.filter(date_joined__lte=inventory.as_of).count()
    inventory.knowledge_bases = KnowledgeBase.objects.filter(**since).count()
    inventory.documents = Document.objects.filter(**since).count()
    statuses = Document.objects.live().order_by("status").values_list("status")
    inventory.by_status = dict(statuses.annotate(Count("pk")))
    inventory.digest = _digest(inventory.as_of)
    _count_index(inventory)
    _count_objects(inventory, checksums)
    return inventory


def _now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        [now] = cursor.fetchone()
    return now


def _digest(as_of: datetime) -> str:
    digest = hashlib.sha256()
    owners = Document.objects.filter(
        Q(purged_at=None) | Q(purged_at__gt=as_of), created_at__lte=as_of
    )
    for page in pages(owners.only("knowledge_base", "filename", "size", "sha256")):
        for each in page:
            line = f"{each.storage_key} {each.size} {each.sha256} {each.filename}\n"
            digest.update(line.encode())
    return digest.hexdigest()


def _count_index(inventory: Inventory) -> None:
    """Passages and points of the documents that search may show."""
    indexed = Document.objects.live().exclude(indexed_at=None)
    for page in pages(indexed.only("chunk_count")):
        ids = [document.pk for document in page]
        passages = index.passage_counts(ids)
        points = vectors.counts(ids)
        for each in page:
            inventory.passages.count(each, passages.get(each.pk, 0), each.chunk_count)
            inventory.points.count(each, points.get(each.pk, 0), each.chunk_count)


def _count_objects(inventory: Inventory, checksums: bool) -> None:
    for document, stored in objects.beside(_counted(inventory), objects.owners()):
        sizes = {each.name: each.size for each in stored}
        if document is None or document.deleted_at:
            continue
        whole = sizes.get("original") == document.size
        if whole and checksums:
            whole = _sha256(document) == document.sha256
        inventory.files.count(document, int(whole), 1)
        if document.indexed_epoch is not None:
            wanted = {Path(document.text_key(document.indexed_epoch)).name}
            if not wanted <= sizes.keys():
                wanted = {part.name for part in texts.indexed_parts(document)} or wanted
                release()
            inventory.texts.count(document, int(wanted <= sizes.keys()), 1)


def _counted(inventory: Inventory) -> Iterator[objects.Object]:
    for each in objects.listed():
        inventory.objects += 1
        inventory.bytes += each.size
        yield each


def _sha256(document: Document) -> str:
    digest = hashlib.sha256()
    try:
        with default_storage.open(document.storage_key) as file:
            for block in file.chunks():
                digest.update(block)
    except FileNotFoundError:  # since the listing
        return ""
    return digest.hexdigest()
