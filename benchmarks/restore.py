"""Back a product up while it runs, restore it into one that has nothing, and time each step.

    .venv/bin/python -m benchmarks.restore [FOLDER] [--documents 300]

The documents: every file of the folder, and so many generated ones of 5 KB. Fails unless the
inventory is the manifest's again and all searches answer with the same passages in the same order.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg

from tests.e2e.backup import Backup, new_world
from tests.e2e.product import Product

WORDS = """
    heron mill ferry reed alder orchard lantern harbour granite violin teapot glacier compass saddle
    pepper thunder velvet anchor bishop cactus drawer engine falcon garden hammer island jacket
    kettle ladder magnet needle oyster parrot quarry ribbon sailor tunnel umbrella valley window
    yellow zebra basket candle desert eleven forest guitar honey insect jungle knight lemon
"""
LIMIT = 5  # passages that each search asks for
UNFINISHED = """
    SELECT count(*) FROM documents_document
    WHERE deleted_at IS NULL AND (status IN ('pending', 'processing') OR indexed_epoch = %s)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--documents", type=int, default=300)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lumikb-restore-") as place:
        measure(Path(place), options.folder, options.documents)


def measure(place: Path, folder: Path | None, count: int) -> None:
    backup = Backup(place / "backup")
    product = Product(place / "first")
    try:
        product.start()
        with timed("uploaded and processed"):
            questions = fill(product, folder, count)
            finish(product.setting("DATABASE_URL"), earlier_epoch=0)
        with timed("inventory and pg_dump"):
            manifest = product.manage("inventory", "--json")
            backup.take_database(manifest, product.setting("OWNER_DATABASE_URL"))
        with timed("objects copied"):
            backup.take_objects(product.setting("STORAGE_ROOT"))
        before = answers(product.api, questions)
        token = (product.home / "api-token").read_text().strip()
    finally:
        assert product.stop() == 0
    with new_world(place / "second", backup) as restored:
        with timed(f"database restored from {backup.dump.stat().st_size / 1e6:.1f} MB"):
            restored.restore_database()
        with timed("objects restored"):
            restored.restore_objects()
        with timed("compared"):
            status, complaints = restored.compare()
        assert (status, complaints.count(" missing")) == (1, 1), complaints
        assert "points: " in complaints, complaints
        with timed("started, and all indexed again"):
            api = restored.start(token)
            finish(restored.setting("DATABASE_URL"), earlier_epoch=1)
        status, complaints = restored.compare()
        assert status == 0, complaints
        table = restored.manage("inventory", "--compare", str(backup.manifest))[1]
        after = answers(api, questions)
    print(table)
    same = sum(after[each] == before[each] for each in questions)
    print(f"searches with the same {LIMIT} passages in the same order: {same} of {len(questions)}")
    assert same == len(questions)


@contextmanager
def timed(what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    print(f"{what:<45}{time.monotonic() - began:8.1f} s", flush=True)


def fill(product: Product, folder: Path | None, count: int) -> list[str]:
    """Upload the files and the generated documents; returns questions that they answer."""
    slug = product.knowledge_base("restored")
    url = f"knowledge-bases/{slug}/documents"
    for path in sorted(folder.iterdir()) if folder else ():
        product.api.post(url, files={"file": (path.name, path.read_bytes())})  # some are refused
    questions = []
    chance = random.Random(1)
    for number in range(count):
        words = " ".join(chance.choices(WORDS.split(), k=700))  # 5 KB
        product.upload(slug, f"{number}.md", f"# Number {number}\n\n{words}.\n".encode())
        if number % 10 == 0:
            questions.append(" ".join(words.split()[100:106]))
    return questions


def finish(database_url: str, earlier_epoch: int) -> None:
    """Wait until nothing waits, and nothing has its index of that epoch any more."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        while connection.execute(UNFINISHED, [earlier_epoch]).fetchone() != (0,):
            time.sleep(0.2)


def answers(api: httpx.Client, questions: list[str]) -> dict[str, list[str]]:
    """The passages that answer each question, the best first."""
    found = {}
    for question in questions:
        body = {"query": question, "limit": LIMIT}
        results = api.post("search", json=body).raise_for_status().json()["results"]
        found[question] = [each["chunk_id"] for each in results]
    return found


if __name__ == "__main__":
    main()
