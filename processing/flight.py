"""Only one run at a time: PostgreSQL lets one session have the lock, and ends it with the session.

The session is a connection of its own, used for nothing else: the lock must not occupy one of the
pool's through a run of minutes, nor end when that one is given back.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg

from documents.connections import unpooled

RECONCILE, REEMBED = 0x4C554D49, 0x4C554D52  # advisory locks; any constant numbers: "LUMI", "LUMR"
ANSWER_SECONDS = 5  # for each of its statements, which all are short


class FlightLost(Exception):
    """The session with the lock is gone: another run may begin, so this one must end."""


class Flight:
    def __init__(self, session: psycopg.Connection) -> None:
        self._session = session

    def check(self) -> None:
        """Is this still the only run? Raises FlightLost."""
        try:
            self._session.execute("SELECT 1")
        except psycopg.Error as error:
            raise FlightLost(f"the lock of this run is lost: {error}") from error


@contextmanager
def only_flight(lock: int = RECONCILE) -> Iterator[Flight | None]:
    """The right to run until the block ends; None when another has it.

    Raises OperationalError, Django's or psycopg's.
    """
    own = unpooled(statement_timeout=ANSWER_SECONDS)
    own.ensure_connection()
    # Not Django's wrapper: it would connect again in silence, without the lock.
    with closing(own.connection) as session:
        row = session.execute("SELECT pg_try_advisory_lock(%s)", [lock]).fetchone()
        yield Flight(session) if row and row[0] else None
