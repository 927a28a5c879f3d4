"""Ends an open session from our side: access was taken away.

Nothing more begins, what runs is cancelled at the server and followed to its end so that the trail
knows it, and the client is told why. A client that does not read, or a server that does not stop,
is cut off after ``ENDING_S``.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Final

from holdpoint.doors.postgres import upstream
from holdpoint.doors.postgres.upstream import UpstreamError
from holdpoint.model import limits
from holdpoint.model.finding import Finding
from holdpoint.wire.postgres.errors import ProtocolError

if TYPE_CHECKING:
    from holdpoint.doors.postgres.session import Session

ADMIN_SHUTDOWN: Final = "57P01"
POLL_S: Final = 0.02
CANCEL_AGAIN_S: Final = 0.5  # what was sent before the first request may begin after it


async def end(session: Session, finding: Finding) -> None:
    """Bring a session to its end with a reason."""
    loop = asyncio.get_running_loop()
    can_settle = session.stop()
    until = loop.time() + (limits.ENDING_S if can_settle else 0.0)
    cancel_at = loop.time()
    cancelling: asyncio.Task[None] | None = None
    while not session.is_server_lost() and loop.time() < until:
        if not session.runs and session.relay.is_between_frames:
            break
        if session.runs and loop.time() >= cancel_at and (cancelling is None or cancelling.done()):
            cancelling = asyncio.ensure_future(_cancel(session))
            cancel_at = loop.time() + CANCEL_AGAIN_S
        await asyncio.sleep(POLL_S)
    if cancelling is not None:
        cancelling.cancel()
    session.fail(ADMIN_SHUTDOWN, finding.message, finding.hint)
    await asyncio.sleep(limits.ENDING_S)
    session.cut()  # a client that does not read keeps its connection no longer than that


async def _cancel(session: Session) -> None:
    """Ask the server to cancel; if it cannot be reached, the end of the connection must do."""
    server = session.upstream
    try:
        await upstream.cancel(server.url, server.pid, server.key)
    except (OSError, TimeoutError, ssl.SSLError, UpstreamError, ProtocolError):
        return
