"""The models of the embedded server: what the application must know of each, and where it is."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # the supervisor reads this module, too, and needs no numpy
    import numpy as np


class Model(Protocol):
    """A model in memory. Its methods may be called from several threads at once."""

    def embed(self, text: str) -> tuple[np.ndarray, int]:
        """The text's vector, float32 of length 1, and how many tokens were read for it."""

    def count(self, text: str) -> int:
        """The tokens of the whole text, with those that the model adds at its ends."""


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model that can be loaded here. The prefixes are those that it was trained with."""

    name: str
    dimensions: int
    max_tokens: int
    query_prefix: str = ""
    passage_prefix: str = ""
    module: str = ""

    def load(self) -> Model:
        """Raises OSError, ImportError or WrongWeights."""
        model: Model = import_module(f"{__name__}.{self.module}").load()
        return model


MODELS = {
    "e5": LocalModel("multilingual-e5-small", 384, 512, "query: ", "passage: ", "e5"),
    "minilm": LocalModel("all-MiniLM-L6-v2", 384, 256, module="minilm"),
}
"""By the name that LOCAL_MODEL gives them; the first is the default."""


class WrongWeights(Exception):
    """A file of the model is not the one that was measured."""
