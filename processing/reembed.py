"""Another model, other prefixes, or words read in another way: a new index is filled beside the one
that search reads, and takes its place when everything is in it.

What is uploaded meanwhile goes into both (pipeline.py). Here, what is there already is embedded
anew from the passages in PostgreSQL; the files are not read again. Only the counts in the new index
say what is done, so this may be killed at any time, and goes on where it was. A passage that the
new model does not read to its end has its document processed anew, at bulk priority. Where only
words are read in another way, the vectors are taken over, and nothing is embedded.

The index before stays, retired, until an operator has it removed.
"""

import logging
import time
from collections.abc import Iterator
from itertools import groupby, islice
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Count, QuerySet
from django.db.models.functions import Now

from documents import kept, lifecycle
from documents.connections import release
from documents.failpoints import failpoint
from documents.models import Chunk, Document, Generation, Status

from .errors import ProcessingError
from .flight import REEMBED, only_flight
from .index import generations, points, terms, tokens, vectors
from .index.generations import Index
from .index.languages import language_of

log = logging.getLogger(__name__)

PAGE = 500  # documents whose passages are counted in one go
PAUSE = 0.2  # seconds between two passes
GIVE_WAY_SECONDS = 2.0  # a batch waits so long, at most, for documents that are worked on
TOO_LONG = "its passages are longer than the embedding model reads"

State = Generation.State


class _Later(Exception):
    """The time is over, or the settings ask for something else by now."""


def work(seconds: float) -> bool:
    """Go on with the new index for about so long. True when there is nothing left to do, or nothing
    that can be done now: the reason is kept with the generation.

    One process works at a time; another one that calls this has nothing to do.
    """
    with only_flight(REEMBED) as flight:
        if flight is None:
            return True
        try:
            remove(State.REMOVED)
            filling = _begin()
            if filling is None:
                return True
            return _fill(filling, time.monotonic() + seconds)
        except _Later:
            return False
        except ProcessingError as error:
            log.warning("cannot go on with the new index: %s", error)
            Generation.objects.filter(state=State.FILLING).update(trouble=str(error)[:200])
            release()
            return True


def remove(*states: str) -> list[str]:
    """Delete the indexes in these states; their names. Raises ServiceUnavailable."""
    removed = []
    for generation in Generation.objects.filter(state__in=states):
        release()
        _remove(generation)
        removed.append(generation.collection)
    return removed


def _begin() -> Generation | None:
    """What is to be filled, made if it is new; None when what serves is what is wanted."""
    serving = Generation.objects.filter(state=State.SERVING).first()
    filling = Generation.objects.filter(state=State.FILLING).first()
    release()
    is_needed = serving is not None and not generations.is_wanted(serving)
    if filling and not (is_needed and generations.is_wanted(filling)):
        _remove(filling)  # the settings were changed once more
        filling = None
    if is_needed and filling is None:
        wanted = generations.wanted()
        fields = generations.fields_of(wanted) | {"collection": generations.next_name()}
        filling = Generation.objects.create(state=State.FILLING, **fields)
        generations.forget()
        release()
        log.info("filling %s beside %s", filling, serving)
    return filling


def _remove(generation: Generation) -> None:
    vectors.drop(generation.collection)
    failpoint("reembed.dropped")
    generation.delete()
    generations.forget()
    release()


def _fill(filling: Generation, until: float) -> bool:
    """Pass after pass over all documents, until one finds everything there; then switch, and look
    once more for what a worker wrote that had not heard of the new index.
    """
    index = generations.index_of(filling)
    while _pass(filling, index, until):
        if time.monotonic() > until:
            raise _Later
        time.sleep(PAUSE)  # a worker may have all that is missing
    failpoint("reembed.filled")
    if not _switch(filling):
        return True  # the other settings will be seen at the next call
    failpoint("reembed.switched")
    _pass(filling, index, until)
    return True


def _pass(filling: Generation, index: Index, until: float) -> int:
    """Add what is missing; how many documents it was, 0 when all was there."""
    documents = _indexed()
    total = Chunk.objects.current().filter(document__in=documents).count()
    release()
    progress = _Progress(filling, total)
    missing = 0
    for page in _pages(documents):
        expected = _passages_of(page)
        there = vectors.counts(page, index.collection)
        undone = [pk for pk, count in expected.items() if there.get(pk, 0) != count]
        progress.add(sum(expected.values()) - sum(expected[pk] for pk in undone), 0)
        missing += len(undone)
        for document in Document.objects.filter(pk__in=undone):
            release()
            if kept.is_idle(document):  # else the points are of what is being read anew
                vectors.trim(document.pk, expected[document.pk], index.collection)
        waiting = _chunks(undone)
        while chunks := list(islice(waiting, settings.EMBEDDING_BATCH_SIZE)):
            if time.monotonic() > until or not generations.is_wanted(filling):
                raise _Later
            _give_way()
            began = time.monotonic()
            _add(index, chunks)
            progress.add(len(chunks), time.monotonic() - began)
            failpoint("reembed.added")
    return missing


def _add(index: Index, chunks: list[Chunk]) -> None:
    """Embed these passages and write their points, unless their document has changed meanwhile."""
    anew = {
        chunk.document
        for chunk in chunks
        if chunk.document.status == Status.READY
        and not tokens.passage_fits(chunk.surroundings(), chunk.text)
        and lifecycle.requeue(chunk.document_id, reason=TOO_LONG)
    }
    release()
    rest = [chunk for chunk in chunks if chunk.document not in anew]
    if not rest:
        return
    before = generations.serving()
    _read_words(rest, is_other=index.words != before.words)
    known = None
    if index.model == before.model:  # only words are read in another way
        known = vectors.dense_of([chunk.pk for chunk in rest])
    found = dict(zip(rest, points.of(index, rest, known), strict=True))
    failpoint("reembed.embedded")
    for document, own in groupby(rest, lambda chunk: chunk.document):
        same = Document.objects.filter(pk=document.pk, lease_epoch=document.lease_epoch)
        if kept.forget_idle(document):  # else a worker writes its passages, into both
            release()
            written = [found[chunk] for chunk in own]
            vectors.upsert(document.knowledge_base_id, document.pk, written, index.collection)
            if not same.exists():
                vectors.delete(document.pk, index.collection)  # which of us was last? count anew
        release()


def _read_words(chunks: list[Chunk], is_other: bool) -> None:
    """The language and the words for phrases, of all when they are read in another way than before,
    and of what version 0.2 indexed.
    """
    for chunk in chunks:
        if is_other or chunk.words is None:
            chunk.language, chunk.words = language_of(chunk.text), terms.tsvector(chunk.text)
            same = Chunk.objects.filter(pk=chunk.pk, reading=chunk.reading)
            same.update(language=chunk.language, words=chunk.words)
    release()


def _switch(filling: Generation) -> bool:
    with transaction.atomic():
        rows = {row.state: row for row in Generation.objects.select_for_update()}
        if rows.get(State.FILLING) != filling or not generations.is_wanted(filling):
            return False
        Generation.objects.filter(state=State.SERVING).update(state=State.RETIRED)
        Generation.objects.filter(pk=filling.pk).update(
            state=State.SERVING, serving_since=Now(), progressed_at=Now(), trouble=""
        )
    generations.forget()
    release()
    log.info("search reads %s now", filling)
    return True


def _indexed() -> QuerySet[Document]:
    """What search may ever show: also what is deleted and can be restored."""
    return Document.objects.filter(purging_at=None).exclude(indexed_at=None)


def _pages(documents: QuerySet[Document]) -> Iterator[list[UUID]]:
    last = UUID(int=0)
    while page := list(
        documents.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:PAGE]
    ):
        release()
        yield page
        last = page[-1]


def _passages_of(document_ids: list[UUID]) -> dict[UUID, int]:
    rows = (
        Chunk.objects.current().filter(document__in=document_ids).order_by().values_list("document")
    )
    found: dict[UUID, int] = dict(rows.annotate(Count("pk")))
    release()
    return found


def _chunks(document_ids: list[UUID]) -> Iterator[Chunk]:
    """Of these documents, one after the other; nothing of what a worker has, or will go on with."""
    for document_id in document_ids:
        document = Document.objects.filter(pk=document_id).first()
        position = 0
        while (
            document
            and kept.is_idle(document)
            and (
                chunks := list(
                    Chunk.objects.current()
                    .filter(document=document, position__gte=position)
                    .order_by("position")[: settings.EMBEDDING_BATCH_SIZE]
                )
            )
        ):
            release()
            for chunk in chunks:
                chunk.document = document
                yield chunk
            position = chunks[-1].position + 1
        release()


def _give_way() -> None:
    """People's documents first: wait while there is one to be worked on."""
    until = time.monotonic() + GIVE_WAY_SECONDS
    busy = Document.objects.live().filter(status=Status.PROCESSING) | Document.objects.due()
    while busy.exists() and time.monotonic() < until:
        release()
        time.sleep(0.1)
    release()


class _Progress:
    """Of a pass, kept with the generation for people to see."""

    def __init__(self, filling: Generation, total: int) -> None:
        self._row = Generation.objects.filter(pk=filling.pk)
        self._row.update(passages_total=total, passages_done=0)
        self._done, self._worked, self._embedded = 0, 0.0, 0
        release()

    def add(self, passages: int, seconds: float) -> None:
        self._done += passages
        self._embedded += passages if seconds else 0
        self._worked += seconds
        pace = {"seconds_a_passage": self._worked / self._embedded} if self._embedded else {}
        self._row.update(passages_done=self._done, progressed_at=Now(), trouble="", **pace)
        release()
