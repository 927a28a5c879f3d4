"""Who ends a task takes away what its agent got by it: tasks that it asked for and collected."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdpoint.engine import tasks
from holdpoint.model.decision import ApprovalNeed
from holdpoint.model.hold import Hold, HoldState
from holdpoint.model.task import Barred, Login, Task
from holdpoint.store import Store, StoreError, holds
from holdpoint.store.tasks import HOLD_TICKET

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "h.db") as opened:
        for agent in ("robin", "gpt"):
            opened.agents.add(agent, "sam", "own", NOW)
        yield opened


def give(store: Store, ticket: str = "", agent: str = "robin") -> str:
    """Start a task; its id."""
    task = Task(
        id="",
        agent=agent,
        description="tidy up",
        created_by="anna",
        created_at=NOW,
        expires_at=NOW + timedelta(hours=1),
        ticket=ticket,
    )
    with store.database.writing() as connection:
        return tasks.start(connection, task, "verifier").id


def collected(store: Store, number: int, by: str) -> str:
    """Have a task collect another one; its id."""
    hold = Hold(
        id=f"h-{number}",
        digest=f"{number:064x}",
        agent="robin",
        task=by,
        session="",
        target="shop",
        tier="write",
        summary="asks for a tier",
        case_json="{}",
        findings=(),
        need=ApprovalNeed(),
        state=HoldState.CLAIMED,
        created_at=NOW,
        expires_at=NOW,
    )
    with store.database.writing() as connection:
        holds.insert_hold(connection, hold)
    return give(store, HOLD_TICKET + hold.id)


def stands(store: Store, task: str) -> bool:
    """Whether its secret is good."""
    found = store.credentials.standing([task], NOW)[task]
    assert isinstance(found, Login | Barred)
    return isinstance(found, Login)


def test_all_that_a_task_has_collected_ends_with_it(store: Store) -> None:
    first = give(store)
    second = collected(store, 1, by=first)
    third = collected(store, 2, by=second)
    others = [give(store), collected(store, 3, by=""), give(store, "hold h-1", agent="gpt")]
    with store.database.writing() as connection:
        body = tasks.end(connection, first, NOW)
    assert body["collected"] == [second, third]
    assert [stands(store, each) for each in (first, second, third)] == [False] * 3
    assert all(stands(store, each) for each in others)


def test_one_that_was_collected_ends_alone(store: Store) -> None:
    first = give(store)
    second = collected(store, 1, by=first)
    with store.database.writing() as connection:
        assert tasks.end(connection, second, NOW)["collected"] == []
    assert (stands(store, first), stands(store, second)) == (True, False)
    with store.database.writing() as connection:
        assert tasks.end(connection, first, NOW)["collected"] == []
        with pytest.raises(StoreError, match="ended already"):
            tasks.end(connection, first, NOW)
