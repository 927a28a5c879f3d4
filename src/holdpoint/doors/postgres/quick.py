"""The shortest way: one packet that binds, executes and syncs a statement that is known to pass.

Nearly every driver sends an execution of a prepared statement like this. It is taken in one look
when nothing speaks against it; otherwise the packet goes frame by frame, with the same outcome.

This module compiles with mypyc.
"""

from __future__ import annotations

from typing import Final

from librt.strings import read_i32_be
from mypy_extensions import i64

from holdpoint.doors.postgres.counting import Counting
from holdpoint.doors.postgres.pending import EXECUTE, Pending
from holdpoint.engine.recorder import TrailUnavailable
from holdpoint.model import limits
from holdpoint.wire.postgres import messages

DESCRIBE: Final = messages.describe(messages.PORTAL, b"")
EXECUTE_SYNC: Final = messages.execute(b"") + messages.SYNC
DESCRIBE_EXECUTE_SYNC: Final = DESCRIBE + EXECUTE_SYNC


class Quick(Counting):
    """Adds the shortest way to what a session knows of its server."""

    def execute_at_once(self, data: bytes) -> bool:
        """Send a whole packet on if it is of that kind and passes; False decides nothing."""
        end: i64 = len(data)
        if end < 12 or end > limits.QUICK_BYTES_MAX or data[0] != 0x42 or data[5] != 0:
            return False
        bind_end: i64 = 1 + i64(read_i32_be(data, 1))
        if bind_end < 11 or bind_end >= end:
            return False
        rest = data[bind_end:]
        if rest != DESCRIBE_EXECUTE_SYNC and rest != EXECUTE_SYNC:
            return False
        name_end: i64 = data.find(b"\x00", 6, bind_end)
        if name_end < 0 or self.portals or self.skipping or self.copying is not None:
            return False
        if self.careful or self.loosened:
            return False
        prepared = self.statements.get(data[6:name_end])
        if prepared is None or not prepared.confirmed or not self.plain or self.unsure:
            return False
        known = prepared.known
        if known is None or prepared.epoch != self.epoch or known.commits or known.prepares:
            return False
        if not self.meter.take(known.count):
            return False  # the whole gate refuses it
        try:
            number = self.reads.read_started(
                self.session, known.text, data[name_end + 1 : bind_end]
            )
        except TrailUnavailable:
            return False  # refused in its place by the way frame by frame
        self.pending.append(Pending(EXECUTE, number, known=known))
        self.count_sync()
        self.write_server(data)
        return True
