"""What can go wrong while a document is processed, by the two questions that matter.

Will another try help, and whose fault is it? Adapters raise these `from` the vendor's error; nobody
else catches vendor exceptions. Every error for the uploader carries a stable `code` and one
`sentence` without jargon; tracebacks go to the log.
"""


class ProcessingError(Exception):
    """The root of everything below; never raised itself."""


class _DocumentError(ProcessingError):
    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code = code
        self.sentence = sentence


class PermanentError(_DocumentError):
    """This document can never be processed as it is: no further try."""


class RetryableError(_DocumentError):
    """Another try may help; this one counts. `tries`: so many are worth it, at most.

    Without `tries`, MAX_ATTEMPTS are; two are for what costs much and seldom goes away.
    """

    def __init__(self, code: str, sentence: str, tries: int | None = None) -> None:
        super().__init__(code, sentence)
        self.tries = tries


class ServiceUnavailable(ProcessingError):
    """A service that we depend on is down or overloaded: not the document's fault, so the try is
    given back.

    `service` is "storage", "embedding" or "vectors"; `retry_after` is the service's own wish in
    seconds, if it has one.
    """

    def __init__(self, service: str, reason: str, retry_after: float | None = None) -> None:
        super().__init__(f"{service}: {reason}")
        self.service = service
        self.reason = reason
        self.retry_after = retry_after


class Misconfigured(ServiceUnavailable):
    """The service answers and refuses our key, our model or our vectors. Waiting does not mend it,
    an operator does; the documents wait for him.
    """


class WorkerStopping(ProcessingError):
    """This process was asked to stop and the time to finish is over: give the document back."""


class TurnOver(ProcessingError):
    """Others are to have their turn: give the document back, which goes on later.

    `makes_room`: it was ended early, for those who wait.
    """

    def __init__(self, makes_room: bool = False) -> None:
        super().__init__(makes_room)
        self.makes_room = makes_room


class LeaseLost(ProcessingError):
    """Another worker owns the document now, or it was deleted: stop and touch nothing more."""


def stalled(place: str) -> str:
    """The sentence for a document that did not get on any more."""
    where = f"at {place}" if place else "without any progress"
    return f"Processing this document came to a halt {where}; if it does so again, split it there."


def http_reason(status: int) -> str:
    """Why a service is not available, as an operator reads it, from the status that it answered."""
    if status == 408:  # also LiteLLM's for a call that took too long
        return "no answer in time"
    return f"HTTP {status}: it refuses our key" if status in (401, 403) else f"HTTP {status}"
