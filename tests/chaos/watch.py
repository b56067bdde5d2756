"""Looks at the database all the while: at what must always hold, and how much is unfinished."""

import threading
import time
from typing import Any
from uuid import UUID

import psycopg

from tests.chaos import audit
from tests.chaos.model import Fate, Model, Violation

POLL_SECONDS = 1.0
SETTLED_SECONDS = 5.0  # an acknowledged document is in the table long before a look this much later

DUPLICATES = """
SELECT knowledge_base_id, filename, count(*) FROM documents_document
WHERE deleted_at IS NULL GROUP BY 1, 2 HAVING count(*) > 1
"""
UNFINISHED = """
SELECT count(*) FROM documents_document
WHERE deleted_at IS NULL AND status IN ('pending', 'processing')
"""


class Watch(threading.Thread):
    """Reads on a connection of its own, past the proxies; PostgreSQL may be away for a while."""

    def __init__(self, database_url: str, model: Model, stop: threading.Event) -> None:
        super().__init__(name="watch", daemon=True)
        self.broken: BaseException | None = None
        self.unfinished = 0
        self.looks = 0
        self._url, self._model, self._stop_event = database_url, model, stop
        self._seen = 0  # the last audited change

    def run(self) -> None:
        connection: psycopg.Connection[Any] | None = None
        try:
            while not self._stop_event.wait(POLL_SECONDS):
                try:
                    if connection is None or connection.closed:
                        connection = connect(self._url)
                    self._look(connection)
                except psycopg.OperationalError:  # killed just now
                    if connection:
                        connection.close()
        except BaseException as error:
            self.broken = error

    def _look(self, connection: psycopg.Connection[Any]) -> None:
        known = [
            document
            for document in list(self._model.documents.values())
            if document.known_at < time.monotonic() - SETTLED_SECONDS
            and document.fate is not Fate.REMOVED
        ]
        for duplicate in connection.execute(DUPLICATES):
            raise Violation("duplicate", f"two live documents: {duplicate}")
        changes = audit.changes(connection, after=self._seen)
        for violation in audit.violations(changes):
            raise violation
        self._seen = max((change.id for change in changes), default=self._seen)
        there = {row[0] for row in connection.execute("SELECT id FROM documents_document")}
        for document in known:
            if UUID(document.id) not in there and document.fate is not Fate.REMOVED:
                raise Violation("lost", f"{document.id} was acknowledged and has no row")
        [(self.unfinished,)] = connection.execute(UNFINISHED).fetchall()
        self.looks += 1


def connect(url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(
        url, autocommit=True, connect_timeout=5, options="-c statement_timeout=30000"
    )
