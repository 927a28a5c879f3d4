"""What a bounded statement needs of the relay: questions of the gate's own between its frames.

While ``bounding`` is set the client's direction is stopped, and every question is asked with an
empty queue: so what the server sends until its last frame answers that question, and none of it
reaches the client. ``bounding.Bounding`` says what is asked, and what becomes of the answers.

This module compiles with mypyc.
"""

from __future__ import annotations

from collections.abc import Callable

from librt.strings import read_i32_be
from mypy_extensions import i64

from holdpoint.doors.postgres.answers import NOT_KNOWN
from holdpoint.doors.postgres.overrun import Overrun
from holdpoint.doors.postgres.pending import (
    EXECUTE,
    FENCE,
    OWN,
    QUERY,
    SYNC,
    Operation,
    Own,
    Pending,
)
from holdpoint.doors.postgres.refusing import FENCE_FRAME
from holdpoint.wire.postgres import frames, messages
from holdpoint.wire.postgres.errors import ProtocolError
from holdpoint.wire.postgres.frames import frame


class Counting(Overrun):
    """Adds the gate's own questions to what a session knows of its server."""

    def halt(self) -> None:
        """Stop the client's direction until ``go_on``."""
        self.stopped = True
        self.bounding = True

    def go_on(self) -> None:
        """Take up the client's direction again, or end what it has left behind."""
        self.bounding = False
        if self.gone:
            self.held_sync = False
            self.leave()
            return
        if self.held_sync:  # the server that would have ignored it reads COPY data no more
            self.held_sync = False
            self.send_sync()
        self.resume()

    def leave(self) -> bool:
        """Bring what runs to its end without the client; ``relay.Relay`` has it."""
        raise NotImplementedError

    def resume(self) -> None:
        """Go on with what the client has sent meanwhile; ``relay.Relay`` has it."""
        raise NotImplementedError

    def flush(self) -> None:
        """Ask the server for the answers it may have kept back."""
        if self.pending and self.pending[-1].kind not in (QUERY, SYNC):
            self.write_server(messages.FLUSH)

    def fence(self) -> None:
        """Send what changes nothing and is answered: all before it has been answered then."""
        self.pending.append(Pending(FENCE))
        self.write_server(FENCE_FRAME)

    def fence_query(self) -> None:
        """Send a fence before a Query among frames of the extended protocol."""
        self.fence()
        self.stretch += 1
        self.is_open = False
        if self.ran:
            self.ran = False
            self.status = NOT_KNOWN

    def drain(self) -> None:
        """Stop until every answer that is due has come, or the rows of a COPY are counted."""
        self.stopped = True
        self.flush()
        if not self.bounding:
            self.draining = True
            self.drained()

    def settle(self, on_settled: Callable[[], None]) -> None:
        """Call back once every answer that is due has come."""
        self.on_settled = on_settled
        self.draining = True
        self.flush()
        self.drained()

    def drained(self) -> None:
        """Go on once every answer that was due has come."""
        if not self.draining or self.pending:
            return
        self.draining = False
        on_settled, self.on_settled = self.on_settled, None
        if on_settled is not None:
            on_settled()
        else:
            self.resume()

    def ask(self, question: bytes, own: Own) -> None:
        """Ask the server something of our own."""
        assert not self.pending, "the answers of what was sent before would be taken for ours"
        self.pending.append(Pending(OWN, own=own))
        self.watching = True
        self.write_server(question)

    def own_frame(self, kind: i64, data: bytes, position: i64, stop: i64) -> bytes | None:
        """Take an answer to a question of our own; only what is no answer reaches the client."""
        if kind == frames.NOTICE_RESPONSE or kind == frames.NOTIFICATION_RESPONSE:
            return None
        if kind == frames.PARAMETER_STATUS:
            status = messages.parse_parameter_status(data[position + 5 : stop])
            self.owner.parameter(status.name, status.value)
            return None
        own = self.pending[0].own
        assert own is not None, "watching says that an own question stands first"
        if kind == frames.DATA_ROW:
            own.value = _first_value(data, position + 5, stop)
        elif kind == frames.ERROR_RESPONSE:
            return self._own_error(own, data[position:stop])
        elif kind == frames.READY_FOR_QUERY:
            self._own_end(own)
            self.calm(data[position + 5])
        elif kind == frames.CLOSE_COMPLETE:
            own.closes -= 1
            if own.closes == 0:
                self._own_end(own)
        elif (
            kind != frames.PARSE_COMPLETE
            and kind != frames.BIND_COMPLETE
            and kind != frames.ROW_DESCRIPTION
            and kind != frames.COMMAND_COMPLETE
        ):
            raise ProtocolError(f"the server sent an unexpected message 0x{int(kind):02x}")
        return b""

    def _own_error(self, own: Own, response: bytes) -> bytes | None:
        fields = messages.parse_fields(response[5:])
        if fields.get("V", fields.get("S", "")) in ("FATAL", "PANIC"):
            return None  # the end of the connection follows
        own.sqlstate = fields.get("C", "XX000")
        own.response = response
        if own.closes:  # the server skips everything up to the next Sync
            self._own_end(own)
            self.skip(own.sqlstate)
        return b""

    def _own_end(self, own: Own) -> None:
        self.pending.popleft()
        self.watching = False
        own.on_done()

    def send_query(self, query: bytes, operation: Operation) -> None:
        """Send a Query whose end is kept back."""
        self.pending.append(Pending(QUERY, operation=operation))
        operation.sent = True
        if operation.wrote:
            self.wrote = True
        self.write_server(messages.query(query))
        if operation.copies:
            self._take_data(operation, is_query=True)

    def send_execute(self, execute: bytes, operation: Operation) -> None:
        """Send an Execute whose end is kept back, and ask for it."""
        self.pending.append(Pending(EXECUTE, operation=operation, room=operation.room))
        operation.sent = True
        self.write_server(execute + messages.FLUSH)
        if operation.copies:
            self._take_data(operation, is_query=False)

    def _take_data(self, operation: Operation, is_query: bool) -> None:
        """Open the client's direction for COPY data; it stops again behind CopyDone or an error."""
        self.start_copy(operation, is_query)
        if self.gone:
            self.fail_copy()
        else:
            self.resume()

    def fail_copy(self) -> None:
        """End the COPY of a client that is gone."""
        self.copy_ended = True
        self.write_server(messages.copy_fail("the client went away"))

    def release(self, ready: bool) -> None:
        """Give the client what was kept; ``ready`` adds ReadyForQuery."""
        kept, self.kept = self.kept, b""
        self.tell(kept, ready)

    def tell(self, response: bytes, ready: bool) -> None:
        """Give the client an answer of ours in place of what was kept."""
        self.kept = b""
        if ready:
            response += frame(frames.READY_FOR_QUERY, bytes([self.status]))
        if response:
            self.notice(response)


def _first_value(data: bytes, position: i64, stop: i64) -> bytes | None:
    """Return the first column of a DataRow, None for NULL."""
    if stop - position < 6:
        raise ProtocolError("a DataRow is cut short")
    length = i64(read_i32_be(data, position + 2))
    if length < 0:
        return None
    return data[position + 6 : position + 6 + length]
