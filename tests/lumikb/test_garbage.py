"""Python's collector of cycles hinders neither the start nor the end of a process."""

import os
import subprocess
import sys

from deploy.local.process import REPOSITORY

IN_THE_END = """
import atexit, gc
atexit.register(lambda: print(gc.get_freeze_count() >= len(made)))
import lumikb
looks = sum(generation["collections"] for generation in gc.get_stats())
made = [[] for _ in range(5_000)]
print(sum(generation["collections"] for generation in gc.get_stats()) - looks)
"""
ASKS_THE_INDEX = """
import django
django.setup()
from processing.index import vectors
print(vectors._client().get_collections())
"""


def test_it_looks_seldom_at_what_is_made_and_not_at_all_in_the_end() -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-c", IN_THE_END],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["0", "True"]


def test_a_process_that_has_asked_the_index_ends_without_a_word() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASKS_THE_INDEX],
        cwd=REPOSITORY,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "lumikb.settings"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout
    assert done.stderr == ""
