"""The keeper at a real server: fresh pictures, none that may be stale, one look for many."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import psycopg
import pytest

from holdpoint.config import parse_url
from holdpoint.embedded import EmbeddedPostgres
from holdpoint.engine import catalog_keeper
from holdpoint.engine.catalog_keeper import CatalogKeeper
from holdpoint.engine.catalogs import CatalogUnavailable
from holdpoint.model import limits
from holdpoint.sql.names import Catalog
from support.servers import fresh_database

pytestmark = pytest.mark.anyio

WAIT_S = 60.0  # for what happens at once on a quiet machine
NEVER_S = 3600.0  # no check of itself within a test
SCRIPT = "CREATE TABLE orders (id int PRIMARY KEY)"


class Clock:
    """A clock that goes only when it is turned."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Looks:
    """Counts how often a keeper looked at a catalog, and how often it read one whole."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.marks = 0
        self.reads = 0
        self.gate = asyncio.Event()  # no read ends before it is set
        self.gate.set()
        read_mark, read_catalog = catalog_keeper.read_mark, catalog_keeper.read_catalog

        async def counted_mark(connection: psycopg.AsyncConnection[object]) -> str:
            self.marks += 1
            return await read_mark(connection)

        async def counted_read(connection: psycopg.AsyncConnection[object]) -> object:
            self.reads += 1
            rows = await read_catalog(connection)
            await self.gate.wait()
            return rows

        monkeypatch.setattr(catalog_keeper, "read_mark", counted_mark)
        monkeypatch.setattr(catalog_keeper, "read_catalog", counted_read)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    return Looks(monkeypatch)


@pytest.fixture
def url(postgres18: EmbeddedPostgres) -> Iterator[str]:
    with fresh_database(postgres18, SCRIPT) as name:
        yield postgres18.url(database=name)


@asynccontextmanager
async def keeping(
    url: str, clock: Callable[[], float] | None = None, check_s: float = NEVER_S
) -> AsyncIterator[CatalogKeeper]:
    keeper = CatalogKeeper(lambda: parse_url(url), clock=clock or Clock(), check_s=check_s)
    try:
        yield keeper
    finally:
        await keeper.close()


def run(url: str, text: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(text.encode())


def tables(catalog: Catalog) -> list[str]:
    return sorted(each.name for each in catalog.rows.relations)


async def test_there_is_no_picture_before_one_is_asked_for(url: str) -> None:
    async with keeping(url) as keeper:
        assert keeper.current is None
        catalog = await keeper.get(timeout_s=WAIT_S)
        assert tables(catalog) == ["orders"]
        assert keeper.current is catalog
        assert await keeper.get() is catalog


async def test_all_who_ask_at_once_share_one_look(url: str, looks: Looks) -> None:
    async with keeping(url) as keeper:
        catalogs = await asyncio.gather(*(keeper.get(timeout_s=WAIT_S) for _ in range(20)))
        assert len({id(each) for each in catalogs}) == 1
        assert looks.reads == 1


async def test_one_who_gives_up_does_not_spoil_it_for_the_others(url: str, looks: Looks) -> None:
    looks.gate.clear()
    async with keeping(url) as keeper:
        impatient = asyncio.create_task(keeper.get(timeout_s=WAIT_S))
        patient = asyncio.create_task(keeper.get(timeout_s=WAIT_S))
        await until(lambda: looks.reads == 1)
        impatient.cancel()
        await asyncio.wait((impatient,))
        looks.gate.set()
        assert tables(await patient) == ["orders"]
        assert looks.reads == 1


async def test_after_ddl_there_is_none_until_it_was_looked_at_again(url: str) -> None:
    async with keeping(url) as keeper:
        before = await keeper.get(timeout_s=WAIT_S)
        run(url, "CREATE TABLE lines (id int)")
        keeper.invalidate()
        assert keeper.current is None
        after = await keeper.get(timeout_s=WAIT_S)
        assert (tables(before), tables(after)) == (["orders"], ["lines", "orders"])
        assert keeper.current is after


async def test_an_invalidation_that_changed_nothing_costs_one_mark(url: str, looks: Looks) -> None:
    async with keeping(url) as keeper:
        before = await keeper.get(timeout_s=WAIT_S)
        keeper.invalidate()
        assert await keeper.get(timeout_s=WAIT_S) is before
        assert (looks.reads, looks.marks) == (1, 1)


async def test_ddl_during_a_look_makes_another_one(url: str, looks: Looks) -> None:
    looks.gate.clear()
    async with keeping(url) as keeper:
        asking = asyncio.create_task(keeper.get(timeout_s=WAIT_S))
        await until(lambda: looks.reads == 1)
        run(url, "CREATE TABLE lines (id int)")
        keeper.invalidate()
        looks.gate.set()
        assert tables(await asking) == ["lines", "orders"]


async def test_a_picture_as_fresh_as_asked_for(url: str, looks: Looks) -> None:
    clock = Clock()
    async with keeping(url, clock) as keeper:
        await keeper.get(timeout_s=WAIT_S)
        began = clock.now
        clock.now += 1
        run(url, "CREATE TABLE lines (id int)")
        assert tables(await keeper.get(not_before=began)) == ["orders"]
        assert tables(await keeper.get(clock.now, timeout_s=WAIT_S)) == ["lines", "orders"]
        assert looks.reads == 2


async def test_a_picture_not_checked_for_long_is_not_given_out(url: str, looks: Looks) -> None:
    clock = Clock()
    async with keeping(url, clock) as keeper:
        catalog = await keeper.get(timeout_s=WAIT_S)
        clock.now += limits.CATALOG_AGE_MAX_S
        assert keeper.current is catalog
        clock.now += 1
        assert keeper.current is None
        assert await keeper.get(timeout_s=WAIT_S) is catalog, "its mark still holds"
        assert keeper.current is catalog
        assert looks.reads == 1


async def test_figures_that_no_mark_covers_are_read_anew(url: str, looks: Looks) -> None:
    clock = Clock()
    async with keeping(url, clock) as keeper:
        first = await keeper.get(timeout_s=WAIT_S)
        run(url, "INSERT INTO orders SELECT generate_series(1, 100); ANALYZE orders")
        clock.now += limits.CATALOG_WHOLE_S + 1
        second = await keeper.get(timeout_s=WAIT_S)
        assert first.rows.mark == second.rows.mark
        assert [each.rows.relations[0].rows for each in (first, second)] == [-1, 100]


async def test_changes_from_elsewhere_are_seen_by_themselves_and_told(url: str) -> None:
    seen: list[Catalog] = []
    async with keeping(url, check_s=0.02) as keeper:
        keeper.subscribe(seen.append)
        await keeper.get(timeout_s=WAIT_S)
        run(url, "CREATE TABLE lines (id int)")
        await until(lambda: len(seen) == 2)
        assert keeper.current is seen[-1]
        assert [tables(each) for each in seen] == [["orders"], ["lines", "orders"]]


async def test_a_path_that_new_sessions_get_is_seen(postgres18: EmbeddedPostgres) -> None:
    with fresh_database(postgres18, "CREATE SCHEMA other") as name:
        url = postgres18.url(database=name)
        async with keeping(url) as keeper:
            before = await keeper.get(timeout_s=WAIT_S)
            run(url, f"ALTER DATABASE {name} SET search_path = other, public")
            keeper.invalidate()
            after = await keeper.get(timeout_s=WAIT_S)
    assert before.rows.search_path == ("pg_catalog", "public")
    assert after.rows.search_path == ("pg_catalog", "other", "public")


async def test_checks_end_when_nobody_asks_and_start_again(url: str, looks: Looks) -> None:
    clock = Clock()
    async with keeping(url, clock, check_s=0.01) as keeper:
        await keeper.get(timeout_s=WAIT_S)
        await until(lambda: looks.marks > 0)
        clock.now += limits.CATALOG_IDLE_S + 1
        await until(lambda: connections(url) == 0)
        clock.now += limits.CATALOG_AGE_MAX_S + 1
        assert keeper.current is None
        assert tables(await keeper.get(timeout_s=WAIT_S)) == ["orders"]


async def test_a_connection_that_was_cut_is_replaced(url: str, looks: Looks) -> None:
    async with keeping(url) as keeper:
        catalog = await keeper.get(timeout_s=WAIT_S)
        run(
            url,
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity "
            "WHERE application_name = 'holdpoint catalog'",
        )
        keeper.invalidate()
        assert tables(await keeper.get(timeout_s=WAIT_S)) == tables(catalog)


async def test_a_server_that_is_gone_gives_no_picture_and_says_why() -> None:
    clock = Clock()
    with EmbeddedPostgres(durable=False) as server:
        url = server.url()
        keeper = CatalogKeeper(lambda: parse_url(url), clock=clock, check_s=NEVER_S)
        await keeper.get(timeout_s=WAIT_S)
    keeper.invalidate()
    with pytest.raises(CatalogUnavailable, match=r"the catalog of `127.0.0.1:\d+/postgres` cannot"):
        await keeper.get(timeout_s=WAIT_S)
    assert keeper.current is None
    await keeper.close()


async def test_after_a_failure_the_next_try_is_a_little_later(
    url: str, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(limits, "CATALOG_ENTRIES_MAX", 0)
    async with keeping(url, clock) as keeper:
        for _ in range(5):
            with pytest.raises(CatalogUnavailable, match="entries"):
                await keeper.get(timeout_s=WAIT_S)
        assert looks.reads == 1
        monkeypatch.undo()
        clock.now += limits.CATALOG_RETRY_S
        assert tables(await keeper.get(timeout_s=WAIT_S)) == ["orders"]


async def test_who_cannot_wait_is_told_so(url: str, looks: Looks) -> None:
    looks.gate.clear()
    async with keeping(url) as keeper:
        with pytest.raises(CatalogUnavailable, match=r"was not read within 0\.01 s"):
            await keeper.get(timeout_s=0.01)
        looks.gate.set()
        assert tables(await keeper.get(timeout_s=WAIT_S)) == ["orders"]


async def test_who_waits_at_the_end_is_told_so(url: str, looks: Looks) -> None:
    looks.gate.clear()
    keeper = CatalogKeeper(lambda: parse_url(url), clock=Clock(), check_s=NEVER_S)
    waiting = asyncio.create_task(keeper.get(timeout_s=WAIT_S))
    await until(lambda: looks.reads == 1)
    await keeper.close()
    with pytest.raises(CatalogUnavailable, match="shutting down"):
        await waiting
    assert keeper.current is None


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not happened():
            await asyncio.sleep(0.01)


def connections(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'holdpoint catalog' "
            "AND datname = current_database()"
        ).fetchone()
    assert row is not None
    return int(row[0])
