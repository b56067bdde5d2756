"""Dramatiq middleware of our own, and the document's id in every log line.

Loaded while Django sets up its apps: no models at import time.
"""

import logging
import threading
from contextvars import ContextVar
from typing import Any
from uuid import UUID

import dramatiq
from dramatiq.broker import Broker

from documents.connections import release

_document_id: ContextVar[str] = ContextVar("document_id", default="")


class ReturnConnections(dramatiq.Middleware):
    """Gives the thread's database connection back around every message, a skipped one too."""

    def before_process_message(self, broker: Broker, message: Any) -> None:
        release()

    def after_process_message(self, broker: Broker, message: Any, **kwargs: Any) -> None:
        release()

    def after_skip_message(self, broker: Broker, message: Any) -> None:
        release()


class Heartbeat(dramatiq.Middleware):
    """Runs the heartbeat thread of a worker process, until its last message is done; when the
    process is to stop, sees to it that no document stays with it.
    """

    def __init__(self) -> None:
        self._stop = threading.Event()

    def before_worker_boot(self, broker: Broker, worker: Any) -> None:
        from . import heartbeat

        heartbeat.look_at_the_sandbox()

    def after_worker_boot(self, broker: Broker, worker: Any) -> None:
        from . import heartbeat
        from .index import embeddings

        threading.Thread(
            target=heartbeat.run, args=[self._stop], name="heartbeat", daemon=True
        ).start()
        embeddings.warm_up()

    def before_worker_shutdown(self, broker: Broker, worker: Any) -> None:
        from . import heartbeat

        heartbeat.wind_down()

    def after_worker_shutdown(self, broker: Broker, worker: Any) -> None:
        from . import heartbeat

        heartbeat.hand_back_all()
        self._stop.set()


class LogContext(dramatiq.Middleware):
    """Remembers which document this thread works on."""

    def before_process_message(self, broker: Broker, message: Any) -> None:
        _document_id.set(str(message.args[0]) if message.args else "")

    def after_process_message(self, broker: Broker, message: Any, **kwargs: Any) -> None:
        _document_id.set("")


def works_on(document_id: UUID) -> None:
    """This thread's message made it begin this document."""
    _document_id.set(str(document_id))


def document_in_work() -> str:
    """The id of the document that this thread works on, or nothing."""
    return _document_id.get()


class DocumentFilter(logging.Filter):
    """Adds `document` to a log record: ` [id]` while one is worked on, else nothing."""

    def filter(self, record: logging.LogRecord) -> bool:
        document_id = document_in_work()
        record.document = f" [{document_id}]" if document_id else ""
        return True
