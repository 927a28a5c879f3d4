"""Reads that cost too much wait, where a target asks for their cost; nowhere else is it asked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from policy_cases import QUIET, SELECT, SHOP, UPDATE, case, policy, reading, rule, statement

from holdpoint.model.decision import Decision
from holdpoint.model.effects import Effect, Statement
from holdpoint.model.impact import Basis, Fact, Impact, ReadCost
from holdpoint.model.target import AccessLevel
from holdpoint.model.verdict import Verdict
from holdpoint.policy.decide import decide, facts_needed, passes_on_text
from holdpoint.policy.rules import Rule

RW = AccessLevel.READ_WRITE
WARY = replace(SHOP, read_cost_over=1000)
SELECT_ONE = statement("SELECT", Effect.READ)
SERIES = statement("SELECT", Effect.READ, functions=("generate_series",))
NO_ANSWER = ReadCost(cost=0, rows=0, basis=Basis.UNKNOWN, why="no answer within 2 s")


def needed(what: Statement, *rules: Rule) -> frozenset[Fact]:
    tier = WARY.tier(RW.value)
    assert tier is not None
    return facts_needed(policy(*rules, targets=(WARY,)), WARY, tier, reading(what))


def judged(what: Statement, read: ReadCost | None, *rules: Rule) -> Decision:
    asked = case(what, RW, target=WARY, at=QUIET)
    return decide(policy(*rules, targets=(WARY,)), replace(asked, impact=Impact(read=read)))


def test_the_cost_is_asked_for_what_uses_a_table_or_a_function() -> None:
    assert needed(SELECT) == {Fact.READ_COST}
    assert needed(SERIES) == {Fact.READ_COST}
    assert needed(SELECT_ONE) == set()
    assert Fact.READ_COST not in needed(UPDATE)


def test_nothing_is_asked_where_no_target_asks() -> None:
    tier = SHOP.tier(RW.value)
    assert tier is not None
    assert facts_needed(policy(), SHOP, tier, reading(SELECT)) == set()


def test_what_is_denied_anyway_is_not_asked() -> None:
    assert needed(SELECT, rule(Verdict.DENY, objects="orders")) == set()


@pytest.mark.parametrize(
    ("read", "verdict", "code"),
    [
        (ReadCost(cost=1000, rows=5), Verdict.ALLOW, None),
        (ReadCost(cost=1001, rows=5), Verdict.HOLD, "HP6104"),
        (NO_ANSWER, Verdict.HOLD, "HP7004"),
        (None, Verdict.ALLOW, None),  # no database was asked, as in `check` without one
    ],
)
def test_a_read_over_the_bound_waits(
    read: ReadCost | None, verdict: Verdict, code: str | None
) -> None:
    decision = judged(SELECT, read)
    assert decision.verdict is verdict
    assert [finding.code for finding in decision.findings] == ([code] if code else [])


def test_no_allow_rule_loosens_it() -> None:
    dear = ReadCost(cost=5000, rows=5)
    allow = rule(Verdict.ALLOW, effects=[Effect.READ])
    assert judged(SELECT, dear, allow).verdict is Verdict.HOLD


def test_only_what_costs_nothing_is_remembered_by_its_text() -> None:
    tier = WARY.tier(RW.value)
    assert tier is not None
    wary = policy(targets=(WARY,))
    assert passes_on_text(wary, WARY, tier, reading(SELECT_ONE))
    assert not passes_on_text(wary, WARY, tier, reading(SELECT))
    assert not judged(SELECT, ReadCost(cost=1, rows=1)).memoisable


def test_the_settings_are_part_of_the_policy() -> None:
    digests = {
        policy(targets=(target,)).digest
        for target in (SHOP, WARY, replace(SHOP, exact_rows_s=2.0), replace(SHOP, exact_rows_s=3.0))
    }
    assert len(digests) == 4
