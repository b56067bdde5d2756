"""Without a mouse: only keys are pressed. Requeueing by cause is in test_operators."""

import re
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import People

MOST = 80  # presses of Tab until a thing must have been reached


def go_to(page: Page, thing: Locator) -> None:
    """From where the focus is, as a person does who sees where it is."""
    for _ in range(MOST):
        if thing.evaluate("thing => thing === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{thing} is not reached by Tab")


def press(page: Page, thing: Locator, key: str = "Enter") -> None:
    go_to(page, thing)
    page.keyboard.press(key)


def test_keys_alone_suffice_to_upload_to_search_and_to_share(
    people: People, tmp_path: Path
) -> None:
    page = people("olga").page
    people("nora")  # has an account
    # Choosers are caught from here on: asked for with the key, they are sometimes caught too late.
    page.on("filechooser", lambda _: None)
    page.goto("/")
    go_to(page, page.get_by_label("Name", exact=True))
    page.keyboard.type("Keys")
    page.keyboard.press("Enter")
    page.wait_for_url("**/kb/**")
    base = page.url

    notes = tmp_path / "keys.md"
    notes.write_text("# Keys\n\nThe kingfisher sits on the third pole.\n")
    go_to(page, page.locator("#files"))
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files([notes])
    expect(page.locator("#uploads-title")).to_have_text("1 ready", timeout=60_000)

    page.reload()
    notes.write_text("# Keys\n\nThe kingfisher has left.\n")
    go_to(page, page.locator("#files"))
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files([notes])
    press(page, page.locator("#duplicates tbody").get_by_role("button", name=re.compile("^Skip")))
    expect(page.locator("#uploads-title")).to_have_text("1 skipped")

    page.goto("/")
    page.keyboard.press("/")
    page.keyboard.type("kingfisher pole")
    page.keyboard.press("Enter")
    expect(page.locator(".hit").first).to_be_visible()
    page.locator("#q").focus()  # where somebody is who has typed it there
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#passage")).to_contain_text("The kingfisher sits on the third pole")

    page.goto(base)
    press(page, page.get_by_role("link", name="Share"))
    page.wait_for_url("**/members/")
    go_to(page, page.get_by_label("User name or mail address"))
    page.keyboard.type("nora")
    press(page, page.get_by_role("button", name="Add", exact=True))
    expect(page.get_by_role("rowheader", name="nora")).to_be_visible()
    role = page.get_by_label("Role of nora", exact=True)
    go_to(page, role)
    page.keyboard.type("editor")
    press(page, page.get_by_role("button", name="Save the role of nora"))
    expect(role).to_have_value("editor")
    press(page, page.get_by_role("button", name="Remove nora"))
    press(page, page.locator("#confirm").get_by_role("button", name="Remove"))
    expect(page.get_by_role("rowheader", name="nora")).to_have_count(0)
