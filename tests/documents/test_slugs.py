"""A knowledge base's slug: readable in every script, never searched for, and no traitor."""

import re
import unicodedata
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from documents.models import KnowledgeBase

pytestmark = pytest.mark.django_db
KNOWLEDGE_BASES = "/api/v1/knowledge-bases"
END = r"-[2-9a-z]{7}"


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("Product manuals", "product-manuals"),
        ("Don’t panic: R&D / 2026", "dont-panic-r-d-2026"),
        ("知識", "知識"),
        ("हिन्दी नियम", "हिन्दी-नियम"),
        ("คู่มือ", "คู่มือ"),
        ("Größe ÉTÉ", "größe-été"),
        ("e\u0301te\u0301", "été"),
        ("دليل", "دليل"),
        ("\N{RIGHT-TO-LEFT OVERRIDE}evil\N{ZERO WIDTH SPACE}", "evil"),
        ("../../admin?x=1#y", "admin-x-1-y"),
        ("🎉🎉", "knowledge-base"),
        ("-", "knowledge-base"),
        ("x" * 100, "x" * 92),
        ("知" * 100, "知" * 92),
    ],
)
def test_a_name_makes_a_slug_that_can_be_read_and_opened(
    name: str, stem: str, page: Client
) -> None:
    response = page.post("/", {"name": name})
    made = KnowledgeBase.objects.exclude(slug="handbook").get()
    assert re.fullmatch(re.escape(unicodedata.normalize("NFC", stem)) + END, made.slug)
    assert response.headers["Location"] == f"/kb/{quote(made.slug)}/"
    assert page.get(response.headers["Location"]).status_code == 200
    assert page.get(f"{KNOWLEDGE_BASES}/{quote(made.slug)}").json()["slug"] == made.slug
    decomposed = quote(unicodedata.normalize("NFD", made.slug))
    assert page.get(f"/kb/{decomposed}/").status_code == 200
    assert KnowledgeBase.objects.named([unicodedata.normalize("NFD", made.slug)]).get() == made


def test_a_thousand_of_one_name_cost_the_next_no_more(
    page: Client, django_assert_max_num_queries: Any
) -> None:
    KnowledgeBase.objects.bulk_create(
        KnowledgeBase(name="知識", slug=KnowledgeBase.slug_like("知識")) for _ in range(1000)
    )
    with django_assert_max_num_queries(7):  # session, user, and a transaction of three inserts
        assert page.post("/", {"name": "知識"}).status_code == 302


@pytest.mark.parametrize("wish", ["secret", "secret-2345678"])
def test_a_slug_that_a_hidden_one_has_is_answered_as_a_free_one(
    wish: str, api: Callable[[User], Client], editor: User
) -> None:
    client = api(editor)

    def made() -> Any:
        response = client.post(KNOWLEDGE_BASES, {"name": "Mine", "slug": wish}, "application/json")
        slug = response.json()["slug"]
        return response.status_code, response.json().keys(), re.sub(END + "$", "", slug)

    free = made()
    KnowledgeBase.objects.create(name="Not yours", slug=wish)
    assert made() == free == (201, {"name", "description", "slug", "created_at"}, wish)


def test_a_name_that_a_hidden_one_has_is_answered_as_a_free_one(page: Client) -> None:
    KnowledgeBase.objects.create(name="Secret", slug="secret")
    ends = [
        page.post("/", {"name": name}).headers["Location"].removeprefix(f"/kb/{name.lower()}")
        for name in ("Secret", "Free", "Free")
    ]
    assert all(re.fullmatch(END + "/", end) for end in ends)
    assert len(set(ends)) == 3


def test_a_slug_of_before_works_on(page: Client, knowledge_base: KnowledgeBase) -> None:
    KnowledgeBase.objects.update(slug="Hand_Book-2")
    assert page.get("/kb/Hand_Book-2/").status_code == 200
    assert page.get(f"{KNOWLEDGE_BASES}/Hand_Book-2").status_code == 200
    knowledge_base.refresh_from_db()
    knowledge_base.name = "Renamed"
    knowledge_base.save()
    assert page.get("/kb/Hand_Book-2/").status_code == 200


def test_the_admin_makes_slugs_itself_so_staff_cannot_try_which_there_are(
    make_user: Callable[..., User], knowledge_base: KnowledgeBase
) -> None:
    staff = make_user("staff", is_staff=True)
    staff.user_permissions.set(Permission.objects.filter(codename="add_knowledgebase"))
    browser = Client()
    browser.force_login(staff)
    add = "/admin/documents/knowledgebase/add/"
    form = {
        "membership_set-TOTAL_FORMS": "0", "membership_set-INITIAL_FORMS": "0",
        "name": "Handbook", "slug": "handbook",
    }  # fmt: skip
    assert browser.post(add, form).status_code == 302
    assert re.fullmatch(f"handbook{END}", KnowledgeBase.objects.latest("pk").slug)
