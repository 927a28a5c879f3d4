"""What a session keeps of what it sends: the queue of what waits for an answer, Sync, and COPY.

A server that reads COPY data from the client takes frames differently (manual, "COPY Operations"):
here is what the gate must know of that.

This module compiles with mypyc.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from mypy_extensions import i64

from holdpoint.doors.postgres.fates import FLUSHED, IGNORED, PASS
from holdpoint.doors.postgres.pending import SYNC, Known, Names, Operation, Pending
from holdpoint.wire.postgres import messages
from holdpoint.wire.postgres.errors import ProtocolError


class Sending(Names):
    """What was sent to the server and has no answer yet."""

    def __init__(
        self, known: Callable[[bytes], Known | None], write_server: Callable[[bytes], None]
    ) -> None:
        super().__init__(known)
        self.write_server = write_server
        self.pending: deque[Pending] = deque()
        # Frames of the extended protocol were sent since the last Sync or fence.
        self.is_open = False
        self.ran = False  # ... Bind or Execute among them: a transaction may have begun or ended
        self.skipping = False
        self.stopped = False
        self.draining = False
        self.loosened = 0  # see ``passing``
        # A statement runs under a bound of rows: nothing else goes to the server meanwhile.
        self.bounding = False
        self.copying: Operation | None = None
        self.copy_is_query = False
        self.copy_begun = False  # the server reads COPY data
        self.copy_data = False  # the client has sent some
        self.copy_ended = False  # ... and CopyDone or CopyFail
        self.held_sync = False  # see ``sync_in_copy``

    def start_copy(self, operation: Operation, is_query: bool) -> None:
        """Note that what is sent now may read COPY data from the client."""
        self.copying = operation
        self.copy_is_query = is_query
        self.copy_begun = False
        self.copy_data = False
        self.copy_ended = False
        self.held_sync = False

    def sync_in_copy(self) -> int:
        """Say what becomes of a Sync while COPY data may be read.

        A server that reads COPY data ignores Sync (manual, "COPY Operations"); one that has found
        an error in the data answers it, and nobody can tell from here which of the two it will be.
        So the Sync is kept back until the COPY is over: dropped if the server ignored it for
        certain, sent after the error if not.
        """
        if self.copy_ended and not self.copy_is_query:
            self.count_sync()
            return PASS
        if not self.copy_begun or self.copy_data or self.copy_ended:
            self.held_sync = True
        return IGNORED if self.copy_is_query else FLUSHED

    def copy_in(self) -> None:
        """Note that the server reads COPY data now; it ignores a Sync that was sent before it."""
        if self.copying is None:
            raise ProtocolError("the server asks for COPY data that nobody has announced")
        self.copy_begun = True
        if self.copy_is_query:
            self.copy_ended = False  # the next COPY of the same message
        if not self.copy_data:
            self.held_sync = False

    def end_copy(self) -> None:
        """Note that the server reads no COPY data any more, and send it a Sync that was kept."""
        operation, self.copying = self.copying, None
        if operation is None:
            return
        if self.bounding:  # the gate has questions first; then ``counting`` goes on
            self.stopped = True
            return
        if self.held_sync:
            self.held_sync = False
            self.send_sync()
        if operation.guarded and self.pending:
            self.stopped = True
            self.draining = True

    def send_sync(self) -> None:
        """Send a Sync and wait for its answer in the queue."""
        self.count_sync()
        self.write_server(messages.SYNC)

    def count_sync(self) -> None:
        """Note that a Sync is sent: what the server skips ends here."""
        self.pending.append(Pending(SYNC))
        self.segment += 1
        self.stretch += 1
        self.skipping = False
        self.is_open = False
        self.ran = False


def may_pass_in_copy(kind: i64) -> bool:
    """Tell whether a frame may go to a server that reads COPY data."""
    return kind == 0x64 or kind == 0x63 or kind == 0x66 or kind == 0x48 or kind == 0x58
