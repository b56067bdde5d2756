import os
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg
import pytest

from deploy.local import postgres
from deploy.local.home import CannotStart
from deploy.local.servers import free_ports
from tests.local.conftest import eventually, running

SECRETS = dict.fromkeys((*postgres.ROLES, "postgres_superuser"), "secret")
COMPUTE = "SELECT count(*) FROM generate_series(1, 10000000000)"


@pytest.fixture
def data(tmp_path):
    return tmp_path / "home" / "postgres"


@pytest.fixture
def start(supervisor, data):
    """Start a server on `data`, as after a restart of everything; returns its URL."""

    def start():
        data.parent.mkdir(mode=0o700, exist_ok=True)
        postgres.initialise(data, SECRETS)
        [port] = free_ports(1)
        supervisor.start(postgres.program(data, port, SECRETS))
        supervisor.wait_ready("postgres")
        return postgres.url(port, postgres.OWNER, SECRETS)

    return start


def server_pid(data: Path) -> int:
    return int((data / "postmaster.pid").read_text().split()[0])


def kill_server(data: Path) -> None:
    pid = server_pid(data)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not running(pid))


def test_data_survives_a_stop_and_a_kill(start, supervisor, data):
    with psycopg.connect(start(), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept VALUES (1)")
    supervisor.stop("postgres")
    with psycopg.connect(start(), autocommit=True) as connection:
        connection.execute("INSERT INTO kept VALUES (2)")
        kill_server(data)
    supervisor.stop("postgres")
    with psycopg.connect(start()) as connection:
        assert connection.execute("SELECT n FROM kept ORDER BY n").fetchall() == [(1,), (2,)]


def test_the_application_may_make_databases_but_is_no_superuser(start):
    with psycopg.connect(start()) as connection:
        row = connection.execute(
            "SELECT rolcreatedb, rolsuper FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    assert row == (True, False)


def test_text_is_utf_8_whatever_the_locale_of_the_shell(start):
    with psycopg.connect(start()) as connection:
        assert connection.execute("SHOW server_encoding").fetchone() == ("UTF8",)
        assert connection.execute("SELECT lower('ÄÉÑ')").fetchone() == ("äéñ",)


def test_nobody_enters_without_the_password(start):
    url = start()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url.replace("secret", "guess"))
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(url.replace(":secret", ""))


def test_a_busy_session_of_a_killed_server_does_not_keep_the_next_one_out(start, supervisor, data):
    connection = psycopg.connect(start(), autocommit=True)
    connection.pgconn.send_query(COMPUTE.encode())
    session = connection.info.backend_pid
    kill_server(data)
    assert running(session)  # it computes and has not noticed: the case that this test is about
    supervisor.wait_ready("postgres")
    assert not running(session)


def test_a_server_that_outlived_its_supervisor_is_stopped_in_order(supervisor, start, data, output):
    start()
    orphan = server_pid(data)
    supervisor._processes.clear()  # as a killed supervisor would forget it
    start()
    assert not running(orphan)
    assert "received fast shutdown request" in output.getvalue()


def test_a_lock_file_with_a_strangers_number_is_no_obstacle(start, supervisor, data):
    start()
    supervisor.stop("postgres")
    with subprocess.Popen([*postgres._as_owner_of(data), "/bin/sleep", "60"]) as stranger:
        (data / "postmaster.pid").write_text(f"{stranger.pid}\n{data}\n")
        start()
        assert stranger.poll() is None
        stranger.kill()


def test_a_first_start_that_was_cut_short_is_begun_again(start, data):
    half_made = data.with_name("postgres.new")
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")
    start()


def test_a_failed_first_start_says_why_and_leaves_no_cluster(data, monkeypatch):
    data.parent.mkdir()
    monkeypatch.setattr(postgres, "INITDB", (*postgres.INITDB, "--locale=nonsense"))
    with pytest.raises(CannotStart, match="nonsense"):
        postgres.initialise(data, SECRETS)
    assert not data.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be below a directory of root's")
def test_root_may_keep_programs_and_data_below_a_directory_only_root_may_enter(
    start, data, monkeypatch, tmp_path
):
    package = Path(postgres._binary("postgres")).parents[2]
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    for directory in (package, package.with_name(package.name + ".libs")):
        shutil.copytree(directory, private / directory.name, symlinks=True)
    binaries = private / package.name / "pginstall" / "bin"
    monkeypatch.setattr(postgres, "_binary", lambda name: str(binaries / name))

    start()

    server = Path(f"/proc/{server_pid(data)}")
    assert os.readlink(server / "exe") == str(binaries / "postgres")
    assert server.stat().st_uid == data.stat().st_uid != 0
    assert [path.stat().st_mode & 0o777 for path in (private, data.parent)] == [0o700, 0o700]
