"""The first minutes of an agent's connection: TLS, who it is, where it wants to go.

An agent signs in with SCRAM-SHA-256; ``user`` is the agent, ``database`` is ``target`` or
``target/tier``. Nothing is said about the database before the agent is known, and an unknown agent
looks exactly like a wrong password.
"""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from holdpoint.doors.postgres.channel import Channel
from holdpoint.model.target import Target, Tier
from holdpoint.model.task import Barred, Login
from holdpoint.policy.tiers import NoTier, choose
from holdpoint.policy.words import quoted
from holdpoint.wire.postgres import frames, messages, scram, startup
from holdpoint.wire.postgres.errors import (
    INVALID_AUTHORIZATION,
    INVALID_PASSWORD,
    ProtocolError,
)

NONCE_BYTES: Final = 18
PRELUDES_MAX: Final = 3  # SSLRequest, GSSENCRequest, then the startup packet
UNKNOWN_DATABASE: Final = "3D000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The gate's own certificate for clients; ``required`` refuses connections without TLS."""

    context: ssl.SSLContext
    end_point: bytes | None
    required: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """An agent that has signed in, ``at`` that moment. ``settings`` are its startup settings."""

    login: Login
    at: datetime
    target: Target
    tier: Tier
    settings: dict[str, str]
    minor: int

    @property
    def agent(self) -> str:
        """The agent's name, whatever credential it came with."""
        return self.login.agent

    @property
    def task(self) -> str:
        """The task that its credential was issued for, empty for an agent's own secret."""
        return self.login.task


class SignInRefused(Exception):
    """Nobody gets in by a name and a secret: ``why`` is for the trail, ``problem`` for the client.

    The client is told the same for every reason.
    """

    def __init__(self, name: str, why: str) -> None:
        super().__init__(why)
        self.why = why
        self.problem = ProtocolError(
            f"password authentication failed for agent `{name}`",
            INVALID_PASSWORD,
            "check the name and the secret; people make new ones with `holdpoint agent rotate` "
            "and `holdpoint task start`",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gatekeeper:
    """What the handshake needs to know.

    ``login`` returns who signs in by a name, or what stands against it; ``clock`` gives the time,
    aware, UTC; ``mock_secret`` makes up stable verifiers for names that nobody has, so that agents
    and tasks cannot be enumerated.
    """

    targets: Mapping[str, Target]
    login: Callable[[str], Awaitable[Login | Barred]]
    clock: Callable[[], datetime]
    mock_secret: bytes
    tls: Tls | None = None


async def first_packet(
    channel: Channel, keeper: Gatekeeper
) -> startup.Startup | startup.CancelRequest:
    """Answer requests for encryption and return the packet that says what the client wants."""
    encrypted = False
    for _ in range(PRELUDES_MAX):
        packet = startup.parse_first_packet(await channel.read_first_packet())
        if isinstance(packet, startup.GssEncRequest):
            channel.write(b"N")
        elif isinstance(packet, startup.SslRequest):
            if encrypted:
                raise ProtocolError("a second request for TLS")
            if keeper.tls is None:
                channel.write(b"N")
                continue
            channel.write(b"S")
            await channel.start_tls(keeper.tls.context, server_side=True)
            encrypted = True
        else:
            needs_tls = keeper.tls is not None and keeper.tls.required and not encrypted
            if needs_tls and isinstance(packet, startup.Startup):
                raise ProtocolError(
                    "connections without TLS are not accepted here",
                    INVALID_AUTHORIZATION,
                    "connect with `sslmode=verify-full`",
                )
            return packet
    raise ProtocolError("too many requests before the startup packet")


async def sign_in(channel: Channel, packet: startup.Startup, keeper: Gatekeeper) -> Arrival:
    """Check the startup packet and the secret. Raises ``ProtocolError``, ``SignInRefused``."""
    if packet.minor > startup.MINOR_MAX or packet.extensions:
        unsupported = [name for name, _ in packet.extensions]
        channel.write(
            startup.negotiate_protocol_version(startup.negotiated_minor(packet.minor), unsupported)
        )
    checked = startup.check_parameters(packet)
    login = await _authenticate(channel, checked.user, keeper)
    target, tier = _place(checked, login, keeper)
    return Arrival(
        login=login,
        at=keeper.clock(),
        target=target,
        tier=tier,
        settings=dict(checked.upstream),
        minor=startup.negotiated_minor(packet.minor),
    )


async def _authenticate(channel: Channel, name: str, keeper: Gatekeeper) -> Login:
    known = await keeper.login(name)
    # What has ended is asked as it was when it was good: its salt stays, so nobody can tell.
    verifier = known.scram_verifier or scram.mock_verifier(keeper.mock_secret, name)
    encrypted = channel.open_transport.get_extra_info("ssl_object") is not None
    end_point = keeper.tls.end_point if keeper.tls is not None and encrypted else None
    server = scram.ScramServer(verifier, secrets.token_urlsafe(NONCE_BYTES), end_point)
    channel.write(messages.authentication_sasl(server.mechanisms()))
    initial = messages.parse_sasl_initial(await _password_frame(channel))
    first = server.first(initial.mechanism, initial.data or b"")
    channel.write(messages.authentication_sasl_continue(first))
    try:
        final = server.final(await _password_frame(channel))
    except ProtocolError as error:
        if error.sqlstate != INVALID_PASSWORD:
            raise
        why = f"; {known.why}" if isinstance(known, Barred) else ""
        raise SignInRefused(name, f"the secret was wrong{why}") from None
    if isinstance(known, Barred):  # whatever was proved
        raise SignInRefused(name, known.why)
    channel.write(messages.authentication_sasl_final(final))
    channel.write(messages.authentication_ok())
    return known


async def _password_frame(channel: Channel) -> bytes:
    kind, payload = await channel.read_frame()
    if kind != frames.PASSWORD:
        raise ProtocolError(f"expected a SASL response, not a message of type 0x{kind:02x}")
    return payload


def _place(checked: startup.Checked, login: Login, keeper: Gatekeeper) -> tuple[Target, Tier]:
    """Find the target and tier that the database name asks for."""
    name, _, tier_name = checked.database.partition("/")
    target = keeper.targets.get(name)
    if target is None:
        known = ", ".join(f"`{each}`" for each in sorted(keeper.targets))
        raise ProtocolError(
            f"target {quoted(name)} does not exist",
            UNKNOWN_DATABASE,
            f"connect to one of {known}, or with a tier such as `target/tier`",
        )
    try:
        return target, choose(target, tier_name, login, keeper.clock())
    except NoTier as problem:
        finding = problem.finding
        raise ProtocolError(
            finding.message, INVALID_AUTHORIZATION, f"{finding.detail}; {finding.hint}"
        ) from None
