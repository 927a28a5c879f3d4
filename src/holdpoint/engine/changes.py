"""News of holds for readers that may be slow: the newest state per hold, never an open one lost."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final

from holdpoint.model import limits
from holdpoint.model.hold import Hold, HoldState

WAITING: Final = frozenset({HoldState.OPEN, HoldState.APPROVED})


class Changes:
    """Hands every published hold to every subscription. Belongs to one event loop."""

    def __init__(self) -> None:
        self._readers: set[Subscription] = set()

    def publish(self, hold: Hold) -> None:
        """Tell everyone that ``hold`` is new or has changed."""
        for reader in self._readers:
            reader.push(hold)

    def subscribe(self, hold_id: str = "") -> Subscription:
        """Return news from now on, of one hold or of all."""
        reader = Subscription(self._readers, hold_id)
        self._readers.add(reader)
        return reader


class Subscription:
    """An async iterator of holds. Ends its subscription on ``close``, ``aclose`` or ``with``."""

    def __init__(self, readers: set[Subscription], hold_id: str) -> None:
        self._readers = readers
        self._hold_id = hold_id
        self._pending: dict[str, Hold] = {}
        self._news = asyncio.Event()
        self._closed = False

    def push(self, hold: Hold) -> None:
        """Keep the newest state of a hold; beyond the limit, ended holds go first."""
        if self._hold_id and hold.id != self._hold_id:
            return
        self._pending.pop(hold.id, None)
        self._pending[hold.id] = hold
        if len(self._pending) > limits.SUBSCRIBER_HOLDS_MAX:
            ended = (key for key, kept in self._pending.items() if kept.state not in WAITING)
            self._pending.pop(next(ended, next(iter(self._pending))))
        self._news.set()

    async def within(self, timeout_s: float) -> Hold | None:
        """Return the next change, or None after ``timeout_s``."""
        try:
            async with asyncio.timeout(timeout_s):
                return await anext(self)
        except (TimeoutError, StopAsyncIteration):
            return None

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Hold:
        while not self._pending:
            if self._closed:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._pending.pop(next(iter(self._pending)))

    def close(self) -> None:
        """Stop; a waiting reader ends."""
        self._closed = True
        self._readers.discard(self)
        self._news.set()

    async def aclose(self) -> None:
        """Stop, for ``contextlib.aclosing``."""
        self.close()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
