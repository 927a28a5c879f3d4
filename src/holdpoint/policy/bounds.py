"""How many rows a decision lets a message change, and whether that must be watched while it runs.

An estimate can be wrong by any factor, so the figure that let a write pass is enforced: the door
counts what changes, with everything that triggers and foreign keys change besides, before anything
of it is committed. What the text itself proves to stay within the bound needs no counting.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from holdpoint.model.case import Case
from holdpoint.model.effects import Access, Effect, Reading, Statement, TransactionMark, Verb
from holdpoint.model.impact import Basis, Figure
from holdpoint.model.steps import Execution
from holdpoint.model.verdict import Verdict
from holdpoint.policy.decide import decide
from holdpoint.policy.rules import Policy
from holdpoint.policy.table import table_of

_ROWS_CHANGE: Final = frozenset({Effect.WRITE, Effect.BULK_WRITE})
# What a single one of them did is undone for certain when it fails, and its tag counts its rows.
_PLAIN_WRITES: Final = ("INSERT", "UPDATE", "DELETE", "MERGE")
_CHANGES: Final = frozenset({Verb.INSERT, Verb.UPDATE, Verb.DELETE, Verb.TRUNCATE})


def rows_allowed(policy: Policy, case: Case) -> int | None:
    """The most rows for which the policy would still allow the case; None when any number passes.

    The decision only gets stricter as rows grow, and it changes only at a number that the policy
    names: so the first of them above which it is no ALLOW any more is the bound.
    """
    bounds = {policy.thresholds.write_rows_max}
    table = table_of(policy, case.target, case.tier)
    for _, rule in (*table.refusing, *table.allowing):
        for bound in (rule.when.rows_over, rule.when.rows_up_to):
            if bound is not None:
                bounds.add(bound)
    for bound in sorted(bounds):
        if decide(policy, with_rows(case, bound + 1)).verdict is not Verdict.ALLOW:
            return bound
    return None


def with_rows(case: Case, rows: int) -> Case:
    """The case as it would be if exactly that many rows changed, in whatever table."""
    return replace(case, impact=replace(case.impact, rows=Figure(rows, Basis.EXACT), cascades=()))


def to_enforce(reading: Reading, bound: int | None) -> int | None:
    """The bound if it must be watched while the message runs, else None.

    Not for what changes no rows, nor where the text (or a unique key) proves that the bound holds
    and nothing else that changes rows is set off.
    """
    if bound is None or not writers_of(reading):
        return None
    proven = _proven(reading)
    return bound if proven is None or proven > bound else None


def _proven(reading: Reading) -> int | None:
    """The most rows that the text (or a unique key) proves; None when it proves no number."""
    proven = 0
    for statement in writers_of(reading):
        if statement.rows_max is None or _sets_off_changes(statement):
            return None
        proven += statement.rows_max
    return proven


def rows_wanted(reading: Reading, bound: int | None) -> int | None:
    """The most rows that a message may change under ``bound``; None when nothing bounds them."""
    proven = _proven(reading)
    if proven is None:
        return bound
    return proven if bound is None or proven < bound else bound


def rows_used(reading: Reading, execution: Execution, granted: int) -> int:
    """How many rows of a budget an execution has used: never fewer than may have stayed.

    Where nobody has counted (the text proves that they are few, or it is not known how it ended)
    that is all that was set aside for it.
    """
    if not execution.ran or execution.rolled_back:
        return 0
    if not execution.complete:
        return granted
    only = reading.statements[0] if len(reading.statements) == 1 else None
    plain = only is not None and only.tag in _PLAIN_WRITES
    if execution.sqlstate:
        return 0 if plain else granted
    if execution.changed >= 0:
        return execution.changed
    if plain and execution.rows >= 0 and execution.tag.startswith(_PLAIN_WRITES):
        return execution.rows
    return granted


def writers_of(reading: Reading) -> tuple[Statement, ...]:
    """The statements of a message that change rows."""
    return tuple(each for each in reading.statements if each.effects & _ROWS_CHANGE)


def tables_written(reading: Reading) -> int:
    """How many tables the text itself changes rows of, whatever that sets off in others."""
    return len({use for use in reading.objects if use.access is Access.WRITE})


def obstacle(reading: Reading) -> str:
    """Why a bound cannot be enforced on the message, in words; empty when it can.

    Rows that a message commits before its end cannot be taken back.
    """
    if len(reading.statements) > 1:
        for statement in reading.statements:
            if statement.transaction is not TransactionMark.NONE:
                return f"{statement.tag} stands in one message with statements that change rows"
    if not reading.reads_data and any(each.tag == "COPY" for each in writers_of(reading)):
        return "COPY is counted only where it reads data from the client and stands alone"
    return ""


def _sets_off_changes(statement: Statement) -> bool:
    """Whether a trigger, a cascade, a rule or a function it sets off changes rows, too."""
    return any(use.through and use.verb in _CHANGES for use in statement.uses)
