"""How long a search takes while documents are embedded, and how fast they are meanwhile.

    .venv/bin/python -m benchmarks.beside [--seconds 30] [--megabytes 10] [--files 1]

Searches, each for other words, first on an idle machine and then while long texts are worked on.
"""

import random
import time

from .client import Client, arguments, percentile

WORDS = [
    *("heron", "ferry", "mill", "river", "reed", "nest", "April", "water", "fish", "boat"),
    *("bridge", "ledger", "tax", "pump", "valve", "seal", "hotel", "train", "harbour", "invoice"),
    *("manager", "vacation", "doctor", "contract", "keys", "lamp", "garden", "frost", "apple"),
]
DONE = {"ready", "failed"}


def text(size: int, dice: random.Random) -> bytes:
    """So many bytes of sentences in sections."""
    parts: list[str] = []
    length = 0
    while length < size:
        sentences = (" ".join(dice.choices(WORDS, k=12)).capitalize() + "." for _ in range(14))
        part = f"## Part {len(parts)}\n\n{' '.join(sentences)}\n\n"
        parts.append(part)
        length += len(part)
    return "".join(parts).encode()


def searched(client: Client, seconds: float, dice: random.Random) -> list[float]:
    """Milliseconds of each."""
    taken = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        query = f"where is the {dice.choice(WORDS)} {dice.randrange(10**6)}"
        began = time.perf_counter()
        client.http.post("search", json={"query": query}).raise_for_status()
        taken.append((time.perf_counter() - began) * 1000)
        time.sleep(0.1)
    return taken


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--megabytes", type=float, default=10)
    parser.add_argument("--files", type=int, default=1)
    options = parser.parse_args()
    dice = random.Random(14)
    client = Client(options.home, options.port)
    slug = client.knowledge_base("beside")
    small = client.upload(slug, "small.md", text(20_000, dice))
    client.wait(small.json()["id"])
    report("idle", searched(client, options.seconds / 2, dice))
    size = int(options.megabytes * 2**20)
    sent = [
        client.upload(slug, f"long-{n}.md", text(size, dice)).json()["id"]
        for n in range(options.files)
    ]
    while not any(embedded(client, each) for each in sent):
        time.sleep(0.1)
    before, began = sum(embedded(client, each) for each in sent), time.monotonic()
    taken = searched(client, options.seconds, dice)
    seconds = time.monotonic() - began
    done = sum(embedded(client, each) for each in sent) - before
    report("beside", taken)
    print(f"{done / seconds:.1f} passages a second meanwhile")
    for each in sent:
        client.http.delete(f"documents/{each}")


def embedded(client: Client, document_id: str) -> int:
    document = client.http.get(f"documents/{document_id}").json()
    if document["status"] in DONE:
        return int(document["chunk_count"] or 0)
    return int(document["progress_count"] or 0) if document["stage"] == "embed" else 0


def report(name: str, taken: list[float]) -> None:
    shown = "   ".join(f"p{n} {percentile(taken, n):6.0f}" for n in (50, 95, 99))
    print(f"{name:8} {len(taken)} searches, ms: {shown}   max {max(taken):6.0f}")


if __name__ == "__main__":
    main()
