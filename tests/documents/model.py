"""What the lifecycle should do, said once more in plain Python: the model of test_stateful.py.

A transition answers as the real one does, changes the model's documents, and notes its events. All
times are whole hours: `due=2` is in two hours, `posted=2` was two hours ago.
"""

from dataclasses import dataclass, field
from uuid import UUID

from documents.lifecycle import Claim

MAX_ATTEMPTS = 3
MAX_DEATHS = 2
LEASE = 3
RETRY_BACKOFF = OUTAGE_BACKOFF = 1
RETRY_BACKOFF_MAX = OUTAGE_BACKOFF_MAX = 2
LONGEST_WISH = 4
UNWATCHED = 5
POSTPONE_GIVE_UP = 4
REPOST_AFTER = 2
STUCK_AFTER = 5
PURGE_AFTER = 3
READ_CHARS = 10
MISSED_BEAT = 2  # with so little left of a lease its worker has not renewed it in time

ALIVE, GONE = 1, 2  # two workers' numbers: only the first one's session is there


@dataclass(eq=False)
class Doc:
    """A document's row, its messages and its passages."""

    id: UUID
    filename: str
    replaces: "Doc | None" = None
    status: str = "pending"
    attempts: int = 0
    deaths: int = 0
    attempts_kept: int = 0  # forgiven, because it has got on since
    deaths_kept: int = 0
    furthest: int = 0
    turns: int = 0  # in a row
    epoch: int = 0
    reading: int | None = None  # the epoch in which the one under way began
    kept: int = 0  # passages of it that are in the index
    lease: int | None = None
    worker: int | None = None
    due: int = 0
    posted: int = 0
    progressed: int = 0
    was_reposted: bool = False  # and nothing has happened since
    postponed: int | None = None
    failure: str = ""
    indexed: int | None = None  # the epoch of the worker that wrote the passages
    chunks: int = 0
    deleted: int | None = None
    deletion: int = 0  # its number among all
    is_purging: bool = False
    is_purged: bool = False
    outbox: list[tuple[str, int]] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<{self.filename} {str(self.id)[:4]}>"

    @property
    def is_live(self) -> bool:
        return self.deleted is None

    @property
    def is_deleted(self) -> bool:
        return not self.is_live

    @property
    def is_finished(self) -> bool:
        return self.is_live and self.status in ("ready", "failed")

    @property
    def is_read(self) -> bool:
        return self.reading is not None

    @property
    def is_leased(self) -> bool:
        return self.lease is not None

    @property
    def is_silent(self) -> bool:
        return self.lease is not None and self.lease <= 0

    @property
    def hangs(self) -> bool:
        return self.is_silent or (self.is_live and self.status == "pending")

    @property
    def is_due(self) -> bool:
        return self.is_live and self.status == "pending" and self.due <= 0

    @property
    def is_unposted(self) -> bool:
        return self.is_due and self.posted >= REPOST_AFTER and not self.outbox

    def post(self, action: str, delay: int = 0) -> None:
        self.outbox.append((action, delay))

    def go_on(self) -> None:
        """Something happens to it."""
        self.progressed, self.was_reposted = 0, False

    def wait(self, delay: int = 0) -> None:
        self.go_on()
        self.due, self.posted = delay, 0

    def stop(self) -> None:
        """No worker has it any more."""
        self.go_on()
        self.lease = self.worker = None
        self.turns = 0

    def get_on(self) -> None:
        """The tries before this are forgiven, if it was never as far."""
        far = (READ_CHARS if self.reading is not None else 0) + self.kept
        if far > self.furthest:
            self.furthest = far
            self.attempts_kept, self.deaths_kept = self.attempts - 1, self.deaths

    def forgive_all(self) -> None:
        self.attempts = self.deaths = self.attempts_kept = self.deaths_kept = self.furthest = 0

    def give_back(self, delay: int = 0) -> None:
        self.stop()
        self.wait(delay)
        self.status = "pending"
        self.post("process", delay)

    def age(self, hours: int) -> None:
        self.due -= hours
        self.posted += hours
        self.progressed += hours
        self.lease = None if self.lease is None else self.lease - hours
        self.postponed = None if self.postponed is None else self.postponed + hours
        self.deleted = None if self.deleted is None else self.deleted + hours
        self.outbox = [(action, due - hours) for action, due in self.outbox]


@dataclass
class Away:
    """A service that is away."""

    failures: int = 0
    since: int = 0
    failed: int = 0
    retry: int = 0  # nobody asks before

    def age(self, hours: int) -> None:
        self.since += hours
        self.failed += hours
        self.retry -= hours


class Model:
    def __init__(self) -> None:
        self.documents: dict[UUID, Doc] = {}
        self.events: list[tuple[UUID, str]] = []  # those of the last transition
        self.outages: dict[str, Away] = {}
        self.started = 1000  # hours since PostgreSQL did
        self.deletions = 0

    def age(self, hours: int) -> None:
        """So much time passes."""
        self.started += hours
        for thing in [*self.documents.values(), *self.outages.values()]:
            thing.age(hours)

    def namesake(self, filename: str) -> Doc | None:
        for doc in self.documents.values():
            if doc.is_live and doc.filename == filename:
                return doc
        return None

    def is_awaited(self, old: Doc) -> bool:
        """Has it a replacement that is to come?"""
        docs = self.documents.values()
        return any(doc.replaces is old and doc.is_live and doc.indexed is None for doc in docs)

    def is_searchable(self, doc: Doc) -> bool:
        shown = doc.is_live or self.is_awaited(doc)
        return shown and not doc.is_purging and doc.indexed is not None

    def is_purgeable(self, doc: Doc) -> bool:
        overdue = doc.deleted is not None and doc.deleted >= PURGE_AFTER
        return overdue and not doc.is_purged and not self.is_awaited(doc)

    def is_abandoned(self, doc: Doc) -> bool:
        if doc.lease is None or self.started < LEASE:
            return False
        return doc.is_silent or (doc.worker == GONE and doc.lease <= MISSED_BEAT)

    def is_given_up(self, doc: Doc) -> bool:
        waited = doc.progressed if doc.postponed is None else doc.postponed
        lasts = any(away.since - away.failed >= POSTPONE_GIVE_UP for away in self.outages.values())
        waits = doc.is_live and doc.status == "pending"
        return waits and waited >= POSTPONE_GIVE_UP and lasts

    def holder(self, claim: Claim) -> Doc | None:
        """The document, if the claim is not stale."""
        doc = self.documents[claim.document_id]
        held = doc.is_live and doc.status == "processing" and doc.epoch == claim.epoch
        return doc if held else None

    # --- Coming in -----------------------------------------------------------------------------

    def register(self, new: Doc) -> Doc:
        """The new document, or the one that has its name."""
        if namesake := self.namesake(new.filename):
            return namesake
        self._insert(new)
        return new

    def replace(self, old: Doc, new: Doc) -> Doc | None:
        if not old.is_live:
            return None
        namesake = self.namesake(new.filename)
        if namesake and namesake is not old:
            return namesake
        self._delete(old, "replaced")
        if old.indexed is None:
            new.replaces = old.replaces
            old.post("purge", PURGE_AFTER)
        else:
            new.replaces = old
        self._insert(new)
        return new

    # --- The worker's way ------------------------------------------------------------------------

    def claim(self, doc: Doc, worker: int | None) -> Claim | None:
        if not doc.is_due:
            return None
        if any(away.retry > 0 for away in self.outages.values()):
            doc.post("process")
            return None
        for away in self.outages.values():  # this one asks whether it is back
            away.retry = LEASE
        if doc.due <= -STUCK_AFTER:
            doc.postponed = None
        doc.go_on()
        doc.status, doc.lease, doc.worker = "processing", LEASE, worker
        doc.attempts += 1
        doc.epoch += 1
        if not doc.turns:
            self._note(doc, "claimed")
        return Claim(doc.id, doc.epoch, doc.attempts, is_probe=bool(self.outages))

    def renew(self, claims: list[Claim]) -> set[Claim]:
        held = {claim for claim in claims if self.holder(claim)}
        for claim in held:
            self.documents[claim.document_id].lease = LEASE
        return held

    def progress(self, claim: Claim) -> bool:
        if doc := self.holder(claim):
            doc.go_on()
        return bool(doc)

    def read(self, claim: Claim) -> bool:
        """Its text and two passages are read and kept, if they are not yet."""
        if doc := self.holder(claim):
            doc.go_on()
            if doc.reading is None:
                doc.reading, doc.kept = claim.epoch, 0
            doc.get_on()
        return bool(doc)

    def keep(self, claim: Claim) -> bool:
        """One of them is in the index."""
        if doc := self.holder(claim):
            doc.go_on()
            doc.kept = 1
            doc.get_on()
        return bool(doc)

    def forget(self, claim: Claim) -> bool:
        if doc := self.holder(claim):
            doc.reading = None
        return bool(doc)

    def yield_turn(self, claim: Claim) -> bool:
        if doc := self.holder(claim):
            turns = doc.turns
            doc.give_back()
            doc.attempts -= 1
            doc.turns = turns + 1
        return bool(doc)

    def succeed(self, claim: Claim, chunks: int, kept: bool = False) -> bool:
        if doc := self.holder(claim):
            doc.stop()
            doc.status, doc.postponed = "ready", None
            doc.indexed, doc.chunks = (doc.reading if kept else claim.epoch), chunks
            doc.reading, doc.kept = None, 0
            self._note(doc, "succeeded")
            self._release_replaced(doc)
        return bool(doc)

    def fail(self, claim: Claim, code: str) -> bool:
        if doc := self.holder(claim):
            self._fail(doc, code)
        return bool(doc)

    def retry_later(self, claim: Claim, code: str, tries: int | None) -> bool:
        if doc := self.holder(claim):
            tried = doc.attempts - doc.attempts_kept
            if tried >= (tries or MAX_ATTEMPTS):
                self._fail(doc, code)
            else:
                doc.give_back(min(RETRY_BACKOFF * 2 ** (tried - 1), RETRY_BACKOFF_MAX))
                self._note(doc, "retried")
        return bool(doc)

    def postpone(self, claim: Claim, service: str, wish: int | None) -> bool:
        if doc := self.holder(claim):
            delay = self._failed(service, wish, claim.is_probe) if service else OUTAGE_BACKOFF
            waited = doc.postponed or 0
            if waited >= POSTPONE_GIVE_UP:
                self._fail(doc, "service_unavailable")
            else:
                doc.give_back(max(delay, min(waited, 2 * OUTAGE_BACKOFF_MAX)))
                doc.attempts -= 1
                doc.postponed = waited
                self._note(doc, "postponed")
        return bool(doc)

    def over(self) -> None:
        self.outages.clear()

    def hand_back(self, claim: Claim) -> bool:
        if doc := self.holder(claim):
            doc.give_back()
            doc.attempts -= 1
            self._note(doc, "handed_back")
        return bool(doc)

    # --- Healing ---------------------------------------------------------------------------------

    def reclaim(self, doc: Doc, epoch: int) -> bool:
        if doc.lease is None or not self.is_abandoned(doc) or doc.epoch != epoch:
            return False
        if LEASE - doc.lease > self.started:  # PostgreSQL was away since the last renewal
            doc.give_back()
            doc.attempts -= 1
            self._note(doc, "reclaimed")
            return True
        doc.deaths += 1
        tried = doc.attempts - doc.attempts_kept
        if doc.deaths - doc.deaths_kept >= MAX_DEATHS or tried >= MAX_ATTEMPTS:
            self._fail(doc, "worker_died")
        else:
            doc.give_back()
            self._note(doc, "reclaimed")
        return True

    def give_up(self, doc: Doc) -> bool:
        if not self.is_given_up(doc):
            return False
        self._fail(doc, "service_unavailable")
        return True

    def repost(self, doc: Doc) -> bool:
        if not doc.is_unposted:
            return False
        if not doc.was_reposted:
            self._note(doc, "reposted")
        doc.posted, doc.was_reposted = 0, True
        doc.post("process")
        return True

    def repost_purge(self, doc: Doc) -> bool:
        if not self.is_purgeable(doc) or doc.outbox:
            return False
        doc.post("purge")
        return True

    # --- People ----------------------------------------------------------------------------------

    def requeue(self, doc: Doc) -> bool:
        if not doc.is_finished:
            return False
        self._begin_anew(doc, "requeued")
        return True

    def unstick(self, doc: Doc) -> bool:
        if not doc.hangs:
            return False
        self._begin_anew(doc, "unstuck")
        return True

    def soft_delete(self, doc: Doc) -> bool:
        if not doc.is_live:
            return False
        self._delete(doc, "deleted")
        doc.post("purge", PURGE_AFTER)
        self._release_replaced(doc)
        return True

    def restore(self, doc: Doc) -> Doc | None:
        """The document, or the one that has its name by now; None when it cannot be restored."""
        if doc.is_live or doc.is_purging:
            return None
        replacements = [new for new in self.documents.values() if new.replaces is doc]
        replacements = [new for new in replacements if new.indexed is None]
        namesake = self.namesake(doc.filename)
        if namesake and namesake not in replacements:
            return namesake
        for new in replacements:
            if new.is_live:
                self._delete(new, "deleted")
                new.post("purge", PURGE_AFTER)
            new.replaces = None
        doc.deleted, doc.turns = None, 0
        doc.outbox = [message for message in doc.outbox if message[0] != "purge"]
        doc.wait()
        if doc.status in ("pending", "processing"):
            doc.status = "pending"
            doc.forgive_all()
            doc.post("process")
        self._note(doc, "restored")
        return doc

    # --- The same for a set: the ids of those for which the guard held, in their order -----------

    def requeue_all(self, docs: list[Doc]) -> list[UUID]:
        return [doc.id for doc in docs if self.requeue(doc)]

    def unstick_all(self, docs: list[Doc]) -> list[UUID]:
        return [doc.id for doc in docs if self.unstick(doc)]

    def soft_delete_all(self, docs: list[Doc]) -> list[UUID]:
        gone = [doc for doc in docs if doc.is_live]
        for doc in gone:
            self._delete(doc, "deleted")
            doc.post("purge", PURGE_AFTER)
        for old in {id(doc.replaces): doc for doc in gone}.values():
            self._release_replaced(old)
        return [doc.id for doc in gone]

    def restore_all(self, docs: list[Doc]) -> list[UUID]:
        """Of those that share a name the one that was deleted last."""
        deleted = [doc for doc in docs if not doc.is_live and not doc.is_purging]
        free = [doc for doc in deleted if self.namesake(doc.filename) in (None, *self._drops(doc))]
        chosen: dict[str, Doc] = {}
        for doc in free:
            best = chosen.setdefault(doc.filename, doc)
            if doc.deletion > best.deletion:
                chosen[doc.filename] = doc
        back = [doc for doc in docs if doc in chosen.values()]
        for doc in back:
            for new in self._drops(doc):
                if new.is_live:
                    self._delete(new, "deleted")
                    new.post("purge", PURGE_AFTER)
        for doc in back:
            for new in self._drops(doc):
                new.replaces = None
        for doc in back:
            assert self.restore(doc) is doc
        return [doc.id for doc in back]

    def _drops(self, doc: Doc) -> list[Doc]:
        """What was to replace it and was never indexed."""
        news = [new for new in self.documents.values() if new.replaces is doc]
        return [new for new in news if new.indexed is None]

    # --- Going out -------------------------------------------------------------------------------

    def begin_purge(self, doc: Doc) -> bool:
        may = self.is_purgeable(doc)
        doc.is_purging |= may
        return may

    def finish_purge(self, doc: Doc) -> bool:
        if not doc.is_purging or doc.is_purged:
            return False
        doc.is_purged, doc.indexed, doc.chunks = True, None, 0
        doc.reading, doc.kept = None, 0
        self._note(doc, "purged")
        return True

    # --- What the transitions are made of --------------------------------------------------------

    def _insert(self, new: Doc) -> None:
        self.documents[new.id] = new
        new.post("process")
        self._note(new, "registered")

    def _delete(self, doc: Doc, kind: str) -> None:
        doc.stop()
        self.deletions += 1
        doc.deleted, doc.deletion = 0, self.deletions
        self._note(doc, kind)

    def _fail(self, doc: Doc, code: str) -> None:
        doc.stop()
        doc.status, doc.failure, doc.postponed = "failed", code, None
        self._note(doc, "failed")

    def _begin_anew(self, doc: Doc, kind: str) -> None:
        doc.give_back()
        doc.forgive_all()
        doc.postponed, doc.failure = None, ""
        self._note(doc, kind)

    def _release_replaced(self, new: Doc) -> None:
        old = new.replaces
        if old and not old.is_live and not old.is_purging:
            old.post("purge", PURGE_AFTER)

    def _failed(self, service: str, wish: int | None, is_probe: bool) -> int:
        """The service is away; for how long nobody is to ask it."""
        away = self.outages.setdefault(service, Away())
        if is_probe or not away.failures:
            backoff = OUTAGE_BACKOFF * 2**away.failures
            if away.failed >= UNWATCHED:
                away.since = 0
            away.retry = max(min(backoff, OUTAGE_BACKOFF_MAX), min(wish or 0, LONGEST_WISH))
            away.failures += 1
            away.failed = 0
        return max(away.retry, 0)

    def _note(self, doc: Doc, kind: str) -> None:
        self.events.append((doc.id, kind))
