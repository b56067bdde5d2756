"""No connection across slow work: whenever a service is asked, a file is read or a client sends its
body, PostgreSQL and the pool are asked whether anything of ours is held.

Every route of the API and of the pages goes through here, and what workers, relay and reconciler
do; with a pool of one connection, so that nothing can need a second while it holds the first.
"""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from io import BytesIO
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.contrib import messages
from django.contrib.auth.models import Group, User
from django.contrib.messages import get_messages
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.urls import get_resolver, reverse
from psycopg_pool import ConnectionPool

from accounts import invitations
from accounts.models import Invitation
from documents import lifecycle, waiting
from documents.connections import release
from documents.models import ApiToken, Document, KnowledgeBase, ReconcileRun
from lumikb.api import api as json_api
from lumikb.postgresql import base
from processing import actors, parsing, queue, reconcile, relay
from processing.index import embeddings
from tests.conftest import LONG_AGO, Role, with_a_page
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
SLOW = {"body", "answer", "open", "read", "save", "embedding", "qdrant"}


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
        read = b""
        while size is None or size < 0 or len(read) < size:
            self._watch("body")
            left = 64 if size is None or size < 0 else min(64, size - len(read))
            if not (part := super().read(left)):
                break
            read += part
        return read


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
    read = parsing.pieces
    monkeypatch.setattr(
        parsing, "pieces", lambda *args, **kwargs: watched_pieces(watch, read(*args, **kwargs))
    )
    monkeypatch.setattr(invitations, "send_mail", watched("mail", invitations.send_mail))
    settings.MAIL = True
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=watched("wait", time.sleep))
    monkeypatch.setattr(waiting, "time", clock)
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


def watched_pieces(watch: Watch, pieces: Generator[parsing.Piece]) -> Generator[parsing.Piece]:
    """Each is waited for with nothing held, the end as well."""
    with closing(pieces):
        while True:
            watch("parse")
            if (piece := next(pieces, None)) is None:
                return
            yield piece


@pytest.fixture
def edith(editor: User) -> User:
    """She owns the knowledge base, for much is an owner's."""
    editor.membership_set.update(role=Role.OWNER)
    return editor


@pytest.fixture
def script(watch: Watch, api: Callable[[User], Client], edith: User) -> Caller:
    return Caller(api(edith), watch)


@pytest.fixture
def browser(watch: Watch, edith: User) -> Caller:
    client = Client(enforce_csrf_checks=True)
    client.force_login(edith)
    client.get("/")
    return Caller(client, watch)


def path(name: str, *args: Any) -> str:
    return reverse(name, args=args)


# What a call is about; made before it, for `ask` gives the connection back first.


def ours() -> User:
    return User.objects.get(username="edith")


def someone(is_member: bool = True) -> User:
    """Somebody else, who is a member of the knowledge base, or is not."""
    user = User.objects.create_user(str(uuid4()))
    if is_member:
        KnowledgeBase.objects.get(slug="handbook").membership_set.create(user=user, role=Role.OWNER)
    return user


def group(is_member: bool = True) -> Group:
    group = Group.objects.create(name=str(uuid4()))
    if is_member:
        knowledge_base = KnowledgeBase.objects.get(slug="handbook")
        knowledge_base.groupmembership_set.create(group=group, role=Role.VIEWER)
    return group


def shared() -> tuple[str, int]:
    """A knowledge base of two owners, which one of them may leave."""
    knowledge_base = KnowledgeBase.objects.create(name="Shared", slug=str(uuid4()))
    other = someone(is_member=False)
    for user in (ours(), other):
        knowledge_base.membership_set.create(user=user, role=Role.OWNER)
    return knowledge_base.slug, other.pk


def invited() -> tuple[Invitation, str]:
    return Invitation.issue(KnowledgeBase.objects.get(slug="handbook"), ours(), Role.VIEWER, 7)


def token() -> int:
    return ApiToken.objects.get(digest=ApiToken.digest_of(ApiToken.issue(ours(), "old"))).pk


def bulk(ask: Caller, document: Document) -> Any:
    """Asked for, and confirmed."""
    form = {"action": "requeue", "status": "ready", "q": document.filename}
    frozen = ask.form(path("bulk", "handbook"), **form).context["bulk"]
    return ask.form(path("bulk", "handbook"), **form, bulk=str(frozen.pk))


PAGES: dict[str, Callable[[Caller, Document], Any]] = {
    "knowledge-bases": lambda ask, d: ask.form(path("knowledge-bases"), name="New"),
    "documents": lambda ask, d: ask("GET", path("documents", "handbook")),
    "upload": lambda ask, d: ask.send("POST", path("upload", "handbook")),
    "document": lambda ask, d: ask("GET", path("document", d.pk)),
    "content": lambda ask, d: ask("GET", path("content", d.pk)),
    "text": lambda ask, d: ask("GET", path("text", d.pk)),
    "page": lambda ask, d: ask("GET", path("page", with_a_page(d).pk, 1)),
    "picture": lambda ask, d: ask("GET", path("picture", with_a_page(d).pk, 1)),
    "similar": lambda ask, d: ask("GET", path("similar", d.pk)),
    "tag": lambda ask, d: ask.form(path("tag", d.pk), tags="birds"),
    "selection": lambda ask, d: ask.form(path("selection", "handbook"), action="zip", id=str(d.pk)),
    "search": lambda ask, d: ask("GET", path("search") + "?q=heron"),
    "passage": lambda ask, d: ask("GET", path("passage", d.chunk_set.get().pk)),
    "bulk": bulk,
    "requeue": lambda ask, d: ask.form(path("requeue", d.pk)),
    "replace": lambda ask, d: ask.send("POST", path("replace", d.pk)),
    "delete": lambda ask, d: ask.form(path("delete", d.pk)),
    "restore": lambda ask, d: ask.form(path("restore", d.pk)),
    "about": lambda ask, d: ask.form(path("about", "handbook"), name="Handbook"),
    "delete-knowledge-base": lambda ask, d: ask.form(path("delete-knowledge-base", shared()[0])),
    "members": lambda ask, d: ask("GET", path("members", "handbook")),
    "add-member": lambda ask, d: ask.form(
        path("add-member", "handbook"), name=someone(is_member=False).username, role="viewer"
    ),
    "change-member": lambda ask, d: ask.form(
        path("change-member", "handbook", someone().pk), role="editor"
    ),
    "remove-member": lambda ask, d: ask.form(path("remove-member", "handbook", someone().pk)),
    "leave": lambda ask, d: ask.form(path("leave", shared()[0])),
    "hand-over": lambda ask, d: ask.form(path("hand-over", *shared())),
    "add-group": lambda ask, d: ask.form(
        path("add-group", "handbook"), name=group(is_member=False).name, role="viewer"
    ),
    "change-group": lambda ask, d: ask.form(
        path("change-group", "handbook", group().pk), role="editor"
    ),
    "remove-group": lambda ask, d: ask.form(path("remove-group", "handbook", group().pk)),
    "invite": lambda ask, d: ask.form(
        path("invite", "handbook"), email="otto@example.org", role="viewer", days="7"
    ),
    "end-invitation": lambda ask, d: ask.form(path("end-invitation", "handbook", invited()[0].pk)),
    "invitation": lambda ask, d: ask.form(path("invitation", invited()[1])),
    "account": lambda ask, d: ask("GET", path("account")),
    "profile": lambda ask, d: ask.form(path("profile"), first_name="Edith"),
    "make-token": lambda ask, d: ask.form(path("make-token"), **{"token-name": "New"}),
    "end-token": lambda ask, d: ask.form(path("end-token", token())),
    "password": lambda ask, d: ask.form(
        path("password"),
        old_password="right-horse-1",
        new_password1="left-heron-22",
        new_password2="left-heron-22",
    ),
    "login": lambda ask, d: ask.form(path("login"), username="edith", password="right-horse-1"),
    "logout": lambda ask, d: ask.form(path("logout")),
}
# The pages of allauth, which knows PostgreSQL, mail and a provider, and none of our stores; and
# its names for three that are ours.
ALLAUTHS = {
    "account_change_password",
    "account_confirm_email",
    "account_email",
    "account_email_verification_sent",
    "account_inactive",
    "account_login",
    "account_logout",
    "account_reauthenticate",
    "account_reset_password",
    "account_reset_password_done",
    "account_reset_password_from_key",
    "account_reset_password_from_key_done",
    "account_signup",
    "mfa_activate_totp",
    "mfa_authenticate",
    "mfa_deactivate_totp",
    "mfa_download_recovery_codes",
    "mfa_generate_recovery_codes",
    "mfa_index",
    "mfa_reauthenticate",
    "mfa_view_recovery_codes",
    "openid_connect_callback",
    "openid_connect_login",
    "socialaccount_connections",
    "socialaccount_login_cancelled",
    "socialaccount_login_error",
    "socialaccount_signup",
    "usersessions_list",
}
# Asks on the ops role, and each service in a thread of its own: tests/lumikb/test_health.py.
OTHERWISE = {"health-ready"}
OPERATIONS: dict[str, Callable[[Caller, Document], Any]] = {
    "GET /knowledge-bases": lambda ask, d: ask("GET", f"{API}/knowledge-bases"),
    "POST /knowledge-bases": lambda ask, d: ask.json("POST", f"{API}/knowledge-bases", name="New"),
    "GET /knowledge-bases/{slug}": lambda ask, d: ask("GET", f"{API}/knowledge-bases/handbook"),
    "PATCH /knowledge-bases/{slug}": lambda ask, d: ask.json(
        "PATCH", f"{API}/knowledge-bases/handbook", description="New"
    ),
    "DELETE /knowledge-bases/{slug}": lambda ask, d: ask(
        "DELETE", f"{API}/knowledge-bases/{shared()[0]}"
    ),
    "GET /knowledge-bases/{slug}/members": lambda ask, d: ask(
        "GET", f"{API}/knowledge-bases/handbook/members"
    ),
    "POST /knowledge-bases/{slug}/members": lambda ask, d: ask.json(
        "POST", f"{API}/knowledge-bases/handbook/members", user=someone(is_member=False).username
    ),
    "PATCH /knowledge-bases/{slug}/members/{user_id}": lambda ask, d: ask.json(
        "PATCH", f"{API}/knowledge-bases/handbook/members/{someone().pk}", role="editor"
    ),
    "DELETE /knowledge-bases/{slug}/members/{user_id}": lambda ask, d: ask(
        "DELETE", f"{API}/knowledge-bases/handbook/members/{someone().pk}"
    ),
    "PATCH /knowledge-bases/{slug}/groups/{group_id}": lambda ask, d: ask.json(
        "PATCH", f"{API}/knowledge-bases/handbook/groups/{group().pk}", role="editor"
    ),
    "DELETE /knowledge-bases/{slug}/groups/{group_id}": lambda ask, d: ask(
        "DELETE", f"{API}/knowledge-bases/handbook/groups/{group().pk}"
    ),
    "GET /knowledge-bases/{slug}/invitations": lambda ask, d: ask(
        "GET", f"{API}/knowledge-bases/handbook/invitations"
    ),
    "POST /knowledge-bases/{slug}/invitations": lambda ask, d: ask.json(
        "POST", f"{API}/knowledge-bases/handbook/invitations", email="otto@example.org"
    ),
    "DELETE /knowledge-bases/{slug}/invitations/{invitation_id}": lambda ask, d: ask(
        "DELETE", f"{API}/knowledge-bases/handbook/invitations/{invited()[0].pk}"
    ),
    "GET /tokens": lambda ask, d: ask("GET", f"{API}/tokens"),
    "POST /tokens": lambda ask, d: ask.json("POST", f"{API}/tokens", name="New"),
    "DELETE /tokens/{token_id}": lambda ask, d: ask("DELETE", f"{API}/tokens/{token()}"),
    "GET /knowledge-bases/{slug}/documents": lambda ask, d: ask(
        "GET", f"{API}/knowledge-bases/handbook/documents"
    ),
    "POST /knowledge-bases/{slug}/documents": lambda ask, d: ask.send(
        "POST", f"{API}/knowledge-bases/handbook/documents?wait=1"
    ),
    "POST /knowledge-bases/{slug}/documents/bulk": lambda ask, d: ask.json(
        "POST",
        f"{API}/knowledge-bases/handbook/documents/bulk",
        action="tag",
        ids=[str(d.pk)],
        tags=["birds"],
    ),
    "POST /knowledge-bases/{slug}/documents/states": lambda ask, d: ask.json(
        "POST", f"{API}/knowledge-bases/handbook/documents/states", ids=[str(d.pk)]
    ),
    "POST /search": lambda ask, d: ask.json("POST", f"{API}/search", query="heron"),
    "GET /documents/{document_id}": lambda ask, d: ask("GET", f"{API}/documents/{d.pk}"),
    "GET /documents/{document_id}/events": lambda ask, d: ask(
        "GET", f"{API}/documents/{d.pk}/events"
    ),
    "GET /documents/{document_id}/content": lambda ask, d: ask(
        "GET", f"{API}/documents/{d.pk}/content"
    ),
    "GET /documents/{document_id}/similar": lambda ask, d: ask(
        "GET", f"{API}/documents/{d.pk}/similar"
    ),
    "POST /documents/{document_id}/requeue": lambda ask, d: ask(
        "POST", f"{API}/documents/{d.pk}/requeue"
    ),
    "PATCH /documents/{document_id}": lambda ask, d: ask.json(
        "PATCH", f"{API}/documents/{d.pk}", filename=f"{uuid4()}.md", tags=["birds"]
    ),
    "PUT /documents/{document_id}/file": lambda ask, d: ask.send(
        "PUT", f"{API}/documents/{d.pk}/file"
    ),
    "DELETE /documents/{document_id}": lambda ask, d: ask("DELETE", f"{API}/documents/{d.pk}"),
    "POST /documents/{document_id}/restore": lambda ask, d: ask(
        "POST", f"{API}/documents/{d.pk}/restore"
    ),
}

NEED_THEIR_OWN = {
    "PATCH /documents/{document_id}", "PUT /documents/{document_id}/file",
    "DELETE /documents/{document_id}", "requeue", "replace", "delete",
}  # fmt: skip
NEED_A_SESSION = {"POST /tokens"}


def test_every_route_is_among_those_that_are_watched() -> None:
    schema: Any = json_api.get_openapi_schema()
    operations = {
        f"{method.upper()} {route.removeprefix(API)}"
        for route, methods in schema["paths"].items()
        for method in methods
    }
    assert operations == set(OPERATIONS)
    names = {name for name in get_resolver().reverse_dict if isinstance(name, str)}
    assert names == PAGES.keys() | ALLAUTHS | OTHERWISE


def test_no_page_holds_a_connection_across_slow_work(
    browser: Caller, watch: Watch, make_ready: Callable[..., Document]
) -> None:
    answers(PAGES, browser, make_ready, {200, 302})
    assert_nothing_held(watch, SLOW | {"mail"})


@pytest.mark.parametrize("caller", ["script", "browser"])
def test_no_operation_of_the_api_holds_a_connection_across_slow_work(
    caller: str, watch: Watch, make_ready: Callable[..., Document], request: Any
) -> None:
    refused = NEED_A_SESSION if caller == "script" else set()
    operations = {name: ask for name, ask in OPERATIONS.items() if name not in refused}
    answers(operations, request.getfixturevalue(caller), make_ready, {200, 201, 202, 204})
    assert_nothing_held(watch, SLOW | {"mail", "wait"})


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
        told = get_messages(response.wsgi_request)
        assert [str(each) for each in told if each.level >= messages.ERROR] == [], name


def assert_nothing_held(watch: Watch, seen: set[str]) -> None:
    assert {what: held for what, held in watch.held.items() if held} == {}
    assert seen <= watch.held.keys()
