"""One look at a database for suggestions: its catalog, and what a role and everybody may do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

import psycopg

from holdpoint.access.suggest.rights_held import (
    Connection,
    RightsHeld,
    read_rights,
    read_signatures,
)
from holdpoint.engine.catalogs import read_catalog
from holdpoint.engine.probes import conninfo_of, options_of
from holdpoint.model.limits import UPSTREAM_CONNECT_TIMEOUT_S
from holdpoint.model.upstream import UpstreamUrl
from holdpoint.sql.names import Catalog


@asynccontextmanager
async def connected(
    url: UpstreamUrl, settings: Sequence[tuple[str, str]] = ()
) -> AsyncIterator[Connection]:
    """A fresh connection with a tier's settings, as its sessions have. Raises psycopg.Error."""
    connection = await psycopg.AsyncConnection.connect(
        conninfo_of(url),
        application_name="holdpoint suggest",
        client_encoding="UTF8",
        options=options_of(settings),
        connect_timeout=max(2, int(UPSTREAM_CONNECT_TIMEOUT_S)),
        autocommit=True,
    )
    async with connection:
        yield connection


async def look_at_catalog(url: UpstreamUrl, settings: Sequence[tuple[str, str]] = ()) -> Catalog:
    """Read the catalog. Raises psycopg.Error, ``CatalogUnavailable``."""
    async with connected(url, settings) as connection:
        return Catalog(await read_catalog(connection))


async def look_at_rights(
    url: UpstreamUrl,
    role: str,
    relations: Iterable[str],
    functions: Iterable[str],
    oids: Iterable[int],
) -> tuple[RightsHeld, dict[int, str]]:
    """Ask for a role's rights, and for the signatures of functions. Raises psycopg.Error."""
    async with connected(url) as connection:
        rights = await read_rights(connection, role, relations, functions)
        held = [each.oid for each in rights.held if each.kind.value == "function"]
        return rights, await read_signatures(connection, {*oids, *held})
