"""Every client has its deadlines: none is built elsewhere, and each keeps them on a slow server."""

import ast
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import django.db
import dramatiq
import pytest
import redis
from django.conf import settings as django_settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from django.test import Client

from deploy.local.servers import free_ports
from documents.connections import unpooled
from documents.models import Document
from lumikb.broker import Client as RedisClient
from lumikb.postgresql.base import GRACE, DatabaseWrapper
from lumikb.storage import S3Storage
from processing import flight, relay
from processing.errors import ServiceUnavailable
from processing.index import embeddings, gateway, vectors
from tests.chaos.proxy import Proxies, Proxy
from tests.conftest import process
from tests.processing.stubs import qdrant_at

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("documents", "processing", "search", "lumikb")

# Where the product speaks to others, or waits for a process: what is not here has no deadline.
PLACES = {
    ("lumikb/broker.py", "redis.ConnectionPool.from_url"),
    ("lumikb/command_line.py", "socket.create_connection"),  # 5 s
    ("lumikb/postgresql/base.py", "Connection.connect"),
    ("lumikb/postgresql/base.py", "psycopg_pool.ConnectionPool.check_connection"),  # a statement
    ("lumikb/probes.py", "answer.result"),  # which is there
    ("lumikb/serving/conversation.py", "asyncio.open_connection"),  # of a client who has come
    ("lumikb/serving/worker.py", "self._stopping.wait"),  # in asyncio.wait_for
    ("lumikb/storage.py", "botocore.config.Config"),
    ("processing/index/gateway.py", "litellm.embedding"),
    ("processing/index/gateway.py", "litellm.rerank"),
    ("processing/index/tokens.py", "httpx.Client"),
    ("processing/index/vectors.py", "httpx.Limits"),  # of the next one
    ("processing/index/vectors.py", "qdrant_client.QdrantClient"),
    # The server of the parsers: its answers have a limit, its thread waits for its whole life.
    ("processing/parsing/client.py", "subprocess.Popen"),
    ("processing/parsing/client.py", "process.wait"),
    ("processing/parsing/client.py", "subprocess.run"),  # ANSWER_SECONDS
    ("processing/parsing/client.py", "started.result"),  # for Popen, by a thread beside this one
    ("processing/parsing/server.py", "socket.socket"),  # ends of pairs that it inherits
}
SPEAKING = tuple(
    f"{name}."
    for name in (
        *("aiohttp", "asyncio.open_connection", "boto3", "botocore.config", "botocore.session"),
        *("ftplib", "http.client", "httpx", "litellm", "openai", "psycopg.connect", "psycopg_pool"),
        *("qdrant_client.QdrantClient", "qdrant_client.AsyncQdrantClient", "redis", "requests"),
        *("smtplib", "socket.create_connection", "socket.socket", "subprocess", "urllib.request"),
        *("urllib3", "os.system", "os.popen"),
    )
)
WAITING = ("wait", "communicate", "join", "result", "acquire")  # for ever, without an argument
CALLS = (  # that people wait for
    *("default_storage.", "embeddings.embed", "reranking.best_first"),
    *("vectors.candidates", "vectors.dense_of", "vectors.nearest"),
)

DEADLINE = 0.6  # seconds, in the tests below
DRIP = 0.1


# --- Where clients are built -----------------------------------------------------------------


def test_clients_are_built_where_their_deadlines_are_and_nowhere_else() -> None:
    assert {(path, name) for path, tree in sources() for name in speaking(tree)} == PLACES


@pytest.mark.parametrize(
    "code",
    [
        "import httpx\nhttpx.get('http://x')",
        "from httpx import Client as C\nC()",
        "from urllib import request\nrequest.urlopen('http://x')",
        "from psycopg import connect\nconnect('')",
        "import psycopg\npsycopg.Connection.connect('')",
        "import redis\nredis.Redis()",
        "def f():\n    import boto3\n    boto3.client('s3')",
        "import socket\nsocket.create_connection(('x', 1))",
        "import subprocess\nsubprocess.run(['x'])",
        "child.wait()",
    ],
)
def test_a_new_client_is_noticed(code: str) -> None:
    assert list(speaking(ast.parse(code)))


def test_what_people_wait_for_has_the_deadline_of_their_request() -> None:
    """Whatever the web asks of storage, embedding and Qdrant stands in a `with within(...)`."""
    bare = {
        (path, call)
        for path, tree in sources("documents", "search")
        for call in outside(tree, inside=False)
    }
    # These are called in one.
    assert bare == {
        ("documents/archive.py", "default_storage.open"),
        ("documents/pictures.py", "default_storage.delete"),
        ("documents/texts.py", "default_storage.open"),
        ("documents/texts.py", "default_storage.save"),
        ("documents/texts.py", "default_storage.delete"),
        ("search/retrieval.py", "vectors.candidates"),
        ("search/similar.py", "vectors.dense_of"),
        ("search/similar.py", "vectors.nearest"),
    }


def sources(*packages: str) -> Iterator[tuple[str, ast.Module]]:
    for package in packages or PRODUCT:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def speaking(tree: ast.Module) -> Iterator[str]:
    """The calls that make a client, open a connection or wait, by their full names."""
    imported = dict(names(tree))
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        first, dot, rest = ast.unparse(call.func).partition(".")
        name = imported.get(first, first) + dot + rest
        verb = name.rpartition(".")[2]
        speaks = first in imported and f"{name}.".startswith(SPEAKING)
        waits = dot and verb in WAITING and not call.args and not call.keywords
        if speaks or waits or verb == "connect":
            yield name


def names(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """What each imported name stands for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((a.asname or a.name, a.name) for a in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from ((a.asname or a.name, f"{node.module}.{a.name}") for a in node.names)


def outside(node: ast.AST, inside: bool) -> Iterator[str]:
    """The CALLS below this node that no `with within(...)` is around."""
    if isinstance(node, ast.With):
        inside |= any(ast.unparse(item).startswith("within(") for item in node.items)
    if isinstance(node, ast.Call) and not inside:
        name = ast.unparse(node.func)
        if name.startswith(CALLS):
            yield name
    for child in ast.iter_child_nodes(node):
        yield from outside(child, inside)


# --- With which deadlines --------------------------------------------------------------------


def test_redis_has_three_seconds_a_command_and_one_try() -> None:
    client: Any = dramatiq.get_broker().client  # type: ignore[attr-defined]
    assert isinstance(client, RedisClient)
    connection = client.connection_pool.make_connection()
    deadlines = (client.timeout, connection.socket_timeout, connection.socket_connect_timeout)
    assert deadlines == (3, 3, 3)
    assert connection.retry.get_retries() == 0


def test_the_numbers_are_those_of_the_design() -> None:
    assert django_settings.EMBEDDING_TIMEOUT == 120
    assert django_settings.QDRANT_TIMEOUT == 60
    assert django_settings.S3_TIMEOUT == S3Storage(bucket_name="any").timeout == 180
    # With a tenth on top of it, a person has an answer within 20 s (FAULTS.md, row 4).
    assert django_settings.REQUEST_TIMEOUT * 1.1 < 20


def test_litellm_tries_once() -> None:
    assert gateway._litellm().DEFAULT_MAX_RETRIES == 0


def test_each_connection_to_postgresql_has_its_roles_deadline_and_a_second(db: None) -> None:
    connection.ensure_connection()
    assert connection.connection.deadline == 31
    assert connection.get_connection_params()["connect_timeout"] == 5
    assert connection.settings_dict["OPTIONS"]["pool"]["timeout"] == 30
    assert django_settings.DATABASES["ops"]["OPTIONS"]["statement_timeout"] == 2


# --- Kept on a server that answers a byte at a time ------------------------------------------


@pytest.fixture
def slow() -> Iterator[Callable[[int], Proxy]]:
    """A proxy before a port of this machine that will drip answers: `slow(port)`."""
    opened: list[Proxies] = []

    def open_(port: int) -> Proxy:
        opened.append(Proxies({"it": free_ports(1)[0]}, lambda name: port))
        return opened[-1].by_name["it"]

    yield open_
    for proxies in opened:
        proxies.__exit__()


@contextmanager
def taking(seconds: float) -> Iterator[None]:
    """The block takes so long, and leaves no thread behind."""
    threads = {thread for thread in threading.enumerate() if thread.name != "getaddrinfo"}
    began = time.monotonic()
    yield
    # The machine may be busy. Without a deadline each of these would take 20 s and more.
    assert seconds * 0.8 < time.monotonic() - began < seconds + 3
    left = {t for t in threading.enumerate() if t.name != "getaddrinfo"} - threads
    assert not left


@pytest.fixture
def database(django_db_blocker: Any) -> Iterator[None]:
    """May be used, in no transaction and by any thread."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture(scope="module")
def litellm() -> None:
    """Has made its first call, which takes seconds of its own; before any transaction begins."""
    embeddings.embed(["text"])


def url_through(proxy: Proxy, url: str) -> str:
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    host = f"{login}@" if login else ""
    return parts._replace(netloc=f"{host}127.0.0.1:{proxy.address[1]}").geturl()


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port
    return port


def test_the_embedding_service_has_its_time_in_all(settings: Any, slow: Any, litellm: None) -> None:
    proxy = slow(port_of(settings.EMBEDDING_API_BASE))
    settings.EMBEDDING_API_BASE = url_through(proxy, settings.EMBEDDING_API_BASE)
    proxy.drip(DRIP)
    settings.EMBEDDING_TIMEOUT = DEADLINE
    with taking(DEADLINE), pytest.raises(ServiceUnavailable, match="no answer in time"):
        embeddings.embed(["text"])
    proxy.heal()
    settings.EMBEDDING_TIMEOUT = 60
    assert embeddings.embed(["text"])


def test_the_sdk_of_openai_has_its_time_in_all(settings: Any, slow: Any, litellm: None) -> None:
    proxy = slow(port_of(settings.EMBEDDING_API_BASE))
    settings.EMBEDDING_API_BASE = url_through(proxy, settings.EMBEDDING_API_BASE)
    settings.EMBEDDING_MODEL = "openai/text-embedding-3-small"
    settings.EMBEDDING_TIMEOUT = 2.0  # to import it takes a second
    proxy.drip(DRIP)
    with taking(2), pytest.raises(ServiceUnavailable, match="no answer in time"):
        embeddings.embed(["text"])


def test_qdrant_has_its_time_in_all(settings: Any, slow: Any) -> None:
    proxy = slow(port_of(settings.QDRANT_URL))
    settings.QDRANT_TIMEOUT = DEADLINE
    with qdrant_at(settings, url_through(proxy, settings.QDRANT_URL)):
        vectors._client()
        proxy.drip(DRIP)
        with taking(DEADLINE), pytest.raises(ServiceUnavailable, match="no answer in time"):
            vectors.earlier_collections()
        proxy.heal()
        settings.QDRANT_TIMEOUT = 60
        assert vectors.earlier_collections() is not None


def test_redis_has_its_time_in_all(slow: Any) -> None:
    proxy = slow(port_of(django_settings.REDIS_URL))
    url = url_through(proxy, django_settings.REDIS_URL)
    open_ = RedisClient(url, timeout=DEADLINE)
    open_.ping()
    proxy.drip(DRIP)
    for client in (open_, RedisClient(url, timeout=DEADLINE)):  # the second has to log in, too
        with taking(DEADLINE), pytest.raises(redis.TimeoutError):
            client.ping()
    proxy.heal()
    assert open_.ping()


def test_postgresql_has_its_time_in_all(db: None, slow: Any) -> None:
    proxy = slow(int(connection.settings_dict["PORT"]))
    own = unpooled(statement_timeout=0.1)
    own.settings_dict = own.settings_dict | {"HOST": "127.0.0.1", "PORT": proxy.address[1]}
    own.ensure_connection()
    proxy.drip(DRIP)
    with taking(1.1), pytest.raises(django.db.OperationalError, match=r"within 1\.1 seconds"):
        own.cursor().execute("SELECT repeat('x', 1000)")
    own.close()


def test_a_pool_notices_soon_that_postgresql_is_back(slow: Any, database: None) -> None:
    """psycopg's own pauses grow as the outage does: here it would ask after 7 s, then after 15, a
    tenth more or less.
    """
    usual = django.db.connections.settings["default"]
    proxy = slow(int(usual["PORT"]))
    pool = {"min_size": 1, "max_size": 2, "timeout": 20}
    through = {"HOST": "127.0.0.1", "PORT": proxy.address[1]}
    options = usual["OPTIONS"] | {"pool": pool}
    wrapper = DatabaseWrapper(usual | through | {"OPTIONS": options}, alias="through a proxy")
    wrapper.ensure_connection()
    wrapper.close()
    proxy.leave()
    waiting = threading.Thread(target=wrapper.ensure_connection)
    waiting.start()  # its connection is dead; the pool begins to make another
    time.sleep(9.5)
    proxy.heal()
    waiting.join(3.5)
    assert not waiting.is_alive()
    wrapper.close_pool()


def test_the_session_of_a_reconciler_has_a_deadline(db: None) -> None:
    with flight.only_flight() as only:
        assert only
        assert only._session.deadline == flight.ANSWER_SECONDS + GRACE  # type: ignore[attr-defined]


@pytest.mark.parametrize("call", ["save", "exists", "open"])
def test_s3_has_its_time_for_all_its_tries(settings: Any, slow: Any, call: str) -> None:
    proxy = slow(port_of(settings.QDRANT_URL))  # any HTTP there is; it does not come to its answer
    proxy.drip(DRIP)
    url = f"http://127.0.0.1:{proxy.address[1]}"
    storage = s3(url, read_timeout=5, timeout=DEADLINE)
    assert storage.connection
    arguments = {"save": ("1/a/original", ContentFile(b"x"))}.get(call, ("1/a/original",))
    with taking(DEADLINE), pytest.raises(TimeoutError):
        getattr(storage, call)(*arguments)


def test_a_block_of_an_object_has_its_time_in_all() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=drip_body, args=[server], daemon=True).start()
        storage = s3(f"http://127.0.0.1:{server.getsockname()[1]}", read_timeout=DEADLINE)
        with storage.open("1/a/original") as file, taking(DEADLINE), pytest.raises(TimeoutError):
            file.read()


def test_s3_is_not_tried_again_when_that_would_come_too_late() -> None:
    [port] = free_ports(1)  # nobody listens
    patient = s3(f"http://127.0.0.1:{port}", tries=3, timeout=60)
    hasty = s3(f"http://127.0.0.1:{port}", tries=3, timeout=1)
    tried: list[int] = []
    for storage in (patient, hasty):
        events = storage.connection.meta.client.meta.events
        events.register("before-send.s3", lambda **_: tried.append(1))
        with pytest.raises(ConnectionError):
            storage.exists("1/a/original")
        tried.append(0)
    assert tried == [1, 1, 1, 0, 1, 0]


def s3(url: str, **options: Any) -> S3Storage:
    defaults = {"tries": 1, "connect_timeout": 5, "read_timeout": 5}
    keys = {"access_key": "key", "secret_key": "secret", "region_name": "us-east-1"}
    return S3Storage(bucket_name="bucket", endpoint_url=url, **keys, **defaults | options)


def drip_body(server: socket.socket) -> None:
    end, _ = server.accept()
    end.recv(10_000)
    end.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    try:
        while True:
            end.sendall(b"x")
            time.sleep(DRIP)
    except OSError:
        pass


# --- What people see -------------------------------------------------------------------------


def test_who_searches_waits_for_the_embedding_service_a_moment_and_goes_by_words_then(
    settings: Any, slow: Any, litellm: None, page: Client
) -> None:
    proxy = slow(port_of(settings.EMBEDDING_API_BASE))
    settings.EMBEDDING_API_BASE = url_through(proxy, settings.EMBEDDING_API_BASE)
    settings.SEARCH_EMBEDDING_TIMEOUT = DEADLINE
    proxy.drip(DRIP)
    with taking(DEADLINE):
        answer = page.post("/api/v1/search", {"query": "heron"}, "application/json")
    assert (answer.status_code, answer.json()["half"]) == (200, "words")


def test_who_searches_waits_no_longer_than_his_request_may(
    settings: Any, slow: Any, page: Client
) -> None:
    proxy = slow(port_of(settings.QDRANT_URL))
    settings.REQUEST_TIMEOUT = settings.SEARCH_EMBEDDING_TIMEOUT = DEADLINE
    with qdrant_at(settings, url_through(proxy, settings.QDRANT_URL)):
        proxy.drip(DRIP)
        with taking(DEADLINE):
            answer = page.post("/api/v1/search", {"query": "heron"}, "application/json")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert answer.json()["error"]["code"] == "search_unavailable"
        with taking(DEADLINE):
            shown = page.get("/search/?q=heron")
    assert (shown.status_code, shown.headers["Retry-After"]) == (503, "5")
    assert b"not available just now" in shown.content


def test_who_uploads_waits_no_longer_than_his_request_may(
    settings: Any, slow: Any, page: Client
) -> None:
    proxy = slow(port_of(settings.QDRANT_URL))
    proxy.drip(DRIP)
    settings.STORAGES = settings.STORAGES | {"default": s3_setting(proxy)}
    assert default_storage.connection  # type: ignore[attr-defined] # to make one takes 0.3 s
    settings.REQUEST_TIMEOUT = DEADLINE
    with taking(DEADLINE):
        url = "/api/v1/knowledge-bases/handbook/documents"
        answer = page.post(url, {"file": ContentFile(b"text", "notes.md")})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert answer.json()["error"]["code"] == "storage_unavailable"
    assert not Document.objects.exists()


def s3_setting(proxy: Proxy) -> dict[str, Any]:
    options = {
        "bucket_name": "bucket",
        "endpoint_url": f"http://127.0.0.1:{proxy.address[1]}",
        "access_key": "key",
        "secret_key": "secret",
        "region_name": "us-east-1",
    }
    return {"BACKEND": "lumikb.storage.S3Storage", "OPTIONS": options}


def test_a_document_whose_service_drips_waits_and_is_not_charged(
    settings: Any, slow: Any, litellm: None, make_document: Callable[[], Document]
) -> None:
    proxy = slow(port_of(settings.EMBEDDING_API_BASE))
    settings.EMBEDDING_API_BASE = url_through(proxy, settings.EMBEDDING_API_BASE)
    settings.EMBEDDING_TIMEOUT = DEADLINE
    proxy.drip(DRIP)
    document = process(make_document())
    assert (document.status, document.attempts) == ("pending", 0)
    assert "embedding service is not available (no answer in time)" in document.explain()


def test_a_slow_redis_keeps_no_transaction_open(
    make_document: Callable[..., Document], monkeypatch: pytest.MonkeyPatch, broker: Any
) -> None:
    """What was posted in the time there was is posted; the next tick goes on."""
    for number in range(3):
        make_document(f"{number}.md")
    monkeypatch.setattr(relay, "POST_SECONDS", 0.3)
    send = relay._send
    monkeypatch.setattr(relay, "_send", lambda message: (time.sleep(0.2), send(message)))
    assert relay.post_due() == 2
    assert relay.post_due() == 1
    assert broker.do_qsize("documents") == 3
