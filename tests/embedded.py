"""A pytest plugin: starts the embedded servers before the settings are read."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from deploy.local.servers import embedded_servers

_servers = ExitStack()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full", action="store_true", help="the long tests at full size: hours, not minutes"
    )
    parser.addoption(
        "--pictures", default="", help="a folder for photographs of the pages (tests/browser)"
    )


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests() -> Iterator[None]:
    """A wrapper, because pytest-django reads the settings in this same hook."""
    os.environ.update(_servers.enter_context(embedded_servers(home())))
    return (yield)


@cache
def home() -> Path:
    """Where these servers have their data and secrets."""
    return Path(_servers.enter_context(tempfile.TemporaryDirectory(prefix="lumikb-tests-")))


def pytest_unconfigure() -> None:
    _servers.close()
