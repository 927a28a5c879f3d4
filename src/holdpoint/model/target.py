"""What agents can be let near: targets, their tiers, and the calendar of a team."""

from dataclasses import dataclass, field
from datetime import datetime, time
from enum import StrEnum


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """One way into a target, with its own role and URL.

    ``url_source`` is where the URL comes from (``env:NAME``, ``file:PATH`` or the URL itself); it
    is never logged. ``probe_source`` is the same for a role of its own that probes use, empty for
    the tier's. ``agents`` are the names of the agents that may use it; empty means all.
    """

    name: str
    access: AccessLevel
    url_source: str = field(repr=False)
    agents: frozenset[str] = frozenset()
    probe_source: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One logical database. ``tiers[0]`` is the default: what an agent gets that names no tier.

    With ``exact_rows_s`` rows that a write changes are counted, for that many seconds; without it
    they are estimated. Reads that the planner expects to cost more than ``read_cost_over`` of its
    units are held; None asks for no cost.
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

    def tier(self, name: str) -> Tier | None:
        """The tier of that name; the empty name means the default tier."""
        if not name:
            return self.tiers[0] if self.tiers else None
        return next((tier for tier in self.tiers if tier.name == name), None)
