"""What a browser, a stranger and a proxy can and cannot do to a deployment."""

import io
import re
import runpy
from collections.abc import Callable, Iterator
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.conf import settings as configured
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db.models import F
from django.test import Client, RequestFactory
from environs import EnvError

from documents.models import ApiToken, AuditEntry, Document, KnowledgeBase
from lumikb.network import client_address
from tests.documents.test_permissions import addresses

ROOT = Path(__file__).parents[2]
POLICY = {
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
}
PRODUCTION = {"HTTPS": "true", "TRUSTED_PROXIES": "1"}
SWAGGER = {"/api/v1/docs", "/api/v1/openapi.json"}
LOGIN = {"username": "edith", "password": "wrong"}


# --- The settings of production -----------------------------------------------------------------


def read_settings(monkeypatch: pytest.MonkeyPatch, **env: str) -> dict[str, Any]:
    """The settings of a process with this environment."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return runpy.run_path(str(ROOT / "lumikb" / "settings.py"))


@pytest.fixture
def production(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[dict[str, Any]]:
    """The settings that production changes, in force; none of the services'."""
    ours = read_settings(monkeypatch)
    theirs = read_settings(monkeypatch, **PRODUCTION)
    changed = {name for name in theirs if name.isupper() and theirs[name] != ours.get(name)}
    for name in changed - {"DATABASES", "DRAMATIQ_BROKER"}:
        setattr(settings, name, theirs[name])
    return theirs


def test_production_is_what_djangos_deployment_checks_ask_for(production: Any) -> None:
    call_command("check", deploy=True, fail_level="WARNING")


def test_plain_http_is_not() -> None:
    with pytest.raises(SystemCheckError, match=r"security\.W012"):
        call_command("check", deploy=True, fail_level="WARNING")


def test_behind_a_proxy_with_tls_browsers_are_kept_there(production: dict[str, Any]) -> None:
    browser = Client(headers={"Host": "localhost"})
    plain = browser.get("/login/?next=/")
    assert (plain.status_code, plain.headers["Location"]) == (
        301, "https://localhost/login/?next=/",
    )  # fmt: skip
    tls = browser.get("/login/", headers={"X-Forwarded-Proto": "https"})
    assert (tls.status_code, tls.headers["Strict-Transport-Security"]) == (200, "max-age=31536000")
    cookie = set(str(tls.cookies["csrftoken"]).split("; "))
    assert {"Secure", "HttpOnly", "SameSite=Strict"} <= cookie
    assert production["SESSION_COOKIE_SECURE"]
    assert browser.get("/health/live").status_code == 200  # a probe comes without TLS


@pytest.mark.parametrize("path", ["/login/", "/api/v1/knowledge-bases"])
def test_a_host_that_is_not_ours_is_told_what_to_do_and_not_repeated(path: str) -> None:
    answer = Client(headers={"Host": "evil.example"}).get(path)
    said = answer.content.decode()
    assert answer.status_code == 400
    assert "ask its operator to add this one to ALLOWED_HOSTS." in said
    assert "evil" not in said
    if path.startswith("/api/"):
        assert answer.json()["error"]["code"] == "unknown_host"
    else:
        assert "<h1>Not an address of LumiKB</h1>" in said


def test_without_a_proxy_nobody_is_believed_that_he_came_by_tls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone = read_settings(monkeypatch, **PRODUCTION | {"TRUSTED_PROXIES": "0"})
    assert alone["SECURE_SSL_REDIRECT"]
    assert "SECURE_PROXY_SSL_HEADER" not in alone


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "swordfish"),
        ("TRUSTED_PROXIES", "-1"),
        ("ADMIN_ALLOWED_NETWORKS", "10.0.0.0/8,swordfish"),
        ("LOGIN_FAILURES", "0"),
        ("LOGIN_FAILURES_PER_NETWORK", "0"),
    ],
)
def test_a_setting_that_protects_nothing_stops_the_start(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EnvError, match=name) as error:
        read_settings(monkeypatch, **{name: value})
    if name == "SECRET_KEY":
        assert "32 characters or more" in str(error.value)
        assert value not in str(error.value)


# --- Content-Security-Policy --------------------------------------------------------------------


def policy_of(response: Any) -> set[str]:
    return set(response.headers["Content-Security-Policy"].split("; "))


@pytest.mark.django_db
def test_every_answer_has_the_policy(make_user: Callable[..., User], settings: Any) -> None:
    root = Client(raise_request_exception=False)
    root.force_login(make_user("root", is_superuser=True, is_staff=True))
    missing = "00000000-0000-0000-0000-000000000000"
    paths = [re.sub(r"<[^>]*>", missing, f"/{address}") for address in addresses()]
    admin = [
        "",
        "login/",
        "documents/document/",
        "documents/apitoken/add/",
        "auth/user/",
        "jsi18n/",
    ]
    static = ["/static/lumikb.js", "/static/favicon.svg", "/static/admin/css/base.css"]
    for path in [*paths, *(f"/admin/{each}" for each in admin), *static, "/nothing"]:
        allowed = {"img-src 'self' data:"} if path in SWAGGER else {"img-src 'self'"}
        expected = POLICY - {"img-src 'self'"} | allowed
        for browser in (Client(), root):
            for ask in (browser.get, browser.post):
                assert policy_of(ask(path)) == expected, path


@pytest.mark.django_db
def test_a_crash_has_the_policy_too(page: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("documents.views.knowledge_base_for", lambda *args: 1 / 0)
    page.raise_request_exception = False
    response = page.get("/kb/handbook/")
    assert response.status_code == 500
    assert policy_of(response) == POLICY


INLINE = re.compile(
    r"<style|\sstyle=|<script(?![^>]*\ssrc=)|\son[a-z]+=|javascript:|\shx-on|(src|href)=.?https?:",
    re.I,
)


def test_the_templates_have_nothing_inline_and_nothing_from_elsewhere() -> None:
    templates = list((ROOT / "templates").rglob("*.html"))
    assert len(templates) > 20
    for template in templates:
        assert not INLINE.search(template.read_text()), template
    for markup in (
        '<p style="x">',
        "<script>1</script>",
        '<a onclick="x">',
        '<a href="https://x">',
    ):
        assert INLINE.search(markup)


def test_the_description_of_the_api_loads_nothing_from_elsewhere(client: Client) -> None:
    content = client.get("/api/v1/docs").content.decode()
    sources = re.findall(r"(?:src|href)=\"([^\"]+)", content)
    assert len(sources) >= 3
    assert all(source.startswith(("/static/ninja/", "/static/apidocs.css")) for source in sources)


# --- Who guesses passwords ----------------------------------------------------------------------


@pytest.fixture
def edith(make_user: Callable[..., User]) -> User:
    return make_user("edith", is_staff=True, is_superuser=True)


def fail(times: int, path: str = "/login/", **headers: Any) -> Any:
    for _ in range(times):
        response = Client().post(path, LOGIN, **headers)
    return response


def logs_in(path: str = "/login/", **headers: Any) -> bool:
    response = Client().post(path, LOGIN | {"password": "right-horse-1"}, **headers)
    assert response.status_code in (302, 429)
    return response.status_code == 302


def test_who_guesses_passwords_is_locked_out_and_told_what_to_do(edith: User) -> None:
    assert fail(4).status_code == 200
    assert logs_in()  # and what failed before is forgotten
    assert fail(4).status_code == 200
    response = fail(1)
    assert (response.status_code, response.headers["Retry-After"]) == (429, "900")
    assert (
        "Too many attempts to log in failed. Wait 15 minutes before the next one, or ask your "
        "operator to unlock you."
    ) in response.content.decode()
    assert not logs_in()


def test_the_admin_has_no_login_of_its_own(edith: User) -> None:
    """It would ask for no second factor."""
    browser = Client()
    right = LOGIN | {"password": "right-horse-1"}
    answer = browser.post("/admin/login/?next=/admin/axes/", right)
    assert answer.headers["Location"] == "/login/?next=/admin/axes/"
    assert "sessionid" not in browser.cookies


def test_only_that_user_from_that_address_is_locked_out(edith: User, make_user: Any) -> None:
    make_user("otto")
    assert fail(5).status_code == 429
    assert logs_in(REMOTE_ADDR="192.0.2.7")
    assert Client().post("/login/", {"username": "otto", "password": "no"}).status_code == 200


def test_a_lock_ends_by_itself_however_often_one_tries_meanwhile(edith: User) -> None:
    fail(8)
    AccessAttempt.objects.update(attempt_time=F("attempt_time") - timedelta(minutes=14))
    assert not logs_in()
    AccessAttempt.objects.update(attempt_time=F("attempt_time") - timedelta(minutes=1))
    assert logs_in()


def test_an_operator_unlocks_in_the_admin_or_by_command(edith: User, make_user: Any) -> None:
    operator = Client()
    operator.force_login(make_user("root", is_staff=True, is_superuser=True))
    fail(5)
    attempt = AccessAttempt.objects.get()
    assert b"edith" in operator.get("/admin/axes/accessattempt/").content
    assert operator.get(f"/admin/axes/accessattempt/{attempt.pk}/change/").status_code == 200
    operator.post(f"/admin/axes/accessattempt/{attempt.pk}/delete/", {"post": "yes"})
    assert logs_in()
    unlocked = AuditEntry.objects.get(what__startswith="accessattempt", person="root")
    assert unlocked.what == "accessattempt: edith from 127.0.0.1"
    fail(5)
    assert not logs_in()
    call_command("axes_reset_username", "edith", stdout=io.StringIO())
    assert logs_in()


def test_a_client_cannot_choose_the_address_that_is_counted(edith: User, settings: Any) -> None:
    for number in range(5):
        fail(1, HTTP_X_FORWARDED_FOR=f"192.0.2.{number}")
    assert not logs_in(HTTP_X_FORWARDED_FOR="192.0.2.9")
    settings.TRUSTED_PROXIES = 1
    for number in range(5):
        fail(1, HTTP_X_FORWARDED_FOR=f"192.0.2.{number}, 198.51.100.1")
    assert not logs_in(HTTP_X_FORWARDED_FOR="192.0.2.9, 198.51.100.1")
    assert logs_in(HTTP_X_FORWARDED_FOR="192.0.2.9, 198.51.100.2")


def test_who_tries_many_names_from_one_address_is_slowed(make_user: Any) -> None:
    make_user("otto")
    statuses = [
        Client().post("/login/", {"username": f"name-{number}", "password": "no"}).status_code
        for number in range(60)
    ]
    assert statuses == [200] * 29 + [429] * 31
    right = {"username": "otto", "password": "right-horse-1"}
    assert Client().post("/login/", right).status_code == 429
    assert Client().post("/login/", right, REMOTE_ADDR="192.0.2.7").status_code == 302
    AccessAttempt.objects.update(attempt_time=F("attempt_time") - timedelta(minutes=15))
    assert Client().post("/login/", right).status_code == 302


def test_a_64_of_ipv6_is_one_client(edith: User, make_user: Any) -> None:
    for number in range(5):
        response = fail(1, REMOTE_ADDR=f"2001:db8:0:1:{number:x}::{number:x}")
    assert response.status_code == 429
    assert not logs_in(REMOTE_ADDR="2001:db8:0:1:ffff:ffff:ffff:ffff")
    assert logs_in(REMOTE_ADDR="2001:db8:0:2::1")
    for number in range(60):
        data = {"username": f"name-{number}", "password": "no"}
        Client().post("/login/", data, REMOTE_ADDR=f"2001:db8:0:3::{number:x}")
    assert not logs_in(REMOTE_ADDR="2001:db8:0:3:1::1")


def test_behind_a_shared_proxy_a_browser_in_which_one_has_logged_in_is_let_in(
    edith: User, make_user: Any
) -> None:
    path = "/login/"
    make_user("otto", is_staff=True)
    browser = Client()
    right = {"username": "edith", "password": "right-horse-1"}
    assert browser.post(path, right).status_code == 302
    browser.post("/logout/")
    for number in range(40):
        Client().post("/login/", {"username": f"name-{number}", "password": "no"})
    assert not logs_in()
    assert browser.post(path, right | {"username": "otto"}).status_code == 429
    assert browser.post(path, right).status_code == 302
    browser.post("/logout/")
    for _ in range(5):  # it is no way around the limit for the name itself
        browser.post(path, right | {"password": "no"})
    assert browser.post(path, right).status_code == 429
    forged = Client()
    forged.cookies["known_browser"] = "edith:1:forged"
    assert forged.post(path, right, REMOTE_ADDR="127.0.0.1").status_code == 429


def test_whose_address_nobody_knows_is_not_counted_with_all_others(edith: User) -> None:
    for number in range(40):
        data = {"username": f"name-{number}", "password": "no"}
        Client().post("/login/", data, REMOTE_ADDR="")
    assert logs_in(REMOTE_ADDR="")


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "", "10.0.0.9"),
        (0, "192.0.2.1", "10.0.0.9"),
        (1, "192.0.2.1", "192.0.2.1"),
        (1, "6.6.6.6, 192.0.2.1", "192.0.2.1"),
        (2, "6.6.6.6, 192.0.2.1, 10.0.0.8", "192.0.2.1"),
        (1, "::ffff:192.0.2.1", "192.0.2.1"),
        (1, "2001:db8::1", "2001:db8::1"),
        (1, "", None),
        (1, "unknown", None),
    ],
)
def test_the_clients_address_is_what_our_outermost_proxy_saw(
    proxies: int, forwarded: str, address: str | None, settings: Any
) -> None:
    settings.TRUSTED_PROXIES = proxies
    headers = {"HTTP_X_FORWARDED_FOR": forwarded} if forwarded else {}
    request = RequestFactory().get("/", REMOTE_ADDR="10.0.0.9", **headers)
    assert client_address(request) == address


@pytest.mark.django_db
def test_a_token_that_is_a_guess_costs_a_look_up_or_none(django_assert_num_queries: Any) -> None:
    for token, queries in (("lumikb_guess", 1), ("guess", 0)):
        with django_assert_num_queries(queries):
            assert ApiToken.user_of(token) is None


# --- The admin ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/admin", "/admin/", "/admin/login/", "/admin/documents/document/"]
)
def test_from_other_networks_there_is_no_admin(path: str, edith: User, settings: Any) -> None:
    settings.ADMIN_ALLOWED_NETWORKS = [ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")]
    root = Client()
    root.force_login(edith)
    nothing = root.get("/nothing/")
    elsewhere = root.get(path, REMOTE_ADDR="192.0.2.1")
    assert (elsewhere.status_code, elsewhere.content) == (404, nothing.content)
    assert (
        root.get(path, REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR="10.1.2.3").status_code == 404
    )
    for address in ("10.1.2.3", "2001:db8::7"):
        assert root.get(path, REMOTE_ADDR=address).status_code in (200, 301, 302)
    assert root.get("/", REMOTE_ADDR="192.0.2.1").status_code == 200


def test_staff_without_rights_sees_and_changes_nothing_in_the_admin(make_user: Any) -> None:
    staff = Client()
    staff.force_login(make_user("staff", is_staff=True))
    for model in ("documents/document", "documents/apitoken", "documents/knowledgebase",
                  "documents/outboxmessage", "axes/accessattempt", "auth/user"):  # fmt: skip
        for path in (f"/admin/{model}/", f"/admin/{model}/add/"):
            assert staff.get(path).status_code == 403, path
            assert staff.post(path, {"action": "requeue"}).status_code == 403, path


# --- Bodies -------------------------------------------------------------------------------------


class Body(io.BytesIO):
    """An endless one, if it is read."""

    def __init__(self) -> None:
        head = b'Content-Disposition: form-data; name="file"; filename="new.md"'
        super().__init__(b"--b\r\n" + head + b"\r\n\r\n" + b"x" * 1_000_000 + b"\r\n--b--\r\n")
        self.length = len(self.getvalue())

    def send(self, client: Client, method: str, path: str, **headers: str) -> Any:
        return client.request(
            REQUEST_METHOD=method, PATH_INFO=path, CONTENT_LENGTH=str(self.length),
            CONTENT_TYPE="multipart/form-data; boundary=b", **{"wsgi.input": self}, **headers,
        )  # fmt: skip


UPLOADS = [
    ("POST", "/login/", 403),
    ("POST", "/kb/handbook/upload", 403),
    ("POST", "/admin/login/", 403),
    ("POST", "/api/v1/knowledge-bases/handbook/documents", 401),
    ("PUT", "/api/v1/documents/00000000-0000-0000-0000-000000000000/file", 401),
]


@pytest.mark.parametrize(("method", "path", "status"), UPLOADS)
@pytest.mark.parametrize("token", ["", "lumikb_guess"])
def test_nobody_knows_you_nobody_reads_your_file(
    token: str, method: str, path: str, status: int, knowledge_base: KnowledgeBase
) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.get("/login/")  # without its cookie, no form is read
    body = Body()
    headers = {"HTTP_AUTHORIZATION": f"Bearer {token}"} if token else {}
    response = body.send(browser, method, path, **headers)
    assert (response.status_code, body.tell()) == (status, 0)


def test_a_known_caller_is_read(
    make_document: Callable[..., Document], editor: User, api: Callable[[User], Client]
) -> None:
    path = f"/api/v1/documents/{make_document().pk}/file"
    assert Body().send(api(editor), "PUT", path).status_code == 201
    assert Document.objects.live().get().size == 1_000_000


def test_a_body_of_json_is_bounded(editor: User, api: Callable[[User], Client]) -> None:
    text = "x" * (configured.DATA_UPLOAD_MAX_MEMORY_SIZE or 0)
    response = api(editor).post("/api/v1/search", {"query": text}, "application/json")
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "request_too_large"


# --- Files --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "kept", "disposition"),
    [
        ('filename="a.html"', "a.html", 'attachment; filename="a.html"'),
        (
            "filename*=UTF-8''a%22%3B%20b%0D%0AX-Evil%3A%201.html",
            'a"; bX-Evil: 1.html',
            r'attachment; filename="a\"; bX-Evil: 1.html"',
        ),
        (
            "filename*=UTF-8''%C3%A9%22%0D%0A.html",
            'é".html',
            "attachment; filename*=utf-8''%C3%A9%22.html",
        ),
    ],
)
def test_a_page_that_was_uploaded_is_saved_and_never_shown(
    sent: str, kept: str, disposition: str, editor: User, knowledge_base: KnowledgeBase, api: Any
) -> None:
    page = b"<script>alert(1)</script>"
    head = f'Content-Disposition: form-data; name="file"; {sent}\r\nContent-Type: text/html'
    body = b"--b\r\n" + head.encode() + b"\r\n\r\n" + page + b"\r\n--b--\r\n"
    client = api(editor)
    path = "/api/v1/knowledge-bases/handbook/documents"
    stored = client.generic("POST", path, body, "multipart/form-data; boundary=b").json()
    assert stored["filename"] == kept
    response = client.get(f"/api/v1/documents/{stored['id']}/content")
    assert response.headers["Content-Disposition"] == disposition
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert {"sandbox", "default-src 'none'"} <= policy_of(response)
    assert "X-Evil" not in response.headers
    assert b"".join(response.streaming_content) == page


def test_a_drawing_that_could_run_scripts_is_saved_and_never_shown(
    editor: User, knowledge_base: KnowledgeBase, api: Callable[[User], Client]
) -> None:
    drawing = io.BytesIO(b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>')
    drawing.name = "a.svg"
    path = "/api/v1/knowledge-bases/handbook/documents"
    stored = api(editor).post(path, {"file": drawing}).json()
    response = api(editor).get(f"/api/v1/documents/{stored['id']}/content")
    assert response.headers["Content-Disposition"] == 'attachment; filename="a.svg"'
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert {"sandbox", "default-src 'none'"} <= policy_of(response)
