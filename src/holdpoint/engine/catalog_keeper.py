"""Keeps one tier's picture of the catalog fresh, and gives out none that may be stale.

A picture holds as long as its mark does. While statements come, the mark is compared every few
seconds over a connection of the keeper's own, and the catalog is read again when it differs. After
DDL through the gate (``invalidate``) and when no check has succeeded for ``CATALOG_AGE_MAX_S``,
there is no picture until the next check: whoever needs one waits in ``get``, and whoever cannot
have one must hold.

An uncommitted change is visible to nobody but its own session. So ``invalidate`` belongs after
each statement that defines something *and* after the end of its transaction, and until then the
session that made the change must count what it has defined as unknown.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import psycopg

from holdpoint.engine.catalogs import CatalogUnavailable, read_catalog, read_mark
from holdpoint.engine.probes import conninfo_of, options_of
from holdpoint.engine.secrets_command import apart
from holdpoint.model import limits
from holdpoint.model.upstream import UpstreamUrl
from holdpoint.sql.names import Catalog

_NEVER: Final = float("-inf")


class CatalogKeeper:
    """The picture of one tier. Belongs to the event loop that uses it; ``close`` it at the end.

    ``clock`` gives seconds that never go back; ``not_before`` of ``get`` is a time of that clock.
    """

    def __init__(
        self,
        url_of: Callable[[], UpstreamUrl],
        *,
        clock: Callable[[], float] = time.monotonic,
        check_s: float = limits.CATALOG_CHECK_S,
        settings: Sequence[tuple[str, str]] = (),
        source_of: Callable[[], str] = str,
    ) -> None:
        """``check_s``: seconds from one check of the mark to the next, at least.

        ``settings`` are those that sessions start with: a search path makes names mean others.
        When ``source_of`` gives something new, the URL leads to another server: a replica was lost.
        """
        self._options = options_of(settings)
        self._url_of = url_of  # raises ``ValueError`` with words when there is no URL
        self._source_of = source_of
        self._source = ""
        self._place = "the database"
        self._clock = clock
        self._check_s = check_s
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._catalog: Catalog | None = None
        self._read_at = _NEVER  # when the picture was begun
        self._checked_at = _NEVER  # when the last successful check of it was begun
        self._valid = False  # no DDL since that check was begun
        self._used_at = _NEVER
        self._generation = 0  # counts calls of invalidate
        self._flight: asyncio.Task[bool] | None = None
        self._failed_at = _NEVER
        self._failure = ""  # in words, of the last look that failed
        self._checks: asyncio.Task[None] | None = None
        self._took_s = 0.0  # how long the last check took
        self._subscribers: list[Callable[[Catalog], None]] = []
        self._closed = False

    @property
    def current(self) -> Catalog | None:
        """The picture if it is fresh enough to decide by, else None: then ask ``get``."""
        self._used_at = self._clock()
        return self._fresh(None)

    async def get(
        self, not_before: float | None = None, timeout_s: float = limits.CATALOG_WAIT_S
    ) -> Catalog:
        """Return a picture of how things were at ``not_before`` or later; any fresh one for None.

        Raises ``CatalogUnavailable`` if there is none within ``timeout_s``.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await self._get(not_before)
        except TimeoutError:
            raise CatalogUnavailable(
                f"the catalog of {self._place} was not read within {timeout_s:g} s"
            ) from None

    def invalidate(self) -> None:
        """Give out no picture before the catalog has been looked at again: DDL has run."""
        self._generation += 1
        self._valid = False

    def subscribe(self, callback: Callable[[Catalog], None]) -> None:
        """Have ``callback`` called with every picture that differs from the one before."""
        self._subscribers.append(callback)

    async def close(self) -> None:
        """Stop checking, close the connection. Who waits gets ``CatalogUnavailable``."""
        self._closed = True
        for task in (self._checks, self._flight):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self._disconnect()

    # --- giving out -------------------------------------------------------------------------------

    def _fresh(self, not_before: float | None) -> Catalog | None:
        if not self._valid or self._closed:
            return None
        if self._clock() - self._checked_at > limits.CATALOG_AGE_MAX_S:
            return None
        if not_before is not None and self._checked_at < not_before:
            return None
        return self._catalog

    async def _get(self, not_before: float | None) -> Catalog:
        while True:
            self._used_at = self._clock()
            catalog = self._fresh(not_before)
            if catalog is not None:
                return catalog
            if self._closed:
                raise CatalogUnavailable("the gate is shutting down")
            flight = self._flight
            if flight is None:
                if self._clock() - self._failed_at < limits.CATALOG_RETRY_S:
                    raise CatalogUnavailable(self._failure)
                flight = self._start()
            # Whoever waits may be cancelled; the flight goes on for the others.
            await asyncio.wait((flight,))
            if not flight.cancelled() and not flight.result():
                raise CatalogUnavailable(self._failure)

    # --- looking ----------------------------------------------------------------------------------

    def _start(self) -> asyncio.Task[bool]:
        """Start the one look at the catalog that all wait for, and the checks that follow it."""
        self._flight = asyncio.create_task(self._look(), name="catalog")
        self._flight.add_done_callback(self._landed)
        if self._checks is None or self._checks.done():
            self._checks = asyncio.create_task(self._check_on(), name="catalog checks")
        return self._flight

    def _landed(self, flight: asyncio.Task[bool]) -> None:
        if self._flight is flight:
            self._flight = None

    async def _check_on(self) -> None:
        """Check again and again as long as pictures are asked for."""
        while self._clock() - self._used_at < limits.CATALOG_IDLE_S:
            # A check takes its share of a server's process and no more, but pictures stay alive.
            pause = min(self._took_s / limits.CATALOG_CHECK_SHARE, limits.CATALOG_AGE_MAX_S / 3)
            await asyncio.sleep(max(pause, self._check_s))
            await asyncio.wait((self._flight or self._start(),))
        await self._disconnect()

    async def _look(self) -> bool:
        """Compare the mark, read anew what has changed; return whether that succeeded."""
        started, generation = self._clock(), self._generation
        before = self._catalog
        try:
            catalog = await self._looked_up(started)
        except (psycopg.Error, OSError, ValueError, CatalogUnavailable) as error:
            self._failed_at = self._clock()
            self._failure = f"the catalog of {self._place} cannot be read: {_words(error)}"
            await self._disconnect()
            return False
        self._took_s = self._clock() - started
        self._catalog = catalog
        self._checked_at = started
        self._valid = generation == self._generation  # DDL during the look may have been missed
        if before is None or before.rows.mark != catalog.rows.mark:
            for callback in self._subscribers:
                asyncio.get_running_loop().call_soon(callback, catalog)
        return True

    async def _looked_up(self, started: float) -> Catalog:
        """The picture as it is if its mark still holds, or a new one."""
        kept = self._catalog if await self._mark_holds() else None
        if kept is not None and started - self._read_at < limits.CATALOG_WHOLE_S:
            return kept
        try:
            # What a fresh session has (search_path, role) may have changed, too: be one.
            rows = await read_catalog(await self._connect())
        except (psycopg.Error, CatalogUnavailable):
            if kept is None:
                raise
            # Someone locks a table, say. The definitions are as they were; only counts grow old.
            await self._disconnect()
            self._read_at = started
            return kept
        self._read_at = started
        return await asyncio.to_thread(Catalog, rows)

    async def _mark_holds(self) -> bool:
        """Whether there is a picture and the catalog still has its mark."""
        if self._catalog is None:
            return False
        connection = self._connection
        if connection is None or self._source_of() != self._source:
            connection = await self._connect()
        try:
            return await read_mark(connection) == self._catalog.rows.mark
        except psycopg.OperationalError:
            if connection.closed:  # the server has restarted since the last check
                return False
            raise

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        """Replace the connection by a fresh one."""
        await self._disconnect()
        self._source = self._source_of()
        url = await apart(self._url_of)
        self._place = f"`{url.place}`"
        self._connection = await psycopg.AsyncConnection.connect(
            conninfo_of(url),
            application_name="holdpoint catalog",
            client_encoding="UTF8",
            options=self._options,
            connect_timeout=max(2, int(limits.UPSTREAM_CONNECT_TIMEOUT_S)),
            keepalives_idle=limits.CATALOG_KEEPALIVE_S,
            keepalives_interval=limits.CATALOG_KEEPALIVE_S,
            keepalives_count=2,
            autocommit=True,
        )
        return self._connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


def _words(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it holds text in an encoding that cannot be turned into UTF-8"
    first = str(error).strip().splitlines()
    return first[0][: limits.FINDING_QUOTE_CHARS_MAX] if first else "no reason was given"
