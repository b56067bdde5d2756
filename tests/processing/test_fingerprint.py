"""What is kept is used again by every process that reads alike."""

from importlib.metadata import distributions

import pytest

from processing import fingerprint


def test_a_package_that_is_told_of_twice_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    version = fingerprint._version.__wrapped__
    once = version()
    twice = [*distributions(), *distributions()]
    monkeypatch.setattr(fingerprint, "distributions", lambda: twice)
    assert version() == once
    monkeypatch.setattr(fingerprint, "distributions", lambda: twice[1:2])
    assert version() != once
