"""People: who may answer holds, and how they prove who they are.

Nothing here can find an agent: an agent's credential never leads to a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, insert, select, update

from holdpoint.store.agents import is_agent
from holdpoint.store.database import Database
from holdpoint.store.errors import StoreError
from holdpoint.store.names import checked, folded
from holdpoint.store.tables import PEOPLE, SIGN_IN_LINKS
from holdpoint.store.times import from_us, from_us_or_none, to_us


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One person. An empty ``password_hash`` (argon2) or ``token_sha256`` means: none was set."""

    name: str
    password_hash: str
    token_sha256: str
    created_at: datetime
    revoked_at: datetime | None = None


class People:
    """The people's table, and the links they sign in with."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, name: str, at: datetime, *, password_hash: str = "", token_sha256: str = ""
    ) -> Person:
        """Add a person; raises ``StoreError`` if the name is taken, by an agent too."""
        checked(name, "a person")
        with self._database.writing() as connection:
            taken = select(PEOPLE).where(PEOPLE.c.folded_name == folded(name))
            row = connection.execute(taken).first()
            if row is not None:
                state = "exists" if row.revoked_at is None else "existed and was revoked"
                raise StoreError(f"a person `{row.name}` {state}: choose another name")
            if is_agent(connection, name):
                raise StoreError(f"`{name}` is an agent: choose another name for the person")
            connection.execute(
                insert(PEOPLE).values(
                    name=name,
                    folded_name=folded(name),
                    password_hash=password_hash or None,
                    token_sha256=token_sha256 or None,
                    created_at=to_us(at),
                )
            )
        return Person(
            name=name, password_hash=password_hash, token_sha256=token_sha256, created_at=at
        )

    def find(self, name: str) -> Person | None:
        """Return the person of that name, in any spelling, unless revoked."""
        return self._one(PEOPLE.c.folded_name == folded(name))

    def by_token(self, token_sha256: str) -> Person | None:
        """Return the person whose token has this hash, unless revoked."""
        return self._one(PEOPLE.c.token_sha256 == token_sha256) if token_sha256 else None

    def all(self) -> Sequence[Person]:
        """Return everyone, revoked ones too, by name."""
        with self._database.reading() as connection:
            rows = connection.execute(select(PEOPLE).order_by(PEOPLE.c.name)).all()
        return [_person(row) for row in rows]

    def set_password(self, name: str, password_hash: str) -> bool:
        """Replace a person's password hash; False if there is no such person."""
        return self._change(name, password_hash=password_hash or None)

    def set_token(self, name: str, token_sha256: str) -> bool:
        """Replace a person's token; False if there is no such person."""
        return self._change(name, token_sha256=token_sha256 or None)

    def revoke(self, name: str, at: datetime) -> bool:
        """Shut a person out for good, with their links; False if there is no such person."""
        return self._change(name, revoked_at=to_us(at), token_sha256=None, password_hash=None)

    def add_link(self, token_sha256: str, person: str, expires_at: datetime) -> None:
        """Add a sign-in link for one use; raises ``StoreError`` if there is no such person."""
        with self._database.writing() as connection:
            wanted = select(PEOPLE.c.name).where(
                PEOPLE.c.folded_name == folded(person), PEOPLE.c.revoked_at.is_(None)
            )
            name = connection.execute(wanted).scalar()
            if name is None:
                raise StoreError(f"there is no person `{person}`: add them first")
            connection.execute(
                insert(SIGN_IN_LINKS).values(
                    token_sha256=token_sha256, person=name, expires_at=to_us(expires_at)
                )
            )

    def link_stands(self, token_sha256: str, at: datetime) -> bool:
        """Tell whether a link could be used now; does not use it."""
        with self._database.reading() as connection:
            return _link_owner(connection, token_sha256, at) is not None

    def use_link(self, token_sha256: str, at: datetime) -> Person | None:
        """Use up a link and return whom it was for; None if it is used, expired or unknown."""
        used = (
            update(SIGN_IN_LINKS)
            .where(SIGN_IN_LINKS.c.token_sha256 == token_sha256, SIGN_IN_LINKS.c.used_at.is_(None))
            .values(used_at=to_us(at))
        )
        with self._database.writing() as connection:
            person = _link_owner(connection, token_sha256, at)
            if person is None or connection.execute(used).rowcount != 1:
                return None
            return person

    def _one(self, condition: ColumnElement[bool]) -> Person | None:
        with self._database.reading() as connection:
            wanted = select(PEOPLE).where(condition, PEOPLE.c.revoked_at.is_(None))
            row = connection.execute(wanted).first()
        return None if row is None else _person(row)

    def _change(self, name: str, **values: str | int | None) -> bool:
        change = (
            update(PEOPLE)
            .where(PEOPLE.c.folded_name == folded(name), PEOPLE.c.revoked_at.is_(None))
            .values(**values)
        )
        with self._database.writing() as connection:
            return connection.execute(change).rowcount == 1


def is_revoked(connection: Connection, name: str) -> bool:
    """Tell whether this person was shut out."""
    wanted = select(PEOPLE.c.revoked_at).where(PEOPLE.c.folded_name == folded(name))
    return connection.execute(wanted).scalar() is not None


def is_person(connection: Connection, name: str) -> bool:
    """Tell whether a person, revoked or not, has this name in any spelling."""
    wanted = select(PEOPLE.c.name).where(PEOPLE.c.folded_name == folded(name))
    return connection.execute(wanted).first() is not None


def _link_owner(connection: Connection, token_sha256: str, at: datetime) -> Person | None:
    wanted = (
        select(PEOPLE)
        .join(SIGN_IN_LINKS, SIGN_IN_LINKS.c.person == PEOPLE.c.name)
        .where(
            SIGN_IN_LINKS.c.token_sha256 == token_sha256,
            SIGN_IN_LINKS.c.used_at.is_(None),
            SIGN_IN_LINKS.c.expires_at > to_us(at),
            PEOPLE.c.revoked_at.is_(None),
        )
    )
    row = connection.execute(wanted).first()
    return None if row is None else _person(row)


def _person(row: Row[Any]) -> Person:
    return Person(
        name=row.name,
        password_hash=row.password_hash or "",
        token_sha256=row.token_sha256 or "",
        created_at=from_us(row.created_at),
        revoked_at=from_us_or_none(row.revoked_at),
    )
