"""Which tier an agent gets: the least that it may use, or the one it names.

Pure: the moment is an argument. A tier that people gave to a task is open to it whatever the
configuration's allowances say of the agent; its own expiry ends it.

Hours are by the clock on the target's wall: an hour that summer time skips never comes, one that
comes twice counts twice.
"""

from __future__ import annotations

from datetime import datetime
from fnmatch import fnmatchcase
from typing import Final
from zoneinfo import ZoneInfo

from holdpoint.model.finding import Finding
from holdpoint.model.target import Allowance, Target, Tier
from holdpoint.model.task import Login
from holdpoint.policy.calendar import within
from holdpoint.policy.tier_words import when_words
from holdpoint.policy.words import quoted

NO_TIER: Final = "HP8013"
SESSION_ENDED: Final = "HP8017"


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


def no_longer(target: Target, tier: Tier, login: Login, at: datetime) -> Finding | None:
    """Return why a session in the tier must end now, or None: it may go on."""
    if may_use(target, tier, login.agent, login.task, login.tiers, at):
        return None
    return Finding(
        code=SESSION_ENDED,
        message=f"{_whom(login)} may no longer use {_path(target, tier)}",
        hint="; ".join(
            filter(
                None,
                (_closed(target, tier, login), how_to_ask(f"{target.name}/{tier.name}")),
            )
        ),
    )


def _closed(target: Target, tier: Tier, login: Login) -> str:
    """When the tier is open to the login, empty where it is never."""
    windows = [
        when_words(each, target.timezone)
        for each in tier.allowances
        if fits(each.agents, login.agent) and fits(each.tasks, login.task)
    ]
    return f"{_path(target, tier)} is open to it {' or '.join(windows)}" if windows else ""


def _whom(login: Login) -> str:
    agent = f"agent {quoted(login.agent)}"
    return f"task {quoted(login.task)} of {agent}" if login.task else agent


def _path(target: Target, tier: Tier) -> str:
    return quoted(f"{target.name}/{tier.name}")


def _no_tier(target: Target, name: str, login: Login, mine: list[Tier]) -> Finding:
    """HP8013: what the agent may use instead, when, and how to ask."""
    offered = ", ".join(_path(target, tier) for tier in mine) or "no tier of it now"
    known = target.tier(name) if name else None
    if name and known is None:
        return Finding(
            code=NO_TIER,
            message=f"target {quoted(target.name)} has no tier {quoted(name)}",
            detail=f"{_whom(login)} may use {offered}",
            hint="the tier stands behind the target: `target/tier`; "
            "without one, it is the least that you may use",
        )
    what = f"tier {quoted(name)}" if name else "any tier"
    windows = [_closed(target, tier, login) for tier in target.tiers if known in (None, tier)]
    later = [words for words in windows if words]
    return Finding(
        code=NO_TIER,
        message=f"{_whom(login)} may not use {what} of target {quoted(target.name)}"
        + (" now" if later else ""),
        detail="; ".join([*later, f"it may use {offered}"]),
        hint=how_to_ask(f"{target.name}/{name or 'TIER'}"),
    )
