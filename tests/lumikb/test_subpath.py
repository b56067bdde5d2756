"""Below a path of a host, as /kb: every link and every asset of every page leads somewhere."""

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

import h11
import httpx
import pytest
from django.contrib.auth.models import User
from django.core.handlers.wsgi import WSGIHandler
from django.urls import set_script_prefix
from gunicorn.config import Config
from selectolax.lexbor import LexborHTMLParser

from documents.models import ApiToken, Document, Membership
from lumikb.serving.wsgi import call, environ_of

pytestmark = pytest.mark.django_db(transaction=True)
HOST = "http://localhost"
MOST_OF_ADMIN = 50  # pages; the combinations of its filters have no end
LEADS = {"a": "href", "link": "href", "script": "src", "img": "src"}


class Web(httpx.BaseTransport):
    """The application as our server calls it, in this thread; a proxy may have taken `off`."""

    def __init__(self, off: bytes):
        self._application = WSGIHandler()
        self._off = off

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        target = request.url.raw_path
        assert target.startswith(b"/kb"), f"{target!r} is not ours"
        parsed = h11.Request(
            method=request.method,
            target=target.removeprefix(self._off) or b"/",
            headers=request.headers.raw,
        )
        environ = environ_of(parsed, ("127.0.0.1", 1), ("127.0.0.1", 80), Config())
        environ["wsgi.input"] = BytesIO(request.read())
        answer = call(self._application, environ)
        with answer.body:
            return httpx.Response(answer.status, headers=answer.headers, content=answer.body.read())


@pytest.fixture(params=["SCRIPT_NAME", "FORCE_SCRIPT_NAME"])
def browser(request: Any, settings: Any) -> Iterator[httpx.Client]:
    by_us = request.param == "SCRIPT_NAME"
    settings.SCRIPT_NAME = "/kb" if by_us else ""
    settings.FORCE_SCRIPT_NAME = "/kb"
    settings.SESSION_COOKIE_PATH = settings.CSRF_COOKIE_PATH = "/kb/"
    settings.STATIC_URL = "/kb/static/"  # what Django makes of ours when it starts
    set_script_prefix("/kb/")
    transport = Web(b"" if by_us else b"/kb")
    with httpx.Client(transport=transport, base_url=HOST, follow_redirects=True) as client:
        yield client
    set_script_prefix("/")


@pytest.fixture
def somebody(make_user: Callable[..., User], make_ready: Callable[..., Document]) -> User:
    """May see all there is, and there is something to see."""
    user = make_user("olga", is_staff=True, is_superuser=True)
    document = make_ready()
    make_ready("other.md", b"# Other\n\nAnother heron.\n")
    Membership.objects.create(
        knowledge_base=document.knowledge_base, user=user, role=Membership.Role.OWNER
    )
    return user


def log_in(browser: httpx.Client) -> httpx.Response:
    page = browser.get("/kb/")
    assert page.url.path == "/kb/login/"
    fields = LexborHTMLParser(page.text).css("form input[type=hidden]")
    data = {each.attributes["name"]: each.attributes["value"] for each in fields}
    return browser.post(page.url, data=data | {"username": "olga", "password": "right-horse-1"})


def leads(page: httpx.Response) -> Iterator[str]:
    """Where the page leads, and what it asks for by itself."""
    for node in LexborHTMLParser(page.text).css("*"):
        found = [node.attributes.get(LEADS.get(str(node.tag), "")), node.attributes.get("hx-get")]
        if node.tag == "form" and (node.attributes.get("method") or "get").lower() == "get":
            found.append(node.attributes.get("action"))
        for address in filter(None, found):
            whole = urldefrag(urljoin(str(page.url), address)).url
            if urlsplit(whole).netloc == urlsplit(HOST).netloc:
                yield whole


def test_every_link_and_every_asset_answers(somebody: User, browser: httpx.Client) -> None:
    assert log_in(browser).url.path == "/kb/"
    start = ["/kb/", "/kb/search?q=heron", "/kb/admin/", "/kb/api/v1/docs", "/kb/kb/handbook/"]
    waiting = [HOST + path for path in start]
    pages: set[str] = set()
    broken = {}
    of_admin = 0
    while waiting:
        address = waiting.pop()
        if address in pages or (of_admin > MOST_OF_ADMIN and "/admin/" in address):
            continue
        pages.add(address)
        of_admin += "/kb/admin/" in address
        answer = browser.get(address)
        if answer.status_code != 200:
            broken[address] = answer.status_code
        elif answer.headers["Content-Type"].startswith("text/html"):
            waiting += [lead for lead in leads(answer) if lead not in pages]
    assert broken == {}
    paths = {urlsplit(page).path for page in pages}
    assert {"/kb/static/lumikb.css", "/kb/static/lumikb.js", "/kb/kb/handbook/"} <= paths
    assert any(path.startswith("/kb/documents/") for path in paths)
    assert any(path.startswith("/kb/static/admin/") for path in paths)


def test_the_api_and_its_description_are_there(somebody: User, browser: httpx.Client) -> None:
    browser.headers["Authorization"] = f"Bearer {ApiToken.issue(somebody, 'test')}"
    documents = browser.get("/kb/api/v1/knowledge-bases/handbook/documents").json()
    [first, _] = documents["results"]
    assert browser.get(f"/kb/api/v1/documents/{first['id']}/content").content.startswith(b"#")
    described = browser.get("/kb/api/v1/openapi.json").json()
    assert all(path.startswith("/kb/api/v1/") for path in described["paths"])


@pytest.mark.parametrize(
    ("path", "status"),
    [("/kb/api/v1/nothing", 404), ("/kb/api/v1/knowledge-bases", 401), ("/kb/api/", 404)],
)
def test_errors_of_the_api_are_json(browser: httpx.Client, path: str, status: int) -> None:
    answer = browser.get(path)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


def test_who_logs_out_and_in_stays_below_it(somebody: User, browser: httpx.Client) -> None:
    home = log_in(browser)
    assert {cookie.path for cookie in browser.cookies.jar} == {"/kb/"}
    token = LexborHTMLParser(home.text).css_first("input[name=csrfmiddlewaretoken]")
    data = {"csrfmiddlewaretoken": token.attributes["value"]}
    assert browser.post("/kb/logout/", data=data).url.path == "/kb/login/"
    assert browser.get("/kb/kb/handbook/").url == HOST + "/kb/login/?next=/kb/kb/handbook/"


def test_who_asks_from_within_needs_no_prefix(settings: Any) -> None:
    """The health checks of containers; and a name that only begins as the prefix does is not it."""
    settings.SCRIPT_NAME = "/kb"
    for target, expected in {
        "/health/live": ("/kb", "/health/live"),
        "/kb/health/live": ("/kb", "/health/live"),
        "/kb": ("/kb", ""),
        "/kbs/a": ("/kb", "/kbs/a"),
    }.items():
        request = h11.Request(method="GET", target=target, headers=[("Host", "localhost")])
        environ = environ_of(request, ("127.0.0.1", 1), ("127.0.0.1", 80), Config())
        assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == expected
