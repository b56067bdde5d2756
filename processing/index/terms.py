"""The terms of texts and queries: the BM25 half of the index, and what a hit has of a query.

A word is indexed as its stem in its passage's language and as it is written; a query asks for its
stems in the languages that it may be of. So a passage answers under one stem of them, its own.
"""

import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain, islice, pairwise

import regex

from .folding import Run, bare, fold, runs
from .languages import guessed_stems, language_of, languages_of_query, stem
from .stopwords import STOP_PAIRS, STOP_WORDS

VERSION = 5
"""Other terms than before: what was indexed under another number is to be indexed again."""

# Robertson's BM25 with the usual constants. The average length is a constant too, in words (or
# pairs of characters) of a passage: a true average would change every weight with every upload.
K1 = 1.2
B = 0.75
AVERAGE_WORDS = 100
AVERAGE_PAIRS = 250

FORM = 0.4  # a query's word as it is written, beside its stems; and stems that are guessed
PART = 0.4  # a part of an identifier, beside the whole
MOST_OF_CHAINS = 1.2  # what pieces and parts of one that follow each other weigh together
SINGLE = 0.2  # a character of a word that is written without spaces, beside its pairs
OPERATORS = {"and", "or", "not"}
MOST_PIECES = 12  # of one identifier: a longer one (a path, a DNA) has only its words
MOST_TERMS = 200  # of a query: so many different ones, the first of them

# What a tsvector holds: https://www.postgresql.org/docs/current/textsearch-limitations.html
MOST_PLACES = 16_383
MOST_PLACES_EACH = 255
MOST_BYTES = 2046

_DIGIT = regex.compile(r"\p{N}")
_LETTERS_OR_DIGITS = regex.compile(r"\p{N}+|[^\p{N}]+")
_HUMPS = regex.compile(r"(?<=\p{Ll})(?=\p{Lu})|(?<=\p{Lu})(?=\p{Lu}\p{Ll})", regex.V1)

Term = tuple[str, int, int]


def terms(text: str, language: str | None = None) -> Iterator[Term]:
    """Each term under which the text is indexed, with its character range; ranges may overlap."""
    yield from _terms(runs(text), language_of(text) if language is None else language)


def passage_weights(text: str, context: str = "", language: str | None = None) -> dict[int, float]:
    """A passage's sparse vector: BM25's frequency part; Qdrant multiplies by the rarity (IDF).

    `context` is what is known of the passage beside its text: it is found under these words too.
    """
    language = language_of(text) if language is None else language
    found = list(runs(text))
    counts = Counter(term for term, _, _ in _terms(chain(found, runs(context)), language))
    length = K1 * (1 - B + B * _length(found))
    return {_index(term): n * (K1 + 1) / (n + length) for term, n in counts.items()}


def query_weights(text: str) -> dict[int, float]:
    """A query's sparse vector: a word that is said twice weighs twice."""
    return {_index(term): weight for term, weight in weighted(text).items()}


def asked(text: str) -> list[dict[int, float]]:
    """What a query asks for, one after the other, each by the terms any of which is it: a word by
    its stems, of which a passage has that of its own language only.
    """
    return [
        {_index(term): weight for term, weight in each.items()} for each in _asked(text, SINGLE)
    ]


def present(text: str, language: str | None = None) -> set[int]:
    """The terms that stand in a text, as `asked` has them."""
    return {_index(term) for term, _, _ in terms(text, language)}


def share(asked: Sequence[Mapping[int, float]], there: AbstractSet[int]) -> float:
    """How much of what is asked for is there, from 0 to 1."""
    weights = [max(word.values()) for word in asked]
    found = (w for word, w in zip(asked, weights, strict=True) if not there.isdisjoint(word))
    return sum(found) / sum(weights) if weights else 0.0


def weighted(text: str, single: float = SINGLE) -> dict[str, float]:
    """The terms of a query, and how much each weighs; `single`: see SINGLE."""
    weights: dict[str, float] = defaultdict(float)
    for each in _asked(text, single):
        for term, weight in each.items():
            weights[term] += weight
    return dict(list(weights.items())[:MOST_TERMS])


def marked(text: str) -> set[str]:
    """The terms of a query that a reader is shown: no character of a longer word alone."""
    return set(weighted(text, single=0.0))


def lexemes(text: str) -> list[str]:
    """The words as they are written, one after the other: what an exact phrase is compared with."""
    return [word for word, _, _, _ in _written(text)]


def standing(phrase: str, text: str) -> Iterator[tuple[int, int]]:
    """Where the phrase stands in the text, its words of no meaning of their own included."""
    wanted = [signed for _, signed, _, _ in _written(phrase)]
    words = list(_written(text))
    for first in range(len(words) - len(wanted) + 1) if wanted else ():
        there = words[first : first + len(wanted)]
        if all(each in word[:2] for each, word in zip(wanted, there, strict=True)):
            yield there[0][2], there[-1][3]


def tsvector(text: str) -> str:
    """The lexemes as PostgreSQL's text search takes them, each with its place; those with a sign
    (C++, § 12) without it, too.
    """
    places: dict[str, list[int]] = {}
    for place, (word, signed, _, _) in enumerate(islice(_written(text), MOST_PLACES), start=1):
        for lexeme in {word, signed}:
            places.setdefault(lexeme, []).append(place)
    return " ".join(
        f"{_quoted(lexeme)}:{','.join(map(str, at[:MOST_PLACES_EACH]))}"
        for lexeme, at in places.items()
    )


def tsquery(phrase: str) -> str:
    """What a `tsvector` is asked whether the phrase stands in it; empty when it has no words.

    Where a letter and a digit meet there may be a space or none: 5 kg, 5kg, HX-4471-K9, HX4471K9.
    """
    words = list(_written(phrase))
    written = [signed for _, signed, _, _ in words]
    ways = [written]
    numbers = sum(bool(_DIGIT.search(word)) for word in written)
    if numbers:
        ways.append([piece for word, signed, _, _ in words for piece in _divided(word, signed)])
    if numbers and (len(list(runs(phrase))) == 1 or (len(written), numbers) == (2, 1)):
        ways.append(["".join(written)])
    return " | ".join(dict.fromkeys(" <-> ".join(map(_quoted, way)) for way in ways if way))


def _written(text: str) -> Iterator[tuple[str, str, int, int]]:
    """(word, the same with its sign if it has one, start, end) of each."""
    for run in runs(text):
        for part, start, end in run.parts:
            word = bare(part)
            if run.suffix and end == run.parts[-1][2]:
                is_before = run.suffix == "§"
                yield word, _signed(run), run.start if is_before else start, run.end
            else:
                yield word, word, start, end


def _divided(word: str, signed: str) -> list[str]:
    return _LETTERS_OR_DIGITS.findall(word) if word == signed else [signed]


def _quoted(lexeme: str) -> str:
    escaped = lexeme[: MOST_BYTES // 4].replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _terms(found: Iterable[Run], language: str) -> Iterator[Term]:
    for run in found:
        if run.unspaced:
            yield from _pairs(run)
            yield from ((bare(part), start, end) for part, start, end in run.parts)
            continue
        for part, start, end in run.parts:
            form = bare(part)
            yield form, start, end
            if (stemmed := bare(stem(fold(part), language))) != form:
                yield stemmed, start, end
        yield from _compounds(run)


def _asked(text: str, single: float) -> list[dict[str, float]]:
    languages = languages_of_query(text)
    found = list(runs(text))
    stop_words = STOP_WORDS.get(languages[0] if languages else "", frozenset())
    if not text.isupper():
        stop_words -= _acronyms(found)
    words = list(_words(found, languages, stop_words, single))
    # Of such words only: then they count.
    return words or list(_words(found, languages, frozenset(), single))


def _acronyms(found: Iterable[Run]) -> set[str]:
    """IT and US are no stop words. AND, OR and NOT are typed as operators, which we have not."""
    parts = (part for run in found for part, _, _ in run.parts)
    return {bare(part) for part in parts if len(part) > 1 and part.isupper()} - OPERATORS


def _words(
    found: Sequence[Run], languages: Iterable[str], stop_words: frozenset[str], single: float
) -> Iterator[dict[str, float]]:
    is_alone = sum(len(run.parts) for run in found) == 1
    for run in found:
        if run.unspaced:
            characters = [bare(part) for part, _, _ in run.parts]
            pairs = [term for term, _, _ in _pairs(run)]
            for pair in pairs or characters:
                if not stop_words or pair not in STOP_PAIRS:
                    yield {pair: 1.0}
            if pairs and single:
                yield from ({character: single} for character in characters)
            continue
        compounds = list(dict.fromkeys(term for term, _, _ in _compounds(run)))
        if len(run.parts) == 1 and not run.suffix and run.parts[0][0].isalpha():
            compounds = []  # maxRetryCount is one word to who asks for it
        whole = compounds[:1]
        yield from ({term: 1.0} for term in whole)
        for term in compounds[1:]:
            yield {term: min(PART, MOST_OF_CHAINS / len(compounds[1:]))}
        share = PART if whole and _DIGIT.search(whole[0]) else 1.0
        for part, _, _ in run.parts:
            form = bare(part)
            if form in whole or (form in stop_words and not run.suffix):
                continue
            stems = {bare(stem(fold(part), language)) for language in languages} or {form}
            less = {form} | (set(map(bare, guessed_stems(fold(part)))) if is_alone else set())
            yield dict.fromkeys(sorted(stems), share) | dict.fromkeys(
                sorted(less - stems), share * FORM
            )


def _pairs(run: Run) -> Iterator[Term]:
    """Chinese is found by pairs of characters: single ones stand in every passage."""
    for (first, start, _), (second, _, end) in pairwise(run.parts):
        yield bare(first) + bare(second), start, end


def _compounds(run: Run) -> Iterator[Term]:
    """Things that are written in several ways, as one term each: the whole first, then its pieces
    and two and three of them that follow each other. INV-2024-00317, INV2024, v1.2.3, 3.5kg,
    DE89 3704 0044, e-mail, maxRetryCount, C++, § 12.
    """
    if run.suffix:
        yield _signed(run), run.start, run.end
    parts = [(bare(part), start, end) for part, start, end in run.parts]
    pieces = [
        (piece, start, end)
        for part in run.parts
        for hump, start, end in _humps(*part)
        for piece in _LETTERS_OR_DIGITS.findall(bare(hump))
    ]
    if len(pieces) > MOST_PIECES:
        pieces = parts
    if not 1 < len(pieces) <= MOST_PIECES:
        return
    yield "".join(piece for piece, _, _ in pieces), parts[0][1], parts[-1][2]
    words = {part for part, _, _ in parts}
    for size in (1, 2, 3):
        for first in range(len(pieces) - size + 1) if size < len(pieces) else ():
            chain = pieces[first : first + size]
            term = "".join(piece for piece, _, _ in chain)
            if term not in words:  # a part is a term already
                yield term, chain[0][1], chain[-1][2]


def _humps(part: str, start: int, end: int) -> Iterator[tuple[str, int, int]]:
    """max, Retry and Count of maxRetryCount. JavaScript and McDonald are words."""
    borders = [0, *(found.start() for found in _HUMPS.finditer(part)), end - start]
    if len(borders) < 4 and not part[:2].islower():
        borders = [0, end - start]
    for first, last in pairwise(borders):
        yield part[first:last], start + first, start + last


def _signed(run: Run) -> str:
    word = bare(run.parts[-1][0])
    return f"§{word}" if run.suffix == "§" else word + run.suffix


def _length(found: Iterable[Run]) -> float:
    """How long a text is, beside an average one."""
    return sum(len(run.parts) / (AVERAGE_PAIRS if run.unspaced else AVERAGE_WORDS) for run in found)


def _index(term: str) -> int:
    """The same number in every process for ever; two terms in 4 billion share one."""
    return zlib.crc32(term.encode())
