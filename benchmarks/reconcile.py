"""How long `manage.py reconcile` takes over many documents that are whole, and how much memory.

    .venv/bin/python -m benchmarks.reconcile [--documents 100000]

Everything is really there, on servers of its own: for each document a row, a passage, a point in
Qdrant, and on the disk its original and its text. Only the processing is left out: rows and points
are written in bulk. Then as many documents again, and the second run's time by the first's.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import django

from deploy.local.application import acting_as
from deploy.local.servers import embedded_servers
from tests.e2e.product import descendants

BATCH = 1000
DIMENSIONS = 8  # of the points: what is compared is how many there are
MAX_MEMORY_MB = 300
MAX_RATIO = 2.2  # the time for twice as many documents


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--documents", type=int, default=100_000)
    count = parser.parse_args().documents
    with (
        tempfile.TemporaryDirectory(prefix="lumikb-reconcile-") as home,
        embedded_servers(Path(home)) as env,
    ):
        os.environ |= acting_as("OPS", env) | {
            "EMBEDDING_DIMENSIONS": str(DIMENSIONS),
            "DJANGO_SETTINGS_MODULE": "lumikb.settings",
            "LOG_LEVEL": "WARNING",
        }
        migrate = [sys.executable, "manage.py", "migrate", "-v0"]
        subprocess.run(migrate, env=acting_as("OWNER", dict(os.environ)), check=True)
        django.setup()
        first = measure(count)
        second = measure(count)
    ratio, of_cpu = (after / before for before, after in zip(first, second, strict=True))
    print(f"twice: {ratio:.2f} times the seconds, {of_cpu:.2f} of processor (bar {MAX_RATIO})")
    assert ratio < MAX_RATIO


def measure(more: int) -> tuple[float, float]:
    """Make so many documents more, and reconcile them all; returns seconds, and of processors."""
    from documents.models import Chunk, Document

    began = time.monotonic()
    for start in range(0, more, BATCH):
        make_documents(min(BATCH, more - start))
    making = time.monotonic() - began
    documents, chunks = Document.objects.count(), Chunk.objects.count()
    points = count_points()
    files = sum(len(names) for _, _, names in os.walk(os.environ["STORAGE_ROOT"]))
    assert documents == chunks == points == files / 2
    print(
        f"{documents} documents, {chunks} passages, {points} points, {files} files "
        f"(made {more} in {making:.0f} s)"
    )
    # Of two runs the quicker one: whatever else this machine does makes them only slower.
    runs = reconcile(), reconcile()
    report, seconds, _, peak_mb = min(runs, key=itemgetter(1))
    cpu_seconds = min(run[2] for run in runs)
    for row in report["findings"]:
        assert (row["found"], row["skipped"]) == (0, ""), row
        if row["seconds"] is not None:
            print(f"  {row['check']:<32}{row['seconds']:>8.1f} s")
    print(f"  {'in all':<32}{seconds:>8.1f} s")
    print(f"  {'processor time, with servers':<32}{cpu_seconds:>8.1f} s")
    print(f"  {'peak memory':<32}{peak_mb:>8.0f} MB (bar {MAX_MEMORY_MB})")
    assert peak_mb < MAX_MEMORY_MB
    return seconds, cpu_seconds


def reconcile() -> tuple[dict[str, Any], float, float, float]:
    """The report, its seconds without the start of Python, the seconds of processor that it and the
    servers used, which other programs do not change, and the process's largest megabytes."""
    before = servers_cpu()
    process = subprocess.Popen(
        [sys.executable, "manage.py", "reconcile", "--json"], stdout=subprocess.PIPE
    )
    assert process.stdout
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, printed
    report = json.loads(printed)
    began, ended = (datetime.fromisoformat(report[name]) for name in ("started_at", "finished_at"))
    cpu = usage.ru_utime + usage.ru_stime + servers_cpu() - before
    return report, (ended - began).total_seconds(), cpu, usage.ru_maxrss / 1024


def servers_cpu() -> float:
    """Seconds of processor of all the servers so far, their ended children too."""
    ticks = 0
    for pid in descendants(os.getpid())[1:]:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def make_documents(count: int) -> None:
    from django.db import connection

    from documents.models import Chunk, Document, KnowledgeBase
    from processing.index import vectors

    # Ten knowledge bases, whose keys sort as text: 10 before 2.
    number = random.randrange(1, 11)
    knowledge_base, _ = KnowledgeBase.objects.get_or_create(
        pk=number, defaults={"name": str(number), "slug": str(number)}
    )
    documents = [whole_document(knowledge_base.pk) for _ in range(count)]
    Document.objects.bulk_create(documents)
    chunk_ids = {document.pk: Chunk.id_for(document.pk, 0) for document in documents}
    Chunk.objects.bulk_create(
        Chunk(id=pk, document_id=document_id, position=0, text="A heron.", start=0, end=8)
        for document_id, pk in chunk_ids.items()
    )
    connection.close()
    # One call for the points of many documents: the product's own writes those of one.
    vectors._client().upsert(collection(), list(points(chunk_ids, knowledge_base.pk)), wait=True)
    for document in documents:
        folder = Path(os.environ["STORAGE_ROOT"], document.storage_prefix)
        folder.mkdir(parents=True)
        Path(folder, "original").write_bytes(b"A heron.")
        Path(folder, "text-1").write_bytes(b"A heron.")


def whole_document(knowledge_base_id: int) -> Any:
    from django.db.models.functions import Now

    from documents.models import Document, Status

    pk = uuid4()
    return Document(
        pk=pk,
        knowledge_base_id=knowledge_base_id,
        filename=f"{pk}.md",
        content_type="text/markdown",
        size=8,
        sha256="0" * 64,
        status=Status.READY,
        attempts=1,
        lease_epoch=1,
        indexed_epoch=1,
        indexed_at=Now(),
        chunk_count=1,
    )


def collection() -> str:
    """The collection in use, made as the product makes it."""
    from processing.index import vectors

    if not vectors._client().collection_exists(vectors.collection()):
        vectors._create()
    return vectors.collection()


def points(chunk_ids: dict[UUID, UUID], knowledge_base_id: int) -> Iterator[Any]:
    from qdrant_client.models import PointStruct, SparseVector

    from processing.index.vectors import DENSE, SPARSE

    for document_id, pk in chunk_ids.items():
        dense = [random.uniform(-1, 1) for _ in range(DIMENSIONS)]
        words = SparseVector(indices=[random.randrange(1000)], values=[1.0])
        payload = {
            "knowledge_base": str(knowledge_base_id),
            "document": str(document_id),
            "position": 0,
        }
        yield PointStruct(id=str(pk), vector={DENSE: dense, SPARSE: words}, payload=payload)


def count_points() -> int:
    from processing.index import vectors

    return vectors._client().count(collection(), exact=True).count


if __name__ == "__main__":
    main()
