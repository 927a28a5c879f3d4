"""How statements that went through the whole gate pass, and what must come before the next one.

A statement may have set a timeout to something weaker than the session's bound. The gate sets the
bound again by a question of its own (``restoring``), before anything else runs. ``loosened`` says
where it stands:

* ``ASK``: what was sent may have loosened a bound. Nothing more is sent until all is answered and
  the bounds are set again. In a failed transaction nothing can be set and nothing runs: only there
  a statement may go out, the one that ends or rolls back.
* ``ASKED``: the bounds are set, in a transaction that has loosened them before: ``ROLLBACK TO`` may
  bring the old value back. So they are set again behind each statement, up to its end.

This module compiles with mypyc.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from holdpoint.doors.postgres.answers import IDLE
from holdpoint.doors.postgres.pending import ASK, ASKED, EXECUTE, QUERY, Operation, Pending
from holdpoint.doors.postgres.quick import Quick
from holdpoint.wire.postgres import frames, messages
from holdpoint.wire.postgres.frames import frame

FAILED: Final = 0x45


class Passing(Quick):
    """Adds to what a session knows of its server how a statement through the gate is sent."""

    def resume(self) -> None:
        """Go on with what the client has sent since the relay was stopped; bounds go first."""
        if self.gone:
            return
        if self.loosened == ASK and self._may_restore():
            self.owner.restore()  # comes back here
        else:
            self.take_up()

    def take_up(self) -> None:
        """Look at what the client has sent meanwhile; ``relay.Relay`` has it."""
        raise NotImplementedError

    def _may_restore(self) -> bool:
        """Tell whether the server would take a question of ours and could do what it says."""
        if self.pending or self.skipping or self.bounding or self.copying is not None:
            return False
        return not self._has_failed()

    def _has_failed(self) -> bool:
        """Tell whether the server has said last that the transaction has failed."""
        return self.status == FAILED and not self.ran

    def waits(self, kind: i64) -> bool:
        """Tell whether a frame must wait until the bounds are set again."""
        if kind != 0x51 and kind != 0x50 and kind != 0x42 and kind != 0x45:
            return False
        if self.loosened == ASK:
            return bool(self.pending) or not self._has_failed()
        if kind == 0x51 or kind == 0x45:
            self.loosened = ASK  # behind this one
        return False

    def calm(self, status: int) -> None:
        """Note the state in which the server waits; at the end of a transaction bounds hold."""
        super().calm(status)
        if status == IDLE and self.loosened == ASKED:
            self.loosened = 0

    def run_query(self, query: bytes, operation: Operation) -> None:
        """Send a Query that the gate let through."""
        if self.skipping:  # what was sent before it has failed meanwhile
            operation.skip()
            self.resume()
            return
        self.pending.append(Pending(QUERY, operation=operation))
        operation.sent = True
        if operation.wrote:
            self.wrote = True
        if operation.copies:
            self.start_copy(operation, is_query=True)
        self.write_server(messages.query(query))
        if (operation.guarded or self.loosened) and not operation.copies:
            self.draining = True
        else:
            self.resume()

    def run_bind(self, payload: bytes, operation: Operation) -> None:
        """Send a Bind that the gate let through; the operation runs when its portal is executed."""
        if self.skipping:
            operation.skip()
            self.resume()
            return
        portal = payload[: payload.find(b"\x00")]
        operation.segment = self.segment
        self.open_portal(portal, operation)
        if operation.wrote:
            self.wrote = True
        self.write_server(frame(frames.BIND, payload))
        self.resume()

    def run_portal(self, operation: Operation) -> bool:
        """Note that a portal runs whose Bind went through the gate; True: nothing goes with it."""
        if operation.loosens:
            self.loosened = ASK
        self.pending.append(Pending(EXECUTE, operation=operation, room=operation.room))
        operation.sent = True
        if operation.copies:
            self.start_copy(operation, is_query=False)
            return False
        if operation.guarded and not operation.finished:
            self.unsure = True
            return True
        return False
