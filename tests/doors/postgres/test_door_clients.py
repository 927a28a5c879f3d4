"""Real clients through the gate, before PostgreSQL 18 and 16: what they send passes."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest
import sqlalchemy as sa
from door_support import Gate
from psycopg import sql
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from wire_client import B, C, D, E, H, P, S, run

from holdpoint.embedded import clients

SCHEMA = """
DROP SCHEMA IF EXISTS shop CASCADE;
CREATE SCHEMA shop;
CREATE TYPE shop.state AS ENUM ('new', 'paid');
CREATE TABLE shop.customers (
    id serial PRIMARY KEY, name text NOT NULL, joined timestamptz DEFAULT now()
);
CREATE TABLE shop.orders (
    id bigserial PRIMARY KEY, customer int REFERENCES shop.customers, state shop.state, tags text[],
    CHECK (id > 0)
);
CREATE INDEX ON shop.orders (customer);
CREATE VIEW shop.paid AS SELECT * FROM shop.orders WHERE state = 'paid';
CREATE FUNCTION shop.twice(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n * 2';
COMMENT ON TABLE shop.orders IS 'what customers want';
INSERT INTO shop.customers (name) SELECT 'c' || g FROM generate_series(1, 50) AS g;
INSERT INTO shop.orders (customer, state, tags)
    SELECT g, 'new', '{a,b}' FROM generate_series(1, 50) AS g;
"""


@pytest.fixture
def shop(each_gate: Gate) -> Iterator[Gate]:
    """A gate before a small schema with a bit of everything."""
    with psycopg.connect(each_gate.direct, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
    yield each_gate
    with psycopg.connect(each_gate.direct, autocommit=True) as connection:
        connection.execute("DROP SCHEMA shop CASCADE")


def program(
    gate: Gate, name: str, *words: str, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a client program of PostgreSQL 18, which talks to both versions."""
    return subprocess.run(
        [clients(18) / name, *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        env={
            "PATH": os.environ["PATH"],
            "LC_ALL": "C",
            "PSQLRC": "/dev/null",
            "HOME": "/nonexistent",
        },
    )


# --- psql -----------------------------------------------------------------------------------------


def test_psql_commands(shop: Gate) -> None:
    def psql(*words: str) -> subprocess.CompletedProcess[str]:
        return program(shop, "psql", "-X", shop.url(), *words)

    assert psql("-Atc", "SELECT count(*) FROM shop.orders").stdout == "50\n"
    for command in (
        r"\d", r"\d shop.orders", r"\d+ shop.paid", r"\dt shop.*", r"\dn+", r"\df shop.*", r"\l",
        r"\du", r"\dp shop.orders", r"\di shop.*", r"\dT+ shop.*", r"\dx", r"\db", r"\ds shop.*",
        r"\dd", r"\dv shop.*", r"\conninfo", r"\encoding", r"\sf shop.twice", r"\dconfig work_mem",
    ):  # fmt: skip
        done = psql("-c", command)
        assert (done.returncode, done.stderr) == (0, ""), command
    assert "customers" in psql("-c", r"\d shop.orders").stdout
    failed = psql("-c", "SELECT nothing")
    assert failed.returncode == 1
    assert 'ERROR:  column "nothing" does not exist' in failed.stderr
    assert "LINE 1: SELECT nothing" in failed.stderr


def test_a_psql_script(shop: Gate, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    script = rf"""
\set ON_ERROR_STOP off
\timing off
BEGIN;
SELECT name FROM shop.customers WHERE id = 1;
DELETE FROM shop.customers WHERE id = 1;
ROLLBACK;
PREPARE p AS SELECT name FROM shop.customers WHERE id = $1;
EXECUTE p(2);
\copy (SELECT id, name FROM shop.customers ORDER BY id LIMIT 2) TO '{file}' CSV
SELECT $1 || 'x' \bind 'bound' \g
SELECT generate_series(1, 5) \gset many_
\set FETCH_COUNT 2
SELECT id FROM shop.customers ORDER BY id LIMIT 3;
SELECT 'last';
"""
    done = program(shop, "psql", "-XqAt", shop.url(), stdin=script)
    assert done.stdout.splitlines() == ["c1", "c2", "boundx", "1", "2", "3", "last"]
    assert "refused" in done.stderr
    assert file.read_text() == "1,c1\n2,c2\n"


def test_psql_copies_in(shop: Gate) -> None:
    done = program(
        shop, "psql", "-X", shop.url("write"), "-c", r"\copy markers FROM STDIN", stdin="a\nb\n"
    )
    assert done.stdout == "COPY 2\n"


def test_psql_single_transaction_and_several_commands(shop: Gate) -> None:
    done = program(
        shop, "psql", "-XAt1", shop.url("write"), "-v", "ON_ERROR_STOP=1",
        "-c", "INSERT INTO markers VALUES ('one')",
        "-c", "SELECT count(*) FROM markers",
        "-c", "DROP TABLE markers",
    )  # fmt: skip
    assert done.returncode != 0
    assert "DROP TABLE" in done.stderr
    with shop.connect() as client:
        assert client.execute("SELECT count(*) FROM markers").fetchone() == (0,)


# --- pg_dump --------------------------------------------------------------------------------------


def restored(text: str) -> str:
    """A dump without the key that pg_dump draws for each run."""
    return "".join(
        line
        for line in text.splitlines(keepends=True)
        if not line.startswith(("\\restrict", "\\unrestrict"))
    )


@pytest.mark.parametrize("words", [["--schema-only"], [], ["--data-only", "--inserts"]])
def test_pg_dump_through_the_read_only_tier(shop: Gate, words: list[str]) -> None:
    def dump(url: str) -> str:
        done = program(shop, "pg_dump", *words, url)
        assert (done.returncode, done.stderr) == (0, "")
        return restored(done.stdout)

    through = dump(shop.url("replica"))
    assert through == dump(shop.direct)
    assert "shop" in through


# --- psycopg --------------------------------------------------------------------------------------


def test_psycopg(shop: Gate) -> None:
    with shop.connect("write", autocommit=False) as client:
        rows = client.execute("SELECT name FROM shop.customers WHERE id < %s", (3,)).fetchall()
        assert rows == [("c1",), ("c2",)]
        with client.cursor("server_side") as cursor:
            cursor.itersize = 7
            cursor.execute("SELECT id FROM shop.customers ORDER BY id")
            assert [row[0] for row in cursor] == list(range(1, 51))
        with client.cursor("scrolls", scrollable=True) as cursor:
            cursor.execute("SELECT id FROM shop.customers ORDER BY id")
            cursor.scroll(10)
            assert cursor.fetchone() == (11,)
        client.commit()
        for number in range(8):  # prepared from the fifth time on
            found = client.execute("SELECT %s::int + 1", (number,)).fetchone()
            assert found == (number + 1,)
        assert client.execute("SELECT %b::int8", (7,), binary=True).fetchone() == (7,)
        with client.transaction():
            client.execute("INSERT INTO markers VALUES (%s)", ("kept",))
            with pytest.raises(psycopg.errors.InsufficientPrivilege), client.transaction():
                client.execute("DROP TABLE markers")
        client.cursor().executemany("INSERT INTO markers VALUES (%s)", [("a",), ("b",)])
        client.commit()
        assert client.execute("SELECT count(*) FROM markers").fetchone() == (3,)
        with client.cursor().copy("COPY shop.customers TO STDOUT (FORMAT binary)") as copy:
            assert b"".join(copy).startswith(b"PGCOPY\n")
        client.commit()
        client.execute("DEALLOCATE ALL")
        client.execute(sql.SQL("SET application_name = {}").format("it's me"))
        client.rollback()


def pipelined(client: psycopg.Connection) -> None:
    with client.pipeline():
        client.execute("INSERT INTO markers VALUES ('undone')")
        client.execute("DROP TABLE markers")
        client.execute("SELECT 1")


def test_psycopg_pipeline(shop: Gate) -> None:
    with shop.connect("write") as client:
        with client.pipeline() as pipeline:
            cursors = [client.execute("SELECT %s::int", (n,), prepare=True) for n in range(20)]
            client.execute("INSERT INTO markers VALUES ('p')")
            pipeline.sync()
            assert [cursor.fetchone() for cursor in cursors] == [(n,) for n in range(20)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            pipelined(client)
        assert client.execute("SELECT count(*) FROM markers").fetchone() == (1,)


def test_psycopg_pipeline_waits_for_people(shop: Gate) -> None:
    with shop.connect("write") as client, shop.person(containing="DELETE"), client.pipeline():
        first = client.execute("SELECT 1")
        second = client.execute("DELETE FROM shop.orders")
        assert first.fetchone() == (1,)
        assert second.rowcount == 50


# --- asyncpg --------------------------------------------------------------------------------------


@asynccontextmanager
async def asyncpg_of(gate: Gate, tier: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(gate.url(tier), timeout=15)
    try:
        yield connection
    finally:
        await connection.close()


async def use_asyncpg(gate: Gate) -> None:
    async with asyncpg_of(gate, "write") as client:
        assert await client.fetchval("SELECT $1::int + 1", 41) == 42
        # An enum and an array: asyncpg asks the catalog about them with a query of its own.
        row = await client.fetchrow("SELECT state, tags FROM shop.orders WHERE id = $1", 1)
        assert tuple(row) == ("new", ["a", "b"])
        prepared = await client.prepare("SELECT name FROM shop.customers WHERE id = $1")
        await client.execute("SELECT 1; SELECT 2")
        assert await prepared.fetchval(7) == "c7"
        async with client.transaction():
            ids = [
                row["id"] async for row in client.cursor("SELECT id FROM shop.orders ORDER BY id")
            ]
            assert ids == list(range(1, 51))
            cursor = await client.cursor("SELECT id FROM shop.orders ORDER BY id")
            await cursor.forward(10)
            assert (await cursor.fetchrow())["id"] == 11
        await client.executemany("INSERT INTO markers VALUES ($1)", [("a",), ("b",), ("c",)])
        with pytest.raises(asyncpg.exceptions.InsufficientPrivilegeError, match="DROP TABLE"):
            await client.execute("DROP TABLE markers")
        assert await client.fetchval("SELECT count(*) FROM markers") == 3
        heard: asyncio.Queue[str] = asyncio.Queue()
        await client.add_listener("news", lambda *words: heard.put_nowait(words[-1]))
        with psycopg.connect(gate.direct, autocommit=True) as direct:
            direct.execute("NOTIFY news, 'hello'")
        assert await asyncio.wait_for(heard.get(), 15) == "hello"
        await client.remove_listener("news", print)
        await client.reset()


async def copy_with_asyncpg(gate: Gate, target: Path) -> None:
    async with asyncpg_of(gate, "write") as client:
        said = await client.copy_from_query(
            "SELECT id FROM shop.orders ORDER BY id LIMIT 3", output=str(target), format="csv"
        )
        assert said == "COPY 3"
        said = await client.copy_records_to_table("markers", records=[("x",), ("y",)])
        assert said == "COPY 2"


def test_asyncpg(shop: Gate, tmp_path: Path) -> None:
    asyncio.run(use_asyncpg(shop))
    target = tmp_path / "ids.csv"
    asyncio.run(copy_with_asyncpg(shop, target))
    assert target.read_text() == "1\n2\n3\n"


def test_an_asyncpg_pool(shop: Gate) -> None:
    async def use() -> None:
        async with asyncpg.create_pool(shop.url(), min_size=1, max_size=2) as pool:
            for number in range(6):  # each release sends a reset query
                assert await pool.fetchval("SELECT $1::int", number) == number

    asyncio.run(use())


# --- SQLAlchemy -----------------------------------------------------------------------------------


class Base(DeclarativeBase):
    """The tables that the mapper knows."""


class Customer(Base):
    """A row of `shop.customers`."""

    __tablename__ = "customers"
    __table_args__ = ({"schema": "shop"},)
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


@contextmanager
def engine_of(gate: Gate) -> Iterator[sa.Engine]:
    url = gate.url("write").replace("postgresql:", "postgresql+psycopg:")
    engine = sa.create_engine(url, pool_size=2)
    yield engine
    engine.dispose()


def test_sqlalchemy(shop: Gate) -> None:
    with engine_of(shop) as engine:
        inspector = sa.inspect(engine)
        assert set(inspector.get_table_names("shop")) == {"customers", "orders"}
        assert [key["referred_table"] for key in inspector.get_foreign_keys("orders", "shop")] == [
            "customers"
        ]
        assert [column["name"] for column in inspector.get_columns("orders", "shop")][:2] == [
            "id",
            "customer",
        ]
        reflected = sa.MetaData()
        reflected.reflect(engine, schema="shop", views=True)
        assert "shop.paid" in reflected.tables
        with Session(engine) as session:
            session.add_all([Customer(name="new 1"), Customer(name="new 2")])
            session.commit()
            found = session.scalars(sa.select(Customer).where(Customer.name.like("new %"))).all()
            assert len(found) == 2
            found[0].name = "renamed"
            session.commit()
            session.rollback()
        with engine.connect() as connection, pytest.raises(sa.exc.ProgrammingError, match="DROP"):
            connection.execute(sa.text("DROP TABLE shop.customers"))


def test_sqlalchemy_with_asyncpg(shop: Gate) -> None:
    async def use() -> None:
        url = shop.url("write").replace("postgresql:", "postgresql+asyncpg:")
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            names = await connection.run_sync(
                lambda plain: sa.inspect(plain).get_table_names("shop")
            )
            assert set(names) == {"customers", "orders"}
            await connection.execute(sa.insert(Customer).values(name="async"))
        async with engine.connect() as connection:
            count = await connection.scalar(
                sa.select(sa.func.count()).select_from(Customer).where(Customer.name == "async")
            )
            assert count == 1
        await engine.dispose()

    asyncio.run(use())


# --- JDBC -----------------------------------------------------------------------------------------


def test_a_flow_as_jdbc_sends_it(shop: Gate) -> None:
    """BEGIN by the extended protocol, statements named at the fifth use, results in pieces."""
    with shop.raw("write", DateStyle="ISO", extra_float_digits="2") as wire:
        assert wire.ask(P("SET application_name = 'PostgreSQL JDBC Driver'"), B(), E("", 1), S) == (
            "1 2 C:SET ZI"
        )
        begin = P("BEGIN", "S_1") + B("S_1") + E("", 0)
        select = "SELECT id FROM shop.orders WHERE customer > $1 ORDER BY id"
        answer = wire.ask(
            begin,
            P(select, "S_2", 23),
            B("S_2", "10", portal="C_3"),
            D("C_3", ord("P")),
            E("C_3", 3),
            S,
        )
        assert answer == "1 2 C:BEGIN 1 2 T D:11 D:12 D:13 s ZT"
        assert wire.ask(E("C_3", 3), S) == "D:14 D:15 D:16 s ZT"
        assert wire.ask(C("C_3", ord("P")), S) == "3 ZT"
        insert = "INSERT INTO markers VALUES ($1)"
        batch = P(insert, "S_4", 1043) + D("S_4")
        batch += b"".join(B("S_4", name) + E("", 1) for name in ("a", "b", "c"))
        assert wire.ask(batch, S) == "1 t n" + " 2 C:INSERT 0 1" * 3 + " ZT"
        assert wire.ask(B("S_1"), E("", 0), S).startswith("2 N:25001")
        assert wire.ask(P("COMMIT", "S_5"), B("S_5"), E("", 1), S) == "1 2 C:COMMIT ZI"
        assert wire.ask(C("S_2"), C("S_4"), run("SELECT count(*) FROM markers"), S) == (
            "3 3 1 2 D:3 C:SELECT 1 ZI"
        )
        wire.send(B("S_5"), E("", 1), H)
        assert wire.until("C")[-1] == "C:COMMIT"
