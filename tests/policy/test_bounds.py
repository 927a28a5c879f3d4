"""How many rows a decision lets change: always the number at which it would get stricter."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_cases import (
    CAREFUL,
    COPY,
    UPDATE,
    UPDATE_ALL,
    WHEN_RUN,
    case,
    exact,
    policy,
    reading,
    rule,
    statement,
)
from test_properties import cases, compiled, numbered, rules

from holdpoint.model.case import Case
from holdpoint.model.effects import Effect, RelationUse, TransactionMark, Verb
from holdpoint.model.target import AccessLevel
from holdpoint.model.verdict import Verdict
from holdpoint.policy.bounds import obstacle, rows_allowed, tables_written, to_enforce, with_rows
from holdpoint.policy.decide import decide
from holdpoint.policy.rules import Policy, Rule, Thresholds

SELECT = statement("SELECT", Effect.READ)
WRITES = [Effect.WRITE]
ON_ORDERS = rule(Verdict.ALLOW, effects=WRITES, objects="orders")
OWN = statement("UPDATE", Effect.WRITE, writes="orders", rows_max=1)
CASCADE = RelationUse("public", "items", Verb.DELETE, through=("orders_fkey",))


def allowed(rows: int = 5) -> Case:
    return case(UPDATE, rows=exact(rows))


@pytest.mark.parametrize(
    ("rulebook", "bound"),
    [
        (CAREFUL, 1_000),
        (policy(thresholds=Thresholds(write_rows_max=20)), 20),
        (policy(rule(Verdict.HOLD, rows_over=50)), 50),
        (policy(rule(Verdict.DENY, rows_over=70), rule(Verdict.HOLD, "b", rows_over=60)), 60),
        (policy(rule(Verdict.HOLD, rows_over=50, objects="payments")), 1_000),
        (policy(rule(Verdict.HOLD, rows_over=50, agents="somebody")), 1_000),
        (policy(rule(Verdict.ALLOW, effects=WRITES, rows_up_to=9_000)), 9_000),
        (policy(rule(Verdict.ALLOW, effects=WRITES, rows_up_to=10)), 1_000),
        (policy(ON_ORDERS), None),
        (
            policy(
                ON_ORDERS,
                rule(Verdict.HOLD, "b", rows_over=9),
            ),
            9,
        ),
    ],
)
def test_the_smallest_number_that_speaks_of_it(rulebook: Policy, bound: int | None) -> None:
    assert rows_allowed(rulebook, allowed()) == bound


@given(cases(), st.lists(rules(), max_size=4), st.integers(0, 3_000))
def test_the_bound_is_where_the_decision_gets_stricter(
    found: Case, rulebook: list[Rule], rows: int
) -> None:
    made = compiled(numbered(rulebook))
    if decide(made, with_rows(found, rows)).verdict is not Verdict.ALLOW:
        return
    bound = rows_allowed(made, with_rows(found, rows))
    if bound is None:
        assert decide(made, with_rows(found, 10**12)).verdict is Verdict.ALLOW
    else:
        assert rows <= bound
        assert decide(made, with_rows(found, bound)).verdict is Verdict.ALLOW
        assert decide(made, with_rows(found, bound + 1)).verdict > Verdict.ALLOW


def test_what_the_text_proves_needs_no_count() -> None:
    assert to_enforce(reading(OWN), 1) is None
    assert to_enforce(reading(OWN, SELECT), 1) is None
    assert to_enforce(reading(SELECT), 0) is None
    assert to_enforce(reading(OWN), None) is None


@pytest.mark.parametrize(
    "statements",
    [
        (UPDATE,),
        (UPDATE_ALL,),
        (OWN, OWN),  # one row each is two
        (OWN, UPDATE),
        (statement("UPDATE", Effect.WRITE, rows_max=1, uses=(CASCADE,)),),
        (statement("SELECT", Effect.READ, Effect.WRITE),),
    ],
)
def test_everything_else_is_counted(statements: tuple[object, ...]) -> None:
    assert to_enforce(reading(*statements), 1) == 1  # type: ignore[arg-type]


def test_rows_that_a_message_commits_itself_cannot_be_taken_back() -> None:
    commit = statement("COMMIT", Effect.READ, transaction=TransactionMark.COMMIT)
    assert "COMMIT stands in one message" in obstacle(reading(UPDATE, commit))
    assert "COPY" in obstacle(reading(statement("COPY", Effect.WRITE, writes="orders")))
    assert "stands alone" in obstacle(reading(COPY, SELECT))
    assert obstacle(reading(COPY)) == ""
    assert obstacle(reading(UPDATE, SELECT)) == ""
    assert obstacle(reading(UPDATE)) == ""


@pytest.mark.parametrize(
    ("rulebook", "bound"),
    [
        (CAREFUL, 1_000),
        (policy(rule(Verdict.HOLD, rows_over=50)), 50),
        (policy(rule(Verdict.DENY, rows_over=50), rule(Verdict.HOLD, "b", rows_over=70)), 50),
        (policy(rule(Verdict.ALLOW, effects=WRITES, rows_up_to=9_000)), 9_000),
        (policy(ON_ORDERS), None),
    ],
)
def test_rows_that_show_only_while_it_runs_pass_under_a_bound(
    rulebook: Policy, bound: int | None
) -> None:
    copy = case(COPY, rows=WHEN_RUN)
    assert decide(rulebook, copy).verdict is Verdict.ALLOW
    assert rows_allowed(rulebook, copy) == bound
    assert to_enforce(copy.reading, rows_allowed(rulebook, copy)) == bound


@pytest.mark.parametrize(
    "rulebook",
    [policy(rule(Verdict.HOLD, objects="orders")), policy(rule(Verdict.DENY, tags="COPY"))],
)
def test_they_loosen_nothing_else(rulebook: Policy) -> None:
    assert decide(rulebook, case(COPY, rows=WHEN_RUN)).verdict > Verdict.ALLOW
    assert decide(CAREFUL, case(COPY, AccessLevel.READ_ONLY, rows=WHEN_RUN)).verdict is Verdict.DENY
    every = statement("COPY", Effect.WRITE, Effect.BULK_WRITE, reads_data=True)
    assert decide(CAREFUL, case(every, rows=WHEN_RUN)).verdict is Verdict.HOLD


@given(cases(), st.lists(rules(), max_size=4))
def test_what_passes_on_them_passes_with_no_row(found: Case, rulebook: list[Rule]) -> None:
    made = compiled(numbered(rulebook))
    later = replace(found, impact=replace(found.impact, rows=WHEN_RUN))
    if decide(made, later).verdict is Verdict.ALLOW:
        assert decide(made, with_rows(found, 0)).verdict is Verdict.ALLOW


def test_every_level_that_writes_has_a_bound() -> None:
    for level in (AccessLevel.READ_WRITE, AccessLevel.FULL_NO_DROP, AccessLevel.OWNER):
        assert rows_allowed(CAREFUL, case(UPDATE, level, rows=exact(1))) == 1_000


def test_tables_that_the_text_itself_writes() -> None:
    both = statement("INSERT", Effect.WRITE, writes="orders payments", reads="users")
    assert tables_written(reading(both)) == 2
    assert tables_written(reading(UPDATE, UPDATE)) == 1
    assert tables_written(reading(SELECT)) == 0
