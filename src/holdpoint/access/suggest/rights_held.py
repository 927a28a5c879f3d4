"""What a role holds now, and what everybody does: asked of the server, to compare with use.

Effective rights, as ``has_*_privilege`` tells them: whether granted to the role, to one it is a
member of, or to PUBLIC. Works on PostgreSQL 13 to 18 with no more than CONNECT.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from holdpoint.model.grants import ObjectClass
from holdpoint.model.needs import Need

EVERYBODY: Final = "public"  # the functions that tell privileges take it for PUBLIC

_OURS: Final = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"

_TABLES: Final = """
SELECT 'table', n.nspname::text, c.relname::text, lower(p), '', c.oid::bigint
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  CROSS JOIN unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) AS p
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {ours}
   AND pg_catalog.has_table_privilege(%(role)s::name, c.oid, p)
"""

_COLUMNS: Final = """
SELECT 'table', n.nspname::text, c.relname::text, lower(p), a.attname::text, c.oid::bigint
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  CROSS JOIN unnest('{SELECT,INSERT,UPDATE,REFERENCES}'::text[]) AS p
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {ours}
   AND NOT pg_catalog.has_table_privilege(%(role)s::name, c.oid, p)
   AND pg_catalog.has_any_column_privilege(%(role)s::name, c.oid, p)
   AND pg_catalog.has_column_privilege(%(role)s::name, c.oid, a.attnum, p)
"""

_SEQUENCES: Final = """
SELECT 'sequence', n.nspname::text, c.relname::text, lower(p), '', c.oid::bigint
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  CROSS JOIN unnest('{USAGE,SELECT,UPDATE}'::text[]) AS p
 WHERE c.relkind = 'S' AND {ours}
   AND pg_catalog.has_sequence_privilege(%(role)s::name, c.oid, p)
"""

_SCHEMAS: Final = """
SELECT 'schema', n.nspname::text, n.nspname::text, lower(p), '', 0::bigint
  FROM pg_catalog.pg_namespace AS n CROSS JOIN unnest('{USAGE,CREATE}'::text[]) AS p
 WHERE {ours} AND pg_catalog.has_schema_privilege(%(role)s::name, n.oid, p)
"""

_FUNCTIONS: Final = """
SELECT 'function', n.nspname::text, p.proname::text, 'execute', '', p.oid::bigint
  FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
 WHERE {ours} AND pg_catalog.has_function_privilege(%(role)s::name, p.oid, 'EXECUTE')
"""

_SIGNATURES: Final = """
SELECT p.oid::bigint, p.proname || '(' || pg_catalog.oidvectortypes(p.proargtypes) || ')'
  FROM pg_catalog.pg_proc AS p WHERE p.oid = ANY(%(oids)s::oid[])
"""

_CLOSED_FUNCTIONS: Final = """
SELECT DISTINCT p.proname::text FROM pg_catalog.pg_proc AS p
  JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
 WHERE n.nspname = 'pg_catalog' AND p.proname = ANY(%(names)s)
   AND NOT pg_catalog.has_function_privilege('public'::name, p.oid, 'EXECUTE')
"""

_CLOSED_RELATIONS: Final = """
SELECT c.relname::text FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE n.nspname IN ('pg_catalog', 'information_schema') AND c.relname = ANY(%(names)s)
   AND NOT pg_catalog.has_any_column_privilege('public'::name, c.oid, 'SELECT')
"""

_ROLE: Final = "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = %(role)s"

Connection = psycopg.AsyncConnection[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RightsHeld:
    """What a role (None: nobody was named, or it does not exist) and everybody may do.

    ``closed`` are the server's own relations and functions that PUBLIC may not use.
    """

    role: str = ""
    exists: bool = False
    superuser: bool = False
    held: frozenset[Need] = frozenset()
    everybody: frozenset[Need] = frozenset()
    closed: frozenset[str] = frozenset()


@asynccontextmanager
async def unshadowed(connection: Connection) -> AsyncIterator[None]:
    """Inside: one snapshot, read-only, and no name or operator means what a user has defined.

    Without it ``name || unknown`` would run a ``||`` for names that somebody made in ``public``,
    with the rights of the one who asks: it fits better than the server's own.
    """
    await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        await connection.execute("SET LOCAL search_path = pg_catalog, pg_temp")
        yield
    finally:
        if not connection.closed:
            await connection.execute("ROLLBACK")


async def read_rights(
    connection: Connection, role: str, relations: Iterable[str], functions: Iterable[str]
) -> RightsHeld:
    """Ask for all of it; ``relations`` and ``functions`` are names of the server's own.

    Raises psycopg.Error.
    """
    async with unshadowed(connection):
        found = await (await connection.execute(_ROLE, {"role": role})).fetchone()
        bare = [name.rpartition(".")[2] for name in relations]
        closed = [
            *await _rows(connection, _CLOSED_RELATIONS, names=bare),
            *await _rows(connection, _CLOSED_FUNCTIONS, names=list(functions)),
        ]
        everybody = await _held(connection, EVERYBODY)
        return RightsHeld(
            role=role,
            exists=found is not None,
            superuser=bool(found and found[0]),
            held=await _held(connection, role) if found is not None else frozenset(),
            everybody=everybody,
            closed=frozenset(row[0] for row in closed),
        )


async def read_signatures(connection: Connection, oids: Iterable[int]) -> dict[int, str]:
    """Return ``f(integer, text)`` for functions, with types as the server writes them."""
    async with unshadowed(connection):
        rows = await _rows(connection, _SIGNATURES, oids=list(oids))
    return {int(row[0]): str(row[1]) for row in rows}


async def _held(connection: Connection, role: str) -> frozenset[Need]:
    found: set[Need] = set()
    for query in (_TABLES, _COLUMNS, _SEQUENCES, _SCHEMAS, _FUNCTIONS):
        for kind, schema, name, privilege, column, oid in await _rows(connection, query, role=role):
            found.add(Need(ObjectClass(kind), schema, name, privilege, column, oid))
    return frozenset(found)


async def _rows(connection: Connection, query: str, **values: object) -> list[tuple[Any, ...]]:
    cursor = await connection.execute(query.replace("{ours}", _OURS).encode(), values)
    return list(await cursor.fetchall())
