"""Replica sets over real servers, for the tests of both their halves."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from holdpoint.config.urls import parse_url
from holdpoint.embedded import EmbeddedPostgres
from holdpoint.engine.replicas import ReplicaSets
from holdpoint.engine.replicas_watch import Watched
from holdpoint.engine.upstreams import NoWay, Way
from holdpoint.model.target import AccessLevel, Target, Tier
from holdpoint.model.task import Login

LOGIN = Login(name="claude", agent="claude", scram_verifier="")
DEADLINE_S = 20.0


async def eventually(holds: Callable[[], Any], what: str) -> Any:
    """Wait for something that must come; the bound only ends a failing test."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            found = holds()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.02)
    raise AssertionError(what)


def tier_of(*urls: str, **more: Any) -> Tier:
    more.setdefault("replica", True)
    return Tier(
        name="replica",
        access=AccessLevel.READ_ONLY,
        url_source=urls[0],
        more_sources=urls[1:],
        **more,
    )


def target_of(tier: Tier) -> Target:
    return Target(name="shop", tiers=(tier,))


@asynccontextmanager
async def sets() -> AsyncIterator[ReplicaSets]:
    """Replica sets whose sources are the URLs themselves."""
    found = ReplicaSets(lambda tier, source: parse_url(source))
    try:
        yield found
    finally:
        await found.close()


async def ways_of(replicas: ReplicaSets, tier: Tier) -> Sequence[Way]:
    return await replicas.ways(target_of(tier), tier, LOGIN)


async def refusal(replicas: ReplicaSets, tier: Tier) -> str:
    with pytest.raises(NoWay) as caught:
        await ways_of(replicas, tier)
    assert caught.value.finding.code == "HP8015"
    return caught.value.finding.message


def ports(ways: Sequence[Way]) -> list[int]:
    return [way.url.port for way in ways]


def commit(primary: EmbeddedPostgres) -> None:
    """Something that a replica can miss, at once on its way."""
    with psycopg.connect(primary.url(), autocommit=True) as connection:
        connection.execute("SET synchronous_commit = local")
        connection.execute("SELECT pg_logical_emit_message(true, 'test', '')")


@asynccontextmanager
async def watched(url: str) -> AsyncIterator[Watched]:
    found = Watched(lambda: parse_url(url), lambda: None)
    try:
        yield found
    finally:
        await found.close()


async def lag_s(server: Watched) -> float | None:
    lag = (await server.look()).lag
    assert lag is not None
    return lag.seconds
