"""A folder of very many files becomes a knowledge base, and who imports it is killed.

    .venv/bin/python -m benchmarks.imports [--files 10000] [--changes 100]

On a whole product of its own (`make run`): `manage.py import_documents` over a tree of small files,
killed (SIGKILL) after a third and after two thirds, then to its end, then once more. Then with
`--watch --mirror`, while so many random changes are made in the folder: new, changed, deleted and
moved files; it is killed once, and begun again. Compared are names and SHA-256 of the files with
those of the live documents.

Status 1 when a bar of the issue is missed.
"""

import argparse
import hashlib
import json
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.running import Bars, running_product
from tests.e2e.product import Product, wait_for

IN_A_FOLDER = 100  # files
PATIENCE = 600
SLUG = "imported"

Outcome = dict[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--changes", type=int, default=100)
    options = parser.parse_args()
    bars = Bars()
    with running_product() as product:
        from documents.models import KnowledgeBase

        KnowledgeBase.objects.create(name="Imported", slug=SLUG)
        root = product.home.parent / "files"
        tree = Tree(root, options.files)
        killed_twice(product, tree, bars)
        mirrored(product, tree, options.changes, bars)
    bars.close()


# --- Once, and again -----------------------------------------------------------------------------


def killed_twice(product: Product, tree: "Tree", bars: Bars) -> None:
    count = len(tree.expected())
    for share in (1, 2):
        began = time.monotonic()
        there = len(documents())
        for _ in outcomes(product, tree.root, kill_after=share * count // 3):
            pass
        seconds = time.monotonic() - began
        bars.figure(f"killed; it had imported in {seconds:.1f} s", len(documents()) - there)
    there = len(documents())
    began = time.monotonic()
    report = list(outcomes(product, tree.root))
    bars.figure("the third time, to the end: seconds", time.monotonic() - began)
    expected = {"unchanged": there, "imported": count - there}
    bars.figure("lines of its report that are wrong", wrong(report, expected, tree), 0)
    bars.figure("files that are not there exactly once", differences(tree), 0)
    bars.figure("documents too many, deleted ones too", every_document() - count, 0)

    began = time.monotonic()
    report = list(outcomes(product, tree.root))
    bars.figure(f"once more, over {count:,} files: seconds", time.monotonic() - began)
    bars.figure("what that has done", wrong(report, {"unchanged": count}, tree), 0)
    bars.figure("documents too many, deleted ones too", every_document() - count, 0)


def wrong(report: list[Outcome], expected: dict[str, int], tree: "Tree") -> int:
    """How many lines are not as they should be: each file once, with its document's id, and as many
    of each kind.
    """
    ids = {name: pk for name, (pk, _) in documents().items()}
    by_name = Counter(line["filename"] for line in report)
    of_files = sum(by_name[name] != 1 for name in tree.expected())
    of_documents = sum(ids.get(line["filename"]) != line["document"] for line in report)
    kinds = Counter(line["what"] for line in report)
    expected = {what: number for what, number in expected.items() if number}
    return of_files + of_documents + (kinds != expected)


# --- A mirror ------------------------------------------------------------------------------------


def mirrored(product: Product, tree: "Tree", changes: int, bars: Bars) -> None:
    product.upload(SLUG, "by hand.md", b"Nobody's file.\n")
    told: Counter[str] = Counter()
    for part in (range(0, changes // 2), range(changes // 2, changes)):
        with watching(product, tree.root, told) as watch:
            for number in part:
                tree.change(number)
                time.sleep(0.1)  # some are seen on their own, some together
            if part.start == 0:
                watch.kill()
                continue
            began = time.monotonic()
            wait_for(
                lambda: not differences(tree, "by hand.md"),
                PATIENCE,
                lambda: f"{differences(tree, 'by hand.md')} still differ",
            )
            bars.figure("after the last change, until all is the same: seconds", _since(began))
    bars.figure(f"files that differ after {changes} changes", differences(tree, "by hand.md"), 0)
    print("changes were:", dict(tree.changed), "- told:", dict(told))


@contextmanager
def watching(product: Product, root: Path, told: Counter[str]) -> Iterator[subprocess.Popen[str]]:
    """`--watch --mirror` at work; what it says is counted in `told`."""
    process = product.managing("import_documents", SLUG, str(root), "--json", "--watch", "--mirror")

    def read() -> None:
        for line in process.stdout or ():
            told[json.loads(line)["what"]] += 1

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield process
    finally:
        process.kill()
        thread.join()
        process.wait()


def _since(began: float) -> float:
    return time.monotonic() - began


# --- The folder, and what is there of it ---------------------------------------------------------


class Tree:
    """Small files, a hundred to a folder, and changes to them."""

    def __init__(self, root: Path, count: int) -> None:
        self.root = root
        self.changed: Counter[str] = Counter()
        self._choice = random.Random(5)
        for number in range(count):
            self._write(self._place(number), f"# Note {number}\n\nThe heron of {number} nests.\n")

    def expected(self) -> dict[str, str]:
        """SHA-256 by the name that its document has."""
        files = (path for path in self.root.rglob("*") if path.is_file())
        return {
            " - ".join(path.relative_to(self.root).parts): hashlib.sha256(
                path.read_bytes()
            ).hexdigest()
            for path in files
        }

    def change(self, number: int) -> None:
        """One at random."""
        what = self._choice.choice(["new", "changed", "deleted", "moved"])
        self.changed[what] += 1
        new = self._place(1_000_000 + number)
        old = self._choice.choice(sorted(path for path in self.root.rglob("*") if path.is_file()))
        if what == "new":
            self._write(new, f"# New {number}\n")
        elif what == "changed":
            old.write_text(f"# Changed {number}\n")
        elif what == "deleted":
            old.unlink()
        else:
            new.parent.mkdir(parents=True, exist_ok=True)
            old.rename(new)

    def _place(self, number: int) -> Path:
        return self.root / f"folder {number // IN_A_FOLDER}" / f"{number}.md"

    def _write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def outcomes(product: Product, root: Path, kill_after: int | None = None) -> Iterator[Outcome]:
    """The lines of an import's report; killed when it has told of so many imported ones."""
    process = product.managing("import_documents", SLUG, str(root), "--json")
    imported = 0
    assert process.stdout
    for line in process.stdout:
        try:
            outcome = json.loads(line)
        except ValueError:  # cut short by the kill
            assert process.poll() is not None or kill_after, line
            continue
        yield outcome
        imported += 1
        if imported == kill_after:
            process.kill()
    errors = process.communicate()[1]
    assert process.returncode == 0 or kill_after, errors


def documents() -> dict[str, tuple[str, str]]:
    """Id and SHA-256 of the live ones by their names."""
    from documents.models import Document

    rows = Document.objects.live().filter(knowledge_base__slug=SLUG)
    return {
        name: (str(pk), sha256) for name, pk, sha256 in rows.values_list("filename", "pk", "sha256")
    }


def every_document() -> int:
    from documents.models import Document

    return Document.objects.filter(knowledge_base__slug=SLUG).count()


def differences(tree: Tree, *others: str) -> int:
    """Files and documents that have no counterpart of the same content; `others` have no file."""
    there = {(name, sha256) for name, (_, sha256) in documents().items() if name not in others}
    return len(there ^ set(tree.expected().items()))


if __name__ == "__main__":
    main()
