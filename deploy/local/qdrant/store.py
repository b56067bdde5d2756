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

FLUSH_SECONDS = 5.0
"""Qdrant's default `flush_interval_sec`: when it was quiet for so long, it flushes and sweeps."""

BUSY_FLUSH_SECONDS = 60.0
"""When it is never quiet, it flushes so often: that holds all requests up for 0.1 to 0.4 s, beside
a slow disk for longer. What was not flushed is in the log, and read from there at the next start.
"""

Result = TypeVar("Result")


class Store:
    """The shards of one directory. Thread-safe by one lock: the engine holds the interpreter lock
    during a call, so that a finer one would gain nothing."""

    def __init__(self, folder: Path) -> None:
        """`OSError` when the directory cannot be used, is in use, or holds a damaged collection."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
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
        for leftover in folder.glob(".*-*"):  # half created or half deleted
            shutil.rmtree(leftover, ignore_errors=True)
        self._shards = {
            path.name: _load(path) for path in sorted(folder.glob("[!.]*")) if path.is_dir()
        }

    def names(self) -> list[str]:
        """All collections, sorted."""
        with self._lock:
            return sorted(self._shards)

    def create(self, name: str, config: edge.EdgeConfig) -> None:
        """A new, empty collection. `HttpError` 409 when it exists."""
        with self._lock, _engine_errors():
            if name in self._shards:
                raise HttpError(409, f"Wrong input: Collection `{name}` already exists!")
            # Made beside its place and moved: a crash leaves no half collection.
            draft = self._folder / f".new-{name}"
            edge.EdgeShard.create(str(draft), config).close()
            self._shards[name] = edge.EdgeShard.load(str(draft.rename(self._folder / name)))

    def delete(self, name: str) -> bool:
        """Whether there was such a collection."""
        with self._lock, _engine_errors():
            shard = self._shards.pop(name, None)
            if shard is None:
                return False
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

    def update(self, name: str, operation: edge.UpdateOperation) -> None:
        """Applies one operation, entirely or not at all. Errors as for `read`."""
        with self._lock:
            self.read(name, lambda shard: shard.update(operation))
            self._unflushed.add(name)

    def tick(self) -> None:
        """Flushes what was written, which shortens the log, and sweeps when nobody is waiting."""
        with self._lock:
            now = time.monotonic()
            is_quiet = now - self._last_call >= FLUSH_SECONDS
            if is_quiet or now - self._last_flush >= BUSY_FLUSH_SECONDS:
                for name in self._unflushed:
                    self._shards[name].flush()
                self._unflushed.clear()
                self._last_flush = now
            if is_quiet:
                for name, shard in self._shards.items():
                    if shard.optimize():
                        log.info("swept the deleted points out of %s", name)
                        self._unflushed.add(name)

    def close(self) -> None:
        """Flushes and releases all shards."""
        with self._lock:
            self._closed = True
            for shard in self._shards.values():
                shard.flush()
                shard.close()
            self._shards.clear()
            self._lock_file.close()


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
