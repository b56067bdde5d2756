"""Files of a folder become documents of a knowledge base, through the same door as uploads.

Which of them are there already is found by name and content, so that an import can be killed and
begun again, and does nothing twice. They wait in bulk: what people upload meanwhile goes first.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from django.conf import settings

from . import lifecycle, uploads
from .filetypes import clean_filename, detect_type
from .models import Document, DocumentEvent, KnowledgeBase
from .refusals import Refused, empty_file, file_too_large

LOOKED_UP_AT_ONCE = 500  # names
BLOCK = 1024 * 1024  # bytes
BETWEEN_FOLDERS = " - "  # a document's name has no slash

# What became of a file.
IMPORTED, REPLACED, UNCHANGED, SKIPPED = "imported", "replaced", "unchanged", "skipped"
REFUSED, DELETED = "refused", "deleted"

Stat = tuple[int, int]  # bytes, and when it was changed in nanoseconds


@dataclass(frozen=True, slots=True)
class Outcome:
    path: str
    filename: str
    what: str
    why: str = ""
    document: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """A file to be imported, and the name that its document has."""

    path: Path
    filename: str

    def stat(self) -> Stat:
        """Raises OSError."""
        now = self.path.stat()
        return now.st_size, now.st_mtime_ns


@dataclass(frozen=True, slots=True)
class Import:
    """Of one folder, or one file, in a person's name or in nobody's.

    `on_duplicate`: what to do where a document of another content has the name: skip, replace, or
    fail (which refuses the file). What this folder was imported to before is replaced in any case.
    """

    root: Path
    base: KnowledgeBase
    by: Any = None
    on_duplicate: str = "skip"
    is_trial: bool = False

    @property
    def origin(self) -> str:
        return f"imported from {self.root}"

    def sources(self) -> Iterator[Source]:
        """The files, those of a folder by name; hidden ones and links to folders are left out."""
        if self.root.is_file():
            yield Source(self.root, self.root.name)
            return
        for folder, folders, names in os.walk(self.root):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            above = Path(folder).relative_to(self.root).parts
            for name in sorted(names):
                if not name.startswith("."):
                    yield Source(Path(folder, name), BETWEEN_FOLDERS.join([*above, name]))

    def run(self, sources: Iterable[Source]) -> Iterator[Outcome]:
        """What becomes of each, as soon as it is known."""
        rest = iter(sources)
        while batch := list(islice(rest, LOOKED_UP_AT_ONCE)):
            known = self._known(batch)
            for source in batch:
                yield self._outcome(source, known)

    def ours(self) -> dict[str, Document]:
        """The live documents of this folder, by their names."""
        came = DocumentEvent.objects.filter(kind="registered", detail=self.origin[:500])
        live = self.base.document_set.live().filter(pk__in=came.values("document"))
        return {document.filename: document for document in live}

    def delete(self, document: Document) -> Outcome:
        """Its file is gone."""
        if not self.is_trial:
            lifecycle.soft_delete(document.pk, self.by)
        return Outcome("", document.filename, DELETED, "its file is gone", str(document.pk))

    def _known(self, sources: list[Source]) -> dict[str, Document]:
        names = []
        for source in sources:
            with suppress(Refused):
                names.append(clean_filename(source.filename))
        live = self.base.document_set.live().filter(filename__in=names)
        return {document.filename: document for document in live.select_related("knowledge_base")}

    def _outcome(self, source: Source, known: dict[str, Document]) -> Outcome:
        def became(what: str, why: str = "", document: Document | None = None) -> Outcome:
            number = str(document.pk) if document else ""
            return Outcome(str(source.path), source.filename, what, why, number)

        try:
            filename = clean_filename(source.filename)
            old = known.get(filename)
            if old and _sha256(source.path) == old.sha256:
                return became(UNCHANGED, document=old)
            if old and not self._may_replace(old):
                if self.on_duplicate == "fail":
                    return became(REFUSED, "another document has this name", old)
                return became(SKIPPED, "another document has this name", old)
            if self.is_trial:
                self._check(source, filename)
                return became(REPLACED if old else IMPORTED, "not really")
            with _received(source.path, filename) as file:
                if old:
                    new = uploads.replace(file, old, self.by, origin=self.origin)
                else:
                    new = uploads.accept(file, self.base, self.by, origin=self.origin)
        except Refused as refused:
            return became(REFUSED, str(refused))
        except OSError as error:
            return became(REFUSED, f"It cannot be read ({error.strerror or type(error).__name__}).")
        known[filename] = new
        return became(REPLACED if old else IMPORTED, document=new)

    def _may_replace(self, old: Document) -> bool:
        if self.on_duplicate == "replace":
            return True
        return old.events.filter(kind="registered", detail=self.origin[:500]).exists()

    def _check(self, source: Source, filename: str) -> None:
        size = source.stat()[0]
        if not size:
            raise empty_file()
        if size > settings.UPLOAD_MAX_BYTES:
            raise file_too_large()
        with source.path.open("rb") as file:
            detect_type(filename, file)


class Watch:
    """A folder that is looked at again and again: what is new, changed or gone since.

    A file is taken when it has stayed as it is from one look to the next: who writes it has done.
    """

    def __init__(self, work: Import, is_mirror: bool) -> None:
        self.work = work
        self.is_mirror = is_mirror
        self._seen: dict[Path, Stat] = {}
        self._done: dict[Path, Stat] = {}

    def look(self) -> Iterator[Outcome]:
        now: dict[Path, Stat] = {}
        complete: list[Source] = []
        names = set()
        for source in self.work.sources():
            with suppress(OSError):  # gone meanwhile
                now[source.path] = stat = source.stat()
                with suppress(Refused):
                    names.add(clean_filename(source.filename))
                if stat == self._seen.get(source.path) and stat != self._done.get(source.path):
                    complete.append(source)
        for outcome, source in zip(self.work.run(complete), complete, strict=True):
            # What changed while it was read is read again.
            self._done[source.path] = now[source.path]
            yield outcome
        if self.is_mirror and self.work.root.exists():
            for name, document in self.work.ours().items():
                if name not in names:
                    yield self.work.delete(document)
        self._done = {path: stat for path, stat in self._done.items() if path in now}
        self._seen = now


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _received(path: Path, name: str) -> uploads.ReceivedFile:
    """A copy, as an upload leaves it: whoever writes the file meanwhile changes only the file.

    Raises Refused when it is too large, and OSError.
    """
    received = uploads.ReceivedFile("upload", "", 0, None)
    received.name = name
    content = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            received.size += len(block)
            if received.size > settings.UPLOAD_MAX_BYTES:
                received.close()
                raise file_too_large()
            content.update(block)
            received.write(block)
    received.sha256 = content.hexdigest()
    received.seek(0)
    return received
