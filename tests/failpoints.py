"""What a test lets happen at the product's failpoints, in whichever process comes there first.

An action is a file in the directory that the variable FAILPOINTS names: `<failpoint>` for the first
process that comes (it takes the file away), `<failpoint>.always` for every one. It says `kill`,
`raise`, `hang` (until the file `<failpoint>.go` is there) or `sleep SECONDS`.
"""

import os
import re
import signal
import time
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


class Directory:
    """The actions that are set, for all processes that were given this directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def set(self, name: str, action: str, *, always: bool = False) -> None:
        assert name in names(), f"there is no failpoint {name}"
        written = self.path / f".{name}"
        written.write_text(action)
        written.rename(self._file(name, always))

    def clear(self, name: str) -> None:
        self._file(name, always=True).unlink(missing_ok=True)
        self._file(name, always=False).unlink(missing_ok=True)

    def go(self, name: str) -> None:
        """Let those go on that hang there."""
        (self.path / f"{name}.go").touch()

    def pending(self, name: str) -> bool:
        """Is the action still waiting for the first process to come?"""
        return self._file(name, always=False).exists()

    def reach(self, name: str) -> None:
        action = self._take(name)
        if not action:
            return
        verb, _, argument = action.partition(" ")
        if verb == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif verb == "raise":
            raise Reached(name)
        elif verb == "sleep":
            time.sleep(float(argument))
        elif verb == "hang":
            while not (self.path / f"{name}.go").exists():
                time.sleep(0.05)

    def _take(self, name: str) -> str:
        try:
            return self._file(name, always=True).read_text()
        except FileNotFoundError:
            pass
        taken = self.path / f"{name}.{os.getpid()}.{time.monotonic_ns()}"
        try:
            self._file(name, always=False).rename(taken)  # one process wins
        except FileNotFoundError:
            return ""
        return taken.read_text()

    def _file(self, name: str, always: bool) -> Path:
        return self.path / (f"{name}.always" if always else name)
