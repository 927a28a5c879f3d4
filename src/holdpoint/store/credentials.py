"""Secrets that agents sign in with, kept as verifiers only, and what stands against each.

An end is a fact (a time that was written down), never a comparison: a clock that goes back revives
nothing that was revoked or ended. Only expiry is judged by the clock of the one who asks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from holdpoint.model.task import UNKNOWN_NAME, Barred, Login
from holdpoint.store.database import Database
from holdpoint.store.tables import AGENTS, CREDENTIALS, TASKS
from holdpoint.store.tasks import budget_from, tiers_from
from holdpoint.store.times import from_us, from_us_or_none, to_us


class Credentials:
    """Reading how logins stand."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def standing(self, names: Collection[str], at: datetime) -> Mapping[str, Login | Barred]:
        """Return how each of these logins stands at ``at``, in one query."""
        with self._database.reading() as connection:
            return standing(connection, names, at)


def standing(
    connection: Connection, names: Collection[str], at: datetime
) -> dict[str, Login | Barred]:
    """Return how each of these logins stands: the newest credential of a login counts."""
    newest = (
        select(func.max(CREDENTIALS.c.id))
        .where(CREDENTIALS.c.login.in_(list(names)))
        .group_by(CREDENTIALS.c.login)
    )
    wanted = (
        select(
            CREDENTIALS,
            AGENTS.c.revoked_at.label("agent_revoked_at"),
            TASKS.c.ended_at,
            TASKS.c.tiers,
            TASKS.c.budget,
        )
        .join(AGENTS, AGENTS.c.name == CREDENTIALS.c.agent)
        .outerjoin(TASKS, TASKS.c.id == CREDENTIALS.c.task)
        .where(CREDENTIALS.c.id.in_(newest))
    )
    found: dict[str, Login | Barred] = dict.fromkeys(names, UNKNOWN_NAME)
    for row in connection.execute(wanted):
        why = _bar(row, at)
        found[row.login] = (
            Barred(why=why, scram_verifier=row.scram_verifier) if why else _login(row)
        )
    return found


def issue(
    connection: Connection,
    login: str,
    scram_verifier: str,
    at: datetime,
    *,
    agent: str,
    task: str = "",
    expires_at: datetime | None = None,
) -> None:
    """Give a login a new secret; one that it had before is dead from here on."""
    revoke(connection, login, at)
    connection.execute(
        insert(CREDENTIALS).values(
            login=login,
            agent=agent,
            task=task or None,
            scram_verifier=scram_verifier,
            created_at=to_us(at),
            expires_at=None if expires_at is None else to_us(expires_at),
        )
    )


def revoke(connection: Connection, login: str, at: datetime) -> None:
    """Revoke whatever secret a login has."""
    connection.execute(
        update(CREDENTIALS)
        .where(CREDENTIALS.c.login == login, CREDENTIALS.c.revoked_at.is_(None))
        .values(revoked_at=to_us(at))
    )


def revoke_all_of(connection: Connection, agent: str, at: datetime) -> None:
    """Revoke every secret of an agent, its tasks' too."""
    connection.execute(
        update(CREDENTIALS)
        .where(CREDENTIALS.c.agent == agent, CREDENTIALS.c.revoked_at.is_(None))
        .values(revoked_at=to_us(at))
    )


def is_login(connection: Connection, name: str) -> bool:
    """Tell whether a login of exactly this name was ever given out."""
    wanted = select(CREDENTIALS.c.id).where(CREDENTIALS.c.login == name).limit(1)
    return connection.execute(wanted).first() is not None


def expiry_of(connection: Connection, login: str) -> datetime | None:
    """Return when a login's newest secret expires; None for never, or no such login."""
    wanted = (
        select(CREDENTIALS.c.expires_at)
        .where(CREDENTIALS.c.login == login)
        .order_by(CREDENTIALS.c.id.desc())
        .limit(1)
    )
    return from_us_or_none(connection.execute(wanted).scalar())


def _bar(row: Row[Any], at: datetime) -> str:
    """Say why nobody gets in by a credential; empty when it is good."""
    whose = f"task `{row.task}`" if row.task else f"agent `{row.agent}`"
    if row.agent_revoked_at is not None:
        return f"agent `{row.agent}` was revoked at {_words(row.agent_revoked_at)}"
    if row.ended_at is not None:
        return f"task `{row.task}` was ended at {_words(row.ended_at)}"
    if row.revoked_at is not None:
        return f"the credential of {whose} was revoked at {_words(row.revoked_at)}"
    if row.expires_at is not None and row.expires_at <= to_us(at):
        return f"the credential of {whose} expired at {_words(row.expires_at)}"
    return ""


def _words(value: int) -> str:
    return f"{from_us(value):%Y-%m-%d %H:%M:%S} UTC"


def _login(row: Row[Any]) -> Login:
    if not row.task:
        return Login(
            name=row.login,
            agent=row.agent,
            scram_verifier=row.scram_verifier,
            expires_at=from_us_or_none(row.expires_at),
        )
    return Login(
        name=row.login,
        agent=row.agent,
        scram_verifier=row.scram_verifier,
        task=row.task,
        expires_at=from_us_or_none(row.expires_at),
        tiers=tiers_from(row.tiers),
        budget=budget_from(row.budget),
    )
