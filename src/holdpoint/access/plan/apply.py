"""Sends a plan through the gate itself, as one message: the gate holds it, people see all of it.

PostgreSQL runs the statements of one simple query message as one transaction (manual, section
54.2.2.1), so whatever happens on the way, either all of it was done or nothing.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import psycopg
from psycopg import pq

from holdpoint.access.plan.statements import Step
from holdpoint.model.limits import CANCEL_TIMEOUT_S, PARSE_BYTES_MAX, STATEMENT_COUNT_MAX
from holdpoint.policy import refusals

Connection = psycopg.Connection[tuple[Any, ...]]

TICK_S: Final = 0.2
# What is asked before anything is sent: the plan was made by this role, on this server.
WHERE: Final = """
SELECT current_user, pg_catalog.current_database(),
       extract(epoch FROM pg_catalog.pg_postmaster_start_time())::text
"""
_QUERY_CANCELED: Final = "57014"
_REFUSED: Final = "42501"
# Something is not there, or there already: it changed after the plan was made (appendix A).
_CHANGED: Final = frozenset(
    {"2BP01", "3D000", "3F000", "42703", "42704", "42710", "42723", "42883", "42P01", "XX000"}
)


class Result(StrEnum):
    """What became of a plan that was sent."""

    DONE = "done"
    HELD = "held"  # people have not answered yet
    REJECTED = "rejected"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    REFUSED = "refused"  # the gate does not let it through, or the database does not
    STALE = "stale"  # the database has changed since the plan was made
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"  # the connection went away: done as a whole or not at all


_ENDS: Final = {
    refusals.HELD: Result.HELD,
    refusals.REJECTED: Result.REJECTED,
    refusals.EXPIRED: Result.EXPIRED,
    refusals.SUPERSEDED: Result.SUPERSEDED,
    _QUERY_CANCELED: Result.CANCELLED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """How it ended: the server's or the gate's words, and the statement that failed, if one did."""

    result: Result
    message: str = ""
    detail: str = ""
    hint: str = ""
    failed: Step | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What the gate or the server says on the way; ``held`` when people have been asked."""

    held: bool
    message: str
    detail: str = ""
    hint: str = ""


def too_large(steps: Sequence[Step], sql: str) -> str:
    """Say why a plan cannot be sent as one message; empty if it can."""
    if len(steps) > STATEMENT_COUNT_MAX:
        return f"{len(steps):,} statements, of which one message takes {STATEMENT_COUNT_MAX:,}"
    if len(sql.encode()) > PARSE_BYTES_MAX:
        return f"{len(sql.encode()):,} bytes, of which one message takes {PARSE_BYTES_MAX:,}"
    return ""


def where(connection: Connection) -> tuple[str, str, str]:
    """Return role, database and start of the server behind a gate. Raises ``psycopg.Error``."""
    [(role, database, started)] = connection.execute(WHERE).fetchall()
    return role, database, started


def send(
    connection: Connection,
    sql: str,
    steps: Sequence[Step],
    *,
    told: Callable[[Notice], None],
    tick: Callable[[float], None],
) -> Applied:
    """Send a plan and wait for its end. ``tick`` is called with the seconds that it has taken.

    An interrupt (``KeyboardInterrupt``) asks the gate to cancel, waits for its answer, and counts
    as ``CANCELLED`` unless it came too late.
    """
    wire = connection.pgconn
    connection.add_notice_handler(lambda diagnostic: told(_notice(diagnostic)))
    waiting = _Waiting(connection, tick)
    try:
        wire.send_query(sql.encode())
        try:
            results = waiting.results()
        except KeyboardInterrupt:
            results = waiting.cancelled()
    except psycopg.OperationalError as error:
        return _lost(str(error))
    return _applied(results, steps, wire)


class _Waiting:
    """Collects the results of one message; an interrupt does not lose those that came."""

    def __init__(self, connection: Connection, tick: Callable[[float], None]) -> None:
        self._connection = connection
        self._tick = tick
        self._since = time.monotonic()
        self._results: list[pq.abc.PGresult] = []

    def results(self) -> list[pq.abc.PGresult]:
        """Wait for every result."""
        wire = self._connection.pgconn
        while True:
            unsent = wire.flush()
            ready, _, _ = select.select([wire.socket], [wire.socket] if unsent else [], [], TICK_S)
            if not ready:
                self._tick(time.monotonic() - self._since)
                continue
            wire.consume_input()
            while not wire.is_busy():
                result = wire.get_result()
                if result is None:
                    return self._results
                self._results.append(result)

    def cancelled(self) -> list[pq.abc.PGresult]:
        """Ask for an end and wait for it; a second interrupt waits no longer."""
        self._tick = _not_told
        self._connection.cancel_safe(timeout=CANCEL_TIMEOUT_S)
        return self.results()


def _not_told(_: float) -> None:
    """Tell nobody."""


def _applied(
    results: Sequence[pq.abc.PGresult], steps: Sequence[Step], wire: pq.abc.PGconn
) -> Applied:
    done = 0
    for result in results:
        if result.status in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK):
            done += 1
            continue
        return _failed(result, steps[done] if done < len(steps) else None)
    if wire.status != pq.ConnStatus.OK:
        return _lost("")
    if done != len(steps):
        return _lost(f"{done} of {len(steps)} statements were answered")
    return Applied(result=Result.DONE)


def _failed(result: pq.abc.PGresult, step: Step | None) -> Applied:
    state = _field(result, pq.DiagnosticField.SQLSTATE)
    if not state:  # libpq's own words: the connection is gone
        return _lost(result.error_message.decode("utf-8", "replace"))
    message = _field(result, pq.DiagnosticField.MESSAGE_PRIMARY)
    detail = _field(result, pq.DiagnosticField.MESSAGE_DETAIL)
    hint = _field(result, pq.DiagnosticField.MESSAGE_HINT)
    end = _ENDS.get(state)
    of_gate = end is not None or message.startswith(("refused: ", "rolled back: "))
    if end is None:
        if of_gate or state == _REFUSED:
            end = Result.REFUSED
        else:
            end = Result.STALE if state in _CHANGED else Result.FAILED
    return Applied(
        result=end,
        message=message,
        detail=detail,
        hint=hint,
        failed=None if of_gate else step,
    )


def _lost(words: str) -> Applied:
    return Applied(result=Result.LOST, message=" ".join(words.split()))


def _notice(diagnostic: psycopg.errors.Diagnostic) -> Notice:
    return Notice(
        held=diagnostic.sqlstate == refusals.HELD,
        message=diagnostic.message_primary or "",
        detail=diagnostic.message_detail or "",
        hint=diagnostic.message_hint or "",
    )


def _field(result: pq.abc.PGresult, field: pq.DiagnosticField) -> str:
    value = result.error_field(field)
    return value.decode("utf-8", "replace") if value is not None else ""
