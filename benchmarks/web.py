"""The web of LumiKB as it is deployed, with an S3 server of benchmarks/s3.py, for measurements."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.load import Target
from deploy.local.application import acting_as
from deploy.local.process import setpriv
from deploy.local.servers import free_ports, http_answers
from tests.e2e.product import descendants, wait_for

PATIENCE = 60  # seconds for a start


@dataclass
class S3:
    port: int

    def keys(self) -> set[str]:
        answer = httpx.get(f"http://127.0.0.1:{self.port}/", timeout=60, trust_env=False)
        return set(answer.text.splitlines())

    def env(self) -> dict[str, str]:
        return {
            "S3_BUCKET": "documents",
            "S3_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "S3_ACCESS_KEY": "key",
            "S3_SECRET_KEY": "secret",
        }


@dataclass
class Web:
    process: subprocess.Popen[bytes]
    port: int

    def memory(self) -> float:
        """MB of all its processes together, shared pages divided among them."""
        return sum(_memory(pid) for pid in descendants(self.process.pid))


@contextmanager
def s3(delay: float = 0.0) -> Iterator[S3]:
    [port] = free_ports(1)
    arguments = ["--port", str(port), "--delay", str(delay)]
    with _running([sys.executable, "-m", "benchmarks.s3", *arguments], dict(os.environ)):
        storage = S3(port)
        wait_for(lambda: _answers(port, "/"), PATIENCE, "the S3 server")
        yield storage


@contextmanager
def web(env: dict[str, str], *options: str, path: str = "/health/live") -> Iterator[Web]:
    """gunicorn with our settings and these options more; `path` is what it answers when it runs."""
    [port] = free_ports(1)
    command = [sys.executable, "-m", "gunicorn", "--config", "lumikb/gunicorn.py"]
    bind = ["--bind", f"127.0.0.1:{port}", *options]
    with _running([*command, *bind], env) as process:
        wait_for(lambda: _answers(port, path), PATIENCE, "the web")
        yield Web(process, port)


def prepare(env: dict[str, str]) -> str:
    """Migrate, and make a user with a knowledge base; returns the user's API token."""
    _manage(acting_as("OWNER", env), "migrate", "-v0")
    user = env | {"DJANGO_SUPERUSER_PASSWORD": "right-horse-1"}
    _manage(user, "createsuperuser", "--noinput", "--username=load", "--email=load@localhost")
    return _manage(env, "create_api_token", "load", "--name", "load").split()[-1]


def target(web: Web, token: str) -> Target:
    """Where to upload: a new knowledge base."""
    bearer = {"Authorization": f"Bearer {token}"}
    url = f"http://127.0.0.1:{web.port}/api/v1/knowledge-bases"
    made = httpx.post(url, json={"name": "Load"}, headers=bearer, timeout=60, trust_env=False)
    slug = made.raise_for_status().json()["slug"]
    return Target(web.port, f"/api/v1/knowledge-bases/{slug}/documents", token)


@contextmanager
def _running(command: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([setpriv(), "--pdeathsig=TERM", "--", *command], env=env)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def _answers(port: int, path: str) -> bool:
    try:
        http_answers("127.0.0.1", port, path)
    except OSError:
        return False
    return True


def _manage(env: dict[str, str], *command: str) -> str:
    argv = [sys.executable, "manage.py", *command]
    return subprocess.run(argv, env=env, check=True, capture_output=True, text=True).stdout


def _memory(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))
