import io
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.local.console import Console
from deploy.local.supervisor import Supervisor


@pytest.fixture
def output():
    return io.StringIO()


@pytest.fixture
def supervisor(tmp_path, output):
    with Supervisor(tmp_path, Console(output)) as supervisor:
        yield supervisor


def running(pid: int) -> bool:
    """Whether the process runs; a zombie (where nobody reaps orphans) does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def eventually(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def pids(home: Path) -> dict[str, int]:
    return json.loads((home / "pids.json").read_text())
