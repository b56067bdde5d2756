"""gunicorn's worker: one event loop for all the clients of a process, and its threads."""

import asyncio
import os
import resource
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from gunicorn.workers import base

DISK_THREADS = 4  # they wait for the disk, so that the loop does not
SWITCH_SECONDS = 0.0005  # for 0.005: so long the loop may wait for each thread that computes
CROWD = 16  # clients; more than the processes take turns in
FILES_FOR_ONE = 2  # a client's socket, and a body or an answer
FILES_FOR_US = 256  # connections to PostgreSQL and to services, their files


class Worker(base.Worker):
    alive: bool

    def init_process(self) -> None:
        self.prepare()
        super().init_process()

    def prepare(self) -> None:
        """What belongs to this process, after the fork."""
        from lumikb import wsgi  # noqa: F401 (sets Django up, which the others ask for)

        from .conversation import Conversation
        from .turns import Turns

        sys.setswitchinterval(SWITCH_SECONDS)
        self._conversation = Conversation
        self.loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self.threads = ThreadPoolExecutor(self.cfg.threads, "request")
        self.turns = Turns(self.cfg.threads)
        self.disk = ThreadPoolExecutor(DISK_THREADS, "disk")
        self.conversations: dict[asyncio.Task[None], Any] = {}
        self._most = min(self.cfg.worker_connections, _clients_that_files_suffice_for())

    def run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.run(self._serve())

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: what has begun is finished, for `graceful_timeout` seconds."""
        if self.alive:
            self.alive = False
            self.loop.call_soon_threadsafe(self._stopping.set)

    async def _serve(self) -> None:
        for listener in self.sockets:
            listener.setblocking(False)
            self.loop.add_reader(listener, self._come_in, listener)
        while self.alive and self.ppid == os.getppid():
            self.notify()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), 1)
        for listener in self.sockets:
            self.loop.remove_reader(listener)
            listener.close()
        await self._finish()

    def _come_in(self, listener: socket.socket) -> None:
        """One client, not all that wait: another process may be idle. But the more are here, the
        more at once: behind a crowd, nobody is to wait for a round of the loop for each of it.
        """
        for _ in range(1 + len(self.conversations) // CROWD):
            if not self._accept(listener):
                break

    def _accept(self, listener: socket.socket) -> bool:
        try:
            client, _ = listener.accept()
        except (BlockingIOError, ConnectionError):  # another process was faster; he has gone
            return False
        except OSError as error:
            self.log.warning("A client could not come in: %s", error)  # too many open files
            self._drop_one()
            return False
        if len(self.conversations) >= self._most:
            self._drop_one()
        conversation = self._conversation(self, client)
        self.conversations[conversation.task] = conversation
        conversation.task.add_done_callback(self.conversations.pop)
        return True

    def _drop_one(self) -> None:
        """The one who has kept us waiting longest: a flood must not lock the others out."""
        for conversation in self.conversations.values():  # in the order of their coming
            if conversation.waiting:
                conversation.drop()
                break

    async def _finish(self) -> None:
        for conversation in self.conversations.values():
            conversation.finish()
        end = self.loop.time() + self.cfg.graceful_timeout
        while self.conversations and self.loop.time() < end:
            self.notify()
            await asyncio.wait(self.conversations, timeout=1)


def _clients_that_files_suffice_for() -> int:
    """The kernel lets a process have many more files than the usual 1,024, for the asking."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return (most - FILES_FOR_US) // FILES_FOR_ONE
