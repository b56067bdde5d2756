"""From the outbox to the broker: the outbox is the queue, Redis holds a short window of it.

What is done to many documents at once (documents/bulk.py, documents/removal.py) is done here, too:
a slice after a post in which nothing was due, and at each tick if something always is.

Any number of relays may run: rows are locked by the one that posts them. A message may be posted
twice (a relay dies between posting and committing); the claim lets one through.
"""

import logging
import random
import threading
import time

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from documents import bulk, counts, lifecycle, removal
from documents.connections import release, unpooled
from documents.failpoints import failpoint
from documents.models import Document, Heartbeat, Outage, OutboxMessage
from documents.models.querysets import DocumentQuerySet

from . import actors, queue
from .rounds import Rounds

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0  # the safety net when a notification is lost, and how often documents are healed
MAX_BACKOFF_SECONDS = 10.0
HEAL_LIMIT = 100  # documents a tick
LOOKED_AT = 1000  # that were posted and not claimed: no more than Redis holds, unless it lost them
POST_SECONDS = 5.0  # a tick; 100 messages take 0.05


def post_due(rounds: Rounds | None = None) -> int:
    """Post due messages while Redis has room for them, in turn; returns how many.

    This alone keeps a transaction while it asks another service: its locks keep other relays from
    the same messages, and a relay that dies leaves none of them marked. The transaction ends after
    `POST_SECONDS` and one command more.
    """
    room = settings.RELAY_WINDOW - queue.size()
    if room <= 0:
        return 0
    with transaction.atomic():
        messages = _take_due(room, rounds or Rounds())
        failpoint("relay.taken")
        posted = _send_in_time(messages)
        if posted:
            lifecycle.posted(
                [each.document_id for each in posted if each.action != OutboxMessage.Action.DRAW]
            )
            failpoint("relay.posted")
            OutboxMessage.objects.filter(pk__in=[message.pk for message in posted]).delete()
            failpoint("relay.deleted")
    return len(posted)


def heal() -> None:
    """Take documents from workers that vanished, and post lost messages again; add up what is
    counted.
    """
    for document in Document.objects.abandoned()[:HEAL_LIMIT]:
        failpoint("relay.reclaiming")
        if lifecycle.reclaim(document):
            log.warning("reclaimed %s from a worker that vanished", document.pk)
    if Outage.objects.lasting().exists():
        for document in Document.objects.given_up()[:HEAL_LIMIT]:
            if lifecycle.give_up(document):
                log.warning("gave %s up: a service has been away for too long", document.pk)
    for document in _lost()[:HEAL_LIMIT]:
        if lifecycle.repost(document):
            log.info("posted the lost message of %s again", document.pk)
    counts.add_up()


def run(stop: threading.Event) -> None:
    """Relay until `stop` is set. No failure of PostgreSQL or Redis ends it."""
    failures = 0
    heal_at = 0.0
    doorbell = Doorbell()
    rounds = Rounds()
    carried_out = False
    while not stop.is_set():
        try:
            posted = post_due(rounds)
            if is_tick := time.monotonic() >= heal_at:
                heal()  # after posting: a row that somebody locked stops it
                Heartbeat.beat(Heartbeat.Kind.RELAY)
                heal_at = time.monotonic() + POLL_SECONDS
            if carried_out or is_tick or not posted:  # many workers leave no post without messages
                carried_out = bulk.carry_out_slice() or removal.carry_out_slice()
            release()
            failures = 0
            if not posted and not carried_out:
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
    """Due, and neither the outbox nor Redis has a message of them: Redis has lost it.

    Asked for is only what was posted, which is no more than fits into Redis. A message that never
    was, and that is not in the outbox either, no crash leaves; the reconciler looks for that too.
    """
    posted = list(Document.objects.posted_long_ago().values_list("pk", flat=True)[:LOOKED_AT])
    if not posted:  # as at almost every tick
        return Document.objects.none()
    release()
    gone = set(posted) - queue.documents_of(actors.process.actor_name)
    return Document.objects.unposted().filter(pk__in=gone)


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
    elif message.action == OutboxMessage.Action.MOVE:
        actors.move.send(document_id)
    elif message.action == OutboxMessage.Action.DRAW:
        actors.draw.send(document_id)
    elif message.document.has_last_chance:  # see processing/isolation.py
        actors.process.send(document_id, alone=True)
    else:
        actors.process.send(document_id)


def _take_due(room: int, rounds: Rounds) -> list[OutboxMessage]:
    """Lock the messages whose turn it is; each relay locks what no other has.

    What comes too early for a document is refused by the claim.
    """
    chosen = rounds.take(room)
    if not chosen:
        return []
    due = OutboxMessage.objects.filter(pk__in=chosen, due_at__lte=Now())
    locked = due.select_for_update(skip_locked=True, of=["self"]).select_related("document")
    by_id = {message.pk: message for message in locked}
    return [by_id[pk] for pk in chosen if pk in by_id]
