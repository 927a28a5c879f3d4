"""What no statement brings about: a session that runs, or sits in a transaction, for too long.

The server's own timeouts are set from the budget when a session starts, and end things to the
millisecond. An agent can SET them away; then this watch is what ends them, looking at each session
once a second (``limits.WATCH_S``). What waits at the gate for people is not running.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from holdpoint.doors.postgres import refusing, upstream
from holdpoint.doors.postgres.pending import Pending
from holdpoint.doors.postgres.upstream import UpstreamError
from holdpoint.model import limits
from holdpoint.model.finding import Finding
from holdpoint.wire.postgres import messages

if TYPE_CHECKING:
    from holdpoint.doors.postgres.session import Session

log = structlog.get_logger(__name__)

IDLE_IN_TRANSACTION: Final = "25P03"  # idle_in_transaction_session_timeout (manual, appendix A)


class Watch:
    """The watch over one session. ``look`` is called with the time of a monotonic clock."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._head: Pending | None = None
        self._head_since = 0.0
        self._cancelled = False
        self._idle_since: float | None = None
        self._turns = 0

    def look(self, now: float) -> None:
        """End what has gone on for longer than its budget."""
        self._look_at_statement(now)
        self._look_at_transaction(now)

    def _look_at_statement(self, now: float) -> None:
        relay = self._session.relay
        head = relay.pending[0] if relay.pending else None
        if head is not self._head:
            self._head, self._head_since, self._cancelled = head, now, False
        limit = relay.meter.budget.statement_s
        if head is None or limit is None:
            return
        over_s = now - self._head_since - limit
        if over_s > 0 and not self._cancelled:
            self._cancelled = True
            relay.cancel_head(refusing.over_time(limit))
        elif over_s > limits.CANCEL_TIMEOUT_S:  # a client that takes no rows, or sends no COPY data
            self._end(
                refusing.QUERY_CANCELED,
                f"the budget `statement_time` lets one statement run for {limit:g} s (HP8014)",
                "it could not be cancelled, so the session was ended",
            )

    def _look_at_transaction(self, now: float) -> None:
        relay = self._session.relay
        limit = relay.meter.budget.idle_in_transaction_s
        rests = (
            (relay.status != messages.IDLE or relay.is_open)
            and not relay.pending
            and not relay.bounding
            and not self._session.is_at_gate
        )
        if not rests or relay.turns != self._turns:
            self._turns = relay.turns
            self._idle_since = None
        if not rests or limit is None:
            return
        if self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since > limit:
            self._end(
                IDLE_IN_TRANSACTION,
                f"the budget `idle_in_transaction` lets a transaction rest for {limit:g} s"
                " (HP8014)",
                "it was rolled back; connect again, and keep transactions short",
            )

    def _end(self, sqlstate: str, message: str, hint: str) -> None:
        """End the session; the trail says why."""
        if self._session.ended_by is None:
            self._session.ended_by = Finding(code="HP8014", message=message, hint=hint)
        self._session.fail(sqlstate, message, hint)

    def cancel(self) -> None:
        """Have the server cancel what it runs; the client is not read from until that is over."""
        self._session.pause("cancel", True)
        self._session.spawn(self._cancel())

    async def _cancel(self) -> None:
        session = self._session
        server = session.upstream
        try:
            await upstream.cancel(server.url, server.pid, server.key)
        except TimeoutError:  # it may hit at any time from here on: nothing more must run
            session.fail(
                refusing.QUERY_CANCELED, "what ran over its budget could not be cancelled (HP8014)"
            )
        except (OSError, UpstreamError) as problem:  # never asked: it is followed to its end
            log.warning("cancel.failed", session=session.id, problem=str(problem))
        session.pause("cancel", False)
        session.relay.cancelled()
