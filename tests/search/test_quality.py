"""Search gets no worse unseen: a small part of benchmarks/retrieval, as ratios."""

import pytest

from benchmarks.retrieval.measure import found, put, ranked
from benchmarks.retrieval.questions import Collection, collection, spellings

pytestmark = pytest.mark.django_db

ANSWERS = 24  # of the handbook: the first, so that half of a minute is enough


@pytest.fixture(scope="module")
def english() -> Collection:
    whole = collection("en")
    questions = [question for question in whole.questions if question.answer < ANSWERS]
    return Collection(whole.language, whole.passages[:ANSWERS], questions)


def test_both_halves_find_more_than_each_alone(english: Collection) -> None:
    put(english, 1)
    seen = [found(question, 1) for question in english.questions]
    ranks = ranked(english, english.questions, seen)
    alone = max(ranks["words"].hits(1), ranks["meaning"].hits(1))
    assert ranks["both"].hits(1) >= alone
    assert ranks["both"].ndcg() >= max(ranks["words"].ndcg(), ranks["meaning"].ndcg())
    assert ranks["both"].hits(1) >= 0.9


def test_what_is_spelled_in_another_way_is_found_first() -> None:
    collection = spellings()
    put(collection, 1)
    seen = [found(question, 1) for question in collection.questions]
    ranks = ranked(collection, collection.questions, seen)
    assert ranks["words"].hits(1) >= 0.95
    assert ranks["both"].hits(1) >= 0.95
