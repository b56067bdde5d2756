"""Hostile parts of Office files and books, in the sandbox: each is read or refused with a sentence,
and nothing is asked for.
"""

import socket
from pathlib import Path

import pytest

from formats import BY_EXTENSION
from processing.errors import PermanentError
from processing.parsing import parse
from tests.processing import hostile_office


@pytest.fixture(scope="module")
def canary():
    """A server that nobody may ask."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


@pytest.mark.timeout(600)
def test_hostile_office_files_are_read_or_refused_and_nobody_dies(
    canary, tmp_path: Path, pytestconfig
):
    host, port = canary.getsockname()
    made = hostile_office.documents(f"http://{host}:{port}/x")
    assert len(made) > 150
    if not pytestconfig.getoption("full"):
        made = made[::3]
    died, speechless = {}, []
    for name, content in made:
        path = tmp_path / "file"
        path.write_bytes(content)
        media_type = BY_EXTENSION[Path(name).suffix].media_type
        try:
            document = parse(path, media_type)
            assert document.text.strip()
        except PermanentError as error:
            if not error.sentence.endswith("."):
                speechless.append(name)
            if error.code in ("parser_died", "parser_timeout"):
                died[name] = error.code
    assert (died, speechless) == ({}, [])
    with pytest.raises(BlockingIOError):
        canary.accept()
