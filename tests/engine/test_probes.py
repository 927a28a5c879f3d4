"""Probes at a real database: figures as its planner has them, and no trace left behind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from holdpoint import sql
from holdpoint.config import parse_url
from holdpoint.embedded import EmbeddedPostgres
from holdpoint.engine.probes import DatabaseProber, Question, conninfo_of
from holdpoint.engine.probes_plans import rows_changed
from holdpoint.model.case import Parameter
from holdpoint.model.impact import Basis, Figure
from support.servers import fresh_database

pytestmark = pytest.mark.anyio

SCRIPT = """
CREATE TABLE orders (id int PRIMARY KEY, status text);
INSERT INTO orders SELECT g, 'new' FROM generate_series(1, 5000) AS g;
CREATE TABLE lines (id int, order_id int REFERENCES orders ON DELETE CASCADE);
CREATE TABLE measures (at date, value int) PARTITION BY RANGE (at);
CREATE TABLE measures_1 PARTITION OF measures FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
INSERT INTO measures SELECT '2026-01-05', g FROM generate_series(1, 2000) AS g;
CREATE SCHEMA "Odd ""one";
CREATE TABLE "Odd ""one"."Tä.ble" (a int);
INSERT INTO "Odd ""one"."Tä.ble" SELECT generate_series(1, 300);
CREATE TABLE calls (n int);
CREATE FUNCTION noisy() RETURNS int LANGUAGE plpgsql IMMUTABLE AS
    $$BEGIN INSERT INTO calls VALUES (1); RETURN 1; END$$;
ANALYZE;
CREATE TABLE never_analysed (a int);
INSERT INTO never_analysed SELECT generate_series(1, 1000);
"""


@pytest.fixture(scope="module")
def url(postgres18: EmbeddedPostgres) -> Iterator[str]:
    with fresh_database(postgres18, SCRIPT) as name:
        yield postgres18.url(database=name)


@pytest.fixture
async def prober(url: str) -> AsyncIterator[DatabaseProber]:
    made = DatabaseProber(lambda: parse_url(url))
    yield made
    await made.close()


async def rows(
    prober: DatabaseProber, text: str, parameters: tuple[Parameter, ...] | None = None
) -> Figure:
    return await prober.rows(Question(reading=sql.read(text), parameters=parameters))


async def table_rows(prober: DatabaseProber, text: str) -> Figure:
    return await prober.table_rows(Question(reading=sql.read(text)))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("DELETE FROM orders", 5000),
        ("DELETE FROM orders WHERE id = 7", 1),
        ("UPDATE orders SET status = 'x'", 5000),
        ("INSERT INTO orders VALUES (0, 'x'), (-1, 'y')", 2),
        ("INSERT INTO lines SELECT id, id FROM orders", 5000),
        ("WITH gone AS (DELETE FROM orders RETURNING id) SELECT count(*) FROM gone", 5000),
        ("DELETE FROM orders; DELETE FROM orders", 10_000),
        ("SELECT 1; DELETE FROM orders WHERE id = 1; SELECT 2", 1),
        ("DELETE FROM measures", 2000),
        (
            "MERGE INTO orders AS o USING lines AS l ON o.id = l.id "
            "WHEN NOT MATCHED THEN INSERT VALUES (l.id, 'm')",
            1,
        ),
    ],
)
async def test_rows_as_the_planner_has_them(prober: DatabaseProber, text: str, wanted: int) -> None:
    figure = await rows(prober, text)
    assert figure.basis is Basis.ESTIMATE, figure
    assert figure.value is not None
    if "MERGE" in text:
        assert figure.value >= wanted
    else:
        assert figure.value == wanted


@pytest.mark.parametrize(
    "parameter",
    [
        Parameter(b"100"),
        Parameter(b"100", type_oid=23),
        Parameter(b"\0\0\0\x64", binary=True, type_oid=23),
        Parameter(b"\0\0\0\0\0\0\0\x64", binary=True, type_oid=20),
    ],
    ids=["text", "typed", "int4", "int8"],
)
async def test_parameters_are_those_of_the_agent(
    prober: DatabaseProber, parameter: Parameter
) -> None:
    figure = await rows(prober, "DELETE FROM orders WHERE id > $1", (parameter,))
    assert figure.basis is Basis.ESTIMATE
    assert figure.value is not None
    assert 4800 < figure.value < 4999


@pytest.mark.parametrize(
    ("text", "parameters", "why"),
    [
        ("DELETE FROM nothing", None, "does not exist"),
        ("DELETE FROM orders WHERE id = $1", (Parameter(b"x", type_oid=23),), "invalid input"),
        ("DELETE FROM orders WHERE id = $1", (Parameter(b"\1", binary=True),), "insufficient"),
        ("DELETE FROM orders WHERE id = noisy()", None, "more than change rows"),
        ("COPY orders FROM STDIN", None, "COPY cannot be explained"),
        ("TRUNCATE orders", None, "more than change rows"),
        (
            "DELETE FROM orders WHERE id = $1; DELETE FROM lines WHERE id = $1",
            (Parameter(b"1"),),
            "several statements",
        ),
    ],
)
async def test_what_cannot_be_told_is_unknown_and_never_few(
    prober: DatabaseProber, text: str, parameters: tuple[Parameter, ...] | None, why: str
) -> None:
    figure = await rows(prober, text, parameters)
    assert (figure.value, figure.basis) == (None, Basis.UNKNOWN)
    assert why in figure.why
    # And the next probe works as if nothing had been.
    assert (await rows(prober, "DELETE FROM orders")).value == 5000


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("ALTER TABLE orders ADD note text", 5000),
        ("CREATE INDEX ON orders (status)", 5000),
        ("CREATE TABLE brand_new (a int)", 0),
        ("ALTER TABLE missing ADD a int", 0),
        ("ALTER TABLE measures ADD b int", 2000),
        ('ALTER TABLE "Odd ""one"."Tä.ble" ADD b int', 300),
        ("ALTER TABLE public.orders ADD b int; ALTER TABLE lines ADD b int", 5000),
    ],
)
async def test_rows_of_the_largest_table_that_is_altered(
    prober: DatabaseProber, text: str, wanted: int
) -> None:
    assert await table_rows(prober, text) == Figure(wanted, Basis.ESTIMATE)


async def test_a_table_without_statistics_counts_by_its_size(prober: DatabaseProber) -> None:
    figure = await table_rows(prober, "ALTER TABLE never_analysed ADD b int")
    assert figure.value is not None
    assert 1000 <= figure.value <= 2000


async def test_probes_leave_nothing_behind_and_keep_one_connection(
    prober: DatabaseProber, url: str
) -> None:
    for _ in range(3):
        await rows(prober, "DELETE FROM orders")
        await table_rows(prober, "ALTER TABLE orders ADD x int")
    with psycopg.connect(url, autocommit=True) as watcher:
        assert watcher.execute("SELECT count(*) FROM orders").fetchone() == (5000,)
        assert watcher.execute("SELECT count(*) FROM calls").fetchone() == (0,)
        probes = watcher.execute(
            "SELECT pid, state FROM pg_stat_activity"
            " WHERE application_name = 'holdpoint probe' AND datname = current_database()"
        ).fetchall()
        assert [state for _, state in probes] == ["idle"]
        # A connection that was lost is made anew.
        watcher.execute("SELECT pg_terminate_backend(%s)", (probes[0][0],))
    assert (await rows(prober, "DELETE FROM orders")).value == 5000


async def test_a_probe_waits_for_no_lock(prober: DatabaseProber, url: str) -> None:
    with psycopg.connect(url) as holder:
        holder.execute("LOCK TABLE lines IN ACCESS EXCLUSIVE MODE")
        figure = await rows(prober, "DELETE FROM lines")
        assert figure.basis is Basis.UNKNOWN
        assert "lock timeout" in figure.why


async def test_a_database_that_is_not_there_is_an_unknown_figure() -> None:
    prober = DatabaseProber(lambda: parse_url("postgresql://u:secret@127.0.0.1:1/x"))
    figure = await rows(prober, "DELETE FROM orders")
    assert figure.basis is Basis.UNKNOWN
    assert "secret" not in figure.why


def test_a_plan_that_changes_nothing_counts_nothing() -> None:
    assert rows_changed([{"Plan": {"Node Type": "Result", "Plan Rows": 5}}]) == 0
    assert rows_changed([]) == 0


def test_a_connection_string_for_drivers() -> None:
    url = parse_url("postgresql://u:p%20w@db.example:5433/shop?sslmode=verify-full")
    words = conninfo_of(url)
    for word in ("host=db.example", "port=5433", "user=u", "password='p w'", "dbname=shop"):
        assert word in words
    assert "sslmode=verify-full" in words
