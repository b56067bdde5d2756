"""The extracted text of a document, beside its original, for whoever shows a part of it.

A short text is one object, `text-<epoch>`; so was every text before 0.3. A long one is stored in
parts, `text-<epoch>-<number>`, of which PostgreSQL keeps a list. Either way nobody needs memory for
more than a part.
"""

import codecs
import re

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db.models import QuerySet

from .connections import release
from .models import Document, TextPart

PART_CHARS = 100_000  # at most 400 KB, read for a passage's page; the longest text has 600 parts
NAME = re.compile(r"text-(\d+)(?:-(\d+))?")


def store(document: Document, reading: int, epoch: int, text: str) -> list[TextPart]:
    """Store a whole text; returns its parts, not saved yet, or none when it is short.

    Raises OSError.
    """
    if len(text) > PART_CHARS:
        return add(document, reading, epoch, text, behind=0, number=0)
    put(document.text_key(reading), text.encode())
    return []


def add(
    document: Document, reading: int, epoch: int, text: str, *, behind: int, number: int
) -> list[TextPart]:
    """Store more of a text, `behind` so many characters and `number` parts; returns its parts, not
    saved yet. Raises OSError.
    """
    stored = [
        TextPart(document=document, reading=reading, epoch=epoch, number=number + n,
                 start=behind + start, end=behind + min(start + PART_CHARS, len(text)))
        for n, start in enumerate(range(0, len(text), PART_CHARS))
    ]  # fmt: skip
    for part in stored:
        put(_key(document, part), text[part.start - behind : part.end - behind].encode())
    return stored


def put(key: str, content: bytes) -> None:
    """Store one object that was made from a document. Raises OSError.

    What has this key already was stored by an earlier request of this call whose reply was lost,
    by a worker of this epoch that was killed while it wrote, or by this epoch of the time before
    the database was restored from a backup.
    """
    try:
        default_storage.save(key, ContentFile(content))
    except FileExistsError:
        default_storage.delete(key)
        default_storage.save(key, ContentFile(content))


def excerpt(document: Document, start: int, end: int) -> str:
    """Characters `[start, end)` of the text that search reads; fewer where it ends before.

    Holds no connection while it reads. Raises OSError.
    """
    overlapping = list(indexed_parts(document).filter(start__lt=end, end__gt=start))
    release()
    if not overlapping:
        return _from_the_start(document.text_key(document.indexed_epoch or 0), start, end)
    return "".join(
        _read(_key(document, part))[max(start - part.start, 0) : end - part.start]
        for part in overlapping
    )


def indexed_parts(document: Document) -> QuerySet[TextPart]:
    """The parts of the text that search reads, in order."""
    return parts(document, document.indexed_epoch or 0)


def parts(document: Document, reading: int) -> QuerySet[TextPart]:
    return TextPart.objects.filter(document=document.pk, reading=reading)


def _key(document: Document, part: TextPart) -> str:
    return f"{document.storage_prefix}/{part.name}"


def _read(key: str) -> str:
    with default_storage.open(key) as file:
        return file.read().decode()


def _from_the_start(key: str, start: int, end: int) -> str:
    """An object of any length, of which no more than a block is in memory."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    wanted: list[str] = []
    count = 0
    with default_storage.open(key) as file:
        for block in file.chunks():
            text = decoder.decode(block)
            wanted.append(text[max(start - count, 0) : max(end - count, 0)])
            count += len(text)
            if count >= end:
                break
    return "".join(wanted)
