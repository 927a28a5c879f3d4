"""How targets stand right now: their tiers, the servers behind them, and who is in.

Values only, made by the composition root for whoever shows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStanding:
    """One server behind a tier, without secrets.

    ``state`` is ``replica``, ``primary``, ``down`` or ``unknown`` (not measured lately). ``lag_s``
    is how far a replica is behind, None when that is not known; ``note`` says why, or what is
    wrong. ``good`` tells whether new sessions are led there.
    """

    place: str
    state: str = "unknown"
    lag_s: float | None = None
    note: str = ""
    good: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStanding:
    """One open session."""

    id: str
    agent: str
    task: str
    peer: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TierStanding:
    """One tier. ``who`` and ``budget`` are words of the configuration."""

    name: str
    access: str
    who: str
    budget: str
    servers: tuple[ServerStanding, ...] = ()
    sessions: tuple[SessionStanding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetStanding:
    """One target, its tiers from the least access to the most."""

    name: str
    environment: str
    tiers: tuple[TierStanding, ...]
