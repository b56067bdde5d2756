"""The search page, and a passage in its context."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import reverse

from documents import lifecycle, texts
from documents.models import Document, KnowledgeBase
from processing.index import embeddings
from search.views import CONTEXT_CHARS, MORE_SHOWN, PAGE_SIZE
from tests.processing.files import PDF, pdf
from tests.processing.stubs import (
    Call,
    Reply,
    embedding_reply,
    embedding_stub,
    failing,
    qdrant_at,
    refused_url,
)

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]

LONG = "\n\n".join(
    f"# Part {n}\n\n" + f"The heron of part {n} stands in the reeds and waits. " * 12
    for n in range(12)
)


@pytest.fixture
def document(make_ready: MakeDocument) -> Document:
    return make_ready("birds.md", LONG.encode())


def text_of(document: Document) -> str:
    assert document.indexed_epoch
    with default_storage.open(document.text_key(document.indexed_epoch)) as file:
        return file.read().decode()


def get(client: Client, name: str, *args: Any, **query: Any) -> Any:
    return client.get(reverse(name, args=args), query)


# --- The search page -----------------------------------------------------------------------------


def test_results_name_the_document_mark_the_words_and_lead_to_the_passage(
    make_ready: MakeDocument, page: Client
) -> None:
    document = make_ready("birds.md", b"# Birds\n\nThe heron nests in <b>April</b> & May.\n")
    response = get(page, "search", q="heron")
    html = response.content.decode()
    assert response.status_code == 200
    assert "birds.md" in html
    assert "<mark>heron</mark>" in html
    assert reverse("passage", args=[document.chunk_set.get().pk]) in html


def test_what_a_worker_has_indexed_is_found_by_phrase_form_and_name(
    make_ready: MakeDocument, page: Client
) -> None:
    make_ready("Jahresabschluss.md", "Die Rechnungen des Jahres liegen im grünen Ordner.".encode())
    for query in ('"IM GRUNEN ORDNER"', "Rechnung", "jahresabschluss.md"):
        context = get(page, "search", q=query).context
        assert [result["best"]["passage"].document.filename for result in context["results"]] == [
            "Jahresabschluss.md"
        ], query
        assert context["fits"], query
    assert not get(page, "search", q='"im Ordner"').context["results"]


def test_the_page_without_a_query_asks_nobody(page: Client, settings: Any) -> None:
    with embedding_stub(settings, failing(500)) as stub:
        assert get(page, "search").status_code == 200
    assert not stub.calls


def test_a_query_is_shown_as_text(page: Client) -> None:
    html = get(page, "search", q="<script>alert(1)</script>").content.decode()
    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_a_passage_is_shown_as_text(make_ready: MakeDocument, page: Client) -> None:
    document = make_ready("x.txt", b"The heron says <script>alert(1)</script>.", "text/plain")
    for response in (
        get(page, "search", q="heron"),
        get(page, "passage", document.chunk_set.get().pk, q="heron"),
    ):
        html = response.content.decode()
        assert "<script>alert(1)" not in html
        assert "&lt;script&gt;alert(1)" in html


def test_the_chosen_knowledge_bases_are_searched(
    make_ready: MakeDocument, page: Client, knowledge_base: KnowledgeBase
) -> None:
    make_ready()
    assert get(page, "search", q="heron", kb=["handbook"]).context["results"]
    assert not get(page, "search", q="heron", kb=["elsewhere"]).context["results"]


@pytest.mark.parametrize(
    "query",
    [{"q": "\x00"}, {"q": "heron", "kb": "\x00"}, {"q": "?"}, {"q": "heron", "page": "9" * 5000}],
)
def test_any_text_gets_a_page(
    query: dict[str, str], make_ready: MakeDocument, page: Client
) -> None:
    make_ready()
    assert get(page, "search", **query).status_code == 200


def test_an_index_that_is_away_is_said_in_a_sentence(
    make_ready: MakeDocument, page: Client, settings: Any
) -> None:
    make_ready()
    with qdrant_at(settings, refused_url()):
        response = get(page, "search", q="heron")
    assert response.status_code == 503
    assert "not available" in response.content.decode()


def test_half_an_answer_is_said_to_be_one(
    make_ready: MakeDocument, page: Client, settings: Any
) -> None:
    make_ready("birds.md", b"# Birds\n\nThe heron nests in April.\n")
    assert "half" not in get(page, "search", q="heron").content.decode()
    with embedding_stub(settings, failing(500)):
        response = get(page, "search", q="herons")
    assert response.status_code == 200
    html = response.content.decode()
    assert "Only half an answer" in html
    assert "<mark>heron</mark>" in html


def test_a_wrong_model_is_an_operators_to_mend_and_says_so(
    make_ready: MakeDocument, page: Client, editor: User, settings: Any
) -> None:
    make_ready("birds.md", b"# Birds\n\nThe heron nests in April.\n")
    for answer in (failing(401), failing(404), failing(400), of_three_numbers):
        with embedding_stub(settings, answer):
            html = get(page, "search", q="herons").content.decode()
        assert "not set up as it should be" in html
        assert "tell whoever runs LumiKB" in html
        assert "away just now" not in html
        assert "<mark>heron</mark>" in html
    with embedding_stub(settings, failing(401)):
        assert "not set up" in get(page, "search", q="qwertz").content.decode()
        User.objects.filter(pk=editor.pk).update(is_staff=True)
        html = get(page, "search", q="herons").content.decode()
    assert reverse("health-ready") in html


def of_three_numbers(call: Call) -> Reply:
    return embedding_reply([(n, [1.0, 0.0, 0.0]) for n, _ in enumerate(call.json["input"])])


def test_vectors_that_the_index_refuses_leave_the_words(
    make_ready: MakeDocument, page: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_ready("birds.md", b"# Birds\n\nThe heron nests in April.\n")
    monkeypatch.setattr(embeddings, "embed_query", lambda text, model: [1.0, 0.0, 0.0])
    html = get(page, "search", q="herons").content.decode()
    assert "not set up as it should be" in html
    assert "<mark>heron</mark>" in html


def test_an_index_that_refuses_our_key_is_an_operators_to_mend(
    make_ready: MakeDocument, page: Client, settings: Any
) -> None:
    make_ready()
    settings.QDRANT_API_KEY = "wrong"
    with qdrant_at(settings, settings.QDRANT_URL):
        response = get(page, "search", q="heron")
    assert response.status_code == 503
    html = response.content.decode()
    assert "Search is not set up as it should be" in html
    assert "in a moment" not in html


def test_a_document_is_shown_once_with_its_other_passages_folded_in(
    document: Document, make_ready: MakeDocument, page: Client
) -> None:
    make_ready("other.md", b"# Other\n\nA heron was seen once.\n")
    results = get(page, "search", q="heron reeds").context["results"]
    shown = [result["best"]["passage"].document.filename for result in results]
    assert sorted(shown) == ["birds.md", "other.md"]
    of_birds = results[shown.index("birds.md")]
    assert len(of_birds["more"]) == MORE_SHOWN
    assert of_birds["more_count"] == document.chunk_count - 1
    html = get(page, "search", q="heron reeds").content.decode()
    assert f"The next 3 of {document.chunk_count - 1} more in this file" in html


def test_there_are_more_pages_and_an_end(make_ready: MakeDocument, page: Client) -> None:
    for n in range(PAGE_SIZE + 2):
        make_ready(f"{n}.md", f"# Report {n}\n\nThe heron of the year {n} nests here.\n".encode())
    first = get(page, "search", q="heron").context
    second = get(page, "search", q="heron", page=2)
    names = [
        result["best"]["passage"].document.filename
        for result in [*first["results"], *second.context["results"]]
    ]
    assert len(names) == len(set(names)) == PAGE_SIZE + 2
    assert first["next_page"].endswith("page=2")
    assert not first["previous_page"]
    assert not second.context["next_page"]
    assert "no more results" in get(page, "search", q="heron", page=9).content.decode()
    assert get(page, "search", q="heron", page="x").context["first"] == 1


def test_the_same_text_is_shown_once_and_says_where_else_it_stands(
    make_ready: MakeDocument, page: Client
) -> None:
    for name in ("a.md", "b.md", "c.md"):
        make_ready(name, b"# Birds\n\nThe heron nests in the reeds in April.\n")
    make_ready("d.md", b"# Birds\n\nInvoice INV-7 for the heron.\n")
    make_ready("e.md", b"# Birds\n\nInvoice INV-8 for the heron.\n")
    results = get(page, "search", q="heron").context["results"]
    assert sorted(len(result["same"]) for result in results) == [0, 0, 2]


def test_controls_narrow_the_search(make_ready: MakeDocument, page: Client) -> None:
    make_ready("report-2024.md", b"# Report\n\nThe heron nests in April.\n")
    make_ready("minutes.txt", b"The heron was discussed.", "text/plain")

    def shown(**query: str) -> list[str]:
        asked = page.get(reverse("search"), {"q": "heron"} | query)
        results = asked.context["results"]
        return sorted(result["best"]["passage"].document.filename for result in results)

    assert shown(name="REPORT") == ["report-2024.md"]
    assert shown(type="txt") == ["minutes.txt"]
    assert shown(after="2999-01-01") == []
    assert shown(before="2999-01-01") == ["minutes.txt", "report-2024.md"]
    assert shown(after="lunch") == ["minutes.txt", "report-2024.md"]
    html = page.get(reverse("search"), {"q": "heron", "name": "report"}).content.decode()
    assert '<details class="narrow" open' in html


def test_who_says_only_what_is_not_meant_is_asked_what_is(document: Document, page: Client) -> None:
    html = get(page, "search", q="-draft").content.decode()
    assert "Say also what you are looking for" in html
    assert "Nothing found" not in html


def test_what_nothing_answers_is_told_so_and_the_nearest_are_folded_in(
    make_ready: MakeDocument, page: Client
) -> None:
    make_ready("birds.md", b"# Birds\n\nThe heron nests in the reeds in April.\n")
    assert get(page, "search", q="When do herons nest?").context["fits"]
    for nonsense in ("asdfqwer zxcv", "quarterly tax declaration"):
        html = get(page, "search", q=nonsense).content.decode()
        assert "Nothing here fits" in html
        assert '<details class="nearest">' in html


# --- A passage -----------------------------------------------------------------------------------


@pytest.mark.parametrize("position", [0, 5, -1])
def test_what_stands_around_a_passage_is_what_stands_around_it_in_the_text(
    position: int, document: Document, page: Client
) -> None:
    chunk = list(document.chunk_set.all())[position]
    text = text_of(document)
    shown = get(page, "passage", chunk.pk).context
    assert shown["passage"] == chunk.text
    around = shown["before"] + chunk.text + shown["after"]
    start = max(chunk.start - CONTEXT_CHARS, 0)
    assert around == text[start : chunk.end + CONTEXT_CHARS]
    assert len(shown["before"]) == chunk.start - start
    assert shown["cut_before"] is (start > 0)
    assert shown["cut_after"] is (chunk.end + CONTEXT_CHARS < len(text))


def test_the_words_of_the_query_are_marked_in_the_passage(document: Document, page: Client) -> None:
    chunk = document.chunk_set.all()[0]
    html = get(page, "passage", chunk.pk, q="herons").content.decode()
    assert "<mark>heron</mark>" in html


def test_the_context_is_of_the_index_that_search_reads(document: Document, page: Client) -> None:
    """While it is processed again, and another text may lie beside the first."""
    lifecycle.requeue(document.pk)
    claim = lifecycle.claim(document.pk)
    assert claim
    chunk = document.chunk_set.all()[2]
    before = get(page, "passage", chunk.pk).context["before"]
    with default_storage.open(document.text_key(claim.epoch), "wb") as file:
        file.write(b"another text")
    assert get(page, "passage", chunk.pk).context["before"] == before


def test_a_passage_of_a_pdf_leads_to_its_page(make_ready: MakeDocument, page: Client) -> None:
    document = make_ready("birds.pdf", pdf(["A first page.", "The heron nests in April."]), PDF)
    chunk = document.chunk_set.get(page=2)
    html = get(page, "passage", chunk.pk).content.decode()
    assert reverse("content", args=[document.pk]) + "#page=2" in html


def test_a_passage_on_the_border_of_two_parts_has_its_context_from_both(
    make_ready: MakeDocument, page: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "PART_CHARS", 700)
    document = make_ready("birds.md", LONG.encode())
    text = "".join(
        texts.excerpt(document, part.start, part.end) for part in texts.indexed_parts(document)
    )
    assert document.text_parts.count() > 5
    for chunk in document.chunk_set.all():
        shown = get(page, "passage", chunk.pk).context
        assert text[chunk.start : chunk.end] == chunk.text == shown["passage"]
        assert shown["before"] == text[max(chunk.start - 2000, 0) : chunk.start]
        assert shown["after"] == text[chunk.end : chunk.end + 2000]
        assert shown["cut_before"] == (chunk.start > 2000)
        assert shown["cut_after"] == (chunk.end + 2000 < len(text))


def test_a_text_object_that_is_missing_still_leaves_the_passage(
    document: Document, page: Client
) -> None:
    default_storage.delete(document.text_key(1))
    chunk = document.chunk_set.all()[0]
    response = get(page, "passage", chunk.pk, q="heron")
    assert response.status_code == 200
    assert response.context["text_missing"]
    assert "<mark>heron</mark>" in response.content.decode()


def test_a_storage_that_does_not_answer_still_leaves_the_passage(
    document: Document, page: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: Any) -> None:
        raise TimeoutError("no answer")

    monkeypatch.setattr(default_storage._wrapped, "open", away)  # type: ignore[attr-defined]
    chunk = document.chunk_set.all()[0]
    assert chunk.text[:20] in get(page, "passage", chunk.pk).content.decode()


# --- Strangers -----------------------------------------------------------------------------------


def test_a_stranger_finds_neither_the_passage_nor_that_it_is_there(
    document: Document, make_user: Any
) -> None:
    stranger = Client()
    stranger.force_login(make_user("stranger"))
    chunk = document.chunk_set.all()[0]
    assert get(stranger, "passage", chunk.pk).status_code == 404
    assert get(stranger, "passage", uuid4()).status_code == 404
    assert not get(stranger, "search", q="heron").context["results"]


def test_a_passage_of_a_deleted_document_is_not_there(
    document: Document, page: Client, editor: User
) -> None:
    chunk = document.chunk_set.all()[0]
    lifecycle.soft_delete(document.pk, editor)
    assert get(page, "passage", chunk.pk).status_code == 404


@pytest.mark.parametrize("name", ["search", "passage"])
def test_who_is_not_logged_in_is_asked_to_and_comes_back(name: str, db: None) -> None:
    response = get(Client(), name, *([uuid4()] if name == "passage" else []), q="heron")
    assert response.status_code == 302
    assert response["Location"].startswith(reverse("login") + "?next=")
    assert "heron" in response["Location"]


@pytest.mark.parametrize("name", ["search", "passage"])
def test_the_pages_can_only_be_read(name: str, page: Client) -> None:
    arguments = [uuid4()] if name == "passage" else []
    assert page.post(reverse(name, args=arguments)).status_code == 405
