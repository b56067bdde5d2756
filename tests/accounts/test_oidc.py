"""Who is known elsewhere logs in with that, and its groups are ours: over a real provider."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from documents.models import AuditEntry, KnowledgeBase
from tests.accounts.provider import CLIENT, Provider, provider

pytestmark = pytest.mark.django_db
NORA = {
    "sub": "n-1", "preferred_username": "nora", "email": "nora@example.com",
    "email_verified": True, "given_name": "Nora", "groups": ["Night shift", "lumikb-admins"],
}  # fmt: skip


@pytest.fixture
def elsewhere(settings: Any) -> Iterator[Provider]:
    with provider() as server:
        server.person = dict(NORA)
        settings.OIDC_ISSUER = server.issuer
        settings.OIDC_GROUPS = ["Night shift", "Day shift"]
        settings.OIDC_STAFF_GROUP = "lumikb-admins"
        app = {
            "provider_id": "provider", "name": "Our company",
            "client_id": CLIENT["client_id"], "secret": CLIENT["client_secret"],
            "settings": {"server_url": server.issuer},
        }  # fmt: skip
        settings.SOCIALACCOUNT_PROVIDERS = {
            "openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": [app]}
        }
        yield server


def log_in(client: Client, next_page: str = "/") -> Any:
    """Through the provider and back, as a browser goes."""
    there = client.get("/oidc/provider/login/", {"next": next_page}).headers["Location"]
    back = httpx.get(there).headers["Location"]
    callback = urlsplit(back)
    assert callback.netloc == "testserver"
    return client.get(f"{callback.path}?{callback.query}")


def test_the_login_page_offers_it(elsewhere: Provider) -> None:
    page = Client().get("/login/?next=/search/").content.decode()
    assert "Log in with Our company" in page
    assert "/oidc/provider/login/?process=login&amp;next=%2Fsearch%2F" in page


def test_a_first_login_makes_an_account_in_its_groups(
    elsewhere: Provider, knowledge_base: KnowledgeBase
) -> None:
    night = Group.objects.create(name="Night shift")
    knowledge_base.groupmembership_set.create(group=night, role="editor")
    client = Client()
    answer = log_in(client, "/kb/handbook/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/kb/handbook/")
    user = User.objects.get(username="nora")
    assert (user.email, user.first_name, user.is_staff) == ("nora@example.com", "Nora", True)
    assert not user.has_usable_password()
    assert knowledge_base.role_of(user) == "editor"
    assert client.get("/kb/handbook/").status_code == 200


def test_a_group_that_he_has_left_there_is_left_here_at_the_next_login(
    elsewhere: Provider, knowledge_base: KnowledgeBase
) -> None:
    log_in(Client())
    user = User.objects.get(username="nora")
    own = Group.objects.create(name="made by an operator")
    user.groups.add(own)
    elsewhere.person["groups"] = ["Day shift", "made up"]
    log_in(Client())
    user.refresh_from_db()
    assert {each.name for each in user.groups.all()} == {"Day shift", "made by an operator"}
    assert not user.is_staff
    assert User.objects.count() == 1
    log_in(Client())  # as it was
    says = "as the provider says: in the group"
    assert list(AuditEntry.objects.filter(action="changed").values_list("person", "detail")) == [
        ("nora", f"{says} Night shift no more, in the group Day shift, staff no more"),
        ("nora", "made"),
        ("nora", f"{says} Night shift, staff"),
    ]


def test_who_logs_out_is_out(elsewhere: Provider) -> None:
    client = Client()
    log_in(client)
    assert client.get("/account/").status_code == 200
    client.post("/logout/")
    assert client.get("/account/").status_code == 302


def test_a_name_or_an_address_that_is_taken_makes_nobody_somebody_else(
    elsewhere: Provider, make_user: Callable[..., User]
) -> None:
    local = make_user("nora", email="nora@example.com", is_superuser=True)
    client = Client()
    log_in(client)
    user = User.objects.exclude(pk=local.pk).get()
    assert user.username != "nora"
    assert client.session["_auth_user_id"] == str(user.pk)


def test_who_has_an_account_connects_it_himself(
    elsewhere: Provider, make_user: Callable[..., User]
) -> None:
    local = make_user("edith")
    client = Client()
    client.force_login(local)
    there = client.get("/oidc/provider/login/", {"process": "connect"}).headers["Location"]
    back = urlsplit(httpx.get(there).headers["Location"])
    client.get(f"{back.path}?{back.query}")
    client.post("/logout/")
    log_in(client)
    assert client.session["_auth_user_id"] == str(local.pk)
    assert AuditEntry.objects.filter(person="edith", detail__startswith="logs in with").exists()


def test_who_may_not_log_in_does_not(elsewhere: Provider) -> None:
    log_in(Client())
    User.objects.update(is_active=False)
    client = Client()
    log_in(client)
    assert client.get("/account/").status_code == 302


@pytest.mark.parametrize("how", ["another state", "no code", "an error"])
def test_an_answer_that_nobody_asked_for_logs_nobody_in(how: str, elsewhere: Provider) -> None:
    client = Client()
    there = client.get("/oidc/provider/login/").headers["Location"]
    back = urlsplit(httpx.get(there).headers["Location"])
    query = {"another state": "code=x&state=y", "no code": "", "an error": "error=access_denied"}
    answer = client.get(f"{back.path}?{query[how]}")
    assert answer.status_code in (200, 302, 401)
    assert "_auth_user_id" not in client.session
