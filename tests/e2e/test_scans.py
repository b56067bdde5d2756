"""A long scan whose worker is killed: no page is read twice but the one of each kill, and another
user's notes do not wait for it.

Only with --full: the product of the small runs recognises no text, and starts sooner for it.
"""

import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.lab import PATIENCE, Lab, figures
from tests.e2e.product import wait_for
from tests.e2e.test_fairness import neighbour, until_ready
from tests.processing import scans

__all__ = ["neighbour"]

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2 * PATIENCE)]

PAGES, KILLS, NOTES = 60, 3, 10


@pytest.fixture(scope="module")
def ward(lab: Callable[..., Lab], full: bool) -> Lab:
    if not full:
        pytest.skip("recognises the text of 60 pages: only with --full")
    return lab(WORKERS="2")


def test_each_page_is_recognised_once_but_for_one_of_each_kill(
    ward: Lab, neighbour: object
) -> None:
    content = scans.pdf([scans.page(f"{scans.ENGLISH}\n\nSheet {n}") for n in range(1, PAGES + 1)])
    idle = [until_ready(ward, neighbour) for _ in range(NOTES)]
    began = time.monotonic()
    document = ward.upload(content, ".pdf")
    ward.failpoints.set("worker.text_stored", "note", document=document, always=True)
    done = threading.Event()

    def upload_notes() -> list[float]:
        times = []
        while not done.is_set():
            times.append(until_ready(ward, neighbour))
        return times

    with ThreadPoolExecutor(1) as pool:
        notes = pool.submit(upload_notes)
        try:
            for kill in range(1, KILLS + 1):
                share = kill * PAGES // (KILLS + 1)
                wait_for(lambda: read(ward, document) >= share, PATIENCE, "the pages")  # noqa: B023
                ward.failpoints.set("worker.piece_read", "kill", document=document)
                wait_for(
                    lambda: not ward.failpoints.pending("worker.piece_read", document=document),
                    PATIENCE,
                    "the kill",
                )
            ward.product.wait_until_ready([document], 2 * PATIENCE)
        finally:
            done.set()
        behind = notes.result()

    held = ward.stores.held(document)
    times_read = read(ward, document) + KILLS  # who was killed had read one and stored nothing
    print(f"\n{PAGES} pages, {KILLS} kills: READY after {time.monotonic() - began:.0f} s,")
    print(f"{times_read} pages read\n{figures('idle', idle)}\n{figures('behind it', behind)}")
    assert {passage["page"] for passage in held.passages} == set(range(1, PAGES + 1))
    assert all(passage["recognised"] for passage in held.passages)
    assert PAGES <= times_read <= PAGES + KILLS
    assert held.row["deaths"] == KILLS
    assert statistics.median(behind) <= 2 * statistics.median(idle)
    assert max(behind) <= max(idle) + 5


def read(ward: Lab, document: str) -> int:
    """How often a page of it was read and stored."""
    return len(ward.failpoints.noted(f"worker.text_stored@{document}"))
