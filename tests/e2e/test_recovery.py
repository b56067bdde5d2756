"""The whole product, killed in the ways that made its predecessor hang."""

import hashlib
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import redis

from tests.e2e.lab import PATIENCE
from tests.e2e.product import Product, wait_for
from tests.local.conftest import running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2 * PATIENCE)]

PARAGRAPH = "The heron number {} nests in April beside the old mill; the ferryman counts it twice. "


def long_text(chunks: int) -> bytes:
    """So many passages, half filled, each with words of its own."""
    sections = (
        f"## Section {n}\n\n" + "".join(PARAGRAPH.format(n * 100 + k) for k in range(6)) + "\n\n"
        for n in range(chunks)
    )
    return "".join(sections).encode()


@pytest.fixture(scope="module", autouse=True)
def _it_stops_in_good_order(product: Product) -> Iterator[None]:
    yield
    processes = product.pids("supervisor")
    assert len(processes) > 10
    assert product.stop() == 0
    # The worker's fork server is nobody's child any more by now, and ends by itself.
    wait_for(lambda: not any(map(running, processes)), 10, "all its processes to end")


def test_an_uploaded_file_becomes_a_cited_search_hit(product: Product) -> None:
    slug = product.knowledge_base("first steps")
    document_id = product.upload(
        slug, "birds.md", b"# Birds\n\n## Herons\n\nThe heron eats frogs.\n"
    )
    product.wait_until_ready([document_id], 60)
    answer = product.api.post(
        "search", json={"query": "what do herons eat", "knowledge_bases": [slug]}
    ).json()
    first = answer["results"][0]
    assert (first["document_id"], first["heading"]) == (document_id, "Birds > Herons")
    assert "frogs" in first["text"]


def test_of_fifty_uploads_of_one_name_at_once_one_is_taken(product: Product) -> None:
    slug = product.knowledge_base("race")
    url = f"knowledge-bases/{slug}/documents"
    stored = len(product.objects())
    start = Barrier(50)

    def upload(number: int) -> int:
        start.wait()
        file = ("same.md", f"Copy number {number}.\n".encode())
        return product.api.post(url, files={"file": file}).status_code

    with ThreadPoolExecutor(50) as threads:
        answers = Counter(threads.map(upload, range(50)))
    assert answers == {201: 1, 409: 49}
    assert product.api.get(url).json()["count"] == 1
    assert len(product.objects()) == stored + 1


def test_a_document_survives_kill_9_of_its_worker(product: Product) -> None:
    slug = product.knowledge_base("killed worker")
    document_id = product.upload(slug, "long.md", long_text(150))
    wait_for(lambda: product.document(document_id)["progress_count"] >= 32, 60, "embedding")
    product.signal("worker", signal.SIGKILL)
    seconds = wait_for(
        lambda: product.document(document_id)["status"] == "ready",
        PATIENCE,
        lambda: str(product.document(document_id)),
    )
    document = product.document(document_id)
    events = [kind for kind in product.events(document_id) if kind != "reposted"]
    assert events == ["registered", "claimed", "reclaimed", "claimed", "succeeded"]
    assert document["attempts"] == 2
    answer = product.api.post("search", json={"query": "heron", "knowledge_bases": [slug]})
    assert answer.json()["results"]
    print(f"ready {seconds:.1f} s after the kill; {document['chunk_count']} passages")


def test_documents_whose_messages_were_flushed_from_redis_become_ready(product: Product) -> None:
    slug = product.knowledge_base("flushed")
    product.signal("worker", signal.SIGSTOP)
    try:
        documents = [
            product.upload(slug, f"{n}.md", PARAGRAPH.format(n).encode()) for n in range(60)
        ]
        client = redis.Redis.from_url(product.setting("REDIS_URL"))
        wait_for(lambda: client.hlen("dramatiq:documents.msgs") >= 50, 20, "the relay to post")
        client.flushall()
    finally:
        product.signal("worker", signal.SIGCONT)
    product.wait_until_ready(documents, 120)
    assert any("reposted" in product.events(each) for each in documents), "none was lost"


def test_everything_killed_at_once_comes_back_and_finishes(product: Product) -> None:
    slug = product.knowledge_base("all killed")
    content = long_text(8)
    documents = [product.upload(slug, f"{n}.md", content) for n in range(10)]
    time.sleep(1)
    product.signal("supervisor", signal.SIGKILL)
    product.process.wait(timeout=10)
    product.start()
    product.wait_until_ready(documents, 120)
    digests = {product.document(each)["sha256"] for each in documents}
    assert digests == {hashlib.sha256(content).hexdigest()}
