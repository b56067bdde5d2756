"""Documents that are like another one, of those that the user may see."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from documents import lifecycle
from documents.models import Document, KnowledgeBase
from processing.index import ServiceUnavailable, embeddings, vectors
from search import retrieval, similar
from search.similar import similar_to
from tests.processing.stubs import hanging, qdrant_at, qdrant_stub, refused_url

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]

HERONS = b"# Herons\n\nThe grey heron builds its nest in tall trees near the water in April.\n"
LIBRARY = {
    "birds.md": b"# Wading birds\n\nStorks and herons nest in trees by the river every spring.\n",
    "again.md": b"# Grey herons\n\nIn April the grey heron builds a nest in trees by the water.\n",
    "tax.md": b"# Taxes\n\nThe income tax return is due at the end of May each year.\n",
}


@pytest.fixture
def herons(make_ready: MakeDocument) -> Document:
    return make_ready("herons.md", HERONS)


def names(document: Document, user: User) -> list[str]:
    return [each.document.filename for each in similar_to(document, user)]


def test_what_is_of_the_same_subject_is_similar_and_nothing_else(
    herons: Document, make_ready: MakeDocument, editor: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in LIBRARY.items():
        make_ready(name, content)
    assert names(herons, editor) == ["again.md", "birds.md"]
    monkeypatch.setattr(similar, "SHOWN", 1)
    assert names(herons, editor) == ["again.md"]


def test_what_is_deleted_or_not_permitted_is_not_there_whatever_the_index_says(
    herons: Document, make_ready: MakeDocument, editor: User, make_user: Any
) -> None:
    birds = make_ready("birds.md", LIBRARY["birds.md"])
    assert names(herons, editor) == ["birds.md"]
    assert names(herons, make_user("stranger")) == []
    elsewhere = KnowledgeBase.objects.create(name="Elsewhere", slug="elsewhere")
    Document.objects.filter(pk=birds.pk).update(knowledge_base=elsewhere)  # not so its point
    assert names(herons, editor) == []
    Document.objects.filter(pk=birds.pk).update(knowledge_base=herons.knowledge_base)
    assert lifecycle.soft_delete(birds.pk, editor)
    assert names(herons, editor) == []


def test_no_model_is_asked_and_a_long_document_costs_as_much_as_a_short_one(
    make_ready: MakeDocument, editor: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = "\n\n".join(
        f"# Part {n}\n\nThe grey heron nests in trees by the river, {n}." for n in range(60)
    )
    long = make_ready("long.md", parts.encode())
    make_ready("birds.md", LIBRARY["birds.md"])
    monkeypatch.setattr(similar, "SAMPLE", 3)
    assert (long.chunk_count or 0) > 3
    asked: list[int] = []
    dense_of = vectors.dense_of
    monkeypatch.setattr(embeddings, "embed", None)
    monkeypatch.setattr(
        vectors, "dense_of", lambda ids, name: asked.append(len(ids)) or dense_of(ids, name)
    )
    assert names(long, editor) == ["birds.md"]
    assert asked == [3]


def test_the_documents_page_asks_for_them_and_shows_them(
    herons: Document, make_ready: MakeDocument, page: Client
) -> None:
    birds = make_ready("birds.md", LIBRARY["birds.md"])
    address = reverse("similar", args=[herons.pk])
    assert f'hx-get="{address}"' in page.get(herons.get_absolute_url()).content.decode()
    part = page.get(address, headers={"HX-Request": "true"}).content.decode()
    assert part.startswith('<section class="card" id="similar"')
    assert birds.get_absolute_url() in part
    whole = page.get(address).content.decode()
    assert "<!doctype html>" in whole
    assert birds.get_absolute_url() in whole


def test_a_document_that_is_not_there_or_not_indexed_has_none(
    make_document: MakeDocument, page: Client
) -> None:
    assert page.get(reverse("similar", args=[uuid4()])).status_code == 404
    waiting = make_document("waiting.md")
    assert "similar" not in page.get(waiting.get_absolute_url()).content.decode()
    assert "No other document" in page.get(reverse("similar", args=[waiting.pk])).content.decode()


def test_an_index_that_is_away_is_said(
    herons: Document, page: Client, api: Callable[[User], Client], editor: User, settings: Any
) -> None:
    client = api(editor)
    with qdrant_at(settings, refused_url()):
        shown = page.get(reverse("similar", args=[herons.pk]))
        answer = client.get(f"/api/v1/documents/{herons.pk}/similar")
    assert "cannot be looked up just now" in shown.content.decode()
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "search_unavailable"


def test_an_index_that_hangs_is_asked_once_and_the_others_are_told_at_once(
    herons: Document, editor: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrieval, "_asked_again_at", {})
    settings.SEARCH_INDEX_TIMEOUT = 0.3
    with qdrant_stub(settings, hanging) as stub:
        for _ in range(3):
            with pytest.raises(ServiceUnavailable):
                similar_to(herons, editor)
        assert len(stub.calls) == 1


def test_the_api_answers_them(
    herons: Document,
    make_ready: MakeDocument,
    api: Callable[[User], Client],
    editor: User,
    make_user: Any,
) -> None:
    birds = make_ready("birds.md", LIBRARY["birds.md"])
    [each] = api(editor).get(f"/api/v1/documents/{herons.pk}/similar").json()
    assert 0.8 < each.pop("cosine") <= 1
    assert each == {
        "document_id": str(birds.pk),
        "filename": "birds.md",
        "knowledge_base": birds.knowledge_base.slug,
    }
    assert (
        api(make_user("stranger")).get(f"/api/v1/documents/{herons.pk}/similar").status_code == 404
    )
