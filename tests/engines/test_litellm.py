"""A real LiteLLM proxy, set up as in production, before our model and a broken service.

`make litellm` installs it, in a virtual environment of its own: it asks for an older gunicorn.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from django.contrib.auth.models import User

from deploy.local.process import REPOSITORY
from deploy.local.servers import free_ports
from documents.models import Document
from processing.errors import RetryableError, ServiceUnavailable
from processing.index import embeddings
from tests.conftest import let_outages_pass, process
from tests.processing.stubs import (
    Answer,
    Reply,
    Stub,
    embedding_reply,
    failing,
    good_embeddings,
    hanging,
    refusing,
    unit,
)
from tests.searching import search

PROGRAM = Path(sys.prefix) / "litellm/bin/litellm"
KEY = "sk-of-the-tests"
BROKEN = "openai/openai/any-model"  # by way of production's entry for all models
NAN = float("nan")
pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.django_db,  # all of them, or pytest-django parts them, and the proxy starts twice
    pytest.mark.skipif(
        not PROGRAM.exists() and not os.environ.get("CI"), reason="make litellm installs it"
    ),
]


@pytest.fixture(scope="module")
def broken() -> Iterator[Stub]:
    """The provider in production's configuration; each test says what it answers."""
    stub = Stub(good_embeddings)
    yield stub
    stub.close()


@pytest.fixture(scope="module")
def proxy(broken: Stub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a proxy with our model as "minilm" too. Its start takes 6 s, its first one
    minutes where the processor has much else to do: all of it is compiled then.
    """
    home = tmp_path_factory.mktemp("litellm")
    configuration = yaml.safe_load((REPOSITORY / "deploy/litellm/config.yaml").read_text())
    local = {"api_base": os.environ["EMBEDDING_API_BASE"], "api_key": "os.environ/EMBEDDING_KEY"}
    [production] = configuration["model_list"]
    production["litellm_params"]["api_base"] = f"{broken.url}/v1"
    minilm = {"model": "openai/all-MiniLM-L6-v2"} | local
    configuration["model_list"].append({"model_name": "minilm", "litellm_params": minilm})
    (home / "litellm.yaml").write_text(yaml.safe_dump(configuration))
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LITELLM_MASTER_KEY": KEY,
        "PROVIDER_API_KEY": "any",
        "DEFAULT_MAX_RETRIES": "0",
        "EMBEDDING_KEY": os.environ["EMBEDDING_API_KEY"],
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "NO_PROXY": "127.0.0.1",
    }
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            [
                PROGRAM,
                "--config",
                home / "litellm.yaml",
                "--host",
                "127.0.0.1",
                "--port",
                str(port),
            ],
            env=environment,
            cwd=home,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_for(f"{url}/health/readiness", process, home / "log")
        yield f"{url}/v1"
    finally:
        process.kill()
        process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 500
    while not _answers(url):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(autouse=True)
def _by_way_of_the_proxy(settings: Any, proxy: str) -> None:
    settings.EMBEDDING_MODEL = "openai/minilm"
    settings.EMBEDDING_API_BASE = proxy
    settings.EMBEDDING_API_KEY = KEY
    settings.EMBEDDING_TIMEOUT = 60


def test_a_document_becomes_ready_and_is_found_by_the_same_vectors_as_without_it(
    make_ready: Callable[..., Document], editor: User, settings: Any
) -> None:
    document = make_ready()
    assert [hit.document for hit in search(editor, "heron")] == [document]
    texts = ["The heron nests in April.", "Grüße aus Köln", "x" * 5000]
    by_proxy = embeddings.embed(texts)
    settings.EMBEDDING_MODEL = "hosted_vllm/all-MiniLM-L6-v2"
    settings.EMBEDDING_API_BASE = os.environ["EMBEDDING_API_BASE"]
    settings.EMBEDDING_API_KEY = os.environ["EMBEDDING_API_KEY"]
    for one, other in zip(by_proxy, embeddings.embed(texts), strict=True):
        assert one == pytest.approx(other, abs=1e-6)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("EMBEDDING_API_KEY", "sk-wrong"), ("EMBEDDING_MODEL", "openai/no-such-model")],
)
def test_a_wrong_key_or_model_is_no_documents_fault(
    setting: str, value: str, make_document: Callable[..., Document], settings: Any
) -> None:
    """The proxy answers 400 to both."""
    right = getattr(settings, setting)
    setattr(settings, setting, value)
    document = process(make_document())
    assert (document.status, document.attempts) == ("pending", 0)
    assert document.waiting_for == (
        "the embedding service is not available (HTTP 400 for any text: its key or its model may "
        "be wrong)."
    )
    setattr(settings, setting, right)
    let_outages_pass()
    assert process(document).status == "ready", document.explain()


OUTAGES = {
    "429": (failing(429, Retry_After="7"), "HTTP 429"),
    "500": (failing(500), "HTTP 500"),
    "503": (failing(503), "HTTP 503"),
    "its key is refused": (failing(401), "HTTP 401: it refuses our key"),
    "its model is unknown": (failing(404), "HTTP 404"),
    "no answer": (hanging, "no answer in time"),
    "truncated": (lambda call: Reply(b'{"object": "list", "data": [{"ob'), "HTTP 500"),
}


@pytest.mark.parametrize(("answer", "reason"), OUTAGES.values(), ids=OUTAGES)
def test_an_outage_behind_it_is_one_asked_once_and_over_when_it_is_over(
    answer: Answer, reason: str, broken: Stub, settings: Any
) -> None:
    """Neither retries nor a cooldown of the proxy's own come between."""
    settings.EMBEDDING_MODEL = BROKEN
    settings.EMBEDDING_TIMEOUT = 2 if answer is hanging else 60
    broken.answer = answer
    broken.calls.clear()
    with pytest.raises(ServiceUnavailable) as caught:
        embeddings.embed(["heron"])
    assert (caught.value.reason, len(broken.calls)) == (reason, 1)

    settings.EMBEDDING_TIMEOUT = 60
    broken.answer = good_embeddings
    assert embeddings.embed(["heron"]) == [unit(0)]


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_text_that_is_refused_behind_it_is_the_documents_fault(
    status: int, broken: Stub, settings: Any
) -> None:
    settings.EMBEDDING_MODEL = BROKEN
    broken.answer = refusing("heron", status)
    with pytest.raises(RetryableError) as caught:
        embeddings.embed(["heron"])
    assert caught.value.code == "embedding_refused"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda call: embedding_reply([(0, unit(0))]), id="too few"),
        pytest.param(lambda call: embedding_reply([(0, unit(0)), (0, unit(1))]), id="one twice"),
        pytest.param(lambda call: embedding_reply([(0, unit(0)), (1, [NAN] * 384)]), id="NaN"),
        pytest.param(lambda call: embedding_reply([(0, unit(0)), (1, [0.0] * 384)]), id="zero"),
    ],
)
def test_wrong_vectors_do_not_come_through_it(answer: Answer, broken: Stub, settings: Any) -> None:
    settings.EMBEDDING_MODEL = BROKEN
    broken.answer = answer
    with pytest.raises((RetryableError, ServiceUnavailable)):
        embeddings.embed(["heron", "tax"])


def test_the_order_of_the_vectors_comes_through_it(broken: Stub, settings: Any) -> None:
    settings.EMBEDDING_MODEL = BROKEN
    broken.answer = lambda call: embedding_reply([(1, unit(1)), (0, unit(0))])
    assert embeddings.embed(["heron", "tax"]) == [unit(0), unit(1)]
