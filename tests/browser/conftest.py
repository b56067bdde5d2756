"""The pages in a real browser, over the whole product as `make run` starts it.

The people of these tests are made once; each test makes its own knowledge bases. With
`--pictures=FOLDER` every page that a test checks is photographed there.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.product import Product

try:
    from tests.browser.driver import CHROMIUM, Person, chromium
except ImportError:  # a Python for which there is no Playwright
    CHROMIUM = None

PASSWORD = "right-horse-battery-1"
PEOPLE = ["olga", "edith", "vera", "nora"]
MAKE_PEOPLE = f"""
from django.contrib.auth.models import User
for name in {PEOPLE!r}:
    User.objects.create_user(name, f"{{name}}@example.com", {PASSWORD!r}, first_name=name.title())
User.objects.create_user("otto", "otto@example.com", {PASSWORD!r}, is_staff=True, is_superuser=True)
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            if not CHROMIUM:
                item.add_marker(pytest.mark.skip("there is no chromium on this machine"))


@pytest.fixture(scope="session")
def pictures(request: pytest.FixtureRequest) -> Path | None:
    """The folder for photographs, if any are wanted."""
    folder = request.config.getoption("--pictures")
    return Path(folder) if folder else None


class People:
    """`people("olga")` is Olga, logged in, always the same browser; `people("")` is a stranger."""

    def __init__(self, browser: Any, base_url: str, full: bool):
        self._browser = browser
        self._base_url = base_url
        self._full = full
        self.known: dict[str, Person] = {}

    def __call__(self, name: str, password: str = PASSWORD) -> "Person":
        if not name or name not in self.known:
            self.known[name] = Person(self._browser, self._base_url, name, password, self._full)
        return self.known[name]


@pytest.fixture(scope="package")
def _people(product: Product, pytestconfig: pytest.Config) -> Iterator[People]:
    product.manage("shell", "-c", MAKE_PEOPLE)
    with chromium() as browser:
        url = f"http://127.0.0.1:{product.port}"
        yield People(browser, url, bool(pytestconfig.getoption("--full")))


@pytest.fixture
def people(_people: People) -> Iterator[People]:
    """No error of a script on any of their pages, nothing that the content policy had to stop."""
    yield _people
    complaints = {name: each.complaints for name, each in _people.known.items() if each.complaints}
    for each in _people.known.values():
        each.complaints = []
    assert not complaints
