"""What a message makes happen: claim, delegate, and say the outcome in one transition."""

import logging
import time
from datetime import timedelta
from uuid import UUID

import dramatiq
from django.conf import settings
from django.db import InterfaceError, OperationalError
from dramatiq.middleware import TimeLimitExceeded

from documents import lifecycle, outages
from documents.connections import release
from documents.failpoints import failpoint
from documents.models import Document

from . import heartbeat, isolation, middleware, pages, pipeline
from .errors import (
    LeaseLost,
    PermanentError,
    RetryableError,
    ServiceUnavailable,
    TurnOver,
    WorkerStopping,
    stalled,
)

log = logging.getLogger(__name__)

QUEUE = "documents"
PAGES = "pages"  # somebody looks at the screen: these do not stand in line behind documents
SERVICES = {  # as people know them
    "storage": "the file storage",
    "embedding": "the embedding service",
    "vectors": "the vector database",
}


@dramatiq.actor(
    queue_name=QUEUE,
    time_limit=settings.TIME_LIMIT.total_seconds() * 1000,
)
def process(document_id: str, alone: bool = False) -> None:
    """Make a document READY, if it is due; else this message came twice or too late.

    `alone`: in this process, because it may be what kills workers.
    """
    with isolation.room(alone) as has_room:
        if has_room:  # else the message is lost, and posted again
            _process(UUID(document_id), alone)


def _process(document_id: UUID, alone: bool) -> None:
    now = time.monotonic()
    claim = lifecycle.claim(document_id, heartbeat.WORKER, alone)
    if claim is None:
        return
    middleware.works_on(claim.document_id)  # perhaps not the one that was asked for
    failpoint("worker.claimed")
    with heartbeat.hold(claim, now) as lease:
        try:
            is_away = _work(lease)
        except (OperationalError, InterfaceError):  # also of the transition that says the outcome
            log.exception("PostgreSQL does not answer, or not as it should")
            _postpone_once_postgres_answers(lease)
            is_away = False
        if claim.is_probe and not is_away:  # it ended, but not for a service: the next one may ask
            outages.retry_now()


def _work(lease: heartbeat.Lease) -> bool:
    """Run the pipeline, and say what came of it; whether a service was away.

    Raises OperationalError, InterfaceError.
    """
    claim = lease.claim
    try:
        pipeline.run(lease)
    except LeaseLost:
        log.warning("lost the lease of epoch %s: stopped", claim.epoch)
    except PermanentError as error:
        log.warning("failed: %s", error)
        lifecycle.fail(claim, error.code, error.sentence)
    except ServiceUnavailable as error:
        log.warning("postponed: %s", error)
        reason = f"{SERVICES[error.service]} is not available ({error.reason})."
        lifecycle.postpone(claim, reason, error.service, _wish(error))
        return True
    except RetryableError as error:
        log.warning("to be tried again: %s", error)
        lifecycle.retry_later(claim, error.code, error.sentence, error.tries)
    except WorkerStopping:
        log.info("handed back: this worker stops")
        lifecycle.hand_back(claim)
    except TurnOver as over:
        lifecycle.yield_turn(claim, makes_room=over.makes_room)
    except TimeLimitExceeded:
        lifecycle.retry_later(claim, "stalled", stalled(lease.place), tries=3)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        log.exception("an error that nobody foresaw")
        sentence = "Something went wrong here while processing it; it is logged for the operator."
        lifecycle.retry_later(claim, "internal_error", sentence)
    return False


def _wish(error: ServiceUnavailable) -> timedelta | None:
    """When the service wants to be asked again; a day at most, which a timedelta can hold."""
    if not error.retry_after or error.retry_after < 0:
        return None
    return timedelta(seconds=min(error.retry_after, 86400))


def _postpone_once_postgres_answers(lease: heartbeat.Lease) -> None:
    """Give the document back while we still have it; after that, reconciling is not our business.

    The heartbeat goes on meanwhile and renews the lease as soon as it can.
    """
    while not lease.is_over:
        release()
        try:
            lifecycle.postpone(lease.claim, "the database was away.")
            return
        except (OperationalError, InterfaceError):
            time.sleep(1)


@dramatiq.actor(queue_name=QUEUE, time_limit=settings.TIME_LIMIT.total_seconds() * 1000)
def move(document_id: str) -> None:
    """Have a document's points follow it into its knowledge base; when the index is away, the
    reconciler finds them.
    """
    try:
        pipeline.move(UUID(document_id))
    except ServiceUnavailable as error:
        log.warning("its points have not moved yet: %s", error)


@dramatiq.actor(queue_name=QUEUE, time_limit=settings.TIME_LIMIT.total_seconds() * 1000)
def purge(document_id: str) -> None:
    """Remove a deleted document for good; when a service is away, the reconciler posts it again."""
    document = Document.objects.filter(pk=document_id).first()
    if document is None or not lifecycle.begin_purge(document.pk):
        return
    failpoint("purge.begun")
    try:
        pipeline.purge(document)
    except ServiceUnavailable as error:
        log.warning("not purged yet: %s", error)
    else:
        lifecycle.finish_purge(document.pk)
        failpoint("purge.finished")


@dramatiq.actor(queue_name=PAGES, time_limit=settings.TIME_LIMIT.total_seconds() * 1000)
def draw(document_id: str) -> None:
    """Draw the pages of a document that people wait for; whoever still waits asks again."""
    try:
        pages.draw(UUID(document_id))
    except ServiceUnavailable as error:
        log.warning("not drawn yet: %s", error)
