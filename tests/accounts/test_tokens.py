"""One's own tokens: never more than their person, less when they say so, and not for ever."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from documents.models import ApiToken, AuditEntry, Document, KnowledgeBase

pytestmark = pytest.mark.django_db
BASES = "/api/v1/knowledge-bases"


def bearer(secret: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {secret}"})


def upload(client: Client, slug: str = "handbook") -> Any:
    file = SimpleUploadedFile("new.md", b"new")
    return client.post(f"{BASES}/{slug}/documents", {"file": file})


@pytest.fixture
def elsewhere(editor: User) -> KnowledgeBase:
    """Another one of the editor's."""
    other = KnowledgeBase.objects.create(name="Elsewhere", slug="elsewhere")
    other.membership_set.create(user=editor, role="owner")
    return other


def test_a_token_is_made_on_the_page_shown_once_and_used(page: Client, editor: User) -> None:
    form = {"token-name": "backup", "token-days": "30", "token-read_only": "on"}
    secret = page.post("/account/tokens", form).context["secret"]
    token = ApiToken.objects.get()
    assert token.read_only
    assert token.expires_at
    assert timedelta(days=29) < token.expires_at - timezone.now() <= timedelta(days=30)
    assert "never used" in page.get("/account/").content.decode()
    assert secret not in page.get("/account/").content.decode()
    assert bearer(secret).get(BASES).status_code == 200
    assert "last used" in page.get("/account/").content.decode()
    page.post(f"/account/tokens/{token.pk}/end")
    assert bearer(secret).get(BASES).status_code == 401


def test_one_that_is_over_is_refused(editor: User) -> None:
    over = ApiToken.issue(editor, "x", expires_at=timezone.now() - timedelta(seconds=1))
    assert bearer(over).get(BASES).status_code == 401


def test_one_that_may_only_read_changes_nothing(
    editor: User, elsewhere: KnowledgeBase, make_document: Callable[..., Document]
) -> None:
    document = make_document()
    client = bearer(ApiToken.issue(editor, "x", read_only=True))
    assert client.get(f"/api/v1/documents/{document.pk}").status_code == 200
    assert client.get(f"{BASES}/elsewhere/members").status_code == 200
    refused = [
        upload(client),
        client.delete(f"/api/v1/documents/{document.pk}"),
        client.post(f"/api/v1/documents/{document.pk}/requeue"),
        client.patch(f"{BASES}/elsewhere", {"name": "x"}, "application/json"),
        client.post(f"{BASES}/elsewhere/members", {"user": "edith"}, "application/json"),
        client.delete(f"{BASES}/handbook/members/{editor.pk}"),
    ]
    assert {each.status_code for each in refused} == {404}
    made = client.post(BASES, {"name": "x"}, "application/json")
    assert (made.status_code, made.json()["error"]["code"]) == (403, "limited_token")
    assert set(KnowledgeBase.objects.values_list("slug", flat=True)) == {"handbook", "elsewhere"}


def test_one_for_a_knowledge_base_knows_no_other(
    editor: User, elsewhere: KnowledgeBase, knowledge_base: KnowledgeBase,
    make_document: Callable[..., Document],
) -> None:  # fmt: skip
    inside = make_document()
    outside = make_document("other.md", knowledge_base=elsewhere)
    client = bearer(ApiToken.issue(editor, "x", knowledge_base=knowledge_base))
    assert [each["slug"] for each in client.get(BASES).json()] == ["handbook"]
    assert upload(client).status_code == 201
    assert upload(client, "elsewhere").status_code == 404
    assert client.get(f"/api/v1/documents/{inside.pk}").status_code == 200
    assert client.get(f"/api/v1/documents/{outside.pk}").status_code == 404
    assert client.delete(f"/api/v1/documents/{outside.pk}").status_code == 404
    assert client.post(BASES, {"name": "x"}, "application/json").status_code == 403
    assert client.get("/api/v1/tokens").status_code == 403


def test_a_superusers_limits_hold_too(
    make_user: Callable[..., User], elsewhere: KnowledgeBase, knowledge_base: KnowledgeBase,
    make_document: Callable[..., Document],
) -> None:  # fmt: skip
    root = make_user("root", is_superuser=True)
    limits = {"knowledge_base": knowledge_base, "read_only": True}
    client = bearer(ApiToken.issue(root, "x", **limits))
    assert [each["slug"] for each in client.get(BASES).json()] == ["handbook"]
    assert upload(client).status_code == 404
    outside = make_document("other.md", knowledge_base=elsewhere)
    assert client.get(f"/api/v1/documents/{outside.pk}").status_code == 404


def test_a_token_can_do_no_more_than_its_person(
    editor: User, knowledge_base: KnowledgeBase
) -> None:
    client = bearer(ApiToken.issue(editor, "x", knowledge_base=knowledge_base))
    knowledge_base.membership_set.update(role="viewer")
    assert upload(client).status_code == 404
    knowledge_base.membership_set.all().delete()
    assert client.get(f"{BASES}/handbook").status_code == 404
    User.objects.update(is_active=False)
    assert client.get(BASES).status_code == 401


def test_the_api_makes_tokens_for_who_has_logged_in_only(page: Client, editor: User) -> None:
    data = {"name": "ci", "days": 7, "knowledge_base": "handbook"}
    with_token = bearer(ApiToken.issue(editor, "x")).post(
        "/api/v1/tokens", data, "application/json"
    )
    assert (with_token.status_code, with_token.json()["error"]["code"]) == (403, "session_only")
    made = page.post("/api/v1/tokens", data, "application/json")
    assert made.status_code == 201, made.content
    assert made.json()["knowledge_base"] == "handbook"
    assert bearer(made.json()["secret"]).get(f"{BASES}/handbook").status_code == 200
    unknown = page.post("/api/v1/tokens", data | {"knowledge_base": "no"}, "application/json")
    assert unknown.status_code == 404


def test_nobody_ends_anothers_token(page: Client, make_user: Callable[..., User]) -> None:
    ApiToken.issue(make_user("other"), "x")
    [token] = ApiToken.objects.all()
    assert page.post(f"/account/tokens/{token.pk}/end").status_code == 404
    assert page.delete(f"/api/v1/tokens/{token.pk}").status_code == 404
    assert ApiToken.objects.exists()


def test_the_command_makes_none_that_nobody_can_use(editor: User) -> None:
    for name in ("", "x" * 101):
        with pytest.raises(CommandError, match="1 to 100 characters"):
            call_command("create_api_token", "edith", "--name", name)
    User.objects.filter(pk=editor.pk).update(is_active=False)
    with pytest.raises(CommandError, match="no active user"):
        call_command("create_api_token", "edith")
    assert not ApiToken.objects.exists()


def test_who_makes_or_revokes_one_is_in_the_audit_and_its_secret_is_not(
    page: Client, editor: User, capsys: pytest.CaptureFixture[str]
) -> None:
    secrets = [
        page.post("/account/tokens", {"token-name": "a"}).context["secret"],
        page.post("/api/v1/tokens", {"name": "b"}, "application/json").json()["secret"],
    ]
    call_command("create_api_token", "Edith", "--name", "c")
    secrets.append(capsys.readouterr().out.strip())
    a, b, _ = ApiToken.objects.order_by("pk").values_list("pk", flat=True)
    for status in (302, 404):
        assert page.post(f"/account/tokens/{a}/end").status_code == status
    for status in (204, 404):
        assert page.delete(f"/api/v1/tokens/{b}").status_code == status
    told = AuditEntry.objects.filter(action="changed").order_by("pk")
    assert list(told.values_list("person", "what", "detail")) == [
        ("edith", "token a", "made"),
        ("edith", "token b", "made"),
        ("", "token c", "made for “edith”, on the command line"),
        ("edith", "token a", "revoked"),
        ("edith", "token b", "revoked"),
    ]
    kept = str(list(told.values()))
    assert not [secret for secret in secrets if secret.removeprefix(ApiToken.PREFIX) in kept]


def test_the_last_use_is_not_written_each_time(
    editor: User, django_assert_num_queries: Callable[[int], Any]
) -> None:
    client = bearer(ApiToken.issue(editor, "x"))
    client.get(BASES)
    with django_assert_num_queries(2):
        client.get(BASES)
