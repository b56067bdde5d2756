"""A shard made anew beside the one that is served: swept of deleted points, and with a graph (HNSW)
over its vectors where it is large.

    python -m deploy.local.qdrant.rebuild FOLDER

The engine's `optimize()` holds the interpreter's lock for seconds or minutes. So a copy of the
shard is optimized by a process of its own, at a lower priority, while the shard itself serves.
What is written meanwhile is kept and written to the copy, too, before that takes the shard's place.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import qdrant_edge as edge

from deploy.local.process import REPOSITORY, setpriv
from deploy.local.qdrant import requests

MARK = "optimized"
"""A file beside the engine's own: how many points there were when the shard was made anew."""

NOTHING_TO_DO = 3  # exit status

_MODULE = "deploy.local.qdrant.rebuild"


class Rebuild:
    """One shard on its way. The kernel ends its process with the thread that began it."""

    def __init__(self, name: str, folder: Path, draft: Path) -> None:
        """`folder` must not be written to before this returns. OSError without a trace of it."""
        self.name = name
        self.draft = draft
        self._folder = folder
        self.points_missed = 0
        self._missed: list[edge.UpdateOperation] = []
        try:
            # Three times: the copy, what the engine makes of it, and room for what is written.
            if shutil.disk_usage(folder).free < 3 * _size(folder):
                raise OSError("the disk has no room for a second copy")
            shutil.copytree(folder, draft)
            self._child = subprocess.Popen(
                [setpriv(), "--pdeathsig=KILL", "--", sys.executable, "-m", _MODULE, str(draft)],
                cwd=REPOSITORY,
            )
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise

    def status(self) -> int | None:
        """The exit status of its process: 0, NOTHING_TO_DO or a failure; None while it works."""
        return self._child.poll()

    def remember(self) -> None:
        """Nothing was to be done: the shard need not be looked at again at the next start."""
        shutil.copy(self.draft / MARK, self._folder / MARK)

    def miss(self, operation: edge.UpdateOperation, points: int) -> None:
        """The shard got what its copy did not."""
        self._missed.append(operation)
        self.points_missed += points

    def catch_up(self, shard: edge.EdgeShard) -> None:
        """Write to the copy what it missed."""
        for operation in self._missed:
            shard.update(operation)

    def give_up(self) -> None:
        """Leave nothing of it."""
        self._child.kill()
        self._child.wait()
        shutil.rmtree(self.draft, ignore_errors=True)


def points_then(folder: Path) -> int:
    """How many there were when the shard in `folder` was made anew; 0 when it never was."""
    try:
        return int((folder / MARK).read_text())
    except (OSError, ValueError):
        return 0


def main() -> None:
    """Optimizes the shard in a folder that nobody else has."""
    os.nice(5)  # behind those who serve, but not starved by them
    folder = Path(sys.argv[1])
    config = requests.shard_config(json.loads((folder / "edge_config.json").read_text()))
    shard = edge.EdgeShard.load(str(folder), config)
    is_better = shard.optimize()
    (folder / MARK).write_text(str(shard.info().points_count))
    shard.flush()
    shard.close()
    sys.exit(0 if is_better else NOTHING_TO_DO)


def _size(folder: Path) -> int:
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*"))


if __name__ == "__main__":
    main()
