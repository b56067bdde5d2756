"""The tests' settings, for a product whose embedding service can be told to refuse."""

import os

from tests.settings import *  # noqa: F403

EMBEDDING_API_BASE = os.environ["EMBEDDING_STUB"]

if heartbeat := os.environ.get("BROKER_HEARTBEAT"):  # milliseconds
    DRAMATIQ_BROKER["OPTIONS"]["heartbeat_timeout"] = int(heartbeat)  # noqa: F405
