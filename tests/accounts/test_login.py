"""The second factor, sessions, forgotten passwords and new accounts."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import (
    TOTP,
    format_hotp_value,
    hotp_value,
    yield_hotp_counters_from_time,
)
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client

from accounts.models import Invitation
from documents.models import AuditEntry, KnowledgeBase

pytestmark = pytest.mark.django_db
EDITH = {"username": "edith", "password": "right-horse-1"}
SECRET = "JBSWY3DPEHPK3PXP"
NEW = {
    "username": "nils", "email": "nils@example.com",
    "password1": "left-zebra-22", "password2": "left-zebra-22",
}  # fmt: skip


def code() -> str:
    return format_hotp_value(hotp_value(SECRET, next(yield_hotp_counters_from_time())))


def log_in(client: Client, **wrong: str) -> Any:
    return client.post("/login/?next=/search/", EDITH | wrong)


def told() -> list[tuple[str, str]]:
    """What the audit has of changes of accounts: whose, and what."""
    changes = AuditEntry.objects.filter(action="changed", what="own account").order_by("pk")
    return list(changes.values_list("person", "detail"))


@pytest.fixture
def careful(editor: User) -> User:
    """An editor with a second factor."""
    TOTP.activate(editor, SECRET)
    RecoveryCodes.activate(editor)
    return editor


def test_who_has_a_second_factor_is_in_only_with_it(careful: User) -> None:
    client = Client()
    assert log_in(client).headers["Location"].startswith("/account/second-factor/authenticate/")
    assert client.get("/account/").status_code == 302
    answer = client.post("/account/second-factor/authenticate/", {"code": code()})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/search/")
    assert client.get("/account/").status_code == 200


def test_a_recovery_code_does_once(careful: User) -> None:
    authenticator = Authenticator.objects.get(user=careful, type="recovery_codes")
    recovery = authenticator.wrap().get_unused_codes()[0]
    for client, status in ((Client(), 302), (Client(), 200)):
        log_in(client)
        answer = client.post("/account/second-factor/authenticate/", {"code": recovery})
        assert answer.status_code == status


def test_who_guesses_codes_is_locked_out_like_who_guesses_passwords(
    careful: User, settings: Any
) -> None:
    client = Client()
    log_in(client)
    url = "/account/second-factor/authenticate/"
    statuses = [client.post(url, {"code": f"{n:06}"}).status_code for n in range(5)]
    assert statuses == [200, 200, 200, 200, 429]
    assert client.post(url, {"code": code()}).status_code == 429  # the right one, too late
    assert log_in(Client()).status_code == 429


def test_the_admin_is_not_a_way_around_it(careful: User) -> None:
    careful.is_staff = True
    careful.save()
    client = Client()
    login = client.get("/admin/login/?next=/admin/")
    assert login.headers["Location"] == "/login/?next=/admin/"
    assert client.post("/admin/login/?next=/admin/", EDITH).status_code in (302, 403)
    assert client.get("/admin/").status_code == 302


def test_a_second_factor_is_set_up_and_its_picture_keeps_the_policy(editor: User) -> None:
    client = Client()
    log_in(client)
    page = "/account/second-factor/totp/activate/"
    confirm = client.get(page)  # it is asked who sits there
    client.post(confirm.headers["Location"], {"password": EDITH["password"], "next": page})
    answer = client.get(page)
    assert answer.status_code == 200, answer.headers
    assert "<svg" in answer.content.decode()
    assert "data:" not in answer.content.decode()
    assert "style=" not in answer.content.decode()


def test_a_second_factor_that_is_set_up_or_taken_away_is_in_the_audit(
    editor: User, django_capture_on_commit_callbacks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("allauth.mfa.totp.internal.auth.generate_totp_secret", lambda: SECRET)
    client, factor = Client(), "/account/second-factor"
    log_in(client)
    client.post("/account/confirm/", {"password": EDITH["password"]})
    client.get(f"{factor}/totp/activate/")
    with django_capture_on_commit_callbacks(execute=True):
        client.post(f"{factor}/totp/activate/", {"code": code()})
    with django_capture_on_commit_callbacks(execute=True):
        client.post(f"{factor}/recovery-codes/generate/")
    client.post(f"{factor}/totp/deactivate/")
    lines = ["TOTP Authenticator", "Recovery codes", "Recovery codes"]
    assert told() == [
        *(("edith", f"second factor: {line}") for line in lines),
        *(("edith", f"no second factor any more: {line}") for line in lines[:2]),
    ]
    assert not AuditEntry.objects.filter(detail__contains=SECRET).exists()


def test_sessions_are_listed_and_all_others_ended(editor: User) -> None:
    here, there = Client(headers={"User-Agent": "Here"}), Client(headers={"User-Agent": "There"})
    log_in(here), log_in(there)
    listed = here.get("/account/sessions/").content.decode()
    assert "There" in listed
    here.post("/account/sessions/")
    assert here.get("/account/").status_code == 200
    assert there.get("/account/").status_code == 302
    here.post("/account/sessions/")  # there is no other any more
    assert told() == [("edith", "sessions ended: 1")]


def test_a_new_password_keeps_this_session_in_the_list(editor: User) -> None:
    client = Client()
    log_in(client)
    new = {"new_password1": "left-zebra-22", "new_password2": "left-zebra-22"}
    client.post("/account/password/", new | {"old_password": EDITH["password"]})
    [session] = client.get("/account/sessions/").context["sessions"]
    assert session.session_key == client.session.session_key


# --- Forgotten passwords ------------------------------------------------------------------------


def test_a_forgotten_password_is_set_anew_by_mail(editor: User, settings: Any) -> None:
    settings.MAIL = True
    User.objects.filter(pk=editor.pk).update(email="edith@example.com")
    client = Client()
    assert "forgotten" in client.get("/login/").content.decode()
    client.post("/password/", {"email": "edith@example.com"})
    [sent] = mail.outbox
    link = re.search(r"http://testserver(/password/new/\S+)", sent.body)
    assert link
    form = client.get(link[1], follow=True)
    path = form.redirect_chain[-1][0]
    new = {"password1": "left-zebra-22", "password2": "left-zebra-22"}
    client.post(path, new)
    assert told() == [("edith", "new password, by a mail")]
    assert log_in(Client(), password="left-zebra-22").status_code == 302
    assert Client().get(link[1], follow=True).context["token_fail"]


def test_nobody_learns_whether_an_address_is_known(editor: User, settings: Any) -> None:
    settings.MAIL = True
    User.objects.filter(pk=editor.pk).update(email="edith@example.com")
    known = Client().post("/password/", {"email": "edith@example.com"}, follow=True)
    unknown = Client().post("/password/", {"email": "nobody@example.com"}, follow=True)
    assert (known.status_code, known.redirect_chain) == (
        unknown.status_code, unknown.redirect_chain,
    )  # fmt: skip
    assert len(mail.outbox) == 1


@pytest.mark.parametrize("is_there", [True, False])
def test_who_is_asked_again_is_led_to_it_only_where_it_is_there(
    editor: User, settings: Any, is_there: bool
) -> None:
    settings.MAIL = is_there
    client = Client()
    log_in(client)
    form = client.get("/account/confirm/").content.decode()
    assert ('href="/password/"' in form) == is_there
    assert client.get("/password/").status_code == (200 if is_there else 404)


# --- New accounts -------------------------------------------------------------------------------


def test_nobody_makes_an_account_uninvited(db: None) -> None:
    assert "closed" in Client().get("/signup/").content.decode()
    Client().post("/signup/", NEW)
    assert not User.objects.exists()


def test_who_is_invited_makes_an_account_and_joins(
    make_user: Callable[..., User], knowledge_base: KnowledgeBase
) -> None:
    olga = make_user("olga")
    knowledge_base.membership_set.create(user=olga, role="owner")
    _, secret = Invitation.issue(knowledge_base, olga, "viewer", 7)
    client = Client()
    path = f"/invitations/{secret}/"
    to_signup = client.post(path, {"signup": ""}).headers["Location"]
    assert to_signup == f"/signup/?next={path}"
    answer = client.post(to_signup, NEW | {"next": path})
    assert (answer.status_code, answer.headers["Location"]) == (302, path), answer.content
    client.post(path)
    assert knowledge_base.role_of(User.objects.get(username="nils")) == "viewer"


def test_an_invitation_that_has_ended_lets_nobody_in(
    make_user: Callable[..., User], knowledge_base: KnowledgeBase
) -> None:
    olga = make_user("olga")
    knowledge_base.membership_set.create(user=olga, role="owner")
    invitation, secret = Invitation.issue(knowledge_base, olga, "viewer", 7)
    client = Client()
    client.post(f"/invitations/{secret}/", {"signup": ""})
    invitation.delete()
    client.post("/signup/", NEW)
    assert User.objects.count() == 1


def test_an_address_of_an_open_domain_makes_an_account_once_it_is_shown_to_be_his(
    db: None, settings: Any
) -> None:
    settings.SIGNUP_DOMAINS, settings.MAIL = ["example.com"], True
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    assert (
        "may not sign up"
        in Client().post("/signup/", NEW | {"email": "n@elsewhere.com"}).content.decode()
    )
    client = Client()
    client.post("/signup/", NEW)
    user = User.objects.get()
    login = {"username": "nils", "password": "left-zebra-22"}
    assert Client().post("/login/", login).headers["Location"] == "/account/mail/sent/"
    assert client.get("/account/").status_code == 302
    link = re.search(r"http://testserver(/account/mail/confirm/\S+)", mail.outbox[0].body)
    assert link
    client.post(link[1])
    assert EmailAddress.objects.get(user=user).verified
    assert told() == [("nils", "made"), ("nils", "mail address nils@example.com")]
    assert Client().post("/login/", login).headers["Location"] == "/"
