"""A collection in the index, and where its answers come: by each half, and by both fused."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import NAMESPACE_URL, UUID, uuid5

from benchmarks.retrieval.questions import Collection, Question
from processing.index import centres, embeddings, terms, vectors
from processing.index.generations import serving
from processing.index.languages import language_of
from processing.index.vectors import Candidates
from search.fusion import fused
from search.relevance import FLOOR, Asked, relevance
from search.retrieval import DEPTH

BATCH = 32


@dataclass(slots=True)
class Ranks:
    """Where the answers came, from 0 on; None: not among the candidates."""

    places: list[int | None] = field(default_factory=list)

    def hits(self, best: int) -> float:
        """The share of the questions whose answer is among the `best`."""
        return sum(place is not None and place < best for place in self.places) / len(self.places)

    def ndcg(self, best: int = 10) -> float:
        gains = (1 / math.log2(p + 2) for p in self.places if p is not None and p < best)
        return sum(gains) / len(self.places)


def put(collection: Collection, knowledge_base: int) -> None:
    """Index the passages, each as a document."""
    for start in range(0, len(collection.passages), BATCH):
        batch = list(enumerate(collection.passages))[start : start + BATCH]
        dense = embeddings.embed([passage for _, passage in batch])
        for (n, passage), vector in zip(batch, dense, strict=True):
            point = vectors.Point(_id(collection, n), 0, vector, terms.passage_weights(passage))
            vectors.upsert(knowledge_base, point.id, [point])


def found(question: Question, knowledge_base: int) -> Candidates:
    dense = embeddings.embed_query(question.text)
    words = terms.query_weights(question.text)
    return vectors.candidates(dense, words, [knowledge_base], DEPTH)


def ranked(
    collection: Collection, questions: Sequence[Question], candidates: Sequence[Candidates]
) -> dict[str, Ranks]:
    """By the words alone, by the meaning alone, and by both."""
    ways: dict[str, Callable[[Question, Candidates], list[UUID]]] = {
        "words": lambda _, each: [hit.chunk_id for hit in each.by_words],
        "meaning": lambda _, each: [hit.chunk_id for hit in each.by_meaning],
        "both": lambda question, each: [
            hit.chunk_id for hit in fused(each, terms.asked(question.text))
        ],
    }
    ranks = {name: Ranks() for name in ways}
    for question, each in zip(questions, candidates, strict=True):
        answer = _id(collection, question.answer)
        for name, order in ways.items():
            ids = order(question, each)
            ranks[name].places.append(ids.index(answer) if answer in ids else None)
    return ranks


def fits(collection: Collection, question: Question, each: Candidates, among: range) -> bool:
    """Whether the query is told that something fits, if only the passages `among` were there."""
    common = centres.commonness(
        embeddings.embed_query(question.text), question.text, serving().model
    )
    asked = Asked(question.text, terms.asked(question.text), common)
    cosines = {hit.chunk_id: hit.score for hit in each.by_meaning}
    return any(
        relevance(asked, cosines.get(_id(collection, n)), passage, language_of(passage)) >= FLOOR
        for n in among
        for passage in [collection.passages[n]]
    )


def _id(collection: Collection, n: int) -> UUID:
    return uuid5(NAMESPACE_URL, f"{collection.language}/{n}")
