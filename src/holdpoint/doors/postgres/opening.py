"""What a session is before its client may use it: one question to the server, and who may go on.

Others can plant what makes a session begin as somebody else, or free to write: ``ALTER ROLE ... SET
role``, ``ALTER DATABASE ... SET``, a login trigger, a pooler that drops start-up settings. None of
it shows in the protocol, so the gate asks, once for each connection (measured: 0.15 ms beside the
2 ms of signing in), and turns away what is not as the tier says.

An agent's own timeouts are not among the start-up settings: they would replace those of the role.
They are set here, where they are shorter than what the session has without them.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Any, Final

import orjson

from holdpoint.doors.postgres.channel import ChannelClosed
from holdpoint.doors.postgres.upstream import Upstream, UpstreamError
from holdpoint.engine.upstreams import NoWay
from holdpoint.model import limits
from holdpoint.model.finding import Finding
from holdpoint.model.target import AccessLevel, Tier
from holdpoint.sql.settings import TIMEOUTS
from holdpoint.wire.postgres import frames, messages
from holdpoint.wire.postgres.errors import ProtocolError

NOT_AS_THE_TIER: Final = "HP8018"

# Every name is qualified: the search_path may be planted, too. SESSION_USER and CURRENT_USER are
# grammar. Settings that a server does not know are NULL.
_SHOWN: Final = (
    "is_superuser",
    "default_transaction_read_only",
    "session_replication_role",
    *TIMEOUTS,
)
_QUESTION: Final = (
    "SELECT pg_catalog.json_build_object('user', CURRENT_USER, 'session_user', SESSION_USER, "
    "'in_recovery', pg_catalog.pg_is_in_recovery(), 'path', pg_catalog.current_schemas(true), "
    + ", ".join(f"'{name}', pg_catalog.current_setting('{name}', true)" for name in _SHOWN)
    + ")"
)
_UNIT_MS: Final = {"": 1, "ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION: Final = re.compile(r"([0-9]+)(ms|s|min|h|d|)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """How a session began, as its server tells it.

    ``read_only`` is the default of its transactions, ``path`` are the schemas of its search path.
    ``bounds`` are its timeouts in milliseconds, of those that end anything; ``asked`` are the
    agent's own where they are shorter, which hold as long as it sets no others.
    """

    user: str
    superuser: bool
    read_only: bool
    in_recovery: bool
    path: tuple[str, ...]
    bounds: dict[str, int]
    asked: dict[str, int]


def without_timeouts(settings: dict[str, str]) -> tuple[dict[str, str], dict[str, int]]:
    """Split an agent's start-up settings: those to send, and its timeouts in milliseconds."""
    rest = {name: value for name, value in settings.items() if name not in TIMEOUTS}
    asked = {name: value for name, value in settings.items() if name in TIMEOUTS}
    return rest, {name: milliseconds(value) for name, value in asked.items()}


async def open_session(server: Upstream, tier: Tier, asked: dict[str, int]) -> Opening:
    """Ask how the session began, and give it the timeouts that were ``asked`` for.

    Raises ``NoWay`` when it is not what the tier says wherever it leads, ``UpstreamError`` when
    the server does not answer or another one may do better.
    """
    place = server.url.place
    try:
        async with asyncio.timeout(limits.UPSTREAM_CONNECT_TIMEOUT_S):
            opening = _read(await _ask(server, _QUESTION), asked)
            _check(opening, server, tier)
            if opening.asked:
                sets = [f"SET {name} = {value}" for name, value in opening.asked.items()]
                await _ask(server, "; ".join(sets))
    except TimeoutError as error:
        raise UpstreamError(f"{place} did not answer the gate's first question") from error
    except ChannelClosed as error:
        raise UpstreamError(f"{place} closed the connection") from error
    except (ProtocolError, ValueError, KeyError, TypeError) as error:
        raise UpstreamError(f"{place}: the gate's first question has no good answer") from error
    return opening


async def _ask(server: Upstream, text: str) -> bytes:
    """Send a Query and return the one column of its last row. Raises ``UpstreamError``."""
    server.channel.write(messages.query(text.encode()))
    value = b""
    problem: UpstreamError | None = None
    while True:
        kind, payload = await server.channel.read_frame(limits.MESSAGE_BYTES_MAX)
        if kind == frames.DATA_ROW:
            value = payload[6 : 6 + int.from_bytes(payload[2:6], "big")]
        elif kind == frames.PARAMETER_STATUS:
            status = messages.parse_parameter_status(payload)
            server.parameters[status.name] = status.value
        elif kind == frames.ERROR_RESPONSE:
            words = messages.parse_fields(payload).get("M", "unknown error")
            problem = UpstreamError(f"{server.url.place}: {words}")
        elif kind == frames.READY_FOR_QUERY:
            if problem is not None:
                raise problem
            return value


def _read(answer: bytes, asked: dict[str, int]) -> Opening:
    values: dict[str, Any] = orjson.loads(answer)
    if values["session_replication_role"] != "origin":
        raise _not_as(
            "begins with triggers and foreign keys turned off",
            "somebody has set `session_replication_role` for the role or the database",
        )
    if values["user"] != values["session_user"]:
        raise _not_as(
            f"begins as role `{values['user']}` and not as `{values['session_user']}`",
            "somebody has set `role` for it (`ALTER ROLE ... SET role`); what it may do would "
            "change at each reset: let the tier's URL name the role itself",
        )
    shown = {name: values[name] for name in TIMEOUTS if values[name] is not None}
    bounds = {name: bound for name in shown if (bound := milliseconds(shown[name])) > 0}
    return Opening(
        user=values["user"],
        superuser=values["is_superuser"] == "on",
        read_only=values["default_transaction_read_only"] == "on",
        in_recovery=values["in_recovery"],
        path=tuple(values["path"]),
        bounds=bounds,
        asked={
            name: value
            for name, value in asked.items()
            if name in shown and value < bounds.get(name, value + 1)
        },
    )


def _check(opening: Opening, server: Upstream, tier: Tier) -> None:
    """Turn away a session that is not as its tier says."""
    named = server.url.user
    # A pooler may be told the tenant behind the role: `reader.tenant`, `reader@tenant`.
    if opening.user != named and not named.startswith((opening.user + ".", opening.user + "@")):
        raise _not_as(
            f"begins as role `{opening.user}`, and the URL names `{named}`",
            "somebody has set `session_authorization` for it, or a pooler stands between",
        )
    if tier.access is AccessLevel.READ_ONLY and not opening.read_only:
        raise _not_as(
            "may write, although the gate asked for `default_transaction_read_only`",
            "something takes the setting away again: a pooler's `ignore_startup_parameters`, a "
            "login trigger; let the URL lead to the server itself",
        )
    if tier.replica is not None and tier.replica is not opening.in_recovery:
        state = "a replica" if opening.in_recovery else "no replica (any more)"
        raise UpstreamError(f"{server.url.place} is {state}")


def _not_as(what: str, why: str) -> NoWay:
    return NoWay(
        Finding(
            code=NOT_AS_THE_TIER,
            message=f"refused: the session at the database {what}",
            hint=f"{why}; `holdpoint doctor` looks at the tier",
        )
    )


def milliseconds(text: str) -> int:
    """Read a duration as the server shows it; raises ``ValueError`` on other ways to write it."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"`{text}` is no duration")
    return int(found[1]) * _UNIT_MS[found[2]]
