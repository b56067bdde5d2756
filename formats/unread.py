"""What a reader may pass over in a document (the reading report), and how it is said to people; and
of a page as it looks, that nobody could draw it.
"""

import re
from collections import Counter
from collections.abc import Iterable

# Each kind after "page 3" or "1 page", and after "pages 2 to 6" or "5 pages".
PAGES = {
    "image_page": (
        "is an image in which no text was read",
        "are images in which no text was read",
    ),
    "wordless_page": (
        "is an image in which text recognition found nothing",
        "are images in which text recognition found nothing",
    ),
    "drawn_page": (
        "is a drawing in which no text was read",
        "are drawings in which no text was read",
    ),
    "unmapped_page": (
        "has fonts that do not say which letters they show",
        "have fonts that do not say which letters they show",
    ),
    "damaged_page": ("is damaged", "are damaged"),
}
# Each kind after its number: "1 embedded file", "2 formulas without a saved value".
THINGS = {
    "picture": ("picture was not searched for text", "pictures were not searched for text"),
    "recording": (
        "recording (sound or film) was not read",
        "recordings (sound or film) were not read",
    ),
    "embedded_file": ("embedded file was not read", "embedded files were not read"),
    "locked_file": (
        "embedded file is protected by a password",
        "embedded files are protected by a password",
    ),
    "locked_part": ("part is encrypted", "parts are encrypted"),
    "damaged_part": ("part is damaged", "parts are damaged"),
    "slow_part": (
        "part takes too long to read and was not read to its end",
        "parts take too long to read and were not read to their end",
    ),
    "included_file": (
        "file that it names as a part of it was not read",
        "files that it names as parts of it were not read",
    ),
    "hidden_sheet": ("hidden sheet was not read", "hidden sheets were not read"),
    "hidden_row": ("hidden row was not read", "hidden rows were not read"),
    "hidden_column": ("hidden column was not read", "hidden columns were not read"),
    "hidden_part": ("hidden part was not read", "hidden parts were not read"),
    "lost_letter": (
        "letter could not be told and stands as \ufffd",
        "letters could not be told and stand as \ufffd",
    ),
    "formula": ("formula has no saved value", "formulas have no saved value"),
}
# Kinds that are said of the whole document.
WHOLE = {"damaged_file": "The file is damaged; what survived of it was read"}
KINDS = (*PAGES, *THINGS, *WHOLE)
# A short name of each, for a list of them.
LABELS = {
    "picture": "Pictures",
    "recording": "Sound and film",
    "image_page": "Images without text",
    "wordless_page": "Images without recognised text",
    "drawn_page": "Drawings without text",
    "unmapped_page": "Fonts without letters",
    "damaged_page": "Damaged pages",
    "damaged_file": "Damaged files",
    "embedded_file": "Embedded files",
    "locked_file": "Embedded files with a password",
    "locked_part": "Encrypted parts",
    "damaged_part": "Damaged parts",
    "slow_part": "Parts that take too long",
    "included_file": "Included files",
    "hidden_sheet": "Hidden sheets",
    "hidden_row": "Hidden rows",
    "hidden_column": "Hidden columns",
    "hidden_part": "Hidden parts",
    "lost_letter": "Letters that could not be told",
    "formula": "Formulas without a value",
}
# Text recognition reads these.
RECOGNISABLE = {"image_page", "drawn_page", "unmapped_page", "picture"}

NOT_DRAWN = "This page could not be drawn; open the original to see it."


def sentence(kind: str, place: str, count: int) -> str:
    """One entry of the report, for a person: "Pages 2 to 6 are images in which no text was read."

    `place` is what `pages` makes of page numbers, or names a part ("sheet Prices"), or is empty.
    """
    if kind in WHOLE:
        return f"{WHOLE[kind]}."
    if kind in PAGES and place.startswith("page"):
        said = f"{place} {_verb(kind, count)}"
        return f"{said[:1].upper()}{said[1:]}."
    return f"{_counted(kind, count)}{f' ({place})' if place else ''}."


def nothing_read(found: Iterable[tuple[str, int]], is_empty: bool) -> str:
    """Why a document failed of which nothing was read, or hardly anything: (kind, count) of each
    part of it.
    """
    counts: Counter[str] = Counter()
    for kind, count in found:
        counts[kind] += count
    counted = (_counted(kind, count) for kind, count in counts.most_common() if kind not in WHOLE)
    said = ", ".join(counted)
    if not said:
        said, advice = "it is damaged", "save it again and upload the result"
    elif RECOGNISABLE.intersection(counts):
        advice = "run text recognition (OCR) on it and upload the result"
    elif "wordless_page" in counts:
        advice = "if there is text on it, upload a sharper copy"
    else:
        advice = "save what is missing as a document of its own and upload that"
    return (
        f"{'Nothing' if is_empty else 'Hardly anything'} in this file was read: {said}; {advice}."
    )


def pages(numbers: Iterable[int], page: str = "page") -> str:
    """ "page 3", "pages 2 to 6, 9": 1-based numbers as people say them; of many the first few."""
    ranges: list[list[int]] = []
    for number in sorted(set(numbers)):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    said = [_range(first, last) for first, last in ranges[:_MOST_RANGES]]
    if len(ranges) > _MOST_RANGES:
        said.append("and others")
    only_one = len(ranges) == 1 and ranges[0][0] == ranges[0][1]
    return f"{page if only_one else f'{page}s'} {re.sub(', and', ' and', ', '.join(said))}"


_MOST_RANGES = 12


def _range(first: int, last: int) -> str:
    if first == last:
        return str(first)
    return f"{first} to {last}" if last > first + 1 else f"{first}, {last}"


def _verb(kind: str, count: int) -> str:
    one, several = PAGES[kind]
    return one if count == 1 else several


def _counted(kind: str, count: int) -> str:
    if kind in PAGES:
        return f"{count:,} {'page' if count == 1 else 'pages'} {_verb(kind, count)}"
    one, several = THINGS.get(kind, ("thing was not read", "things were not read"))
    return f"{count:,} {one if count == 1 else several}"
