"""Follows the server that a session leads to: a replica may be promoted, or fall too far behind.

The fast lane is not asked anything: while there is an objection, ``relay.plain`` is off and every
statement goes through the whole gate, where it waits or is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from holdpoint.engine.upstreams import Objection, Way
from holdpoint.model.finding import Finding
from holdpoint.policy.refusals import REPLICA

if TYPE_CHECKING:
    from holdpoint.doors.postgres.passage import Passage
    from holdpoint.doors.postgres.session import Session

POLL_S: Final = 0.1


def _nothing() -> None:
    """Object to nothing."""


class Following:
    """What a session knows of its server; ``way`` is set once it is known."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._objection: Callable[[], Objection | None] = _nothing
        self.objects = False

    def take(self, way: Way) -> None:
        """Follow the server at the end of this way."""
        self._objection = way.objection

    def heed(self) -> None:
        """Take note of what there is to object to now; called every second."""
        objection = self._objection()
        if objection is not None and objection.final:
            self._session.end(objection.finding)
        elif (objection is not None) is not self.objects:
            self.objects = objection is not None
            self._session.read_plainly()

    def reported(self, in_hot_standby: str) -> None:
        """Take the server's own word (PostgreSQL 14 and later): nothing more is sent to a primary.

        It comes with the first answer after the promotion.
        """
        session = self._session
        if in_hot_standby == "on" or not session.arrival.tier.replica:
            return
        session.relay.gone = session.relay.stopped = True
        place = session.upstream.url.place
        session.end(
            Finding(
                code=REPLICA,
                message=f"the session ends: `{place}` is no replica any more",
                hint="connect again; another server takes over if there is one",
            )
        )

    def objection(self) -> Finding | None:
        """Return why nothing may run now."""
        objection = self._objection()
        return objection.finding if objection is not None else None

    async def barred(self, passage: Passage) -> Finding | None:
        """Return why a statement must not run now, after waiting for that to pass; None lets it."""
        objection = self._objection()
        if objection is None:
            return None
        loop = asyncio.get_running_loop()
        end = loop.time() + objection.wait_s
        passage.is_waiting = True  # its client may cancel it or go away
        try:
            while objection is not None and not objection.final and loop.time() < end:
                if passage.cancelled.is_set():
                    break
                await asyncio.sleep(POLL_S)
                objection = self._objection()
        finally:
            passage.is_waiting = False
        return objection.finding if objection is not None else None
