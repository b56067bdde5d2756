"""The words that the readers find in a folder of files, against those of programs of others.

    .venv/bin/python -m benchmarks.words FOLDER

LibreOffice (text of DOCX, all sheets of XLSX, slides as PDF), Poppler (PDF, slides) and Python's
own HTML parser (EPUB, HTML) read each file independently; asked for here only, and no part of the
product. Prints per file how many of the words of both are the same (F1 of the bags of words), and
each format's median. A word more than theirs is no fault by itself: they read no notes, charts and
diagrams.
"""

import argparse
import re
import statistics
import subprocess
import tempfile
import zipfile
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

from formats import BY_EXTENSION
from processing import parsing
from processing.errors import PermanentError, RetryableError

ALL_SHEETS = "csv:Text - txt - csv (StarCalc):9,34,76,1,,0,false,true,false,false,false,-1"
WORD = re.compile(r"[^\W_]+")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the words that are read.")
    parser.add_argument("folder", type=Path)
    scores: dict[str, list[float]] = {}
    for path in sorted(parser.parse_args().folder.iterdir()):
        if path.suffix not in BY_EXTENSION:
            continue
        others = [Counter(WORD.findall(text.casefold())) for text in independent(path)]
        try:
            text = parsing.parse(path, BY_EXTENSION[path.suffix].media_type).text
        except (PermanentError, RetryableError) as error:
            text = ""
            print(f"{'':5} {error.code} {path.name}: {error.sentence}")
        ours = Counter(WORD.findall(text.casefold()))
        if not ours and not any(others):
            continue
        score, theirs = max(((_f1(ours, theirs), theirs) for theirs in others), key=lambda x: x[0])
        scores.setdefault(path.suffix, []).append(score)
        missing = " ".join(list((theirs - ours).elements())[:8])
        more = " ".join(list((ours - theirs).elements())[:8])
        print(f"{score:5.3f} {path.name}  missing: {missing}  more: {more}")
    for suffix, values in scores.items():
        below = sum(value < 0.9 for value in values)
        print(f"{suffix:<6} median {statistics.median(values):.3f} of {len(values)}, {below} < 0.9")


def _f1(ours: Counter[str], theirs: Counter[str]) -> float:
    return 2 * (ours & theirs).total() / max(1, ours.total() + theirs.total())


def independent(path: Path) -> list[str]:
    """What each of the others reads in this file."""
    with tempfile.TemporaryDirectory() as folder:
        match path.suffix:
            case ".docx":
                text = _converted(path, "txt:Text (encoded):UTF8", Path(folder), "*.txt")
                return [text, _printed(path, Path(folder))]
            case ".xlsx":
                return [_converted(path, ALL_SHEETS, Path(folder), "*.csv")]
            case ".pptx":
                return [_printed(path, Path(folder))]
            case ".pdf":
                return [pdf_text(path)]
            case ".epub":
                with zipfile.ZipFile(path) as book:
                    names = [n for n in book.namelist() if n.endswith(("html", "htm"))]
                    return ["\n".join(markup(book.read(name)) for name in names)]
            case ".html" | ".htm":
                return [markup(path.read_bytes())]
    return [path.read_text(errors="replace")]


def _printed(path: Path, folder: Path) -> str:
    _converted(path, "pdf", folder, "*.none")
    return "\n".join(pdf_text(made) for made in folder.glob("*.pdf"))


def _converted(path: Path, filter: str, folder: Path, pattern: str) -> str:
    profile = f"-env:UserInstallation=file://{folder}/profile"
    command = ["soffice", profile, "--headless", "--convert-to", filter, "--outdir", str(folder)]
    subprocess.run([*command, str(path)], check=False, capture_output=True, timeout=120)
    made = sorted(folder.glob(pattern))
    return "\n".join(text.read_text("utf-8-sig", "replace") for text in made)


def pdf_text(path: Path, *options: str) -> str:
    command = ["pdftotext", "-q", *options, str(path), "-"]
    return subprocess.run(command, capture_output=True, check=False).stdout.decode(
        "utf-8", "replace"
    )


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._skipped = 0

    def handle_starttag(self, tag: str, attributes: object) -> None:
        self._skipped += tag in ("script", "style", "head")

    def handle_endtag(self, tag: str) -> None:
        self._skipped -= tag in ("script", "style", "head")

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self.texts.append(data)


def markup(data: bytes) -> str:
    words = _Words()
    words.feed(data.decode("utf-8", "replace"))
    return " ".join(words.texts)


if __name__ == "__main__":
    main()
