"""One program and the process that runs it.

Used from the main thread only: the kernel ends a child when the *thread* that started it ends.
"""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO

from deploy.local.console import Console
from deploy.local.home import CannotStart

REPOSITORY = Path(__file__).resolve().parents[2]
MARK = "LUMIKB_SUPERVISED"  # in the environment of every process started here: how strays are found
LIVED = (
    30.0  # seconds after which a process counts as healthy, and its next restart waits for nothing
)
PF_EXITING = 0x4  # include/linux/sched.h
MAX_DELAY = 10.0  # seconds between two restarts of a process that keeps dying


@dataclass(frozen=True, slots=True)
class Program:
    """What to run.

    `prepare` is called before each start; `ready` raises until the program does its work.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=lambda: os.environ)
    prepare: Callable[[], object] = lambda: None
    ready: Callable[[], object] = lambda: None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0  # then SIGKILL
    private: bool = False  # its standard output is a secret: collected, not shown


class Process:
    """One run of a program after another, each in a session and process group of its own."""

    def __init__(self, program: Program, home: Path, console: Console) -> None:
        self.program = program
        self.lines: deque[str] = deque(maxlen=30)
        self.deaths = 0
        self.restart_at = 0.0
        self._delay = 0.0
        self._mark = {MARK: str(home)}
        self._console = console
        self.start()

    def start(self) -> None:
        program = self.program
        program.prepare()
        self._started = time.monotonic()
        self._popen = subprocess.Popen(
            # When this process dies, by SIGKILL too, the kernel asks the child to stop.
            [setpriv(), f"--pdeathsig={program.stop_signal.name[3:]}", "--", *program.argv],
            env={"PYTHONUNBUFFERED": "1", **self._mark, **program.env},
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            # A pipe of ours: nobody who captures our output must wait for what children inherit.
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if program.private else subprocess.STDOUT,
            start_new_session=True,
        )
        self._pumps = [self._pump(self._popen.stdout, show=not program.private)]
        if program.private:
            self._pumps.append(self._pump(self._popen.stderr, show=True, keep=False))

    @property
    def pid(self) -> int:
        return self._popen.pid

    def alive(self) -> bool:
        return self._popen.poll() is None

    def bury(self) -> None:
        """After the main process died: end its group, and say when the next run may start."""
        self.kill()
        now = time.monotonic()
        self._delay = 0.0 if now - self._started >= LIVED else self._delay
        self.deaths += 1
        self.restart_at = now + self._delay
        self._say(f"{_cause(self._popen.returncode)}; started again in {self._delay:.0f} s")
        self._delay = min(MAX_DELAY, max(1.0, 2 * self._delay))

    def stop(self) -> None:
        """Ask the main process to stop; it tells its own children."""
        if self.alive():
            self._popen.send_signal(self.program.stop_signal)

    def kill(self) -> None:
        """End the whole group at once."""
        if not self.restart_at:  # a buried group is gone, and its number may be another's by now
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def result(self) -> tuple[int, list[str]]:
        """The exit status of a finished run and its last lines."""
        for pump in self._pumps:
            pump.join(timeout=1)
        return self._popen.wait(), list(self.lines)

    def _pump(self, stream: IO[bytes] | None, *, show: bool, keep: bool = True) -> threading.Thread:
        def pump() -> None:
            for raw in stream or ():
                line = raw.decode(errors="replace").rstrip()
                if keep:
                    self.lines.append(line)
                if show:
                    self._say(line)
            if stream:
                stream.close()

        thread = threading.Thread(target=pump, name=self.program.name, daemon=True)
        thread.start()
        return thread

    def _say(self, line: str) -> None:
        self._console.line(self.program.name, line)


def end(find: Callable[[], Sequence[int]], seconds: float) -> None:
    """SIGKILL whom `find` names until it names nobody, and none dies any more. At most so long.

    A dying process has neither a command line nor an environment by which `find` would know it, but
    its ports and its shared memory it has until its memory is given back: a second, if it is busy.
    """
    deadline = time.monotonic() + seconds
    while ((pids := find()) or _anybody_dies()) and time.monotonic() < deadline:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def _anybody_dies() -> bool:
    """Whether a thread of this machine has begun to exit and has not yet let go of everything."""
    for thread in Path("/proc").glob("[0-9]*/task/[0-9]*/stat"):
        with suppress(OSError):  # gone meanwhile
            # proc(5): the fields behind the name in brackets; the flags are the kernel's PF_*
            state, _, _, _, _, _, flags, *_ = thread.read_text().rpartition(")")[2].split()
            if int(flags) & PF_EXITING and state not in "ZX":
                return True
    return False


@cache
def setpriv() -> str:
    """The tool of util-linux that runs a program with another user, or a parent-death signal."""
    path = shutil.which("setpriv")
    if path is None:
        raise CannotStart("The command setpriv is missing: install util-linux.")
    return path


def _cause(returncode: int) -> str:
    if returncode < 0:
        return f"killed by {signal.Signals(-returncode).name}"
    return f"ended with status {returncode}"
