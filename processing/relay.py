"""From the outbox to the broker: the outbox is the queue, Redis holds a short window of it.

Any number of relays may run: rows are locked by the one that posts them. A message may be posted
twice (a relay dies between posting and committing); the claim lets one through.
"""

import logging
import random
import threading
import time

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, Q, Window
from django.db.models.functions import Now, RowNumber

from documents import lifecycle
from documents.connections import release, unpooled
from documents.failpoints import failpoint
from documents.models import Document, Heartbeat, Outage, OutboxMessage
from documents.models.document import DocumentQuerySet

from . import actors, queue

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0  # the safety net when a notification is lost, and how often documents are healed
MAX_BACKOFF_SECONDS = 10.0
HEAL_LIMIT = 100  # documents a tick
POST_SECONDS = 5.0  # a tick; 100 messages take 0.05

ACTIONS = [OutboxMessage.Action.PROCESS, OutboxMessage.Action.PURGE]


def post_due() -> int:
    """Post due messages while Redis has room for them; returns how many.

    This alone keeps a transaction while it asks another service: its locks keep other relays from
    the same messages, and a relay that dies leaves none of them marked. The transaction ends after
    `POST_SECONDS` and one command more.
    """
    room = settings.RELAY_WINDOW - queue.size()
    if room <= 0:
        return 0
    with transaction.atomic():
        messages = _take_due(room)
        failpoint("relay.taken")
        posted = _send_in_time(messages)
        if posted:
            lifecycle.posted([message.document_id for message in posted])
            failpoint("relay.posted")
            OutboxMessage.objects.filter(pk__in=[message.pk for message in posted]).delete()
            failpoint("relay.deleted")
    return len(posted)


def heal() -> None:
    """Take documents from workers that vanished, and post lost messages again."""
    for document in Document.objects.abandoned()[:HEAL_LIMIT]:
        failpoint("relay.reclaiming")
        if lifecycle.reclaim(document):
            log.warning("reclaimed %s from a worker that vanished", document.pk)
    for document in Document.objects.given_up()[:HEAL_LIMIT]:
        if lifecycle.give_up(document):
            log.warning("gave %s up: a service has been away for too long", document.pk)
    for document in _lost()[:HEAL_LIMIT]:
        if lifecycle.repost(document):
            log.info("posted the lost message of %s again", document.pk)


def run(stop: threading.Event) -> None:
    """Relay until `stop` is set. No failure of PostgreSQL or Redis ends it."""
    failures = 0
    heal_at = 0.0
    doorbell = Doorbell()
    while not stop.is_set():
        try:
            posted = post_due()
            if time.monotonic() >= heal_at:  # after posting: a row that somebody locked stops it
                heal()
                Heartbeat.beat(Heartbeat.Kind.RELAY)
                heal_at = time.monotonic() + POLL_SECONDS
            release()
            failures = 0
            if not posted:
                doorbell.wait(POLL_SECONDS)
        except Exception:
            log.exception("cannot relay just now; trying again")
            release()
            doorbell.close()
            failures += 1
            backoff = min(0.1 * 2 ** min(failures, 10), MAX_BACKOFF_SECONDS)
            stop.wait(backoff * random.uniform(0.5, 1))  # noqa: S311 (spreads load)
    doorbell.close()


class Doorbell:
    """Waits for NOTIFY on a connection of its own, which is made again whenever it is lost."""

    def __init__(self) -> None:
        self._connection = unpooled()

    def wait(self, timeout: float) -> None:
        """Return at a notification, at the latest after `timeout` seconds."""
        if self._connection.connection is None:
            with self._connection.cursor() as cursor:
                cursor.execute(f"LISTEN {OutboxMessage.CHANNEL}")
            return  # one rang perhaps before we listened
        for _ in self._connection.connection.notifies(timeout=timeout, stop_after=1):
            pass

    def close(self) -> None:
        self._connection.close()


def _lost() -> DocumentQuerySet:
    """Due, and neither the outbox nor Redis has a message of them: Redis has lost it."""
    unposted = Document.objects.unposted()
    if not unposted.exists():  # as at almost every tick
        return unposted
    release()
    return unposted.exclude(pk__in=queue.documents_of(actors.process.actor_name))


def _send_in_time(messages: list[OutboxMessage]) -> list[OutboxMessage]:
    """Post messages; returns those that were. A slow Redis keeps no transaction open for long."""
    give_up_at = time.monotonic() + POST_SECONDS
    for number, message in enumerate(messages):
        if time.monotonic() > give_up_at:
            return messages[:number]
        _send(message)
    return messages


def _send(message: OutboxMessage) -> None:
    document_id = str(message.document_id)
    if message.action == OutboxMessage.Action.PURGE:
        actors.purge.send(document_id)
    elif message.document.has_last_chance:  # see processing/isolation.py
        actors.process.send(document_id, alone=True)
    else:
        actors.process.send(document_id)


def _take_due(limit: int) -> list[OutboxMessage]:
    """Lock the next messages: by priority, then one of each knowledge base in turn.

    Each relay locks what no other has; what comes too early for a document is refused by the claim.
    Rows of an action that only a newer release knows are left to it. While a service is away
    documents wait here, not in Redis where they would be refused.
    """
    held_back = Q(action=OutboxMessage.Action.PROCESS) & Exists(Outage.objects.open())
    due = OutboxMessage.objects.filter(~held_back, due_at__lte=Now(), action__in=ACTIONS)
    turns = due.annotate(
        turn=Window(
            RowNumber(),
            partition_by=[F("priority"), F("document__knowledge_base")],
            order_by=[F("due_at"), F("pk")],
        )
    ).order_by("priority", "turn", "pk")
    chosen = list(turns.values_list("pk", flat=True)[:limit])
    if not chosen:
        return []
    locked = due.filter(pk__in=chosen).select_for_update(skip_locked=True, of=["self"])
    by_id = {message.pk: message for message in locked.select_related("document")}
    return [by_id[pk] for pk in chosen if pk in by_id]
