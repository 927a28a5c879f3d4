"""The life of a statement as transcripts: steps out, replies in, no loop and no I/O."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from holdpoint.audit.bodies import case_document
from holdpoint.audit.record import canonical_bytes
from holdpoint.gate import admit, pass_at_once
from holdpoint.model.case import Basis, Figure, Parameter
from holdpoint.model.effects import Dialect, SessionView
from holdpoint.model.hold import Answer, Approval, Hold, HoldState
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
    Now,
    OpenHold,
    Outcome,
    Refused,
    Step,
    Submission,
    WriteRecord,
)
from holdpoint.model.target import AccessLevel, Target, Tier
from holdpoint.policy.compile import compile_policy

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
REPLICA = Tier(name="replica", access=AccessLevel.READ_ONLY, url_source="env:R")
WRITE = Tier(name="write", access=AccessLevel.READ_WRITE, url_source="env:W")
OWNER = Tier(name="owner", access=AccessLevel.OWNER, url_source="env:O")
SHOP = Target(name="shop", tiers=(REPLICA, WRITE, OWNER))
POLICY = compile_policy((), (SHOP,))
PAGE = "http://holds/h/"
RAN = Execution(tag="DELETE 5", rows=5, duration_us=100)


def submission(text: str, tier: Tier = WRITE, *, may_wait: bool = True, **more: Any) -> Submission:
    return Submission(
        agent="robin",
        task="",
        session="s-1",
        peer="127.0.0.1:5",
        target=SHOP,
        tier=tier,
        role="shop_writer",
        text=text,
        dialect=Dialect.POSTGRES,
        view=SessionView(),
        may_wait=may_wait,
        **more,
    )


class World:
    """Answers steps and keeps the transcript. ``rows`` are the estimates in order."""

    def __init__(
        self,
        *,
        rows: tuple[Figure, ...] = (),
        found: HoldState | None = None,
        answer: HoldState = HoldState.APPROVED,
        claimed: bool = True,
        execution: Execution = RAN,
    ) -> None:
        self.rows = list(rows)
        self.found = found
        self.answer = answer
        self.claimed = claimed
        self.execution = execution
        self.steps: list[str] = []
        self.records: list[tuple[RecordKind, dict[str, Any]]] = []
        self.hold: Hold | None = None
        self.approved_rows: int | None = None

    def reply(self, step: Step[Any]) -> Any:
        self.steps.append(type(step).__name__)
        match step:
            case Now():
                return NOON
            case EstimateRows() | EstimateTableRows():
                return self.rows.pop(0)
            case WriteRecord(record):
                self.records.append((record.kind, record.body))
                return len(self.records)
            case FindHold(agent, digest):
                assert agent == "robin"
                return None if self.found is None else self.kept(digest, self.found)
            case OpenHold(case, decision, digest):
                document = canonical_bytes(case_document(case, decision)).decode()
                self.hold = self.kept(digest, HoldState.OPEN, document)
                return self.hold
            case AwaitApproval(hold):
                return self.kept(hold.digest, self.answer, hold.case_json)
            case ClaimHold():
                return self.claimed
            case EndHold():
                return None
            case Execute():
                return self.execution
        raise AssertionError(step)

    def kept(self, digest: str, state: HoldState, document: str = "") -> Hold:
        note = Approval(hold_id="h-1", approver="ada", answer=Answer.REJECT, note="no", at=NOON)
        return Hold(
            id="h-1",
            digest=digest,
            agent="robin",
            task="",
            session="s-1",
            target="shop",
            tier="write",
            summary="DELETE on `orders`",
            case_json=document or orjson.dumps({"row_bound": self.approved_rows}).decode(),
            findings=(),
            need=POLICY.need,
            state=state,
            created_at=NOON,
            expires_at=NOON + timedelta(minutes=30),
            approvals=(note,) if state is HoldState.REJECTED else (),
        )


def play(world: World, sent: Submission) -> Outcome:
    steps = admit(POLICY, sent, PAGE)
    reply: Any = None
    while True:
        try:
            step = steps.send(reply)
        except StopIteration as stop:
            outcome: Outcome = stop.value
            return outcome
        reply = world.reply(step)


def few(count: int = 5) -> Figure:
    return Figure(count, Basis.ESTIMATE)


def test_a_small_write_is_recorded_before_and_after_it_runs() -> None:
    world = World(rows=(few(),))
    assert play(world, submission("DELETE FROM orders WHERE id = 1")) == Done(execution=RAN)
    assert world.steps == ["EstimateRows", "Now", "WriteRecord", "Execute", "WriteRecord"]
    kinds = [kind for kind, _ in world.records]
    assert kinds == [RecordKind.STATEMENT_STARTED, RecordKind.STATEMENT_FINISHED]
    assert world.records[1][1]["started"] == 1


def test_what_a_tier_does_not_give_never_runs_and_asks_no_database() -> None:
    world = World()
    outcome = play(world, submission("DROP TABLE orders", REPLICA))
    assert isinstance(outcome, Refused)
    assert outcome.sqlstate == "42501"
    assert world.steps == ["Now", "WriteRecord"]
    assert world.records[0][0] is RecordKind.STATEMENT_DENIED


def test_a_syntax_error_is_told_in_the_servers_words_with_its_place() -> None:
    outcome = play(World(), submission("SELECT 1 FROM t WHERE WHERE"))
    assert isinstance(outcome, Refused)
    assert (outcome.sqlstate, outcome.position) == ("42601", 23)
    assert outcome.finding.message == 'syntax error at or near "WHERE"'


def test_a_held_statement_is_judged_again_and_claimed_before_it_runs() -> None:
    world = World(rows=(few(5000), few(5000)))
    assert play(world, submission("DELETE FROM orders")) == Done(execution=RAN)
    assert world.steps == [
        "EstimateRows", "Now", "FindHold", "OpenHold", "AwaitApproval",
        "EstimateRows", "Now", "ClaimHold", "WriteRecord", "Execute", "WriteRecord",
    ]  # fmt: skip
    assert world.records[0][1]["hold"] == "h-1"


def test_no_hold_is_waited_for_when_waiting_would_keep_locks() -> None:
    world = World(rows=(few(5000),))
    outcome = play(world, submission("DELETE FROM orders", may_wait=False))
    assert isinstance(outcome, Refused)
    assert (outcome.sqlstate, outcome.hold_id) == ("HP001", "h-1")
    assert "AwaitApproval" not in world.steps
    assert PAGE + "h-1" in outcome.finding.hint


def test_the_same_statement_sent_again_finds_its_approval() -> None:
    world = World(rows=(few(5000), few(5000)), found=HoldState.APPROVED)
    assert play(world, submission("DELETE FROM orders", may_wait=False)) == Done(execution=RAN)
    assert "OpenHold" not in world.steps


@pytest.mark.parametrize(
    ("answer", "sqlstate"),
    [
        (HoldState.OPEN, "HP001"),
        (HoldState.REJECTED, "HP002"),
        (HoldState.EXPIRED, "HP003"),
        (HoldState.CANCELLED, "57014"),
        (HoldState.ABANDONED, "57014"),
        (HoldState.SUPERSEDED, "HP005"),
    ],
)
def test_every_end_but_approval_refuses_in_its_own_words(answer: HoldState, sqlstate: str) -> None:
    world = World(rows=(few(5000),), answer=answer)
    outcome = play(world, submission("DELETE FROM orders"))
    assert isinstance(outcome, Refused)
    assert outcome.sqlstate == sqlstate
    assert "Execute" not in world.steps


def test_a_rejection_brings_the_persons_note_to_the_agent() -> None:
    world = World(rows=(few(5000),), answer=HoldState.REJECTED)
    outcome = play(world, submission("DELETE FROM orders"))
    assert isinstance(outcome, Refused)
    assert outcome.finding.message.endswith(": no")


@pytest.mark.parametrize(
    "fresh", [few(50_000), Figure(None, Basis.UNKNOWN, "no answer")], ids=["grown", "unknown"]
)
def test_facts_that_have_grown_past_the_approval_supersede_it(fresh: Figure) -> None:
    world = World(rows=(few(5000), fresh))
    outcome = play(world, submission("DELETE FROM orders"))
    assert isinstance(outcome, Refused)
    assert outcome.sqlstate == "HP005"
    assert world.steps[-1] == "EndHold"
    assert "ClaimHold" not in world.steps


def test_facts_that_have_shrunk_do_not() -> None:
    world = World(rows=(few(5000), few(2)))
    assert isinstance(play(world, submission("DELETE FROM orders")), Done)


def test_an_approval_that_somebody_else_used_lets_nothing_run() -> None:
    world = World(rows=(few(5000), few(5000)), claimed=False)
    outcome = play(world, submission("DELETE FROM orders"))
    assert isinstance(outcome, Refused)
    assert "Execute" not in world.steps


def test_a_failed_probe_holds() -> None:
    world = World(rows=(Figure(None, Basis.UNKNOWN, "no answer"),), answer=HoldState.OPEN)
    assert isinstance(play(world, submission("DELETE FROM orders WHERE id = 1")), Refused)


def test_a_connection_that_breaks_leaves_an_unknown_outcome() -> None:
    world = World(rows=(few(),), execution=Execution(complete=False, sqlstate="08006"))
    play(world, submission("DELETE FROM orders WHERE id = 1"))
    assert world.records[-1][0] is RecordKind.STATEMENT_OUTCOME_UNKNOWN


def test_other_parameters_are_another_hold() -> None:
    digests = []
    for value in (b"1", b"2", None):
        world = World(rows=(few(5000),), answer=HoldState.OPEN)
        sent = submission("DELETE FROM orders WHERE id > $1", parameters=(Parameter(value),))
        play(world, sent)
        assert world.hold is not None
        digests.append(world.hold.digest)
    assert len(set(digests)) == 3


@pytest.mark.parametrize("tier", [REPLICA, WRITE, OWNER], ids=lambda tier: tier.name)
def test_a_plain_read_passes_at_once_everywhere(tier: Tier) -> None:
    reading = pass_at_once(
        POLICY, SHOP, tier, "SELECT * FROM orders", Dialect.POSTGRES, SessionView()
    )
    assert reading is not None


@pytest.mark.parametrize(
    "text",
    ["DELETE FROM orders", "SELECT nosuch(1)", "SELECT 1 FROM t WHERE WHERE", "DROP TABLE t", ""],
)
def test_nothing_else_does(text: str) -> None:
    reading = pass_at_once(POLICY, SHOP, OWNER, text, Dialect.POSTGRES, SessionView())
    assert reading is None or not reading.statements
