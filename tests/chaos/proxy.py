"""TCP proxies that pass, cut, refuse or swallow what goes between the application and a server."""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress

RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: closing sends RST
BLOCK_BYTES = 64 * 1024


class Proxy:
    """One port of 127.0.0.1 before another one. Its methods may be called from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, port: int, upstream: Callable[[], int]):
        """`upstream` says the server's port when a connection is made."""
        self.address = ("127.0.0.1", port)
        self._loop = loop
        self._upstream = upstream
        self._connections: set[asyncio.Task[None]] = set()
        self._refuses = False
        self._forth, self._back = asyncio.Event(), asyncio.Event()
        self._forth.set()
        self._back.set()
        self._listener = socket.create_server(self.address, backlog=128)
        self._listener.setblocking(False)
        self._accepting = asyncio.run_coroutine_threadsafe(self._accept(), loop)

    def cut(self) -> None:
        """Reset all connections; new ones pass."""
        self._loop.call_soon_threadsafe(self._cut)

    def refuse(self) -> None:
        """Reset all connections, and new ones as they come, until `heal`."""
        self._loop.call_soon_threadsafe(self._refuse)

    def swallow(self) -> None:
        """Take new connections and everything that is sent, and pass nothing on until `heal`."""
        self._loop.call_soon_threadsafe(self._forth.clear)
        self._loop.call_soon_threadsafe(self._back.clear)

    def mute(self) -> None:
        """Pass what is asked, but no answer, until `heal`, or `cut`: it was done, nobody heard."""
        self._loop.call_soon_threadsafe(self._back.clear)

    def heal(self) -> None:
        """Pass everything again, also what was held back on connections that still exist."""
        self._loop.call_soon_threadsafe(self._heal)

    def _cut(self) -> None:
        for connection in self._connections:
            connection.cancel()

    def _refuse(self) -> None:
        self._refuses = True
        self._cut()

    def _heal(self) -> None:
        self._refuses = False
        self._forth.set()
        self._back.set()

    async def _accept(self) -> None:
        with self._listener:
            while True:
                client, _ = await self._loop.sock_accept(self._listener)
                task = self._loop.create_task(self._connect(client))
                self._connections.add(task)
                task.add_done_callback(self._connections.discard)

    async def _connect(self, client: socket.socket) -> None:
        server = socket.socket()
        server.setblocking(False)
        with client, server:
            try:
                if self._refuses:
                    raise ConnectionRefusedError
                await self._loop.sock_connect(server, ("127.0.0.1", self._upstream()))
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                ways = {
                    self._loop.create_task(self._pump(client, server, self._forth)),
                    self._loop.create_task(self._pump(server, client, self._back)),
                }
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)
            except (OSError, asyncio.CancelledError):  # no server there, refused, or cut
                for end in (client, server):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    async def _pump(self, source: socket.socket, sink: socket.socket, gate: asyncio.Event) -> None:
        with suppress(OSError):  # either end was killed: the other end is told by closing
            while data := await self._loop.sock_recv(source, BLOCK_BYTES):
                await gate.wait()
                await self._loop.sock_sendall(sink, data)


class Proxies:
    """A thread that runs proxies by name. A context manager; at its end all of them are gone."""

    def __init__(self, ports: dict[str, int], upstream: Callable[[str], int]) -> None:
        """`ports` to listen on; `upstream(name)` says the server's port at each connection."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()
        self.by_name = {
            name: Proxy(self._loop, port, lambda name=name: upstream(name))  # type: ignore[misc]
            for name, port in ports.items()
        }

    def __enter__(self) -> "Proxies":
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(_end_all(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def heal(self) -> None:
        for proxy in self.by_name.values():
            proxy.heal()


async def _end_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
