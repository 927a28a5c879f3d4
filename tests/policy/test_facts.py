"""A database is asked only where its answer matters."""

import pytest
from policy_cases import (
    ALTER,
    CREATE,
    DROP,
    GRANT,
    PUZZLE,
    SELECT,
    SHOP,
    UPDATE,
    UPDATE_ALL,
    policy,
    reading,
    rule,
)

from holdpoint.model.effects import Effect, Reading, Statement, SyntaxProblem
from holdpoint.model.impact import Fact
from holdpoint.model.target import AccessLevel
from holdpoint.model.verdict import Verdict
from holdpoint.policy.facts import facts_needed
from holdpoint.policy.rules import Rule

A, H, D = Verdict.ALLOW, Verdict.HOLD, Verdict.DENY
RO, RW, FULL, OWNER = AccessLevel
ROWS, SIZE = Fact.ROWS, Fact.TABLE_ROWS
WRITES = [Effect.WRITE, Effect.BULK_WRITE]


def needed(what: Statement | Reading, level: AccessLevel, *rules: Rule) -> frozenset[Fact]:
    tier = SHOP.tier(level.value)
    assert tier is not None
    read = what if isinstance(what, Reading) else reading(what)
    return facts_needed(policy(*rules), SHOP, tier, read)


@pytest.mark.parametrize(
    ("what", "level", "facts"),
    [
        (SELECT, RW, set()),
        (UPDATE, RW, {ROWS}),
        (UPDATE, RO, set()),  # denied whatever the figure says
        (UPDATE_ALL, RW, {ROWS}),  # held anyway, but the approval is bound to the figure
        (ALTER, FULL, {SIZE}),
        (ALTER, RW, set()),
        (CREATE, FULL, set()),
        (DROP, OWNER, {SIZE}),
        (GRANT, OWNER, set()),
        (PUZZLE, RW, set()),
        (reading(SELECT, UPDATE), RW, {ROWS}),
        (reading(UPDATE, DROP), RW, set()),  # one denied statement settles the message
        (Reading(text="selct", problem=SyntaxProblem("no")), OWNER, set()),
        (Reading(text=""), RW, set()),
    ],
)
def test_careful(what: Statement | Reading, level: AccessLevel, facts: set[Fact]) -> None:
    assert needed(what, level) == facts


def test_a_rule_that_allows_by_text_alone_saves_the_question() -> None:
    assert needed(UPDATE, RW, rule(A, effects=WRITES, objects="orders")) == set()
    assert needed(UPDATE, RW, rule(A, effects=WRITES, objects="others")) == {ROWS}
    assert needed(UPDATE, RW, rule(A, effects=WRITES, objects="orders", agents="x")) == {ROWS}


def test_a_rule_that_asks_for_rows_asks_for_them_even_where_another_allows() -> None:
    allow = rule(A, "allow", effects=WRITES, objects="orders")
    assert needed(UPDATE, RW, allow, rule(H, "many", rows_over=10)) == {ROWS}
    assert needed(SELECT, RW, rule(H, rows_over=10)) == set()


def test_a_rule_that_denies_by_text_alone_saves_the_question() -> None:
    assert needed(UPDATE, RW, rule(D, objects="orders")) == set()
    assert needed(UPDATE, RW, rule(D, objects="orders", business_hours=True)) == {ROWS}


def test_an_allow_rule_may_lift_a_denial_by_its_figure() -> None:
    assert needed(UPDATE, RO, rule(A, effects=WRITES, rows_up_to=10)) == {ROWS}
