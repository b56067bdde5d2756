"""Workers that are stopped in the midst of a document, and go on when another has finished it."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice

import pytest

from tests.e2e.audit import Audit
from tests.e2e.lab import PATIENCE, Lab
from tests.e2e.product import wait_for
from tests.e2e.stores import assert_exact

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2 * PATIENCE)]

FAILPOINTS = [
    f"worker.{step}"
    for step in (
        *("counted", "batch_embedded", "batch_indexed"),  # what a small run has of them
        *("fetched", "parsed", "text_stored", "trimmed"),
    )
]


@dataclass
class Zombie:
    """A worker process that is stopped at a failpoint with a document in work."""

    name: str  # the program's
    failpoint: str
    document: str
    epoch: int  # of its claim
    stopped_at: float  # monotonic


def test_a_worker_that_was_stopped_too_long_writes_nothing_more(
    lab: Callable[..., Lab], full: bool
) -> None:
    rounds, size, seconds = (5, 10, 60) if full else (1, 2, 10)
    ward = lab(WORKERS=str(size + 1), MAX_DEATHS="9")
    content = ward.text(70 if full else 10)  # three batches
    undisturbed = ward.undisturbed(content)
    audit = Audit(ward.stores)
    failpoints = cycle(FAILPOINTS)
    for _ in range(rounds):
        zombies = [stop_at(failpoint, ward, content) for failpoint in islice(failpoints, size)]
        assert len({zombie.name for zombie in zombies}) == size
        documents = [zombie.document for zombie in zombies]
        ward.product.wait_until_ready(documents, PATIENCE)
        time.sleep(max(0, zombies[-1].stopped_at + seconds - time.monotonic()))
        wait_for(ward.has_no_messages, PATIENCE, "the messages to be taken")

        before, last = {each: ward.stores.held(each) for each in documents}, audit.last()
        for zombie in zombies:
            ward.failpoints.go(zombie.failpoint, document=zombie.document)
            ward.product.signal(zombie.name, signal.SIGCONT)
        for zombie in zombies:
            wait_for(lambda: stopped_work(ward, zombie), PATIENCE, f"{zombie} to stop work")  # noqa: B023
        time.sleep(2)  # anything more that it might do

        assert audit.since(last, documents) == []
        assert audit.stale(documents) == []
        for document in documents:
            held = ward.stores.held(document)
            assert held == before[document]
            # On a busy machine one that is stopped next may have taken it in between.
            claims = held.row["attempts"]
            again = ["reclaimed", "claimed"] * (claims - 1)
            assert claims > 1
            assert held.kinds() == ["registered", "claimed", *again, "succeeded"]
            assert_exact(held, undisturbed)
    print(
        f"\n{rounds * size} workers stopped for {seconds} s, each document finished by another: "
        "rows, passages and events written by the late ones: 0; points exact"
    )


def stop_at(failpoint: str, ward: Lab, content: bytes) -> Zombie:
    """Let the next worker stop there; the document is due to be taken from it."""
    with ward.without("relay"):
        document = ward.upload(content)
        ward.failpoints.set(failpoint, "hang", document=document)
    wait_for(lambda: not ward.failpoints.pending(failpoint, document=document), PATIENCE, failpoint)
    name = ward.name_of(ward.failpoints.taken(failpoint, document=document).pid)
    ward.product.signal(name, signal.SIGSTOP)
    epoch = int(ward.stores.held(document).row["lease_epoch"])
    return Zombie(name, failpoint, document, epoch, time.monotonic())


def stopped_work(ward: Lab, zombie: Zombie) -> bool:
    """Has it said so, of this document?"""
    return f"[{zombie.document}] lost the lease of epoch {zombie.epoch}: stopped" in ward.log()
