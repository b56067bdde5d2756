"""The text beside the original: what a part of it is read from, and how much of it is in memory."""

import tracemalloc
from collections.abc import Callable

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from documents import texts
from documents.models import Document, TextPart

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]
# Characters of one to four bytes, so that no offset in characters is one in bytes.
TEXT = "".join(f"{n}: ein Reiher, 鷺 und 🪶.\n" for n in range(900))


@pytest.fixture
def indexed(make_document: MakeDocument) -> Document:
    document = make_document()
    Document.objects.filter(pk=document.pk).update(indexed_epoch=3)
    document.refresh_from_db()
    return document


@pytest.fixture
def in_parts(indexed: Document, monkeypatch: pytest.MonkeyPatch) -> Document:
    monkeypatch.setattr(texts, "PART_CHARS", 1000)
    TextPart.objects.bulk_create(texts.store(indexed, 3, 3, TEXT))
    return indexed


@pytest.fixture
def in_one_object(indexed: Document) -> Document:
    """As releases before 0.3 stored every text."""
    default_storage.save(indexed.text_key(3), ContentFile(TEXT.encode()))
    return indexed


RANGES = [(0, 10), (990, 1010), (0, 5000), (3999, 4000), (len(TEXT) - 5, len(TEXT) + 99), (7, 7)]


@pytest.mark.parametrize(("start", "end"), RANGES)
@pytest.mark.parametrize("stored", ["in_parts", "in_one_object"])
def test_an_excerpt_is_what_stands_there(
    stored: str, start: int, end: int, request: pytest.FixtureRequest
) -> None:
    document: Document = request.getfixturevalue(stored)
    assert texts.excerpt(document, start, end) == TEXT[start:end]


def test_the_parts_are_of_the_reading_that_search_reads(in_parts: Document) -> None:
    TextPart.objects.bulk_create(texts.store(in_parts, 4, 4, "another text " * 1000))
    assert texts.excerpt(in_parts, 990, 1010) == TEXT[990:1010]


def test_a_short_text_is_one_object_and_has_no_parts(indexed: Document) -> None:
    assert texts.store(indexed, 3, 3, "The heron.") == []
    assert texts.excerpt(indexed, 4, 9) == "heron"


def test_a_part_that_a_killed_worker_left_unfinished_is_stored_anew(
    indexed: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "PART_CHARS", 1000)
    default_storage.save(f"{indexed.storage_prefix}/text-3-1", ContentFile(b"half a p"))
    TextPart.objects.bulk_create(texts.store(indexed, 3, 3, TEXT))
    assert texts.excerpt(indexed, 1000, 1400) == TEXT[1000:1400]


def test_a_part_that_is_missing_is_an_error_and_not_a_shorter_text(in_parts: Document) -> None:
    default_storage.delete(f"{in_parts.storage_prefix}/text-3-1")
    with pytest.raises(FileNotFoundError):
        texts.excerpt(in_parts, 500, 1500)


@pytest.mark.parametrize("is_old", [True, False], ids=["one object", "parts"])
def test_an_excerpt_of_a_long_text_takes_few_megabytes(indexed: Document, is_old: bool) -> None:
    text = "The heron stands in the reeds and waits for its fish.\n" * 200_000
    if is_old:
        default_storage.save(indexed.text_key(3), ContentFile(text.encode()))
    else:
        TextPart.objects.bulk_create(texts.store(indexed, 3, 3, text))
    tracemalloc.start()
    try:
        assert texts.excerpt(indexed, 10_000_000, 10_004_000) == text[10_000_000:10_004_000]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000
