"""How long the stages of the pipeline take: counted here, added up in PostgreSQL with each beat.

What a killed worker had not saved yet, of the last five seconds, is lost: a statistic, no record.
"""

from bisect import bisect_left
from collections import defaultdict, deque

from documents.models import Tally

BUCKETS = (0.1, 0.5, 2.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)  # seconds; the last: TIME_LIMIT
COUNT, SUM = "stage_count", "stage_seconds"  # the tallies; labels: `parse 3` (bucket), `parse`

_observed: deque[tuple[str, float]] = deque(maxlen=10_000)  # appended to by all threads


def observe(stage: str, seconds: float) -> None:
    """Remember a stage that ended."""
    _observed.append((str(stage), seconds))


def save() -> None:
    """Add what was observed to the tallies; what the database does not take is kept."""
    observed = [_observed.popleft() for _ in range(len(_observed))]
    amounts: defaultdict[tuple[str, str], float] = defaultdict(float)
    for stage, seconds in observed:
        amounts[COUNT, f"{stage} {bisect_left(BUCKETS, seconds)}"] += 1
        amounts[SUM, stage] += seconds
    if not amounts:
        return
    try:
        Tally.add_all(amounts)
    except Exception:
        _observed.extend(observed)
        raise
