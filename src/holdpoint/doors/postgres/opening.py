"""What a session is before its client may use it: one question to the server, and who may go on.

Others can plant what makes a session begin as somebody else, or free to write: ``ALTER ROLE ... SET
role``, ``ALTER DATABASE ... SET``, a login trigger, a pooler that drops start-up settings. None of
it shows in the protocol, so the gate asks, once for each connection (measured: 0.5 ms beside the
4 ms of connecting, twice as long as SELECT 1), and turns away what is not as the tier says.

An agent's own timeouts are not among the start-up settings: they would replace those of the role.
They are set here, where they are shorter than what the session has without them. A budget's are
among them, so that a reset comes back to them; where the role's or the database's own are shorter,
those are set here, too; they are asked for now and then (measured: another 1.3 ms). Of what the
server's configuration file says nobody can tell any more.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import suppress
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
# Settings of role and database, the most specific ones last (manual, section 20.1.3).
_OWN: Final = """(
SELECT pg_catalog.json_agg(s.setconfig ORDER BY
       s.setrole OPERATOR(pg_catalog.<>) 0::pg_catalog.oid,
       s.setdatabase OPERATOR(pg_catalog.<>) 0::pg_catalog.oid)
FROM pg_catalog.pg_db_role_setting AS s
WHERE s.setrole OPERATOR(pg_catalog.=) ANY (
    SELECT r.oid FROM pg_catalog.pg_roles AS r
    WHERE r.rolname OPERATOR(pg_catalog.=) SESSION_USER UNION ALL SELECT 0::pg_catalog.oid)
AND s.setdatabase OPERATOR(pg_catalog.=) ANY (
    SELECT d.oid FROM pg_catalog.pg_database AS d
    WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
    UNION ALL SELECT 0::pg_catalog.oid))"""
_SETTINGS: Final = ", ".join(
    f"'{name}', pg_catalog.current_setting('{name}', true)" for name in _SHOWN
)
_QUESTION: Final = (
    "SELECT pg_catalog.json_build_object('user', CURRENT_USER, 'session_user', SESSION_USER, "
    "'in_recovery', pg_catalog.pg_is_in_recovery(), 'path', pg_catalog.current_schemas(true), "
    f"{_SETTINGS}"
)
_UNIT_MS: Final = {"": 1, "ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION: Final = re.compile(r"([0-9]+)(ms|s|min|h|d|)")


class OwnTimeouts:
    """The timeouts that roles and databases have of themselves, kept for a minute each."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[tuple[str, str], tuple[float, dict[str, int]]] = {}

    def get(self, key: tuple[str, str]) -> dict[str, int] | None:
        """Return those of a place and a role, None when they must be asked for."""
        until, own = self._known.get(key, (0.0, {}))
        return own if self._clock() < until else None

    def put(self, key: tuple[str, str], own: dict[str, int]) -> None:
        """Keep what the server has said."""
        if len(self._known) >= limits.SESSIONS_MAX:
            self._known.clear()
        self._known[key] = (self._clock() + limits.OWN_TIMEOUTS_S, own)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """How a session began, as its server tells it.

    ``read_only`` is the default of its transactions, ``path`` are the schemas of its search path.
    ``bounds`` are its timeouts in milliseconds, of those that end anything. ``starts`` are what it
    was given beyond its start-up settings, and is given again when it resets them: the agent's own
    timeouts where they are shorter than the bounds, and bounds that are shorter than a budget.
    """

    user: str
    superuser: bool
    read_only: bool
    in_recovery: bool
    path: tuple[str, ...]
    bounds: dict[str, int]
    starts: dict[str, int]


def without_timeouts(settings: dict[str, str]) -> tuple[dict[str, str], dict[str, int]]:
    """Split an agent's start-up settings: those to send, and its timeouts in milliseconds."""
    rest = {name: value for name, value in settings.items() if name not in TIMEOUTS}
    asked = {name: value for name, value in settings.items() if name in TIMEOUTS}
    return rest, {name: milliseconds(value) for name, value in asked.items()}


async def open_session(
    server: Upstream, tier: Tier, asked: dict[str, int], kept: OwnTimeouts
) -> Opening:
    """Ask how the session began, and give it the timeouts that were ``asked`` for.

    ``kept`` is shared by sessions; roles that are minted for a tier are alike.
    Raises ``NoWay`` when it is not what the tier says wherever it leads, ``UpstreamError`` when
    the server does not answer or another one may do better.
    """
    place = server.url.place
    try:
        async with asyncio.timeout(limits.UPSTREAM_CONNECT_TIMEOUT_S):
            key = (place, tier.name if tier.mint is not None else server.url.user)
            own = kept.get(key)
            question = _QUESTION + (")" if own is not None else f", 'own', {_OWN})")
            values: dict[str, Any] = orjson.loads(await _ask(server, question))
            if own is None:
                own = _own_timeouts(values["own"] or [])
                kept.put(key, own)
            opening = _read(values, own, asked)
            _check(opening, server, tier)
            if opening.starts:
                sets = [f"SET {name} = {value}" for name, value in opening.starts.items()]
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


def _read(values: dict[str, Any], own: dict[str, int], asked: dict[str, int]) -> Opening:
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
    bounds: dict[str, int] = {}
    starts: dict[str, int] = {}
    for name in TIMEOUTS:
        if values[name] is None:  # this server does not have it
            continue
        begun = milliseconds(values[name])
        bound = _shorter(begun, own.get(name, 0))
        if bound:
            bounds[name] = bound
        start = _shorter(bound, asked.get(name, 0))
        if start != begun:
            starts[name] = start
    return Opening(
        user=values["user"],
        superuser=values["is_superuser"] == "on",
        read_only=values["default_transaction_read_only"] == "on",
        in_recovery=values["in_recovery"],
        path=tuple(values["path"]),
        bounds=bounds,
        starts=starts,
    )


def _own_timeouts(settings: list[list[str]]) -> dict[str, int]:
    """The timeouts among settings of role and database; later ones stand for earlier ones."""
    found: dict[str, int] = {}
    for setting in [each for several in settings for each in several]:
        name, _, value = setting.partition("=")
        with suppress(ValueError):  # an odd way to write it: what the session has counts
            if name in TIMEOUTS:
                found[name] = milliseconds(value.replace(" ", ""))
    return found


def _shorter(one: int, other: int) -> int:
    """The timeout that ends things first; 0 ends nothing."""
    return min(one, other) if one and other else one or other


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
