"""The pieces in which a reader hands a document over, and how what it passed over adds up to the
document's report (its kinds: `formats.unread`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from formats.unread import pages
from processing.parsing.model import Section, Unread

MOST = 100  # entries of one document; a report of more is no longer read


@dataclass(frozen=True, slots=True)
class Passed:
    """What a reader passed over: a whole page of this number (and those up to `last`), or `count`
    things at a place.
    """

    kind: str
    place: str = ""
    count: int = 1
    page: int | None = None
    last: int | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a document, from one cut to another; the pieces' texts together are the document's.

    `sections` count the characters from the piece's own first one. The next piece begins with
    `unit`, at `place`; 0: this is the last.
    """

    text: str
    sections: tuple[Section, ...]
    passed: tuple[Passed, ...]
    unit: int
    place: str


def compact(found: Iterable[Passed]) -> tuple[Passed, ...]:
    """The same in fewer entries, to be kept until the last piece: pages of a kind in a row are one,
    and so are things at one place.
    """
    pages: dict[str, list[list[int]]] = {}
    things: dict[tuple[str, str], int] = {}
    for entry in found:
        if entry.page is None:
            key = entry.kind, entry.place
            if key in things or len(things) < MOST:
                things[key] = things.get(key, 0) + entry.count
            continue
        ranges = pages.setdefault(entry.kind, [])
        if ranges and entry.page == ranges[-1][1] + 1:
            ranges[-1][1] = entry.last or entry.page
        else:
            ranges.append([entry.page, entry.last or entry.page])
    kept = [
        Passed(kind, "", last - first + 1, first, last)
        for kind, ranges in pages.items()
        for first, last in ranges
    ]
    kept += [Passed(kind, place, count) for (kind, place), count in things.items()]
    return tuple(kept)


def merged(found: Iterable[Passed]) -> tuple[Unread, ...]:
    """One entry for each kind and place, with their sum; pages of a kind are one entry. The first
    MOST of them, in order.
    """
    counts: dict[tuple[str, str], int] = {}
    numbers: dict[str, set[int]] = {}
    for entry in found:
        if entry.page is not None:
            numbers.setdefault(entry.kind, set()).update(
                range(entry.page, (entry.last or entry.page) + 1)
            )
        else:
            key = entry.kind, entry.place
            counts[key] = counts.get(key, 0) + entry.count
    report = [Unread(kind, pages(found), len(found)) for kind, found in numbers.items()]
    report += [Unread(kind, place, n) for (kind, place), n in counts.items()]
    return tuple(report[:MOST])
