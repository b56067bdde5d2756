"""Pages of a document as they look, for those who ask: drawn in the parser's sandbox, never by the
web process, and stored beside the text with the rectangles of the passages on them.
"""

import logging
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryFile
from uuid import UUID

from django.conf import settings

from documents import pictures
from documents.connections import release
from documents.models import Chunk, PagePicture

from . import parsing
from .errors import PermanentError, RetryableError, ServiceUnavailable
from .pipeline import fetch, limits_for, storage
from .rectangles import rectangles

log = logging.getLogger(__name__)

SECONDS = 60.0  # by the clock, for a page whose words have to be recognised


def draw(document_id: UUID) -> None:
    """Draw what people wait for of a document. Raises ServiceUnavailable."""
    picture = pictures.begin(document_id)
    if picture is None:
        return
    with TemporaryFile() as copy:
        try:
            release()
            fetch(picture.document, copy)
        except PermanentError as error:
            pictures.fail(picture, error.sentence)
            return
        except ServiceUnavailable:
            pictures.leave(picture, is_charged=False)
            raise
        while picture:
            _draw(picture, Path(f"/proc/self/fd/{copy.fileno()}"))
            picture = pictures.begin(document_id)


def _draw(picture: PagePicture, path: Path) -> None:
    chunks = list(_passages(picture))
    release()
    try:
        drawn = parsing.draw(
            path,
            picture.document.content_type,
            picture.page,
            limits=limits_for(picture.document),
            timeout=SECONDS,
            memory_bytes=settings.PARSE_MEMORY_BYTES,
        )
    except PermanentError as error:
        log.info("page %s is not drawn: %s", picture.page, error)
        pictures.fail(picture, error.sentence)
        return
    except RetryableError as error:
        log.warning("page %s is not drawn yet: %s", picture.page, error)
        pictures.leave(picture, is_charged=True)
        return
    picture.width, picture.height, picture.pages = drawn.width, drawn.height, drawn.pages
    try:
        with storage():
            pictures.finish(picture, drawn.picture, drawn.matrix, rectangles(drawn, chunks))
    except ServiceUnavailable:
        pictures.leave(picture, is_charged=False)
        raise


def _passages(picture: PagePicture) -> Iterable[Chunk]:
    current = Chunk.objects.filter(document=picture.document, page=picture.page).current()
    return current.order_by("position").only("position", "start", "end", "text")
