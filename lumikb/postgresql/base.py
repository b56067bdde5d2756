"""Django's PostgreSQL backend with a deadline on every call.

The server ends by itself what takes too long (`statement_timeout`, which deploy/postgres/roles.sql
sets for each role). One that has fallen silent, or a network that has, cannot: so its client gives
up `GRACE` seconds after the server should have.
"""

import select
import time
from typing import Any

import psycopg
from django.db.backends.postgresql import base, features
from django.db.backends.postgresql.psycopg_any import IsolationLevel
from psycopg.abc import RV, PQGen
from psycopg_pool import ConnectionPool

GRACE = 1.0  # seconds for the way there and back
RECONNECT_SECONDS = 4.0  # in which a pool tries after 0, 1 and 3; then from the beginning
CHECK_SECONDS = 3.0  # that a connection from the pool has to show that it lives
FRESH_SECONDS = 1.0  # so soon it need not show it again: an upload takes four in a row


class Connection(psycopg.Connection[Any]):
    """Raises OperationalError, and is closed, when PostgreSQL is silent for `deadline` seconds.

    psycopg itself waits for ever.
    """

    deadline: float | None = 10.0  # for its first statements; None: for ever
    answered_at = 0.0  # monotonic seconds

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        if timeout is not None:  # LISTEN: no news in time is no error
            return super().wait(gen, interval, timeout)
        try:
            answer = super().wait(gen, interval, self.deadline)
            self.answered_at = time.monotonic()
            return answer
        except psycopg.errors._WaitTimeout as error:
            self.close()  # an answer that still came would be taken for the next one's
            raise psycopg.OperationalError(
                f"PostgreSQL has not answered within {self.deadline:g} seconds"
            ) from error

    def limit(self, seconds: float | None) -> None:
        """Let a statement take so long, or as long as the role may when that is None."""
        if seconds is not None:
            milliseconds = f"{1000 * seconds:.0f}"
            self.execute("SELECT set_config('statement_timeout', %s, false)", [milliseconds])
        row = self.execute(
            "SELECT setting::int FROM pg_settings WHERE name = 'statement_timeout'"
        ).fetchone()
        allowed = row[0] if row else 0  # milliseconds; 0: for ever, as migrations need it
        self.deadline = allowed / 1000 + GRACE if allowed else None

    def check(self, seconds: float = CHECK_SECONDS) -> None:
        """Raise OperationalError unless the server answers so soon.

        One that has just answered need not, when nothing has come since: it would have said that it
        ends the session.
        """
        if time.monotonic() - self.answered_at < FRESH_SECONDS and not self._has_news():
            return
        usual, self.deadline = self.deadline, seconds
        try:
            ConnectionPool.check_connection(self)
        finally:
            self.deadline = usual

    def _has_news(self) -> bool:
        news = select.poll()
        news.register(self.fileno(), select.POLLIN)
        return bool(news.poll(0))


class DatabaseFeatures(features.DatabaseFeatures):
    minimum_database_version = (16,)  # the first with reserved_connections; older ones are refused


class DatabaseWrapper(base.DatabaseWrapper):
    """OPTIONS has one more: `statement_timeout`, in seconds, in place of what the role may."""

    features_class = DatabaseFeatures

    def __init__(self, settings_dict: dict[str, Any], alias: str = "default") -> None:
        super().__init__(settings_dict, alias)
        if pool := settings_dict["OPTIONS"].get("pool"):
            pool["connection_class"] = Connection
            # By itself it would ask a PostgreSQL that was away for a minute a minute later again.
            pool["reconnect_timeout"] = RECONNECT_SECONDS
            pool["reconnect_failed"] = ConnectionPool.check  # which begins anew

    def get_connection_params(self) -> dict[str, Any]:
        parameters = super().get_connection_params()
        parameters.pop("statement_timeout", None)
        return parameters

    def get_new_connection(self, conn_params: dict[str, Any]) -> Connection:
        """A connection that answers, from the pool where there is one. Raises OperationalError.

        The pool could check too (CONN_HEALTH_CHECKS), but it sleeps longer and longer between two
        dead ones: after a restart of PostgreSQL, a pool of ten made its only caller wait for 30 s.
        """
        self.isolation_level = IsolationLevel.READ_COMMITTED  # expected by Django's own code
        if self.pool is None:
            return Connection.connect(**conn_params)
        self.pool.open()
        give_up_at = time.monotonic() + self.pool.timeout
        while True:
            connection = self.pool.getconn(timeout=max(0.0, give_up_at - time.monotonic()))
            left = give_up_at - time.monotonic()
            try:
                connection.check(min(CHECK_SECONDS, max(0.1, left)))
            except psycopg.OperationalError:
                self.pool.putconn(connection)  # which replaces it
            else:
                return connection

    def _rollback(self) -> None:
        """What a lost connection had begun is undone by PostgreSQL.

        Django would fetch another one to say so (`Atomic.__exit__` sets autocommit): who waited for
        the one would wait for the other too.
        """
        if self.connection is not None and self.connection.closed:
            self._close()  # type: ignore[attr-defined] # to the pool, which replaces it
            self.closed_in_transaction = True  # connect() ends that
        else:
            super()._rollback()  # type: ignore[misc] # the stubs lack it

    def _configure_connection(self, connection: Connection) -> bool:
        """Called for each new connection, by the pool too."""
        super()._configure_connection(connection)  # type: ignore[misc] # the stubs lack it
        connection.limit(self.settings_dict["OPTIONS"].get("statement_timeout"))
        return True  # there is something to commit
