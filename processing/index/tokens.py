"""How many tokens of the embedding model a text has: what it does not read, nobody finds.

The service is asked where it can be (`EMBEDDING_TOKENIZE_URL`, as vLLM and the embedded server have
it); else the tokens are estimated by script, rather too many than too few.
"""

import math
import re
import unicodedata
from functools import cache

import httpx
from django.conf import settings

from documents.deadlines import within
from processing.errors import RetryableError, ServiceUnavailable, http_reason

ENDS = 3  # what a model adds before and after a text, and may add before its first word
CONTEXT_SHARE = 0.25  # of what the model reads, at most, is for a passage's heading and context

# No vowel among the first 5, a digit beside it, or capitals within it: a code.
_NATURAL = r"(?<![A-Za-z\d])(?=[A-Za-z]{0,4}[AEIOUYaeiouy])[A-Za-z][a-z]{0,23}(?![A-Za-z\d])"
_PARTS = re.compile(
    rf"(?P<word>{_NATURAL})|(?P<space>\s+(?=[A-Za-z]))|\s+|(?P<hangul>[\uac00-\ud7a3])|.",
    re.ASCII | re.DOTALL,
)
SHORT = 1.25  # times as many as estimated may there be, of codes and signs
LETTERS = 2.5  # of a word for one token, at least, in 47 languages and both models of deploy/local


def passage_fits(around: str, text: str) -> bool:
    """Whether the model reads the passage, below its heading and context, to its end.

    Raises ServiceUnavailable, RetryableError.
    """
    whole = settings.EMBEDDING_PASSAGE_PREFIX + in_context(around, text)
    if _at_most(whole) <= settings.EMBEDDING_MAX_TOKENS:
        return True  # most texts of European languages need no question
    url = settings.EMBEDDING_TOKENIZE_URL
    count = _ask(url, whole) if url else estimate(whole)
    return count <= settings.EMBEDDING_MAX_TOKENS


def in_context(around: str, text: str) -> str:
    """What is embedded: the passage below its heading and context, without the end of these where
    they are too long.
    """
    while around and estimate(around) > settings.EMBEDDING_MAX_TOKENS * CONTEXT_SHARE:
        around = around[: len(around) * 3 // 4]
    return f"{around}\n{text}" if around else text


def estimate(text: str) -> int:
    """The tokens of a text in any script: one for 2.5 letters of a plain word, 3 for a syllable of
    Korean, and else one a character: digits, signs, whatever is not ASCII. Models that know a
    language need fewer; MiniLM, which knows only English, needs about so many for all others.
    """
    count = ENDS
    for part in _PARTS.finditer(unicodedata.normalize("NFKC", text)):
        if part.lastgroup == "word":
            count += math.ceil(len(part[0]) / LETTERS)
        elif part.lastgroup != "space":
            count += 3 if part.lastgroup == "hangul" else 1
    return count


def _at_most(text: str) -> float:
    """Tokens of any model: not more than bytes, nor, where the words are ASCII, than estimated."""
    normal = unicodedata.normalize("NFKC", text)
    size = len(normal.encode(errors="replace"))
    return min(size + ENDS, SHORT * (estimate(normal) + size - len(normal)))


def _ask(url: str, text: str) -> int:
    key = settings.EMBEDDING_API_KEY
    try:
        with within(settings.EMBEDDING_TIMEOUT):
            response = _client().post(
                url,
                json={"model": settings.EMBEDDING_MODEL.split("/", 1)[-1], "prompt": text},
                headers={"Authorization": f"Bearer {key}"} if key else {},
                timeout=settings.EMBEDDING_TIMEOUT,  # for one read
            )
    except httpx.TimeoutException as error:
        raise ServiceUnavailable("embedding", "no answer in time") from error
    except httpx.HTTPError as error:
        raise ServiceUnavailable("embedding", "no connection") from error
    if response.status_code != 200:
        raise ServiceUnavailable("embedding", http_reason(response.status_code))
    try:
        return int(response.json()["count"])
    except (ValueError, KeyError, TypeError) as error:
        raise RetryableError(
            "bad_token_count", "The embedding service did not say how long the text is."
        ) from error


@cache
def _client() -> httpx.Client:
    return httpx.Client(timeout=settings.EMBEDDING_TIMEOUT)
