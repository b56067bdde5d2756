"""What the page's script says of an answer that is not its own server's."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from django.test import Client
from selectolax.lexbor import LexborHTMLParser

SCRIPT = (Path(__file__).parents[2] / "static/lumikb.js").read_text()


@pytest.mark.django_db
def test_our_own_error_pages_have_a_sentence_for_the_script(client: Client) -> None:
    page = LexborHTMLParser(client.get("/nothing").text)
    assert page.css_first("[data-sentence]").text().startswith("There is nothing here")


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
    found = json.dumps({"textContent": ours} if ours else None)
    answer = f"{{status: {status}, page: {{querySelector: () => ({found})}}}}"
    code = f"{function}\nconsole.log(sentenceOf({answer}))"
    run = subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True)  # noqa: S607
    assert run.stdout.startswith(said)
