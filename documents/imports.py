"""Files of a folder become documents of a knowledge base, through the same door as uploads.

Which of them are there already is found by name and content, so that an import can be killed and
begun again, and does nothing twice. They wait in bulk: what people upload meanwhile goes first.
"""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef

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
EMPTY = (
    "The folder is empty, as one is that is not mounted: its documents stay. "
    "Delete them by hand if that is meant."
)

SPECIAL = "It is no file: a pipe, a socket or a device, of which nobody knows whether it ends."
OUTSIDE = "It is a link to a file outside of the folder; only what is in the folder is imported."

# Refused because of what the file is; for other reasons it may be taken the next time.
BY_ITSELF = {
    "empty_file",
    "file_too_large",
    "invalid_filename",
    "name_taken",
    "no_file",
    "outside",
    "same_name",
    "unsupported_type",
}

Stat = tuple[int, int]  # bytes, and when it was changed in nanoseconds
State = tuple[str, Stat | None]  # the problem of a source, if any, and its file's


@dataclass(frozen=True, slots=True)
class Outcome:
    """`why` is for people, `code` for programs: that of a refusal."""

    path: str
    filename: str
    what: str
    why: str = ""
    document: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """A file to be imported, and the name that its document has; `problem`: why it cannot be."""

    path: Path
    filename: str
    problem: str = ""
    is_folder: bool = False

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
        return f"imported from {_readable(self.root)}"

    def sources(self) -> Iterator[Source]:
        """The files, those of a folder by name; hidden ones and links to folders are left out, and
        links to files elsewhere have a problem.

        Of files whose documents would have the same name, `a/b.md` and `a - b.md`, the first is
        taken. At the end the folders that cannot be listed; the root, too, when it has gone.
        """
        if self.root.is_file():
            yield Source(self.root, self.root.name)
            return
        unlisted: list[OSError] = []
        first: dict[str, Path] = {}  # by the name of its document
        for folder, folders, names in os.walk(self.root, onerror=unlisted.append):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                if name.startswith("."):
                    continue
                path = Path(folder, name)
                filename = self._name_of(path)
                if _is_special(path):
                    yield Source(path, filename, SPECIAL)
                    continue
                if os.path.islink(path) and not self._has(path):
                    yield Source(path, filename, OUTSIDE)
                    continue
                with suppress(Refused):
                    namesake = first.setdefault(clean_filename(filename), path)
                    if namesake != path:
                        problem = f"The document of {_readable(namesake)} has this name already."
                        yield Source(path, filename, problem)
                        continue
                yield Source(path, filename)
        for error in unlisted:
            path = Path(error.filename)
            if path == self.root or not isinstance(error, FileNotFoundError):  # else it is gone
                yield Source(path, self._name_of(path), _unreadable(error), is_folder=True)

    def run(self, sources: Iterable[Source]) -> Iterator[Outcome]:
        """What becomes of each, as soon as it is known."""
        rest = iter(sources)
        while batch := list(islice(rest, LOOKED_UP_AT_ONCE)):
            known = self._known(batch)
            for source in batch:
                yield self._outcome(source, known)

    def ours(self) -> dict[str, Document]:
        """The live documents of this folder, by their names.

        Not those that were renamed or moved since: their names say nothing of its files.
        """
        came = DocumentEvent.objects.filter(kind="registered", detail=self.origin[:500])
        taken = DocumentEvent.objects.filter(kind__in=["renamed", "moved"], document=OuterRef("pk"))
        live = self.base.document_set.live().filter(~Exists(taken), pk__in=came.values("document"))
        return {document.filename: document for document in live}

    def delete(self, document: Document) -> Outcome:
        """Its file is gone."""
        if not self.is_trial:
            lifecycle.soft_delete(document.pk, self.by)
        return Outcome("", document.filename, DELETED, "its file is gone", str(document.pk))

    def _has(self, link: Path) -> bool:
        """That it leads to what is in the folder, or would be."""
        # Not Path.resolve, which raises RuntimeError for a link to itself.
        return Path(os.path.realpath(link)).is_relative_to(os.path.realpath(self.root))

    def _name_of(self, path: Path) -> str:
        return BETWEEN_FOLDERS.join(path.relative_to(self.root).parts)

    def _known(self, sources: list[Source]) -> dict[str, Document]:
        names = _of_documents(source.filename for source in sources)
        live = self.base.document_set.live().filter(filename__in=list(names))
        return {document.filename: document for document in live.select_related("knowledge_base")}

    def _outcome(self, source: Source, known: dict[str, Document]) -> Outcome:
        def became(
            what: str, why: str = "", document: Document | None = None, code: str = ""
        ) -> Outcome:
            number = str(document.pk) if document else ""
            name = document.filename if document else _readable(source.filename)
            return Outcome(_readable(source.path), name, what, why, number, code)

        if source.problem:
            of_file = {SPECIAL: "no_file", OUTSIDE: "outside"}.get(source.problem, "same_name")
            code = "unreadable" if source.is_folder else of_file
            return became(REFUSED, source.problem, code=code)
        try:
            filename = clean_filename(source.filename)
            old = known.get(filename)
            if old and _sha256(source.path) == old.sha256:
                return became(UNCHANGED, document=old)
            if old and not self._may_replace(old):
                if self.on_duplicate == "fail":
                    return became(REFUSED, "another document has this name", old, "name_taken")
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
            if refused.details.get("same_content"):  # another import was faster
                return became(UNCHANGED)
            return became(REFUSED, str(refused), code=refused.code)
        except OSError as error:
            return became(REFUSED, _unreadable(error), code="unreadable")
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
    What is refused for another reason than what it is, a limit say, is tried again at each look.
    """

    def __init__(self, work: Import, is_mirror: bool) -> None:
        self.work = work
        self.is_mirror = is_mirror
        self._seen: dict[Path, State] = {}
        self._done: dict[Path, State] = {}
        self._refused: dict[Path, str] = {}  # why, as it was told
        self._names: set[str] | None = None  # when what had no file was deleted the last time

    def look(self) -> Iterator[Outcome]:
        now: dict[Path, State] = {}
        complete: list[Source] = []
        names: set[str] = set()
        is_all_there = True  # a root that has gone is not mounted, most likely
        for source in self.work.sources():
            is_all_there = is_all_there and not source.is_folder
            if (state := _state(source)) is None:
                continue
            now[source.path] = state
            names.add(source.filename)
            if state == self._seen.get(source.path) and state != self._done.get(source.path):
                complete.append(source)
        for outcome, source in zip(self.work.run(complete), complete, strict=True):
            if outcome.what != REFUSED or outcome.code in BY_ITSELF:
                # What changed while it was read is read again.
                self._done[source.path] = now[source.path]
            elif self._refused.get(source.path) == outcome.why:
                continue
            self._refused[source.path] = outcome.why
            yield outcome
        if self.is_mirror and is_all_there:
            yield from self._delete_what_has_no_file(names)
        self._done = {path: state for path, state in self._done.items() if path in now}
        self._refused = {path: why for path, why in self._refused.items() if path in now}
        self._seen = now

    def _delete_what_has_no_file(self, names: set[str]) -> Iterator[Outcome]:
        """Asked is only when a name has gone: there may be very many documents. Of an empty folder
        nothing is deleted: the disk that belongs there is not mounted, most likely.
        """
        if self._names is None or self._names - names:
            there = set(_of_documents(names))
            gone = [each for name, each in self.work.ours().items() if name not in there]
            if gone and not names:
                yield Outcome(_readable(self.work.root), "", REFUSED, EMPTY, code="empty_folder")
            else:
                yield from map(self.work.delete, gone)
        self._names = names


def _of_documents(names: Iterable[str]) -> Iterator[str]:
    """As their documents have them, if they can have one."""
    for name in names:
        with suppress(Refused):
            yield clean_filename(name)


def _state(source: Source) -> State | None:
    """None when it has gone meanwhile; what cannot be read has not."""
    try:
        return source.problem, source.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        return source.problem or _unreadable(error), None


def _readable(name: str | Path) -> str:
    """For people, PostgreSQL and JSON: bytes of a name that are no UTF-8 as `\\xe9`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _is_special(path: Path) -> bool:
    """Who opens a pipe may wait for ever. A link that leads nowhere says so when it is read."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _unreadable(error: OSError) -> str:
    return f"It cannot be read ({error.strerror or type(error).__name__})."


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
