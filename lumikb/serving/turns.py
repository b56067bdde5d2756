"""Whose request gets a thread next: no address of ours may have all of them."""

import asyncio
from collections import defaultdict
from typing import Any

from django.urls import Resolver404, resolve

READS = (
    1 / 4
)  # of the threads, for all who read at one route; they are quick, and share a processor
WRITES = 3 / 4  # uploads wait for storage


class Turns:
    """Of one event loop. A thousand who fetch files wait for each other, not others for them."""

    def __init__(self, threads: int) -> None:
        self._reads = self._turns(threads * READS)
        self._writes = self._turns(threads * WRITES)
        self.admission = asyncio.Semaphore(max(1, int(threads * READS)))  # a query for each

    def of(self, environ: dict[str, Any]) -> asyncio.Semaphore:
        reads = environ["REQUEST_METHOD"] in ("GET", "HEAD")
        return (self._reads if reads else self._writes)[_route(environ["PATH_INFO"])]

    @staticmethod
    def _turns(at_once: float) -> defaultdict[str, asyncio.Semaphore]:
        return defaultdict(lambda: asyncio.Semaphore(max(1, int(at_once))))


def _route(path_info: str) -> str:
    try:
        return resolve(path_info.encode("latin-1").decode(errors="replace") or "/").route
    except Resolver404:  # a static file, or nothing
        return ""
