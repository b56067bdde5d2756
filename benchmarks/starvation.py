"""Strangers take every connection that PostgreSQL has: who still gets in, and what becomes late.

    .venv/bin/python -m benchmarks.starvation [--minutes 10]

300 idle connections of another user are tried for, after those of the application are taken to the
limits of its roles; what is refused is tried for again and again. Meanwhile 64 clients upload at
once every 20 s. The relay and the reconciler have the reserved connections: neither may be late.
"""

import argparse
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from benchmarks.client import percentile
from benchmarks.latency import note
from benchmarks.load import Answer, Target, in_bursts, once, statuses
from deploy.local.home import secrets_of
from tests.e2e.product import Product, wait_for
from tests.failpoints import Directory

CONTENT = note(1)[:800]  # one passage
PATIENCE = 300  # seconds for anything that must happen, on the busiest machine
STRANGERS = 300
CLIENTS = 64
BURST_EVERY = 20.0  # seconds
TICK = 1.0  # seconds between two looks of a relay into the outbox (processing/relay.py)
RETRY = 0.05  # seconds between two of a hoarder's tries
REFUSALS = ("too many clients", "too many connections", "connection slots are reserved")
OPS = ("relay", "reconcile")
LIMITS = """
    SELECT rolname, rolconnlimit FROM pg_roles WHERE rolname IN ('lumikb_web', 'lumikb_worker')
    ORDER BY rolname
"""


@dataclass(frozen=True)
class Starved:
    """What was seen. Times in seconds."""

    held: dict[str, int]  # connections that the hoarders had in the end, by role
    answers: list[Answer]
    tick_ages: Sequence[float]  # at every tenth of a second: since the last tick of a relay
    pauses: Sequence[float]  # between the end of a reconcile run and the next one's start
    refused: int  # times that relay or reconcile found no connection

    @property
    def accepted(self) -> list[str]:
        return [answer.document_id for answer in self.answers if answer.status == 201]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    minutes = parser.parse_args().minutes
    every = 10
    # A window that is never full, so that each tick goes all the way to PostgreSQL.
    env = {"RECONCILE_EVERY": str(every), "RELAYS": "2", "RELAY_WINDOW": "10000"}
    with running("starvation", **env) as (product, failpoints):
        slug = product.knowledge_base("starvation")
        seen = starve(product, failpoints, slug, 60 * minutes)
        ages = [percentile(list(seen.tick_ages), share) for share in (50, 99, 100)]
        lost = len(seen.accepted) - ready(product, seen.accepted)
    late = sum(pause > 2 * every for pause in seen.pauses)
    slowest = max(answer.seconds for answer in seen.answers)
    print(f"held: {seen.held}")
    print("age of a relay's last tick: p50 {:.2f} s, p99 {:.2f} s, max {:.2f} s".format(*ages))
    print(f"reconcile runs: {len(seen.pauses) + 1}, late: {late}, pause {max(seen.pauses):.1f} s")
    print(f"connections refused to relay and reconcile: {seen.refused}")
    print(f"uploads: {statuses(seen.answers)}; slowest {slowest:.1f} s; lost: {lost}")
    assert ages[1] <= 2 * TICK
    assert (late, seen.refused, lost) == (0, 0, 0)
    assert {answer.status for answer in seen.answers} <= {201, 503}


@contextmanager
def running(name: str, **env: str) -> Iterator[tuple[Product, Directory]]:
    """A product of its own, with two workers, and what happens at its failpoints."""
    with tempfile.TemporaryDirectory(prefix=f"lumikb-{name}-") as folder:
        actions = Path(folder) / "failpoints"
        actions.mkdir()
        settings = {"DJANGO_SETTINGS_MODULE": "tests.settings", "FAILPOINTS": str(actions)}
        product = Product(Path(folder) / "home", **settings, **env, WORKERS="2")
        product.start()
        try:
            yield product, Directory(actions)
        finally:
            product.stop()


def target(product: Product, slug: str) -> Target:
    """Where to upload to this knowledge base, as the first user."""
    token = (product.home / "api-token").read_text().strip()
    return Target(product.port, f"/api/v1/knowledge-bases/{slug}/documents", token)


def starve(
    product: Product, failpoints: Directory, slug: str, seconds: float, clients: int = CLIENTS
) -> Starved:
    """Take every connection of the product's PostgreSQL for so long, under load."""
    log = product.home.with_name(f"{product.home.name}.log")
    said = log.stat().st_size
    # Those who came before the strangers keep what they have: every process has one at least.
    warm_up = once(target(product, slug), clients, CONTENT)
    ready(product, [answer.document_id for answer in warm_up])
    with hoarded(product) as held:
        began = time.time()
        failpoints.set("relay.taken", "note", always=True)
        stop = threading.Event()
        end = threading.Timer(seconds, stop.set)
        end.start()
        every = min(seconds, BURST_EVERY)
        answers = in_bursts(target(product, slug), clients, CONTENT, every, stop)
        end.join()
        failpoints.clear("relay.taken")
        ended = time.time()
    ticks: dict[int, list[float]] = defaultdict(list)
    for each in failpoints.noted("relay.taken"):
        if began <= each.at <= ended:
            ticks[each.pid].append(each.at)
    ages = [age for each in ticks.values() for age in ages_of(each, began, ended)]
    refused = sum(
        line.startswith(OPS) and any(refusal in line for refusal in REFUSALS)
        for line in log.read_bytes()[said:].decode(errors="replace").splitlines()
    )
    return Starved(held, answers, ages, list(pauses(product, began, ended)), refused)


@contextmanager
def hoarded(product: Product) -> Iterator[dict[str, int]]:
    """No connection is left to anybody but lumikb_ops; yields how many of whose are held."""
    secrets = secrets_of(product.home)
    server = urlsplit(product.setting("DATABASE_URL"))

    def url(role: str, password: str) -> str:
        return f"postgres://{role}:{password}@{server.hostname}:{server.port}{server.path}"

    superuser = url("postgres", secrets["postgres_superuser"])
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS stranger")
        connection.execute("CREATE ROLE stranger LOGIN PASSWORD 'stranger'")
        limits = connection.execute(LIMITS).fetchall()
    wanted = [(url(role, secrets[role]), limit) for role, limit in limits]
    wanted.append((url("stranger", "stranger"), STRANGERS))
    hoards = [Hoard(*each) for each in wanted]
    try:
        for hoard in hoards:
            hoard.start()
            hoard.tried_all.wait(PATIENCE)
        held: dict[str, int] = {}
        yield held
        held |= {hoard.role: len(hoard.held) for hoard in hoards}
    finally:
        for hoard in hoards:
            hoard.end()
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute("DROP ROLE stranger")


class Hoard(threading.Thread):
    """Holds idle connections, as many of those wanted as it can get."""

    def __init__(self, url: str, wanted: int) -> None:
        super().__init__(daemon=True)
        self.role = str(urlsplit(url).username)
        self.held: list[psycopg.Connection] = []
        self.tried_all = threading.Event()
        self._url, self._wanted = url, wanted
        self._stop_event = threading.Event()

    def run(self) -> None:
        tries = 0
        while not self._stop_event.wait(RETRY if tries > self._wanted else 0):
            tries += 1
            if tries > self._wanted:
                self.tried_all.set()
            if len(self.held) < self._wanted:
                try:
                    self.held.append(psycopg.connect(self._url, connect_timeout=5))
                except psycopg.OperationalError:
                    continue

    def end(self) -> None:
        self._stop_event.set()
        self.join()
        for connection in self.held:
            connection.close()


def ages_of(ticks: Sequence[float], began: float, ended: float) -> Iterator[float]:
    """At every tenth of a second: how long ago the last tick was."""
    last, following = began, iter([*ticks, ended])
    upcoming = next(following)
    for tenth in range(int((ended - began) * 10)):
        now = began + tenth / 10
        while upcoming <= now:
            last, upcoming = upcoming, next(following)
        yield now - last


def pauses(product: Product, began: float, ended: float) -> Iterator[float]:
    """Seconds between two reconcile runs; the last one lasts until now."""
    with psycopg.connect(product.setting("OPS_DATABASE_URL")) as connection:
        runs = connection.execute(
            "SELECT extract(epoch FROM started_at)::float, extract(epoch FROM finished_at)::float "
            "FROM documents_reconcilerun WHERE started_at < to_timestamp(%s) ORDER BY started_at",
            [ended],
        ).fetchall()
    finished = began
    for start, finish in runs:
        if start >= began:
            yield start - finished
        finished = finish if finish and finish >= began else finished
    yield max(0.0, ended - finished)


def ready(product: Product, documents: Sequence[str]) -> int:
    """How many of them are READY once no more become so."""
    statement = (
        "SELECT count(*) FILTER (WHERE status = 'ready'), "
        "count(*) FILTER (WHERE status IN ('pending', 'processing')) "
        "FROM documents_document WHERE id = ANY(%s::uuid[])"
    )
    with psycopg.connect(product.setting("OPS_DATABASE_URL"), autocommit=True) as connection:

        def counted() -> tuple[int, int]:
            row = connection.execute(statement, [list(documents)]).fetchone()
            assert row
            return row

        wait_for(lambda: counted()[1] == 0, PATIENCE + len(documents), lambda: f"{counted()}")
        return counted()[0]


if __name__ == "__main__":
    main()
