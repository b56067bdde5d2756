"""How long a caller waits for a service that fails, and what its user then sees.

    .venv/bin/python -m benchmarks.deadlines [--scale 1] [--service storage ...]

Each of the five services, behind a proxy, fails in six ways: nobody listens, connections are reset,
what is sent is swallowed, answers drip a byte a second, the connection is cut when the answer
begins (it was done, nobody heard), and connections are half open. Meanwhile somebody uploads or
searches through the API, a worker processes a document, a relay makes a tick. The services have a
process each, at the same time, with a database of its own. The deadlines are production's times
`scale`, with PostgreSQL's those of its role.

After each fault the same is done again until it works: that time is shown too, and in the end how
many threads and sockets there are more than before the first fault.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import django
import psycopg

from deploy.local.application import acting_as
from deploy.local.servers import embedded_servers, free_ports, http_answers
from tests.chaos.proxy import Proxies, Proxy

BAR = 1.1  # of the deadline
SOON = 30  # seconds in which all must work again
FAULTS: dict[str, Callable[[Proxy], None]] = {
    "refuses": Proxy.leave,
    "resets": Proxy.refuse,
    "swallows": Proxy.swallow,
    "drips": Proxy.drip,
    "cuts the answer": Proxy.cut_answers,
    "half open": Proxy.half_open,
}
ADDRESS = {  # the variable that says where the service is
    "postgresql": "DATABASE_URL",
    "redis": "REDIS_URL",
    "storage": "S3_ENDPOINT_URL",
    "qdrant": "QDRANT_URL",
    "embedding": "EMBEDDING_API_BASE",
}
WAITS = {  # variables with a deadline, in seconds
    "DB_POOL_TIMEOUT": 30,
    "REDIS_TIMEOUT": 3,
    "REQUEST_TIMEOUT": 18,
    "S3_CONNECT_TIMEOUT": 30,
    "S3_READ_TIMEOUT": 60,
    "S3_TIMEOUT": 180,
    "QDRANT_TIMEOUT": 60,
    "EMBEDDING_TIMEOUT": 120,
}
DEADLINES = {  # who is kept waiting by which service, and which of these he has
    ("postgresql", "upload"): "DB_POOL_TIMEOUT",
    ("postgresql", "search"): "DB_POOL_TIMEOUT",
    ("postgresql", "relay tick"): "DB_POOL_TIMEOUT",
    ("redis", "relay tick"): "REDIS_TIMEOUT",
    ("storage", "upload"): "REQUEST_TIMEOUT",
    ("storage", "worker"): "S3_TIMEOUT",
    ("qdrant", "search"): "REQUEST_TIMEOUT",
    ("qdrant", "worker"): "QDRANT_TIMEOUT",
    ("embedding", "search"): "REQUEST_TIMEOUT",
    ("embedding", "worker"): "EMBEDDING_TIMEOUT",
}
HEAD = "service    caller     fault           free at    of ratio  works again   what the user saw"
ROW = "{service:<11}{operation:<11}{fault:<16}{seconds:>7.2f} {deadline:>5g} {ratio:>5.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scale", type=float, default=1, help="of all deadlines")
    parser.add_argument("--service", action="append", choices=ADDRESS, help="only this one")
    parser.add_argument("--measure", choices=ADDRESS, help=argparse.SUPPRESS)  # in its own process
    options = parser.parse_args()
    if options.measure:
        measure(options.measure)
        return
    with (
        tempfile.TemporaryDirectory(prefix="lumikb-deadlines-") as home,
        s3_server() as s3,
        embedded_servers(Path(home)) as env,
    ):
        env = os.environ | env | {"DJANGO_SETTINGS_MODULE": "lumikb.settings"}
        env |= {name: f"{seconds * options.scale:g}" for name, seconds in WAITS.items()}
        command = [sys.executable, "manage.py", "migrate", "-v0"]
        subprocess.run(command, env=acting_as("OWNER", env), check=True)
        services = options.service or list(ADDRESS)
        with psycopg.connect(env["OWNER_DATABASE_URL"], autocommit=True) as owner:
            for service in services:
                owner.execute(f"CREATE DATABASE {service} TEMPLATE lumikb")
        print(f"measuring {', '.join(services)} with deadlines times {options.scale:g} ...")
        with ThreadPoolExecutor(len(services)) as threads:
            results = list(threads.map(partial(in_own_process, env, home, s3), services))
    show([row for rows in results for row in rows])


@contextmanager
def s3_server() -> Iterator[str]:
    """The address of an S3 server (moto's) over HTTP."""
    [port] = free_ports(1)
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **quiet) as process:  # type: ignore[call-overload]
        try:
            while True:
                assert process.poll() is None, "moto's server ended"
                with suppress(OSError):
                    http_answers("127.0.0.1", port, "/moto-api/")
                    break
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def in_own_process(env: dict[str, str], home: str, s3: str, service: str) -> list[dict[str, Any]]:
    """The rows of a service; its own database is a copy of the migrated one."""
    url = urlsplit(env["DATABASE_URL"])._replace(path=f"/{service}").geturl()
    env = env | {"DATABASE_URL": url, "OPS_DATABASE_URL": url, "STORAGE_ROOT": f"{home}/{service}"}
    env |= {"QDRANT_COLLECTION_PREFIX": service, "LOG_LEVEL": "WARNING"}
    if service == "storage":
        env |= {"S3_BUCKET": "documents", "S3_ENDPOINT_URL": s3}
        env |= {"S3_ACCESS_KEY": "key", "S3_SECRET_KEY": "secret"}
    command = [sys.executable, "-m", "benchmarks.deadlines", "--measure", service]
    rows = []
    with (
        (Path(home) / f"{service}.log").open("w+") as log,
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=log, text=True) as run,
    ):
        assert run.stdout
        for line in run.stdout:
            rows.append(json.loads(line))
            print(line, end="", file=sys.stderr, flush=True)
        if run.wait():
            log.seek(0)
            print(f"{service}: {log.read()[-3000:]}", file=sys.stderr)
            raise SystemExit(f"{service}: not all was measured")
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    print(HEAD)
    for row in rows:
        again = f"{row['again']:.1f} s"
        print(f"{ROW.format(**row)}  {again:>11}   {row['seen']}")
    worst = max(row["ratio"] for row in rows)
    left = {row["service"]: (row["threads"], row["sockets"]) for row in rows}  # the last of each
    print(f"{len(rows)} waits, the longest {worst:.2f} of its deadline (bar {BAR})")
    print("threads and sockets more than before:", left)
    assert worst <= BAR
    assert not any(row["seen"].startswith("500") for row in rows)
    assert max(row["again"] for row in rows) <= SOON


# --- In the process of one service -----------------------------------------------------------


def measure(service: str) -> None:
    """Print a row for each caller and fault, as JSON."""
    url = urlsplit(os.environ[ADDRESS[service]])
    upstream = url.port
    assert upstream
    with Proxies({service: free_ports(1)[0]}, lambda name: upstream) as proxies:
        proxy = proxies.by_name[service]
        login = url.netloc.rpartition("@")
        netloc = f"{login[0]}{login[1]}127.0.0.1:{proxy.address[1]}"
        os.environ[ADDRESS[service]] = url._replace(netloc=netloc).geturl()
        django.setup()
        prepare(service)
        calls: dict[str, Callable[[], Callable[[], str]]] = {
            "upload": upload,
            "search": search,
            "worker": worker,
            "relay tick": tick,
        }
        callers = {
            caller: DEADLINES[key] for key in DEADLINES if key[0] == service for caller in [key[1]]
        }
        for caller in callers:
            works(calls[caller])
        before = threading.active_count(), sockets()
        for fault, begin in FAULTS.items():
            for caller, variable in callers.items():
                row = one(proxy, begin, calls[caller])
                deadline = float(os.environ[variable])
                row |= {"service": service, "operation": caller, "fault": fault}
                row |= {"deadline": deadline, "ratio": row["seconds"] / deadline}
                row |= {"threads": threading.active_count() - before[0]}
                row |= {"sockets": sockets() - before[1]}
                print(json.dumps(row), flush=True)
        os._exit(0)  # the heartbeat is a daemon


def one(
    proxy: Proxy, begin: Callable[[Proxy], None], call: Callable[[], Callable[[], str]]
) -> dict[str, Any]:
    run = call()  # what it needs is there before the fault
    begin(proxy)
    time.sleep(0.2)
    began = time.monotonic()
    seen = run()
    seconds = time.monotonic() - began
    proxy.heal()
    healed = time.monotonic()
    seen = after(seen)
    works(call)
    return {"seconds": seconds, "seen": seen, "again": time.monotonic() - healed}


def works(call: Callable[[], Callable[[], str]]) -> None:
    """Do it until it works, for `SOON` at most."""
    give_up_at = time.monotonic() + SOON
    while True:
        pass_outages()
        seen = call()()
        if after(seen).startswith(("201", "200", "Ready", "posted")):
            return
        assert time.monotonic() < give_up_at, seen
        time.sleep(0.2)


def prepare(service: str) -> None:
    import boto3
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.core.files.storage import default_storage

    from documents.models import KnowledgeBase, Membership
    from processing import heartbeat
    from processing.index import embeddings

    if service == "postgresql":  # the deadline of its role, scaled as the others
        seconds = float(os.environ["DB_POOL_TIMEOUT"])
        settings.DATABASES["default"]["OPTIONS"]["statement_timeout"] = seconds
    if settings.S3_BUCKET:
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
        client = boto3.client(
            "s3", endpoint_url=os.environ["S3_ENDPOINT_URL"], **keys, region_name="us-east-1"
        )
        client.create_bucket(Bucket=settings.S3_BUCKET)
    user = User.objects.create_user("edith", password=None)
    base = KnowledgeBase.objects.create(name="Handbook", slug="handbook")
    Membership.objects.create(knowledge_base=base, user=user, role=Membership.Role.EDITOR)
    embeddings.warm_up()
    if settings.S3_BUCKET:
        assert default_storage.connection  # type: ignore[attr-defined] # takes 0.3 s and more
    threading.Thread(target=heartbeat.run, args=[threading.Event()], daemon=True).start()


def upload() -> Callable[[], str]:
    client, file = _client(), _file()
    url = "/api/v1/knowledge-bases/handbook/documents"
    return lambda: _said(client.post(url, {"file": file}))


def search() -> Callable[[], str]:
    client = _client()
    url = "/api/v1/search"
    return lambda: _said(client.post(url, {"query": "heron"}, "application/json"))


def worker() -> Callable[[], str]:
    """Process a document, as the actor does; says which, for its sentence is read afterwards."""
    from processing import actors

    pass_outages()
    answer = _client().post("/api/v1/knowledge-bases/handbook/documents", {"file": _file()})
    document_id = answer.json()["id"]

    def run() -> str:
        actors.process.fn(document_id)
        return document_id

    return run


def after(seen: str) -> str:
    """The sentence of the document that this is the number of, if it is one."""
    from documents.connections import release
    from documents.models import Document

    if len(seen) != 36:
        return seen
    document = Document.objects.get(pk=seen)
    sentence = f"{document.explain()} (tries charged: {document.attempts})"
    release()
    return sentence if document.status != "ready" else document.explain()


def tick() -> Callable[[], str]:
    """Post a message: the user of an upload sees nothing of it, and it is posted later."""
    from django.db.models.functions import Now

    from documents.connections import release
    from documents.models import OutboxMessage
    from processing import relay

    if not OutboxMessage.objects.exists():
        upload()()
    OutboxMessage.objects.update(due_at=Now())
    release()

    def run() -> str:
        try:
            posted = relay.post_due()
        except Exception as error:  # as relay.run, which tries again
            return f"nothing: it stays in the outbox ({type(error).__name__})"
        finally:
            release()
        return f"posted {posted}"

    return run


def pass_outages() -> None:
    from django.db import DatabaseError
    from django.db.models.functions import Now

    from documents.connections import release
    from documents.models import Document, Outage

    try:
        Outage.objects.update(retry_at=Now())
        Document.objects.update(due_at=Now())
    except DatabaseError:
        pass
    finally:
        release()


def sockets() -> int:
    """Of this process, those of its proxy included."""
    links = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            links.append(os.readlink(entry))
        except FileNotFoundError:  # the one of this listing
            continue
    return sum(link.startswith("socket:") for link in links)


def _client() -> Any:
    from django.contrib.auth.models import User
    from django.test import Client

    from documents.connections import release
    from documents.models import ApiToken

    client = Client(
        headers={"Authorization": f"Bearer {ApiToken.issue(User.objects.get(), 'test')}"},
        raise_request_exception=False,
        SERVER_NAME="localhost",
    )
    release()
    return client


def _file() -> Any:
    from django.core.files.base import ContentFile

    name = f"{uuid.uuid4()}.md"
    return ContentFile(f"# {name}\n\nThe heron nests in April.\n".encode(), name)


def _said(answer: Any) -> str:
    if answer.status_code < 400:
        return str(answer.status_code)
    retry = answer.headers.get("Retry-After")
    wait = f", Retry-After {retry}" if retry else ""
    return f"{answer.status_code}{wait}: {answer.json()['error']['message']}"


if __name__ == "__main__":
    main()
