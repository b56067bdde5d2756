"""Dramatiq's way to Redis."""

from typing import Any

from redis import ConnectionPool, Redis

from documents.deadlines import within


class Client(Redis):
    """Each command has one try and `timeout` seconds, a connection with its login included.

    Raises redis's TimeoutError and ConnectionError. To try again is the relay's business, and that
    of Dramatiq's consumers.
    """

    def __init__(self, url: str, timeout: float) -> None:
        # For one read each; without them redis-py would wait for 5 s.
        each = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
        super().__init__(connection_pool=ConnectionPool.from_url(url, **each))
        self.timeout = timeout

    def execute_command(self, *args: Any, **options: Any) -> Any:
        with within(self.timeout):
            return super().execute_command(*args, **options)
