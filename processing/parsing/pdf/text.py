"""Running text from the lines of a page: hyphens, paragraphs, letters set apart or below each
other; and whether it is text at all.
"""

import itertools
import re
import statistics

from processing.parsing.pdf.dictionary import is_compound
from processing.parsing.pdf.words import HYPHEN, Line, Word

# Above this share of control characters a page's font has no character map: what PDFium returns is
# not its text.
MAX_UNMAPPED_SHARE = 0.1
# Korean, Chinese and Japanese use a few thousand of the characters that Unicode has for them; read
# with a wrong map, they are any.
MAX_RARE_SHARE = 0.3
MIN_RARE = 8
# Of the height of a line; with their space above and below them they have 0.8 and more.
MIN_CJK_WIDTH = 0.62
# A third of any text in Latin letters is vowels; of codes in any letters 0.23, give or take 0.03.
MIN_LETTERS = 200
MIN_VOWELS = 0.12
# So many letters of a page without a map, and it is looked at whether its words are words.
DOUBTFUL_SHARE = 0.5
# Heights of a line: an initial reaches over two at least.
INITIAL_HEIGHT = 1.7

_UNMAPPED = re.compile(r"[\x00-\x08\x0b-\x1f\ufffd\ue000-\uf8ff]")
_HANGUL = re.compile(r"[\uac00-\ud7a3]")
_IDEOGRAPH = re.compile(r"[\u3400-\u9fff]")
_CJK = re.compile(r"[\u3041-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_LATIN_WORD = re.compile(r"[^\W\d_]{3,}")
_VOWEL = re.compile(r"[aeiouyàáâãäåæèéêëìíîïòóôõöøùúûüýąęěőűůı]", re.IGNORECASE)
_SYMBOL_IN_WORD = re.compile(r"\w[^\w\s.,'’\-/:@&()]\w|[a-z][A-Z0-9]")
# Capitals that are no word by themselves.
_INITIALS = set("BCDFGHJKLMNPQRSTUVWXZÄÖÜÇÉÑ")
# A hyphen that stands for the end of several words: "Haupt- und Nebeneingang".
_AND = re.compile(r"(?:und|oder|bzw|sowie|and|or|nor|to|et|ou|en|of|och|og|eller|y|e|o)\b[^-]")


def is_garbled(lines: list[Line], unmapped: float) -> bool:
    """Whether a font without a map to letters, or with a wrong one, made this. `unmapped` is the
    share of letters of which PDFium says that they have none.
    """
    text = " ".join(word.text for line in lines for word in line)
    letters = "".join(text.split())
    if not letters:
        return False
    if len(_UNMAPPED.findall(letters)) > MAX_UNMAPPED_SHARE * len(letters):
        return True
    if (_CJK.search(letters) and _is_narrow(lines)) or _lacks_vowels(letters):
        return True
    hangul = "".join(_HANGUL.findall(letters))
    if len(hangul) >= MIN_RARE and _rare(hangul, "euc_kr") > MAX_RARE_SHARE:
        return True
    ideographs = "".join(_IDEOGRAPH.findall(letters))
    sets = ("gb2312", "big5", "shift_jis", "euc_kr")
    if len(ideographs) >= MIN_RARE and min(_rare(ideographs, one) for one in sets) > MAX_RARE_SHARE:
        return True
    return unmapped > DOUBTFUL_SHARE and not _reads_well(text)


def _is_narrow(lines: list[Line]) -> bool:
    """Whether what would be Chinese, Japanese or Korean is as narrow as other scripts: those are as
    wide as high.
    """
    widths = []
    for word in (word for line in lines for word in line):
        sides = sorted((word.right - word.left, word.height))
        count = len(word.text)
        if len(_CJK.findall(word.text)) > 0.6 * count > 1 and sides[0] > 0:
            widths += [sides[1] / sides[0] / count] * count
    return len(widths) >= MIN_RARE and statistics.median(widths) < MIN_CJK_WIDTH


def _lacks_vowels(letters: str) -> bool:
    """Whether small Latin letters stand for others: there are many, and hardly one is a vowel."""
    small = re.sub(r"[^a-z]", "", letters)
    if len(small) < MIN_LETTERS or len(small) < 0.5 * len(letters):
        return False
    return len(re.findall(r"[aeiouy]", small)) < MIN_VOWELS * len(small)


def _rare(letters: str, charset: str) -> float:
    known = len(letters.encode(charset, "ignore").decode(charset))
    return 1 - known / len(letters)


def _reads_well(text: str) -> bool:
    """Whether most words have a vowel, and hardly one has a sign or a capital inside: of text in
    Latin letters, since only that is left in doubt.
    """
    words = _LATIN_WORD.findall(text)
    if 3 * len(words) < len(text.split()):
        return False
    with_vowel = sum(bool(_VOWEL.search(word)) for word in words)
    return with_vowel >= 0.8 * len(words) and len(_SYMBOL_IN_WORD.findall(text)) <= 0.1 * len(words)


def stacked(lines: list[Line]) -> list[Line]:
    """Letters one below the other are a word that is read downwards."""
    found: list[Line] = []
    column: list[Word] = []
    for line in [*lines, []]:
        word = line[0] if len(line) == 1 and len(line[0].text) == 1 else None
        if word and column and not _is_below(column, word):
            _end_column(column, found)
            column = []
        if word and (word.text.isalpha() or column):
            column.append(word)
            continue
        _end_column(column, found)
        column = []
        if line:
            found.append(line)
    return found


def with_initials(lines: list[Line]) -> list[Line]:
    """A large letter beside the lines of a paragraph begins its first word."""
    found: list[Line] = []
    initial: Word | None = None
    for line in lines:
        if initial and _begins(initial, line[0]):
            text = initial.text + line[0].text
            first = Word(text, initial.left, line[0].bottom, line[0].right, line[0].top)
            found[-1] = [first, *line[1:]]
        else:
            found.append(line)
        initial = line[0] if len(line) == 1 and line[0].text in _INITIALS else None
    return found


def _begins(initial: Word, word: Word) -> bool:
    return (
        word.text[:1].islower()
        and initial.height >= INITIAL_HEIGHT * word.height
        and initial.bottom < word.middle < initial.top
        and -word.height < word.left - initial.right < word.height
    )


def running(lines: list[Line]) -> str:
    """The text of these lines, one below the other; those of a paragraph are joined, so that
    passages can end with sentences.
    """
    texts = [_spaced(line) for line in lines]
    lengths = sorted(map(len, texts))
    full = 0.6 * lengths[int(0.9 * (len(lengths) - 1))] if lengths else 0.0
    vocabulary = set(re.findall(r"[\w-]+", " ".join(texts).casefold()))
    return _unwrapped(texts, full, vocabulary)


def _unwrapped(lines: list[str], full: float, vocabulary: set[str]) -> str:
    """Only where a line of `full` length is followed by a small letter: tables, lists, verses and
    code keep their lines.
    """
    parts = lines[:1]
    for above, line in itertools.pairwise(lines):
        if above.endswith(HYPHEN):
            parts[-1] = parts[-1][:-1] + _join(above[:-1], line, vocabulary)
            parts.append(line)
            continue
        joins = line[:1].islower() and len(above) >= full and above[-1:] not in ".!?:;"
        parts.append((" " if joins else "\n") + line)
    return "".join(parts).replace(HYPHEN, "-")


def _join(above: str, line: str, vocabulary: set[str]) -> str:
    """What stands between the two halves of "docu-mentation" (nothing), "long-term" (a hyphen),
    "main- and side door" (a hyphen and a space).
    """
    follower = line[:1]
    if not follower.islower():
        return "-"
    if _AND.match(line + " "):
        return "- "
    first = re.split(r"[^\w-]", above.casefold())[-1]
    second = re.split(r"[^\w-]", line.casefold(), maxsplit=1)[0]
    if f"{first}-{second}" in vocabulary or "-" in first:
        return "-"
    if first + second in vocabulary:
        return ""
    return "-" if is_compound(first, second.partition("-")[0], vocabulary) else ""


def _spaced(line: Line) -> str:
    """The words with their spaces. Letters that are set apart ("C O N F I R M") are a word."""
    if len(line) >= 5 and sum(len(word.text) == 1 for word in line) >= 0.8 * len(line):
        gaps = [right.left - left.right for left, right in itertools.pairwise(line)]
        usual = statistics.median(gaps)
        if usual > 0 and all(word.text.isalpha() for word in line if len(word.text) == 1):
            spaces = ["", *(" " if gap > 1.6 * usual + 1 else "" for gap in gaps)]
            return "".join(space + word.text for space, word in zip(spaces, line, strict=True))
    return " ".join(word.text for word in line)


def _is_below(column: list[Word], word: Word) -> bool:
    above = column[-1]
    step = above.middle - word.middle
    usual = column[0].middle - column[1].middle if len(column) > 1 else 1.6 * above.height
    centre = (above.left + above.right) / 2 - (word.left + word.right) / 2
    return 0 < step <= 1.4 * usual and abs(centre) < 0.6 * above.height


def _end_column(column: list[Word], found: list[Line]) -> None:
    if len(column) < 3:
        found += [[word] for word in column]
        return
    text = "".join(word.text for word in column)
    first, last = column[0], column[-1]
    found.append([Word(text, first.left, last.bottom, first.right, first.top)])
