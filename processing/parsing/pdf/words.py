"""The words of a PDF page as PDFium finds them, and where each of them stands."""

import ctypes
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pypdfium2 as pdfium
import pypdfium2.raw as raw

# PDFium's marks for a hyphen at a line's end; it leaves out the line's end itself.
HYPHEN = "\x02"
_HYPHENS = "\x02\ufffe"
_EXPONENT = re.compile(r"[+\u2212-]?\d{1,3}")  # as `drawing` has it, which needs this package
_NUMBER = re.compile(r"\d[+\u2212-]?\d{1,3}\Z")
_TOKEN = re.compile(rf"\r\n|[\r\n]|[^\s{_HYPHENS}]+[{_HYPHENS}]?|[{_HYPHENS}]")
# A word that is drawn again within this share of its height shows as one (bold, or a shadow).
AGAIN = 0.25
# Of a word's height: the most white within a word, and between two of a line.
WITHIN, BETWEEN = 0.1, 0.6
SMALLEST = 0.4  # of the height of the letters beside it: a raised one; an initial has less
RAISED = 0.85  # heights of the letter before: no raised one is higher
ROW_STEP = 1.3  # heights of a letter: letters written downwards stand nearer


@dataclass(slots=True)
class Word:
    """Some letters on the page, in points from its lower left corner as it is shown upright; `at`
    is PDFium's number of the first one, where PDFium has found them.
    """

    text: str
    left: float
    bottom: float
    right: float
    top: float
    at: int | None = None

    @property
    def height(self) -> float:
        return self.top - self.bottom

    @property
    def middle(self) -> float:
        return (self.bottom + self.top) / 2


Line = list[Word]


@dataclass(slots=True)
class Words:
    """`lines` in the order of the file, `unmapped` the share of letters without a map, `turn` the
    quarter turns, clockwise, that made most of the text upright.
    """

    lines: list[Line]
    unmapped: float
    turn: int


def words_of(page: pdfium.PdfPage) -> Words:
    """What stands on the page's own area, each thing once."""
    textpage = page.get_textpage()
    try:
        text = _text(textpage)
        turn = _turn(textpage, text)
        lines = _lines(textpage, text, turn, page.get_bbox())
        return Words(_whole(_once(lines)), _unmapped(textpage, text), turn)
    finally:
        textpage.close()


def letters_of(page: pdfium.PdfPage, words: Iterable[Word], turn: int) -> Iterator[Word]:
    """Each letter of the words of a page with a box of its own; `turn` is the page's."""
    box = raw.FS_RECTF()
    place = ctypes.byref(box)
    textpage = page.get_textpage()
    try:
        for word in words:
            if word.at is None:
                yield from parts_of(word)
                continue
            for at, letter in enumerate(word.text, word.at):
                raw.FPDFText_GetLooseCharBox(textpage, at, place)
                sides = _turned(turn, box.left, box.bottom, box.right, box.top)
                yield Word(letter, *sides, at)
    finally:
        textpage.close()


def parts_of(word: Word) -> Iterator[Word]:
    """Its letters, each with its share of the word's box, along the longer side."""
    wide, high = word.right - word.left, word.height
    count = len(word.text)
    for n, letter in enumerate(word.text):
        left, bottom, right, top = word.left, word.bottom, word.right, word.top
        if wide >= high:
            left, right = word.left + wide * n / count, word.left + wide * (n + 1) / count
        else:
            bottom, top = word.top - high * (n + 1) / count, word.top - high * n / count
        yield Word(letter, left, bottom, right, top)


def unturned(turn: int, x: float, y: float) -> tuple[float, float]:
    """The point of the page itself that is here when it is upright."""
    return ((x, y), (-y, x), (-x, -y), (y, -x))[turn]


def _text(textpage: pdfium.PdfTextPage) -> str:
    """One character for each of PDFium's."""
    count = textpage.count_chars()
    text: str = textpage.get_text_range() if count else ""
    if len(text) == count:
        return text
    get = raw.FPDFText_GetUnicode
    return "".join(chr(code) if code < 0x110000 else "\ufffd" for code in _codes(get, textpage))


def _codes(get: object, textpage: pdfium.PdfTextPage) -> Iterator[int]:
    for index in range(textpage.count_chars()):
        yield get(textpage, index)  # type: ignore[operator]


def _lines(
    textpage: pdfium.PdfTextPage, text: str, turn: int, area: tuple[float, float, float, float]
) -> list[Line]:
    box = raw.FS_RECTF()
    place = ctypes.byref(box)
    lines: list[Line] = [[]]
    for token in _TOKEN.finditer(text):
        if token[0] in "\r\n":
            lines.append([])
            continue
        first, last = token.start(), token.end() - 1
        raw.FPDFText_GetLooseCharBox(textpage, first, place)
        left, bottom, right, top = box.left, box.bottom, box.right, box.top
        if last > first:
            raw.FPDFText_GetLooseCharBox(textpage, last, place)
            if turn == 0 and _are_below(token[0], bottom, top - bottom, box, textpage, first):
                lines += [*_each(textpage, token[0], first), []]
                continue
            left, bottom = min(left, box.left), min(bottom, box.bottom)
            right, top = max(right, box.right), max(top, box.top)
        if not (left < area[2] and right > area[0] and bottom < area[3] and top > area[1]):
            continue  # never seen: some programs label images so
        ends = token[0][-1] in _HYPHENS
        word = token[0][:-1] + HYPHEN if ends else token[0]
        sides = _turned(turn, left, bottom, right, top)
        if turn == 0 and (power := _power(textpage, word, first)):
            lines[-1].append(Word(f"{word[:power]}^{word[power:]}", *sides))
            continue
        lines[-1].append(Word(word, *sides, first))
        if ends:
            lines.append([])
    return [line for line in lines if line]


def _power(textpage: pdfium.PdfTextPage, text: str, first: int) -> int:
    """Where in this word a raised number begins that stands behind a number, and would be more of
    its digits; 0 for nowhere.
    """
    end = len(text.rstrip(").,;:"))
    if not _NUMBER.search(text, 0, end):
        return 0
    box = raw.FS_RECTF()

    def at(place: int) -> tuple[float, float]:
        raw.FPDFText_GetLooseCharBox(textpage, first + place, ctypes.byref(box))
        return box.bottom, box.top - box.bottom

    bottom, height = at(end - 1)
    begin = end - 1
    while begin and at(begin - 1)[1] <= height / RAISED:
        begin -= 1
    if not (begin and text[begin - 1].isdigit() and _EXPONENT.fullmatch(text, begin, end)):
        return 0
    return begin if bottom > at(begin - 1)[0] else 0


def _are_below(
    text: str,
    bottom: float,
    height: float,
    last: raw.FS_RECTF,
    textpage: pdfium.PdfTextPage,
    first: int,
) -> bool:
    """Whether a column's cells of one letter each were taken for a word that is written downwards:
    upright digits, and letters at the distance of rows. `bottom` is the first one's.
    """
    step = abs(bottom - last.bottom) / (len(text) - 1)
    if step < 0.8 * height or not (text.isascii() and text.isalnum()):
        return False
    is_far = step > ROW_STEP * height
    return (is_far or text.isdecimal()) and raw.FPDFText_GetCharAngle(textpage, first) == 0


def _each(textpage: pdfium.PdfTextPage, text: str, first: int) -> Iterator[Line]:
    box = raw.FS_RECTF()
    for at, letter in enumerate(text, first):
        raw.FPDFText_GetLooseCharBox(textpage, at, ctypes.byref(box))
        yield [Word(letter, box.left, box.bottom, box.right, box.top, at)]


def _turn(textpage: pdfium.PdfTextPage, text: str) -> int:
    """The quarter turns, clockwise, that make most of the text upright."""
    turns = [0, 0, 0, 0]
    for index in range(len(text) // 20, len(text), len(text) // 10 + 1):
        if text[index].isspace():
            continue
        angle = raw.FPDFText_GetCharAngle(textpage, index)
        turns[round(angle / 1.5707963) % 4] += 1
    return turns.index(max(turns))


def _turned(
    turn: int, left: float, bottom: float, right: float, top: float
) -> tuple[float, float, float, float]:
    if turn == 0:
        return left, bottom, right, top
    if turn == 1:
        return bottom, -right, top, -left
    if turn == 2:
        return -right, -top, -left, -bottom
    return -top, left, -bottom, right


def _once(lines: list[Line]) -> list[Line]:
    """Without the words that are drawn again where they stand already."""
    seen: dict[str, list[Word]] = {}
    kept = []
    for line in lines:
        new = []
        for word in line:
            places = seen.setdefault(word.text, [])
            near = AGAIN * word.height
            if not any(
                abs(word.left - place.left) <= near and abs(word.bottom - place.bottom) <= near
                for place in places[-50:]
            ):
                places.append(word)
                new.append(word)
        if new:
            kept.append(new)
    return kept


def _whole(lines: list[Line]) -> list[Line]:
    """Without the line's end that PDFium sees behind a raised or a lowered letter: what follows
    stands beside it, and often in the same word; but two numbers stay two.
    """
    kept = lines[:1]
    for line in lines[1:]:
        before, word = kept[-1][-1], line[0]
        height = min(before.height, word.height)
        gap = word.left - before.right
        overlap = min(before.top, word.top) - max(before.bottom, word.bottom)
        if (
            before.text.endswith(HYPHEN)
            or overlap < 0.5 * height
            or height < SMALLEST * max(before.height, word.height)
            or not -WITHIN * height <= gap <= BETWEEN * height
        ):
            kept.append(line)
        elif gap > WITHIN * height or (before.text[-1].isdigit() and word.text[0].isdigit()):
            kept[-1] = [*kept[-1], *line]
        else:
            joined = Word(
                before.text + word.text,
                before.left,
                min(before.bottom, word.bottom),
                word.right,
                max(before.top, word.top),
            )
            kept[-1] = [*kept[-1][:-1], joined, *line[1:]]
    return kept


def _unmapped(textpage: pdfium.PdfTextPage, text: str) -> float:
    """The share of letters of which PDFium says that their font does not say what they are."""
    sample = [index for index in range(len(text)) if not text[index].isspace()]
    sample = sample[:: len(sample) // 200 + 1]
    if not sample:
        return 0.0
    bad = sum(raw.FPDFText_HasUnicodeMapError(textpage, index) == 1 for index in sample)
    return bad / len(sample)
