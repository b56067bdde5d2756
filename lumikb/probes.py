"""Questions to services that may never answer, asked so that whoever waits can stop waiting."""

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import Any

from django.db import connections

from documents.deadlines import within

log = logging.getLogger(__name__)


class Probe:
    """A question, asked in a thread of its own.

    The thread too gives up in time where it waits on a socket, but not where a disk or a name
    server is silent. While it is not answered it is not asked a second time: it costs one thread.
    """

    def __init__(self, ask: Callable[[], Any]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._answer: Future[Any] | None = None

    def start(self, seconds: float) -> Future[Any]:
        with self._lock:
            if self._answer is None or self._answer.done():
                self._answer = Future()
                threading.Thread(
                    target=self._run, args=[self._answer, seconds], name="probe", daemon=True
                ).start()
            return self._answer

    def _run(self, answer: Future[Any], seconds: float) -> None:
        try:
            with within(seconds):
                found = self._ask()
        except BaseException as error:
            connections.close_all()  # this thread's
            answer.set_exception(error)
        else:
            connections.close_all()
            answer.set_result(found)


def ask(probes: Mapping[str, Probe], seconds: float) -> dict[str, Any]:
    """The answers by name, after `seconds` at the latest: what a probe returned, or its exception;
    TimeoutError for one that is not answered yet.
    """
    answers = {name: probe.start(seconds) for name, probe in probes.items()}
    wait(answers.values(), timeout=seconds)
    return {name: _outcome(name, answer) for name, answer in answers.items()}


def _outcome(name: str, answer: Future[Any]) -> Any:
    error = answer.exception() if answer.done() else TimeoutError()
    if error is None:
        return answer.result()
    log.warning("%s: %r", name, error)
    return error
