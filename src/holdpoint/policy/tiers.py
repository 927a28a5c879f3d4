"""Which tier an agent gets: the least that it may use, or the one it names.

Pure: the moment is an argument. A tier that people gave to a task is open to it whatever the
configuration's allowances say of the agent; its own expiry ends it.
"""

from __future__ import annotations

from datetime import datetime
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

from holdpoint.model.finding import Finding
from holdpoint.model.target import Allowance, Target, Tier
from holdpoint.model.task import Login
from holdpoint.policy.calendar import within

NO_TIER = "HP8013"


class NoTier(Exception):
    """The agent may not use what it asked for; ``finding`` says what it may use."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


def choose(target: Target, name: str, login: Login, at: datetime) -> Tier:
    """Return the tier of that name, or without one the least. Raises ``NoTier``."""
    agent, task, given = login.agent, login.task, login.tiers
    mine = [each for each in target.by_access() if may_use(target, each, agent, task, given, at)]
    for tier in mine:
        if not name or tier.name == name:
            return tier
    raise NoTier(_no_tier(target, name, login, mine))


def may_use(
    target: Target, tier: Tier, agent: str, task: str, given: tuple[str, ...], at: datetime
) -> bool:
    """Tell whether the agent may use the tier now, for this task that was ``given`` tiers."""
    if f"{target.name}/{tier.name}" in given:
        return True
    return not tier.allowances or any(
        _admits(each, target, agent, task, at) for each in tier.allowances
    )


def _admits(allowance: Allowance, target: Target, agent: str, task: str, at: datetime) -> bool:
    if not fits(allowance.agents, agent) or not fits(allowance.tasks, task):
        return False
    if allowance.start is not None and at < allowance.start:
        return False
    if allowance.end is not None and at >= allowance.end:
        return False
    return allowance.hours is None or within(allowance.hours, at, ZoneInfo(target.timezone))


def fits(patterns: tuple[str, ...], name: str) -> bool:
    """Tell whether a name is among the patterns, all of them without any.

    The empty name (an agent without a task) fits no pattern, not even ``*``.
    """
    return not patterns or (bool(name) and any(fnmatchcase(name, each) for each in patterns))


def how_to_ask(path: str) -> str:
    """Say how an agent asks people for a tier; ``path`` is ``target/tier``."""
    return f"ask for it: `holdpoint task request {path} --reason ...`; a person answers"


def _no_tier(target: Target, name: str, login: Login, mine: list[Tier]) -> Finding:
    offered = ", ".join(f"`{target.name}/{tier.name}`" for tier in mine) or "none now"
    wanted = f"tier `{name}`" if name else "any tier"
    known = target.tier(name) if name else None
    path = f"{target.name}/{name or 'TIER'}"
    hint = how_to_ask(path)
    if name and known is None:
        hint = "a tier's name stands after the target's: `target/tier`"
    whom = f"task `{login.task}` of agent `{login.agent}`" if login.task else f"`{login.agent}`"
    return Finding(
        code=NO_TIER,
        message=f"{whom} may not use {wanted} of target `{target.name}`"
        if known is not None or not name
        else f"target `{target.name}` has no tier `{name}`",
        detail=f"it may use {offered}",
        hint=hint,
    )
