"""Which counters sessions share, and that a store which does not serve lets nothing run."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from holdpoint.doors.postgres.handshake import Arrival
from holdpoint.doors.postgres.shares import Share, Shares, with_timeouts
from holdpoint.engine.unavailable import TrailUnavailable
from holdpoint.model.budget import Budget
from holdpoint.model.finding import Finding
from holdpoint.model.target import AccessLevel, Target, Tier
from holdpoint.model.task import Login
from holdpoint.store import StoreError
from holdpoint.wire.postgres.errors import ProtocolError

pytestmark = pytest.mark.anyio

TIERS = {
    name: Tier(name=name, access=AccessLevel.READ_WRITE, url_source="env:X")
    for name in ("write", "more")
}


class Kept:
    """A store of rows written that may be out of order."""

    def __init__(self, written: int = 0) -> None:
        self.written = written
        self.works = True

    def of(self, task: str) -> int:
        return self.written

    def add(self, task: str, rows: int) -> None:
        if not self.works:
            raise StoreError("the disk is full")
        self.written += rows


class Clock:
    """A clock that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def arrival(tier: str = "write", agent: str = "robin", task: str = "") -> Arrival:
    login = Login(name=task or agent, agent=agent, task=task, scram_verifier="")
    target = Target(name="shop", tiers=tuple(TIERS.values()))
    return Arrival(
        login=login,
        at=datetime(2026, 3, 4, tzinfo=UTC),
        target=target,
        tier=TIERS[tier],
        settings={},
        minor=0,
    )


def shares(budget: Budget, kept: Kept | None = None, clock: Clock | None = None) -> Shares:
    return Shares(lambda *_: budget, kept, clock or Clock())


async def settled(share: Share) -> None:
    """Let what is written down behind a statement's back come to its end."""
    for task in list(share._writing):
        await task


async def test_sessions_share_by_task_or_agent_and_tier() -> None:
    found = shares(Budget(statements_per_minute=5))
    first = await found.enter(arrival())
    assert (await found.enter(arrival())).meter is first.meter
    for other in (arrival("more"), arrival(agent="wren"), arrival(task="t-123456")):
        assert (await found.enter(other)).meter is not first.meter


async def test_a_minute_outlives_its_sessions_and_not_much_more() -> None:
    clock = Clock()
    found = shares(Budget(statements_per_minute=1), clock=clock)
    share = await found.enter(arrival())
    assert share.take(1, writes=False) is None
    found.leave(share)
    found.leave(share)
    found.forget()
    again = await found.enter(arrival())
    assert again.meter is share.meter
    assert again.meter.sessions == 1
    assert isinstance(again.take(1, writes=False), Finding)
    found.leave(again)
    clock.now += 61
    found.forget()
    assert (await found.enter(arrival())).meter is not share.meter


async def test_one_session_too_many_counts_no_further() -> None:
    found = shares(Budget(sessions=1))
    share = await found.enter(arrival())
    for _ in range(3):
        with pytest.raises(ProtocolError, match="`sessions`"):
            await found.enter(arrival())
    found.leave(share)
    assert (await found.enter(arrival())).is_open


async def test_a_task_goes_on_where_it_was_in_the_store() -> None:
    kept = Kept(written=7)
    found = shares(Budget(rows_written=10), kept)
    share = await found.enter(arrival(task="t-123456"))
    other = await found.enter(arrival("more", task="t-123456"))
    assert await share.reserve(2) == 2
    assert kept.written == 9  # before anything runs
    assert await other.reserve(None) == 1
    assert isinstance(await other.reserve(1), Finding)
    share.settle(2, 0)
    other.settle(1, 1)
    await settled(share)
    assert kept.written == 8
    assert await other.reserve(5) == 2


async def test_what_cannot_be_written_down_does_not_run() -> None:
    kept = Kept()
    found = shares(Budget(rows_written=10), kept)
    share = await found.enter(arrival(task="t-123456"))
    kept.works = False
    with pytest.raises(TrailUnavailable, match="the disk is full"):
        await share.reserve(4)
    kept.works = True
    assert await share.reserve(10) == 10


async def test_what_cannot_be_given_back_stays_counted() -> None:
    kept = Kept()
    share = await shares(Budget(rows_written=10), kept).enter(arrival(task="t-123456"))
    assert await share.reserve(10) == 10
    kept.works = False
    share.settle(10, 3)
    await settled(share)
    assert kept.written == 10


async def test_an_agent_without_a_task_needs_no_store() -> None:
    kept = Kept()
    kept.works = False
    share = await shares(Budget(rows_written=3), kept).enter(arrival())
    assert await share.reserve(2) == 2
    share.settle(2, 2)
    assert isinstance(share.take(1, writes=True), type(None))
    assert await share.reserve(2) == 1


def test_timeouts_are_the_least_of_all_that_are_said() -> None:
    budget = Budget(statement_s=30, lock_s=0.0001, idle_in_transaction_s=60)
    settings = {
        "work_mem": "4MB",
        "statement_timeout": "10s",
        "idle_in_transaction_session_timeout": "0",
    }
    assert with_timeouts(settings, budget) == {
        "work_mem": "4MB",
        "statement_timeout": "10000",
        "lock_timeout": "1",
        "idle_in_transaction_session_timeout": "60000",
    }
    assert with_timeouts({"lock_timeout": "0"}, Budget()) == {"lock_timeout": "0"}
