"""Pages as they look: asked for by people, drawn by a worker, kept in storage beside the text.

A row is a wish until it is drawn. Two who ask at once make one row and one message, and of two
workers one begins. What a worker does not finish may be begun again by another, and is given up
after MAX_TRIES. The pictures go with the reading that they show.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from formats.unread import NOT_DRAWN

from . import lifecycle, texts
from .connections import release
from .models import Chunk, Document, PagePicture

NAME = re.compile(r"page-(\d+)-(\d+)")
MAX_TRIES = 3
PATIENCE = timedelta(minutes=2)  # with a worker that has begun; twice drawn is drawn alike


def ask(document: Document, page: int) -> PagePicture:
    """The page of the text that search shows; a worker is asked for it unless one was just now."""
    wanted = PagePicture(document=document, reading=document.indexed_epoch or 0, page=page)
    found = _same(wanted).first()
    if found is None:
        PagePicture.objects.bulk_create([wanted], ignore_conflicts=True)
        found = _same(wanted).get()
    if not (found.drawn_at or found.failure):
        long_ago = Q(asked_at=None) | Q(asked_at__lt=Now() - settings.REPOST_AFTER)
        with transaction.atomic():
            wishes = _unfinished(document.pk).filter(_searchable(), long_ago, pk=found.pk)
            if wishes.update(asked_at=Now()):
                lifecycle.ask_for_pages(document.pk)
    found.document = document
    return found


def drawn(document: Document, page: int) -> PagePicture | None:
    """The page of the text that search shows, if it is drawn."""
    wanted = PagePicture(document=document, reading=document.indexed_epoch or 0, page=page)
    found = _same(wanted).exclude(drawn_at=None).first()
    if found:
        found.document = document
    return found


def outline(picture: PagePicture, chunk: Chunk) -> str:
    """The rectangles of a passage as a path of SVG, before the picture's `transform`."""
    return "".join(
        f"M{left} {bottom}h{width}v{height}h{-width}z"
        for left, bottom, width, height in picture.rectangles.get(str(chunk.position), ())
    )


def begin(document_id: UUID) -> PagePicture | None:
    """The next page of a document that is to be drawn; nobody else draws it meanwhile."""
    free = _unfinished(document_id).filter(
        _searchable(),
        Q(begun_at=None) | Q(begun_at__lt=Now() - PATIENCE),
        reading=F("document__indexed_epoch"),
    )
    free.filter(tries__gte=MAX_TRIES).update(failure=NOT_DRAWN)
    for picture in free.select_related("document").order_by("asked_at"):
        if free.filter(pk=picture.pk).update(begun_at=Now(), tries=F("tries") + 1):
            picture.tries += 1
            return picture
    return None


def finish(
    picture: PagePicture,
    content: bytes,
    matrix: Sequence[float],
    rectangles: Mapping[int, Sequence[Sequence[float]]],
) -> bool:
    """Keep what was drawn, if the document is still there. Raises OSError."""
    texts.put(picture.key, content)
    drawn = PagePicture.objects.filter(_searchable(), pk=picture.pk)
    if drawn.update(
        drawn_at=Now(),
        width=picture.width,
        height=picture.height,
        pages=picture.pages,
        matrix=list(matrix),
        rectangles=dict(rectangles),
    ):
        return True
    release()
    default_storage.delete(picture.key)
    return False


def fail(picture: PagePicture, sentence: str) -> None:
    _unfinished(picture.document_id).filter(pk=picture.pk).update(failure=sentence[:300])


def leave(picture: PagePicture, *, is_charged: bool) -> None:
    """It may be begun again, at once if somebody asks; without charge, when a service was away."""
    again = _unfinished(picture.document_id).filter(pk=picture.pk)
    again.update(begun_at=None, tries=F("tries") - (0 if is_charged else 1))


def forget(picture: PagePicture) -> None:
    """Its object is lost: who asks again gets another."""
    PagePicture.objects.filter(pk=picture.pk).delete()


def sweep(document: Document, reading: int) -> None:
    """Those of readings before this one."""
    PagePicture.objects.filter(document=document.pk, reading__lt=reading).delete()


def is_kept(document: Document, name: str) -> bool:
    """Whether an object of this name is the picture of a page of the text that search shows."""
    match = NAME.fullmatch(name)
    return match is not None and int(match[1]) == document.indexed_epoch


def _searchable() -> Q:
    """Nothing is drawn of what was deleted meanwhile."""
    return Q(document__in=Document.objects.searchable())


def _same(wanted: PagePicture) -> QuerySet[PagePicture]:
    return PagePicture.objects.filter(
        document=wanted.document_id, reading=wanted.reading, page=wanted.page
    )


def _unfinished(document_id: UUID) -> QuerySet[PagePicture]:
    return PagePicture.objects.filter(document=document_id, drawn_at=None, failure="")
