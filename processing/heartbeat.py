"""Leases, and the one thread per worker process that renews them.

The thread has a database connection of its own, with short timeouts: it waits neither for the pool
nor for a server that does not answer. That session holds an advisory lock with the process's
number, which PostgreSQL releases the moment the process dies: so it is known to be dead long before
its leases run out (`Document.objects.abandoned()`).
"""

import logging
import math
import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.conf import settings
from django.db import DatabaseError, connection, connections

from documents import fairness, lifecycle
from documents.connections import release, unpooled
from documents.figures import session_name
from documents.lifecycle import Claim
from documents.models import Heartbeat, Stage
from documents.models.querysets import BEATS, WORKER_LOCK

from . import durations
from .errors import LeaseLost, RetryableError, TurnOver, WorkerStopping, stalled
from .parsing import client

log = logging.getLogger(__name__)

WORKER = random.SystemRandom().randrange(1, 2**31)  # this process's number
BEAT_TIMEOUT = 3  # seconds that PostgreSQL has for each statement of a beat, and to connect
SHORTEST_TURN = 1.0  # seconds: to begin one is not for nothing, where a long file is fetched
BEGAN = time.time()  # for people
FINISH_SECONDS = 15.0  # after SIGTERM; the supervisor waits 25

_leases: dict[Claim, "Lease"] = {}
_unfiltered = False  # this system has no filter for our parsers
_stop_at = math.inf


class Lease:
    """A claim that is being worked on. All clocks here are monotonic seconds of this process."""

    def __init__(self, claim: Claim, claimed_at: float) -> None:
        self.claim = claim
        self.began = self.renewed = claimed_at
        self.lost = False
        self.place = ""  # where in the document the work is
        self._moved = claimed_at  # the last time that it got on
        self._stage, self._stage_began = str(Stage.FETCH), claimed_at

    @property
    def is_over(self) -> bool:
        """Lost, or not renewed in time: PostgreSQL may be the one that does not answer."""
        return self.lost or time.monotonic() - self.renewed > settings.LEASE.total_seconds()

    def check(self) -> None:
        """In the midst of a step: go on? Raises LeaseLost, WorkerStopping, or RetryableError after
        `STALL_SECONDS` without progress.
        """
        now = time.monotonic()
        if self.is_over:
            raise LeaseLost
        if now > _stop_at:
            raise WorkerStopping
        if now - self._moved > settings.STALL.total_seconds():
            raise RetryableError("stalled", stalled(self.place), tries=3)

    def moved(self, place: str = "") -> None:
        """The document gets on; and where in it the work is."""
        self._moved = time.monotonic()
        self.place = place or self.place

    def progress(
        self, stage: str, count: int = 0, total: int = 0, place: str = "", keep: bool = False
    ) -> None:
        """Say how far the work is, and check; holds no connection afterwards. Raises as check(),
        and TurnOver when a turn has lasted long enough and what it has done is kept.
        """
        if self.is_over:
            raise LeaseLost
        if stage != self._stage:
            self.end_stage()
            self._stage = stage
        self.moved(place)
        if not lifecycle.progress(self.claim, stage, count, total, place, keep):
            raise LeaseLost
        release()
        self.check()
        if keep:
            self.end_turn()

    def end_turn(self) -> None:
        """After something was kept: raises TurnOver when the turn has lasted long enough, or others
        have a better right to the slot.
        """
        lasted = time.monotonic() - self.began
        if lasted > settings.TURN.total_seconds():
            raise TurnOver
        if lasted < SHORTEST_TURN:
            return
        must_make_room = fairness.must_make_room(self.claim.document_id)
        release()
        if must_make_room:
            raise TurnOver(makes_room=True)

    def end_stage(self) -> None:
        """Remember how long the stage took that ends now, in whatever way."""
        now = time.monotonic()
        durations.observe(self._stage, now - self._stage_began)
        self._stage_began = now


@contextmanager
def hold(claim: Claim, claimed_at: float) -> Iterator[Lease]:
    """Keep the claim's lease renewed while the block runs.

    `claimed_at`: the monotonic clock before it was claimed, so that ours never outlasts the
    database's.
    """
    lease = _leases[claim] = Lease(claim, claimed_at)
    try:
        yield lease
    finally:
        del _leases[claim]
        lease.end_stage()


def look_at_the_sandbox() -> None:
    """Before the first message: can parsers be bound on this system? If not, PARSER_SANDBOX says
    whether to go on, saying so at every beat, or to end this process.
    """
    global _unfiltered
    reason = client.unfiltered()
    _unfiltered = bool(reason)
    if not reason:
        return
    if settings.PARSER_SANDBOX == "required":
        with suppress(DatabaseError):
            Heartbeat.beat(Heartbeat.UNFILTERED)
        log.critical("no seccomp filter for parsers (%s), and PARSER_SANDBOX is required", reason)
        os._exit(70)
    log.warning("parsers run without their seccomp filter: %s", reason)


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
    if _unfiltered:
        Heartbeat.beat(Heartbeat.UNFILTERED)
    durations.save()


def run(stop: threading.Event) -> None:
    """Beat `BEATS` times a lease until `stop` is set; a database that is away does not end it.

    It is the process's watchdog too: a thread that outlives its hard limit by a lease can only be
    got rid of with its process, and the supervisor starts another.
    """
    deadline = (settings.TIME_LIMIT + settings.LEASE).total_seconds()
    connections["default"] = unpooled(  # this thread's `connection` from here on
        connect_timeout=BEAT_TIMEOUT,
        statement_timeout=BEAT_TIMEOUT,
        application_name=session_name(socket.gethostname(), os.getpid(), BEGAN),
    )
    while True:
        if not _try_to_beat():
            _try_to_beat()  # at once, on a new connection: a cut one costs no beat
        if any(time.monotonic() - lease.began > deadline for lease in list(_leases.values())):
            log.critical("a thread is beyond its time limit; ending this process")
            os._exit(70)
        if stop.wait(settings.LEASE.total_seconds() / BEATS):
            with suppress(Exception):
                durations.save()
            connection.close()
            return


def wind_down() -> None:
    """Let what runs finish for `FINISH_SECONDS`; then `Lease.check` raises WorkerStopping."""
    global _stop_at
    _stop_at = time.monotonic() + FINISH_SECONDS


def hand_back_all() -> None:
    """Give back what still runs, blocked in a call; the fence keeps its later writes out."""
    for claim in list(_leases):
        with suppress(DatabaseError):  # then the lease says it
            lifecycle.hand_back(claim)
    release()


def _try_to_beat() -> bool:
    try:
        if connection.connection is None:
            with connection.cursor() as cursor:  # shared: the session before may linger
                cursor.execute("SELECT pg_advisory_lock_shared(%s, %s)", [WORKER_LOCK, WORKER])
        beat()
    except Exception:  # without this thread every longer document would lose its lease
        log.exception("cannot renew the leases just now")
        with suppress(Exception):
            connection.close()
        return False
    return True
