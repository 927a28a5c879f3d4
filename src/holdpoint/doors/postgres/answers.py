"""The server's direction of a session: match every answer with what it answers.

The server answers strictly in order, so a queue of what was sent tells whose outcome an answer is.
Here plain reads get their outcome in the trail, statements that went through the whole gate are
told how they ended, refusals get their words, and names of statements and portals are kept in step
with the server. Rows are not looked into: see ``wire.postgres.stream``.

**The queue must never be off by one**, or the gate would take a name for confirmed that the server
does not have. So an answer that does not fit its head ends the session, and what the server skips
after an error is followed exactly: ``skipping`` says that it ignores everything up to a Sync that
has not been sent yet.

This module compiles with mypyc.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from librt.strings import read_i32_be
from mypy_extensions import i64

from holdpoint.doors.postgres import refusing
from holdpoint.doors.postgres.metering import Meter
from holdpoint.doors.postgres.parties import Owner, Reads
from holdpoint.doors.postgres.pending import (
    CLOSE,
    EXECUTE,
    FENCE,
    PARSE,
    QUERY,
    SYNC,
    Cut,
    Operation,
    Pending,
)
from holdpoint.doors.postgres.sending import Sending
from holdpoint.engine.unavailable import TrailUnavailable
from holdpoint.model import limits
from holdpoint.wire.postgres import messages
from holdpoint.wire.postgres.errors import ProtocolError
from holdpoint.wire.postgres.frames import frame
from holdpoint.wire.postgres.stream import OVER_BYTES, Room, is_of_result, skip_unneeded

IDLE: Final = 0x49
NOT_KNOWN: Final = 0  # in place of a transaction state: frames of the extended protocol came since
NAME_BYTES_MAX: Final = limits.NAME_CHARS_MAX
CONNECTION_FAILURE: Final = "08006"
SYNTAX_ERROR: Final = "42601"  # what the server says to a statement that stands for a refused one


class Answers(Sending):
    """What a session has sent, what it waits for, and what the server has acknowledged.

    ``owner`` is told of parameters and broken protocol, ``reads`` records plain reads.
    """

    def __init__(
        self,
        owner: Owner,
        reads: Reads,
        session: str,
        write_client: Callable[[bytes], None],
        write_server: Callable[[bytes], None],
    ) -> None:
        super().__init__(owner.known, write_server)
        self.owner = owner
        self.reads = reads
        self.session = session
        self.write_client = write_client
        self.status = IDLE
        self.gone = False  # the client is
        # The open transaction may have changed data.
        self.wrote = False
        self.defining = False  # what runs may change the catalog
        self.watching = False  # what the server sends now answers a question of our own
        self.kept = b""  # the end of a statement, kept until its rows are counted
        self.on_settled: Callable[[], None] | None = None  # see ``counting.Counting.settle``
        self.meter = Meter()
        self._fresh_room = Room()  # of the result that comes now ...
        self._metered: Pending | None = Pending(SYNC)  # ... to this entry; so far to none
        self.cut: Cut | None = None  # a result that is over its budget is not passed on any more
        self.cancel_seen = False  # the client has asked to cancel what runs
        self._drops = False  # what is skipped next goes to nobody
        self._server_kept: list[bytes] = []
        self._server_kept_bytes = 0
        self._server_wanted = 0
        self._server_skip = 0
        self._notices: list[bytes] = []

    def drained(self) -> None:
        """Go on once every answer that was due has come; ``counting.Counting`` has it."""
        raise NotImplementedError

    def server_data(self, data: bytes) -> None:
        """Take bytes from the server; forwards them, with our refusals in their places."""
        if self._server_kept:
            self._server_kept.append(data)
            self._server_kept_bytes += len(data)
            if self._server_kept_bytes < self._server_wanted:
                return
            data = b"".join(self._server_kept)
            self._server_kept.clear()
        try:
            self._walk_server(data)
        except ProtocolError as problem:
            self.owner.broken(problem)
            return
        if self._notices:
            self._send_notices()
        if self.draining:
            self.drained()

    def _walk_server(self, data: bytes) -> None:
        end: i64 = len(data)
        position: i64 = self._server_skip
        if position >= end:
            self._server_skip = int(position - end)
            if not self._drops:
                self.write_client(data)
            return
        self._server_skip = 0
        forwarded: i64 = position if self._drops else 0
        self._drops = False
        wanted: i64 = 5
        while True:
            if self.bounding and self.cut is None:
                forwarded = self._flush_kept(data, forwarded, position)
            if not self.watching and not self.kept and self.cut is None:
                room = self._room()
                position = skip_unneeded(data, position, end, room)
                if room.over:
                    self.over_result(room)
                elif position >= end:
                    self._server_skip = int(position - end)
                    position = end
                    break
            if position + 5 > end:
                break
            length = i64(read_i32_be(data, position + 1))
            stop: i64 = position + 1 + length
            if self.cut is not None and is_of_result(data[position]) and length >= 4:
                if position > forwarded:
                    self.write_client(data[forwarded:position])
                if stop > end:
                    self._server_skip = int(stop - end)
                    self._drops = True
                    stop = end
                position = forwarded = stop
                continue
            if length < 4 or length > limits.MESSAGE_BYTES_MAX:
                raise ProtocolError(f"the server sent a message length of {length} bytes")
            if stop > end:
                wanted = 1 + length
                break
            replacement = self._server_frame(data[position], data, position, stop)
            if replacement is not None:
                if position > forwarded:
                    self.write_client(data[forwarded:position])
                if replacement:
                    self.write_client(replacement)
                forwarded = stop
            position = stop
        if position > forwarded:
            whole = forwarded == 0 and position == end
            self.write_client(data if whole else data[forwarded:position])
        if position < end:
            self._server_kept.append(data[position:])
            self._server_kept_bytes = int(end - position)
            self._server_wanted = int(wanted)

    def notice(self, response: bytes) -> None:
        """Send a NoticeResponse of ours between two frames of the server."""
        self._notices.append(response)
        self._send_notices()

    @property
    def is_between_frames(self) -> bool:
        """Tell whether the client has no frame half received."""
        return not self._server_skip or self._drops

    def _send_notices(self) -> None:
        if self.is_between_frames:
            for response in self._notices:
                self.write_client(response)
            self._notices.clear()

    def _server_frame(self, kind: i64, data: bytes, position: i64, stop: i64) -> bytes | None:
        """Match one answer with what it answers; return bytes to send in its place, or None."""
        if stop - position < 6 and (kind == 0x43 or kind == 0x5A):
            raise ProtocolError("the server sent a message without its content")
        if self.watching:
            return self.own_frame(kind, data, position, stop)
        if self.cut is not None:
            return self.cut_frame(kind, data, position, stop)
        return self.answer(kind, data, position, stop)

    def answer(self, kind: i64, data: bytes, position: i64, stop: i64) -> bytes | None:
        """Take an answer to what the client has sent."""
        if kind == 0x43:  # CommandComplete
            return self._command_complete(data, position, stop)
        if kind == 0x5A:  # ReadyForQuery
            return self._ready(data[position + 5])
        if kind == 0x31:  # ParseComplete
            self._parsed()
        elif kind == 0x33:  # CloseComplete
            return self._closed()
        elif kind == 0x45:  # ErrorResponse
            return self._error(data[position + 5 : stop])
        elif kind == 0x73:  # PortalSuspended
            return self._suspended(data[position:stop])
        elif kind == 0x49:  # EmptyQueryResponse
            if self._head(kind) == EXECUTE:
                self._finish(self.pending.popleft())
        elif kind == 0x53:  # ParameterStatus
            status = messages.parse_parameter_status(data[position + 5 : stop])
            self.owner.parameter(status.name, status.value)
        elif kind == 0x47:  # CopyInResponse
            self.copy_in()
        elif kind != 0x48:  # CopyOutResponse
            raise ProtocolError(f"the server sent an unexpected message 0x{int(kind):02x}")
        return None

    def _head(self, answer: i64) -> int:
        """Return the kind of entry that an answer of the server belongs to."""
        if not self.pending:
            raise ProtocolError(f"the server answered 0x{int(answer):02x} to nothing")
        return self.pending[0].kind

    def _flush_kept(self, data: bytes, forwarded: i64, position: i64) -> i64:
        """Send a statement's end when it was not the message's last; return what is forwarded.

        ParameterStatus may stand between the last one and ReadyForQuery.
        """
        if not self.kept or self.watching or position + 5 > len(data):
            return forwarded
        if data[position] == 0x5A or data[position] == 0x53:
            return forwarded
        if position > forwarded:
            self.write_client(data[forwarded:position])
        self.write_client(self.kept)
        self.kept = b""
        return position

    def _room(self) -> Room:
        """Return how much may still pass of the result that the next rows belong to."""
        entry = self.pending[0] if self.pending else None
        if entry is not self._metered:
            self._metered = entry
            self._fresh_room.rows = self.meter.rows_max
            self._fresh_room.size = self.meter.size_max
        if entry is not None and entry.room is not None:
            return entry.room
        return self._fresh_room

    def over_result(self, room: Room) -> None:
        """Pass on no more of a result, and see that it ends in an error; ``overrun`` has it."""
        raise NotImplementedError

    def cut_frame(self, kind: i64, data: bytes, position: i64, stop: i64) -> bytes | None:
        """Take what comes after the end of what may pass; ``overrun.Overrun`` has it."""
        raise NotImplementedError

    def own_frame(self, kind: i64, data: bytes, position: i64, stop: i64) -> bytes | None:
        """Take an answer to a question of our own; ``counting.Counting`` has it."""
        raise NotImplementedError

    def _command_complete(self, data: bytes, position: i64, stop: i64) -> bytes | None:
        kind = self._head(0x43)
        head = self.pending[0]
        if kind == EXECUTE:
            self.pending.popleft()
        elif kind != QUERY:
            raise ProtocolError("the server completed what it was not told to run")
        space: i64 = data.rfind(b" ", position + 5, stop)
        rows = -1
        if space >= 0:
            count = data[space + 1 : stop - 1]
            if count.isdigit():
                rows = int(count)
        head.rows = rows
        operation = head.operation
        bounded = operation is not None and operation.on_answer is not None
        if operation is not None:
            operation.tag = data[position + 5 : stop - 1].decode("ascii", "replace")
            # The tag of the last piece counts that piece only.
            operation.rows = -1 if operation.suspended else rows
            operation.suspended = False
            if rows > 0 and operation.counts_by_tag:
                operation.told += rows
        if bounded:
            self.kept = data[position:stop]
        if kind == EXECUTE:
            self._finish(head)
        return b"" if bounded else None

    def _suspended(self, frame: bytes) -> bytes | None:
        """Note that a portal has more rows; it goes on with the next Execute."""
        if self._head(0x73) != EXECUTE:
            raise ProtocolError("the server suspended what it was not told to run")
        head = self.pending.popleft()
        if head.operation is None:
            self._finish(head)
            return None
        head.operation.suspended = True
        if head.operation.on_answer is None:
            return None
        self.kept = frame
        head.operation.on_answer()
        return b""

    def _ready(self, status: int) -> bytes | None:
        kind = self._head(0x5A)
        if kind != SYNC and kind != QUERY:
            raise ProtocolError("the server is ready although it has not answered everything")
        head = self.pending.popleft()
        self.cancel_seen = False
        bounded = head.operation is not None and head.operation.on_answer is not None
        if kind == QUERY:
            self._finish(head)
        self.calm(status)
        return b"" if bounded else None

    def calm(self, status: int) -> None:
        """Note the state in which the server waits for more; one before a fence tells nothing."""
        if self.status != NOT_KNOWN or not [1 for each in self.pending if each.kind == FENCE]:
            self.status = status
        if not self.pending:
            self.unsure = False
            if status == IDLE:
                self.wrote = self.wrote and self.ran  # what was bound since may write
                self.close_portals(self.stretch)
                if self.defining:  # before any client can see that it is over
                    self.defining = False
                    self.owner.defined()

    def expect_close(self, data: bytes, position: i64, stop: i64) -> None:
        """Put a Close into the queue."""
        name = data[position + 6 : stop - 1] if stop - position > 6 else b""
        name = name[:NAME_BYTES_MAX]  # the server finds a longer one by its beginning
        if stop - position > 5 and data[position + 5] == messages.STATEMENT:
            self.pending.append(Pending(CLOSE, name=name, prepared=self.statements.get(name)))
        else:
            opened = self.opened.get(name)
            self.pending.append(Pending(CLOSE, name=name, is_portal=True, opened=opened))

    def _parsed(self) -> None:
        if self._head(0x31) != PARSE:
            raise ProtocolError("the server prepared what it was not told to")
        head = self.pending.popleft()
        if head.prepared is not None:
            head.prepared.confirmed = True

    def _closed(self) -> bytes | None:
        kind = self._head(0x33)
        head = self.pending.popleft()
        if kind == FENCE:
            return b""
        if kind != CLOSE:
            raise ProtocolError("the server closed what it was not told to")
        if not head.is_portal:
            # Not one that a Parse in the same pipeline has put in its place since.
            if self.statements.get(head.name) is head.prepared:
                self.statements.pop(head.name, None)
        elif self.opened.get(head.name) is head.opened:  # and no Bind behind the Close
            self.close_portal(head.name)
        return None

    def _error(self, payload: bytes) -> bytes | None:
        """Give the error to what it belongs to; skip what the server skips."""
        fields = messages.parse_fields(payload)
        sqlstate = fields.get("C", "XX000")
        head = self.pending[0] if self.pending else None
        if fields.get("V", fields.get("S", "")) in ("FATAL", "PANIC"):
            if head is not None:  # ``lose`` ends it when the connection closes
                head.sqlstate = sqlstate
            return None
        response: bytes | None = None
        if head is not None and head.refusal and sqlstate == SYNTAX_ERROR:
            response = head.refusal
        elif sqlstate == refusing.QUERY_CANCELED or self.cut is not None:
            response, sqlstate = self._cancelled(payload, head, sqlstate)
        elif len(payload) > self._room().size:  # an error can carry as much as rows
            response, sqlstate = self.too_long(OVER_BYTES), refusing.OVER_BUDGET
        if head is not None and head.kind == QUERY:
            head.sqlstate = sqlstate
            if head.operation is not None:
                head.operation.sqlstate = sqlstate
        elif head is None and not self.is_open:
            raise ProtocolError("the server reported an error of nothing")
        else:
            self.skip(sqlstate)
        self.end_copy()
        return response

    def _cancelled(
        self, payload: bytes, head: Pending | None, sqlstate: str
    ) -> tuple[bytes | None, str]:
        """Say which budget it was that a statement was cancelled for; return that as an error."""
        if head is not None and head.over:
            return head.over, messages.parse_fields(head.over[5:]).get("C", sqlstate)
        seconds = self.meter.budget.statement_s
        if seconds is None or self.cancel_seen:
            return None, sqlstate
        return refusing.with_time_budget(frame(0x45, payload), seconds), sqlstate

    def too_long(self, over: int) -> bytes:
        """Return the error of a result that is over its budget of rows or of bytes."""
        return refusing.over_result(over, self.meter.rows_max, self.meter.size_max)

    def skip(self, sqlstate: str) -> None:
        """Take back what the server will not do: everything up to the next Sync.

        The first entry is the one that failed, unless an answer without an entry here (to a Bind, a
        Describe) has.
        """
        first = True
        while self.pending and self.pending[0].kind != SYNC:
            entry = self.pending.popleft()
            if entry.kind == PARSE:
                if self.statements.get(entry.name) is entry.prepared and (
                    entry.prepared is not None and not entry.prepared.confirmed
                ):
                    del self.statements[entry.name]
            elif entry.kind == EXECUTE or entry.kind == QUERY:
                entry.sqlstate = sqlstate
                if entry.operation is not None:
                    entry.operation.sqlstate = sqlstate
                    entry.operation.skipped = not first or entry.kind == QUERY
                self._finish(entry)
            first = False
        if not self.pending:
            self.skipping = True
        waiting = sum([1 for entry in self.pending if entry.kind == SYNC])
        self.doubt(self.segment - waiting)

    def _finish(self, entry: Pending) -> None:
        """Record the outcome of one execution."""
        if entry.number >= 0:
            try:
                self.reads.read_finished(entry.number, entry.rows, entry.sqlstate)
            except TrailUnavailable as problem:
                self.owner.unrecorded(problem)
        known = entry.known
        operation = entry.operation
        if operation is not None:
            known = operation.known
            if operation is self.copying:
                self.end_copy()
            operation.suspended = False
            if operation.on_answer is not None:
                operation.on_answer()
            else:
                operation.finish()
        if known is not None and (known.prepares or known.forgets):
            if entry.sqlstate:
                self.take_back(known)
            else:
                self.confirm(known)

    def lose(self) -> None:
        """End everything that still waits for an answer: the connection to the server is gone."""
        while self.pending:
            entry = self.pending.popleft()
            entry.sqlstate = entry.sqlstate or CONNECTION_FAILURE
            if entry.operation is not None:
                entry.operation.complete = False
                entry.operation.sqlstate = entry.sqlstate
            if entry.own is not None:
                entry.own.lost = True
                entry.own.on_done()
            self._finish(entry)
        self.watching = False
        on_settled, self.on_settled = self.on_settled, None
        if on_settled is not None:
            on_settled()
        for bound in self.portals.values():
            if isinstance(bound, Operation) and bound.suspended:
                bound.complete = False
        self.close_portals(self.stretch + 1)
