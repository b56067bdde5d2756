"""How what a reader passed over adds up to the document's report; its kinds: `formats.unread`."""

from collections.abc import Iterable
from dataclasses import dataclass

from formats.unread import pages
from processing.parsing.model import Unread

MOST = 100  # entries of one document; a report of more is no longer read


@dataclass(frozen=True, slots=True)
class Passed:
    """What a reader passed over: a whole page of this number, or `count` things at a place."""

    kind: str
    place: str = ""
    count: int = 1
    page: int | None = None


def merged(found: Iterable[Passed]) -> tuple[Unread, ...]:
    """One entry for each kind and place, with their sum; pages of a kind are one entry. The first
    MOST of them, in order.
    """
    counts: dict[tuple[str, str], int] = {}
    numbers: dict[str, set[int]] = {}
    for entry in found:
        if entry.page is not None:
            numbers.setdefault(entry.kind, set()).add(entry.page)
        else:
            key = entry.kind, entry.place
            counts[key] = counts.get(key, 0) + entry.count
    report = [Unread(kind, pages(found), len(found)) for kind, found in numbers.items()]
    report += [Unread(kind, place, n) for (kind, place), n in counts.items()]
    return tuple(report[:MOST])
