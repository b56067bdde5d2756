"""What happens: every transition of a document's life, and nothing else writes these columns.

Each transition is one conditional UPDATE whose row count is the answer, with its timeline event and
its outbox row in the same transaction. False or None means that the guard in the WHERE did not
hold: somebody else was first, the lease is lost, the document is deleted. That is an answer, not an
error. All times are the database's.

What people do is done to a set of documents, up to a thousand or so at once (documents/bulk.py cuts
larger ones), in as many statements as to one: the rows for which the guard holds are locked and
then changed.
"""

import random
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Case, Exists, F, IntegerField, OuterRef, Q, Value, When
from django.db.models.functions import Coalesce, Greatest, Now
from django.db.models.lookups import LessThan

from . import fairness, outages
from .models import (
    Chunk,
    Document,
    DocumentEvent,
    Outage,
    OutboxMessage,
    PagePicture,
    Stage,
    Status,
    Tally,
    TextPart,
)
from .returning import updated

Action = OutboxMessage.Action
Priority = OutboxMessage.Priority

IMMEDIATELY = timedelta(0)
BY_THE_DATABASE = ["created_at", "due_at", "posted_at", "progressed_at"]  # its clock's defaults


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's right to a document. The epoch is the fence: every write carries it.

    `is_probe`: some service is away, and this claim is the one that asks whether it is back.
    """

    document_id: UUID
    epoch: int
    attempt: int
    is_probe: bool = field(default=False, compare=False)


class KnowledgeBaseGone(Exception):
    """It is being removed, or was: nothing comes into it any more."""


class DuplicateFilename(Exception):
    """The knowledge base has a live document of that name: `existing` is its id, None when it is
    gone again.
    """

    def __init__(self, existing: UUID | None):
        super().__init__("a live document has this filename")
        self.existing = existing


# --- Coming in ---------------------------------------------------------------------------------


def register(document: Document, origin: str = "") -> Document:
    """Accept a file whose object is stored; `origin` says where it comes from, if not from a
    person's hand. Raises DuplicateFilename, KnowledgeBaseGone.
    """
    with _into_a_knowledge_base(), transaction.atomic():
        _insert(document)
        _record(document.pk, "registered", origin, by=document.uploaded_by_id)
        _post(document.pk, Action.PROCESS, priority=document.priority)
    return document


def replace(old: Document, new: Document, origin: str = "") -> Document | None:
    """Put `new` in the place of `old`, which stays searchable until `new` is READY. When it was to
    have that one's name it has the one that was given to that meanwhile.

    None when `old` was deleted, replaced or moved meanwhile: who may change it where it was may
    not where it is. Raises DuplicateFilename when another document has the new name, and
    KnowledgeBaseGone.
    """
    by = new.uploaded_by_id
    still_there = Document.objects.live().filter(pk=old.pk, knowledge_base=new.knowledge_base_id)
    with _into_a_knowledge_base(), transaction.atomic():
        if not _mark_deleted(still_there):
            return None
        keeps_name = new.filename == old.filename
        old.refresh_from_db(fields=["filename", "indexed_at", "replaces", "tags"])
        new.tags = old.tags  # those that it has been given meanwhile, too
        if keeps_name:
            new.filename = old.filename
        if old.indexed_at:
            new.replaces_id = old.pk
        else:  # never searchable: what it was to replace still is, and waits for the new one
            new.replaces_id = old.replaces_id
            _post(old.pk, Action.PURGE, delay=settings.PURGE_AFTER)
        _insert(new)
        _record(old.pk, "replaced", f"by {new.pk}", by=by)
        _record(new.pk, "registered", origin or f"replaces {old.pk}", by=by)
        _post(new.pk, Action.PROCESS, priority=new.priority)
    return new


# --- The worker's way ----------------------------------------------------------------------------


def claim(document_id: UUID, worker: int | None = None, alone: bool = True) -> Claim | None:
    """Take a due document; or, where another user's comes first (see fairness.py), that one. The
    try is counted here, so a killed worker's try counts too.

    `worker` is the number whose advisory lock says that the process lives; `alone`, that nobody
    else is at work in it: else a document that has its last chance is left to the message that says
    so, for an older one may come after it. While a service is away only one claim at a time is let
    through; the others' messages go back to the outbox.
    """
    due = Document.objects.due().filter(pk=document_id)
    if not alone:
        due = due.without_last_chance()
    with transaction.atomic():
        asked = fairness.lock(document_id)
        if asked is None:
            return None
        taken, is_probe = None, False
        first = fairness.first(asked)
        if first is None:
            taken = _take(due.exclude(Exists(Outage.objects.all())), worker)
        if not taken and Outage.objects.exists():
            is_probe = outages.take_probe()
            taken = _take(due, worker) if is_probe else None
            if not taken:
                _post(document_id, Action.PROCESS, priority=Priority.RESUMED)
        elif first:
            taken = _take_instead(first, document_id, worker)
        if not taken:
            return None
        if not taken.turns:  # else it goes on, which is no news
            detail = f"attempt {taken.attempts}"
            _record(taken.pk, "claimed", detail, epoch=taken.lease_epoch)
    return Claim(taken.pk, taken.lease_epoch, taken.attempts, is_probe)


def renew(claims: Collection[Claim]) -> set[Claim]:
    """Extend the leases of all these claims in one UPDATE; returns those that are still held."""
    if not claims:
        return set()
    ours = Q()
    for held in claims:
        ours |= Q(pk=held.document_id, lease_epoch=held.epoch)
    leased = Document.objects.live().filter(ours, status=Status.PROCESSING)
    with transaction.atomic():
        # A row that is locked is being finished, or taken away; the others must not wait for it.
        free = leased.select_for_update(skip_locked=True).values("pk")
        renewed = leased.filter(pk__in=free).update(lease_expires_at=Now() + settings.LEASE)
    if renewed == len(claims):
        return set(claims)
    still = set(leased.values_list("pk", "lease_epoch"))
    return {held for held in claims if (held.document_id, held.epoch) in still}


def progress(
    claim: Claim, stage: str, count: int = 0, total: int = 0, place: str = "", keep: bool = False
) -> bool:
    """Say how far the work has come; `count` of `total` chunks, or the place in the file.

    `keep`: so many are in the index, and no later turn does them again.
    """
    kept: dict[str, Any] = {}
    if keep:
        kept = {
            "kept_count": count,
            **getting_on(F("kept_chars") + count),
            "paced_since": Coalesce("paced_since", Now()),
            "paced_count": Case(
                When(paced_since=None, then=count),
                default=F("paced_count"),
                output_field=IntegerField(),
            ),
        }
    updated = _leased(claim).update(
        stage=stage,
        progress_count=count,
        progress_total=total,
        place=place[:100],
        progressed_at=Now(),
        **kept,
    )
    return bool(updated)


def getting_on(how_far: Any) -> dict[str, Any]:
    """The changes by which the tries, deaths and outages so far are forgiven, when this is further
    than the document ever came: characters read and passages in the index.
    """
    further = Q(LessThan(F("furthest"), how_far))
    return {
        "attempts_kept": Case(
            When(further, F("attempts") - 1),
            default=F("attempts_kept"),
            output_field=IntegerField(),
        ),
        "deaths_kept": Case(When(further, F("deaths")), default=F("deaths_kept")),
        "furthest": Greatest("furthest", how_far),
        "postponed_since": Case(When(further, then=None), default=F("postponed_since")),
    }


def succeed(
    claim: Claim,
    chunks: Sequence[Chunk] = (),
    unread: Sequence[dict[str, Any]] = (),
    *,
    kept: int | None = None,
) -> bool:
    """READY: from this commit on search reads these chunks, and no longer what they replace.

    `unread`: the reading report, as `Document.unread` keeps it. `kept`: not `chunks` but so many,
    which the reading under way has kept already. What search read before is left to `kept.sweep`.
    """
    reading: Any = claim.epoch if kept is None else F("kept_epoch")
    count = len(chunks) if kept is None else kept
    for chunk in chunks:
        chunk.reading = claim.epoch
    with transaction.atomic():
        done = updated(
            _leased(claim),
            ["replaces"],
            status=Status.READY,
            chunk_count=count,
            unread=list(unread),
            indexed_epoch=reading,
            chunk_reading=reading,
            indexed_at=Now(),
            finished_at=Now(),
            **_NO_LEASE,
            **NOTHING_KEPT,
            **_NOTHING_WAITED_FOR,
        )
        if not done:
            return False
        Chunk.objects.bulk_create(chunks)
        _record(claim.document_id, "succeeded", f"passages: {count}", epoch=claim.epoch)
        [(replaced,)] = done
        if replaced:
            _release_replaced([claim.document_id])
    return True


def fail(claim: Claim, code: str, sentence: str) -> bool:
    """FAILED: this document cannot be processed; `sentence` tells the uploader why."""
    return _fail(_leased(claim), claim, code, sentence)


def retry_later(claim: Claim, code: str, sentence: str, tries: int | None = None) -> bool:
    """Back to PENDING, due after a backoff with jitter; FAILED when the tries are spent.

    `tries`: fewer than `MAX_ATTEMPTS` are worth it for such an error. Counted are those since it
    got on the last time.
    """
    forgiven = _leased(claim).values_list("attempts_kept", flat=True).first() or 0
    attempt = claim.attempt - forgiven
    if attempt >= min(tries or settings.MAX_ATTEMPTS, settings.MAX_ATTEMPTS):
        return _fail(_leased(claim), claim, code, sentence)
    backoff = min(settings.RETRY_BACKOFF * 2 ** (attempt - 1), settings.RETRY_BACKOFF_MAX)
    return _give_back(_leased(claim), claim, "retried", sentence, _jitter(backoff))


def postpone(claim: Claim, reason: str, service: str = "", wish: timedelta | None = None) -> bool:
    """Back to PENDING with the try given back: an outage is not the document's fault.

    `service` is known to be away for all workers from now on: nobody asks it before a backoff is
    over, or its own `wish`. A document that meets outages again and again waits as long as it has
    waited, up to two minutes; after `POSTPONE_GIVE_UP` it is FAILED.
    """
    with transaction.atomic():
        delay = settings.OUTAGE_BACKOFF
        if service:
            delay = outages.failed(service, reason, wish, claim.is_probe)
        row = Document.objects.filter(pk=claim.document_id)
        waited = row.annotate(waited=Now() - Coalesce("postponed_since", Now()))
        waited_for = waited.values_list("waited", flat=True).first() or IMMEDIATELY  # None: gone
        if waited_for > settings.POSTPONE_GIVE_UP:
            postponed = _fail(_leased(claim), claim, "service_unavailable", _given_up(reason))
        else:
            postponed = _give_back(
                _leased(claim),
                claim,
                "postponed",
                reason,
                max(delay, min(waited_for, 2 * settings.OUTAGE_BACKOFF_MAX)),
                attempts=F("attempts") - 1,
                postponed_since=Coalesce("postponed_since", Now()),
            )
        Tally.add("postponements", service or "database")
        if not postponed:  # a worker that was late knows nothing of the service either
            transaction.set_rollback(True)
    return postponed


def hand_back(claim: Claim) -> bool:
    """Back to PENDING at once with the try given back: the worker is being stopped."""
    reason = "its worker was restarted."
    return _give_back(
        _leased(claim), claim, "handed_back", reason, IMMEDIATELY, attempts=F("attempts") - 1
    )


def yield_turn(claim: Claim, makes_room: bool = False) -> bool:
    """Back to PENDING with the try given back, due at once: it goes on when it is its turn again,
    behind those that wait with the same priority. No news for the timeline.

    One that makes room leaves its slot free for a moment longer: who has one note often has more.
    """
    delay = fairness.ROOM_KEPT if makes_room else IMMEDIATELY
    with transaction.atomic():
        if not _leased(claim).update(
            **_NO_LEASE | _due(delay) | _PROGRESS_KEPT | {"turns": F("turns") + 1},
            status=Status.PENDING,
            attempts=F("attempts") - 1,
        ):
            return False
        priority = Document.objects.values_list("priority", flat=True).get(pk=claim.document_id)
        _post(claim.document_id, Action.PROCESS, priority=priority, delay=delay)
    return True


# --- Healing -------------------------------------------------------------------------------------


def reclaim(document: Document) -> bool:
    """Take a document from a worker that vanished: due at once, or FAILED after `MAX_DEATHS` since
    it got on the last time.

    The lease was the wait; a further backoff would only delay the recovery. When PostgreSQL was
    away since the last renewal, the worker may be well, and the try is given back.
    """
    lost = Claim(document.pk, document.lease_epoch, document.attempts)
    abandoned = Document.objects.abandoned().filter(pk=lost.document_id, lease_epoch=lost.epoch)
    if _give_back(
        abandoned.interrupted_by_postgres(),
        lost,
        "reclaimed",
        "the database was away.",
        IMMEDIATELY,
        attempts=F("attempts") - 1,
    ):
        return True
    deaths = document.deaths + 1
    charged = deaths - document.deaths_kept
    tried = lost.attempt - document.attempts_kept
    with transaction.atomic():
        if charged >= settings.MAX_DEATHS or tried >= settings.MAX_ATTEMPTS:
            times = "once" if charged == 1 else f"{charged} times"
            where = f"the last time at: {document.doing}."
            sentence = f"Processing it killed its worker {times}, {where}"
            taken = _fail(abandoned, lost, "worker_died", sentence, deaths=deaths)
        else:
            detail = f"its worker vanished at: {document.doing}."
            taken = _give_back(abandoned, lost, "reclaimed", detail, IMMEDIATELY, deaths=deaths)
        if taken:
            Tally.add("worker_deaths")
    return taken


def give_up(document: Document) -> bool:
    """FAILED: the service that it waits for has been away for `POSTPONE_GIVE_UP`."""
    reason = Outage.objects.values_list("reason", flat=True).first() or ""
    waiting = Claim(document.pk, document.lease_epoch, document.attempts)
    given_up = Document.objects.given_up().filter(pk=document.pk)
    return _fail(given_up, waiting, "service_unavailable", _given_up(reason))


def posted(document_ids: Collection[UUID]) -> None:
    """Their messages are in Redis now, where they may be lost from now on.

    Who is being changed at this moment is left out: the relay waits for nobody.
    """
    documents = Document.objects.filter(pk__in=document_ids)
    free = documents.select_for_update(skip_locked=True).values("pk")
    documents.filter(pk__in=free).update(posted_at=Now(), is_posted=True)


def repost(document: Document) -> bool:
    """Post the lost message of a PENDING document again."""
    with transaction.atomic():
        unposted = Document.objects.unposted().filter(pk=document.pk)
        if not unposted.update(posted_at=Now(), is_posted=False):
            return False
        since = DocumentEvent.objects.filter(
            document=document.pk, kind="reposted", created_at__gt=document.progressed_at
        )
        if not since.exists():  # the first time only: no flood of events
            _record(document.pk, "reposted", "no worker took it in time")
        _post(document.pk, Action.PROCESS)
    return True


def repost_purge(document: Document) -> bool:
    """Post the lost message of a document that should have been purged."""
    with transaction.atomic():
        purgeable = Document.objects.purgeable().filter(pk=document.pk, outboxmessage=None)
        if not purgeable.exists():
            return False
        _post(document.pk, Action.PURGE, priority=Priority.BULK)
    return True


def ask_for_pages(document_id: UUID) -> None:
    """Somebody waits for pages of a document (documents/pictures.py)."""
    _post(document_id, Action.DRAW)


# --- People --------------------------------------------------------------------------------------


def requeue(document_id: UUID, by: Any = None, reason: str = "") -> bool:
    """`requeue_all` of one; without a person in bulk."""
    priority = Priority.INTERACTIVE if by else Priority.BULK
    return bool(requeue_all([document_id], by, reason, priority))


def requeue_all(
    document_ids: Collection[UUID],
    by: Any = None,
    reason: str = "",
    priority: int = Priority.INTERACTIVE,
    unchanged_since: datetime | None = None,
) -> list[UUID]:
    """Process FAILED or READY documents anew, with all their tries; they stay searchable.

    A FAILED one goes on where it came to its end, as long as what was kept fits. Those that have
    changed since a moment, where one is given, are another matter by now. Returns those whose guard
    held.
    """
    finished = _unchanged(Document.objects.live(), unchanged_since).filter(
        pk__in=document_ids, status__in=[Status.FAILED, Status.READY]
    )
    with transaction.atomic():
        if held := _hold(finished):
            Document.objects.filter(pk__in=held).update(
                status=Status.PENDING,
                priority=priority,
                **_ALL_TRIES | _PROGRESS_KEPT | _due(IMMEDIATELY) | _NOTHING_WAITED_FOR,
            )
            _record(held, "requeued", reason, by=by and by.pk)
            _post(held, Action.PROCESS, priority=priority)
    return held


def rename(document_id: UUID, by: Any, filename: str) -> bool:
    """Give it another name; what is in the index is made anew, because the name is part of it.

    Not while a worker has it. Raises DuplicateFilename.
    """
    resting = Document.objects.live().exclude(status=Status.PROCESSING).filter(pk=document_id)
    document = resting.first()
    if document is None:
        return False
    with transaction.atomic():
        try:
            with transaction.atomic():
                if not resting.update(filename=filename):
                    return False
        except IntegrityError as error:
            if not _is_duplicate(error):
                raise
            raise DuplicateFilename(namesake(document.knowledge_base_id, filename)) from error
        _record(document_id, "renamed", f"from {document.filename}", by=by.pk)
        requeue(document_id, by, "renamed")
    return True


def move(document_id: UUID, knowledge_base_id: int, by: Any) -> bool:
    """`move_all` of one. Raises DuplicateFilename when a live document has its name there, and
    KnowledgeBaseGone.
    """
    if move_all([document_id], knowledge_base_id, by):
        return True
    for document in Document.objects.live().filter(pk=document_id):
        existing = namesake(knowledge_base_id, document.filename)
        if existing and existing != document_id:
            raise DuplicateFilename(existing)
    return False


def move_all(document_ids: Collection[UUID], knowledge_base_id: int, by: Any) -> list[UUID]:
    """Put documents into another knowledge base; their objects stay where they are. From then on
    who sees that one finds them, by their words and meaning as soon as their points have followed.

    Not those of whose name there is a live document, which a worker has, or which search does not
    show yet in the place of another. Returns those that were moved. Raises KnowledgeBaseGone.
    """
    try:
        with _into_a_knowledge_base(), transaction.atomic():
            return _move(document_ids, knowledge_base_id, by)
    except IntegrityError as error:
        if not _is_duplicate(error):
            raise
    # Somebody has just taken one of the names: it costs the others nothing but time.
    if len(document_ids) == 1:
        return []
    return [moved for each in document_ids for moved in move_all([each], knowledge_base_id, by)]


def _move(document_ids: Collection[UUID], knowledge_base_id: int, by: Any) -> list[UUID]:
    resting = Document.objects.live().exclude(status=Status.PROCESSING).filter(pk__in=document_ids)
    others = resting.exclude(knowledge_base=knowledge_base_id)
    in_the_way = Document.objects.live().filter(
        knowledge_base=knowledge_base_id, filename=OuterRef("filename")
    )
    held = _hold(
        others.filter(~Exists(in_the_way)).exclude(replaces__isnull=False, indexed_at=None)
    )
    if not held:
        return []
    moved = Document.objects.filter(pk__in=held)
    moved.update(
        stored_in=Coalesce("stored_in", "knowledge_base_id"),
        knowledge_base=knowledge_base_id,
        replaces=None,  # its versions so far stay where they were
        fingerprint="",  # what a turn has kept has points of the knowledge base before
        kept_epoch=None,
    )
    _record(held, "moved", "from another knowledge base", by=by and by.pk)
    if indexed := list(moved.exclude(indexed_at=None).values_list("pk", flat=True)):
        _post(indexed, Action.MOVE)
    return held


def unstick(document: Document, by: Any) -> bool:
    """`unstick_all` of one."""
    return bool(unstick_all([document.pk], by))


def unstick_all(
    document_ids: Collection[UUID],
    by: Any,
    priority: int = Priority.INTERACTIVE,
    unchanged_since: datetime | None = None,
) -> list[UUID]:
    """Get documents going that wait, or whose worker vanished, at once and with all their tries.

    `unchanged_since` as in `requeue_all`. Returns those whose guard held.
    """
    vanished = Q(status=Status.PROCESSING, lease_expires_at__lt=Now())
    hanging = _unchanged(Document.objects.live(), unchanged_since).filter(
        Q(status=Status.PENDING) | vanished, pk__in=document_ids
    )
    with transaction.atomic():
        if held := _hold(hanging):
            Document.objects.filter(pk__in=held).update(
                **_NO_LEASE | _PROGRESS_KEPT | _due(IMMEDIATELY) | _NOTHING_WAITED_FOR | _ALL_TRIES,
                status=Status.PENDING,
            )
            _record(held, "unstuck", by=by and by.pk)
            _post(held, Action.PROCESS, priority=priority)
    return held


def abort(document_id: UUID, by: Any) -> bool:
    """FAILED, because an operator has given it up: nobody works on it until it is requeued."""
    unfinished = Document.objects.live().filter(
        pk=document_id, status__in=[Status.PENDING, Status.PROCESSING]
    )
    sentence = "An operator has given this document up; it can be processed again."
    failure = {"failure_code": "given_up", "failure_message": sentence}
    with transaction.atomic():
        if not unfinished.update(
            status=Status.FAILED, finished_at=Now(), **_NO_LEASE | _NOTHING_WAITED_FOR | failure
        ):
            return False
        _record(document_id, "given_up", by=by.pk)
    return True


def soft_delete(document_id: UUID, by: Any) -> bool:
    """`soft_delete_all` of one."""
    return bool(soft_delete_all([document_id], by))


def soft_delete_all(document_ids: Collection[UUID], by: Any) -> list[UUID]:
    """Delete, restorable until they are purged after `PURGE_AFTER`. Workers' leases are revoked.

    Returns those that were live.
    """
    with transaction.atomic():
        if held := _hold(Document.objects.live().filter(pk__in=document_ids)):
            _delete_held(held, by=by and by.pk)
            _release_replaced(held)
    return held


def restore(document_id: UUID, by: Any) -> bool:
    """`restore_all` of one. Raises DuplicateFilename when another live document has its name."""
    if restore_all([document_id], by):
        return True
    deleted = Document.objects.filter(pk=document_id, purging_at=None).exclude(deleted_at=None)
    for document in deleted:
        if existing := namesake(document.knowledge_base_id, document.filename):
            raise DuplicateFilename(existing)
    return False


def restore_all(document_ids: Collection[UUID], by: Any) -> list[UUID]:
    """Bring deleted documents back; a replacement that was never indexed gives way to its own.

    Returns those that are back: not those of whose name there is a live document, and of several
    that share a name only the one that was deleted last.
    """
    try:
        with transaction.atomic():
            return _restore(document_ids, by)
    except IntegrityError as error:
        if not _is_duplicate(error):
            raise
    # Somebody has just taken one of the names: it costs the others nothing but time.
    if len(document_ids) == 1:
        return []
    return [back for each in document_ids for back in restore_all([each], by)]


def _restore(document_ids: Collection[UUID], by: Any) -> list[UUID]:
    deleted = Document.objects.filter(pk__in=document_ids, purging_at=None)
    held = _hold(deleted.exclude(deleted_at=None))
    in_the_way = (
        Document.objects.live()
        .filter(knowledge_base=OuterRef("knowledge_base"), filename=OuterRef("filename"))
        .exclude(replaces=OuterRef("pk"), indexed_at=None)
    )
    free = Document.objects.filter(~Exists(in_the_way), pk__in=held)
    last = free.order_by("knowledge_base_id", "filename", "-deleted_at", "pk")
    last = last.distinct("knowledge_base_id", "filename")
    chosen = list(last.values_list("pk", flat=True)) if held else []
    if not chosen:
        return []
    _drop_replacements(chosen, by)
    unfinished = Q(status__in=[Status.PENDING, Status.PROCESSING])
    restored = Document.objects.filter(pk__in=chosen)
    restored.update(
        deleted_at=None,
        turns=0,
        status=Case(When(unfinished, then=Value(Status.PENDING)), default=F("status")),
        # What is done keeps the count of what it took.
        **{
            name: Case(When(~unfinished, then=F(name)), default=none)
            for name, none in _ALL_TRIES.items()
        },
        **_due(IMMEDIATELY),
    )
    OutboxMessage.objects.filter(document__in=chosen, action=Action.PURGE).delete()
    _record(chosen, "restored", by=by and by.pk)
    if waiting := list(restored.filter(unfinished).values_list("pk", flat=True)):
        _post(waiting, Action.PROCESS)
    return chosen


# --- Going out -----------------------------------------------------------------------------------


def purge_now(document_id: UUID, by: Any) -> bool:
    """A deleted document has no way back from here, and its content goes at once.

    What a worker that has not noticed yet adds after that is an orphan, which nobody is shown and
    the reconciler removes.
    """
    with transaction.atomic():
        deleted = Document.objects.purgeable_now().filter(pk=document_id)
        if not deleted.update(purging_at=Now()):
            return False
        OutboxMessage.objects.filter(document=document_id, action=Action.PURGE).delete()
        _record(document_id, "purge", "at once", by=by.pk)
        _post(document_id, Action.PURGE)
    return True


def remove_all(
    document_ids: Collection[UUID], knowledge_base_id: int, by: int | None
) -> list[UUID]:
    """Whatever they are, they go with their knowledge base, and have no way back from here.

    What a worker has is left until he must have noticed. Returns those that were not purged yet,
    nor about to be.
    """
    with transaction.atomic():
        still_in_it = Document.objects.filter(pk__in=document_ids, knowledge_base=knowledge_base_id)
        if held := _hold(still_in_it.filter(purging_at=None)):
            documents = Document.objects.filter(pk__in=held)
            live = list(documents.live().values_list("pk", flat=True))
            leased = documents.exclude(lease_expires_at=None).values_list("pk", flat=True)
            in_work = set(leased)
            documents.update(
                deleted_at=Coalesce("deleted_at", Now()), purging_at=Now(), **_NO_LEASE
            )
            OutboxMessage.objects.filter(document__in=held).delete()
            _record(live, "deleted", "with its knowledge base", by=by)
            idle = [each for each in held if each not in in_work]
            _post(idle, Action.PURGE, priority=Priority.BULK)
            _post(in_work, Action.PURGE, priority=Priority.BULK, delay=2 * settings.LEASE)
    return held


def begin_purge(document_id: UUID) -> bool:
    """The point of no return: from here a document cannot be restored. May be called again."""
    return bool(
        Document.objects.purgeable()
        .filter(pk=document_id)
        .update(purging_at=Coalesce("purging_at", Now()))
    )


def finish_purge(document_id: UUID) -> bool:
    """The vectors and objects are gone; the passages go now, and the row stays as a tombstone."""
    with transaction.atomic():
        purging = Document.objects.filter(pk=document_id, purged_at=None).exclude(purging_at=None)
        if not purging.update(
            purged_at=Now(), chunk_count=0, indexed_at=None, indexed_epoch=None, **NOTHING_KEPT
        ):
            return False
        Chunk.objects.filter(document_id=document_id).delete()
        TextPart.objects.filter(document_id=document_id).delete()
        PagePicture.objects.filter(document_id=document_id).delete()
        _record(document_id, "purged")
    return True


# --- What the transitions are made of ------------------------------------------------------------

_ALL_TRIES: dict[str, Any] = {
    "attempts": 0,
    "deaths": 0,
    "attempts_kept": 0,
    "deaths_kept": 0,
    "furthest": 0,
    "paced_since": None,
    "paced_count": 0,
}
_NO_LEASE: dict[str, Any] = {
    "lease_expires_at": None,
    "worker": None,
    "stage": "",
    "place": "",
    "progress_count": 0,
    "progress_total": 0,
    "turns": 0,
    "progressed_at": Now(),
}
_PROGRESS_KEPT: dict[str, Any] = {  # a bar never goes back
    "progress_count": F("kept_count"),
    "progress_total": Case(
        When(kept_unit=0, then=F("kept_passages")), default=0, output_field=IntegerField()
    ),
}
NOTHING_KEPT: dict[str, Any] = {
    "fingerprint": "",
    "kept_epoch": None,
    "kept_unit": 1,
    "kept_chars": 0,
    "kept_passages": 0,
    "kept_count": 0,
    "kept_unread": [],
    "paced_since": None,
    "paced_count": 0,
}
_NOTHING_WAITED_FOR: dict[str, Any] = {
    "waiting_for": "",
    "postponed_since": None,
    "failure_code": "",
    "failure_message": "",
}


def _due(delay: timedelta) -> dict[str, Any]:
    return {
        "due_at": Now() + delay,
        "posted_at": Now(),
        "is_posted": False,
        "progressed_at": Now(),
    }


def _leased(claim: Claim) -> Any:
    return Document.objects.leased_by(claim.document_id, claim.epoch)


def _take_instead(first: UUID, refused: UUID, worker: int | None) -> "_Taken | None":
    """The refused one asks again: at once, when the first has been begun in its place."""
    taken = None
    if fairness.can_be_begun(first):
        taken = _take(Document.objects.due().filter(pk=first), worker)
    priority = Document.objects.values_list("priority", flat=True).get(pk=refused)
    delay = IMMEDIATELY if taken else fairness.AGAIN
    _post(refused, Action.PROCESS, priority=priority, delay=delay)
    return taken


class _Taken(NamedTuple):
    pk: UUID
    lease_epoch: int
    attempts: int
    turns: int


def _take(due: Any, worker: int | None) -> _Taken | None:
    taken = updated(
        due,
        ["id", "lease_epoch", "attempts", "turns"],
        status=Status.PROCESSING,
        stage=Stage.FETCH,
        attempts=F("attempts") + 1,
        lease_epoch=F("lease_epoch") + 1,
        lease_expires_at=Now() + settings.LEASE,
        worker=worker,
        waiting_for="",
        # An outage that nobody watched, because nobody was at work, is over.
        postponed_since=Case(
            When(due_at__lt=Now() - settings.STUCK_AFTER, then=None),
            default=F("postponed_since"),
        ),
        claimed_at=Now(),
        progressed_at=Now(),
    )
    return _Taken(*taken[0]) if taken else None


def _given_up(reason: str) -> str:
    return f"Given up after {settings.POSTPONE_GIVE_UP // timedelta(hours=1)} hours: {reason}"


def _fail(documents: Any, claim: Claim, code: str, sentence: str, **changes: Any) -> bool:
    with transaction.atomic():
        failure = {**_NOTHING_WAITED_FOR, "failure_code": code, "failure_message": sentence[:500]}
        changes |= {"status": Status.FAILED, "finished_at": Now()}
        if not documents.update(**failure, **_NO_LEASE, **changes):
            return False
        _record(claim.document_id, "failed", f"{code}: {sentence}", epoch=claim.epoch)
    return True


def _give_back(
    documents: Any, claim: Claim, kind: str, reason: str, delay: timedelta, **changes: Any
) -> bool:
    with transaction.atomic():
        if not documents.update(
            **_NO_LEASE | _PROGRESS_KEPT | _due(delay) | changes,
            status=Status.PENDING,
            paced_since=None,
            waiting_for=reason[:200],
        ):
            return False
        _record(claim.document_id, kind, reason, epoch=claim.epoch)
        priority = Priority.INTERACTIVE if delay else Priority.RESUMED
        _post(claim.document_id, Action.PROCESS, priority=priority, delay=delay)
    return True


def _unchanged(documents: Any, since: datetime | None) -> Any:
    return documents.filter(progressed_at__lte=since) if since else documents


def _hold(documents: Any) -> list[UUID]:
    """Lock the rows for which the guard holds, all in one order so that none deadlocks; as an
    UPDATE does, which lets others refer to them.

    Nobody changes them before this transaction ends: what is read is still so when it is written.
    """
    locked = documents.order_by("pk").select_for_update(no_key=True)
    return list(locked.values_list("pk", flat=True))


def _mark_deleted(documents: Any) -> bool:
    return bool(documents.update(deleted_at=Now(), **_NO_LEASE))


def _delete_held(held: list[UUID], why: str = "", *, by: int | None) -> None:
    _mark_deleted(Document.objects.filter(pk__in=held))
    _record(held, "deleted", why, by=by)
    _post(held, Action.PURGE, delay=settings.PURGE_AFTER)


def _drop_replacements(document_ids: Collection[UUID], by: Any) -> None:
    """Delete what was to replace documents and was never indexed; nothing replaces them any
    more.
    """
    replacements = Document.objects.filter(replaces__in=document_ids, indexed_at=None)
    if held := _hold(replacements.live()):
        _delete_held(held, "what it replaced is back", by=by and by.pk)
    replacements.update(replaces=None)


def _release_replaced(document_ids: Collection[UUID]) -> None:
    """Nothing waits for these replacements any more: what they replaced may be purged."""
    replaced = Document.objects.filter(replacements__in=document_ids, purging_at=None)
    if released := set(replaced.exclude(deleted_at=None).values_list("pk", flat=True)):
        _post(released, Action.PURGE, delay=settings.PURGE_AFTER)


def _insert(document: Document) -> None:
    """Raises DuplicateFilename, without an error in PostgreSQL's log: it is an everyday matter."""
    Document.objects.bulk_create([document], ignore_conflicts=True)
    try:
        document.refresh_from_db(fields=BY_THE_DATABASE)
    except Document.DoesNotExist:
        existing = namesake(document.knowledge_base_id, document.filename)
        raise DuplicateFilename(existing) from None


@contextmanager
def _into_a_knowledge_base() -> Iterator[None]:
    """Around a transaction: a trigger (migration `0023_removal`) lets none into one that is gone,
    and makes who comes at the same time wait. Raises KnowledgeBaseGone.
    """
    try:
        yield
    except IntegrityError as error:
        if _violated(error) != "document_in_a_knowledge_base_that_is_there":
            raise
        raise KnowledgeBaseGone from error


def _is_duplicate(error: IntegrityError) -> bool:
    """Whether this violation is the everyday one; any other is an error of ours."""
    return _violated(error) == "one_live_document_per_filename"


def _violated(error: IntegrityError) -> str | None:
    """The constraint's name."""
    return getattr(getattr(error.__cause__, "diag", None), "constraint_name", None)


def namesake(knowledge_base_id: int, filename: str) -> UUID | None:
    """The id of the live document of that name, if there is one."""
    named = Document.objects.live().filter(knowledge_base_id=knowledge_base_id, filename=filename)
    return named.values_list("pk", flat=True).first()


def _jitter(delay: timedelta) -> timedelta:
    return delay * random.uniform(0.75, 1.25)  # noqa: S311 (spreads load, guards nothing)


def _record(
    documents: UUID | Collection[UUID],
    kind: str,
    detail: str = "",
    *,
    epoch: int | None = None,
    by: Any = None,
) -> None:
    DocumentEvent.add(_all(documents), kind, detail[:500], epoch or 0, by)


def _post(
    documents: UUID | Collection[UUID],
    action: str,
    *,
    priority: int = Priority.INTERACTIVE,
    delay: timedelta = IMMEDIATELY,
) -> None:
    OutboxMessage.add(_all(documents), action, priority, delay)


def _all(documents: UUID | Collection[UUID]) -> Collection[UUID]:
    return [documents] if isinstance(documents, UUID) else documents
