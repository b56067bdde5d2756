"""Words, stems and weights."""

import subprocess
import sys

import pytest

from processing.index import terms


def stems(text: str) -> list[str]:
    return [term for term, _, _ in terms.terms(text)]


def test_the_forms_of_a_word_share_a_stem() -> None:
    assert len(set(stems("nest nests Nesting NESTED"))) == 1


def test_words_that_say_nothing_do_not_count() -> None:
    assert stems("What is the heron?") == stems("heron")


def test_a_term_knows_where_its_word_stands() -> None:
    text = "Über 3 herons, nesting—quietly."
    assert [text[start:end] for _, start, end in terms.terms(text)] == [
        "Über", "3", "herons", "nesting", "quietly",
    ]  # fmt: skip


def test_a_word_in_another_script_is_a_term_too() -> None:
    assert stems("ЦАПЛЯ и цапля")[0] == stems("цапля")[0]


def test_a_query_weighs_each_of_its_terms_once() -> None:
    assert list(terms.query_weights("heron herons Heron").values()) == [1.0]


def test_a_query_of_stop_words_has_no_weights() -> None:
    assert terms.query_weights("what is this?") == {}


def test_a_query_finds_the_term_of_a_passage_under_the_same_number() -> None:
    assert terms.query_weights("nesting").keys() == terms.passage_weights("nests").keys()


def test_a_word_said_more_often_weighs_more_but_never_twice_as_much() -> None:
    once, often = terms.passage_weights("heron"), terms.passage_weights("heron " * 50)
    [(term, light)], [(_, heavy)] = once.items(), often.items()
    assert light < heavy < 2 * light
    assert often.keys() == {term}


def test_a_word_in_a_long_passage_weighs_less_than_in_a_short_one() -> None:
    [(term, short)] = terms.passage_weights("heron").items()
    long = terms.passage_weights("heron " + " ".join(f"word{n}" for n in range(400)))
    assert long[term] < short


def test_the_numbers_are_the_same_in_every_process() -> None:
    """`hash()` would change with PYTHONHASHSEED, and an index would not be found again."""
    script = "from processing.index import terms; print(terms.query_weights('the heron nests'))"
    printed = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert printed == {str(terms.query_weights("the heron nests"))}
    assert set(terms.query_weights("heron")) == {0x7C824BA9}


@pytest.mark.parametrize("text", ["", " \n", "…—!"])
def test_a_text_without_words_has_no_weights(text: str) -> None:
    assert terms.passage_weights(text) == terms.query_weights(text) == {}
