"""What agents have used of their budgets: counters that their sessions share.

A ``Meter`` counts for one agent (or one task) in one tier, a ``Ledger`` the rows that one of them
has written in all tiers. Both are plain numbers on the thread of the event loop: asking them costs
a comparison, and the clock where statements per minute are limited. Nothing here waits.

This module compiles with mypyc.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

from holdpoint.model.budget import NO_BUDGET, Budget
from holdpoint.wire.postgres.stream import UNLIMITED

MINUTE_S: Final = 60
# Statements are counted by whole seconds of a clock. One from the end of a second leaves with its
# beginning, so a second more is kept: then no 60 seconds, wherever they begin, hold too many.
_SLOTS: Final = MINUTE_S + 1


class Meter:
    """What one agent (or task) uses of one tier. ``clock`` must be monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self.budget = NO_BUDGET
        self.sessions = 0  # open now
        self.rows_max = UNLIMITED  # of one result
        self.size_max = UNLIMITED  # in bytes, as they go over the wire
        self.limits_results = False
        self.is_rated = False
        self.per_minute = 0
        self._used = 0  # in the seconds of ``_slots``
        self._slots = [0] * _SLOTS
        self._second = int(clock())

    def apply(self, budget: Budget) -> None:
        """Count against this budget from here on; what was used stays used."""
        self.budget = budget
        self.rows_max = UNLIMITED if budget.rows is None else budget.rows
        self.size_max = UNLIMITED if budget.bytes is None else budget.bytes
        self.limits_results = budget.rows is not None or budget.bytes is not None
        self.is_rated = budget.statements_per_minute is not None
        self.per_minute = budget.statements_per_minute or 0

    def take(self, count: int = 1) -> bool:
        """Count statements that begin now; False when there is no room, then none is counted."""
        if not self.is_rated:
            return True
        self._move_on()
        if self._used + count > self.per_minute:
            return False
        self._used += count
        self._slots[self._second % _SLOTS] += count
        return True

    def seconds_to_room(self, count: int = 1) -> int:
        """Return in how many seconds so many statements may begin; -1 when they never may."""
        if count > self.per_minute:
            return -1
        self._move_on()
        used, seconds = self._used, 0
        while used + count > self.per_minute:
            seconds += 1
            used -= self._slots[(self._second + seconds) % _SLOTS]
        return seconds

    def is_idle(self) -> bool:
        """Tell whether it may be forgotten: nothing is open, and nothing counts any more."""
        self._move_on()
        return not self.sessions and not self._used

    def _move_on(self) -> None:
        """Give back what was used more than a minute ago."""
        now = int(self._clock())
        if now - self._second >= _SLOTS:
            self._slots = [0] * _SLOTS
            self._used = 0
            self._second = now
        while self._second < now:
            self._second += 1
            slot = self._second % _SLOTS
            self._used -= self._slots[slot]
            self._slots[slot] = 0


class Ledger:
    """The rows that one task (or agent without one) has changed, in all tiers.

    ``reserved`` are those that statements which run now may still change: so two of them never
    fit into the same remainder. What a statement changed stays counted, whatever becomes of its
    transaction.
    """

    def __init__(self, written: int = 0) -> None:
        self.written = written
        self.reserved = 0

    def left(self, limit: int) -> int:
        """Return how many rows of ``limit`` may still be changed."""
        left = limit - self.written - self.reserved
        return left if left > 0 else 0

    def reserve(self, wanted: int, limit: int) -> int:
        """Set aside up to ``wanted`` rows; returns how many there were."""
        left = self.left(limit)
        granted = wanted if wanted < left else left
        self.reserved += granted
        return granted

    def settle(self, granted: int, used: int) -> None:
        """Count what a statement has changed, in place of what was set aside for it."""
        self.reserved -= granted
        self.written += used
