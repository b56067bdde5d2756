"""One run: start the product, let users and faults at it, wait until it rests, and judge."""

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from deploy.local.servers import free_ports
from tests.chaos import audit, judge, snapshot
from tests.chaos.client import TIMEOUT, Client
from tests.chaos.faults import Faults
from tests.chaos.launch import SERVERS
from tests.chaos.model import Model, Violation
from tests.chaos.proxy import Proxies
from tests.chaos.report import Report
from tests.chaos.watch import Watch, connect
from tests.chaos.workload import User
from tests.e2e.product import Product

log = logging.getLogger("chaos")

USERS = 6
SECONDS_PER_OPERATION = 5.5  # of each user: about 42 documents a minute together
# A long document takes several turns.
PROCESSES = {"WORKERS": "2", "RELAYS": "2", "RECONCILE_EVERY": "20", "TURN_SECONDS": "4"}
STRANGER = """
from django.contrib.auth.models import User
from documents.models import ApiToken
print(ApiToken.issue(User.objects.create_user("stranger"), "chaos"))
"""


@dataclass
class Run:
    """`folder` gets all files; users and faults that are so many `times` faster than usual make a
    short run worth it.
    """

    seed: str
    seconds: float
    folder: Path
    times: float = 1.0
    model: Model = field(default_factory=Model)
    enough: threading.Event = field(default_factory=threading.Event)  # of users and faults

    def run(self) -> Report:
        """Never raises Violation: the report has it."""
        report = Report(self.seed, self.folder, self.model)
        ports = dict(zip(SERVERS, free_ports(len(SERVERS)), strict=True))
        with _logging_to(self.folder / "harness.log"), Proxies(ports, self._port_of) as proxies:
            product = self._product(ports)
            try:
                product.start()
                self._let_loose(product, proxies, report)
                report.violations = judge.judge(product, self.model, self.servers(), report)
            except Violation as violation:
                report.violations = [violation]
            except AssertionError as error:  # what a Product says that does not come
                report.violations = [Violation("stuck", str(error))]
            finally:
                self.enough.set()
                proxies.heal()
                if report.violations:
                    self._keep(report)
                product.stop()
        return report

    def servers(self) -> dict[str, str]:
        """The servers' own addresses, past the proxies."""
        found: dict[str, str] = json.loads((self.folder / "home" / "servers.json").read_text())
        return found

    def _port_of(self, server: str) -> int:
        return urlsplit(self.servers()[server]).port or 0

    def _product(self, ports: dict[str, int]) -> Product:
        temporary = self.folder / "tmp"  # killed processes leave files there
        temporary.mkdir()
        return Product(
            self.folder / "home",
            module="tests.chaos.launch",
            CHAOS_PROXIES=json.dumps(ports),
            TMPDIR=str(temporary),
            PURGE_AFTER_HOURS="0",
            **PROCESSES,
        )

    def _let_loose(self, product: Product, proxies: Proxies, report: Report) -> None:
        """Users and faults for so many seconds. Raises the first Violation that anybody sees."""
        url = self.servers()["postgres"]
        with connect(url) as connection:
            audit.install(connection)
        watch = Watch(url, self.model, report.judged)
        redis_url = self.servers()["redis"]
        faults = Faults(product, proxies, redis_url, self.seed, self.enough, self.times)
        report.faults = faults.done
        threads: list[Watch | Faults | User] = [watch, faults, *self._users(product, watch)]
        for thread in threads:
            thread.start()
        ends_at = time.monotonic() + self.seconds
        said_at = time.monotonic()
        while time.monotonic() < ends_at:
            _raise_what_broke(threads, product)
            if time.monotonic() - said_at > 60:
                said_at = time.monotonic()
                print(report.progress(watch.unfinished), flush=True)
            time.sleep(0.2)
        self.enough.set()
        for thread in threads[1:]:
            thread.join()
        _raise_what_broke(threads, product)
        report.watch = watch

    def _users(self, product: Product, watch: Watch) -> list[User]:
        token = product.manage("shell", "-v", "0", "-c", STRANGER).split()[-1]
        stranger = httpx.Client(
            base_url=product.api.base_url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT,
        )
        product.api.timeout = TIMEOUT
        pace = SECONDS_PER_OPERATION / self.times
        names = [f"user-{number}" for number in range(1, USERS + 1)]
        return [
            User(
                name,
                Client(product.api, product.knowledge_base(name), self.model, self.enough),
                stranger,
                pace,
                self.seed,
                lambda: watch.unfinished,
                product.managing,
            )
            for name in names
        ]

    def _keep(self, report: Report) -> None:
        """Dump the tables; PostgreSQL may have been killed a moment ago."""
        for _ in range(30):
            with suppress(Exception):
                snapshot.dump(self.servers()["postgres"], self.folder / "dump")
                return
            time.sleep(1)
        log.error("the tables could not be dumped")


def _raise_what_broke(threads: list[Watch | Faults | User], product: Product) -> None:
    for thread in threads:
        if thread.broken is not None:
            raise thread.broken
    if product.process.poll() is not None:
        raise Violation("supervisor", "`make run` ended by itself")


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(threadName)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()
