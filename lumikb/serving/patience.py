"""How long a client may keep us waiting."""

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")

# As Apache's mod_reqtimeout has them: `header=20 body=20,MinRate=500`.
SILENCE = 20.0  # seconds
SLOWEST = 500  # bytes a second; who is slower uses up his SILENCE


class Patience:
    """SILENCE: what waiting takes of it, the moving of bytes gives back, if it may be earned."""

    def __init__(self, *, earning: bool = True) -> None:
        self._left = SILENCE
        self._earning = earning

    async def wait(self, for_client: Awaitable[T]) -> T:
        """Raises TimeoutError when nothing is left."""
        began = time.monotonic()
        async with asyncio.timeout(self._left):
            result = await for_client
        self.spend(time.monotonic() - began)
        return result

    def spend(self, seconds: float) -> None:
        """Raises TimeoutError when nothing is left."""
        self._left -= seconds
        if self._left <= 0:
            raise TimeoutError

    def earn(self, moved: int) -> None:
        """The client has sent or taken so many bytes."""
        if self._earning:
            self._left = min(SILENCE, self._left + moved / SLOWEST)
