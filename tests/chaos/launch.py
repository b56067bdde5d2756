"""`make run`, but the application reaches its servers through proxies.

CHAOS_PROXIES holds the proxies' ports by the names of the servers' settings, as JSON. The servers'
own addresses are written to `servers.json` in the home.
"""

import json
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from deploy.local import __main__ as make_run
from deploy.local.home import write_private
from deploy.local.servers import start_servers
from deploy.local.supervisor import Supervisor

SERVERS = {
    "postgres": "OWNER_DATABASE_URL",
    "redis": "REDIS_URL",
    "qdrant": "QDRANT_URL",
    "embeddings": "EMBEDDING_API_BASE",
}


def main() -> int:
    make_run.start_servers = start_servers_behind_proxies
    return make_run.main()


def start_servers_behind_proxies(supervisor: Supervisor, home: Path) -> dict[str, str]:
    settings = start_servers(supervisor, home)
    direct = {name: settings[setting] for name, setting in SERVERS.items()}
    write_private(home / "servers.json", json.dumps(direct))
    for name, port in json.loads(os.environ["CHAOS_PROXIES"]).items():
        address = f"127.0.0.1:{urlsplit(direct[name]).port}"
        for setting, value in settings.items():  # PostgreSQL's is there for each of its roles
            settings[setting] = value.replace(address, f"127.0.0.1:{port}")
    # The oracle (contents.py) has no model to ask: passages end by their characters.
    settings["EMBEDDING_MAX_TOKENS"] = "1000000"
    return settings


if __name__ == "__main__":
    sys.exit(main())
