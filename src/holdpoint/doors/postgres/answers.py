"""The server's direction of a session: match every answer with what it answers.

The server answers strictly in order, so a queue of what was sent tells whose outcome an answer is.
Here plain reads get their outcome in the trail, statements that went through the whole gate are
told how they ended, refusals get their words, and names of statements and portals are kept in step
with the server. Rows are not looked into: see ``wire.postgres.stream``.

This module compiles with mypyc.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from librt.strings import read_i32_be
from mypy_extensions import i64

from holdpoint.doors.postgres.pending import (
    CLOSE,
    EXECUTE,
    PARSE,
    QUERY,
    SYNC,
    Known,
    Operation,
    Pending,
    Prepared,
)
from holdpoint.model import limits
from holdpoint.wire.postgres import messages
from holdpoint.wire.postgres.errors import ProtocolError
from holdpoint.wire.postgres.stream import skip_unneeded

IDLE: Final = 0x49
CONNECTION_FAILURE: Final = "08006"


class Reads(Protocol):
    """The trail's lane for plain reads; both calls are in memory and never wait."""

    def read_started(self, session: str, text: str, parameters: bytes | None) -> int:
        """Record the intent; raises ``TrailUnavailable``."""

    def read_finished(self, number: int, rows: int, sqlstate: str) -> None:
        """Record the outcome."""


class Owner(Protocol):
    """What the relay asks of its session."""

    def known(self, query: bytes) -> Known | None:
        """Return the text as one that passes on its own, or None: it needs the whole gate."""

    def slow_query(self, query: bytes) -> None:
        """Take a Query through the gate; the relay is stopped until ``resume``."""

    def slow_bind(self, payload: bytes, prepared: Prepared) -> None:
        """Take a Bind through the gate; the relay is stopped until ``resume``."""

    def parameter(self, name: str, value: str) -> None:
        """Take note of a ParameterStatus."""

    def broken(self, problem: ProtocolError) -> None:
        """End the session: one of the peers does not keep to the protocol."""

    def over(self) -> None:
        """Take the client's goodbye."""

    def pause_client(self, paused: bool) -> None:
        """Stop or go on reading from the client."""


class Answers:
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
        self.owner = owner
        self.reads = reads
        self.session = session
        self.write_client = write_client
        self.write_server = write_server
        self.pending: deque[Pending] = deque()
        self.statements: dict[bytes, Prepared] = {}
        self.portals: dict[bytes, Known | Operation] = {}
        self.parameters: dict[bytes, bytes] = {}
        self.segment = 0
        self.status = IDLE
        # The open transaction may have changed data.
        self.wrote = False
        # Texts may be looked up: the server reads strings as the gate does.
        self.plain = True
        self.draining = False
        self.copying: Operation | None = None
        self.copy_ended = False
        self.swallows_sync = False
        self._server_tail = b""
        self._server_skip = 0
        self._notices: list[bytes] = []

    def drained(self) -> None:
        """Go on with the client's direction; ``relay.Relay`` has it."""
        raise NotImplementedError

    def server_data(self, data: bytes) -> None:
        """Take bytes from the server; forwards them, with our refusals in their places."""
        if self._server_tail:
            data = self._server_tail + data
            self._server_tail = b""
        end: i64 = len(data)
        position: i64 = self._server_skip
        if position >= end:
            self._server_skip = int(position - end)
            self.write_client(data)
            return
        self._server_skip = 0
        forwarded: i64 = 0
        while True:
            position = skip_unneeded(data, position, end)
            if position >= end:
                self._server_skip = int(position - end)
                position = end
                break
            if position + 5 > end:
                break
            length = i64(read_i32_be(data, position + 1))
            stop: i64 = position + 1 + length
            if length < 4 or length > limits.MESSAGE_BYTES_MAX:
                self.owner.broken(
                    ProtocolError(f"the server sent a message length of {length} bytes")
                )
                return
            if stop > end:
                break
            replacement = self._server_frame(data[position], data, position, stop)
            if replacement is not None:
                if position > forwarded:
                    self.write_client(data[forwarded:position])
                self.write_client(replacement)
                forwarded = stop
            position = stop
        if position > forwarded:
            whole = forwarded == 0 and position == end
            self.write_client(data if whole else data[forwarded:position])
        if position < end:
            self._server_tail = data[position:]
        if self._notices:
            self._send_notices()
        if self.draining:
            self.drained()

    def notice(self, response: bytes) -> None:
        """Send a NoticeResponse of ours between two frames of the server."""
        self._notices.append(response)
        self._send_notices()

    def _send_notices(self) -> None:
        if not self._server_skip and not self._server_tail:
            for response in self._notices:
                self.write_client(response)
            self._notices.clear()

    def _server_frame(self, kind: i64, data: bytes, position: i64, stop: i64) -> bytes | None:
        """Match one answer with what it answers; return bytes to send in its place, or None."""
        if kind == 0x43:  # CommandComplete
            self._command_complete(data, position, stop)
        elif kind == 0x5A:  # ReadyForQuery
            self._ready(data[position + 5])
        elif kind == 0x31 or kind == 0x33:  # ParseComplete, CloseComplete
            self._acknowledged()
        elif kind == 0x45:  # ErrorResponse
            return self._error(data[position + 5 : stop])
        elif kind == 0x73 or kind == 0x49:  # PortalSuspended, EmptyQueryResponse
            if self.pending and self.pending[0].kind == EXECUTE:
                self._finish(self.pending.popleft())
        elif kind == 0x53:  # ParameterStatus
            status = messages.parse_parameter_status(data[position + 5 : stop])
            self.owner.parameter(status.name, status.value)
        elif kind == 0x47:  # CopyInResponse
            self._copy_in()
        return None

    def _command_complete(self, data: bytes, position: i64, stop: i64) -> None:
        if not self.pending:
            return
        head = self.pending[0]
        if head.kind == EXECUTE:
            self.pending.popleft()
        elif head.kind != QUERY:
            return
        space: i64 = data.rfind(b" ", position + 5, stop)
        rows = -1
        if space >= 0:
            count = data[space + 1 : stop - 1]
            if count.isdigit():
                rows = int(count)
        head.rows = rows
        if head.operation is not None:
            head.operation.tag = data[position + 5 : stop - 1].decode("ascii", "replace")
            head.operation.rows = rows
        if head.kind == EXECUTE:
            self._finish(head)

    def _ready(self, status: int) -> None:
        self.status = status
        if self.pending and self.pending[0].kind in (SYNC, QUERY):
            head = self.pending.popleft()
            if head.kind == QUERY:
                self._finish(head)
        if status == IDLE and not self.pending:
            self.wrote = False
            self.close_portals()

    def has_unsent(self) -> bool:
        """Tell whether a portal waits that went through the whole gate and has not run.

        SQL's FETCH could run it, so no text passes on its own while there is one.
        """
        for bound in self.portals.values():
            if isinstance(bound, Operation) and not bound.sent:
                return True
        return False

    def close_portals(self) -> None:
        """Forget the portals, which end with their transaction; what never ran is told so."""
        for bound in self.portals.values():
            if isinstance(bound, Operation):
                bound.drop()
        self.portals.clear()
        self.parameters.clear()

    def open_portal(self, portal: bytes, bound: Known | Operation) -> None:
        """Open a portal; one that it replaces and that never ran is told so."""
        old = self.portals.get(portal)
        if isinstance(old, Operation):
            old.drop()
        self.portals[portal] = bound

    def _acknowledged(self) -> None:
        if not self.pending:
            return
        head = self.pending[0]
        if head.kind == PARSE:
            self.pending.popleft()
            if head.prepared is not None:
                head.prepared.confirmed = True
        elif head.kind == CLOSE:
            self.pending.popleft()
            self.statements.pop(head.name, None)

    def _error(self, payload: bytes) -> bytes | None:
        """Give the error to what it belongs to; skip what the server skips."""
        self._end_copy()
        if not self.pending:
            return None
        head = self.pending[0]
        sqlstate = messages.parse_fields(payload).get("C", "XX000")
        response = head.refusal if head.refusal else None
        if head.kind == QUERY:
            head.sqlstate = sqlstate
            if head.operation is not None:
                head.operation.sqlstate = sqlstate
            return response
        while self.pending and self.pending[0].kind != SYNC:
            self._skipped(self.pending.popleft(), sqlstate)
        return response

    def _skipped(self, entry: Pending, sqlstate: str) -> None:
        """Take back what the server will not do: everything up to the next Sync."""
        if entry.kind == PARSE:
            if self.statements.get(entry.name) is entry.prepared and (
                entry.prepared is not None and not entry.prepared.confirmed
            ):
                del self.statements[entry.name]
        elif entry.kind == EXECUTE:
            entry.sqlstate = sqlstate
            if entry.operation is not None:
                entry.operation.sqlstate = sqlstate
            self._finish(entry)

    def _finish(self, entry: Pending) -> None:
        """Record the outcome of one execution."""
        if entry.number >= 0:
            self.reads.read_finished(entry.number, entry.rows, entry.sqlstate)
        operation = entry.operation
        if operation is not None:
            if operation is self.copying:
                self._end_copy()
            operation.finish()
        known = entry.known
        if known is not None:
            if entry.sqlstate:
                self._take_back(known)
            else:
                self._confirm(known)

    def _take_back(self, known: Known) -> None:
        """Forget names whose PREPARE has failed."""
        for name, _ in known.prepares:
            prepared = self.statements.get(name)
            if prepared is not None and not prepared.confirmed:
                del self.statements[name]

    def _confirm(self, known: Known) -> None:
        """Apply PREPARE and DEALLOCATE once the server has done them."""
        for name, query in known.prepares:
            prepared = self.statements.get(name)
            if prepared is not None and prepared.query == query:
                prepared.confirmed = True
        for name in known.forgets:
            if name == b"*":
                self.statements.clear()
            else:
                self.statements.pop(name, None)

    def define(self, name: bytes, query: bytes, types: bytes = b"") -> bool:
        """Give a statement its name; False when another one has it already.

        The server would refuse as well. The gate must not wait for that: the next frame could run
        the other statement while we take it for this one.
        """
        old = self.statements.get(name)
        if name and old is not None:
            return old.query == query
        known = self.owner.known(query) if self.plain else None
        self.statements[name] = Prepared(query, known, self.segment, False, types)
        return True

    def _copy_in(self) -> None:
        """Note that a server that reads COPY data ignores Sync (manual, "COPY Operations")."""
        if not self.pending:
            return
        head = self.pending[0]
        if head.kind == QUERY:
            self.copy_ended = False  # the next COPY of the same message
        elif head.kind == EXECUTE and not self.copy_ended:
            self.swallows_sync = True
            while len(self.pending) > 1 and self.pending[1].kind == SYNC:
                del self.pending[1]

    def _end_copy(self) -> None:
        self.copying = None
        self.copy_ended = False
        self.swallows_sync = False

    def lose(self) -> None:
        """End everything that still waits for an answer: the connection to the server is gone."""
        while self.pending:
            entry = self.pending.popleft()
            entry.sqlstate = CONNECTION_FAILURE
            if entry.operation is not None:
                entry.operation.complete = False
            self._finish(entry)
        self.close_portals()
