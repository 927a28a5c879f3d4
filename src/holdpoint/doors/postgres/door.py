"""The PostgreSQL door: accept agents' connections and give each a session of its own."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

from holdpoint.doors.postgres import handshake, upstream
from holdpoint.doors.postgres.channel import Channel, ChannelClosed
from holdpoint.doors.postgres.direct import Listener
from holdpoint.doors.postgres.handshake import Arrival, Gatekeeper
from holdpoint.doors.postgres.memo import Memos
from holdpoint.doors.postgres.opening import OwnTimeouts, open_session, without_timeouts
from holdpoint.doors.postgres.session import Session
from holdpoint.doors.postgres.shares import Share, Shares, with_timeouts
from holdpoint.doors.postgres.upstream import Upstream, UpstreamError
from holdpoint.engine.driver import Engine, Keeper, Prober
from holdpoint.engine.recorder import TrailUnavailable
from holdpoint.engine.standing import SessionStanding
from holdpoint.engine.upstreams import NoWay, Upstreams, Way
from holdpoint.model import limits
from holdpoint.model.finding import Finding
from holdpoint.model.record import Record, RecordKind
from holdpoint.model.target import AccessLevel, Target, Tier
from holdpoint.store import StoreError
from holdpoint.wire.postgres import errors, messages, scram, startup
from holdpoint.wire.postgres.errors import ProtocolError

log = structlog.get_logger(__name__)

TOO_MANY_CONNECTIONS: Final = "53300"
CONNECTION_FAILURE: Final = "08006"
SHUTTING_DOWN: Final = "57P01"
LAGGING_STATE: Final = "01000"  # a warning
KEY_BYTES: Final = {0: 4, 2: 32}  # length of a cancel key by minor version of the protocol

# What the gate itself sets on every upstream session of a read-only tier. As startup parameters
# they are also what RESET ALL and DISCARD ALL return to (manual, RESET).
READ_ONLY_SETTINGS: Final = {"default_transaction_read_only": "on"}


class PostgresDoor:
    """Listens for agents. ``upstreams`` leads to a tier's database, ``prober_of`` gives its prober.

    ``catalogs_of`` gives what keeps pictures of its catalog; without it nothing is followed.
    ``shares`` are the counters of budgets; without them those of tiers and logins count.
    """

    def __init__(
        self,
        engine: Engine,
        keeper: Gatekeeper,
        upstreams: Upstreams,
        prober_of: Callable[[str, Tier], Prober],
        catalogs_of: Callable[[str, Tier], Keeper] | None = None,
        shares: Shares | None = None,
    ) -> None:
        self._engine = engine
        self._keeper = keeper
        self._upstreams = upstreams
        self._prober_of = prober_of
        self._catalogs_of = catalogs_of
        self._shares = shares if shares is not None else Shares()
        self._sessions: dict[tuple[int, bytes], Session] = {}
        self._memos: dict[tuple[str, str], Memos] = {}
        self._keepers: dict[tuple[str, str], Keeper] = {}
        self._keys = scram.KeyCache(limits.SESSIONS_MAX)
        self._arrivals: set[asyncio.Task[None]] = set()
        self._listener = Listener(lambda: Channel(self._accept))
        self._own_timeouts = OwnTimeouts()
        self._closing = False
        self._watch: asyncio.Task[None] | None = None
        self._checks: list[Callable[[], None]] = [self._look]

    async def listen(self, host: str, port: int) -> int:
        """Start to accept connections; returns the port, for ``port`` 0 the one that was free."""
        self._watch = asyncio.ensure_future(self._keep_watch())
        return self._listener.open(host, port)

    def watch(self, check: Callable[[], None]) -> None:
        """Have ``check`` called every ``WATCH_S`` seconds while the door is open; it must not wait.

        For what no statement brings about: a credential that expires, a statement that runs on.
        """
        self._checks.append(check)

    async def _keep_watch(self) -> None:
        while True:
            await asyncio.sleep(limits.WATCH_S)
            for check in (self._heed, *self._checks):
                try:
                    check()
                except Exception:  # the next check and the next second must come all the same
                    log.exception("watch.failed")
                    self.end_where(lambda _: _UNWATCHED)

    def _heed(self) -> None:
        """Have every session take note of how its server stands."""
        for session in list(self._sessions.values()):
            session.following.heed()

    async def close(self) -> None:
        """Stop accepting, tell every session, wait a little for them to end."""
        self._closing = True
        self._listener.close()
        if self._watch is not None:
            self._watch.cancel()
        for task in list(self._arrivals):
            task.cancel()
        for session in list(self._sessions.values()):
            session.fail(SHUTTING_DOWN, "Holdpoint is shutting down", "connect again later")
        waited = 0.0
        while self._sessions and waited < limits.SHUTDOWN_GRACE_S:
            await asyncio.sleep(0.02)
            waited += 0.02

    def _accept(self, channel: Channel) -> None:
        task = asyncio.ensure_future(self._arrive(channel))
        self._arrivals.add(task)
        task.add_done_callback(self._arrivals.discard)

    async def _arrive(self, channel: Channel) -> None:
        """Bring one connection from its first byte to a session, or end it with words."""
        try:
            async with asyncio.timeout(limits.STARTUP_TIMEOUT_S):
                packet = await handshake.first_packet(channel, self._keeper)
                if isinstance(packet, startup.CancelRequest):
                    await self._cancel(packet)
                    channel.open_transport.close()
                    return
                await self._open(channel, packet)
        except ProtocolError as error:
            _dismiss(channel, error.sqlstate, error.message, error.hint)
        except TimeoutError:
            limit = f"{limits.STARTUP_TIMEOUT_S:g} s"
            _dismiss(channel, "08006", f"the connection was not set up within {limit}")
        except (ChannelClosed, OSError, UpstreamError):
            channel.open_transport.abort()
        except (TrailUnavailable, StoreError) as error:
            _dismiss(channel, "58030", f"refused: the audit trail cannot be written: {error}")

    async def _open(self, channel: Channel, packet: startup.Startup) -> None:
        peer = _peer(channel)
        if len(self._sessions) >= limits.SESSIONS_MAX or self._closing:
            raise ProtocolError("too many sessions are open", TOO_MANY_CONNECTIONS)
        try:
            arrival = await handshake.sign_in(channel, packet, self._keeper)
        except handshake.SignInRefused as refused:
            name = packet.parameters.get("user", "")
            await self._refused(name, peer, refused.problem, refused.why)
            raise refused.problem from None
        except ProtocolError as error:
            await self._refused(packet.parameters.get("user", ""), peer, error)
            raise
        try:
            share = await self._shares.enter(arrival)
        except ProtocolError as error:
            await self._refused(arrival.agent, peer, error)
            raise
        try:
            server, way = await self._connect(arrival, peer)
            try:
                await self._begin(channel, arrival, server, way, peer, share)
            except BaseException:
                server.channel.open_transport.abort()
                way.closed()
                raise
        except BaseException:
            self._shares.leave(share)
            raise

    async def _connect(self, arrival: Arrival, peer: str) -> tuple[Upstream, Way]:
        """Connect to the tier's database; what goes wrong is told without secrets.

        The way that is returned is open: whoever ends the session must call its ``closed``.
        """
        own, timeouts = without_timeouts(arrival.settings)
        settings = {**own, **dict(arrival.tier.settings), **_told(arrival)}
        settings = with_timeouts(settings, self._shares.budget(arrival))
        if arrival.tier.access is AccessLevel.READ_ONLY:
            settings.update(READ_ONLY_SETTINGS)
        place = f"tier `{arrival.tier.name}` of target `{arrival.target.name}`"
        problem = _unreachable(f"{place} cannot be reached: no server is known")
        try:
            for way in await self._upstreams.ways(arrival.target, arrival.tier, arrival.login):
                try:
                    return await self._take(way, settings, arrival.tier, timeouts), way
                except UpstreamError as error:
                    problem = _unreachable(f"{place} cannot be reached: {error}")
        except NoWay as none:
            problem = ProtocolError(none.finding.message, CONNECTION_FAILURE, none.finding.hint)
        except ValueError as error:
            problem = _unreachable(f"{place} cannot be reached: {error} (HP8016)")
        await self._refused(arrival.agent, peer, problem)
        raise problem

    async def _take(
        self, way: Way, settings: dict[str, str], tier: Tier, timeouts: dict[str, int]
    ) -> Upstream:
        """Connect by one way; tell it what became of that. Raises ``NoWay`` if none would do."""
        way.opened()
        try:
            server = await upstream.connect(way.url, settings, self._keys)
            try:
                server.opening = await open_session(server, tier, timeouts, self._own_timeouts)
            except BaseException:
                server.channel.open_transport.abort()
                raise
            return server
        except UpstreamError as error:
            way.failed(str(error))
            way.closed()
            raise
        except BaseException:
            way.closed()
            raise

    async def _begin(
        self,
        channel: Channel,
        arrival: Arrival,
        server: Upstream,
        way: Way,
        peer: str,
        share: Share,
    ) -> None:
        """Record the session, tell the client that it is ready, and relay from here on."""
        session_id = f"s-{secrets.token_hex(6)}"
        pid = secrets.randbelow(2**31 - 1) + 1
        key = secrets.token_bytes(KEY_BYTES.get(arrival.minor, 4))
        opened = _opened(session_id, arrival, server, peer)
        if way.lag_s is not None:
            opened["lag_ms"] = int(way.lag_s * 1000)
        await self._engine.recorder.write(Record(RecordKind.SESSION_OPENED, opened))
        memos = self._memos_of(arrival.target, arrival.tier)
        prober = self._prober_of(arrival.target.name, arrival.tier)
        session = Session(
            session_id,
            arrival,
            peer,
            server,
            self._engine,
            prober,
            memos,
            lambda ended: self._ended((pid, key), ended, way),
            self._keeper_of(arrival.target.name, arrival.tier),
            lambda: self._defined(arrival.target.name),
            share,
        )
        session.following.take(way)
        self._sessions[(pid, key)] = session
        if way.note:
            channel.write(errors.notice_response("WARNING", LAGGING_STATE, way.note))
        for name, value in {**server.parameters, **_told(arrival)}.items():
            channel.write(messages.parameter_status(name, value))
        channel.write(messages.backend_key_data(pid, key) + messages.ready_for_query())
        session.start(channel.open_transport)
        channel.attach(session.relay.client_data, session.client_lost, session.server_pressure)

    def _keeper_of(self, target: str, tier: Tier) -> Keeper | None:
        if self._catalogs_of is None:
            return None
        keeper = self._keepers[target, tier.name] = self._catalogs_of(target, tier)
        return keeper

    def _defined(self, target: str) -> None:
        """Have the catalog read again in all tiers: they lead to one database, or its copies."""
        for (name, _), keeper in self._keepers.items():
            if name == target:
                keeper.invalidate()

    def _memos_of(self, target: Target, tier: Tier) -> Memos:
        key = (target.name, tier.name)
        memos = self._memos.get(key)
        if memos is None:
            keeper = self._keeper_of(target.name, tier)
            picture = (lambda: keeper.current) if keeper is not None else None
            memos = self._memos[key] = Memos(self._engine.policy, target, tier, picture)
            if keeper is not None:
                keeper.subscribe(lambda _: self._names_changed(key))
        return memos

    def _names_changed(self, key: tuple[str, str]) -> None:
        """Another picture of a catalog: what passed on its own in that tier is asked anew."""
        for session in self._sessions.values():
            if (session.arrival.target.name, session.arrival.tier.name) == key:
                session.relay.forget_known()

    async def _cancel(self, packet: startup.CancelRequest) -> None:
        """Cancel a held statement here, or pass the request on with the server's own key."""
        session = self._sessions.get((packet.pid, packet.key))
        if session is None or session.cancel():
            return
        server = session.upstream
        await upstream.cancel(server.url, server.pid, server.key)

    def _ended(self, key: tuple[int, bytes], session: Session, way: Way) -> None:
        self._sessions.pop(key, None)
        way.closed()
        if session.share is not None:
            self._shares.leave(session.share)
        body = {"session": session.id, "agent": session.arrival.agent}
        if session.ended_by is not None:
            body["reason"] = session.ended_by.message
        _spawn(self._record_quietly(Record(RecordKind.SESSION_CLOSED, body)))

    async def _refused(self, agent: str, peer: str, problem: ProtocolError, why: str = "") -> None:
        """Record who was turned away; a trail that is down is told by the refusal itself.

        ``why`` is what the client must not know.
        """
        body: dict[str, Any] = {
            "agent": agent[:200],
            "peer": peer,
            "sqlstate": problem.sqlstate,
            "reason": why or problem.message,
        }
        await self._record_quietly(Record(RecordKind.SESSION_REFUSED, body))

    async def _record_quietly(self, record: Record) -> None:
        """Record what happened anyway: if it cannot be written, nothing depends on it."""
        try:
            await self._engine.recorder.write(record)
        except TrailUnavailable as error:
            log.error("trail.unavailable", kind=record.kind.value, problem=str(error))

    def _look(self) -> None:
        """End what outlives its budget although no statement tells."""
        now = time.monotonic()
        for session in list(self._sessions.values()):
            session.watch.look(now)
        self._shares.forget()

    def end_where(self, why: Callable[[Session], Finding | None]) -> None:
        """End every session for which there is a reason, with its words; cancel what runs."""
        for session in list(self._sessions.values()):
            finding = why(session)
            if finding is not None:
                session.end(finding)

    def sessions_of(self, target: str, tier: str) -> tuple[SessionStanding, ...]:
        """Return the open sessions of a tier, the oldest first."""
        arrivals = [(each.id, each.arrival, each.peer) for each in self._sessions.values()]
        found = [
            SessionStanding(
                id=session, agent=arrival.agent, task=arrival.task, peer=peer, since=arrival.at
            )
            for session, arrival, peer in arrivals
            if arrival.target.name == target and arrival.tier.name == tier
        ]
        return tuple(sorted(found, key=lambda each: each.since))

    def sessions(self) -> tuple[Session, ...]:
        """Return the open sessions."""
        return tuple(self._sessions.values())

    @property
    def session_count(self) -> int:
        """How many sessions are open."""
        return len(self._sessions)


_background: set[asyncio.Future[None]] = set()


def _spawn(work: Awaitable[None]) -> None:
    """Run something to its end although nobody waits for it."""
    task = asyncio.ensure_future(work)
    _background.add(task)
    task.add_done_callback(_background.discard)


# A check that fails may have been the one that would have ended the session.
_UNWATCHED: Final = Finding(
    code="HP8017",
    message="an internal error of Holdpoint: sessions cannot be watched",
    hint="see its log; connect again",
)


def _unreachable(message: str) -> ProtocolError:
    return ProtocolError(
        message, CONNECTION_FAILURE, "the operator can find out with `holdpoint doctor`"
    )


def _told(arrival: Arrival) -> dict[str, str]:
    """What a session is told about itself: ``SHOW holdpoint.tier``. Nothing of ours believes it."""
    return {
        "holdpoint.tier": f"{arrival.target.name}/{arrival.tier.name}",
        "holdpoint.access": arrival.tier.access.value,
        "holdpoint.task": arrival.task,
    }


def _opened(session_id: str, arrival: Arrival, server: Upstream, peer: str) -> dict[str, Any]:
    local = server.channel.open_transport.get_extra_info("sockname")
    opening = server.opening
    assert opening is not None, "no session begins that was not asked how it did"
    return {
        "session": session_id,
        "agent": arrival.agent,
        "task": arrival.task,
        "task_tiers": list(arrival.login.tiers),
        "target": arrival.target.name,
        "tier": arrival.tier.name,
        "access": arrival.tier.access.value,
        "role": opening.user,
        "superuser": opening.superuser,
        "replica": opening.in_recovery,
        "database": server.url.place,
        "server_version": server.parameters.get("server_version", ""),
        "backend_pid": server.pid,
        # The server's own log names this address: the two records can be joined by it.
        "upstream_socket": _address(local),
        "peer": peer,
        "application_name": arrival.settings.get("application_name", ""),
    }


def _peer(channel: Channel) -> str:
    return _address(channel.open_transport.get_extra_info("peername"))


def _address(address: Any) -> str:
    if isinstance(address, tuple) and len(address) >= 2:
        return f"{address[0]}:{address[1]}"
    return str(address or "")


def _dismiss(channel: Channel, sqlstate: str, message: str, hint: str = "") -> None:
    """Say why, and close."""
    channel.write(errors.error_response("FATAL", sqlstate, message, hint=hint))
    channel.open_transport.close()
