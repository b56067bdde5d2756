"""A client of a LumiKB that runs on this machine (`make run`), for the measurements here."""

import argparse
import os
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx


def arguments(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--home", type=Path, default=os.environ.get("LUMIKB_HOME", ".lumikb"))
    parser.add_argument("--port", type=int, default=os.environ.get("PORT", 8000))
    return parser


class Client:
    def __init__(self, home: Path, port: int) -> None:
        token = (Path(home) / "api-token").read_text().strip()
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{port}/api/v1/",
            headers={"Authorization": f"Bearer {token}"},
            timeout=120,
        )

    def knowledge_base(self, name: str) -> str:
        answer = self.http.post("knowledge-bases", json={"name": name})
        answer.raise_for_status()
        return str(answer.json()["slug"])

    def upload(self, slug: str, filename: str, content: bytes) -> httpx.Response:
        url = f"knowledge-bases/{slug}/documents"
        return self.http.post(url, files={"file": (filename, content)})

    def ready_at(self, document_id: str, seconds: float = 300) -> float:
        """When it became READY, in seconds since 1970, by its own word.

        Who asks a hundred times a second takes half a core from the model.
        """
        document = self.wait(document_id, seconds, every=0.1)
        assert document["status"] == "ready", document
        return datetime.fromisoformat(document["indexed_at"]).timestamp()

    def wait(self, document_id: str, seconds: float = 300, every: float = 0.01) -> dict[str, Any]:
        """The document when it is READY or FAILED, or as it is after so many seconds; asked for
        `every` so many.
        """
        deadline = time.monotonic() + seconds
        while True:
            document: dict[str, Any] = self.http.get(f"documents/{document_id}").json()
            if document["status"] in ("ready", "failed") or time.monotonic() > deadline:
                return document
            time.sleep(every)


def percentile(values: list[float], percent: float) -> float:
    """The nearest-rank percentile."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(len(ranked) * percent / 100))]
