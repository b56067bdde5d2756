"""Leases and the one thread per worker process that renews them."""

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from documents import lifecycle
from documents.connections import release
from documents.lifecycle import Claim
from documents.models import Heartbeat

from .errors import TOO_SLOW, LeaseLost, RetryableError

log = logging.getLogger(__name__)


class Lease:
    """A claim that is being worked on. All clocks here are monotonic seconds of this process."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.began = self.renewed = time.monotonic()
        self.lost = False

    def check(self) -> None:
        """Between two steps: go on? Raises LeaseLost, or RetryableError at the soft time limit."""
        now = time.monotonic()
        if self.lost or now - self.renewed > settings.LEASE.total_seconds():
            raise LeaseLost
        if now - self.began > settings.SOFT_TIME_LIMIT.total_seconds():
            raise RetryableError("too_slow", TOO_SLOW)

    def progress(self, stage: str, count: int = 0, total: int = 0) -> None:
        """Check, and say how far the work is; holds no connection afterwards. Raises as check()."""
        self.check()
        if not lifecycle.progress(self.claim, stage, count, total):
            raise LeaseLost
        release()


_leases: dict[Claim, Lease] = {}


@contextmanager
def hold(claim: Claim) -> Iterator[Lease]:
    """Keep the claim's lease renewed while the block runs."""
    lease = _leases[claim] = Lease(claim)
    try:
        yield lease
    finally:
        del _leases[claim]


def beat() -> None:
    """Renew all the leases that this process holds, and leave a sign that a worker lives.

    A lease past the hard limit is not renewed: a heartbeat proves life, not progress.
    """
    now = time.monotonic()
    limit = settings.TIME_LIMIT.total_seconds()
    leases = [lease for lease in list(_leases.values()) if now - lease.began < limit]
    held = lifecycle.renew([lease.claim for lease in leases])
    for lease in leases:
        if lease.claim in held:
            lease.renewed = now
        else:
            lease.lost = True
    Heartbeat.beat(Heartbeat.Kind.WORKER)


def run(stop: threading.Event) -> None:
    """Beat every quarter of a lease until `stop` is set; a database that is away does not end it.

    It is the process's watchdog too: a thread that outlives its hard limit by a lease can only be
    got rid of with its process, and the supervisor starts another.
    """
    interval = settings.LEASE.total_seconds() / 4
    deadline = (settings.TIME_LIMIT + settings.LEASE).total_seconds()
    while True:
        try:
            beat()
            release()
        except Exception:  # without this thread every longer document would lose its lease
            log.exception("cannot renew the leases just now")
            release()
        if any(time.monotonic() - lease.began > deadline for lease in list(_leases.values())):
            log.critical("a thread is beyond its time limit; ending this process")
            os._exit(70)
        if stop.wait(interval):
            return
