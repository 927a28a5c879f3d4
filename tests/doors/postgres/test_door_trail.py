"""Nothing runs without its record, whatever dies: the database, the disk, the gate itself."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from door_support import SECRET, TABLES, Gate, eventually, free_port, read_texts, statements
from sqlalchemy import Connection, event
from wire_client import B, E, P, Q, S, Wire, run

from holdpoint.embedded import EmbeddedPostgres
from holdpoint.model import limits
from holdpoint.store import Store
from support.proxy import TcpProxy
from support.servers import fresh_database

ROWS = "SELECT repeat('x', 1000) FROM generate_series(1, 100000)"


@contextmanager
def own_gate(server: EmbeddedPostgres, folder: Path, port: int = 0) -> Iterator[Gate]:
    """A gate of the test's own before a fresh database, at another port if one is given."""
    with fresh_database(server, TABLES) as name:
        url = server.url(database=name)
        gate = Gate.at(folder, url)
        if port:
            (folder / "upstream.url").write_text(url.replace(f":{server.port}/", f":{port}/"))
        with gate:
            yield gate


# --- the database dies ----------------------------------------------------------------------------


def test_a_backend_that_is_terminated_ends_its_session_only(
    gate: Gate, direct: psycopg.Connection
) -> None:
    since = gate.length()
    update = "UPDATE orders SET status = 'y' WHERE id = 1"
    with gate.raw("write") as other, gate.raw("write") as wire:
        direct.execute("BEGIN")
        direct.execute("UPDATE orders SET status = 'x' WHERE id = 1")
        wire.send(Q(update))
        blocked = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query = %s"
        with psycopg.connect(gate.direct, autocommit=True) as second:
            (pid,) = eventually(lambda: second.execute(blocked, (update,)).fetchone(), "the lock")
            second.execute("SELECT pg_terminate_backend(%s)", (pid,))
        assert wire.rest() == "E:57P01 E:08006"
        assert wire.errors[-1]["V"] == "FATAL"
        direct.execute("ROLLBACK")
        assert other.query("SELECT 1") == "T D:1 C:SELECT 1 ZI"
    gate.check_trail(since)
    assert statements(gate.trail(since), since) == [
        ("started", update),
        ("outcome_unknown", update),
    ]
    assert gate.outcome_of(update, since)["sqlstate"] == "57P01"


def test_a_connection_cut_in_the_middle_of_results(
    postgres18: EmbeddedPostgres, folder: Path
) -> None:
    with TcpProxy(postgres18.port) as proxy, own_gate(postgres18, folder, proxy.port) as gate:
        with gate.raw() as read, gate.raw("write") as write, gate.raw("write") as idle:
            write.query("BEGIN")
            write.query("SELECT 1")
            read.query("SELECT 1")  # from here on the catalog is known, and reads pass at once
            proxy.cut_after(1_000_000)
            read.send(Q(ROWS))
            # In the middle of a row no word fits; the end of the connection says enough.
            assert "E:" not in read.rest()
            assert b"FATAL" not in read.received
            assert write.rest() == "E:08006"
            assert idle.rest() == "E:08006"
        proxy.cut_after(1 << 40)
        with gate.raw("write") as again:
            assert again.query("SELECT 1") == "T D:1 C:SELECT 1 ZI"
        gate.check_trail()
        ends = {
            entry[0]: entry[3]
            for kind, body in gate.trail()
            if kind == "reads"
            for entry in body["finished"]
        }
        assert "08006" in ends.values()


def test_a_write_whose_answer_never_came_is_recorded_as_unknown(
    postgres18: EmbeddedPostgres, folder: Path
) -> None:
    update = "UPDATE orders SET status = 'did it?' WHERE id = 1"
    with (
        TcpProxy(postgres18.port) as proxy,
        own_gate(postgres18, folder, proxy.port) as gate,
        psycopg.connect(gate.direct) as direct,
        psycopg.connect(gate.direct, autocommit=True) as watcher,
    ):
        direct.execute("SELECT * FROM orders WHERE id = 1 FOR UPDATE")
        with gate.raw("write") as wire:
            wire.send(P(update), B(), E(), S)
            blocked = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query = %s"
            eventually(lambda: watcher.execute(blocked, (update,)).fetchone(), "the lock")
            proxy.cut()
            assert wire.rest().endswith("E:08006")
        direct.rollback()
        gate.check_trail()
        assert statements(gate.trail()) == [("started", update), ("outcome_unknown", update)]
        assert gate.outcome_of(update)["sqlstate"] == "08006"


def test_a_database_that_does_not_answer_at_first(
    postgres18: EmbeddedPostgres, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "UPSTREAM_CONNECT_TIMEOUT_S", 0.3)
    with TcpProxy(postgres18.port) as proxy, own_gate(postgres18, folder, proxy.port) as gate:
        proxy.stall()
        with Wire.open(gate.port) as wire, pytest.raises(Exception, match="no answer from"):
            wire.sign_in("claude", SECRET, "shop")
        proxy.resume()
        with gate.raw() as wire:
            assert wire.query("SELECT 1") == "T D:1 C:SELECT 1 ZI"
        refused = [body for kind, body in gate.trail() if kind == "session.refused"]
        assert "no answer from" in refused[0]["reason"]


# --- the disk under the trail ---------------------------------------------------------------------


class Disk:
    """The disk under a gate's trail: a test makes it take no more writes, and lets it again."""

    def __init__(self, gate: Gate) -> None:
        assert gate.running is not None
        self.bad = False
        store: Store = gate.running.recorder._store
        event.listen(store.database._engine, "begin", self._begin)

    def _begin(self, connection: Connection) -> None:
        driver = connection.connection.dbapi_connection
        assert driver is not None
        cursor = driver.cursor()
        cursor.execute(f"PRAGMA query_only = {int(self.bad)}")
        cursor.close()


def test_while_the_trail_cannot_be_written_nothing_runs_and_the_session_stays(
    postgres18: EmbeddedPostgres, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TRAIL_RETRY_S", 0.05)
    with own_gate(postgres18, folder) as gate:
        assert gate.running is not None
        recorder = gate.running.recorder
        disk = Disk(gate)
        with gate.raw("write") as wire:
            assert wire.query("INSERT INTO markers VALUES ('before')") == "C:INSERT 0 1 ZI"
            disk.bad = True
            assert wire.query("INSERT INTO markers VALUES ('a')") == "E:58030 ZI"
            assert "nothing ran" in wire.errors[-1]["H"]
            # Reads too, by either protocol, and with the rules of a failed pipeline.
            assert wire.query("SELECT 'r1'") == "E:58030 ZI"
            assert wire.ask(run("SELECT 'r2'"), run("SELECT 'r3'"), S) == "1 2 E:58030 ZI"
            assert wire.ask(run("INSERT INTO markers VALUES ('b')"), S) == "1 E:58030 ZI"
            assert wire.query("DROP TABLE markers") == "E:58030 ZI"
            assert wire.query("DELETE FROM orders") == "E:58030 ZI"
            with pytest.raises(psycopg.OperationalError, match="audit trail cannot be written"):
                gate.connect()
            disk.bad = False
            eventually(lambda: recorder.healthy, "the trail")
            assert wire.query("SELECT 'r4'") == "T D:r4 C:SELECT 1 ZI"
            assert wire.query("INSERT INTO markers VALUES ('after')") == "C:INSERT 0 1 ZI"
        with psycopg.connect(gate.direct) as direct:
            ran = direct.execute("SELECT name FROM markers ORDER BY name").fetchall()
        assert ran == [("after",), ("before",)]
        gate.check_trail()
        started = [text for kind, text in statements(gate.trail()) if kind == "started"]
        assert [text.split("'")[1] for text in started] == ["before", "after"]
        assert read_texts(gate.trail()) == ["SELECT 'r4'"]


def test_a_store_that_goes_bad_tells_those_who_come(
    postgres18: EmbeddedPostgres, folder: Path
) -> None:
    with own_gate(postgres18, folder) as gate:
        store = Path(gate.config.server.store)
        with gate.raw() as wire:
            kept = store.read_bytes()
            moved = store.with_name("moved")
            store.rename(moved)
            eventually(lambda: wire.query("SELECT 1").startswith("E:58030") or _write(wire), "it")
            with pytest.raises(psycopg.OperationalError):
                gate.connect()
            moved.rename(store)
            assert kept[:16] == b"SQLite format 3\0"


def _write(wire: Wire) -> bool:
    return wire.query("DROP TABLE orders").startswith("E:58030")


# --- the gate dies --------------------------------------------------------------------------------

KILLS = 6


class Load:
    """Clients that insert a marker each time and remember which ones they were told have run."""

    def __init__(self, port: int, prefix: str) -> None:
        self._port = port
        self._prefix = prefix
        self.told: list[str] = []
        self._threads = [threading.Thread(target=self._work, args=(n,)) for n in range(4)]
        for thread in self._threads:
            thread.start()

    def _work(self, number: int) -> None:
        with (
            suppress(OSError, EOFError),
            Wire.connect(self._port, "claude", SECRET, "shop/write") as wire,
        ):
            for count in range(100_000):
                name = f"{self._prefix}-{number}-{count}"
                if number % 2:
                    wire.ask(run("INSERT INTO markers VALUES ($1)", name), S)
                else:
                    wire.query(f"INSERT INTO markers VALUES ('{name}')")
                self.told.append(name)
                wire.query(f"SELECT '{name}'")

    def join(self) -> None:
        for thread in self._threads:
            thread.join(30)


def serve(config: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "holdpoint", "serve", "--config", config],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    while b"Waiting" not in process.stdout.readline():
        assert process.poll() is None
    return process


def test_killed_at_any_moment_the_trail_names_everything_that_may_have_run(
    postgres18: EmbeddedPostgres, folder: Path
) -> None:
    moments = random.Random(0x401D)
    port = free_port()
    with fresh_database(postgres18, TABLES) as name:
        url = postgres18.url(database=name)
        gate = Gate.at(folder, url, listen=port)
        told: list[str] = []
        for kill in range(KILLS):
            process = serve(gate.config.file)
            load = Load(port, f"k{kill}")
            eventually(lambda load=load: len(load.told) > 3, "some load")
            time.sleep(moments.uniform(0, 0.3))
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
            load.join()
            told += load.told
            assert gate.report().ok, f"after kill {kill}"
        with gate:  # the next start names what is unknown
            pass
        report = gate.report()
        assert report.ok
        with psycopg.connect(url) as direct:
            ran = {row[0] for row in direct.execute("SELECT name FROM markers")}
        trail = gate.trail()
        started: dict[int, str] = {}
        ended: set[int] = set()
        for number, (kind, body) in enumerate(trail, start=1):
            if kind == "statement.started":
                values = body["parameters"]
                started[number] = values[0]["text"] if values else body["text"].split("'")[1]
            elif "started" in body and kind.startswith("statement."):
                ended.add(body["started"])
        assert set(told) <= ran
        assert ran <= set(started.values()), "nothing ran without a record"
        assert ended == set(started), "what began has an end, if only an unknown one"
        kinds = [kind for kind, _ in trail]
        assert kinds.count("trail.opened") == KILLS + 1
        assert "statement.outcome_unknown" in kinds
        reads = read_texts(trail)
        assert len(reads) == len(set(reads))


def test_after_a_kill_holds_are_still_there(postgres18: EmbeddedPostgres, folder: Path) -> None:
    port = free_port()
    delete = "DELETE FROM orders"
    with fresh_database(postgres18, TABLES) as name:
        gate = Gate.at(folder, postgres18.url(database=name), listen=port)
        process = serve(gate.config.file)
        with Wire.connect(port, "claude", SECRET, "shop/write") as wire:
            wire.send(Q(delete))
            assert wire.until("N") == ["N:HP001"]
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
            assert wire.rest() == ""
        with gate:
            gate.answer(gate.opened(delete))
            with gate.raw("write") as wire:
                assert wire.query(delete) == "C:DELETE 5000 ZI"
            gate.check_trail()
