"""How exact the rectangles of passages are on the pages of PDFs, by an extractor that is not ours.

`python -m benchmarks.rectangles FOLDER... [--passages 300]` draws the pages of passages that it
chooses among those of all PDFs in these folders, and compares the words that poppler's `pdftotext
-bbox` finds inside the rectangles with those of the passage. Words that the two divide otherwise (a
subscript is one by itself to poppler) count by their letters. With `--scans 10` so many pages are
scanned: drawn, turned, and read from the picture.
"""

import argparse
import io
import math
import random
import re
import subprocess
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pypdfium2 as pdfium
from PIL import Image

from processing import chunking, parsing
from processing.errors import ProcessingError
from processing.rectangles import rectangles

PDF, PNG = "application/pdf", "image/png"
SEED = 16
WRONG_PAGE = 0.5  # of a passage's letters are on its page, or it is another's
SCANNED_WORDS = 100  # on a page; of a few lines nobody can tell which way is up
SCANS = ((200, 0.0), (200, 1.5), (300, -1.5), (150, 90.0), (200, 180.0))  # dpi, degrees
Word = tuple[str, float, float]  # and its middle, as a share of the page from its upper left corner


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--passages", type=int, default=300)
    parser.add_argument("--scans", type=int, default=0)
    asked = parser.parse_args()
    paths = sorted(path for folder in asked.folders for path in folder.glob("*.pdf"))
    found = in_turn({path: list(passages(path)) for path in paths})
    known = [one for one in found if poppler(one[0], one[1].page or 1)]
    if len(known) < len(found):
        print(f"without {len(found) - len(known)} on pages where poppler finds no words at all")
    found = known
    print(f"{len(paths)} PDFs, {len(found)} passages with letters")
    chosen = found[: asked.passages]
    print(f"{len(chosen)} of {len({path for path, _ in chosen})} files")
    judge("PDFs", [(path, each, *on_page(path, each)) for path, each in chosen])
    if asked.scans:
        full = [one for one in found if len(poppler(one[0], one[1].page or 1)) > SCANNED_WORDS]
        judge("scans", [scanned(n, *one) for n, one in enumerate(full[: asked.scans])])


def in_turn(found: dict[Path, list[chunking.Piece]]) -> list[tuple[Path, chunking.Piece]]:
    """Each file's in any order, one of each file after the other: not all of one long file."""
    chosen = []
    for each in found.values():
        random.Random(SEED).shuffle(each)
    for n in range(max(map(len, found.values()), default=0)):
        chosen += [(path, each[n]) for path, each in found.items() if n < len(each)]
    return chosen


def judge(what: str, results: list[tuple[Path, chunking.Piece, list[str], list[str]]]) -> None:
    """Print the share of words that are right; and what is wrong."""
    right = 0.0
    total = wrong_pages = whole = 0
    for path, passage, inside, page in results:
        wanted, got = Counter(words(passage.text)), Counter(joined(inside, passage.text))
        lacks, has = "".join((wanted - got).elements()), "".join((got - wanted).elements())
        same = (Counter(lacks) & Counter(has)).total()
        right += 2 * (wanted & got).total()
        right += (wanted - got).total() * same / max(len(lacks), 1)
        right += (got - wanted).total() * same / max(len(has), 1)
        total += wanted.total() + got.total()
        is_whole = Counter(lacks) == Counter(has)
        whole += is_whole
        letters = Counter("".join(words(passage.text)))
        there = (letters & Counter("".join(words(" ".join(page))))).total()
        is_elsewhere = there < WRONG_PAGE * letters.total()
        wrong_pages += is_elsewhere
        if not is_whole:
            print(f"  {path.name} page {passage.page} passage {passage.position}:"
                  f" lacks {list(wanted - got)[:8]}, has {list(got - wanted)[:8]}"
                  f"{' ANOTHER PAGE' if is_elsewhere else ''}")  # fmt: skip
    print(f"{what}: {len(results)} passages, {right / max(total, 1):.2%} of the words right,"
          f" {whole} passages to the word, {wrong_pages} on a wrong page")  # fmt: skip


@cache
def passages(path: Path) -> tuple[chunking.Piece, ...]:
    """Those of a page, read from letters; none of a file that is refused."""
    try:
        return tuple(
            each for each in chunking.split(parsing.parse(path, PDF))
            if each.page and words(each.text)
        )  # fmt: skip
    except ProcessingError:
        return ()


def on_page(path: Path, passage: chunking.Piece) -> tuple[list[str], list[str]]:
    """What poppler finds inside the passage's rectangles, and on the whole page."""
    assert passage.page
    drawn = draw(path, PDF, passage.page)
    page = poppler(path, passage.page)
    inside = within(drawn, _of_page(passages(path), passage), passage, page)
    return inside, [word for word, _, _ in page]


def scanned(
    number: int, path: Path, passage: chunking.Piece
) -> tuple[Path, chunking.Piece, list[str], list[str]]:
    """The same of a scan of its page: of the passage in the middle of what is read there."""
    assert passage.page
    dpi, degrees = SCANS[number % len(SCANS)]
    image = pdfium.PdfDocument(path)[passage.page - 1].render(scale=dpi / 72).to_pil().convert("L")
    width, height = image.size
    turned = image.rotate(degrees, Image.Resampling.BICUBIC, expand=not degrees % 90, fillcolor=255)
    out = io.BytesIO()
    turned.save(out, "PNG", dpi=(dpi, dpi))
    with tempfile.NamedTemporaryFile() as file:
        file.write(out.getvalue())
        file.flush()
        scan = Path(file.name)
        try:
            read = chunking.split(
                parsing.parse(scan, PNG, limits=parsing.Limits(recognised_pages=1))
            )
        except ProcessingError:
            return path, passage, [], []
        drawn = draw(scan, PNG, 1)
    page = [
        (word, *_turned(x, y, degrees, width, height)) for word, x, y in poppler(path, passage.page)
    ]
    chosen = read[len(read) // 2]
    return path, chosen, within(drawn, read, chosen, page), [word for word, _, _ in page]


def _turned(x: float, y: float, degrees: float, width: int, height: int) -> tuple[float, float]:
    """Where a place of the page is on its scan."""
    if degrees % 90 == 0:
        return {0: (x, y), 90: (y, 1 - x), 180: (1 - x, 1 - y)}[int(degrees)]
    angle = math.radians(degrees)
    across, down = (x - 0.5) * width, (y - 0.5) * height
    across, down = (
        math.cos(angle) * across + math.sin(angle) * down,
        -math.sin(angle) * across + math.cos(angle) * down,
    )
    return across / width + 0.5, down / height + 0.5


@cache
def draw(path: Path, content_type: str, page: int) -> parsing.Drawn:
    return parsing.draw(path, content_type, page, limits=parsing.Limits(recognised_pages=1))


def _of_page(found: tuple[chunking.Piece, ...], passage: chunking.Piece) -> list[chunking.Piece]:
    return [each for each in found if each.page == passage.page]


def within(
    drawn: parsing.Drawn,
    page: list[chunking.Piece],
    passage: chunking.Piece,
    found: list[Word],
) -> list[str]:
    """The words whose middle is inside a rectangle of the passage."""
    a, b, c, d, e, f = drawn.matrix
    determinant = a * d - b * c
    boxes = rectangles(drawn, page).get(passage.position, [])
    inside = []
    for word, x, y in found:
        u, v = (d * (x - e) - c * (y - f)) / determinant, (a * (y - f) - b * (x - e)) / determinant
        if any(left <= u <= left + w and low <= v <= low + h for left, low, w, h in boxes):
            inside.append(word)
    return inside


@cache
def poppler(path: Path, page: int) -> list[Word]:
    command = ["pdftotext", "-bbox", "-cropbox", "-f", str(page), "-l", str(page), str(path), "-"]
    done = subprocess.run(command, capture_output=True, check=False)
    said = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "", done.stdout.decode("utf-8", "replace"))
    if "<word" not in said:
        return []
    body = said[said.index("<doc>") : said.index("</doc>") + len("</doc>")]
    (sheet,) = ElementTree.fromstring(body).iter("page")  # noqa: S314 (poppler's own)
    sides = float(sheet.attrib["width"]), float(sheet.attrib["height"])
    # It says how large a page is before it is turned, and where words are after that.
    is_turned = pdfium.PdfDocument(path)[page - 1].get_rotation() % 180
    width, height = reversed(sides) if is_turned else sides
    found = []
    for word in sheet.iter("word"):
        at = {name: float(word.attrib[name]) for name in ("xMin", "xMax", "yMin", "yMax")}
        x, y = (at["xMin"] + at["xMax"]) / 2, (at["yMin"] + at["yMax"]) / 2
        found.append((word.text or "", x / width, y / height))
    return found


def words(text: str) -> list[str]:
    """Without accents, which are letters of their own on some pages."""
    bare = unicodedata.normalize("NFKD", text).casefold()
    kept = (each for each in bare if unicodedata.category(each) not in ("Mn", "Lm", "Sk"))
    return re.findall(r"[^\W_]+", "".join(kept))


def joined(found: list[str], text: str) -> Iterator[str]:
    """The words of these, those at a line's end whole if the passage has them so."""
    there = set(words(text))
    rest = list(found)
    while rest:
        word = rest.pop(0)
        if word[-1:] in "-\u00ad\u2010" and rest and word[-1:]:
            whole = words(word[:-1] + rest[0])
            if whole and whole[0] in there and not set(words(word)) <= there:
                rest[0] = word[:-1] + rest[0]
                continue
        yield from words(word)


if __name__ == "__main__":
    main()
