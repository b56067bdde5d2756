"""Which two words are joined by a hyphen, rather than parts of one: in the languages that do so
before a small letter.
"""

import gzip
import json
from collections.abc import Collection
from functools import cache
from importlib.resources import files

MIN_FREQUENCY = 100  # in the dictionaries' own counts; rarer entries are often no words
# Text in a language has one of these, as a rule, and text in others has none.
_MARKERS = {"en": {"the", "of", "and"}, "fr": {"les", "est", "dans", "une"}}
_OTHERS = {"und", "der", "het", "een", "och", "og", "el", "las", "che"}


def is_compound(first: str, second: str, text: Collection[str]) -> bool:
    """Whether "long" and "term" are two words and "longterm" is none; `text` are the words around
    them, by which the language is known. All in small letters.
    """
    languages = [code for code, markers in _MARKERS.items() if not markers.isdisjoint(text)]
    if not _OTHERS.isdisjoint(text):
        return False
    return any(
        _is_word(first, code) and _is_word(second, code) and not _is_known(first + second, code)
        for code in languages
    )


def warm_up() -> None:
    """Read the dictionaries: later no file opens."""
    for language in _MARKERS:
        _words(language)


def _is_word(word: str, language: str) -> bool:
    return _words(language).get(word, 0) >= MIN_FREQUENCY


def _is_known(word: str, language: str) -> bool:
    return word in _words(language)


@cache
def _words(language: str) -> dict[str, int]:
    # Not by SpellChecker, which takes five times as long to count letters that we do not ask for.
    packed = files("spellchecker").joinpath(f"resources/{language}.json.gz").read_bytes()
    words: dict[str, int] = json.loads(gzip.decompress(packed))
    return words
