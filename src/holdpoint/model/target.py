"""What agents can be let near: targets, their tiers, and the calendar of a team."""

from dataclasses import dataclass, field
from datetime import datetime, time
from enum import StrEnum

from holdpoint.model.budget import NO_BUDGET, Budget
from holdpoint.model.decision import ApprovalNeed
from holdpoint.model.grants import Grant


class AccessLevel(StrEnum):
    """How much a tier gives, from least to most."""

    READ_ONLY = "read-only"
    READ_WRITE = "read-write"  # no DDL
    FULL_NO_DROP = "full-no-drop"
    OWNER = "owner"


@dataclass(frozen=True, slots=True, kw_only=True)
class BusinessHours:
    """Weekly working hours in the target's time zone: ``days`` 0 = Monday, ``end`` exclusive."""

    days: frozenset[int]
    start: time
    end: time


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """A span without schema changes; ``start`` inclusive, ``end`` exclusive, UTC."""

    name: str
    start: datetime
    end: datetime


class WhenLagging(StrEnum):
    """What becomes of a session whose replica is too far behind."""

    WAIT = "wait"  # until one has caught up, for as long as clients wait for a connection
    REFUSE = "refuse"
    SAY = "say"  # let it read, and tell it


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """Who may use a tier, and when. All that is said must hold; empty and None say nothing.

    ``agents`` and ``tasks`` are patterns with ``*`` and ``?``. ``hours`` are in the target's time
    zone; ``start`` inclusive and ``end`` exclusive, UTC.
    """

    agents: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    hours: BusinessHours | None = None
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mint:
    """Roles made for one session each: by the role of ``url_source``, good for ``valid_s``."""

    url_source: str = field(repr=False)
    valid_s: float = 8 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """One way into a target, with its own role and URL.

    ``url_source`` is where the URL comes from (``env:NAME``, ``file:PATH``, ``command:WORDS`` or
    the URL itself); it is never logged. ``more_sources`` are further servers with the same data,
    among which sessions are balanced. ``password_source`` gives the password where the URL has
    none. ``probe_source`` is the URL of a role of its own that probes use, empty for the tier's.

    ``allowances`` say who may use it; without any, every agent may. ``replica`` True demands a
    server in recovery, False a primary, None takes either. Past ``lag_max_s`` behind, sessions
    fare as ``when_lagging`` says. ``settings`` are server settings that every session starts with.

    ``environment`` is what its database is for where that is not the target's: a sandbox.
    ``need`` is who approves an agent's request for the tier, None for the policy's own need.

    ``role`` is the database role that ``grants`` are given to, empty for ``holdpoint_TARGET_TIER``;
    with ``{agent}`` in it each agent has one of its own. The URL's user is that role or a member of
    it. ``grants`` None says nothing about them, and ``access plan`` leaves the tier alone.
    """

    name: str
    access: AccessLevel
    url_source: str = field(repr=False)
    more_sources: tuple[str, ...] = field(default=(), repr=False)
    password_source: str = field(default="", repr=False)
    probe_source: str = field(default="", repr=False)
    allowances: tuple[Allowance, ...] = ()
    replica: bool | None = None
    lag_max_s: float | None = None
    when_lagging: WhenLagging = WhenLagging.WAIT
    budget: Budget = NO_BUDGET
    settings: tuple[tuple[str, str], ...] = ()
    mint: Mint | None = None
    environment: str = ""
    role: str = ""
    grants: tuple[Grant, ...] | None = None
    need: ApprovalNeed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One logical database. An agent that names no tier gets the least it may use.

    With ``exact_rows_s`` rows that a write changes are counted, for that many seconds; without it
    they are estimated. Reads that the planner expects to cost more than ``read_cost_over`` of its
    units are held; None asks for no cost. ``admin_source`` is the URL of a role that may
    create roles and grant; only people's commands use it.
    """

    name: str
    engine: str = "postgres"
    environment: str = "production"
    timezone: str = "UTC"
    business_hours: BusinessHours | None = None
    freezes: tuple[Freeze, ...] = ()
    tiers: tuple[Tier, ...] = ()
    exact_rows_s: float | None = None
    read_cost_over: int | None = None
    admin_source: str = field(default="", repr=False)

    def tier(self, name: str) -> Tier | None:
        """The tier of that name; the empty name means the one with the least access."""
        if not name:
            return self.by_access()[0] if self.tiers else None
        return next((tier for tier in self.tiers if tier.name == name), None)

    def environment_of(self, tier: Tier) -> str:
        """What the database behind a tier is for: the tier's own word, else the target's."""
        return tier.environment or self.environment

    def by_access(self) -> tuple[Tier, ...]:
        """The tiers from the least access to the most; of equal ones, in the file's order."""
        levels = list(AccessLevel)
        return tuple(sorted(self.tiers, key=lambda tier: levels.index(tier.access)))
