"""The application's own processes, as `make run` starts them."""

import os
import sys

from deploy.local.needs import environment
from deploy.local.process import Program
from deploy.local.servers import http_answers

WORKER_THREADS = 4
STOP_SECONDS = 25.0  # so long, what runs may be finished


def application(env: dict[str, str], host: str, port: int) -> list[Program]:
    """The web first, then WORKERS workers and RELAYS relays (by default 1), and reconcile."""

    every = os.environ.get("RECONCILE_EVERY", "300")
    relay = environment("relay", env)
    return [
        web(environment("web", env), host, port),
        *(worker(environment("worker", env), name) for name in _names("worker", "WORKERS")),
        *(manage(name, relay, "relay") for name in _names("relay", "RELAYS")),
        manage("reconcile", environment("reconcile", env), "reconcile", "--every", every),
    ]


def acting_as(role: str, env: dict[str, str]) -> dict[str, str]:
    """All of the environment, in a role that is not the web's: WORKER, OPS or OWNER. For tests."""
    return env | {"DATABASE_URL": env[f"{role}_DATABASE_URL"]}


def web(env: dict[str, str], host: str, port: int) -> Program:
    return Program(
        "web",
        [
            *(sys.executable, "-m", "gunicorn", "--config", "lumikb/gunicorn.py"),
            *("--bind", endpoint(host, port)),
            "lumikb.wsgi",
        ],
        env,
        ready=lambda: http_answers(visible(host), port, "/health/live"),
        stop_seconds=STOP_SECONDS,
    )


def worker(env: dict[str, str], name: str = "worker") -> Program:
    """Dramatiq itself, not `rundramatiq`.

    That command would load all of Django to list the one module with actors: 2.3 s of a core before
    each start, also after a crash.
    """
    settings = {
        "DJANGO_SETTINGS_MODULE": "lumikb.settings",  # read by django_dramatiq.setup
        # Dramatiq's own options, in lower case:
        "dramatiq_queue_prefetch": str(WORKER_THREADS),  # no more than can run at once
        "dramatiq_worker_timeout": "50",  # milliseconds between two looks at an empty queue
    }
    argv = [
        *(sys.executable, "-m", "dramatiq", "django_dramatiq.setup", "processing.actors"),
        *("--path", ".", "--skip-logging"),
        *("--processes", "1", "--threads", str(WORKER_THREADS)),
        # Milliseconds. The first is what a master waits, deaf, for a child that died in its start.
        *("--worker-fork-timeout", "1000"),
        # What runs is handed back after 15 s (processing/heartbeat.py), what is blocked after this.
        *("--worker-shutdown-timeout", f"{1000 * (STOP_SECONDS - 5):.0f}"),
    ]
    return Program(name, argv, settings | env, stop_seconds=STOP_SECONDS)


def manage(name: str, env: dict[str, str], *command: str, private: bool = False) -> Program:
    return Program(name, [sys.executable, "manage.py", *command], env, private=private)


def _names(name: str, variable: str) -> list[str]:
    """`worker`, `worker-2`, ...: so many as the variable says."""
    count = int(os.environ.get(variable) or "1")
    return [name, *(f"{name}-{number}" for number in range(2, count + 1))]


def visible(host: str) -> str:
    """The address at which this machine itself reaches a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (compared, not bound)


def endpoint(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
