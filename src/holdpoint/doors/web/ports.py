"""What the web door needs of the rest of the house, as narrow protocols.

``app.py`` hands in the real ones: the engine's hold book, the store's people, the trail.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from holdpoint.model.hold import Answer, Hold, HoldState

Clock = Callable[[], datetime]
"""The time: aware, UTC."""

Groups = Callable[[str], frozenset[str]]
"""The groups that a person is in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Someone who may answer holds. An empty ``password_hash`` means: no password was set."""

    name: str
    password_hash: str = ""


class People(Protocol):
    """The people's table. Nothing here can find an agent."""

    async def find(self, name: str) -> Person | None:
        """The person of that name."""
        ...

    async def by_token(self, token_hash: str) -> Person | None:
        """The person whose token has this fingerprint."""
        ...

    async def link_stands(self, link_hash: str, at: datetime) -> bool:
        """Whether a sign-in link could be used now; does not use it."""
        ...

    async def use_link(self, link_hash: str, at: datetime) -> Person | None:
        """Use up a sign-in link; the person it was for, or None. Succeeds once."""
        ...


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
    """Recent records of the trail, newest first; each a mapping of JSON values."""

    async def recent(self, limit: int) -> Sequence[Mapping[str, Any]]:
        """At most ``limit`` records."""
        ...
