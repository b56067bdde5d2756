"""From a stored file to an index that search can read, one stage after the other.

No database connection is held in any of them: each takes one for its short statements.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO
from uuid import UUID

from django.conf import settings
from django.core.files.storage import default_storage

from documents import kept, lifecycle, outages, pictures, texts
from documents.connections import release
from documents.deadlines import within
from documents.failpoints import failpoint
from documents.kept import Kept
from documents.models import Chunk, Document, Stage

from . import chunking, fingerprint, parsing
from .errors import (
    LeaseLost,
    PermanentError,
    ProcessingError,
    RetryableError,
    ServiceUnavailable,
)
from .heartbeat import Lease
from .index import generations, points, terms, tokens, vectors
from .index.languages import language_of

log = logging.getLogger(__name__)

BATCH_SECONDS = 2.0  # a batch is to take no longer; one of 32 with a good service takes 0.3

STORAGE_REASONS = {
    PermissionError: "access is refused",
    TimeoutError: "no answer in time",
    ConnectionError: "no connection",
}


def run(lease: Lease) -> None:
    """Make the claimed document READY, or do a turn of the work. Raises the errors of `errors.py`.

    A document of one batch is done at once. All others are kept as they get on, so that no turn
    does again what one before has done.
    """
    claim = lease.claim
    document = Document.objects.select_related("knowledge_base").get(pk=claim.document_id)
    work = kept.begin(claim, document, fingerprint.of(document))
    release()
    if work is None:
        raise LeaseLost
    chunks: list[Chunk] = []
    if is_fetched := not work.is_read:
        work, chunks = _read(lease, document, work)
    if not chunks:
        _index_kept(lease, document, work, is_fetched)
    else:
        lease.progress(Stage.EMBED, 0, work.passages)
        _index(document, chunks)
        if claim.is_probe:
            outages.over()
            release()
        lease.progress(Stage.INDEX, work.passages, work.passages)
    for index in generations.written():
        vectors.trim(document.pk, keep=work.passages, name=index.collection)
    failpoint("worker.trimmed")
    if (count := vectors.count(document.pk)) != work.passages:
        kept.forget(claim)
        raise RetryableError(
            "index_incomplete", f"The index has {count} of {work.passages} passages."
        )
    failpoint("worker.counted")
    lease.check()
    if not lifecycle.succeed(claim, chunks, work.unread, kept=None if chunks else work.passages):
        raise LeaseLost
    release()
    failpoint("worker.succeeded")
    if claim.epoch > 1:
        _delete_earlier(document, work, claim.epoch)


def purge(document: Document) -> None:
    """Remove everything outside PostgreSQL that belongs to the document. May be run again.

    Raises ServiceUnavailable.
    """
    collections = generations.known()
    release()
    for name in collections:
        vectors.delete(document.pk, name)
    failpoint("purge.vectors_deleted")
    with storage():
        try:
            _, names = default_storage.listdir(document.storage_prefix)
        except FileNotFoundError:
            names = []
        for name in names:
            default_storage.delete(f"{document.storage_prefix}/{name}")
            failpoint("purge.object_deleted")
        default_storage.delete(document.storage_prefix)  # on a disk, the empty folder


def move(document_id: UUID) -> None:
    """Say of the document's points in which knowledge base they are. May be run again.

    Raises ServiceUnavailable, RetryableError.
    """
    moved = Document.objects.filter(pk=document_id, purging_at=None)
    said: int | None = None
    while (base := moved.values_list("knowledge_base_id", flat=True).first()) not in (None, said):
        collections = generations.written()
        release()
        for index in collections:
            vectors.move(document_id, base, index.collection)
        failpoint("move.said")
        said = base  # unless it was moved on meanwhile
    release()


def fetch(document: Document, copy: IO[bytes], moved: Callable[[], None] = lambda: None) -> None:
    """Copy the original; what is missing or changed there can never be processed. `moved` is called
    for each block, which has a deadline of its own; all of it has so long that what comes behind
    it can still be silent for STALL within TIME_LIMIT, which would charge the document.

    Raises PermanentError and ServiceUnavailable.
    """
    digest = hashlib.sha256()
    longest = settings.TIME_LIMIT - settings.STALL
    with storage(), within(longest.total_seconds()):
        try:
            with default_storage.open(document.storage_key) as original:
                for block in original.chunks():
                    moved()
                    digest.update(block)
                    copy.write(block)
            copy.flush()
        except FileNotFoundError as error:
            raise PermanentError(
                "file_missing", "The stored file is missing; upload it again."
            ) from error
    if digest.hexdigest() != document.sha256:
        raise PermanentError(
            "file_changed", "The stored file is not the one that was uploaded; upload it again."
        )


def limits_for(document: Document) -> parsing.Limits:
    return parsing.Limits(
        settings.PARSE_MAX_CHARS,
        settings.PARSE_MAX_PAGES,
        settings.PARSE_MAX_CELLS,
        settings.OCR_MAX_PAGES if settings.OCR == "auto" else 0,
        document.knowledge_base.languages or settings.OCR_LANGUAGES,
    )


@contextmanager
def storage() -> Iterator[None]:
    """Says of what the storage raises that a service is away. Each of its calls, and each block of
    a body, has a deadline (lumikb/storage.py).
    """
    try:
        yield
    except OSError as error:  # what Django's file storage and ours for S3 raise
        log.warning("the storage: %s", error)
        reasons = (reason for kind, reason in STORAGE_REASONS.items() if isinstance(error, kind))
        reason = next(reasons, error.strerror or "an error that is logged")
        raise ServiceUnavailable("storage", reason) from error


def _read(lease: Lease, document: Document, work: Kept) -> tuple[Kept, list[Chunk]]:
    """Read the text piece by piece, and keep each with its passages; or return these, when there is
    one piece and they are few.
    """
    chunks: list[Chunk] = []
    with TemporaryFile() as copy:  # it has no name: a killed worker leaves none behind
        fetch(document, copy, partial(_go_on, lease))
        failpoint("worker.fetched")
        lease.progress(Stage.PARSE)
        pieces = parsing.pieces(
            Path(f"/proc/self/fd/{copy.fileno()}"),
            document.content_type,
            start=work.unit,
            chars=work.chars,
            passed=[parsing.Passed(**entry) for entry in work.unread],
            limits=limits_for(document),
            timeout=settings.PARSE_TIMEOUT,
            memory_bytes=settings.PARSE_MEMORY_BYTES,
            check=lease.check,
            moved=lease.moved,
        )
        with closing(pieces):
            for piece in pieces:
                work, chunks = _take_over(lease, document, work, piece)
                if not work.is_read:
                    lease.progress(Stage.PARSE, place=piece.place)
                    lease.end_turn()
    failpoint("worker.parsed")
    if not chunks:
        lease.check()
        lease.end_turn()
    return work, chunks


def _go_on(lease: Lease) -> None:
    lease.moved()
    lease.check()


def _take_over(
    lease: Lease, document: Document, work: Kept, piece: parsing.Piece
) -> tuple[Kept, list[Chunk]]:
    """Keep a piece; or return its passages, when it is the whole document and they are few."""
    chunks = _chunks(document, work, piece)
    passed = parsing.compact([*(parsing.Passed(**entry) for entry in work.unread), *piece.passed])
    failpoint("worker.piece_read")
    lease.check()
    is_whole = work.unit == 1 and not piece.unit
    with storage():
        if is_whole:
            parts = texts.store(document, work.reading, lease.claim.epoch, piece.text)
        else:
            number = texts.parts(document, work.reading).count()
            release()
            parts = texts.add(
                document,
                work.reading,
                lease.claim.epoch,
                piece.text,
                behind=work.chars,
                number=number,
            )
    failpoint("worker.text_stored")
    work = replace(
        work,
        unit=piece.unit,
        chars=work.chars + len(piece.text),
        passages=work.passages + len(chunks),
        unread=tuple(map(asdict, passed if piece.unit else parsing.merged(passed))),
    )
    if is_whole and len(chunks) <= settings.EMBEDDING_BATCH_SIZE and not parts:
        return work, chunks
    if not kept.add(lease.claim, work.reading, parts, chunks) or not kept.mark(lease.claim, work):
        raise LeaseLost
    release()
    failpoint("worker.text_kept")
    return work, []


def _chunks(document: Document, work: Kept, piece: parsing.Piece) -> list[Chunk]:
    parsed = parsing.ParsedDocument(piece.text, piece.sections)
    return [
        Chunk(
            id=Chunk.id_for(document.pk, work.passages + passage.position),
            document=document,
            position=work.passages + passage.position,
            text=passage.text,
            page=passage.page,
            heading=passage.heading,
            context=passage.context,
            recognised=passage.recognised,
            start=work.chars + passage.start,
            end=work.chars + passage.end,
            language=language_of(passage.text),
            words=terms.tsvector(passage.text),
        )
        for passage in chunking.split(parsed, settings.CHUNK_MAX_CHARS, tokens.passage_fits)
    ]


def _index_kept(lease: Lease, document: Document, work: Kept, is_fetched: bool) -> None:
    """The passages that are kept and not in the index yet, a batch at a time.

    How far it is is said, and kept, before the next batch: only the one under way can be lost. With
    a slow embedding service a batch is smaller, so that nobody has to wait long for the slot.
    """
    began, total, size = work.count, work.passages, settings.EMBEDDING_BATCH_SIZE
    while work.count < total:
        place = f"passage {work.count + 1}"
        lease.progress(Stage.EMBED, work.count, total, place, keep=work.count > began)
        batch = kept.passages(document, work, size)
        release()
        begun_at = time.monotonic()
        _index(document, batch)
        share = BATCH_SECONDS / (time.monotonic() - begun_at)
        size = round(max(1, min(len(batch) * share, settings.EMBEDDING_BATCH_SIZE)))
        if lease.claim.is_probe and work.count == began:
            outages.over(is_fetched)  # from there to the index, all answered
            release()
        work = replace(work, count=work.count + len(batch))
    lease.progress(Stage.INDEX, total, total, keep=work.count > began)


def _index(document: Document, chunks: Sequence[Chunk]) -> None:
    """Embed the chunks in their context and write their points, to each index that there is."""
    serving, *filling = generations.written()
    _write(serving, document, chunks)
    for index in filling:
        try:
            _write(index, document, chunks)
        except ProcessingError as error:  # no reason to keep anybody waiting: reembed.py comes back
            log.warning("left out of %s: %s", index.collection, error)
            vectors.delete(document.pk, index.collection)


def _write(index: generations.Index, document: Document, chunks: Sequence[Chunk]) -> None:
    found = points.of(index, chunks)
    failpoint("worker.batch_embedded")
    generations.establish()  # not before the model has answered: its name may be mistyped
    vectors.upsert(document.knowledge_base_id, document.pk, found, index.collection)
    failpoint("worker.batch_indexed")


def _delete_earlier(document: Document, work: Kept, epoch: int) -> None:
    """Nobody reads the passages, texts and pictures before these; what is missed goes with the
    purge.
    """
    kept.sweep(document, work.reading)
    pictures.sweep(document, work.reading)
    current = {Path(document.text_key(work.reading)).name}
    current |= {part.name for part in texts.parts(document, work.reading)}
    release()
    try:
        _, names = default_storage.listdir(document.storage_prefix)
        for name in names:
            text, picture = texts.NAME.fullmatch(name), pictures.NAME.fullmatch(name)
            if (text and int(text[1]) <= epoch and name not in current) or (
                picture and int(picture[1]) < work.reading
            ):
                default_storage.delete(f"{document.storage_prefix}/{name}")
    except OSError as error:
        log.warning("left texts of earlier tries behind: %s", error)
