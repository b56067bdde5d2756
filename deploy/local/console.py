"""The lines of many processes on one stream, each whole and with its process's name before it."""

import itertools
import threading
from typing import TextIO

WIDTH = len("embeddings")
COLOURS = (36, 32, 33, 35, 34, 96, 92, 93)  # ANSI foreground colours that read on dark and on light


class Console:
    """Safe to use from several threads. Colours only on a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._colours = itertools.cycle(COLOURS)
        self._prefixes: dict[str, str] = {}

    def line(self, name: str, text: str) -> None:
        with self._lock:
            if name not in self._prefixes:
                self._prefixes[name] = self._prefix(name)
            self._write(f"{self._prefixes[name]}{text}\n")

    def plain(self, text: str) -> None:
        """A text of the supervisor itself, for the person who started it."""
        with self._lock:
            self._write(f"{text}\n")

    def _prefix(self, name: str) -> str:
        prefix = f"{name:{WIDTH}} | "
        return f"\033[{next(self._colours)}m{prefix}\033[0m" if self._stream.isatty() else prefix

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            pass  # nobody reads any more (`make run | head`); the processes must not block on it
