"""Keeps what the log says of a document that is worked on, for its page in the admin.

A handler of Python's logging (`LOGGING` in the settings), so that nothing else needs to know of it:
what is logged as a warning or worse, by whomever, with the traceback of the error at hand.
"""

import logging
import sys
from contextlib import suppress
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connection

from documents.connections import release

from .middleware import document_in_work

THE_DATABASES_OWN = ("psycopg", "django.db")  # loggers
MOST_CHARS = 20_000  # of a line with its traceback, the end of it


class DocumentLog(logging.Handler):
    """Writes to PostgreSQL, unless that is what the trouble is about: a pool that says that it lost
    a connection would be asked for one more, and waited for, in the midst of that.
    """

    def createLock(self) -> None:
        self.lock = None  # it shares nothing; one thread does not wait for another's statement

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(THE_DATABASES_OWN):
            return
        document_id = document_in_work()
        error = record.exc_info if record.exc_info else sys.exc_info()
        if not document_id or isinstance(error[1], DatabaseError | InterfaceError):
            return
        if connection.in_atomic_block:  # it may be broken, or undone
            return
        whole = logging.makeLogRecord(record.__dict__ | {"exc_info": error[0] and error})
        whole.exc_text = None
        with suppress(Exception):
            _keep(UUID(document_id), self.format(whole)[-MOST_CHARS:].replace("\x00", ""))
        with suppress(Exception):
            release()


def _keep(document_id: UUID, text: str) -> None:
    from documents.models import DocumentError  # not while the settings are read

    DocumentError.keep(document_id, text)
