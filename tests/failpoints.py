"""What a test lets happen at the product's failpoints, in whichever process comes there first.

An action is a file in the directory that the variable FAILPOINTS names: `<failpoint>` for the first
process that comes (it takes the file away), `<failpoint>.always` for every one; with
`<failpoint>@<document>` for `<failpoint>` only where a worker has that document in work. It says
`kill`, `raise`, `hang` (until the same name with `.go` is there), `sleep SECONDS` or `note` (see
`Directory.noted`).
"""

import os
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from documents import failpoints

REPOSITORY = Path(__file__).resolve().parents[1]


class Reached(Exception):
    """What `raise` raises: an error that nobody foresaw."""


def names(prefix: str = "") -> list[str]:
    """All the failpoints that the product's source has, in the order of the files and lines."""
    sources = [*REPOSITORY.glob("documents/**/*.py"), *REPOSITORY.glob("processing/**/*.py")]
    found = [
        name
        for source in sorted(sources)
        for name in re.findall(r'\bfailpoint\("([a-z_.]+)"\)', source.read_text())
    ]
    return [name for name in found if name.startswith(prefix)]


def install() -> None:
    """Make the failpoints of this process do what the files say."""
    if "FAILPOINTS" in os.environ:
        failpoints.reach = Directory(Path(os.environ["FAILPOINTS"])).reach


@dataclass(frozen=True, slots=True)
class Taken:
    """Who came to a failpoint: its process, and when, in seconds since 1970."""

    pid: int
    at: float


class Directory:
    """The actions that are set, for all processes that were given this directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def set(self, name: str, action: str, *, document: str = "", always: bool = False) -> None:
        assert name in names(), f"there is no failpoint {name}"
        key = _key(name, document)
        written = self.path / f".{key}"
        written.write_text(action)
        written.rename(self._file(key, always))

    def clear(self, name: str, *, document: str = "") -> None:
        self._file(_key(name, document), always=True).unlink(missing_ok=True)
        self._file(_key(name, document), always=False).unlink(missing_ok=True)

    def go(self, name: str, *, document: str = "") -> None:
        """Let those go on that hang there."""
        (self.path / f"{_key(name, document)}.go").touch()

    def pending(self, name: str, *, document: str = "") -> bool:
        """Is the action still waiting for the first process to come?"""
        return self._file(_key(name, document), always=False).exists()

    def taken(self, name: str, *, document: str = "") -> "Taken":
        """The last process that came first, and when."""
        files = list(self.path.glob(f"{_key(name, document)}.*.*"))
        last = max(files, key=lambda file: file.stat().st_ctime)  # the rename changed it
        return Taken(int(last.name.split(".")[-2]), last.stat().st_ctime)

    def noted(self, name: str) -> "list[Taken]":
        """All who came while the action was `note`, in their order."""
        file = self.path / f"{name}.noted"
        lines = file.read_text().splitlines() if file.exists() else []
        return [Taken(int(pid), float(at)) for pid, at in map(str.split, lines)]

    def reach(self, name: str) -> None:
        for key in (_key(name, _document_in_work()), name):
            if action := self._take(key):
                self._act(key, action)
                return

    def _act(self, key: str, action: str) -> None:
        verb, _, argument = action.partition(" ")
        if verb == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif verb == "raise":
            raise Reached(key)
        elif verb == "sleep":
            time.sleep(float(argument))
        elif verb == "note":
            with (self.path / f"{key}.noted").open("a") as file:
                file.write(f"{os.getpid()} {time.time()}\n")
        elif verb == "hang":
            while not (self.path / f"{key}.go").exists():
                time.sleep(0.05)

    def _take(self, key: str) -> str:
        try:
            return self._file(key, always=True).read_text()
        except FileNotFoundError:
            pass
        taken = self.path / f"{key}.{os.getpid()}.{time.monotonic_ns()}"
        try:
            self._file(key, always=False).rename(taken)  # one process wins
        except FileNotFoundError:
            return ""
        return taken.read_text()

    def _file(self, key: str, always: bool) -> Path:
        return self.path / (f"{key}.always" if always else key)


def _key(name: str, document: str) -> str:
    return f"{name}@{document}" if document else name


def _document_in_work() -> str:
    """The document that a worker's thread has before it; empty elsewhere."""
    from processing import middleware  # not while the settings are being read

    return middleware._document_id.get()
