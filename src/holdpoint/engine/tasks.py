"""Tasks: started with a secret of their own, ended by people; what the trail says of both.

The functions take a connection: the caller runs them in the transaction that writes their record.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from holdpoint.engine.ids import new_id
from holdpoint.model.budget import Budget
from holdpoint.model.task import Task
from holdpoint.store import StoreError, agents, credentials, people
from holdpoint.store import tasks as rows
from holdpoint.store.tasks import TASK_PREFIX
from holdpoint.store.times import to_us


def start(connection: Connection, task: Task, scram_verifier: str) -> Task:
    """Store a new task and its credential; returns it with its id.

    Raises ``StoreError`` if there is no such agent.
    """
    if agents.find(connection, task.agent) is None:
        raise StoreError(f"there is no agent `{task.agent}`: add it with `holdpoint agent add`")
    new = replace(task, id=_new_id(connection))
    rows.insert_task(connection, new)
    credentials.issue(
        connection,
        new.id,
        scram_verifier,
        new.created_at,
        agent=new.agent,
        task=new.id,
        expires_at=new.expires_at,
    )
    return new


def end(connection: Connection, task_id: str, at: datetime) -> dict[str, Any]:
    """End a task with all that it asked for and collected, and their credentials.

    Who ends a task takes away what its agent got by it. Returns the record; raises ``StoreError``
    if there is no such task or it was ended.
    """
    task = rows.get(connection, task_id)
    if task is None:
        raise StoreError(f"there is no task `{task_id}`: see `holdpoint task list`")
    if not rows.end(connection, task_id, at):
        raise StoreError(f"task `{task_id}` was ended already")
    ended = [task_id]
    for each in ended:  # it grows: what was collected may have asked for more
        credentials.revoke(connection, each, at)
        for further in rows.collected_by(connection, each):
            rows.end(connection, further, at)
            ended.append(further)
    return {
        "task": task_id,
        "agent": task.agent,
        "expires_at_us": to_us(task.expires_at),
        "collected": ended[1:],
    }


def started_body(task: Task) -> dict[str, Any]:
    """Return the record of a new task."""
    return {
        "task": task.id,
        "agent": task.agent,
        "description": task.description,
        "created_by": task.created_by,
        "ticket": task.ticket,
        "tiers": list(task.tiers),
        "budget": _budget_body(task.budget),
        "expires_at_us": to_us(task.expires_at),
    }


def _budget_body(budget: Budget) -> dict[str, int]:
    """Return the limits that are set; seconds become microseconds: records have no fractions."""
    body: dict[str, int] = {}
    for name, value in rows.budget_document(budget).items():
        if name.endswith("_s"):
            body[name.removesuffix("_s") + "_us"] = round(value * 1_000_000)
        else:
            body[name] = int(value)
    return body


def _new_id(connection: Connection) -> str:
    """Return an id that no task has, and no agent and no person of an older store."""

    def taken(name: str) -> bool:
        return (
            rows.get(connection, name) is not None
            or credentials.is_login(connection, name)
            or agents.is_agent(connection, name)
            or people.is_person(connection, name)
        )

    found = new_id(TASK_PREFIX, taken)
    if found is None:
        raise StoreError("no free task id was found: archive the store and begin a new one")
    return found
