"""What the embedding service may answer, and what we make of it."""

import time
from typing import Any

import pytest

from processing.errors import PermanentError, RetryableError, ServiceUnavailable
from processing.index import embeddings
from processing.index.centres import centred
from processing.index.model import configured

from .stubs import (
    Answer,
    Reply,
    embedding_reply,
    embedding_stub,
    failing,
    good_embeddings,
    hanging,
    refused_url,
    refusing,
    unit,
)

NAN, INFINITY = float("nan"), float("inf")


@pytest.fixture(autouse=True)
def _no_prefixes(settings: Any) -> None:
    settings.EMBEDDING_QUERY_PREFIX = settings.EMBEDDING_PASSAGE_PREFIX = ""


def failure(settings: Any, answer: Answer, texts: int = 2, requests: int = 1) -> Exception:
    """The error of one call, which must be one HTTP request."""
    with embedding_stub(settings, answer) as stub:
        with pytest.raises(Exception) as caught:  # noqa: PT011 (the tests say which)
            embeddings.embed(["passage"] * texts)
        assert len(stub.calls) == requests, "one attempt: retries are the outbox's business"
    return caught.value


def test_the_local_model_answers_finite_vectors_of_the_configured_dimensions(
    settings: Any,
) -> None:
    herons, birds, taxes = embeddings.embed(["the heron", "a wading bird", "income tax return"])
    assert len(herons) == settings.EMBEDDING_DIMENSIONS
    closeness = [sum(a * b for a, b in zip(herons, x, strict=True)) for x in (birds, taxes)]
    assert closeness[0] > closeness[1]


def test_vectors_come_back_in_the_order_of_their_texts_whatever_the_order_of_the_answer(
    settings: Any,
) -> None:
    permuted = embedding_reply([(2, unit(2)), (0, unit(0)), (1, unit(1))])
    with embedding_stub(settings, lambda call: permuted):
        assert embeddings.embed(["a", "b", "c"]) == [unit(0), unit(1), unit(2)]


def test_a_good_answer_takes_one_request_with_all_the_texts(settings: Any) -> None:
    with embedding_stub(settings, good_embeddings) as stub:
        embeddings.embed(["a", "b"])
    assert [call.json["input"] for call in stub.calls] == [["a", "b"]]


def test_the_model_is_told_what_it_reads(settings: Any) -> None:
    settings.EMBEDDING_QUERY_PREFIX = "query: "
    settings.EMBEDDING_PASSAGE_PREFIX = "passage: "
    with embedding_stub(settings, good_embeddings) as stub:
        embeddings.embed(["a", "b"])
        embeddings.embed_query("c")
    asked = [call.json["input"] for call in stub.calls]
    assert asked == [["passage: a", "passage: b"], ["query: c"]]


def test_the_same_query_is_embedded_once_and_another_one_anew(settings: Any) -> None:
    with embedding_stub(settings, good_embeddings) as stub:
        expected = centred(unit(0), "heron", configured())
        assert embeddings.embed_query("heron") == embeddings.embed_query("heron") == expected
        embeddings.embed_query("Heron")
        settings.EMBEDDING_QUERY_PREFIX = "query: "
        embeddings.embed_query("heron")
    assert [call.json["input"] for call in stub.calls] == [["heron"], ["Heron"], ["query: heron"]]


def test_a_query_that_failed_is_asked_again(settings: Any) -> None:
    with embedding_stub(settings, failing(500)) as stub:
        for _ in range(2):
            with pytest.raises(ServiceUnavailable):
                embeddings.embed_query("heron")
        assert len(stub.calls) == 2


@pytest.mark.parametrize("status", [401, 403, 404, 408, 409, 429, 500, 502, 503, 504, 529])
def test_a_status_that_is_not_the_texts_fault_is_an_outage(settings: Any, status: int) -> None:
    error = failure(settings, failing(status))
    assert isinstance(error, ServiceUnavailable)
    assert (error.service, error.retry_after) == ("embedding", None)
    refused = ": it refuses our key" if status in (401, 403) else ""
    assert error.reason == ("no answer in time" if status == 408 else f"HTTP {status}{refused}")


@pytest.mark.parametrize("status", [429, 503])
def test_the_services_own_wish_when_to_come_back_is_kept(settings: Any, status: int) -> None:
    error = failure(settings, failing(status, Retry_After="7"))
    assert isinstance(error, ServiceUnavailable)
    assert error.retry_after == 7


@pytest.mark.parametrize(
    "answer", [failing(429, Retry_After="7"), failing(500), hanging], ids=["429", "500", "hangs"]
)
def test_the_sdk_that_retries_by_itself_makes_one_attempt_too(
    settings: Any, answer: Answer
) -> None:
    """LiteLLM speaks to `openai/` models, a LiteLLM proxy's too, through OpenAI's own client."""
    settings.EMBEDDING_MODEL = "openai/text-embedding-3-small"
    settings.EMBEDDING_TIMEOUT = 0.3
    assert isinstance(failure(settings, answer), ServiceUnavailable)


@pytest.mark.parametrize(
    "wish", ["Wed, 21 Oct 2026 07:28:00 GMT", "soon", "nan", "inf", "-5", "1e400"]
)
def test_a_wish_that_is_no_number_of_seconds_is_none(settings: Any, wish: str) -> None:
    error = failure(settings, failing(429, Retry_After=wish))
    assert isinstance(error, ServiceUnavailable)
    assert error.retry_after is None


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refusal_of_these_texts_alone_counts_as_a_try(settings: Any, status: int) -> None:
    error = failure(settings, refusing("passage", status), requests=2)
    assert isinstance(error, RetryableError)
    assert error.code == "embedding_refused"


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refusal_of_any_text_is_an_outage_and_no_documents_fault(
    settings: Any, status: int
) -> None:
    """A LiteLLM proxy answers 400 to a wrong key, and to a model that it does not have."""
    error = failure(settings, failing(status), requests=2)
    assert isinstance(error, ServiceUnavailable)
    assert error.reason == f"HTTP {status} for any text: its key or its model may be wrong"


def test_an_answer_that_does_not_come_ends_at_the_timeout(settings: Any) -> None:
    settings.EMBEDDING_TIMEOUT = 0.3
    began = time.monotonic()
    error = failure(settings, hanging)
    assert time.monotonic() - began < 10
    assert isinstance(error, ServiceUnavailable)
    assert error.reason == "no answer in time"


def test_nobody_listening_is_an_outage(settings: Any) -> None:
    settings.EMBEDDING_API_BASE = f"{refused_url()}/v1"
    with pytest.raises(ServiceUnavailable, match="no connection"):
        embeddings.embed(["text"])


@pytest.mark.parametrize("count", [1, 3])
def test_another_number_of_vectors_than_of_texts_is_never_indexed(
    settings: Any, count: int
) -> None:
    error = failure(settings, lambda call: embedding_reply([(n, unit(n)) for n in range(count)]))
    assert isinstance(error, RetryableError)
    assert error.code == "bad_embeddings"
    assert f"{count} vectors for 2 passages" in error.sentence


@pytest.mark.parametrize(
    "vector",
    [
        pytest.param([NAN, *unit(1)[1:]], id="NaN"),
        pytest.param([INFINITY, *unit(1)[1:]], id="infinity"),
        pytest.param([0.0] * 384, id="zero"),
        pytest.param([1e-300, *unit(1)[2:], 0.0], id="zero in single precision"),
        pytest.param([1e300, *unit(1)[1:]], id="infinity in single precision"),
    ],
)
def test_a_vector_that_has_no_direction_is_never_indexed(
    settings: Any, vector: list[float]
) -> None:
    error = failure(settings, lambda call: embedding_reply([(0, unit(0)), (1, vector)]))
    assert isinstance(error, RetryableError)
    assert error.code == "bad_embeddings"


def test_other_dimensions_than_configured_fail_for_good_and_say_both_numbers(
    settings: Any,
) -> None:
    error = failure(settings, lambda call: embedding_reply([(0, [1.0] * 3)]), texts=1)
    assert isinstance(error, PermanentError)
    assert error.code == "wrong_dimensions"
    assert "3 dimensions where 384" in error.sentence


@pytest.mark.parametrize("indexes", [(0, 0), (1, 2), (0, -1)], ids=str)
def test_vectors_that_do_not_say_whose_they_are_are_never_indexed(
    settings: Any, indexes: tuple[int, int]
) -> None:
    error = failure(settings, lambda call: embedding_reply([(n, unit(n)) for n in indexes]))
    assert isinstance(error, RetryableError)
    assert error.code == "bad_embeddings"


@pytest.mark.parametrize("numbers", [None, "AACAPw==", ["a"], [[1.0]], [10**400]], ids=repr)
def test_what_is_no_vector_is_never_indexed(settings: Any, numbers: Any) -> None:
    error = failure(settings, lambda call: embedding_reply([(0, numbers)]), texts=1)
    assert isinstance(error, RetryableError)
    assert error.code == "bad_embeddings"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"object": "list", "data": [{"object"', id="cut off"),
        pytest.param(b"<html>Bad gateway</html>", id="a page"),
        pytest.param(b"", id="nothing"),
        pytest.param({"object": "list", "data": None}, id="no data"),
        pytest.param({"object": "list", "data": [{"index": 0}, {"index": 1}]}, id="no vectors"),
        pytest.param({"error": {"message": "overloaded"}}, id="an error with status 200"),
    ],
)
def test_an_answer_that_is_none_is_told_from_a_defect_of_ours(settings: Any, body: Any) -> None:
    with (
        embedding_stub(settings, lambda call: Reply(body)),
        pytest.raises((RetryableError, ServiceUnavailable)),
    ):
        embeddings.embed(["passage", "passage"])
