"""Every route of the URL configuration, for every role: what is another's looks like nothing.

Nothing here is listed by hand but samples of what a route's parameters may be. A new route is
tried as soon as it is there, and is red when it has a parameter of which there is no sample.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP
from axes.models import AccessAttempt
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models.functions import Now
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import Invitation
from documents import lifecycle
from documents.models import (
    ApiToken,
    AuditEntry,
    BulkAction,
    Chunk,
    Document,
    Generation,
    Heartbeat,
    KnowledgeBase,
    Limit,
    Membership,
    Outage,
    OutboxMessage,
    ReconcileRun,
)
from documents.roles import make_groups
from lumikb.api import api as ninja

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]

FILE = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="new.md"\r\n\r\n'
    b"new\r\n--b--\r\n",
    "multipart/form-data; boundary=b",
)
NO_BODY = (b"", "")
PAGES_METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
ADMIN_METHODS = ("GET", "POST")
SECRET = "zyxheron"  # in every name and text that is not theirs
BODIES = {  # of the API's operations that read JSON
    "/api/v1/knowledge-bases": {"name": "New"},
    "/api/v1/search": {"query": " "},
    "/api/v1/knowledge-bases/<slug>": {"name": "New"},
    "/api/v1/knowledge-bases/<slug>/members": {"user": "hidden"},
    "/api/v1/knowledge-bases/<slug>/members/<user_id>": {"role": "viewer"},
    "/api/v1/knowledge-bases/<slug>/groups/<group_id>": {"role": "viewer"},
    "/api/v1/knowledge-bases/<slug>/invitations": {},
    "/api/v1/tokens": {"name": "New"},
    "/api/v1/documents/<document_id>": {"tags": ["new"]},
    "/api/v1/knowledge-bases/<slug>/documents/states": {"ids": []},
    "/api/v1/knowledge-bases/<slug>/documents/bulk": {"action": "delete", "ids": []},
}
# What no pattern's text can be made from: Django's regular expressions, the admin's catch-all.
REGULAR_EXPRESSIONS = {
    "admin/^(?P<app_label>auth|axes|documents|mfa)/$": ["admin/documents/", "admin/auth/"],
    r"^account/mail/confirm/(?P<key>[-:\w]+)/$": ["account/mail/confirm/none/"],
    r"^password/new/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$": ["password/new/1-none/"],
    "oidc/^(?P<provider_id>[^/]+)/login/": ["oidc/none/login/"],
    "oidc/^(?P<provider_id>[^/]+)/login/callback/": ["oidc/none/login/callback/"],
    "admin/(?P<url>.*)$": ["admin/no/such/page", "admin/documents/document"],
}


# --- The routes -----------------------------------------------------------------------------------


def addresses() -> list[str]:
    """Every pattern, as text."""

    def walk(patterns: list[URLPattern | URLResolver], prefix: str) -> Iterator[str]:
        for pattern in patterns:
            address = prefix + str(pattern.pattern)
            if isinstance(pattern, URLPattern):
                yield address
            else:
                yield from walk(pattern.url_patterns, address)

    return sorted(set(walk(get_resolver().url_patterns, "")))


NAMING = [each for each in addresses() if "<" in each and each not in REGULAR_EXPRESSIONS]
LISTING = [each for each in addresses() if "<" not in each]


def methods(address: str) -> tuple[str, ...]:
    return ADMIN_METHODS if address.startswith("admin/") else PAGES_METHODS


def bodies(address: str, method: str) -> list[tuple[bytes, str]]:
    """What comes with a request: what the API's description says, and forms for pages."""
    if method in ("GET", "HEAD", "OPTIONS", "DELETE"):
        return [NO_BODY]
    if not address.startswith("api/"):
        return [NO_BODY, FILE] if method == "POST" else [NO_BODY]
    operation = operation_of(address, method) or {}
    accepted = operation.get("requestBody", {}).get("content", {})
    if "multipart/form-data" in accepted:
        return [FILE]
    if "application/json" in accepted:
        return [(json.dumps(BODIES[f"/{address}"]).encode(), "application/json")]
    return [NO_BODY]


def operation_of(address: str, method: str) -> dict[str, Any] | None:
    path = "/" + address.replace("<", "{").replace(">", "}")
    return described().get(path, {}).get(method.lower())


@cache
def described() -> dict[str, Any]:
    """The API's own description of its operations."""
    return ninja.get_openapi_schema()["paths"]


# --- What they name -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Named:
    """Something that routes name by its ids."""

    slug: str
    document_id: str
    chunk_id: str
    user_id: str = "0"  # of a member
    group_id: str = "0"
    invitation_id: str = "0"
    secret: str = "none"  # of an invitation
    token_id: str = "0"
    rows: dict[str, str] = field(default_factory=dict)  # of the admin, by model

    def fill(self, address: str) -> str:
        """The address of this. Raises LookupError for a parameter that nobody has thought of."""
        samples = {
            "slug": quote(self.slug), "document_id": self.document_id, "chunk_id": self.chunk_id,
            "user_id": self.user_id, "group_id": self.group_id, "secret": self.secret,
            "invitation_id": self.invitation_id, "token_id": self.token_id, "number": "1",
        }  # fmt: skip
        if of_admin := re.match(r"admin/(\w+/\w+)/<", address):
            samples = {"object_id": self.rows[of_admin[1]], "id": self.rows[of_admin[1]]}
        return re.sub(r"<(?:\w+:)?(\w+)>", lambda match: samples[match[1]], address)

    def hide(self, text: str, path: str) -> str:
        """The text without the path that was asked for, and without the longer ids."""
        for each in (
            path,
            quote(path),
            self.slug,
            quote(self.slug),
            self.document_id,
            self.chunk_id,
            self.secret,
        ):
            text = text.replace(each, "ID")
        return text


def stored(slug: str) -> Document:
    """A READY document with one passage, in a knowledge base of its own."""
    knowledge_base = KnowledgeBase.objects.create(name=f"{SECRET} {slug}", slug=slug)
    document = Document(
        knowledge_base=knowledge_base, filename=f"{SECRET}.md", content_type="text/markdown",
        size=8, sha256="0" * 64,
    )  # fmt: skip
    default_storage.save(document.storage_key, ContentFile(SECRET.encode()))
    default_storage.save(document.text_key(1), ContentFile(SECRET.encode()))
    lifecycle.register(document)
    claim = lifecycle.claim(document.pk)
    assert claim
    chunk = Chunk(
        id=Chunk.id_for(document.pk, 0), document=document, position=0, text=SECRET,
        start=0, end=len(SECRET),
    )  # fmt: skip
    assert lifecycle.succeed(claim, [chunk])
    return document


def named(document: Document) -> Named:
    """The ids of a document, and of a row of each table that the admin shows."""
    pks = {
        "documents/document": document.pk,
        "documents/bulkaction": BulkAction.objects.get_or_create(
            which=SECRET, total=0, confirmed_at=document.created_at
        )[0].pk,
        "documents/knowledgebase": document.knowledge_base_id,
        "documents/limit": Limit.objects.create(knowledge_base=document.knowledge_base).pk,
        "documents/outboxmessage": OutboxMessage.objects.latest("pk").pk,
        "documents/apitoken": ApiToken.objects.latest("pk").pk,
        "documents/auditentry": AuditEntry.objects.get(what=SECRET).pk,
        "documents/outage": Outage.objects.get().pk,
        "documents/reconcilerun": ReconcileRun.objects.latest("pk").pk,
        "documents/generation": Generation.objects.get(collection=SECRET).pk,
        "documents/heartbeat": Heartbeat.objects.get(kind=Heartbeat.Kind.RELAY).pk,
        "auth/user": User.objects.get(username="hidden").pk,
        "auth/group": Group.objects.get(name=SECRET).pk,
        "axes/accessattempt": AccessAttempt.objects.get().pk,
        "mfa/authenticator": Authenticator.objects.get().pk,
    }
    chunk_id = str(document.chunk_set.get().pk)
    rows = {model: str(pk) for model, pk in pks.items()}
    knowledge_base = document.knowledge_base
    hidden, group = User.objects.get(username="hidden"), Group.objects.get(name=SECRET)
    knowledge_base.membership_set.create(user=hidden, role="owner")
    knowledge_base.groupmembership_set.create(group=group)
    invitation, _ = Invitation.issue(knowledge_base, hidden, "viewer", 7)
    _, ended = Invitation.issue(knowledge_base, hidden, "viewer", -1)
    return Named(
        knowledge_base.slug,
        str(document.pk),
        chunk_id,
        str(hidden.pk),
        str(group.pk),
        str(invitation.pk),
        ended,
        str(ApiToken.objects.get(name=SECRET).pk),
        rows,
    )


@pytest.fixture
def foreign(make_user: Callable[..., User]) -> Named:
    """What belongs to somebody else."""
    ApiToken.issue(make_user("hidden"), SECRET)
    Group.objects.create(name=SECRET)
    TOTP.activate(User.objects.get(username="hidden"), SECRET)
    ReconcileRun.objects.create()
    AuditEntry.objects.create(action="read", what=SECRET)
    Heartbeat.beat(Heartbeat.Kind.RELAY)
    Generation.objects.create(
        collection=SECRET, state="retired", model=SECRET, dimensions=1, words=1
    )
    Outage.objects.create(
        service=SECRET, reason=SECRET, since=Now(), failed_at=Now(), retry_at=Now()
    )
    AccessAttempt.objects.create(
        username=SECRET, ip_address="192.0.2.1", failures_since_start=1, path_info="/"
    )
    Outage.objects.all().delete()  # or nothing is claimed
    document = stored("知識-hidden2")
    Outage.objects.create(
        service=SECRET, reason=SECRET, since=Now(), failed_at=Now(), retry_at=Now()
    )
    OutboxMessage.objects.create(document=document, action="purge")
    return named(document)


@pytest.fixture
def nothing(foreign: Named) -> Named:
    """Ids of the same form that nothing has."""
    rows = {
        model: str(uuid4()) if model == "documents/document" else "8" * len(pk) + "77"
        for model, pk in foreign.rows.items()
    }
    numbers = ("881077", "882077", "883077")
    return Named("知識-nothing", str(uuid4()), str(uuid4()), *numbers, "A" * 43, "884077", rows)


# --- Who asks -------------------------------------------------------------------------------------


@pytest.fixture
def roles(make_user: Callable[..., User], foreign: Named) -> dict[str, Client]:
    """Everybody who has no right to what is foreign, with a session or a token."""
    own = KnowledgeBase.objects.create(name="Own", slug="own")
    clients = {"anonymous": Client(), "a wrong token": bearer("lumikb_wrong")}
    for role in ("none", *Membership.Role.values):
        user = make_user(f"of-{role}")
        if role != "none":
            own.membership_set.create(user=user, role=role)
        clients[f"{role}, session"] = session(user)
        clients[f"{role}, token"] = bearer(ApiToken.issue(user, "matrix"))
    user = User.objects.get(username="of-owner")
    for limit in ({"read_only": True}, {"knowledge_base": own}):
        clients[f"owner, token with {next(iter(limit))}"] = bearer(
            ApiToken.issue(user, "matrix", **limit)
        )
    staff = make_user("staff", is_staff=True)
    clients["staff, session"] = session(staff)
    clients["staff, token"] = bearer(ApiToken.issue(staff, "matrix"))
    for role in ("operator", "auditor"):
        user = of_group(make_user(role, is_staff=True))
        clients[f"{role}, session"] = session(user)
        clients[f"{role}, token"] = bearer(ApiToken.issue(user, "matrix"))
    left = make_user("left", is_staff=True, is_superuser=True)
    clients["left, session"] = session(left)
    clients["left, token"] = bearer(ApiToken.issue(left, "matrix"))
    User.objects.filter(pk=left.pk).update(is_active=False)
    return clients


def of_part(part: str, roles: dict[str, Client]) -> dict[str, Client]:
    """Pages know no tokens, and the admin no members: there one of each kind is enough."""
    if part == "api/":
        return roles
    tokens = {"staff, token", "a wrong token"}
    if part == "admin/":  # which is theirs: what they may do there has tests of its own
        roles = {
            role: roles[role] for role in roles if not role.startswith(("operator", "auditor"))
        }
    members = {"viewer, session", "editor, session"} if part else set()
    return {
        role: client for role, client in roles.items()
        if role in tokens or ("token" not in role and role not in members)
    }  # fmt: skip


# Asks for what no route serves in any way of its own: one of each kind.
FEW = ("anonymous", "owner, session", "owner, token", "staff, session")


def askers(address: str, method: str, roles: dict[str, Client], full: bool) -> dict[str, Client]:
    """Who tries this method: all of its part; a FEW of them, if the method means nothing there."""
    everybody = of_part(part_of(address), roles)
    of_its_own = method in ("GET", "POST")  # Django makes a HEAD a GET
    if address.startswith("api/"):
        of_its_own = method == "GET" or operation_of(address, method) is not None
    if full or of_its_own:
        return everybody
    return {role: everybody[role] for role in FEW if role in everybody}


def of_group(user: User) -> User:
    """The user, in the group that ships for his name's role."""
    make_groups(apps, None)
    user.groups.add(Group.objects.get(name=f"{user.username.capitalize()}s"))
    return user


def session(user: User) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def bearer(token: str) -> Client:
    client = Client(raise_request_exception=False)
    client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return client


def ask(client: Client, method: str, path: str, body: tuple[bytes, str]) -> Any:
    return client.generic(method, f"/{path}", *([] if body == NO_BODY else body))


def seen(response: Any, ids: Named, path: str) -> tuple[Any, ...]:
    """All that a client can tell two answers by, but the ids that it has sent itself."""
    text = re.sub(r'(name="csrfmiddlewaretoken" value=)"\w+"', r"\1", response.content.decode())
    headers = {
        name: sorted(ids.hide(value, path).split("; "))
        for name, value in response.headers.items()
        if name not in ("Content-Length", "Expires")
    }
    return response.status_code, headers, sorted(response.cookies), ids.hide(text, path)


def rows_of_all_tables() -> dict[str, list[Any]]:
    """What must not change; sessions and what is counted may."""
    return {
        model.__name__: [
            {name: value for name, value in row.items() if name != "last_used_at"}
            for row in model._default_manager.order_by("pk").values()
        ]
        for model in apps.get_models()
        if model._meta.app_label == "documents" and model.__name__ not in ("Tally", "Heartbeat")
    }


# --- The matrix -----------------------------------------------------------------------------------


def test_there_is_a_sample_of_every_parameter(foreign: Named) -> None:
    for address in NAMING:
        try:
            foreign.fill(address)
        except LookupError as error:
            pytest.fail(f"add a sample of {error} for {address} to this test")
    patterns = set(addresses())
    assert len(patterns) > 70
    assert patterns == {*NAMING, *LISTING, *REGULAR_EXPRESSIONS}
    assert {operation_of(each, m) is None for each in patterns for m in PAGES_METHODS} == {
        True,
        False,
    }


def test_a_route_of_tomorrow_is_noticed() -> None:
    with pytest.raises(LookupError, match="team_id"):
        Named("", "", "").fill("teams/<int:team_id>/")
    with pytest.raises(LookupError, match="documents/team"):
        Named("", "", "").fill("admin/documents/team/<path:object_id>/change/")


@pytest.mark.parametrize("part", ["", "api/", "admin/"])
def test_what_is_anothers_looks_like_nothing(
    part: str,
    roles: dict[str, Client],
    foreign: Named,
    nothing: Named,
    pytestconfig: pytest.Config,
) -> None:
    """With --full everybody tries every method, also those that mean nothing to a route."""
    full = pytestconfig.getoption("--full")
    before = rows_of_all_tables()
    combinations = 0
    for address in (each for each in NAMING if part_of(each) == part):
        for method in methods(address):
            for body in bodies(address, method):
                for role, client in askers(address, method, roles, full).items():
                    path, no_path = foreign.fill(address), nothing.fill(address)
                    there = ask(client, method, path, body)
                    missing = ask(client, method, no_path, body)
                    what = f"{role}: {method} {address}"
                    assert seen(there, foreign, path) == seen(missing, nothing, no_path), what
                    assert there.status_code in (302, 401, 403, 404, 405), what
                    assert SECRET.encode() not in there.content, what
                    check_described(address, method, there)
                    combinations += 2
    assert rows_of_all_tables() == before
    print(f"{part or 'pages'}: {combinations} requests")
    assert combinations > 1000


@pytest.mark.parametrize("part", ["", "api/", "admin/"])
def test_what_lists_or_makes_something_shows_nothing_of_anothers(
    part: str, roles: dict[str, Client], foreign: Named, pytestconfig: pytest.Config
) -> None:
    """With --full everybody tries every method, also those that mean nothing to a route."""
    full = pytestconfig.getoption("--full")
    listing = [each for each in LISTING if part_of(each) == part]
    known = [path for paths in REGULAR_EXPRESSIONS.values() for path in paths]
    listing += [path for path in known if part_of(path) == part]
    listing = [each for each in listing if each not in REGULAR_EXPRESSIONS]
    for address in listing:
        for method in methods(address):
            for body in bodies(address, method):
                for role, client in askers(address, method, roles, full).items():
                    with transaction.atomic():  # a logout, or a new knowledge base, is undone
                        response = ask(client, method, address, body)
                        transaction.set_rollback(True)
                    what = f"{role}: {method} {address}"
                    # 503: /health/ready, where no relay and no worker are
                    assert response.status_code < 500 or "health" in address, what
                    assert SECRET.encode() not in response.content, what
                    check_described(address, method, response)


# What the roles that ship may open in the admin, by the beginning of the address.
THEIRS = {
    *("admin/causes/", "admin/operations/", "admin/axes/accessattempt/"),
    *("admin/documents/auditentry/", "admin/documents/document/", "admin/documents/generation/"),
    *("admin/documents/bulkaction/", "admin/documents/limit/"),
    *("admin/documents/heartbeat/", "admin/documents/knowledgebase/", "admin/documents/outage/"),
    *("admin/documents/outboxmessage/", "admin/documents/reconcilerun/"),
}
EVERYBODYS = {"login/", "logout/", "password_change/", "password_change/done/", "jsi18n/"}
OPERATORS = {
    "documents/document/<path:object_id>/act/",
    *("documents/document/<path:object_id>/original", "documents/reconcilerun/request/"),
    "axes/accessattempt/<path:object_id>/delete/",
    *("documents/limit/add/", "documents/limit/<path:object_id>/delete/"),
    "documents/knowledgebase/<path:object_id>/delete/",
}


@pytest.mark.parametrize("role", ["operator", "auditor"])
def test_who_has_a_role_sees_the_machinery_and_no_users_and_no_tokens(
    role: str, make_user: Callable[..., User], foreign: Named
) -> None:
    client = session(of_group(make_user(role, is_staff=True)))
    for address in addresses():
        inner = address.removeprefix("admin/")
        if part_of(address) != "admin/" or address in REGULAR_EXPRESSIONS or inner in EVERYBODYS:
            continue
        with transaction.atomic():
            status = ask(client, "GET", foreign.fill(address), NO_BODY).status_code
            transaction.set_rollback(True)
        if inner.endswith("<path:object_id>/"):  # Django's redirect to the page, for everybody
            continue
        is_theirs = address == "admin/" or address.startswith(tuple(THEIRS))
        is_theirs = is_theirs and not inner.endswith("/add/")
        if inner.endswith("/delete/") or inner in OPERATORS:
            is_theirs = inner in OPERATORS and role == "operator"
        assert (status != 403) == is_theirs, f"{role}: {address}: {status}"


@pytest.mark.parametrize("method", ADMIN_METHODS)
def test_an_auditor_changes_nothing(
    method: str, make_user: Callable[..., User], foreign: Named
) -> None:
    client = session(of_group(make_user("auditor", is_staff=True)))
    actions = ["requeue", "delete", "purge", "give_up", "restore", "retry_now", "end"]
    before = rows_of_all_tables()
    for address in addresses():
        inner = address.removeprefix("admin/")
        if part_of(address) != "admin/" or address in REGULAR_EXPRESSIONS or inner in EVERYBODYS:
            continue
        path = f"/{foreign.fill(address)}"
        if method == "GET":
            client.get(path)
            continue
        chosen = [foreign.document_id, *foreign.rows.values()]
        form = {"confirmed": "yes", "_selected_action": chosen, "code": "encrypted", "post": "yes"}
        takes_actions = inner.endswith(("/act/", "outage/", "documents/document/"))
        for action in actions if takes_actions else actions[:1]:
            client.post(path, form | {"action": action})
    after = rows_of_all_tables()
    assert after | {"AuditEntry": []} == before | {"AuditEntry": []}


# Nobody else's, not even for the superuser; and what is found by a secret: tests/accounts.
ONES_OWN = {"api/v1/tokens/<token_id>", "invitations/<str:secret>/"}


def test_who_may_gets_an_answer_so_the_matrix_compares_no_refusals_of_form(
    make_user: Callable[..., User], foreign: Named, nothing: Named
) -> None:
    """Of each route some method is possible for the superuser, with the very same requests."""
    root = make_user("root", is_superuser=True, is_staff=True)
    clients = [session(root), bearer(ApiToken.issue(root, "matrix"))]
    for address in NAMING:
        statuses = set()
        for method in methods(address):
            for body in bodies(address, method):
                for client in clients:
                    with transaction.atomic():
                        response = ask(client, method, foreign.fill(address), body)
                        transaction.set_rollback(True)
                    check_described(address, method, response)
                    assert response.status_code < 500, f"{method} {address}"
                    statuses.add(response.status_code)
        if address in ONES_OWN:
            assert statuses == {404, 405}
            continue
        possible = statuses - {302, 401, 403, 404, 405, 422}
        redirects = address.endswith("<path:object_id>/") or "POST" in methods(address)
        assert possible or (redirects and 302 in statuses), f"{address}: {statuses}"


def test_the_superusers_view_of_nothing_is_no_crash(
    make_user: Callable[..., User], nothing: Named
) -> None:
    root = make_user("root", is_superuser=True, is_staff=True)
    for client in (session(root), bearer(ApiToken.issue(root, "matrix"))):
        for address in NAMING:
            for method in methods(address):
                for body in bodies(address, method):
                    status = ask(client, method, nothing.fill(address), body).status_code
                    assert status in (302, 401, 403, 404, 405), f"{method} {address}: {status}"


@pytest.mark.parametrize(
    "odd", ["0", "-1", "9" * 30, "x", "%00", "a%0Ab", "..", "é", str(UUID(int=0))]
)
def test_an_id_of_another_form_is_no_crash(
    odd: str, make_user: Callable[..., User], foreign: Named
) -> None:
    root = make_user("root", is_superuser=True, is_staff=True)
    clients = [session(root), bearer(ApiToken.issue(root, "matrix")), Client()]
    ids = Named(odd, odd, odd, odd, odd, odd, odd, odd, dict.fromkeys(foreign.rows, odd))
    for address in NAMING:
        path = re.sub(r"<[^>]*>", odd, ids.fill(address) if odd.isalnum() else address)
        for client in clients:
            status = ask(client, "GET", path, NO_BODY).status_code
            assert status < 500, f"{path}: {status}"


def part_of(address: str) -> str:
    return next((part for part in ("api/", "admin/") if address.startswith(part)), "")


def check_described(address: str, method: str, response: Any) -> None:
    """The API's description names every status that its operations answer."""
    operation = operation_of(address, method)
    if operation is not None:
        assert response.status_code in operation["responses"], (
            f"{method} {address} answers {response.status_code}, which is not described"
        )
