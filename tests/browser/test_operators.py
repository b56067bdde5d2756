"""The operators' pages in a real browser: what they do there, with a mouse or without one."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.conftest import PASSWORD, People
from tests.e2e.product import Product, wait_for

ADMIN = {
    "front": "/admin/",
    "causes": "/admin/causes/",
    "documents": "/admin/documents/document/",
    "audit": "/admin/documents/auditentry/",
    "reconcile": "/admin/documents/reconcilerun/",
    "outages": "/admin/documents/outage/",
    "outbox": "/admin/documents/outboxmessage/",
    "heartbeats": "/admin/documents/heartbeat/",
    "indexes": "/admin/documents/generation/",
    "knowledge-bases": "/admin/documents/knowledgebase/",
    "locked-out": "/admin/axes/accessattempt/",
    "password": "/admin/password_change/",
}
OF_ROOT = {
    "users": "/admin/auth/user/",
    "user": "/admin/auth/user/add/",
    "groups": "/admin/auth/group/",
    "group": "/admin/auth/group/add/",
    "tokens": "/admin/documents/apitoken/",
    "token": "/admin/documents/apitoken/add/",
    "knowledge-base": "/admin/documents/knowledgebase/add/",
}
MAKE = f"""
from django.contrib.auth.models import Group, User
for name, group in (("oscar", "Operators"), ("audrey", "Auditors")):
    user = User.objects.create_user(name, f"{{name}}@example.com", {PASSWORD!r}, is_staff=True)
    user.groups.add(Group.objects.get(name=group))
"""
JQUERY = "Applying inline style violates"
BROKEN = 3  # files of no use
STATES = ("pending", "processing")


@pytest.fixture(autouse=True)
def _the_forms_of_django(people: People) -> Iterator[None]:
    """Its jQuery tries an inline style, which the content policy stops: nothing is lost by that."""
    yield
    for each in people.known.values():
        each.complaints = [text for text in each.complaints if not text.startswith(JQUERY)]


@pytest.fixture(scope="module")
def failed(product: Product) -> list[str]:
    """Documents that have failed, one that is ready, and those who look after them; their ids."""
    product.manage("shell", "-c", MAKE)
    made = product.api.post("knowledge-bases", json={"name": "Machinery"}).json()
    where = f"knowledge-bases/{made['slug']}/documents"
    ids = []
    for number in range(BROKEN):
        name = f"broken-{number}.pdf"
        file = (name, f"%PDF-1.4\nnothing {number}".encode(), "application/pdf")
        ids.append(product.api.post(where, files={"file": file}).json()["id"])
    whole = ("whole.md", b"# Herons\n\nThey nest in April.\n", "text/markdown")
    ids.append(product.api.post(where, files={"file": whole}).json()["id"])
    wait_for(lambda: states(product, ids) == {"failed", "ready"}, 60, "the documents to be done")
    return ids


def states(product: Product, ids: list[str]) -> set[str]:
    return {product.api.get(f"documents/{each}").json()["status"] for each in ids}


def test_the_front_page_says_within_a_look_what_is_the_matter(
    people: People, failed: list[str]
) -> None:
    page = people("oscar").page
    page.goto("/admin/")
    page.get_by_text(re.compile("All is well|Something is not well")).wait_for()
    row = page.get_by_role("row", name=re.compile("^Failed"))
    assert row.get_by_role("link").first.inner_text().startswith(str(BROKEN))
    assert page.get_by_role("img", name=re.compile("documents finished")).is_visible()
    row.get_by_role("link").first.click()
    page.wait_for_url(re.compile("finished=hour"))
    assert page.locator("#result_list tbody tr").count() == BROKEN


def test_the_front_page_refreshes_itself(people: People, failed: list[str]) -> None:
    page = people("oscar").page
    page.goto("/admin/")
    before = page.get_by_text("As of").inner_text()
    with page.expect_response(re.compile("/admin/operations/$"), timeout=20_000) as answer:
        pass
    assert answer.value.status == 200
    page.wait_for_function("before => !document.body.innerText.includes(before)", arg=before)


def test_an_operator_requeues_all_of_one_cause_by_keyboard_alone(
    people: People, failed: list[str], product: Product
) -> None:
    page = people("oscar").page
    page.goto("/admin/causes/")
    button = page.get_by_role("button", name=re.compile("^Requeue all"))
    for _ in range(60):  # from the beginning of the page, as a person without a mouse
        page.keyboard.press("Tab")
        if button.evaluate("button => button === document.activeElement"):
            break
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Are you sure?").wait_for()
    yes = page.get_by_role("button", name="Yes, go on")
    for _ in range(60):
        page.keyboard.press("Tab")
        if yes.evaluate("button => button === document.activeElement"):
            break
    page.keyboard.press("Enter")
    page.get_by_text(f"{BROKEN} of {BROKEN} documents requeued.").wait_for()
    wait_for(lambda: states(product, failed) == {"failed", "ready"}, 60, "them to fail again")
    events = product.api.get(f"documents/{failed[0]}/events").json()
    assert ("requeued", "oscar") in {(each["kind"], each["by"]) for each in events}


def test_the_reconciler_is_asked_for_a_dry_run_which_is_read_and_applied(
    people: People, failed: list[str], product: Product, pictures: Path | None
) -> None:
    lost = failed[-1]
    [file] = Path(product.setting("STORAGE_ROOT")).rglob(f"{lost}/original")
    content = file.read_bytes()
    file.unlink()
    oscar = people("oscar")
    page = oscar.page
    page.goto("/admin/documents/reconcilerun/")
    page.get_by_role("button", name=re.compile("^Dry run")).click()
    page.get_by_text("as soon as it is free").wait_for()

    def is_done() -> bool:
        page.reload()
        return page.get_by_text("Complete", exact=True).is_visible()

    wait_for(is_done, 60, "the dry run")
    assert page.get_by_text("stored file missing: found 1, mended 0").is_visible()
    oscar.check("admin-dry-run", pictures)
    assert states(product, [lost]) == {"ready"}
    page.get_by_role("button", name=re.compile("^Apply")).click()
    page.get_by_text("as soon as it is free").wait_for()
    wait_for(is_done, 60, "the run")
    assert page.get_by_text("stored file missing: found 1, mended 1").is_visible()
    wait_for(lambda: states(product, [lost]) == {"failed"}, 60, "it to say that its file is lost")
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    page.goto(f"/admin/documents/document/{lost}/change/")
    page.get_by_role("button", name="Requeue", exact=True).click()
    page.get_by_text("is processed again").wait_for()
    wait_for(lambda: states(product, [lost]) == {"ready"}, 60, "it to be ready again")


def test_what_an_operator_looks_at_is_in_the_audit_and_is_exported(
    people: People, failed: list[str]
) -> None:
    page = people("oscar").page
    page.goto(f"/admin/documents/document/{failed[0]}/change/")
    link = page.get_by_role("link", name="Open the file").get_attribute("href")
    assert link
    assert page.request.get(link).body().startswith(b"%PDF")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the log of its errors").click()
    assert "Traceback" in Path(download.value.path()).read_text()
    page.get_by_role("link", name="Who did what with it").click()
    page.wait_for_url(re.compile("document_id="))
    with page.expect_download() as download:
        page.get_by_role("link", name=re.compile("^Export")).click()
    lines = [json.loads(line) for line in Path(download.value.path()).read_text().splitlines()]
    deeds = {(line["person"], line["action"]) for line in lines}
    assert {("admin", "uploaded"), ("oscar", "read"), ("oscar", "downloaded")} <= deeds


def test_an_auditor_has_nothing_to_press(people: People, failed: list[str]) -> None:
    page = people("audrey").page
    for path in (f"/admin/documents/document/{failed[0]}/change/", *ADMIN.values()):
        if "password" in path:
            continue
        assert page.goto(path).status == 200, path
        forms = page.locator('main form[method="post"] button, main form[method="post"] select')
        assert forms.count() == 0, path


@pytest.mark.parametrize("name", ADMIN)
def test_a_page_of_the_operators(
    name: str, people: People, failed: list[str], pictures: Path | None
) -> None:
    oscar = people("oscar")
    oscar.page.goto(ADMIN[name])
    if name == "front":
        oscar.page.get_by_text(re.compile("All is well|Something is not well")).wait_for()
    oscar.check(f"admin-{name}", pictures)


def test_the_pages_of_one_document(
    people: People, failed: list[str], pictures: Path | None
) -> None:
    oscar = people("oscar")
    oscar.page.goto(f"/admin/documents/document/{failed[0]}/change/")
    oscar.check("admin-document", pictures)
    oscar.page.get_by_role("button", name="Delete", exact=True).click()
    oscar.page.get_by_role("heading", name="Are you sure?").wait_for()
    oscar.check("admin-document-delete", pictures)
    oscar.page.goto("/admin/causes/")
    oscar.page.get_by_role("button", name=re.compile("^Requeue all")).click()
    oscar.page.get_by_role("heading", name="Are you sure?").wait_for()
    oscar.check("admin-requeue", pictures)
    oscar.page.goto(f"/admin/documents/document/{failed[0]}/history/")
    oscar.check("admin-document-history", pictures)


@pytest.mark.parametrize("name", OF_ROOT)
def test_a_page_of_the_superuser(
    name: str, people: People, failed: list[str], pictures: Path | None
) -> None:
    otto = people("otto")
    otto.page.goto(OF_ROOT[name])
    otto.check(f"admin-{name}", pictures)
