"""What ``pg_stat_statements`` has seen: texts with ``$n`` for constants, by role, with counts.

Only what ran to its end is in it (manual, section F.32). It forgets what is rare, knows no order
and no sessions, and says of no statement when it ran (since PostgreSQL 17: since when it counts).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from psycopg import sql

from holdpoint.access.history import Ending, Said
from holdpoint.access.suggest.rights_held import Connection, unshadowed

HIDDEN: Final = "<insufficient privilege>"
"""What stands for the texts of others where the one who asks may not see them."""

_EXTENSION: Final = """
SELECT n.nspname::text FROM pg_catalog.pg_extension AS e
  JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
 WHERE e.extname = 'pg_stat_statements'
"""
_HAS_TOPLEVEL: Final = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute AS a
                JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
                JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
               WHERE n.nspname = %(schema)s AND c.relname = 'pg_stat_statements'
                 AND a.attname = 'toplevel')
"""
# The role of a row may be gone; what a function ran inside is read in the function.
_ROWS: Final = """
SELECT coalesce(r.rolname::text, ''), s.query::text, s.calls::bigint
  FROM {view} AS s LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = s.userid
 WHERE s.dbid = (SELECT d.oid FROM pg_catalog.pg_database AS d
                  WHERE d.datname = pg_catalog.current_database())
"""


class NotThere(Exception):
    """The statistics cannot be had; the message says why and what to do."""


@dataclass(slots=True)
class Statistics:
    """Reads the statistics of one database. ``hidden`` counts texts that may not be seen."""

    role: str = ""
    hidden: int = 0
    others: int = 0

    async def read(self, connection: Connection, schema: str = "") -> list[tuple[Said, int]]:
        """Return each text with how often it ran; ``schema`` is the extension's unless given.

        Raises ``NotThere``, psycopg.Error.
        """
        async with unshadowed(connection):
            return await self._read(connection, schema)

    async def _read(self, connection: Connection, schema: str) -> list[tuple[Said, int]]:
        if not schema:
            found = await (await connection.execute(_EXTENSION)).fetchone()
            if found is None:
                raise NotThere(
                    "the extension `pg_stat_statements` is not installed in this database: "
                    "`CREATE EXTENSION pg_stat_statements`, or name a server's log"
                )
            schema = str(found[0])
        answer = await connection.execute(_HAS_TOPLEVEL, {"schema": schema})
        row = await answer.fetchone()
        query = _ROWS + ("   AND s.toplevel\n" if row is not None and row[0] else "")
        view = sql.Identifier(schema, "pg_stat_statements")
        cursor = await connection.execute(sql.SQL(query).format(view=view))
        return list(self._said(await cursor.fetchall()))

    def _said(self, rows: list[tuple[Any, ...]]) -> Iterator[tuple[Said, int]]:
        for role, text, calls in rows:
            if self.role and role != self.role:
                self.others += 1
            elif text is None or text == HIDDEN:
                self.hidden += 1
            else:
                said = Said(
                    seq=0, at_us=0, session="", agent=role, role=role, text=text, ending=Ending.RAN
                )
                yield said, int(calls)
