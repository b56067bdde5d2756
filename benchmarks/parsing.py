"""What the sandbox costs a document: one small file of each format, read three ways in turn.

    .venv/bin/python -m benchmarks.parsing [--count 20]

Without a sandbox (in this process), in the sandbox (a child forked from the warm server), and in a
process started anew for each document, which is what the fork server saves. Medians in
milliseconds, and their ratios, which do not depend on the machine.
"""

import argparse
import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from processing.parsing import child, client, parse
from tests.processing import files

ANEW = (
    "import io, sys\n"
    "sys.modules['numpy'] = sys.modules['pandas'] = None\n"
    "from processing.parsing import child\n"
    "with open(sys.argv[1], 'rb') as file:\n"
    "    child.answer(io.BytesIO(file.read()), sys.argv[2])\n"
)


def in_this_process(path: Path, content_type: str) -> None:
    child.answer(io.BytesIO(path.read_bytes()), content_type)


def in_a_new_process(path: Path, content_type: str) -> None:
    command = [sys.executable, "-S", "-P", "-c", ANEW, str(path), content_type]
    subprocess.run(command, check=True, cwd="/", env=client._environment())


def milliseconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description="Read one file of each format in three ways.")
    parser.add_argument("--count", type=int, default=20, help="how often each")
    count = parser.parse_args().count
    ways = (in_this_process, parse, in_a_new_process)
    print("ms          no sandbox   sandbox  new process   sandbox adds   new / sandbox")
    with tempfile.TemporaryDirectory() as folder:
        for content_type, (name, content) in files.samples().items():
            path = Path(folder, name)
            path.write_bytes(content)
            times: list[list[float]] = [[], [], []]
            for _ in range(count + 1):  # the first one imports, and is left out
                for way, taken in zip(ways, times, strict=True):
                    taken.append(milliseconds(lambda: way(path, content_type)))  # noqa: B023
            plain, sandboxed, anew = (statistics.median(taken[1:]) for taken in times)
            print(
                f"{path.suffix:<10} {plain:11.1f} {sandboxed:9.1f} {anew:12.1f} "
                f"{sandboxed - plain:14.1f} {anew / sandboxed:15.1f}"
            )


if __name__ == "__main__":
    main()
