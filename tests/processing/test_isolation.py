"""Who must be alone is alone, and nobody waits for ever."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from documents import lifecycle
from documents.models import Document, OutboxMessage
from processing import actors, isolation, relay

MakeDocument = Callable[..., Document]


class Guest(threading.Thread):
    """Somebody in the room, until told to go."""

    def __init__(self, alone: bool = False) -> None:
        super().__init__(daemon=True)
        self.alone = alone
        self.inside = threading.Event()
        self.go = threading.Event()
        self.start()

    def run(self) -> None:
        with isolation.room(self.alone) as has_room:
            if has_room:
                self.inside.set()
                self.go.wait(10)

    def leave(self) -> None:
        self.go.set()
        self.join(10)


@contextmanager
def guests(*alone: bool) -> Iterator[list[Guest]]:
    """They come one after the other."""
    present: list[Guest] = []
    try:
        for each in alone:
            present.append(Guest(each))
            present[-1].inside.wait(0.3)
        yield present
    finally:
        for guest in present:
            guest.leave()


def inside(present: list[Guest]) -> list[bool]:
    return [guest.inside.is_set() for guest in present]


def test_ordinary_documents_are_processed_together() -> None:
    with guests(False, False, False) as present:
        assert inside(present) == [True, True, True]


def test_who_must_be_alone_waits_for_the_others_and_keeps_new_ones_out() -> None:
    with guests(False, True, False) as present:
        assert inside(present) == [True, False, False]
        present[0].leave()
        assert present[1].inside.wait(5)
        assert not present[2].inside.wait(0.3)
        present[1].leave()
        assert present[2].inside.wait(5)


def test_two_who_must_be_alone_are_not_together() -> None:
    with guests(True, True) as present:
        assert inside(present) == [True, False]
        present[0].leave()
        assert present[1].inside.wait(5)


def test_who_waited_too_long_goes_and_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "PATIENCE", 0.2)
    with guests(False, True) as present:
        present[1].join(5)
        assert not present[1].inside.is_set()
        with isolation.room(alone=False) as has_room:
            assert has_room


@pytest.mark.django_db
def test_a_document_at_its_last_chance_is_posted_to_be_alone(
    make_document: MakeDocument, broker: Any
) -> None:
    for deaths in (1, 2):
        document = make_document(f"{deaths}.md")
        Document.objects.filter(pk=document.pk).update(deaths=deaths)
        if deaths == 2:
            OutboxMessage.objects.filter(document=document).update(priority=10)  # the later one
    relay.post_due()
    messages = broker.consume(actors.QUEUE, prefetch=10, timeout=50)
    assert [next(messages).kwargs for _ in range(2)] == [{}, {"alone": True}]


@pytest.mark.django_db
def test_a_message_that_found_no_room_leaves_its_document_as_it_was(
    make_document: MakeDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "PATIENCE", 0.0)
    document = make_document()
    actors.process.fn(str(document.pk))
    document.refresh_from_db()
    assert (document.status, document.lease_epoch) == ("pending", 0)
    assert lifecycle.claim(document.pk)


def test_an_older_message_begins_no_last_chance_beside_others(
    make_document: Callable[..., Document], settings: Any
) -> None:
    """Redis gives what a dead worker had taken to another one, and may do so late."""
    document = make_document()
    last = settings.MAX_DEATHS - 1
    Document.objects.filter(pk=document.pk).update(deaths=last + 1, deaths_kept=1)
    actors.process.fn(str(document.pk))
    document.refresh_from_db()
    assert (document.status, document.lease_epoch) == ("pending", 0)
    actors.process.fn(str(document.pk), alone=True)
    document.refresh_from_db()
    assert document.lease_epoch == 1
