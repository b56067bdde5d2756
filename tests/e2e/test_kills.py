"""The worker, the relay and the web are killed at every one of their failpoints."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
import pytest

from benchmarks.client import percentile
from tests.e2e.lab import PATIENCE, Lab, figures, lived
from tests.e2e.product import wait_for
from tests.e2e.stores import Held, assert_exact
from tests.failpoints import names

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2 * PATIENCE)]

RESTARTED_AT_ONCE = 31  # seconds after its start, a process that dies is started without a delay
# What the client is told that sends the file again: nothing was stored, or the document was.
UPLOAD_KILLS = {"upload.stored": 201, "upload.registered": 409}


@dataclass
class Ward:
    """Where documents are hurt, and what is known of those that were not."""

    lab: Lab
    target: bytes  # of two batches
    neighbour: bytes  # of three
    undisturbed: dict[bytes, Held]
    usual: float  # seconds that the two take together
    claims: list[float] = field(default_factory=list)  # seconds from each kill to the next claim
    recoveries: list[float] = field(default_factory=list)  # ... and to READY
    neighbours: int = 0  # so many died with another document's worker


@pytest.fixture(scope="module")
def ward(lab: Callable[..., Lab], full: bool) -> Ward:
    here = lab(PURGE_AFTER_HOURS="0", RECONCILE_EVERY="5")
    target, neighbour = (here.text(40), here.text(70)) if full else (here.text(6), here.text(10))
    undisturbed = {content: here.undisturbed(content) for content in (target, neighbour)}
    with here.without("relay"):
        both = [here.upload(neighbour), here.upload(target)]
    began = time.time()
    usual = max(here.ready_at(both).values()) - began
    return Ward(here, target, neighbour, undisturbed, usual)


@pytest.mark.parametrize("failpoint", names("worker."))
def test_a_document_survives_the_kill_of_its_worker_at(
    failpoint: str, ward: Ward, full: bool
) -> None:
    for _ in range(5 if full else 1):
        if full:
            let_live(ward.lab, "worker")
        ward.recoveries += kill_at(failpoint, ward)


def test_the_documents_of_killed_workers_are_ready_soon(ward: Ward, full: bool) -> None:
    """How soon is judged in the long run only, which has the machine to itself.

    What is recovered is the work: it takes as long again as ever, which is the model's time.
    """
    if not ward.recoveries:
        pytest.skip("no worker was killed in this run")
    print(f"\n{figures('from the kill of a worker to the next claim', ward.claims)}")
    print(figures("from the kill of a worker to READY", ward.recoveries))
    print(f"undisturbed, the two together: {ward.usual:.1f} s")
    print(f"of these, in work beside the document at the failpoint: {ward.neighbours}")
    if full:
        assert percentile(ward.claims, 50) <= 5
        assert percentile(ward.claims, 99) <= 10
        assert percentile(ward.recoveries, 50) <= ward.usual + 10
    assert percentile(ward.recoveries, 99) <= (30 if full else PATIENCE)


@pytest.mark.parametrize("failpoint", names("upload."))
def test_a_client_whose_upload_was_cut_off_may_send_it_again(failpoint: str, ward: Ward) -> None:
    answer = UPLOAD_KILLS[failpoint]
    url = f"knowledge-bases/{ward.lab.slug}/documents"
    name = ward.lab.new_name()
    ward.lab.failpoints.set(failpoint, "kill")
    with pytest.raises(httpx.TransportError):
        ward.lab.product.api.post(url, files={"file": (name, b"Herons.\n")})
    rows = "SELECT id FROM documents_document WHERE filename = %s"
    assert len(ward.lab.stores.sql(rows, name)) == (0 if answer == 201 else 1)
    again = ward.lab.product.api.post(url, files={"file": (name, b"Herons.\n")})
    assert again.status_code == answer
    [row] = ward.lab.stores.sql(rows, name)
    ward.lab.product.wait_until_ready([str(row["id"])], PATIENCE)


@pytest.mark.parametrize("failpoint", names("relay."))
def test_a_killed_relay_makes_no_document_be_processed_twice(failpoint: str, ward: Ward) -> None:
    with ward.lab.without("reconcile"):  # which would reclaim too, and sometimes first
        with ward.lab.without("relay"):
            document = ward.lab.upload(b"Herons.\n")
            if failpoint == "relay.reclaiming":  # somebody must have vanished
                ward.lab.failpoints.set("worker.parsed", "kill", document=document)
            ward.lab.failpoints.set(failpoint, "kill")
        wait_for(
            lambda: not ward.lab.failpoints.pending(failpoint), PATIENCE, f"a relay at {failpoint}"
        )
    ward.lab.product.wait_until_ready([document], PATIENCE)
    wait_for(ward.lab.has_no_messages, PATIENCE, "the messages to be taken")
    time.sleep(0.5)  # what they make a worker do takes milliseconds
    died = ["claimed", "reclaimed"] if failpoint == "relay.reclaiming" else []
    held = ward.lab.stores.held(document)
    assert held.kinds() == ["registered", *died, "claimed", "succeeded"]
    assert len(held.points) == len(held.passages) == 1


def test_what_is_deleted_is_purged_in_the_end_wherever_its_worker_is_killed(ward: Ward) -> None:
    points = names("purge.")
    documents = {ward.lab.upload(b"Herons.\n"): failpoint for failpoint in points}
    ward.lab.product.wait_until_ready(documents, PATIENCE)
    for document, failpoint in documents.items():
        ward.lab.failpoints.set(failpoint, "kill", document=document)
        ward.lab.product.api.delete(f"documents/{document}").raise_for_status()
        # One after the other: a worker killed for one may have another whose last step PostgreSQL
        # has, and which then never comes to its failpoint.
        wait_for(
            lambda: not ward.lab.failpoints.pending(failpoint, document=document),  # noqa: B023
            PATIENCE,
            failpoint,
        )

    left = "SELECT id FROM documents_document WHERE id = ANY(%s) AND purged_at IS NULL"
    wait_for(lambda: not ward.lab.stores.sql(left, list(documents)), PATIENCE, "all to be purged")
    for document in documents:
        held = ward.lab.stores.held(document)
        assert (held.passages, held.points, held.objects) == ([], {}, [])
        assert held.kinds().count("purged") == 1


def kill_at(failpoint: str, ward: Ward) -> list[float]:
    """Kill the worker of one document, which may have another in work too.

    Returns the seconds to READY for each that was killed; after `worker.succeeded`, when nothing is
    left to do, for the next one.
    """
    lab, finished = ward.lab, failpoint == "worker.succeeded"
    with lab.without("relay"):
        neighbour, target = lab.upload(ward.neighbour), lab.upload(ward.target)
        lab.failpoints.set(failpoint, "kill", document=target)
    wait_for(lambda: not lab.failpoints.pending(failpoint, document=target), PATIENCE, failpoint)
    killed_at = lab.failpoints.taken(failpoint, document=target).at
    following = [lab.upload(b"Herons.\n")] if finished else []
    ready_at = lab.ready_at([target, neighbour, *following])

    assert_exact(lab.stores.held(target), ward.undisturbed[ward.target])
    assert_exact(lab.stores.held(neighbour), ward.undisturbed[ward.neighbour])
    assert deaths(lab, target) == (0 if finished else 1)
    killed = following or [target]
    if deaths(lab, neighbour):
        killed.append(neighbour)
        ward.neighbours += 1
    ward.claims += [claimed_at(lab, document) - killed_at for document in killed]
    return [ready_at[document] - killed_at for document in killed]


def deaths(lab: Lab, document: str) -> int:
    """How often a READY document's worker died, by its row and by its timeline alike: 0 or 1."""
    held = lab.stores.held(document)
    count = int(held.row["deaths"])
    assert held.row["attempts"] == count + 1
    again = ["reclaimed", "claimed"] * count
    assert held.kinds() == ["registered", "claimed", *again, "succeeded"]
    assert count <= 1
    return count


def claimed_at(lab: Lab, document: str) -> float:
    """When it was claimed last, in seconds since 1970."""
    events = lab.stores.held(document).events
    return float(max(e["created_at"] for e in events if e["kind"] == "claimed").timestamp())


def let_live(lab: Lab, name: str) -> None:
    """Until its death is no longer one of a series, for which the supervisor waits longer."""
    process = lab.processes()[name]
    wait_for(lambda: lived(process) > RESTARTED_AT_ONCE, PATIENCE, f"{name} to have lived")
