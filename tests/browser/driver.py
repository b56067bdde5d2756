"""A headless Chromium, and what every page that it shows must be: quiet, accessible, ours alone."""

import os
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import axe_playwright_python
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text()
WIDE = {"width": 1280, "height": 900}
NARROW = {"width": 390, "height": 844}
SIGHTS = [
    (scheme, look, size)
    for scheme in ("light", "dark")
    for look, size in (("wide", WIDE), ("narrow", NARROW))
]
# A colour on its way from the light look to the dark one is neither.
AT_ITS_END = """document.body.offsetHeight;
    var moving = document.getAnimations().filter(each => each instanceof CSSTransition);
    moving.forEach(each => each.finish());"""
SERIOUS = {"serious", "critical"}
EXPECTED = re.compile(r"the server responded with a status of (4\d\d|503|507)")  # an upload, say


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's; as root it runs only without its own sandbox, as CI does."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, chromium_sandbox=os.getuid() != 0
        )
        yield browser
        browser.close()


class Person:
    """Somebody with a browser of his own; `page` is his tab."""

    def __init__(self, browser: Browser, base_url: str, name: str, password: str, full: bool):
        """Without a name he does not log in; `full`: he looks at every page in every way."""
        self.name = name
        self.full = full
        self.context: BrowserContext = browser.new_context(
            base_url=base_url, viewport=WIDE, accept_downloads=True
        )
        self.context.set_default_timeout(20_000)  # milliseconds
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        if name:
            self.log_in(name, password)

    def log_in(self, name: str, password: str) -> None:
        self.page.goto("/login/")
        self.page.get_by_label("User name").fill(name)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_url(lambda url: "/login/" not in url)

    def check(self, name: str, pictures: Path | None, but: Collection[str] = ()) -> None:
        """The page as it stands: axe finds nothing serious, it is no wider than its screen.

        Wide and light, and narrow and dark; with --full wide and dark, and narrow and light, too.
        `but`: rules of axe that the page of a library breaks. With `pictures`, it is photographed,
        in all four ways.
        """
        found = []
        for scheme, look, size in SIGHTS if self.full or pictures else SIGHTS[::3]:
            self.page.set_viewport_size(size)  # type: ignore[arg-type]
            self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            self.page.evaluate(AT_ITS_END)
            if pictures:
                pictures.mkdir(parents=True, exist_ok=True)
                path = pictures / f"{name}-{look}-{scheme}.png"
                self.page.screenshot(path=path, full_page=True)
            wider = self.page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            if wider > 0:
                found.append(f"{look}: {wider} pixels wider than the screen")
            found += [f"{look}, {scheme}: {each}" for each in self._axe(but)]
        self.page.set_viewport_size(WIDE)  # type: ignore[arg-type]
        self.page.emulate_media(color_scheme="light")
        assert not found, f"{name}:\n" + "\n".join(found)

    def _axe(self, but: Collection[str]) -> list[str]:
        """In a world beside the page's own scripts, so that its policy stays in force."""
        self.page.evaluate(AXE)
        results = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{each['id']}: {each['help']}: {node['html'][:200]}"
            for each in results["violations"]
            if each["impact"] in SERIOUS and each["id"] not in but
            for node in each["nodes"]
        ]

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not EXPECTED.search(message.text):
            self.complaints.append(message.text)
