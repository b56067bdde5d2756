"""What people do, in a browser: upload, follow, search, share, look after their accounts."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PASSWORD, People
from tests.e2e.product import Product
from tests.processing import scans
from tests.processing.files import encrypted_pdf
from tests.processing.pdfs import Pdf, lines

DROP = """
async ([target, files]) => {
  const transfer = new DataTransfer();
  for (const [name, text] of files) transfer.items.add(new File([text], name));
  const how = {bubbles: true, cancelable: true, dataTransfer: transfer};
  target.dispatchEvent(new DragEvent("drop", how));
}
"""


@pytest.fixture
def base(people: People) -> str:
    """The address of a new knowledge base of Olga's."""
    page = people("olga").page
    page.goto("/")
    page.get_by_label("Name", exact=True).fill("Herons")
    page.get_by_role("button", name="Create").click()
    page.wait_for_url("**/kb/**")
    return re.sub(r"https?://[^/]+", "", page.url)


def drop(page: Page, *files: tuple[str, str]) -> None:
    zone = page.locator("#upload").element_handle()
    page.evaluate(DROP, [zone, [list(each) for each in files]])


def title(page: Page) -> str:
    return page.locator("#uploads-title").inner_text()


def ready(page: Page, count: int) -> None:
    expect(page.locator("#uploads-title")).to_have_text(
        re.compile(rf"^{count} ready"), timeout=60_000
    )


def test_three_dropped_files_are_followed_until_they_are_found(
    base: str, people: People, pictures: Path | None
) -> None:
    olga = people("olga")
    page = olga.page
    drop(page, *[(f"{n}.md", f"# Chapter {n}\n\nThe heron nests in April {n}.") for n in range(3)])
    ready(page, 3)
    expect(page.locator("#documents tbody tr")).to_have_count(3)
    olga.check("documents", pictures)
    page.goto("/search/?q=heron")
    page.locator(".result h2 a").first.click()
    expect(page.locator("#passage")).to_contain_text("The heron nests in April")
    olga.check("passage", pictures)
    page.get_by_role("link", name="About the document").click()
    olga.check("document", pictures)
    page.get_by_role("link", name="What was read").click()
    expect(page.locator(".piece").first).to_contain_text("heron")
    olga.check("text", pictures)


def birds() -> bytes:
    """Two pages, each with two passages or so."""
    document = Pdf()
    for bird in ("heron", "stork"):
        rows = [f"Line {n} of what is known of the {bird} and its nests." for n in range(40)]
        document.page(lines(*rows))
    return document.saved()


def is_marked(page: Page, x: float, y: float) -> bool:
    """Whether the chosen passage's rectangles are at this share of the page's picture."""
    return page.evaluate(
        """([x, y]) => {
          const place = () => document.querySelector(".sheet img").getBoundingClientRect();
          const before = place();
          scrollTo(0, scrollY + before.top + y * before.height - innerHeight / 2);
          const { left, top, width, height } = place();
          const there = document.elementFromPoint(left + x * width, top + y * height);
          return there?.closest("a")?.id === "chosen";
        }""",
        [x, y],
    )


def test_a_passage_is_seen_on_the_picture_of_its_page(
    base: str, people: People, tmp_path: Path, pictures: Path | None
) -> None:
    olga = people("olga")
    page = olga.page
    pdf, scan = tmp_path / "birds.pdf", tmp_path / "boiler.png"
    pdf.write_bytes(birds())
    scan.write_bytes(scans.encoded(scans.page(scans.ENGLISH, turn=1.0)))
    page.locator("#files").set_input_files([pdf, scan])
    ready(page, 2)
    page.goto("/search/?q=%22line+39+of+what+is+known+of+the+stork%22")
    page.get_by_role("link", name="See it on the page").first.click()
    expect(page.locator(".sheet img")).to_be_visible()
    assert page.evaluate("document.querySelector('.sheet img').decode().then(() => true)")
    expect(page.locator("#chosen")).to_have_count(1)
    assert is_marked(page, 80 / 595, 1 - (780 - 39 * 14 + 3) / 842)
    assert not is_marked(page, 80 / 595, 1 - (780 + 3) / 842)
    olga.check("page", pictures)
    page.get_by_role("link", name="Previous").click()
    expect(page.locator(".sheet img")).to_be_visible()
    page.locator(".sheet a").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#chosen")).to_have_count(1)
    page.goto("/search/?q=caretaker+boiler+room+key")
    page.get_by_role("link", name="See it on the page").first.click()
    expect(page.locator(".sheet img")).to_be_visible()
    assert is_marked(page, 290 / 595, 1 - (780 + 4) / 842)  # in the middle it does not lie askew
    olga.check("page-scan", pictures)


def test_a_page_is_seen_without_javascript(
    base: str, people: People, product: Product, tmp_path: Path
) -> None:
    olga = people("olga")
    pdf = tmp_path / "plain.pdf"
    pdf.write_bytes(birds())
    olga.page.locator("#files").set_input_files([pdf])
    ready(olga.page, 1)
    olga.page.goto(base)
    olga.page.get_by_role("link", name="plain.pdf", exact=True).first.click()
    state: Any = olga.context.storage_state()
    assert olga.context.browser
    context = olga.context.browser.new_context(
        base_url=f"http://127.0.0.1:{product.port}", java_script_enabled=False, storage_state=state
    )
    page = context.new_page()
    page.goto(olga.page.url)
    page.get_by_role("link", name="Its pages").click()
    expect(page.locator(".sheet img")).to_be_visible(timeout=30_000)  # it asks again by itself
    page.locator(".sheet a").first.click()
    expect(page.locator("#chosen")).to_have_count(1)
    context.close()


def test_a_folder_is_sent_with_its_paths_and_duplicates_are_decided_once(
    base: str, people: People, tmp_path: Path, pictures: Path | None
) -> None:
    olga = people("olga")
    page = olga.page
    inside = tmp_path / "reports" / "2024"
    inside.mkdir(parents=True)
    for n in range(3):
        (inside / f"{n}.md").write_text(f"Report {n} about herons.")
    page.locator("#folder").set_input_files(tmp_path / "reports")
    ready(page, 3)
    expect(page.locator("#documents .tag").first).to_have_text("reports/2024")
    drop(page, *[(f"{n}.md", f"Newer report {n}.") for n in range(3)])
    expect(page.locator("#duplicates h2")).to_have_text("3 files are here already")
    olga.check("duplicates", pictures)
    page.get_by_role("button", name="Keep both of all").click()
    ready(page, 6)
    expect(page.get_by_role("link", name="2 (2).md", exact=True).first).to_be_visible()


def test_what_cannot_be_read_says_so_and_an_encrypted_one_leads_to_its_replacement(
    base: str, people: People, tmp_path: Path, pictures: Path | None
) -> None:
    olga = people("olga")
    page = olga.page
    secret = tmp_path / "secret.pdf"
    secret.write_bytes(encrypted_pdf())
    page.locator("#files").set_input_files([secret])
    row = page.locator("#uploads li")
    expect(row).to_have_attribute("data-state", "failed", timeout=60_000)
    expect(row).to_contain_text("password")
    assert title(page) == "1 failed: secret.pdf"
    row.get_by_role("link").click()
    expect(page.get_by_role("link", name="Replace the file")).to_be_visible()
    olga.check("failed", pictures)


def test_a_page_that_is_left_names_what_was_not_sent(base: str, people: People) -> None:
    page = people("olga").page
    page.route("**/api/v1/**", lambda route: None)  # the server takes its time
    drop(page, ("a.md", "a"), ("b.md", "b"), ("c.md", "c"))
    expect(page.locator("#uploads-title")).to_have_text("3 to be sent")
    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    page.unroute("**/api/v1/**")
    expect(page.locator("#unsent h2")).to_have_text("3 files were not sent")
    expect(page.locator("#unsent li")).to_have_text(["a.md", "b.md", "c.md"])


def test_chosen_documents_are_deleted_and_brought_back(base: str, people: People) -> None:
    page = people("olga").page
    drop(page, ("a.md", "About a."), ("b.md", "About b."))
    ready(page, 2)
    page.get_by_label("Choose a.md").check()
    expect(page.locator("#ticked")).to_have_text("1 chosen")
    page.locator("#selection").get_by_role("button", name="Delete").click()
    expect(page.locator("#documents tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#documents tbody tr")).to_have_count(2)


def test_a_colleague_who_is_invited_reads_and_cannot_write(
    base: str, people: People, pictures: Path | None
) -> None:
    olga, nora = people("olga"), people("nora")
    drop(olga.page, ("a.md", "The heron nests in April."))
    ready(olga.page, 1)
    olga.page.goto(base)
    olga.page.get_by_role("link", name="Share").click()
    olga.page.get_by_role("button", name="Make an invitation").click()
    link = olga.page.get_by_label("Link").input_value()
    olga.check("members", pictures)
    nora.page.goto(link)
    nora.check("invitation", pictures)
    nora.page.get_by_role("button", name="Join").click()
    expect(nora.page.get_by_role("link", name="a.md")).to_be_visible()
    expect(nora.page.locator("#upload")).to_have_count(0)
    nora.check("documents-viewer", pictures)


def test_a_password_is_changed_and_a_token_made_and_used(
    people: People, product: Product, pictures: Path | None
) -> None:
    vera = people("vera")
    page = vera.page
    page.goto("/account/")
    vera.check("account", pictures)
    page.get_by_role("link", name="Change the password").click()
    vera.check("password", pictures)
    page.get_by_label("Old password").fill(PASSWORD)
    page.get_by_label("New password", exact=True).fill("another-horse-22")
    page.get_by_label(re.compile("confirmation")).fill("another-horse-22")
    page.get_by_role("button", name="Change the password").click()
    expect(page.locator(".notice.success")).to_contain_text("Your password is changed.")
    page.get_by_label("What it is for").fill("backup")
    page.get_by_role("button", name="Make a token").click()
    token = page.get_by_label("Token", exact=True).input_value()
    vera.check("token", pictures)
    answer = httpx.get(
        f"http://127.0.0.1:{product.port}/api/v1/knowledge-bases",
        headers={"Authorization": f"Bearer {token}"},
    )
    assert answer.status_code == 200
    for name in ("Second factor", "Sessions"):
        page.goto("/account/")
        page.get_by_role("link", name=name).click()
        vera.check(name.lower().replace(" ", "-"), pictures)
