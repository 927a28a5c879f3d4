"""Pictures of catalogs for tests, read from real servers as the gate reads them."""

from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import psycopg

from holdpoint.embedded import EmbeddedPostgres
from holdpoint.engine.catalogs import read_catalog
from holdpoint.sql.names import Catalog
from support.servers import fresh_database


@contextmanager
def catalog_from(server: EmbeddedPostgres, script: str) -> Iterator[Catalog]:
    """The catalog of a fresh database in which ``script`` has run."""
    with fresh_database(server, script) as name:
        yield catalog_of(server.url(database=name))


def catalog_of(url: str) -> Catalog:
    """The catalog of a database."""
    return anyio.run(_read, url)


async def _read(url: str) -> Catalog:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        return Catalog(await read_catalog(connection))
