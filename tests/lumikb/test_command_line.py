"""manage.py as an operator types it: to which LumiKB it speaks; sentences, no tracebacks."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings

from deploy.local.servers import free_ports
from lumikb import command_line

REPOSITORY = Path(__file__).resolve().parents[2]
SERVERS = (
    *("SECRET_KEY", "DATABASE_URL", "OWNER_DATABASE_URL", "OPS_DATABASE_URL", "REDIS_URL"),
    *("WORKER_DATABASE_URL", "QDRANT_URL", "QDRANT_API_KEY", "STORAGE_ROOT", "METRICS_TOKEN"),
)
WHO = "from django.db import connection as c; print(c.settings_dict['USER'])"


def installation(home: Path, **changed: str) -> Path:
    """A home as `make run` leaves it, with the tests' servers."""
    variables = {name: os.environ[name] for name in (*SERVERS, *embedding())} | changed
    text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())
    home.mkdir()
    (home / "environment").write_text(text)
    return home


def embedding() -> list[str]:
    return [name for name in os.environ if name.startswith("EMBEDDING_")]


@pytest.fixture
def manage(tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """Types a command in another folder; returns its status, output and complaints."""

    def typed(*command: str, home: Path | None = None, **given: str) -> tuple[int, str, str]:
        environment = {"PATH": os.environ["PATH"], "DB_POOL_TIMEOUT": "1"} | given
        done = subprocess.run(
            [sys.executable, str(REPOSITORY / "manage.py"), *command],
            env=environment | {"LUMIKB_HOME": str(home or tmp_path / "nowhere")},
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout.strip(), done.stderr.strip()

    return typed


def test_where_there_is_none_one_sentence_says_what_to_do(manage, tmp_path: Path) -> None:
    for command in ("reconcile", "help"):
        status, said, complaint = manage(command)
        assert (status, said) == (1, "")
        assert "\n" not in complaint
        assert f"there is no {tmp_path}/nowhere/environment. Start one with `make run`" in complaint


def test_beside_make_run_it_takes_that_ones_settings_in_the_role_that_it_needs(
    manage, tmp_path: Path
) -> None:
    home = installation(tmp_path / "home")
    status, said, complaint = manage("shell", "--no-imports", "-c", WHO, home=home)
    assert (status, said) == (0, "lumikb_ops")
    assert complaint.startswith(f"LumiKB in {home}, in PostgreSQL as lumikb_ops at 127.0.0.1:")
    assert "\n" not in complaint
    status, said, complaint = manage("migrate", "--plan", home=home)
    assert status == 0
    assert "documents.0001_initial" in said
    assert "in PostgreSQL as lumikb at 127.0.0.1:" in complaint


def test_a_command_gets_no_other_roles_passwords(tmp_path: Path, monkeypatch) -> None:
    home = installation(tmp_path / "home")
    monkeypatch.setattr(os, "environ", {"LUMIKB_HOME": str(home)})
    command_line._take_environment("reconcile")
    assert "lumikb_ops:" in os.environ["DATABASE_URL"]
    assert [name for name in os.environ if name.endswith("_DATABASE_URL")] == []


def test_before_the_tables_are_there_it_says_so(manage, tmp_path: Path) -> None:
    """The tests' own tables are in another database: this one is as before the first migration."""
    home = installation(tmp_path / "home")
    status, _, complaint = manage("changepassword", "admin", home=home)
    assert status == 1
    assert complaint.splitlines()[-1].startswith("Tables are missing: run `manage.py migrate`.")


def test_when_the_servers_do_not_run_it_says_so_but_helps(manage, tmp_path: Path) -> None:
    closed = f"postgres://lumikb_ops:x@127.0.0.1:{free_ports(1)[0]}/lumikb"
    home = installation(tmp_path / "home", OPS_DATABASE_URL=closed, OWNER_DATABASE_URL=closed)
    for command in ("reconcile", "migrate"):
        status, _, complaint = manage(command, home=home)
        assert status == 1
        assert complaint.splitlines()[1:] == [
            f"LumiKB in {home} is not running, or it is just starting: PostgreSQL does not answer. "
            "Start it with `make run` and type this again beside it."
        ]
    assert manage("help", home=home)[0] == 0
    assert "PostgreSQL cannot be reached" in manage("check", "--database", "default", home=home)[2]


def test_a_home_of_another_user_is_named(tmp_path: Path, monkeypatch) -> None:
    def refuse(*_: object) -> str:
        raise PermissionError

    monkeypatch.setattr(os, "environ", {"LUMIKB_HOME": str(tmp_path)})
    monkeypatch.setattr(Path, "read_text", refuse)
    assert command_line.run(["manage.py", "reconcile"]) == (
        f"{tmp_path}/environment is another user's: run manage.py as who runs LumiKB."
    )


def test_in_production_the_environment_says_which_one_it_is(manage, tmp_path: Path) -> None:
    given = {name: os.environ[name] for name in (*SERVERS, *embedding())}
    status, said, _ = manage("shell", "--no-imports", "-c", WHO, **given)
    assert (status, said) == (0, settings.DATABASES["default"]["USER"])
    status, _, complaint = manage("reconcile", SECRET_KEY=given["SECRET_KEY"])
    assert status == 1
    assert complaint.startswith('Environment variable "DATABASE_URL" not set')
    status, _, complaint = manage("migrate", **given)  # in the web's role
    assert status == 1
    assert "permission denied" in complaint
    assert "migrations are for the owner's" in complaint
    closed = f"postgres://lumikb_ops:x@127.0.0.1:{free_ports(1)[0]}/lumikb"
    status, _, complaint = manage("createsuperuser", **given | {"DATABASE_URL": closed})
    assert status == 1
    assert "PostgreSQL cannot be reached" in complaint
