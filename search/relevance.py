"""Does anything fit? Each hit on one scale, the same for all queries.

Two things are known of a hit: how near its meaning is (the cosine, on a scale of the model's own)
and how much of what was asked for stands in it. Either may be enough: all of its words always are.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import regex
from django.conf import settings

from processing.index import generations, terms
from processing.index.folding import UNSPACED

FLOOR = 0.5  # a hit below does not fit

# What the share of the query's words counts for, and its sixth power: some of them stand in many a
# passage that does not answer it, all of them hardly ever.
SOME_WORDS, ALL_WORDS = 2.0, 10.0


@dataclass(frozen=True, slots=True)
class Scale:
    """Of a model: the cosine of a passage that just fits without having a word of the query, how
    soon that changes, and what is to be added for languages without spaces, and for a query that
    resembles all others so much.
    """

    middle: float
    step: float
    unspaced: float = 0.0
    common: float = 0.0
    alike: float = 0.0  # the cosine of two passages that are of one subject, at least


# Measured with `python -m benchmarks.retrieval`: fitted to half of its questions, asked of the
# passages that answer them and of those that do not. At the floor one answerable question of ten of
# that half is marked, and one of twenty of the other, of those that are asked in other words.
# MiniLM's is for English: of other languages it cannot tell.
# `alike`: e5's cosine of a passage of the handbook and one of the declaration is at most 0.84 in
# English, above 0.87 for one pair of twenty in German, French and Arabic; of a passage in English
# and the same in German it is 0.90 in the middle.
SCALES = {
    "e5-small": Scale(0.498, 0.015, 0.045, common=0.3, alike=0.87),
    "minilm": Scale(0.401, 0.04, alike=0.4),
}

_UNSPACED = regex.compile(rf"[{UNSPACED}]")


@dataclass(frozen=True, slots=True)
class Asked:
    """What each hit of a query is compared with."""

    text: str
    words: Sequence[Mapping[int, float]]  # see terms.asked
    commonness: float = 0.0  # see centres.commonness


def relevance(asked: Asked, cosine: float | None, said: str, language: str) -> float:
    """Of a passage, from 0 to 1, by its cosine and what it says.

    Without a cosine, or a scale for it, the words alone say it.
    """
    share = terms.share(asked.words, terms.present(said, language))
    scale = _scale()
    if cosine is None or scale is None:
        return share
    middle = scale.middle + _more(asked.text, scale) + scale.common * asked.commonness
    words = SOME_WORDS * share + ALL_WORDS * share**6
    return 1 / (1 + math.exp(-((cosine - middle) / scale.step + words)))


def alike(text: str, cosine: float) -> bool:
    """Whether a passage is of the text's subject, as far as can be told of the model in use."""
    scale = _scale()
    return scale is None or cosine >= scale.alike + _more(text, scale)


def can_tell() -> bool:
    """Whether the floor is known for the model in use: for others nothing is marked."""
    return _scale() is not None


def _more(text: str, scale: Scale) -> float:
    return scale.unspaced if _UNSPACED.search(text) else 0.0


def _scale() -> Scale | None:
    if settings.RELEVANCE_COSINE is not None:
        return Scale(settings.RELEVANCE_COSINE, settings.RELEVANCE_STEP)
    name = generations.serving().model.name.lower()
    return next((scale for key, scale in SCALES.items() if key in name), None)
