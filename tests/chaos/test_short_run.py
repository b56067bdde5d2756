"""A short run of `make chaos`, as part of all the tests."""

from pathlib import Path

import pytest

from tests.chaos.run import Run


@pytest.mark.e2e
@pytest.mark.timeout(900)
@pytest.mark.long
def test_a_short_run_loses_nothing(tmp_path: Path) -> None:
    report = Run(seed="short", seconds=30, folder=tmp_path, times=2).run()
    print(report.text())
    assert report.violations == []
    assert report.kills.total() >= 5
    assert len(report.model) >= 20
    assert report.service_seconds
