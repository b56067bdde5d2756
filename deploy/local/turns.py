"""Who is embedded next: a query at once, the texts of batches one at a time between them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Lock

PATIENCE = 0.25
"""Seconds for which a batch's text lets queries go first: under a storm of queries, documents
still get four passages a second."""


class Turns:
    """Thread-safe. A text of a batch keeps all cores busy (deploy/local/embeddings.py), so a second
    one beside it gains nothing, and costs each query its share of the processor.
    """

    def __init__(self) -> None:
        self._queries = 0
        self._no_query = Condition()
        self._batch = Lock()

    @contextmanager
    def query(self) -> Iterator[None]:
        """Begins at once, beside at most one text of all the batches."""
        with self._no_query:
            self._queries += 1
        try:
            yield
        finally:
            with self._no_query:
                self._queries -= 1
                self._no_query.notify_all()

    @contextmanager
    def passage(self) -> Iterator[None]:
        """One text of a batch: alone among its kind, and not while a query is under way."""
        with self._batch:
            with self._no_query:
                self._no_query.wait_for(lambda: not self._queries, PATIENCE)
            yield
