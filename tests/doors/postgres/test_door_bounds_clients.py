"""The bound of rows with real clients, and with connections that break before the count."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import asyncpg
import psycopg
import pytest
from door_support import SECRET, TABLES, Gate, eventually, free_port
from test_door_bounds import CHANGE, FEW, LIES, MANY, _lies, changed
from test_door_clients import program
from test_door_protocol import cancel
from test_door_trail import own_gate, serve
from wire_client import Q, S, Wire, run

from holdpoint.embedded import EmbeddedPostgres
from support.proxy import TcpProxy
from support.servers import fresh_database

__all__ = ["_lies"]  # the fixture

# It waits until somebody gives the last row free; by then it has changed the others.
BLOCKED = "UPDATE lies SET status = 'x' WHERE id > 4200 /* {} */"


# --- clients --------------------------------------------------------------------------------------


def test_psql(each_gate: Gate) -> None:
    url = each_gate.url("write")
    over = CHANGE.format("psql")
    done = program(each_gate, "psql", "-X", url, "-c", over)
    assert done.returncode == 1
    assert "ERROR:  rolled back: UPDATE on `lies` changed 5,000 rows" in done.stderr
    assert "HINT:  nothing of it is left" in done.stderr
    done = program(each_gate, "psql", "-X", url, "-c", f"BEGIN; {over}; COMMIT")
    assert "one `-c` for each" in done.stderr
    script = f"BEGIN;\n{FEW.format('psql')};\n{over} ;\nCOMMIT;\n"
    done = program(each_gate, "psql", "-X", url, stdin=script)
    assert done.stdout.split() == ["BEGIN", "UPDATE", "3", "ROLLBACK"]
    assert changed(each_gate) == 0
    script = "\\set ON_ERROR_ROLLBACK on\n" + script
    done = program(each_gate, "psql", "-X", url, stdin=script)
    assert done.stdout.split() == ["BEGIN", "UPDATE", "3", "COMMIT"]
    assert changed(each_gate) == 3


@pytest.mark.parametrize("cursor", [psycopg.Cursor, psycopg.ClientCursor])
def test_psycopg(each_gate: Gate, cursor: type[psycopg.Cursor]) -> None:
    with each_gate.connect("write", cursor_factory=cursor) as client:
        few = "UPDATE lies SET status = 'x' WHERE id <= %s"
        for _ in range(8):  # it prepares what comes again
            assert client.execute(few, (4,)).rowcount == 4
        with pytest.raises(psycopg.Error, match="over the bound of 1,000") as refused:
            client.execute(few, (4000,))
        assert refused.value.sqlstate == "HP001"
        rows = client.execute("DELETE FROM lies WHERE id <= %s RETURNING id", (2,)).fetchall()
        assert sorted(rows) == [(1,), (2,)]
        with client.transaction():
            client.execute(few, (3,))
            with pytest.raises(psycopg.Error, match="rolled back"), client.transaction():
                client.execute(few, (4001,))
            client.execute(few, (5,))
    assert changed(each_gate) == 3 + 2


def pipelined(client: psycopg.Connection, text: str, *values: tuple[str, int, int]) -> None:
    with client.pipeline():
        for each in values:
            client.execute(text.encode(), each)


def test_psycopg_pipelines(each_gate: Gate) -> None:
    each = "UPDATE lies SET status = %s WHERE id > %s AND id <= %s"
    with each_gate.connect("write") as client:
        with client.pipeline():
            cursors = [client.execute(each, ("x", n, n + 3)) for n in range(0, 60, 3)]
        assert [cursor.rowcount for cursor in cursors] == [3] * 20
        with pytest.raises(psycopg.Error, match="rolled back"):
            pipelined(client, each, ("y", 0, 2), ("y", 0, MANY), ("y", 0, 1))
        with client.cursor() as cursor:
            cursor.executemany(each, [("z", n, n + 3) for n in range(0, 60, 3)])
            assert cursor.rowcount == 60
            with pytest.raises(psycopg.Error, match="rolled back"):
                cursor.executemany(each, [("w", 0, 2), ("w", 0, MANY), ("w", 0, 1)])
    with psycopg.connect(each_gate.direct) as direct:
        found = direct.execute("SELECT status, count(*) FROM lies GROUP BY 1 ORDER BY 1").fetchall()
    assert dict(found) == {"new": MANY - 60, "z": 60}


async def nested(client: asyncpg.Connection, text: str) -> None:
    async with client.transaction():  # a savepoint
        await client.execute(text)


@pytest.mark.anyio
async def test_asyncpg(each_gate: Gate) -> None:
    client = await asyncpg.connect(each_gate.url("write"))
    each = "UPDATE lies SET status = $1 WHERE id <= $2"
    try:
        assert await client.execute(each, "x", 3) == "UPDATE 3"
        await client.executemany(each, [("x", n) for n in range(1, 6)])
        with pytest.raises(asyncpg.PostgresError, match="over the bound"):
            await client.execute(each, "x", 3000)
        with pytest.raises(asyncpg.PostgresError, match="over the bound"):
            await client.executemany(each, [("y", 2), ("y", 3000), ("y", 1)])
        async with client.transaction():
            await client.execute(each, "x", 4)
            with pytest.raises(asyncpg.PostgresError, match="over the bound"):
                await nested(client, CHANGE.format("asyncpg"))
        assert len(await client.fetch(f"{FEW.format('asyncpg')} RETURNING id")) == 3
    finally:
        await client.close()
    assert await asyncio.to_thread(changed, each_gate) == 5


# --- connections that break -----------------------------------------------------------------------


def blocked(direct: psycopg.Connection, text: str) -> None:
    """Wait until the statement waits for a row."""
    wanted = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query = %s"
    eventually(lambda: direct.execute(wanted, (text,)).fetchone(), "the lock")


@pytest.mark.parametrize("send", [Q, lambda text: run(text) + S], ids=["simple", "extended"])
def test_a_client_that_goes_before_the_count_leaves_nothing(
    gate: Gate, direct: psycopg.Connection, send: Callable[[str], bytes]
) -> None:
    since, text = gate.length(), BLOCKED.format("gone")
    with psycopg.connect(gate.direct) as holder:
        holder.execute("SELECT * FROM lies WHERE id = %s FOR UPDATE", (MANY,))
        with gate.raw("write") as wire:
            wire.send(send(text))
            blocked(direct, text)
            wire.socket.close()
        session = next(iter(gate.running.door._sessions.values()))  # type: ignore[union-attr]
        eventually(lambda: session.relay.gone, "the gate to see it")
    gate.quiet()
    assert changed(gate) == 0
    end = gate.outcome_of(text, since)
    assert (end["ran"], end["sqlstate"]) == (True, "57014")


@pytest.mark.parametrize("send", [Q, lambda text: run(text) + S], ids=["simple", "extended"])
def test_a_cancelled_statement_leaves_nothing(
    gate: Gate, direct: psycopg.Connection, send: Callable[[str], bytes]
) -> None:
    text = BLOCKED.format("cancel")
    with psycopg.connect(gate.direct) as holder, gate.raw("write") as wire:
        holder.execute("SELECT * FROM lies WHERE id = %s FOR UPDATE", (MANY,))
        wire.send(send(text))
        blocked(direct, text)
        cancel(gate, wire.pid, wire.key)
        assert wire.words()[-2:] == ["E:57014", "ZI"]
        holder.rollback()
        assert wire.query("SELECT 1") == "T D:1 C:SELECT 1 ZI"
        assert wire.query(FEW.format("after cancel")) == "C:UPDATE 3 ZI"
    assert changed(gate) == 3


@pytest.mark.parametrize("send", [Q, lambda text: run(text) + S], ids=["simple", "extended"])
def test_a_server_that_is_lost_before_the_count_keeps_nothing(
    postgres18: EmbeddedPostgres, folder: Path, send: Callable[[str], bytes]
) -> None:
    text = BLOCKED.format("lost")
    with (
        TcpProxy(postgres18.port) as proxy,
        own_gate(postgres18, folder, proxy.port) as gate,
        psycopg.connect(gate.direct, autocommit=True) as direct,
    ):
        direct.execute(LIES.encode())
        with psycopg.connect(gate.direct) as holder:
            holder.execute("SELECT * FROM lies WHERE id = %s FOR UPDATE", (MANY,))
            with gate.raw("write") as wire:
                wire.send(send(text))
                blocked(direct, text)
                proxy.cut()
                assert wire.rest().endswith("E:08006")
        ended = "SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_activity WHERE query = %s)"
        eventually(lambda: direct.execute(ended, (text,)).fetchone(), "the end of its backend")
        gate.check_trail()
        assert changed(gate) == 0
        assert gate.outcome_of(text)["sqlstate"] == "08006"
        kinds = [kind for kind, _ in gate.trail()]
        assert "statement.outcome_unknown" in kinds


@pytest.mark.parametrize("send", [Q, lambda text: run(text) + S], ids=["simple", "extended"])
def test_a_gate_that_is_killed_before_the_count_leaves_nothing(
    postgres18: EmbeddedPostgres, folder: Path, send: Callable[[str], bytes]
) -> None:
    port, text = free_port(), BLOCKED.format("killed")
    with fresh_database(postgres18, TABLES + LIES) as name:
        gate = Gate.at(folder, postgres18.url(database=name), listen=port)
        process = serve(gate.config.file)
        with (
            psycopg.connect(gate.direct, autocommit=True) as direct,
            psycopg.connect(gate.direct) as holder,
        ):
            holder.execute("SELECT * FROM lies WHERE id = %s FOR UPDATE", (MANY,))
            with Wire.connect(port, "claude", SECRET, "shop/write") as wire:
                wire.send(send(text))
                blocked(direct, text)
                process.kill()
                process.wait()
                assert process.stdout is not None
                process.stdout.close()
            holder.rollback()
            ended = "SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_activity WHERE query = %s)"
            eventually(lambda: direct.execute(ended, (text,)).fetchone(), "the end of its backend")
        assert changed(gate) == 0
