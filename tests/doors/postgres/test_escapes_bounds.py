"""Timeouts hold as bounds: an agent may set shorter ones, and what is longer the gate takes back.

The database gives every session its timeouts (`ALTER DATABASE ... SET`), as a role or a budget of
the tier would.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from door_support import SECRET, TABLES, Gate
from wire_client import B, E, P, Q, S, Wire, run

from holdpoint.embedded import EmbeddedPostgres, clients
from support.servers import fresh_database

BOUNDS = {
    "statement_timeout": "30s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "1min",  # less than a budget has by itself
    "idle_session_timeout": "1h",
}
LOOSENS = """
CREATE FUNCTION loosens() RETURNS text LANGUAGE sql
    AS $$SELECT set_config('statement_timeout', '0', false)$$;
CREATE FUNCTION runs(text) RETURNS int LANGUAGE plpgsql
    AS $$BEGIN EXECUTE $1; RETURN 1; END$$;
CREATE VIEW loose AS SELECT set_config('statement_timeout', '0', false);
"""
SHOWN = "SELECT " + ", ".join(f"current_setting('{name}')" for name in BOUNDS)
KEPT = ",".join(BOUNDS.values())


@contextmanager
def before(server: EmbeddedPostgres, folder: Path) -> Iterator[Gate]:
    """A gate before a database that gives its sessions timeouts."""
    with fresh_database(server, TABLES + LOOSENS) as name:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            for setting, value in BOUNDS.items():
                connection.execute(f"ALTER DATABASE {name} SET {setting} = '{value}'".encode())
        with Gate.at(folder, server.url(database=name)) as gate:
            gate.look_again()
            yield gate
            gate.check_trail()


@pytest.fixture(scope="module")
def bounded(
    postgres18: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gate]:
    with before(postgres18, tmp_path_factory.mktemp("bounds18")) as gate:
        yield gate


@pytest.fixture(scope="module")
def bounded16(
    postgres16: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gate]:
    with before(postgres16, tmp_path_factory.mktemp("bounds16")) as gate:
        yield gate


def shown(wire: Wire) -> str:
    """The session's timeouts as the server has them now."""
    answer = wire.query(SHOWN)
    return answer.split("D:")[1].split(" C:")[0] if "D:" in answer else answer


ALONE = [
    "SET statement_timeout = 0",
    "SET statement_timeout = '31s'",
    "SET SESSION statement_timeout TO 2147483647",
    "SET LOCAL statement_timeout = 0",
    'SET "statement_timeout" = 0',
    "SET statement_timeout = '0.9 d'",
    "SET lock_timeout = 0",
    "SET idle_in_transaction_session_timeout = '1h'",
    "SET idle_session_timeout = 0",
    "SELECT set_config('statement_timeout', '0', false)",
    "SELECT set_config('lock_timeout', v, false) FROM (VALUES ('0')) AS t (v)",
    "SELECT loosens()",
    "TABLE loose",
    "DO $$BEGIN PERFORM set_config('lock_timeout', '0', false); END$$",
    "DO $$BEGIN SET statement_timeout = 0; SET lock_timeout = 0; END$$",
    "COPY (SELECT set_config('statement_timeout', '0', false)) TO STDOUT",
    "EXPLAIN ANALYZE SELECT set_config('statement_timeout', '0', false)",
    "RESET statement_timeout",
    "SET lock_timeout TO DEFAULT",
    "RESET ALL",
    "DISCARD ALL",
]


@pytest.mark.parametrize("how", ["pg18-simple", "pg18-extended", "pg16-extended"])
def test_what_loosens_a_bound_succeeds_and_the_bound_holds(
    request: pytest.FixtureRequest, how: str
) -> None:
    gate: Gate = request.getfixturevalue("bounded16" if how.startswith("pg16") else "bounded")
    extended = how.endswith("extended")
    with gate.raw("replica") as wire:
        assert shown(wire) == KEPT
        for inside in (False, True):
            for text in ALONE:
                if inside and text == "DISCARD ALL":
                    continue  # not in a transaction
                if inside:
                    wire.query("BEGIN")
                answer = wire.ask(run(text), S) if extended else wire.query(text)
                assert "E:" not in answer, text
                assert shown(wire) == KEPT, text
                if inside:
                    wire.query("COMMIT")
                    assert shown(wire) == KEPT, text


@pytest.mark.parametrize(
    "texts",
    [
        # What a savepoint brings back was loosened in the same message, before the gate could ask.
        ("BEGIN", "SET statement_timeout = 0; SAVEPOINT a", "ROLLBACK TO a"),
        ("BEGIN", "SET lock_timeout = 0; SAVEPOINT a", "SELECT 1", "ROLLBACK TO a", "SHOW role",
         "ROLLBACK TO a"),
        ("BEGIN; SET lock_timeout = 0; SAVEPOINT a", "SELECT * FROM no_such", "ROLLBACK TO a"),
        ("BEGIN", "SET lock_timeout = 0; SAVEPOINT a; SHOW no_such", "ROLLBACK TO a"),
        ("BEGIN; SET lock_timeout = 0; SAVEPOINT a; SET lock_timeout = 0; SAVEPOINT b; SHOW no",
         "ROLLBACK TO b", "ROLLBACK TO a"),
        # A cursor runs its query at FETCH, one WITH HOLD at COMMIT, a portal at its Execute.
        ("BEGIN", "DECLARE c CURSOR FOR SELECT set_config('lock_timeout', '0', false)", "FETCH c"),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT set_config('lock_timeout', '0', false)", "FETCH c"),
        ("BEGIN", "DECLARE c CURSOR WITH HOLD FOR SELECT set_config('lock_timeout', '0', false)",
         "COMMIT", "FETCH c"),
        ("PREPARE p AS SELECT set_config('statement_timeout', '0', false)", "EXECUTE p"),
        ("PREPARE p(text) AS SELECT set_config('lock_timeout', $1, false)", "EXECUTE p('0')"),
        ("BEGIN", "SET LOCAL statement_timeout = '1s'", "SET LOCAL statement_timeout = 0"),
        ("BEGIN", "SET statement_timeout = 0", "COMMIT"),
        ("BEGIN", "SET statement_timeout = 0", "ROLLBACK"),
        ("BEGIN", "SAVEPOINT a", "SET LOCAL lock_timeout = 0", "RELEASE a"),
    ],
)  # fmt: skip
def test_no_savepoint_and_no_cursor_brings_it_back(bounded: Gate, texts: tuple[str, ...]) -> None:
    with bounded.raw("replica") as wire:
        for text in texts:
            wire.query(text)
        assert shown(wire) == KEPT
        wire.query("COMMIT")
        assert shown(wire) == KEPT


def test_a_pipeline_waits_until_the_bound_holds_again(bounded: Gate) -> None:
    off, show = "SET statement_timeout = 0", "SHOW statement_timeout"
    with bounded.raw("replica") as wire:
        assert wire.ask(run(off), run(show), S) == "1 2 C:SET 1 2 D:30s C:SHOW ZI"
        bound_before = (P(show, "s"), B("s", portal="p"), run(off), E("p"), S)
        assert wire.ask(*bound_before) == "1 2 1 2 C:SET D:30s C:SHOW ZI"
        assert wire.ask(Q(off), Q(show), ready=2) == "C:SET ZI T D:30s C:SHOW ZI"
        assert wire.ask(run(off), S, Q(show), ready=2) == "1 2 C:SET ZI T D:30s C:SHOW ZI"
        # An error before the next Sync takes back what was set; nothing is asked while it skips.
        assert wire.ask(run(off), run("SELECT 1/0"), run(show), S).endswith("E:22012 ZI")
        assert shown(wire) == KEPT
        assert wire.ask(Q("BEGIN"), run(off), run("SELECT 1/0"), S, ready=2).endswith("E:22012 ZE")
        assert wire.query("ROLLBACK") == "C:ROLLBACK ZI"
        assert shown(wire) == KEPT
        # Last, because a server of version 18 gets confused by it: a Query before the Sync.
        assert "D:30s" in wire.ask(run(off), Q(show), S, ready=2)


def test_shorter_ones_are_the_agents_own(bounded: Gate) -> None:
    with bounded.raw("replica", options="-c statement_timeout=20s -c lock_timeout=1h") as wire:
        assert shown(wire).startswith("20s,5s,")  # of what it asks for only what is shorter
        wire.query("SET statement_timeout = '25s'")
        assert shown(wire).startswith("25s,")
        wire.query("SET statement_timeout = 0")
        assert shown(wire).startswith("30s,")
        for reset in ("RESET statement_timeout", "RESET ALL", "DISCARD ALL"):
            wire.query("SET statement_timeout = '25s'")
            wire.query(reset)
            assert shown(wire).startswith("20s,5s,"), reset
        wire.query("BEGIN; SET LOCAL statement_timeout = '1s'")
        assert shown(wire).startswith("1s,")
        wire.query("COMMIT")
        assert shown(wire).startswith("20s,")


def test_a_transaction_may_still_be_given_its_modes(bounded: Gate) -> None:
    """The gate's question needs no snapshot."""
    with bounded.raw("replica") as wire:
        wire.query("BEGIN")
        wire.query("SET LOCAL lock_timeout = 0")
        assert wire.query("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE") == "C:SET ZT"
        assert "D:serializable" in wire.query("SHOW transaction_isolation")


@pytest.mark.parametrize(
    "text",
    [
        "SET statement_timeout = 0; SELECT count(*) FROM orders",
        "SELECT set_config('lock_timeout', '0', false); SELECT 1",
        "BEGIN; SET LOCAL lock_timeout = 0; TABLE orders; COMMIT",
    ],
)
def test_what_would_run_before_the_bound_holds_again_is_refused(bounded: Gate, text: str) -> None:
    with bounded.raw("replica") as wire:
        assert wire.query(text) == "E:42501 ZI"
        assert "send the SET as a message of its own" in wire.errors[0]["H"]
        assert wire.query("SET statement_timeout = '1s'; SELECT 1").endswith("D:1 C:SELECT 1 ZI")


def test_what_people_let_through_unread_loosens_nothing_for_later(bounded: Gate) -> None:
    with bounded.raw("replica") as wire:
        for setting in ("statement_timeout = 0", "default_transaction_read_only = off"):
            text = f"SELECT runs('SET {setting}')"
            with bounded.person(containing=text):
                assert wire.query(text).endswith("D:1 C:SELECT 1 ZI")
            assert shown(wire) == KEPT
            assert "D:on" in wire.query("SHOW transaction_read_only")


def test_a_restore_in_one_transaction_works(bounded: Gate) -> None:
    """As `psql -1` does with a dump: timeouts off, then tables, one COPY after the other."""
    with bounded.connect("write", autocommit=False) as agent:
        agent.execute("SET statement_timeout = 0")
        agent.execute("SET lock_timeout = 0")
        for name in ("one", "two"):
            with agent.cursor().copy("COPY markers FROM STDIN") as copy:
                copy.write(f"{name}\n")
            shown = agent.execute("SHOW statement_timeout").fetchone()
            assert shown == ("30s",)
        agent.execute("INSERT INTO markers VALUES ('three')")
        agent.commit()
        found = agent.execute("SELECT string_agg(name, ',' ORDER BY name) FROM markers")
        assert found.fetchone() == ("one,three,two",)


def test_pg_dump_turns_them_off_and_works(bounded: Gate) -> None:
    tool = clients(18) / "pg_dump"
    done = subprocess.run(
        [str(tool), "--table=orders", "--host=127.0.0.1", f"--port={bounded.port}",
         "--username=claude", "shop/replica"],
        env={**os.environ, "PGPASSWORD": SECRET}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.count("\tnew\n") == 5000
