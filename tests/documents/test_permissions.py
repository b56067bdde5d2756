"""Who may do what, at every address there is. What somebody may not see does not exist: 404."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group, User
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import Invitation
from documents import lifecycle
from documents.models import ApiToken, Chunk, Document, KnowledgeBase, Membership
from lumikb.api import api as ninja
from tests.conftest import with_a_page

pytestmark = pytest.mark.django_db
Role = Membership.Role

BODY = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="new.md"\r\n\r\nnew\r\n--b--\r\n'
)


@dataclass(frozen=True)
class Route:
    """What each role gets at an address that names something of a knowledge base.

    An owner gets what an editor gets, and a superuser what an owner gets, if nothing is said.
    """

    viewer: int
    editor: int
    body: bytes = b""
    owner: int | None = None
    superuser: int | None = None

    def of(self, name: str) -> int:
        owner = self.editor if self.owner is None else self.owner
        superuser = owner if self.superuser is None else self.superuser
        return {"editor": self.editor, "owner": owner, "superuser": superuser}[name]


READ = Route(viewer=200, editor=200)
FILE = BODY
ROLE = b'{"role": "editor"}'


def for_owners(status: int, body: bytes = b"", superuser: int | None = None) -> Route:
    return Route(viewer=404, editor=404, body=body, owner=status, superuser=superuser)


ROUTES = {
    # The pages. A redirect is what a form gets.
    "GET kb/<str:slug>/": READ,
    "POST kb/<str:slug>/upload": Route(viewer=404, editor=302, body=FILE),
    "POST kb/<str:slug>/bulk": Route(viewer=404, editor=302),
    "GET documents/<uuid:document_id>/": READ,
    "GET documents/<uuid:document_id>/content": READ,
    "GET documents/<uuid:document_id>/text/": READ,
    "GET documents/<uuid:document_id>/pages/<int:number>/": READ,
    "GET documents/<uuid:document_id>/pages/<int:number>/picture": READ,
    "GET documents/<uuid:document_id>/similar/": READ,
    "POST documents/<uuid:document_id>/requeue": Route(viewer=404, editor=302),
    "POST documents/<uuid:document_id>/delete": Route(viewer=404, editor=302),
    "POST documents/<uuid:document_id>/restore": Route(viewer=404, editor=302),
    "POST documents/<uuid:document_id>/tags": Route(viewer=404, editor=302),
    "POST kb/<str:slug>/selection": Route(viewer=404, editor=302),
    "POST documents/<uuid:document_id>/replace": Route(viewer=404, editor=302, body=FILE),
    "GET passages/<uuid:chunk_id>/": READ,
    "GET kb/<str:slug>/members/": READ,
    "GET kb/<str:slug>/about/": for_owners(200),
    "POST kb/<str:slug>/about/": for_owners(200),  # an empty form
    "GET kb/<str:slug>/delete/": for_owners(200),
    "POST kb/<str:slug>/delete/": for_owners(302),
    "POST kb/<str:slug>/members/add": for_owners(302),
    "POST kb/<str:slug>/members/leave": Route(viewer=302, editor=302, superuser=404),
    "POST kb/<str:slug>/members/<int:user_id>/role": for_owners(302),
    "POST kb/<str:slug>/members/<int:user_id>/remove": for_owners(302),
    "POST kb/<str:slug>/members/<int:user_id>/hand-over": for_owners(302),
    "POST kb/<str:slug>/members/groups/add": for_owners(302),
    "POST kb/<str:slug>/members/groups/<int:group_id>/role": for_owners(302),
    "POST kb/<str:slug>/members/groups/<int:group_id>/remove": for_owners(302),
    "POST kb/<str:slug>/members/invite": for_owners(400),  # an empty form
    "POST kb/<str:slug>/members/invitations/<int:invitation_id>/end": for_owners(302),
    # The API.
    "GET api/v1/knowledge-bases/<slug>": READ,
    "PATCH api/v1/knowledge-bases/<slug>": for_owners(200, b'{"name": "New"}'),
    "DELETE api/v1/knowledge-bases/<slug>": for_owners(204),
    "GET api/v1/knowledge-bases/<slug>/members": READ,
    "POST api/v1/knowledge-bases/<slug>/members": for_owners(201, b'{"user": "staff"}'),
    "PATCH api/v1/knowledge-bases/<slug>/members/<user_id>": for_owners(200, ROLE),
    "DELETE api/v1/knowledge-bases/<slug>/members/<user_id>": for_owners(204),
    "PATCH api/v1/knowledge-bases/<slug>/groups/<group_id>": for_owners(200, ROLE),
    "DELETE api/v1/knowledge-bases/<slug>/groups/<group_id>": for_owners(204),
    "GET api/v1/knowledge-bases/<slug>/invitations": for_owners(200),
    "POST api/v1/knowledge-bases/<slug>/invitations": for_owners(201, b"{}"),
    "DELETE api/v1/knowledge-bases/<slug>/invitations/<invitation_id>": for_owners(204),
    "GET api/v1/knowledge-bases/<slug>/documents": READ,
    "POST api/v1/knowledge-bases/<slug>/documents": Route(viewer=404, editor=201, body=FILE),
    "GET api/v1/documents/<document_id>": READ,
    "POST api/v1/knowledge-bases/<slug>/documents/states": Route(
        viewer=200, editor=200, body=b'{"ids": []}'
    ),
    "POST api/v1/knowledge-bases/<slug>/documents/bulk": Route(
        viewer=404, editor=200, body=b'{"action": "delete", "ids": []}'
    ),
    "PATCH api/v1/documents/<document_id>": Route(viewer=404, editor=200, body=b'{"tags": ["x"]}'),
    "DELETE api/v1/documents/<document_id>": Route(viewer=404, editor=204),
    "GET api/v1/documents/<document_id>/events": READ,
    "GET api/v1/documents/<document_id>/content": READ,
    "GET api/v1/documents/<document_id>/similar": READ,
    "POST api/v1/documents/<document_id>/requeue": Route(viewer=404, editor=202),
    "POST api/v1/documents/<document_id>/restore": Route(viewer=404, editor=409),
    "PUT api/v1/documents/<document_id>/file": Route(viewer=404, editor=201, body=FILE),
}
NAMES_NOTHING = {  # what they list or search is tested below
    "GET ",
    "POST ",
    "GET search/",
    "GET api/v1/knowledge-bases",
    "POST api/v1/knowledge-bases",
    "POST api/v1/search",
    "GET account/",  # one's own: tests/accounts
    "POST account/profile",
    "GET account/password/",
    "POST account/tokens",
    "POST account/tokens/<int:token_id>/end",
    "GET api/v1/tokens",
    "POST api/v1/tokens",
    "DELETE api/v1/tokens/<token_id>",
}
OPEN_TO_ALL = {
    "login/",
    "logout/",
    # allauth's: one's own, or with a secret from a mail
    "signup/",
    "account/inactive/",
    "account/confirm/",
    "account/mail/",
    "account/mail/sent/",
    r"^account/mail/confirm/(?P<key>[-:\w]+)/$",
    "password/",
    "password/sent/",
    r"^password/new/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
    "password/done/",
    "account/sessions/",
    "account/provider/",
    "oidc/signup/",
    "oidc/cancelled/",
    "oidc/error/",
    "oidc/^(?P<provider_id>[^/]+)/login/",
    "oidc/^(?P<provider_id>[^/]+)/login/callback/",
    *(
        f"account/second-factor/{each}"
        for each in (
            "",
            "authenticate/",
            "reauthenticate/",
            "totp/activate/",
            "totp/deactivate/",
            "recovery-codes/",
            "recovery-codes/generate/",
            "recovery-codes/download/",
        )
    ),
    "invitations/<str:secret>/",  # who has its secret may: tests/accounts
    "health/live",
    "health/serving",
    "health/ready",
    "metrics",  # it asks for a token of its own
    "api/v1/",
    "api/v1/openapi.json",
    "api/v1/docs",
}


def addresses() -> Iterator[str]:
    """Every address outside of the admin, as its pattern."""

    def walk(patterns: list[URLPattern | URLResolver], prefix: str) -> Iterator[str]:
        for pattern in patterns:
            address = prefix + str(pattern.pattern)
            if isinstance(pattern, URLPattern):
                yield address
            elif address != "admin/":
                yield from walk(pattern.url_patterns, address)

    return walk(get_resolver().url_patterns, "")


def api_routes() -> set[str]:
    """Every method of every address of the API, as its own documentation has it."""
    paths = ninja.get_openapi_schema()["paths"].items()
    found = {f"{method.upper()} {path[1:]}" for path, methods in paths for method in methods}
    return {route.replace("{", "<").replace("}", ">") for route in found}


@pytest.fixture
def document(knowledge_base: KnowledgeBase, request: pytest.FixtureRequest) -> Document:
    """A READY document of the knowledge base, with one passage."""
    document = Document(
        knowledge_base=knowledge_base, filename="plan.md", content_type="text/markdown",
        size=4, sha256="0" * 64,
    )  # fmt: skip
    default_storage.save(document.storage_key, ContentFile(b"plan"))
    default_storage.save(document.text_key(1), ContentFile(b"plan"))
    lifecycle.register(document)
    claim = lifecycle.claim(document.pk)
    assert claim
    chunk_id = Chunk.id_for(document.pk, 0)
    lifecycle.succeed(
        claim, [Chunk(id=chunk_id, document=document, position=0, text="plan", start=0, end=4)]
    )
    if "/pages/" in request.node.name:
        document.refresh_from_db()
        with_a_page(document)
    return document


@pytest.fixture
def people(make_user: Callable[..., User], knowledge_base: KnowledgeBase) -> dict[str, User]:
    elsewhere = KnowledgeBase.objects.create(name="Elsewhere", slug="elsewhere")
    people = {
        "stranger": make_user("stranger"),
        "staff": make_user("staff", is_staff=True),
        "viewer": make_user("viewer"),
        "editor": make_user("editor"),
        "owner": make_user("owner"),
        "superuser": make_user("root", is_superuser=True),
    }
    for name in ("viewer", "editor", "owner"):
        Membership.objects.create(knowledge_base=knowledge_base, user=people[name], role=Role(name))
    Membership.objects.create(knowledge_base=elsewhere, user=people["stranger"], role=Role.OWNER)
    another = make_user("another")
    Membership.objects.create(knowledge_base=knowledge_base, user=another)
    knowledge_base.groupmembership_set.create(group=Group.objects.create(name="plan"))
    return people


def call(route: str, document: Document, user: User | None) -> Any:
    """Ask for this route in a user's name: the API with a token, the pages with a session."""
    method, pattern = route.split(" ")
    names = {
        "<str:slug>": document.knowledge_base.slug,
        "<slug>": document.knowledge_base.slug,
        "<uuid:document_id>": str(document.pk),
        "<document_id>": str(document.pk),
        "<uuid:chunk_id>": str(Chunk.id_for(document.pk, 0)),
        "<int:number>": "1",
    }
    for number in re.findall(r"<(?:int:)?\w+_id>", pattern):
        names.setdefault(number, str(pk_of(number, document.knowledge_base)))
    for parameter, value in names.items():
        pattern = pattern.replace(parameter, value)
    client = Client()
    if user and pattern.startswith("api/"):
        client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {ApiToken.issue(user, 'test')}"
    elif user:
        client.force_login(user)
    body = ROUTES[route].body if route in ROUTES else b""
    is_json = body.startswith(b"{")
    kind = "application/json" if is_json else "multipart/form-data; boundary=b"
    return client.generic(method, f"/{pattern}", body, kind)


def pk_of(parameter: str, knowledge_base: KnowledgeBase) -> int:
    """Of something that the knowledge base has; any number for one that is not there."""
    if not knowledge_base.pk:
        return 4711
    if "user" in parameter:
        another = knowledge_base.membership_set.filter(user__username="another").first()
        return another.user_id if another else 4711
    if "group" in parameter:
        group = knowledge_base.groupmembership_set.first()
        return group.group_id if group else 4711
    by, _ = User.objects.get_or_create(username="inviter")
    return Invitation.issue(knowledge_base, by, "viewer", 7)[0].pk


def test_every_address_is_in_a_table() -> None:
    """A new route is red here until somebody has said who may use it."""
    known = ROUTES.keys() | NAMES_NOTHING
    assert set(addresses()) - OPEN_TO_ALL == {route.split(" ")[1] for route in known}
    assert api_routes() == {route for route in known if "api/v1/" in route}


@pytest.mark.parametrize("route", ROUTES)
def test_what_is_not_in_the_table_is_not_possible(route: str, document: Document) -> None:
    """The other methods of an address are 405, so the table misses none."""
    address = route.split(" ")[1]
    known = {each.split(" ")[0] for each in ROUTES if each.split(" ")[1] == address}
    superuser = User.objects.create(username="root", is_superuser=True)
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - known:
        response = call(f"{method} {address}", document, superuser)
        assert response.status_code == 405, method


@pytest.mark.parametrize("route", ROUTES)
def test_who_is_not_logged_in_learns_nothing(route: str, document: Document) -> None:
    before = Document.objects.values().get()
    response = call(route, document, None)
    if "api/" in route:
        assert response.status_code == 401
    else:
        assert response.status_code == 302
        assert response.headers["Location"].startswith("/login/?next=/")
    assert Document.objects.values().get() == before


@pytest.mark.parametrize("name", ["stranger", "staff"])
@pytest.mark.parametrize("route", ROUTES)
def test_for_who_is_no_member_it_does_not_exist(
    route: str, name: str, document: Document, people: dict[str, User]
) -> None:
    before = Document.objects.values().get()
    response = call(route, document, people[name])
    assert response.status_code == 404
    assert b"plan" not in response.content
    assert Document.objects.values().get() == before


@pytest.mark.parametrize("route", ROUTES)
def test_what_may_not_be_seen_looks_like_what_is_not_there(
    route: str, document: Document, people: dict[str, User]
) -> None:
    hidden = call(route, document, people["stranger"])
    nothing = Document(
        pk=uuid4(), knowledge_base=KnowledgeBase(name="Nothing", slug="nothing"), filename="x"
    )
    missing = call(route, nothing, people["stranger"])
    assert (hidden.status_code, hidden.content) == (missing.status_code, missing.content)


@pytest.mark.parametrize("route", ROUTES)
def test_a_viewer_reads_but_changes_nothing(
    route: str, document: Document, people: dict[str, User]
) -> None:
    before = Document.objects.values().get()
    assert call(route, document, people["viewer"]).status_code == ROUTES[route].viewer
    assert Document.objects.values().get() == before


@pytest.mark.parametrize("name", ["editor", "owner", "superuser"])
@pytest.mark.parametrize("route", ROUTES)
def test_who_changes_and_who_owns_may(
    route: str, name: str, document: Document, people: dict[str, User]
) -> None:
    response = call(route, document, people[name])
    assert response.status_code == ROUTES[route].of(name), response.content


@pytest.mark.parametrize("route", ROUTES)
def test_a_deleted_document_is_no_less_hidden(
    route: str, document: Document, people: dict[str, User]
) -> None:
    lifecycle.soft_delete(document.pk, people["owner"])
    assert call(route, document, people["stranger"]).status_code == 404


@pytest.mark.parametrize("route", ROUTES)
def test_who_was_taken_out_of_a_knowledge_base_is_a_stranger_at_once(
    route: str, document: Document, people: dict[str, User]
) -> None:
    Membership.objects.filter(user=people["editor"]).delete()
    assert call(route, document, people["editor"]).status_code == 404


@pytest.mark.parametrize("address", ["", "search/?q=plan"])
def test_lists_show_a_stranger_only_what_is_his(
    address: str, document: Document, people: dict[str, User]
) -> None:
    response = call(f"GET {address}", document, people["staff"])
    assert response.status_code == 200
    assert b"Handbook" not in response.content
    assert b"plan.md" not in response.content


def test_the_api_lists_a_stranger_only_what_is_his(
    document: Document, people: dict[str, User]
) -> None:
    response = call("GET api/v1/knowledge-bases", document, people["stranger"])
    assert [each["slug"] for each in response.json()] == ["elsewhere"]


def test_naming_a_hidden_knowledge_base_in_a_search_is_like_naming_none_that_is(
    document: Document, people: dict[str, User], api: Callable[[User], Client]
) -> None:
    def found(slug: str) -> tuple[int, Any, Any]:
        query = {"query": "plan", "knowledge_bases": [slug]}
        response = api(people["stranger"]).post("/api/v1/search", query, "application/json")
        error = response.json()["error"]
        error["message"] = error["message"].replace(slug, "SLUG")
        assert error.pop("details") == {"knowledge_bases": slug}
        return response.status_code, response.json().get("results"), error

    assert found("handbook") == found("no-such-one")


def test_a_document_cannot_be_put_into_another_knowledge_base_by_replacing(
    document: Document, people: dict[str, User]
) -> None:
    response = call("PUT api/v1/documents/<document_id>/file", document, people["editor"])
    assert response.json()["knowledge_base"] == "handbook"
