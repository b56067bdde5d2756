"""Every page, wide and narrow, light and dark: axe finds nothing serious on it."""

from pathlib import Path

import pytest

from tests.browser.conftest import People

# Swagger UI draws each operation as a button with buttons in it.
SWAGGERS_OWN = {"nested-interactive"}
STRANGERS = {"login": "/login/", "missing": "/kb/no-such-one/"}
EVERYBODYS = {
    "knowledge-bases": "/",
    "search": "/search/?q=heron",
    "api": "/api/v1/docs",
}


@pytest.mark.parametrize("name", STRANGERS)
def test_a_strangers_page(name: str, people: People, pictures: Path | None) -> None:
    stranger = people("")
    stranger.page.goto(STRANGERS[name])
    stranger.check(f"stranger-{name}", pictures)


@pytest.mark.parametrize("name", EVERYBODYS)
def test_a_page_for_everybody(name: str, people: People, pictures: Path | None) -> None:
    olga = people("olga")
    olga.page.goto(EVERYBODYS[name])
    if name == "api":
        olga.page.wait_for_selector(".opblock")  # drawn by a script
    olga.check(name, pictures, SWAGGERS_OWN if name == "api" else ())
