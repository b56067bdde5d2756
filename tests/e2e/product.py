"""The whole product as `make run` starts it, in a home of its own, for tests that kill it."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from deploy.local.servers import free_ports

REPOSITORY = Path(__file__).resolve().parents[2]


START_SECONDS = 300  # it takes 20 where nothing else runs


class Product:
    """Start it, talk to its API, kill it. Times are in seconds."""

    def __init__(self, home: Path, module: str = "deploy.local", **env: str) -> None:
        """`module` starts it; `env` is added to its environment."""
        self.home = home
        self.module = module
        self.env = env
        self.log = home.parent / f"{home.name}.log"
        [self.port] = free_ports(1)

    def start(self) -> None:
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module],
                cwd=REPOSITORY,
                env={
                    **_without_settings(),
                    **self.env,
                    "LUMIKB_HOME": str(self.home),
                    "PORT": str(self.port),
                },
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_for(self.answers, START_SECONDS, "the product to start")
        token = (self.home / "api-token").read_text().strip()
        self.api = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}/api/v1/",
            headers={"Authorization": f"Bearer {token}"},
            limits=httpx.Limits(max_connections=None),
            timeout=60,
        )

    def stop(self) -> int:
        """Stop it in good order; returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def answers(self) -> bool:
        ended = self.process.poll() is not None
        assert not ended, f"the product ended by itself:\n{self.log.read_text()[-2000:]}"
        if not (self.home / "api-token").exists():
            return False
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def setting(self, name: str) -> str:
        """A variable of the application's environment, as this run has it."""
        return self.settings()[name]

    def settings(self) -> dict[str, str]:
        lines = (self.home / "environment").read_text().splitlines()
        return dict(shlex.split(line)[0].split("=", 1) for line in lines)

    def manage(self, *command: str) -> str:
        """Run `manage.py` beside it; returns what that printed."""
        process = self.managing(*command)
        output, errors = process.communicate()
        assert process.returncode == 0, output + errors
        return output

    def managing(self, *command: str) -> subprocess.Popen[str]:
        """`manage.py` at work beside it."""
        return subprocess.Popen(
            [sys.executable, "manage.py", *command],
            cwd=REPOSITORY,
            env={**_without_settings(), **self.env, "LUMIKB_HOME": str(self.home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def pids(self, name: str) -> list[int]:
        """The process of that name and all that it started."""
        return descendants(json.loads((self.home / "pids.json").read_text())[name])

    def signal(self, name: str, number: signal.Signals) -> None:
        for pid in self.pids(name):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def objects(self) -> list[Path]:
        """The originals in the storage."""
        return list((self.home / "objects").rglob("original"))

    def knowledge_base(self, name: str) -> str:
        answer = self.api.post("knowledge-bases", json={"name": name})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["slug"])

    def upload(self, slug: str, filename: str, content: bytes) -> str:
        url = f"knowledge-bases/{slug}/documents"
        answer = self.api.post(url, files={"file": (filename, content)})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def document(self, document_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.api.get(f"documents/{document_id}").json()
        return answer

    def events(self, document_id: str) -> list[str]:
        return [event["kind"] for event in self.api.get(f"documents/{document_id}/events").json()]

    def wait_until_ready(self, document_ids: Iterable[str], seconds: float) -> None:
        for document_id in document_ids:
            wait_for(
                lambda: self.document(document_id)["status"] == "ready",  # noqa: B023 (called here)
                seconds,
                lambda: f"{self.document(document_id)}",  # noqa: B023
            )


def wait_for(what: Callable[[], bool], seconds: float, name: str | Callable[[], str]) -> float:
    """Poll until true; returns the seconds that it took."""
    began = time.monotonic()
    while not what():
        if time.monotonic() - began > seconds:
            said = name if isinstance(name, str) else name()
            raise AssertionError(f"not within {seconds} s: {said}")
        time.sleep(0.05)
    return time.monotonic() - began


def _without_settings() -> dict[str, str]:
    """Our environment without the test servers' addresses."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ}


def descendants(pid: int) -> list[int]:
    """The process and all that it started."""
    children: dict[int, list[int]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        child = int(process.name)
        children.setdefault(parent(child), []).append(child)
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def parent(pid: int) -> int:
    """Who started it; 0 when it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[1])
