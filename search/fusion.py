"""Two rankings made one.

Scores of different kinds are made comparable by their own distribution (distribution-based score
fusion, as Qdrant's DBSF): the mean less three standard deviations is 0, the mean plus three is 1.
How much better the first is than the rest counts, which ranks alone do not say; and how much of
the query the words find at all: who asks in words of their own is served by the meaning, who types
a number or a name by the words. It is done here and not in Qdrant, which knows neither.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from uuid import UUID

from processing.index import terms
from processing.index.vectors import Candidates, Hit

# How much the half of the words counts beside that of the meaning: so much when what it finds has
# hardly anything of what is asked for, and so much when a passage has everything.
# Measured with benchmarks/retrieval on half of its questions: with the third power of the share
# both find 0.90 of all questions' passages first with e5, with its square 0.89; each half alone has
# 0.80 and 0.75.
FEW_WORDS, ALL_WORDS = 0.2, 1.5

# So many passages the words are weighed among, at least: those that have none of them have a sum of
# 0. Where the one passage that has a rare word was weighed alone it was an average one.
AMONG = 30


@dataclass(frozen=True, slots=True)
class Fused:
    """A passage with its score among all, and what each half said of it: None when it did not."""

    chunk_id: UUID
    score: float
    cosine: float | None
    bm25: float | None


def fused(found: Candidates, asked: Sequence[Mapping[int, float]]) -> list[Fused]:
    """Best first; of equal ones the order is that of the ids, the same each time. `asked` are the
    query's words, each by the terms any of which is it.
    """
    cosines = {hit.chunk_id: hit.score for hit in found.by_meaning}
    sums = {hit.chunk_id: hit.score for hit in found.by_words}
    share = max((terms.share(asked, said) for said in found.words_of_best), default=0.0)
    weight = FEW_WORDS + (ALL_WORDS - FEW_WORDS) * share**3
    meaning, words = _normalised(found.by_meaning), _normalised(found.by_words, AMONG)
    both = [
        Fused(
            each,
            meaning.get(each, 0.0) + weight * words.get(each, 0.0),
            cosines.get(each),
            sums.get(each),
        )
        for each in cosines | sums
    ]
    return sorted(both, key=lambda each: (-each.score, each.chunk_id))


def _normalised(hits: Sequence[Hit], among: int = 0) -> dict[UUID, float]:
    if not hits:
        return {}
    scores = [hit.score for hit in hits] + [0.0] * (among - len(hits))
    if max(scores) == min(scores):
        return {hit.chunk_id: 0.5 for hit in hits}
    mean = fmean(scores)
    # As `statistics.pstdev`, which reckons with fractions and takes ten times as long.
    deviation = math.sqrt(fmean((score - mean) ** 2 for score in scores))
    low, span = mean - 3 * deviation, 6 * deviation
    return {hit.chunk_id: (hit.score - low) / span for hit in hits}
