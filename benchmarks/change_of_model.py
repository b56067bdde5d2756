"""The model is changed under search and upload, and the one who fills the new index is killed:
`python -m benchmarks.change_of_model --documents 2000`.

Starts `make run` in a home of its own with MiniLM, then again with multilingual-e5-small. One
thread searches for one document after the other by words of its own, another one uploads; the
reconciler, which fills the new index, is killed twice. Counted are searches that failed, that found
nothing, and that did not find their document, until the new index serves and a minute longer.
"""

import argparse
import json
import random
import signal
import tempfile
import threading
import time
from pathlib import Path

import httpx
import psycopg

from tests.e2e.product import Product

TOPICS = ("heron", "tax", "bridge", "violin", "glacier", "bread", "harbour", "election")
KILLS = (0.2, 0.6)  # of the passages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--documents", type=int, default=2000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lumikb-change-") as folder:
        home = Path(folder) / "home"
        product = Product(home, LOCAL_MODEL="minilm", RECONCILE_EVERY="20")
        product.start()
        try:
            slug = product.knowledge_base("All")
            words = [_upload(product, slug, number) for number in range(arguments.documents)]
            _until_ready(product, arguments.documents)
        finally:
            product.stop()
        print(f"{arguments.documents} documents are ready with MiniLM", flush=True)
        product = Product(home, LOCAL_MODEL="e5", RECONCILE_EVERY="20")
        product.start()
        try:
            _change(product, slug, words)
        finally:
            product.stop()


def _change(product: Product, slug: str, words: list[str]) -> None:
    began, stop = time.monotonic(), threading.Event()
    counts = {"searches": 0, "failed": 0, "empty": 0, "missed": 0, "uploads": 0}
    times: list[float] = []
    choice = random.Random(1)

    def search() -> None:
        while not stop.is_set():
            word, at = choice.choice(words), time.monotonic()
            try:
                answer = product.api.post("search", json={"query": word})
                results = answer.json().get("results", []) if answer.status_code == 200 else None
            except Exception:
                results = None
            times.append(time.monotonic() - at)
            counts["searches"] += 1
            counts["failed"] += results is None
            counts["empty"] += results == []
            counts["missed"] += bool(results) and word not in json.dumps(results)

    def upload() -> None:
        number = len(words)
        while not stop.is_set():
            _upload(product, slug, number)
            counts["uploads"] += 1
            number += 1
            stop.wait(1)

    threads = [threading.Thread(target=each, daemon=True) for each in (search, upload)]
    for thread in threads:
        thread.start()
    kills, seen = list(KILLS), set()
    while True:
        rows = _rows(product)
        filling = next((row for row in rows if row[0] == "filling"), None)
        if filling and filling[2]:
            seen.add(100 * filling[1] // filling[2])
            if kills and filling[1] >= kills[0] * filling[2]:
                product.signal("reconcile", signal.SIGKILL)
                print(f"killed the reconciler at {filling[1]} of {filling[2]}", flush=True)
                kills.pop(0)
        if any(row[0] == "retired" for row in rows):
            break
        time.sleep(0.5)
    print(f"switched after {time.monotonic() - began:.0f} s; the bar stood at {len(seen)} places")
    stop.wait(60)
    stop.set()
    for thread in threads:
        thread.join()
    total = len(words) + counts["uploads"]
    _until_ready(product, total)
    [serving] = [row for row in _rows(product) if row[0] == "serving"]
    with psycopg.connect(product.setting("OWNER_DATABASE_URL")) as database:
        [passages] = database.execute("SELECT count(*) FROM documents_chunk").fetchone() or (0,)
    points = httpx.post(
        f"{product.setting('QDRANT_URL')}/collections/{serving[3]}/points/count",
        json={"exact": True},
        headers={"api-key": product.setting("QDRANT_API_KEY")},
    ).json()["result"]["count"]
    median = sorted(times)[len(times) // 2]
    print(f"{counts}; slowest search {max(times):.2f} s, median {median:.3f}")
    print(f"{total} documents, {passages} passages, {points} points in {serving[3]}")


def _upload(product: Product, slug: str, number: int) -> str:
    choice = random.Random(number)
    word = "".join(choice.choice("bdfgklmnprstvz") + choice.choice("aeiou") for _ in range(5))
    topic = TOPICS[number % len(TOPICS)]
    sentence = f"The {topic} of {word} is known to those who keep the {choice.choice(TOPICS)}. "
    product.upload(slug, f"{number}.md", (sentence * 5).encode())
    return word


def _until_ready(product: Product, count: int) -> None:
    with psycopg.connect(product.setting("OWNER_DATABASE_URL"), autocommit=True) as database:
        query = "SELECT count(*) FROM documents_document WHERE status = 'ready'"
        while (database.execute(query).fetchone() or (0,))[0] < count:
            time.sleep(1)


def _rows(product: Product) -> list[tuple[str, int, int, str]]:
    with psycopg.connect(product.setting("OWNER_DATABASE_URL")) as database:
        return database.execute(
            "SELECT state, passages_done, passages_total, collection FROM documents_generation"
        ).fetchall()


if __name__ == "__main__":
    main()
