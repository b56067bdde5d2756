"""LUMIKB_HOME: the directory with all data and secrets, used by one supervisor at a time."""

import fcntl
import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deploy.local.models import MODELS

SECRETS = (
    *("postgres_superuser", "lumikb", "lumikb_web", "lumikb_worker", "lumikb_ops"),
    *("redis", "qdrant", "embedding", "django", "metrics"),
)


class CannotStart(Exception):
    """`make run` cannot go on. The text is for the person at the terminal."""


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Make `home`, take it from all others, and hold it alone, at most until this process dies.

    Raises CannotStart when another process holds it.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (home / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise CannotStart(
                f"LumiKB is already running on {home} (process {lock.read().strip()}): "
                "stop it first, or choose another LUMIKB_HOME."
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        close_to_others(home)
        yield


def close_to_others(home: Path) -> None:
    """Take from others every right to the home and to all that is in it: an older version, or an
    unpacked backup, may have left them some.
    """
    home.chmod(0o700)
    for folder, folders, files in os.walk(home):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            with suppress(FileNotFoundError):  # a process that outlived its supervisor is at work
                mode = os.lstat(path).st_mode
                if mode & 0o077 and not stat.S_ISLNK(mode):
                    os.chmod(path, mode & 0o700)


def secrets_of(home: Path) -> dict[str, str]:
    """The generated secrets by name, made at the first call and kept in `secrets.json` (0600)."""
    path = home / "secrets.json"
    known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    missing = {name: secrets.token_urlsafe(48) for name in SECRETS if name not in known}
    if missing:
        known |= missing
        write_private(path, json.dumps(known, indent=2) + "\n")
    return known


def local_model(home: Path) -> str:
    """Which of MODELS embeds here: LOCAL_MODEL, else the one of the last time, kept in `model`.

    A home of version 0.2 has no such file, and its index is MiniLM's: so is its first start's, that
    the migration may write that down. Raises CannotStart for a name that is none.
    """
    path = home / "model"
    chosen = os.environ.get("LOCAL_MODEL") or next(iter(MODELS))
    if path.exists():
        chosen = os.environ.get("LOCAL_MODEL") or path.read_text().strip()
    elif (home / "postgres").exists():
        chosen = "minilm"
    if chosen not in MODELS:
        raise CannotStart(f"LOCAL_MODEL must be {' or '.join(MODELS)}, not {chosen!r}.")
    write_private(path, f"{chosen}\n")
    return chosen


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    new.replace(path)
