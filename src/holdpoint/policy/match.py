"""Whether a rule speaks of a statement: three answers, since a figure may be missing.

Doubt goes to the stricter side. A hold or deny rule reads names whatever their case, takes a name
without a schema for one of any schema, and takes the drop of a schema for a touch of all it holds.
An allow rule does none of that, and must cover all that a statement does.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from holdpoint.model.case import Case
from holdpoint.model.effects import Access, Effect, ObjectKind, ObjectUse, Statement
from holdpoint.model.impact import Basis, Figure
from holdpoint.model.verdict import Verdict
from holdpoint.policy.calendar import freeze_at, in_business_hours
from holdpoint.policy.careful import size_matters
from holdpoint.policy.rules import Condition, Glob, Rule


class Match(IntEnum):
    """Whether a rule matches; ``UNDECIDED`` when the figure it asks for did not come."""

    NO = 0
    UNDECIDED = 1
    YES = 2


_READING: Final = frozenset({Effect.READ})
_ROWS_CHANGE: Final = frozenset({Effect.WRITE, Effect.BULK_WRITE, Effect.DESTRUCTIVE})
_UNBOUNDED: Final = frozenset({Effect.BULK_WRITE, Effect.DESTRUCTIVE})


def speaks_of(rule: Rule, statement: Statement) -> bool:
    """Whether the statement's own text meets the rule: effects, tag, objects, functions."""
    if rule.then is Verdict.ALLOW:
        return _covers(rule.when, statement)
    when = rule.when
    if when.effects and when.effects.isdisjoint(statement.effects):
        return False
    if when.tags and not any(glob.matches_loosely(statement.tag) for glob in when.tags):
        return False
    if when.functions and not any(
        _function_fits(glob, name) for glob in when.functions for name in statement.functions
    ):
        return False
    if not when.objects and not when.access:
        return True
    return any(
        (not when.access or use.access in when.access)
        and (not when.objects or any(_object_fits(glob, use) for glob in when.objects))
        for use in statement.objects
    )


def _covers(when: Condition, statement: Statement) -> bool:
    """Whether an allow rule lists everything the statement does."""
    if Effect.UNKNOWN in statement.effects:
        return False
    if when.effects and not (statement.effects - _READING) <= when.effects:
        return False
    if when.tags and not any(glob.matches_loosely(statement.tag) for glob in when.tags):
        return False
    if when.functions and not (
        statement.functions
        and all(
            any(_function_is(glob, name) for glob in when.functions) for name in statement.functions
        )
    ):
        return False
    if not when.objects and not when.access:
        return True
    looked_at = [
        use
        for use in statement.objects
        if use.access is not Access.READ or not when.access or Access.READ in when.access
    ]
    return bool(looked_at) and all(
        (not when.access or use.access in when.access)
        and (not when.objects or any(_object_is(glob, use) for glob in when.objects))
        for use in looked_at
    )


def _object_fits(glob: Glob, use: ObjectUse) -> bool:
    """Whether the pattern may mean the object (for hold and deny)."""
    if use.kind is ObjectKind.DATABASE:
        return True
    if use.kind is ObjectKind.SCHEMA:
        return not glob.schema or glob.loose_schema.match(use.name) is not None
    if glob.loose_name.match(use.name) is None:
        return False
    return not use.schema or not glob.schema or glob.loose_schema.match(use.schema) is not None


def _object_is(glob: Glob, use: ObjectUse) -> bool:
    """Whether the pattern surely means the object (for allow)."""
    if use.kind is ObjectKind.DATABASE:
        return False
    if use.kind is ObjectKind.SCHEMA:
        whole = bool(glob.schema) and glob.name == "*"
        return whole and glob.exact_schema.match(use.name) is not None
    if glob.exact_name.match(use.name) is None:
        return False
    if not glob.schema or glob.schema == "*":
        return True
    return bool(use.schema) and glob.exact_schema.match(use.schema) is not None


def _function_fits(glob: Glob, label: str) -> bool:
    """Whether the pattern may mean the function, written with or without its schema."""
    schema, name = _split(label)
    if glob.loose_name.match(name) is None:
        return False
    return not schema or not glob.schema or glob.loose_schema.match(schema) is not None


def _function_is(glob: Glob, label: str) -> bool:
    """Whether the pattern surely means the function."""
    schema, name = _split(label)
    if glob.exact_name.match(name) is None:
        return False
    if not glob.schema or glob.schema == "*":
        return True
    return bool(schema) and glob.exact_schema.match(schema) is not None


def _split(label: str) -> tuple[str, str]:
    """Schema (or nothing) and name of a function's label."""
    before, dot, after = label.partition(".")
    return (before, after) if dot else ("", before)


def circumstances_met(when: Condition, case: Case) -> bool:
    """Whether agent, task and clock meet the condition. Raises ``ValueError`` for a bad clock."""
    if when.agents and not any(glob.matches(case.agent) for glob in when.agents):
        return False
    if when.tasks and not any(glob.matches(case.task) for glob in when.tasks):
        return False
    if when.business_hours is not None and (
        in_business_hours(case.target, case.at) is not when.business_hours
    ):
        return False
    return when.freeze is None or (freeze_at(case.target, case.at) is not None) is when.freeze


def figures_met(rule: Rule, statement: Statement, rows: Figure, table_rows: Figure) -> Match:
    """Whether the figures meet the rule. A rule that asks for none is met."""
    when = rule.when
    answer = Match.YES
    if when.about_rows:
        answer = min(answer, _rows_met(rule, statement, rows))
    if when.about_table_rows:
        answer = min(answer, _table_rows_met(rule, statement, table_rows))
    return answer


def _rows_met(rule: Rule, statement: Statement, rows: Figure) -> Match:
    """Rows that change against the bound of the rule."""
    if rule.then is Verdict.ALLOW:
        bound = rule.when.rows_up_to
        known = figure_known(rows) and bound is not None
        return Match.YES if known and _value(rows) <= _bound(bound) else Match.NO
    changing = statement.effects & _ROWS_CHANGE
    if not changing:
        return Match.NO
    if figure_known(rows):
        return Match.YES if _value(rows) > _bound(rule.when.rows_over) else Match.NO
    if rows.basis is Basis.WHEN_RUN:
        return Match.NO  # its bound is the smallest that a rule names: ``bounds.rows_allowed``
    if rows.basis is Basis.NOT_ASKED:
        # Nobody asked a database: a filter may keep it small, no filter never does.
        return Match.NO if changing.isdisjoint(_UNBOUNDED) else Match.YES
    return Match.UNDECIDED


def _table_rows_met(rule: Rule, statement: Statement, table_rows: Figure) -> Match:
    """The size of the table altered against the bound of the rule."""
    if rule.then is Verdict.ALLOW:
        if not size_matters(statement):
            return Match.YES
        bound = rule.when.table_rows_up_to
        known = figure_known(table_rows) and bound is not None
        return Match.YES if known and _value(table_rows) <= _bound(bound) else Match.NO
    if not size_matters(statement):
        return Match.NO
    if figure_known(table_rows):
        over = _value(table_rows) > _bound(rule.when.table_rows_over)
        return Match.YES if over else Match.NO
    return Match.UNDECIDED


def figure_known(figure: Figure) -> bool:
    """Whether the figure is a number that may be compared."""
    return figure.value is not None and (
        figure.basis is Basis.EXACT or figure.basis is Basis.ESTIMATE
    )


def _value(figure: Figure) -> int:
    """The number of a known figure."""
    assert figure.value is not None, "only known figures are compared"
    return figure.value


def _bound(bound: int | None) -> int:
    """A bound that compiling has checked to be there."""
    if bound is None:
        raise ValueError("the rule has no bound of the kind its verdict takes")
    return bound
