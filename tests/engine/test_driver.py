"""The driver on a real store: what fails on the way ends in a refusal, never in running."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from trail_support import trail, verified

from holdpoint.config import Config
from holdpoint.config.load import parse
from holdpoint.engine.driver import Engine
from holdpoint.engine.holds import HoldBook
from holdpoint.engine.probes import Question
from holdpoint.engine.recorder import Recorder, TrailUnavailable
from holdpoint.model import limits
from holdpoint.model.effects import Dialect, Reading, SessionView
from holdpoint.model.hold import Answer, Hold, HoldState
from holdpoint.model.impact import Basis, Figure, Impact, ReadCost
from holdpoint.model.record import Record
from holdpoint.model.steps import Done, Execution, MeasureImpact, Refused, Submission
from holdpoint.store import Store

pytestmark = pytest.mark.anyio

VERIFIER = "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2Fs$" + "A" * 43 + "=:" + "A" * 43 + "="
TIERS = """
[targets.shop]
environment = "production"
[targets.shop.tiers.write]
access = "read-write"
url = "env:X"
"""


class Passage:
    """A door's side of one statement: counts executions, and whether it was told to wait."""

    def __init__(self, outcome: Execution | None = None) -> None:
        self.cancelled = asyncio.Event()
        self.waits = asyncio.Event()
        self.executed: list[int] = []
        self.outcome = outcome or Execution(tag="DELETE 1", rows=1)
        self.seen: list[tuple[Hold, str]] = []

    def waiting(self, hold: Hold, page: str) -> None:
        self.seen.append((hold, page))
        self.waits.set()

    async def execute(self, started: int, reading: Reading, rows_max: int | None) -> Execution:
        self.executed.append(started)
        return self.outcome


class Prober:
    """Gives one figure, after a while if told so."""

    def __init__(self, figure: Figure | None = None, delay_s: float = 0) -> None:
        self.figure = figure or Figure(1, Basis.ESTIMATE)
        self.delay_s = delay_s

    @property
    def patience_s(self) -> float:
        return limits.PROBE_TIMEOUT_S

    async def rows(self, question: Question) -> Figure:
        await asyncio.sleep(self.delay_s)
        return self.figure

    async def table_rows(self, question: Question) -> Figure:
        return await self.rows(question)

    async def read_cost(self, question: Question) -> ReadCost:
        await asyncio.sleep(self.delay_s)
        return ReadCost(cost=1, rows=1)

    async def measure(self, question: Question, step: MeasureImpact) -> Impact:
        return step.impact


class House:
    """An engine on a store of its own."""

    def __init__(self, store: Store, config: Config) -> None:
        self.store = store
        self.config = config
        self.recorder = Recorder(store)
        self.book = HoldBook(store, self.recorder, lambda: datetime.now(UTC))
        self.engine = Engine(
            config.policy,
            self.recorder,
            self.book,
            lambda: datetime.now(UTC),
            "http://gate/h/",
            wait_s=20,
        )

    async def run(
        self, text: str, passage: Passage, prober: Prober | None = None, **more: Any
    ) -> Any:
        target = self.config.targets[0]
        submission = Submission(
            agent="claude",
            task="",
            session="s-1",
            peer="",
            target=target,
            tier=target.tiers[0],
            role="app",
            text=text,
            dialect=Dialect.POSTGRES,
            view=SessionView(),
            **more,
        )
        return await self.engine.run(submission, passage, prober or Prober())

    async def state(self, passage: Passage) -> HoldState:
        hold = await self.book.get(passage.seen[0][0].id)
        assert hold is not None
        return hold.state

    async def answer(self, passage: Passage, answer: Answer = Answer.APPROVE) -> None:
        await passage.waits.wait()
        await self.book.answer(
            passage.seen[0][0].id, "anna", answer, "", approver_groups=frozenset()
        )


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    with Store.open(tmp_path / "h.db") as store:
        store.agents.add("claude", "sam", VERIFIER, datetime.now(UTC))
        made = House(store, parse(TIERS, base=tmp_path))
        await made.recorder.start()
        yield made
        await made.recorder.close()


def kinds(house: House) -> list[str]:
    return [kind for kind, _ in trail(house.store)][1:]


async def test_a_statement_runs_between_its_two_records(house: House) -> None:
    passage = Passage()
    outcome = await house.run("INSERT INTO t VALUES (1)", passage)
    assert isinstance(outcome, Done)
    assert passage.executed == [2]
    assert kinds(house) == ["statement.started", "statement.finished"]
    assert verified(house.store).ok


async def test_an_approval_lets_it_run_and_the_client_was_told_where_it_waits(
    house: House,
) -> None:
    passage = Passage()
    running = asyncio.create_task(house.run("DELETE FROM t", passage))
    await house.answer(passage)
    assert isinstance(await running, Done)
    hold, page = passage.seen[0]
    assert page == f"http://gate/h/{hold.id}"
    assert await house.state(passage) is HoldState.CLAIMED
    assert kinds(house) == [
        "statement.held",
        "hold.answered",
        "hold.ended",
        "statement.started",
        "statement.finished",
    ]


async def test_a_rejection_refuses(house: House) -> None:
    passage = Passage()
    running = asyncio.create_task(house.run("DELETE FROM t", passage))
    await house.answer(passage, Answer.REJECT)
    assert (await running).sqlstate == "HP002"
    assert passage.executed == []


async def test_a_cancel_request_ends_the_wait_and_the_hold(house: House) -> None:
    passage = Passage()
    running = asyncio.create_task(house.run("DELETE FROM t", passage))
    await passage.waits.wait()
    passage.cancelled.set()
    assert (await running).sqlstate == "57014"
    assert await house.state(passage) is HoldState.CANCELLED
    assert passage.executed == []


async def test_a_client_that_goes_away_abandons_the_hold(house: House) -> None:
    passage = Passage()
    running = asyncio.create_task(house.run("DELETE FROM t", passage))
    await passage.waits.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await house.state(passage) is HoldState.ABANDONED
    assert passage.executed == []


async def test_a_hold_that_two_wait_for_outlives_one_of_them(house: House) -> None:
    first, second = Passage(), Passage()
    gone = asyncio.create_task(house.run("DELETE FROM t", first))
    await first.waits.wait()
    stays = asyncio.create_task(house.run("DELETE FROM t", second))
    await second.waits.wait()
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    await house.answer(second)
    assert isinstance(await stays, Done)
    assert (first.executed, len(second.executed)) == ([], 1)


async def test_of_many_who_wait_for_one_approval_one_runs(house: House) -> None:
    passages = [Passage() for _ in range(5)]
    running = []
    for each in passages:  # one after the other, so that they find the same hold
        running.append(asyncio.create_task(house.run("DELETE FROM t", each)))
        await each.waits.wait()
    await house.answer(passages[0])
    outcomes = await asyncio.gather(*running)
    assert sum(isinstance(outcome, Done) for outcome in outcomes) == 1
    assert sum(len(each.executed) for each in passages) == 1
    assert {each.sqlstate for each in outcomes if isinstance(each, Refused)} == {"HP003"}


async def test_a_probe_that_takes_too_long_makes_the_figure_unknown(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PROBE_TIMEOUT_S", 0.02)
    house.engine.wait_s = 0.01
    passage = Passage()
    outcome = await house.run("UPDATE t SET a = 1 WHERE b = 2", passage, Prober(delay_s=30))
    assert outcome.sqlstate == "HP001"
    assert "not known" in outcome.finding.message
    assert passage.executed == []


async def test_too_many_holds_refuse_the_next(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HOLDS_OPEN_PER_AGENT_MAX", 1)
    house.engine.wait_s = 0.01
    assert (await house.run("DELETE FROM a", Passage())).sqlstate == "HP001"
    passage = Passage()
    refused = await house.run("DELETE FROM b", passage)
    assert (refused.sqlstate, refused.finding.code) == ("53400", "HP8008")
    assert passage.executed == []


async def test_a_trail_that_cannot_be_written_refuses(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(record: Record, **more: Any) -> int:
        raise TrailUnavailable("the disk is full")

    monkeypatch.setattr(house.recorder, "write", fails)
    for text in ("INSERT INTO t VALUES (1)", "DELETE FROM t", "DROP TABLE t"):
        passage = Passage()
        refused = await house.run(text, passage)
        assert (refused.sqlstate, refused.finding.code) == ("58030", "HP8009")
        assert "the disk is full" in refused.finding.message
        assert (passage.executed, passage.seen) == ([], [])


async def test_an_outcome_waits_for_a_trail_that_recovers(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TRAIL_RETRY_S", 0.01)
    write = house.recorder.write
    failures = iter([False, True, True, True, False])

    async def sometimes(record: Record, **more: Any) -> int:
        if next(failures, False):
            raise TrailUnavailable("the disk is full")
        return await write(record, **more)

    monkeypatch.setattr(house.recorder, "write", sometimes)
    passage = Passage()
    assert isinstance(await house.run("INSERT INTO t VALUES (1)", passage), Done)
    assert len(passage.executed) == 1
    assert kinds(house) == ["statement.started", "statement.finished"]


async def test_an_unknown_outcome_is_recorded_as_unknown(house: House) -> None:
    passage = Passage(Execution(sqlstate="08006", complete=False))
    await house.run("INSERT INTO t VALUES (1)", passage)
    assert kinds(house) == ["statement.started", "statement.outcome_unknown"]


async def test_a_long_text_is_read_beside_the_loop(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LOOP_TEXT_CHARS_MAX", 10)
    passage = Passage()
    assert isinstance(await house.run("INSERT INTO t VALUES (1)", passage), Done)
    assert kinds(house) == ["statement.started", "statement.finished"]
