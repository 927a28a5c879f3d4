"""``--url``: a live database beside the judging of statements."""

from __future__ import annotations

import os
from time import monotonic
from typing import Any

from holdpoint.config.urls import UrlError, resolve_upstream
from holdpoint.model.limits import UPSTREAM_CONNECT_TIMEOUT_S
from holdpoint.model.steps import (
    EstimateCascades,
    EstimateReadCost,
    EstimateRows,
    EstimateTableRows,
    LookUpCatalog,
    MeasureImpact,
    Step,
)
from holdpoint.model.upstream import UpstreamUrl


class Unreachable(Exception):
    """The database cannot be reached; the text says which and why, without secrets."""


class LiveDatabase:
    """Answers what judging asks by a database's catalog, planner and sessions; ``close`` it."""

    def __init__(self, upstream: UpstreamUrl) -> None:
        import asyncio

        from holdpoint.engine.catalog_keeper import CatalogKeeper
        from holdpoint.engine.probes import DatabaseProber

        self._prober = DatabaseProber(lambda: upstream)
        self._keeper = CatalogKeeper(lambda: upstream)
        self._runner = asyncio.Runner()  # one loop for all: they share connections

    def answer(self, step: Step[Any]) -> Any:
        """The database's reply to one step."""
        return self._runner.run(self._answer(step))

    async def _answer(self, step: Step[Any]) -> Any:
        from holdpoint.engine.catalogs import CatalogUnavailable
        from holdpoint.engine.probes import Question

        match step:
            case LookUpCatalog(_, fresh):
                try:
                    return await self._keeper.get(monotonic() if fresh else None)
                except CatalogUnavailable as problem:
                    return f"the catalog cannot be read: {problem}"
            case EstimateRows(submission, reading):
                return await self._prober.rows(Question(reading=reading, view=submission.view))
            case EstimateTableRows(submission, reading):
                question = Question(reading=reading, view=submission.view)
                return await self._prober.table_rows(question)
            case EstimateReadCost(submission, reading):
                question = Question(reading=reading, view=submission.view)
                return await self._prober.read_cost(question)
            case EstimateCascades(submission, reading, cascades, queries):
                question = Question(reading=reading, view=submission.view)
                return await self._prober.cascades(question, cascades, queries)
            case MeasureImpact(submission, reading):
                question = Question(reading=reading, view=submission.view)
                return await self._prober.measure(question, step)
        raise AssertionError(f"no way to answer {type(step).__name__}")

    def close(self) -> None:
        """Close every connection."""
        self._runner.run(self._prober.close())
        self._runner.run(self._keeper.close())
        self._runner.close()


def live_database(source: str) -> LiveDatabase:
    """Connect once, and give what answers. Raises ``UrlError``, ``Unreachable``.

    ``source`` is a URL, ``env:NAME`` or ``file:PATH``. A figure that the database does not answer
    is unknown, so what rests on it is held.
    """
    upstream = resolve_upstream(source, os.environ)
    _check_reachable(upstream)
    return LiveDatabase(upstream)


def _check_reachable(upstream: UpstreamUrl) -> None:
    """Connect and leave again."""
    import psycopg

    try:
        connection = psycopg.connect(
            host=upstream.host,
            port=upstream.port,
            user=upstream.user or None,
            password=upstream.password or None,
            dbname=upstream.dbname or None,
            sslmode=upstream.sslmode.value,
            sslrootcert=upstream.sslrootcert or None,
            sslcert=upstream.sslcert or None,
            sslkey=upstream.sslkey or None,
            channel_binding=upstream.channel_binding.value,
            connect_timeout=int(UPSTREAM_CONNECT_TIMEOUT_S),
            application_name="holdpoint",
        )
    except psycopg.Error as error:
        words = " ".join(str(error).split())
        raise Unreachable(f"cannot reach `{upstream.place}`: {words}") from error
    connection.close()


__all__ = ["LiveDatabase", "Unreachable", "UrlError", "live_database"]
