"""What all questions of a language have in common, taken out of each of them.

The vectors of e5 lie close together: two questions of everyday life that have nothing to do with
each other have a cosine of 0.8, as they are questions in one language. So passages that resemble
questions in general came before those that answer the one that is asked. What they have in common
is the mean of a few of them (benchmarks/retrieval/usual.tsv, which `python -m
benchmarks.retrieval.centres` makes into this module's file); the passages stay as they are.

Half of it is taken out: of the questions that nothing was chosen by, asked in other words than the
passage's, the meaning alone then has 0.80 first instead of 0.76, and in another language than the
passage's (French to English, Arabic to English) 0.1 more. With more of it the language itself goes:
where the same is said in six languages, the one that was asked in comes first for 0.99 of the
questions with none of it taken out, for 0.96 with half and for 0.86 with nine tenths.
"""

import base64
import json
import math
import struct
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from .languages import spoken
from .model import Model

FILE = Path(__file__).with_name("centres.json")
SHARE = 0.5  # of what they have in common
OTHERS = "others"  # languages: the mean of those that are known


def centred(vector: Sequence[float], text: str, model: Model) -> list[float]:
    """The vector of a question, of length 1, without what it has in common with all others; as it
    is when nothing is known of the model.
    """
    centre = _centre(text, model)
    if len(centre) != len(vector):
        return list(vector)
    length = math.hypot(*vector)
    rest = [a / length - SHARE * b for a, b in zip(vector, centre, strict=True)]
    length = math.hypot(*rest)
    return [number / length for number in rest]


def commonness(vector: Sequence[float], text: str, model: Model) -> float:
    """How much the vector of a question, of length 1, still resembles all others in its language:
    the cosine of what they have in common; 0 when nothing is known of the model.
    """
    centre = _centre(text, model)
    if len(centre) != len(vector):
        return 0.0
    return sum(a * b for a, b in zip(vector, centre, strict=True)) / math.hypot(*centre)


def packed(centre: Sequence[float]) -> str:
    """As the file has it: numbers of 16 bits."""
    return base64.b64encode(struct.pack(f"<{len(centre)}e", *centre)).decode()


def _centre(text: str, model: Model) -> Sequence[float]:
    known = next((known for name, known in _centres().items() if name in model.name.lower()), {})
    return known.get(spoken(text)) or known.get(OTHERS, ())


@cache
def _centres() -> dict[str, dict[str, tuple[float, ...]]]:
    """By a part of a model's name, then by language."""
    models = json.loads(FILE.read_text())
    return {
        name: {language: _unpacked(text) for language, text in centres.items()}
        for name, centres in models.items()
    }


def _unpacked(text: str) -> tuple[float, ...]:
    data = base64.b64decode(text)
    return struct.unpack(f"<{len(data) // 2}e", data)
