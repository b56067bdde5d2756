"""The product's processes by what they do, and signals that reach exactly the one meant."""

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from tests.e2e.product import Product, descendants, parent

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
    """Their children, which do the work; those that parse are not meant."""
    return [pid for pid in _below(product, kind) if not _is_parser(pid)]


def parser_servers(product: Product) -> list[int]:
    """What the parsers are forked from, one for each worker."""
    return [pid for pid in _below(product, "worker") if _is_parser(pid)]


def next_parser(product: Product, seconds: float) -> list[int]:
    """The next process that parses a document, caught alive; none when none comes in time."""
    servers = set(parser_servers(product))
    deadline = time.monotonic() + seconds
    seen = set(os.listdir("/proc"))
    while time.monotonic() < deadline:
        there = set(os.listdir("/proc"))
        for name in there - seen:
            if name.isdecimal() and parent(int(name)) in servers:
                return [int(name)]
        seen = there
        time.sleep(0.002)  # it lives for 5 to 25 ms
    return []


def _below(product: Product, kind: str) -> list[int]:
    found = mains(product, kind)
    return [pid for main in found for pid in descendants(main)[1:]]


def _is_parser(pid: int) -> bool:
    try:
        return PARSER in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
