"""The child process: its limits hold, its end is understood, and nothing of it stays behind."""

import contextlib
import ctypes
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from processing.errors import PermanentError, RetryableError
from processing.parsing import client, parse, sandbox
from processing.parsing.client import COMMAND, ForkServer
from processing.parsing.model import MAX_ANSWER_BYTES, Limits
from tests.local.conftest import running
from tests.processing import files

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "ada.md"
    path.write_bytes(files.samples()[files.MARKDOWN][1])
    return path


@pytest.fixture
def servers(monkeypatch):
    """Makes a new fork server the one that `parse` asks; all of them end with the test."""
    made = []

    def make(*command: str) -> ForkServer:
        made.append(ForkServer(command or COMMAND))
        monkeypatch.setattr(sandbox, "_fork_server", made[-1])
        return made[-1]

    yield make
    for server in made:
        if server._process:
            server._process.kill()


# The children's Markdown reader does what the document says.
OBEDIENT = """
import os, sys, time, resource, socket, subprocess, ctypes, signal, threading, json
import encodings.idna  # what create_connection would import
from processing.parsing import child, seccomp, server

def read(file, draft):
    code = compile(file.read(), child.__file__, "exec")  # as if it were our own
    exec(code, globals() | {"draft": draft})

child.reader = lambda content_type: (read, "Nothing.")
server.preload = lambda: None
"""


@pytest.fixture(scope="module")
def obedient():
    """The fork server of all the tests that need no other: a start takes 0.4 s."""
    server = ForkServer(("-c", f"{OBEDIENT}server.main()"))
    yield server
    if server._process:
        server._process.kill()


@pytest.fixture
def hostile(obedient, document, monkeypatch):
    """Parses with a child whose Markdown reader is the given code, within the child's real
    limits.
    """

    def run(code: str, **options):
        monkeypatch.setattr(sandbox, "_fork_server", obedient)
        document.write_text(code)
        return parse(document, files.MARKDOWN, **options)

    return run


def children(pid: int | str = "self") -> set[int]:
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that just ended
            found.update(map(int, (task / "children").read_text().split()))
    return found


def parsers() -> set[int]:
    """The children of all fork servers of this process."""
    found: set[int] = set()
    for pid in children():
        with contextlib.suppress(OSError):
            if "server" in Path(f"/proc/{pid}/cmdline").read_text():
                found |= children(pid)
    return found


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def nothing_stays_behind(document):
    """After each test no parser runs, and no file is left open."""
    parse(document, files.MARKDOWN)  # the fork server that all tests share
    before = open_files()
    yield
    wait_for(lambda: not parsers())
    if open_files() > before + 2:  # a server and its thread, ending
        gc.collect()
    wait_for(lambda: open_files() <= before + 2)


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
        hostile("time.sleep(100)", timeout=0.5)
    assert caught.value.code == "parser_timeout"
    assert time.monotonic() - began < 50


def test_a_loop_is_stopped_by_the_limit_on_processor_time_and_not_tried_again(hostile, monkeypatch):
    monkeypatch.setattr(client.time, "monotonic", lambda: 0.0)
    with pytest.raises(PermanentError) as caught:
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
        "os._exit(0)",
        "os._exit(3)",
        "raise ImportError('no such library')",
        "os.write(15, b'no JSON')",
    ],
)
def test_a_child_that_ends_early_can_be_tried_again(code, hostile):
    with pytest.raises(RetryableError) as caught:
        hostile(code)
    assert caught.value.code == "parser_died"


@pytest.mark.parametrize(
    "code",
    [
        "ctypes.string_at(0)",  # a segmentation fault
        "os.abort()",
        "undefined_name",
        "None.attribute",
        "len(3)",
        "assert False",
    ],
)
def test_a_crash_and_a_mistake_of_ours_would_come_again_and_are_not_called_damage(code, hostile):
    with pytest.raises(PermanentError) as caught:
        hostile(code)
    assert caught.value.code == "parser_died"


def test_a_file_that_cannot_be_opened_is_not_the_documents_fault(tmp_path):
    with pytest.raises(RetryableError):
        parse(tmp_path / "missing.md", files.MARKDOWN)


def test_what_a_reader_prints_does_not_mix_with_its_answer(hostile, caplog):
    assert hostile("print('noise')\nsys.stdout.flush()\ndraft.add('text')").text == "text"
    assert "noise" in caplog.text


def test_not_even_a_hijacked_child_writes_more_than_the_longest_answer(hostile, monkeypatch):
    monkeypatch.setattr(sandbox, "MAX_ANSWER_BYTES", 2**24)
    with pytest.raises(RetryableError) as caught:
        hostile("while True: os.write(15, b'x' * 2**20)")
    assert caught.value.code == "parser_died"


def test_nor_more_text_than_a_document_may_have(hostile):
    code = (
        "for unit in range(2, 10**9):\n"
        "    line = {'text': 'x' * 300, 'sections': [], 'passed': [], 'unit': unit, 'place': ''}\n"
        "    os.write(15, json.dumps(line).encode() + b'\\n')"
    )
    with pytest.raises(PermanentError) as caught:
        hostile(code, limits=Limits(chars=1000))
    assert caught.value.code == "too_large"


def test_a_flood_of_complaints_is_not_kept(hostile, caplog):
    hostile("sys.stderr.write('x' * 5_000_000)\ndraft.add('text')")
    assert len(caplog.text) < 2 * sandbox.MAX_COMPLAINT_BYTES


def test_an_answer_without_end_is_too_large(hostile):
    with pytest.raises(PermanentError) as caught:
        hostile("child.MAX_ANSWER_BYTES = 2**16\ndraft.add('word ' * 30_000)")
    assert caught.value.code == "too_large"


def test_what_a_library_raises_at_a_file_is_damage_whatever_it_is(hostile):
    with pytest.raises(PermanentError) as caught:
        hostile("json.loads(None)")  # a TypeError
    assert caught.value.code == "corrupt"


def test_a_failing_reader_makes_the_document_corrupt_and_its_traceback_is_logged(hostile, caplog):
    with pytest.raises(PermanentError) as caught:
        hostile("raise KeyError('word/document.xml')")
    assert caught.value.code == "corrupt"
    assert "KeyError: 'word/document.xml'" in caplog.text


def test_the_child_has_limits_a_session_of_its_own_and_none_of_our_secrets(
    servers, document, monkeypatch
):
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")
    servers("-c", f"{OBEDIENT}seccomp.missing = lambda: True\nserver.main()")
    document.write_text(
        "names = ('AS', 'CPU', 'NOFILE', 'FSIZE', 'CORE', 'NPROC')\n"
        "limits = [resource.getrlimit(getattr(resource, 'RLIMIT_' + name))[0] for name in names]\n"
        "files = []\n"
        "for number in range(64):\n"
        "    try:\n"
        "        os.fstat(number)\n"
        "        files.append(number)\n"
        "    except OSError:\n"
        "        pass\n"
        "draft.add(json.dumps([limits, files, sorted(os.environ), os.getcwd()]))"
    )
    found = json.loads(parse(document, files.MARKDOWN, timeout=7, memory_bytes=2**30).text)
    limits, open_descriptors, environment, directory = found
    assert limits == [2**30, 7, 16, MAX_ANSWER_BYTES, 0, 0]
    assert open_descriptors == [1, 2, 15]  # complaints twice, the answer; the document is read
    assert {"LC_ALL", "PYTHONPATH", "PYTHONUTF8"} <= set(environment)
    assert not any("PASSWORD" in name or "SECRET" in name for name in environment)
    assert directory == "/"


def test_the_fork_server_holds_none_of_our_secrets_and_none_of_our_files(servers, document):
    with socket.create_server(("127.0.0.1", 0)) as ours, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_PASSWORD", "secret")
        ours.set_inheritable(True)
        server = servers()
        parse(document, files.MARKDOWN)
        process = Path(f"/proc/{server._process.pid}")
        assert b"secret" not in (process / "environ").read_bytes()
        inherited = {os.readlink(f"/proc/self/fd/{ours.fileno()}")}
        assert not inherited & {os.readlink(link) for link in (process / "fd").iterdir()}


HAS_SECCOMP = "\nSeccomp:" in Path("/proc/self/status").read_text()
needs_seccomp = pytest.mark.skipif(not HAS_SECCOMP, reason="no seccomp on this system")

FORBIDDEN = {
    "a connection": "socket.create_connection(('127.0.0.1', PORT), 1)",
    "a socket": "socket.socket()",
    "a fork": "os.fork()",
    "a program": "os.execv('/bin/true', ['true'])",
    "a program started": "subprocess.run(['/bin/true'])",
    "a thread": "threading.Thread(target=print).start()",
    "a signal to its parent": "os.kill(os.getppid(), signal.SIGCONT)",
    "a signal to its group": "os.kill(0, signal.SIGCONT)",
    "a file read": "open('/etc/hostname')",
    "a file written": "open('/tmp/lumikb-written', 'w')",
    "a file removed": "os.unlink('/tmp/lumikb-nothing')",
    "its limits lifted": "resource.setrlimit(resource.RLIMIT_CPU, (1, 1))",
    "a session of its own": "os.setsid()",
    "its end without its parent's": "assert ctypes.CDLL(None).prctl(1, 0) == 0 or 1 / 0",
}


@needs_seccomp
@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_child_can_do_nothing_but_read_its_document(what, hostile):
    """Refused with EPERM, which Python says in several ways."""
    with socket.create_server(("127.0.0.1", 0)) as canary:
        code = FORBIDDEN[what].replace("PORT", str(canary.getsockname()[1]))
        outcome = hostile(
            "try:\n"
            f"    {code}\n"
            "    draft.add('done')\n"
            "except PermissionError as error:\n"
            "    draft.add('refused')\n"
            "except (RuntimeError, ZeroDivisionError, ValueError):\n"  # thread, prctl, setrlimit
            "    draft.add('refused')"
        )
        canary.setblocking(False)
        with pytest.raises(BlockingIOError):
            canary.accept()
    assert outcome.text == "refused"


@needs_seccomp
def test_a_fork_bomb_is_no_bomb(hostile):
    with pytest.raises(RetryableError):
        hostile(
            "while True:\n"
            "    try:\n"
            "        os.fork()\n"
            "    except PermissionError:\n"
            "        time.sleep(0.01)",
            timeout=1,
        )
    wait_for(lambda: not parsers())


def test_without_seccomp_the_other_limits_hold_and_grandchildren_die_too(
    servers, document, tmp_path
):
    note = tmp_path / "pid"
    program = (
        "import os, time\n"
        "from processing.parsing import child, seccomp, server\n"
        "def read(file, draft):\n"
        "    if pid := os.fork():\n"
        f"        with open({str(note)!r}, 'w') as note: note.write(str(pid))\n"
        "    time.sleep(300)\n"
        "seccomp.missing = lambda: True\n"
        "child.reader = lambda content_type: (read, 'Nothing.')\n"
        "child.resource.RLIMIT_NPROC = child.resource.RLIMIT_CORE\n"
        "server.preload = lambda: None\n"
        "server.main()\n"
    )
    servers("-c", program)

    class Forked(Exception):
        pass

    def until_it_forked():
        if note.exists() and note.read_text():
            raise Forked

    for _ in range(2):
        with pytest.raises(Forked):
            parse(document, files.MARKDOWN, check=until_it_forked)
        grandchild = int(note.read_text())
        wait_for(lambda: not running(grandchild))  # noqa: B023 (called here)
        note.unlink()


def test_an_interrupted_thread_takes_its_child_with_it(hostile):
    """As Dramatiq's TimeLimit does it: an exception of the kind BaseException, raised into the
    thread.
    """

    class Interrupt(BaseException):
        pass

    ended: list[type[BaseException]] = []

    def work():
        try:
            hostile("time.sleep(100)")
        except BaseException as error:
            ended.append(type(error))

    thread = threading.Thread(target=work)
    thread.start()
    wait_for(parsers)
    ident = ctypes.c_ulong(thread.ident or 0)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(Interrupt))
    thread.join(timeout=60)
    assert ended == [Interrupt]
    wait_for(lambda: not parsers())


def test_what_the_check_raises_ends_the_child_and_goes_through(hostile):
    class Lost(OSError):
        pass

    calls: list[float] = []

    def check():
        calls.append(time.monotonic())
        if len(calls) == 5:
            raise Lost

    began = time.monotonic()
    with pytest.raises(Lost):
        hostile("time.sleep(100)", check=check)
    assert time.monotonic() - began < 50
    wait_for(lambda: not parsers())


LATE_CHILD = """
import os
fork = os.fork
def fork_late():
    server, pid = os.getpid(), fork()
    while pid == 0 and os.getppid() == server:
        time.sleep(0.01)
    return pid
os.fork = fork_late
"""


@pytest.mark.parametrize(
    ("stopped", "late"),
    [(False, ""), (True, ""), (False, LATE_CHILD)],
    ids=["in work", "with a stopped server", "before the child knows its parent"],
)
def test_a_killed_worker_takes_the_fork_server_and_its_children_with_it(document, stopped, late):
    """Also a fork server that is stopped at that moment, and so reads nothing."""
    server_program = (
        "import time\n"
        "from processing.parsing import child, server\n"
        f"{late}"
        "child.reader = lambda content_type: (lambda file, draft: time.sleep(62.5), '')\n"
        "server.preload = lambda: None\n"
        "server.main()\n"
    )
    program = (
        "from pathlib import Path\n"
        "from processing.parsing import client, parse, sandbox\n"
        f"sandbox._fork_server = client.ForkServer(('-c', {server_program!r}))\n"
        f"parse(Path({str(document)!r}), 'text/markdown')\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", program], cwd=REPOSITORY)
    try:
        wait_for(lambda: any(map(children, children(worker.pid))))
        (server,) = children(worker.pid)
        (parser,) = children(server)
        if stopped:
            os.kill(server, signal.SIGSTOP)
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    wait_for(lambda: not running(server) and not running(parser))


def test_a_fork_server_that_was_killed_is_replaced(servers, document):
    server = servers()
    parse(document, files.MARKDOWN)
    first = server._process.pid
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: not running(first))
    assert parse(document, files.MARKDOWN).text
    assert server._process.pid != first


def test_a_fork_server_that_is_stuck_is_replaced(servers, document, monkeypatch):
    server = servers()
    parse(document, files.MARKDOWN)
    monkeypatch.setattr(client, "ANSWER_SECONDS", 5)
    os.kill(server._process.pid, signal.SIGSTOP)
    with pytest.raises(RetryableError):
        parse(document, files.MARKDOWN)
    monkeypatch.setattr(client, "ANSWER_SECONDS", 30)
    assert parse(document, files.MARKDOWN).text


def test_the_end_of_the_fork_server_ends_its_children_and_another_try_may_help(hostile):
    caught: list[Exception] = []

    def work():
        try:
            hostile("time.sleep(100)")
        except RetryableError as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    wait_for(parsers)
    (parser,) = parsers()
    os.kill(sandbox._fork_server._process.pid, signal.SIGKILL)
    thread.join(timeout=60)
    assert [error.code for error in caught] == ["parser_died"]
    wait_for(lambda: not running(parser))


def test_a_child_that_ends_as_its_caller_gives_up_does_not_end_the_fork_server(servers, document):
    """The server learns of both at once, as it was stopped meanwhile."""
    program = (
        "import time\n"
        "from processing.parsing import child, server\n"
        "child.reader = lambda content_type: (lambda file, draft: time.sleep(100), '')\n"
        "server.preload = lambda: None\n"
        "server.main()\n"
    )
    server = servers("-c", program)

    class GivenUp(Exception):
        pass

    def give_up():
        for parser in children(server._process.pid):
            os.kill(server._process.pid, signal.SIGSTOP)
            os.kill(parser, signal.SIGKILL)
            wait_for(lambda: not running(parser))  # noqa: B023 (called here)
            raise GivenUp

    for _ in range(2):
        with pytest.raises(GivenUp):
            parse(document, files.MARKDOWN, check=give_up)
        first = server._process.pid
        os.kill(first, signal.SIGCONT)
        wait_for(lambda: not children(first))  # noqa: B023 (called here)
        assert running(first)
        assert server._process.pid == first


def test_the_signals_of_a_graceful_stop_are_the_workers_business(servers, document):
    server = servers()
    parse(document, files.MARKDOWN)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(server._process.pid, number)
    assert parse(document, files.MARKDOWN).text
    assert server._process.poll() is None


def test_four_threads_parse_at_once_and_a_crash_touches_no_other(servers, tmp_path):
    """Half of the documents kill their process."""
    program = (
        "import os\n"
        "from processing.parsing import child, server\n"
        "def read(file, draft):\n"
        "    text = file.read().decode()\n"
        "    if 'kill' in text: os.kill(os.getpid(), 11)\n"
        "    draft.add(text)\n"
        "child.reader = lambda content_type: (read, 'Nothing.')\n"
        "server.preload = lambda: None\n"
        "server.main()\n"
    )
    servers("-c", program)
    answers: dict[str, str] = {}

    def work(thread: int) -> None:
        for number in range(20):
            said = f"{thread} {number} {'kill' if number % 2 else 'good'}"
            path = tmp_path / said
            path.write_text(said)
            try:
                answers[said] = parse(path, files.MARKDOWN).text
            except PermanentError as error:
                answers[said] = error.code

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 80
    assert {said for said, answer in answers.items() if answer != said} == {
        said for said in answers if said.endswith("kill")
    }


def wait_for(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
