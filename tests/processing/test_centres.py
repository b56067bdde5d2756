"""What all questions have in common is taken out of each of them."""

import math
from pathlib import Path

import pytest

from benchmarks.retrieval.centres import USUAL
from processing.index import centres, embeddings
from processing.index.centres import centred, commonness
from processing.index.languages import spoken
from processing.index.model import Model

E5 = Model("hosted_vllm/multilingual-e5-small", 384, "query: ", "passage: ")
TANK = "How often is the oil tank inspected?"
CHOIR = "Who sings in the choir on Sundays?"


def test_two_questions_that_have_nothing_to_do_with_each_other_are_not_alike() -> None:
    tank, choir = embeddings.embed([TANK, CHOIR], Model(E5.name, 384, passage_prefix="query: "))
    assert cosine(tank, choir) > 0.75
    assert cosine(centred(tank, TANK, E5), centred(choir, CHOIR, E5)) < 0.5


def test_a_query_is_embedded_without_what_it_has_in_common_with_others() -> None:
    [whole] = embeddings.embed([TANK], Model(E5.name, 384, passage_prefix="query: "))
    found = embeddings.embed_query(TANK, E5)
    assert math.hypot(*found) == pytest.approx(1)
    assert cosine(found, centred(whole, TANK, E5)) > 0.999
    assert cosine(found, whole) < 0.95


def test_the_vectors_of_a_model_of_which_nothing_is_known_stay() -> None:
    for model in (Model("openai/text-embedding-3-small", 3), Model("e5-small-of-mine", 3)):
        assert centred([3.0, 4.0, 0.0], TANK, model) == [3.0, 4.0, 0.0]


def test_how_common_a_question_is_can_be_told_of_a_model_that_is_known() -> None:
    usual, rare = (embeddings.embed_query(text, E5) for text in ("What is it?", "zq17xw"))
    assert commonness(usual, "What is it?", E5) > commonness(rare, "zq17xw", E5) > 0.3
    assert commonness(usual, "What is it?", Model("openai/text-embedding-3-small", 384)) == 0
    assert commonness((), "What is it?", E5) == 0


def test_each_language_has_its_own_centre_and_all_others_have_one_together() -> None:
    vector = [1.0] + [0.0] * 383
    english = centred(vector, TANK, E5)
    assert english != centred(vector, "Wie oft wird der Öltank geprüft?", E5)
    others = centred(vector, "Jak często sprawdza się zbiornik na olej?", E5)
    assert others != english
    assert others == centred(vector, "12345", E5)


def test_the_file_is_made_of_the_questions() -> None:
    known = centres._centres()["e5-small"]
    questions: dict[str, list[str]] = {}
    for line in Path(USUAL).read_text().splitlines():
        language, question = line.split("\t")
        questions.setdefault(language, []).append(question)
    assert set(known) == {*questions, centres.OTHERS}
    found = embeddings.embed(questions["fr"], Model(E5.name, 384, passage_prefix="query: "))
    mean = [sum(numbers) / len(found) for numbers in zip(*found, strict=True)]
    assert cosine(mean, known["fr"]) > 0.9999


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("旧电池可以交到哪里？", "zh"),
        ("何日休暇がありますか", "ja"),
        ("전기는 어디에서 나옵니까", "ko"),
        ("Wo kann man alte Batterien abgeben?", "de"),
        ("12345", ""),
    ],
)
def test_the_language_of_a_question_is_told(text: str, language: str) -> None:
    assert spoken(text) == language


def cosine(one: list[float], other: list[float]) -> float:
    product = sum(a * b for a, b in zip(one, other, strict=True))
    return product / math.hypot(*one) / math.hypot(*other)
