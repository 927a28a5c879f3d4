"""Tasks and credentials as rows, and how logins stand."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

import holdpoint.store
from holdpoint.model.budget import Budget
from holdpoint.model.task import Barred, Login, Task
from holdpoint.store import Store, StoreError, credentials, tasks
from holdpoint.store.database import HEAD_REVISION

NOW = datetime(2026, 11, 23, 4, 0, 0, 123456, tzinfo=UTC)
HOUR = timedelta(hours=1)
TASK = Task(
    id="t-7K2M4P",
    agent="robin",
    description="mend the totals",
    created_by="sam",
    created_at=NOW,
    expires_at=NOW + 8 * HOUR,
    ticket="OPS-12",
    tiers=("shop/write",),
    budget=Budget(rows=1000, statement_s=2.5),
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with agent `robin`, owned by `sam`, and one task of it."""
    with Store.open(tmp_path / "holdpoint.db") as opened:
        opened.agents.add("robin", "sam", "own", NOW)
        with opened.database.writing() as connection:
            start(connection, TASK)
        yield opened


def start(connection, task: Task) -> None:
    tasks.insert_task(connection, task)
    credentials.issue(
        connection, task.id, "of " + task.id, task.created_at, agent=task.agent, task=task.id,
        expires_at=task.expires_at,
    )  # fmt: skip


def why(store: Store, name: str, at: datetime = NOW) -> str:
    """Why nobody gets in by a name; empty when somebody does."""
    found = store.credentials.standing([name], at)[name]
    return found.why if isinstance(found, Barred) else ""


def test_a_task_is_kept_as_it_was_given(store: Store) -> None:
    assert store.tasks.get("t-7K2M4P") == TASK
    assert store.tasks.all("robin") == store.tasks.all() == [TASK]
    assert store.tasks.all("claude") == []
    assert store.tasks.get("t-7K2M4Q") is None


def test_logins_are_told_apart_in_one_answer(store: Store) -> None:
    found = store.credentials.standing(["robin", "t-7K2M4P", "t-000000", "ROBIN"], NOW)
    assert found["robin"] == Login(name="robin", agent="robin", scram_verifier="own")
    assert found["t-7K2M4P"] == Login(
        name="t-7K2M4P",
        agent="robin",
        scram_verifier="of t-7K2M4P",
        task="t-7K2M4P",
        expires_at=NOW + 8 * HOUR,
        tiers=("shop/write",),
        budget=Budget(rows=1000, statement_s=2.5),
    )
    unknown = found["t-000000"]
    assert isinstance(unknown, Barred)
    assert not unknown.scram_verifier, "a name of nobody has nothing to be recognised by"
    assert isinstance(found["ROBIN"], Barred), "logins are exact"


def test_nobody_is_asked_for_without_names(store: Store) -> None:
    assert store.credentials.standing([], NOW) == {}


def test_a_credential_expires_by_the_clock_of_the_one_who_asks(store: Store) -> None:
    assert why(store, "t-7K2M4P", NOW + 8 * HOUR - timedelta(microseconds=1)) == ""
    assert "expired at 2026-11-23 12:00:00 UTC" in why(store, "t-7K2M4P", NOW + 8 * HOUR)
    assert why(store, "robin", NOW + timedelta(days=10_000)) == "", "without an expiry, never"


def test_an_end_is_a_fact_that_no_clock_takes_back(store: Store) -> None:
    later = NOW + HOUR
    with store.database.writing() as connection:
        assert tasks.end(connection, "t-7K2M4P", later)
        assert not tasks.end(connection, "t-7K2M4P", later + HOUR), "once"
        assert not tasks.end(connection, "t-000000", later)
    for at in (NOW - timedelta(days=365), NOW, later, later + HOUR):
        assert "was ended at 2026-11-23 05:00:00 UTC" in why(store, "t-7K2M4P", at)
    assert store.tasks.get("t-7K2M4P") == replace(TASK, ended_at=later)


def test_a_new_secret_ends_the_old_one_whatever_the_clock_says(store: Store) -> None:
    assert store.agents.rotate("robin", "new", NOW - HOUR)
    found = store.credentials.standing(["robin"], NOW - 2 * HOUR)["robin"]
    assert found.scram_verifier == "new"
    assert isinstance(found, Login)
    assert not store.agents.rotate("claude", "new", NOW), "no such agent"
    assert why(store, "t-7K2M4P") == "", "the secret of a task is another one"


def test_a_revoked_agent_takes_its_tasks_along(store: Store) -> None:
    assert store.agents.revoke("robin", NOW + HOUR)
    assert "agent `robin` was revoked" in why(store, "robin")
    assert "agent `robin` was revoked" in why(store, "t-7K2M4P", NOW - HOUR)
    ended = store.tasks.get("t-7K2M4P")
    assert ended is not None
    assert ended.ended_at == NOW + HOUR
    assert not store.agents.rotate("robin", "new", NOW), "it stays shut out"


def test_what_has_ended_still_looks_as_it_did(store: Store) -> None:
    """The salt of a name must not change when its task ends: that would tell that it was one."""
    with store.database.writing() as connection:
        tasks.end(connection, "t-7K2M4P", NOW)
    assert store.credentials.standing(["t-7K2M4P"], NOW)["t-7K2M4P"].scram_verifier == "of t-7K2M4P"


def test_a_task_needs_its_agent(store: Store) -> None:
    with pytest.raises(StoreError), store.database.writing() as connection:
        tasks.insert_task(connection, replace(TASK, id="t-7K2M4Q", agent="nobody"))


@pytest.mark.parametrize("name", ["t-7K2M4P", "T-7K2M4P", "t-abcdef0", "ｔ-000000"])
def test_an_agent_cannot_be_named_like_a_task(store: Store, name: str) -> None:
    with pytest.raises(StoreError, match="looks like the id of a task"):
        store.agents.add(name, "sam", "v", NOW)


def test_names_that_only_begin_like_a_task_are_names(store: Store) -> None:
    for name in ("t-rex", "t-7K2M4P-bot", "at-7K2M4P"):
        store.agents.add(name, "sam", "v", NOW)


def test_an_older_store_is_brought_up_to_date_and_its_agents_still_sign_in(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    old_store(path)
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO trail VALUES (1, 'holdpoint/old', 5)")
        connection.execute("INSERT INTO agents VALUES ('robin', 'sam', 'v1', 10, NULL)")
        connection.execute("INSERT INTO agents VALUES ('gone', 'sam', 'v2', 20, 30)")
        connection.execute("INSERT INTO agents VALUES ('t-7K2M4P', 'sam', 'v3', 20, NULL)")
    with pytest.raises(StoreError, match="older version"):
        Store.open(path, read_only=True)
    with Store.open(path) as store:
        assert [agent.name for agent in store.agents.all()] == ["gone", "robin", "t-7K2M4P"]
        found = store.credentials.standing(["robin", "gone", "t-7K2M4P"], NOW)
        assert found["robin"] == Login(name="robin", agent="robin", scram_verifier="v1")
        assert isinstance(found["gone"], Barred)
        assert isinstance(found["t-7K2M4P"], Login), "an agent that had such a name keeps it"
        assert store.records.origin() == "holdpoint/old"
    with Store.open(path, read_only=True) as again:
        assert again.agents.find("robin") is not None


def old_store(path: Path) -> None:
    """Make an empty store of the first version."""
    scripts = Path(holdpoint.store.__file__).with_name("migrations")
    config = Config()
    config.set_main_option("script_location", str(scripts))
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    engine.dispose()
    assert HEAD_REVISION != "0001"
