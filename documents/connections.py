"""One rule: no database connection is held while bytes move or a file is parsed."""

from typing import Any

from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper


def release() -> None:
    """Give this thread's connection back to the pool; the next query takes one again.

    Call it before anything slow: reading a client's body, storage, the embedding service, Qdrant.
    """
    if not connection.in_atomic_block:
        connection.close()


def unpooled(**options: Any) -> BaseDatabaseWrapper:
    """A connection of one's own, which waits for nobody, with these OPTIONS in place of the usual.

    For the few that keep theirs: a heartbeat's session, a LISTEN.
    """
    own = connections.create_connection("default")
    usual = {name: value for name, value in own.settings_dict["OPTIONS"].items() if name != "pool"}
    own.settings_dict = own.settings_dict | {"OPTIONS": usual | options}  # the settings stay
    return own
