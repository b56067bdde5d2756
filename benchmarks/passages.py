"""Whether each passage of the files in some folders is what stands in the text at its place, and
whether its page and its heading are right.

    .venv/bin/python -m benchmarks.passages FOLDER ... [--sample 200] [--seed 1]

Reads and splits each file as an upload is, and compares every passage with `text[start:end]`. Then
prints a random sample with page and heading, to be looked at; of a PDF Poppler says how many of the
passage's words stand on that page, and whether more of them do on those beside it.
"""

import argparse
import random
from collections import Counter
from functools import cache
from pathlib import Path

from benchmarks.reading import format_of
from benchmarks.words import WORD, pdf_text
from processing import chunking, parsing
from processing.chunking import Piece
from processing.errors import PermanentError, RetryableError

SHOWN_CHARS = 100
MOST_OF_A_FILE = 10  # passages in the sample


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare passages with the text they are of.")
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--sample", type=int, default=0, help="so many passages are printed")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    passages: list[tuple[Path, Piece]] = []
    exact = files = 0
    for path in sorted(path for folder in options.folders for path in folder.rglob("*.*")):
        try:
            document = parsing.parse(path, format_of(path))
        except (PermanentError, RetryableError) as error:
            print(f"{path.name}: {error.sentence}")
            continue
        files += 1
        for piece in chunking.split(document):
            passages.append((path, piece))
            is_exact = document.text[piece.start : piece.end] == piece.text
            exact += is_exact
            if not is_exact:
                print(f"WRONG {path.name} {piece.start}:{piece.end} {piece.text[:SHOWN_CHARS]!r}")
    print(f"text[start:end] is exact for {exact} of {len(passages)} passages of {files} files")
    random.Random(options.seed).shuffle(passages)
    taken: Counter[Path] = Counter()
    chosen = []
    for path, piece in passages:
        taken[path] += 1
        if taken[path] <= MOST_OF_A_FILE:
            chosen.append((path, piece))
    chosen = sorted(chosen[: options.sample], key=lambda each: (each[0].name, each[1].position))
    for path, piece in chosen:
        text = " ".join(piece.text.split())[:SHOWN_CHARS]
        print(f"{path.name} | {_place(path, piece)} | {piece.heading} | {text}")


def _place(path: Path, piece: Piece) -> str:
    if piece.page is None:
        return "-"
    if path.suffix != ".pdf":
        return f"page {piece.page}"
    ours, theirs = _words(piece.text), _words(_page(path, piece.page))
    share = (ours & theirs).total() / max(ours.total(), 1)
    others = (piece.page - 1, piece.page + 1)
    beside = max((ours & _words(_page(path, n))).total() for n in others if n > 0)
    is_better = "" if (ours & theirs).total() >= beside else " WRONG: more of it beside"
    return f"page {piece.page}: {share:.0%}{is_better}"


@cache
def _page(path: Path, number: int) -> str:
    return pdf_text(path, "-f", str(number), "-l", str(number))


def _words(text: str) -> Counter[str]:
    return Counter(WORD.findall(text.casefold()))


if __name__ == "__main__":
    main()
