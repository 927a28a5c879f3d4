"""Bodies by their language, and DO blocks: they do what the statements in their code do."""

from __future__ import annotations

import re

import psycopg
import pytest
from hypothesis import given, settings

from holdpoint.embedded import EmbeddedPostgres
from holdpoint.impact.hazards import findings_of
from holdpoint.model.catalog import CatalogRows, Function
from holdpoint.model.effects import Effect, MarkKind, Reading, SessionView, Statement
from holdpoint.model.limits import CODE_CHARS_MAX
from holdpoint.sql import read
from holdpoint.sql.bodies import statements_of
from holdpoint.sql.names import Catalog
from sql.plpgsql_corpus import changed_bodies
from support.servers import fresh_database

SCHEMA = """
    CREATE TABLE t (id int PRIMARY KEY, a int, b text, done bool);
    INSERT INTO t SELECT n, n, 'b', true FROM generate_series(1, 5) n;
"""

# DO blocks with their effects, as they run on the tables above.
BLOCKS = {
    "BEGIN END": "read",
    "BEGIN PERFORM 1; END": "read",
    "DECLARE n int; BEGIN SELECT count(*) INTO n FROM t; RAISE NOTICE '%', n; END": "read",
    "DECLARE r record; BEGIN FOR r IN SELECT * FROM t LOOP NULL; END LOOP; END": "read",
    "BEGIN IF EXISTS (SELECT 1 FROM t) THEN RAISE 'x'; END IF; EXCEPTION WHEN others THEN END": (
        "read"
    ),
    "BEGIN EXECUTE 'SELECT 1'; END": "read",
    "BEGIN INSERT INTO t VALUES (9); END": "write",
    "BEGIN DELETE FROM t WHERE id = 1; END": "write",
    "DECLARE n int := 1; BEGIN DELETE FROM t WHERE id = n; END": "read write",
    "BEGIN DELETE FROM t; END": "bulk_write",
    "BEGIN DELETE FROM t WHERE true; END": "bulk_write",
    "DECLARE yes bool := true; BEGIN DELETE FROM t WHERE yes; END": "read bulk_write",
    "DECLARE n int := 1; BEGIN DELETE FROM t WHERE n = 1; END": "read bulk_write",
    "<<t>> DECLARE yes bool := true; BEGIN DELETE FROM t WHERE t.yes; END": "read bulk_write",
    "DECLARE r record; BEGIN FOR r IN SELECT 1 AS id LOOP DELETE FROM t WHERE id = r.id; END LOOP; "
    "END": "read write",
    "BEGIN PERFORM 1; DELETE FROM t WHERE inline_code_block.found; END": "read bulk_write",
    "#variable_conflict use_column\nDECLARE id int; BEGIN DELETE FROM t WHERE t.id = id; END": (
        "read write bulk_write"
    ),
    "BEGIN PERFORM 1; DELETE FROM t WHERE found; END": "read bulk_write",
    "DECLARE i int; BEGIN SELECT 1 INTO i; DELETE FROM t WHERE i IS NOT NULL; END": (
        "read bulk_write"
    ),
    "BEGIN RETURN; DELETE FROM t; END": "bulk_write",
    "BEGIN IF false THEN DELETE FROM t; END IF; END": "read bulk_write",
    "BEGIN EXECUTE 'DELETE FROM t'; END": "bulk_write",
    "DECLARE r record; BEGIN FOR r IN DELETE FROM t RETURNING * LOOP NULL; END LOOP; END": (
        "read bulk_write"
    ),
    "DECLARE r record; BEGIN FOR r IN EXECUTE 'DELETE FROM t RETURNING *' LOOP END LOOP; END": (
        "read bulk_write"
    ),
    "DECLARE c CURSOR FOR DELETE FROM t RETURNING id; BEGIN NULL; END": "bulk_write",
    "BEGIN WITH d AS (DELETE FROM t RETURNING id) INSERT INTO t SELECT id + 9 FROM d; END": (
        "read write bulk_write"
    ),
    "BEGIN RAISE 'x'; EXCEPTION WHEN others THEN DELETE FROM t; END": "bulk_write",
    "BEGIN TRUNCATE t; END": "destructive",
    "BEGIN DROP TABLE t; END": "ddl destructive",
    "BEGIN CREATE TABLE n (a int); EXECUTE 'INSERT INTO n VALUES (1)'; END": "write ddl",
    "BEGIN PERFORM pg_sleep(0); END": "read exhaustion",
    "BEGIN PERFORM pg_read_file('PG_VERSION'); END": "read server_side",
    "BEGIN COPY t TO PROGRAM 'cat'; END": "read server_side",
    "BEGIN GRANT SELECT ON t TO public; END": "privilege",
    "BEGIN COMMIT; END": "session_escape",
    "BEGIN RESET ALL; END": "read session_escape",
    "BEGIN INSERT INTO t VALUES (8); ROLLBACK; END": "write session_escape",
    "BEGIN SET default_transaction_read_only = off; END": "session_escape",
    "BEGIN PERFORM set_config('search_path', 'pg_temp, x', true); END": "read session_escape",
    "DECLARE s text := 'DELETE FROM t'; BEGIN EXECUTE s; END": "read unknown",
    "BEGIN EXECUTE format('DELETE FROM %I', 't'); END": "read unknown",
    "BEGIN PERFORM nobody_knows(1); EXCEPTION WHEN others THEN NULL; END": "read unknown",
    "BEGIN DO 'BEGIN DELETE FROM t; END'; END": "unknown",
    "BEGIN EXECUTE 'DO $x$BEGIN DELETE FROM t; END$x$'; END": "unknown",
}


def only(reading: Reading) -> Statement:
    assert len(reading.statements) == 1
    return reading.statements[0]


def block(body: str) -> str:
    return f"DO $body$ {body} $body$"


@pytest.mark.parametrize("body", BLOCKS)
def test_a_block_does_what_its_statements_do(body: str) -> None:
    statement = only(read(block(body)))
    assert {effect.value for effect in statement.effects} == set(BLOCKS[body].split())
    assert statement.tag == "DO"
    assert statement.rows_max is None


def test_these_blocks_run(postgres: EmbeddedPostgres) -> None:
    """What the test above reads is real; a read runs where nothing may be written."""
    with (
        fresh_database(postgres, SCHEMA) as name,
        psycopg.connect(postgres.url(database=name), autocommit=True) as connection,
    ):
        failed = []
        for body, effects in BLOCKS.items():
            read_only = effects in ("read", "session_escape")
            ends = "session_escape" in effects.split()
            if not ends:
                connection.execute(f"BEGIN{' READ ONLY' if read_only else ''}")
            try:
                connection.execute(block(body).encode())
            except psycopg.Error as error:
                failed.append((body, str(error).splitlines()[0]))
            if not ends:
                connection.execute("ROLLBACK")
        assert failed == []


def test_no_block_that_the_server_refuses_as_a_write_is_read_as_harmless(
    postgres18: EmbeddedPostgres,
) -> None:
    """Bodies made at random, run where nothing may be written."""
    script = f"{SCHEMA} CREATE TABLE u (id int, a int); CREATE TYPE pair AS (x int, y int)"
    with (
        fresh_database(postgres18, script) as name,
        psycopg.connect(postgres18.url(database=name), autocommit=True) as connection,
    ):
        connection.execute("SET statement_timeout = '200ms'")

        @given(changed_bodies())
        @settings(max_examples=60, deadline=None)
        def check(body: str) -> None:
            text = block(re.sub(r"\bg\s*\(", "abs(", body))  # a function that is known
            connection.execute("BEGIN READ ONLY")
            try:
                connection.execute(text.encode())
            except psycopg.errors.ReadOnlySqlTransaction:
                assert read(text).effects - {Effect.READ, Effect.EXHAUSTION}
            except psycopg.Error:
                pass
            finally:
                connection.execute("ROLLBACK")

        check()


def test_a_block_names_what_it_uses() -> None:
    statement = only(read(block("BEGIN DELETE FROM t; PERFORM abs(a) FROM s.u; END")))
    assert {use.label for use in statement.objects} == {"t", "s.u"}
    assert "abs" in statement.functions
    assert [mark.kind for mark in statement.marks] == [MarkKind.NO_WHERE]


def test_a_block_that_is_read_has_no_finding_of_code_that_is_not() -> None:
    assert findings_of(read(block("BEGIN UPDATE t SET a = 1 WHERE id = 1; END"))) == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            block("BEGIN\nEXECUTE s; END"),
            "runs a DO block that builds SQL while it runs, in line 2",
        ),
        (block("BEGIN x"), "runs a DO block that has code that is not understood, in line 1"),
        ("DO LANGUAGE plperl 'x'", "runs a DO block that is written in `plperl`, which Holdpoint"),
        ("DO 'x' LANGUAGE \"PlPgSQL\"", "runs a DO block that is written in `PlPgSQL`, which"),
    ],
)
def test_what_is_not_known_of_a_block_is_said(text: str, words: str) -> None:
    reading = read(text)
    assert reading.effects >= {Effect.UNKNOWN}
    assert reading.unknowns[0].startswith(words)
    assert [finding.code for finding in findings_of(reading)] == ["HP5109"]
    assert findings_of(reading)[0].message.startswith("a DO block ")


@pytest.mark.parametrize(
    "text",
    [
        "DO 'BEGIN DELETE FROM t; END'",
        "DO 'BEGIN DELETE FROM t; END' LANGUAGE plpgsql",
        "DO LANGUAGE plpgsql E'BEGIN\\nDELETE FROM t; END'",
        "DO LANGUAGE PLpgSQL U&'BEGIN DELETE FROM \\0074; END'",
        "DO $a$BEGIN EXECUTE $b$DELETE FROM t$b$; END$a$",
    ],
)
def test_a_block_is_read_however_it_is_quoted(text: str) -> None:
    assert read(text).effects == {Effect.BULK_WRITE}


def test_what_a_block_prepares_is_done_and_no_longer_known_by_its_old_name() -> None:
    harmless = only(read("SELECT 1"))
    view = SessionView(prepared=(("q", harmless),))
    text = block("BEGIN EXECUTE 'DEALLOCATE q'; PREPARE q AS DELETE FROM t; END")
    assert Effect.BULK_WRITE in read(text, session=view).effects
    after = read(f"{text}; EXECUTE q", session=view).statements[1]
    assert Effect.UNKNOWN in after.effects


def test_a_block_that_moves_a_cursor_may_run_what_the_protocol_bound() -> None:
    view = SessionView(portals=(("p", only(read("DELETE FROM t RETURNING id"))),))
    moving = block("DECLARE c refcursor := 'p'; BEGIN MOVE ALL IN c; END")
    reading = read(moving, session=view)
    assert Effect.BULK_WRITE in reading.effects
    assert not reading.text_only
    assert read(moving).text_only


def test_a_backslash_in_a_block_has_the_meaning_of_the_session() -> None:
    view = SessionView(standard_conforming_strings=False)
    assert read(block(r"BEGIN PERFORM '\''; END"), session=view).effects == {Effect.UNKNOWN}


def test_a_block_has_the_limits_of_bodies() -> None:
    reading = read(block(f"BEGIN PERFORM '{'x' * CODE_CHARS_MAX}'; END"))
    assert reading.effects == {Effect.UNKNOWN}


@pytest.mark.parametrize("body", BLOCKS)
def test_every_prefix_of_a_block_has_an_answer(body: str) -> None:
    for end in range(len(body)):
        effects = read(block(body[:end])).effects
        assert Effect.UNKNOWN in effects


# --- functions ------------------------------------------------------------------------------------


def function(language: str, body: str, *names: str) -> Function:
    return Function(oid=1, schema="s", name="f", language=language, body=body, argument_names=names)


def test_a_body_of_sql_is_its_own_statements() -> None:
    code = statements_of(function("sql", "DELETE FROM t WHERE keep; SELECT 1", "keep"))
    assert code.statements == (  # a column of that name would be meant
        "DELETE FROM t WHERE $1; SELECT 1",
        "DELETE FROM t WHERE keep; SELECT 1",
    )
    assert code.unknowns == ()


def test_a_body_of_plpgsql_is_read() -> None:
    code = statements_of(function("plpgsql", "BEGIN DELETE FROM t WHERE keep; END", "keep"))
    assert code.statements == ("DELETE FROM t WHERE $1",)


def test_a_function_for_triggers_has_their_variables() -> None:
    body = "BEGIN DELETE FROM t WHERE tg_op = 'x' AND f.keep; RETURN NULL; END"
    trigger = Function(oid=1, schema="s", name="f", language="plpgsql", body=body, returns=2279)
    deletion = "DELETE FROM t WHERE $1 = 'x' AND $1.keep"
    assert statements_of(trigger).statements == (deletion, "SELECT NULL")


@pytest.mark.parametrize("language", ["c", "internal", "plpython3u", "plperl", "plv8", ""])
def test_other_languages_are_named(language: str) -> None:
    code = statements_of(function(language, "SELECT 1"))
    assert code.statements == ()
    assert code.unknowns == (f"is written in `{language}`, which Holdpoint does not read",)


def test_a_body_of_sql_that_is_no_sql_is_unknown() -> None:
    assert statements_of(function("sql", "DELETE FRO t")).unknowns
    assert statements_of(function("sql", "x" * (CODE_CHARS_MAX + 1))).unknowns
    assert statements_of(function("sql", "SELECT '\ud800'")).unknowns


def test_a_block_that_may_run_what_it_defines_is_unknown() -> None:
    rows = CatalogRows(
        version=180000,
        role="agent",
        search_path=("public",),
        functions=(Function(oid=9, schema="public", name="safe", body="SELECT 1"),),
    )
    catalog = Catalog(rows)
    harmless = "BEGIN PERFORM safe(); END"
    assert Effect.UNKNOWN not in read(block(harmless), catalog=catalog).effects
    define = "CREATE OR REPLACE FUNCTION safe() RETURNS void LANGUAGE sql AS 'DELETE FROM t'"
    both = f"BEGIN {define}; PERFORM safe(); END"
    assert Effect.UNKNOWN in read(block(both), catalog=catalog).effects
    assert Effect.UNKNOWN not in read(block(f"BEGIN {define}; END"), catalog=catalog).effects
