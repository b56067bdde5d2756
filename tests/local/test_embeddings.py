"""The local embedding server, asked as the application asks it, with each of its models."""

import base64
import http.client
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # before its import: no network
import litellm

from deploy.local.models import MODELS, LocalModel, WrongWeights, e5, minilm

KEY = "the-key"
PROJECT = Path(__file__).parents[2]
MODEL = "multilingual-e5-small"
LONG = " ".join(f"Paragraph {n} says that the lease of a document ends." for n in range(100))
TEXTS = [
    "How do I renew the lease of a document?",
    LONG,
    "",
    "Größe, naïve café, Ελλάδα, 東京の天気, 🙂 and NUL \x00 too",
]
each_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = start(port)
    deadline = time.monotonic() + 20
    while send(port, "GET", "/healthz")[0] != 200:
        assert process.poll() is None, "the server ended"
        assert time.monotonic() < deadline, "the server is not ready"
        time.sleep(0.02)
    yield port
    process.terminate()
    assert process.wait(timeout=5) == 0


def start(port: int, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "deploy.local.embeddings", f"--port={port}"]
    env = os.environ | {"EMBEDDING_API_KEY": KEY, "PYTHONPATH": str(PROJECT)}
    return subprocess.Popen(command, env=env, text=True, **options)


def send(port: int, method: str, path: str, body: object = None, key: str = KEY):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except ConnectionError:
        return 0, ""
    finally:
        connection.close()


def embed(port: int, texts: str | list[str], model: str = MODEL, **options) -> np.ndarray:
    body = {"model": model, "input": texts} | options
    status, answer = send(port, "POST", "/v1/embeddings", body)
    assert status == 200, answer
    data = json.loads(answer)["data"]
    assert [item["index"] for item in data] == list(range(len(data)))
    return np.array([item["embedding"] for item in data])


def through_litellm(port: int, texts: list[str], key: str = KEY):
    return litellm.embedding(
        model=f"hosted_vllm/{MODEL}",
        input=texts,
        api_base=f"http://127.0.0.1:{port}/v1",
        api_key=key,
        timeout=60,
    )


@each_model
def test_a_text_is_read_up_to_the_models_last_token(port, model: LocalModel):
    full, cut, other = embed(port, [LONG, LONG + " And more.", "Another text. " + LONG], model.name)
    assert full @ cut == pytest.approx(1, abs=1e-5)
    assert full @ other < 0.9999
    body = {"model": model.name, "input": [LONG, "a"]}
    _, answer = send(port, "POST", "/v1/embeddings", body)
    assert json.loads(answer)["usage"]["prompt_tokens"] == model.max_tokens + 3


@each_model
def test_the_tokens_of_a_text_are_counted_to_its_end(port, model: LocalModel):
    def count(text: str) -> dict[str, int]:
        status, answer = send(port, "POST", "/tokenize", {"model": model.name, "prompt": text})
        assert status == 200, answer
        return json.loads(answer)

    assert count("a") == {"count": 3, "max_model_len": model.max_tokens}
    assert count(LONG)["count"] > 1000
    assert count(f"{LONG} {LONG}")["count"] == 2 * count(LONG)["count"] - 2


def test_both_models_answer_side_by_side(port):
    assert [item["id"] for item in json.loads(send(port, "GET", "/v1/models")[1])["data"]] == [
        "multilingual-e5-small",
        "all-MiniLM-L6-v2",
    ]
    (one,), (other,) = (embed(port, "hello", model.name) for model in MODELS.values())
    assert abs(one @ other) < 0.5


def test_litellm_gets_every_vector_in_the_order_of_the_texts(port):
    alone = embed(port, TEXTS)
    order = list(range(len(TEXTS))) * 3
    random.Random(1).shuffle(order)
    response = through_litellm(port, [TEXTS[place] for place in order])
    vectors = np.array([item["embedding"] for item in response.data])
    assert (vectors * alone[order]).sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert response.usage.prompt_tokens > 0


def test_litellm_sees_a_wrong_key_as_an_authentication_error(port):
    with pytest.raises(litellm.AuthenticationError):
        through_litellm(port, ["hello"], key="wrong")
    assert send(port, "GET", "/v1/models", key="")[0] == 401
    assert send(port, "POST", "/tokenize", {"model": MODEL, "prompt": "a"}, key="")[0] == 401
    assert send(port, "GET", "/healthz", key="")[0] == 200


def test_one_string_and_base64_are_understood(port):
    (vector,) = embed(port, "hello", dimensions=384, encoding_format="float", user="me")
    body = {"model": MODEL, "input": "hello", "encoding_format": "base64"}
    _, answer = send(port, "POST", "/v1/embeddings", body)
    raw = base64.b64decode(json.loads(answer)["data"][0]["embedding"])
    assert np.frombuffer(raw, "<f4") == pytest.approx(vector, abs=1e-5)
    assert json.loads(send(port, "GET", "/v1/models")[1])["data"][0]["id"] == MODEL


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"input": []}, 400),
        ({"input": None}, 400),
        ({"input": ["a", 1]}, 400),
        ({"input": [[101, 102]]}, 400),
        ({"input": ["\ud800"]}, 400),
        ({"input": ["a"] * 2049}, 400),
        ({"dimensions": 256}, 400),
        ({"encoding_format": "hex"}, 400),
        ({"model": "text-embedding-3-small"}, 404),
    ],
)
def test_what_cannot_be_embedded_is_refused_with_a_sentence(port, change, status):
    given, answer = send(port, "POST", "/v1/embeddings", {"model": MODEL, "input": "a"} | change)
    assert given == status
    assert json.loads(answer)["error"]["message"]


def test_a_short_query_does_not_wait_for_a_long_batch(port):
    ended = []

    def batch() -> None:
        embed(port, [LONG] * 8)
        ended.append(time.monotonic())

    thread = threading.Thread(target=batch)
    thread.start()
    time.sleep(0.3)
    embed(port, "a short query")
    answered = time.monotonic()
    thread.join()
    assert answered < ended[0]


def test_a_taken_port_ends_it_with_one_sentence(port):
    process = start(port, stderr=subprocess.PIPE)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert errors == f"cannot listen on 127.0.0.1:{port}: Address already in use\n"


def test_other_weights_than_the_pinned_ones_are_not_loaded(tmp_path):
    for name in (*minilm.SHA256, e5.FILE.name):
        (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(WrongWeights, match="pinned SHA-256"):
        minilm.load(tmp_path)
    with pytest.raises(WrongWeights, match="pinned SHA-256"):
        e5.load(tmp_path / e5.FILE.name)
