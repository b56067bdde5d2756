"""A chart that the server draws: SVG without a script or a style of its own."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from documents.figures import Hour

WIDTH, HEIGHT = 480, 120  # of the bars, in the units of the drawing
GAP = 3
STEPS = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Bar:
    """One hour, the failed ones on top of the ready ones; y grows downwards."""

    x: float
    width: float
    ready_y: float
    ready_height: float
    failed_y: float
    failed_height: float
    hour: Hour
    began: datetime


@dataclass(frozen=True, slots=True)
class Chart:
    bars: list[Bar]
    top: int  # what the upper line stands for
    total: int
    busiest: Bar | None

    @property
    def middle(self) -> float:
        return self.top / 2


def chart(hours: list[Hour], now: datetime) -> Chart:
    """The hours, the latest on the right."""
    most = max((hour.ready + hour.failed for hour in hours), default=0)
    top = _round_up(most)
    step = WIDTH / max(1, len(hours))
    bars = []
    for place, hour in enumerate(reversed(hours)):
        ready, failed = (count / top * HEIGHT for count in (hour.ready, hour.failed))
        bars.append(
            Bar(
                x=round(place * step + GAP / 2, 2),
                width=round(step - GAP, 2),
                ready_y=round(HEIGHT - ready, 2),
                ready_height=round(ready, 2),
                failed_y=round(HEIGHT - ready - failed, 2),
                failed_height=round(failed, 2),
                hour=hour,
                began=now - timedelta(hours=hour.ago + 1),
            )
        )
    busiest = max(bars, key=lambda bar: bar.hour.ready + bar.hour.failed) if most else None
    total = sum(hour.ready + hour.failed for hour in hours)
    return Chart(bars, top, total, busiest)


def _round_up(most: int) -> int:
    """The next of 2, 5, 10, 20, 50, ..."""
    size = 1
    while True:
        for step in STEPS:
            if step * size >= max(2, most):
                return step * size
        size *= 10
