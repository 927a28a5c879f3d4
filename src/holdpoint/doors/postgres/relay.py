"""Relay one session: the client's frames to the server and back, plain reads without a detour.

Both directions look at headers and forward the original bytes. A frame that carries a statement is
looked up among the texts that are known to pass; anything else stops the client's direction here
and goes through the whole gate (``session``). What the server answers is matched with what was
sent, so that every statement gets its outcome and every refusal its place in the stream.

**A refusal is made by the server itself.** In place of the refused frame stands one that the
server's grammar cannot accept, and its ErrorResponse is exchanged for ours on the way back. So the
transaction fails, the frames up to Sync are skipped and ReadyForQuery tells the truth, exactly as
for any other error; there is no second state machine that could disagree with the server's.

This module compiles with mypyc.
"""

from __future__ import annotations

from collections.abc import Callable

from librt.strings import read_i32_be
from mypy_extensions import i64

from holdpoint.doors.postgres import refusing
from holdpoint.doors.postgres.answers import NAME_BYTES_MAX
from holdpoint.doors.postgres.fates import (
    BOUNDED,
    DROPPED,
    DROPPED_QUERY,
    FENCED,
    FLUSHED,
    GUARDED,
    IGNORED,
    PASS,
    STOPPED,
    STOPPED_BEFORE,
)
from holdpoint.doors.postgres.parties import Owner, Reads
from holdpoint.doors.postgres.passing import Passing
from holdpoint.doors.postgres.pending import (
    ASK,
    CURSOR_TEXT,
    EXECUTE,
    PARSE,
    QUERY,
    REFUSED,
    SYNC,
    Operation,
    Pending,
)
from holdpoint.doors.postgres.refusing import REFUSED_PARSE, REFUSED_QUERY
from holdpoint.doors.postgres.sending import may_pass_in_copy
from holdpoint.engine.recorder import TrailUnavailable
from holdpoint.model import limits
from holdpoint.wire.postgres import frames, messages
from holdpoint.wire.postgres.errors import ProtocolError
from holdpoint.wire.postgres.frames import frame


class Relay(Passing):
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
        self.turns = 0  # how often the client has sent something
        self._backlog: list[bytes] = []
        self._backlog_bytes = 0
        self._wanted = 0
        self._client_skip = 0
        self._discard = False
        self._split = False  # COPY data whose rest goes in frames of its own
        self._bounded: Operation | None = None

    def client_data(self, data: bytes) -> None:
        """Take bytes from the client; forwards what passes, keeps what must wait."""
        self.turns += 1
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
        elif self.execute_at_once(data):
            return
        self._walk_client(data)

    def take_up(self) -> None:
        """Look at what the client has sent since the relay was stopped."""
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
        if self._split:
            if self.copying is not None:
                self.write_server(frame(frames.COPY_DATA, data[:count]))
            if not self._client_skip:
                self._split = False
        elif not self._discard:
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
                if kind == 0x64:  # CopyData streams through
                    self.copy_data = True
                    self._client_skip = int(stop - end)
                    if self.bounding:  # a question of ours may have to come before its rest
                        self._forward(data, forwarded, position)
                        self._split = True
                        self.write_server(frame(frames.COPY_DATA, data[position + 5 : end]))
                        return
                    position = end
                elif length > limits.MESSAGE_BYTES_MAX:
                    self._forward(data, forwarded, position)
                    self._refuse_long(kind, int(stop - end))
                    return
                else:
                    self._wanted = int(stop - position)
                break
            verdict = self._client_frame(kind, data, position, stop)
            if self.loosened == ASK and verdict == PASS and (kind == 0x51 or kind == 0x45):
                verdict = GUARDED
            if verdict != PASS:
                if verdict == GUARDED:
                    self._forward(data, forwarded, stop)
                    self._keep(data[stop:])
                    self.drain()
                    return
                self._forward(data, forwarded, position)
                if verdict == STOPPED_BEFORE:  # the frame itself must be looked at again
                    self._keep(data[position:])
                    self.drain()
                    return
                forwarded = stop
                if verdict == STOPPED:
                    self._keep(data[stop:])
                    self._begin_slow(kind, data, position, stop)
                    return
                if verdict == BOUNDED:
                    self._keep(data[stop:])
                    self._begin_bounded(data[position:stop])
                    return
                if verdict == DROPPED_QUERY:
                    self.write_server(REFUSED_QUERY)
                elif verdict == DROPPED:
                    self.write_server(REFUSED_PARSE)
                elif verdict == FLUSHED:
                    self.write_server(messages.FLUSH)
                elif verdict == FENCED:
                    self.fence_query()
                    forwarded = position
                    continue
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
        if self.skipping and kind != 0x53 and kind != 0x58:
            return IGNORED
        if self.copying is not None:
            if kind == 0x53:
                return self.sync_in_copy()
            if not may_pass_in_copy(kind):
                if not self.copy_ended:
                    self._break("a statement came in the middle of COPY data")
                return STOPPED_BEFORE
        if self.loosened and self.waits(kind):
            return STOPPED_BEFORE
        if kind == 0x42:  # Bind
            self.is_open = self.ran = True
            return self._bind(data, position, stop)
        if kind == 0x45:  # Execute
            self.is_open = self.ran = True
            return self._execute(data, position, stop)
        if kind == 0x53:  # Sync
            self.count_sync()
            return PASS
        if kind == 0x50:  # Parse
            self.is_open = True
            return self._parse(data, position, stop)
        return self._other(kind, data, position, stop)

    def _other(self, kind: i64, data: bytes, position: i64, stop: i64) -> int:
        if kind == 0x44 or kind == 0x48:  # Describe, Flush
            self.is_open = True
            return PASS
        if kind == 0x43:  # Close
            self.is_open = True
            self.expect_close(data, position, stop)
            return PASS
        if kind == 0x64:  # CopyData
            self.copy_data = True
            return PASS
        if kind == 0x63 or kind == 0x66:  # CopyDone, CopyFail
            self.copy_ended = True
            self.copy_data = False
            self.held_sync = False
            return GUARDED if self.bounding else PASS
        if kind == 0x58:  # Terminate
            self.owner.over()
            return PASS
        if self.is_open:
            return FENCED
        if kind == 0x51:  # Query
            return self._query(data, position, stop)
        self._refuse(QUERY, refusing.no_such_frame(int(kind)))
        return DROPPED_QUERY

    def _query(self, data: bytes, position: i64, stop: i64) -> int:
        query = data[position + 5 : stop - 1] if stop - position > 5 else b"\x00"
        if data[stop - 1] != 0 or query.find(b"\x00") >= 0:
            self._break("the text of a Query must end with its only NUL byte")
            return STOPPED_BEFORE
        if self.careful and self.pending:
            return STOPPED_BEFORE
        known = None
        if self.plain and not self.unsure and not self.has_unsent():
            known = self.owner.known(query)
        if known is None or (known.commits and self.wrote) or len(query) > limits.READ_BYTES_MAX:
            return STOPPED
        if not self.meter.take(known.count):
            return STOPPED
        for name, text in known.prepares:
            if not self.define_sql(name, text):
                self._refuse(QUERY, refusing.name_taken(name))
                return DROPPED_QUERY
        try:
            if known.once:
                number = self.reads.read_started_once(self.session, known.text)
            else:
                number = self.reads.read_started(self.session, known.text, None)
        except TrailUnavailable as problem:
            self._refuse(QUERY, refusing.trail_failed(problem))
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
        if self.careful and self.pending:
            return STOPPED_BEFORE
        if len(name) > NAME_BYTES_MAX:
            self._refuse(REFUSED, refusing.name_long(name))
            return DROPPED
        if name and len(self.statements) >= limits.STATEMENT_NAME_COUNT_MAX:
            self._refuse(REFUSED, refusing.too_many("prepared statements"))
            return DROPPED
        if not self.define(name, query, data[query_end + 1 : stop]):
            self._refuse(REFUSED, refusing.name_taken(name))
            return DROPPED
        self.pending.append(Pending(PARSE, name=name, prepared=self.statements[name]))
        return PASS

    def _bind(self, data: bytes, position: i64, stop: i64) -> int:
        portal_end: i64 = data.find(b"\x00", position + 5, stop)
        name_end: i64 = data.find(b"\x00", portal_end + 1, stop) if portal_end >= 0 else -1
        if name_end < 0:
            self._break("a Bind message is cut short")
            return STOPPED_BEFORE
        name = data[portal_end + 1 : name_end][:NAME_BYTES_MAX]
        portal = data[position + 5 : portal_end]
        if len(portal) > NAME_BYTES_MAX:
            self._refuse(REFUSED, refusing.name_long(portal))
            return DROPPED
        prepared = self.statements.get(name)
        if prepared is None:
            self._refuse(REFUSED, refusing.no_statement(name))
            return DROPPED
        if not prepared.confirmed and prepared.segment != self.segment:
            if not self.pending:  # its answer can no longer come: the server does not have it
                del self.statements[name]
            return STOPPED_BEFORE
        old = self.portals.get(portal)
        if isinstance(old, Operation) and (not old.sent or old.suspended):
            self._refuse(REFUSED, refusing.portal_taken())
            return DROPPED
        known = prepared.known
        if known is None and prepared.stale and self.plain and not self.unsure:
            known = self.known_again(prepared)
        if (
            known is None
            or not self.plain
            or self.unsure
            or (known.commits and self.wrote)
            or self.has_unsent()
            or len(prepared.query) + (stop - position) > limits.READ_BYTES_MAX
            or not self.meter.take(known.count)
        ):
            return STOPPED
        if len(self.portals) >= limits.STATEMENT_NAME_COUNT_MAX:
            self._refuse(REFUSED, refusing.too_many("portals"))
            return DROPPED
        self.open_portal(portal, known)
        self.parameters[portal] = data[name_end + 1 : stop]
        return PASS

    def _execute(self, data: bytes, position: i64, stop: i64) -> int:
        portal_end: i64 = data.find(b"\x00", position + 5, stop)
        if portal_end != stop - 5:
            self._break("an Execute message is cut short")
            return STOPPED_BEFORE
        portal = data[position + 5 : portal_end][:NAME_BYTES_MAX]
        bound = self.portals.get(portal)
        room = self.room_of(portal, read_i32_be(data, stop - 4) != 0)
        if self.careful:
            self.unsure = True
        if isinstance(bound, Operation):
            if bound.is_over:
                self._refuse(REFUSED, refusing.doubtful_portal())
                return DROPPED
            bound.room = room
            return self._execute_operation(bound)
        if bound is None and not portal:
            self._refuse(REFUSED, refusing.no_portal())
            return DROPPED
        if bound is None and not self.meter.take():  # like a FETCH
            wait = self.meter.seconds_to_room()
            self._refuse(REFUSED, refusing.over_rate(self.meter.per_minute, wait))
            return DROPPED
        # A portal that no Bind has opened is a cursor, decided when it was declared.
        text = bound.text if bound is not None else CURSOR_TEXT
        if bound is not None:
            for name, query in bound.prepares:
                if not self.define_sql(name, query):
                    self._refuse(REFUSED, refusing.name_taken(name))
                    return DROPPED
        try:
            number = self.reads.read_started(self.session, text, self.parameters.get(portal))
        except TrailUnavailable as problem:
            self._refuse(REFUSED, refusing.trail_failed(problem))
            return DROPPED
        self.pending.append(Pending(EXECUTE, number, known=bound, room=room))
        return PASS

    def _execute_operation(self, operation: Operation) -> int:
        """Run a portal whose Bind went through the whole gate."""
        if operation.rows_max is not None:
            self._bounded = operation
            self.unsure = self.unsure or operation.guarded
            if operation.loosens:
                self.loosened = ASK
            return BOUNDED
        return GUARDED if self.run_portal(operation) else PASS

    def _begin_slow(self, kind: i64, data: bytes, position: i64, stop: i64) -> None:
        """Hand the frame to the whole gate."""
        self.stopped = True
        if kind == 0x51:
            self.owner.slow_query(data[position + 5 : stop - 1])
            return
        payload = data[position + 5 : stop]
        name = payload.split(b"\x00", 2)[1][:NAME_BYTES_MAX]
        self.owner.slow_bind(payload, name, self.statements[name])

    def _begin_bounded(self, execute: bytes) -> None:
        """Let an Execute run under its bound of rows."""
        operation, self._bounded = self._bounded, None
        assert operation is not None, "its Execute has just been looked at"
        self.halt()
        self.owner.bounded_execute(execute, operation)

    def refuse(self, kind: int, response: bytes) -> None:
        """Let the server fail in place of the refused frame, and go on with our words."""
        if not self.skipping:
            self._refuse(kind, response)
            self.write_server(REFUSED_QUERY if kind == QUERY else REFUSED_PARSE)
        self.resume()

    def _refuse(self, kind: int, response: bytes) -> None:
        """Put a refusal into the queue; in the extended protocol it skips up to Sync."""
        self.pending.append(Pending(kind, refusal=response))
        if kind == REFUSED:
            self.skipping = True

    def leave(self) -> bool:
        """Bring what runs to its end without the client; what has not begun does not begin.

        False says that only the end of the connection can do that.
        """
        self.gone = True
        self.stopped = True
        self._backlog.clear()
        if self.bounding:  # `bounding.Bounding` takes back what has not been counted yet
            if self.copying is not None:
                self.fail_copy()
            return True
        if self.copying is not None:
            self.held_sync = False
            if self._client_skip:  # the server still waits for the rest of a frame
                self.write_server(bytes(min(self._client_skip, limits.SESSION_PENDING_BYTES_MAX)))
                if self._client_skip > limits.SESSION_PENDING_BYTES_MAX:
                    return False
            self.fail_copy()
        if self.skipping or (self.pending and self.pending[-1].kind not in (QUERY, SYNC)):
            self.send_sync()
        return True

    def _refuse_long(self, kind: i64, rest: int) -> None:
        """Drop a message that is too long to be looked at; the session goes on after it."""
        self._client_skip = rest
        self._discard = True
        if self.skipping:
            return
        which = QUERY if kind == 0x51 or kind == 0x46 else REFUSED
        if which == QUERY and self.is_open:
            self.fence_query()
        self._refuse(which, refusing.too_long())
        self.write_server(REFUSED_QUERY if which == QUERY else REFUSED_PARSE)

    def _break(self, message: str) -> None:
        self.stopped = self.gone = True  # nothing more from this client
        self.owner.broken(ProtocolError(message))
