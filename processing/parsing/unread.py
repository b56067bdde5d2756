"""The reading report: which kinds of thing a reader may pass over, and how they are added up."""

from collections.abc import Iterable

from processing.parsing.model import Unread

# kind -> (one of it, several of it), as they read after a number: "1 embedded workbook". A place
# comes before: "Pages 2 to 6: 5 images without text".
KINDS = {
    "image_page": ("page is an image without text", "pages are images without text"),
    "unmapped_page": (
        "page has fonts that do not say which letters they show",
        "pages have fonts that do not say which letters they show",
    ),
    "damaged_page": ("page is damaged", "pages are damaged"),
    "embedded_file": ("embedded file", "embedded files"),
    "formula": ("formula without a saved value", "formulas without a saved value"),
}
MOST = 100  # entries of one document; a report of more is no longer read


def merged(found: Iterable[Unread]) -> tuple[Unread, ...]:
    """One entry for each kind and place, with their sum; the first MOST of them, in order."""
    counts: dict[tuple[str, str], int] = {}
    for entry in found:
        key = entry.kind, entry.place
        counts[key] = counts.get(key, 0) + entry.count
    return tuple(Unread(kind, place, n) for (kind, place), n in counts.items())[:MOST]
