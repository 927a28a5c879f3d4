"""Ask a target's database for figures before a statement runs, without touching anything.

A probe runs in a read-only transaction that is rolled back, with short timeouts, and only EXPLAINs
statements whose every function is known: the planner runs IMMUTABLE functions, so even a plain
EXPLAIN of an unknown one could do something. What a probe cannot tell is UNKNOWN, never zero.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import orjson
import psycopg
from psycopg import generators, pq
from psycopg.conninfo import make_conninfo

from holdpoint.model import limits
from holdpoint.model.case import Parameter
from holdpoint.model.effects import Access, Effect, Reading, Statement
from holdpoint.model.impact import Basis, Figure
from holdpoint.model.upstream import ChannelBinding, UpstreamUrl

PROBED_EFFECTS: Final = frozenset({Effect.READ, Effect.WRITE, Effect.BULK_WRITE})
WRITES: Final = frozenset({Effect.WRITE, Effect.BULK_WRITE})
# Tags of statements that EXPLAIN takes and that change rows (manual, EXPLAIN).
EXPLAINED_TAGS: Final = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "SELECT"})
SETTINGS: Final = (
    "-c default_transaction_read_only=on "
    f"-c statement_timeout={int(limits.PROBE_TIMEOUT_S * 1000)} "
    f"-c lock_timeout={int(limits.PROBE_TIMEOUT_S * 250)} "
    "-c client_encoding=UTF8"
)
# Rows of a table as the planner takes them: the density that statistics have seen, times the pages
# that are there now, over all partitions. A table without statistics counts by its size, at the 32
# bytes that the smallest row takes (manual, "Database Page Layout": a header of 23 bytes, aligned,
# and its item): never less than what is there.
TABLE_ROWS_QUERY: Final = """
WITH leaves AS (
    SELECT to_regclass($1)::oid AS oid
    UNION SELECT relid FROM pg_partition_tree(to_regclass($1)) WHERE isleaf
)
SELECT sum(CASE WHEN c.relpages > 0 AND c.reltuples >= 0
                THEN c.reltuples / c.relpages
                     * (pg_relation_size(c.oid) / current_setting('block_size')::int)
                ELSE pg_relation_size(c.oid) / 32
           END)::bigint
  FROM pg_class AS c JOIN leaves ON leaves.oid = c.oid
 WHERE c.relkind IN ('r', 'm')
"""


class DatabaseProber:
    """Probes of one tier. One connection is kept between probes; more are opened when it is busy.

    A probe leaves nothing behind in it: everything happens in a transaction that is rolled back.
    """

    def __init__(self, url_of: Callable[[], UpstreamUrl]) -> None:
        self._url_of = url_of
        self._idle: psycopg.AsyncConnection[Any] | None = None

    async def close(self) -> None:
        """Close the connection that is kept."""
        idle, self._idle = self._idle, None
        if idle is not None:
            await idle.close()

    async def rows(self, reading: Reading, parameters: tuple[Parameter, ...] | None) -> Figure:
        """How many rows the message would change, as the planner estimates."""
        writers = [each for each in reading.statements if each.effects & WRITES]
        if not reading.effects <= PROBED_EFFECTS:
            return Figure(None, Basis.UNKNOWN, "it does more than change rows")
        if len(writers) != 1 and parameters:
            return Figure(None, Basis.UNKNOWN, "parameters of several statements")
        total = 0
        try:
            async with self._connection() as connection:
                for statement in writers:
                    figure = await _explained(connection, statement, parameters)
                    if figure.value is None:
                        return figure
                    total += figure.value
        except (psycopg.Error, OSError, ValueError) as error:
            return Figure(None, Basis.UNKNOWN, _words(error))
        return Figure(total, Basis.ESTIMATE)

    async def table_rows(self, reading: Reading) -> Figure:
        """Rows of the largest table that the message defines or alters; 0 for a new one."""
        names = {
            f"{_quoted(use.schema)}.{_quoted(use.name)}" if use.schema else _quoted(use.name)
            for use in reading.objects
            if use.access is Access.DEFINE
        }
        largest = 0
        try:
            async with self._connection() as connection:
                for name in sorted(names):
                    parameter = Parameter(name.encode())
                    row = await _first_value(connection, TABLE_ROWS_QUERY, (parameter,))
                    largest = max(largest, int(row) if row is not None else 0)
        except (psycopg.Error, OSError, ValueError) as error:
            return Figure(None, Basis.UNKNOWN, _words(error))
        return Figure(largest, Basis.ESTIMATE)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        connection, self._idle = self._idle, None
        if connection is None or connection.closed:
            connection = await self._connect()
        else:
            try:
                await connection.execute("BEGIN READ ONLY")
            except psycopg.OperationalError:  # the server has restarted since the last probe
                await connection.close()
                connection = await self._connect()
        try:
            yield connection
            await connection.execute("ROLLBACK")
        except BaseException:
            await connection.close()
            raise
        if self._idle is None:
            self._idle = connection
        else:
            await connection.close()

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        connection = await psycopg.AsyncConnection.connect(
            conninfo_of(self._url_of()),
            options=SETTINGS,
            application_name="holdpoint probe",
            connect_timeout=max(2, int(limits.PROBE_TIMEOUT_S)),
            autocommit=True,
        )
        await connection.execute("BEGIN READ ONLY")
        return connection


def conninfo_of(url: UpstreamUrl) -> str:
    """Return the URL as a libpq connection string, for drivers."""
    optional = {
        "user": url.user,
        "password": url.password,
        "dbname": url.dbname,
        "sslrootcert": url.sslrootcert,
        "sslcert": url.sslcert,
        "sslkey": url.sslkey,
    }
    binding = "" if url.channel_binding is ChannelBinding.PREFER else url.channel_binding.value
    return make_conninfo(
        "",
        host=url.host,
        port=url.port,
        sslmode=url.sslmode.value,
        **({"channel_binding": binding} if binding else {}),
        **{name: value for name, value in optional.items() if value},
    )


async def _explained(
    connection: psycopg.AsyncConnection[Any],
    statement: Statement,
    parameters: tuple[Parameter, ...] | None,
) -> Figure:
    if statement.tag not in EXPLAINED_TAGS:
        return Figure(None, Basis.UNKNOWN, f"{statement.tag} cannot be explained")
    text = f"EXPLAIN (FORMAT JSON) {statement.text}"
    plan = await _first_value(connection, text, parameters or ())
    if plan is None:
        return Figure(None, Basis.UNKNOWN, "no plan came back")
    return Figure(rows_changed(orjson.loads(plan)), Basis.ESTIMATE)


def rows_changed(plans: list[dict[str, Any]]) -> int:
    """Return the rows that the ModifyTable nodes of a plan take in, summed.

    A ModifyTable's own count is 0 without RETURNING; what it changes is what its input delivers.
    """
    total = 0
    waiting = [plan["Plan"] for plan in plans if "Plan" in plan]
    while waiting:
        node = waiting.pop()
        children = node.get("Plans", [])
        if node.get("Node Type") == "ModifyTable":
            total += sum(
                int(child.get("Plan Rows", 0))
                for child in children
                if child.get("Parent Relationship") == "Outer"
            )
        waiting.extend(children)
    return total


async def _first_value(
    connection: psycopg.AsyncConnection[Any], text: str, parameters: tuple[Parameter, ...]
) -> bytes | None:
    """Run one statement with raw bind values, as the agent sent them; return its first value."""
    pgconn = connection.pgconn
    pgconn.send_query_params(
        text.encode(),
        [parameter.value for parameter in parameters],
        param_types=[parameter.type_oid for parameter in parameters],
        param_formats=[pq.Format.BINARY if each.binary else pq.Format.TEXT for each in parameters],
    )
    results = await connection.wait(generators.execute(pgconn))
    result = results[-1]
    if result.status == pq.ExecStatus.FATAL_ERROR:
        message = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode()
        raise psycopg.ProgrammingError(message or "the probe failed")
    return result.get_value(0, 0) if result.ntuples else None


def _quoted(name: str) -> str:
    """Return a name as ``to_regclass`` reads it exactly."""
    return '"' + name.replace('"', '""') + '"'


def _words(error: Exception) -> str:
    first = str(error).strip().splitlines()
    return first[0][:200] if first else type(error).__name__
