"""Every process of ours is restarted in good order, again and again, under load."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain

import httpx
import pytest

from deploy.local.servers import SERVERS
from tests.e2e.lab import PATIENCE, Lab
from tests.e2e.product import wait_for
from tests.local.conftest import running

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(2 * PATIENCE)]

BAR_SECONDS = 25  # for a stop


def test_rolling_restarts_lose_nothing_and_charge_no_try(
    lab: Callable[..., Lab], full: bool
) -> None:
    rounds, every = (20, 30) if full else (1, 0)
    ward = lab(WORKERS="2", RELAYS="2")
    programs = [name for name in ward.processes() if name not in (*SERVERS, "supervisor")]
    stops: dict[str, list[float]] = {name: [] for name in programs}
    client = Client(ward, pause=0.5 if full else 2)
    with client.uploading():
        for _ in range(rounds):
            next_at = time.monotonic() + every
            begin_long_document(ward, client, full)
            for name in programs:
                stops[name].append(restart(ward, name))
            time.sleep(max(0, next_at - time.monotonic()))
    documents = ward.stores.sql(
        "SELECT id::text, filename FROM documents_document WHERE filename = ANY(%s)",
        list(client.acknowledged),
    )
    assert Counter(row["filename"] for row in documents) == Counter(client.acknowledged)
    ward.product.wait_until_ready([row["id"] for row in documents], PATIENCE)

    held = [ward.stores.held(row["id"]) for row in documents]
    kinds = Counter(chain.from_iterable(each.kinds() for each in held))
    slowest = {name: round(max(seconds), 1) for name, seconds in stops.items()}
    print(
        f"\n{rounds} rolling restarts of {len(programs)} processes, {len(documents)} documents: "
        f"slowest stops {slowest} s; {dict(kinds)}; {client.cut} requests refused or cut"
    )
    assert {each.row["attempts"] for each in held} == {1}
    assert {each.row["deaths"] for each in held} == {0}
    assert set(kinds) <= {"registered", "claimed", "handed_back", "succeeded"}
    assert kinds["handed_back"], "no worker was stopped in the midst of a document"
    assert kinds["succeeded"] == len(documents)
    assert max(chain.from_iterable(stops.values())) <= BAR_SECONDS


class Client:
    """Uploads, and sends again what was refused or cut off, as a good client does."""

    def __init__(self, ward: Lab, pause: float) -> None:
        """`pause`: seconds between two uploads."""
        self.acknowledged: set[str] = set()
        self.cut = 0
        self._ward = ward
        self._pause = pause

    def upload(self, content: bytes) -> str:
        """Returns the file's name when the product has said that it has it."""
        name = self._ward.new_name()
        url = f"knowledge-bases/{self._ward.slug}/documents"
        was_cut = False
        while True:
            try:
                answer = self._ward.product.api.post(url, files={"file": (name, content)})
            except httpx.TransportError:
                self.cut += 1
                was_cut = True
                time.sleep(0.1)
                continue
            # 409: it was stored, but the answer was cut off.
            assert answer.status_code in ([201, 409] if was_cut else [201]), answer.text
            self.acknowledged.add(name)
            return name

    @contextmanager
    def uploading(self) -> Iterator[None]:
        """Small documents, all the time."""
        stop = threading.Event()
        errors: list[BaseException] = []

        def upload() -> None:
            try:
                while not stop.wait(self._pause):
                    self.upload(b"Herons.\n")
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=upload)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        assert errors == []


def begin_long_document(ward: Lab, client: Client, full: bool) -> None:
    """Returns when a worker is in the midst of it.

    It has 300 passages and more. A small run saves time: the document's first worker hangs.
    """
    with ward.without("relay"):
        name = client.upload(ward.text(330 if full else 10))
        [row] = ward.stores.sql("SELECT id::text FROM documents_document WHERE filename = %s", name)
        if not full:
            ward.failpoints.set("worker.batch_indexed", "hang", document=row["id"])
    wait_for(
        lambda: ward.product.document(row["id"])["stage"] == "embed",
        PATIENCE,
        "the long document to be in work",
    )


def restart(ward: Lab, name: str) -> float:
    """Ask a program to stop; it is started again. Returns the seconds to its end."""
    pid = ward.processes()[name]
    os.kill(pid, signal.SIGTERM)
    seconds = wait_for(lambda: not running(pid), PATIENCE, f"{name} to stop")
    wait_for(lambda: ward.processes().get(name, pid) != pid, PATIENCE, f"{name} to start")
    return seconds
