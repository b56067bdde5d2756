"""A long document is worked on in turns and read in pieces: nothing is done twice, and no memory
grows with it.
"""

import itertools
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.lab import PATIENCE, Lab
from tests.e2e.product import wait_for
from tests.e2e.stores import assert_exact
from tests.e2e.test_fairness import paced

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2 * PATIENCE)]

HOUR = 3600
MiB = 1024**2
BATCH = 32  # passages in --full; the product of the small run has 4
LONGEST_TRANSACTION = 2.0  # seconds: what others wait for, on a busy machine


@pytest.fixture(scope="module")
def ward(lab: Callable[..., Lab]) -> Lab:
    return lab(
        WORKERS="1",
        TURN_SECONDS="30",
        EMBEDDING_BATCH_SIZE=str(BATCH),
        UPLOAD_MAX_BYTES=str(512 * MiB),
    )


@pytest.fixture
def pace(ward: Lab) -> Iterator[Callable[[float], None]]:
    """Sets the seconds that the embedding service takes for a passage."""
    usual = ward.embedding.stub.answer

    def set_pace(seconds: float) -> None:
        ward.embedding.stub.answer = paced(seconds)

    yield set_pace
    ward.embedding.stub.answer = usual


@pytest.mark.parametrize("kills", [5, 0])
def test_each_passage_is_embedded_once_but_for_the_batch_of_each_kill(
    kills: int, ward: Lab, pace: Callable[[float], None], full: bool
) -> None:
    pages, seconds = (1000, 0.5) if full else (14, 0.05)
    kills = kills if full else min(kills, 2)
    pace(seconds)
    content = long_pdf(pages, 30 if full else 6)
    undisturbed = None if full else ward.undisturbed(content, ".pdf")
    calls = len(ward.embedding.stub.calls)
    document = ward.upload(content, ".pdf")
    bar: list[float] = []
    batch = BATCH if full else 4

    def is_ready() -> bool:
        found = ward.product.document(document)
        if found["progress_total"]:
            bar.append(found["progress_count"] / found["progress_total"])
        return bool(found["status"] == "ready")

    for kill in range(1, kills + 1):
        share = kill / (kills + 1)
        wait_for(lambda: is_ready() or bar[-1:] >= [share], HOUR, f"{share:.0%}")  # noqa: B023
        ward.failpoints.set("worker.batch_embedded", "kill", document=document)
        wait_for(
            lambda: (
                is_ready()
                or not ward.failpoints.pending("worker.batch_embedded", document=document)
            ),
            HOUR,
            "the kill",
        )
    wait_for(is_ready, HOUR, lambda: str(ward.product.document(document)))

    held = ward.stores.held(document)
    texts = [text for call in ward.embedding.stub.calls[calls:] for text in call.json["input"]]
    extra = len(texts) - len(held.passages)
    print(f"\n{len(held.passages)} passages, {kills} kills: {extra} embedded once more than needed")
    assert 0 <= extra <= kills * batch
    assert max(Counter(texts).values()) <= kills + 1
    assert bar == sorted(bar)
    assert held.row["deaths"] == kills
    assert held.row["attempts"] == kills + 1
    assert held.kinds() == ["registered", "claimed", *["reclaimed", "claimed"] * kills, "succeeded"]
    if undisturbed:
        assert_exact(held, undisturbed)


def test_the_memory_of_the_worker_does_not_grow_with_the_document(
    ward: Lab, pace: Callable[[float], None], full: bool
) -> None:
    pace(0)
    pages, lines, filling = (20_000, 10, 15_000) if full else (400, 2, 1000)
    ward.undisturbed(long_pdf(20, lines, filling), ".pdf")
    before = peak(ward)
    began = time.monotonic()
    document = ward.upload(long_pdf(pages, lines, filling), ".pdf")
    longest = 0.0

    def is_ready() -> bool:
        nonlocal longest
        longest = max(longest, longest_transaction(ward))
        return bool(ward.product.document(document)["status"] == "ready")

    wait_for(is_ready, HOUR, lambda: str(ward.product.document(document)))
    grown = (peak(ward) - before) / MiB
    held = ward.stores.held(document)
    print(
        f"\n{pages} pages: READY after {time.monotonic() - began:.0f} s, {len(held.passages)} "
        f"passages, {grown:.0f} MiB more at the worker's peak, "
        f"longest transaction {longest:.2f} s"
    )
    assert {passage["page"] for passage in held.passages} == set(range(1, pages + 1))
    assert held.row["attempts"] == 1
    assert grown <= 100
    assert longest <= LONGEST_TRANSACTION


def long_pdf(pages: int, lines: int, filling: int = 0) -> bytes:
    """A passage for 10 lines of each page, for 2 in the small run, and so many bytes beside it that
    nobody reads.
    """
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"",
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
    ]
    kids = []
    for number in range(1, pages + 1):
        shown = " T* ".join(
            f"(The heron number {number} {line} nests beside the mill; the ferryman counts it.) Tj"
            for line in range(lines)
        )
        stream = f"BT /F1 12 Tf 14 TL 50 780 Td {shown} ET".encode()
        kids.append(b"%d 0 R" % (len(objects) + 1))
        objects.append(
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</Font<</F1 3 0 R>>>>"
            b"/Contents %d 0 R>>" % (len(objects) + 2)
        )
        objects.append(b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream))
        if filling:
            objects.append(b"<</Length %d>>stream\n%s\nendstream" % (filling, os.urandom(filling)))
    objects[1] = b"<</Type/Pages/Count %d/Kids[%s]>>" % (pages, b" ".join(kids))
    parts = [b"%d 0 obj%s endobj\n" % each for each in enumerate(objects, 1)]
    head = b"%PDF-1.4\n"
    offsets = list(itertools.accumulate(map(len, parts), initial=len(head)))
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets[:-1])
    size = len(objects) + 1
    return b"".join(
        [
            head,
            *parts,
            b"xref\n0 %d\n0000000000 65535 f \n" % size,
            table,
            b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (size, offsets[-1]),
        ]
    )


def peak(ward: Lab) -> int:
    """Bytes of the largest of the workers; their parsers are processes of their own."""
    processes = ward.processes()
    found = []
    for name in ward.workers():
        status = Path(f"/proc/{processes[name]}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
        found.append(int(line.split()[1]) * 1024)
    return max(found)


def longest_transaction(ward: Lab) -> float:
    """Seconds, of those that are open now."""
    [row] = ward.stores.sql(
        "SELECT coalesce(extract(epoch FROM max(now() - xact_start)), 0)::float8 AS age"
        " FROM pg_stat_activity WHERE usename = 'lumikb_worker' AND state <> 'idle'"
    )
    return float(row["age"])
