"""One client's connection: whole requests in, whole answers out, each within its time."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import re
import socket
import struct
import tempfile
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any, TypeVar

import h11
from django.conf import settings

from .admission import FORM_BYTES, Unreadable, lost, most_bytes, too_large
from .patience import SILENCE, Patience
from .wsgi import Answer, call, environ_of, plain

if TYPE_CHECKING:
    from .worker import Worker

T = TypeVar("T")
log = logging.getLogger(__name__)

HEAD_BYTES = 64 * 1024  # of a request line with its headers; a long query in Chinese has 18,000
BLOCK = 64 * 1024  # bytes that are read or written at a time
BEYOND_ASCII = re.compile(rb"[\x80-\xff]")
UNSENT = 128 * 1024  # bytes that the kernel keeps of an answer, beyond those on their way
IN_MEMORY = 64 * 1024  # bytes of a body; a larger one goes to the disk
LOOK = 1.0  # seconds between two looks at how much of an answer a client has taken
# As nginx's lingering_time and lingering_timeout: who is refused may send on before he hears it.
LINGER, LINGER_SILENCE = 30.0, 5.0


class Conversation:
    def __init__(self, worker: Worker, client: socket.socket) -> None:
        self.waiting = True  # for the client; otherwise it is our turn
        self._worker = worker
        self._client = client
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
        self._begun = False  # there is a request, or a piece of one, that is not answered
        self._in_first_line = False  # of a request, with its path and query
        self._last = False  # there will be no other request
        self._written = 0  # bytes, in all
        self.task = asyncio.create_task(self._run())

    def drop(self) -> None:
        """End it, whatever is under way."""
        self.task.cancel()

    def finish(self) -> None:
        """End it; what has begun is answered before."""
        self._last = True
        if not self._begun:
            self.drop()

    async def _run(self) -> None:
        try:
            self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
            self._peer, self._listener = self._client.getpeername(), self._client.getsockname()
            self._reader, self._writer = await asyncio.open_connection(
                sock=self._client, limit=BLOCK
            )
        except (OSError, asyncio.CancelledError):
            self._client.close()
            return
        self._writer.transport.set_write_buffer_limits(high=0)  # drain(): the kernel has all of it
        try:
            await self._talk()
            self._writer.close()
        except (OSError, asyncio.CancelledError):  # gone, too slow (a TimeoutError), or dropped
            self._break_off()
        except Exception:
            log.exception("A conversation broke off.")
            self._break_off()

    def _break_off(self) -> None:
        """At once, also what the kernel still keeps for a client that does not take it."""
        with suppress(OSError):
            self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def _talk(self) -> None:
        silence = SILENCE
        while await self._begins(silence):
            self._begun = True
            await self._send(await self._answer())
            self._begun = False
            if self._last or not self._http.our_state is self._http.their_state is h11.DONE:
                break
            self._http.start_next_cycle()
            silence = self._worker.cfg.keepalive
        if self._http.their_state in (h11.SEND_BODY, h11.ERROR):
            await self._linger()

    # --- A request comes in -----------------------------------------------------------------------

    async def _begins(self, seconds: float) -> bool:
        """Whether another request begins within this time."""
        data = self._http.trailing_data[0]
        if not data:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    data = await self._reader.read(BLOCK)
                self._in_first_line = True
                self._receive(data)
        return bool(data)

    def _receive(self, data: bytes) -> None:
        """h11 refuses letters beyond ASCII in an address, as `curl` sends them when they are typed:
        they are percent-encoded, as browsers do it.
        """
        if self._in_first_line:
            line, end, rest = data.partition(b"\n")
            data = BEYOND_ASCII.sub(lambda byte: b"%%%02X" % ord(byte[0]), line) + end + rest
            self._in_first_line = not end
        self._http.receive_data(data)

    async def _answer(self) -> Answer:
        try:
            request = await self._event(Patience(earning=False))
            if not isinstance(request, h11.Request):
                raise ConnectionResetError
            environ = environ_of(request, self._peer, self._listener, self._worker.cfg)
            try:
                environ["wsgi.input"] = await self._body(environ)
            except Unreadable as body:
                environ["wsgi.input"] = body
            self.waiting = False
            async with self._worker.turns.of(environ):
                return await self._in_thread(call, self._worker.wsgi, environ)
        except h11.RemoteProtocolError as error:
            return plain(HTTPStatus(error.error_status_hint))
        except TimeoutError:
            return plain(HTTPStatus.REQUEST_TIMEOUT)

    async def _body(self, environ: dict[str, Any]) -> Any:
        """All of it, as a file. Raises Unreadable, TimeoutError and h11.RemoteProtocolError."""
        size = int(environ.get("CONTENT_LENGTH", 0))
        most = FORM_BYTES
        if size > most:
            most = await self._most_bytes(environ)
        if size > most:
            raise too_large()
        if self._http.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")
            self._writer.write(self._http.send(go_on) or b"")
        size = 0
        body: IO[bytes] = tempfile.SpooledTemporaryFile(  # noqa: SIM115 (call() closes it)
            IN_MEMORY, dir=settings.FILE_UPLOAD_TEMP_DIR
        )
        patience = Patience()
        while isinstance(event := await self._event(patience), h11.Data):
            size += len(event.data)
            environ["CONTENT_LENGTH"] = str(size)
            if size > most == FORM_BYTES:  # it did not say how long it is
                most = await self._most_bytes(environ)
            if size > most:
                raise too_large()
            await self._on_disk(size, body.write, event.data)
        await self._on_disk(size, body.seek, 0)
        return body

    async def _most_bytes(self, environ: dict[str, Any]) -> int:
        async with self._worker.turns.admission:
            return await self._in_thread(most_bytes, environ)

    async def _event(self, patience: Patience) -> Any:
        """h11's next one. Raises TimeoutError and h11.RemoteProtocolError."""
        while (event := self._http.next_event()) is h11.NEED_DATA:
            data = await patience.wait(self._reader.read(BLOCK))
            patience.earn(len(data))
            self._receive(data)
        return event

    async def _on_disk(self, size: int, function: Callable[..., T], *args: Any) -> T:
        """A call of a body's that has this size. Raises Unreadable when the disk is full."""
        try:
            if size <= IN_MEMORY:
                return function(*args)
            return await self._loop.run_in_executor(self._worker.disk, function, *args)
        except OSError as error:
            raise lost(error) from error

    async def _in_thread(self, function: Callable[..., T], *args: Any) -> T:
        self.waiting = False
        try:
            return await self._loop.run_in_executor(self._worker.threads, function, *args)
        finally:
            self.waiting = True

    # --- An answer goes out -----------------------------------------------------------------------

    async def _send(self, answer: Answer) -> None:
        """Raises TimeoutError, ConnectionError and h11.LocalProtocolError."""
        headers = [*answer.headers, ("Date", formatdate(usegmt=True))]
        if self._last or self._http.their_state is not h11.DONE:
            headers.append(("Connection", "close"))
        head = h11.Response(
            status_code=answer.status,
            reason=answer.reason.encode("latin-1"),
            # Django's cookies begin with a space, which h11 takes for an attack.
            headers=[(k.encode("latin-1"), v.strip(" ").encode("latin-1")) for k, v in headers],
        )
        patience = Patience()
        piece = self._http.send(head) or b""
        try:
            while data := await self._read(answer):
                await self._write(piece + (self._http.send(h11.Data(data=data)) or b""), patience)
                piece = b""
            await self._write(piece + (self._http.send(h11.EndOfMessage()) or b""), patience)
        finally:
            if not answer.in_memory:
                self._worker.disk.submit(answer.body.close)

    async def _read(self, answer: Answer) -> bytes:
        if answer.in_memory:
            return answer.body.read()
        return await self._loop.run_in_executor(self._worker.disk, answer.body.read, BLOCK)

    async def _write(self, data: bytes, patience: Patience) -> None:
        """Until the kernel has all of it, as the client takes what was written before."""
        self._writer.write(data)
        self._written += len(data)
        while self._writer.transport.get_write_buffer_size():
            taken, began = self._taken(), time.monotonic()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._writer.drain()
            patience.spend(time.monotonic() - began)
            patience.earn(self._taken() - taken)

    def _taken(self) -> int:
        """What has reached the client's machine, of all that was written."""
        waiting = fcntl.ioctl(self._client, termios.TIOCOUTQ, bytes(4))  # not acknowledged
        [in_kernel] = struct.unpack("i", waiting)
        return self._written - self._writer.transport.get_write_buffer_size() - in_kernel

    async def _linger(self) -> None:
        """A connection that is closed while bytes come in takes an answer on its way along."""
        self._last = True
        self._writer.write_eof()
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                while True:
                    async with asyncio.timeout(LINGER_SILENCE):
                        if not await self._reader.read(BLOCK):
                            return

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return self._worker.loop
