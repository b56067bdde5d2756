"""A passage that was found, and whether it answers what was asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from documents.models import Chunk, Document

from .relevance import FLOOR, can_tell, relevance, share_of


@dataclass(frozen=True)
class Passage:
    """A chunk that answers a query; a higher score is a better one, of this query only."""

    chunk: Chunk
    score: float
    cosine: float | None = None  # None: it was not among the nearest, or nobody could tell
    query: str = ""
    asked: Mapping[str, float] = field(default_factory=dict, repr=False)  # terms of the query

    @property
    def document(self) -> Document:
        return self.chunk.document

    @property
    def said(self) -> str:
        """Its text, below what it needs to be understood."""
        return f"{self.document.filename}\n{self.chunk.in_context()}"

    @cached_property
    def relevance(self) -> float:
        """From 0 to 1, on one scale for all queries."""
        if not self.asked:
            return 1.0  # the document itself was asked for
        return relevance(
            self.query, self.cosine, share_of(self.asked, self.said, self.chunk.language)
        )


def fits(passages: Sequence[Passage]) -> bool:
    """Whether any of them answers the query, as far as can be told."""
    if not can_tell() or all(passage.cosine is None for passage in passages):
        return bool(passages)
    return any(passage.relevance >= FLOOR for passage in passages)
