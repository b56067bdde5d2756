"""What the product's readers make of a folder of files of which somebody said what a person reads
in them.

    .venv/bin/python -m benchmarks.reading FOLDER [--only docx,xlsx] [--out result.json] [-v]

The folder holds the files, `cases.json` (file or "file#aspect": what must hold) and `score.py`,
which judges; each file goes through the sandbox and the splitter as an upload does. Prints what is
wrong and why, right of all per format, and right of all.
"""

import argparse
import importlib.util
import json
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

from formats import of_file
from formats.signatures import HEAD_BYTES
from processing import chunking, parsing
from processing.errors import PermanentError, RetryableError
from processing.index import terms


def main() -> None:
    parser = argparse.ArgumentParser(description="Read a folder of cases, and score it.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="these extensions, for example docx,xlsx")
    parser.add_argument("--out", type=Path, help="where to keep what was read, as JSON")
    parser.add_argument("-v", action="store_true", help="name the right ones too")
    options = parser.parse_args()
    score = _module(options.folder / "score.py")
    results = {
        name: read(options.folder / name, cases)
        for name, cases in _by_file(score.CASES).items()
        if not options.only or name.rsplit(".", 1)[-1] in options.only.split(",")
    }
    if options.out:
        options.out.write_text(json.dumps(results, ensure_ascii=False, indent=1))
    right: Counter[str] = Counter()
    judged: Counter[str] = Counter()
    for case, bad in score.run(results, product=True).items():
        if bad is None:
            continue
        format = case.split("#")[0].rsplit(".", 1)[-1]
        judged[format] += 1
        right[format] += not bad
        if bad or options.v:
            print(f"{'WRONG' if bad else 'ok   '} {case} {'; '.join(bad)[:160]}")
    for format in sorted(judged):
        print(f"{format:<6} {right[format]:>3} right of {judged[format]}")
    print(f"all    {right.total():>3} right of {judged.total()}")


def read(path: Path, cases: list[dict[str, Any]]) -> dict[str, Any]:
    """What the product would store of this file, or would say instead."""
    try:
        document = parsing.parse(path, format_of(path))
    except (PermanentError, RetryableError) as error:
        return {"text": None, "code": error.code, "sentence": error.sentence}
    result: dict[str, Any] = {
        "text": document.text,
        "sections": [[s.start, s.end, s.page, s.heading, s.apart] for s in document.sections],
        "pieces": [
            [piece.text, f"{piece.heading} {piece.context}", piece.page]
            for piece in chunking.split(document)
        ],
        "warnings": [f"{entry.place} {entry.count} {entry.kind}" for entry in document.unread],
    }
    for case in cases:
        if case.get("scope") == "terms":
            result["terms"] = {
                key: sorted({stem for stem, *_ in terms.terms(text)})
                for key, text in (("query", case["terms"]), ("text", document.text))
            }
    return result


def format_of(path: Path) -> str:
    """Its media type. Raises PermanentError for what is not taken."""
    with open(path, "rb") as file:
        format = of_file(path.suffix, file.read(HEAD_BYTES), file)
    if format is None:
        raise PermanentError("unsupported_type", "The content is not what the name says.")
    return format.media_type


def _by_file(cases: dict[str, dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    files: dict[str, list[dict[str, Any]]] = {}
    for name, case in cases.items():
        files.setdefault(name.split("#")[0], []).append(case)
    return files


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("score", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
