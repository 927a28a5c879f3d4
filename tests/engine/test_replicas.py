"""Which of a tier's servers a session gets, and what becomes of those on one that lags."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from replica_support import (
    LOGIN,
    commit,
    eventually,
    ports,
    refusal,
    sets,
    target_of,
    tier_of,
    ways_of,
)

from holdpoint.config.urls import parse_url
from holdpoint.embedded import EmbeddedPostgres, EmbeddedReplica
from holdpoint.engine.catalog_keeper import CatalogKeeper
from holdpoint.engine.probes import DatabaseProber
from holdpoint.engine.replicas import ReplicaSets, primary_of
from holdpoint.engine.upstreams import NoWay
from holdpoint.model.effects import SessionView
from holdpoint.model.target import AccessLevel, Target, Tier, WhenLagging
from holdpoint.model.upstream import UpstreamUrl
from support.servers import Replicated, fresh_database

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("often")]

# --- choosing -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def second(replicated: Replicated) -> Iterator[EmbeddedReplica]:
    """Another replica of the same primary."""
    with EmbeddedReplica(replicated.primary) as replica:
        yield replica


async def test_a_tier_that_says_nothing_of_replicas_is_not_looked_at() -> None:
    url = "postgresql://nobody@127.0.0.1:1/nowhere"
    async with sets() as replicas:
        tier = tier_of(url, replica=None)
        assert [way.url for way in await ways_of(replicas, tier)] == [parse_url(url)]
        assert replicas.standing(target_of(tier), tier) == ()


async def test_sessions_are_balanced_and_ties_rotate(
    replicated: Replicated, second: EmbeddedReplica
) -> None:
    tier = tier_of(replicated.replica.url(), second.url())
    async with sets() as replicas:
        await eventually(lambda: _all_good(replicas, tier, 2), "both are seen")
        firsts = [(await ways_of(replicas, tier))[0] for _ in range(4)]
        assert len(set(ports(firsts))) == 2, "ties rotate"
        opened = []
        for _ in range(6):
            way = (await ways_of(replicas, tier))[0]
            way.opened()
            opened.append(way)
        assert {ports(opened).count(port) for port in ports(opened)} == {3}
        one = opened[0].url.port
        for way in opened:
            if way.url.port == one:
                way.closed()
                way.closed()  # perhaps more than once, and it counts once
        for _ in range(3):
            way = (await ways_of(replicas, tier))[0]
            way.opened()
            assert way.url.port == one
            opened.append(way)
        for way in opened:
            way.closed()


async def _all_good(replicas: ReplicaSets, tier: Tier, count: int) -> bool:
    await ways_of(replicas, tier)
    return [each.good for each in replicas.standing(target_of(tier), tier)] == [True] * count


async def test_a_server_that_fails_is_tried_last(
    replicated: Replicated, second: EmbeddedReplica
) -> None:
    tier = tier_of(replicated.replica.url(), second.url())
    async with sets() as replicas:
        await eventually(lambda: _all_good(replicas, tier, 2), "both are seen")
        first, other = await ways_of(replicas, tier)
        first.failed("too many connections")
        for _ in range(3):
            assert ports(await ways_of(replicas, tier)) == [other.url.port, first.url.port]


async def test_one_lost_server_leaves_the_other(
    replicated: Replicated, second: EmbeddedReplica
) -> None:
    dead = "postgresql://postgres:x@127.0.0.1:1/postgres"
    async with sets() as replicas:
        ways = await ways_of(replicas, tier_of(dead, second.url()))
        assert ports(ways)[0] == second.port
        words = await refusal(replicas, replace(tier_of(dead, dead + "2"), name="lost"))
    assert words.count("is down: ") == 2
    assert words.startswith("refused: no server of tier `lost` of target `shop` can be used: ")


async def test_a_replica_is_demanded_and_a_primary_is_never_taken_for_one(
    replicated: Replicated,
) -> None:
    async with sets() as replicas:
        words = await refusal(replicas, tier_of(replicated.primary.url()))
        place = parse_url(replicated.primary.url()).place
        assert f"`{place}` is not a replica" in words
        both = replace(tier_of(replicated.primary.url(), replicated.replica.url()), name="both")
        await eventually(lambda: _seen_as(replicas, both, ["primary", "replica"]), "both seen")
        assert ports(await ways_of(replicas, both)) == [replicated.replica.port]


async def test_a_primary_is_demanded(replicated: Replicated) -> None:
    async with sets() as replicas:
        words = await refusal(replicas, tier_of(replicated.replica.url(), replica=False))
        assert "is not a primary" in words
        primary = tier_of(replicated.primary.url(), replica=False)
        [way] = await ways_of(replicas, replace(primary, name="primary"))
        assert way.url.port == replicated.primary.port


async def test_either_will_do(replicated: Replicated) -> None:
    tier = tier_of(replicated.primary.url(), replicated.replica.url(), replica=None)
    async with sets() as replicas:
        await eventually(lambda: _all_good(replicas, tier, 2), "both are good")


async def _seen_as(replicas: ReplicaSets, tier: Tier, states: list[str]) -> bool:
    await ways_of(replicas, tier)
    return [each.state for each in replicas.standing(target_of(tier), tier)] == states


async def test_a_url_that_cannot_be_had_any_more_is_named(replicated: Replicated) -> None:
    """The secret manager is down; the connection over which the server is looked at is not."""
    up = True

    def url_of(tier: Tier, source: str) -> UpstreamUrl:
        if up:
            return parse_url(source)
        raise ValueError("`vault` ended with 2")

    replicas = ReplicaSets(url_of)
    tier = tier_of(replicated.replica.url())
    try:
        await ways_of(replicas, tier)
        up = False
        assert (await refusal(replicas, tier)).endswith("`vault` ended with 2 (HP8015)")
        up = True
        assert await ways_of(replicas, tier)
    finally:
        await replicas.close()


async def test_secrets_are_in_no_words(replicated: Replicated) -> None:
    tier = tier_of(replicated.primary.url())
    async with sets() as replicas:
        words = await refusal(replicas, tier)
        shown = f"{words} {replicas.standing(target_of(tier), tier)} {tier}"
    assert replicated.primary.password not in shown


async def test_a_url_that_leads_elsewhere_is_a_server_not_seen_yet(
    replicated: Replicated, second: EmbeddedReplica
) -> None:
    """A file that a URL is read from changes: what was known of the old server says nothing."""
    urls = {"here": replicated.replica.url()}

    def url_of(tier: Tier, source: str) -> UpstreamUrl:
        return parse_url(urls[source])

    replicas = ReplicaSets(url_of)
    tier = tier_of("here")
    try:
        assert ports(await ways_of(replicas, tier)) == [replicated.replica.port]
        urls["here"] = replicated.primary.url()
        assert "is not a replica" in await refusal(replicas, tier)
    finally:
        await replicas.close()


# --- lagging ------------------------------------------------------------------------------------


@pytest.fixture
def lagging(second: EmbeddedReplica, replicated: Replicated) -> Iterator[EmbeddedReplica]:
    """The second replica, further behind by the moment."""
    second.wait_caught_up()
    second.pause_replay()
    commit(replicated.primary)
    yield second
    second.resume_replay()


LIMIT_S = 0.5


async def refused_for_lag(replicas: ReplicaSets, tier: Tier) -> str:
    """Wait until the limit is passed, and return the refusal."""

    async def tried() -> str:
        try:
            await ways_of(replicas, tier)
        except NoWay as none:
            return none.finding.message
        return ""

    words: str = await eventually(tried, "it falls behind")
    return words


async def test_a_lagging_replica_is_refused_with_its_lag(lagging: EmbeddedReplica) -> None:
    tier = tier_of(lagging.url(), lag_max_s=LIMIT_S, when_lagging=WhenLagging.REFUSE)
    async with sets() as replicas:
        words = await refused_for_lag(replicas, tier)
    assert " behind: its replay is paused; the tier's limit is 0.5 s" in words


async def test_a_lagging_replica_says_so(lagging: EmbeddedReplica) -> None:
    tier = tier_of(lagging.url(), lag_max_s=LIMIT_S, when_lagging=WhenLagging.SAY)
    async with sets() as replicas:

        async def noted() -> str:
            [way] = await ways_of(replicas, tier)
            assert way.objection() is None
            return way.note

        note: str = await eventually(noted, "it falls behind")
    assert note.startswith("this replica is at most ")
    assert note.endswith("; the tier's limit is 0.5 s")


async def test_one_waits_until_it_has_caught_up(lagging: EmbeddedReplica) -> None:
    tier = tier_of(lagging.url(), lag_max_s=LIMIT_S, when_lagging=WhenLagging.REFUSE)
    async with sets() as replicas:
        await refused_for_lag(replicas, tier)
        patient = replace(tier, name="patient", when_lagging=WhenLagging.WAIT)
        waiting = asyncio.create_task(ways_of(replicas, patient))
        await eventually(lambda: _seen_behind(replicas, patient), "the wait has begun")
        assert not waiting.done()
        lagging.resume_replay()
        [way] = await waiting
    assert way.url.port == lagging.port


def _seen_behind(replicas: ReplicaSets, tier: Tier) -> bool:
    [server] = replicas.standing(target_of(tier), tier)
    return server.state == "replica" and not server.good


async def test_nobody_waits_longer_than_clients_do(
    lagging: EmbeddedReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdpoint.model.limits.REPLICA_WAIT_S", 0.3)
    tier = tier_of(lagging.url(), lag_max_s=0.1, when_lagging=WhenLagging.WAIT)
    async with sets() as replicas:
        words = await refused_for_lag(replicas, tier)
    assert "its replay is paused" in words


async def test_the_one_that_is_up_to_date_is_chosen(
    replicated: Replicated, lagging: EmbeddedReplica
) -> None:
    tier = tier_of(
        lagging.url(),
        replicated.replica.url(),
        lag_max_s=LIMIT_S,
        when_lagging=WhenLagging.REFUSE,
    )
    async with sets() as replicas:

        async def only_one() -> bool:
            return ports(await ways_of(replicas, tier)) == [replicated.replica.port]

        assert await eventually(only_one, "the other falls behind")


async def test_open_sessions_hear_of_lag_and_of_its_end(lagging: EmbeddedReplica) -> None:
    lagging.resume_replay()
    lagging.wait_caught_up()
    tier = tier_of(lagging.url(), lag_max_s=LIMIT_S, when_lagging=WhenLagging.REFUSE)
    async with sets() as replicas:
        [way] = await ways_of(replicas, tier)
        way.opened()
        assert way.objection() is None
        lagging.pause_replay()
        commit(lagging.primary)
        objection = await eventually(way.objection, "it falls behind")
        assert (objection.final, objection.wait_s) == (False, 0.0)
        assert "its replay is paused" in objection.finding.message
        lagging.resume_replay()
        await eventually(lambda: way.objection() is None, "it catches up")
        way.closed()


async def test_a_lag_that_nobody_can_tell_is_too_large(replicated: Replicated) -> None:
    """The server goes away from under a session: what is not known is over every limit."""
    with EmbeddedReplica(replicated.primary) as replica:
        tier = tier_of(replica.url(), lag_max_s=600.0, when_lagging=WhenLagging.REFUSE)
        async with sets() as replicas:
            [way] = await ways_of(replicas, tier)
            way.opened()
            replica.stop()
            objection = await eventually(way.objection, "it is down")
            way.closed()
        assert "nobody knows how much" in objection.finding.message


async def test_a_promoted_server_ends_its_sessions_and_probes_move_on(
    replicated: Replicated,
) -> None:
    with EmbeddedReplica(replicated.primary) as doomed:
        tier = tier_of(doomed.url(), replicated.replica.url())
        target = target_of(tier)
        async with sets() as replicas:
            await eventually(lambda: _all_good(replicas, tier, 2), "both are seen")
            ways = {way.url.port: way for way in await ways_of(replicas, tier)}
            ways[replicated.replica.port].opened()  # so that the other is the better one
            for _ in range(3):
                assert replicas.url_now(target, tier).port == doomed.port
            ways[doomed.port].opened()
            ways[doomed.port].opened()
            assert replicas.url_now(target, tier).port == doomed.port, "it stays with one"
            doomed.promote()
            objection = await eventually(ways[doomed.port].objection, "it is seen")
            assert objection.final
            assert objection.finding.message.endswith("is no replica any more")
            assert ports(await ways_of(replicas, tier)) == [replicated.replica.port]
            assert replicas.url_now(target, tier).port == replicated.replica.port
            for way in ways.values():
                way.closed()


async def test_a_tier_with_a_limit_is_compared_with_the_primary_of_its_target(
    replicated: Replicated,
) -> None:
    tier = tier_of(replicated.replica.url(), lag_max_s=60.0)
    write = Tier(name="write", access=AccessLevel.READ_WRITE, url_source=replicated.primary.url())
    target = Target(name="shop", tiers=(tier, write))
    assert primary_of(target, tier) is write
    async with sets() as replicas:
        await replicas.ways(target, tier, LOGIN)
        [server] = replicas._of(target, tier)._servers

        def seen() -> bool:
            log = server.watched.sight.log
            return server.watched._primary_of(log) is not None

        assert await eventually(seen, "both are seen")


def test_a_sandbox_has_no_primary_of_production() -> None:
    tier = tier_of("a")
    sandbox = replace(tier, name="sandbox", access=AccessLevel.OWNER, replica=None)
    other = replace(sandbox, environment="sandbox")
    assert primary_of(Target(name="shop", tiers=(tier, other)), tier) is None
    assert primary_of(Target(name="shop", tiers=(tier, sandbox)), tier) is sandbox
    reads = replace(tier, name="reads", replica=False)
    assert primary_of(Target(name="shop", tiers=(tier, sandbox, reads)), tier) is reads
    assert primary_of(Target(name="shop", tiers=(tier,)), tier) is None


# --- probes and catalogs ------------------------------------------------------------------------


async def test_probes_never_ask_a_primary_instead(replicated: Replicated) -> None:
    tier = tier_of(replicated.primary.url())
    async with sets() as replicas:
        await refusal(replicas, tier)
        with pytest.raises(ConnectionError, match="is not a replica"):
            replicas.url_now(target_of(tier), tier)


async def test_another_role_may_do_the_looking(replicated: Replicated, least: str) -> None:
    """So that the role of agents needs no more rights than before."""
    asked: list[str] = []

    def look_url_of(tier: Tier, source: str) -> UpstreamUrl:
        asked.append(source)
        return parse_url(replicated.replica.url())

    replicas = ReplicaSets(lambda tier, source: parse_url(source), look_url_of)
    try:
        [way] = await ways_of(replicas, tier_of(least))
    finally:
        await replicas.close()
    assert way.url.user == "replica_least"
    assert asked == [least]


async def test_a_database_of_its_own_is_told_apart(replicated: Replicated) -> None:
    """The same server, another database: a place is host, port and database."""
    with fresh_database(replicated.primary) as name:
        replicated.replica.wait_caught_up()
        tier = tier_of(replicated.replica.url(database=name))
        async with sets() as replicas:
            [way] = await ways_of(replicas, tier)
            assert way.url.dbname == name
            [server] = replicas.standing(target_of(tier), tier)
            assert server.place.endswith(f"/{name}")


async def test_catalogs_and_probes_follow_to_another_server(
    replicated: Replicated, postgres16: EmbeddedPostgres
) -> None:
    """A server that is lost may still answer who is connected to it: they must leave."""
    here = {"source": "first"}
    urls = {"first": replicated.primary.url(), "second": postgres16.url()}
    versions = {"first": 18, "second": 16}

    def url_of() -> UpstreamUrl:
        return parse_url(urls[here["source"]])

    keeper = CatalogKeeper(url_of, source_of=lambda: here["source"])
    prober = DatabaseProber(url_of, source_of=lambda: here["source"])
    try:
        for source in ("first", "second"):
            here["source"] = source
            await keeper.get(time.monotonic())
            async with prober._connection(SessionView()) as connection:
                assert connection.info.server_version // 10_000 == versions[source]
            assert keeper._connection is not None
            assert keeper._connection.info.server_version // 10_000 == versions[source]
    finally:
        await keeper.close()
        await prober.close()
