"""The watch over sessions whose timeouts on the server are gone; the clock is the test's own."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest

from holdpoint.doors.postgres.pending import QUERY, Pending
from holdpoint.doors.postgres.watching import Watch
from holdpoint.model import limits
from holdpoint.model.budget import Budget
from holdpoint.model.finding import Finding
from holdpoint.wire.postgres import messages

IN_TRANSACTION = 0x54


class Watched:
    """A session as far as its watch looks at it."""

    def __init__(self, budget: Budget) -> None:
        self.is_at_gate = False
        self.ends: list[str] = []
        self.ended_by: Finding | None = None
        self.cancels: list[str] = []
        self.relay: Any = SimpleNamespace(
            pending=deque(),
            status=messages.IDLE,
            is_open=False,
            bounding=False,
            turns=0,
            meter=SimpleNamespace(budget=budget),
            cancel_head=lambda words: self.cancels.append(messages.parse_fields(words[5:])["M"]),
        )
        self.watch = Watch(self)  # type: ignore[arg-type] - what is asked of it

    def fail(self, sqlstate: str, message: str, hint: str = "") -> None:
        self.ends.append(f"{sqlstate} {message}")

    def look(self, *seconds: float) -> None:
        for each in seconds:
            self.watch.look(each)


def test_a_statement_that_runs_too_long_is_cancelled_once() -> None:
    session = Watched(Budget(statement_s=10))
    session.relay.pending.append(Pending(QUERY))
    session.look(100, 105, 110)
    assert not session.cancels
    session.look(111, 112)
    assert session.cancels == [
        "cancelled: the budget `statement_time` lets one statement run for 10 s"
    ]
    assert not session.ends


def test_each_statement_has_its_own_time() -> None:
    session = Watched(Budget(statement_s=10))
    for second in range(100, 200, 5):
        session.relay.pending.append(Pending(QUERY))
        session.look(second, second + 4)
        session.relay.pending.popleft()
    assert not session.cancels
    session.look(300)
    assert not session.cancels


def test_what_cannot_be_cancelled_ends_with_its_session() -> None:
    session = Watched(Budget(statement_s=10))
    session.relay.pending.append(Pending(QUERY))
    session.look(100, 111, 111 + limits.CANCEL_TIMEOUT_S)
    assert session.ends[0].startswith("57014 the budget `statement_time`")
    assert session.ended_by is not None
    assert session.ended_by.code == "HP8014"


def test_without_a_budget_anything_may_run() -> None:
    session = Watched(Budget())
    session.relay.pending.append(Pending(QUERY))
    session.relay.status = IN_TRANSACTION
    session.look(100, 1_000_000)
    assert not session.cancels
    assert not session.ends


@pytest.mark.parametrize("change", [{"status": IN_TRANSACTION}, {"is_open": True}])
def test_a_transaction_that_rests_too_long_ends(change: dict[str, Any]) -> None:
    session = Watched(Budget(idle_in_transaction_s=10))
    vars(session.relay).update(change)
    session.look(100, 109)
    session.relay.turns += 1  # the client has done something in between
    session.look(110, 119)
    assert not session.ends
    session.look(121)
    assert session.ends[0].startswith("25P03 the budget `idle_in_transaction`")


def test_what_waits_for_people_does_not_rest() -> None:
    session = Watched(Budget(idle_in_transaction_s=10, statement_s=10))
    session.relay.status = IN_TRANSACTION
    session.is_at_gate = True
    session.look(100, 200)
    session.is_at_gate = False
    session.look(201, 205)
    assert not session.ends
