"""Planted drift: `verify` names each, says where it comes from, and its mend takes it away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from verify_support import Shop, counted, on, only, shop, told, verified

from holdpoint.access.verify.drift import Drift, Kind
from holdpoint.embedded import EmbeddedPostgres
from holdpoint.model.budget import Budget
from holdpoint.model.target import AccessLevel


@dataclass(frozen=True)
class Planted:
    """What somebody did by hand, and the line that must tell of it; ``{x}`` is role ``x``."""

    name: str
    plant: str
    line: str
    says: str = ""
    tier: str = "agent"
    tried: bool = False
    undo: str = ""


SELF = "granted to the role itself"
EVERYBODY = "granted to PUBLIC: to everybody"

PLANTED = (
    Planted(
        "a table is granted to the role",
        "GRANT DELETE ON orders TO {agent}",
        f"surplus: table `public.orders` | {SELF}",
        says="DELETE on `public.orders`",
        tried=True,
    ),
    Planted(
        "a column is granted to the role",
        "GRANT SELECT (secret) ON users TO {agent}",
        f"surplus: table `public.users(secret)` | {SELF}",
        says="SELECT on `public.users(secret)`",
        tried=True,
    ),
    Planted(
        "a whole table instead of some columns",
        "GRANT SELECT ON accounts TO {agent}",
        f"surplus: table `public.accounts` | {SELF}",
        tried=True,
        # Revoking from the table takes the column grants as well (manual, REVOKE).
        undo="GRANT SELECT (id) ON accounts TO {agent}",
    ),
    Planted(
        "everybody may write a table",
        "GRANT INSERT ON users TO PUBLIC",
        f"surplus: table `public.users` | {EVERYBODY}",
        says="INSERT on `public.users`",
        tried=True,
    ),
    Planted(
        "everybody may write, and one tier only reads",
        "GRANT UPDATE ON accounts TO PUBLIC",
        f"surplus: table `public.accounts` | {EVERYBODY}",
        tier="reader",
        tried=True,
    ),
    Planted(
        "a membership in another role",
        "CREATE ROLE {staff}; GRANT USAGE ON SCHEMA hidden TO {staff};"
        "GRANT SELECT ON hidden.salaries TO {staff}; GRANT {staff} TO {agent}",
        "surplus: membership in `staff` | membership in `staff`",
        says="SELECT on `hidden.salaries`",
        tried=True,
        undo="DROP OWNED BY {staff}; DROP ROLE {staff}",
    ),
    Planted(
        "a membership two roles away",
        "CREATE ROLE {a}; CREATE ROLE {b}; GRANT DELETE ON users TO {b};"
        "GRANT {b} TO {a}; GRANT {a} TO {agent}",
        "surplus: membership in `b` | membership in `b`",
        says="through `{a}`: it has DELETE on `public.users`",
        undo="DROP OWNED BY {b}; DROP ROLE {b}, {a}",
    ),
    Planted(
        "a membership in pg_write_all_data",
        "GRANT pg_write_all_data TO {reader}",
        "surplus: membership in `pg_write_all_data` | membership in `pg_write_all_data`",
        says="may write every table",
        tier="reader",
        tried=True,
    ),
    Planted(
        "a membership that runs programs on the server",
        "GRANT pg_execute_server_program TO {agent}",
        "surplus: membership in `pg_execute_server_program` | "
        "membership in `pg_execute_server_program`",
        says="may run programs on the server's machine",
    ),
    Planted(
        "the role owns a table",
        "CREATE TABLE mine (); ALTER TABLE mine OWNER TO {agent}",
        "surplus: ownership of table `public.mine` | ownership",
        says="may alter and drop",
        undo="DROP TABLE mine",
    ),
    Planted(
        "CREATE on schema public",
        "GRANT CREATE ON SCHEMA public TO {agent}",
        f"surplus: schema `public` | {SELF}",
        tried=True,
    ),
    Planted(
        "everybody may create in schema public",
        "GRANT CREATE ON SCHEMA public TO PUBLIC",
        f"surplus: schema `public` | {EVERYBODY}",
        tier="reader",
        tried=True,
    ),
    Planted(
        "everybody may make temporary tables",
        "GRANT TEMPORARY ON DATABASE {database} TO PUBLIC",
        f"surplus: database `shop` | {EVERYBODY}",
        tier="reader",
        tried=True,
    ),
    Planted(
        "a superuser",
        "ALTER ROLE {power} SUPERUSER",
        "surplus: attribute SUPERUSER | an attribute of the role",
        tier="power",
        says="every check of the server is passed",
    ),
    Planted(
        "CREATEROLE",
        "ALTER ROLE {agent} CREATEROLE",
        "surplus: attribute CREATEROLE | an attribute of the role",
    ),
    Planted(
        "BYPASSRLS",
        "ALTER ROLE {reader} BYPASSRLS",
        "surplus: attribute BYPASSRLS | an attribute of the role",
        tier="reader",
    ),
    Planted(
        "a SECURITY DEFINER function for everybody",
        "GRANT EXECUTE ON FUNCTION wipe() TO PUBLIC",
        f"surplus: function `public.wipe()` | {EVERYBODY}",
        says="it runs as its owner `{owner}`, which may write",
    ),
    Planted(
        "a function that the server keeps from everybody",
        "GRANT EXECUTE ON FUNCTION pg_catalog.lo_import(text) TO {agent}",
        f"surplus: function `pg_catalog.lo_import(text)` | {SELF}",
    ),
    Planted(
        "default privileges for tables to come",
        "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public"
        " GRANT INSERT ON TABLES TO {agent}",
        f"surplus: default privileges of `owner` in schema `public` | a default privilege, {SELF}",
        says="tables that `{owner}` makes",
    ),
    Planted(
        "default privileges were taken back",
        "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA stock"
        " REVOKE SELECT ON TABLES FROM {agent}",
        "missing: default privileges in schema `stock` | "
        "default privileges were not set, or were taken back",
    ),
    Planted(
        "a sequence",
        "GRANT UPDATE ON SEQUENCE tickets TO {agent}",
        f"surplus: sequence `public.tickets` | {SELF}",
    ),
    Planted(
        "a grant was revoked by hand",
        "REVOKE SELECT ON tenants FROM {agent}",
        "missing: table `public.tenants` | never granted, or revoked by hand",
        says="the tier gives SELECT on `public.tenants`",
        tried=True,
    ),
    Planted(
        "a column was revoked by hand",
        "REVOKE UPDATE (status) ON orders FROM {agent}",
        "missing: table `public.orders(status)` | never granted, or revoked by hand",
        tried=True,
    ),
    Planted(
        "the schema was closed",
        "REVOKE USAGE ON SCHEMA stock FROM {agent}",
        "missing: schema `stock` | never granted, or revoked by hand",
    ),
    Planted(
        "the read-only state was switched off",
        "ALTER ROLE {reader} SET default_transaction_read_only = off",
        "changed: setting `default_transaction_read_only` | ALTER ROLE … SET",
        says="is `off`, the tier says `on`",
        tier="reader",
    ),
    Planted(
        "a timeout was lifted",
        "ALTER ROLE {agent} SET statement_timeout = 0",
        "changed: setting `statement_timeout` | ALTER ROLE … SET",
        says="is `0`, the tier says `30000ms`",
    ),
    Planted(
        "a timeout was lifted in this database only",
        "ALTER ROLE {reader} IN DATABASE {database} SET statement_timeout = 0",
        "changed: setting `statement_timeout` | ALTER ROLE … SET",
        tier="reader",
    ),
    Planted(
        "who signs in becomes another role",
        "ALTER ROLE {power} SET role = 'postgres'",
        "surplus: setting `role` | ALTER ROLE … SET",
        tier="power",
    ),
    Planted(
        "the connection limit was lifted",
        "ALTER ROLE {agent} CONNECTION LIMIT -1",
        "changed: attribute CONNECTION LIMIT | an attribute of the role",
        says="is no limit, the tier says 50",
    ),
    Planted(
        "row-level security was switched off",
        "ALTER TABLE tenants DISABLE ROW LEVEL SECURITY",
        "changed: table `public.tenants` | "
        "ALTER TABLE … DISABLE ROW LEVEL SECURITY, or it was never enabled",
        tier="reader",
        says="1 policy, and row-level security is off",
    ),
    Planted(
        "an updatable view that leads to a forbidden table",
        "CREATE VIEW pay AS SELECT * FROM hidden.salaries; GRANT SELECT, UPDATE ON pay TO {agent}",
        f"surplus: table `public.pay` | {SELF}",
        says="it leads to `hidden.salaries`",
        tried=True,
        undo="DROP VIEW pay",
    ),
    Planted(
        "a view within a grant on all of a schema that leads out of it",
        "CREATE VIEW stock.pay AS SELECT * FROM hidden.bonuses;"
        "ALTER VIEW stock.pay OWNER TO {owner}; GRANT SELECT ON stock.pay TO {agent}",
        "surplus: table `stock.pay` | a view within a grant on `*`",
        says="lets the role read `hidden.bonuses`",
        undo="DROP VIEW stock.pay",
    ),
    Planted(
        "a view that passes row-level security",
        "CREATE VIEW stock.all_diaries AS SELECT * FROM diaries;"
        "ALTER VIEW stock.all_diaries OWNER TO {owner};"
        "GRANT SELECT ON stock.all_diaries TO {agent}",
        "surplus: table `stock.all_diaries` | a view within a grant on `*`",
        says="lets the role read `public.diaries`, which the role may not as a whole",
        undo="DROP VIEW stock.all_diaries",
    ),
    Planted(
        "a rule that writes a forbidden table",
        "CREATE RULE also AS ON INSERT TO inbox DO ALSO INSERT INTO hidden.bonuses VALUES (1, 2)",
        "surplus: table `public.inbox` | a rule of the table",
        says="a rule on `public.inbox` lets the role write `hidden.bonuses`",
        undo="DROP RULE also ON inbox",
    ),
    Planted(
        "the role owns the database",
        "ALTER DATABASE {database} OWNER TO {power}",
        "surplus: ownership of database `shop` | ownership",
        tier="power",
    ),
    Planted(
        "a login that was made for a while and left over",
        "CREATE ROLE {hp_bot} LOGIN VALID UNTIL '2020-01-01'; GRANT {agent} TO {hp_bot}",
        "left over: role `hp_bot` | a login made for a while, and left over",
    ),
    Planted(
        "somebody else has the role",
        "CREATE ROLE {friend} LOGIN; GRANT {agent} TO {friend}",
        "surplus: role `friend` | "
        "a membership that the configuration of tier `agent` does not name",
        undo="DROP ROLE {friend}",
    ),
    Planted(
        "a right with GRANT OPTION",
        "GRANT INSERT ON orders TO {agent} WITH GRANT OPTION",
        f"surplus: table `public.orders` | {SELF}",
        says="may grant INSERT on `public.orders` to others",
    ),
    Planted(
        "a right that somebody else gave on",
        "CREATE ROLE {giver}; GRANT DELETE ON inbox TO {giver} WITH GRANT OPTION;"
        "SET ROLE {giver}; GRANT DELETE ON inbox TO {reader}; RESET ROLE",
        f"surplus: table `public.inbox` | {SELF} by `giver`",
        tier="reader",
        # The owner's own REVOKE would do nothing about it.
        undo="DROP OWNED BY {giver}; DROP ROLE {giver}",
    ),
    Planted(
        "a column with GRANT OPTION",
        "GRANT SELECT (email) ON users TO {agent} WITH GRANT OPTION",
        f"surplus: table `public.users(email)` | {SELF}",
        says="may grant SELECT on `public.users(email)` to others",
    ),
    Planted(
        "the database with GRANT OPTION",
        "GRANT CONNECT ON DATABASE {database} TO {reader} WITH GRANT OPTION",
        f"surplus: database `shop` | {SELF}",
        says="may grant CONNECT",
        tier="reader",
    ),
    Planted(
        "a large object",
        "SELECT lo_create(4711); GRANT UPDATE ON LARGE OBJECT 4711 TO PUBLIC",
        f"surplus: large object `4711` | {EVERYBODY}",
        undo="SELECT lo_unlink(4711)",
    ),
    Planted(
        "a parameter that only administrators set",
        "GRANT SET ON PARAMETER log_statement TO {agent}",
        f"surplus: parameter `log_statement` | {SELF}",
    ),
    Planted(
        "a catalog that the server keeps from everybody",
        "GRANT SELECT ON pg_catalog.pg_authid TO {agent}",
        f"surplus: table `pg_catalog.pg_authid` | {SELF}",
    ),
)


@pytest.fixture(scope="module")
def here(postgres: EmbeddedPostgres) -> Iterator[Shop]:
    """A shop as configured: a tier that writes a little, one that only reads, one to take over."""
    with shop(postgres) as made:
        made.tier(
            "agent",
            on("orders", "select", "insert", only("update", "status")),
            on("users", only("select", "id", "email")),
            on("accounts", only("select", "id")),
            on("stock.*", "select"),
            on("tenants", "select"),
            on("diaries", "select"),
            on("inbox", "insert"),
            budget=Budget(statement_s=30.0),
        )
        made.tier(
            "reader",
            on("orders", "select"),
            on("tenants", "select"),
            access=AccessLevel.READ_ONLY,
            budget=Budget(statement_s=30.0),
        )
        made.tier("power", on("orders", "select"))
        made.apply()
        yield made


@pytest.fixture(scope="module")
def found(here: Shop) -> dict[str, list[Drift]]:
    """What is found by tier, all drift being planted at once; before it there was none."""
    assert counted(verified(here.target)) == []
    for planted in PLANTED:
        here.run(planted.plant)
    return {each.tier: counted([each]) for each in verified(here.target)}


@pytest.mark.parametrize("planted", PLANTED, ids=lambda each: each.name)
def test_what_somebody_did_by_hand_is_found(
    here: Shop, found: dict[str, list[Drift]], planted: Planted
) -> None:
    lines = [(told(here, each), each) for each in found[planted.tier]]
    said = here.filled(planted.says)
    drift = [each for line, each in lines if line == planted.line and said in each.what]
    assert len(drift) == 1, [line for line, _ in lines]
    assert drift[0].mend
    if planted.tried:
        answer = "refused it" if drift[0].kind is Kind.MISSING else "took it"
        assert drift[0].tried == f"tried: the database {answer}"


def test_nothing_else_is_found(here: Shop, found: dict[str, list[Drift]]) -> None:
    expected = {planted.line for planted in PLANTED} | {
        "surplus: membership in `a` | membership in `a`",  # the way to `b`
    }
    assert {told(here, each) for tier in found.values() for each in tier} == expected


def test_the_mends_take_it_away(here: Shop, found: dict[str, list[Drift]]) -> None:
    for tier in found.values():
        for drift in tier:
            for statement in drift.mend:
                here.root.execute(statement.replace("NEW_OWNER", here.role("owner")).encode())
    for planted in PLANTED:
        here.run(planted.undo)
    assert counted(verified(here.target)) == []
