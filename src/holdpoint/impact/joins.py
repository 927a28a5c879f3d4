"""Queries for the rows that cascades take: each level joins the level before, up to the statement.

Rows of ``order_items`` that go with deleted ``orders`` are those whose key is among the keys of the
orders that the statement picks; rows of the next level those whose key is among theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from holdpoint.impact.resolving import meant, touches
from holdpoint.impact.selection import NotSelectable, Selection, quoted, selection_of
from holdpoint.model import limits
from holdpoint.model.catalog import Constraint, Relation
from holdpoint.model.changes import Name
from holdpoint.model.effects import Effect, Reading, Statement, Verb
from holdpoint.model.impact import Cascade
from holdpoint.model.steps import RowQuery
from holdpoint.sql.names import Catalog

_CHANGES: Final = frozenset({Effect.WRITE, Effect.BULK_WRITE})


@dataclass(frozen=True, slots=True)
class _Picked:
    """Rows of one table: ``before`` SELECT list ``after``; columns are qualified by ``alias``."""

    before: str
    alias: str
    after: str
    parameters: frozenset[int]
    random: bool = False

    def keys(self, columns: Sequence[str]) -> str:
        listed = ", ".join(f"{self.alias}.{quoted(column)}" for column in columns)
        return f"{self.before}SELECT {listed} {self.after}"


def cascade_queries(
    reading: Reading, cascades: Sequence[Cascade], catalog: Catalog
) -> tuple[RowQuery | None, ...]:
    """One query for each cascade, in their order; None where none can be written."""
    if not cascades:
        return ()
    relations = {relation.label: relation for relation in catalog.rows.relations}
    picked: dict[tuple[int, str], list[_Picked]] = {}
    for statement in reading.statements:
        for label, root in _roots(statement, catalog):
            picked.setdefault((0, label), []).append(root)
    queries: dict[int, RowQuery] = {}
    order = sorted(range(len(cascades)), key=lambda at: cascades[at].level)
    for at in order[: limits.CASCADES_MEASURED_MAX]:
        cascade = cascades[at]
        parents = picked.get((cascade.level - 1, cascade.through), [])
        child = relations.get(cascade.table)
        rows = child and _rows_taken(cascade, child, parents, catalog)
        if not rows:
            continue
        picked.setdefault((cascade.level, cascade.table), []).append(rows)
        queries[at] = RowQuery(rows.after, rows.parameters, rows.random)
    return tuple(queries.get(at) for at in range(len(cascades)))


def _roots(statement: Statement, catalog: Catalog) -> list[tuple[str, _Picked]]:
    """What the statement itself picks, with the table it picks from."""
    touched = [touch for touch in touches(statement, catalog) if not touch.through]
    roots = [
        (touch.relation.label, _every_row(touch.relation))
        for touch in touched
        if touch.verb is Verb.TRUNCATE
    ]
    if statement.effects.isdisjoint(_CHANGES) or len(statement.text) > limits.LOOP_TEXT_CHARS_MAX:
        return roots
    try:
        selection = selection_of(statement.text)
    except NotSelectable:
        return roots
    found = meant(Name(selection.schema, selection.name), statement, catalog)
    if len(found) == 1:
        roots.append((found[0].label, _of_selection(selection)))
    return roots


def _every_row(relation: Relation) -> _Picked:
    table = f"{quoted(relation.schema)}.{quoted(relation.name)}"
    return _Picked("", "hp_0", f"FROM {table} AS hp_0", frozenset())


def _of_selection(selection: Selection) -> _Picked:
    before = f"{selection.ctes}\n" if selection.ctes else ""
    after = f"FROM {selection.table}\nWHERE {selection.condition}\n"
    return _Picked(before, selection.alias, after, selection.parameters, selection.random)


def _rows_taken(
    cascade: Cascade, child: Relation, parents: Sequence[_Picked], catalog: Catalog
) -> _Picked | None:
    """The child's rows that refer to the parents' rows; None when that cannot be written."""
    constraint = _constraint(child, cascade.constraint)
    if constraint is None or not parents or not constraint.columns:
        return None
    if cascade.action == "truncate":
        return _every_row(child)
    alias = f"hp_{cascade.level}"
    own = ", ".join(f"{alias}.{quoted(column)}" for column in constraint.columns)
    among = " OR ".join(
        f"({own}) IN ({parent.keys(constraint.referenced_columns)})" for parent in parents
    )
    table = f"{quoted(child.schema)}.{quoted(child.name)}"
    after = f"FROM {table} AS {alias} WHERE {among}"
    if len(after) > limits.CASCADE_QUERY_CHARS_MAX:
        return None
    used = frozenset[int]().union(*(parent.parameters for parent in parents))
    return _Picked("", alias, after, used, any(parent.random for parent in parents))


def _constraint(child: Relation, name: str) -> Constraint | None:
    return next(
        (each for each in child.constraints if each.kind == "f" and each.name == name), None
    )
