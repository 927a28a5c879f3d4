"""Relay one session: the client's frames to the server and back, plain reads without a detour.

Both directions look at headers and forward the original bytes. A frame that carries a statement is
looked up among the texts that are known to pass; anything else stops the client's direction here
and goes through the whole gate (``session``). What the server answers is matched with what was
sent, so that every statement gets its outcome and every refusal its place in the stream.

**A refusal is made by the server itself.** In place of the refused frame stands one that the
server's grammar cannot accept, and its ErrorResponse is exchanged for ours on the way back. So the
transaction fails, the frames up to Sync are skipped and ReadyForQuery tells the truth, exactly as
for any other error; there is no second state machine that could disagree with the server's.

This module compiles with mypyc and is the hottest part of the house: one call per read from a
socket, in each direction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from librt.strings import read_i32_be
from mypy_extensions import i64

from holdpoint.doors.postgres.answers import Answers, Owner, Reads
from holdpoint.doors.postgres.pending import (
    CLOSE,
    EXECUTE,
    PARSE,
    QUERY,
    REFUSED,
    SYNC,
    Operation,
    Pending,
)
from holdpoint.engine.recorder import TrailUnavailable
from holdpoint.model import limits
from holdpoint.wire.postgres import errors, frames, messages
from holdpoint.wire.postgres.errors import ProtocolError
from holdpoint.wire.postgres.frames import frame

# What the server is made to fail on; it shows up in the server's log and says why.
REFUSED_TEXT: Final = b"holdpoint refused this statement"
REFUSED_QUERY: Final = messages.query(REFUSED_TEXT)
REFUSED_PARSE: Final = messages.parse(b"holdpoint_refused", REFUSED_TEXT)

# What becomes of a client's frame.
PASS: Final = 0
STOPPED: Final = 1  # it goes through the whole gate
STOPPED_BEFORE: Final = 2  # it must wait for answers that are due, or the session is broken
DROPPED: Final = 3  # refused; a Parse that fails stands in its place
DROPPED_QUERY: Final = 4  # refused; a Query that fails stands in its place

CURSOR_TEXT: Final = "FETCH ALL FROM cursor"


class Relay(Answers):
    """Both directions of one session."""

    def __init__(
        self,
        owner: Owner,
        reads: Reads,
        session: str,
        write_client: Callable[[bytes], None],
        write_server: Callable[[bytes], None],
    ) -> None:
        super().__init__(owner, reads, session, write_client, write_server)
        # The client's direction stands still: a statement is at the gate, or answers are due.
        self.stopped = False
        self._backlog: list[bytes] = []
        self._backlog_bytes = 0
        self._wanted = 0
        self._client_skip = 0
        self._discard = False

    def client_data(self, data: bytes) -> None:
        """Take bytes from the client; forwards what passes, keeps what must wait."""
        if self._client_skip:
            data = self._skip_client(data)
            if not data:
                return
        if self.stopped or self._backlog:
            self._backlog.append(data)
            self._backlog_bytes += len(data)
            if self.stopped:
                if self._backlog_bytes > limits.SESSION_PENDING_BYTES_MAX:
                    self.owner.pause_client(True)
                return
            if self._backlog_bytes < self._wanted:
                return
            data = b"".join(self._backlog)
            self._backlog.clear()
            self._backlog_bytes = 0
        self._walk_client(data)

    def resume(self) -> None:
        """Go on with what the client has sent since the relay was stopped."""
        self.stopped = False
        if self._backlog:
            data = b"".join(self._backlog)
            self._backlog.clear()
            self._backlog_bytes = 0
            self._walk_client(data)
        if not self.stopped:
            self.owner.pause_client(False)

    def _skip_client(self, data: bytes) -> bytes:
        """Pass (or drop) the rest of a frame that is not looked into; return what follows it."""
        count = self._client_skip
        if len(data) < count:
            count = len(data)
        self._client_skip -= count
        if not self._discard:
            self.write_server(data[:count] if count < len(data) else data)
        elif not self._client_skip:
            self._discard = False
        return data[count:]

    def _walk_client(self, data: bytes) -> None:
        """Take whole frames from ``data``; forward unchanged stretches in one piece."""
        position: i64 = 0
        forwarded: i64 = 0
        end: i64 = len(data)
        self._wanted = 0
        while position + 5 <= end:
            kind: i64 = data[position]
            length = i64(read_i32_be(data, position + 1))
            stop: i64 = position + 1 + length
            if length < 4 or length > limits.FRAME_BYTES_MAX:
                self._break(f"a message length of {length} bytes is not possible")
                return
            if stop > end:
                if kind == 0x64 and self._may_pass(kind):  # CopyData streams through
                    self._client_skip = int(stop - end)
                    position = end
                elif length > limits.MESSAGE_BYTES_MAX:
                    self._forward(data, forwarded, position)
                    self._refuse_long(kind, int(stop - end))
                    return
                else:
                    self._wanted = int(stop - position)
                break
            verdict = self._client_frame(kind, data, position, stop)
            if verdict != PASS:
                self._forward(data, forwarded, position)
                if verdict == STOPPED_BEFORE:  # the frame itself must be looked at again
                    self._keep(data[position:])
                    self._drain()
                    return
                forwarded = stop
                if verdict == STOPPED:
                    self._keep(data[stop:])
                    self._begin_slow(kind, data, position, stop)
                    return
                if verdict == DROPPED_QUERY:
                    self.write_server(REFUSED_QUERY)
                elif verdict == DROPPED:
                    self.write_server(REFUSED_PARSE)
            position = stop
        self._forward(data, forwarded, position)
        if position < end:
            self._keep(data[position:])

    def _forward(self, data: bytes, start: i64, stop: i64) -> None:
        if stop > start:
            self.write_server(data if start == 0 and stop == len(data) else data[start:stop])

    def _keep(self, data: bytes) -> None:
        if data:
            self._backlog.insert(0, data)
            self._backlog_bytes += len(data)

    def _client_frame(self, kind: i64, data: bytes, position: i64, stop: i64) -> int:
        """Look at one whole frame and say what becomes of it."""
        if self.copying is not None and not self._may_pass(kind):
            if self.copy_ended:
                return STOPPED_BEFORE
            self._break("a statement came in the middle of COPY data")
            return STOPPED_BEFORE
        if kind == 0x42:  # Bind
            return self._bind(data, position, stop)
        if kind == 0x45:  # Execute
            return self._execute(data, position, stop)
        if kind == 0x53:  # Sync
            if not self.swallows_sync:
                self.pending.append(Pending(SYNC))
                self.segment += 1
            return PASS
        if kind == 0x51:  # Query
            return self._query(data, position, stop)
        if kind == 0x50:  # Parse
            return self._parse(data, position, stop)
        return self._other(kind, data, position, stop)

    def _other(self, kind: i64, data: bytes, position: i64, stop: i64) -> int:
        if kind == 0x44 or kind == 0x48:  # Describe, Flush
            return PASS
        if kind == 0x43:  # Close
            if stop - position > 6 and data[position + 5] == messages.STATEMENT:
                name = data[position + 6 : stop - 1]
                self.pending.append(Pending(CLOSE, name=name))
            else:
                self.pending.append(Pending(CLOSE))
            return PASS
        if kind == 0x64:  # CopyData
            return PASS
        if kind == 0x63 or kind == 0x66:  # CopyDone, CopyFail
            self.copy_ended = True
            self.swallows_sync = False
            return PASS
        if kind == 0x58:  # Terminate
            self.owner.over()
            return PASS
        what = "FunctionCall" if kind == 0x46 else f"a message of type 0x{int(kind):02x}"
        self._refusal(
            QUERY,
            "0A000",
            f"refused: {what} does not pass through Holdpoint",
            "use SQL: what a function call does must be readable",
        )
        return DROPPED_QUERY

    def _may_pass(self, kind: i64) -> bool:
        """Tell whether a frame may go to a server that reads COPY data."""
        return (
            kind == 0x64
            or kind == 0x63
            or kind == 0x66
            or kind == 0x48
            or (kind == 0x53)
            or kind == 0x58
        )

    def _query(self, data: bytes, position: i64, stop: i64) -> int:
        query = data[position + 5 : stop - 1]
        if data[stop - 1] != 0 or query.find(b"\x00") >= 0:
            self._break("the text of a Query must end with its only NUL byte")
            return STOPPED_BEFORE
        known = self.owner.known(query) if self.plain and not self.has_unsent() else None
        if known is None or (known.commits and self.wrote):
            return STOPPED
        for name, text in known.prepares:
            if not self.define(name, text):
                self._name_taken(QUERY, name)
                return DROPPED_QUERY
        try:
            number = self.reads.read_started(self.session, known.text, None)
        except TrailUnavailable as problem:
            self._trail_failed(QUERY, problem)
            return DROPPED_QUERY
        self.pending.append(Pending(QUERY, number, known=known))
        return PASS

    def _parse(self, data: bytes, position: i64, stop: i64) -> int:
        name_end: i64 = data.find(b"\x00", position + 5, stop)
        query_end: i64 = data.find(b"\x00", name_end + 1, stop) if name_end >= 0 else -1
        if query_end < 0:
            self._break("a Parse message is cut short")
            return STOPPED_BEFORE
        name = data[position + 5 : name_end]
        query = data[name_end + 1 : query_end]
        if name and len(self.statements) >= limits.STATEMENT_NAME_COUNT_MAX:
            self._refusal(
                REFUSED, "53400", f"refused: {len(self.statements):,} prepared statements are open"
            )
            return DROPPED
        if not self.define(name, query, data[query_end + 1 : stop]):
            self._name_taken(REFUSED, name)
            return DROPPED
        self.pending.append(Pending(PARSE, name=name, prepared=self.statements[name]))
        return PASS

    def _name_taken(self, kind: int, name: bytes) -> None:
        shown = name.decode("utf-8", "replace")
        self._refusal(kind, "42P05", f"prepared statement `{shown}` already exists")

    def _bind(self, data: bytes, position: i64, stop: i64) -> int:
        portal_end: i64 = data.find(b"\x00", position + 5, stop)
        name_end: i64 = data.find(b"\x00", portal_end + 1, stop) if portal_end >= 0 else -1
        if name_end < 0:
            self._break("a Bind message is cut short")
            return STOPPED_BEFORE
        name = data[portal_end + 1 : name_end]
        prepared = self.statements.get(name)
        if prepared is None:
            shown = name.decode("utf-8", "replace")
            self._refusal(
                REFUSED,
                "26000",
                f"prepared statement `{shown}` does not exist",
                "prepare it in this session, through Holdpoint",
            )
            return DROPPED
        if not prepared.confirmed and prepared.segment != self.segment:
            if not self.pending:  # its answer can no longer come: the server does not have it
                del self.statements[name]
            return STOPPED_BEFORE
        known = prepared.known
        if known is None or not self.plain or (known.commits and self.wrote) or self.has_unsent():
            return STOPPED
        portal = data[position + 5 : portal_end]
        if len(self.portals) >= limits.STATEMENT_NAME_COUNT_MAX:
            self._refusal(REFUSED, "53400", f"refused: {len(self.portals):,} portals are open")
            return DROPPED
        self.open_portal(portal, known)
        self.parameters[portal] = data[name_end + 1 : stop]
        return PASS

    def _execute(self, data: bytes, position: i64, stop: i64) -> int:
        portal_end: i64 = data.find(b"\x00", position + 5, stop)
        if portal_end != stop - 5:
            self._break("an Execute message is cut short")
            return STOPPED_BEFORE
        portal = data[position + 5 : portal_end]
        bound = self.portals.get(portal)
        if isinstance(bound, Operation):
            self.pending.append(Pending(EXECUTE, operation=bound))
            bound.sent = True
            if bound.copies:
                self._start_copy(bound)
            if bound.guarded and not bound.finished:
                self._keep_guard()
            return PASS
        # A portal that no Bind has opened here is a cursor, decided when it was declared.
        text = bound.text if bound is not None else CURSOR_TEXT
        if bound is not None:
            for name, query in bound.prepares:
                if not self.define(name, query):
                    self._name_taken(REFUSED, name)
                    return DROPPED
        try:
            number = self.reads.read_started(self.session, text, self.parameters.get(portal))
        except TrailUnavailable as problem:
            self._trail_failed(REFUSED, problem)
            return DROPPED
        self.pending.append(Pending(EXECUTE, number, known=bound))
        return PASS

    def _begin_slow(self, kind: i64, data: bytes, position: i64, stop: i64) -> None:
        """Hand the frame to the whole gate."""
        self.stopped = True
        if kind == 0x51:
            self.owner.slow_query(data[position + 5 : stop - 1])
            return
        payload = data[position + 5 : stop]
        name_end = payload.find(b"\x00", payload.find(b"\x00") + 1)
        name = payload[payload.find(b"\x00") + 1 : name_end]
        self.owner.slow_bind(payload, self.statements[name])

    def run_query(self, query: bytes, operation: Operation) -> None:
        """Send a Query that the gate let through."""
        self.pending.append(Pending(QUERY, operation=operation))
        operation.sent = True
        if operation.wrote:
            self.wrote = True
        if operation.copies:
            self._start_copy(operation)
        self.write_server(messages.query(query))
        self._go_on(operation)

    def run_bind(self, payload: bytes, operation: Operation) -> None:
        """Send a Bind that the gate let through; the operation runs when its portal is executed."""
        portal = payload[: payload.find(b"\x00")]
        self.open_portal(portal, operation)
        if operation.wrote:
            self.wrote = True
        self.write_server(frame(frames.BIND, payload))
        self.resume()

    def define_all(self, prepares: tuple[tuple[bytes, bytes], ...]) -> bool:
        """Give names to statements that a text through the whole gate prepares."""
        return all(self.define(name, query) for name, query in prepares)

    def refuse(self, kind: int, response: bytes) -> None:
        """Let the server fail in place of the refused frame, and go on with our words."""
        self.pending.append(Pending(kind, refusal=response))
        self.write_server(REFUSED_QUERY if kind == QUERY else REFUSED_PARSE)
        self.resume()

    def flush(self) -> None:
        """Ask the server for the answers it may have kept back."""
        if self.pending and self.pending[-1].kind not in (QUERY, SYNC):
            self.write_server(messages.FLUSH)

    def _go_on(self, operation: Operation) -> None:
        if operation.guarded and not operation.finished:
            self.draining = True
            return
        self.resume()

    def _keep_guard(self) -> None:
        """Stop after this frame until the server has answered it."""
        self.stopped = True
        self.draining = True

    def _drain(self) -> None:
        """Stop until every answer that is due has come."""
        self.stopped = True
        self.draining = True
        self.flush()
        self.drained()

    def drained(self) -> None:
        """Go on with the client's direction once every answer that was due has come."""
        if self.draining and not self.pending:
            self.draining = False
            self.resume()

    def _start_copy(self, operation: Operation) -> None:
        self.copying = operation
        self.copy_ended = False

    def _refuse_long(self, kind: i64, rest: int) -> None:
        """Drop a message that is too long to be looked at; the session goes on after it."""
        self._client_skip = rest
        self._discard = True
        limit = limits.MESSAGE_BYTES_MAX // (1024 * 1024)
        which = QUERY if kind == 0x51 or kind == 0x46 else REFUSED
        self._refusal(
            which, "54000", f"refused: the message is longer than {limit} MiB", "send it in parts"
        )
        self.write_server(REFUSED_QUERY if which == QUERY else REFUSED_PARSE)

    def _refusal(self, kind: int, sqlstate: str, message: str, hint: str = "") -> None:
        response = errors.error_response("ERROR", sqlstate, message, hint=hint)
        self.pending.append(Pending(kind, refusal=response))

    def _trail_failed(self, kind: int, problem: Exception) -> None:
        self._refusal(
            kind,
            "58030",
            f"refused: the audit trail cannot be written: {problem}",
            "nothing ran; the operator must mend the trail, `holdpoint doctor` says how",
        )

    def _break(self, message: str) -> None:
        self.stopped = True
        self.owner.broken(ProtocolError(message))
