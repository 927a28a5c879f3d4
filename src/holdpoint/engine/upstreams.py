"""Where a session's connection to its tier's database leads, and as whom.

A door asks for the ``Ways`` into a tier, tries them in order, and tells each what became of it. So
replicas are balanced and roles are made for one session without the door knowing of either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from holdpoint.model.finding import Finding
from holdpoint.model.limits import NAME_CHARS_MAX
from holdpoint.model.target import Target, Tier
from holdpoint.model.task import Login
from holdpoint.model.upstream import UpstreamUrl


class NoWay(Exception):
    """There is no way into a tier now; ``finding`` says why and what to do, without secrets."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


def _nothing() -> None:
    """Do nothing."""


def _nothing_of(_: str) -> None:
    """Do nothing."""


def _no_objection() -> None:
    """Object to nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """Why nothing may run over a way now, and for how long that may be waited for.

    ``final`` ends the sessions; otherwise their statements wait up to ``wait_s`` seconds for it to
    pass, and are refused then.
    """

    finding: Finding
    final: bool = False
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way into a tier: a server and a role.

    ``note`` is for the agent (how far a replica is behind), empty for none. ``opened`` is called
    when a session uses it, ``closed`` when that session is over or never began (perhaps more than
    once); ``failed`` when it could not be connected to, with the reason. ``objection`` says why
    nothing may run over it now, None when it may; it is asked every second and must not wait.
    ``lag_s`` is how far it is behind at most, None when that is not known.
    """

    url: UpstreamUrl
    note: str = ""
    lag_s: float | None = None
    opened: Callable[[], None] = _nothing
    closed: Callable[[], None] = _nothing
    failed: Callable[[str], None] = _nothing_of
    objection: Callable[[], Objection | None] = _no_objection


class Upstreams(Protocol):
    """Gives the ways into a tier."""

    async def ways(self, target: Target, tier: Tier, login: Login) -> Sequence[Way]:
        """Return the ways to try, the best first, at least one. Raises ``NoWay``."""


AGENT = "{agent}"
"""What stands for the agent's name in the user of a URL."""


class OwnRoles:
    """Puts the agent's own role in the place of ``{agent}`` in the users of another's ways."""

    def __init__(self, inner: Upstreams) -> None:
        self._inner = inner

    async def ways(self, target: Target, tier: Tier, login: Login) -> Sequence[Way]:
        """Return the other's ways, each as the agent's own role. Raises ``NoWay``."""
        ways = await self._inner.ways(target, tier, login)
        return [replace(way, url=own_role(way.url, login.agent)) for way in ways]


def own_role(url: UpstreamUrl, agent: str) -> UpstreamUrl:
    """Return the URL with the role of that agent, where its user names one for each.

    Raises ``ValueError`` for a name that the server would cut: it might be another agent's role.
    """
    if AGENT not in url.user:
        return url
    role = url.user.replace(AGENT, agent)
    if len(role.encode()) > NAME_CHARS_MAX:
        raise ValueError(f"no role can have the name `{role}`: it has over {NAME_CHARS_MAX} bytes")
    return replace(url, user=role)
