"""The reconciler beside the whole product: Qdrant is away, or has lost its data."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import httpx
import pytest

from tests.e2e.product import REPOSITORY, Product
from tests.processing.stubs import failing, refused_url, stubbed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600)]

OF_QDRANT = {
    "index not set up", "index incomplete", "points without a document",
    "index of another model", "purged points of another model",
    "points in another knowledge base",
}  # fmt: skip


@pytest.fixture(scope="module")
def words(product: Product, full: bool) -> dict[str, str]:
    """READY documents, each with the one word that finds it."""
    slug = product.knowledge_base("reconciled")
    words = {}
    for number in range(200 if full else 20):
        word = f"zilpzalp{number:03}"
        content = f"# Bird {number}\n\nThis one is called {word}, and it sings.\n"
        words[product.upload(slug, f"{number}.md", content.encode())] = word
    product.wait_until_ready(words, 600)
    return words


def reconcile(product: Product, **env: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """One run in a process of its own; its exit status, and its rows by their checks."""
    done = subprocess.run(
        [sys.executable, "manage.py", "reconcile", "--json"],
        cwd=REPOSITORY,
        env={**os.environ, **product.settings(), **env},
        stdout=subprocess.PIPE,
        check=False,
    )
    report = json.loads(done.stdout)
    return done.returncode, {row["check"]: row for row in report["findings"]}


@contextmanager
def refusing(product: Product) -> Iterator[dict[str, str]]:
    yield {"QDRANT_URL": refused_url()}


@contextmanager
def stopped(product: Product) -> Iterator[dict[str, str]]:
    product.signal("qdrant", signal.SIGSTOP)
    try:
        yield {"QDRANT_TIMEOUT": "1"}
    finally:
        product.signal("qdrant", signal.SIGCONT)


@contextmanager
def behind_a_proxy_that_lost_it(product: Product) -> Iterator[dict[str, str]]:
    with stubbed(failing(404)) as proxy:
        yield {"QDRANT_URL": proxy.url}


def requeued(product: Product, document_ids: list[str]) -> int:
    return sum(product.events(each).count("requeued") for each in document_ids)


def is_found(product: Product, document: str, word: str) -> bool:
    """By its word. Not always first: the nearest in meaning may be as good."""
    results = product.api.post("search", json={"query": word}).json()["results"]
    return document in [each["document_id"] for each in results]


def qdrant(product: Product, method: str, path: str, body: Any = None) -> Any:
    """What Qdrant itself says."""
    settings = product.settings()
    collections = f"{settings['QDRANT_URL']}/collections"
    headers = {"api-key": settings["QDRANT_API_KEY"]}
    [name] = [
        each["name"]
        for each in httpx.get(collections, headers=headers).json()["result"]["collections"]
    ]
    url = f"{collections}/{name}{path}"
    answer = httpx.request(method, url, json=body, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


def rebuild(product: Product, lost: list[str]) -> tuple[dict[str, dict[str, Any]], float]:
    """Reconcile, and wait until what was lost is READY; the rows, and how many seconds it took."""
    began = time.monotonic()
    status, rows = reconcile(product)
    assert status == 0, rows
    product.wait_until_ready(lost, 900)
    return rows, time.monotonic() - began


@pytest.mark.parametrize("away", [refusing, stopped, behind_a_proxy_that_lost_it])
def test_a_qdrant_that_cannot_be_asked_makes_nobody_requeued(
    away: Callable[[Product], Any], product: Product, words: dict[str, str]
) -> None:
    before = requeued(product, list(words))
    with away(product) as env:
        status, rows = reconcile(product, **env)
    again = requeued(product, list(words)) - before
    print(f"\n{away.__name__}: of {len(words)} READY documents requeued {again}")
    assert again == 0
    assert status == 1
    assert {check for check, row in rows.items() if row["skipped"]} == OF_QDRANT
    assert sum(row["found"] for row in rows.values()) == 0
    assert {product.document(each)["status"] for each in words} == {"ready"}


def test_half_of_the_points_lost_are_rebuilt_while_the_other_half_is_found(
    product: Product, words: dict[str, str]
) -> None:
    documents = list(words)
    lost, kept = documents[::2], documents[1::2]
    assert all(is_found(product, each, word) for each, word in words.items())
    any_lost = {"must": [{"key": "document", "match": {"any": lost}}]}
    qdrant(product, "POST", "/points/delete?wait=true", {"filter": any_lost})
    assert not any(is_found(product, each, words[each]) for each in lost)
    searches: list[bool] = []
    rebuilt = Event()

    def search_the_kept() -> None:
        while not rebuilt.is_set():
            for each in kept:
                searches.append(is_found(product, each, words[each]))

    searching = Thread(target=search_the_kept)
    searching.start()
    try:
        rows, seconds = rebuild(product, lost)
    finally:
        rebuilt.set()
        searching.join()
    print(
        f"\nhalf wiped: {len(lost)} rebuilt in {seconds:.0f} s; meanwhile {len(searches)} searches "
        f"for the other {len(kept)}, of which failed {searches.count(False)}"
    )
    assert (rows["index incomplete"]["found"], rows["index incomplete"]["mended"]) == (
        len(lost),
        len(lost),
    )
    assert searches
    assert all(searches)
    assert all(is_found(product, each, words[each]) for each in lost)


def test_all_the_data_lost_is_rebuilt(product: Product, words: dict[str, str]) -> None:
    qdrant(product, "DELETE", "")
    assert not is_found(product, *next(iter(words.items())))
    rows, seconds = rebuild(product, list(words))
    count = qdrant(product, "POST", "/points/count", {"exact": True})["count"]
    print(f"\nwiped: {len(words)} rebuilt in {seconds:.0f} s, {count} points")
    assert rows["index incomplete"]["mended"] == len(words) == count
    assert all(is_found(product, each, word) for each, word in words.items())
    status, rows = reconcile(product)
    assert status == 0
    assert {check for check, row in rows.items() if row["found"]} == set()
