"""Check a tier's database hop by hop, and prove what a read-only tier promises.

The proof asks the database itself: in a transaction that is explicitly READ WRITE, and rolled back,
a DELETE that matches no row is tried on every table. Privileges are checked before rows are looked
for, so nothing can change, and an answer other than a refusal is a finding. INSERT, UPDATE (of any
column) and TRUNCATE are not tried, for a TRUNCATE would lock; the server's own functions tell
whether the role may.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

import psycopg
from psycopg import sql as composed

from holdpoint.engine.probes import conninfo_of
from holdpoint.engine.replicas_lag import shown
from holdpoint.engine.replicas_watch import Kind, Sight, look_once
from holdpoint.model import limits
from holdpoint.model.target import AccessLevel, Target, Tier
from holdpoint.model.upstream import UpstreamUrl

VERSION_MIN: Final = 130000  # PostgreSQL 13, the oldest that the function table covers
CLOCK_SKEW_MAX_S: Final = 5.0
TABLES_TRIED_MAX: Final = 500

TABLES_QUERY: Final = """
SELECT n.nspname, c.relname,
       NOT pg_is_in_recovery() AND (has_table_privilege(c.oid, 'INSERT, UPDATE, TRUNCATE')
                                    OR has_any_column_privilege(c.oid, 'INSERT, UPDATE'))
  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
   AND n.nspname !~ '^pg_(toast|temp)'
   AND has_schema_privilege(n.oid, 'USAGE')
 ORDER BY 1, 2 LIMIT %s
"""
ROLE_QUERY: Final = """
SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication,
       pg_has_role(current_user, 'pg_write_all_data', 'MEMBER'),
       pg_has_role(current_user, 'pg_execute_server_program', 'MEMBER'),
       pg_has_role(current_user, 'pg_write_server_files', 'MEMBER')
  FROM pg_roles WHERE rolname = current_user
"""
ROLE_WORDS: Final = (
    "is a superuser",
    "bypasses row-level security",
    "can create roles",
    "can create databases",
    "can replicate",
    "may write all data",
    "may run server programs",
    "may write server files",
)
# What PostgreSQL 13 does not have: the predefined role came with 14.
ROLE_QUERY_13: Final = ROLE_QUERY.replace(
    "pg_has_role(current_user, 'pg_write_all_data', 'MEMBER')", "false"
)


class Health(StrEnum):
    """How a hop is."""

    OK = "ok"
    NOTE = "note"  # works, and should be known
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One thing that was checked: ``mend`` says what to do when it is broken."""

    name: str
    health: Health
    detail: str
    mend: str = ""
    unreachable: bool = False


async def tier_hops(
    target: Target, tier: Tier, url: UpstreamUrl, server: int = 1
) -> AsyncIterator[Hop]:
    """Yield the hops to one server of a tier, in order; nothing follows a connection that fails.

    ``server`` is the number of the server among the tier's URLs.
    """
    name = f"{target.name}/{tier.name}" + (f" server {server}" if server > 1 else "")
    try:
        connection = await psycopg.AsyncConnection.connect(
            conninfo_of(url),
            autocommit=True,
            connect_timeout=int(limits.UPSTREAM_CONNECT_TIMEOUT_S),
            application_name="holdpoint doctor",
            options=f"-c statement_timeout={int(limits.UPSTREAM_CONNECT_TIMEOUT_S * 1000)}",
        )
    except psycopg.Error as error:
        yield Hop(
            name=f"{name} upstream",
            health=Health.BROKEN,
            detail=f"cannot connect to {url.place}: {_line(error)}",
            mend=f"check that `{_source(tier.url_source)}` holds the right URL and that "
            "the database accepts this host in pg_hba.conf",
            unreachable=True,
        )
        return
    async with connection:
        yield _version(name, url, connection)
        try:
            yield await _clock(name, connection)
            yield _replica(name, tier, await look_once(connection))
            yield await _role(name, tier, connection)
            if tier.access is AccessLevel.READ_ONLY:
                yield await _proof(name, connection)
        except psycopg.Error as error:
            yield Hop(
                name=f"{name} checks",
                health=Health.BROKEN,
                detail=f"a check failed: {_line(error)}",
                mend="run the check by hand as the tier's role to see what it lacks",
            )


def _source(source: str) -> str:
    """Name where a URL comes from: no secret of its own, and no argument of a command."""
    if source.startswith("command:"):
        return source.split(" ", 1)[0]
    return source.split("://", 1)[0]


def _version(name: str, url: UpstreamUrl, connection: psycopg.AsyncConnection[Any]) -> Hop:
    number = connection.info.server_version
    shown = f"PostgreSQL {number // 10000}.{number % 10000} at {url.place} as `{url.user}`"
    if number < VERSION_MIN:
        return Hop(
            name=f"{name} upstream",
            health=Health.BROKEN,
            detail=f"{shown} is older than 13",
            mend="upgrade the server; older ones are not read correctly",
        )
    return Hop(name=f"{name} upstream", health=Health.OK, detail=shown)


async def _clock(name: str, connection: psycopg.AsyncConnection[Any]) -> Hop:
    before = datetime.now(UTC)
    row = await _row(connection, "SELECT clock_timestamp()")
    after = datetime.now(UTC)
    middle = before + (after - before) / 2
    skew = abs((row[0] - middle).total_seconds())
    if skew > CLOCK_SKEW_MAX_S:
        return Hop(
            name=f"{name} clock",
            health=Health.BROKEN,
            detail=f"this machine and the database differ by {skew:,.1f} s",
            mend="let both follow the same time service; trail and server log must agree",
        )
    return Hop(name=f"{name} clock", health=Health.OK, detail=f"differs by {skew:.2f} s")


def _replica(name: str, tier: Tier, sight: Sight) -> Hop:
    """Tell what the server is, and of a replica how far it is behind."""
    name = f"{name} replica"
    is_replica = sight.kind is Kind.REPLICA
    if tier.replica is not None and tier.replica is not is_replica:
        found, wanted = ("replica", "primary") if is_replica else ("primary", "replica")
        return Hop(
            name=name,
            health=Health.BROKEN,
            detail=f"a {found}, and the tier demands a {wanted}: no session is led here",
            mend=f"give the tier the URL of a {wanted}; if it was promoted or replaced, make a new "
            f"one; or write `replica = {str(is_replica).lower()}` if a {found} is meant",
        )
    if sight.lag is None:
        health = Health.OK if tier.replica is False else Health.NOTE
        return Hop(name=name, health=health, detail="a primary, not a replica")
    detail = f"a replica, {sight.lag}"
    if sight.hidden:
        detail += " (the role sees little: `GRANT pg_read_all_stats` to it, or give a `probe_url`)"
    if sight.lag.is_over(tier.lag_max_s):
        return Hop(
            name=name,
            health=Health.BROKEN,
            detail=f"{detail}; the tier's limit is {shown(tier.lag_max_s or 0.0)}",
            mend="look at the replica: `SELECT pg_wal_replay_resume()` if its replay is paused; "
            "`primary_conninfo` and its log if it receives nothing; its disk and long queries if "
            "it does not keep up",
        )
    return Hop(name=name, health=Health.OK, detail=detail)


async def _role(name: str, tier: Tier, connection: psycopg.AsyncConnection[Any]) -> Hop:
    query = ROLE_QUERY if connection.info.server_version >= 140000 else ROLE_QUERY_13
    row = await _row(connection, query)
    powers = [word for word, has in zip(ROLE_WORDS, row, strict=True) if has]
    if not powers:
        return Hop(name=f"{name} role", health=Health.OK, detail="no special powers")
    detail = f"the role {', '.join(powers)}"
    if tier.access is AccessLevel.OWNER:
        return Hop(name=f"{name} role", health=Health.NOTE, detail=detail)
    return Hop(
        name=f"{name} role",
        health=Health.BROKEN,
        detail=f"{detail}, which access `{tier.access}` must not",
        mend="use a role of its own for this tier: CREATE ROLE ... LOGIN NOSUPERUSER, then GRANT "
        "only what the tier gives",
    )


async def _proof(name: str, connection: psycopg.AsyncConnection[Any]) -> Hop:
    """Try what must fail, and say which table would have taken a write."""
    tables = await _rows(connection, TABLES_QUERY, (TABLES_TRIED_MAX,))
    accepted = [
        f"{schema}.{table}"
        for schema, table, may_change in tables
        if may_change
        or not await _refused(
            connection,
            composed.SQL("DELETE FROM {} WHERE false").format(composed.Identifier(schema, table)),
        )
    ]
    if not await _refused(
        connection,
        composed.SQL("CREATE TABLE {} ()").format(composed.Identifier("holdpoint_doctor_probe")),
    ):
        accepted.append("CREATE TABLE")
    if accepted:
        return Hop(
            name=f"{name} read-only",
            health=Health.BROKEN,
            detail=f"the database would take writes: {', '.join(accepted[:5])}"
            + (f" and {len(accepted) - 5} more" if len(accepted) > 5 else ""),
            mend="point the tier at a replica, or revoke the privileges: REVOKE INSERT, UPDATE, "
            "DELETE, TRUNCATE ON ALL TABLES IN SCHEMA ... and CREATE ON SCHEMA ... "
            "(from PUBLIC too)",
        )
    first = "the first " if len(tables) == TABLES_TRIED_MAX else ""
    tried = f"{first}{len(tables)} table" + ("" if len(tables) == 1 else "s")
    return Hop(
        name=f"{name} read-only",
        health=Health.OK,
        detail=f"proved: the database itself refused a write to each of {tried}, and CREATE TABLE",
    )


async def _refused(connection: psycopg.AsyncConnection[Any], statement: composed.Composed) -> bool:
    """Tell whether the database refuses a statement in a READ WRITE transaction; never commits."""
    try:
        await connection.execute("BEGIN READ WRITE")
        await connection.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        return True
    except (psycopg.errors.ReadOnlySqlTransaction, psycopg.errors.FeatureNotSupported):
        return True  # a replica: it refuses READ WRITE itself
    finally:
        await connection.execute("ROLLBACK")
    return False


async def _rows(
    connection: psycopg.AsyncConnection[Any], query: str, parameters: tuple[Any, ...] = ()
) -> list[tuple[Any, ...]]:
    cursor = await connection.execute(query.encode(), parameters or None)
    return await cursor.fetchall()


async def _row(connection: psycopg.AsyncConnection[Any], query: str) -> tuple[Any, ...]:
    rows = await _rows(connection, query)
    return rows[0]


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
