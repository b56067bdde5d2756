"""What the stores of a running product hold, read past the product's own code."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import sub
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
from psycopg.rows import dict_row

from documents.models import Chunk
from processing.index import terms
from tests.e2e.product import Product

Row = dict[str, Any]
SAME_VECTOR = 1e-5  # the sums of one call of the model may run in another order than another's


@dataclass(frozen=True)
class Held:
    """All that is stored of one document."""

    row: Row
    passages: Sequence[Row]  # by position
    events: Sequence[Row]
    points: dict[str, tuple[Row, Row]]  # id -> payload, vectors
    objects: Sequence[str]

    @property
    def content(self) -> list[tuple[Any, ...]]:
        """What the passages say, without what differs from one upload of a file to the next."""
        kept = ("position", "text", "page", "heading", "start", "end")
        return [tuple(passage[name] for name in kept) for passage in self.passages]

    def kinds(self) -> list[str]:
        """What happened to it; but not that its message was posted again, which changes nothing
        and is only a matter of time on a busy machine.
        """
        return [event["kind"] for event in self.events if event["kind"] != "reposted"]


class Stores:
    def __init__(self, product: Product) -> None:
        self._database = product.setting("OWNER_DATABASE_URL")
        self._objects = Path(product.setting("STORAGE_ROOT"))
        self._qdrant = httpx.Client(
            base_url=product.setting("QDRANT_URL"),
            headers={"api-key": product.setting("QDRANT_API_KEY")},
            timeout=60,
            trust_env=False,
        )

    def sql(self, statement: str, *parameters: object) -> list[Row]:
        with psycopg.connect(self._database, row_factory=dict_row) as connection:
            cursor = connection.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def held(self, document_id: str) -> Held:
        """The row alone may change later, by a heartbeat for example; so all but it is compared."""
        [row] = self.sql("SELECT * FROM documents_document WHERE id = %s", document_id)
        return Held(
            row,
            self.sql(
                "SELECT * FROM documents_chunk WHERE document_id = %s AND reading = %s"
                " ORDER BY position",
                document_id,
                row["chunk_reading"],
            ),
            self.sql(
                "SELECT * FROM documents_documentevent WHERE document_id = %s ORDER BY id",
                document_id,
            ),
            self._points(document_id),
            sorted(path.name for path in self._objects.glob(f"*/{document_id}/*")),
        )

    def _points(self, document_id: str) -> dict[str, tuple[Row, Row]]:
        """Of every collection there is."""
        of_document = {"key": "document", "match": {"value": document_id}}
        found = {}
        for collection in self._get("/collections")["collections"]:
            body: Row = {"filter": {"must": [of_document]}, "limit": 1000}
            body |= {"with_payload": True, "with_vector": True}
            while True:
                url = f"/collections/{collection['name']}/points/scroll"
                page = self._qdrant.post(url, json=body).raise_for_status().json()["result"]
                for point in page["points"]:
                    found[point["id"]] = (point["payload"], point["vector"])
                if page["next_page_offset"] is None:
                    break
                body["offset"] = page["next_page_offset"]
        return found

    def _get(self, url: str) -> Any:
        return self._qdrant.get(url).raise_for_status().json()["result"]


def assert_exact(document: Held, undisturbed: Held) -> None:
    """READY, and rows and points are those of a run of the same file that nothing disturbed."""
    row, passages = document.row, document.passages
    assert row["status"] == "ready", row
    assert row["chunk_count"] == len(passages) == len(document.points)
    assert document.content == undisturbed.content
    ids = [Chunk.id_for(UUID(str(row["id"])), number) for number in range(len(passages))]
    assert [passage["id"] for passage in passages] == ids
    assert set(document.points) == {str(each) for each in ids}
    expected = _by_position(undisturbed)
    names = _names(document, undisturbed)
    for position, (payload, vectors) in _by_position(document).items():
        assert payload["document"] == str(row["id"])
        assert payload["knowledge_base"] == str(row["knowledge_base_id"])
        there, like = vectors, expected[position][1]
        assert _words(there, names) == _words(like, names)
        assert max(map(abs, map(sub, there["dense"], like["dense"]))) < SAME_VECTOR


def _by_position(document: Held) -> dict[int, tuple[Row, Row]]:
    by_position = {point[0]["position"]: point for point in document.points.values()}
    assert sorted(by_position) == list(range(len(document.points)))
    return by_position


def _words(vectors: Row, names: set[int]) -> dict[int, float]:
    """What the words of a passage weigh, by their numbers; but not those of the file's name, which
    each file has of its own.
    """
    words = zip(vectors["bm25"]["indices"], vectors["bm25"]["values"], strict=True)
    return {word: weight for word, weight in words if word not in names}


def _names(*documents: Held) -> set[int]:
    named = (terms.passage_weights("", each.row["filename"]) for each in documents)
    return {word for weights in named for word in weights}
