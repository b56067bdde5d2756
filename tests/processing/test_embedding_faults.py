"""Each fault of an embedding service, and what becomes of a document that meets it.

With `-s` the table is printed. A fault is either the document's (it fails, at once or when its
tries are spent) or the service's (it waits, uncharged, for as long as that takes); in neither case
is there anything in the index or among the passages, and once the service is well the document
becomes READY with exactly its own vectors.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth.models import User
from qdrant_client import models

from documents import lifecycle
from documents.models import Chunk, Document
from processing.index import vectors
from tests.conftest import let_outages_pass, process
from tests.searching import search

from .stubs import (
    DIMENSIONS,
    Answer,
    Call,
    Reply,
    embedding_reply,
    embedding_stub,
    failing,
    good_embeddings,
    hanging,
    refusing,
    unit,
)

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]

NAN, INFINITY = float("nan"), float("inf")
PASSAGES = 3
CONTENT = "\n\n".join(
    f"# Part {n}\n\n" + f"The heron of part {n} stands in the reeds and waits. " * 15
    for n in range(PASSAGES)
).encode()
NOT_UNDERSTOOD = "The answer of the embedding service could not be understood."
NO_DIRECTION = "The embedding service answered a vector without a direction."


def vectors_of(*items: tuple[int, list[float]]) -> Answer:
    return lambda call: embedding_reply(list(items))


def to_each(vector: Any) -> Answer:
    return lambda call: embedding_reply([(n, vector) for n, _ in enumerate(call.json["input"])])


def to_the_last(vector: list[float]) -> Answer:
    def answer(call: Call) -> Reply:
        *others, last = range(len(call.json["input"]))
        return embedding_reply([*((n, unit(n)) for n in others), (last, vector)])

    return answer


@dataclass(frozen=True)
class Fault:
    answer: Answer
    sentence: str
    code: str = ""  # of the FAILED document; without one it is postponed, with its try given back
    tries: int = 2  # all that these tests allow


def outage(why: str) -> str:
    return f"the embedding service is not available ({why})."


FAULTS = {
    "429 with Retry-After: 7": Fault(failing(429, Retry_After="7"), outage("HTTP 429")),
    "500": Fault(failing(500), outage("HTTP 500")),
    "503": Fault(failing(503), outage("HTTP 503")),
    "401": Fault(failing(401), outage("HTTP 401: it refuses our key")),
    "404, no such model": Fault(failing(404), outage("HTTP 404")),
    "400 to any text": Fault(
        failing(400), outage("HTTP 400 for any text: its key or its model may be wrong")
    ),
    "400 to this text": Fault(
        refusing("heron"),
        "The embedding service did not accept the text (HTTP 400).",
        "embedding_refused",
    ),
    "no answer": Fault(hanging, outage("no answer in time")),
    "drips, then hangs up": Fault(
        lambda call: Reply({"object": "list", "data": []}, drip=0.02), outage("no connection")
    ),
    "truncated JSON": Fault(
        lambda call: Reply(b'{"object": "list", "data": [{"object"'), outage("HTTP 500")
    ),
    "a page in place of JSON": Fault(
        lambda call: Reply(b"<html>Welcome</html>"), outage("HTTP 500")
    ),
    "wrong dimensions": Fault(
        to_each([1.0, 0.0, 0.0]),
        "The embedding model answers 3 dimensions where 384 are configured; ask your operator.",
        "wrong_dimensions",
        tries=1,
    ),
    "NaN": Fault(to_the_last([NAN, *unit(1)[1:]]), NO_DIRECTION, "bad_embeddings"),
    "infinity": Fault(to_the_last([INFINITY, *unit(1)[1:]]), NO_DIRECTION, "bad_embeddings"),
    "a zero vector": Fault(to_the_last([0.0] * DIMENSIONS), NO_DIRECTION, "bad_embeddings"),
    "too few vectors": Fault(
        vectors_of((0, unit(0)), (1, unit(1))),
        "The embedding service answered 2 vectors for 3 passages.",
        "bad_embeddings",
    ),
    "too many vectors": Fault(
        vectors_of(*((n, unit(n)) for n in range(4))),
        "The embedding service answered 4 vectors for 3 passages.",
        "bad_embeddings",
    ),
    "one index twice": Fault(
        vectors_of((0, unit(0)), (1, unit(1)), (1, unit(2))), NOT_UNDERSTOOD, "bad_embeddings"
    ),
    "indexes from 1 on": Fault(
        vectors_of((1, unit(0)), (2, unit(1)), (3, unit(2))), NOT_UNDERSTOOD, "bad_embeddings"
    ),
    "text for a vector": Fault(
        to_each("AACAPw=="),
        NOT_UNDERSTOOD,
        "bad_embeddings",
    ),
}


@pytest.fixture(autouse=True)
def _few_tries_and_a_short_timeout(settings: Any) -> None:
    settings.MAX_ATTEMPTS = 2
    settings.EMBEDDING_TIMEOUT = 1


@pytest.fixture(scope="module", autouse=True)
def table() -> Any:
    rows: list[tuple[Any, ...]] = []
    yield rows
    print(f"\n{'fault':24} | document | tries | failure code      | sentence | points, passages")
    for fault, status, tries, code, sentence, points, passages in rows:
        print(f"{fault:24} | {status:8} | {tries} | {code:17} | {sentence} | {points}, {passages}")


def points_of(document: Document) -> dict[int, list[float]]:
    """Its dense vectors in the index, by position."""
    found, _ = vectors._client().scroll(
        vectors.collection(),
        models.Filter(must=[vectors._of_document(document.pk)]),
        limit=1000,
        with_vectors=[vectors.DENSE],
    )
    return {point.payload["position"]: point.vector["dense"] for point in found}  # type: ignore


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_the_embedding_service_is_never_indexed(
    name: str, make_document: MakeDocument, editor: User, settings: Any, table: list[Any]
) -> None:
    fault = FAULTS[name]
    document = make_document(content=CONTENT)
    with embedding_stub(settings, fault.answer):
        for _ in range(fault.tries):
            process(document)
            counted = vectors.count(document.pk), document.chunk_set.count()
            assert counted == (0, 0)
            let_outages_pass()
    said = document.failure_message or document.waiting_for
    table.append((name, document.status, document.attempts, document.failure_code, said, *counted))
    assert said == fault.sentence
    if fault.code:
        assert (document.status, document.failure_code) == ("failed", fault.code)
        assert document.attempts == fault.tries
        assert lifecycle.requeue(document.pk)
    else:
        assert (document.status, document.attempts) == ("pending", 0)

    with embedding_stub(settings, good_embeddings):
        process(document)
        assert document.status == "ready", document.explain()
        assert points_of(document) == {n: unit(n) for n in range(PASSAGES)}
        assert {hit.document for hit in search(editor, "heron")} == {document}


def test_vectors_in_another_order_are_those_of_their_passages(
    make_document: MakeDocument, settings: Any
) -> None:
    permuted = vectors_of((2, unit(2)), (0, unit(0)), (1, unit(1)))
    with embedding_stub(settings, permuted):
        document = process(make_document(content=CONTENT))
    assert document.status == "ready", document.explain()
    assert points_of(document) == {n: unit(n) for n in range(PASSAGES)}


@pytest.mark.parametrize("name", ["429 with Retry-After: 7", "NaN", "wrong dimensions"])
def test_a_fault_in_a_later_batch_leaves_nothing_that_search_shows(
    name: str, make_document: MakeDocument, editor: User, settings: Any
) -> None:
    """The points of the batches before it wait for the next try; no search knows them."""
    settings.EMBEDDING_BATCH_SIZE = 2
    fault = FAULTS[name]

    def answer(call: Call) -> Reply | None:
        return good_embeddings(call) if len(call.json["input"]) == 2 else fault.answer(call)

    with embedding_stub(settings, answer):
        document = process(make_document(content=CONTENT))
    assert (document.failure_message or document.waiting_for) == fault.sentence
    assert vectors.count(document.pk) == 2
    assert not Chunk.objects.current().filter(document=document).exists()
    with embedding_stub(settings, good_embeddings):
        assert search(editor, "heron") == []
