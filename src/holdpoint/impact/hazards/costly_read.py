"""HP6104: a read that would hurt."""

from typing import Final

from holdpoint.impact.hazards.wording import clip
from holdpoint.model.finding import Finding
from holdpoint.model.impact import Impact, ReadCost

CODE: Final = "HP6104"
TITLE: Final = "a read that would hurt"
EXAMPLES_HIT: Final = (
    Impact(
        read=ReadCost(
            cost=9_812_331,
            rows=48_211_000,
            hurts="a sequential scan of `events`, 48 GB",
            plan=("Seq Scan on events",),
        )
    ),
)
EXAMPLES_MISS: Final = (Impact(), Impact(read=ReadCost(cost=8, rows=1)))


def describe(impact: Impact) -> tuple[Finding, ...]:
    """A finding where the planner expects a read to hurt others."""
    read = impact.read
    if read is None or not read.hurts:
        return ()
    return (
        Finding(
            code=CODE,
            message=f"the planner expects a costly read: {clip(read.hurts)}",
            detail=f"about {read.rows:,} rows, cost {read.cost:,} (estimate)",
            hint="add a condition that an index serves or a LIMIT, or read from a replica",
        ),
    )
