"""Hazards that figures show: their examples and their words."""

from __future__ import annotations

import re

import pytest

from holdpoint.impact.hazards import IMPACT_HAZARDS, ImpactHazard, findings_of_impact
from holdpoint.model.impact import (
    Basis,
    Cascade,
    Dependent,
    Figure,
    Impact,
    LockMode,
    ReadCost,
    TableImpact,
    TableUser,
    Work,
)

HIT = [(hazard, impact) for hazard in IMPACT_HAZARDS for impact in hazard.EXAMPLES_HIT]
MISS = [(hazard, impact) for hazard in IMPACT_HAZARDS for impact in hazard.EXAMPLES_MISS]


def name(value: object) -> str:
    return str(getattr(value, "CODE", "impact"))


@pytest.mark.parametrize(("hazard", "impact"), HIT, ids=name)
def test_an_example_that_hits_gives_the_finding(hazard: ImpactHazard, impact: Impact) -> None:
    assert hazard.CODE in {finding.code for finding in findings_of_impact(impact)}
    for finding in findings_of_impact(impact):
        assert finding.hint
        assert finding.message.count("`") % 2 == 0
        assert finding.message[0].islower() or finding.message[0] == "`"
        assert not re.search(r"\b(None|True|False|Figure|LockMode)\b", finding.message)


@pytest.mark.parametrize(("hazard", "impact"), MISS, ids=name)
def test_an_example_that_misses_does_not(hazard: ImpactHazard, impact: Impact) -> None:
    assert hazard.CODE not in {finding.code for finding in findings_of_impact(impact)}


def test_every_hazard_has_both_kinds_of_examples() -> None:
    for hazard in IMPACT_HAZARDS:
        assert hazard.EXAMPLES_HIT
        assert hazard.EXAMPLES_MISS


def test_nothing_known_is_no_finding() -> None:
    assert findings_of_impact(Impact()) == ()


def only(impact: Impact) -> str:
    (finding,) = findings_of_impact(impact)
    return finding.message


def test_others_who_use_a_table_are_named_the_active_ones_first() -> None:
    users = (
        TableUser(table="orders", kind="role", name="reports"),
        TableUser(table="orders", kind="agent", name="helper"),
        TableUser(table="orders", kind="application", name="billing"),
    )
    assert only(Impact(users=users)) == (
        "`orders` is not yours alone: application `billing`, agent `helper` and role `reports` "
        "use it"
    )
    assert only(Impact(users=users[:1])) == "`orders` is not yours alone: role `reports` uses it"


def test_many_users_are_counted() -> None:
    users = tuple(TableUser(table="t", kind="role", name=f"r{number}") for number in range(12))
    assert only(Impact(users=users)).endswith("role `r0`, role `r1`, role `r2` and 9 more use it")


def cascade(level: int, table: str, rows: Figure, action: str = "delete") -> Cascade:
    return Cascade(
        level=level, table=table, constraint="fk", action=action, through="orders", rows=rows
    )


def test_cascades_say_rows_with_their_basis_level_by_level() -> None:
    impact = Impact(
        cascades=(
            cascade(2, "notes", Figure(None, Basis.UNKNOWN), "set null"),
            cascade(1, "items", Figure(48_211, Basis.ESTIMATE)),
            cascade(1, "labels", Figure(1, Basis.EXACT)),
            cascade(1, "empty", Figure(0, Basis.EXACT)),
        )
    )
    assert only(impact) == (
        "through foreign keys it removes about 48,211 rows of `items`, removes 1 row of `labels` "
        "and changes an unknown number of rows of `notes`"
    )


def test_a_figure_nobody_has_is_not_taken_for_zero() -> None:
    for figure in (Figure(), Figure(None, Basis.UNKNOWN, "timeout"), Figure(0, Basis.ESTIMATE)):
        assert findings_of_impact(Impact(cascades=(cascade(1, "items", figure),)))


def test_a_long_lock_says_rows_lock_and_who_waits() -> None:
    table = TableImpact(
        name="orders",
        rows=Figure(2_100_000, Basis.ESTIMATE),
        lock=LockMode.ACCESS_EXCLUSIVE,
        blocks="everybody",
        work=Work.SCAN,
        why="NOT NULL is checked",
        busy=Figure(1, Basis.EXACT),
    )
    (finding,) = findings_of_impact(Impact(tables=(table,)))
    assert finding.message == "it reads `orders` (about 2,100,000 rows) under ACCESS EXCLUSIVE"
    assert finding.detail == (
        "NOT NULL is checked; the lock keeps out everybody; 1 session uses the table now"
    )


def test_work_nobody_can_tell_is_a_finding() -> None:
    table = TableImpact(name="t", lock=LockMode.SHARE, work=Work.UNKNOWN)
    assert only(Impact(tables=(table,))) == (
        "it may read or write anew `t` (an unknown number of rows) under SHARE"
    )


def test_dependents_stand_by_what_they_stand_on() -> None:
    impact = Impact(
        dependents=(
            Dependent(kind="view", name="open_orders", on="orders"),
            Dependent(kind="function", name="total(int)", on="orders"),
            Dependent(kind="view", name="names", on="users"),
        )
    )
    assert [finding.message for finding in findings_of_impact(impact)] == [
        "on `orders` stand view `open_orders` and function `total(int)`",
        "on `users` stands view `names`",
    ]


def test_names_cannot_break_out_of_their_quotes() -> None:
    impact = Impact(
        dependents=(Dependent(kind="view", name="a`\nb", on="c`"),),
        failed=("`x`\u202e",),
        read=ReadCost(cost=1, rows=1, hurts="scan of `t`\x1b"),
    )
    for finding in findings_of_impact(impact):
        assert finding.message.count("`") % 2 == 0
        assert finding.message.isprintable()
