"""Upload every file of a folder, and ask questions whose answers stand in them.

    .venv/bin/python -m benchmarks.corpus FOLDER --questions benchmarks/questions.json

Prints a table: file, status, passages, seconds from its upload to READY or FAILED; then for each
question whether the right document came first, on the right page.
"""

import json
import time
from pathlib import Path

from .client import Client, arguments


def main() -> None:
    parser = arguments("Upload every file of a folder and ask questions.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--questions", type=Path)
    options = parser.parse_args()
    client = Client(options.home, options.port)
    slug = client.knowledge_base(options.folder.name)
    upload_all(client, slug, options.folder)
    if options.questions:
        ask_all(client, slug, json.loads(options.questions.read_text()))


def upload_all(client: Client, slug: str, folder: Path) -> None:
    print(f"{'file':<42} {'status':<8} {'passages':>8} {'seconds':>8}  why not")
    for path in sorted(folder.iterdir()):
        began = time.monotonic()
        answer = client.upload(slug, path.name, path.read_bytes())
        if answer.status_code == 201:
            document = client.wait(answer.json()["id"])
            status, passages = document["status"], document["chunk_count"]
            why = f"{document['failure_code']} {document['failure_message']}"
        else:
            error = answer.json()["error"]
            status, passages, why = "refused", "", f"{error['code']} {error['message']}"
        seconds = time.monotonic() - began
        print(f"{path.name:<42} {status:<8} {passages:>8} {seconds:8.1f}  {why.strip()}")


def ask_all(client: Client, slug: str, questions: list[dict[str, object]]) -> None:
    right = 0
    for question in questions:
        body = {"query": question["question"], "knowledge_bases": [slug], "limit": 5}
        results = client.http.post("search", json=body).json()["results"]
        first = results[0] if results else {"filename": None, "page": None}
        found = (first["filename"], first["page"]) == (question["filename"], question["page"])
        right += found
        cited = f"{first['filename']}, page {first['page']}"
        print(f"{'right' if found else 'WRONG'}  {question['question']}  ->  {cited}")
    print(f"right document and page first: {right} of {len(questions)}")


if __name__ == "__main__":
    main()
