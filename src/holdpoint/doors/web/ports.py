"""What the web door needs of the rest of the house, as narrow protocols.

``app.py`` hands in the real ones: the engine's hold book, the store's people, the trail.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from datetime import datetime
from typing import Protocol

from holdpoint.audit.record import ChainedRecord
from holdpoint.model.hold import Answer, Hold, HoldState

Clock = Callable[[], datetime]
"""The time: aware, UTC."""


class HoldBook(Protocol):
    """The part of the engine's hold book that people need."""

    async def get(self, hold_id: str) -> Hold | None:
        """One hold."""
        ...

    async def list(self, states: Collection[HoldState] | None, limit: int) -> Sequence[Hold]:
        """Holds in these states, newest first."""
        ...

    async def answer(
        self,
        hold_id: str,
        approver: str,
        answer: Answer,
        note: str,
        *,
        approver_groups: frozenset[str],
    ) -> Hold:
        """One person's answer; raises ``AnswerRefused`` with the reason in words."""
        ...

    def subscribe(self) -> AsyncIterator[Hold]:
        """Every hold as it changes, from now on."""
        ...


class Trail(Protocol):
    """The store's records: reading the trail. May block; the door asks in a thread."""

    def recent(self, limit: int) -> Sequence[ChainedRecord]:
        """The newest records, newest first."""
        ...
