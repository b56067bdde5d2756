"""What clients that dawdle cost the others: `make run`, then, beside it,

    .venv/bin/python -m benchmarks.slow_clients [--sockets 140 1000] [--seconds 60]

Four kinds, and all four at once: a request's head, the body of a login and that of an upload, each
a byte every 9 s, and a download that nobody reads. A socket that is dropped is opened anew at once.
Meanwhile one client asks /health/live and searches, again and again.
"""

import math
import multiprocessing
import resource
import select
import socket
import statistics
import time
from dataclasses import dataclass, field
from itertools import cycle, islice

import httpx

from benchmarks.client import Client, arguments

PAUSE = 9.0  # seconds from one byte to the next
# 10 MB are more than the kernel keeps for a client; a comment is nothing that must be embedded.
LARGE = b"<p>The heron nests in April.</p><!-- %s -->" % (b"x" * 10_000_000)
FORM = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\n"
UPLOAD = "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000000\r\n\r\n"
ENDED = select.POLLRDHUP | select.POLLHUP | select.POLLERR


def main() -> None:
    parser = arguments("What clients that dawdle cost the others.")
    parser.add_argument("--sockets", type=int, nargs="+", default=[140, 1000])
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    client = Client(options.home, options.port)
    kinds = {name: [kind] for name, kind in _kinds(client, options.port).items()}
    kinds["all four"] = [kind for [kind] in kinds.values()]
    print("            slowest answer, s      dropped after, s")
    print("sockets  /health/live  search   median  latest  kind")
    for sockets in [0, *options.sockets]:
        for name, kind in kinds.items() if sockets else [("nobody", [])]:
            crowd = Crowd(options.port, kind, sockets)
            crowd.start()
            health, search = _others(client, options.port, options.seconds)
            dropped = crowd.end() or [math.nan]
            median, latest = statistics.median(dropped), max(dropped)
            times = f"{health:12.2f}  {search:6.2f}   {median:6.1f}  {latest:6.1f}"
            print(f"{sockets:7}  {times}  {name}", flush=True)


@dataclass(frozen=True)
class Kind:
    head: bytes
    drips: bool = True


def _kinds(client: Client, port: int) -> dict[str, Kind]:
    slug = client.knowledge_base(f"slow-clients-{time.time():.0f}")
    document = client.upload(slug, "large.html", LARGE).json()["id"]
    client.wait(document)
    bearer = f"Authorization: {client.http.headers['Authorization']}\r\n"

    def head(line: str, fields: str) -> bytes:
        return f"{line} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{fields}".encode()

    upload = head(f"POST /api/v1/knowledge-bases/{slug}/documents", bearer + UPLOAD)
    download = head(f"GET /api/v1/documents/{document}/content", f"{bearer}\r\n")
    return {
        "head": Kind(head("GET /", "X-Slow: ")),
        "login's body": Kind(head("POST /login/", FORM)),
        "upload": Kind(upload),
        "download": Kind(download, drips=False),
    }


@dataclass
class Dawdler:
    socket: socket.socket
    kind: Kind
    since: float = field(default_factory=time.monotonic)
    sent: float = field(default_factory=time.monotonic)


class Crowd(multiprocessing.Process):
    """Keeps so many sockets open, of these kinds in turn; not where the others' time is taken."""

    def __init__(self, port: int, kinds: list[Kind], sockets: int) -> None:
        super().__init__()
        self.port = port
        self.kinds = list(islice(cycle(kinds), sockets))
        self.dropped: list[float] = []
        """Seconds from the opening of each socket that the server ended."""
        self.is_over = multiprocessing.Event()
        self._result: multiprocessing.SimpleQueue[list[float]] = multiprocessing.SimpleQueue()
        self._open: dict[int, Dawdler] = {}
        self._poll = select.poll()

    def run(self) -> None:
        for kind in self.kinds:
            self._begin(kind)
        while not self.is_over.is_set():
            for number, _ in self._poll.poll(100):
                self._end(number)
            for number in [number for number, one in self._open.items() if _is_due(one)]:
                self._drip(number)
        for one in self._open.values():
            one.socket.close()
        self._result.put(self.dropped)

    def end(self) -> list[float]:
        """What it has of `dropped`."""
        self.is_over.set()
        dropped = self._result.get()
        self.join()
        return dropped

    def _begin(self, kind: Kind) -> None:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        connection.sendall(kind.head)
        connection.setblocking(False)
        self._open[connection.fileno()] = Dawdler(connection, kind)
        # A download lies unread in the kernel; of the others, an answer is the end, too.
        self._poll.register(connection, ENDED | (select.POLLIN if kind.drips else 0))

    def _end(self, number: int) -> None:
        one = self._open.pop(number)
        self._poll.unregister(number)
        one.socket.close()
        self.dropped.append(time.monotonic() - one.since)
        self._begin(one.kind)

    def _drip(self, number: int) -> None:
        one = self._open[number]
        one.sent = time.monotonic()
        try:
            one.socket.send(b"x")
        except OSError:
            self._end(number)


def _is_due(one: Dawdler) -> bool:
    return one.kind.drips and time.monotonic() - one.sent > PAUSE


def _others(client: Client, port: int, seconds: float) -> tuple[float, float]:
    """The slowest answer of /health/live, on a new connection each time, and of a search."""
    health: list[float] = []
    search: list[float] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        url = f"http://127.0.0.1:{port}/health/live"
        httpx.get(url, timeout=120, trust_env=False).raise_for_status()
        health.append(time.monotonic() - began)
        began = time.monotonic()
        client.http.post("search", json={"query": f"heron {len(search)}"}).raise_for_status()
        search.append(time.monotonic() - began)
        time.sleep(0.05)
    return max(health), max(search)


if __name__ == "__main__":
    main()
