"""What the clients were told: the truth against which the product is judged.

An answer is a fact. A request without an answer may have happened, may not have, and may still
happen much later (a stopped process wakes up): a document that one was about may be either.
"""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from threading import Lock

from tests.chaos.contents import Content


class Violation(Exception):
    """A promise that was broken: its class, and what was seen."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail


class Fate(Enum):
    LIVE = "live"
    DELETED = "deleted"
    EITHER = "either"  # a delete, a replacement or a restoration had no answer
    REMOVED = "removed"  # with its knowledge base


@dataclass(slots=True)
class Acknowledged:
    """A document that a client knows to exist. Times are monotonic seconds."""

    id: str
    slug: str
    filename: str
    content: Content
    fate: Fate = Fate.LIVE
    known_at: float = field(default_factory=time.monotonic)
    gone_at: float | None = None  # its deletion was acknowledged, and no restoration was asked for
    ready_at: float | None = None  # a client has seen it READY
    replaced_by: "Acknowledged | None" = None


@dataclass(slots=True)
class Attempts:
    """One content under one name: how often it was sent, and how often that had no answer."""

    content: Content
    sent: int = 0
    unanswered: int = 0


@dataclass
class Model:
    """Safe to use from several threads; each document is changed by one client only."""

    documents: dict[str, Acknowledged] = field(default_factory=dict)
    attempts: dict[tuple[str, str], dict[str, Attempts]] = field(default_factory=dict)
    removed: dict[str, bool] = field(default_factory=dict)  # knowledge bases; was it answered?
    figures: Counter[str] = field(default_factory=Counter)
    _lock: Lock = field(default_factory=Lock)

    def count(self, figure: str, number: int = 1) -> None:
        with self._lock:
            self.figures[figure] += number

    def sending(self, slug: str, filename: str, content: Content) -> None:
        """An upload, or a replacement, is about to be sent."""
        with self._lock:
            named = self.attempts.setdefault((slug, filename), {})
            named.setdefault(content.sha256, Attempts(content)).sent += 1

    def no_answer(self, slug: str, filename: str, content: Content) -> None:
        with self._lock:
            self.attempts[slug, filename][content.sha256].unanswered += 1

    def perhaps(self, slug: str, filename: str, sha256: str) -> Content | None:
        """What was sent under this name with this digest, and may have arrived unanswered."""
        sent = self.attempts.get((slug, filename), {}).get(sha256)
        return sent.content if sent and sent.unanswered else None

    def may_have_arrived(self, slug: str, filename: str) -> bool:
        """Was anything sent under this name that had no answer?"""
        sent = self.attempts.get((slug, filename), {})
        return any(attempts.unanswered for attempts in sent.values())

    def accept(self, document: Acknowledged) -> Acknowledged:
        """The client was told that this document exists. Raises Violation for a second live one."""
        with self._lock:
            if document.id in self.documents:
                raise Violation("duplicate", f"the id {document.id} was given twice")
            for other in self._named(document.slug, document.filename):
                if other.fate is Fate.LIVE:
                    raise Violation(
                        "duplicate",
                        f"{document.id} was accepted as “{document.filename}” beside {other.id}",
                    )
            self.documents[document.id] = document
        return document

    def named(self, slug: str, filename: str) -> list[Acknowledged]:
        with self._lock:
            return list(self._named(slug, filename))

    def removing(self, slug: str) -> None:
        """A knowledge base is about to be deleted: nobody knows of its documents any more."""
        with self._lock:
            self.removed[slug] = False
            for document in self.documents.values():
                if document.slug == slug:
                    document.fate = Fate.REMOVED

    def was_removed(self, slug: str) -> None:
        """That was answered."""
        with self._lock:
            self.removed[slug] = True
            for document in self.documents.values():
                if document.slug == slug:
                    document.gone_at = time.monotonic()

    def gone(self) -> set[str]:
        """Documents that no search that begins now may find."""
        now = time.monotonic()
        with self._lock:
            return {document.id for document in self.documents.values() if _is_gone(document, now)}

    def __len__(self) -> int:
        return len(self.documents)

    def _named(self, slug: str, filename: str) -> Iterator[Acknowledged]:
        for document in self.documents.values():
            if (document.slug, document.filename) == (slug, filename):
                yield document


def _is_gone(document: Acknowledged, now: float) -> bool:
    if document.gone_at is not None:
        return True
    # A replaced document is found until its replacement was seen READY.
    new = document.replaced_by
    return (
        document.fate is Fate.DELETED
        and new is not None
        and new.fate is Fate.LIVE
        and new.ready_at is not None
        and new.ready_at < now
    )
