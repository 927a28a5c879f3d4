"""``--url``: a live database beside the judging of statements."""

from __future__ import annotations

import atexit
import os

from holdpoint.cli.judging import Figures, Place
from holdpoint.config.urls import UrlError, resolve_upstream
from holdpoint.model.effects import Reading
from holdpoint.model.impact import Fact, Figure, Impact
from holdpoint.model.limits import UPSTREAM_CONNECT_TIMEOUT_S
from holdpoint.model.upstream import UpstreamUrl


class Unreachable(Exception):
    """The database cannot be reached; the text says which and why, without secrets."""


def live_figures(source: str) -> Figures:
    """Connect once, and give what answers the figures. Raises ``UrlError``, ``Unreachable``.

    ``source`` is a URL, ``env:NAME`` or ``file:PATH``. A figure that the database does not answer
    is unknown, so what rests on it is held.
    """
    import asyncio

    from holdpoint.engine.probes import DatabaseProber, Question

    upstream = resolve_upstream(source, os.environ)
    _check_reachable(upstream)
    prober = DatabaseProber(lambda: upstream)
    runner = asyncio.Runner()  # one loop for all probes: they share a connection
    atexit.register(runner.close)
    atexit.register(lambda: runner.run(prober.close()))  # handlers run last in, first out

    def ask(place: Place, reading: Reading, needed: frozenset[Fact]) -> Impact:
        question = Question(reading=reading)
        return Impact(
            rows=runner.run(prober.rows(question)) if Fact.ROWS in needed else Figure(),
            table_rows=(
                runner.run(prober.table_rows(question)) if Fact.TABLE_ROWS in needed else Figure()
            ),
        )

    return ask


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


__all__ = ["Unreachable", "UrlError", "live_figures"]
