"""How much an agent may use of a database."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Limits of one agent, task or tier; None sets none. All that apply count, the least wins.

    ``statement_s`` seconds one statement may run. ``rows`` and ``bytes`` one statement may return.
    ``statements_per_minute`` and ``sessions`` (open at once) count per agent, or per task where
    there is one, in one tier. ``rows_written`` counts all rows that a task changes, in every tier
    (an agent without a task: since the gate started). ``idle_in_transaction_s`` and ``lock_s``
    are the server's ``idle_in_transaction_session_timeout`` and ``lock_timeout``.
    """

    statement_s: float | None = None
    rows: int | None = None
    bytes: int | None = None
    statements_per_minute: int | None = None
    sessions: int | None = None
    rows_written: int | None = None
    idle_in_transaction_s: float | None = None
    lock_s: float | None = None


NO_BUDGET = Budget()


def least(*budgets: Budget) -> Budget:
    """Return the budget under which each of ``budgets`` is kept."""
    values: dict[str, float | int | None] = {}
    for each in fields(Budget):
        known = [limit for budget in budgets if (limit := getattr(budget, each.name)) is not None]
        values[each.name] = min(known, default=None)
    return Budget(**values)  # type: ignore[arg-type]  # each value has its own field's type


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRule:
    """A budget for whom it fits: all four must; empty ones say nothing.

    Each is patterns with ``*``, ``?`` and ``[...]``, of names.
    """

    agents: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    budget: Budget = NO_BUDGET
