"""Every page, wide and narrow, light and dark: axe finds nothing serious on it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import People
from tests.e2e.product import Product, wait_for

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


def test_what_a_search_answers(
    people: People, product: Product, tmp_path: Path, pictures: Path | None
) -> None:
    olga = people("olga")
    page = olga.page
    page.goto("/")
    page.get_by_label("Name", exact=True).fill("Barges")
    page.get_by_role("button", name="Create").click()
    page.wait_for_url("**/kb/**")
    log = tmp_path / "barge log.md"
    days = (
        f"# Day {day}\n\n" + " ".join(f"The bargeman saw {day * n} kestrels." for n in range(30))
        for day in range(1, 6)
    )
    log.write_text("\n\n".join(days))
    page.locator("#files").set_input_files([log])
    expect(page.locator("#uploads-title")).to_have_text("1 ready", timeout=60_000)

    page.goto("/search/?q=bargeman&name=barge&type=md")
    expect(page.get_by_text("in this file")).to_be_visible()
    olga.check("search-narrowed", pictures)
    page.goto("/search/?q=asdfqwer+zxcv")
    page.get_by_text("These came nearest").click()
    expect(page.locator(".hit").first).to_be_visible()
    olga.check("search-nothing-fits", pictures)
    with stopped(product, "embeddings"):
        page.goto("/search/?q=kestrels+of+the+bargeman")
        expect(page.get_by_text("Only half an answer")).to_be_visible()
        expect(page.locator(".hit").first).to_be_visible()
        olga.check("search-half", pictures)
    wait_for(lambda: is_whole(page), 30, "search to be whole again")


def is_whole(page: Page) -> bool:
    page.reload()
    expect(page.locator(".hit").first).to_be_visible()
    return page.get_by_text("Only half an answer").is_hidden()


@contextmanager
def stopped(product: Product, name: str) -> Iterator[None]:
    product.signal(name, signal.SIGSTOP)
    try:
        yield
    finally:
        product.signal(name, signal.SIGCONT)


def test_names_without_a_space_make_no_page_wider_than_a_phone(
    people: People, tmp_path: Path, pictures: Path | None
) -> None:
    olga = people("olga")
    page = olga.page
    page.goto("/")
    page.get_by_label("Name", exact=True).fill("很长的知识库名称" * 6 + "x" * 40)
    page.get_by_role("button", name="Create").click()
    page.wait_for_url("**/kb/**")
    base = page.url
    page.locator("#upload-tags").fill("z" * 100)
    names = ["🦩birds" + "x" * 190 + ".md", "تقرير سنوي عن الطيور والأعشاش.md"]
    for name in names:
        (tmp_path / name).write_text(f"# Flamingos\n\nOf {name[:9]}.\n")
    page.locator("#files").set_input_files([tmp_path / name for name in names])
    expect(page.locator("#uploads-title")).to_have_text("2 ready", timeout=60_000)
    page.goto(base)
    olga.check("long-list", pictures)
    for number in range(len(names)):
        page.goto(base)
        page.locator("#documents tbody th a[id]").nth(number).click()
        page.locator("#state").wait_for()
        page.locator("#similar a").first.wait_for()
        olga.check(f"long-document-{number}", pictures)
    page.goto(base)
    page.locator("#tick-all").check()
    page.get_by_role("button", name="Move…").click()
    page.get_by_role("heading", name="Move 2 documents").wait_for()
    olga.check("long-move", pictures)
