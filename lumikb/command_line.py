"""manage.py: in which installation a command works, and one sentence where it cannot.

Where the environment has the settings (production), that is the installation. Where it has none,
the one of `make run` in LUMIKB_HOME is, in the role in PostgreSQL that the command needs.
"""

import os
import shlex
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

from django.core.management import execute_from_command_line
from django.db import DatabaseError, OperationalError
from environs import EnvError

REPOSITORY = Path(__file__).resolve().parents[1]
OWNERS = {"migrate", "flush"}  # commands that change tables; all others are the operations'
# Commands that ask no server.
ALONE = {"", "help", "version", "--help", "-h", "--version", "check", "diffsettings", "findstatic"}
UNSET = (
    "manage.py does not know which LumiKB it is for: no settings are in the environment, and there "
    "is no {file}. Start one with `make run`, say where with LUMIKB_HOME, or set the variables of "
    "README.md. In production: `docker compose run --rm manage ...` or `deploy/systemd/manage ...`."
)


def run(argv: list[str]) -> str | None:
    """Do what the arguments say; returns why not in one sentence, for sys.exit."""
    command = argv[1] if len(argv) > 1 else ""
    try:
        if not _environment_is_given():
            _take_environment(command)
        elif sys.stderr.isatty():
            print(f"LumiKB of this environment, {_in_postgres()}", file=sys.stderr)
        execute_from_command_line(argv)
    except _CannotSay as error:
        return str(error)
    except EnvError as error:
        return f"{error}: README.md, Settings, says what it is."
    except EOFError:
        return "The command asks for something, and there is no terminal to answer."
    except DatabaseError as error:
        sentence = _sentence(error)
        if "--traceback" in argv or not sentence:
            raise
        return sentence
    return None


class _CannotSay(Exception):
    """No installation, or none that runs. The text is for the person at the terminal."""


def _environment_is_given() -> bool:
    names = ("SECRET_KEY", "DATABASE_URL")
    return any(name in os.environ or f"{name}_FILE" in os.environ for name in names)


def _take_environment(command: str) -> None:
    home = Path(os.environ.get("LUMIKB_HOME") or REPOSITORY / ".lumikb").resolve()
    file = home / "environment"
    try:
        lines = file.read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        raise _CannotSay(UNSET.format(file=file)) from None
    except PermissionError:
        raise _CannotSay(f"{file} is another user's: run manage.py as who runs LumiKB.") from None
    settings = dict(shlex.split(line)[0].split("=", 1) for line in lines)
    role = "OWNER" if command in OWNERS else "OPS"
    settings["DATABASE_URL"] = settings[f"{role}_DATABASE_URL"]
    # The other roles' URLs stay where they are: a command has no need of them.
    os.environ |= {
        name: value for name, value in settings.items() if not name.endswith("_DATABASE_URL")
    }
    print(f"LumiKB in {home}, {_in_postgres()}", file=sys.stderr)
    if command not in ALONE and not _postgres_answers():
        raise _CannotSay(
            f"LumiKB in {home} is not running, or it is just starting: PostgreSQL does not answer. "
            "Start it with `make run` and type this again beside it."
        )


def _in_postgres() -> str:
    file = os.environ.get("DATABASE_URL_FILE")
    url = urlsplit(os.environ.get("DATABASE_URL") or (Path(file).read_text() if file else ""))
    return f"in PostgreSQL as {url.username} at {url.hostname}:{url.port or 5432}"


def _postgres_answers() -> bool:
    url = urlsplit(os.environ["DATABASE_URL"])
    try:
        socket.create_connection((url.hostname or "", url.port or 5432), timeout=5).close()
    except OSError:
        return False
    return True


def _sentence(error: DatabaseError) -> str:
    """What an operator can do about it; empty for what only a developer can."""
    state = _sqlstate(error)
    first_line = str(error).partition("\n")[0]
    if state == "42P01":  # undefined_table
        return f"Tables are missing: run `manage.py migrate`. ({first_line})"
    if state == "42501":  # insufficient_privilege
        return f"This role may not do that: {first_line}; migrations are for the owner's (lumikb)."
    if isinstance(error, OperationalError) and state is None:
        return f"PostgreSQL cannot be reached, {_in_postgres()}: {first_line}"
    return ""


def _sqlstate(error: BaseException | None) -> str | None:
    """PostgreSQL's own code for what is at the bottom of this error, if it was PostgreSQL."""
    while error:
        if state := getattr(error, "sqlstate", None):
            return str(state)
        error = error.__cause__ or error.__context__
    return None
