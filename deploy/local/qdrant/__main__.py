"""Starts the local Qdrant: see the package's docstring."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import deploy.local.qdrant
from deploy.local import jsonserver
from deploy.local.qdrant.api import Api, refusal
from deploy.local.qdrant.store import FLUSH_SECONDS, Store


def main() -> None:
    """Loads all collections, then serves them until SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local.qdrant",
        description=deploy.local.qdrant.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, required=True, help="TCP port on 127.0.0.1")
    parser.add_argument("--data", type=Path, required=True, help="directory, made when missing")
    arguments = parser.parse_args()
    jsonserver.start_logging()
    try:
        store = Store(arguments.data)
    except OSError as error:
        jsonserver.quit_saying(f"cannot use {arguments.data}: {jsonserver.reason(error)}")
    api = Api(store, key=os.environ.get("QDRANT_API_KEY", ""))
    jsonserver.serve(
        arguments.port, api.answer, refusal, tick=store.tick, tick_seconds=FLUSH_SECONDS
    )
    store.close()


if __name__ == "__main__":
    main()
