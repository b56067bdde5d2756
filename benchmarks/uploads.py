"""Many clients that upload at once: how long they wait, and how many uploads a second there are.

    .venv/bin/python -m benchmarks.uploads slow [--clients 64 256] [--delay 2] [--threads 8 64]
    .venv/bin/python -m benchmarks.uploads fast [--seconds 10] [--rounds 3] [--kilobytes 5 1000]

`slow`: an S3 that answers late, one web process with its ten connections; all clients come at the
same time. `fast`: an S3 that answers at once, and in turn with the web the plainest view that
stores the same file and inserts one row (benchmarks/plain.py). Markdown, of 5 KB where not said;
servers of their own; no worker and no relay, which would take processor time from either.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.latency import note
from benchmarks.load import Answer, Target, once, sessions, statuses, steadily
from benchmarks.web import prepare, s3, target, web
from deploy.local.servers import embedded_servers

CONTENT = note(1)
CLIENTS = [1, 8, 16, 32, 64]
IMPORTING = 5  # seconds that a web process imports LiteLLM beside its serving
POOL = 10  # connections of a web process
NO_CLIFF = 0.9  # of the best throughput, with the most clients
OF_PLAIN = 0.7  # of the plainest view's throughput


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    slow = commands.add_parser("slow")
    slow.add_argument("--clients", type=int, nargs="+", default=[64, 256])
    slow.add_argument("--delay", type=float, default=2.0, help="seconds")
    slow.add_argument("--threads", nargs="+", default=[], help="in place of lumikb/gunicorn.py's")
    slow.set_defaults(measure=lambda env, o: measure_slow(env, o.clients, o.delay, o.threads))
    fast = commands.add_parser("fast")
    fast.add_argument("--seconds", type=float, default=10.0, help="for each number of clients")
    fast.add_argument("--rounds", type=int, default=3)
    fast.add_argument("--kilobytes", type=int, nargs="+", default=[5, 1000], help="of a file")
    fast.set_defaults(measure=lambda env, o: measure_fast(env, o.seconds, o.rounds, o.kilobytes))
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="lumikb-uploads-") as home,
        embedded_servers(Path(home)) as env,
    ):
        options.measure(os.environ | env | {"LOG_LEVEL": "WARNING"}, options)


def measure_slow(env: dict[str, str], clients: list[int], delay: float, threads: list[str]) -> None:
    token = prepare(env)
    print("threads  clients  accepted  slowest s  connections  longest transaction s  MB")
    for number in threads or [""]:
        options = ["--threads", number] if number else []
        with (
            s3(delay) as storage,
            web(env | storage.env() | {"WEB_CONCURRENCY": "1"}, *options) as server,
        ):
            time.sleep(IMPORTING)
            for many in clients:
                before = len(storage.keys())
                with sessions(env["OPS_DATABASE_URL"]) as seen:
                    answers = once(target(server, token), many, CONTENT)
                slowest = max(answer.seconds for answer in answers)
                print(
                    f"{number or 'ours':<7} {many:8} {_accepted(answers):9} {slowest:10.1f} "
                    f"{seen.most['lumikb_web']:12} {seen.oldest['lumikb_web']:22.2f} "
                    f"{server.memory():5.0f}",
                    flush=True,
                )
                assert _accepted(answers) == many, statuses(answers)
                assert len(storage.keys()) - before == many
                assert seen.most["lumikb_web"] <= POOL


def measure_fast(env: dict[str, str], seconds: float, rounds: int, kilobytes: list[int]) -> None:
    token = prepare(env)
    with _both(env, token) as (ours, plain):
        time.sleep(IMPORTING)
        missed = [size for size in kilobytes if not _compare(ours, plain, size, seconds, rounds)]
    assert not missed, f"a bar is missed with files of {missed} KB"


def _compare(ours: Target, plain: Target, kilobytes: int, seconds: float, rounds: int) -> bool:
    """Print both throughputs for each number of clients; are they within the bars?"""
    content = CONTENT * (kilobytes // 5)
    for way in (ours, plain):
        steadily(way, 16, content, 2)  # fills the pools: left out
    rates: dict[tuple[str, int], float] = {}
    for number in range(rounds):
        for clients in CLIENTS:
            ways = [("ours", ours), ("plain", plain)]
            for name, way in ways if number % 2 else reversed(ways):
                rate = _rate(steadily(way, clients, content, seconds))
                rates[name, clients] = rates.get((name, clients), 0) + rate / rounds
    print(f"files of {kilobytes} KB\nclients  uploads/s  plain view/s  ratio")
    for clients in CLIENTS:
        our, their = rates["ours", clients], rates["plain", clients]
        print(f"{clients:7} {our:10.1f} {their:13.1f} {our / their:6.2f}")
    best = max(rates["ours", clients] for clients in CLIENTS)
    no_cliff = rates["ours", CLIENTS[-1]] / best
    all_ours, all_plain = (sum(rates[way, each] for each in CLIENTS) for way in ("ours", "plain"))
    print(f"{CLIENTS[-1]} clients / best: {no_cliff:.2f} (bar {NO_CLIFF})")
    print(f"all / plain view: {all_ours / all_plain:.2f} (bar {OF_PLAIN})", flush=True)
    return no_cliff >= NO_CLIFF and all_ours / all_plain >= OF_PLAIN


@contextmanager
def _both(env: dict[str, str], token: str) -> Iterator[tuple[Target, Target]]:
    """The web and the plainest view, with the same gunicorn, PostgreSQL and S3."""
    with ExitStack() as stack:
        storage = stack.enter_context(s3())
        ours = stack.enter_context(web(env | storage.env()))
        settings = {"DJANGO_SETTINGS_MODULE": "benchmarks.plain"}
        plain = stack.enter_context(web(env | storage.env() | settings, path="/"))
        yield target(ours, token), Target(plain.port, "/upload", token)  # or no file is let in


def _accepted(answers: list[Answer]) -> int:
    return sum(answer.status == 201 for answer in answers)


def _rate(answers: list[Answer]) -> float:
    """Accepted a second."""
    assert _accepted(answers) == len(answers), statuses(answers)
    began = min(answer.began for answer in answers)
    return len(answers) / (max(answer.ended for answer in answers) - began)


if __name__ == "__main__":
    main()
