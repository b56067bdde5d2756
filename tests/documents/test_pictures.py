"""A page as it looks: asked for, drawn once, shown with the rectangles of its passages, gone with
its document.
"""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.db import connection
from django.db.models.functions import Now
from django.test import Client

from documents import lifecycle, pictures
from documents.models import AuditEntry, Document, Outage, OutboxMessage, PagePicture
from formats.unread import NOT_DRAWN
from processing import actors, pages, parsing, relay
from processing.errors import RetryableError, ServiceUnavailable
from tests.conftest import process
from tests.processing import pdfs
from tests.processing.pdfs import Pdf, said

pytestmark = pytest.mark.django_db

PDF = "application/pdf"
Ready = Callable[..., Document]


def two_pages() -> bytes:
    document = Pdf()
    document.page(said(72, 700, "The heron nests in April."))
    document.page(said(72, 600, "The stork is here in May."))
    return document.saved()


@pytest.fixture
def document(make_ready: Ready) -> Document:
    return make_ready("birds.pdf", two_pages(), PDF)


def address(document: Document, page: int = 1) -> str:
    return f"/documents/{document.pk}/pages/{page}/"


def wishes(document: Document) -> int:
    return OutboxMessage.objects.filter(document=document, action="draw").count()


def draw(document: Document) -> None:
    actors.draw.fn(str(document.pk))


def test_a_page_is_drawn_when_it_is_asked_for_and_then_shown(
    document: Document, page: Client
) -> None:
    waiting = page.get(address(document)).text
    assert "The page is being drawn" in waiting
    assert '<noscript><meta http-equiv="refresh"' in waiting
    assert wishes(document) == 1
    draw(document)
    shown = page.get(address(document) + "?passage=0").text
    picture = PagePicture.objects.get()
    assert (picture.page, picture.pages) == (1, 2)
    assert f'width="{picture.width}"' in shown
    assert "http-equiv" not in shown
    (chosen,) = re.findall(r'id="chosen".*?<path transform="(.*?)" d="(M.*?)"/>', shown)
    assert chosen == (picture.transform, pictures.outline(picture, document.chunk_set.all()[0]))
    content = page.get(address(document) + "picture")
    assert content["Content-Type"] == "image/webp"
    assert content["Cache-Control"] == "no-store"
    assert "sandbox" in content["Content-Security-Policy"]
    assert b"".join(content).startswith(b"RIFF")


def test_what_is_being_drawn_asks_again_by_itself_and_then_no_more(
    document: Document, page: Client
) -> None:
    asked = {"HX-Request": "true"}
    part = page.get(address(document), headers=asked).text
    assert part.startswith('<section id="sheet"')
    assert 'hx-trigger="every 1s"' in part
    draw(document)
    shown = page.get(address(document) + "?passage=0", headers=asked)
    assert "hx-trigger" not in shown.text
    assert shown["HX-Reswap"] == "outerHTML show:#chosen:top"  # as #chosen would have done


def test_two_clicks_at_once_are_one_picture(
    document: Document, page: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = Mock(side_effect=parsing.draw)
    monkeypatch.setattr(pages.parsing, "draw", drawn)
    for _ in range(3):
        page.get(address(document))
    assert wishes(document) == 1
    first = pictures.begin(document.pk)
    assert first
    draw(document)  # the message that came twice
    assert not drawn.called
    pictures.leave(first, is_charged=False)
    draw(document)
    draw(document)
    assert drawn.call_count == 1


def test_pages_that_several_wait_for_are_drawn_by_one_message(
    document: Document, page: Client
) -> None:
    page.get(address(document, 1))
    page.get(address(document, 2))
    draw(document)
    assert PagePicture.objects.exclude(drawn_at=None).count() == 2
    assert "The stork" in page.get(address(document, 2) + "?passage=1").text


def test_a_message_that_was_lost_is_posted_again_by_who_waits(
    document: Document, page: Client
) -> None:
    page.get(address(document))
    OutboxMessage.objects.all().delete()
    page.get(address(document))
    assert wishes(document) == 0  # so soon it is not lost
    PagePicture.objects.update(asked_at=Now() - timedelta(minutes=1))
    page.get(address(document))
    assert wishes(document) == 1


def test_the_relay_posts_it_before_documents_even_while_a_service_is_away(
    document: Document, page: Client, make_document: Ready, broker: Any
) -> None:
    OutboxMessage.objects.all().delete()
    make_document("a.md")
    page.get(address(document))
    Outage.objects.create(
        service="embedding", reason="x", since=Now(), failed_at=Now(), retry_at=Now() + timedelta(1)
    )
    assert relay.post_due() == 1
    assert broker.do_qsize(actors.PAGES) == 1
    assert broker.do_qsize(actors.QUEUE) == 0
    Outage.objects.all().delete()
    page.get(address(document, 2))
    PagePicture.objects.filter(page=1).update(asked_at=None)
    page.get(address(document, 1))
    taken = relay.Rounds().take(10)
    actions = dict(OutboxMessage.objects.values_list("pk", "action"))
    assert [actions[pk] for pk in taken] == ["draw", "draw", "process"]


def test_a_page_that_the_file_has_not_says_so(document: Document, page: Client) -> None:
    page.get(address(document, 3))
    draw(document)
    assert "no such page" in page.get(address(document, 3)).text
    assert wishes(document) == 1
    page.get(address(document, 3))
    assert wishes(document) == 1  # it is not asked for again


@pytest.mark.parametrize("number", ["0", "9999999999999999999999"])
def test_no_number_of_a_page_is_an_error_of_ours(
    document: Document, page: Client, number: str
) -> None:
    assert page.get(f"/documents/{document.pk}/pages/{number}/").status_code == 404
    assert page.get(f"/documents/{document.pk}/pages/{number}/picture").status_code == 404


def test_a_child_that_dies_is_tried_three_times_and_then_given_up(
    document: Document, page: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    dies = Mock(side_effect=RetryableError("parser_died", "Gone."))
    monkeypatch.setattr(pages.parsing, "draw", dies)
    page.get(address(document))
    draw(document)
    assert dies.call_count == pictures.MAX_TRIES
    assert NOT_DRAWN in page.get(address(document)).text


def test_a_worker_that_dies_leaves_the_page_to_another_after_a_while(
    document: Document, page: Client
) -> None:
    page.get(address(document))
    assert pictures.begin(document.pk)
    assert pictures.begin(document.pk) is None
    PagePicture.objects.update(begun_at=Now() - pictures.PATIENCE)
    assert pictures.begin(document.pk)


def test_while_storage_is_away_nothing_is_charged(
    document: Document, page: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.get(address(document))
    away = Mock(side_effect=ServiceUnavailable("storage", "no answer in time"))
    with monkeypatch.context() as while_away:
        while_away.setattr(pages, "fetch", away)
        for _ in range(5):
            draw(document)
    assert PagePicture.objects.get().tries == 0
    draw(document)
    assert PagePicture.objects.get().drawn_at


def test_of_what_was_deleted_meanwhile_nothing_is_drawn(
    document: Document, page: Client, editor: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.get(address(document))
    lifecycle.soft_delete(document.pk, editor)
    drawn = Mock()
    monkeypatch.setattr(pages.parsing, "draw", drawn)
    draw(document)
    assert not drawn.called
    assert "restore it" in page.get(address(document)).text


def test_what_is_deleted_while_it_is_drawn_leaves_nothing(
    document: Document, page: Client, editor: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.get(address(document))
    real = parsing.draw

    def draws(*args: Any, **options: Any) -> parsing.Drawn:
        lifecycle.soft_delete(document.pk, editor)
        return real(*args, **options)

    monkeypatch.setattr(pages.parsing, "draw", draws)
    draw(document)
    assert names(document) == {"original", f"text-{document.indexed_epoch}"}


def names(document: Document) -> set[str]:
    return set(default_storage.listdir(document.storage_prefix)[1])


def test_purging_takes_the_pictures_along(document: Document, page: Client, editor: User) -> None:
    page.get(address(document))
    draw(document)
    assert f"page-{document.indexed_epoch}-1" in names(document)
    lifecycle.soft_delete(document.pk, editor)
    lifecycle.purge_now(document.pk, editor)
    actors.purge.fn(str(document.pk))
    assert not default_storage.exists(document.storage_prefix)
    assert not PagePicture.objects.exists()


def test_a_new_reading_has_new_pictures_and_the_old_ones_go(
    document: Document, page: Client, editor: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.get(address(document))
    draw(document)
    monkeypatch.setattr("processing.fingerprint.of", lambda document: "f" * 64)
    lifecycle.requeue(document.pk, editor)
    process(document)
    assert names(document) == {"original", f"text-{document.indexed_epoch}"}
    assert not PagePicture.objects.exists()
    page.get(address(document))
    draw(document)
    assert PagePicture.objects.get().reading == document.indexed_epoch


def test_a_picture_that_is_lost_is_drawn_anew(document: Document, page: Client) -> None:
    page.get(address(document))
    draw(document)
    default_storage.delete(PagePicture.objects.get().key)
    assert page.get(address(document) + "picture").status_code == 404
    assert "being drawn" in page.get(address(document)).text
    draw(document)
    assert page.get(address(document) + "picture").status_code == 200


def test_only_who_may_see_the_document_sees_its_pages(
    document: Document, page: Client, make_user: Callable[..., User]
) -> None:
    page.get(address(document))
    draw(document)
    other = Client()
    other.force_login(make_user("other"))
    for path in (address(document), address(document) + "picture"):
        assert other.get(path).status_code == 404
        assert Client().get(path).status_code == 302


def test_looking_at_a_page_is_in_the_audit_once(document: Document, page: Client) -> None:
    page.get(address(document))
    page.get(address(document), headers={"HX-Request": "true"})
    page.get(address(document) + "picture")
    seen = AuditEntry.objects.filter(action="read", document_id=document.pk)
    assert [entry.detail for entry in seen] == ["page 1"]


def test_a_format_without_pages_has_no_pictures(make_ready: Ready, page: Client) -> None:
    notes = make_ready()
    assert page.get(address(notes)).status_code == 404
    assert "Its pages" not in page.get(notes.get_absolute_url()).text


def test_the_ways_to_a_page(document: Document, page: Client) -> None:
    assert address(document) in page.get(document.get_absolute_url()).text
    assert address(document, 2) in page.get(f"/documents/{document.pk}/text/?page=2").text
    passage = document.chunk_set.get(position=1)
    assert f"{address(document, 2)}?passage=1#chosen" in page.get(passage.get_absolute_url()).text
    found = page.get("/search/?q=stork").text
    assert f"{address(document, 2)}?passage=1#chosen" in found


def test_a_passage_that_was_read_otherwise_is_said_to_have_no_place(
    document: Document, page: Client
) -> None:
    document.chunk_set.filter(position=0).update(text="Something else.")
    page.get(address(document))
    draw(document)
    assert "cannot be told" in page.get(address(document) + "?passage=0").text


def test_the_name_of_a_file_is_only_text(make_ready: Ready, page: Client) -> None:
    named = make_ready('"><script>x.pdf', pdfs.of_page(said(72, 700, "<script> heron")), PDF)
    page.get(address(named))
    draw(named)
    assert "<script>x" not in page.get(address(named) + "?passage=0").text


@pytest.mark.django_db(transaction=True)
def test_a_picture_that_came_too_late_is_deleted_without_a_connection(
    document: Document, page: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.get(address(document))
    picture = pictures.begin(document.pk)
    assert picture
    lifecycle.soft_delete(document.pk, None)
    held: list[bool] = []
    storage = Mock(delete=lambda key: held.append(connection.connection is not None))
    monkeypatch.setattr(pictures, "default_storage", storage)
    assert not pictures.finish(picture, b"RIFF", [1, 0, 0, 1, 0, 0], {})
    assert held == [False]
