"""Agents: who may connect, and who answers for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from holdpoint.store import credentials, tasks
from holdpoint.store.database import Database
from holdpoint.store.errors import StoreError
from holdpoint.store.names import checked, folded
from holdpoint.store.tables import AGENTS, PEOPLE
from holdpoint.store.times import from_us, from_us_or_none, to_us


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """One agent. Its secrets are in ``store.credentials``.

    ``owner`` is the person who answers for it, and who may therefore not answer its holds.
    """

    name: str
    owner: str
    created_at: datetime
    revoked_at: datetime | None = None


class Agents:
    """The agents' table. Names are never used twice: the trail's names stay unambiguous."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        name: str,
        owner: str,
        scram_verifier: str,
        at: datetime,
        expires_at: datetime | None = None,
    ) -> Agent:
        """Add an agent with its secret; see ``add``."""
        with self._database.writing() as connection:
            return add(connection, name, owner, scram_verifier, at, expires_at)

    def find(self, name: str) -> Agent | None:
        """Return the agent of exactly that name, unless it is revoked."""
        with self._database.reading() as connection:
            return find(connection, name)

    def all(self) -> Sequence[Agent]:
        """Return every agent, revoked ones too, by name."""
        with self._database.reading() as connection:
            rows = connection.execute(select(AGENTS).order_by(AGENTS.c.name)).all()
        return [_agent(row) for row in rows]

    def rotate(
        self, name: str, scram_verifier: str, at: datetime, expires_at: datetime | None = None
    ) -> bool:
        """Give an agent another secret; see ``rotate``."""
        with self._database.writing() as connection:
            return rotate(connection, name, scram_verifier, at, expires_at)

    def revoke(self, name: str, at: datetime) -> bool:
        """Shut an agent out for good; see ``revoke``."""
        with self._database.writing() as connection:
            return revoke(connection, name, at)


def add(
    connection: Connection,
    name: str,
    owner: str,
    scram_verifier: str,
    at: datetime,
    expires_at: datetime | None = None,
) -> Agent:
    """Add an agent; raises ``StoreError`` if the name is taken, by a person or a task too.

    ``scram_verifier`` is PostgreSQL's ``SCRAM-SHA-256$…`` form, never a password.
    """
    checked(name, "an agent")
    checked(owner, "an owner")
    if tasks.looks_like_task(folded(name)):
        raise StoreError(f"`{name}` looks like the id of a task: choose another name")
    for row in connection.execute(select(AGENTS.c.name, AGENTS.c.revoked_at)):
        if folded(row.name) == folded(name):
            state = "exists" if row.revoked_at is None else "existed and was revoked"
            raise StoreError(f"an agent `{row.name}` {state}: choose another name")
    taken = select(PEOPLE.c.name).where(PEOPLE.c.folded_name == folded(name))
    if connection.execute(taken).first() is not None:
        raise StoreError(f"`{name}` is a person: choose another name for the agent")
    connection.execute(insert(AGENTS).values(name=name, owner=owner, created_at=to_us(at)))
    credentials.issue(connection, name, scram_verifier, at, agent=name, expires_at=expires_at)
    return Agent(name=name, owner=owner, created_at=at)


def find(connection: Connection, name: str) -> Agent | None:
    """Return the agent of exactly that name, unless it is revoked."""
    wanted = select(AGENTS).where(AGENTS.c.name == name, AGENTS.c.revoked_at.is_(None))
    row = connection.execute(wanted).first()
    return None if row is None else _agent(row)


def rotate(
    connection: Connection,
    name: str,
    scram_verifier: str,
    at: datetime,
    expires_at: datetime | None = None,
) -> bool:
    """Give an agent another secret, and the old one is dead; False if there is no such agent."""
    if find(connection, name) is None:
        return False
    credentials.issue(connection, name, scram_verifier, at, agent=name, expires_at=expires_at)
    return True


def revoke(connection: Connection, name: str, at: datetime) -> bool:
    """Shut an agent out for good, with all its tasks; False if there is no such agent."""
    change = (
        update(AGENTS)
        .where(AGENTS.c.name == name, AGENTS.c.revoked_at.is_(None))
        .values(revoked_at=to_us(at))
    )
    if connection.execute(change).rowcount != 1:
        return False
    credentials.revoke_all_of(connection, name, at)
    tasks.end_all_of(connection, name, at)
    return True


def is_agent(connection: Connection, name: str) -> bool:
    """Tell whether an agent, revoked or not, has this name in any spelling."""
    names = connection.execute(select(AGENTS.c.name)).scalars()
    return any(folded(taken) == folded(name) for taken in names)


def _agent(row: Row[Any]) -> Agent:
    return Agent(
        name=row.name,
        owner=row.owner,
        created_at=from_us(row.created_at),
        revoked_at=from_us_or_none(row.revoked_at),
    )
