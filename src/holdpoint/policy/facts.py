"""Which figures policy needs for a reading, so that a database is only asked when it matters."""

from __future__ import annotations

from typing import Final

from holdpoint.model.effects import Effect, Reading, Statement
from holdpoint.model.impact import Fact
from holdpoint.model.target import Target, Tier
from holdpoint.model.verdict import Verdict
from holdpoint.policy.careful import EVERY_EFFECT, TABLE, Answer, bits_of, size_matters
from holdpoint.policy.match import speaks_of
from holdpoint.policy.rules import Policy, Rule, TierTable
from holdpoint.policy.table import table_of

_NONE: Final = frozenset[Fact]()
READING: Final = frozenset({Effect.READ})
_ROWS_CHANGE: Final = frozenset({Effect.WRITE, Effect.BULK_WRITE})


def facts_needed(policy: Policy, target: Target, tier: Tier, reading: Reading) -> frozenset[Fact]:
    """The figures that the verdict, or the person who approves, will rest on.

    None for a text that cannot be read, for plain reads no rule speaks of, and for what is denied
    whatever the figures say. Held statements need theirs, too: the approval is bound to them.
    """
    if reading.problem is not None:
        return _NONE
    table = table_of(policy, target, tier)
    needed: set[Fact] = set()
    if cost_matters(target, reading):
        needed.add(Fact.READ_COST)
    elif reading.effects in table.settled and not reading.unknowns:
        return _NONE
    for statement in reading.statements:
        if _is_denied(table, statement):
            return _NONE
        needed |= _of_base(table, statement)
        needed |= _of_rules(table, statement)
    return frozenset(needed)


def cost_matters(target: Target, reading: Reading) -> bool:
    """Whether the message is a read whose cost the target's ``read_cost_over`` asks for.

    A statement that uses no table and no function costs nothing that a planner would tell.
    """
    return (
        target.read_cost_over is not None
        and reading.effects == READING
        and any(statement.objects or statement.functions for statement in reading.statements)
    )


def _is_denied(table: TierTable, statement: Statement) -> bool:
    """Whether the text alone settles a DENY."""
    bits = bits_of(statement.effects)
    for mask, rule in table.refusing:
        refuses = rule.then is Verdict.DENY and not rule.when.circumstantial
        possible = mask & bits or mask == EVERY_EFFECT
        if refuses and possible and _may_match(rule, statement):
            return True
    answers = TABLE[table.tier.access]
    if not any(answers[effect] is Answer.DENY for effect in statement.effects):
        return False
    return not any(_may_match(rule, statement) for _, rule in table.allowing)


def _of_base(table: TierTable, statement: Statement) -> set[Fact]:
    """What ``careful`` needs, unless an allow rule covers the statement on its text alone."""
    answers = TABLE[table.tier.access]
    if all(answers[effect] is Answer.ALLOW for effect in statement.effects):
        return set()
    needed: set[Fact] = set()
    for _, rule in table.allowing:
        if not _may_match(rule, statement):
            continue
        if not rule.when.circumstantial:
            return set()
        needed |= _of_rule(rule)
    if not statement.effects.isdisjoint(_ROWS_CHANGE):
        needed.add(Fact.ROWS)
    if size_matters(statement):
        needed.add(Fact.TABLE_ROWS)
    return needed


def _of_rules(table: TierTable, statement: Statement) -> set[Fact]:
    """What hold and deny rules need that may match the statement."""
    bits = bits_of(statement.effects)
    needed: set[Fact] = set()
    for mask, rule in table.refusing:
        if (mask & bits or mask == EVERY_EFFECT) and _may_match(rule, statement):
            needed |= _of_rule(rule, statement)
    return needed


def _of_rule(rule: Rule, statement: Statement | None = None) -> set[Fact]:
    """The figures one rule compares; for a statement, only those it has."""
    needed: set[Fact] = set()
    if rule.when.about_rows and (
        statement is None or statement.effects - {Effect.READ, Effect.DDL}
    ):
        needed.add(Fact.ROWS)
    if rule.when.about_table_rows and (statement is None or size_matters(statement)):
        needed.add(Fact.TABLE_ROWS)
    return needed


def _may_match(rule: Rule, statement: Statement) -> bool:
    """Whether the rule speaks of the statement. One that raises does not: deciding will hold."""
    try:
        return speaks_of(rule, statement)
    except Exception:  # noqa: BLE001 - only asks for figures; `decide` turns it into HP7003
        return False
