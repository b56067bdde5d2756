"""The embedded servers together: PostgreSQL, Redis, Qdrant's engine and the embedding models."""

import http.client
import os
import random
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local import postgres, redis
from deploy.local.console import Console
from deploy.local.home import local_model, locked, secrets_of
from deploy.local.models import MODELS
from deploy.local.needs import environment
from deploy.local.process import Program
from deploy.local.supervisor import Supervisor

SERVERS = ("qdrant", "embeddings", "redis", "postgres")


@contextmanager
def embedded_servers(home: Path) -> Iterator[dict[str, str]]:
    """Run the servers with their data in `home`, for tests; yields the application's environment.

    Their output goes to `home/servers.log`; they stop, by their ids, when the block ends.
    Raises CannotStart with the end of the log of the server that did not start.
    """
    home = home.resolve()
    with (
        locked(home),
        (home / "servers.log").open("a") as log,
        Supervisor(home, Console(log)) as supervisor,
    ):
        env = start_servers(supervisor, home)
        supervisor.wait_ready(*SERVERS)
        yield env


def start_servers(supervisor: Supervisor, home: Path) -> dict[str, str]:
    """Start all four without waiting; returns the application's environment variables."""
    secrets = secrets_of(home)
    chosen = local_model(home)
    model = MODELS[chosen]
    postgres_port, redis_port, qdrant_port, embedding_port = free_ports(4)
    objects = home / "objects"
    objects.mkdir(mode=0o700, exist_ok=True)

    env = {
        # As in production, each process gets the one of its role (application.py).
        "DATABASE_URL": postgres.url(postgres_port, "lumikb_web", secrets),
        "WORKER_DATABASE_URL": postgres.url(postgres_port, "lumikb_worker", secrets),
        "OPS_DATABASE_URL": postgres.url(postgres_port, "lumikb_ops", secrets),
        "OWNER_DATABASE_URL": postgres.url(postgres_port, postgres.OWNER, secrets),
        "REDIS_URL": redis.url(redis_port, secrets["redis"]),
        "QDRANT_URL": f"http://127.0.0.1:{qdrant_port}",
        "QDRANT_API_KEY": secrets["qdrant"],
        "EMBEDDING_MODEL": f"hosted_vllm/{model.name}",
        "EMBEDDING_MAX_TOKENS": str(model.max_tokens),
        "EMBEDDING_TOKENIZE_URL": f"http://127.0.0.1:{embedding_port}/tokenize",
        "EMBEDDING_API_BASE": f"http://127.0.0.1:{embedding_port}/v1",
        "EMBEDDING_API_KEY": secrets["embedding"],
        "EMBEDDING_DIMENSIONS": str(model.dimensions),
        "EMBEDDING_QUERY_PREFIX": model.query_prefix,
        "EMBEDDING_PASSAGE_PREFIX": model.passage_prefix,
        "STORAGE_ROOT": str(objects),
        "SECRET_KEY": secrets["django"],
        "METRICS_TOKEN": secrets["metrics"],
        "ALLOWED_HOSTS": os.environ.get("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]"),
        "DEBUG": "false",
        "NO_PROXY": _no_proxy(),  # the machine may reach the network by a proxy
        "no_proxy": _no_proxy(),
    }
    qdrant = ["--data", str(home / "qdrant")]
    supervisor.start(  # the slow ones first
        _module("embeddings", embedding_port, ["--model", chosen], env),
        _module("qdrant", qdrant_port, qdrant, env),
        redis.program(home / "redis", redis_port, secrets["redis"]),
    )
    data = home / "postgres"
    postgres.initialise(data, secrets)
    supervisor.start(postgres.program(data, postgres_port, secrets))
    return env


def free_ports(count: int) -> list[int]:
    """Different free ports of 127.0.0.1, below the ephemeral ones (Linux: from 32768 up).

    A port that the kernel gives to outgoing connections could be taken while its server restarts.
    """
    candidates = iter(random.sample(range(20_000, 32_000), k=1_000))
    return [
        next(port for port in candidates if not listen_problem("127.0.0.1", port))
        for _ in range(count)
    ]


def listen_problem(host: str, port: int) -> str:
    """Why a server could not listen on this address now; empty when it could."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return ""


def http_answers(host: str, port: int, path: str) -> None:
    """Raise unless `GET path` is answered, and not by a server error. Never by way of a proxy."""
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    finally:
        connection.close()
    if status >= 500:
        raise ConnectionError(f"GET {path} answers {status}")


def _module(name: str, port: int, arguments: list[str], env: dict[str, str]) -> Program:
    return Program(
        name,
        [sys.executable, "-m", f"deploy.local.{name}", "--port", str(port), *arguments],
        env=environment(name, {**os.environ, **env}),
        ready=lambda: http_answers("127.0.0.1", port, "/healthz"),
    )


def _no_proxy() -> str:
    known = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    return ",".join(filter(None, [known, "127.0.0.1", "localhost"]))
