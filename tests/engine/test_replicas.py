"""Looking at real servers, and which of them a session gets."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from holdpoint.config.urls import parse_url
from holdpoint.embedded import EmbeddedPostgres, EmbeddedReplica
from holdpoint.engine.replicas import ReplicaSets
from holdpoint.engine.replicas_watch import Kind, Sight, Watched
from holdpoint.engine.upstreams import NoWay, Way
from holdpoint.model.target import AccessLevel, Target, Tier, WhenLagging
from holdpoint.model.task import Login
from holdpoint.model.upstream import UpstreamUrl
from support.proxy import TcpProxy
from support.servers import Replicated, fresh_database

pytestmark = pytest.mark.anyio

LOGIN = Login(name="claude", agent="claude", scram_verifier="")
DEADLINE_S = 20.0


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look more often than in earnest, so that nobody has to wait."""
    monkeypatch.setattr("holdpoint.model.limits.REPLICA_LOOK_S", 0.1)
    monkeypatch.setattr("holdpoint.model.limits.REPLICA_LOOK_MIN_S", 0.05)


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


# --- looking ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def least(replicated: Replicated) -> Iterator[str]:
    """A role that may nothing but connect: of the walreceiver it sees the pid."""
    with psycopg.connect(replicated.primary.url(), autocommit=True) as connection:
        connection.execute("CREATE ROLE replica_least LOGIN PASSWORD 'pw'")
    replicated.replica.wait_caught_up()
    yield replicated.replica.url("replica_least", "pw")
    with psycopg.connect(replicated.primary.url(), autocommit=True) as connection:
        connection.execute("DROP ROLE replica_least")


@pytest.fixture(params=["superuser", "least"])
def seen_by(request: pytest.FixtureRequest, replicated: Replicated) -> str:
    if request.param == "superuser":
        return replicated.replica.url()
    url: str = request.getfixturevalue("least")
    return url


async def test_paused_a_replica_falls_behind_with_the_next_commit_only(
    replicated: Replicated, seen_by: str
) -> None:
    replica = replicated.replica
    replica.wait_caught_up()
    async with watched(seen_by) as server:
        assert await eventually(lambda: _is_zero(server), "it is up to date")
        replica.pause_replay()
        try:
            assert await lag_s(server) == 0.0
            commit(replicated.primary)
            await eventually(lambda: _is_behind(server), "it falls behind")
        finally:
            replica.resume_replay()
        assert await eventually(lambda: _is_zero(server), "it catches up")


async def _is_zero(server: Watched) -> bool:
    return await lag_s(server) == 0.0


async def _is_behind(server: Watched) -> bool:
    lag = (await server.look()).lag
    assert lag is not None
    return bool(lag.seconds) and lag.why == "its replay is paused"


async def test_without_its_primary_a_replica_receives_nothing() -> None:
    with EmbeddedPostgres(16, durable=False) as primary, EmbeddedReplica(primary) as replica:
        async with watched(replica.url()) as server:
            assert await eventually(lambda: _is_zero(server), "it is up to date")
            primary.stop()

            async def cut_off() -> bool:
                lag = (await server.look()).lag
                return lag is not None and lag.why == "it receives nothing from its primary"

            assert await eventually(cut_off, "the walreceiver ends")
            assert (await lag_s(server) or 0) > 0


async def test_a_primary_is_a_primary(replicated: Replicated) -> None:
    async with watched(replicated.primary.url()) as server:
        assert await server.look() == Sight(kind=Kind.PRIMARY)


async def test_a_promoted_replica_is_a_primary_at_the_next_look(replicated: Replicated) -> None:
    with EmbeddedReplica(replicated.primary) as replica:
        async with watched(replica.url()) as server:
            assert (await server.look()).kind is Kind.REPLICA
            replica.promote()
            assert (await server.look()).kind is Kind.PRIMARY


@pytest.mark.parametrize("state", ["gone", "silent", "no password"])
async def test_a_server_that_cannot_be_asked_is_down(
    replicated: Replicated, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdpoint.model.limits.REPLICA_ANSWER_S", 0.5)
    with TcpProxy(replicated.replica.port) as proxy:
        url = parse_url(replicated.replica.url())
        through = replace(url, port=proxy.port)
        if state == "no password":
            through = replace(through, password="wrong")
        server = Watched(lambda: through, lambda: None)
        if state == "gone":
            proxy.refuse()
        if state == "silent":
            assert (await server.look()).kind is Kind.REPLICA
            proxy.stall()
        sight = await server.look()
        proxy.resume()
        await server.close()
    assert sight.kind is Kind.DOWN
    assert sight.problem
    assert url.password not in sight.problem


async def test_looking_goes_on_while_sessions_are_there_and_ends_when_nobody_comes(
    replicated: Replicated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdpoint.model.limits.REPLICA_IDLE_S", 0.0)
    looks: list[int] = []
    url = parse_url(replicated.replica.url())
    server = Watched(lambda: url, lambda: looks.append(1), every_s=0.01)
    server.sessions = 1
    server.use()
    await eventually(lambda: len(looks) > 5, "looks while a session is open")
    server.sessions = 0
    await eventually(lambda: server._task is not None and server._task.done(), "the end")
    assert server._connection is None
    server.use()
    seen = len(looks)
    await eventually(lambda: len(looks) > seen, "another look")
    await server.close()


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


async def test_a_promoted_server_ends_its_sessions(replicated: Replicated) -> None:
    with EmbeddedReplica(replicated.primary) as replica:
        tier = tier_of(replica.url())
        async with sets() as replicas:
            [way] = await ways_of(replicas, tier)
            way.opened()
            replica.promote()
            objection = await eventually(way.objection, "it is seen")
            assert objection.final
            assert objection.finding.message.endswith("is no replica any more")
            assert "is not a replica" in await refusal(replicas, tier)
            way.closed()


# --- probes and catalogs ------------------------------------------------------------------------


async def test_probes_stay_with_one_server_and_move_when_it_is_lost(
    replicated: Replicated,
) -> None:
    primary = replicated.primary
    with EmbeddedReplica(primary) as one, EmbeddedReplica(primary) as other:
        tier = tier_of(one.url(), other.url())
        target = target_of(tier)
        async with sets() as replicas:
            await eventually(lambda: _all_good(replicas, tier, 2), "both are seen")
            [used] = {replicas.url_now(target, tier).port for _ in range(5)}
            lost, kept = (one, other) if used == one.port else (other, one)
            lost.promote()
            await eventually(lambda: replicas.url_now(target, tier).port == kept.port, "it moves")


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
