"""The products that the tests of this folder kill."""

from collections.abc import Callable, Iterator

import pytest

from tests.e2e.lab import Lab

FULL_MINUTES = 60  # for each test with --full

# A small run has one product for all the tests. What saves time in it: a worker is always left when
# one is killed, a short lease lets its documents go sooner, few passages are several batches, and
# short ones take the model 20 ms and not 110.
# What Redis gave to a worker that died goes to another after 10 s, not 60: a purge has no lease.
# And three workers that wait look for messages every 50 ms: 20 % of a core, with Redis.
SMALL = {
    "WORKERS": "3",
    "RELAYS": "2",
    "LEASE_SECONDS": "4",
    "EMBEDDING_BATCH_SIZE": "4",
    "CHUNK_MAX_CHARS": "200",
    "OCR": "off",  # its models take each worker's parsers 0.6 s to load
    "PURGE_AFTER_HOURS": "0",
    "RECONCILE_EVERY": "5",
    "BROKER_HEARTBEAT": "10000",  # milliseconds
    "dramatiq_worker_timeout": "250",  # milliseconds
    "WEB_CONCURRENCY": "1",  # the second one takes 4 s of a core to start
}


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """Run at full size?"""
    return bool(request.config.getoption("--full"))


@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory, full: bool) -> Iterator[Callable[..., Lab]]:
    """With --full a product with these variables (and Lab's `module`), else the small one; started
    at its first use.
    """
    running: dict[str, Lab] = {}

    def get(**env: str) -> Lab:
        env = env if full else SMALL
        key = str(sorted(env.items()))
        if key not in running:
            running[key] = Lab(tmp_path_factory.mktemp("lab"), **env)
        return running[key]

    yield get
    for started in running.values():
        started.close()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --full the tests of the whole product have the time that they need."""
    if config.getoption("--full"):
        for item in items:
            if item.get_closest_marker("e2e"):
                item.add_marker(pytest.mark.timeout(FULL_MINUTES * 60), append=False)
