"""Which budget a session has: of all that are said for it, the least of each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from holdpoint.model.budget import Budget, BudgetRule, least
from holdpoint.model.limits import BUDGET_IDLE_IN_TRANSACTION_S, BUDGET_LOCK_S
from holdpoint.model.target import Target, Tier
from holdpoint.model.task import Login
from holdpoint.policy.tiers import fits


def budget_for(rules: Iterable[BudgetRule], tier: Tier, login: Login, target: Target) -> Budget:
    """Return what the login may use in a tier: of the tier, the rules that fit, and its task.

    Waits for locks and idle transactions always have a limit: they stop others, not the agent.
    """
    fitting = (rule.budget for rule in rules if _fits(rule, tier, login, target))
    budget = least(tier.budget, login.budget, *fitting)
    if budget.lock_s is None:
        budget = replace(budget, lock_s=BUDGET_LOCK_S)
    if budget.idle_in_transaction_s is None:
        budget = replace(budget, idle_in_transaction_s=BUDGET_IDLE_IN_TRANSACTION_S)
    return budget


def _fits(rule: BudgetRule, tier: Tier, login: Login, target: Target) -> bool:
    return (
        fits(rule.agents, login.agent)
        and fits(rule.tasks, login.task)
        and fits(rule.targets, target.name)
        and fits(rule.tiers, tier.name)
    )
