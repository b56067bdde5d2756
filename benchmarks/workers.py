"""Fifty worker processes, half of them killed at once: what is back how soon, and how many
connections and statements all of that takes.

    .venv/bin/python -m benchmarks.workers [--workers 50] [--documents 1000] [--pool 2]

Real worker processes (benchmarks/null_workers.py says what is left out of them), two relays,
reconcile, PostgreSQL as in production, Redis, and Qdrant's engine. First one worker alone, to
compare with. All documents wait before the relays begin; when a quarter of them is READY, every
second worker is killed with SIGKILL.
"""

import argparse
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from statistics import mean
from uuid import UUID, uuid4

import django

from benchmarks.client import percentile
from benchmarks.load import sessions
from benchmarks.starvation import REFUSALS
from deploy.local.application import STOP_SECONDS, worker
from deploy.local.needs import environment
from deploy.local.process import setpriv
from deploy.local.servers import embedded_servers
from tests.e2e.product import wait_for

PATIENCE = 600  # seconds for anything that must happen
ALONE = 12  # documents for the one worker
SHOWN = 0.01  # of a statement for a document, more than with one worker
MANAGE = [sys.executable, "manage.py"]
OPS = {"relay": ["relay"], "second relay": ["relay"], "reconcile": ["reconcile", "--every", "10"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--workers", type=int, default=50)
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--pool", type=int, default=2, help="WORKER_POOL_SIZE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lumikb-workers-") as folder:
        home = Path(folder)
        with embedded_servers(home / "home") as env:
            os.environ |= env | {
                "DJANGO_SETTINGS_MODULE": "lumikb.settings",
                "EMBEDDING_TOKENIZE_URL": "",
                "LOG_LEVEL": "WARNING",
                "WORKER_POOL_SIZE": str(options.pool),
            }
            migrate = environment("migrate", os.environ)
            subprocess.run([*MANAGE, "migrate", "-v0"], env=migrate, check=True)
            django.setup()
            with sessions(os.environ["OPS_DATABASE_URL"]) as seen:
                measure(home, options.workers, options.documents)
        said = (home / "home/servers.log").read_text().splitlines()
    refused = Counter(line for line in said if any(refusal in line for refusal in REFUSALS))
    most = {role: count for role, count in seen.most.items() if role}  # else it just begins
    print(f"most connections: {most}; refused: {dict(refused) or 'none'}")
    assert all("lumikb_worker" in line for line in refused), "ops found no connection"


def measure(home: Path, count: int, documents: int) -> None:
    with work(1, ALONE, home / "alone"):
        wait_for(lambda: ready() == ALONE, PATIENCE, "all to be READY")
    with work(count, documents, home / "many"):
        wait_for(lambda: ready() > ALONE + documents / 4, PATIENCE, "a quarter to be READY")
        at, lost = kill_half()
        wait_for(lambda: ready() == ALONE + documents, PATIENCE, "all to be READY")
    print(f"{count} workers, {documents} documents: all READY")
    print(f"killed {count // 2} workers with {len(lost)} documents in work")
    for name, kind in (("taken back", "reclaimed"), ("READY", "succeeded")):
        after = seconds_until(kind, lost, at)
        p50, p99 = (percentile(after, share) for share in (50, 99))
        print(f"  {name}: {len(after)}, after p50 {p50:.1f} s, p99 {p99:.1f} s")
    alone, many = (per_document(home / name) for name in ("alone", "many"))
    for name, statements in (("one worker", alone), (f"{count} workers", many)):
        print(f"{name}: {sum(statements.values()):.2f} statements for a document of one try")
    for text, share in (many - alone).items():
        if share >= SHOWN:
            print(f"  {share:.2f} more of {text[:60]} ... {text[-60:]}")
    for name in ("alone", "many"):
        print_waits(home / name)


@contextmanager
def work(count: int, documents: int, folder: Path) -> Iterator[None]:
    """So many workers have so many documents to work on, from the beginning of the block."""
    from documents import figures

    folder.mkdir()
    program = worker(environment("worker", os.environ))
    command = [sys.executable, "-m", "benchmarks.null_workers", str(count), str(folder)]
    with ExitStack() as stack:
        stack.enter_context(running([*command, *program.argv[3:]], program.env))
        wait_for(lambda: len(figures.workers([])) == count, PATIENCE, "workers")
        for _ in range(documents):
            register()
        for name, arguments in OPS.items():
            env = environment(name.rpartition(" ")[2], os.environ)
            stack.enter_context(running([*MANAGE, *arguments], env))
        yield


@contextmanager
def running(command: list[str], env: dict[str, str]) -> Iterator[None]:
    """Within the block; no longer than this process."""
    command = [setpriv(), "--pdeathsig=TERM", "--", *command]
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(2 * STOP_SECONDS)


def register() -> None:
    """A document of one passage, stored and registered as an upload does."""
    from django.core.files.base import ContentFile
    from django.core.files.storage import default_storage

    from documents import lifecycle
    from documents.models import Document, KnowledgeBase

    base, _ = KnowledgeBase.objects.get_or_create(name="Workers", slug="workers")
    name = f"{uuid4()}.md"
    content = f"The heron {name} nests in April beside the old mill.\n".encode()
    document = Document(
        knowledge_base=base,
        filename=name,
        content_type="text/markdown",
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    default_storage.save(document.storage_key, ContentFile(content))
    lifecycle.register(document)


def ready() -> int:
    from documents import figures

    return figures.by_status()["ready"]


def kill_half() -> tuple[datetime, set[UUID]]:
    """Every second worker with all that it started; returns when, and what they had in work."""
    from django.utils import timezone

    from documents import figures
    from documents.models import Document

    numbers = [each.number for each in figures.workers([])][::2]
    at = timezone.now()
    for number in numbers:
        os.killpg(number, signal.SIGKILL)
    in_work = Document.objects.filter(status="processing", worker__in=numbers)
    return at, set(in_work.values_list("pk", flat=True))


def seconds_until(kind: str, documents: set[UUID], since: datetime) -> list[float]:
    """How long after that it happened to each of them for the first time."""
    from django.db.models import Min

    from documents.models import DocumentEvent

    events = DocumentEvent.objects.filter(
        document__in=documents, kind=kind, created_at__gt=since
    ).order_by()
    moments = events.values("document").annotate(at=Min("created_at"))
    return [(event["at"] - since).total_seconds() for event in moments]


def per_document(folder: Path) -> Counter[str]:
    """How many of each statement a document of one try took on average, with messages in vain."""
    from documents.models import Document

    once = set(map(str, Document.objects.filter(lease_epoch=1).values_list("pk", flat=True)))
    lines = [line.split(" ", 1) for line in (folder / "statements").read_text().splitlines()]
    noted = [(document, statement) for document, statement in lines if document in once]
    documents = len({document for document, _ in noted})
    counts = Counter(statement for _, statement in noted)
    return Counter({statement: count / documents for statement, count in counts.items()})


def print_waits(folder: Path) -> None:
    """How long the workers' threads, all but the heartbeats, waited for their pool."""
    waits = [1000 * float(line) for line in (folder / "waits").read_text().split()]
    p50, p99 = (percentile(waits, share) for share in (50, 99))
    print(
        f"{folder.name}: {len(waits)} connections taken, waited {mean(waits):.1f} ms on average, "
        f"p50 {p50:.1f}, p99 {p99:.0f}, at most {max(waits):.0f} ms"
    )


if __name__ == "__main__":
    main()
