"""What was read of a document, page by page, and what it has replaced."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from documents import reading
from documents.models import Chunk, Document
from documents.reading import Piece

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]
LONG = b"".join(
    b"# Chapter %d\n\nThe heron of chapter %d nests.\n\n" % (n, n) + b"Word. " * 150 + b"\n\n"
    for n in range(4)
)


def test_the_whole_text_stands_on_its_pages_each_passage_once(
    page: Client, make_ready: MakeDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PASSAGES", 3)
    document = make_ready(content=LONG)
    url = f"/documents/{document.pk}/text/"
    count = page.get(url).context["count"]
    assert count > 1
    seen: list[int] = []
    for number in range(1, count + 1):
        pieces = page.get(f"{url}?page={number}").context["pieces"]
        seen += [piece.chunk.position for piece in pieces if piece.chunk]
        for piece in pieces:
            assert piece.chunk is None or piece.text == piece.chunk.text
    assert seen == list(range(document.chunk_count))


@pytest.mark.parametrize("wanted", ["0", "-1", "x", "9" * 30, "99", "", "٣"])
def test_a_page_that_there_is_not_is_the_nearest(
    wanted: str, page: Client, make_ready: MakeDocument
) -> None:
    answer = page.get(f"/documents/{make_ready().pk}/text/", {"page": wanted})
    assert (answer.status_code, answer.context["number"]) == (200, 1)


def test_a_text_that_is_away_is_replaced_by_its_passages(
    page: Client, make_ready: MakeDocument
) -> None:
    document = make_ready()
    for name in default_storage.listdir(document.storage_prefix)[1]:
        default_storage.delete(f"{document.storage_prefix}/{name}")
    answer = page.get(f"/documents/{document.pk}/text/")
    assert "The heron nests in April." in answer.content.decode()
    assert answer.context["text_missing"]


def test_passages_that_overlap_are_shown_without_saying_anything_twice(
    make_ready: MakeDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        reading.texts, "excerpt", lambda document, first, last: "abcdefghij"[first:last]
    )
    first, second = Chunk(start=1, end=5), Chunk(start=4, end=8)
    assert reading._pieces(Document(), [first, second]) == [
        Piece("bcde", first), Piece("fgh", second),
    ]  # fmt: skip


def test_a_document_names_what_it_has_replaced(
    page: Client, editor: User, make_ready: MakeDocument
) -> None:
    old = make_ready()
    file = SimpleUploadedFile("notes.md", b"# New\n\nThe stork.\n")
    page.post(f"/documents/{old.pk}/replace", {"file": file})
    new = Document.objects.live().get()
    shown = page.get(f"/documents/{new.pk}/")
    assert [each.pk for each in shown.context["versions"]] == [new.pk, old.pk]
    assert f'href="/documents/{old.pk}/"' in shown.content.decode()
    assert "The heron nests" in page.get(f"/documents/{old.pk}/text/").content.decode()
