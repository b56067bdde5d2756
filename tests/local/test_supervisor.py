import os
import subprocess
import sys
import time

import pytest

from deploy.local import process
from deploy.local.home import CannotStart, locked, secrets_of
from deploy.local.process import Program
from deploy.local.servers import free_ports, listen_problem
from deploy.local.supervisor import Interrupted, kill_strays
from tests.local.conftest import eventually, pids


def program(name, code, **options):
    return Program(name, [sys.executable, "-c", code], **options)


def not_ready():
    raise ConnectionRefusedError("nobody listens")


def test_a_program_that_keeps_dying_is_started_later_and_later(supervisor, output, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(process.time, "monotonic", lambda: now[0])
    supervisor.start(program("broken", "raise SystemExit(3)"))
    broken = supervisor._processes["broken"]
    for _ in range(7):
        eventually_dead(broken)
        supervisor.tend()
        now[0] = broken.restart_at
        supervisor.tend()
    now[0] += process.LIVED
    eventually_dead(broken)
    supervisor.tend()
    waits = [line.split()[-2] for line in output.getvalue().splitlines() if "again in" in line]
    assert waits == ["0", "1", "2", "4", "8", "10", "10", "0"]
    assert "broken     | ended with status 3; started again in 1 s" in output.getvalue()


def eventually_dead(one):
    one._popen.wait(timeout=10)


def test_a_server_that_ends_is_reported_with_the_end_of_its_log(supervisor):
    supervisor.start(program("broken", "print('disk full'); raise SystemExit(1)", ready=not_ready))
    with pytest.raises(CannotStart, match=r"broken did not start: .*\nIts last lines:\n    disk"):
        supervisor.wait_ready("broken")


def test_a_server_that_lives_is_waited_for_and_the_reason_is_said(
    supervisor, output, tmp_path, monkeypatch
):
    """However long it takes; here until it has been said three times."""
    monkeypatch.setattr("deploy.local.supervisor.SAY_AFTER", 0.1)

    def ready():
        if output.getvalue().count("\n") < 3:
            not_ready()

    supervisor.start(program("busy", "import time; time.sleep(60)", ready=ready))
    supervisor.wait_ready("busy")
    said = "Still waiting for busy (ConnectionRefusedError: nobody listens) ..."
    assert output.getvalue().splitlines() == [said] * 3


def test_who_waits_can_be_interrupted(supervisor):
    supervisor.start(program("busy", "import time; time.sleep(60)", ready=not_ready))
    supervisor.interrupts = 1
    with pytest.raises(Interrupted):
        supervisor.wait_ready("busy")


def test_a_full_disk_does_not_stop_what_runs(supervisor, output, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("deploy.local.supervisor.write_private", full)
    supervisor.start(program("one", "import time; time.sleep(60)"))
    supervisor.tend()
    assert "pids.json is not up to date: [Errno 28]" in output.getvalue()
    assert supervisor._processes["one"].alive()


def test_the_private_output_of_a_program_is_returned_and_not_shown(supervisor, output):
    code = "import sys; print('token'); print('a warning', file=sys.stderr)"
    assert supervisor.run(program("api-token", code, private=True)) == ["token"]
    assert output.getvalue() == "api-token  | a warning\n"


def test_a_failed_step_is_reported_with_its_output(supervisor):
    with pytest.raises(CannotStart, match=r"migrate failed with status 2:\nno such table"):
        supervisor.run(program("migrate", "print('no such table'); raise SystemExit(2)"))


def test_an_interrupted_step_is_not_waited_for(supervisor, tmp_path):
    supervisor.interrupts = 1
    with pytest.raises(Interrupted):
        supervisor.run(program("migrate", "import time; time.sleep(60)"))


def test_a_process_that_does_not_stop_in_its_time_is_killed(supervisor, output, tmp_path):
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up'); time.sleep(60)"
    supervisor.start(program("stubborn", code, stop_seconds=0.5))
    eventually(lambda: "up" in output.getvalue())
    began = time.monotonic()
    supervisor.stop("stubborn")
    assert 0.4 < time.monotonic() - began < 5
    assert "stubborn" not in pids(tmp_path)


def test_secrets_are_made_once_and_only_the_owner_reads_them(tmp_path):
    first = secrets_of(tmp_path)
    assert secrets_of(tmp_path) == first
    assert len(set(first.values())) == len(first)
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_a_home_is_free_again_when_its_holder_lets_go(tmp_path):
    with (
        locked(tmp_path),
        pytest.raises(CannotStart, match="already running"),
        locked(tmp_path),
    ):
        pass
    with locked(tmp_path):
        pass


def test_the_servers_ports_are_free_and_different():
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert not any(listen_problem("127.0.0.1", port) for port in ports)


def test_whom_it_ends_has_let_go_of_its_port(tmp_path):
    """One with much memory gives that back first, and looks like nobody meanwhile."""
    [port] = free_ports(1)
    code = f"""
import socket, time
server = socket.create_server(("127.0.0.1", {port}))
memory = bytearray(b"x") * (1 << 30)
print("up", flush=True)
time.sleep(60)
"""
    marked = {**os.environ, process.MARK: str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", code], env=marked, stdout=subprocess.PIPE) as one:
        assert one.stdout.readline() == b"up\n"
        assert listen_problem("127.0.0.1", port)
        kill_strays(tmp_path)
        assert not listen_problem("127.0.0.1", port)
