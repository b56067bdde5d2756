"""Two rankings made one."""

from uuid import UUID

from processing.index.vectors import Candidates, Hit
from search.fusion import Fused, fused

A, B, C, D = (UUID(int=n) for n in range(4))


def hits(**scores: float) -> list[Hit]:
    return [Hit({"a": A, "b": B, "c": C, "d": D}[name], score) for name, score in scores.items()]


def order(ranked: list[Fused]) -> list[UUID]:
    return [each.chunk_id for each in ranked]


MEANING = hits(a=0.9, b=0.7, c=0.5, d=0.4)


def test_who_types_what_stands_there_is_served_by_the_words() -> None:
    found = Candidates(MEANING, hits(d=9.0, c=1.0, b=0.9), [{1, 2}])
    assert order(fused(found, [{1: 1.0}, {2: 1.0}]))[0] == D


def test_the_only_passage_that_has_a_rare_word_is_first() -> None:
    """Also when none of the nearest by meaning is that one."""
    nearest = [Hit(UUID(int=n), 0.9 - n / 1000) for n in range(200)]
    rare = [Hit(UUID(int=1000), 9.0)]
    both = [Hit(UUID(int=1000), 9.0), Hit(UUID(int=1001), 9.0)]
    assert order(fused(Candidates(nearest, rare, [{1}]), [{1: 1.0}]))[0] == UUID(int=1000)
    assert order(fused(Candidates(nearest, both, [{1}, {1}]), [{1: 1.0}]))[1] == UUID(int=1001)


def test_a_word_that_may_be_of_several_languages_is_there_with_one_of_its_stems() -> None:
    nearest = [Hit(UUID(int=n), 0.9 - n / 1000) for n in range(200)]
    rare = [Hit(UUID(int=1000), 9.0)]
    word = [{1: 1.0, 2: 1.0, 3: 0.4}]
    assert order(fused(Candidates(nearest, rare, [{1}]), word))[0] == UUID(int=1000)


def test_who_asks_in_words_of_their_own_is_served_by_the_meaning() -> None:
    found = Candidates(MEANING, hits(d=9.0, c=1.0, b=0.9), [{1}])
    assert order(fused(found, [{n: 1.0} for n in range(1, 9)]))[0] == A


def test_one_half_alone_keeps_its_order() -> None:
    assert order(fused(Candidates(MEANING, [], []), [])) == [A, B, C, D]
    assert order(fused(Candidates([], hits(d=3, a=2, b=1), [{1}]), [{1: 1.0}])) == [D, A, B]


def test_nothing_found_is_nothing() -> None:
    assert fused(Candidates([], [], []), [{1: 1.0}]) == []


def test_equal_ones_have_one_order_and_each_half_says_what_it_knows() -> None:
    [first, second] = fused(Candidates(hits(b=0.5, a=0.5), hits(a=2.0, b=2.0), [{1}]), [{1: 1.0}])
    assert (first.chunk_id, second.chunk_id) == (A, B)
    assert (first.cosine, first.bm25) == (0.5, 2.0)
    [only] = fused(Candidates([], hits(c=2.0), [{1}]), [{1: 1.0}])
    assert (only.cosine, only.bm25) == (None, 2.0)
