"""When sessions end by the clock, and when the store gives no word."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from holdpoint.doors.postgres.handshake import Arrival
from holdpoint.doors.postgres.revoking import Revoking
from holdpoint.model import limits
from holdpoint.model.finding import Finding
from holdpoint.model.target import AccessLevel, Allowance, Target, Tier
from holdpoint.model.task import Barred, Login
from holdpoint.store import StoreError

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
LOGIN = Login(name="robin", agent="robin", scram_verifier="v1")


@dataclass
class Open:
    """One open session, as far as it is looked at."""

    id: str
    arrival: Arrival
    ended: Finding | None = None


@dataclass
class House:
    """A door with sessions, a clock, and a store that answers or fails."""

    sessions: list[Open] = field(default_factory=list)
    at: datetime = NOW
    found: dict[str, Login | Barred] = field(default_factory=dict)
    failing: bool = False
    asked: list[set[str]] = field(default_factory=list)

    def enter(self, login: Login = LOGIN, **tier: Any) -> Open:
        read = Tier(name="replica", access=AccessLevel.READ_ONLY, url_source="", **tier)
        arrival = Arrival(
            login=login,
            at=NOW,
            target=Target(name="shop", tiers=(read,)),
            tier=read,
            settings={},
            minor=0,
        )
        self.found.setdefault(login.name, login)
        self.sessions.append(Open(f"s-{len(self.sessions)}", arrival))
        return self.sessions[-1]

    def revoking(self) -> Revoking:
        house = self

        class Door:
            def sessions(self) -> tuple[Open, ...]:
                return tuple(house.sessions)

            def end_where(self, why: Callable[[Any], Finding | None]) -> None:
                for session in house.sessions:
                    session.ended = session.ended or why(session)

        return Revoking(Door(), self._ask, lambda: self.at)  # type: ignore[arg-type]

    def _ask(self, names: Any, at: datetime) -> dict[str, Login | Barred]:
        self.asked.append(set(names))
        if self.failing:
            raise StoreError("the disk is gone")
        return {name: self.found[name] for name in names}


async def look(revoking: Revoking) -> None:
    """One second of the watch, with the store's answer."""
    revoking.check()
    if revoking._asking is not None:
        await revoking._asking


async def test_one_question_is_asked_for_all_sessions() -> None:
    house = House()
    for _ in range(3):
        house.enter()
    house.enter(replace(LOGIN, name="t-7K2M4P", task="t-7K2M4P"))
    revoking = house.revoking()
    await look(revoking)
    assert house.asked == [{"robin", "t-7K2M4P"}]
    assert not any(session.ended for session in house.sessions)
    house.sessions.clear()
    await look(revoking)
    assert len(house.asked) == 1, "nobody is in, so nothing is asked"
    await revoking.close()


async def test_an_expiry_is_seen_by_the_clock_without_the_store() -> None:
    house = House(failing=True)
    session = house.enter(replace(LOGIN, expires_at=NOW + timedelta(hours=1)))
    revoking = house.revoking()
    await look(revoking)
    assert session.ended is None
    house.at = NOW + timedelta(hours=1)
    await look(revoking)
    assert session.ended is not None
    assert "expired at 05:00:00 UTC" in session.ended.message
    await revoking.close()


async def test_a_window_that_closes_ends_the_session() -> None:
    house = House()
    until = NOW + timedelta(minutes=5)
    session = house.enter(allowances=(Allowance(agents=("robin",), end=until),))
    given = house.enter(
        replace(LOGIN, name="t-7K2M4P", task="t-7K2M4P", tiers=("shop/replica",)),
        allowances=(Allowance(agents=("robin",), end=until),),
    )
    revoking = house.revoking()
    house.at = until
    await look(revoking)
    assert session.ended is not None
    assert "may no longer use" in session.ended.message
    assert given.ended is None, "people gave the tier to the task"
    await revoking.close()


async def test_an_answer_counts_only_for_sessions_that_were_there_when_it_was_asked() -> None:
    """The new secret of a session that came after the question is not in its answer."""
    house = House()
    house.enter()
    revoking = house.revoking()
    await look(revoking)
    newer = house.enter(replace(LOGIN, scram_verifier="v2"))
    revoking._end()
    assert newer.ended is None
    house.found["robin"] = replace(LOGIN, scram_verifier="v2")
    await look(revoking)
    assert newer.ended is None
    assert house.sessions[0].ended is not None
    await revoking.close()


async def test_a_store_that_fails_is_not_taken_for_all_is_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = House()
    session = house.enter()
    revoking = house.revoking()
    await look(revoking)
    house.failing = True
    await look(revoking)
    assert session.ended is None, "what was known last still counts"
    monkeypatch.setattr(limits, "STANDING_AGE_MAX_S", -1.0)
    await look(revoking)
    assert session.ended is not None
    assert (session.ended.code, "could not be asked" in session.ended.message) == ("HP8017", True)
    await revoking.close()


async def test_a_store_that_never_answers_is_no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    session = house.enter()
    revoking = house.revoking()
    revoking._asking = asyncio.get_running_loop().create_future()  # type: ignore[assignment]
    revoking.check()
    assert session.ended is None
    monkeypatch.setattr(limits, "STANDING_AGE_MAX_S", -1.0)
    revoking.check()
    assert session.ended is not None
    await revoking.close()
