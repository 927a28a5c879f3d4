"""PL/pgSQL bodies: every statement they could run is found, and what cannot be read is said."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdpoint.embedded import EmbeddedPostgres
from holdpoint.model.limits import CODE_CHARS_MAX, CODE_STATEMENTS_MAX
from holdpoint.sql import read
from holdpoint.sql.plpgsql import code_of, trigger_code_of
from sql.plpgsql_corpus import (
    ALWAYS,
    BODIES,
    DECLARATIONS,
    DECLARED,
    SCHEMA,
    STATEMENTS,
    changed_bodies,
)
from support.servers import fresh_database


def plain(texts: tuple[str, ...]) -> list[str]:
    """Statements with their white space made even."""
    return [" ".join(text.split()) for text in texts]


@pytest.mark.parametrize("text", STATEMENTS)
def test_a_statement_runs_this_sql(text: str) -> None:
    code = code_of(f"{DECLARED} BEGIN {text} END;")
    found = [part for part in plain(code.statements) if part not in ALWAYS]
    expected = [" ".join(part.split()) for part in STATEMENTS[text]]
    assert code.unknowns == ()
    assert found == [part for part in dict.fromkeys(expected) if part not in ALWAYS]
    assert set(expected) <= set(plain(code.statements))


@pytest.mark.parametrize("text", DECLARATIONS)
def test_a_declaration_runs_this_sql(text: str) -> None:
    code = code_of(f"DECLARE {text}; BEGIN END")
    assert code.unknowns == ()
    assert plain(code.statements) == DECLARATIONS[text]


def test_the_server_accepts_these_bodies(postgres: EmbeddedPostgres) -> None:
    """What the tests above read is real: the server compiles it and checks its SQL."""
    with (
        fresh_database(postgres, SCHEMA) as name,
        psycopg.connect(postgres.url(database=name), autocommit=True) as connection,
    ):
        refused = []
        for body in BODIES:
            head = "CREATE OR REPLACE FUNCTION f(int) RETURNS SETOF int LANGUAGE plpgsql AS"
            try:
                connection.execute(f"{head} $xx$ {body} $xx$".encode())
            except psycopg.Error as error:
                refused.append((body.rpartition("BEGIN")[2], str(error).splitlines()[0]))
        assert refused == []


DYNAMIC = [
    "EXECUTE s;",
    "EXECUTE 'DELETE ' || 'FROM t';",
    "EXECUTE 'DELETE FROM ' || s;",
    "EXECUTE format('DELETE FROM t');",
    "EXECUTE format('DROP TABLE %I', s) USING 1;",
    "EXECUTE ('DELETE FROM t'::varchar(6));",
    "EXECUTE quote_ident(s) INTO x;",
    "EXECUTE (SELECT b FROM t);",
    "EXECUTE 'SELECT 1' FROM t;",
    "EXECUTE CASE WHEN flag THEN 'SELECT 1' ELSE 'SELECT 2' END;",
    "RETURN QUERY EXECUTE s USING 1;",
    "FOR r IN EXECUTE s LOOP NULL; END LOOP;",
    "FOR r IN EXECUTE s USING 1, 2 LOOP NULL; END LOOP;",
    "OPEN c FOR EXECUTE s;",
    "OPEN c FOR EXECUTE s USING x;",
    "BEGIN NULL; EXCEPTION WHEN others THEN EXECUTE SQLERRM; END;",
    "IF false THEN EXECUTE s; END IF;",
    "RETURN; EXECUTE s;",
]


@pytest.mark.parametrize("text", DYNAMIC)
def test_sql_built_while_running_is_not_known(text: str) -> None:
    code = code_of(f"{DECLARED} BEGIN\nNULL; {text} END")
    assert code.unknowns == ("builds SQL while it runs, in line 5",)


def test_a_constant_that_hides_sql_is_read_to_its_end() -> None:
    code = code_of(
        "BEGIN EXECUTE E'SELECT 1\\x3b DROP TABLE t'; EXECUTE U&'DROP \\0054ABLE u'; END"
    )
    assert code.statements == ("SELECT 1; DROP TABLE t", "DROP TABLE u")
    assert code.unknowns == ()


def test_a_constant_that_is_no_sql_is_unknown() -> None:
    assert code_of("BEGIN EXECUTE 'DELETE FRO t'; END").unknowns
    assert code_of("BEGIN EXECUTE ''; END").unknowns == ()


@pytest.mark.parametrize(
    "text", ["COMMIT;", "ROLLBACK;", "COMMIT AND CHAIN;", "rollback and no chain;"]
)
def test_ends_of_transactions_are_told(text: str) -> None:
    code = code_of(f"BEGIN LOOP {text} END LOOP; END")
    assert code.ends_transactions
    assert code.unknowns == ()
    assert not code_of(
        "DECLARE commit int; BEGIN commit := 1; PERFORM 'COMMIT;'; END"
    ).ends_transactions


def test_moving_a_cursor_is_told_since_it_may_be_any_portal() -> None:
    assert code_of("DECLARE c refcursor := 'portal'; BEGIN MOVE ALL IN c; END").moves_cursors
    assert not code_of("DECLARE c CURSOR FOR SELECT 1; BEGIN OPEN c; CLOSE c; END").moves_cursors


# The grammar ends here, so nothing is known: the server refuses these, or will once it has run on.
REFUSED = [
    "",
    "SELECT 1",
    "BEGIN",
    "BEGIN NULL",
    "BEGIN NULL; END; DELETE FROM t;",
    "BEGIN NULL; END x y",
    "BEGIN IF true THEN NULL; END; END",
    "BEGIN IF true THEN NULL; END LOOP; END",
    "BEGIN LOOP END LOOP END",
    "BEGIN x int; END",
    "BEGIN (DELETE FROM t); END",
    "BEGIN EXECUTE 'SELECT a ' 'FROM t'; END",
    "BEGIN PERFORM; END",
    "BEGIN PERFORM (1; END",
    "BEGIN PERFORM 1); END",
    "BEGIN x[1; DELETE FROM t; END",
    "BEGIN a.b DELETE FROM t; END",
    "BEGIN SELECT 1 INTO f(), x; END",
    "BEGIN SELECT 1 INTO x INTO y; END",
    "BEGIN SELECT (a).insert INTO u2 FROM t; END",
    "BEGIN SELECT x.insert INTO u2 FROM t; END",
    "BEGIN EXCEPTION DELETE FROM t; END",
    "BEGIN EXCEPTION WHEN f() THEN NULL; END",
    "BEGIN CASE 1 WHEN SELECT g(1) THEN NULL; END CASE; END",
    "BEGIN CREATE FUNCTION h() RETURNS int BEGIN ATOMIC SELECT 1; END; END",
    "BEGIN CREATE RULE r AS ON INSERT TO t DO (DELETE FROM u; DELETE FROM t); END",
    "BEGIN FETCH ABSOLUTE last(1) INTO x; END",
    "BEGIN COMMIT PREPARED 'x'; END",
    "BEGIN RAISE NOTICE; DELETE FROM t; END; END",
    "BEGIN RAISE 'x' DELETE FROM t; END",
    "BEGIN GET DIAGNOSTICS x = f(); END",
    "<<a>> DELETE FROM t; BEGIN END",
    "#variable_conflict f() BEGIN END",
    "DECLARE x; BEGIN END",
    "DECLARE x int := ; BEGIN END",
    "DECLARE x int y; BEGIN END",
    "DECLARE DELETE FROM t; BEGIN END",
    "BEGIN PERFORM 'x; END",
    "BEGIN /* END",
]


@pytest.mark.parametrize("body", REFUSED)
def test_what_does_not_follow_the_grammar_is_unknown(body: str) -> None:
    assert code_of(body).unknowns


def test_words_of_the_language_behind_a_dot_hide_nothing() -> None:
    code = code_of("BEGIN FETCH ABSOLUTE last(g(1)) FROM c INTO x; RETURN query.x; END")
    assert "SELECT query.x" in code.statements
    assert any("g(1)" in text for text in code.statements)


def test_a_letter_that_folds_only_in_unicode_is_no_letter_of_a_word() -> None:
    code = code_of("DECLARE \u212aok int; BEGIN \u212aok := 1; ROLLBAC\u212a; END")
    assert not code.ends_transactions
    assert code.unknowns


def test_options_at_the_beginning_are_read() -> None:
    body = "#print_strict_params on\n#option dump\nBEGIN PERFORM 1; END"
    assert code_of(body).statements == ("SELECT 1",)


def test_where_columns_win_over_variables_both_are_read() -> None:
    body = "DECLARE id int; BEGIN DELETE FROM t WHERE t.id = id; END"
    assert code_of(body).statements[1:] == ("DELETE FROM t WHERE t.id = $1",)
    assert code_of(f"#variable_conflict use_column {body}").statements[1:] == (
        "DELETE FROM t WHERE t.id = $1",
        "DELETE FROM t WHERE t.id = id",
    )


def test_names_of_arguments_are_variables() -> None:
    body = 'BEGIN DELETE FROM t WHERE keep AND "No" AND t.keep; END'
    assert code_of(body, ("keep", "No")).statements == ("DELETE FROM t WHERE $1 AND $1 AND t.keep",)
    assert code_of(body).statements == (body[6:-5],)


LONG = "x" * 70


@pytest.mark.parametrize(
    ("declared", "named"),
    [
        ("DONE", "done"),
        ('"a""b"', '"a""b"'),
        ('"Yes"', '"Yes"'),
        ("ab", 'U&"\\0061b"'),
        ("é", "é"),
        (LONG, LONG),
        (LONG, LONG[:63]),
        (f'"{LONG}"', LONG),
        (f"é{LONG}", f"é{LONG[:61]}"),
    ],
)
def test_a_variable_is_known_however_it_is_written(declared: str, named: str) -> None:
    code = code_of(f"DECLARE {declared} bool; BEGIN DELETE FROM t WHERE {named}; END")
    assert code.statements[1] == "DELETE FROM t WHERE $1"


def test_what_a_trigger_gives_is_a_variable() -> None:
    body = "BEGIN DELETE FROM t WHERE found AND tg_nargs = 0 AND new.a; RETURN new; END"
    code = trigger_code_of(body)
    assert code.statements == ("DELETE FROM t WHERE $1 AND $1 = 0 AND $1.a", "SELECT $1")


@pytest.mark.parametrize(
    "body",
    [
        "<<t>> DECLARE yes bool := true; BEGIN DELETE FROM t WHERE t.yes; END",
        "DECLARE t record; BEGIN SELECT true AS yes INTO t; DELETE FROM t WHERE t.yes; END",
        "BEGIN <<t>> FOR yes IN 1..2 LOOP DELETE FROM t WHERE t.yes; END LOOP; END",
        "DECLARE t record; BEGIN FOR t IN SELECT true AS yes LOOP DELETE FROM t WHERE t.yes; "
        "END LOOP; END",
    ],
)
def test_a_label_or_record_called_like_the_table_hides_no_variable(body: str) -> None:
    assert "DELETE FROM t WHERE $1.yes" in code_of(body).statements


def test_limits_are_said_in_words() -> None:
    many = "BEGIN " + "".join(f"PERFORM {n};" for n in range(CODE_STATEMENTS_MAX + 1)) + "END"
    assert code_of(many).unknowns == ("runs more than 2,000 statements",)
    long = "BEGIN PERFORM '" + "x" * CODE_CHARS_MAX + "'; END"
    assert code_of(long).unknowns == ("has a body of more than 1,048,576 characters",)


@pytest.mark.parametrize(
    "body",
    [
        "BEGIN " + "IF true THEN " * 50_000,
        "BEGIN " * 100_000,
        "BEGIN " * 50_000 + "END;" * 50_000,
        "BEGIN PERFORM " + "(" * 100_000,
        "BEGIN x" + "[1]" * 50_000 + " := 1; END",
        "BEGIN x := " + "1+" * 100_000 + "1; END",
        "BEGIN EXECUTE '" + "(" * 100_000 + "'; END",
        "DECLARE " + "x int; " * 50_000 + "BEGIN END",
        "<<a>> " * 50_000,
        "/*" * 100_000,
    ],
    ids=lambda body: body[:30],
)
def test_bodies_made_to_exhaust_the_reader(body: str) -> None:
    code_of(body)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body[-40:])
def test_a_body_cut_off_is_never_read_as_whole(body: str) -> None:
    whole = body.rindex("END")
    for end in range(0, whole + 3, 3):
        assert code_of(body[:end]).unknowns or end >= whole + 3


@given(changed_bodies())
@settings(max_examples=300)
def test_what_is_found_is_sql(body: str) -> None:
    for found in code_of(body).statements:
        assert read(found).problem is None


@given(st.text())
def test_any_text(text: str) -> None:
    code = code_of(text)
    assert code.unknowns or "begin" in text.lower()
