"""A shop whose tiers are as configured, to be changed by hand and verified."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
from psycopg import sql

from holdpoint.access.desired import desired_roles
from holdpoint.access.plan.plan import make_plan
from holdpoint.access.plan.reading import read_granted
from holdpoint.access.verify.drift import Drift
from holdpoint.access.verify.verify import Verified, verify_target
from holdpoint.config.urls import parse_url
from holdpoint.embedded import EmbeddedPostgres
from holdpoint.model.grants import Grant, GrantedPrivilege, ObjectClass
from holdpoint.model.target import AccessLevel, Target, Tier
from holdpoint.model.upstream import UpstreamUrl
from support.servers import fresh_database

PASSWORD = "a-password-of-a-role"
SCHEMA = """
CREATE SCHEMA stock;
CREATE SCHEMA hidden;
CREATE TABLE orders (id serial PRIMARY KEY, status text, note text);
CREATE TABLE users (id int PRIMARY KEY, email text, secret text);
CREATE TABLE accounts (id int PRIMARY KEY, iban text);
CREATE TABLE tenants (id int PRIMARY KEY, name text);
CREATE POLICY own ON tenants USING (id = 1);
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
CREATE TABLE inbox (id int, what text);
CREATE TABLE diaries (id int, what text);
CREATE POLICY own ON diaries USING (id = 1);
ALTER TABLE diaries ENABLE ROW LEVEL SECURITY;
CREATE TABLE stock.items (id bigserial PRIMARY KEY, name text);
CREATE TABLE hidden.salaries (id int, amount numeric);
CREATE TABLE hidden.bonuses (id int, amount numeric);
CREATE SEQUENCE tickets;
CREATE FUNCTION wipe() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'DELETE FROM users';
REVOKE EXECUTE ON FUNCTION wipe() FROM PUBLIC;
"""


def on(name: str, *privileges: str | GrantedPrivilege, kind: str = "table") -> Grant:
    """A grant on ``name`` or ``schema.name``; names hold no dots here."""
    schema, _, bare = name.rpartition(".")
    words = [GrantedPrivilege(each) if isinstance(each, str) else each for each in privileges]
    return Grant(schema or "public", bare, tuple(words), ObjectClass(kind))


def only(privilege: str, *columns: str) -> GrantedPrivilege:
    """A privilege on columns."""
    return GrantedPrivilege(privilege, columns)


@dataclass
class Shop:
    """One database, its owner and its tiers; names of roles begin with that of the database."""

    server: EmbeddedPostgres
    name: str
    root: psycopg.Connection[Any]
    tiers: list[Tier] = field(default_factory=list)

    def role(self, name: str) -> str:
        """The full name of a role."""
        return f"{self.name}_{name}"

    def url(self, role: str) -> str:
        """The URL of a role."""
        return self.server.url(user=role, password=PASSWORD, database=self.name)

    def login(self, name: str, attributes: str = "") -> str:
        """Make a role that signs in, and return its full name."""
        role = self.role(name)
        statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} " + attributes)
        self.root.execute(statement.format(sql.Identifier(role), PASSWORD))
        return role

    def tier(self, name: str, *grants: Grant, **more: Any) -> Tier:
        """Add a tier: with grants its role is made by ``apply``, without it is there already."""
        given: dict[str, Any] = {
            "access": AccessLevel.READ_WRITE,
            "url_source": self.url(self.role(name)),
            "role": self.role(name) if grants else "",
            "grants": grants or None,
            **more,
        }
        tier = Tier(name=name, **given)
        self.tiers.append(tier)
        return tier

    @property
    def target(self) -> Target:
        """The target with all tiers."""
        return Target(name=self.name, tiers=tuple(self.tiers))

    def apply(self) -> None:
        """Bring roles and grants to the configuration, and take from PUBLIC what is too much."""
        desired = desired_roles(self.target, resolved)
        with psycopg.connect(self.url(self.role("owner")), autocommit=True) as admin:
            plan = make_plan(desired, read_granted(admin, desired), mend=True)
            assert not plan.problems, plan.problems
            assert not plan.blocked, plan.blocked
            admin.execute(plan.sql.encode())

    def run(self, script: str) -> None:
        """Run a script as a superuser; ``{x}`` is role ``x``, ``{database}`` the database."""
        self.root.execute(self.filled(script).encode())

    def filled(self, text: str) -> str:
        """A text with the names of this shop."""

        class Names(dict[str, str]):
            def __missing__(names, name: str) -> str:
                return self.name if name == "database" else self.role(name)

        return text.format_map(Names())


@contextmanager
def shop(server: EmbeddedPostgres, script: str = SCHEMA) -> Iterator[Shop]:
    """A fresh shop, which an owner without superuser's rights made; its roles go with it."""
    with (
        fresh_database(server) as name,
        psycopg.connect(server.url(database=name), autocommit=True) as root,
    ):
        made = Shop(server, name, root)
        try:
            made.login("owner", "CREATEROLE")
            made.run("ALTER DATABASE {database} OWNER TO {owner}")
            made.run("ALTER SCHEMA public OWNER TO {owner}")
            with psycopg.connect(made.url(made.role("owner")), autocommit=True) as owner:
                owner.execute(script.encode())
            yield made
        finally:
            _drop_roles(root, name)


def _drop_roles(root: psycopg.Connection[Any], name: str) -> None:
    query = "SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s)"
    found = [row[0] for row in root.execute(query, [f"{name}_"]).fetchall()]
    root.execute(sql.SQL("ALTER DATABASE {} OWNER TO CURRENT_USER").format(sql.Identifier(name)))
    for statement in ("DROP OWNED BY {} CASCADE", "DROP ROLE {}"):
        for role in found:
            root.execute(sql.SQL(statement).format(sql.Identifier(role)))


def resolved(source: str, password_source: str) -> UpstreamUrl:
    """A URL as the configuration resolves it."""
    url = parse_url(source)
    return replace(url, password=password_source) if password_source else url


def verified(target: Target, *tiers: str, **options: Any) -> list[Verified]:
    """What is found of a target."""
    return list(verify_target(target, resolved, tiers, **options))


def counted(results: Sequence[Verified]) -> list[Drift]:
    """The drift that counts."""
    assert not any(each.unreachable or each.problems for each in results), results
    return [drift for each in results for drift in each.drift if not drift.note]


def told(shop: Shop, drift: Drift) -> str:
    """One difference as a line, with names of roles and the database without their beginning."""
    words = f"{drift.kind.value}: {drift.about} | {drift.source}"
    return words.replace(f"{shop.name}_", "").replace(f"`{shop.name}`", "`shop`")
