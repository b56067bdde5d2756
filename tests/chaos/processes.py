"""The product's processes by what they do, and signals that reach exactly the one meant."""

import json
import os
import signal
from contextlib import suppress
from pathlib import Path

from tests.e2e.product import Product, descendants

PARSER = b"processing.parsing"  # in the command line of whatever parses a document


class Target:
    """A process that was there when it was chosen; a later one of its number is never meant."""

    def __init__(self, pid: int) -> None:
        """Raises ProcessLookupError when it has ended."""
        self.pid = pid
        self._handle = os.pidfd_open(pid)

    def send(self, number: signal.Signals) -> bool:
        """Whether it was still there."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, number)
            return True
        return False

    def __del__(self) -> None:
        with suppress(AttributeError, OSError):
            os.close(self._handle)


def mains(product: Product, kind: str) -> list[int]:
    """The main processes of a kind: `worker` is worker, worker-2, ..."""
    with suppress(OSError, ValueError):  # just being written
        pids = json.loads((product.home / "pids.json").read_text())
        return [pid for name, pid in pids.items() if name.partition("-")[0] == kind]
    return []


def children(product: Product, kind: str) -> list[int]:
    """Their children, which do the work: parsers not included."""
    return [pid for pid in _below(product, kind) if not _is_parser(pid)]


def parsers(product: Product) -> list[int]:
    """The processes that parse documents just now, and what they are forked from."""
    return [pid for pid in _below(product, "worker") if _is_parser(pid)]


def _below(product: Product, kind: str) -> list[int]:
    found = mains(product, kind)
    return [pid for main in found for pid in descendants(main)[1:]]


def _is_parser(pid: int) -> bool:
    try:
        return PARSER in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
