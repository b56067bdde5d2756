"""`make run` with small programs in place of the servers and the application; the rest is real."""

import sys

import deploy.local.__main__ as make_run
from deploy.local.process import Program

SLEEP = "import time; print('hello', flush=True); time.sleep(600)"
WITH_CHILD = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); {SLEEP}"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"


def fake(name, code=SLEEP, **options):
    return Program(name, [sys.executable, "-c", code], **options)


def start_servers(supervisor, home):
    supervisor.start(*(fake(name) for name in make_run.SERVERS))
    return {"DATABASE_URL": "fake"}


def first_run(supervisor, home, env, console):
    make_run.write_private(home / "api-token", "the-token-itself\n")
    return "admin / secret"


def application(env, host, port):
    return [
        fake("web"),
        fake("worker", WITH_CHILD),
        fake("relay", STUBBORN if "STUBBORN" in env else SLEEP, stop_seconds=60),
        fake("reconcile"),
    ]


make_run.start_servers = start_servers
make_run.first_run = first_run
make_run.application = application
make_run.manage = lambda name, env, *command: fake(name, "print('migrated')")
make_run.environment = lambda kind, env: env

if __name__ == "__main__":
    sys.exit(make_run.main())
