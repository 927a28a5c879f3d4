"""Which facts a decision needs, asked for as steps; nothing is asked that policy can do without.

A figure that the text itself proves is never asked for, and a database is asked only about texts
that are safe to plan (``planning``).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any, Final

from holdpoint.impact.joins import cascade_queries
from holdpoint.impact.planning import obstacle
from holdpoint.impact.resolving import descendants
from holdpoint.model.effects import Effect, Reading
from holdpoint.model.impact import Basis, Fact, Figure, Impact, ReadCost
from holdpoint.model.steps import (
    EstimateReadCost,
    EstimateRows,
    EstimateTableRows,
    MeasureImpact,
    Step,
    Submission,
)
from holdpoint.sql.names import Catalog

_CHANGES: Final = frozenset({Effect.WRITE, Effect.BULK_WRITE})


def assess(
    submission: Submission,
    reading: Reading,
    needed: frozenset[Fact],
    catalog: Catalog | None = None,
) -> Generator[Step[Any], Any, Impact]:
    """Ask for the ``needed`` facts; every figure comes with its basis."""
    impact = Impact()
    if not needed:
        return impact
    danger = obstacle(reading, catalog)
    if Fact.ROWS in needed:
        rows = rows_proven(reading)
        if rows is None and danger:
            rows = Figure(None, Basis.UNKNOWN, danger)
        elif rows is None:
            rows = yield from EstimateRows(submission, reading)
        impact = replace(impact, rows=rows)
    if Fact.TABLE_ROWS in needed:
        table_rows = yield from EstimateTableRows(submission, reading)
        impact = replace(impact, table_rows=table_rows)
    if Fact.READ_COST in needed:
        if danger:
            read = ReadCost(cost=0, rows=0, basis=Basis.UNKNOWN, why=danger)
        else:
            read = yield from EstimateReadCost(submission, reading)
        impact = replace(impact, read=read)
    return impact


def rows_proven(reading: Reading) -> Figure | None:
    """The most rows that the message can change, where every part of it proves a number."""
    total = 0
    for statement in reading.statements:
        if statement.effects.isdisjoint(_CHANGES):
            if statement.effects != {Effect.READ}:
                return None
            continue
        if statement.rows_max is None or Effect.UNKNOWN in statement.effects:
            return None
        total += statement.rows_max
    return Figure(total, Basis.EXACT)


def gather(
    submission: Submission, reading: Reading, impact: Impact, catalog: Catalog | None
) -> Generator[Step[Any], Any, Impact]:
    """Add what people judge by to the facts that the decision rests on."""
    queries = cascade_queries(reading, impact.cascades, catalog) if catalog is not None else ()
    if obstacle(reading, catalog):
        queries = tuple(None for _ in queries)
    relations = _relations(impact, catalog) if catalog is not None else ()
    found: Impact = yield from MeasureImpact(submission, reading, impact, queries, relations)
    return found


def _relations(impact: Impact, catalog: Catalog) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """The tables of the impact, each with its oid and those of its partitions."""
    names = [table.name for table in impact.tables]
    names += [cascade.table for cascade in impact.cascades]
    by_label = {relation.label: relation for relation in catalog.rows.relations}
    return tuple(
        (name, (by_label[name].oid, *(each.oid for each in descendants(by_label[name], catalog))))
        for name in dict.fromkeys(names)
        if name in by_label
    )
