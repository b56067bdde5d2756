"""One's own account: name, password, time zone."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from documents.models import AuditEntry, Document

pytestmark = pytest.mark.django_db
CHANGE = {
    "old_password": "right-horse-1",
    "new_password1": "left-zebra-22",
    "new_password2": "left-zebra-22",
}


def test_times_are_shown_in_the_zone_that_somebody_has_chosen(
    page: Client, make_document: Callable[..., Document]
) -> None:
    document = make_document()
    Document.objects.filter(pk=document.pk).update(created_at="2026-07-01T12:00:00Z")
    address = document.get_absolute_url()
    assert "1 Jul 2026, 12:00 UTC" in page.get(address).content.decode()
    page.post("/account/profile", {"first_name": "Edith", "time_zone": "Asia/Tokyo"})
    assert "1 Jul 2026, 21:00 JST" in page.get(address).content.decode()


def test_a_later_login_remembers_the_zone(
    page: Client, make_document: Callable[..., Document]
) -> None:
    page.post("/account/profile", {"time_zone": "Asia/Tokyo"})
    another = Client()
    another.post("/login/", {"username": "edith", "password": "right-horse-1"})
    shown = another.get(make_document().get_absolute_url()).content.decode()
    assert " JST</time>" in shown


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "UTC\x00"])
def test_a_zone_that_there_is_not_is_refused(zone: str, page: Client) -> None:
    assert page.post("/account/profile", {"time_zone": zone}).status_code == 400


def test_a_new_password_ends_the_other_sessions_and_not_this_one(
    page: Client, editor: User
) -> None:
    other = Client()
    other.force_login(editor)
    assert page.post("/account/password/", CHANGE).headers["Location"] == "/account/"
    assert page.get("/account/").status_code == 200
    assert other.get("/account/").status_code == 302
    form = {"username": "edith", "password": "left-zebra-22"}
    assert Client().post("/login/", form).status_code == 302


@pytest.mark.parametrize("wrong", [{"old_password": "guess"}, {"new_password1": "short"}])
def test_a_password_is_not_changed_by_who_does_not_know_it_or_to_a_weak_one(
    wrong: dict[str, str], page: Client, editor: User
) -> None:
    assert page.post("/account/password/", CHANGE | wrong).status_code == 200
    editor.refresh_from_db()
    assert editor.check_password("right-horse-1")


def test_what_somebody_changes_of_his_account_is_in_the_audit(page: Client) -> None:
    for first, zone in (("Edith", "UTC"), ("Edith", "UTC"), ("Edith", "")):
        page.post("/account/profile", {"first_name": first, "time_zone": zone})
    page.post("/account/password/", CHANGE | {"old_password": "guess"})
    page.post("/account/password/", CHANGE)
    told = AuditEntry.objects.filter(action="changed").order_by("pk")
    assert list(told.values_list("person", "what", "detail")) == [
        ("edith", "own account", "first name, time zone"),
        ("edith", "own account", "time zone"),
        ("edith", "own account", "new password"),
    ]


def test_nobody_makes_himself_more_than_he_is(page: Client, editor: User) -> None:
    form: dict[str, Any] = {"first_name": "E", "is_staff": "on", "username": "root"}
    page.post("/account/profile", form)
    editor.refresh_from_db()
    assert (editor.first_name, editor.is_staff, editor.username) == ("E", False, "edith")
