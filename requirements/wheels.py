"""`make wheels`: can every machine that we support install what we pin, without a compiler?

Resolves each requirements file as `make setup` installs it, by its hashes and from wheels only, for
each machine and each Python. uv asks the package index for metadata; nothing is installed. Exit
status 1 and uv's explanation where something is missing.
"""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# glibc 2.28: Debian 10, RHEL 8, Ubuntu 20.04 and later.
MACHINES = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
OWN_PYTHON = {"redis": ("3.13",)}  # for its binary: the Makefile says so, too
OWN_MACHINES = {"e5": MACHINES[:1]}  # for its weights, on every machine; likewise


def main() -> int:
    files = sorted(ROOT.glob("requirements/*.txt"))
    cases = [
        (file, machine, python)
        for file in files
        for machine in OWN_MACHINES.get(file.stem, MACHINES)
        for python in OWN_PYTHON.get(file.stem, PYTHONS)
        if file.stem != "overrides"
    ]
    with ThreadPoolExecutor(4) as pool:  # each waits for the index most of the time
        problems = [problem for problem in pool.map(lambda case: missing(*case), cases) if problem]
    print(*problems, f"{len(cases) - len(problems)} of {len(cases)} resolve, from wheels", sep="\n")
    return bool(problems)


def missing(file: Path, machine: str, python: str) -> str:
    """Why this file cannot be installed there; empty when it can."""
    command = [
        *(Path(sys.executable).with_name("uv"), "pip", "install", "--dry-run", "--quiet"),
        *("--require-hashes", "--only-binary", ":all:", "--requirements", file),
        *("--overrides", "requirements/overrides.txt", "--no-python-downloads"),
        # A folder of its own: what is installed here counts for nothing.
        *("--target", ROOT / ".venv/nothing", "--python", sys.executable),
        *("--python-platform", machine, "--python-version", python),
        *(["--no-deps"] if file.stem in OWN_MACHINES else []),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    return f"{file.name} on {machine}, Python {python}:\n{done.stderr}" if done.returncode else ""


if __name__ == "__main__":
    sys.exit(main())
