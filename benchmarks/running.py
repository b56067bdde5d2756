"""A whole LumiKB of its own for a measurement that kills it, and figures beside their bars."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import django

from deploy.local.application import acting_as
from tests.e2e.product import Product


@contextmanager
def running_product(**env: str) -> Iterator[Product]:
    """`make run` in a home of its own; Django is set up in this process as the tables' owner.

    Once in a process.
    """
    with tempfile.TemporaryDirectory(prefix="lumikb-benchmark-") as folder:
        product = Product(Path(folder) / "home", **env)
        product.start()
        try:
            os.environ |= acting_as("OWNER", product.settings())
            os.environ |= {"DJANGO_SETTINGS_MODULE": "lumikb.settings", "LOG_LEVEL": "WARNING"}
            django.setup()
            yield product
        finally:
            product.stop()


class Bars:
    """Prints each figure as it comes, and remembers which were over their bars."""

    def __init__(self) -> None:
        self._missed: list[str] = []

    def figure(self, what: str, value: float, bar: float | None = None) -> None:
        beside = "" if bar is None else f"   at most {bar:,.2f}"
        is_over = bar is not None and value > bar
        print(f"{what:<76}{value:>10,.2f}{beside}{'   MISSED' if is_over else ''}", flush=True)
        if is_over:
            self._missed.append(what)

    def close(self) -> None:
        """Ends the program with status 1 when one was missed."""
        sys.exit(f"over the bar: {'; '.join(self._missed)}" if self._missed else 0)
