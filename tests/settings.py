"""The product's settings, with its failpoints at the tests' command."""

from lumikb.settings import *  # noqa: F403
from tests import failpoints

failpoints.install()
