"""What depends on the session: prepared statements, cursors, portals, encodings, settings."""

from __future__ import annotations

import pytest

from holdpoint.model.effects import Effect, SessionView, Statement, TransactionMark
from holdpoint.sql import read

HARMLESS = [
    "SET application_name = 'x'",
    "SET LOCAL TimeZone TO 'UTC'",
    "SET TIME ZONE 'Europe/Berlin'",
    "SET TIME ZONE INTERVAL '+02:00' HOUR TO MINUTE",
    "SET TIME ZONE LOCAL",
    "SET DateStyle = ISO, MDY",
    "SET extra_float_digits = 3",
    "SET statement_timeout = 0",
    "SET lock_timeout = '5s'",
    "SET client_encoding TO 'UTF8'",
    "SET NAMES 'utf-8'",
    "SET standard_conforming_strings = on",
    "SET row_security = off",
    "SET enable_seqscan = off",
    "SET search_path TO app, public",
    'SET search_path = "$user", public',
    "SET search_path = pg_catalog, app",
    "SET search_path = ''",
    "SELECT pg_catalog.set_config('search_path', '', false)",
    "SELECT set_config('application_name', $1, false)",
    "SELECT set_config(name, 'view', false) FROM pg_settings WHERE name = 'jit'",
    "SET default_transaction_read_only = on",
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY, DEFERRABLE",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "SET TRANSACTION SNAPSHOT '00000003-0000001B-1'",
    "SET CONSTRAINTS ALL DEFERRED",
    "RESET ROLE",
    "RESET SESSION AUTHORIZATION",
    "RESET ALL",
    "RESET default_transaction_read_only",
    "SET work_mem TO DEFAULT",
    "SELECT set_config('jit'::text, 'off'::pg_catalog.varchar, false)",
    "SET random_page_cost = 1.1",
    "SET max_parallel_workers_per_gather = 0",
    "SET LOCAL hnsw.ef_search = 100",
    "SHOW ALL",
    "SHOW search_path",
    "DISCARD ALL",
    "DISCARD TEMP",
    "CLOSE ALL",
    "UNLISTEN *",
    "LISTEN c",
    "DEALLOCATE ALL",
    "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY",
    "START TRANSACTION",
    "COMMIT AND CHAIN",
    "END",
    "ABORT",
    "SAVEPOINT a",
    "RELEASE a",
    "ROLLBACK TO a",
    "DECLARE c NO SCROLL CURSOR WITH HOLD FOR SELECT * FROM t",
    "FETCH FORWARD 100 FROM c",
    "MOVE ALL IN c",
    "CLOSE c",
    "PREPARE p (int) AS DELETE FROM t WHERE id = $1",
    "EXPLAIN DELETE FROM t",
    "EXPLAIN (ANALYZE false, COSTS off) DELETE FROM t",
    "EXPLAIN (ANALYZE 0) DELETE FROM t",
    "EXPLAIN SELECT pg_sleep(9)",
    "EXPLAIN CREATE TABLE x AS SELECT 1",
]

E = Effect.SESSION_ESCAPE

# (statement, an effect it must have)
HARMFUL = [
    ("SET default_transaction_read_only = off", Effect.SESSION_ESCAPE),
    ("SET Default_Transaction_Read_Only TO 'False'", Effect.SESSION_ESCAPE),
    ('SET "default_transaction_read_only" = 0', Effect.SESSION_ESCAPE),
    ("SET LOCAL transaction_read_only TO off", Effect.SESSION_ESCAPE),
    ("SET transaction_read_only TO DEFAULT", Effect.SESSION_ESCAPE),
    ("RESET transaction_read_only", Effect.SESSION_ESCAPE),
    ("SET TRANSACTION READ WRITE", Effect.SESSION_ESCAPE),
    ("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", Effect.SESSION_ESCAPE),
    ("BEGIN READ WRITE", Effect.SESSION_ESCAPE),
    ("BEGIN READ ONLY; SET TRANSACTION READ WRITE", Effect.SESSION_ESCAPE),
    ("START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE", Effect.SESSION_ESCAPE),
    ("SELECT set_config('transaction_read_only', 'off', true)", Effect.SESSION_ESCAPE),
    ("SELECT set_config('Transaction_Read_Only', $1, true)", Effect.SESSION_ESCAPE),
    ("SELECT set_config('transaction_' || 'read_only', 'off', true)", Effect.SESSION_ESCAPE),
    ("SELECT set_config($1, $2, true)", Effect.SESSION_ESCAPE),
    ("SELECT set_config(setting_name => 'role', new_value => 'x')", Effect.SESSION_ESCAPE),
    ("SELECT 1 FROM t ORDER BY set_config(a, b, true)", Effect.SESSION_ESCAPE),
    ("SELECT set_config(name, 'off', false) FROM pg_settings", Effect.SESSION_ESCAPE),
    (
        "SELECT set_config(name, 'off', false) FROM (SELECT 'x' AS name) y"
        " WHERE EXISTS (SELECT 1 FROM pg_settings WHERE name = 'jit')",
        Effect.SESSION_ESCAPE,
    ),
    (
        "SELECT set_config(name, 'off', false) FROM pg_settings"
        " WHERE name = 'transaction_read_only'",
        Effect.SESSION_ESCAPE,
    ),
    (
        "SELECT set_config(name, 'x', false) FROM pg_settings WHERE name <> 'jit'",
        Effect.SESSION_ESCAPE,
    ),
    ("SET search_path = app, pg_catalog", Effect.SESSION_ESCAPE),
    ("SET SCHEMA 'pg_temp'", Effect.SESSION_ESCAPE),
    ("SELECT set_config('search_path', 'app, pg_catalog', false)", Effect.SESSION_ESCAPE),
    ("SET standard_conforming_strings = off", Effect.SESSION_ESCAPE),
    ("SET client_encoding = 'LATIN1'", Effect.SESSION_ESCAPE),
    ("SET NAMES 'SJIS'", Effect.SESSION_ESCAPE),
    ("SET session_replication_role = replica", Effect.SESSION_ESCAPE),
    ("SET work_mem = '10GB'", Effect.UNKNOWN),
    ("SET app.user_id = '1'", Effect.UNKNOWN),
    ("SET enable_x.y = on", Effect.UNKNOWN),
    ("SET session_preload_libraries = 'x'", Effect.UNKNOWN),
    ("SET ROLE postgres", Effect.PRIVILEGE),
    # Leaves a weaker role that ALTER ROLE ... SET role gave, for the one that signed in.
    ("SET ROLE NONE", Effect.PRIVILEGE),
    ("SET LOCAL ROLE none", Effect.PRIVILEGE),
    ("SELECT set_config('role', 'none', false)", Effect.PRIVILEGE),
    # Casts that change a constant: the value is `0`, and `app, pg_catalog`.
    ("SELECT set_config('transaction_read_only', 1::numeric(2,-1)::text, false)", E),
    ("SELECT set_config('search_path', 'app, pg_catalogX'::varchar(15), false)", E),
    ("SELECT set_config('roles'::varchar(4), 'x', false)", E),
    ("SELECT set_config('jit'::app.text, 'x', false)", E),
    ("SET SESSION AUTHORIZATION postgres", Effect.PRIVILEGE),
    ("SELECT set_config('role', 'postgres', false)", Effect.PRIVILEGE),
    ("EXPLAIN ANALYZE DELETE FROM t", Effect.BULK_WRITE),
    ("EXPLAIN (ANALYZE) DELETE FROM t", Effect.BULK_WRITE),
    ("EXPLAIN (ANALYZE off, ANALYZE on) DELETE FROM t", Effect.BULK_WRITE),
    ("EXPLAIN (ANALYZE 1, VERBOSE) DELETE FROM t", Effect.BULK_WRITE),
    ("EXPLAIN SELECT f()", Effect.UNKNOWN),
    ("DECLARE c CURSOR FOR SELECT pg_sleep(9)", Effect.EXHAUSTION),
    ("PREPARE p AS DELETE FROM t; EXECUTE p", Effect.BULK_WRITE),
    ("PREPARE p AS DELETE FROM t; CREATE TABLE x AS EXECUTE p", Effect.BULK_WRITE),
    ("PREPARE p AS DELETE FROM t; EXPLAIN ANALYZE EXECUTE p", Effect.BULK_WRITE),
    ("PREPARE p AS SELECT 1; DEALLOCATE p; EXECUTE p", Effect.UNKNOWN),
    ("PREPARE p AS SELECT 1; DISCARD ALL; EXECUTE p", Effect.UNKNOWN),
    ("EXECUTE p", Effect.UNKNOWN),
]


@pytest.mark.parametrize("text", HARMLESS)
def test_housekeeping_of_clients_and_pools_is_a_plain_read(text: str) -> None:
    reading = read(text)
    assert reading.problem is None, reading.problem
    assert reading.effects == {Effect.READ}, reading.unknowns


@pytest.mark.parametrize(("text", "effect"), HARMFUL)
def test_what_changes_the_session_says_so(text: str, effect: Effect) -> None:
    reading = read(text)
    assert reading.problem is None, reading.problem
    assert effect in reading.effects


def only(text: str) -> Statement:
    (statement,) = read(text).statements
    return statement


def test_prepare_hands_its_statement_to_execute() -> None:
    prepared = only("PREPARE p AS DELETE FROM t")
    assert prepared.effects == {Effect.READ}
    ((name, inner),) = prepared.prepares
    assert (name, inner.tag) == ("p", "DELETE")
    assert inner.effects == {Effect.BULK_WRITE}
    view = SessionView(prepared=prepared.prepares)
    later = read("EXECUTE p", session=view)
    assert later.effects == {Effect.BULK_WRITE}
    assert [use.label for use in later.objects] == ["t"]
    assert later.statements[0].marks == inner.marks
    assert not later.text_only


def test_deallocate_says_what_to_forget() -> None:
    assert only("DEALLOCATE p").deallocates == "p"
    assert only("DEALLOCATE ALL").deallocates == "*"
    assert only("DISCARD ALL").deallocates == "*"
    assert only("DISCARD PLANS").deallocates == ""


@pytest.mark.parametrize("verb", ["FETCH ALL FROM", "MOVE ALL IN"])
def test_fetch_runs_a_portal_that_the_protocol_bound(verb: str) -> None:
    view = SessionView(portals=(("x", only("DELETE FROM t RETURNING id")),))
    assert Effect.BULK_WRITE in read(f"{verb} x", session=view).effects
    assert read(f"{verb} y", session=view).effects == {Effect.READ}
    assert not read(f"{verb} x", session=view).text_only


@pytest.mark.parametrize("verb", ["FETCH ALL FROM", "MOVE ALL IN"])
def test_fetch_from_a_cursor_can_be_remembered(verb: str) -> None:
    view = SessionView(portals=(("x", only("SELECT 1")),))
    assert read(f"{verb} y").text_only
    assert read(f"{verb} y", session=view).text_only


def test_execute_can_never_be_remembered() -> None:
    assert not read("EXECUTE p").text_only
    assert not read("PREPARE p AS SELECT 1; EXECUTE p").text_only
    assert not read("EXPLAIN EXECUTE p").text_only


def test_text_alone_decides_what_names_nothing_of_the_session() -> None:
    view = SessionView(prepared=only("PREPARE p AS DELETE FROM t").prepares)
    assert read("SELECT 1", session=view).text_only


def test_backslashes_are_unknown_while_they_escape() -> None:
    view = SessionView(standard_conforming_strings=False)
    hidden = r"SELECT '\'' ; DELETE FROM t; --'"
    assert read(hidden).effects == {Effect.READ}
    assert read(hidden, session=view).effects == {Effect.UNKNOWN}
    assert read("SELECT 'plain'", session=view).effects == {Effect.READ}
    assert not read("SELECT 'plain'", session=view).text_only


def test_other_encodings_are_unknown_beyond_ascii() -> None:
    view = SessionView(encoding="SJIS")
    assert read("SELECT 'ä'", session=view).effects == {Effect.UNKNOWN}
    assert read("SELECT 'a'", session=view).effects == {Effect.READ}
    assert read("SELECT 'ä'", session=SessionView(encoding="utf8")).effects == {Effect.READ}


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("BEGIN", TransactionMark.BEGIN),
        ("START TRANSACTION READ ONLY", TransactionMark.BEGIN),
        ("COMMIT", TransactionMark.COMMIT),
        ("ROLLBACK", TransactionMark.ROLLBACK),
        ("SAVEPOINT a", TransactionMark.SAVEPOINT),
        ("ROLLBACK TO SAVEPOINT a", TransactionMark.ROLLBACK_TO),
        ("RELEASE a", TransactionMark.NONE),
        ("PREPARE TRANSACTION 'x'", TransactionMark.PREPARE_TRANSACTION),
        ("SELECT 1", TransactionMark.NONE),
    ],
)
def test_transaction_control_is_marked(text: str, mark: TransactionMark) -> None:
    assert only(text).transaction is mark
