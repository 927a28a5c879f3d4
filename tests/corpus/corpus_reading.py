"""Reads cases as a session of the gate would: with the catalog or without one."""

from __future__ import annotations

import asyncio

import psycopg
from corpus_cases import Case
from corpus_server import CorpusDatabase

from holdpoint import sql
from holdpoint.cli.judging import session_after
from holdpoint.engine.catalogs import read_catalog
from holdpoint.model.catalog import CatalogRows
from holdpoint.model.effects import Dialect, Effect, Reading, SessionView
from holdpoint.sql.names import Catalog

# What one effect of the reader says beyond another of the corpus.
COVERS: dict[Effect, frozenset[Effect]] = {
    Effect.WRITE: frozenset({Effect.WRITE, Effect.BULK_WRITE}),
}


def covered(truth: frozenset[Effect], said: frozenset[Effect]) -> bool:
    """Whether nothing harmful of the truth is missing from what the reader said."""
    return all(said & COVERS.get(effect, frozenset({effect})) for effect in truth - {Effect.READ})


def read_case(case: Case, catalog: Catalog | None = None) -> Reading:
    """What the reader makes of a case in the session that the messages before it leave."""
    view = SessionView()
    for text in case.before:
        view = session_after(view, sql.read(text, Dialect.POSTGRES, view, catalog))
    return sql.read(case.sql, Dialect.POSTGRES, view, catalog)


def catalog_of(database: CorpusDatabase) -> Catalog:
    """The database's catalog, as the gate's least privileged role sees it."""

    async def rows() -> CatalogRows:
        async with await psycopg.AsyncConnection.connect(
            database.url("reader"), autocommit=True
        ) as connection:
            return await read_catalog(connection)

    return Catalog(asyncio.run(rows()))


def catalog_for(case: Case, database: CorpusDatabase, usual: Catalog) -> Catalog:
    """The catalog as the case finds it: with its setup, with its session's temporary objects."""
    if case.setup:
        with database.copy() as own:
            with own.session("superuser") as session:
                session.do(case.setup)
            return catalog_of(own)
    if any("temp" in text.lower() for text in case.before):
        with database.session(case.role) as session:
            for text in case.before:
                session.do(text)
            return catalog_of(database)
    return usual
