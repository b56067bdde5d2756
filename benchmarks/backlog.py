"""What the queue and the lists cost with a thousand documents that wait, and with a million.

    .venv/bin/python -m benchmarks.backlog [--sizes 1000 100000 1000000]

So many documents wait and as many are ready, and a hundredth has failed, over 10,000 knowledge
bases of 1,000 people; half of them are in one. Each thing is asked for in this process, as its
caller does, on servers of its own: milliseconds (the median of ROUNDS) and statements.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import django
import psycopg

from deploy.local.application import acting_as
from deploy.local.servers import embedded_servers

BASES, PEOPLE = 10_000, 1_000
AT_ONCE = 10_000  # documents made by one statement, which has the web's 30 s
ROUNDS = 15
MAX_RATIO = 2.0  # the largest size over the smallest
P95_BARS = {"web": 150.0, "admin": 300.0}  # milliseconds at the largest size

Ask = Callable[[], Any]
Costs = dict[str, tuple[float, float, int]]  # median and p95 in milliseconds, statements


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 100_000, 1_000_000])
    sizes = parser.parse_args().sizes
    with (
        tempfile.TemporaryDirectory(prefix="lumikb-backlog-") as home,
        embedded_servers(Path(home)) as env,
    ):
        os.environ |= env | {
            "DJANGO_SETTINGS_MODULE": "lumikb.settings",
            "LOG_LEVEL": "WARNING",
            "METRICS_TOKEN": "metrics",
            "ALLOWED_HOSTS": "testserver",
        }
        owner = acting_as("OWNER", dict(os.environ))
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], env=owner, check=True)
        django.setup()
        with psycopg.connect(owner["DATABASE_URL"], autocommit=True) as connection:
            measured = measure(sizes, connection)
    report(sizes, measured)


def measure(sizes: list[int], owner: psycopg.Connection) -> list[Costs]:
    from django.test.utils import setup_test_environment

    from documents import counts
    from documents.models import DocumentCount
    from tests import many

    setup_test_environment()  # what a page was made of can be asked for
    many.make_bases(BASES, PEOPLE)
    asked = questions()
    measured, there = [], 0
    for size in sizes:
        began = time.monotonic()
        for first in range(there, size, AT_ONCE):
            count = min(AT_ONCE, size - first)
            for status, share in (("pending", 1), ("ready", 1), ("failed", 100)):
                many.make_documents(status, count // share, first, in_first=2)
        there = size
        while DocumentCount.objects.filter(is_sum=False).exists():
            counts.add_up()  # as the relay does, 10,000 at each tick
        for table in many.TABLES:  # as autovacuum does
            owner.execute(f"VACUUM ANALYZE documents_{table}")
        print(f"{size} waiting and as many ready, made in {time.monotonic() - began:.0f} s")
        measured.append({name: cost(ask) for name, ask in asked.items()})
    return measured


def questions() -> dict[str, Ask]:
    """What is asked for, by name."""
    from django.contrib.auth.models import User
    from django.test import Client

    from documents.models import ApiToken, KnowledgeBase
    from processing import relay

    root = User.objects.create_superuser("root")
    person = User.objects.get(username="person-1")  # of the first knowledge base, and 9 others
    page, admin = Client(), Client()
    page.force_login(person)
    admin.force_login(root)
    script = Client(headers={"Authorization": f"Bearer {ApiToken.issue(person, 'benchmark')}"})
    monitor = Client(headers={"Authorization": "Bearer metrics"})
    big = f"/kb/{KnowledgeBase.objects.order_by('pk')[0].slug}/"
    small = f"/kb/{KnowledgeBase.objects.order_by('pk')[PEOPLE].slug}/"
    of_api = f"/api/v1/knowledge-bases/{big.split('/')[2]}/documents"
    documents = "/admin/documents/document/"

    def get(client: Client, path: str, **query: Any) -> Ask:
        def ask() -> Any:
            response = client.get(path, query, follow=True)
            assert response.status_code in (200, 503), (path, query, response.status_code)
            return response

        return ask

    def walk() -> Ask:
        """The page behind the one in the middle, as its link says."""
        middle = max(1, get(page, big)().context["page"].paginator.num_pages // 2)
        shown = get(page, big, page=middle)().context["page"]
        return get(page, big, page=shown.number + 1, near=shown.next_place)

    def admin_last() -> Ask:
        return get(admin, documents, p=get(admin, documents)().context["cl"].paginator.num_pages)

    def behind(ask: Callable[[], Ask]) -> Ask:
        """What depends on how many there are is found once for each size."""
        found: dict[int, Ask] = {}

        def asked() -> Any:
            from documents.models import DocumentCount  # any number that changes with the size

            size = DocumentCount.objects.count()
            if size not in found:
                found[size] = ask()
            return found[size]()

        return asked

    def api_middle() -> Ask:
        pages = get(script, of_api)().json()["pages"]
        return get(script, of_api, page=max(1, pages // 2))

    def api_cursor() -> Ask:
        answer = api_middle()().json()
        return get(script, of_api, cursor=answer["next"])

    return {
        "relay: take 100": lambda: _take(relay),
        "relay: heal": relay.heal,
        "web: list, first page": get(page, big),
        "web: list, last page": get(page, big, page=10**9),
        "web: list, middle, by its link": behind(walk),
        "web: list, failed": get(page, big, status="failed"),
        "web: list, stuck": get(page, big, status="stuck"),
        "web: list, by name": get(page, big, q="pending 77"),
        "web: list, by a name that is not there": get(page, big, q="xyzzy"),
        "web: list of a small one": get(page, small),
        "web: home": get(page, "/"),
        "web: home, of a superuser": get(admin, "/"),
        "web: search page": get(page, "/search/"),
        "api: first page": get(script, of_api),
        "api: 500": get(script, of_api, limit=500),
        "api: middle, by its cursor": behind(api_cursor),
        "api: sha256": get(script, of_api, sha256="0" * 64),
        "admin: list, first page": get(admin, documents),
        "admin: list, last page": behind(admin_last),
        "admin: list, failed by cause": get(admin, documents, failure_code="encrypted"),
        "admin: list, waiting": get(admin, documents, status__exact="pending"),
        "admin: list, by name": get(admin, documents, q="pending 77"),
        "admin: knowledge bases": get(admin, "/admin/documents/knowledgebase/"),
        "admin: outbox": get(admin, "/admin/documents/outboxmessage/"),
        "metrics": get(monitor, "/metrics"),
        "health: ready": get(monitor, "/health/ready"),
    }


def _take(relay: Any) -> None:
    from django.db import transaction

    with transaction.atomic():
        assert relay._take_due(100, relay.Rounds())
        transaction.set_rollback(True)


def cost(ask: Ask) -> tuple[float, float, int]:
    """Median and 95th percentile of milliseconds, and statements."""
    from documents.connections import release

    ask()
    times, statements = [], 0
    for _ in range(ROUNDS):
        with counted() as count:
            began = time.perf_counter()
            ask()
            times.append(1000 * (time.perf_counter() - began))
        release()
        statements = len(count)
    return statistics.median(times), sorted(times)[int(0.95 * ROUNDS)], statements


@contextmanager
def counted() -> Iterator[list[str]]:
    """The statements of this thread's connections."""
    from django.db import connections

    seen: list[str] = []

    def note(execute: Any, sql: str, *args: Any) -> Any:
        seen.append(sql)
        return execute(sql, *args)

    with ExitStack() as stack:
        for each in connections.all():
            stack.enter_context(each.execute_wrapper(note))
        yield seen


def report(sizes: list[int], measured: list[Costs]) -> None:
    header = "".join(f"{size:>12,}" for size in sizes)
    print(f"\n{'milliseconds (median)':<42}{header}{'ratio':>8}{'p95':>8}{'statements':>12}")
    failed = []
    for name in measured[0]:
        medians = [costs[name][0] for costs in measured]
        _, p95, statements = measured[-1][name]
        ratio = medians[-1] / medians[0]
        row = "".join(f"{each:>12.1f}" for each in medians)
        print(f"{name:<42}{row}{ratio:>8.2f}{p95:>8.1f}{statements:>12}")
        bar = P95_BARS.get(name.partition(":")[0], float("inf"))
        if ratio > MAX_RATIO or p95 > bar:
            failed.append(name)
    if failed:
        sys.exit(f"over the bar: {', '.join(failed)}")
    print(f"all within the bars: ratio {MAX_RATIO}, p95 {P95_BARS}")


if __name__ == "__main__":
    main()
