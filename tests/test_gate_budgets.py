"""The gate and a budget: what is counted before anything runs, and what becomes of what is over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from holdpoint.config import Config
from holdpoint.model.hold import HoldState
from holdpoint.model.record import RecordKind
from holdpoint.model.steps import (
    AwaitApproval,
    ClaimHold,
    Done,
    Execute,
    Execution,
    FindHold,
    Now,
    OpenHold,
    Refused,
    ReserveRows,
    Submission,
    TakeStatements,
    WriteRecord,
)
from holdpoint.policy import refusals
from test_gate import NOON, Play, config, go_on, held, play, rows, submission

__all__ = ["config"]  # the fixture

ONE = "INSERT INTO orders VALUES (1), (2)"
SOME = "UPDATE orders SET status = 'x' WHERE id > 7"
OVER = refusals.no_rows_left(10, 10, 0)


def limited(config: Config, text: str, **more: Any) -> Submission:
    return submission(config, text, is_limited=True, **more)


def test_what_has_no_budget_is_never_asked_for_one(config: Config) -> None:
    ran = Execution(tag="SELECT 1", rows=1)
    life = play(
        config,
        submission(config, "SELECT 1"),
        (Now, NOON),
        (WriteRecord, 1),
        (Execute, ran),
        (WriteRecord, 2),
    )
    assert isinstance(life.outcome, Done)


def test_statements_are_counted_before_the_database_is_asked_anything(config: Config) -> None:
    full = refusals.over_rate(60, 1, 12)
    life = play(
        config, limited(config, SOME), (TakeStatements, full), (Now, NOON), (WriteRecord, 1)
    )
    assert isinstance(life.outcome, Refused)
    assert life.outcome.sqlstate == "53400"
    assert life.outcome.finding.hint == "nothing ran; there is room again in 12 s"
    assert life.records[0][0] is RecordKind.STATEMENT_DENIED


def test_each_statement_of_a_message_counts(config: Config) -> None:
    life = play(
        config,
        limited(config, "SELECT 1; SELECT 2; SELECT 3"),
        (TakeStatements, None),
        (Now, NOON),
        (WriteRecord, 1),
        (Execute, Execution()),
        (WriteRecord, 2),
    )
    assert "ReserveRows" not in life.log


@pytest.mark.parametrize("text", ["COMMIT", "ROLLBACK", "ROLLBACK; DEALLOCATE ALL"])
def test_what_only_ends_something_always_has_room(config: Config, text: str) -> None:
    life = play(
        config,
        limited(config, text),
        (Now, NOON),
        (WriteRecord, 1),
        (Execute, Execution()),
        (WriteRecord, 2),
    )
    assert isinstance(life.outcome, Done)


def test_what_the_text_proves_is_all_that_is_set_aside(config: Config) -> None:
    life = play(
        config,
        limited(config, ONE),
        (TakeStatements, None),
        (Now, NOON),
        (ReserveRows, 2),
        (WriteRecord, 1),
        (Execute, Execution(tag="INSERT 0 2", rows=2)),
        (WriteRecord, 2),
    )
    assert isinstance(life.outcome, Done)


@pytest.mark.parametrize(
    ("room", "bound"), [(None, 1_000), (1_000, 1_000), (2_000, 1_000), (999, 999), (1, 1)]
)
def test_the_smaller_of_policy_and_budget_is_the_bound(
    config: Config, room: int | None, bound: int
) -> None:
    life = to_the_execution(config, room)
    step = life.last
    assert isinstance(step, Execute)
    assert step.rows_max == bound


def to_the_execution(config: Config, room: int | None) -> Any:
    """Play a write up to its execution."""
    life = Play(config, limited(config, SOME))
    for kind, reply in (
        (TakeStatements, None),
        rows(5),
        (Now, NOON),
        (FindHold, None),
        (ReserveRows, room),
        (WriteRecord, 1),
    ):
        step = life.next(kind)
        if kind is ReserveRows:
            assert step.wanted == 1_000
        life.reply = reply
    life.next(Execute)
    return life


def test_over_the_budget_no_hold_is_opened(config: Config) -> None:
    life = to_the_execution(config, 9)
    life.reply = Execution(tag="UPDATE 12", rows=12, changed=12, rolled_back=True)
    refused = go_on(life, (WriteRecord, 2))
    assert refused.sqlstate == "53400"
    assert refused.finding.message == (
        "rolled back: UPDATE on `orders` changed 12 rows, and the budget `rows_written` has 9 left"
    )


def test_nothing_left_is_a_refusal_at_once_or_at_the_last_moment(config: Config) -> None:
    early = play(
        config, limited(config, SOME), (TakeStatements, OVER), (Now, NOON), (WriteRecord, 1)
    )
    late = play(
        config,
        limited(config, SOME),
        (TakeStatements, None),
        rows(5),
        (Now, NOON),
        (FindHold, None),
        (ReserveRows, OVER),
        (Now, NOON),
        (WriteRecord, 1),
    )
    for life in (early, late):
        assert isinstance(life.outcome, Refused)
        assert "is used up" in life.outcome.finding.message
        assert life.records[-1][0] is RecordKind.STATEMENT_DENIED


def test_nothing_is_set_aside_while_people_think(config: Config) -> None:
    life = Play(config, limited(config, SOME))
    for kind, reply in (
        (TakeStatements, None),
        rows(48_211),
        (Now, NOON),
        (FindHold, None),
        (OpenHold, None),
    ):
        life.next(kind)
        life.reply = reply
    hold = held(life)
    life.reply = hold
    approved = replace(hold, state=HoldState.APPROVED)
    for kind, reply in (
        (AwaitApproval, approved),
        rows(48_211),
        (Now, NOON),
        (ClaimHold, True),
        (ReserveRows, 60_000),
        (WriteRecord, 1),
    ):
        assert life.next(kind) is not None
        life.reply = reply
    life.next(Execute)
    assert life.log.count("ReserveRows") == 1


def test_a_message_that_cannot_be_held_to_what_is_left_is_refused(config: Config) -> None:
    life = play(
        config,
        limited(config, f"BEGIN; {ONE}; COMMIT"),
        (TakeStatements, None),
        (Now, NOON),
        (ReserveRows, 1),
        (Now, NOON),
        (WriteRecord, 1),
    )
    assert isinstance(life.outcome, Refused)
    assert life.outcome.finding.code == "HP8012"
