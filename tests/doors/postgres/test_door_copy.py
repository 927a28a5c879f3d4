"""COPY both ways, and results so large that nobody may keep them in memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import psycopg
import pytest
from door_support import SECRET, TABLES, Gate, eventually, free_port
from test_door_trail import serve
from wire_client import B, D, E, P, Q, S, Wire, run

from holdpoint.embedded import EmbeddedPostgres
from holdpoint.wire.postgres.frames import frame
from support.servers import fresh_database

IN = "COPY big FROM STDIN"
DONE = frame(0x63)
FAIL = frame(0x66, b"enough\0")


def data(*rows: str) -> bytes:
    return frame(0x64, "".join(row + "\n" for row in rows).encode())


@contextmanager
def copying(gate: Gate, wire: Wire, begin: bytes, asks: bool = False) -> Iterator[None]:
    """Begin a COPY and wait until the server asks for data; somebody approves it if it ``asks``."""
    with gate.person(containing="COPY") if asks else nullcontext():
        wire.send(begin)
        assert wire.until("G")[-1] == "G"
    yield


def test_copy_out(gate: Gate) -> None:
    out = "COPY (SELECT g FROM generate_series(1, 3) AS g) TO STDOUT"
    with gate.raw() as wire:
        assert wire.query(out) == "H d d d c C:COPY 3 ZI"
        assert wire.ask(run(out), S) == "1 2 H d d d c C:COPY 3 ZI"
        assert wire.query("COPY orders TO STDOUT; SELECT 1").endswith("T D:1 C:SELECT 1 ZI")
        assert wire.query("COPY orders TO '/tmp/orders'") == "E:42501 ZI"
        assert wire.query("COPY orders TO PROGRAM 'cat'") == "E:42501 ZI"


def test_copy_in_by_simple_and_extended_query(gate: Gate, direct: psycopg.Connection) -> None:
    with gate.raw("write") as wire:
        with copying(gate, wire, Q(IN)):
            assert wire.ask(data("1\ta"), data("2\tb", "3\tc"), DONE) == "C:COPY 3 ZI"
        with copying(gate, wire, P(IN) + B() + E() + S):
            assert wire.ask(data("4\td"), DONE, S) == "C:COPY 1 ZI"
        with copying(gate, wire, Q(IN)):
            assert wire.ask(data("5\te"), FAIL) == "E:57014 ZI"
        with copying(gate, wire, P(IN) + B() + E() + S):
            assert wire.ask(data("6\tf"), FAIL, S) == "E:57014 ZI"
        assert wire.query("SELECT 1") == "T D:1 C:SELECT 1 ZI"
    assert direct.execute("SELECT count(*), max(id) FROM big").fetchone() == (4, 4)


def test_copy_data_pipelined_with_what_follows(gate: Gate, direct: psycopg.Connection) -> None:
    with gate.raw("write") as wire:
        wire.send(Q(IN), data("1\ta"), DONE, Q("SELECT 1"), run("SELECT 2"), S)
        words = " ".join(wire.words(3))
        assert words == "G C:COPY 1 ZI T D:1 C:SELECT 1 ZI 1 2 D:2 C:SELECT 1 ZI"
    assert direct.execute("SELECT count(*) FROM big").fetchone() == (1,)


def test_a_statement_in_the_middle_of_copy_data_ends_the_session(
    gate: Gate, direct: psycopg.Connection
) -> None:
    with gate.raw("write") as wire, copying(gate, wire, Q(IN)):
        wire.send(data("1\ta"), Q("SELECT 1"))
        assert "E:08P01" in wire.rest()
    gate.quiet()
    assert direct.execute("SELECT count(*) FROM big").fetchone() == (0,)


def test_bad_copy_data_fails_the_copy_only(gate: Gate) -> None:
    with gate.raw("write") as wire:
        with copying(gate, wire, Q(IN)):
            wire.send(data("no number\tx"))
            assert wire.words() == ["E:22P02", "ZI"]
        wire.send(data("1\tlate"), DONE)  # a client that had not seen the error yet
        assert wire.query("SELECT 1") == "T D:1 C:SELECT 1 ZI"
        with copying(gate, wire, P(IN) + B() + E()):
            wire.send(data("no number\tx"), data("2\ty"), DONE, S)
            assert wire.words() == ["E:22P02", "ZI"]
        assert wire.ask(D("none"), S) == "E:26000 ZI"
        assert wire.query("SELECT 1") == "T D:1 C:SELECT 1 ZI"


def test_two_copies_in_one_message(gate: Gate, direct: psycopg.Connection) -> None:
    with gate.raw("write") as wire:
        with copying(gate, wire, Q(f"{IN}; {IN}; SELECT 1"), asks=True):
            wire.send(data("1\ta"), DONE)
            assert wire.until("G") == ["C:COPY 1", "G"]
            assert wire.ask(S, data("2\tb"), S, DONE) == "C:COPY 1 T D:1 C:SELECT 1 ZI"
        assert wire.query("SELECT 1") == "T D:1 C:SELECT 1 ZI"
    assert direct.execute("SELECT count(*) FROM big").fetchone() == (2,)


def test_a_client_that_goes_in_the_middle_of_copy_leaves_nothing(
    gate: Gate, direct: psycopg.Connection
) -> None:
    since = gate.length()
    for begin in (Q(IN), P(IN) + B() + E() + S):
        with gate.raw("write") as wire, copying(gate, wire, begin):
            wire.send(data("1\ta"), data("2\tb")[:7])
            wire.socket.close()
    gate.quiet()
    assert direct.execute("SELECT count(*) FROM big").fetchone() == (0,)
    ends = [body for kind, body in gate.trail(since) if kind.startswith("statement.fin")]
    assert [(end["ran"], end["sqlstate"]) for end in ends] == [(True, "57014")] * 2


def test_a_client_that_goes_in_the_middle_of_a_result(gate: Gate) -> None:
    with gate.raw() as wire:
        wire.send(Q("SELECT repeat('x', 1000) FROM generate_series(1, 100000)"))
        assert wire.word() == "T"
        wire.socket.close()
    gate.quiet()


# --- large, through a process of its own ----------------------------------------------------------


@pytest.fixture(scope="module")
def served(
    postgres18: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A gate as users run it: its URL for the owner tier, and its process."""
    folder = tmp_path_factory.mktemp("served")
    port = free_port()
    allow = (
        '[[rules]]\nid = "copy"\nwhen = { effect = ["write"] }\nthen = "allow"\nreason = "copies"\n'
    )
    with fresh_database(postgres18, TABLES) as name:
        gate = Gate.at(folder, postgres18.url(database=name), listen=port, more=allow)
        process = subprocess.Popen(
            [sys.executable, "-m", "holdpoint", "serve", "--config", gate.config.file],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        while b"Waiting" not in process.stdout.readline():
            assert process.poll() is None
        secret = SECRET.replace(" ", "%20")
        yield f"postgresql://claude:{secret}@127.0.0.1:{port}/shop/owner", process
        process.terminate()
        assert process.wait(30) == 0
        process.stdout.close()


def resident_mib(process: subprocess.Popen[bytes]) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def peak_mib(process: subprocess.Popen[bytes]) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_million_rows_leave_the_memory_as_it_was(
    served: tuple[str, subprocess.Popen[bytes]],
) -> None:
    url, process = served
    with psycopg.connect(url, autocommit=True) as client:
        client.execute("SELECT 1")
        before = resident_mib(process)
        with client.cursor().copy("COPY (SELECT generate_series(1, 1000000)) TO STDOUT") as copy:
            assert sum(len(block) for block in copy) == 6_888_896
        cursor = client.execute("SELECT generate_series(1, 1000000)")
        assert cursor.rowcount == 1_000_000
        assert resident_mib(process) - before < 30


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_client_that_does_not_read_is_not_read_ahead_for(
    served: tuple[str, subprocess.Popen[bytes]],
) -> None:
    url, process = served
    port = int(url.rpartition(":")[2].partition("/")[0])
    size = 200 * 1024 * 1024
    with Wire.connect(port, "claude", SECRET, "shop/owner") as wire:
        wire.send(Q(f"SELECT repeat('x', 1000000) FROM generate_series(1, {size // 1000000})"))
        assert wire.word() == "T"
        with psycopg.connect(url, autocommit=True) as other:
            for _ in range(50):
                other.execute("SELECT 1")
        assert peak_mib(process) < 200
        assert len(wire.words()) == size // 1000000 + 2


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_values_of_50_mb_both_ways(served: tuple[str, subprocess.Popen[bytes]]) -> None:
    url, process = served
    size = 50_000_000
    with psycopg.connect(url, autocommit=True) as client:
        row = client.execute(f"SELECT repeat('x', {size})").fetchone()
        assert row == ("x" * size,)
        with client.cursor().copy("COPY big (body) FROM STDIN") as copy:
            for _ in range(50):
                copy.write(b"y" * (size // 50))
            copy.write(b"\n")
        assert client.execute("SELECT length(body) FROM big").fetchone() == (size,)
        assert client.execute("SELECT length(%s)", ("z" * size,)).fetchone() == (size,)
    eventually(lambda: resident_mib(process) < 900, "memory given back")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_copy_under_a_bound_streams_through(
    postgres18: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with fresh_database(postgres18, TABLES) as name:
        folder, port = tmp_path_factory.mktemp("bounded"), free_port()
        gate = Gate.at(folder, postgres18.url(database=name), listen=port)
        process = serve(gate.config.file)
        secret = SECRET.replace(" ", "%20")
        url = f"postgresql://claude:{secret}@127.0.0.1:{port}/shop/write"
        with psycopg.connect(url, autocommit=True) as client, client.cursor() as cursor:
            with cursor.copy("COPY big (body) FROM STDIN") as copy:
                for _ in range(20):
                    copy.write(b"y" * 5_000_000 + b"\n")
            assert cursor.rowcount == 20
            assert peak_mib(process) < 200
        process.terminate()
        assert process.wait(30) == 0
        assert process.stdout is not None
        process.stdout.close()
