"""Who may use a tier, and how much, in words."""

from __future__ import annotations

from datetime import time

from holdpoint.model.budget import Budget
from holdpoint.model.target import Allowance, BusinessHours, Target, Tier
from holdpoint.policy.calendar import DAYS


def who_words(target: Target, tier: Tier) -> str:
    """Return who may use a tier and when: ``robin, Mon-Fri 08:00-18:00 UTC; or ci-*``."""
    if not tier.allowances:
        return "every agent"
    return "; or ".join(_allowance(each, target.timezone) for each in tier.allowances)


def _allowance(allowance: Allowance, zone: str) -> str:
    parts = [", ".join(allowance.agents) or "every agent"]
    if allowance.tasks:
        parts.append(f"for tasks {', '.join(allowance.tasks)}")
    if allowance.hours is not None:
        parts.append(f"{hours_words(allowance.hours)} {zone}")
    if allowance.start is not None:
        parts.append(f"from {allowance.start:%Y-%m-%d %H:%M} UTC")
    if allowance.end is not None:
        parts.append(f"until {allowance.end:%Y-%m-%d %H:%M} UTC")
    return ", ".join(parts)


def hours_words(hours: BusinessHours) -> str:
    """Return weekly hours as the configuration writes them: ``Mon-Fri 08:00-18:00``."""
    days = sorted(hours.days)
    first, last = days[0], days[-1]
    names = [DAYS[day].capitalize() for day in days]
    listed = ",".join(names)
    if len(days) > 1 and last - first + 1 == len(days):
        listed = f"{names[0]}-{names[-1]}"
    end = "24:00" if hours.end == time() else f"{hours.end:%H:%M}"
    return f"{listed} {hours.start:%H:%M}-{end}"


def budget_words(budget: Budget) -> str:
    """Return the limits of a budget, empty for none: ``1,000 rows; 30 s per statement``."""
    parts: list[str] = []
    for value, words in (
        (budget.statement_s, "{:g} s per statement"),
        (budget.rows, "{:,} rows per result"),
        (budget.bytes, "{:,} bytes per result"),
        (budget.statements_per_minute, "{:,} statements per minute"),
        (budget.sessions, "{:,} sessions at once"),
        (budget.rows_written, "{:,} rows written per task"),
        (budget.idle_in_transaction_s, "{:g} s idle in a transaction"),
        (budget.lock_s, "{:g} s waiting for a lock"),
    ):
        if value is not None:
            parts.append(words.format(value))
    return "; ".join(parts)
