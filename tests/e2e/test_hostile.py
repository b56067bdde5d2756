"""Hostile files, uploaded to the whole product: each is refused, read, or fails with a sentence; no
worker dies, nothing is fetched, and good documents among them are read as usual.

All of them (over 200) with --full, else one in eleven.
"""

import re
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.e2e.product import Product
from tests.processing import files, hostile

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

AT_ONCE = 2  # of the worker's four threads, so that the good ones among them do not wait in line
TERMINAL_SECONDS = 90  # without the model's, which takes minutes for 1,500 passages
MAX_PARSER_MIB = 1024
USUAL_BAR = 2.0  # a good document's time among hostile ones, by its usual time
TRACES = ("Traceback", 'File "/', "Error:", "Exception")


@dataclass
class Outcome:
    """What became of one upload; `seconds` from its upload to its end, `unembedded` those after
    which it was last seen waiting, or in work but for the model's.
    """

    name: str
    answer: int
    seconds: float = 0.0
    unembedded: float = 0.0
    status: str = ""
    code: str = ""
    said: str = ""
    events: list[str] = field(default_factory=list)


@pytest.fixture
def canary() -> Iterator[tuple[str, list[str]]]:
    """The URL of a web server, and the requests that it got."""
    hits: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hits.append(self.path)
            self.send_error(404)

        do_HEAD = do_POST = do_GET

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/canary", hits
    server.shutdown()
    server.server_close()


def test_hostile_files_harm_nobody(
    product: Product, canary: tuple[str, list[str]], full: bool
) -> None:
    url, hits = canary
    uploads = hostile.documents(url)
    assert len(uploads) >= 200
    uploads = uploads if full else uploads[5::11]
    slug = product.knowledge_base("hostile")
    good = good_documents()
    undisturbed = [put(product, slug, *next(good)).seconds for _ in range(9)]
    workers = product.pids("worker")

    among: list[Outcome] = []
    done = threading.Event()

    def keep_uploading_good_ones() -> None:
        while not done.is_set():
            among.append(put(product, slug, *next(good)))

    neighbour = threading.Thread(target=keep_uploading_good_ones)
    neighbour.start()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        outcomes = list(threads.map(lambda upload: put(product, slug, *upload), uploads))
    done.set()
    neighbour.join()

    undisturbed += [put(product, slug, *next(good)).seconds for _ in range(9)]
    usual = statistics.median(undisturbed)
    memory = parser_memory(product)
    ratio = statistics.median(outcome.seconds for outcome in among) / usual
    report(outcomes, among, usual, memory, len(hits))
    assert product.pids("worker") == workers, "a worker or its fork server died"
    assert not [outcome for outcome in outcomes if "reclaimed" in outcome.events]
    assert not [outcome for outcome in outcomes if outcome.answer >= 500]
    assert not [o for o in outcomes if o.answer == 201 and o.status not in ("ready", "failed")]
    assert not [o for o in outcomes if any(trace in o.said for trace in TRACES)]
    assert max(outcome.unembedded for outcome in outcomes) <= TERMINAL_SECONDS
    assert max(memory) <= MAX_PARSER_MIB
    assert hits == []
    assert {outcome.status for outcome in among} == {"ready"}
    assert ratio < 4  # the bar is 2; this machine is shared


def put(product: Product, slug: str, name: str, content: bytes) -> Outcome:
    """Upload a file and wait for its end."""
    began = time.monotonic()
    answer = product.api.post(f"knowledge-bases/{slug}/documents", files={"file": (name, content)})
    outcome = Outcome(name, answer.status_code, said=answer.text)
    if answer.status_code == 201:
        document_id = answer.json()["id"]
        while outcome.status not in ("ready", "failed"):
            if outcome.unembedded > TERMINAL_SECONDS:
                break
            time.sleep(0.05)
            document = product.document(document_id)
            outcome.status, outcome.code = document["status"], document["failure_code"]
            outcome.said = f"{document['explain']} {document['failure_message']}"
            if document["stage"] != "embed" and outcome.status not in ("ready", "failed"):
                outcome.unembedded = time.monotonic() - began
        outcome.events = product.events(document_id)
    outcome.seconds = time.monotonic() - began
    return outcome


def good_documents() -> Iterator[tuple[str, bytes]]:
    """One of each format in turn, without end, each under a name of its own."""
    number = 0
    while True:
        for name, content in files.samples().values():
            number += 1
            yield f"good {number} {name}", content


def parser_memory(product: Product) -> list[int]:
    """MiB, the most that each parser had, as the kernel told the fork server."""
    log = product.log.read_text()
    return [int(found) for found in re.findall(r"read for .* with at most (\d+) MiB", log)]


def report(
    outcomes: list[Outcome], among: list[Outcome], usual: float, memory: list[int], hits: int
) -> None:
    refused = [outcome for outcome in outcomes if 400 <= outcome.answer < 500]
    ready = [outcome for outcome in outcomes if outcome.status == "ready"]
    failed = Counter(outcome.code for outcome in outcomes if outcome.status == "failed")
    slowest = sorted(outcomes, key=lambda outcome: -outcome.seconds)[:5]
    times = [outcome.seconds for outcome in among]
    print(
        f"\n{len(outcomes)} hostile files: {len(refused)} refused, {len(ready)} ready, "
        f"{failed.total()} failed: {dict(failed.most_common())}"
    )
    print("slowest: " + ", ".join(f"{o.name[:40]} {o.seconds:.1f} s" for o in slowest))
    print(f"highest memory of a parser: {max(memory)} MiB; canary hits: {hits}")
    print(
        f"{len(among)} good documents among them: usually {usual:.2f} s, now median "
        f"{statistics.median(times):.2f} s ({statistics.median(times) / usual:.1f} times), "
        f"slowest {max(times):.2f} s ({max(times) / usual:.1f} times; bar {USUAL_BAR})"
    )
