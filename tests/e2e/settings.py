"""The tests' settings, for a product whose embedding service can be told to refuse."""

import os

from tests.settings import *  # noqa: F403

EMBEDDING_API_BASE = os.environ["EMBEDDING_STUB"]
