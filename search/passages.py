"""A passage that was found, and whether it answers what was asked."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from documents.models import Chunk, Document
from processing.index import terms

from .relevance import FLOOR, Asked, can_tell, relevance


@dataclass(frozen=True)
class Passage:
    """A chunk that answers a query; a higher score is a better one, of this query only."""

    chunk: Chunk
    score: float
    cosine: float | None = None  # None: it was not among the nearest, or nobody could tell
    asked: Asked | None = field(default=None, repr=False)  # None: the document itself was

    @property
    def document(self) -> Document:
        return self.chunk.document

    @property
    def said(self) -> str:
        """Its text, below what it needs to be understood."""
        return f"{self.document.filename}\n{self.chunk.in_context()}"

    @cached_property
    def words(self) -> frozenset[str]:
        return frozenset(terms.lexemes(self.chunk.text))

    @cached_property
    def relevance(self) -> float:
        """From 0 to 1, on one scale for all queries."""
        if self.asked is None:
            return 1.0
        return relevance(self.asked, self.cosine, self.said, self.chunk.language)


def fits(passages: Sequence[Passage]) -> bool:
    """Whether any of them answers the query, as far as can be told."""
    if not can_tell() or all(passage.cosine is None for passage in passages):
        return bool(passages)
    return any(passage.relevance >= FLOOR for passage in passages)
