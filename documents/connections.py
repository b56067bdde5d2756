"""One rule: no database connection is held while bytes move or a file is parsed."""

from django.db import connection


def release() -> None:
    """Give this thread's connection back to the pool; the next query takes one again.

    Call it before anything slow: reading a client's body, storage, the embedding service, Qdrant.
    """
    if not connection.in_atomic_block:
        connection.close()
