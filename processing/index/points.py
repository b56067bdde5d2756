"""Passages to points: their vectors and their words, for one index."""

from collections.abc import Sequence

from documents.models import Chunk

from . import embeddings, terms, tokens
from .generations import Index
from .vectors import Point


def of(index: Index, chunks: Sequence[Chunk]) -> list[Point]:
    """A point for each chunk, embedded in one call. Raises as `embeddings.embed`."""
    texts = [tokens.in_context(chunk.surroundings(), chunk.text) for chunk in chunks]
    return [
        Point(chunk.pk, chunk.position, dense, _words(chunk))
        for chunk, dense in zip(chunks, embeddings.embed(texts, index.model), strict=True)
    ]


def _words(chunk: Chunk) -> dict[int, float]:
    """A passage is found by its file's name, too."""
    context = "\n".join((chunk.document.filename, chunk.heading, chunk.context))
    return terms.passage_weights(chunk.text, context, chunk.language)
