"""Named points at the boundaries of the steps, where a test can kill, stop or slow a process.

In the product nothing is ever there: no setting and no variable puts an action into `reach`; only
the tests' own settings module does (tests/settings.py).
"""

from collections.abc import Callable

reach: Callable[[str], None] | None = None


def failpoint(name: str) -> None:
    """Say that this process is just here; `name` is the step that was just done."""
    if reach is not None:
        reach(name)
