"""Who may use a tier, and how much, in words."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from holdpoint.model.budget import Budget
from holdpoint.model.target import Allowance, Target, Tier
from holdpoint.policy.calendar import hours_words


def who_words(target: Target, tier: Tier) -> str:
    """Return who may use a tier and when: ``robin, Mon-Fri 08:00-18:00 UTC; or ci-*``."""
    if not tier.allowances:
        return "every agent"
    return "; or ".join(_allowance(each, target.timezone) for each in tier.allowances)


def _allowance(allowance: Allowance, zone: str) -> str:
    parts = [", ".join(allowance.agents) or "every agent"]
    if allowance.tasks:
        parts.append(f"for tasks {', '.join(allowance.tasks)}")
    if when := when_words(allowance, zone):
        parts.append(when)
    return ", ".join(parts)


def when_words(allowance: Allowance, zone: str) -> str:
    """Return when it holds, empty for any time: ``Mon-Fri 08:00-18:00, until ... UTC``."""
    parts: list[str] = []
    if allowance.hours is not None:
        parts.append(hours_words(allowance.hours))
    clock = ZoneInfo(zone)
    if allowance.start is not None:
        parts.append(f"from {allowance.start.astimezone(clock):%Y-%m-%d %H:%M}")
    if allowance.end is not None:
        parts.append(f"until {allowance.end.astimezone(clock):%Y-%m-%d %H:%M}")
    return f"{', '.join(parts)} {zone}" if parts else ""


def budget_words(budget: Budget) -> str:
    """Return the limits of a budget, empty for none: ``1,000 rows; 30 s per statement``."""
    parts: list[str] = []
    for value, words in (
        (budget.statement_s, "{:g} s per statement"),
        (budget.rows, "{:,} rows per result"),
        (None if budget.bytes is None else _size(budget.bytes), "{} per result"),
        (budget.statements_per_minute, "{:,} statements per minute"),
        (budget.sessions, "{:,} sessions at once"),
        (budget.rows_written, "{:,} rows written per task"),
        (budget.idle_in_transaction_s, "{:g} s idle in a transaction"),
        (budget.lock_s, "{:g} s waiting for a lock"),
    ):
        if value is not None:
            parts.append(words.format(value))
    return "; ".join(parts)


def _size(count: int) -> str:
    """Bytes in the largest unit that they are a whole number of, as the configuration has it."""
    for unit, size in (("GB", 1024**3), ("MB", 1024**2), ("kB", 1024)):
        if count % size == 0:
            return f"{count // size:,} {unit}"
    return f"{count:,} bytes"
