"""A document that may be killing workers has its last try alone, so that nobody dies with it.

The worker's threads share a process, and all who are at work when it dies are charged with the
death. Three deaths in the company of one bad document would fail good ones too.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE = 60.0  # seconds; the actor's time limit runs on while it waits

_changed = threading.Condition()
_at_work = 0
_alone = 0  # who must be alone: at work, or next in line


@contextmanager
def room(alone: bool) -> Iterator[bool]:
    """Wait, before the claim, until nobody who must be alone is at work or in line; or, to be alone
    oneself, until nobody is at work. False when that took longer than PATIENCE.
    """
    global _at_work, _alone
    deadline = time.monotonic() + PATIENCE
    with _changed:
        _alone += alone
    entered = False
    try:
        with _changed:
            while not entered and time.monotonic() < deadline:
                if not (_at_work if alone else _alone):
                    _at_work += 1
                    entered = True
                else:
                    _changed.wait(0.1)  # Dramatiq's exceptions come between two of them
        yield entered
    finally:
        with _changed:
            _at_work -= entered
            _alone -= alone
            _changed.notify_all()
