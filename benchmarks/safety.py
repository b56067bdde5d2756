"""What the safety costs: documents a minute with it and without it, in turn on the same machine.

    .venv/bin/python -m benchmarks.safety [--documents 60] [--rounds 4]

Without it: files are read in this process, no thread renews leases, nothing is hashed again, and
nobody trims and counts the points. The rest is the product's own code in either case, with four
threads as a worker has, on servers of its own. A third each: 5 KB of Markdown, PDFs of three pages,
DOCX. The ratio of the processor's seconds is beside it, which other programs do not change.

Beside both, the rawest loop over the same files: read, cut and embed, four at a time, with nothing
stored, written or looked for.
"""

import argparse
import hashlib
import io
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import django

from benchmarks.latency import note
from benchmarks.reconcile import servers_cpu
from deploy.local.application import acting_as
from deploy.local.servers import embedded_servers
from tests.processing import files

THREADS = 4  # deploy/local/application.py
BAR = 0.8  # of the documents a minute without it
RAW_BAR = 0.85  # of those of the rawest loop


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--documents", type=int, default=60, help="in each round")
    parser.add_argument("--rounds", type=int, default=4, help="of each kind")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="lumikb-safety-") as home,
        embedded_servers(Path(home)) as env,
    ):
        os.environ |= acting_as("WORKER", env) | {
            "DJANGO_SETTINGS_MODULE": "lumikb.settings",
            "LOG_LEVEL": "WARNING",
        }
        migrate = [sys.executable, "manage.py", "migrate", "-v0"]
        subprocess.run(migrate, env=acting_as("OWNER", dict(os.environ)), check=True)
        django.setup()
        measure(options.documents, options.rounds)


def measure(count: int, rounds: int) -> None:
    process(count // 3, safe)  # imports, and starts what stays: left out
    process(count // 3, unsafe)
    raw(count // 3)
    taken: dict[Callable[..., Any], list[tuple[float, float]]] = {safe: [], unsafe: [], raw: []}
    print("docs/min, CPU s:     with              without                raw")
    for number in range(rounds):
        # Each is first in every other round.
        for way in (safe, unsafe) if number % 2 else (unsafe, safe):
            taken[way].append(process(count, way))
        taken[raw].append(raw(count))
        latest = (runs[-1] for runs in taken.values())
        columns = (f"{60 * count / seconds:12.1f} {cpu:8.1f}" for seconds, cpu in latest)
        print(f"{number + 1:<5} {'   '.join(columns)}")
    with_it, without, rawest = (
        [sum(column) for column in zip(*runs, strict=True)] for runs in taken.values()
    )
    for name, (seconds, cpu), bar in (("without", without, BAR), ("raw", rawest, RAW_BAR)):
        speed = seconds / with_it[0]
        print(f"with / {name}: {speed:.2f} of the documents a minute (bar {bar}),", end=" ")
        print(f"{with_it[1] / cpu:.2f} of the processor's seconds")
    assert without[0] / with_it[0] >= BAR
    assert rawest[0] / with_it[0] >= RAW_BAR


def process(count: int, way: Callable[[], Any]) -> tuple[float, float]:
    """Make new documents READY; returns seconds, and those of the processors, servers' too."""
    from documents.models import Document, Status
    from processing import actors

    documents = [register(number) for number in range(count)]
    began, used = time.monotonic(), cpu_seconds()
    with way(), ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(actors.process.fn, map(str, documents)))
    seconds, cpu = time.monotonic() - began, cpu_seconds() - used
    ready = Document.objects.filter(pk__in=documents, status=Status.READY)
    assert ready.count() == count
    return seconds, cpu


def raw(count: int) -> tuple[float, float]:
    """Read, cut and embed as many files; returns seconds, and those of the processors."""
    from django.conf import settings

    from processing import chunking
    from processing.index import embeddings, tokens
    from processing.parsing import ParsedDocument, Section, child

    def work(kind_and_content: tuple[str, bytes]) -> None:
        content_type, content = kind_and_content
        answer: Any = child.answer(io.BytesIO(content), content_type)
        sections = tuple(Section(*section) for section in answer["sections"])
        parsed = ParsedDocument(answer["text"], sections)
        passages = chunking.split(parsed, settings.CHUNK_MAX_CHARS, tokens.passage_fits)
        embeddings.embed([each.text for each in passages])

    contents = [made(number) for number in range(count)]
    began, used = time.monotonic(), cpu_seconds()
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(work, contents))
    return time.monotonic() - began, cpu_seconds() - used


def cpu_seconds() -> float:
    own = os.times()
    return own.user + own.system + servers_cpu()


def register(number: int) -> UUID:
    """Store a document as an upload does; every third is of the same type."""
    from django.core.files.base import ContentFile
    from django.core.files.storage import default_storage

    from documents import lifecycle
    from documents.models import Document, KnowledgeBase

    content_type, content = made(number)
    knowledge_base, _ = KnowledgeBase.objects.get_or_create(slug="safety", name="Safety")
    document = Document(
        knowledge_base=knowledge_base,
        content_type=content_type,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    document.filename = str(document.pk)
    default_storage.save(document.storage_key, ContentFile(content))
    return lifecycle.register(document).pk


def made(number: int) -> tuple[str, bytes]:
    """A content type and a document of that type with words of its own."""
    text = note(number)
    paragraphs = text.decode().split("\n\n")
    match number % 3:
        case 0:
            return files.MARKDOWN, text
        case 1:
            pages = [paragraphs[start::3] for start in range(3)]
            return files.PDF, files.pdf(["\n".join(wrapped(page)) for page in pages])
        case _:
            return files.DOCX, files.docx([("Normal", each) for each in paragraphs])


def wrapped(paragraphs: list[str]) -> Iterator[str]:
    """Lines that a page is wide enough for."""
    for paragraph in paragraphs:
        yield from (paragraph[start : start + 90] for start in range(0, len(paragraph), 90))


@contextmanager
def safe() -> Iterator[None]:
    """The product as it is, with the heartbeat of a worker process."""
    from processing import heartbeat

    stop = threading.Event()
    thread = threading.Thread(target=heartbeat.run, args=[stop])
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def unsafe() -> Iterator[None]:
    """The same without the sandbox, the heartbeat and the verification."""
    from processing import heartbeat, parsing, pipeline
    from processing.index import vectors

    passages: dict[UUID, int] = {}
    with ExitStack() as patches:
        for target, name, instead in (
            (parsing, "pieces", read_here),
            (heartbeat, "hold", lambda *claim: nullcontext(lease_for_ever(*claim))),
            (pipeline, "fetch", fetch_unchecked),
            (vectors, "trim", lambda document_id, keep, name: passages.update({document_id: keep})),
            (vectors, "count", passages.__getitem__),
        ):
            patches.enter_context(patch.object(target, name, instead))
        yield


def lease_for_ever(*claim: Any) -> Any:
    from processing.heartbeat import Lease

    lease = Lease(*claim)
    lease.renewed = math.inf
    return lease


def read_here(path: Path, content_type: str, **limits: Any) -> Iterator[Any]:
    from processing.parsing import Piece, Section, child

    answer: Any = child.answer(io.BytesIO(path.read_bytes()), content_type)
    sections = tuple(Section(*section) for section in answer["sections"])
    yield Piece(answer["text"], sections, (), 0, "")


def fetch_unchecked(document: Any, copy: Any) -> None:
    from django.core.files.storage import default_storage

    with default_storage.open(document.storage_key) as original:
        for block in original.chunks():
            copy.write(block)
    copy.flush()


if __name__ == "__main__":
    main()
