"""What was read from a picture is found like all else, and marked wherever it is shown."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.test import Client

from documents.models import Chunk, Document, Status
from formats import tessdata
from tests.conftest import process
from tests.processing import files, pdfs, scans

pytestmark = pytest.mark.django_db(transaction=True)
MakeDocument = Callable[..., Document]


@pytest.fixture
def deed(make_ready: MakeDocument) -> Document:
    letters = pdfs.of_page(pdfs.said(72, 700, "The cover of the deed"))
    return make_ready(
        "deed.pdf", scans.joined(letters, scans.pdf([scans.page(scans.ENGLISH)])), files.PDF
    )


def test_a_scan_is_found_and_marked(deed: Document, page: Client, api: Any, editor: User) -> None:
    chunks = Chunk.objects.current().filter(document=deed)
    assert [(chunk.page, chunk.recognised) for chunk in chunks] == [(1, False), (2, True)]
    assert deed.unread == []
    answer = api(editor).post(
        "/api/v1/search", {"query": "boiler room key"}, content_type="application/json"
    )
    first = answer.json()["results"][0]
    assert (first["page"], first["recognised"]) == (2, True)
    shown = page.get("/search/", {"q": "boiler room key"}).content.decode()
    assert "Read from a picture" in shown
    assert "Read from a picture" in page.get(chunks[1].get_absolute_url()).content.decode()
    assert "Read from a picture" not in page.get(chunks[0].get_absolute_url()).content.decode()


def test_where_it_is_off_a_scan_fails_with_what_would_help(
    make_document: MakeDocument, settings: Any
) -> None:
    settings.OCR = "off"
    document = process(
        make_document("scan.png", scans.encoded(scans.page("Key")), content_type="image/png")
    )
    assert document.status == Status.FAILED
    assert "run text recognition (OCR) on it" in document.failure_message


def test_a_knowledge_base_may_say_its_languages(deed: Document) -> None:
    knowledge_base = deed.knowledge_base
    knowledge_base.languages = "deu"
    knowledge_base.full_clean()
    knowledge_base.save()
    Document.objects.filter(pk=deed.pk).update(status="pending", attempts=0)
    assert process(deed).chunk_count == 2
    knowledge_base.languages = "deu+xyz"
    with pytest.raises(ValidationError, match="no model of xyz; there are"):
        knowledge_base.full_clean()


def test_the_admin_says_which_languages_there_are(deed: Document, page: Client) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("otto"))
    path = f"/admin/documents/knowledgebase/{deed.knowledge_base_id}/change/"
    known = ", ".join(tessdata.languages())
    assert f"Text recognition is on; it knows {known}." in client.get(path).content.decode()
