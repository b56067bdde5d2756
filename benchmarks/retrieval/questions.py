"""The collections and their questions."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from processing.index.folding import bare, runs
from processing.index.stopwords import STOP_WORDS

FOLDER = Path(__file__).parent / "collections"
SPELLINGS = Path(__file__).parent / "spellings.tsv"
LANGUAGES = sorted(file.stem for file in FOLDER.glob("*.tsv"))
HANDBOOK = 50  # the first passages of each collection; the others are of the declaration
REMEMBERED = 3  # words


@dataclass(frozen=True, slots=True)
class Question:
    text: str
    kind: str  # "asked" in words of one's own, or "remembered"
    answer: int  # the passage's place in its collection


@dataclass(frozen=True, slots=True)
class Collection:
    language: str
    passages: list[str]
    questions: list[Question]


def collection(language: str) -> Collection:
    lines = (FOLDER / f"{language}.tsv").read_text().splitlines()
    rows = [line.split("\t") for line in lines]
    passages = [passage for _, passage, _ in rows]
    asked = [Question(question, "asked", n) for n, (_, _, question) in enumerate(rows)]
    dice = random.Random(language)
    remembered = [
        Question(_remembered(passage, language, dice), "remembered", n)
        for n, passage in enumerate(passages)
    ]
    return Collection(language, passages, asked + remembered)


def spellings() -> Collection:
    """Identifiers and words, and another way to write each of them."""
    rows = [line.split("\t") for line in SPELLINGS.read_text().splitlines()]
    questions = [Question(query, "spelled", n) for n, (_, query) in enumerate(rows)]
    return Collection("spellings", [passage for passage, _ in rows], questions)


def _remembered(passage: str, language: str, dice: random.Random) -> str:
    words = list(dict.fromkeys(_words(passage, STOP_WORDS.get(language, frozenset()))))
    return " ".join(dice.sample(words, min(REMEMBERED, len(words))))


def _words(passage: str, stop_words: frozenset[str]) -> Iterator[str]:
    for run in runs(passage):
        written = [part for part, _, _ in run.parts]
        if run.unspaced:
            yield from ("".join(written[n : n + 2]) for n in range(0, len(written) - 1, 2))
        else:
            yield from (word for word in written if len(word) > 2 and bare(word) not in stop_words)
