"""PostgreSQL is stopped as by a crash every 20 s: what is lost, and how soon all is as before.

    .venv/bin/python -m benchmarks.restarts [--minutes 5] [--rate 2]

So many files a second are uploaded, whatever happens to those before. The throughput, uploads that
were accepted and documents that became READY, is counted for a minute before the first restart, and
for a minute from 10 s after PostgreSQL was back for the last time. The supervisor of `make run`
waits longer and longer, up to 10 s, before it starts again what does not live for 30 s: so
PostgreSQL is away for half of the time.
"""

import argparse
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from benchmarks.load import Answer, in_bursts, statuses
from benchmarks.starvation import CONTENT, PATIENCE, ready, running, target
from tests.e2e.product import Product, wait_for

EVERY = 20.0  # seconds between two restarts
RECOVERY = 10.0  # seconds after the last
BAR = 0.98  # of the throughput before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=5.0, help="of restarts")
    parser.add_argument("--window", type=float, default=60.0, help="seconds before and after")
    parser.add_argument("--rate", type=float, default=2.0, help="uploads a second")
    options = parser.parse_args()
    with running("restarts") as (product, _):
        measure(product, 60 * options.minutes, options.window, options.rate)


def measure(product: Product, seconds: float, window: float, rate: float) -> None:
    with uploading(product, rate) as answers:
        time.sleep(RECOVERY)  # the product has just started
        began = time.time()
        time.sleep(window)
        away, restarts = 0.0, round(seconds / EVERY)
        for _ in range(restarts):
            away += (stopped := restart(product))
            time.sleep(max(RECOVERY, EVERY - stopped))
        recovered = time.time()
        time.sleep(window)
    before, after = (
        (accepted(answers, since, window), indexed(product, since, window))
        for since in (began, recovered)
    )
    identifiers = [answer.document_id for answer in answers if answer.status == 201]
    lost = len(identifiers) - ready(product, identifiers)
    slowest = max(answer.seconds for answer in answers)
    print(f"{restarts} restarts; PostgreSQL was away for {away:.0f} s of {seconds:.0f} s")
    print(f"uploads: {statuses(answers)}; slowest {slowest:.1f} s; lost: {lost}")
    for what, old, new in zip(("accepted", "READY"), before, after, strict=True):
        ratio = new / old
        print(f"{what} a second: {old / window:.2f} before, {new / window:.2f} after: {ratio:.2f}")
        assert ratio >= BAR
    assert lost == 0


def restart(product: Product) -> float:
    """End PostgreSQL as "immediate" does; returns after how many seconds it was back."""
    stopped = time.monotonic()
    os.kill(product.pids("postgres")[0], signal.SIGQUIT)
    wait_for(lambda: not lets_in(product), PATIENCE, "PostgreSQL to end")
    wait_for(lambda: lets_in(product), PATIENCE, "PostgreSQL to come back")
    return time.monotonic() - stopped


def lets_in(product: Product) -> bool:
    try:
        psycopg.connect(product.setting("OPS_DATABASE_URL"), connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


@contextmanager
def uploading(product: Product, rate: float) -> Iterator[list[Answer]]:
    """The list has the answers when the block has ended."""
    where = target(product, product.knowledge_base("restarts"))
    answers: list[Answer] = []
    stop = threading.Event()
    thread = threading.Thread(
        target=lambda: answers.extend(in_bursts(where, 1, CONTENT, 1 / rate, stop))
    )
    thread.start()
    try:
        yield answers
    finally:
        stop.set()
        thread.join()


def accepted(answers: list[Answer], since: float, seconds: float) -> int:
    """How many of the uploads that began then."""
    start = since - time.time() + time.monotonic()
    return sum(a.status == 201 and start <= a.began < start + seconds for a in answers)


def indexed(product: Product, since: float, seconds: float) -> int:
    """How many documents became READY then."""
    with psycopg.connect(product.setting("OPS_DATABASE_URL")) as connection:
        row = connection.execute(
            "SELECT count(*) FROM documents_document "
            "WHERE indexed_at BETWEEN to_timestamp(%s) AND to_timestamp(%s)",
            [since, since + seconds],
        ).fetchone()
    assert row
    return int(row[0])


if __name__ == "__main__":
    main()
