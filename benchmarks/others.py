"""How much of the words of files in the formats beside PDF, today's Office, HTML and EPUB is read.

    .venv/bin/python -m benchmarks.others [FOLDER ...] [--only doc,rtf] [--keep DIRECTORY]

Of `benchmarks.sources` LibreOffice makes five files of each of its formats; each is read as an
upload is, and what is found compared with LibreOffice's own export of that file (text, all sheets
as CSV, slides as PDF), and with the words that were written into the source, of which LibreOffice
leaves some out of some formats (RTF: shapes, formulas; XLS, PPT: formulas). Files of the other
formats stand in the folders; what others than our readers make of them: see `independent`. Prints
for each file both shares (1.000: all words are there) and the words that are missing, then for each
format the lowest of both; the bar is for the first.
"""

import argparse
import codecs
import csv
import email
import email.policy
import io
import json
import mailbox
import re
import subprocess
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from lxml import etree

from benchmarks import sources
from benchmarks.reading import format_of
from benchmarks.words import ALL_SHEETS, WORD, markup, pdf_text
from processing import parsing
from processing.errors import PermanentError, RetryableError

BAR = 0.95
TEXT, PAGES = "txt:Text (encoded):UTF8", "pdf"
# Of each kind of source: what LibreOffice makes of it, and how it says the words of that.
_TEXTS = {
    "odt": "odt", "fodt": "fodt", "doc": "doc", "rtf": "rtf", "xhtml": "xhtml:XHTML Writer File",
    "docm": "docm:MS Word 2007 XML VBA", "dotx": "dotx:MS Word 2007 XML Template",
}  # fmt: skip
_SHEETS = {"ods": "ods", "xls": "xls", "xlsm": "xlsm:Calc MS Excel 2007 VBA XML"}
_SLIDES = {
    "odp": "odp", "ppt": "ppt", "pptm": "pptm:Impress MS PowerPoint 2007 XML VBA",
    "ppsx": "ppsx:Impress MS PowerPoint 2007 XML AutoPlay",
}  # fmt: skip
KINDS: tuple[tuple[Callable[[], dict[str, bytes]], str, dict[str, str], str], ...] = (
    (sources.texts, "fodt", _TEXTS, TEXT),
    (sources.sheets, "fods", _SHEETS, ALL_SHEETS),
    (sources.slides, "fodp", _SLIDES, PAGES),
)
# What nobody sees: hidden, deleted, how a word is read.
_UNSEEN = {"tracked-changes", "ruby-text", "creator", "date", "note-citation", "page-number"}
_UNSEEN_WORDS = re.compile("veiled|unseen|struckout", re.IGNORECASE)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the words that are read.")
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--only", default="", help="these extensions, for example doc,rtf")
    parser.add_argument("--keep", type=Path, help="where to leave the files that are made")
    options = parser.parse_args()
    only = set(filter(None, options.only.split(",")))
    lowest: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        for path, wholes in chain(made(folder, only), found(options.folders, only)):
            shares = compare(path, wholes)
            extension = path.suffix[1:]
            lowest[extension] = list(map(min, shares, lowest.get(extension, shares)))
    for extension, shares in lowest.items():
        said = " ".join(f"{share:.3f}" for share in shares)
        print(f"{extension:<6} {said}{'' if shares[0] >= BAR else '  below the bar'}")


def compare(path: Path, wholes: list[str]) -> list[float]:
    """Print and return the share of the words of each of these texts that we read in the file."""
    try:
        document = parsing.parse(path, format_of(path))
        text = document.text
        said = " ".join(f"[{entry.count} {entry.kind}]" for entry in document.unread)
    except (PermanentError, RetryableError) as error:
        text, said = "", error.sentence
    ours = words(text)
    shares = [recall(words(whole), ours) for whole in wholes]
    missing = [word for whole in wholes for word in (words(whole) - ours).elements()]
    print(
        f"{' '.join(f'{share:.3f}' for share in shares)} {path.suffix[1:]}/{path.name} "
        f"missing: {' '.join(dict.fromkeys(missing))[:160]} {said}",
        flush=True,
    )
    return shares


def words(text: str) -> Counter[str]:
    text = _UNSEEN_WORDS.sub(" ", unicodedata.normalize("NFKC", text))
    return Counter(WORD.findall(text.casefold()))


def recall(whole: Counter[str], ours: Counter[str]) -> float:
    return (whole & ours).total() / whole.total() if whole else 1.0


# Made here


def made(folder: Path, only: set[str]) -> Iterator[tuple[Path, list[str]]]:
    """Each file that LibreOffice made, with its export's text and what its source says."""
    for sources_of, extension, filters, export in KINDS:
        origins = folder / extension
        origins.mkdir(parents=True, exist_ok=True)
        written = {}
        for name, data in sources_of().items():
            (origins / f"{name}.{extension}").write_bytes(data)
            written[name] = "\n".join(_written(data))
        for target, filter in filters.items():
            if only and target not in only:
                continue
            files = convert(sorted(origins.iterdir()), filter, folder / target)
            with tempfile.TemporaryDirectory() as exported:
                convert(files, export, Path(exported))
                for path in files:
                    exports = sorted(Path(exported).glob(f"{path.stem}[.-]*"))
                    yield path, ["\n".join(map(_exported, exports)), written[path.stem]]


def convert(paths: list[Path], filter: str, folder: Path) -> list[Path]:
    """By LibreOffice, all at once; those that are there already stay."""
    folder.mkdir(exist_ok=True)
    extension = filter.partition(":")[0]
    if not any(folder.iterdir()):
        with tempfile.TemporaryDirectory() as profile:
            command = ["soffice", f"-env:UserInstallation=file://{profile}", "--headless"]
            command += ["--convert-to", filter, "--outdir", str(folder), *map(str, paths)]
            subprocess.run(command, check=True, capture_output=True, timeout=600)
    return sorted(folder.glob(f"*.{extension}"))


def _exported(path: Path) -> str:
    return pdf_text(path) if path.suffix == ".pdf" else path.read_text("utf-8-sig", "replace")


def _written(data: bytes) -> Iterator[str]:
    root = etree.fromstring(data)
    for element in root.iter("{*}p", "{*}h", "{*}math"):
        if not any(etree.QName(each).localname in _UNSEEN for each in element.iterancestors()):
            yield " ".join(_said(element))


def _said(element: Any) -> Iterator[str]:
    """Without the paragraphs inside of it, which come by themselves."""
    texts = [element.text or ""]
    for child in element:
        name = etree.QName(child).localname
        if name in ("s", "tab", "line-break"):
            texts.append(" ")
        elif name not in (*_UNSEEN, "note", "annotation", "frame", "custom-shape"):
            texts += [*_said(child), " " * (name in ("mi", "mo"))]
        texts.append(child.tail or "")
    yield "".join(texts)


# Found elsewhere


def found(folders: list[Path], only: set[str]) -> Iterator[tuple[Path, list[str]]]:
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            extension = path.suffix[1:].lower()
            if path.is_file() and (not only or extension in only):
                yield path, [independent(path)]


def independent(path: Path) -> str:
    """What another program, or Python's own modules, make of this file; as it stands, if none."""
    data = path.read_bytes()
    match path.suffix.lower():
        case ".eml":
            return _mail(email.message_from_bytes(data, policy=email.policy.default))
        case ".mhtml" | ".mht":
            return _body(email.message_from_bytes(data, policy=email.policy.default), ("html",))
        case ".mbox":
            policy = email.policy.default
            letters = [message.as_bytes() for message in mailbox.mbox(path)]
            return "\n".join(
                _mail(email.message_from_bytes(each, policy=policy)) for each in letters
            )
        case ".msg":
            with tempfile.NamedTemporaryFile() as made:
                _run(["msgconvert", "--outfile", made.name, str(path)])
                message = email.message_from_bytes(made.read(), policy=email.policy.default)
            return _mail(message)
        case ".doc":
            return _run(["catdoc", "-d", "utf-8", str(path)]).decode("utf-8", "replace")
        case ".xls":
            return _run(["xls2csv", "-d", "utf-8", str(path)]).decode("utf-8", "replace")
        case ".ppt":
            return _run(["catppt", "-d", "utf-8", str(path)]).decode("utf-8", "replace")
        case ".json":
            return "\n".join(_values(json.loads(data)))
        case ".ipynb":
            return "\n".join(_cells(json.loads(data)))
        case ".xml":
            return " ".join(etree.fromstring(data, etree.XMLParser(recover=True)).itertext())
        case ".xhtml" | ".xht":
            return markup(data)
        case ".tsv":
            rows = csv.reader(io.StringIO(data.decode("utf-8", "replace")), "excel-tab")
            return "\n".join(" ".join(row) for row in rows)
        case ".rst":
            return _run(["pandoc", "-f", "rst", "-t", "plain", str(path)]).decode()
        case ".tex":
            return _run(["pandoc", "-f", "latex", "-t", "plain", str(path)]).decode()
        case ".adoc":
            page = _run(["asciidoctor", "-q", "-s", "-o", "-", str(path)])
            return markup(page)
        case ".srt" | ".vtt":
            text = _decoded(data)
            return re.sub(r"(?m)^(\d+|WEBVTT|.*-->.*)\s*$|<[^>]*>", "", text)
        case ".yaml" | ".yml":
            return re.sub(r"(?m)(^|\s)#.*", "", data.decode("utf-8", "replace"))
    return _decoded(data)


def _decoded(data: bytes) -> str:
    marks = {"utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE), "utf-8-sig": codecs.BOM_UTF8}
    marks["utf-16"] = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    found = (name for name, mark in marks.items() if data.startswith(mark))
    return data.decode(next(found, "utf-8"), "replace")


def _mail(message: Any) -> str:
    head = [str(message[name] or "") for name in ("Subject", "From", "To", "Cc")]
    return "\n".join([*head, _body(message, ("plain", "html"))])


def _body(message: Any, kinds: tuple[str, ...]) -> str:
    body = message.get_body(preferencelist=kinds)
    if body is None:
        return ""
    content = body.get_content()
    return markup(content.encode()) if body.get_content_subtype() == "html" else str(content)


def _values(value: object) -> Iterator[str]:
    match value:
        case dict():
            for name, inner in value.items():
                yield name
                yield from _values(inner)
        case list():
            for inner in value:
                yield from _values(inner)
        case None:
            pass
        case _:
            yield json.dumps(value) if isinstance(value, bool) else str(value)


def _cells(notebook: dict[str, Any]) -> Iterator[str]:
    sheets = notebook.get("worksheets", [notebook])  # those of old versions
    for cell in chain.from_iterable(sheet.get("cells", []) for sheet in sheets):
        yield "".join(cell.get("source") or cell.get("input") or "")
        for output in cell.get("outputs", []):
            yield "".join(output.get("text", ""))


def _run(command: list[str]) -> bytes:
    return subprocess.run(command, capture_output=True, check=False, timeout=60).stdout


if __name__ == "__main__":
    main()
