"""A backup as deploy/BACKUP.md says, and its restore into a product that has nothing."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from deploy.local import postgres
from deploy.local.application import acting_as, application
from deploy.local.console import Console
from deploy.local.home import locked, secrets_of
from deploy.local.servers import SERVERS, free_ports, start_servers
from deploy.local.supervisor import Supervisor
from tests.e2e.product import REPOSITORY


class Backup:
    """A folder with the three parts of a backup, taken in this order: manifest, dump, objects."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.manifest = folder / "inventory.json"
        self.dump = folder / "lumikb.dump"
        self.objects = folder / "objects"

    def take_database(self, manifest: str, owner_url: str) -> None:
        self.manifest.write_text(manifest)
        _postgres("pg_dump", owner_url, "--format=custom", f"--file={self.dump}")

    def take_objects(self, storage_root: str | Path) -> None:
        shutil.copytree(storage_root, self.objects)


class Restored:
    """A product in a home of its own, whose stores were empty before the backup came into them."""

    def __init__(
        self, home: Path, backup: Backup, supervisor: Supervisor, env: dict[str, str]
    ) -> None:
        self._home = home
        self._backup = backup
        self._supervisor = supervisor
        self._env = start_servers(supervisor, home) | env
        supervisor.wait_ready(*SERVERS)

    def restore_database(self) -> None:
        url = urlsplit(self._env["OWNER_DATABASE_URL"])
        password = secrets_of(self._home)["postgres_superuser"]
        superuser = url._replace(netloc=f"postgres:{password}@127.0.0.1:{url.port}").geturl()
        whole = ("--exit-on-error", "--single-transaction")
        _postgres("pg_restore", superuser, *whole, str(self._backup.dump))
        grants = postgres.SQL / "grants.sql"
        _postgres("psql", superuser, "--set=ON_ERROR_STOP=1", "--quiet", f"--file={grants}")
        forget = "DELETE FROM documents_outage"
        _postgres("psql", superuser, "--quiet", f"--command={forget}")

    def restore_objects(self) -> None:
        shutil.copytree(self._backup.objects, self._env["STORAGE_ROOT"], dirs_exist_ok=True)

    def start(self, token: str) -> httpx.Client:
        """Start the application; returns a client of its API."""
        [port] = free_ports(1)
        env = os.environ | self._env
        self._supervisor.start(*application(env, "127.0.0.1", port))
        self._supervisor.wait_ready("web")
        return httpx.Client(
            base_url=f"http://127.0.0.1:{port}/api/v1/",
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
        )

    def manage(self, *command: str) -> tuple[int, str, str]:
        """What a command of manage.py, as the operations' role, ended with and said."""
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=REPOSITORY,
            env=acting_as("OPS", os.environ | self._env),
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def setting(self, name: str) -> str:
        return self._env[name]

    def compare(self) -> tuple[int, str]:
        """The status and the complaints of `inventory --compare`."""
        status, _, complaints = self.manage("inventory", "--compare", str(self._backup.manifest))
        return status, complaints


@contextmanager
def new_world(home: Path, backup: Backup, **env: str) -> Iterator[Restored]:
    """Servers without any data, which stop with the block; `env` is added to the application's."""
    home.mkdir(mode=0o700)
    with (
        locked(home),
        (home / "log").open("a") as log,
        Supervisor(home, Console(log)) as supervisor,
    ):
        restored = Restored(home, backup, supervisor, env)
        try:
            yield restored
        finally:
            supervisor.stop(*(name for name in supervisor.names() if name not in SERVERS))


def _postgres(program: str, url: str, *arguments: str) -> None:
    done = subprocess.run(
        [postgres._binary(program), f"--dbname={url}", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
