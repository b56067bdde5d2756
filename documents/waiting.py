"""`?wait=30`: an answer that comes when a document is ready or has failed."""

import threading
import time
from uuid import UUID

from .connections import release
from .models import Document, Status

LONGEST = 60  # seconds
AT_ONCE = 4  # in a process: each has a thread, and others want an answer, too; more wait not at all
EVERY = 0.25  # seconds

_places = threading.BoundedSemaphore(AT_ONCE)


def until_finished(document_id: UUID, seconds: float) -> None:
    """Wait until it is READY or FAILED, deleted, or so long; no connection is held meanwhile."""
    if not seconds or not _places.acquire(blocking=False):
        return
    try:
        end = time.monotonic() + seconds
        unfinished = Document.objects.live().filter(
            pk=document_id, status__in=[Status.PENDING, Status.PROCESSING]
        )
        while unfinished.exists() and (left := end - time.monotonic()) > 0:
            release()
            time.sleep(min(EVERY, left))
    finally:
        _places.release()
