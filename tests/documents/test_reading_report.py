"""The reading report: what of a document was not read, wherever its state is shown."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from documents.models import Document
from formats.unread import KINDS, LABELS, nothing_read, pages, sentence
from tests.conftest import process
from tests.processing import files, pdfs

pytestmark = pytest.mark.django_db(transaction=True)
MakeDocument = Callable[..., Document]
SAID = "Pages 2 to 6 are images in which no text was read."


@pytest.fixture
def mixed(make_ready: MakeDocument, settings: Any) -> Document:
    settings.OCR = "off"
    return make_ready("deed.pdf", pdfs.mixed_scan(), files.PDF)


@pytest.fixture
def whole(make_ready: MakeDocument) -> Document:
    return make_ready("notes.md")


@pytest.fixture
def admin(page: Client, make_user: Callable[..., User]) -> Client:
    client = Client()
    client.force_login(make_user("root", is_superuser=True, is_staff=True))
    return client


def test_a_document_s_page_says_it_in_a_sentence_and_what_would_help(page, mixed, whole):
    content = page.get(mixed.get_absolute_url()).content.decode()
    assert SAID in content
    assert "Text recognition (OCR)" in content
    assert "What was not read" not in page.get(whole.get_absolute_url()).content.decode()


def test_the_list_marks_it_and_can_show_only_those(page, mixed, whole):
    path = mixed.knowledge_base.get_absolute_url()
    content = page.get(path).content.decode()
    assert content.count("partly read</span>") == 1
    assert f'title="{SAID}"' in content
    shown = page.get(f"{path}?status=partly_read").context["page"]
    assert [document.filename for document in shown] == ["deed.pdf"]


def test_the_api_tells_kind_place_number_and_sentence(api, editor, mixed, whole):
    client = api(editor)
    answer = client.get(f"/api/v1/documents/{mixed.pk}").json()
    assert answer["unread"] == [
        {"kind": "image_page", "place": "pages 2 to 6", "count": 5, "sentence": SAID}
    ]
    listed = f"/api/v1/knowledge-bases/{mixed.knowledge_base.slug}/documents?status=partly_read"
    assert [each["filename"] for each in client.get(listed).json()["results"]] == ["deed.pdf"]


def test_the_admin_shows_counts_and_filters_by_kind(admin, mixed, whole):
    path = "/admin/documents/document/"
    content = admin.get(path).content.decode()
    assert SAID in content
    assert "Images without text (1)" in content
    for query, names in (("any", ["deed.pdf"]), ("image_page", ["deed.pdf"]), ("formula", [])):
        found = admin.get(f"{path}?unread={query}").context["cl"].result_list
        assert [document.filename for document in found] == names
    assert SAID in admin.get(f"{path}{mixed.pk}/change/").content.decode()


def test_a_document_of_which_hardly_anything_was_read_fails_with_the_reason(page, make_document):
    document = process(make_document("scan.pdf", pdfs.stamped_scan(), files.PDF))
    assert (document.status, document.failure_code) == ("failed", "no_text")
    assert "Hardly anything in this file was read: 3 pages are images" in document.failure_message
    assert (
        "partly read"
        not in page.get(document.knowledge_base.get_absolute_url())
        .content.decode()
        .split("</select>")[-1]
    )


def test_a_document_that_is_read_again_has_the_new_report(mixed):
    Document.objects.filter(pk=mixed.pk).update(unread=[{"kind": "old", "place": "", "count": 1}])
    Document.objects.filter(pk=mixed.pk).update(status="pending", attempts=0)
    assert process(mixed).unread == [{"kind": "image_page", "place": "pages 2 to 6", "count": 5}]


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ([3], "page 3"),
        ([2, 3], "pages 2, 3"),
        ([6, 2, 3, 4, 5, 9], "pages 2 to 6, 9"),
        (range(1, 100, 2), "pages 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23 and others"),
    ],
)
def test_page_numbers_are_said_as_people_say_them(numbers, said):
    assert pages(numbers) == said


def test_every_kind_has_a_label_and_sentences():
    assert set(LABELS) == set(KINDS)
    for kind in KINDS:
        for place in ("", "page 3", "sheet Prices"):
            for count in (1, 1_200):
                said = sentence(kind, place, count)
                assert said[0].isupper() or said[0].isdigit()
                assert said.endswith(".")
        assert nothing_read([(kind, 2)], is_empty=True).endswith(".")
    assert sentence("embedded_file", "a.xlsx", 1) == "1 embedded file was not read (a.xlsx)."
    assert sentence("image_page", "page 3", 1) == "Page 3 is an image in which no text was read."
