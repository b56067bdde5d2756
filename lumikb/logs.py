"""What the log says, and what it must not: the last guard of the secrets."""

import logging
import re
from collections.abc import Iterable
from datetime import datetime
from urllib.parse import quote, unquote

SHORTEST = 8  # characters; a shorter one would blot out words
TOKENS = r"lumikb_[\w-]{20,}|(?i:bearer) [^\s'\",]{8,}|(?<=sessionid=)\w{8,}"


class Proportion(logging.Filter):
    """How loud the log is about a request that was not answered with 200.

    A traceback is for a fault of ours: 500. All else is a line; and a client's mistake (4xx, a
    duplicate among them) is nothing that an operator must look into.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        status = getattr(record, "status_code", 500)  # Django's loggers have it
        if status == 500:
            return True
        if record.exc_info:
            error = record.exc_info[1]
            words = str(error).partition("\n")[0]
            record.msg = f"{record.getMessage()} ({type(error).__name__}: {words})"
            record.args, record.exc_info = (), None
        if status < 500:
            record.levelno, record.levelname = logging.INFO, "INFO"
        return record.levelno >= logging.root.level


class RedactingFormatter(logging.Formatter):
    """Blots out the given secrets, as they are and as a URL has them; API tokens, and sessions.

    In a traceback too. What we log ourselves has none: this is for those whose texts we do not
    write, as an embedding service that quotes the key which it refuses.
    """

    def __init__(self, fmt: str, secrets: Iterable[str | None] = ()) -> None:
        super().__init__(fmt)
        plain = {form for each in secrets if each for form in (each, unquote(each))}
        known = {
            form for each in plain if len(each) >= SHORTEST for form in (each, quote(each, ""))
        }
        longest_first = sorted(known, key=len, reverse=True)
        self.secret = re.compile("|".join([*map(re.escape, longest_first), TOKENS]))

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return datetime.fromtimestamp(record.created).astimezone().isoformat(" ", "milliseconds")

    def format(self, record: logging.LogRecord) -> str:
        return self.secret.sub("***", super().format(record))
