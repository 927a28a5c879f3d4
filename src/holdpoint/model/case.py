"""The case: everything that the decision and the human rest on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from holdpoint.model.effects import Reading
from holdpoint.model.finding import Finding
from holdpoint.model.impact import Impact
from holdpoint.model.target import AccessLevel, Target, Tier


@dataclass(frozen=True, slots=True)
class Parameter:
    """One bind value. ``value`` is None for NULL; ``binary`` tells its wire format."""

    value: bytes | None
    binary: bool = False
    type_oid: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One submission with all that is known of it.

    ``at`` is the moment of the decision (aware, UTC); it is not part of the digest. ``peer`` is the
    client's address, ``role`` the database role the statement will run as, ``task_tiers`` the tiers
    that people gave to the task.
    """

    agent: str
    task: str
    session: str
    target: Target
    tier: Tier
    role: str
    peer: str
    reading: Reading
    parameters: tuple[Parameter, ...] | None
    impact: Impact
    findings: tuple[Finding, ...]
    policy_digest: str
    at: datetime
    task_tiers: tuple[str, ...] = ()

    @property
    def access(self) -> AccessLevel:
        """The access level of the case's tier."""
        return self.tier.access
