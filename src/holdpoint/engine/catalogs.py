"""Read a target's whole catalog, and the mark that tells whether it has changed.

One transaction, read-only and rolled back; its role needs nothing but CONNECT. No user function
runs and no name can be shadowed (see ``catalog_queries``). See ``catalog_keeper`` for keeping the
picture fresh.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer
from psycopg.rows import tuple_row

from holdpoint.engine import catalog_queries as queries
from holdpoint.engine.catalog_mark import MARK
from holdpoint.engine.catalog_rows import Assembly
from holdpoint.model import limits
from holdpoint.model.catalog import CatalogRows

_BATCH: Final = 500  # rows taken from a result at once: other threads wait no longer than that

Connection = psycopg.AsyncConnection[Any]


class CatalogUnavailable(Exception):
    """No picture of the catalog can be had; the message says why, in words for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session:
    """What a fresh session has, before the reader's own settings."""

    version: int
    role: str
    search_path: tuple[str, ...]
    setting: str
    block_size: int

    @property
    def text(self) -> str:
        """All of it, for the mark."""
        return f"{self.version} {self.role!r} {self.search_path!r} {self.setting!r}"


async def read_mark(connection: Connection) -> str:
    """Return the catalog's mark; the connection must be in autocommit and outside a transaction.

    Raises psycopg.Error.
    """
    async with _reading(connection) as session:
        return await _mark(connection, session)


async def read_catalog(connection: Connection) -> CatalogRows:
    """Return a consistent picture of the catalog.

    The connection must be fresh (its search_path counts as every session's), in autocommit and
    outside a transaction. Raises ``CatalogUnavailable`` if the catalog is larger than the limits
    or keeps changing, psycopg.Error if the server refuses, UnicodeDecodeError for text in an
    encoding that cannot be read.
    """
    for _ in range(limits.CATALOG_READ_TRIES):
        picture = await _read(connection)
        # Definitions are written from the newest state, not from the transaction's: only if
        # nothing has changed until now are they what the rest belongs to.
        if await read_mark(connection) == picture.mark:
            return picture
    raise CatalogUnavailable(
        f"the catalog changed while it was read, {limits.CATALOG_READ_TRIES} times in a row"
    )


@asynccontextmanager
async def _reading(connection: Connection) -> AsyncIterator[_Session]:
    """Inside: one snapshot, nothing shadowed. What was set for it is gone afterwards."""
    await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        [row] = [row async for row in await connection.execute(queries.SESSION)]
        await connection.execute(queries.SETTINGS)
        yield _Session(
            version=int(row[0]),
            role=row[1],
            search_path=tuple(row[2]),
            setting=row[3],
            block_size=int(row[4]),
        )
    finally:
        if not connection.closed:
            await connection.execute("ROLLBACK")


async def _mark(connection: Connection, session: _Session) -> str:
    rows = await _first_row(connection, MARK, (session.text,))
    return str(rows[0])


async def _read(connection: Connection) -> CatalogRows:
    async with _reading(connection) as session:
        mark = await _mark(connection, session)
        amount = queries.for_version(queries.AMOUNT, session.version)
        _check_amount(*await _first_row(connection, amount))
        schemas = await connection.execute(queries.SCHEMAS)
        names = tuple([row[0] async for row in schemas])
        assembly = Assembly(session.block_size)
        for area, text in queries.QUERIES.items():
            cursor = await connection.execute(
                queries.for_version(text, session.version), prepare=False
            )
            result = cursor.pgresult
            assert result is not None
            # In a thread, in small steps: the event loop goes on meanwhile.
            await asyncio.to_thread(assembly.take, area, _rows(connection, result))
    return await asyncio.to_thread(
        assembly.picture,
        version=session.version,
        role=session.role,
        search_path=session.search_path,
        schemas=names,
        mark=mark,
    )


def _rows(connection: Connection, result: pq.abc.PGresult) -> Iterator[Sequence[Any]]:
    """The rows of a result, as psycopg would load them."""
    transformer = Transformer(connection)
    transformer.set_pgresult(result)
    for start in range(0, result.ntuples, _BATCH):
        end = min(start + _BATCH, result.ntuples)
        yield from transformer.load_rows(start, end, tuple)


async def _first_row(
    connection: Connection, text: str, parameters: tuple[str, ...] | None = None
) -> Sequence[Any]:
    cursor = connection.cursor(row_factory=tuple_row)
    await cursor.execute(text, parameters, prepare=False)
    row = await cursor.fetchone()
    assert row is not None
    return row


def _check_amount(entries: int, stored_bytes: int) -> None:
    if entries > limits.CATALOG_ENTRIES_MAX:
        raise CatalogUnavailable(
            f"the catalog has {entries:,} entries (tables, columns, functions, …), more than "
            f"{limits.CATALOG_ENTRIES_MAX:,}"
        )
    if stored_bytes > limits.CATALOG_BYTES_MAX:
        raise CatalogUnavailable(
            f"the definitions in the catalog (functions, views, …) take {stored_bytes:,} bytes, "
            f"more than {limits.CATALOG_BYTES_MAX:,}"
        )
