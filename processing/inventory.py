"""What the stores hold, counted: with a backup, and again after its restore.

The inventory that is taken before the backup is its manifest. What it says of documents can be
asked again of any later time, whatever was uploaded, processed and deleted meanwhile: their rows
stay for long, what goes into the digest never changes, and each row says when it came and when it
was purged. Only a knowledge base that was deleted takes its rows along: so each has a digest of its
own, and the audit says which were deleted. All else is compared with those rows: a file, an
extracted text, a passage or a point that a live document should have is there, or it is missing.
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
from documents.models import AuditEntry, Document, KnowledgeBase

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
    documents: int = 0  # the rows, those of deleted documents too; not of purged ones
    digest: str = ""  # of what their files were called and contained
    # Of each knowledge base into which they came: how many, and their digest.
    bases: dict[str, tuple[int, str]] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)  # knowledge bases that people have deleted
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
        bases = {base: (count, digest) for base, (count, digest) in values["bases"].items()}
        return cls(**values | tallies | {"as_of": as_of, "bases": bases})

    def lacks(self, manifest: Self) -> list[str]:
        """Sentences that say what was there and is not; empty when all is back."""
        before = {base: of for base, of in manifest.bases.items() if base not in self.removed}
        now = {base: of for base, of in self.bases.items() if base in before}
        wanted = {
            "users": (self.users, manifest.users),
            "knowledge bases": (len(now), len(before)),
            "documents": (_documents(now), _documents(before)),
        }
        lacking = [
            f"{name}: {here} of {there}" for name, (here, there) in wanted.items() if here < there
        ]
        if now != before:
            lacking.append("documents: they are not the same ones")
        for name in TALLIES:
            missing = getattr(self, name).missing
            if missing > getattr(manifest, name).missing:
                documents = ", ".join(getattr(self, name).examples)
                lacking.append(f"{name}: {missing} are missing, of documents {documents} ...")
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
    inventory.users = get_user_model().objects.filter(date_joined__lte=inventory.as_of).count()
    statuses = Document.objects.live().order_by("status").values_list("status")
    inventory.by_status = dict(statuses.annotate(Count("pk")))
    _count_documents(inventory)
    _count_index(inventory)
    _count_objects(inventory, checksums)
    return inventory


def _now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        [now] = cursor.fetchone()
    return now


def _documents(bases: dict[str, tuple[int, str]]) -> int:
    return sum(count for count, _ in bases.values())


def _count_documents(inventory: Inventory) -> None:
    """Of the time `as_of`."""
    as_of = inventory.as_of
    there = KnowledgeBase.objects.filter(created_at__lte=as_of).values_list("pk", flat=True)
    inventory.knowledge_bases = len(there)
    deleted = AuditEntry.objects.filter(action="deleted", document_id=None)
    removed = deleted.exclude(knowledge_base_id=None).values_list("knowledge_base_id", flat=True)
    inventory.removed = sorted(map(str, removed))
    counted = {str(pk): 0 for pk in there}
    digests = {base: hashlib.sha256() for base in counted}
    owners = Document.objects.filter(
        Q(purged_at=None) | Q(purged_at__gt=as_of), created_at__lte=as_of
    )
    for page in pages(owners.only("knowledge_base", "stored_in", "filename", "size", "sha256")):
        for each in page:
            base = each.storage_key.partition("/")[0]
            line = f"{each.storage_key} {each.size} {each.sha256} {each.filename}\n"
            counted[base] = counted.get(base, 0) + 1
            digests.setdefault(base, hashlib.sha256()).update(line.encode())
    inventory.bases = {base: (counted[base], digests[base].hexdigest()) for base in counted}
    inventory.documents = sum(counted.values())
    inventory.digest = hashlib.sha256(repr(sorted(inventory.bases.items())).encode()).hexdigest()


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
    for _, document, stored in objects.beside(_counted(inventory), objects.owners()):
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
