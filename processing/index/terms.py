"""Words and their stems: the BM25 half of the index, and which words of a passage a query hits."""

import re
import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

import snowballstemmer

# Chinese, Japanese and Korean are written without spaces: there each character is a word.
UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+")

# Robertson's BM25 with the usual constants. The average length is a constant too, in words of a
# passage of CHUNK_MAX_CHARS: a true average would change every stored weight with every upload.
K1 = 1.2
B = 0.75
AVERAGE_WORDS = 150

# Words of questions that say nothing of the answer (their rarity in a small collection misleads).
STOP_WORDS = frozenset(
    """
    a an and are as at be been by can did do does for from had has have how i if in into is it its
    me my of on or our should so than that the their them then there these they this to was we
    were what when where which who whom whose why will with would you your
    """.split()  # noqa: SIM905 (a list of words is read more easily than a list of strings)
)

_stemmer = snowballstemmer.stemmer("english")
_lock = threading.Lock()  # a stemmer keeps the word that it works on in itself


def terms(text: str) -> Iterator[tuple[str, int, int]]:
    """Each word of the text that counts, as its stem and its character range."""
    for word in WORD.finditer(text):
        folded = word.group().casefold()
        if folded not in STOP_WORDS:
            yield _stem(folded), word.start(), word.end()


def passage_weights(text: str) -> dict[int, float]:
    """A passage's sparse vector: BM25's frequency part; Qdrant multiplies by the rarity (IDF)."""
    counts = Counter(term for term, _, _ in terms(text))
    length = K1 * (1 - B + B * counts.total() / AVERAGE_WORDS)
    return {_index(term): n * (K1 + 1) / (n + length) for term, n in counts.items()}


def query_weights(text: str) -> dict[int, float]:
    """A query's sparse vector: each of its terms once."""
    return {_index(term): 1.0 for term, _, _ in terms(text)}


@lru_cache(maxsize=100_000)
def _stem(word: str) -> str:
    with _lock:
        return str(_stemmer.stemWord(word))


def _index(term: str) -> int:
    """The same number in every process for ever; two terms in 4 billion share one."""
    return zlib.crc32(term.encode())
