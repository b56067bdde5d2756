"""Small local embedding models behind an OpenAI-compatible API, for one machine, without network.

    python -m deploy.local.embeddings --port 8081 --model e5

`POST /v1/embeddings`, `GET /v1/models`, `POST /tokenize` (as vLLM has it), `GET /healthz` on
127.0.0.1; with `EMBEDDING_API_KEY` set, all but the last want it as a bearer token.

Both models (deploy/local/models) can be asked for by their names, so that search goes on with the
one while documents are embedded anew with the other. `--model` is loaded at the start, the other
one when it is asked for.

Measured by benchmarks/embedding.py on 2 cores of an AMD EPYC (AVX-512 with VNNI), onnxruntime 1.32,
beside other work, in ms of processor time, MiniLM and e5: a passage of 1,000 characters, English 66
and 112, German 78 (cut after two thirds) and 131; 500 of Chinese 81 (cut after half) and 173; a
short query 4.5 and 5.7. Ready after 0.2 and 1.2 s; 180 and 310 MB, of which 80 are libraries.
One text at a time: 1, 2, 4, 8 and 16 texts a run took MiniLM 28, 30, 30, 32 and 35 ms a passage.
One text already keeps the cores busy, so there is nothing to pad, to mask or to reorder.
"""

from __future__ import annotations

import argparse
import base64
import hmac
import os
import time
from threading import Lock
from typing import Any

import numpy as np

from deploy.local import jsonserver
from deploy.local.jsonserver import HttpError, Request
from deploy.local.models import MODELS, LocalModel, Model, WrongWeights
from deploy.local.turns import Turns

MAX_INPUTS = 2048
"""Texts per request: OpenAI's own limit for this call."""


def main() -> None:
    """Loads the model, then serves it and, when they are asked for, the others until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.embeddings", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--port", type=int, required=True, help="TCP port on 127.0.0.1")
    parser.add_argument("--model", choices=MODELS, default=next(iter(MODELS)))
    arguments = parser.parse_args()
    jsonserver.start_logging()
    service = Embeddings(key=os.environ.get("EMBEDDING_API_KEY", ""))
    name = MODELS[arguments.model].name
    try:
        service.load(name)
    except (OSError, ImportError, ValueError, WrongWeights) as error:
        jsonserver.quit_saying(f"cannot load {name}: {error}")
    jsonserver.serve(arguments.port, service.answer, refusal)


def refusal(status: int, sentence: str) -> dict[str, Any]:
    """An error as OpenAI's clients expect it."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": sentence, "type": kind, "param": None, "code": status}}


class Embeddings:
    """The routes. Thread-safe: ONNX Runtime runs several texts at once, and a query does not wait
    behind somebody's batch (turns.py)."""

    def __init__(self, key: str) -> None:
        self._models = {model.name: model for model in MODELS.values()}
        self._loaded: dict[str, Model] = {}
        self._loading = Lock()
        self._turns = Turns()
        self._key = key
        self._started = int(time.time())

    def load(self, name: str) -> Model:
        """The model in memory, from its first use on. Raises what `LocalModel.load` raises."""
        with self._loading:
            if name not in self._loaded:
                self._loaded[name] = self._models[name].load()
            return self._loaded[name]

    def answer(self, request: Request) -> Any:
        """The body for one request; `HttpError` 400, 401, 404, or 500 when a model has no files."""
        match request.method, request.path:
            case "GET", ("healthz",):
                return "ok"
            case "GET", ("v1", "models"):
                self._check_key(request)
                return {"object": "list", "data": [self._entry(name) for name in self._models]}
            case "POST", ("v1", "embeddings"):
                self._check_key(request)
                return self._embed(request.json())
            case "POST", ("tokenize",):
                self._check_key(request)
                return self._tokenize(request.json())
        raise HttpError(404, f"{request.method} /{'/'.join(request.path)} does not exist here")

    def _check_key(self, request: Request) -> None:
        if self._key and not hmac.compare_digest(request.bearer().encode(), self._key.encode()):
            raise HttpError(401, "Incorrect API key provided")

    def _entry(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self._started, "owned_by": "local"}

    def _embed(self, body: dict[str, Any]) -> dict[str, Any]:
        known, model = self._asked_for(body)
        if body.get("dimensions") not in (None, known.dimensions):
            sentence = f"{known.name} has {known.dimensions} dimensions, no other number can be had"
            raise HttpError(400, sentence)
        encoding = body.get("encoding_format") or "float"
        if encoding not in ("float", "base64"):
            raise HttpError(400, "encoding_format must be 'float' or 'base64'")
        texts = _texts(body.get("input"))
        turn = self._turns.query if len(texts) == 1 else self._turns.passage
        data, used = [], 0
        for index, text in enumerate(texts):
            with turn():
                vector, length = model.embed(text)
            used += length
            value = vector.tolist() if encoding == "float" else _base64(vector)
            data.append({"object": "embedding", "index": index, "embedding": value})
        usage = {"prompt_tokens": used, "total_tokens": used}
        return {"object": "list", "data": data, "model": known.name, "usage": usage}

    def _tokenize(self, body: dict[str, Any]) -> dict[str, Any]:
        """How many tokens a text has, those at its ends included; which ones is nobody's need."""
        known, model = self._asked_for(body)
        (text,) = _texts([body.get("prompt")])
        return {"count": model.count(text), "max_model_len": known.max_tokens}

    def _asked_for(self, body: dict[str, Any]) -> tuple[LocalModel, Model]:
        known = self._models.get(str(body.get("model")))
        if known is None:
            names = " and ".join(map(repr, self._models))
            raise HttpError(404, f"The model {body.get('model')!r} does not exist, only {names}")
        try:
            return known, self.load(known.name)
        except (OSError, ImportError, ValueError, WrongWeights) as error:
            raise HttpError(500, f"cannot load {known.name}: {error}") from error


def _texts(value: Any) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not 1 <= len(texts) <= MAX_INPUTS:
        raise HttpError(400, f"input must be a string or a list of 1 to {MAX_INPUTS} strings")
    for text in texts:
        try:
            text.encode()
        except (AttributeError, UnicodeEncodeError) as error:
            raise HttpError(400, "input must be strings that are valid Unicode") from error
    return texts


def _base64(vector: np.ndarray) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


if __name__ == "__main__":
    main()
