"""From a stored file to an index that search can read, one stage after the other.

No database connection is held in any of them: each takes one for its short statements.
"""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from django.conf import settings
from django.core.files.storage import default_storage

from documents import lifecycle, outages, texts
from documents.connections import release
from documents.deadlines import within
from documents.failpoints import failpoint
from documents.models import Chunk, Document, Stage, TextPart

from . import chunking, parsing
from .errors import LeaseLost, PermanentError, RetryableError, ServiceUnavailable
from .heartbeat import Lease
from .index import embeddings, terms, tokens, vectors
from .index.languages import language_of

log = logging.getLogger(__name__)

STORAGE_REASONS = {
    PermissionError: "access is refused",
    TimeoutError: "no answer in time",
    ConnectionError: "no connection",
}


def run(lease: Lease) -> None:
    """Make the claimed document READY. Raises the errors of `errors.py`."""
    claim = lease.claim
    document = Document.objects.get(pk=claim.document_id)
    release()
    with TemporaryFile() as copy:  # it has no name: a killed worker leaves none behind
        _fetch(document, copy)
        failpoint("worker.fetched")
        lease.progress(Stage.PARSE)
        parsed = parsing.parse(
            Path(f"/proc/self/fd/{copy.fileno()}"),
            document.content_type,
            timeout=settings.PARSE_TIMEOUT,
            memory_bytes=settings.PARSE_MEMORY_BYTES,
            check=lease.check,
        )
    failpoint("worker.parsed")
    lease.check()
    with _storage():
        parts = texts.store(document, claim.epoch, parsed.text)
    failpoint("worker.text_stored")
    chunks = _chunks(document, parsed)
    for done, batch in _embedding_batches(chunks):
        lease.progress(Stage.EMBED, done, len(chunks))
        _index(document, batch)
        if claim.is_probe and not done:
            outages.over()  # from the storage to the index, all answered
            release()
        failpoint("worker.batch_indexed")
    lease.progress(Stage.INDEX, len(chunks), len(chunks))
    vectors.trim(document.pk, keep=len(chunks))
    failpoint("worker.trimmed")
    if (count := vectors.count(document.pk)) != len(chunks):
        raise RetryableError(
            "index_incomplete", f"The index has {count} of {len(chunks)} passages."
        )
    failpoint("worker.counted")
    lease.check()
    unread = [asdict(entry) for entry in parsed.unread]
    if not lifecycle.succeed(claim, chunks, unread, parts):
        raise LeaseLost
    release()
    failpoint("worker.succeeded")
    if claim.epoch > 1:
        _delete_earlier_texts(document, claim.epoch)


def purge(document: Document) -> None:
    """Remove everything outside PostgreSQL that belongs to the document. May be run again.

    Raises ServiceUnavailable.
    """
    release()
    vectors.delete(document.pk)
    failpoint("purge.vectors_deleted")
    with _storage():
        try:
            _, names = default_storage.listdir(document.storage_prefix)
        except FileNotFoundError:
            names = []
        for name in names:
            default_storage.delete(f"{document.storage_prefix}/{name}")
            failpoint("purge.object_deleted")
        default_storage.delete(document.storage_prefix)  # on a disk, the empty folder


def _fetch(document: Document, copy: IO[bytes]) -> None:
    """Copy the original; what is missing or changed there can never be processed."""
    digest = hashlib.sha256()
    with _storage():
        try:
            with default_storage.open(document.storage_key) as original:
                for block in original.chunks():
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


def _chunks(document: Document, parsed: parsing.ParsedDocument) -> list[Chunk]:
    return [
        Chunk(
            id=Chunk.id_for(document.pk, piece.position),
            document=document,
            position=piece.position,
            text=piece.text,
            page=piece.page,
            heading=piece.heading,
            context=piece.context,
            start=piece.start,
            end=piece.end,
            language=language_of(piece.text),
            words=terms.tsvector(piece.text),
        )
        for piece in chunking.split(parsed, settings.CHUNK_MAX_CHARS, tokens.passage_fits)
    ]


def _embedding_batches(chunks: Sequence[Chunk]) -> Iterator[tuple[int, Sequence[Chunk]]]:
    """Each batch, and how many chunks came before it."""
    size = settings.EMBEDDING_BATCH_SIZE
    for start in range(0, len(chunks), size):
        yield start, chunks[start : start + size]


def _index(document: Document, chunks: Sequence[Chunk]) -> None:
    """Embed the chunks in their context and write their points."""
    points = [
        vectors.Point(chunk.pk, chunk.position, dense, _words(document, chunk))
        for chunk, dense in zip(chunks, _embedded(chunks), strict=True)
    ]
    failpoint("worker.batch_embedded")
    vectors.upsert(document.knowledge_base_id, document.pk, points)


def _embedded(chunks: Sequence[Chunk]) -> list[list[float]]:
    return embeddings.embed(
        [tokens.in_context(chunk.surroundings(), chunk.text) for chunk in chunks]
    )


def _words(document: Document, chunk: Chunk) -> dict[int, float]:
    """A passage is found by its file's name, too."""
    context = "\n".join((document.filename, chunk.heading, chunk.context))
    return terms.passage_weights(chunk.text, context, chunk.language)


def _delete_earlier_texts(document: Document, epoch: int) -> None:
    """Nobody reads the texts of the tries before this one; what is missed goes with the purge."""
    TextPart.objects.filter(document=document.pk, reading__lt=epoch).delete()
    release()
    try:
        _, names = default_storage.listdir(document.storage_prefix)
        for name in names:
            match = texts.NAME.fullmatch(name)
            if match and int(match[1]) < epoch:
                default_storage.delete(f"{document.storage_prefix}/{name}")
    except OSError as error:
        log.warning("left texts of earlier tries behind: %s", error)


@contextmanager
def _storage() -> Iterator[None]:
    try:
        with within(settings.S3_TIMEOUT):  # with the body, whose blocks have a deadline each
            yield
    except OSError as error:  # what Django's file storage and ours for S3 raise
        log.warning("the storage: %s", error)
        reasons = (reason for kind, reason in STORAGE_REASONS.items() if isinstance(error, kind))
        reason = next(reasons, error.strerror or "an error that is logged")
        raise ServiceUnavailable("storage", reason) from error
