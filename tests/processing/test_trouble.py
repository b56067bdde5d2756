"""What the log says of a document in work is kept with it, without secrets."""

import logging
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import OperationalError

from documents.models import Document, DocumentError
from processing import actors, middleware, pipeline, trouble

pytestmark = pytest.mark.django_db(transaction=True)
MakeDocument = Callable[..., Document]
log = logging.getLogger("processing.actors")


@pytest.fixture
def in_work() -> Iterator[Callable[[object], None]]:
    """Says which document this thread works on, as Dramatiq's middleware does."""
    token = middleware._document_id.set("")
    yield lambda pk: middleware._document_id.set(str(pk)) and None
    middleware._document_id.reset(token)


def texts(document: Document) -> list[str]:
    return list(document.errors.values_list("text", flat=True))


def test_an_error_that_nobody_foresaw_is_kept_with_its_traceback(
    make_document: MakeDocument, in_work: Callable[[object], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    document = make_document()
    in_work(document.pk)

    def run(lease: object) -> None:
        raise ZeroDivisionError(f"with {settings.QDRANT_API_KEY} in it")

    monkeypatch.setattr(pipeline, "run", run)
    actors.process.fn(str(document.pk))
    [text] = texts(document)
    assert "an error that nobody foresaw" in text
    assert "Traceback (most recent call last)" in text
    assert "ZeroDivisionError: with *** in it" in text
    assert str(document.pk) in text


def test_an_expected_failure_is_kept_with_the_traceback_of_its_cause(
    make_document: MakeDocument, in_work: Callable[[object], None]
) -> None:
    document = make_document("a.pdf", b"%PDF-1.4 broken", "application/pdf")
    in_work(document.pk)
    actors.process.fn(str(document.pk))
    document.refresh_from_db()
    assert document.status == "failed"
    [text] = texts(document)
    assert document.failure_code in text
    assert "PermanentError" in text


def test_what_is_no_trouble_or_of_no_document_is_not_kept(
    make_document: MakeDocument, in_work: Callable[[object], None]
) -> None:
    document = make_document()
    log.warning("of nobody")
    in_work(document.pk)
    log.info("no trouble")
    in_work(uuid4())
    log.warning("of a document that is gone")
    assert DocumentError.objects.count() == 0


def test_the_trouble_with_the_database_is_not_written_to_it(
    make_document: MakeDocument, in_work: Callable[[object], None]
) -> None:
    document = make_document()
    in_work(document.pk)
    try:
        raise OperationalError("the server is gone")
    except OperationalError:
        log.exception("PostgreSQL does not answer")
    logging.getLogger("psycopg.pool").warning("discarding closed connection")
    assert texts(document) == []


def test_a_long_line_is_cut_at_its_beginning_and_a_nul_is_no_error(
    make_document: MakeDocument, in_work: Callable[[object], None]
) -> None:
    document = make_document()
    in_work(document.pk)
    log.warning("a\x00b" + "x" * trouble.MOST_CHARS + "the end")
    [text] = texts(document)
    assert len(text) == trouble.MOST_CHARS
    assert text.endswith("the end")
