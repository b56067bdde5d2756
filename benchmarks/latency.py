"""How long from the upload of a 5 KB Markdown file to READY, one file at a time.

    .venv/bin/python -m benchmarks.latency [--count 50]

Prints milliseconds, and beside them, from the same run, those of the cheapest request there is.
"""

import time
from collections.abc import Callable
from typing import Any

import httpx

from .client import Client, arguments, percentile

WORDS = (
    "The heron number {} nests in April beside the old mill; the ferryman counts it twice a day. "
)


def note(number: int) -> bytes:
    """5 KB of Markdown in six sections, with words of its own."""
    sections = (
        f"## Part {part}\n\n"
        + "".join(WORDS.format(number * 100 + part * 10 + line) for line in range(9))
        for part in range(6)
    )
    return (f"# Note {number}\n\n" + "\n\n".join(sections))[:5120].encode()


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = action()
    return (time.perf_counter() - began) * 1000, result


def main() -> None:
    parser = arguments("Upload 5 KB Markdown files one by one and wait for each to become READY.")
    parser.add_argument("--count", type=int, default=50)
    options = parser.parse_args()
    client = Client(options.home, options.port)
    slug = client.knowledge_base("latency")
    health = httpx.URL(f"http://127.0.0.1:{options.port}/health/live")
    cheapest, uploads, ready = [], [], []
    for number in range(options.count):
        cheapest.append(timed(lambda: client.http.get(health))[0])
        began = time.time()
        content, name = note(number), f"note-{number}.md"
        milliseconds, answer = timed(lambda: client.upload(slug, name, content))  # noqa: B023
        answer.raise_for_status()
        uploads.append(milliseconds)
        ready.append((client.ready_at(answer.json()["id"]) - began) * 1000)
    passages = client.wait(answer.json()["id"])["chunk_count"]
    print(f"{options.count} files, {passages} passages each; milliseconds")
    for name, values in (("cheapest request", cheapest), ("upload", uploads), ("ready", ready)):
        print(f"{name:<18} p50 {percentile(values, 50):7.1f}   p95 {percentile(values, 95):7.1f}")
    print(f"upload / cheapest request: {percentile(uploads, 50) / percentile(cheapest, 50):.1f}")


if __name__ == "__main__":
    main()
