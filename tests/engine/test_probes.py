"""Figures from a real database, and proof that asking changes nothing."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest

from holdpoint import sql
from holdpoint.embedded import EmbeddedPostgres
from holdpoint.engine.probes import DatabaseProber, rows_changed
from holdpoint.model.case import Basis, Figure, Parameter
from holdpoint.model.upstream import SslMode, UpstreamUrl
from support.servers import fresh_database

SCRIPT = """
CREATE TABLE orders (id int PRIMARY KEY, status text);
INSERT INTO orders SELECT n, 'new' FROM generate_series(1, 2000) AS n;
CREATE TABLE parts (id int) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (1000000);
INSERT INTO parts SELECT generate_series(1, 3000);
CREATE TABLE "Odd ""name" (id int);
ANALYZE;
"""

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def url(postgres: EmbeddedPostgres) -> Iterator[UpstreamUrl]:
    with fresh_database(postgres, SCRIPT) as name:
        parts = urlsplit(postgres.url(database=name))
        yield UpstreamUrl(
            host=parts.hostname or "",
            port=parts.port or 0,
            user=postgres.superuser,
            password=postgres.password,
            dbname=name,
            sslmode=SslMode.DISABLE,
        )


async def rows(url: UpstreamUrl, text: str, *values: Parameter) -> Figure:
    prober = DatabaseProber(lambda: url)
    try:
        return await prober.rows(sql.read(text), values or None)
    finally:
        await prober.close()


async def table_rows(url: UpstreamUrl, text: str) -> Figure:
    prober = DatabaseProber(lambda: url)
    try:
        return await prober.table_rows(sql.read(text))
    finally:
        await prober.close()


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("DELETE FROM orders", 2000),
        ("DELETE FROM orders WHERE id = 7", 1),
        ("UPDATE orders SET status = 'x' WHERE id <= 500", 500),
        ("INSERT INTO orders VALUES (9001, 'a'), (9002, 'b')", 2),
        ("WITH gone AS (DELETE FROM orders WHERE id = 1 RETURNING *) SELECT * FROM gone", 1),
        ("DELETE FROM orders WHERE id = 1; DELETE FROM orders WHERE id = 2", 2),
    ],
)
async def test_rows_are_what_the_planner_expects_to_change(
    url: UpstreamUrl, text: str, count: int
) -> None:
    figure = await rows(url, text)
    assert figure.basis is Basis.ESTIMATE
    assert figure.value == pytest.approx(count, rel=0.05)


@pytest.mark.parametrize(
    "value",
    [Parameter(b"500"), Parameter(b"\x00\x00\x01\xf4", True, 23), Parameter(b"\x01\xf4", True, 21)],
    ids=["text", "int4", "int2"],
)
async def test_bind_values_count_as_the_client_sent_them(
    url: UpstreamUrl, value: Parameter
) -> None:
    figure = await rows(url, "DELETE FROM orders WHERE id <= $1", value)
    assert figure.value == pytest.approx(500, rel=0.05)


@pytest.mark.parametrize(
    "text",
    [
        "DELETE FROM nosuch",
        "DELETE FROM orders WHERE id = nosuch(1)",
        "TRUNCATE orders",
        "DELETE FROM orders WHERE id = nextval('s')",
        "COPY orders FROM STDIN",
    ],
)
async def test_what_cannot_be_told_is_unknown_with_a_reason(url: UpstreamUrl, text: str) -> None:
    figure = await rows(url, text)
    assert figure.value is None
    assert figure.basis is Basis.UNKNOWN
    assert figure.why


async def test_a_database_that_is_not_there_is_unknown(url: UpstreamUrl) -> None:
    gone = UpstreamUrl(host=url.host, port=1, user="nobody", dbname="x")
    assert (await rows(gone, "DELETE FROM orders")).basis is Basis.UNKNOWN
    assert (await table_rows(gone, "ALTER TABLE orders ADD x int")).basis is Basis.UNKNOWN


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("ALTER TABLE orders ADD x int", 2000),
        ("ALTER TABLE parts ADD x int", 3000),
        ("CREATE TABLE brand_new (id int)", 0),
        ('ALTER TABLE "Odd ""name" ADD x int', 0),
    ],
)
async def test_table_rows_come_from_statistics_partitions_included(
    url: UpstreamUrl, text: str, count: int
) -> None:
    figure = await table_rows(url, text)
    assert (figure.value, figure.basis) == (count, Basis.ESTIMATE)


async def test_a_table_that_has_grown_since_counts_as_it_is_now(
    url: UpstreamUrl, postgres: EmbeddedPostgres
) -> None:
    with psycopg.connect(postgres.url(database=url.dbname), autocommit=True) as connection:
        connection.execute("CREATE TABLE grown AS SELECT generate_series(1, 5000) AS id")
        connection.execute("ANALYZE grown")
        connection.execute("INSERT INTO grown SELECT generate_series(1, 45000)")
    figure = await table_rows(url, "ALTER TABLE grown ADD x int")
    assert figure.value is not None
    # Not exact: a server from 16 on extends tables by more pages than it fills at once.
    assert 30_000 < figure.value < 70_000


async def test_a_table_never_analysed_counts_by_its_size(
    url: UpstreamUrl, postgres: EmbeddedPostgres
) -> None:
    with psycopg.connect(postgres.url(database=url.dbname), autocommit=True) as connection:
        connection.execute("CREATE TABLE fresh AS SELECT generate_series(1, 5000) AS id")
    figure = await table_rows(url, "ALTER TABLE fresh ADD x int")
    assert figure.value is not None
    assert figure.value >= 5000, "an upper bound, never less than is there"


async def test_asking_changes_nothing(url: UpstreamUrl, postgres: EmbeddedPostgres) -> None:
    before = snapshot(postgres, url)
    for text in ("DELETE FROM orders", "UPDATE orders SET status = 'x'"):
        await rows(url, text)
    assert snapshot(postgres, url) == before


def snapshot(postgres: EmbeddedPostgres, url: UpstreamUrl) -> object:
    with psycopg.connect(postgres.url(database=url.dbname)) as connection:
        return connection.execute("SELECT count(*), min(status) FROM orders").fetchone()


async def test_a_probe_after_the_server_has_dropped_its_connection_connects_anew(
    url: UpstreamUrl, postgres: EmbeddedPostgres
) -> None:
    prober = DatabaseProber(lambda: url)
    reading = sql.read("DELETE FROM orders")
    assert (await prober.rows(reading, None)).value == 2000
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'holdpoint probe'"
        )
    assert (await prober.rows(reading, None)).value == 2000
    await prober.close()


def test_only_what_goes_into_a_modify_node_counts() -> None:
    scan = {"Node Type": "Seq Scan", "Parent Relationship": "Outer", "Plan Rows": 40}
    inner = {"Node Type": "Seq Scan", "Parent Relationship": "InitPlan", "Plan Rows": 7}
    modify = {"Node Type": "ModifyTable", "Plan Rows": 0, "Plans": [scan, inner]}
    assert rows_changed([{"Plan": modify}]) == 40
    assert rows_changed([{"Plan": {"Node Type": "CTE Scan", "Plans": [modify]}}]) == 40
    assert rows_changed([{"Plan": scan}]) == 0
