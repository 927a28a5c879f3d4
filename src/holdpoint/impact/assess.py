"""Which facts a decision needs, asked for as steps; nothing is asked that policy can do without.

A figure that the text itself proves is never asked for, and a database is asked only about texts
that are safe to plan (``planning``).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any, Final

from holdpoint.impact.joins import cascade_queries
from holdpoint.impact.picture import describe
from holdpoint.impact.planning import obstacle, runs_functions
from holdpoint.impact.resolving import descendants
from holdpoint.impact.words import sentences
from holdpoint.model.effects import Access, Effect, MarkKind, Reading, Statement
from holdpoint.model.impact import Basis, Cascade, Fact, Figure, Impact, ReadCost, TableImpact
from holdpoint.model.steps import (
    EstimateCascades,
    EstimateReadCost,
    EstimateRows,
    EstimateTableRows,
    LookUpCatalog,
    MeasureImpact,
    RowQuery,
    Step,
    Submission,
)
from holdpoint.sql.names import Catalog

_CHANGES: Final = frozenset({Effect.WRITE, Effect.BULK_WRITE})


def assess(
    submission: Submission, reading: Reading, needed: frozenset[Fact]
) -> Generator[Step[Any], Any, Impact]:
    """Ask for the ``needed`` facts; every figure comes with its basis."""
    impact = Impact()
    if not needed:
        return impact
    catalog = None
    if any(runs_functions(statement) for statement in reading.statements):
        catalog = yield from _catalog(submission)
    danger = obstacle(reading, catalog)
    if Fact.ROWS in needed:
        rows = rows_proven(reading)
        if rows is None and danger:
            rows = Figure(None, Basis.UNKNOWN, danger)
        elif rows is None and any(each.rows_inside for each in reading.statements):
            # The planner knows nothing of what functions do: its estimate would be a false "none".
            why = "a function that it calls changes rows, and how many shows only when it runs"
            rows = Figure(None, Basis.UNKNOWN, why)
        elif rows is None and reading.reads_data:
            why = "its rows come from the client while it runs"
            rows = Figure(None, Basis.WHEN_RUN, why)
        elif rows is None:
            rows = yield from EstimateRows(submission, reading)
        impact = replace(impact, rows=rows)
        if rows.value is not None and any(map(_cascades, reading.statements)):
            impact = replace(impact, cascades=(yield from _measured(submission, reading, danger)))
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


def _cascades(statement: Statement) -> bool:
    """Whether foreign keys remove or change rows of other tables along with the statement's."""
    return any(mark.kind is MarkKind.CASCADE for mark in statement.marks)


def _measured(
    submission: Submission, reading: Reading, danger: str
) -> Generator[Step[Any], Any, tuple[Cascade, ...]]:
    """The cascades of a message with their rows; unknown where they cannot be asked for."""
    catalog = yield from _catalog(submission)
    if catalog is None:
        return ()
    cascades = describe(reading, catalog, own_role=submission.role).cascades
    if danger:
        unknown = Figure(None, Basis.UNKNOWN, danger)
        return tuple(replace(cascade, rows=unknown) for cascade in cascades)
    queries = cascade_queries(reading, cascades, catalog)
    found: tuple[Cascade, ...] = yield from EstimateCascades(submission, reading, cascades, queries)
    return found


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
    submission: Submission, reading: Reading, impact: Impact
) -> Generator[Step[Any], Any, Impact]:
    """Add what people judge by to the facts that the decision rests on."""
    catalog = yield from _catalog(submission)
    told = describe(reading, catalog, own_role=submission.role)
    impact = replace(
        told,
        rows=impact.rows,
        table_rows=impact.table_rows,
        read=impact.read,
        cascades=impact.cascades or told.cascades,
        tables=_with_rows(told.tables, reading, impact.rows),
    )
    queries: tuple[RowQuery | None, ...] = tuple(None for _ in impact.cascades)
    if catalog is not None:
        safe = not obstacle(reading, catalog)
        queries = tuple(
            query if _to_ask(cascade, safe) else None
            for cascade, query in zip(
                impact.cascades, cascade_queries(reading, impact.cascades, catalog), strict=True
            )
        )
    relations = _relations(impact, catalog) if catalog is not None else ()
    found: Impact = yield from MeasureImpact(submission, reading, impact, queries, relations)
    return replace(found, words=sentences(found, reading))


def _to_ask(cascade: Cascade, safe: bool) -> bool:
    """Whether a cascade's rows are still to be asked for, and its query may be planned.

    What TRUNCATE takes is every row of a table: no text of the agent is in that query.
    """
    return cascade.rows.basis is Basis.NOT_ASKED and (safe or cascade.action == "truncate")


def _catalog(submission: Submission) -> Generator[Step[Any], Any, Catalog | None]:
    """The picture of the target's catalog; None where there is none to be had."""
    found = yield from LookUpCatalog(submission)
    return found if isinstance(found, Catalog) else None


def _with_rows(
    tables: tuple[TableImpact, ...], reading: Reading, rows: Figure
) -> tuple[TableImpact, ...]:
    """Put the rows that change beside the one table that they are rows of."""
    changed = {
        use.label
        for statement in reading.statements
        for use in statement.objects
        if use.access is Access.WRITE
    }
    if len(changed) != 1:
        return tables
    name = changed.pop()
    return tuple(
        replace(table, rows=rows) if name in (table.name, table.name.rpartition(".")[2]) else table
        for table in tables
    )


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
