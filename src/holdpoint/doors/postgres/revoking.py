"""Ends sessions whose access was taken away: once a second all of them are looked at.

The store is asked in a thread of its own, in one query for all sessions; clocks and the hours of
tiers are looked at here. While the store gives no word, what was known last counts, for
``STANDING_AGE_MAX_S`` at most: then all sessions end, because nobody knows any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Final

import structlog

from holdpoint.doors.postgres.door import PostgresDoor
from holdpoint.doors.postgres.session import Session
from holdpoint.model import limits
from holdpoint.model.finding import Finding
from holdpoint.model.task import Barred, Login
from holdpoint.policy.tiers import SESSION_ENDED, no_longer
from holdpoint.store.errors import StoreError

log = structlog.get_logger(__name__)

Standing = Mapping[str, Login | Barred]
"""How logins stand, by name."""

AGAIN: Final = "connect again with a credential that is good; people give them"

UNKNOWN_STANDING: Final = Finding(
    code=SESSION_ENDED,
    message=f"whether the credential is still good could not be asked for "
    f"{limits.STANDING_AGE_MAX_S:g} s",
    hint="the store cannot be read: see Holdpoint's log; connect again",
)


class Revoking:
    """Looks after the sessions of one door; ``check`` is called by its watch."""

    def __init__(
        self,
        door: PostgresDoor,
        ask: Callable[[Collection[str], datetime], Standing],
        clock: Callable[[], datetime],
    ) -> None:
        """``ask`` reads the store and may block; ``clock`` gives the time, aware, UTC."""
        self._door = door
        self._ask = ask
        self._clock = clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="holdpoint-revoking")
        self._asking: asyncio.Task[None] | None = None
        self._standing: Standing = {}
        self._asked_for: frozenset[str] = frozenset()  # sessions that were there when it was asked
        # When the last question was asked that was answered, or the first session came.
        self._known_at: float | None = None

    def check(self) -> None:
        """End what must end by what is known, and ask the store anew."""
        now = asyncio.get_running_loop().time()
        sessions = self._door.sessions()
        if not sessions:
            self._known_at = None
            return
        if self._known_at is None:
            self._known_at = now
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._look(sessions, now))
        self._end()

    async def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _look(self, sessions: Collection[Session], at: float) -> None:
        names = {session.arrival.login.name for session in sessions}
        asked_for = frozenset(session.id for session in sessions)
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._thread, self._ask, names, self._clock())
        except StoreError as error:
            log.warning("standing.unknown", problem=str(error))
            return
        self._standing, self._asked_for, self._known_at = found, asked_for, at
        self._end()

    def _end(self) -> None:
        now, at = asyncio.get_running_loop().time(), self._clock()
        blind = self._known_at is not None and now - self._known_at > limits.STANDING_AGE_MAX_S
        self._door.end_where(lambda each: UNKNOWN_STANDING if blind else self._why(each, at))

    def _why(self, session: Session, at: datetime) -> Finding | None:
        """Return why a session must end now."""
        login, arrival = session.arrival.login, session.arrival
        if session.id in self._asked_for:
            problem = _taken_away(login, self._standing.get(login.name))
            if problem:
                return Finding(code=SESSION_ENDED, message=problem, hint=AGAIN)
        if login.expires_at is not None and login.expires_at <= at:
            words = f"the credential of `{login.name}` expired at {login.expires_at:%H:%M:%S} UTC"
            return Finding(code=SESSION_ENDED, message=words, hint=AGAIN)
        return no_longer(arrival.target, arrival.tier, login, at)


def _taken_away(login: Login, now: Login | Barred | None) -> str:
    """Say what became of the credential that a session came in by; empty when it is good."""
    if isinstance(now, Barred):
        return now.why
    if now is None or now.scram_verifier != login.scram_verifier:
        return f"the secret of `{login.name}` was replaced"
    return ""
