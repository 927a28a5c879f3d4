"""Tasks as rows: what an agent was asked to do, and until when."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Row, insert, select, update

from holdpoint.model.budget import Budget
from holdpoint.model.task import Task
from holdpoint.store.database import Database
from holdpoint.store.tables import HOLDS, TASKS
from holdpoint.store.times import from_us, from_us_or_none, to_us

TASK_PREFIX: Final = "t-"
HOLD_TICKET: Final = "hold "
"""What stands before a hold's id in the ticket of a task that was collected from it."""

_LIKE_AN_ID: Final = re.compile(r"t-[0-9a-z]{6,}")


class Tasks:
    """Reading tasks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, task_id: str) -> Task | None:
        """Return one task, ended and expired ones too."""
        with self._database.reading() as connection:
            return get(connection, task_id)

    def all(self, agent: str = "") -> Sequence[Task]:
        """Return the tasks of one agent or of all, newest first."""
        wanted = select(TASKS).order_by(TASKS.c.created_at.desc(), TASKS.c.id)
        if agent:
            wanted = wanted.where(TASKS.c.agent == agent)
        with self._database.reading() as connection:
            return [_task(row) for row in connection.execute(wanted)]


def looks_like_task(folded_name: str) -> bool:
    """Tell whether a folded name could be taken for a task's id."""
    return _LIKE_AN_ID.fullmatch(folded_name) is not None


def get(connection: Connection, task_id: str) -> Task | None:
    """Return one task."""
    row = connection.execute(select(TASKS).where(TASKS.c.id == task_id)).first()
    return None if row is None else _task(row)


def insert_task(connection: Connection, task: Task) -> None:
    """Insert a new task."""
    connection.execute(
        insert(TASKS).values(
            id=task.id,
            agent=task.agent,
            description=task.description,
            created_by=task.created_by,
            created_at=to_us(task.created_at),
            expires_at=to_us(task.expires_at),
            ticket=task.ticket,
            tiers=orjson.dumps(task.tiers).decode(),
            budget=orjson.dumps(budget_document(task.budget)).decode(),
        )
    )


def end(connection: Connection, task_id: str, at: datetime) -> bool:
    """Write down that a task has ended; False if there is none or it was ended before."""
    change = (
        update(TASKS)
        .where(TASKS.c.id == task_id, TASKS.c.ended_at.is_(None))
        .values(ended_at=to_us(at))
    )
    return connection.execute(change).rowcount == 1


def collected_by(connection: Connection, task_id: str) -> list[str]:
    """Return the tasks that a task asked for and collected, those that have not ended."""
    wanted = (
        select(TASKS.c.id)
        .join(HOLDS, TASKS.c.ticket == HOLD_TICKET + HOLDS.c.id)
        .where(HOLDS.c.task == task_id, HOLDS.c.agent == TASKS.c.agent, TASKS.c.ended_at.is_(None))
        .order_by(TASKS.c.id)
    )
    return list(connection.execute(wanted).scalars())


def end_all_of(connection: Connection, agent: str, at: datetime) -> int:
    """End every task of an agent; returns how many."""
    change = (
        update(TASKS)
        .where(TASKS.c.agent == agent, TASKS.c.ended_at.is_(None))
        .values(ended_at=to_us(at))
    )
    return connection.execute(change).rowcount


def budget_document(budget: Budget) -> dict[str, int | float]:
    """Return the limits that a budget sets, by name."""
    return {name: value for name, value in asdict(budget).items() if value is not None}


def budget_from(text: str) -> Budget:
    """Return a budget from its JSON."""
    return Budget(**orjson.loads(text))


def tiers_from(text: str) -> tuple[str, ...]:
    """Return tiers from their JSON."""
    return tuple(orjson.loads(text))


def _task(row: Row[Any]) -> Task:
    return Task(
        id=row.id,
        agent=row.agent,
        description=row.description,
        created_by=row.created_by,
        created_at=from_us(row.created_at),
        expires_at=from_us(row.expires_at),
        ticket=row.ticket,
        tiers=tiers_from(row.tiers),
        budget=budget_from(row.budget),
        ended_at=from_us_or_none(row.ended_at),
    )
