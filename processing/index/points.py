"""Passages to points: their vectors and their words, for one index."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from documents.models import Chunk

from . import embeddings, terms, tokens
from .generations import Index
from .vectors import Point


def of(
    index: Index, chunks: Sequence[Chunk], known: Mapping[UUID, Sequence[float]] | None = None
) -> list[Point]:
    """A point for each chunk. Those whose vectors are not known are embedded, in one call.

    Raises as `embeddings.embed`.
    """
    dense = dict(known or {})
    new = [chunk for chunk in chunks if chunk.pk not in dense]
    if new:
        texts = [tokens.in_context(chunk.surroundings(), chunk.text) for chunk in new]
        found = embeddings.embed(texts, index.model)
        dense |= {chunk.pk: vector for chunk, vector in zip(new, found, strict=True)}
    return [Point(chunk.pk, chunk.position, dense[chunk.pk], _words(chunk)) for chunk in chunks]


def _words(chunk: Chunk) -> dict[int, float]:
    """A passage is found by its file's name, too."""
    context = "\n".join((chunk.document.filename, chunk.heading, chunk.context))
    return terms.passage_weights(chunk.text, context, chunk.language)
