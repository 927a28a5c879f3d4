"""Looking at real servers: what they are, and how far behind."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import psycopg
import pytest
from replica_support import commit, eventually, lag_s, watched

from holdpoint.config.urls import parse_url
from holdpoint.embedded import EmbeddedPostgres, EmbeddedReplica
from holdpoint.engine.replicas_lag import Lag
from holdpoint.engine.replicas_watch import Kind, Sight, Watched
from support.proxy import TcpProxy
from support.servers import Replicated

UP_TO_DATE = Lag(seconds=0.0)

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("often")]


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


@pytest.mark.parametrize("state", ["gone", "silent", "no password"])
async def test_a_server_that_cannot_be_asked_is_down(
    replicated: Replicated, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
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
            monkeypatch.setattr("holdpoint.model.limits.REPLICA_ANSWER_S", 0.2)
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


# --- comparing with the primary -----------------------------------------------------------------


@asynccontextmanager
async def compared(url: str, primary: str) -> AsyncIterator[tuple[Watched, Watched]]:
    """A server and what may be its primary."""
    other = Watched(lambda: parse_url(primary), lambda: None)
    server = Watched(lambda: parse_url(url), lambda: None, primary=other)
    try:
        yield server, other
    finally:
        await server.close()
        await other.close()


async def test_one_look_is_enough_beside_the_primary(replicated: Replicated, least: str) -> None:
    """Neither a second look nor the details of the walreceiver are needed."""
    replicated.replica.wait_caught_up()
    async with compared(least, replicated.primary.url()) as (server, primary):
        assert (await primary.look()).kind is Kind.PRIMARY
        sight = await server.look()
        assert primary.sight.log is not None
        assert sight.log is not None
        assert sight.log.is_of(primary.sight.log)
        assert sight.lag == UP_TO_DATE
        replicated.replica.pause_replay()
        try:
            commit(replicated.primary)
            await primary.look()
            assert (await server.look()).lag != UP_TO_DATE
        finally:
            replicated.replica.resume_replay()


async def test_another_cluster_is_not_taken_for_its_primary(
    replicated: Replicated, postgres16: EmbeddedPostgres
) -> None:
    async with compared(replicated.replica.url(), postgres16.url()) as (server, other):
        await other.look()
        sight = await server.look()
        assert other.sight.log is not None
        assert sight.log is not None
        assert not sight.log.is_of(other.sight.log)
        assert server._primary_of(sight.log) is None


async def test_a_service_that_hides_its_log_tells_what_it_is_all_the_same(
    replicated: Replicated, least: str
) -> None:
    """Some managed services have no such functions; the lag is unknown then, and not 0."""
    function = "FUNCTION pg_last_wal_replay_lsn()"
    with psycopg.connect(replicated.primary.url(), autocommit=True) as connection:
        connection.execute(f"REVOKE EXECUTE ON {function} FROM PUBLIC".encode())
        try:
            replicated.replica.wait_caught_up()
            async with watched(least) as server:
                sight = await server.look()
        finally:
            connection.execute(f"GRANT EXECUTE ON {function} TO PUBLIC".encode())
    assert sight.kind is Kind.REPLICA
    assert sight.lag is not None
    assert sight.lag.seconds is None
    assert sight.lag.why.startswith("the server does not tell: permission denied for function")
