"""Which server of a tier a session gets: of the right kind, working, and not too far behind.

A tier that demands a replica never leads to a primary, whatever else fails: there is no way then,
and the words say why. Sessions are balanced over the servers that are good; one that could not be
connected to is tried last for a while.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from holdpoint.engine.replicas_lag import Lag
from holdpoint.engine.replicas_watch import UNSEEN, Kind, Sight, Watched
from holdpoint.engine.secrets_command import apart
from holdpoint.engine.standing import ServerStanding
from holdpoint.engine.upstreams import NoWay, Objection, Way
from holdpoint.model import limits
from holdpoint.model.finding import Finding
from holdpoint.model.target import AccessLevel, Target, Tier, WhenLagging
from holdpoint.model.task import Login
from holdpoint.model.upstream import UpstreamUrl
from holdpoint.policy.refusals import REPLICA

ASK_DOCTOR: Final = "the operator can find out with `holdpoint doctor`"

UrlOf = Callable[[Tier, str], UpstreamUrl]
"""Resolves one source of a tier; may wait for a command, raises ``ValueError`` with words."""


def needs_looks(tier: Tier) -> bool:
    """Tell whether a tier's servers must be known before a session is led to one of them."""
    return bool(tier.more_sources) or tier.replica is not None or tier.lag_max_s is not None


class ReplicaSets:
    """The servers of all tiers: see ``engine.upstreams.Upstreams``.

    ``look_url_of`` gives the URL over which a server is looked at (with another role, say), by
    default the tier's. Belongs to the event loop that uses it; ``close`` it at the end.
    """

    def __init__(
        self,
        url_of: UrlOf,
        look_url_of: UrlOf | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url_of = url_of
        self._look_url_of = look_url_of or url_of
        self._clock = clock
        self._sets: dict[tuple[str, str], ReplicaSet] = {}

    async def ways(self, target: Target, tier: Tier, login: Login) -> Sequence[Way]:
        """Return the ways to the tier's servers, the best first. Raises ``NoWay``."""
        if not needs_looks(tier):
            return [Way(url=await apart(lambda: self._url_of(tier, tier.url_source)))]
        return await self._of(target, tier).ways()

    def url_now(self, target: Target, tier: Tier) -> UpstreamUrl:
        """Return the URL of the server for probes and catalogs, the same as long as it is good.

        May wait for a command: call it off the event loop. Raises ``ConnectionError`` when every
        server is of the wrong kind, ``ValueError`` for a URL that cannot be had.
        """
        return self._url_of(tier, self.source_now(target, tier))

    def source_now(self, target: Target, tier: Tier) -> str:
        """Return the source of that URL. Raises ``ConnectionError``."""
        return self._of(target, tier).source_now() if needs_looks(tier) else tier.url_source

    def standing(self, target: Target, tier: Tier) -> tuple[ServerStanding, ...]:
        """Return how the tier's servers stand; nothing for one whose servers need no looks."""
        return self._of(target, tier).standing() if needs_looks(tier) else ()

    async def close(self) -> None:
        """Stop looking at servers."""
        for each in self._sets.values():
            await each.close()

    def _of(self, target: Target, tier: Tier) -> ReplicaSet:
        key = (target.name, tier.name)
        found = self._sets.get(key)
        if found is None:
            found = ReplicaSet(target, tier, self._url_of, self._look_url_of, self._clock)
            found = self._sets.setdefault(key, found)
        return found


def _standing_note(sight: Sight) -> str:
    if sight is UNSEEN:
        return "nobody uses it now"
    return sight.lag.why if sight.lag is not None else sight.problem


def primary_of(target: Target, tier: Tier) -> Tier | None:
    """Return a tier that may lead to the primary of this tier's servers, None if none does."""
    where = target.environment_of(tier)
    others = [each for each in target.tiers if target.environment_of(each) == where]
    for each in others:
        if each.replica is False:
            return each
    writing = (each for each in others if each.access is not AccessLevel.READ_ONLY)
    return next((each for each in writing if each.replica is None), None)


@dataclass(slots=True, eq=False)
class _Server:
    """One server of a set; ``turn`` is when it was last the first choice.

    ``problem`` is why its URL could not be had when a session wanted it.
    """

    source: str = field(repr=False)
    watched: Watched
    turn: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sorted:
    """The servers of a set by what they are good for, the best first."""

    good: list[_Server]
    lagging: list[_Server]
    unseen: list[_Server]  # down or not looked at lately
    wrong: list[_Server]  # a primary where a replica is demanded, or the other way round


class ReplicaSet:
    """The servers of one tier."""

    def __init__(
        self,
        target: Target,
        tier: Tier,
        url_of: UrlOf,
        look_url_of: UrlOf,
        clock: Callable[[], float],
    ) -> None:
        self._target = target
        self._tier = tier
        self._url_of = url_of
        self._clock = clock
        self._turn = 0
        self._probed: _Server | None = None
        self._look: asyncio.Event | None = None
        every_s = limits.REPLICA_LOOK_S
        if tier.lag_max_s is not None:
            every_s = max(limits.REPLICA_LOOK_MIN_S, min(every_s, tier.lag_max_s / 2))

        def watched(tier: Tier, source: str, primary: Watched | None) -> Watched:
            return Watched(lambda: look_url_of(tier, source), self._seen, every_s, clock, primary)

        self._primary: Watched | None = None
        compared = primary_of(target, tier) if tier.lag_max_s is not None else None
        if compared is not None:
            self._primary = watched(compared, compared.url_source, None)
        self._servers = [
            _Server(source, watched(tier, source, self._primary))
            for source in (tier.url_source, *tier.more_sources)
        ]

    async def close(self) -> None:
        """Stop looking."""
        for server in self._servers:
            await server.watched.close()
        if self._primary is not None:
            await self._primary.close()

    # --- choosing ---------------------------------------------------------------------------------

    async def ways(self) -> list[Way]:
        """Return the ways, the best first; waits for the first looks, and as the tier says."""
        end = self._clock() + limits.REPLICA_WAIT_S
        for server in self._servers:
            server.watched.use()
        while True:
            ways = await self._ways_now()
            if ways:
                return ways
            found = self._sorted()
            waits = self._tier.when_lagging is WhenLagging.WAIT and found.lagging
            left_s = end - self._clock()
            if left_s <= 0 or not (waits or any(_is_new(each) for each in found.unseen)):
                raise NoWay(self._no_way(found))
            await self._next_look(left_s)

    async def _ways_now(self) -> list[Way]:
        found = self._sorted()
        servers = list(found.good)
        if self._tier.when_lagging is WhenLagging.SAY:
            servers += found.lagging
        if self._tier.lag_max_s is None and servers:  # one that is down may be up again
            servers += found.unseen
        if servers:
            self._turn += 1
            servers[0].turn = self._turn
        ways = await asyncio.gather(*(self._way(server) for server in servers))
        return [way for way in ways if way is not None]

    def _sorted(self) -> _Sorted:
        found = _Sorted(good=[], lagging=[], unseen=[], wrong=[])
        for server in sorted(self._servers, key=self._rank):
            self._place_in(found, server).append(server)
        return found

    def _place_in(self, found: _Sorted, server: _Server) -> list[_Server]:
        sight = server.watched.sight
        if self._is_wrong(sight):
            return found.wrong
        if sight.kind in (Kind.DOWN, Kind.UNKNOWN):
            return found.unseen
        return found.lagging if self._is_over(sight) else found.good

    def _rank(self, server: _Server) -> tuple[bool, int, int]:
        failed = self._clock() - server.watched.failed_at < limits.REPLICA_AVOID_S
        return failed, server.watched.sessions, server.turn

    def _is_wrong(self, sight: Sight) -> bool:
        if self._tier.replica is None:
            return False
        return sight.kind is (Kind.PRIMARY if self._tier.replica else Kind.REPLICA)

    def _is_over(self, sight: Sight) -> bool:
        """Tell whether it may be too far behind; what is not known is."""
        if self._tier.lag_max_s is None or sight.kind is Kind.PRIMARY:
            return False
        return sight.lag is None or sight.lag.is_over(self._tier.lag_max_s)

    async def _way(self, server: _Server) -> Way | None:
        """Return the way to a server, None if its URL cannot be had or leads elsewhere now."""
        watched = server.watched
        try:
            url = await apart(lambda: self._url_of(self._tier, server.source))
        except ValueError as error:
            watched.failed_at, server.problem = self._clock(), str(error)
            return None
        server.problem = ""
        if (url.host, url.port, url.dbname) != watched.address:
            watched.forget()
            return None
        sight = watched.sight
        counted = False

        def opened() -> None:
            nonlocal counted
            counted = True
            watched.sessions += 1
            watched.use()

        def closed() -> None:
            nonlocal counted
            watched.sessions -= counted
            counted = False
            watched.use()

        def failed(_: str) -> None:
            watched.failed_at = self._clock()

        return Way(
            url=url,
            note=self._note(sight),
            lag_s=sight.lag.seconds if sight.lag is not None else None,
            opened=opened,
            closed=closed,
            failed=failed,
            objection=lambda: self._objection(watched),
        )

    # --- looks ------------------------------------------------------------------------------------

    def _seen(self) -> None:
        """Wake those that wait for a look at any of the servers."""
        if self._look is not None:
            self._look.set()
            self._look = None

    async def _next_look(self, timeout_s: float) -> None:
        if self._look is None:
            self._look = asyncio.Event()
        look = self._look
        try:
            async with asyncio.timeout(timeout_s):
                await look.wait()
        except TimeoutError:
            return

    def source_now(self) -> str:
        """Return the source of the server that probes use, another only when it is no good."""
        found = self._sorted()
        for group in (found.good, found.lagging, found.unseen):
            if group:
                if self._probed not in group:
                    self._probed = group[0]
                assert self._probed is not None, "it is in the group"
                return self._probed.source
        raise ConnectionError(self._no_way(found).message)

    def standing(self) -> tuple[ServerStanding, ...]:
        """Return how the servers stand, in the configuration's order."""
        found = self._sorted()
        return tuple(
            ServerStanding(
                place=server.watched.place,
                state=(sight := server.watched.sight).kind.value,
                lag_s=sight.lag.seconds if sight.lag is not None else None,
                note=_standing_note(sight),
                good=server in found.good,
            )
            for server in self._servers
        )

    # --- words ------------------------------------------------------------------------------------

    def _note(self, sight: Sight) -> str:
        """Return what an agent is told that reads from a replica too far behind."""
        if not self._is_over(sight):
            return ""
        return f"this replica is {_lag(sight)}; the tier's limit is {self._tier.lag_max_s:g} s"

    def _objection(self, watched: Watched) -> Objection | None:
        """Say why nothing may run over a way to that server now."""
        sight = watched.sight
        if self._is_wrong(sight):
            what = "no replica" if self._tier.replica else "no primary"
            finding = Finding(
                code=REPLICA,
                message=f"the session ends: `{watched.place}` is {what} any more",
                hint="connect again; another server takes over if there is one",
            )
            return Objection(finding=finding, final=True)
        if self._tier.when_lagging is WhenLagging.SAY or not self._is_over(sight):
            return None
        finding = Finding(
            code=REPLICA,
            message=f"this replica is {_lag(sight)}; the tier's limit is"
            f" {self._tier.lag_max_s:g} s",
            hint="nothing ran; try again later, or in a new session: another replica may do",
        )
        waits = self._tier.when_lagging is WhenLagging.WAIT
        return Objection(finding=finding, wait_s=limits.REPLICA_WAIT_S if waits else 0.0)

    def _no_way(self, found: _Sorted) -> Finding:
        """Say of every server why it cannot be used."""
        reasons = [f"{_named(each)} is {_lag(each.watched.sight)}" for each in found.lagging]
        reasons += [f"{_named(each)} is down: {_problem(each)}" for each in found.unseen]
        reasons += [f"{_named(each)}: {each.problem}" for each in found.good if each.problem]
        reasons += [
            f"{_named(each)} is not a {'replica' if self._tier.replica else 'primary'}"
            for each in found.wrong
        ]
        where = f"tier `{self._tier.name}` of target `{self._target.name}`"
        message = f"refused: no server of {where} can be used: {'; '.join(reasons)}"
        if not found.lagging:
            return Finding(code=REPLICA, message=f"{message} ({REPLICA})", hint=ASK_DOCTOR)
        message += f"; the tier's limit is {self._tier.lag_max_s:g} s ({REPLICA})"
        return Finding(code=REPLICA, message=message, hint=f"try again later; {ASK_DOCTOR}")


def _is_new(server: _Server) -> bool:
    return server.watched.sight.kind is Kind.UNKNOWN


def _named(server: _Server) -> str:
    return f"`{server.watched.place}`" if server.watched.place else "one whose URL is not known yet"


def _problem(server: _Server) -> str:
    return server.watched.sight.problem


def _lag(sight: Sight) -> str:
    return str(sight.lag or Lag(seconds=None, why=sight.problem))
