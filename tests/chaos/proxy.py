"""TCP proxies between the application and a server: they pass, or do one of many kinds of harm."""

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
        self._servers: set[socket.socket] = set()
        self._refuses = self._cuts_answers = self._drops_servers = False
        self._pause = 0.0  # after each byte of an answer
        self._forth, self._back = asyncio.Event(), asyncio.Event()
        self._forth.set()
        self._back.set()
        self._listen()

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

    def leave(self) -> None:
        """Reset all connections, and listen no more until `heal`."""
        self._loop.call_soon_threadsafe(self._leave)

    def drip(self, seconds: float = 1.0) -> None:
        """Pass what is asked, and a byte of the answers every so many seconds, until `heal`."""
        self._loop.call_soon_threadsafe(setattr, self, "_pause", seconds)

    def cut_answers(self) -> None:
        """Pass what is asked and reset the connection when its answer begins, until `heal`."""
        self._loop.call_soon_threadsafe(setattr, self, "_cuts_answers", True)

    def half_open(self) -> None:
        """Drop the server's end of all connections and keep the client's, until `heal` or `cut`.

        So it is with new ones too. What the client sends is taken.
        """
        self._loop.call_soon_threadsafe(self._half_open)

    def heal(self) -> None:
        """Pass everything again, also what was held back on connections that still exist.

        Those that are half open are reset.
        """
        self._loop.call_soon_threadsafe(self._heal)

    def _listen(self) -> None:
        self._listener = socket.create_server(self.address, backlog=128)
        self._listener.setblocking(False)
        self._accepting = asyncio.run_coroutine_threadsafe(self._accept(), self._loop)

    def _leave(self) -> None:
        self._accepting.cancel()
        self._cut()

    def _cut(self) -> None:
        for connection in self._connections:
            connection.cancel()

    def _refuse(self) -> None:
        self._refuses = True
        self._cut()

    def _half_open(self) -> None:
        self._drops_servers = True
        for end in self._servers:
            with suppress(OSError):  # it is not connected yet, or no more
                end.shutdown(socket.SHUT_RDWR)

    def _heal(self) -> None:
        if self._drops_servers:
            self._cut()
        self._refuses = self._cuts_answers = self._drops_servers = False
        self._pause = 0.0
        if self._accepting.done():
            self._listen()
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
                if self._drops_servers:
                    await self._take(client)
                await self._loop.sock_connect(server, ("127.0.0.1", self._upstream()))
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                ways = {
                    self._loop.create_task(self._ask(client, server)),
                    self._loop.create_task(self._answer(server, client)),
                }
                self._servers.add(server)
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)
                    self._servers.discard(server)
                if self._cuts_answers:
                    raise ConnectionResetError
                if self._drops_servers:
                    await self._take(client)
            except (OSError, asyncio.CancelledError):  # no server there, refused, or cut
                for end in (client, server):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    async def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):  # either end was killed: the other end is told by closing
            while data := await self._loop.sock_recv(client, BLOCK_BYTES):
                await self._forth.wait()
                await self._loop.sock_sendall(server, data)

    async def _answer(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := await self._loop.sock_recv(server, BLOCK_BYTES):
                await self._back.wait()
                if self._cuts_answers:
                    return
                while self._pause and len(data) > 1:
                    await self._loop.sock_sendall(client, data[:1])
                    data = data[1:]
                    await asyncio.sleep(self._pause)
                await self._loop.sock_sendall(client, data)

    async def _take(self, client: socket.socket) -> None:
        """Until it closes or is cut; then there is nobody to tell."""
        while await self._loop.sock_recv(client, BLOCK_BYTES):
            pass
        raise ConnectionResetError


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
