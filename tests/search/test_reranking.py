"""Results in the order of a reranking model, which may be slow, wrong or away."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from documents.models import Document
from processing.errors import Misconfigured, RetryableError, ServiceUnavailable
from processing.index import reranking
from search import reranking as reordering
from search.passages import Passage
from tests.processing.stubs import Answer, Call, Reply, Stub, failing, hanging, refused_url, stubbed
from tests.searching import search
from tests.texts import SAMPLES

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]


def by_length(call: Call) -> Reply:
    """As vLLM and Cohere answer: the longest text first."""
    texts = call.json["documents"]
    order = sorted(range(len(texts)), key=lambda n: -len(texts[n]))
    results = [
        {"index": n, "relevance_score": 1 / (place + 1), "document": {"text": texts[n]}}
        for place, n in enumerate(order)
    ]
    usage = {"total_tokens": 7}
    return Reply({"id": "rerank-1", "model": "m", "usage": usage, "results": results})


def scored(*scores: tuple[object, object]) -> Answer:
    results = [{"index": n, "relevance_score": score} for n, score in scores]
    return lambda call: Reply({"id": "x", "results": results})


@pytest.fixture
def reranker(settings: Any) -> Iterator[Stub]:
    with stubbed(by_length) as stub:
        settings.RERANK_MODEL = "hosted_vllm/bge-reranker"
        settings.RERANK_API_BASE = stub.url
        settings.RERANK_API_KEY = "the-key"
        settings.RERANK_TIMEOUT = 10
        yield stub


@pytest.fixture
def herons(make_ready: MakeDocument) -> list[str]:
    for n in range(1, 5):
        make_ready(f"{n}.md", b"The heron nests in April." + b" It is grey and stands still." * n)
    return ["4.md", "3.md", "2.md", "1.md"]


def names(passages: list[Passage]) -> list[str]:
    return [passage.document.filename for passage in passages]


@pytest.mark.parametrize(
    ("model", "path"),
    [("hosted_vllm/bge-reranker", "/rerank"), ("cohere/rerank-v3.5", "/v2/rerank")],
)
def test_the_results_have_the_models_order_and_falling_scores(
    model: str, path: str, herons: list[str], reranker: Stub, editor: User, settings: Any
) -> None:
    settings.RERANK_MODEL = ""
    before = search(editor, "heron nests")
    assert not reranker.calls
    settings.RERANK_MODEL = model
    after = search(editor, "heron nests")
    assert names(before) != names(after) == herons
    scores = [passage.score for passage in after]
    assert scores == sorted(scores, reverse=True)
    fitting = {passage.chunk.pk: passage.relevance for passage in before}
    assert {passage.chunk.pk: passage.relevance for passage in after} == fitting
    [call] = reranker.calls
    assert call.path == path
    assert call.json["query"] == "heron nests"
    assert call.headers["Authorization"].lower() == "bearer the-key"
    assert any(text.startswith("1.md\n") for text in call.json["documents"])


@pytest.mark.parametrize(
    "answer",
    [
        failing(500),
        failing(429),
        failing(401),
        scored((0, 1.0), (0, 2.0)),
        scored((9, 1.0)),
        scored((0, float("nan"))),
        lambda call: Reply(b"<html>"),
        lambda call: Reply({"results": None}),
    ],
)
def test_the_order_before_it_stands_when_it_fails_and_it_is_left_alone_for_a_while(
    answer: Answer, herons: list[str], reranker: Stub, editor: User, settings: Any
) -> None:
    settings.RERANK_MODEL = ""
    before = names(search(editor, "heron nests"))
    settings.RERANK_MODEL = "hosted_vllm/bge-reranker"
    reranker.answer = answer
    assert names(search(editor, "heron nests")) == before
    assert names(search(editor, "grey heron"))
    assert len(reranker.calls) == 1


@pytest.mark.parametrize("answer", [hanging, lambda call: Reply([0] * 99, drip=3)])
def test_it_has_so_many_seconds(
    answer: Answer, herons: list[str], reranker: Stub, editor: User, settings: Any
) -> None:
    settings.RERANK_TIMEOUT = 0.4
    reranker.answer = answer
    began = time.monotonic()
    assert sorted(names(search(editor, "heron nests"))) == sorted(herons)
    assert len(reranker.calls) == 1
    assert time.monotonic() - began < 15  # the answer would take half a minute


def test_what_it_leaves_out_comes_last_and_as_it_was(reranker: Stub) -> None:
    reranker.answer = scored((2, -7.5), (1, -0.5))
    assert reranking.best_first("q", ["a", "b", "c", "d"]) == [1, 2, 0, 3]


def test_it_gets_texts_of_any_language(reranker: Stub) -> None:
    texts = list(SAMPLES.values())
    assert sorted(reranking.best_first("什么", texts)) == list(range(len(texts)))
    assert reranker.calls[0].json["documents"] == texts


def test_only_the_first_are_asked_about_and_the_others_follow(
    herons: list[str], reranker: Stub, editor: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.RERANK_MODEL = ""
    before = names(search(editor, "heron nests"))
    settings.RERANK_MODEL = "hosted_vllm/bge-reranker"
    monkeypatch.setattr(reordering, "DEPTH", 2)
    after = names(search(editor, "heron nests"))
    assert after == [*sorted(before[:2], reverse=True), *before[2:]]


def test_whose_fault_it_is(reranker: Stub, settings: Any) -> None:
    for answer, kind in (
        (failing(401), Misconfigured),
        (failing(404), Misconfigured),
        (failing(503), ServiceUnavailable),
        (scored((5, 1.0)), RetryableError),
    ):
        reranker.answer = answer
        with pytest.raises(kind) as caught:
            reranking.best_first("q", ["a", "b"])
    assert caught.value.code == "bad_reranking"
    settings.RERANK_API_BASE = refused_url()
    with pytest.raises(ServiceUnavailable, match="no connection"):
        reranking.best_first("q", ["a", "b"])


@pytest.mark.django_db(transaction=True)
def test_no_connection_is_held_while_it_is_asked(
    herons: list[str], reranker: Stub, editor: User
) -> None:
    mine = connection._connections["default"]  # type: ignore[attr-defined]  # this thread's
    held: list[bool] = []

    def watch(call: Call) -> Reply:
        held.append(mine.connection is not None)
        return by_length(call)

    reranker.answer = watch
    assert names(search(editor, "heron nests")) == herons
    assert held == [False]
