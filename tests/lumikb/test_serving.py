"""lumikb/serving: what slow, broken and many clients cost the others, over real sockets."""

import http.client
import io
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper

import httpx
import pytest
from django.core.wsgi import get_wsgi_application
from gunicorn.config import Config
from gunicorn.glogging import Logger

from documents.models import ApiToken
from lumikb.serving import admission, conversation, patience
from lumikb.serving.worker import Worker

SILENCE = 0.6  # seconds here, 20 in production
LARGE = 8 * 1024 * 1024  # more than the kernel keeps for a client that does not read


class Application:
    """Notes what it is asked; answers as the path says."""

    def __init__(self, directory: Path):
        self.requests: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        self.go_on = threading.Event()
        self.begun = threading.Event()
        self.large = directory / "large"
        self.large.write_bytes(bytes(LARGE))
        self.opened: list[io.BufferedReader] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        self.requests.append(environ)
        path, size = environ["PATH_INFO"], int(environ.get("CONTENT_LENGTH", 0))
        if path == "/wait" or environ["QUERY_STRING"] == "wait":
            self.begun.set()
            self.go_on.wait(30)
        if path == "/crash":
            raise RuntimeError("the application is broken")
        if path == "/large":
            self.opened.append(self.large.open("rb"))
            start_response("200 OK", [("Content-Length", str(LARGE))])
            return FileWrapper(self.opened[-1])
        if path == "/refuse":
            start_response("401 Unauthorized", [("Content-Length", "2")])
            return [b"no"]
        body = environ["wsgi.input"].read(size)
        self.bodies.append(body)
        answer = b"%d" % len(body)
        start_response("200 OK", [("Content-Length", str(len(answer)))])
        return [answer]


class Server:
    def __init__(self, application: Application, **settings: Any):
        self.application = application
        cfg = Config()
        for name, value in ({"threads": 1, "graceful_timeout": 10} | settings).items():
            cfg.set(name, value)
        listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.port = listener.getsockname()[1]
        self.worker = Worker(0, os.getppid(), [listener], None, 30, cfg, Logger(cfg))
        self.worker.prepare()
        self.worker.wsgi = application
        self.clients: list[socket.socket] = []
        self.thread = threading.Thread(target=self.worker.run)
        self.thread.start()

    def stop(self) -> None:
        for client in self.clients:
            client.close()
        self.application.go_on.set()
        self.worker.handle_exit(0, None)
        self.thread.join(20)
        assert not self.thread.is_alive()

    def connect(self, sent: bytes = b"", small: bool = False) -> socket.socket:
        client = socket.socket()
        self.clients.append(client)
        client.settimeout(20)
        if small:  # this client's kernel takes little of what he does not read
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", self.port))
        client.sendall(sent)
        return client

    def get(self, path: str = "/", **headers: str) -> tuple[int, bytes]:
        return self.ask("GET", path, None, headers)

    def ask(self, method: str, path: str, body: Any, headers: Any = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        return response.status, answer


@pytest.fixture
def application(tmp_path: Path) -> Application:
    return Application(tmp_path)


@pytest.fixture
def make_server(
    application: Application, settings: Any, tmp_path: Path
) -> Iterator[Callable[..., Server]]:
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path)
    with ExitStack() as stack:

        def make(**settings: Any) -> Server:
            server = Server(application, **settings)
            stack.callback(server.stop)
            return server

        yield make


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    return make_server()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (patience, conversation):
        monkeypatch.setattr(module, "SILENCE", SILENCE)
    monkeypatch.setattr(conversation, "LOOK", 0.05)
    monkeypatch.setattr(conversation, "LINGER_SILENCE", 0.1)


HEAD = b"Host: localhost\r\n"
IN_CHUNKS = b"Transfer-Encoding: chunked\r\n\r\n"
SLOW = {
    "says nothing": b"",
    "a head": b"GET / HTTP/1.1\r\n" + HEAD + b"X-Slow: ",
    "a body": b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: 500\r\n\r\nname=",
    "a body in chunks": b"POST / HTTP/1.1\r\n"
    + HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n1f4\r\nna",
    "a download": b"GET /large HTTP/1.1\r\n" + HEAD + b"\r\n",
    "a kept connection": b"GET / HTTP/1.1\r\n" + HEAD + b"\r\n",
}


def until_closed(client: socket.socket, *, sending: bytes = b"", every: float = 0.1) -> bytes:
    """What comes until the server closes the connection, while the client sends bytes."""
    received = b""
    client.settimeout(every)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            if sending:
                client.send(sending)
            data = client.recv(100_000)
        except TimeoutError:
            continue
        except OSError:
            return received
        if not data:
            return received
        received += data
    raise AssertionError("the server did not close the connection")


# --- slow clients ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["a head", "a body", "a body in chunks"])
def test_who_sends_a_byte_now_and_then_is_told_and_dropped(
    impatient: None, server: Server, kind: str
) -> None:
    answer = until_closed(server.connect(SLOW[kind]), sending=b"a")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert server.application.requests == []


@pytest.mark.parametrize("kind", ["a head", "a body", "a body in chunks"])
def test_who_falls_silent_is_told_and_dropped(impatient: None, server: Server, kind: str) -> None:
    assert until_closed(server.connect(SLOW[kind])).startswith(b"HTTP/1.1 408 ")


def test_who_says_nothing_is_dropped(impatient: None, server: Server) -> None:
    assert until_closed(server.connect()) == b""


def test_who_asks_nothing_more_is_dropped(make_server: Callable[..., Server]) -> None:
    server = make_server(keepalive=1)
    assert until_closed(server.connect(SLOW["a kept connection"])).endswith(b"\r\n\r\n0")


def test_who_does_not_take_his_answer_is_dropped(impatient: None, server: Server) -> None:
    client = server.connect(SLOW["a download"], small=True)
    eventually(lambda: server.application.opened and not server.worker.conversations)
    eventually(lambda: server.application.opened[0].closed)
    client.recv(LARGE)
    with pytest.raises(ConnectionResetError):  # the kernel keeps nothing more for him
        client.recv(LARGE)


def test_who_takes_his_answer_by_bytes_is_dropped(impatient: None, server: Server) -> None:
    client = server.connect(SLOW["a download"], small=True)
    eventually(lambda: server.worker.conversations)
    eventually(lambda: client.recv(1) and not server.worker.conversations)


def test_who_is_slow_but_not_that_slow_is_served(
    impatient: None, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All in all much longer than SILENCE."""
    client = server.connect(b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: 6000\r\n\r\n")
    for _ in range(12):
        time.sleep(SILENCE / 6)
        client.sendall(bytes(500))
    assert client.recv(1000).endswith(b"\r\n\r\n6000")


def test_who_takes_a_large_answer_slowly_gets_all_of_it(impatient: None, server: Server) -> None:
    client = server.connect(SLOW["a download"])
    head, _, body = client.recv(1000).partition(b"\r\n\r\n")
    began, got = time.monotonic(), len(body)
    while got < LARGE:
        if time.monotonic() - began < 3 * SILENCE:
            time.sleep(SILENCE / 6)
        got += len(client.recv(400_000))
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert got == LARGE


@pytest.mark.parametrize("kind", SLOW)
def test_slow_clients_hinder_nobody(server: Server, kind: str) -> None:
    """One thread, and 200 who keep it waiting: none of them has it."""
    for _ in range(200):
        server.connect(SLOW[kind], small=True)
    eventually(lambda: len(server.worker.conversations) == 200)
    assert server.get() == (200, b"0")


def test_when_there_are_too_many_the_one_who_waits_longest_goes(
    make_server: Callable[..., Server],
) -> None:
    server = make_server(worker_connections=5)
    first, *others = [server.connect(SLOW["a head"]) for _ in range(5)]
    assert server.get() == (200, b"0")
    assert until_closed(first) == b""
    others[0].settimeout(0.05)
    with pytest.raises(TimeoutError):
        others[0].recv(1)


def test_when_no_file_is_left_for_another_the_one_who_waits_longest_goes(server: Server) -> None:
    class Listener:
        def accept(self) -> None:
            raise OSError(24, "Too many open files")

    slow = server.connect(SLOW["a head"])
    eventually(lambda: server.worker.conversations)
    server.worker.loop.call_soon_threadsafe(server.worker._accept, Listener())
    assert until_closed(slow) == b""
    assert server.get() == (200, b"0")


def test_whose_request_is_at_work_is_not_dropped_for_others(
    make_server: Callable[..., Server],
) -> None:
    server = make_server(worker_connections=3, threads=2)
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(server.get, "/wait")
        server.application.begun.wait(10)
        slow = [server.connect(SLOW["a head"]) for _ in range(4)]
        assert server.get("/health/live") == (200, b"0")
        server.application.go_on.set()
        assert working.result() == (200, b"0")
    assert len(slow) == 4


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_whoever_asks_one_address_a_hundred_times_leaves_threads_for_the_others(
    make_server: Callable[..., Server], method: str
) -> None:
    server = make_server(threads=4)
    with ThreadPoolExecutor(20) as pool:
        many = [pool.submit(server.ask, method, "/login/?wait", None) for _ in range(20)]
        eventually(lambda: len(server.application.requests) >= (1 if method == "GET" else 3))
        eventually(lambda: len(server.worker.conversations) == 20)
        assert server.get("/health/live") == (200, b"0")
        assert server.ask("POST", "/api/v1/search", b"{}") == (200, b"2")
        server.application.go_on.set()
        assert [each.result() for each in many] == [(200, b"0")] * 20


# --- whole requests -------------------------------------------------------------------------------


def test_a_thread_gets_a_request_when_all_of_it_is_there(server: Server) -> None:
    client = server.connect(b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: 6\r\n\r\nabc")
    eventually(lambda: server.worker.conversations)
    assert server.get() == (200, b"0")
    assert len(server.application.requests) == 1
    client.sendall(b"def")
    assert client.recv(1000).endswith(b"\r\n\r\n6")
    assert server.application.bodies == [b"", b"abcdef"]


def test_a_large_body_waits_on_the_disk(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(conversation, "most_bytes", lambda environ: LARGE)
    client = server.connect(b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: 1000000\r\n\r\n")
    client.sendall(bytes(999_999))
    eventually(lambda: sum(unnamed_files(tmp_path)) > 500_000)
    client.sendall(b"x")
    assert client.recv(1000).endswith(b"\r\n\r\n1000000")
    eventually(lambda: unnamed_files(tmp_path) == [])


def unnamed_files(directory: Path) -> list[int]:
    """Sizes of those that this process has open there."""
    found = []
    for file in Path("/proc/self/fd").iterdir():
        try:
            if (target := os.readlink(file)).startswith(f"{directory}/") and "deleted" in target:
                found.append(os.stat(file).st_size)
        except OSError:
            continue
    return found


def test_a_body_in_chunks_has_a_length_when_it_is_there(server: Server) -> None:
    pieces = (piece for piece in (b"one", b"", b"two", b"three"))
    assert server.ask("POST", "/", pieces) == (200, b"11")
    [environ] = server.application.requests
    assert environ["CONTENT_LENGTH"] == "11"
    assert "HTTP_TRANSFER_ENCODING" not in environ
    assert server.application.bodies == [b"onetwothree"]


def test_a_client_that_waits_for_it_is_told_to_go_on(server: Server) -> None:
    client = server.connect(
        b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    )
    assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.sendall(b"abc")
    assert client.recv(1000).endswith(b"\r\n\r\n3")


def test_a_connection_serves_many_requests_one_after_the_other(server: Server) -> None:
    one = b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: %d\r\n\r\n%b"
    client = server.connect(one % (1, b"a") + one % (2, b"bb") + one % (3, b"ccc"))
    received = b""
    while received.count(b"HTTP/1.1 200 OK") < 3 or not received.endswith(b"\r\n\r\n3"):
        received += client.recv(1000)
    assert server.application.bodies == [b"a", b"bb", b"ccc"]


def test_an_answer_to_head_has_no_body(server: Server) -> None:
    client = server.connect(b"HEAD /large HTTP/1.1\r\n" + HEAD + b"Connection: close\r\n\r\n")
    answer = until_closed(client)
    assert f"Content-Length: {LARGE}".encode() in answer
    assert answer.endswith(b"\r\n\r\n")
    eventually(lambda: server.application.opened[0].closed)


@pytest.mark.django_db(transaction=True)
def test_what_django_answers_arrives_as_it_is(server: Server) -> None:
    """A page with its cookie, a redirect, a file, an error of the API."""
    server.worker.wsgi = get_wsgi_application()
    with httpx.Client(base_url=f"http://localhost:{server.port}", trust_env=False) as browser:
        page = browser.get("/login/")
        assert (page.status_code, page.reason_phrase) == (200, "OK")
        assert page.cookies["csrftoken"]
        assert b"csrfmiddlewaretoken" in page.content
        assert browser.get("/").headers["Location"] == "/login/?next=/"
        script = browser.get("/static/lumikb.js")
        assert script.content == (Path(__file__).parents[2] / "static/lumikb.js").read_bytes()
        assert browser.get("/api/v1/nothing").json()["error"]["code"] == "not_found"
        assert browser.head("/login/").content == b""


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET / HTTP/1.1\r\n" + HEAD + b"X-Long: " + b"x" * 70_000, 431),
        (b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\n" + HEAD + IN_CHUNKS + b"xyz\r\n", 400),
    ],
)
def test_what_is_not_http_is_refused(
    server: Server, sent: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    client = server.connect(sent)
    client.shutdown(socket.SHUT_WR)
    assert until_closed(client).startswith(b"HTTP/1.1 %d " % status)
    assert server.application.requests == []
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("cut", [0, 10, 14, 17, 22, 60])
def test_letters_beyond_ascii_in_an_address_are_taken_as_percent_encoded(
    server: Server, cut: int
) -> None:
    body = "Süd\nö".encode()
    sent = "POST /Ä/b?q=Süd HTTP/1.1\r\n".encode() + HEAD + b"X-Name: \xfc\r\n"
    sent += b"Content-Length: %d\r\n\r\n" % len(body) + body
    client = server.connect(sent[:cut])
    time.sleep(0.1)
    client.sendall(sent[cut:])
    eventually(lambda: server.application.bodies == [body])
    client.sendall("GET /?q=\u6f22\xfc HTTP/1.1\r\n".encode() + HEAD + b"\r\n")
    eventually(lambda: len(server.application.requests) == 2)
    first, second = server.application.requests
    assert first["PATH_INFO"].encode("latin-1").decode() == "/Ä/b"
    assert (first["QUERY_STRING"], first["HTTP_X_NAME"]) == ("q=S%C3%BCd", "ü")
    assert second["QUERY_STRING"] == "q=%E6%BC%A2%C3%BC"


def test_who_hangs_up_in_the_middle_of_a_body_reaches_nobody(server: Server) -> None:
    server.connect(SLOW["a body"]).close()
    eventually(lambda: not server.worker.conversations)
    assert server.application.requests == []


def test_a_crash_is_500_and_is_logged(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    assert server.get("/crash")[0] == 500
    assert "the application is broken" in caplog.text
    assert server.get() == (200, b"0")


# --- how much is read -----------------------------------------------------------------------------


def test_the_body_of_somebody_whom_nobody_knows_is_not_read(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He gets the application's answer, not a broken connection, though he sends on meanwhile."""
    monkeypatch.setattr(conversation, "most_bytes", lambda environ: admission.FORM_BYTES)
    large = b"Content-Length: 50000000\r\n\r\n"
    client = server.connect(b"POST /refuse HTTP/1.1\r\n" + HEAD + large + bytes(100_000))
    assert until_closed(client, sending=bytes(10_000)).endswith(b"\r\n\r\nno")
    assert len(server.application.requests) == 1


def test_a_body_that_turns_out_too_large_is_not_read_to_its_end(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "most_bytes", lambda environ: 200_000)
    chunks = b"%x\r\n%b\r\n" % (50_000, bytes(50_000))
    client = server.connect(
        b"POST /refuse HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    )
    assert until_closed(client, sending=chunks).endswith(b"\r\n\r\nno")
    [environ] = server.application.requests
    assert 200_000 < int(environ["CONTENT_LENGTH"]) < 600_000


def test_who_waits_to_go_on_with_too_much_is_not_told_to(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "most_bytes", lambda environ: admission.FORM_BYTES)
    client = server.connect(
        b"POST /refuse HTTP/1.1\r\n"
        + HEAD
        + b"Content-Length: 50000000\r\nExpect: 100-continue\r\n\r\n"
    )
    assert client.recv(1000).startswith(b"HTTP/1.1 401 ")


def test_what_may_be_sent_depends_on_who_sends(
    rf: Any, page: Any, make_user: Any, settings: Any
) -> None:
    files = admission.FORM_BYTES + 4 * settings.UPLOAD_MAX_BYTES
    token = ApiToken.issue(make_user("anna"), "test")
    gone = ApiToken.issue(make_user("gone", is_active=False), "test")
    session = page.cookies["sessionid"].value

    def most(**headers: str) -> int:
        return admission.most_bytes(rf.post("/", headers=headers).environ)

    assert most() == admission.FORM_BYTES
    assert most(Authorization=f"Bearer {token}") == files
    assert most(Cookie=f"sessionid={session}") == files
    assert most(Authorization=f"Bearer {token}x") == admission.FORM_BYTES
    assert most(Authorization=f"Bearer {gone}") == admission.FORM_BYTES
    assert most(Authorization=f"Basic {token}") == admission.FORM_BYTES
    assert most(Cookie="sessionid=abcdefghijklmnopqrstuvwxyz012345") == admission.FORM_BYTES


# --- who asks, and by which way -------------------------------------------------------------------


def test_a_header_with_an_underscore_is_not_there(server: Server) -> None:
    """X_Forwarded_For would look like X-Forwarded-For, SCRIPT_NAME like the server's own word."""
    server.get(
        "/", X_Forwarded_For="10.0.0.1", SCRIPT_NAME="/kb", **{"X-Forwarded-For": "10.0.0.2"}
    )
    [environ] = server.application.requests
    assert environ["HTTP_X_FORWARDED_FOR"] == "10.0.0.2"
    assert environ["SCRIPT_NAME"] == ""


def test_the_environ_says_what_was_asked(server: Server) -> None:
    server.get("/kb/f%C3%BCr%20alle/a%2Fb?q=%C3%BC&x", Cookie="a=1")
    [environ] = server.application.requests
    assert environ["PATH_INFO"].encode("latin-1").decode() == "/kb/für alle/a/b"
    assert environ["QUERY_STRING"] == "q=%C3%BC&x"
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["SERVER_PORT"] == str(server.port)
    assert environ["HTTP_COOKIE"] == "a=1"
    assert environ["wsgi.url_scheme"] == "http"


def test_an_address_as_for_a_proxy_is_understood(server: Server) -> None:
    client = server.connect(b"GET http://localhost/kb/a?q=1 HTTP/1.1\r\n" + HEAD + b"\r\n")
    client.recv(1000)
    [environ] = server.application.requests
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/kb/a", "q=1")


def test_https_is_believed_of_a_proxy_that_gunicorn_trusts(
    make_server: Callable[..., Server],
) -> None:
    def scheme(allowed: str) -> str:
        server = make_server(forwarded_allow_ips=allowed)
        server.get("/", **{"X-Forwarded-Proto": "https"})
        return str(server.application.requests[-1]["wsgi.url_scheme"])

    assert scheme("127.0.0.1") == "https"
    assert scheme("10.0.0.1") == "http"


# --- stopping -------------------------------------------------------------------------------------


def test_a_server_that_stops_finishes_what_has_begun(server: Server) -> None:
    idle = server.connect(SLOW["a kept connection"])
    idle.recv(1000)
    sending = server.connect(SLOW["a body"])
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(server.get, "/wait")
        server.application.begun.wait(10)
        server.worker.handle_exit(0, None)
        assert until_closed(idle) == b""
        sending.sendall(bytes(495))
        server.application.go_on.set()
        assert working.result() == (200, b"0")
    answer = until_closed(sending)
    assert answer.endswith(b"\r\n\r\n500")
    assert b"Connection: close" in answer
    server.thread.join(10)
    assert not server.thread.is_alive()


def test_a_server_that_stops_does_not_wait_for_ever(make_server: Callable[..., Server]) -> None:
    server = make_server(graceful_timeout=1)
    client = server.connect(SLOW["a body"])
    eventually(lambda: server.worker.conversations)
    server.worker.handle_exit(0, None)
    assert until_closed(client) == b""
    server.thread.join(10)
    assert not server.thread.is_alive()


def eventually(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
