"""No connection across slow work: whenever a service is asked, a file is read or a client sends its
body, PostgreSQL and the pool are asked whether anything of ours is held.

Every route of the API and of the pages goes through here, and what workers, relay and reconciler
do; with a pool of one connection, so that nothing can need a second while it holds the first.
"""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import BytesIO
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.urls import get_resolver, reverse
from psycopg_pool import ConnectionPool

from documents import lifecycle
from documents.connections import release
from documents.models import Document, ReconcileRun
from lumikb.api import api as json_api
from lumikb.postgresql import base
from processing import actors, parsing, queue, reconcile, relay
from processing.index import embeddings
from tests.conftest import LONG_AGO
from tests.processing import stubs
from tests.processing.stubs import embedding_stub, forwarding, qdrant_stub

pytestmark = pytest.mark.django_db(transaction=True)

HELD = """
    SELECT pid, state, backend_xid, query FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend'
      AND pid <> pg_backend_pid() AND (state <> 'idle' OR backend_xid IS NOT NULL)
"""
GRACE = 0.2  # seconds: a statement that is just ending, of a thread beside the one that waits
MULTIPART = "multipart/form-data; boundary=limit"
NOTES = b"# Notes\n\nThe heron nests in April.\n"
API = "/api/v1"


class Watch:
    """What was held, each time that something slow began: by what that was."""

    def __init__(self) -> None:
        self.held: dict[str, list[Any]] = defaultdict(list)
        parameters = connection.get_connection_params()  # type: ignore[attr-defined]
        self._outside = psycopg.connect(**parameters | {"autocommit": True, "cursor_factory": None})

    def __call__(self, what: str) -> None:
        give_up_at = time.monotonic() + GRACE
        while (held := self._now()) and time.monotonic() < give_up_at:
            time.sleep(0.01)
        self.held[what] += held

    def close(self) -> None:
        self._outside.close()

    def _now(self) -> list[Any]:
        stats = connection.pool.get_stats()  # type: ignore[attr-defined]
        taken = stats.get("pool_size", 0) - stats.get("pool_available", 0)
        return [*self._outside.execute(HELD).fetchall(), *(["taken from the pool"] * taken)]


class SlowBody(BytesIO):
    """A request's body that comes bit by bit."""

    def __init__(self, content: bytes, watch: Watch) -> None:
        super().__init__(content)
        self._watch = watch

    def read(self, size: int | None = -1) -> bytes:
        self._watch("body")
        return super().read(min(size, 64) if size and size > 0 else size)


class Caller:
    """Asks as a slow client does: by the API with a token or a session, or by a page's form."""

    def __init__(self, client: Client, watch: Watch) -> None:
        self._client, self._watch = client, watch

    def __call__(self, method: str, path: str, body: bytes = b"", content_type: str = "") -> Any:
        release()
        headers = {}
        if token := self._client.cookies.get("csrftoken"):
            headers["X-CSRFToken"] = token.value
            if method == "POST" and content_type == MULTIPART:  # as a form sends it
                headers = {}
                field = b'--limit\r\nContent-Disposition: form-data; name="csrfmiddlewaretoken"'
                body = b"%b\r\n\r\n%b\r\n%b" % (field, token.value.encode(), body)
        response: Any = self._client.generic(
            method,
            path,
            body,
            content_type or "application/octet-stream",
            headers=headers,
            **{"wsgi.input": SlowBody(body, self._watch)},
        )
        if response.streaming:
            self._watch("answer")
            b"".join(response.streaming_content)
        return response

    def send(self, method: str, path: str, name: str = "") -> Any:
        """A file."""
        name = name or f"{uuid4()}.md"
        field = f'--limit\r\nContent-Disposition: form-data; name="file"; filename="{name}"'
        return self(
            method, path, b"%b\r\n\r\n%b\r\n--limit--\r\n" % (field.encode(), NOTES), MULTIPART
        )

    def form(self, path: str, **fields: str) -> Any:
        """A form without a file."""
        parts = [
            f'--limit\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        ]
        return self("POST", path, "".join([*parts, "--limit--\r\n"]).encode(), MULTIPART)

    def json(self, method: str, path: str, **body: Any) -> Any:
        return self(method, path, json.dumps(body).encode(), "application/json")


@pytest.fixture
def one_connection(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The pool has no more."""
    monkeypatch.setitem(connection.settings_dict["OPTIONS"]["pool"], "max_size", 1)
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]
    yield
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]


@pytest.fixture
def watch(settings: Any, one_connection: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """Watches while every service is asked; who waits for the pool gives up after 2 s."""
    monkeypatch.setitem(connection.settings_dict["OPTIONS"]["pool"], "timeout", 2)
    watch = Watch()

    def watched(what: str, real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **kwargs: (watch(what), real(*args, **kwargs))[1]

    storage = settings.STORAGES["default"] | {"BACKEND": "tests.processing.stubs.WatchedStorage"}
    settings.STORAGES = settings.STORAGES | {"default": storage}
    monkeypatch.setattr(stubs.WatchedStorage, "watch", staticmethod(watch))
    monkeypatch.setattr(parsing, "parse", watched("parse", parsing.parse))
    for each in ("size", "documents_of"):
        monkeypatch.setattr(queue, each, watched("redis", getattr(queue, each)))
    with ExitStack() as stack:
        qdrant = forwarding(settings.QDRANT_URL, lambda call: watch("qdrant"))
        service = settings.EMBEDDING_API_BASE.removesuffix("/v1")
        stack.enter_context(qdrant_stub(settings, qdrant))
        stack.enter_context(
            embedding_stub(settings, forwarding(service, lambda call: watch("embedding")))
        )
        yield watch
    watch.close()


@pytest.fixture
def script(watch: Watch, api: Callable[[User], Client], editor: User) -> Caller:
    return Caller(api(editor), watch)


@pytest.fixture
def browser(watch: Watch, editor: User) -> Caller:
    client = Client(enforce_csrf_checks=True)
    client.force_login(editor)
    client.get("/")
    return Caller(client, watch)


def path(name: str, *args: Any) -> str:
    return reverse(name, args=args)


PAGES: dict[str, Callable[[Caller, Document], Any]] = {
    "knowledge-bases": lambda ask, d: ask.form(path("knowledge-bases"), name="New"),
    "documents": lambda ask, d: ask("GET", path("documents", "handbook")),
    "upload": lambda ask, d: ask.send("POST", path("upload", "handbook")),
    "document": lambda ask, d: ask("GET", path("document", d.pk)),
    "content": lambda ask, d: ask("GET", path("content", d.pk)),
    "search": lambda ask, d: ask("GET", path("search") + "?q=heron"),
    "passage": lambda ask, d: ask("GET", path("passage", d.chunk_set.get().pk)),
    "requeue": lambda ask, d: ask.form(path("requeue", d.pk)),
    "replace": lambda ask, d: ask.send("POST", path("replace", d.pk)),
    "delete": lambda ask, d: ask.form(path("delete", d.pk)),
    "restore": lambda ask, d: ask.form(path("restore", d.pk)),
    "login": lambda ask, d: ask.form(path("login"), username="edith", password="right-horse-1"),
    "logout": lambda ask, d: ask.form(path("logout")),
}
OPERATIONS: dict[str, Callable[[Caller, Document], Any]] = {
    "GET /knowledge-bases": lambda ask, d: ask("GET", f"{API}/knowledge-bases"),
    "POST /knowledge-bases": lambda ask, d: ask.json("POST", f"{API}/knowledge-bases", name="New"),
    "GET /knowledge-bases/{slug}": lambda ask, d: ask("GET", f"{API}/knowledge-bases/handbook"),
    "GET /knowledge-bases/{slug}/documents": lambda ask, d: ask(
        "GET", f"{API}/knowledge-bases/handbook/documents"
    ),
    "POST /knowledge-bases/{slug}/documents": lambda ask, d: ask.send(
        "POST", f"{API}/knowledge-bases/handbook/documents"
    ),
    "POST /search": lambda ask, d: ask.json("POST", f"{API}/search", query="heron"),
    "GET /documents/{document_id}": lambda ask, d: ask("GET", f"{API}/documents/{d.pk}"),
    "GET /documents/{document_id}/events": lambda ask, d: ask(
        "GET", f"{API}/documents/{d.pk}/events"
    ),
    "GET /documents/{document_id}/content": lambda ask, d: ask(
        "GET", f"{API}/documents/{d.pk}/content"
    ),
    "POST /documents/{document_id}/requeue": lambda ask, d: ask(
        "POST", f"{API}/documents/{d.pk}/requeue"
    ),
    "PUT /documents/{document_id}/file": lambda ask, d: ask.send(
        "PUT", f"{API}/documents/{d.pk}/file"
    ),
    "DELETE /documents/{document_id}": lambda ask, d: ask("DELETE", f"{API}/documents/{d.pk}"),
    "POST /documents/{document_id}/restore": lambda ask, d: ask(
        "POST", f"{API}/documents/{d.pk}/restore"
    ),
}

NEED_THEIR_OWN = {"PUT /documents/{document_id}/file", "DELETE /documents/{document_id}"} | {
    "requeue", "replace", "delete",
}  # fmt: skip


def test_every_route_is_among_those_that_are_watched() -> None:
    schema: Any = json_api.get_openapi_schema()
    operations = {
        f"{method.upper()} {route.removeprefix(API)}"
        for route, methods in schema["paths"].items()
        for method in methods
    }
    assert operations == set(OPERATIONS)
    names = {name for name in get_resolver().reverse_dict if isinstance(name, str)}
    assert names == set(PAGES)


def test_no_page_holds_a_connection_across_slow_work(
    browser: Caller, watch: Watch, make_ready: Callable[..., Document]
) -> None:
    answers(PAGES, browser, make_ready, {200, 302})
    assert_nothing_held(watch, {"body", "answer", "open", "read", "save", "embedding", "qdrant"})


@pytest.mark.parametrize("caller", ["script", "browser"])
def test_no_operation_of_the_api_holds_a_connection_across_slow_work(
    caller: str, watch: Watch, make_ready: Callable[..., Document], request: Any
) -> None:
    answers(OPERATIONS, request.getfixturevalue(caller), make_ready, {200, 201, 202, 204})
    assert_nothing_held(watch, {"body", "answer", "open", "read", "save", "embedding", "qdrant"})


def test_neither_worker_nor_relay_nor_reconciler_holds_a_connection_across_slow_work(
    watch: Watch, make_document: Callable[..., Document], broker: Any
) -> None:
    embeddings.warm_up()
    release()
    document = make_document()
    release()
    assert relay.post_due() == 1
    release()
    actors.process.fn(str(document.pk))
    lifecycle.requeue(document.pk)
    release()
    actors.process.fn(str(document.pk))
    release()
    default_storage.save(f"0/{uuid4()}/original", ContentFile(b"nobody's"))
    release()
    assert reconcile.run()
    assert not [row for row in ReconcileRun.objects.get().findings if row["skipped"]]
    Document.objects.update(deleted_at=Now() - LONG_AGO * 48)
    release()
    actors.purge.fn(str(document.pk))
    document.refresh_from_db()
    assert document.purged_at
    storage = {"open", "read", "save", "scan", "listdir", "delete"}
    assert_nothing_held(watch, {"redis", "parse", "embedding", "qdrant", *storage})


def test_a_connection_that_has_just_answered_is_not_asked_whether_it_lives(
    one_connection: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            [session] = cursor.fetchone()
        release()
        return int(session)

    asked: list[object] = []
    monkeypatch.setattr(ConnectionPool, "check_connection", asked.append)
    session = ask()
    assert (ask(), asked) == (session, [])
    monkeypatch.setattr(base, "FRESH_SECONDS", 0)
    assert (ask(), len(asked)) == (session, 1)


def answers(
    routes: dict[str, Callable[[Caller, Document], Any]],
    caller: Caller,
    make_ready: Callable[..., Document],
    expected: set[int],
) -> None:
    """Ask each in turn; every one goes well, with the one connection that there is."""
    document = None
    for name, ask in routes.items():
        if document is None or name in NEED_THEIR_OWN:
            release()
            document = make_ready(f"{uuid4()}.md")
        response = ask(caller, document)
        assert response.status_code in expected, (name, response.status_code, response.content)


def assert_nothing_held(watch: Watch, seen: set[str]) -> None:
    assert {what: held for what, held in watch.held.items() if held} == {}
    assert seen <= watch.held.keys()
