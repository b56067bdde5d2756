"""`make run`: all of LumiKB on this machine, in the foreground, until Ctrl-C."""

import os
import secrets
import signal
import sys
from pathlib import Path
from shlex import quote

from deploy.local.console import Console
from deploy.local.home import CannotStart, locked, write_private
from deploy.local.process import REPOSITORY, Program
from deploy.local.servers import SERVERS, http_answers, listen_problem, start_servers
from deploy.local.supervisor import Interrupted, Supervisor

APPLICATION = ("web", "worker", "relay", "reconcile")
WORKER_THREADS = 4
STOP_SECONDS = (
    25.0  # what runs may be finished: DESIGN.md section 6, and gunicorn's graceful_timeout
)


def main() -> int:
    home = Path(os.environ.get("LUMIKB_HOME") or REPOSITORY / ".lumikb").resolve()
    console = Console(sys.stdout)
    try:
        host, port = address()
        with locked(home):
            if problem := listen_problem(host, port):
                raise CannotStart(
                    f"LumiKB cannot listen on {host}, port {port}: {problem}. Choose another PORT."
                )
            with Supervisor(home, console) as supervisor:
                obey_signals(supervisor, console)
                run(supervisor, home, host, port, console)
    except Interrupted:
        console.plain("LumiKB has stopped.")
    except CannotStart as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def address() -> tuple[str, int]:
    port = os.environ.get("PORT") or "8000"
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise CannotStart(f"PORT must be a number from 1 to 65535, not {port!r}.")
    return os.environ.get("HOST") or "127.0.0.1", int(port)


def obey_signals(supervisor: Supervisor, console: Console) -> None:
    """Ctrl-C, SIGTERM and a closed terminal stop everything; the second time at once."""

    def interrupt(*_: object) -> None:
        supervisor.interrupts += 1

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, interrupt)


def run(supervisor: Supervisor, home: Path, host: str, port: int, console: Console) -> None:
    """Start everything, say so, and tend it. Ends only by Interrupted or CannotStart."""
    console.plain(f"Starting LumiKB with its data in {home} ...")
    settings = start_servers(supervisor, home)
    write_private(home / "environment", "".join(f"{k}={quote(v)}\n" for k, v in settings.items()))
    env = {**os.environ, **settings}
    try:
        supervisor.wait_ready("postgres")
        supervisor.run(manage("migrate", env, "migrate", "--noinput"))
        login = first_run(supervisor, home, env, console)
        web, *others = application(env, host, port)
        supervisor.start(web)
        supervisor.wait_ready(*SERVERS, "web")
        supervisor.start(
            *others
        )  # not before: each takes seconds of a core, and the page is awaited
        console.plain(banner(home, host, port, login))
        while True:
            supervisor.pause()
    finally:
        supervisor.stop(*APPLICATION)  # before their servers


def first_run(supervisor: Supervisor, home: Path, env: dict[str, str], console: Console) -> str:
    """Make the user admin and an API token, unless the token is there. Returns how to log in."""
    token_file = home / "api-token"
    if token_file.exists():
        return "admin, with the password of the first start"
    chosen = env.get("LUMIKB_ADMIN_PASSWORD")
    password = chosen or secrets.token_urlsafe(12)
    user = {**env, "DJANGO_SUPERUSER_PASSWORD": password}
    create = ("createsuperuser", "--noinput", "--username=admin", "--email=admin@localhost")
    try:
        supervisor.run(manage("admin", user, *create))
        login = "admin, with LUMIKB_ADMIN_PASSWORD" if chosen else f"admin / {password}"
    except (
        CannotStart
    ) as error:  # a first run that was cut short made the user; else the next step fails
        console.plain(str(error))
        login = "admin, with the password of the first start"
    console.plain(f"Log in as {login}")  # at once: it is not kept anywhere
    token = supervisor.run(
        manage("api-token", env, "create_api_token", "admin", "--name", "make-run", private=True)
    )
    write_private(token_file, token[-1] + "\n")
    return login


def application(env: dict[str, str], host: str, port: int) -> list[Program]:
    bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    gunicorn = ["-m", "gunicorn", "--config", "lumikb/gunicorn.py", "--bind", bind]
    gunicorn += ["--no-control-socket", "lumikb.wsgi"]  # in ~/.gunicorn, one for all
    dramatiq = {  # its own option names, lower case
        "dramatiq_queue_prefetch": str(WORKER_THREADS),  # take no more than can run: STACK.md 1.6
        "dramatiq_worker_timeout": "50",  # milliseconds between two looks at an empty queue
    }

    def pool(size: int) -> dict[str, str]:
        """Few connections for those who need few; the setting's default is the web's."""
        return {"DB_POOL_SIZE": str(size), **env}

    worker = ["rundramatiq", "--processes", "1", "--threads", str(WORKER_THREADS), "--skip-logging"]
    patience = ["--worker-shutdown-timeout", f"{1000 * (STOP_SECONDS - 2):.0f}"]
    return [
        Program(
            "web",
            [sys.executable, *gunicorn],
            env,
            ready=lambda: http_answers(visible(host), port, "/health/live"),
            stop_seconds=STOP_SECONDS,
        ),
        manage("worker", pool(4) | dramatiq, *worker, *patience, stop_seconds=STOP_SECONDS),
        manage("relay", pool(2), "relay"),
        manage("reconcile", pool(2), "reconcile", "--every", "300"),
    ]


def manage(
    name: str, env: dict[str, str], *command: str, stop_seconds: float = 10.0, private: bool = False
) -> Program:
    argv = [sys.executable, "manage.py", *command]
    return Program(name, argv, env, stop_seconds=stop_seconds, private=private)


def visible(host: str) -> str:
    """The address at which this machine itself reaches a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (compared, not bound)


def banner(home: Path, host: str, port: int, login: str) -> str:
    token_file = home / "api-token"
    return f"""
  LumiKB is ready:  http://{visible(host)}:{port}/
  Log in:           {login}
  API token:        {token_file.read_text().strip()}  (kept in {token_file})
  Stop:             Ctrl-C
"""


if __name__ == "__main__":
    sys.exit(main())
