"""The signals, the locks and the leftovers of `make run`, with small programs for services."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from deploy.local import needs
from deploy.local.application import application
from deploy.local.process import MARK, REPOSITORY
from deploy.local.servers import free_ports
from deploy.local.supervisor import kill_strays
from tests.local.conftest import eventually, pids, running

SERVICES = {"qdrant", "embeddings", "redis", "postgres", "web", "worker", "relay", "reconcile"}


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def start(home):
    """Start the fake product; returns it when it has said that it is ready."""
    started = []

    def start(wait=True, **environment):
        environment = {"LUMIKB_HOME": str(home), "PORT": str(free_ports(1)[0])} | environment
        product = subprocess.Popen(
            [sys.executable, "-m", "tests.local.fake_product"],
            env=os.environ | environment,
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Tests that a shell runs in the background inherit that it is ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        started.append(product)
        product.banner = ""
        while wait and "Ctrl-C" not in product.banner:
            line = product.stdout.readline()
            assert line, product.banner
            product.banner += line
        if wait:
            eventually(lambda: len(family(home)) == len(SERVICES) + 1)  # the worker has a child
        return product

    yield start
    for product in started:
        product.kill()
        product.communicate()
    kill_strays(home)  # the worker's child, whose parent alone would have ended it


def family(home) -> set[int]:
    """Every running process of this home but the supervisor."""
    mark = f"{MARK}={home}".encode()
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as environ:
                if mark in environ.read().split(b"\0"):
                    found.add(int(pid))
        except OSError:
            continue
    return found


def test_it_says_where_how_to_log_in_and_the_token(start, home):
    banner = start(PORT="28123").banner
    for text in ("http://127.0.0.1:28123/", "admin / secret", f"in {home}/api-token"):
        assert text in banner
    assert "the-token-itself" not in banner
    assert "migrate    | migrated\n" in banner
    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / "environment").read_text() == "DATABASE_URL=fake\n"
    assert (home / "environment").stat().st_mode & 0o777 == 0o600


def test_what_an_older_home_left_open_is_closed_to_others(start, home):
    (home / "objects/handbook").mkdir(parents=True)
    for path in (home, home / "objects", home / "objects/handbook"):
        path.chmod(0o755)
    stored = home / "objects/handbook/original"
    stored.write_bytes(b"secret")
    stored.chmod(0o666)
    (home / "objects/link").symlink_to("/etc/passwd")
    start()
    assert [path for path in home.rglob("*") if path.lstat().st_mode & 0o077] == [
        home / "objects/link"
    ]
    assert home.stat().st_mode & 0o777 == 0o700
    assert os.stat("/etc/passwd").st_mode & 0o777 == 0o644


def test_every_process_gets_the_secrets_that_it_needs_and_no_others():
    addresses = {"REDIS_URL": "redis://:the-REDIS_URL@127.0.0.1:1/0"}
    env = {name: f"the-{name}" for name in needs.SECRETS} | addresses | {"PORT": "1"}
    ops = {"OPS_DATABASE_URL", "REDIS_URL"}
    index = {"QDRANT_API_KEY", "S3_ACCESS_KEY", "S3_SECRET_KEY"}
    worker = {"WORKER_DATABASE_URL", "REDIS_URL", "EMBEDDING_API_KEY"} | index
    web = {"SECRET_KEY", "METRICS_TOKEN", "DATABASE_URL", "EMBEDDING_API_KEY", "RERANK_API_KEY"}
    web |= ops | index
    expected = {"web": web, "worker": worker, "relay": ops}
    expected["reconcile"] = {"EMBEDDING_API_KEY"} | ops | index
    programs = application(env, "127.0.0.1", 1)
    assert {program.name: held(program.env, env) for program in programs} == expected
    others = {
        "migrate": {"OWNER_DATABASE_URL"},
        "admin": {"DATABASE_URL", "DJANGO_SUPERUSER_PASSWORD"},
        "embeddings": {"EMBEDDING_API_KEY"},
        "qdrant": {"QDRANT_API_KEY"},
        "redis": set(),
    }
    for kind, secrets in others.items():
        assert held(needs.environment(kind, env), env) == secrets, kind
    assert needs.environment("redis", env)["PORT"] == "1"


def held(environment, secrets) -> set[str]:
    """The names of the secrets whose values are in this environment, under whatever name."""
    values = " ".join(environment.values()).split()
    return {name for name in needs.SECRETS if secrets[name] in values}


def test_sigterm_ends_all_and_leaves_nothing_running(start, home):
    product = start()
    assert set(pids(home)) == SERVICES | {"supervisor"}
    before = family(home)
    product.send_signal(signal.SIGTERM)
    assert product.wait(timeout=10) == 0
    assert not any(running(pid) for pid in before)
    assert not family(home)


def test_the_second_ctrl_c_does_not_wait_for_a_service_that_ignores_the_first(start, home):
    product = start(STUBBORN="yes")
    stubborn = pids(home)["relay"]
    web = pids(home)["web"]
    product.send_signal(signal.SIGINT)
    eventually(lambda: not running(web))
    assert running(stubborn)
    assert running(
        pids(home)["postgres"]
    )  # the servers stay while an application process needs them
    product.send_signal(signal.SIGINT)
    assert product.wait(timeout=5) == 0
    assert not family(home)


def test_a_killed_supervisor_takes_its_children_along(start, home):
    product = start(STUBBORN="yes")
    before = pids(home)
    product.kill()
    obedient = [before[name] for name in SERVICES - {"relay"}]
    eventually(lambda: not any(running(pid) for pid in obedient))
    assert running(before["relay"])  # ignores the signal: the next start ends it
    start()
    assert not running(before["relay"])


def test_a_killed_service_is_started_again_and_its_children_are_not_left(start, home):
    start()
    before = family(home)
    worker = pids(home)["worker"]
    [child] = [pid for pid in before if pid not in pids(home).values()]
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: pids(home).get("worker", worker) != worker)
    assert not running(child)
    assert len(family(home) & before) == len(before) - 2


def test_a_second_start_on_the_same_home_is_refused_in_one_sentence(start, home):
    first = start()
    second = start(wait=False)
    output, _ = second.communicate(timeout=10)
    assert second.returncode == 1
    assert output == (
        f"LumiKB is already running on {home} (process {first.pid}): "
        "stop it first, or choose another LUMIKB_HOME.\n"
    )
    assert first.poll() is None


def test_a_busy_port_is_refused_before_anything_is_started(start, home):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        product = start(wait=False, PORT=str(port))
        output, _ = product.communicate(timeout=10)
    assert product.returncode == 1
    assert output == (
        f"LumiKB cannot listen on 127.0.0.1, port {port}: Address already in use. "
        "Choose another PORT.\n"
    )
    assert not (home / "postgres").exists()


@pytest.mark.parametrize("port", ["http", "0", "65536", "-1"])
def test_a_senseless_port_is_refused(start, port):
    product = start(wait=False, PORT=port)
    output, _ = product.communicate(timeout=10)
    assert product.returncode == 1
    assert output == f"PORT must be a number from 1 to 65535, not '{port}'.\n"
