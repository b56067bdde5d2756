"""Starts programs, restarts those that die, and leaves none of them behind."""

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from deploy.local.console import Console
from deploy.local.home import CannotStart, write_private
from deploy.local.process import MARK, Process, Program, end

POLL = 0.05  # seconds between two looks at the processes
DEATHS = 3  # before a program is ready: more is not a stumble
SAY_AFTER = 10.0  # seconds without a word to the person who waits


class Interrupted(Exception):
    """Somebody asked the supervisor to stop while it waited."""


class Supervisor:
    """All programs of one `home`. A context manager: nothing it started outlives it."""

    def __init__(self, home: Path, console: Console) -> None:
        self.interrupts = (
            0  # 1: stop in good order; 2: kill at once. Counted by the signal handler.
        )
        self._home = home
        self._console = console
        self._processes: dict[str, Process] = {}

    def __enter__(self) -> "Supervisor":
        kill_strays(self._home)  # of a supervisor that was killed
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop(*self._processes)
        kill_strays(self._home)

    def start(self, *programs: Program) -> None:
        for program in programs:
            self._processes[program.name] = Process(program, self._home, self._console)
        self._write_pids()

    def names(self) -> list[str]:
        """The programs that it looks after."""
        return list(self._processes)

    def tend(self) -> None:
        """Look once at every process; restart the dead ones whose time has come."""
        for process in self._processes.values():
            if process.restart_at:
                if time.monotonic() >= process.restart_at:
                    process.restart_at = 0.0
                    process.start()
                    self._write_pids()
            elif not process.alive():
                process.bury()
                self._write_pids()

    def wait_ready(self, *names: str) -> None:
        """Tend until these do their work: as long as they live, for the machine may be busy.

        Raises CannotStart, with its last lines, for one that keeps dying.
        """
        say_at = time.monotonic() + SAY_AFTER
        for process in [self._processes[name] for name in names]:
            name = process.program.name
            while problem := self._problem(process):
                if process.deaths >= DEATHS:
                    log = "\n".join(f"    {line}" for line in process.lines)
                    raise CannotStart(f"{name} did not start: {problem}\nIts last lines:\n{log}")
                if time.monotonic() > say_at:
                    self._console.plain(f"Still waiting for {name} ({problem}) ...")
                    say_at = time.monotonic() + SAY_AFTER
                self.pause()

    def run(self, program: Program) -> list[str]:
        """Run to the end, tending the others. Returns the last lines. Raises CannotStart."""
        process = Process(program, self._home, self._console)
        try:
            while process.alive():
                self.pause()
        finally:
            process.kill()
        status, lines = process.result()
        if status != 0:
            raise CannotStart(f"{program.name} failed with status {status}:\n" + "\n".join(lines))
        return lines

    def pause(self) -> None:
        """One turn of every waiting loop. Raises Interrupted once somebody asked us to stop."""
        if self.interrupts:
            raise Interrupted
        self.tend()
        time.sleep(POLL)

    def stop(self, *names: str) -> None:
        """Stop these together, each within its own time."""
        processes = [self._processes.pop(name) for name in names if name in self._processes]
        for process in processes:
            process.stop()
        asked = time.monotonic()
        while alive := [process for process in processes if process.alive()]:
            for process in alive:
                if self.interrupts > 1 or time.monotonic() - asked > process.program.stop_seconds:
                    process.kill()
            time.sleep(POLL)
        for process in processes:
            process.kill()  # what the main process left of its group
        self._write_pids()

    def _problem(self, process: Process) -> str:
        if process.restart_at or not process.alive():
            return "it ended"
        try:
            process.program.ready()
        except Exception as error:  # whatever a client of PostgreSQL, Redis or HTTP raises
            return f"{type(error).__name__}: {error}"
        return ""

    def _write_pids(self) -> None:
        """`pids.json`: the running main processes by name, for operators and tests."""
        running = {name: one.pid for name, one in self._processes.items() if not one.restart_at}
        pids = {"supervisor": os.getpid(), **running}
        try:
            write_private(self._home / "pids.json", json.dumps(pids) + "\n")
        except OSError as error:  # a full disk is no reason to stop everything
            self._console.plain(f"pids.json is not up to date: {error}")


def kill_strays(home: Path) -> None:
    """End what carries the mark of `home`: it escaped its group, or outlived its supervisor."""
    end(lambda: _strays(home), seconds=5)


def _strays(home: Path) -> list[int]:
    mark = os.fsencode(f"{MARK}={home}")
    strays = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # ended meanwhile, or not ours to read
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                strays.append(int(entry.name))
    return [pid for pid in strays if pid != os.getpid()]
