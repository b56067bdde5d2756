"""What a turn has finished and leaves to the next one: the text, its passages, and how many of them
are in the index.

It is addressed by a fingerprint of all that it was made from and with; what has another one is
forgotten. The passages of a reading lie beside those that search shows, and are its own from
`lifecycle.succeed` on. Every write here is fenced by the claim, as all writes of a worker.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.db.models.functions import Now

from .lifecycle import NOTHING_KEPT, Claim, getting_on
from .models import Chunk, Document, Status, TextPart

SLICE = 1000  # rows of one transaction: 0.1 s


@dataclass(frozen=True, slots=True)
class Kept:
    """How far a reading has come; the epoch in which it began names it."""

    fingerprint: str
    reading: int
    unit: int = 1  # the one at which it goes on; 0: all is read
    chars: int = 0
    passages: int = 0  # that are read
    count: int = 0  # and that are in the index
    unread: tuple[dict[str, Any], ...] = ()

    @property
    def is_read(self) -> bool:
        return self.unit == 0


def begin(claim: Claim, document: Document, fingerprint: str) -> Kept | None:
    """What was kept, where it fits, else a new reading; None when the lease is lost.

    What was written after the last mark goes: the one who wrote it came to no end.
    """
    if document.fingerprint != fingerprint or document.kept_epoch is None:
        return Kept(fingerprint, claim.epoch)
    reading = document.kept_epoch
    parts = TextPart.objects.filter(document=document.pk, reading=reading)
    chunks = Chunk.objects.filter(document=document.pk, reading=reading)
    with transaction.atomic():
        if not _leased(claim).select_for_update().exists():
            return None
        chunks.filter(position__gte=document.kept_passages).delete()
        parts.filter(start__gte=document.kept_chars).delete()
    return Kept(
        fingerprint,
        reading,
        document.kept_unit,
        document.kept_chars,
        document.kept_passages,
        document.kept_count,
        tuple(document.kept_unread),
    )


def add(claim: Claim, reading: int, parts: Sequence[TextPart], chunks: Sequence[Chunk]) -> bool:
    """Write what was read, invisible to search; it counts from the next `mark` on."""
    for chunk in chunks:
        chunk.reading = reading
    for first in range(0, max(len(chunks), 1), SLICE):
        with transaction.atomic():
            if not _leased(claim).select_for_update().exists():
                return False
            if not first:
                TextPart.objects.bulk_create(parts)
            Chunk.objects.bulk_create(chunks[first : first + SLICE])
    return True


def mark(claim: Claim, kept: Kept) -> bool:
    """The document has got on: the tries and deaths before this are forgiven."""
    marked = _leased(claim).update(
        fingerprint=kept.fingerprint,
        kept_epoch=kept.reading,
        kept_unit=kept.unit,
        kept_chars=kept.chars,
        kept_passages=kept.passages,
        kept_count=kept.count,
        kept_unread=list(kept.unread),
        progressed_at=Now(),
        **getting_on(kept.chars + kept.count),
    )
    return bool(marked)


def forget(claim: Claim) -> bool:
    """Nothing of it can be trusted: the next turn begins anew."""
    return bool(_leased(claim).update(**NOTHING_KEPT))


def is_idle(document: Document) -> bool:
    """Nobody has it, and nobody will go on with what is kept of it before a person has it done."""
    if document.deleted_at is None and document.status == Status.PROCESSING:
        return False
    goes_on = document.deleted_at is None and document.status == Status.PENDING
    return not (goes_on and document.kept_epoch is not None)


def forget_idle(document: Document) -> bool:
    """Its points are about to be those of the passages that search shows: whoever goes on with it
    begins anew. False when a worker has claimed it since it was read.
    """
    same = Document.objects.filter(pk=document.pk, lease_epoch=document.lease_epoch)
    unleased = same.exclude(status=Status.PROCESSING, deleted_at=None)
    return bool(unleased.update(**NOTHING_KEPT))


def passages(document: Document, kept: Kept, limit: int) -> list[Chunk]:
    """The next ones that are not in the index yet."""
    rows = Chunk.objects.filter(
        document=document.pk, reading=kept.reading, position__gte=kept.count
    )
    found = rows.order_by("position").defer("words")
    chunks = list(found[: min(limit, kept.passages - kept.count)])
    for chunk in chunks:
        chunk.document = document
    return chunks


def sweep(document: Document, reading: int) -> None:
    """Delete the passages and the list of parts of readings before this one, which search shows."""
    TextPart.objects.filter(document=document.pk, reading__lt=reading).delete()
    earlier = Chunk.objects.filter(document=document.pk, reading__lt=reading)
    last = earlier.aggregate(last=Max("position"))["last"]
    for first in range(0, 0 if last is None else last + 1, SLICE):
        earlier.filter(position__gte=first, position__lt=first + SLICE).delete()


def _leased(claim: Claim) -> Any:
    return Document.objects.leased_by(claim.document_id, claim.epoch)
