"""The child process: its limits hold, its end is understood, and nothing of it stays behind."""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from processing.errors import PermanentError, RetryableError
from processing.parsing import parse, sandbox
from tests.processing import files

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "ada.md"
    path.write_bytes(files.samples()[files.MARKDOWN][1])
    return path


@pytest.fixture
def hostile(monkeypatch, document):
    """Parses with a child whose Markdown reader is the given code, within the child's real
    limits.
    """

    def run(code: str, **limits):
        program = (
            "import os, sys, time, resource, socket, subprocess, ctypes\n"
            "from processing.parsing import child\n"
            "def read(file, draft):\n"
            + "".join(f"    {line}\n" for line in code.split("\n"))
            + "child.reader = lambda content_type: (read, 'Nothing.')\n"
            "child.main()\n"
        )
        monkeypatch.setattr(sandbox, "COMMAND", ("-c", program))
        return parse(document, files.MARKDOWN, **limits)

    return run


def children() -> set[int]:
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that just ended
            found.update(map(int, (task / "children").read_text().split()))
    return found


def pipes() -> set[str]:
    found = set()
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the one that listed them
            found.add(os.readlink(f"/proc/self/fd/{descriptor}"))
    return {target for target in found if target.startswith("pipe:")}


@pytest.fixture(autouse=True)
def others():
    """The children of the test run itself. Ours, and the pipes to them, are gone in the end."""
    before, pipes_before = children(), pipes()
    yield before
    wait_for(lambda: children() <= before and pipes() <= pipes_before, seconds=5)


@pytest.mark.parametrize("content_type", files.samples())
def test_every_format_is_read_in_the_child(content_type, tmp_path):
    name, data = files.samples()[content_type]
    path = tmp_path / name
    path.write_bytes(data)
    assert "Ada Lovelace" in parse(path, content_type).text


def test_the_working_directory_does_not_matter(document, monkeypatch, tmp_path):
    (tmp_path / "json.py").write_text("raise SystemExit('imported from the working directory')")
    monkeypatch.chdir(tmp_path)
    assert parse(Path(document.name), files.MARKDOWN).sections[0].heading == "People"


def test_a_loop_is_stopped_by_the_wall_clock(hostile):
    began = time.monotonic()
    with pytest.raises(RetryableError) as caught:
        hostile("time.sleep(60)", timeout=0.5)
    assert caught.value.code == "parser_timeout"
    assert time.monotonic() - began < 5


def test_a_loop_is_stopped_by_the_limit_on_cpu_time_when_the_parent_sleeps(hostile, monkeypatch):
    monkeypatch.setattr(sandbox.time, "monotonic", lambda: 0.0)
    with pytest.raises(RetryableError) as caught:
        hostile("while True: pass", timeout=1)
    assert caught.value.code == "parser_timeout"


def test_a_memory_eater_is_told_that_the_document_is_too_large(hostile):
    with pytest.raises(PermanentError) as caught:
        hostile("eaten = bytearray(600 * 1024**2)", memory_bytes=512 * 1024**2)
    assert caught.value.code == "too_large"


@pytest.mark.parametrize(
    "code",
    [
        "os.kill(os.getpid(), 9)",
        "ctypes.string_at(0)",
        "os._exit(0)",
        "sys.exit(3)",
        "raise ImportError('no such library')",
        "undefined_name",
    ],
)
def test_a_child_that_dies_or_says_nothing_can_be_tried_again(code, hostile):
    with pytest.raises(RetryableError) as caught:
        hostile(code)
    assert caught.value.code == "parser_died"


def test_a_file_that_cannot_be_opened_is_not_the_documents_fault(tmp_path):
    with pytest.raises(RetryableError):
        parse(tmp_path / "missing.md", files.MARKDOWN)


def test_what_a_reader_prints_does_not_mix_with_its_answer(hostile, caplog):
    assert hostile("print('noise')\nsys.stdout.flush()\ndraft.add('text')").text == "text"
    assert "noise" in caplog.text


def test_a_flood_of_complaints_is_not_kept(hostile, caplog):
    hostile("sys.stderr.write('x' * 5_000_000)\ndraft.add('text')")
    assert len(caplog.text) < 2 * sandbox.MAX_COMPLAINT_BYTES


def test_an_answer_without_end_is_too_large(hostile, monkeypatch):
    monkeypatch.setattr(sandbox, "MAX_ANSWER_BYTES", 1024**2)
    with pytest.raises(PermanentError) as caught:
        hostile("draft.add('word ' * 1_000_000)")
    assert caught.value.code == "too_large"


def test_a_failing_reader_makes_the_document_corrupt_and_its_traceback_is_logged(hostile, caplog):
    with pytest.raises(PermanentError) as caught:
        hostile("raise KeyError('word/document.xml')")
    assert caught.value.code == "corrupt"
    assert "KeyError: 'word/document.xml'" in caplog.text


def test_the_child_has_limits_a_session_of_its_own_and_none_of_our_secrets(hostile, monkeypatch):
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")
    code = (
        "import json\n"
        "names = ('AS', 'CPU', 'NOFILE', 'FSIZE', 'CORE')\n"
        "limits = [resource.getrlimit(getattr(resource, 'RLIMIT_' + name))[0] for name in names]\n"
        "found = [limits, os.getsid(0) == os.getpid(), sorted(os.environ), os.getcwd()]\n"
        "draft.add(json.dumps(found))"
    )
    found = json.loads(hostile(code, timeout=7, memory_bytes=2**30).text)
    limits, own_session, environment, directory = found
    assert limits == [2**30, 7, 64, 16 * 2**20, 0]
    assert own_session
    assert {"LC_ALL", "PYTHONPATH", "PYTHONUTF8"} <= set(environment)
    assert not any("PASSWORD" in name or "SECRET" in name for name in environment)
    assert directory == "/"


def test_grandchildren_die_with_the_child(hostile, tmp_path):
    note = tmp_path / "pid"
    code = (
        "grandchild = subprocess.Popen(['/bin/sleep', '61'])\n"
        f"open({str(note)!r}, 'w').write(str(grandchild.pid))\n"
        "time.sleep(60)"
    )
    with pytest.raises(RetryableError):
        hostile(code, timeout=2)
    wait_for(lambda: int(note.read_text()) not in running("sleep"))


def test_an_interrupted_thread_takes_its_child_with_it(hostile, others):
    """As Dramatiq's TimeLimit does it: an exception of the kind BaseException, raised into the
    thread.
    """

    class Interrupt(BaseException):
        pass

    ended: list[type[BaseException]] = []

    def work():
        try:
            hostile("time.sleep(60)")
        except BaseException as error:
            ended.append(type(error))

    thread = threading.Thread(target=work)
    thread.start()
    wait_for(lambda: not children() <= others)
    ident = ctypes.c_ulong(thread.ident or 0)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(Interrupt))
    thread.join(timeout=5)
    assert ended == [Interrupt]
    wait_for(lambda: children() <= others, seconds=2)


def test_a_killed_parent_takes_its_child_with_it(document):
    program = (
        "from processing.parsing import parse, sandbox\n"
        "sandbox.COMMAND = ('-c', 'import sys, time; from processing.parsing import child; '\n"
        "  'child.limit(60, 2**30, int(sys.argv[-1])); time.sleep(62.5)')\n"
        f"parse({str(document)!r}, 'text/markdown')\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=REPOSITORY)
    try:
        wait_for(lambda: running(str(document), "child.limit"))
        time.sleep(0.5)  # for the child to pass child.limit
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    wait_for(lambda: not running(str(document), "child.limit"))


def test_four_threads_parse_at_once(document):
    results: list[str] = []
    threads = [
        threading.Thread(target=lambda: results.append(parse(document, files.MARKDOWN).text))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4


def running(*words: str) -> list[int]:
    """Processes whose command line contains these words and which do not wait to be reaped."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if all(word in command for word in words) and "SIGKILL" not in command:
            found.append(int(directory.name))
    return [pid for pid in found if pid != os.getpid()]


def wait_for(condition, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
