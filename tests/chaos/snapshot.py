"""All that the database, the index and the storage hold, read past the product's own code."""

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
from psycopg.rows import dict_row

from tests.chaos.watch import connect

Row = dict[str, Any]
PAGE = 500
TABLES = (
    "documents_knowledgebase", "documents_document", "documents_chunk", "documents_textpart",
    "documents_documentevent",
    "documents_outboxmessage", "documents_reconcilerun", "documents_outage", "chaos_audit",
)  # fmt: skip


@dataclass(slots=True)
class Snapshot:
    """Documents by id, the rest by document. Objects: key in the storage -> SHA-256."""

    slugs: dict[int, str] = field(default_factory=dict)  # of knowledge bases
    documents: dict[UUID, Row] = field(default_factory=dict)
    chunks: dict[UUID, list[Row]] = field(default_factory=lambda: defaultdict(list))
    parts: dict[UUID, list[Row]] = field(default_factory=lambda: defaultdict(list))
    points: dict[UUID, dict[UUID, Row]] = field(default_factory=lambda: defaultdict(dict))
    objects: dict[str, str] = field(default_factory=dict)
    outbox: list[Row] = field(default_factory=list)


def take(database_url: str, qdrant_url: str, qdrant_key: str, storage: Path) -> Snapshot:
    snapshot = Snapshot(objects=_objects(storage))
    with connect(database_url) as connection:
        for row in _rows(connection, "SELECT * FROM documents_knowledgebase"):
            snapshot.slugs[row["id"]] = row["slug"]
        for row in _rows(connection, "SELECT * FROM documents_document"):
            snapshot.documents[row["id"]] = row
        for row in _rows(connection, "SELECT * FROM documents_chunk ORDER BY position"):
            of_document = snapshot.documents[row["document_id"]]
            if row["reading"] == of_document["chunk_reading"] or of_document["purged_at"]:
                snapshot.chunks[row["document_id"]].append(row)
        for row in _rows(connection, "SELECT * FROM documents_textpart ORDER BY number"):
            snapshot.parts[row["document_id"]].append(row)
        snapshot.outbox = _rows(connection, "SELECT * FROM documents_outboxmessage")
    for point in _points(qdrant_url, qdrant_key):
        of_document = snapshot.points[UUID(point["payload"]["document"])]
        of_document[UUID(point["id"])] = point
    return snapshot


def dump(database_url: str, folder: Path) -> None:
    """Each table as JSON lines, for the one who looks for the cause."""
    folder.mkdir(exist_ok=True)
    with connect(database_url) as connection:
        for table in TABLES:
            with (folder / f"{table}.jsonl").open("w") as file:
                try:
                    rows = _rows(connection, f"SELECT * FROM {table} ORDER BY 1")  # noqa: S608
                except psycopg.errors.UndefinedTable:
                    continue
                file.writelines(json.dumps(row, default=str) + "\n" for row in rows)


def _rows(connection: psycopg.Connection[Any], statement: str) -> list[Row]:
    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def _points(url: str, key: str) -> list[Row]:
    """Of every collection there is, with their vectors."""
    found = []
    with httpx.Client(base_url=url, headers={"api-key": key}, timeout=60, trust_env=False) as http:
        listed = http.get("/collections").raise_for_status().json()["result"]
        for collection in listed["collections"]:
            body: Row = {"limit": PAGE, "with_payload": True, "with_vector": ["dense"]}
            while True:
                answer = http.post(f"/collections/{collection['name']}/points/scroll", json=body)
                page = answer.raise_for_status().json()["result"]
                found += page["points"]
                if page["next_page_offset"] is None:
                    break
                body["offset"] = page["next_page_offset"]
    return found


def _objects(storage: Path) -> dict[str, str]:
    return {
        str(path.relative_to(storage)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in storage.rglob("*")
        if path.is_file()
    }
