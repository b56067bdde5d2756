"""The embedding model that the settings name."""

from dataclasses import dataclass

from django.conf import settings


@dataclass(frozen=True, slots=True)
class Model:
    """What makes the vectors: as LiteLLM names it, and what it wants before a text."""

    name: str
    dimensions: int
    query_prefix: str = ""
    passage_prefix: str = ""


def configured() -> Model:
    return Model(
        settings.EMBEDDING_MODEL,
        settings.EMBEDDING_DIMENSIONS,
        settings.EMBEDDING_QUERY_PREFIX,
        settings.EMBEDDING_PASSAGE_PREFIX,
    )
