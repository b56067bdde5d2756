"""Text cut into words, and each word made the same however it is written.

Case, width, ligatures, decomposed letters (macOS), traditional or simplified characters, the script
of digits, accents, points and vowel signs that may be left out (Arabic, Hebrew), the Arabic tatweel
and characters without a width make no difference. Marks that a word cannot be read without (Indic
vowels, й) stay. Ranges are of the text as it stands.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import regex

# Scripts that put no space between words; Korean does, but its particles hang on to the words.
UNSPACED = (
    r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
    r"\u30fc\uff70\uff9e\uff9f"
)
IGNORED = (
    r"\u00ad\u034f\u061c\u0640\u115f\u1160\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    r"\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e01ef"
)
HYPHENS = r"\-\u2010\u2011\u2012\ufe63\uff0d"

_SOLID = rf"[[{UNSPACED}]--\p{{Nd}}]"
_APOSTROPHES = r"\u02b9-\u02bf"  # letters to Unicode; o'zbek is written with any of them
_SQUARES = r"\u3371-\u337a\u3380-\u33df\u33ff"  # units in one sign: ㎡ ㎏
_LETTERS = rf"\p{{L}}\p{{N}}{_SQUARES}"
_LETTER = rf"[[{_LETTERS}]--[{_SOLID}{_APOSTROPHES}{IGNORED}]]"
_WORD = rf"{_LETTER}[[{_LETTERS}\p{{M}}{IGNORED}]--[{_SOLID}{_APOSTROPHES}]]*"
# What joins words to one thing: INV-2024-00317, v1.2.3, a.b@example.com, 1'234.56, 12:30, R&D,
# a+b@example.com, 2001:db8::1, 00:1A:2B:3C:4D:5E
_HEX = r"(?<![\p{L}\p{N}])[0-9A-Fa-f]{1,4}"
_JOINT = (
    rf"(?:[{HYPHENS}_@./\\\uff20\uff0e]|(?<=\p{{Nd}})[,:'’](?=\p{{Nd}})|(?<=\p{{L}})&(?=\p{{L}})"
    rf"|\+(?=[\p{{L}}\p{{N}}._\-]+@)|(?<={_HEX})::?(?=[0-9A-Fa-f]{{1,4}}(?![\p{{L}}\p{{N}}])))"
)
# Numbers in groups: DE89 3704 0044 0532 0130 00, 0800 555 0199, 1 234,56.
_SPACE = r"[ \u00a0\u2009\u202f]"
_GROUPS = (
    rf"(?:[A-Za-z]{{2}}\p{{Nd}}{{2}}(?:{_SPACE}[A-Z\p{{Nd}}]{{4}}){{2,7}}(?:{_SPACE}[A-Z\p{{Nd}}]{{1,3}})?"
    rf"|\p{{Nd}}{{1,5}}(?:{_SPACE}\p{{Nd}}{{2,4}}){{2,7}}"
    rf"|\p{{Nd}}{{1,3}}{_SPACE}\p{{Nd}}{{3}}(?:[.,]\p{{Nd}}+)?)(?!{_LETTER})"
)
_RUN = regex.compile(
    rf"(?P<unspaced>{_SOLID}[{_SOLID}\p{{M}}{IGNORED}]*)"
    rf"|(?P<joined>(?:{_GROUPS}|{_WORD}(?:{_JOINT}{_WORD})*)(?:\+\+|\+(?!{_LETTER})|#{{1,2}}|(?<=\p{{Nd}}){_SPACE}?%)?)"
    rf"|(?P<section>§+)[ \u00a0\u202f]*(?P<number>\p{{Nd}}+\p{{L}}?)(?!{_LETTER})",
    regex.V1,
)
_PART = regex.compile(_WORD, regex.V1)
_CLUSTER = regex.compile(r"\X")
_DIGIT = regex.compile(r"\p{Nd}")
_IGNORED = regex.compile(rf"[{IGNORED}]")
# After NFD: what may be left out. Only stress and the two dots of ё in Cyrillic: й is not и.
_ACCENTS = regex.compile(
    r"(?<=[\p{Latin}\p{Greek}\p{Arabic}\p{Hebrew}]\p{M}*)\p{M}+"
    r"|(?<=\p{Cyrillic}\p{M}*)[\u0300\u0301\u0308]|\u093c"  # and the dot of Hindi's क़ ज़ फ़
)
_STROKES = str.maketrans(
    {"ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i", "ħ": "h"}
    # The same letter on another keyboard: Arabic's and Persian's; one nasal sign for the other.
    | {"ي": "ی", "ى": "ی", "ك": "ک", "ة": "ه", "ٱ": "ا", "ہ": "ه", "ґ": "г", "ँ": "ं"}
)
SIMPLIFIED = Path(__file__).with_name("simplified.txt")


@dataclass(frozen=True, slots=True)
class Run:
    """What stands between two spaces: `parts` are its words, or the characters of one that is
    written without spaces (`unspaced`). `suffix` is that of C++ and of 15 %, or the § before a
    number.
    """

    start: int
    end: int
    parts: list[tuple[str, int, int]]  # as they are written, with their ranges
    unspaced: bool = False
    suffix: str = ""


def runs(text: str) -> Iterator[Run]:
    """All of them, in order."""
    for found in _RUN.finditer(text):
        start, end = found.span()
        if found["unspaced"]:
            clusters = _CLUSTER.finditer(text, start, end)
            parts = [(c.group(), c.start(), c.end()) for c in clusters if bare(c.group())]
            yield Run(start, end, parts, unspaced=True)
        elif found["section"]:
            yield Run(start, end, [(found["number"], *found.span("number"))], suffix="§")
        else:
            parts = [(p.group(), p.start(), p.end()) for p in _PART.finditer(text, start, end)]
            yield Run(start, end, parts, suffix=text[parts[-1][2] : end].strip())


@lru_cache(maxsize=100_000)
def fold(word: str) -> str:
    """The word in one case, width and form, its accents kept: what a stemmer wants."""
    if word.isascii():
        return word.lower()
    word = unicodedata.normalize("NFKC", _IGNORED.sub("", word))
    word = _DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0], digit[0])), word)
    return unicodedata.normalize("NFKC", word.casefold())


@lru_cache(maxsize=100_000)
def bare(word: str) -> str:
    """The folded word without its accents."""
    word = fold(word)
    if word.isascii():
        return word
    stripped = _ACCENTS.sub("", unicodedata.normalize("NFD", word))
    return unicodedata.normalize("NFC", stripped).translate(_letters())


@cache
def _letters() -> dict[int, str]:
    """What each letter is written as that is no other letter's accented form."""
    lines = SIMPLIFIED.read_text(encoding="utf-8").splitlines()
    pairs = [pair for line in lines if not line.startswith("#") for pair in line.split()]
    return {ord(pair[0]): pair[1] for pair in pairs} | _STROKES
