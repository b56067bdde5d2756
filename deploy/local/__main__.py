"""`make run`: all of LumiKB on this machine, in the foreground, until Ctrl-C."""

import os
import secrets
import signal
import sys
from pathlib import Path
from shlex import quote

from deploy.local.application import application, endpoint, manage, visible
from deploy.local.console import Console
from deploy.local.home import CannotStart, locked, write_private
from deploy.local.needs import environment
from deploy.local.process import REPOSITORY
from deploy.local.servers import SERVERS, listen_problem, start_servers
from deploy.local.supervisor import Interrupted, Supervisor


def main() -> int:
    os.umask(0o077)  # ours, and that of all that we start
    home = Path(os.environ.get("LUMIKB_HOME") or REPOSITORY / ".lumikb").resolve()
    console = Console(sys.stdout)
    try:
        host, port = address()
        # The supervisor first ends what a killed one left, which may still hold the port.
        with locked(home), Supervisor(home, console) as supervisor:
            if problem := listen_problem(host, port):
                raise CannotStart(
                    f"LumiKB cannot listen on {host}, port {port}: {problem}. Choose another PORT."
                )
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
        supervisor.run(manage("migrate", environment("migrate", env), "migrate", "--noinput"))
        login = first_run(supervisor, home, env, console)
        web, *others = application(env, host, port)
        supervisor.start(web)
        supervisor.wait_ready(*SERVERS, "web")
        supervisor.start(*others)  # not before: each takes seconds of a core from the first page
        console.plain(banner(home, host, port, login))
        while True:
            supervisor.pause()
    finally:
        supervisor.stop(*(name for name in supervisor.names() if name not in SERVERS))


def first_run(supervisor: Supervisor, home: Path, env: dict[str, str], console: Console) -> str:
    """Make the user admin and an API token, unless the token is there. Returns how to log in."""
    token_file = home / "api-token"
    if token_file.exists():
        return "admin, with the password of the first start"
    chosen = env.get("LUMIKB_ADMIN_PASSWORD")
    password = chosen or secrets.token_urlsafe(12)
    user = {**environment("admin", env), "DJANGO_SUPERUSER_PASSWORD": password}
    # The migration has made Django's checks a moment ago: a third of what such a command takes.
    create = (
        *("createsuperuser", "--skip-checks", "--noinput"),
        *("--username=admin", "--email=admin@localhost"),
    )
    try:
        supervisor.run(manage("admin", user, *create))
        login = "admin, with LUMIKB_ADMIN_PASSWORD" if chosen else f"admin / {password}"
    except CannotStart as error:
        # A first run that was cut short has made the user; otherwise the next step fails, too.
        console.plain(str(error))
        login = "admin, with the password of the first start"
    console.plain(f"Log in as {login}")  # at once: it is not kept anywhere
    token = supervisor.run(
        manage(
            "api-token",
            environment("admin", env),
            *("create_api_token", "--skip-checks", "admin", "--name", "make-run"),
            private=True,
        )
    )
    write_private(token_file, token[-1] + "\n")
    console.plain(f"API token: {token[-1]}")  # this once
    return login


def banner(home: Path, host: str, port: int, login: str) -> str:
    token_file = home / "api-token"
    return f"""
  LumiKB is ready:  http://{endpoint(visible(host), port)}/
  Log in:           {login}
  API token:        in {token_file}
  Stop:             Ctrl-C
"""


if __name__ == "__main__":
    sys.exit(main())
