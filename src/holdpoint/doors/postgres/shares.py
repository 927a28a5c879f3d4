"""Which counters a session counts against, and what it is told when nothing is left of a budget.

Sessions of one agent (of one task, where it came with one) share a meter in each tier and one
ledger in all of them. Meters are kept for as long as anything counts: a session that ends and
begins anew finds what it has used. The ledger of a task is in the store as well, so that it
survives the gate: rows are written down there before the statement runs that may change them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

import structlog

from holdpoint.doors.postgres.handshake import Arrival
from holdpoint.doors.postgres.metering import Ledger, Meter
from holdpoint.engine.unavailable import TrailUnavailable
from holdpoint.model.budget import Budget, least
from holdpoint.model.finding import Finding
from holdpoint.model.target import Target, Tier
from holdpoint.model.task import Login
from holdpoint.policy import refusals
from holdpoint.store.errors import StoreError
from holdpoint.wire.postgres.errors import ProtocolError
from holdpoint.wire.postgres.settings import check
from holdpoint.wire.postgres.stream import UNLIMITED

log = structlog.get_logger(__name__)

TOO_MANY_CONNECTIONS: Final = "53300"

BudgetOf = Callable[[Target, Tier, Login], Budget]


class RowsWritten(Protocol):
    """Where the rows that tasks have written are kept; both may block and raise ``StoreError``."""

    def of(self, task: str) -> int:
        """Return how many rows a task has written."""

    def add(self, task: str, rows: int) -> None:
        """Count more of them, or fewer for a negative number."""


def plain_budget(_: Target, tier: Tier, login: Login) -> Budget:
    """Return the budget of a tier and a login, where no rules say more."""
    return least(tier.budget, login.budget)


class Share:
    """What one session counts against. ``keep`` is where the rows of its task are kept."""

    def __init__(
        self, key: tuple[str, str, str], meter: Meter, ledger: Ledger, keep: RowsWritten | None
    ) -> None:
        self.key = key
        self.who = key[0]
        self.meter = meter
        self.is_open = True
        self._ledger = ledger
        self._keep = keep
        self._rows_written = meter.budget.rows_written
        self._writing: set[asyncio.Task[None]] = set()

    @property
    def is_limited(self) -> bool:
        """Tell whether statements must ask before they run."""
        return self.meter.is_rated or self._rows_written is not None

    def take(self, statements: int, writes: bool) -> Finding | None:
        """Count statements that want to run; a finding says why they must not."""
        limit = self._rows_written
        if limit is not None and writes and not self._ledger.left(limit):
            return self._no_rows(limit)
        if self.meter.take(statements):
            return None
        seconds = self.meter.seconds_to_room(statements)
        return refusals.over_rate(self.meter.per_minute, statements, seconds)

    def _no_rows(self, limit: int) -> Finding:
        return refusals.no_rows_left(limit, self._ledger.written, self._ledger.reserved)

    async def reserve(self, wanted: int | None) -> int | Finding | None:
        """Set rows aside for a statement that changes at most ``wanted``, None for any number.

        Returns how many it may change, None when nothing bounds them, a finding when there are
        none left. Raises ``TrailUnavailable`` when it cannot be written down: it must not run then.
        """
        limit = self._rows_written
        if limit is None:
            return None
        granted = self._ledger.reserve(UNLIMITED if wanted is None else wanted, limit)
        if granted == 0 and wanted != 0:
            return self._no_rows(limit)
        if self._keep is not None and granted:
            try:
                await asyncio.to_thread(self._keep.add, self.who, granted)
            except StoreError as problem:
                self._ledger.settle(granted, 0)
                raise TrailUnavailable(f"rows written cannot be counted: {problem}") from problem
        return granted

    def settle(self, granted: int, used: int) -> None:
        """Count what was changed in place of what was set aside."""
        self._ledger.settle(granted, used)
        if self._keep is not None and used != granted:
            self._begin(self._write_down(used - granted))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write_down(self, rows: int) -> None:
        assert self._keep is not None, "its caller has looked"
        try:
            await asyncio.to_thread(self._keep.add, self.who, rows)
        except StoreError as problem:  # too many are counted then, never too few
            log.error("budget.not_settled", who=self.who, rows=rows, problem=str(problem))


class Shares:
    """All counters of a door. ``keep`` is where rows that tasks have written are kept."""

    def __init__(
        self,
        budget_of: BudgetOf = plain_budget,
        keep: RowsWritten | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._budget_of = budget_of
        self._keep = keep
        self._clock = clock
        self._meters: dict[tuple[str, str, str], Meter] = {}
        self._ledgers: dict[str, Ledger] = {}

    def budget(self, arrival: Arrival) -> Budget:
        """Return the budget of a session that arrives."""
        return self._budget_of(arrival.target, arrival.tier, arrival.login)

    async def enter(self, arrival: Arrival) -> Share:
        """Count a session; raises ``ProtocolError`` when too many are open. See ``leave``."""
        who = arrival.task or arrival.agent
        keep = self._keep if arrival.task else None
        ledger = self._ledgers.get(who)
        if ledger is None:
            written = 0 if keep is None else await asyncio.to_thread(keep.of, who)
            ledger = self._ledgers.setdefault(who, Ledger(written))
        key = (who, arrival.target.name, arrival.tier.name)
        meter = self._meters.setdefault(key, Meter(self._clock))
        budget = self.budget(arrival)
        meter.apply(budget)
        if budget.sessions is not None and meter.sessions >= budget.sessions:
            raise ProtocolError(
                f"the budget `sessions` lets `{who}` have {budget.sessions} open in tier "
                f"`{arrival.tier.name}` of target `{arrival.target.name}` (HP8014)",
                TOO_MANY_CONNECTIONS,
                "close one of them first",
            )
        meter.sessions += 1
        return Share(key, meter, ledger, keep)

    def leave(self, share: Share) -> None:
        """Count a session no more."""
        if share.is_open:
            share.is_open = False
            share.meter.sessions -= 1

    def forget(self) -> None:
        """Drop meters that nothing counts against any more; called once a second."""
        for key, meter in list(self._meters.items()):
            if meter.is_idle():
                del self._meters[key]


def with_timeouts(settings: dict[str, str], budget: Budget) -> dict[str, str]:
    """Return the settings that a session starts with, none of its timeouts above the budget.

    As startup parameters they are also what RESET returns to (manual, RESET).
    """
    timeouts = {
        "statement_timeout": budget.statement_s,
        "lock_timeout": budget.lock_s,
        "idle_in_transaction_session_timeout": budget.idle_in_transaction_s,
    }
    found = dict(settings)
    for name, seconds in timeouts.items():
        if seconds is None:
            continue
        most = max(1, int(seconds * 1000))  # 0 would take the limit away
        try:
            said = int(check(name, settings[name]).value) if name in settings else most
        except ProtocolError:  # none, or not to be read: then the budget's
            said = most
        found[name] = str(min(most, said))
    return found
