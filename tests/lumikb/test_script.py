"""What the page's script says of an answer that is not its own server's."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = (Path(__file__).parents[2] / "static/uploads.js").read_text()


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
@pytest.mark.parametrize(
    ("status", "ours", "said"),
    [
        (413, None, "A proxy before LumiKB does not let a file of this size through."),
        (413, "The request is larger than any of ours.", "The request is larger than any of ours."),
        (502, None, "The server could not store the file just now."),
        (507, "There is no room left on the server.", "There is no room left on the server."),
    ],
)
def test_the_script_says_who_refused(status: int, ours: str | None, said: str) -> None:
    [function] = re.findall(r"^  function sentenceOf.*?^  }$", SCRIPT, re.MULTILINE | re.DOTALL)
    answer = json.dumps({"status": status, "json": ours and {"error": {"message": ours}}})
    code = f"{function}\nconsole.log(sentenceOf({answer}))"
    run = subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True)  # noqa: S607
    assert run.stdout.startswith(said)
