"""The frozen values a configuration becomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from types import MappingProxyType

from holdpoint.config.problems import Problem
from holdpoint.model.budget import BudgetRule
from holdpoint.model.decision import ApprovalNeed
from holdpoint.model.limits import HOLD_WAIT_S
from holdpoint.model.target import Target
from holdpoint.policy.rules import Policy


class TlsMode(StrEnum):
    """Whether clients of the gate use TLS."""

    OFF = "off"
    ALLOW = "allow"  # offered; plain text is served as well
    REQUIRE = "require"


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. An empty host means every address of the machine."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        try:
            return self.host == "localhost" or ip_address(self.host).is_loopback
        except ValueError:  # a name, which may lead anywhere
            return False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """Where the gate listens and keeps its things. Paths are absolute.

    ``web_url`` is how people reach the review pages, without a slash at the end.
    """

    listen: Address = Address("127.0.0.1", 6543)
    web: Address = Address("127.0.0.1", 7433)
    web_url: str = "http://127.0.0.1:7433"
    store: str = "holdpoint.db"
    tls: TlsMode = TlsMode.OFF
    tls_cert: str = ""
    tls_key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldsConfig:
    """How long a client waits in place, and what a hold asks for where its rule says nothing."""

    wait_s: float = HOLD_WAIT_S
    need: ApprovalNeed = field(default_factory=ApprovalNeed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A checked configuration.

    ``budgets`` are those of agents and tasks across tiers; a tier's own stands in the tier.
    ``groups`` maps names to people. ``advice`` are things that work but should not stay.
    """

    file: str
    server: ServerConfig
    holds: HoldsConfig
    targets: tuple[Target, ...]
    policy: Policy
    budgets: tuple[BudgetRule, ...] = ()
    groups: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    advice: tuple[Problem, ...] = ()

    def target(self, name: str) -> Target | None:
        """The target of that name; the empty name means the first."""
        if not name:
            return self.targets[0] if self.targets else None
        return next((target for target in self.targets if target.name == name), None)
