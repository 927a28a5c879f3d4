"""One server of a tier, looked at every few seconds for as long as the tier is used.

A look is one short query over one connection that is kept; a server that does not answer in time
counts as down. Nothing here waits longer than ``REPLICA_ANSWER_S``, and nothing blocks the loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, LiteralString

import psycopg
import structlog

from holdpoint.engine.probes import conninfo_of
from holdpoint.engine.replicas_lag import HIDDEN, LOG_QUERY, LOOK_QUERY, Course, Lag, Log, Look
from holdpoint.engine.secrets_command import apart
from holdpoint.model import limits
from holdpoint.model.upstream import UpstreamUrl

log = structlog.get_logger(__name__)

SETTINGS: Final = (
    f"-c statement_timeout={int(limits.REPLICA_ANSWER_S * 1000)} "
    "-c default_transaction_read_only=on -c search_path=pg_catalog -c client_encoding=UTF8"
)
STALE_LOOKS: Final = 3  # chosen: what has not been seen for so many looks is not known any more
PROBLEM_CHARS: Final = 200
_NEVER: Final = float("-inf")
# A service that has no such functions, or hides them.
_NOT_TOLD: Final = (psycopg.ProgrammingError, psycopg.NotSupportedError)


class Kind(StrEnum):
    """What a server is, as of the latest look."""

    REPLICA = "replica"
    PRIMARY = "primary"
    DOWN = "down"
    UNKNOWN = "unknown"  # not looked at lately


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a look has shown. ``problem`` is why there is nothing to see, ``lag`` a replica's.

    ``hidden`` says that the role may not see what the walreceiver does. ``log`` is where it stands
    in the log, if that was asked for and is told.
    """

    kind: Kind = Kind.UNKNOWN
    lag: Lag | None = None
    problem: str = ""
    hidden: bool = False
    log: Log | None = None


UNSEEN: Final = Sight(problem="it has not been looked at yet")


class Watched:
    """One server; belongs to the event loop that uses it, ``close`` it at the end.

    ``url_of`` may wait (for a command) and raise ``ValueError``. ``looked`` is called after each
    look. ``sessions`` is how many lead there now; ``failed_at`` is when one last could not.
    ``primary`` is a server that may be the primary of this one: then they are compared.
    """

    def __init__(
        self,
        url_of: Callable[[], UpstreamUrl],
        looked: Callable[[], None],
        every_s: float = limits.REPLICA_LOOK_S,
        clock: Callable[[], float] = time.monotonic,
        primary: Watched | None = None,
    ) -> None:
        self.place = ""
        self.address = ("", 0, "")  # host, port and database that were last looked at
        self.sessions = 0
        self.failed_at = _NEVER
        self._url_of = url_of
        self._looked = looked
        self._every_s = every_s
        self._clock = clock
        self._sight = UNSEEN
        self._seen_at = _NEVER
        self._used_at = _NEVER
        self._course = Course()
        self._primary = primary
        self._is_compared = False
        if primary is not None:
            primary._is_compared = True
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._moved = False
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    @property
    def sight(self) -> Sight:
        """What is known of it now."""
        if self._clock() - self._seen_at <= STALE_LOOKS * self._every_s + limits.REPLICA_ANSWER_S:
            return self._sight
        return UNSEEN

    @property
    def _idle_s(self) -> float:
        return self._clock() - self._used_at

    def use(self) -> None:
        """Look at it from now on, until nobody has used it for ``REPLICA_IDLE_S``."""
        self._used_at = self._clock()
        if self._primary is not None:
            self._primary.use()
        if not self._closed and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._watch(), name="replica")

    async def close(self) -> None:
        """Stop looking, for good: sessions may end later than this."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._disconnect()

    async def _watch(self) -> None:
        try:
            used = True
            while used:
                await self.look()
                self._looked()
                if self._primary is not None:
                    self._primary.use()
                await asyncio.sleep(self._every_s)
                used = bool(self.sessions) or self._idle_s < limits.REPLICA_IDLE_S
        except Exception:  # what is not looked at any more is unknown, and the next use tries again
            log.exception("replica.watch_failed", place=self.place)
            raise
        finally:
            self._seen_at = _NEVER
            await self._disconnect()

    async def look(self) -> Sight:
        """Look once, now."""
        task = asyncio.create_task(self._seen_surely(), name="look")
        try:
            done, _ = await asyncio.wait({task}, timeout=limits.REPLICA_ANSWER_S)
        except asyncio.CancelledError:
            self._abandon(task)
            raise
        if done:
            begun, sight = task.result()
        else:
            self._abandon(task)
            words = f"no answer within {limits.REPLICA_ANSWER_S:g} s"
            begun, sight = self._clock(), Sight(kind=Kind.DOWN, problem=words)
        self._seen_at, self._sight = begun, sight
        return sight

    def _abandon(self, task: asyncio.Task[tuple[float, Sight]]) -> None:
        """Give up a look without waiting for it: on a dead network even that takes its time.

        Its connection is closed when it has ended, and not under its hands.
        """
        connection, self._connection = self._connection, None
        task.cancel()
        if connection is not None:
            task.add_done_callback(lambda _: connection.pgconn.finish())

    async def _seen_surely(self) -> tuple[float, Sight]:
        """Look, and once more if one look cannot tell; return when the last one was begun."""
        begun = self._clock()
        try:
            sight = await self._seen(begun)
            if self._course.is_unsure:
                await asyncio.sleep(limits.REPLICA_LOOK_MIN_S)
                begun = self._clock()
                sight = await self._seen(begun)
        except (psycopg.Error, OSError, ValueError) as error:
            await self._disconnect()
            return self._clock(), Sight(kind=Kind.DOWN, problem=_words(error))
        return begun, sight

    def forget(self) -> None:
        """Take it for unseen, and connect anew at the next look: its URL leads elsewhere now."""
        self._moved = True
        self._seen_at = _NEVER

    async def _seen(self, begun: float) -> Sight:
        connection = self._connection
        if connection is None or connection.closed or self._moved:
            connection = await self._connect()
        log = None
        if self._primary is not None or self._is_compared:
            log = await _log_of(connection, begun)
        sight = await _look_over(connection, self._course, begun, self._primary_of(log))
        return replace(sight, log=log)

    def _primary_of(self, log: Log | None) -> Log | None:
        """Return the primary's position if it was asked lately and is one in the same log."""
        if self._primary is None or log is None:
            return None
        other = self._primary.sight.log
        if other is None or other.position is None or not other.is_of(log):
            return None
        return other if log.at - other.at <= 2 * self._every_s else None

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        """Replace the connection; whatever answers now is a server not seen before."""
        await self._disconnect()
        self._course.forget()
        self._moved = False
        url = await apart(self._url_of)
        self.place, self.address = url.place, (url.host, url.port, url.dbname)
        self._connection = await psycopg.AsyncConnection.connect(
            conninfo_of(url),
            options=SETTINGS,
            application_name="holdpoint replicas",
            connect_timeout=max(2, int(limits.REPLICA_ANSWER_S)),
            keepalives_idle=limits.CATALOG_KEEPALIVE_S,
            keepalives_interval=limits.CATALOG_KEEPALIVE_S,
            keepalives_count=2,
            autocommit=True,
        )
        return self._connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error, OSError):
                await connection.close()


async def look_once(connection: psycopg.AsyncConnection[Any]) -> Sight:
    """Look at the server of a connection, this once. Raises ``psycopg.Error``."""
    course = Course()
    sight = await _look_over(connection, course, time.monotonic())
    if course.is_unsure:
        await asyncio.sleep(limits.REPLICA_LOOK_MIN_S)
        sight = await _look_over(connection, course, time.monotonic())
    return sight


async def _look_over(
    connection: psycopg.AsyncConnection[Any],
    course: Course,
    begun: float,
    primary: Log | None = None,
) -> Sight:
    try:
        look = Look.of(await _row(connection, LOOK_QUERY))
    except _NOT_TOLD as error:
        course.forget()
        [in_recovery] = await _row(connection, "SELECT pg_is_in_recovery()")
        unknown = Lag(seconds=None, why=f"the server does not tell: {_words(error)}")
        return Sight(kind=Kind.REPLICA, lag=unknown) if in_recovery else Sight(kind=Kind.PRIMARY)
    if not look.in_recovery:
        course.forget()
        return Sight(kind=Kind.PRIMARY)
    lag = course.take(look, begun, primary)
    return Sight(kind=Kind.REPLICA, lag=lag, hidden=look.receiver == HIDDEN)


async def _log_of(connection: psycopg.AsyncConnection[Any], at: float) -> Log | None:
    try:
        return Log.of(await _row(connection, LOG_QUERY), at)
    except _NOT_TOLD:  # then there is nothing to compare
        return None


async def _row(connection: psycopg.AsyncConnection[Any], query: LiteralString) -> tuple[Any, ...]:
    row = await (await connection.execute(query)).fetchone()
    assert row is not None, "the queries give one row"
    return tuple(row)


def _words(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:PROBLEM_CHARS] if lines else "no reason was given"
