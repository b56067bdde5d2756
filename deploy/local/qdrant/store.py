"""The shards of one directory, and who may touch them when."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar

import qdrant_edge as edge

from deploy.local.jsonserver import HttpError, log
from deploy.local.qdrant.rebuild import NOTHING_TO_DO, Rebuild, points_then

FLUSH_SECONDS = 5.0
"""Qdrant's default `flush_interval_sec`: when it was quiet for so long, it flushes."""

BUSY_FLUSH_SECONDS = 60.0
"""When it is never quiet, it flushes so often: that holds all requests up for 0.1 to 0.4 s, beside
a slow disk for longer. What was not flushed is in the log, and read from there at the next start.
"""

CHANGED, CHANGED_POINTS = 0.2, 1000
"""A shard is made anew (rebuild.py) when so great a share of its points, and so many at least, were
written or deleted: Qdrant's defaults of `deleted_threshold` and `vacuum_min_vector_number`."""

MOST_MISSED = 50_000
"""Points that are kept in memory (150 MB) while a shard is made anew; then it is tried later."""

Result = TypeVar("Result")


class Store:
    """The shards of one directory. Thread-safe by one lock: the engine holds the interpreter lock
    during a call, so that a finer one would gain nothing. Who writes holds another one before it,
    so that searches go on while a shard is copied."""

    def __init__(self, folder: Path) -> None:
        """`OSError` when the directory cannot be used, is in use, or holds a damaged collection."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._writing = RLock()
        self._lock = RLock()
        self._last_call = 0.0
        self._last_flush = time.monotonic()
        self._closed = False
        self._unflushed: set[str] = set()
        self._lock_file = (folder / ".lock").open("w")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError("another process is using it") from error
        for replaced in folder.glob(f"{_REPLACED}*"):  # by something that has not come
            if not (whole := folder / replaced.name.removeprefix(_REPLACED)).exists():
                replaced.rename(whole)
        for leftover in folder.glob(".*-*"):  # half created or half deleted
            shutil.rmtree(leftover, ignore_errors=True)
        self._shards = {
            path.name: _load(path) for path in sorted(folder.glob("[!.]*")) if path.is_dir()
        }
        self._rebuild: Rebuild | None = None
        self._changed = {  # points, since the shard was made anew
            name: abs(shard.info().points_count - points_then(folder / name))
            for name, shard in self._shards.items()
        }

    def names(self) -> list[str]:
        """All collections, sorted."""
        with self._lock:
            return sorted(self._shards)

    def create(self, name: str, config: edge.EdgeConfig) -> None:
        """A new, empty collection. `HttpError` 409 when it exists."""
        with self._writing, self._lock, _engine_errors():
            if name in self._shards:
                raise HttpError(409, f"Wrong input: Collection `{name}` already exists!")
            # Made beside its place and moved: a crash leaves no half collection.
            draft = self._folder / f".new-{name}"
            edge.EdgeShard.create(str(draft), config).close()
            self._shards[name] = edge.EdgeShard.load(str(draft.rename(self._folder / name)))
            self._changed[name] = 0

    def delete(self, name: str) -> bool:
        """Whether there was such a collection."""
        with self._writing, self._lock, _engine_errors():
            shard = self._shards.pop(name, None)
            if shard is None:
                return False
            if self._rebuild and self._rebuild.name == name:
                self._give_up()
            shard.close()
            self._unflushed.discard(name)
            shutil.rmtree((self._folder / name).rename(self._folder / f".old-{name}"))
            return True

    def config(self, name: str) -> dict[str, Any]:
        """The collection's vectors as the engine wrote them down, which is in REST's shape."""
        file = self._folder / name / "edge_config.json"
        return self.read(name, lambda shard: json.loads(file.read_text()))

    def read(self, name: str, call: Callable[[edge.EdgeShard], Result]) -> Result:
        """The result of `call(shard)`. `HttpError` 404 when there is no such collection, 400 or 500
        for what the engine refuses, 503 after `close`."""
        with self._lock, _engine_errors():
            self._last_call = time.monotonic()
            if self._closed:
                raise HttpError(503, "Service shutting down")
            if name not in self._shards:
                raise HttpError(404, f"Not found: Collection `{name}` doesn't exist!")
            return call(self._shards[name])

    def update(self, name: str, operation: edge.UpdateOperation, points: int = 0) -> None:
        """Applies one operation, which writes so many points, entirely or not at all. Errors as for
        `read`."""
        with self._writing, self._lock:
            changed = max(points, self.read(name, lambda shard: _deleted(shard, operation)))
            self._changed[name] += changed
            self._unflushed.add(name)
            if self._rebuild and self._rebuild.name == name:
                self._rebuild.miss(operation, changed)

    def is_rebuilding(self, name: str) -> bool:
        """Whether it is being made anew, or will be in a moment."""
        with self._lock:
            under_way = self._rebuild is not None and self._rebuild.name == name
            return under_way or name in self._due()

    def tick(self) -> None:
        """Flushes what was written, which shortens the log, and makes shards anew where it pays."""
        with self._lock:
            now = time.monotonic()
            is_quiet = now - self._last_call >= FLUSH_SECONDS
            if is_quiet or now - self._last_flush >= BUSY_FLUSH_SECONDS:
                for name in self._unflushed:
                    self._shards[name].flush()
                self._unflushed.clear()
                self._last_flush = now
        if self._rebuild:
            self._go_on(self._rebuild)
        else:
            self._begin_rebuild()

    def close(self) -> None:
        """Flushes and releases all shards."""
        with self._writing, self._lock:
            self._closed = True
            if self._rebuild:
                self._give_up()
            for shard in self._shards.values():
                shard.flush()
                shard.close()
            self._shards.clear()
            self._lock_file.close()

    def _due(self) -> list[str]:
        return [
            name
            for name, shard in self._shards.items()
            if self._changed[name] >= max(CHANGED_POINTS, CHANGED * shard.info().points_count)
        ]

    def _begin_rebuild(self) -> None:
        with self._writing:
            with self._lock:
                if not (due := self._due()):
                    return
                [name, *_] = due
                self._shards[name].flush()
                self._unflushed.discard(name)
                self._changed[name] = 0
            try:
                draft = self._folder / f".next-{name}"
                self._rebuild = Rebuild(name, self._folder / name, draft)
            except OSError as error:
                log.warning("%s is not made anew: %s", name, error)

    def _go_on(self, rebuild: Rebuild) -> None:
        status = rebuild.status()
        if status is None and rebuild.points_missed <= MOST_MISSED:
            return
        with self._writing:
            if self._rebuild is not rebuild:
                return  # the collection was deleted just now
            try:
                if status == NOTHING_TO_DO:
                    rebuild.remember()
                if status != 0:
                    raise OSError(_UNDONE.get(status, f"exit status {status}"))
                self._put_in_place(rebuild, _load(rebuild.draft))
            except OSError as error:
                log.info("%s is not made anew: %s", rebuild.name, error)
                self._changed[rebuild.name] = 0  # tried again when so much is written once more
                self._give_up()

    def _put_in_place(self, rebuild: Rebuild, shard: edge.EdgeShard) -> None:
        name, folder = rebuild.name, self._folder / rebuild.name
        replaced = self._folder / f"{_REPLACED}{name}"
        rebuild.catch_up(shard)
        shard.flush()
        shard.close()
        with self._lock:
            try:
                self._shards.pop(name).close()
                # A crash here leaves the one or the other, and both are whole: see `__init__`.
                folder.rename(replaced)
                self._shards[name] = _load(rebuild.draft.rename(folder))
            except BaseException:
                self._closed = True  # nobody may think that the collection is not there
                raise
            self._rebuild = None
        shutil.rmtree(replaced, ignore_errors=True)
        log.info("%s is made anew", name)

    def _give_up(self) -> None:
        if self._rebuild:
            self._rebuild.give_up()
            self._rebuild = None


_REPLACED = ".was-"
_UNDONE = {None: "too much is written meanwhile", NOTHING_TO_DO: "it is as it should be"}


def _deleted(shard: edge.EdgeShard, operation: edge.UpdateOperation) -> int:
    """How many points fewer there are after it."""
    before = shard.info().points_count
    shard.update(operation)
    return before - shard.info().points_count


def _load(path: Path) -> edge.EdgeShard:
    try:
        return edge.EdgeShard.load(str(path))
    except BaseException as error:  # a panic of the engine is not an Exception
        raise OSError(f"collection {path.name} cannot be loaded: {_first_line(error)}") from error


@contextmanager
def _engine_errors() -> Iterator[None]:
    try:
        yield
    except (HttpError, OSError):
        raise
    except Exception as error:
        # qdrant_edge raises plain Exceptions; its text alone tells whose fault it was.
        sentence = _first_line(error)
        if sentence.startswith("Service"):
            log.exception("the engine failed")
            raise HttpError(500, sentence) from error
        raise HttpError(400, f"Wrong input: {sentence}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        # What a panicked engine still holds is anyone's guess, its log is not: start afresh.
        log.critical("the engine panicked: %s", _first_line(error))
        os._exit(70)  # EX_SOFTWARE


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
