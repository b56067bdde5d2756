"""A pytest plugin: starts the embedded servers before the settings are read."""

import gc
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from deploy.local.servers import embedded_servers

_servers = ExitStack()
gc.disable()  # until all is collected, all of which stays

# Of the process that hands the tests out to others: it reads the settings, and asks no server.
NOBODY = {
    "SECRET_KEY": "this-process-runs-no-test-and-nobody-logs-in-to-it-0123456789",
    "DATABASE_URL": "postgres://nobody@127.0.0.1:1/nothing",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "QDRANT_URL": "http://127.0.0.1:1",
    "STORAGE_ROOT": "nowhere",
    "EMBEDDING_MODEL": "hosted_vllm/none",
    "EMBEDDING_DIMENSIONS": "1",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full", action="store_true", help="the long tests at full size: hours, not minutes"
    )
    parser.addoption(
        "--pictures", default="", help="a folder for photographs of the pages (tests/browser)"
    )


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    """A wrapper, because pytest-django reads the settings in this same hook."""
    hands_out = early_config.known_args_namespace.numprocesses
    if hands_out and "PYTEST_XDIST_WORKER" not in os.environ:
        os.environ.update(NOBODY)
    else:
        os.environ.update(_servers.enter_context(embedded_servers(home())))
    return (yield)


@cache
def home() -> Path:
    """Where these servers have their data and secrets."""
    return Path(_servers.enter_context(tempfile.TemporaryDirectory(prefix="lumikb-tests-")))


def pytest_unconfigure() -> None:
    _servers.close()
