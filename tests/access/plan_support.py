"""A shop whose owner may make roles and is no superuser, as on a managed service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self

import psycopg
from psycopg import sql

from holdpoint.access.desired import Desired, desired_roles
from holdpoint.access.plan.logins import refused_logins
from holdpoint.access.plan.plan import Plan, make_plan
from holdpoint.access.plan.reading import read_granted
from holdpoint.config.urls import parse_url
from holdpoint.embedded import EmbeddedPostgres
from holdpoint.model.grants import Grant, GrantedPrivilege, ObjectClass
from holdpoint.model.target import AccessLevel, Target, Tier
from holdpoint.model.upstream import UpstreamUrl
from support.servers import fresh_database

DENIED = "42501"  # insufficient_privilege
NOT_GRANTED = "01007"  # privilege_not_granted
PASSWORD = "a password of a role"

SCHEMA = """
CREATE SCHEMA stock;
CREATE TABLE orders (id serial PRIMARY KEY, status text, note text);
CREATE TABLE users (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text, secret text);
CREATE TABLE stock.items (id bigserial PRIMARY KEY, name text);
CREATE TABLE "Odd "" Table" ("Column, 1" int, "select" int);
CREATE TABLE events (at date, what text) PARTITION BY RANGE (at);
CREATE TABLE events_old PARTITION OF events FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE VIEW recent AS SELECT id, status FROM orders;
CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS orders FROM orders;
CREATE SEQUENCE tickets;
CREATE FUNCTION add_order(text, int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION secrets() RETURNS bigint LANGUAGE sql SECURITY DEFINER
    AS 'SELECT count(secret) FROM users';
CREATE PROCEDURE tidy(int) LANGUAGE sql AS 'SELECT 1';
REVOKE EXECUTE ON ROUTINE add_order(text, int), tidy(int) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION secrets() FROM PUBLIC;
INSERT INTO orders (status) VALUES ('new');
"""


def on(name: str, *privileges: str | GrantedPrivilege, kind: str = "table") -> Grant:
    """A grant on ``name`` or ``schema.name``; names hold no dots here."""
    schema, _, bare = name.rpartition(".")
    return Grant(
        bare if kind == "schema" else schema or "public",
        bare,
        tuple(GrantedPrivilege(each) if isinstance(each, str) else each for each in privileges),
        ObjectClass(kind),
    )


def only(privilege: str, *columns: str) -> GrantedPrivilege:
    """A privilege on columns."""
    return GrantedPrivilege(privilege, columns)


@dataclass
class Shop:
    """One database, its owner and the roles of its tiers; names of roles begin with ``name``."""

    server: EmbeddedPostgres
    name: str
    admin: psycopg.Connection[Any]
    root: psycopg.Connection[Any]
    tiers: dict[str, Tier] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    sessions: dict[str, psycopg.Connection[Any]] = field(default_factory=dict)
    warned: list[str] = field(default_factory=list)

    def role(self, name: str) -> str:
        """The full name of a role."""
        return f"{self.name}_{name}"

    def url(self, role: str) -> str:
        """The URL of a role; it is the password's only home."""
        password = self.passwords.get(role, PASSWORD)
        return self.server.url(user=role, password=password, database=self.name)

    def tier(self, name: str, *grants: Grant, **more: Any) -> Tier:
        """Add a tier whose URL's user is ``name`` and whose grants are held by ``name_rights``."""
        user = more.pop("user", self.role(name))
        given = {
            "access": AccessLevel.READ_WRITE,
            "url_source": self.url(user),
            "role": self.role(f"{name}_rights"),
            "grants": grants,
            **more,
        }
        self.tiers[name] = Tier(name=name, **given)
        return self.tiers[name]

    def open_again(self) -> Self:
        """Make the shop as it is at first; much faster than a new database."""
        self.clear()
        owner = self.role("owner")
        self.root.execute(
            f"""
            CREATE SCHEMA public AUTHORIZATION {owner};
            GRANT USAGE ON SCHEMA public TO PUBLIC;
            REVOKE ALL ON DATABASE {self.name} FROM PUBLIC;
            GRANT CONNECT, TEMP ON DATABASE {self.name} TO PUBLIC;
            ALTER ROLE {owner} NOCREATEDB
            """.encode()
        )
        self.admin.execute(SCHEMA.encode())
        return self

    def clear(self) -> None:
        """Drop everything but the owner."""
        for session in self.sessions.values():
            session.close()
        for found in (self.tiers, self.passwords, self.sessions):
            found.clear()
        rows = self.root.execute(
            "SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s) ORDER BY rolname",
            [f"{self.name}_"],
        ).fetchall()
        # One by one: together they trip over default privileges of one for the other (seen on 18).
        for (name,) in rows:
            self.root.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(name)))
        self.root.execute("DROP SCHEMA IF EXISTS public CASCADE")
        self.root.execute(f"DROP FOREIGN DATA WRAPPER IF EXISTS {self.name}_w CASCADE".encode())
        others = [sql.Identifier(name) for (name,) in rows if name != self.role("owner")]
        if others:
            self.root.execute(sql.SQL("DROP ROLE {}").format(sql.SQL(", ").join(others)))

    @property
    def target(self) -> Target:
        """The target with all tiers."""
        return Target(name=self.name, tiers=tuple(self.tiers.values()))

    @property
    def desired(self) -> Desired:
        """What the configuration asks."""
        return desired_roles(self.target, _resolved)

    def plan(self, **options: Any) -> Plan:
        """Make a plan as the owner of the shop."""
        desired = self.desired
        state = read_granted(self.admin, desired)
        admin = self.server.url(user=self.role("owner"), password="owner", database=self.name)
        refused = refused_logins(desired, state, admin)
        return make_plan(desired, state, refused=refused, **options)

    def apply(self, **options: Any) -> Plan:
        """Make a plan and run it, in one transaction; it must be possible as a whole."""
        plan = self.plan(**options)
        assert not plan.problems, plan.problems
        assert not plan.blocked, plan.blocked
        self.admin.execute(plan.sql.encode())
        return plan

    def tried(self, user: str, statement: str) -> str:
        """Run a statement as a role and take it back; the SQLSTATE of its error, or nothing.

        A GRANT that nobody may make is a warning only; it counts as denied.
        """
        self.warned.clear()
        connection = self._session(user)
        try:
            connection.execute("SET transaction_read_only = off")
            connection.execute(statement.encode())
        except psycopg.Error as error:
            return error.sqlstate or "?"
        finally:
            connection.rollback()
        return DENIED if NOT_GRANTED in self.warned else ""

    def _session(self, user: str) -> psycopg.Connection[Any]:
        """The connection of a role; one for all tries with the same password."""
        url = self.url(self.role(user))
        if url not in self.sessions:
            self.sessions[url] = psycopg.connect(url)
            self.sessions[url].add_notice_handler(
                lambda each: self.warned.append(each.sqlstate or "")
            )
        return self.sessions[url]

    def lines(self, plan: Plan) -> list[str]:
        """The plan in words, with names of roles without their beginning."""
        return [
            f"{'+' if step.adds else '-'} {step.role.removeprefix(self.name + '_')} {step.words}"
            for step in plan.steps
        ]


def _resolved(source: str, password_source: str) -> UpstreamUrl:
    url = parse_url(source)
    return replace(url, password=password_source) if password_source else url


@contextmanager
def shop(server: EmbeddedPostgres) -> Iterator[Shop]:
    """A shop in a database of its own; ``open_again`` before each use."""
    with (
        fresh_database(server) as name,
        psycopg.connect(server.url(database=name), autocommit=True) as root,
    ):
        root.execute(
            f"CREATE ROLE {name}_owner LOGIN CREATEROLE PASSWORD 'owner';"
            f"ALTER DATABASE {name} OWNER TO {name}_owner".encode()
        )
        url = server.url(user=f"{name}_owner", password="owner", database=name)
        with psycopg.connect(url, autocommit=True) as admin:
            made = Shop(server, name, admin, root)
            yield made
        made.clear()
        root.execute(
            f"ALTER DATABASE {name} OWNER TO {server.superuser}; DROP ROLE {name}_owner".encode()
        )
