"""The storage against PostgreSQL: one listing beside one reading of the rows, in the same order.

A key is `<knowledge base>/<document>/<name>`, and a listing comes in the order of the keys' bytes.
The rows are read in that order too, so that what either lacks shows without remembering anything.
"""

import heapq
import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from itertools import chain, groupby
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID

from django.core.files.storage import default_storage
from django.utils import timezone

from documents import lifecycle, pictures, texts
from documents.connections import release
from documents.models import Document, KnowledgeBase, Status, TextPart

from .finding import FIRST, PAGE, Finding, Mark, owned, pages, ready

MISSING = "stored file missing"
ORPHANS = "objects without a document"
UNREAD = "texts that nobody reads"  # and pictures of their pages

ORPHAN_AGE = timedelta(days=1)  # an upload may be under way for hours before its row is there
KEY = re.compile(r"([^/]+)/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/([^/]+)")


class Object(NamedTuple):
    folder: str
    document_id: UUID
    name: str
    modified_at: datetime
    size: int  # bytes

    @property
    def key(self) -> str:
        return f"{self.folder}{self.name}"

    @property
    def is_old(self) -> bool:
        return timezone.now() - self.modified_at > ORPHAN_AGE


def compared(mark: Mark | None = None) -> Iterator[Finding]:
    """Documents without their file, objects without their document, and texts of earlier tries.

    Raises OSError when the storage cannot be listed whole. An empty one is not believed when there
    are documents: it is the wrong one, or not mounted. Nor is a database without any document, new
    or not restored yet, when there are objects: they would be the only copies.
    """
    mark = mark or Mark()
    if next(listed(), None) is None:  # also in the midst of it: it may have gone meanwhile
        if ready().exists():
            raise OSError("the storage is empty, but there are documents: is it the right one?")
        mark.place = ""
        return
    if not Document.objects.exists():
        raise OSError("the database has no documents, but there are files: is it the right one?")
    release()
    folders = beside(listed(mark.place), owners(mark.place))
    for number, (folder, document, objects) in enumerate(folders, 1):
        yield from _of_document(document, objects) if document else _of_nobody(objects)
        if number % PAGE == 0 and mark.is_over(folder):
            return
    mark.place = ""


def beside(
    stored: Iterable[Object], documents: Iterator[Document]
) -> Iterator[tuple[str, Document | None, Iterable[Object]]]:
    """Each folder, with its document and its objects; None for one that is no document's."""
    document = next(documents, None)
    for folder, objects in groupby(stored, key=attrgetter("folder")):
        while document and _folder(document) < folder:
            yield _folder(document), document, ()
            document = next(documents, None)
        if document and _folder(document) == folder:
            yield folder, document, objects
            document = next(documents, None)
        else:
            yield folder, None, objects
    while document:
        yield _folder(document), document, ()
        document = next(documents, None)


def listed(behind: str = "") -> Iterator[Object]:
    """The objects that are stored as a document's, those behind a folder; whatever else is there is
    not ours.

    Raises OSError when the storage cannot be listed whole.
    """
    # "0" is the sign behind "/": all keys in that folder come before.
    before = f"{behind[:-1]}0" if behind else ""
    for key, modified_at, size in default_storage.scan(before):  # type: ignore[attr-defined] # lumikb/storage.py
        if key <= before:
            raise OSError(f"the list of objects is not in order at {key}")
        before = key
        if match := KEY.fullmatch(key):
            knowledge_base, document_id, name = match.groups()
            folder = f"{knowledge_base}/{document_id}/"
            yield Object(folder, UUID(document_id), name, modified_at, size)


def owners(behind: str = "") -> Iterator[Document]:
    """All that own objects, in the order of their folders: "10/" comes before "9/"; those behind
    a folder.
    """
    first, _, rest = behind.partition("/")
    last = UUID(rest.strip("/")) if rest else FIRST
    fields = (
        *("knowledge_base", "stored_in", "size", "sha256", "status"),
        *("deleted_at", "lease_epoch", "indexed_epoch", "kept_epoch"),
    )
    unpurged = Document.objects.filter(purged_at=None).only(*fields)
    moved = unpurged.exclude(stored_in=None)
    left = set(moved.order_by().values_list("stored_in", flat=True).distinct())
    there = set(KnowledgeBase.with_deleted.values_list("pk", flat=True))
    release()
    for folder in sorted(there | left, key=str):
        if str(folder) < first:
            continue
        after = last if str(folder) == first else FIRST
        streams = (
            [unpurged.filter(knowledge_base=folder, stored_in=None)] if folder in there else []
        )
        if folder in left:
            streams.append(moved.filter(stored_in=folder))
        documents = (chain.from_iterable(pages(stream, after)) for stream in streams)
        yield from heapq.merge(*documents, key=attrgetter("pk"))


def _folder(document: Document) -> str:
    return f"{document.storage_prefix}/"


def _of_document(document: Document, objects: Iterable[Object]) -> Iterator[Finding]:
    has_original = False
    for each in objects:
        has_original |= each.key == document.storage_key
        if each.is_old and _is_unread(each, document):
            delete = partial(default_storage.delete, each.key)
            yield Finding(UNREAD, each.key, delete, persists=partial(_is_still_unread, each))
    if not has_original and document.status == Status.READY and not document.deleted_at:
        # The worker that does not find the file either says so in a sentence; meanwhile, and after
        # that, what was indexed is found as before.
        requeue = partial(lifecycle.requeue, document.pk, reason="its stored file was not found")
        yield Finding(MISSING, str(document.pk), requeue, persists=partial(_is_missing, document))


def _of_nobody(objects: Iterable[Object]) -> Iterator[Finding]:
    for each in objects:
        if each.is_old:
            delete = partial(default_storage.delete, each.key)
            yield Finding(ORPHANS, each.key, delete, persists=partial(_is_unowned, each))


def _is_unread(stored: Object, document: Document) -> bool:
    """A text that is not the index's, of a try that is over: its epoch can never succeed, and no
    turn goes on with it; or a part of one that no list has. Or a picture of such a text.
    """
    if pictures.NAME.fullmatch(stored.name):
        return not pictures.is_kept(document, stored.name)
    match = texts.NAME.fullmatch(stored.name)
    if not match or (epoch := int(match[1])) > document.lease_epoch:
        return False
    if document.status == Status.PROCESSING and epoch == document.lease_epoch:
        return False
    if match[2] is None:
        return epoch not in (document.indexed_epoch, document.kept_epoch)
    part = TextPart.objects.filter(document=document.pk, epoch=epoch, number=int(match[2]))
    is_listed = part.exists()
    release()
    return not is_listed


def _is_still_unread(stored: Object) -> bool:
    document = Document.objects.filter(pk=stored.document_id, purged_at=None).first()
    return document is not None and _is_unread(stored, document)


def _is_missing(document: Document) -> bool:
    """Still READY, and asked for by its name it is not there either."""
    is_ready = ready().filter(pk=document.pk).exists()
    release()
    return is_ready and not default_storage.exists(document.storage_key)


def _is_unowned(stored: Object) -> bool:
    """Also in no other knowledge base: it would be the only copy."""
    return not owned({stored.document_id})
