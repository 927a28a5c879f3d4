"""The gate without a world around it: each life of a statement as a transcript of its steps."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from holdpoint.audit.bodies import case_document
from holdpoint.config import Config
from holdpoint.config.load import parse
from holdpoint.gate import admit, pass_at_once
from holdpoint.model.case import Parameter
from holdpoint.model.effects import Dialect, SessionView
from holdpoint.model.hold import Answer, Approval, Hold, HoldState
from holdpoint.model.impact import Basis, Figure
from holdpoint.model.record import RecordKind
from holdpoint.model.steps import (
    AwaitApproval,
    ClaimHold,
    Done,
    EndHold,
    EstimateRows,
    EstimateTableRows,
    Execute,
    Execution,
    FindHold,
    LookUpCatalog,
    MeasureImpact,
    Now,
    OpenHold,
    Outcome,
    Refused,
    Step,
    Submission,
    WriteRecord,
)
from holdpoint.policy import refusals

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
RAN = Execution(tag="DELETE 48211", rows=48211, duration_us=5)
PAGE = "http://gate/h/"

DELETE = "DELETE FROM orders"
UPDATE = "UPDATE orders SET status = 'x' WHERE id > $1"


@pytest.fixture(scope="module")
def config() -> Config:
    tiers = "".join(
        f'[targets.shop.tiers.{name}]\naccess = "{access}"\nurl = "env:X"\n'
        for name, access in (("replica", "read-only"), ("write", "read-write"), ("all", "owner"))
    )
    return parse(f'[targets.shop]\nenvironment = "production"\n{tiers}', base=Path("/"))


def submission(config: Config, text: str, tier: str = "write", **more: Any) -> Submission:
    target = config.targets[0]
    return Submission(
        agent="claude",
        task="tidy up",
        session="s-1",
        peer="10.0.0.7:5000",
        target=target,
        tier=next(each for each in target.tiers if each.name == tier),
        role="app",
        text=text,
        dialect=Dialect.POSTGRES,
        view=SessionView(),
        **more,
    )


class Play:
    """Replies to the steps of one life; remembers them by name, and the records by kind."""

    catalog: Any = None  # the reply to every LookUpCatalog that a script does not name

    def __init__(self, config: Config, asked: Submission) -> None:
        self.steps: Generator[Step[Any], Any, Outcome] = admit(config.policy, asked, PAGE)
        self.reply: Any = None
        self.log: list[str] = []
        self.records: list[tuple[RecordKind, dict[str, Any]]] = []
        self.outcome: Outcome | None = None
        self.last: Step[Any] | None = None

    def next(self, kind: type[Step[Any]]) -> Any:
        """Expect a step of this kind and return it."""
        self.last = self._ask()
        while isinstance(self.last, LookUpCatalog | MeasureImpact) and kind is not type(self.last):
            gathered = isinstance(self.last, MeasureImpact)
            self.reply = self.last.impact if gathered else self.catalog
            self.last = self._ask()
        assert type(self.last) is kind, f"{self.last} after {self.log}"
        self.log.append(kind.__name__)
        if isinstance(self.last, WriteRecord):
            self.records.append((self.last.record.kind, self.last.record.body))
        return self.last

    def _ask(self) -> Step[Any]:
        return self.steps.send(self.reply)

    def end(self) -> Any:
        """Expect the outcome and return it."""
        try:
            while isinstance(step := self._ask(), LookUpCatalog):
                self.reply = self.catalog
        except StopIteration as stop:
            self.outcome = stop.value
        else:
            pytest.fail(f"{step} where the life should have ended")
        return self.outcome


def play(config: Config, asked: Submission, *script: tuple[type[Step[Any]], Any]) -> Play:
    """Play a script of (step, reply) to its end."""
    life = Play(config, asked)
    for kind, reply in script:
        life.next(kind)
        life.reply = reply
    life.end()
    return life


def rows(value: int) -> tuple[type[EstimateRows], Figure]:
    return EstimateRows, Figure(value, Basis.ESTIMATE)


def held(life: Play, **changes: Any) -> Hold:
    """Return the hold that a life has just asked for, as a store would keep it."""
    step = life.last
    assert isinstance(step, OpenHold)
    hold = Hold(
        id="h-7K2M",
        digest=step.digest,
        agent=step.case.agent,
        task=step.case.task,
        session=step.case.session,
        target=step.case.target.name,
        tier=step.case.tier.name,
        summary=refusals.summary_of(step.case, step.decision),
        case_json=orjson.dumps(case_document(step.case, step.decision)).decode(),
        findings=step.decision.findings,
        need=step.decision.need,
        state=HoldState.OPEN,
        created_at=NOON,
        expires_at=NOON + timedelta(minutes=30),
    )
    return replace(hold, **changes)


def to_the_hold(config: Config, asked: Submission, count: int = 48_211) -> tuple[Play, Hold]:
    """Play up to the hold that is opened."""
    life = Play(config, asked)
    for kind, reply in (rows(count), (Now, NOON), (FindHold, None)):
        life.next(kind)
        life.reply = reply
    life.next(OpenHold)
    return life, held(life)


def go_on(life: Play, *script: tuple[type[Step[Any]], Any]) -> Any:
    for kind, reply in script:
        life.next(kind)
        life.reply = reply
    return life.end()


# --- allowed --------------------------------------------------------------------------------------


def test_what_is_allowed_is_recorded_run_and_recorded(config: Config) -> None:
    life = play(
        config,
        submission(config, "UPDATE orders SET status = 'x' WHERE id = 1"),
        rows(1),
        (Now, NOON),
        (FindHold, None),
        (WriteRecord, 17),
        (Execute, Execution(tag="UPDATE 1", rows=1)),
        (WriteRecord, 18),
    )
    assert isinstance(life.outcome, Done)
    (started, before), (finished, after) = life.records
    assert (started, finished) == (RecordKind.STATEMENT_STARTED, RecordKind.STATEMENT_FINISHED)
    assert before["text"] == "UPDATE orders SET status = 'x' WHERE id = 1"
    assert before["verdict"] == "allow"
    assert "hold" not in before
    assert (after["started"], after["tag"], after["rows"]) == (17, "UPDATE 1", 1)


def test_a_read_asks_the_database_nothing(config: Config) -> None:
    life = play(
        config,
        submission(config, "SELECT 1", "replica"),
        (Now, NOON),
        (WriteRecord, 1),
        (Execute, Execution(tag="SELECT 1", rows=1)),
        (WriteRecord, 2),
    )
    assert isinstance(life.outcome, Done)


def test_an_outcome_that_nobody_knows_is_recorded_as_such(config: Config) -> None:
    life = play(
        config,
        submission(config, "SELECT 1", "replica"),
        (Now, NOON),
        (WriteRecord, 1),
        (Execute, Execution(sqlstate="08006", complete=False)),
        (WriteRecord, 2),
    )
    assert life.records[-1][0] is RecordKind.STATEMENT_OUTCOME_UNKNOWN


def test_execute_gets_the_number_of_the_durable_start(config: Config) -> None:
    life = Play(config, submission(config, "SELECT 1"))
    life.next(Now)
    life.reply = NOON
    life.next(WriteRecord)
    life.reply = 4711
    assert life.next(Execute).started == 4711


# --- denied ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tier", "sqlstate"),
    [
        (DELETE, "replica", "42501"),
        ("DROP TABLE orders", "write", "42501"),
        ("SELECT 1; DROP TABLE orders", "write", "42501"),
        ("COPY orders TO PROGRAM 'curl evil'", "write", "42501"),
        ("SELECT FROM WHERE", "all", "42601"),
    ],
)
def test_what_is_denied_is_recorded_and_never_run(
    config: Config, text: str, tier: str, sqlstate: str
) -> None:
    replies = {Now: NOON, LookUpCatalog: None}
    life = Play(config, submission(config, text, tier))
    step = life.steps.send(None)
    while not isinstance(step, WriteRecord):
        assert isinstance(step, LookUpCatalog | Now | EstimateRows | EstimateTableRows)
        step = life.steps.send(replies.get(type(step), Figure(1, Basis.ESTIMATE)))
    assert step.record.kind is RecordKind.STATEMENT_DENIED
    life.reply = 1
    outcome = life.end()
    assert isinstance(outcome, Refused)
    assert outcome.sqlstate == sqlstate


# --- held -----------------------------------------------------------------------------------------


def test_an_approved_hold_is_judged_again_claimed_and_run(config: Config) -> None:
    life, hold = to_the_hold(config, submission(config, DELETE))
    life.reply = hold
    outcome = go_on(
        life,
        (AwaitApproval, replace(hold, state=HoldState.APPROVED)),
        rows(48_000),
        (Now, NOON),
        (ClaimHold, True),
        (WriteRecord, 5),
        (Execute, RAN),
        (WriteRecord, 6),
    )
    assert outcome == Done(execution=RAN)
    assert life.records[0][1]["hold"] == "h-7K2M"


def test_a_submission_that_may_not_wait_gets_a_ticket_at_once(config: Config) -> None:
    life, hold = to_the_hold(config, submission(config, DELETE, may_wait=False))
    life.reply = hold
    outcome = life.end()
    assert (outcome.sqlstate, outcome.hold_id) == ("HP001", "h-7K2M")
    assert PAGE + "h-7K2M" in outcome.finding.hint
    assert life.records == []


def test_a_wait_that_is_over_gives_a_ticket(config: Config) -> None:
    life, hold = to_the_hold(config, submission(config, DELETE))
    life.reply = hold
    assert go_on(life, (AwaitApproval, hold)).sqlstate == "HP001"


@pytest.mark.parametrize(
    ("state", "sqlstate"),
    [
        (HoldState.REJECTED, "HP002"),
        (HoldState.EXPIRED, "HP003"),
        (HoldState.CANCELLED, "57014"),
        (HoldState.ABANDONED, "57014"),
        (HoldState.CLAIMED, "HP003"),
        (HoldState.SUPERSEDED, "HP005"),
    ],
)
def test_every_other_end_of_a_hold_refuses_in_its_own_words(
    config: Config, state: HoldState, sqlstate: str
) -> None:
    life, hold = to_the_hold(config, submission(config, DELETE))
    life.reply = hold
    no = Approval(
        hold_id=hold.id, approver="anna", answer=Answer.REJECT, note="not on a Friday", at=NOON
    )
    outcome = go_on(life, (AwaitApproval, replace(hold, state=state, approvals=(no,))))
    assert outcome.sqlstate == sqlstate
    assert life.records == []
    if state is HoldState.REJECTED:
        assert "not on a Friday" in outcome.finding.message


def test_the_same_statement_finds_its_approval(config: Config) -> None:
    asked = submission(config, DELETE, may_wait=False)
    _, hold = to_the_hold(config, asked)
    life = play(
        config,
        asked,
        rows(48_211),
        (Now, NOON),
        (FindHold, replace(hold, state=HoldState.APPROVED)),
        rows(48_211),
        (Now, NOON),
        (ClaimHold, True),
        (WriteRecord, 5),
        (Execute, RAN),
        (WriteRecord, 6),
    )
    assert isinstance(life.outcome, Done)


def test_the_same_statement_waits_on_its_open_hold(config: Config) -> None:
    asked = submission(config, DELETE)
    _, hold = to_the_hold(config, asked)
    life = play(config, asked, rows(48_211), (Now, NOON), (FindHold, hold), (AwaitApproval, hold))
    assert isinstance(life.outcome, Refused)


def test_a_claim_that_somebody_else_won_does_not_run(config: Config) -> None:
    life, hold = to_the_hold(config, submission(config, DELETE))
    life.reply = hold
    outcome = go_on(
        life,
        (AwaitApproval, replace(hold, state=HoldState.APPROVED)),
        rows(48_211),
        (Now, NOON),
        (ClaimHold, False),
    )
    assert "already used" in outcome.finding.message
    assert life.records == []


@pytest.mark.parametrize(
    "now",
    [Figure(60_266, Basis.ESTIMATE), Figure(None, Basis.UNKNOWN, "no answer within 2 s")],
    ids=["grown", "unknown"],
)
def test_rows_that_have_grown_end_the_approval(config: Config, now: Figure) -> None:
    life, hold = to_the_hold(config, submission(config, DELETE))
    life.reply = hold
    outcome = go_on(
        life,
        (AwaitApproval, replace(hold, state=HoldState.APPROVED)),
        (EstimateRows, now),
        (Now, NOON),
        (EndHold, None),
    )
    step = life.last
    assert isinstance(step, EndHold)
    assert step.state is HoldState.SUPERSEDED
    assert outcome.sqlstate == "HP005"
    assert life.records == []


def test_rows_within_the_bound_still_run(config: Config) -> None:
    life, hold = to_the_hold(config, submission(config, DELETE))
    life.reply = hold
    outcome = go_on(
        life,
        (AwaitApproval, replace(hold, state=HoldState.APPROVED)),
        rows(60_264),  # 48,211 and a quarter
        (Now, NOON),
        (ClaimHold, True),
        (WriteRecord, 5),
        (Execute, RAN),
        (WriteRecord, 6),
    )
    assert isinstance(outcome, Done)


def test_an_approval_of_another_case_is_never_used(config: Config) -> None:
    life, hold = to_the_hold(config, submission(config, DELETE))
    life.reply = hold
    outcome = go_on(
        life,
        (AwaitApproval, replace(hold, state=HoldState.APPROVED, digest="0" * 64)),
        rows(48_211),
        (Now, NOON),
        (EndHold, None),
    )
    assert outcome.sqlstate == "HP005"


def test_the_digest_follows_what_people_approved_and_nothing_else(config: Config) -> None:
    def digest(asked: Submission, count: int = 48_211) -> str:
        life, _ = to_the_hold(config, asked, count)
        step = life.last
        assert isinstance(step, OpenHold)
        return step.digest

    base = submission(config, UPDATE, parameters=(Parameter(b"5"),))
    own = digest(base)
    assert digest(base, 99_999) == own
    assert digest(replace(base, session="s-2", peer="10.0.0.8:1")) == own
    other = next(tier for tier in config.targets[0].tiers if tier.name == "all")
    for changed in (
        replace(base, text=UPDATE + " "),
        replace(base, parameters=(Parameter(b"6"),)),
        replace(base, parameters=(Parameter(b"5", binary=True),)),
        replace(base, parameters=(Parameter(None),)),
        replace(base, parameters=None),
        replace(base, agent="gpt"),
        replace(base, task="other"),
        replace(base, role="superuser"),
        replace(base, tier=other),
    ):
        assert digest(changed) != own, changed


# --- what must never happen -----------------------------------------------------------------------


class TrailDownError(Exception):
    """What the driver throws into the gate's world when a record cannot be written."""


def test_without_its_record_nothing_runs(config: Config) -> None:
    life = Play(config, submission(config, "SELECT 1"))
    life.next(Now)
    life.reply = NOON
    life.next(WriteRecord)
    with pytest.raises(TrailDownError):
        life.steps.throw(TrailDownError())
    with pytest.raises(StopIteration):
        life.steps.send(1)


def test_a_gate_that_is_given_up_runs_nothing(config: Config) -> None:
    life, _ = to_the_hold(config, submission(config, DELETE))
    life.steps.close()
    with pytest.raises(StopIteration):
        next(life.steps)


@pytest.mark.parametrize(
    "text",
    [
        DELETE,
        "INSERT INTO orders VALUES (1)",
        "SELECT pg_sleep(1)",
        "SELECT nobody_knows_it(1)",
        "EXECUTE x",
        "SET ROLE postgres",
        "SELECT FROM WHERE",
        "SELECT 1; DELETE FROM orders",
    ],
)
def test_only_plain_reads_pass_at_once(config: Config, text: str) -> None:
    target = config.targets[0]
    for tier in target.tiers:
        found = pass_at_once(config.policy, target, tier, text, Dialect.POSTGRES, SessionView())
        assert found is None
        plain = pass_at_once(
            config.policy, target, tier, "SELECT 1", Dialect.POSTGRES, SessionView()
        )
        assert plain is not None
