"""`python -m tests.mutants [WORD...]`: break a copy of the product in one place, and run the tests.

Each breakage of catalogue.py is done to a copy of its own, and the tests named for it run there:
KILLED when one of them fails, SURVIVED when none does. They run once on an unbroken copy before: a
test that is red anyway shows nothing. Exit status 1 when a breakage survived, could not be done any
more, or kept the tests from running.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from .catalogue import MUTANTS, REPOSITORY, Mutant

AT_ONCE = 2  # each has a PostgreSQL, a Redis, a vector server and an embedding model of its own
TEST_SECONDS = 90  # a test that a breakage makes hang is killed by it too
RUN_SECONDS = 600

ENVIRONMENT = {
    "COLUMNS": "200",  # the reasons uncut
    # Tests that process a document themselves have nobody who renews its lease: on a busy machine
    # they would fail for that, and the breakage would seem to be noticed.
    "LEASE_SECONDS": "600",
    "PYTHONDONTWRITEBYTECODE": "1",
}
PASSED, FAILED = 0, 1  # pytest's exit statuses; any other means that it could not run the tests


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD", help="only those named so, in part")
    mutants = _chosen(parser.parse_args().words)
    if not _is_green_unbroken(mutants):
        return 1
    with ThreadPoolExecutor(AT_ONCE) as pool:
        verdicts = list(pool.map(_verdict, mutants))
    verdict_of = dict(zip((mutant.name for mutant in mutants), verdicts, strict=True))
    bad = [f"{name} ({verdict})" for name, verdict in verdict_of.items() if verdict != "KILLED"]
    print(f"{len(mutants)} mutants, {len(bad)} not killed", *bad, sep="\n  ")
    return 1 if bad else 0


def _chosen(words: Sequence[str]) -> list[Mutant]:
    chosen = [each for each in MUTANTS if not words or any(word in each.name for word in words)]
    if not chosen:
        sys.exit("No breakage is named so; tests/mutants/catalogue.py lists them.")
    return chosen


def _is_green_unbroken(mutants: Sequence[Mutant]) -> bool:
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    print(f"Without a breakage: {len(tests)} tests ...", flush=True)
    with TemporaryDirectory(prefix="lumikb-mutants-") as folder:
        status, output = _run(_copy(Path(folder)), tests)
    if status != PASSED:
        print(output, "They are red without any breakage: nothing would be shown.", sep="\n")
    return status == PASSED


def _verdict(mutant: Mutant) -> str:
    """Do it, run its tests, and print one line."""
    began = time.monotonic()
    with TemporaryDirectory(prefix="lumikb-mutants-") as folder:
        copy = _copy(Path(folder))
        try:
            mutant.apply(copy)
        except ValueError as error:
            verdict, detail = "STALE", str(error)
        else:
            status, output = _run(copy, mutant.tests)
            verdict = {PASSED: "SURVIVED", FAILED: "KILLED"}.get(status, "NOT RUN")
            failed = re.findall(r"^(?:FAILED|ERROR) (?:\S*::)?(.*)$", output, re.MULTILINE)
            detail = failed[0] if verdict == "KILLED" and failed else output[-3000:]
    print(f"{verdict:8} {mutant.name} ({time.monotonic() - began:.0f} s): {detail}", flush=True)
    return verdict


def _copy(folder: Path) -> Path:
    """The repository as it stands here, without what git ignores; it shares the .venv."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, folder / name)
    (folder / ".venv").symlink_to(REPOSITORY / ".venv")
    return folder


def _run(copy: Path, tests: Sequence[str]) -> tuple[int, str]:
    """pytest's exit status and output; ends everything that it started."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    command += [f"--timeout={TEST_SECONDS}", "--durations=0", "--tb=short", *tests]
    process = subprocess.Popen(
        command,
        cwd=copy,
        env=os.environ | ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=RUN_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return FAILED, output + "\nFAILED it hung"
    return process.returncode, output


if __name__ == "__main__":
    sys.exit(main())
