"""Roles made for one session each: nobody else's password, an end, and a name in the server's log.

``MintedRoles`` stands before other upstreams. For a session of a tier with ``mint`` it connects
with the mint's URL and makes a role that may sign in, with a random password (the server gets its
SCRAM verifier only), ``VALID UNTIL``, a ``CONNECTION LIMIT``, and membership in the tier's role: it
inherits what that may do, cannot become it, and starts with its settings. When the session is over
the role is dropped.

**A role that must not be swept is worse than one that stays.** Only roles with our mark in their
comment and our prefix in their name count; one with a session is left alone, one of another gate
until it has expired, and one that owns anything for good: it can sign in no more, people decide.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, Final

import psycopg
import structlog
from psycopg import sql

from holdpoint.engine.probes import conninfo_of
from holdpoint.engine.secrets_command import apart
from holdpoint.engine.upstreams import AGENT, NoWay, Upstreams, Way
from holdpoint.model import limits
from holdpoint.model.finding import Finding
from holdpoint.model.target import Target, Tier
from holdpoint.model.task import Login
from holdpoint.model.upstream import UpstreamUrl
from holdpoint.wire.postgres import scram

log = structlog.get_logger(__name__)

NO_ROLE: Final = "HP8016"
PREFIX: Final = "hp_"
MARK: Final = "holdpoint: made for one session by gate "
"""How the comment on each minted role begins; the gate's id follows."""
KEPT: Final = "holdpoint: kept, for it owns something"

_PASSWORD_BYTES: Final = 32
_SALT_BYTES: Final = 16
_RANDOM_BYTES: Final = 6
_NAME_CHARS: Final = 24
_ODD: Final = re.compile(r"[^a-z0-9_]+")

# The server's clock says until when, so that a clock that is wrong here harms nobody. Settings of
# the tier's role are its own, those for this database last; `role` is what membership stands for.
_TIER_ROLE: Final = """
SELECT t.oid, (pg_catalog.now() + pg_catalog.make_interval(secs => %(valid_s)s))::text,
       pg_catalog.current_setting('server_version_num')::int,
       ARRAY(SELECT pg_catalog.unnest(s.setconfig) FROM pg_catalog.pg_db_role_setting AS s
             LEFT JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase
             WHERE s.setrole = t.oid AND (s.setdatabase = 0 OR d.datname = %(database)s)
             ORDER BY s.setdatabase)
FROM pg_catalog.pg_roles AS t WHERE t.rolname = %(role)s
"""
_SETTINGS_LEFT_OUT: Final = frozenset(("role", "session_authorization"))

_MINTED: Final = """
SELECT r.rolname, r.rolvaliduntil < pg_catalog.now(),
       pg_catalog.shobj_description(r.oid, 'pg_authid'),
       EXISTS (SELECT FROM pg_catalog.pg_stat_activity AS a WHERE a.usesysid = r.oid)
FROM pg_catalog.pg_roles AS r
JOIN pg_catalog.pg_auth_members AS m ON m.member = r.oid
JOIN pg_catalog.pg_roles AS t ON t.oid = m.roleid
WHERE (t.rolname = %(role)s OR %(own)s AND pg_catalog.starts_with(t.rolname, %(before)s)
       AND pg_catalog.right(t.rolname, pg_catalog.length(%(after)s)) = %(after)s)
  AND pg_catalog.starts_with(r.rolname, %(prefix)s)
  AND pg_catalog.starts_with(pg_catalog.shobj_description(r.oid, 'pg_authid'), %(mark)s)
"""
_IN_USE: Final = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_activity AS a
               JOIN pg_catalog.pg_roles AS r ON r.oid = a.usesysid WHERE r.rolname = %s)
"""


class MintedRoles:
    """Ways into tiers with ``mint`` as roles of their own; into all others as ``inner`` has them.

    ``mint_url_of`` resolves the URL of the role that makes them; it may wait, and raises
    ``ValueError``. ``gate`` names this installation, always the same. ``close`` it at the end.
    """

    def __init__(
        self, inner: Upstreams, mint_url_of: Callable[[Tier], UpstreamUrl], gate: str
    ) -> None:
        self._inner = inner
        self._mint_url_of = mint_url_of
        self._mark = f"{MARK}{gate}"
        self._making = asyncio.Semaphore(limits.MINTS_MAX)
        self._dropping = asyncio.Semaphore(limits.MINTS_MAX)  # one may wait for a session's end
        self._live: dict[str, int] = {}
        self._fresh: set[str] = set()
        self._drops: set[asyncio.Task[None]] = set()

    async def ways(self, target: Target, tier: Tier, login: Login) -> Sequence[Way]:
        """Make a role for one session and return the ways in as that role. Raises ``NoWay``."""
        ways = await self._inner.ways(target, tier, login)
        if tier.mint is None:
            return ways
        url = ways[0].url
        role = tier.role.replace(AGENT, login.agent) or url.user
        name = name_for(login.agent)
        password = secrets.token_urlsafe(_PASSWORD_BYTES)
        self._fresh.add(name)  # before it is there: a sweep may be on its way
        asyncio.get_running_loop().call_later(limits.MINT_UNUSED_S, self._fresh.discard, name)
        try:
            async with asyncio.timeout(limits.MINT_TIMEOUT_S), self._making:
                await self._make(tier, role, url.dbname or url.user, name, password)
        except (psycopg.Error, OSError, ValueError, TimeoutError) as error:
            raise NoWay(_no_role(target, tier, role, error)) from error
        minted = [self._way(way, tier, name, password) for way in ways]
        if tier.replica:
            await _until_replayed(minted[0].url)
        return minted

    async def sweep(self, target: Target, tier: Tier) -> None:
        """Drop roles that were left over; what goes wrong is logged, and tried again later."""
        try:
            url = (await apart(lambda: self._mint_url_of(tier))) if tier.mint else None
            if url is None:
                return
            role = tier.role or await self._role_of(target, tier)
            async with asyncio.timeout(limits.MINT_SWEEP_TIMEOUT_S), _connected(url) as connection:
                before, own, after = role.partition(AGENT)
                values = {"role": role, "own": bool(own), "before": before, "after": after}
                values |= {"prefix": PREFIX, "mark": MARK}
                found = await (await connection.execute(_MINTED, values)).fetchall()
                for name, expired, comment, in_use in found:
                    left_over = expired or comment == self._mark
                    used = in_use or name in self._fresh or name in self._live
                    if left_over and not used:
                        await self._drop_by(connection, name)
        except (psycopg.Error, OSError, ValueError, TimeoutError, NoWay) as error:
            log.warning("mint.not_swept", tier=f"{target.name}/{tier.name}", problem=_words(error))

    async def run(self, targets: Sequence[Target]) -> None:
        """Sweep every tier with ``mint`` now and then, until cancelled."""
        while True:
            for target in targets:
                for tier in target.tiers:
                    if tier.mint is not None:
                        await self.sweep(target, tier)
            await asyncio.sleep(limits.MINT_SWEEP_S)

    async def close(self) -> None:
        """Wait a little for the roles of sessions that have just ended to be dropped."""
        if self._drops:
            await asyncio.wait(self._drops, timeout=limits.SHUTDOWN_GRACE_S)

    async def _role_of(self, target: Target, tier: Tier) -> str:
        """The role that minted ones are members of, where the tier's URL names it.

        Where each agent has a role of its own it is a pattern, as in the configuration.
        """
        nobody = Login(name=AGENT, agent=AGENT, scram_verifier="")
        ways = await self._inner.ways(target, tier, nobody)
        return ways[0].url.user

    # --- making -----------------------------------------------------------------------------------

    async def _make(self, tier: Tier, role: str, database: str, name: str, password: str) -> None:
        assert tier.mint is not None, "only tiers with a mint are asked for"
        url = await apart(lambda: self._mint_url_of(tier))
        verifier = await asyncio.to_thread(
            scram.make_verifier, password, secrets.token_bytes(_SALT_BYTES)
        )
        values = {"role": role, "database": database, "valid_s": tier.mint.valid_s}
        async with _connected(url) as connection, connection.transaction():
            row = await (await connection.execute(_TIER_ROLE, values)).fetchone()
            if row is None:
                raise ValueError(f"there is no role `{role}` to be a member of")
            _, until, version, settings = row
            made = sql.Identifier(name)
            await connection.execute(
                sql.SQL(
                    "CREATE ROLE {} LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {} "
                    "VALID UNTIL {} CONNECTION LIMIT {}"
                ).format(made, verifier, until, limits.MINT_CONNECTIONS)
            )
            with_ = " WITH INHERIT TRUE, SET FALSE" if version >= 160_000 else ""
            await connection.execute(
                sql.SQL("GRANT {} TO {}" + with_).format(sql.Identifier(role), made)
            )
            comment = sql.SQL("COMMENT ON ROLE {} IS {}").format(made, self._mark)
            await connection.execute(comment)
            for setting in settings:
                await _carry_over(connection, made, setting)

    def _way(self, way: Way, tier: Tier, name: str, password: str) -> Way:
        is_open = False

        def opened() -> None:
            nonlocal is_open
            is_open = True
            self._live[name] = self._live.get(name, 0) + 1
            way.opened()

        def closed() -> None:
            nonlocal is_open
            way.closed()
            if is_open:
                is_open = False
                self._live[name] -= 1
                # The next way may be tried with the same role, at once.
                asyncio.get_running_loop().call_soon(self._unless_used, tier, name)

        url = replace(way.url, user=name, password=password)
        return replace(way, url=url, opened=opened, closed=closed)

    # --- dropping ---------------------------------------------------------------------------------

    def _unless_used(self, tier: Tier, name: str) -> None:
        if self._live.get(name) == 0:
            task = asyncio.ensure_future(self._drop(tier, name))
            self._drops.add(task)
            task.add_done_callback(self._drops.discard)

    async def _drop(self, tier: Tier, name: str) -> None:
        """Drop a role once its session is gone; what fails is left to ``sweep``."""
        try:
            url = await apart(lambda: self._mint_url_of(tier))
            async with (
                asyncio.timeout(limits.MINT_TIMEOUT_S),
                self._dropping,
                _connected(url) as connection,
            ):
                # The server drops a role that is signed in, too; but its temporary tables are
                # still there then, and look as if it owned something.
                await _until_gone(connection, name)
                await self._drop_by(connection, name)
        except (psycopg.Error, OSError, ValueError, TimeoutError) as error:
            log.warning("mint.not_dropped", role=name, problem=_words(error))
        finally:
            self._live.pop(name, None)
            self._fresh.discard(name)

    async def _drop_by(self, connection: psycopg.AsyncConnection[Any], name: str) -> None:
        role = sql.Identifier(name)
        try:
            await connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(role))
        except psycopg.errors.DependentObjectsStillExist as error:
            await connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(role))
            await connection.execute(sql.SQL("COMMENT ON ROLE {} IS {}").format(role, KEPT))
            log.warning(
                "mint.kept",
                role=name,
                problem=_words(error),
                mend="it owns something or was granted something: `REASSIGN OWNED`, `DROP OWNED`, "
                "then `DROP ROLE`",
            )


def name_for(agent: str) -> str:
    """Return a new role's name that tells people whose it is; at most 40 characters of ASCII."""
    plain = _ODD.sub("_", agent.lower())[:_NAME_CHARS].strip("_") or "agent"
    return f"{PREFIX}{plain}_{secrets.token_hex(_RANDOM_BYTES)}"


async def _carry_over(
    connection: psycopg.AsyncConnection[Any], made: sql.Identifier, setting: str
) -> None:
    """Give a setting of the tier's role to the one that was made.

    By way of the current value, because only the server knows which settings are lists.
    """
    name, _, value = setting.partition("=")
    if name in _SETTINGS_LEFT_OUT:
        return
    await connection.execute("SELECT pg_catalog.set_config(%s, %s, true)", [name, value])
    parts = sql.Identifier(*name.split("."))
    await connection.execute(sql.SQL("ALTER ROLE {} SET {} FROM CURRENT").format(made, parts))


async def _until_gone(connection: psycopg.AsyncConnection[Any], name: str) -> None:
    """Wait until no session of the role is left."""
    while True:
        row = await (await connection.execute(_IN_USE, [name])).fetchone()
        if row != (True,):
            return
        await asyncio.sleep(limits.MINT_POLL_S)


async def _until_replayed(url: UpstreamUrl) -> None:
    """Wait until a replica knows a role that its primary has just made.

    One that takes too long is tried all the same: the door says what came of it.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(limits.MINT_REPLAY_S):
            while True:
                try:
                    async with _connected(url):
                        return
                except psycopg.OperationalError:
                    await asyncio.sleep(limits.MINT_POLL_S)


@asynccontextmanager
async def _connected(url: UpstreamUrl) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    connection = await psycopg.AsyncConnection.connect(
        conninfo_of(url),
        autocommit=True,
        application_name="holdpoint mint",
        connect_timeout=max(2, int(limits.UPSTREAM_CONNECT_TIMEOUT_S)),
        options=f"-c statement_timeout={int(limits.MINT_TIMEOUT_S * 1000)} "
        "-c search_path=pg_catalog",
    )
    async with connection:
        yield connection


def _no_role(target: Target, tier: Tier, role: str, error: Exception) -> Finding:
    place = f"tier `{tier.name}` of target `{target.name}`"
    return Finding(
        code=NO_ROLE,
        message=f"refused: no role could be made for a session of {place}: {_words(error)} "
        f"({NO_ROLE})",
        hint=f"the operator must give the mint's role CREATEROLE and `{role}` WITH ADMIN OPTION",
    )


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"the database did not answer within {limits.MINT_TIMEOUT_S:g} s"
    lines = str(error).strip().splitlines()
    return lines[0][: limits.FINDING_QUOTE_CHARS_MAX] if lines else "no reason was given"
