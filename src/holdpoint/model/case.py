"""The case: everything that the decision and the human rest on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from holdpoint.model.effects import Reading
from holdpoint.model.finding import Finding
from holdpoint.model.target import AccessLevel, Target, Tier


class Basis(StrEnum):
    """Where a figure comes from."""

    EXACT = "exact"
    ESTIMATE = "estimate"
    UNKNOWN = "unknown"  # asked, and no answer came: never to be read as "few"
    NOT_ASKED = "not asked"  # no database was given, or policy did not need the figure


class Fact(StrEnum):
    """A figure that policy can need and a probe can bring."""

    ROWS = "rows"
    TABLE_ROWS = "table_rows"


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its basis; ``value`` is None exactly when the basis gives none."""

    value: int | None = None
    basis: Basis = Basis.NOT_ASKED
    why: str = ""  # for UNKNOWN: what went wrong, in words


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """How much: ``rows`` changed, and ``table_rows`` of the largest table altered."""

    rows: Figure = Figure()
    table_rows: Figure = Figure()


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
    client's address, ``role`` the database role the statement will run as.
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

    @property
    def access(self) -> AccessLevel:
        """The access level of the case's tier."""
        return self.tier.access
