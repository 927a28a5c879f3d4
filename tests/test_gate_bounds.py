"""The bound of rows as transcripts of the gate: what runs over it is held with its true count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from holdpoint.config import Config
from holdpoint.model.decision import ApprovalNeed
from holdpoint.model.hold import Hold, HoldState
from holdpoint.model.impact import Basis, Figure
from holdpoint.model.record import RecordKind
from holdpoint.model.steps import (
    AwaitApproval,
    ClaimHold,
    Done,
    EstimateRows,
    Execute,
    Execution,
    FindHold,
    Now,
    OpenHold,
    Refused,
    Step,
    WriteRecord,
)
from test_gate import NOON, PAGE, Play, config, go_on, held, play, rows, submission, to_the_hold

__all__ = ["config"]  # the fixture

CHANGE = "UPDATE orders SET status = 'x' WHERE status = 'new'"
OVER = Execution(tag="UPDATE 48211", rows=48_211, changed=48_211, rolled_back=True)


def up(life: Play, *script: tuple[type[Step[Any]], Any]) -> None:
    """Play a part of a life."""
    for kind, reply in script:
        life.next(kind)
        life.reply = reply


def up_to_the_run(config: Config, asked: Any) -> Play:
    life = Play(config, asked)
    up(life, rows(5), (Now, NOON), (FindHold, None), (WriteRecord, 17))
    return life


def over(config: Config) -> tuple[Play, Hold]:
    """Play to the new hold of what policy had let through for at most 1,000 rows."""
    life = up_to_the_run(config, submission(config, CHANGE))
    assert life.next(Execute).rows_max == 1_000
    life.reply = OVER
    up(life, (WriteRecord, 18), (Now, NOON), (FindHold, None))
    life.next(OpenHold)
    return life, held(life)


def test_what_changed_more_than_policy_allows_is_recorded_held_and_refused(config: Config) -> None:
    life, hold = over(config)
    life.reply = hold
    refused = life.end()
    assert isinstance(refused, Refused)
    assert refused.sqlstate == "HP001"
    assert refused.hold_id == hold.id
    assert refused.finding.code == "HP8011"
    assert refused.finding.message == (
        "rolled back: UPDATE on `orders` changed 48,211 rows, over the bound of 1,000"
    )
    assert hold.id in refused.finding.detail
    assert PAGE + hold.id in refused.finding.hint
    kind, body = life.records[-1]
    assert kind is RecordKind.STATEMENT_FINISHED
    assert (body["ran"], body["rolled_back"], body["changed"]) == (True, True, 48_211)


def test_the_new_hold_has_the_true_count_and_covers_it(config: Config) -> None:
    _, hold = over(config)
    case = orjson.loads(hold.case_json)
    assert case["impact"]["rows"] == {"value": 48_211, "basis": "exact", "why": ""}
    assert case["row_bound"] >= 48_211
    assert hold.findings[0].code == "HP8011"
    assert hold.need == ApprovalNeed()


def test_sent_again_it_waits_for_its_hold_though_the_estimate_would_pass(config: Config) -> None:
    _, hold = over(config)
    life = Play(config, submission(config, CHANGE))
    approved = replace(hold, state=HoldState.APPROVED)
    up(life, rows(5), (Now, NOON), (FindHold, hold), (AwaitApproval, approved))
    up(life, rows(5), (Now, NOON), (ClaimHold, True), (WriteRecord, 30))
    bound = orjson.loads(hold.case_json)["row_bound"]
    assert life.next(Execute).rows_max == bound
    life.reply = replace(OVER, rolled_back=False)
    assert isinstance(go_on(life, (WriteRecord, 31)), Done)
    assert life.records[0][1]["hold"] == hold.id


@pytest.mark.parametrize("state", [HoldState.REJECTED, HoldState.OPEN])
def test_sent_again_without_an_approval_it_does_not_run(config: Config, state: HoldState) -> None:
    _, hold = over(config)
    again = submission(config, CHANGE, may_wait=False)
    script = (rows(5), (Now, NOON), (FindHold, replace(hold, state=state)))
    assert isinstance(play(config, again, *script).outcome, Refused)


def test_a_copy_passes_under_the_bound_even_while_its_hold_is_open(config: Config) -> None:
    """Nobody is asked how many rows will come, and the text of the next COPY is the same."""
    asked = submission(config, "COPY orders FROM STDIN", may_wait=False)
    life = Play(config, asked)
    up(life, (Now, NOON), (FindHold, None), (WriteRecord, 17))
    assert life.next(Execute).rows_max == 1_000
    life.reply = replace(OVER, tag="COPY 48211")
    up(life, (WriteRecord, 18), (Now, NOON), (FindHold, None))
    life.next(OpenHold)
    hold = held(life)
    life = Play(config, asked)
    up(life, (Now, NOON), (FindHold, hold), (WriteRecord, 19))
    assert life.next(Execute).rows_max == 1_000
    life = Play(config, asked)
    up(life, (Now, NOON), (FindHold, replace(hold, state=HoldState.APPROVED)))
    up(life, (Now, NOON), (ClaimHold, True), (WriteRecord, 20))
    assert life.next(Execute).rows_max == orjson.loads(hold.case_json)["row_bound"]
    rejected = play(config, asked, (Now, NOON), (FindHold, replace(hold, state=HoldState.REJECTED)))
    assert isinstance(rejected.outcome, Refused)


def test_another_hold_over_the_same_text_does_not_stop_what_policy_allows(config: Config) -> None:
    _, other = to_the_hold(config, submission(config, CHANGE))
    life = Play(config, submission(config, CHANGE))
    up(life, rows(5), (Now, NOON), (FindHold, other), (WriteRecord, 1))
    assert life.next(Execute).rows_max == 1_000


def test_an_approved_statement_runs_under_the_bound_that_people_saw(config: Config) -> None:
    life, hold = to_the_hold(config, submission(config, CHANGE), 2_000)
    life.reply = hold
    up(
        life,
        (AwaitApproval, replace(hold, state=HoldState.APPROVED)),
        rows(2_000),
        (Now, NOON),
        (ClaimHold, True),
        (WriteRecord, 5),
    )
    assert life.next(Execute).rows_max == 2_501
    life.reply = OVER
    up(life, (WriteRecord, 6), (Now, NOON), (FindHold, None))
    assert life.next(OpenHold).case.impact.rows == Figure(48_211, Basis.EXACT)


def test_two_sessions_over_the_bound_share_one_hold(config: Config) -> None:
    _, first = over(config)
    life = up_to_the_run(config, submission(config, CHANGE))
    life.next(Execute)
    life.reply = OVER
    refused = go_on(life, (WriteRecord, 18), (Now, NOON), (FindHold, first))
    assert refused.hold_id == first.id


def test_what_could_not_be_counted_is_refused_without_a_hold(config: Config) -> None:
    life = up_to_the_run(config, submission(config, CHANGE))
    life.next(Execute)
    life.reply = Execution(tag="UPDATE 5", rows=5, rolled_back=True)
    refused = go_on(life, (WriteRecord, 18))
    assert (refused.finding.code, refused.sqlstate) == ("HP8012", "0A000")
    assert "track_counts" in refused.finding.hint


def test_a_message_that_cannot_be_bounded_is_refused_before_anybody_is_asked(
    config: Config,
) -> None:
    for count in (5, 48_211):
        life = play(
            config,
            submission(config, f"BEGIN; {CHANGE}; COMMIT"),
            rows(count),
            (Now, NOON),
            (WriteRecord, 1),
        )
        assert isinstance(life.outcome, Refused)
        assert life.outcome.sqlstate == "0A000"
        assert life.records[0][0] is RecordKind.STATEMENT_DENIED


def test_what_has_no_figure_has_no_bound(config: Config) -> None:
    life = Play(config, submission(config, CHANGE))
    unknown = Figure(None, Basis.UNKNOWN, "no answer")
    up(life, (EstimateRows, unknown), (Now, NOON), (FindHold, None))
    life.next(OpenHold)
    hold = held(life)
    life.reply = hold
    up(
        life,
        (AwaitApproval, replace(hold, state=HoldState.APPROVED)),
        (EstimateRows, unknown),
        (Now, NOON),
        (ClaimHold, True),
        (WriteRecord, 5),
    )
    assert life.next(Execute).rows_max is None
