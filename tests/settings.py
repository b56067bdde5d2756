"""The product's settings, with its failpoints at the tests' command."""

from lumikb.settings import *  # noqa: F403
from tests import failpoints

failpoints.install()

SEARCH_INDEX_TIMEOUT = 18
SEARCH_EMBEDDING_TIMEOUT = 18  # on a busy machine a query's vector may take longer than people wait
