"""How long a search takes among many passages, beside the engine's own part of it.

    .venv/bin/python -m benchmarks.scale [--passages 100000] [--queries 200]

On servers of its own: documents of ten passages of real words (of benchmarks/retrieval; one of
5,000 texts each), whose vectors are made, in clusters; all in one knowledge base but one in a
thousand, which have their own. The vector of a query is made, too, so no model is asked: what is
compared is everything else.
`raw` is the same question to the engine (both halves and the filter) as a prepared HTTP request
whose answer is not looked at. While the queries are timed a worker adds passages, ten a second, as
fast as one embeds them on two cores. The recall is that of the 10 nearest vectors.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean
from threading import Event, Thread
from typing import Any
from uuid import UUID, uuid4

import django
import httpx
import numpy as np

from benchmarks.client import percentile
from deploy.local.application import acting_as
from deploy.local.servers import embedded_servers
from tests.e2e.product import descendants

DIMENSIONS = 384
SPREAD = 1.0  # of a passage around its cluster, in each dimension; the clusters lie 1.0 apart
CLUSTERS = 300
PASSAGES = 10  # of a document
WORDS = 40  # of a passage
TEXTS = 5000  # different ones
BATCH = 1000  # passages
LARGE, SMALL = 1, 2  # knowledge bases
FEW = 1000  # one passage of so many is in the small one
ADDED = 10  # passages a second, meanwhile


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=200)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="lumikb-scale-") as home,
        embedded_servers(Path(home)) as env,
    ):
        os.environ |= acting_as("OWNER", env) | {
            "DJANGO_SETTINGS_MODULE": "lumikb.settings",
            "LOG_LEVEL": "WARNING",
        }
        migrate = [sys.executable, "manage.py", "migrate", "-v0"]
        subprocess.run(migrate, check=True)
        django.setup()
        _measure(options.passages, options.queries)


def _measure(passages: int, queries: int) -> None:
    began = time.monotonic()
    made = Collection(passages)
    made.fill()
    print(f"{passages} passages, made in {time.monotonic() - began:.0f} s", flush=True)
    settle()
    print(f"memory of the engine: {engine_megabytes():.0f} MB", flush=True)
    with adding(made):
        for knowledge_base in (LARGE, SMALL):
            report(made, knowledge_base, queries)


@dataclass(frozen=True, slots=True)
class Text:
    """A passage as both places want it."""

    text: str
    words: str
    weights: dict[int, float]

    @classmethod
    def of(cls, text: str) -> "Text":
        from processing.index import terms

        return cls(text, terms.tsvector(text), terms.passage_weights(text, language="en"))


class Collection:
    """Passages and their vectors; of a place, always the same."""

    def __init__(self, size: int) -> None:
        dice = np.random.default_rng(14)
        self._clusters = dice.normal(size=(CLUSTERS, DIMENSIONS)).astype("f4")
        self._chances = 1 / np.arange(1, len(vocabulary()) + 1) ** 0.9
        self._chances /= self._chances.sum()
        self.vectors = np.empty((size, DIMENSIONS), "f4")
        self.ids: list[UUID] = []
        self.texts: list[Text] = []
        self.size = size

    def fill(self) -> None:
        from django.contrib.auth.models import User

        from documents.models import KnowledgeBase
        from processing.index import vectors

        dice = np.random.default_rng(15)
        self.texts = [Text.of(self.some_words(dice, WORDS)) for _ in range(TEXTS)]
        User.objects.create_superuser("reader")
        for pk in (LARGE, SMALL):
            KnowledgeBase.objects.create(pk=pk, name=str(pk), slug=str(pk))
        vectors._create(vectors.collection(), DIMENSIONS)
        for start in range(0, self.size, BATCH):
            self.add(start, min(BATCH, self.size - start))

    def add(self, start: int, count: int) -> None:
        """Documents and their points, in both places."""
        from documents.models import Chunk, Document
        from processing.index import vectors

        dice = np.random.default_rng(start)
        dense = self.dense(start, count)
        if start + count <= self.size:
            self.vectors[start : start + count] = dense / np.linalg.norm(dense, axis=1)[:, None]
        chunks, documents, points = [], [], []
        for n in range(count):
            if n % PASSAGES == 0:
                document = document_of((start + n) // PASSAGES, min(PASSAGES, count - n))
                documents.append(document)
            text = self.texts[dice.integers(TEXTS)]
            pk = Chunk.id_for(document.pk, n % PASSAGES)
            chunks.append(
                Chunk(
                    id=pk,
                    document=document,
                    position=n % PASSAGES,
                    text=text.text,
                    start=0,
                    end=len(text.text),
                    language="en",
                    words=text.words,
                )
            )
            point = vectors.Point(pk, n % PASSAGES, dense[n].tolist(), text.weights)
            points.append((document, point))
        Document.objects.bulk_create(documents)
        Chunk.objects.bulk_create(chunks)
        for each in range(0, count, 200):
            put(points[each : each + 200])
        if start + count <= self.size:
            self.ids += [chunk.pk for chunk in chunks]

    def dense(self, start: int, count: int) -> np.ndarray:
        dice = np.random.default_rng([14, start])
        of = self._clusters[dice.integers(CLUSTERS, size=count)]
        return (of + dice.normal(size=(count, DIMENSIONS)) * SPREAD).astype("f4")

    def some_words(self, dice: np.random.Generator, count: int) -> str:
        places = dice.choice(len(self._chances), count, p=self._chances)
        return " ".join(vocabulary()[n] for n in places)

    def questions(self, count: int, knowledge_base: int) -> Iterator[tuple[str, np.ndarray]]:
        """Three words, and a vector beside that of a passage."""
        dice = np.random.default_rng([1, knowledge_base])
        for place in self.of(knowledge_base)[
            dice.integers(self.size, size=count) % len(self.of(knowledge_base))
        ]:
            words = self.some_words(dice, 3)
            vector = self.vectors[place] + dice.normal(size=DIMENSIONS) * 0.03
            yield words, (vector / np.linalg.norm(vector)).astype("f4")

    @cache  # noqa: B019 (one collection)
    def of(self, knowledge_base: int) -> np.ndarray:
        """The places of its passages."""
        documents = np.arange(self.size) // PASSAGES
        small = documents % FEW == 0
        return np.flatnonzero(small if knowledge_base == SMALL else ~small)

    def nearest(self, vector: np.ndarray, knowledge_base: int) -> set[UUID]:
        places = self.of(knowledge_base)
        best = np.argsort(-(self.vectors[places] @ vector))[:10]
        return {self.ids[place] for place in places[best]}


@cache
def vocabulary() -> list[str]:
    """The words of the English and German collections, and, to be many, pairs of them."""
    from benchmarks.retrieval.questions import collection
    from processing.index.folding import runs

    words = sorted(
        {
            part
            for language in ("en", "de", "fr")
            for passage in collection(language).passages
            for run in runs(passage)
            for part, _, _ in run.parts
        }
    )
    dice = random.Random(14)
    dice.shuffle(words)
    return words + ["".join(dice.sample(words, 2)).lower() for _ in range(20_000)]


def document_of(number: int, passages: int) -> Any:
    from django.db.models.functions import Now

    from documents.models import Document, Status

    pk = uuid4()
    return Document(
        pk=pk,
        knowledge_base_id=SMALL if number % FEW == 0 else LARGE,
        filename=f"{pk}.md",
        content_type="text/markdown",
        size=8,
        sha256="0" * 64,
        status=Status.READY,
        attempts=1,
        lease_epoch=1,
        indexed_epoch=1,
        indexed_at=Now(),
        chunk_count=passages,
    )


def put(points: list[tuple[Any, Any]]) -> None:
    """In one call; the product's own writes those of one document."""
    from processing.index import vectors

    structs = [
        {
            "id": str(point.id),
            "vector": {
                vectors.DENSE: point.dense,
                vectors.SPARSE: {
                    "indices": list(point.sparse),
                    "values": list(point.sparse.values()),
                },
            },
            "payload": {
                "knowledge_base": str(document.knowledge_base_id),
                "document": str(document.pk),
                "position": point.position,
            },
        }
        for document, point in points
    ]
    engine("PUT", "points", {"points": structs})


def engine(method: str, path: str, body: Any) -> bytes:
    from django.conf import settings

    from processing.index import vectors

    answer = _http().request(
        method,
        f"{settings.QDRANT_URL}/collections/{vectors.collection()}/{path}",
        content=body if isinstance(body, bytes) else json.dumps(body).encode(),
        headers={"api-key": settings.QDRANT_API_KEY, "Content-Type": "application/json"},
    )
    answer.raise_for_status()
    return answer.content


@cache
def _http() -> httpx.Client:
    return httpx.Client(timeout=600)


def settle() -> None:
    """Until the engine has made its index, if it makes one, and PostgreSQL knows its tables."""
    from django.conf import settings
    from django.db import connection

    from processing.index import vectors

    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    began = time.monotonic()
    address = f"{settings.QDRANT_URL}/collections/{vectors.collection()}"
    quiet = 0
    while quiet < 4:
        time.sleep(4)
        info = _http().get(address, headers={"api-key": settings.QDRANT_API_KEY}).json()["result"]
        quiet = quiet + 1 if info["status"] == "green" else 0
    seconds = time.monotonic() - began - 16
    print(
        f"{info['indexed_vectors_count']} vectors indexed after {max(seconds, 0):.0f} s", flush=True
    )


def engine_megabytes() -> float:
    """What the engine's process holds for itself; files that it maps are the system's cache."""
    for pid in descendants(os.getpid()):
        if b"deploy.local.qdrant" in Path(f"/proc/{pid}/cmdline").read_bytes():
            status = Path(f"/proc/{pid}/status").read_text()
            return int(status.split("RssAnon:")[1].split()[0]) / 1024
    raise ProcessLookupError


@contextmanager
def adding(made: Collection) -> Iterator[None]:
    """A worker that adds passages meanwhile."""
    stop = Event()

    def work() -> None:
        start = made.size
        while not stop.wait(1):
            made.add(start, ADDED)
            start += ADDED

    worker = Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join()


def report(made: Collection, knowledge_base: int, count: int) -> None:
    from django.contrib.auth.models import User

    from documents.connections import release
    from processing.index import embeddings, terms, vectors
    from search import retrieval
    from search.query import parse

    user = User.objects.get()
    retrieval.warm_up()
    taken: dict[str, list[float]] = {"search": [], "raw": []}
    recalls, known = [], set(made.ids)
    for number, (words, vector) in enumerate(made.questions(count + 5, knowledge_base)):
        dense = vector.tolist()
        query = parse(words).narrowed(knowledge_bases=[str(knowledge_base)])
        embeddings.embed_query = lambda text, model, dense=dense: dense  # type: ignore[assignment]
        body = json.dumps(question(dense, terms.query_weights(words), knowledge_base)).encode()
        seconds = {}
        for name in ("search", "raw") if number % 2 else ("raw", "search"):
            began = time.perf_counter()
            if name == "raw":
                engine("POST", "points/query/batch", body)
            else:
                retrieval.search(user, query, 10).best(10)
                release()
            seconds[name] = time.perf_counter() - began
        if number >= 5:  # the first ones load what is on the disk
            for name, value in seconds.items():
                taken[name].append(value * 1000)
        if number < 100:
            hits = vectors.candidates(dense, {}, [knowledge_base], retrieval.DEPTH).by_meaning
            found = [hit.chunk_id for hit in hits if hit.chunk_id in known][:10]  # none that came
            recalls.append(len(set(found) & made.nearest(vector, knowledge_base)) / 10)
    share = len(made.of(knowledge_base)) / made.size
    print(f"knowledge base of {share:.1%}; recall@10 {fmean(recalls):.3f}")
    for name, values in taken.items():
        shown = "   ".join(f"p{n} {percentile(values, n):7.1f}" for n in (50, 95, 99))
        print(f"  {name:8} ms: {shown}")
    ratio = percentile(taken["search"], 50) / percentile(taken["raw"], 50)
    print(f"  search / raw, p50: {ratio:.2f}", flush=True)


def question(dense: list[float], words: dict[int, float], knowledge_base: int) -> Any:
    """As `vectors.candidates` asks."""
    from processing.index import vectors
    from search.retrieval import DEPTH

    allowed = {"must": [{"key": "knowledge_base", "match": {"any": [str(knowledge_base)]}}]}
    sparse = {"indices": list(words), "values": list(words.values())}
    return {
        "searches": [
            {"query": dense, "using": vectors.DENSE, "filter": allowed, "limit": DEPTH},
            {"query": sparse, "using": vectors.SPARSE, "filter": allowed, "limit": DEPTH},
            {
                "query": sparse,
                "using": vectors.SPARSE,
                "filter": allowed,
                "limit": vectors.BEST,
                "with_vector": [vectors.SPARSE],
            },
        ]
    }


if __name__ == "__main__":
    main()
