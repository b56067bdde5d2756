"""Where passages stand on the picture of their page."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from processing.parsing import Drawn

SPACE = 1.0  # of a line's height: letters that are further apart have a rectangle each

Box = tuple[float, float, float, float]  # left, bottom, right, top


class Passage(Protocol):
    """`text` begins at character `start` of the document's."""

    position: int
    start: int
    text: str


def rectangles(drawn: Drawn, passages: Sequence[Passage]) -> dict[int, list[list[float]]]:
    """Left, bottom, width and height of each, by the passage's position; none of a passage that the
    page does not have, because another version of the reader has read it. `passages` are all those
    of the page.
    """
    first = min((each.start for each in passages), default=0)
    found = {}
    for each in passages:
        start = each.start - first
        span = range(start, start + len(each.text))
        if drawn.text[start : span.stop] != each.text:
            span = _by_letters(drawn.text, each.text)
        if not span:
            continue
        letters = (
            (letter.left, letter.bottom, letter.right, letter.top)
            for letter in drawn.letters
            if letter.at in span
        )
        found[each.position] = [
            [round(side, 2) for side in (left, bottom, right - left, top - bottom)]
            for left, bottom, right, top in _joined(letters)
        ]
    return found


def _by_letters(page: str, text: str) -> range:
    """Where a text stands whose white space and signs between cells are others: a table that goes
    on from the page before has its columns from there. Nowhere, if it may be in two places.
    """
    places = [at for at, sign in enumerate(page) if sign.isalnum()]
    bare = "".join(page[at] for at in places)
    wanted = "".join(filter(str.isalnum, text))
    if not wanted or bare.count(wanted) != 1:
        return range(0)
    first = bare.index(wanted)
    return range(places[first], places[first + len(wanted) - 1] + 1)


def _joined(boxes: Iterable[Box]) -> Iterator[Box]:
    """One for neighbours on a line."""
    whole: Box | None = None
    for box in boxes:
        if not (box[0] < box[2] and box[1] < box[3]):
            continue
        if whole and _are_neighbours(whole, box):
            low, high = map(min, whole[:2], box[:2]), map(max, whole[2:], box[2:])
            whole = (*low, *high)  # type: ignore[assignment]
            continue
        if whole:
            yield whole
        whole = box
    if whole:
        yield whole


def _are_neighbours(one: Box, other: Box) -> bool:
    lower, higher = sorted((one[3] - one[1], other[3] - other[1]))
    shared = min(one[3], other[3]) - max(one[1], other[1])
    apart = max(one[0], other[0]) - min(one[2], other[2])
    return shared >= 0.5 * lower and apart <= SPACE * higher
