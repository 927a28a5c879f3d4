"""A statement that goes over its budget while it runs ends in an error, whatever the server did.

From the row on that is over its budget nothing of a result is passed on. The server is asked to
cancel the statement; its error is then exchanged for one that names the budget. Often it is too
late for that: the whole result is on its way already. Then the server is made to fail by the same
frame that stands in for a refused one, so that the transaction is in the state that an error leaves
behind, and ReadyForQuery tells the truth. Where the truth cannot be told any more (something behind
the statement has been committed) the session ends. Why it is done so:
``docs/decisions/0008-budgets.md``.

**A late cancel must never hit the next statement.** So nothing is sent to the server until the
connection that carried the request has been closed by it: by then the signal was delivered, and a
server that waits for a command ignores it (PostgreSQL: ``ProcessInterrupts``).

This module compiles with mypyc.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mypy_extensions import i64

from holdpoint.doors.postgres.answers import IDLE, Answers
from holdpoint.doors.postgres.parties import Owner, Reads
from holdpoint.doors.postgres.pending import (
    CLOSE,
    EXECUTE,
    QUERY,
    REFUSED,
    SYNC,
    Cut,
    Operation,
    Pending,
)
from holdpoint.doors.postgres.refusing import OVER_BUDGET, REFUSED_PARSE, REFUSED_QUERY
from holdpoint.model import limits
from holdpoint.model.effects import TransactionMark
from holdpoint.wire.postgres import frames, messages
from holdpoint.wire.postgres.errors import ProtocolError
from holdpoint.wire.postgres.stream import Room

IN_TRANSACTION: Final = 0x54
UNTRUE: Final = (
    "a result went over its budget (HP8014), and what was sent with it has run all the same: "
    "look at what is committed"
)

UNASKED: Final = (
    "what the server sent without being asked, such as notifications, went over the budget `bytes` "
    "of one answer (HP8014)"
)


class Overrun(Answers):
    """Adds the end of what goes over its budget to what a session knows of its server."""

    def __init__(
        self,
        owner: Owner,
        reads: Reads,
        session: str,
        write_client: Callable[[bytes], None],
        write_server: Callable[[bytes], None],
    ) -> None:
        super().__init__(owner, reads, session, write_client, write_server)
        self._write_through = write_server
        self._held: list[bytes] = []  # for the server, while a request to cancel is on its way
        self.cancelling = False

    def room_of(self, portal: bytes, in_part: bool) -> Room | None:
        """Return what a portal may still return in all; None when it was not run in parts."""
        if not self.meter.limits_results:
            return None
        room = self.rooms.get(portal)
        if room is None and in_part:
            if len(self.rooms) >= limits.STATEMENT_NAME_COUNT_MAX:
                return Room(0, 0)
            room = self.rooms[portal] = Room(self.meter.rows_max, self.meter.size_max)
        return room

    def over_result(self, room: Room) -> None:
        """Pass on no more of a result, and see that it ends in an error."""
        over, room.over = room.over, 0
        if not self.pending:
            raise ProtocolError(UNASKED, OVER_BUDGET)
        words = self.too_long(over)
        entry = self.pending[0]
        operation = entry.operation
        if operation is not None and operation.on_answer is not None:
            operation.over = words
            self.cut = Cut(entry, words, room, bounded=True, is_last=True)
            return
        self._cancel(words)
        end = self._end_of_segment()
        is_last = end == len(self.pending) - 1
        self.cut = Cut(entry, words, room, bounded=False, is_last=is_last)
        if end < 0:  # the server waits for more of it: so the next frame can make it fail
            self.pending.append(Pending(REFUSED, refusal=words))
            self.skipping = True
            self._write_through(REFUSED_PARSE)

    def _end_of_segment(self) -> int:
        """Return which entry of the queue ReadyForQuery will answer first; -1 when none will."""
        for index, entry in enumerate(self.pending):
            if entry.kind == SYNC or entry.kind == QUERY:
                return index
        return -1

    def cancel_head(self, words: bytes) -> None:
        """Have what runs now cancelled; ``words`` are its error, if it does not end before."""
        if self.pending and not self.cancelling:
            self._cancel(words)

    def _cancel(self, words: bytes) -> None:
        """Ask the server to cancel what it runs, and send it nothing until that is over."""
        for entry in self.pending:  # any of them may be what is cancelled
            entry.over = words
        if not self.cancelling:
            self.cancelling = True
            self.write_server = self._hold_back
            self.owner.cancel_running()

    def _hold_back(self, data: bytes) -> None:
        self._held.append(data)

    def cancelled(self) -> None:
        """Go on: no request to cancel is on its way to the server any more."""
        self.cancelling = False
        self._let_go()

    def _let_go(self) -> None:
        """Send what was held back, once neither a request nor a result stands before it."""
        if self.cancelling or self.cut is not None:
            return
        self.write_server = self._write_through
        held, self._held = self._held, []
        for data in held:
            self.write_server(data)

    def _end_cut(self) -> None:
        self.cut = None
        self._let_go()

    def cut_frame(self, kind: i64, data: bytes, position: i64, stop: i64) -> bytes | None:
        """Take what is no part of a result: answers are dropped, what is none passes."""
        cut = self.cut
        assert cut is not None, "its caller has looked"
        if kind == frames.NOTICE_RESPONSE or kind == frames.NOTIFICATION_RESPONSE:
            size = int(stop - position)
            if size > cut.room.size:
                return b""
            cut.room.size -= size
            return None
        if kind == frames.PARAMETER_STATUS:
            return self.answer(kind, data, position, stop)
        if kind == frames.ERROR_RESPONSE:
            return self._cut_error(cut, data, position, stop)
        if kind == frames.READY_FOR_QUERY:
            return self._cut_ready(cut, data, position, stop)
        if kind == frames.COPY_IN_RESPONSE:  # the client will never send that data
            raise ProtocolError(UNTRUE, OVER_BUDGET)
        entry = self.pending[0] if self.pending else None
        if entry is not None:
            if cut.bounded:
                pass  # whatever it has done is taken back
            elif entry is cut.entry:
                _note_failure(entry, certain=False)
            elif self._leaves_trace(entry):
                cut.leaves_traces = True
        self.answer(kind, data, position, stop)
        if cut.bounded:
            self.kept = b""
            if cut.entry.kind == EXECUTE:
                self._end_cut()
        return b""

    def _leaves_trace(self, entry: Pending) -> bool:
        """Tell whether what has run behind the statement would not have after an error.

        Writes are no trace yet: the transaction they are in may still fail.
        """
        if entry.kind == CLOSE:
            return not entry.is_portal
        known = entry.known
        operation = entry.operation
        if operation is not None:
            known = operation.known
            if self.wrote and (operation.statement is None or ends_transaction(operation)):
                return True
        if known is not None:
            return bool(known.prepares or known.forgets) or (known.commits and self.wrote)
        return entry.prepared is not None and entry.name != b""

    def _cut_error(self, cut: Cut, data: bytes, position: i64, stop: i64) -> bytes | None:
        """Take the error that ends the statement, for whatever reason: it is over its budget."""
        payload = data[position + 5 : stop]
        fields = messages.parse_fields(payload)
        self.answer(frames.ERROR_RESPONSE, data, position, stop)
        if fields.get("V", fields.get("S", "")) in ("FATAL", "PANIC"):
            return None
        if cut.leaves_traces:
            raise ProtocolError(UNTRUE, OVER_BUDGET)
        self._end_cut()
        return cut.words

    def _cut_ready(self, cut: Cut, data: bytes, position: i64, stop: i64) -> bytes | None:
        """Take the end of a segment in which all has gone well: let it fail after all.

        Outside a transaction nothing of the server's state would be different after an error, if
        nothing was changed; inside one the server must fail, too.
        """
        status = data[position + 5]
        is_over = status == IDLE and self.wrote
        if not cut.bounded and self.pending and self.pending[0] is cut.entry:
            _note_failure(cut.entry, certain=not is_over)
        self.answer(frames.READY_FOR_QUERY, data, position, stop)
        if cut.bounded:
            self._end_cut()
            return b""
        if cut.leaves_traces or is_over:
            raise ProtocolError(UNTRUE, OVER_BUDGET)
        if status != IN_TRANSACTION:
            self._end_cut()
            return cut.words + data[position:stop]
        if not cut.is_last:
            raise ProtocolError(UNTRUE, OVER_BUDGET)
        refused = Pending(QUERY, refusal=cut.words)
        refused.over = cut.words
        self.pending.appendleft(refused)
        self._write_through(REFUSED_QUERY)
        return b""


def _note_failure(entry: Pending, certain: bool) -> None:
    """Note that a statement which the server has completed failed for us.

    A write may have been committed all the same: unless it is ``certain`` that it will not stay,
    the trail and the budget of rows keep what the server said of it.
    """
    operation = entry.operation
    if operation is None:
        entry.sqlstate = OVER_BUDGET
    elif certain or not operation.wrote:
        entry.sqlstate = operation.sqlstate = OVER_BUDGET


def ends_transaction(operation: Operation) -> bool:
    """Tell whether a statement may have ended a transaction."""
    statement = operation.statement
    return statement is not None and statement.transaction is not TransactionMark.NONE
