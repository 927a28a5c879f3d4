"""The servers that a tier leads to, and who signs in there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import psycopg

from holdpoint.access.desired import AGENT, UrlOf, agents_of
from holdpoint.access.verify.drift import Drift, Kind
from holdpoint.access.verify.effective import SETTINGS
from holdpoint.engine.probes import conninfo_of
from holdpoint.model import limits
from holdpoint.model.target import Tier
from holdpoint.model.upstream import UpstreamUrl
from holdpoint.policy.words import quoted

VERSION_MIN: Final = 130000  # PostgreSQL 13, the oldest that the queries are made for


class Unreachable(Exception):
    """A server that cannot be asked; the text says why, without secrets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIns:
    """The URLs that agents' sessions of a tier use, server by server; ``problems`` say of others.

    Where the user has ``{agent}`` in it, there is one for each agent that the tier names.
    """

    urls: tuple[UpstreamUrl, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def places(self) -> tuple[UpstreamUrl, ...]:
        """One URL for each server."""
        found: dict[str, UpstreamUrl] = {}
        for url in self.urls:
            found.setdefault(url.place, url)
        return tuple(found.values())

    @property
    def by_role(self) -> dict[str, UpstreamUrl]:
        """One URL for each role: that of the first server it signs in to."""
        found: dict[str, UpstreamUrl] = {}
        for url in self.urls:
            found.setdefault(url.user, url)
        return found


def sign_ins(tier: Tier, url_of: UrlOf) -> SignIns:
    """Resolve a tier's URLs now."""
    urls: list[UpstreamUrl] = []
    problems: list[str] = []
    for source in (tier.url_source, *tier.more_sources):
        try:
            url = url_of(source, tier.password_source)
        except ValueError as error:
            problems.append(str(error))
            continue
        if AGENT not in url.user:
            urls.append(url)
            continue
        agents = agents_of(tier)[0]
        urls += [replace(url, user=url.user.replace(AGENT, agent)) for agent in agents]
        if not agents:
            problems.append(f"the URL's user has `{AGENT}` in it, and the tier names no agent")
    return SignIns(urls=tuple(urls), problems=tuple(problems))


def connect(url: UpstreamUrl, statement_s: float = 0, lock_s: float = 0) -> psycopg.Connection[Any]:
    """Connect to ask or, with short timeouts, to try. Raises ``Unreachable``."""
    options = SETTINGS
    if statement_s:
        options += f" -c statement_timeout={int(statement_s * 1000)}"
        options += f" -c lock_timeout={int(lock_s * 1000)}"
    try:
        connection: psycopg.Connection[Any] = psycopg.connect(
            conninfo_of(url),
            autocommit=True,
            prepare_threshold=None,
            connect_timeout=int(limits.UPSTREAM_CONNECT_TIMEOUT_S),
            application_name="holdpoint verify",
            options=options,
        )
    except psycopg.Error as error:
        raise Unreachable(
            f"cannot connect to {url.place} as {quoted(url.user)}: {line_of(error)}"
        ) from error
    if connection.info.server_version < VERSION_MIN:
        connection.close()
        raise Unreachable(f"{url.place} is older than PostgreSQL 13, and is not read correctly")
    return connection


def server_drift(
    tier: Tier, url: UpstreamUrl, connection: psycopg.Connection[Any]
) -> Iterator[Drift]:
    """The server itself, where the tier says whether it is a replica or a primary."""
    row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
    in_recovery = row == (True,)
    if tier.replica is None or tier.replica is in_recovery:
        return
    now, wanted = ("a replica", "a primary") if in_recovery else ("a primary", "a replica")
    source = "the URL leads to another server"
    yield Drift(
        role=url.user,
        kind=Kind.CHANGED,
        about=f"server `{url.place}`",
        what=f"it is {now}, the tier says {wanted}: "
        + ("it takes no writes" if in_recovery else "nothing but grants keeps writes out"),
        source=source if in_recovery else f"{source}, or it was promoted",
        mend=(f"-- let the tier's URL lead to {wanted}",),
    )


def line_of(error: psycopg.Error) -> str:
    """The first line of what the driver or the server says."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no reason was given"
