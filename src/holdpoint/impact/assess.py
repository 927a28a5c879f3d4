"""Which facts a decision needs, asked for as steps; nothing is asked that policy can do without."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from holdpoint.model.effects import Reading
from holdpoint.model.impact import Fact, Impact
from holdpoint.model.steps import EstimateRows, EstimateTableRows, Step, Submission


def assess(
    submission: Submission, reading: Reading, needed: frozenset[Fact]
) -> Generator[Step[Any], Any, Impact]:
    """Ask for the ``needed`` facts; every figure comes with its basis."""
    impact = Impact()
    if Fact.ROWS in needed:
        rows = yield from EstimateRows(submission, reading)
        impact = Impact(rows=rows, table_rows=impact.table_rows)
    if Fact.TABLE_ROWS in needed:
        table_rows = yield from EstimateTableRows(submission, reading)
        impact = Impact(rows=impact.rows, table_rows=table_rows)
    return impact
