"""What a statement does, whatever it is written like. Each line: the text, its effects."""

from __future__ import annotations

import pytest

from holdpoint.model.effects import Effect
from holdpoint.sql import read

QUERIES = """
SELECT 1                                                           | read
select/**/a from/* x /* nested */ */ t -- DELETE FROM t            | read
VALUES (1), (2)                                                    | read
TABLE orders                                                       | read
SELECT a, count(*) FILTER (WHERE b > 1) OVER (PARTITION BY c ORDER BY d) FROM t | read
SELECT * FROM JSON_TABLE('[1]', '$[*]' COLUMNS (a int PATH '$')) j | read
SELECT x::citext, y::my_enum, CAST('a' AS app.mood) FROM t         | read
SELECT a COLLATE "C", b AT TIME ZONE 'utc', current_user FROM t    | read
SELECT 'DROP TABLE t; DELETE FROM t'                               | read
SELECT $$DELETE FROM t$$, E'\\'; DELETE FROM t --'                 | read
SELECT * FROM t TABLESAMPLE bernoulli(1)                           | read
SELECT * FROM ROWS FROM (generate_series(1,2), unnest(ARRAY[1])) AS x | read
WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT * FROM r | read
SELECT embedding <=> '[1]' FROM items ORDER BY 1 LIMIT 5           | read
SELECT random(), gen_random_uuid(), clock_timestamp(), currval('s') | read
SELECT a FROM t FOR UPDATE                                         | read write
SELECT a FROM t FOR KEY SHARE                                      | read write
SELECT * FROM (SELECT * FROM t FOR UPDATE) x                       | read write
SELECT nextval('s')                                                | read write
SELECT setval('s', 1)                                              | read write
SELECT pg_notify('c', 'x')                                         | read write
SELECT a INTO t2 FROM t                                            | read ddl
SELECT 1 INTO t2 UNION SELECT 2                                    | read ddl
SELECT f(1)                                                        | read unknown
SELECT "LOWER"('x')                                                | read unknown
SELECT public.lower('x')                                           | read unknown
SELECT pg_catalog.lower('x')                                       | read
SELECT information_schema._pg_truetypid(a, t) FROM x               | read
SELECT a OPERATOR(pg_catalog.+) b FROM t                           | read
SELECT a OPERATOR(public.+) b FROM t                               | read unknown
SELECT a @#@ b FROM t                                              | read unknown
SELECT a FROM t ORDER BY a USING OPERATOR(x.<)                     | read unknown
SELECT a FROM t WHERE b OPERATOR(x.=) ANY (SELECT 1)               | read unknown
SELECT a FROM t WHERE b OPERATOR(x.=) ANY (ARRAY[1])               | read unknown
SELECT "RI_FKey_cascade_del"()                                     | read unknown
"""

# Wherever an expression can stand, a function in it is found.
PLACES = [
    "SELECT * FROM {f} AS x",
    "SELECT a FROM t ORDER BY {f}",
    "SELECT a FROM t GROUP BY ROLLUP ({f})",
    "SELECT a FROM t HAVING {f} IS NULL",
    "SELECT a FROM t LIMIT {f}",
    "SELECT a FROM t OFFSET {f}",
    "SELECT DISTINCT ON ({f}) a FROM t",
    "SELECT count(*) FILTER (WHERE {f} IS NULL) FROM t",
    "SELECT sum(a) OVER (ORDER BY {f}) FROM t",
    "SELECT sum(a) OVER w FROM t WINDOW w AS (PARTITION BY {f})",
    "SELECT string_agg(a, ',' ORDER BY {f}) FROM t",
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY {f}) FROM t",
    "SELECT CASE WHEN a THEN {f} ELSE 1 END FROM t",
    "SELECT ARRAY[1, {f}], ROW({f})",
    "SELECT (ARRAY[1])[{f}]",
    "SELECT COALESCE(NULL, {f}), GREATEST(1, {f}), NULLIF(1, {f})",
    "SELECT a FROM t JOIN u ON {f} IS NULL",
    "SELECT a FROM t WHERE EXISTS (SELECT {f})",
    "SELECT a FROM t WHERE a IN (1, {f})",
    "SELECT a FROM t WHERE a BETWEEN 1 AND {f}",
    "SELECT {f}::text::int",
    "SELECT lower(x => {f})",
    "SELECT * FROM t, LATERAL (SELECT {f}) y",
    "SELECT * FROM t TABLESAMPLE system ({f})",
    "SELECT * FROM XMLTABLE('/a' PASSING {f} COLUMNS b int PATH 'c')",
    "SELECT XMLELEMENT(NAME a, {f})",
    "SELECT JSON_OBJECT('a': {f}), JSON_ARRAY({f}), JSON_VALUE({f}, '$.a')",
    "SELECT * FROM JSON_TABLE({f}, '$' COLUMNS (a int PATH '$'))",
    "VALUES (1), ({f})",
    "WITH x AS MATERIALIZED (SELECT {f}) SELECT 1",
    "SELECT 1 UNION ALL SELECT {f}",
    "INSERT INTO t VALUES ({f})",
    "INSERT INTO t VALUES (1) RETURNING {f}",
    "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = {f}",
    "INSERT INTO t VALUES (1) ON CONFLICT (a) WHERE {f} IS NULL DO NOTHING",
    "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 1 WHERE {f} IS NULL",
    "UPDATE t SET a = {f} WHERE id = 1",
    "UPDATE t SET (a, b) = (SELECT 1, {f}) WHERE id = 1",
    "UPDATE t SET a[{f}] = 1 WHERE id = 1",
    "DELETE FROM t USING {f} AS x WHERE t.id = 1",
    "DELETE FROM t WHERE id = 1 AND {f} IS NULL",
    "MERGE INTO t USING (SELECT {f}) s ON t.id = 1 WHEN MATCHED THEN DO NOTHING",
    "MERGE INTO t USING s ON t.id = 1 WHEN MATCHED AND {f} IS NULL THEN DO NOTHING",
    "MERGE INTO t USING s ON t.id = s.id WHEN NOT MATCHED THEN INSERT VALUES ({f})",
    "COPY (SELECT {f}) TO STDOUT",
    "COPY t FROM STDIN WHERE {f} IS NULL",
    "DECLARE c CURSOR FOR SELECT {f}",
    "EXPLAIN ANALYZE SELECT {f}",
    "CREATE TABLE x AS SELECT {f}",
    "CREATE TABLE x (a int DEFAULT {f})",
    "CREATE TABLE x (a int CHECK ({f} IS NULL))",
    "CREATE TABLE x (a int GENERATED ALWAYS AS ({f}) STORED)",
    "CREATE INDEX ON t ({f})",
    "CREATE INDEX ON t (a) WHERE {f} IS NULL",
    "CREATE MATERIALIZED VIEW v AS SELECT {f}",
    "ALTER TABLE t ALTER a TYPE int USING {f}",
    "ALTER TABLE t ADD COLUMN a int DEFAULT {f}",
    "PREPARE p AS SELECT 1; EXECUTE p({f})",
    "CALL p({f})",
    "SELECT 1; SELECT {f}",
    "CREATE SCHEMA s CREATE TABLE x (a int DEFAULT {f})",
    "CREATE DOMAIN d AS int CHECK ({f} IS NULL)",
    "CREATE STATISTICS s ON ({f}) FROM t",
    "CREATE TABLE x PARTITION OF y FOR VALUES IN ({f})",
]

CHANGES = """
INSERT INTO t VALUES (1)                                           | write
INSERT INTO t SELECT * FROM u                                      | read write
INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2       | write
UPDATE t SET a = 1 WHERE id = 7                                    | write
UPDATE t SET a = 1                                                 | bulk_write
DELETE FROM ONLY t WHERE id = 7                                    | write
DELETE FROM t                                                      | bulk_write
MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET a = s.a | write
MERGE INTO t USING s ON t.id = s.id WHEN NOT MATCHED THEN INSERT VALUES (1) | write
MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE              | bulk_write
MERGE INTO t USING s ON t.a = s.a WHEN NOT MATCHED BY SOURCE THEN DELETE | bulk_write
MERGE INTO t USING s ON t.a = s.a WHEN NOT MATCHED BY SOURCE AND a = 1 THEN DELETE | write
WITH d AS (DELETE FROM t WHERE id = 1 RETURNING *) SELECT * FROM d | read write
WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d              | read bulk_write
WITH a AS (SELECT 1), b AS (INSERT INTO t SELECT 1) SELECT * FROM a | read write
WITH a AS (UPDATE t SET x = 1 RETURNING *) INSERT INTO u VALUES (1) | write bulk_write
SELECT * FROM (WITH d AS (SELECT 1) TABLE d) x, LATERAL (SELECT pg_sleep(1)) y | read exhaustion
COPY t FROM STDIN                                                  | write
COPY t TO STDOUT                                                   | read
COPY (DELETE FROM t RETURNING *) TO STDOUT                         | bulk_write
TRUNCATE t                                                         | destructive
UPDATE pg_settings SET setting = 'off' WHERE name = 'transaction_read_only' | write session_escape
UPDATE pg_catalog.pg_authid SET rolsuper = true WHERE rolname = 'a' | write privilege
DELETE FROM pg_class WHERE oid = 1                                 | write privilege
NOTIFY c, 'x'                                                      | write
ANALYZE t                                                          | write
VACUUM t                                                           | write
"""

DEFINITIONS = """
CREATE TABLE t (a serial PRIMARY KEY, b int REFERENCES u (id))     | ddl
CREATE TEMP TABLE t (a int)                                        | ddl
CREATE TABLE t AS SELECT * FROM u                                  | read ddl
CREATE VIEW v AS SELECT * FROM u                                   | read ddl
CREATE MATERIALIZED VIEW v AS SELECT * FROM u                      | read ddl
CREATE INDEX CONCURRENTLY i ON t (a)                               | ddl
CREATE SCHEMA s                                                    | ddl
CREATE SCHEMA s CREATE TABLE t (a int) GRANT SELECT ON t TO x      | ddl privilege
CREATE SEQUENCE s                                                  | ddl
CREATE TYPE mood AS ENUM ('a')                                     | ddl
CREATE DOMAIN d AS int                                             | ddl
CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f() | ddl
CREATE RULE r AS ON INSERT TO t DO INSTEAD DELETE FROM u           | ddl
CREATE AGGREGATE a (int) (sfunc = f, stype = int)                  | ddl
CREATE OPERATOR === (leftarg = int, rightarg = int, procedure = f) | ddl
CREATE CAST (a AS b) WITH FUNCTION f(a)                            | ddl
CREATE DATABASE d                                                  | ddl
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'DELETE FROM t'    | ddl
CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS 'x' | ddl privilege
CREATE FUNCTION f() RETURNS int LANGUAGE plpython3u AS 'x'         | ddl server_side
CREATE OR REPLACE PROCEDURE p() LANGUAGE c AS 'lib', 'p'           | ddl server_side
ALTER FUNCTION f() SECURITY DEFINER                                | ddl privilege
ALTER TABLE t ADD COLUMN a int                                     | ddl
ALTER TABLE t DROP COLUMN a                                        | ddl destructive
ALTER TABLE t DROP CONSTRAINT c                                    | ddl
ALTER TABLE t OWNER TO x                                           | ddl privilege
ALTER TABLE t DISABLE ROW LEVEL SECURITY                           | ddl privilege
ALTER TABLE t RENAME TO u                                          | ddl
ALTER TABLE t SET SCHEMA s                                         | ddl
ALTER TABLE t ATTACH PARTITION p FOR VALUES IN (1)                 | ddl
ALTER TYPE mood ADD VALUE 'b'                                      | ddl
ALTER SCHEMA s OWNER TO x                                          | ddl privilege
COMMENT ON TABLE t IS 'x'                                          | ddl
DROP TABLE t                                                       | ddl destructive
DROP INDEX CONCURRENTLY i                                          | ddl destructive
DROP SCHEMA s CASCADE                                              | ddl destructive
DROP DATABASE d                                                    | ddl destructive
DROP FUNCTION f                                                    | ddl destructive
DROP TRIGGER g ON t                                                | ddl destructive
DROP POLICY p ON t                                                 | ddl destructive privilege
DROP ROLE r                                                        | destructive privilege
DROP OWNED BY r                                                    | destructive privilege
VACUUM FULL t                                                      | ddl
CLUSTER t                                                          | ddl
REINDEX TABLE t                                                    | ddl
REFRESH MATERIALIZED VIEW v                                        | ddl
GRANT SELECT ON t TO r                                             | privilege
REVOKE ALL ON ALL TABLES IN SCHEMA s FROM r                        | privilege
GRANT a TO b                                                       | privilege
CREATE ROLE r LOGIN PASSWORD 'x'                                   | privilege
ALTER ROLE r SUPERUSER                                             | privilege
ALTER ROLE r SET search_path = x                                   | privilege
ALTER DATABASE d SET default_transaction_read_only = off           | privilege
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO r                  | privilege
REASSIGN OWNED BY a TO b                                           | privilege
CREATE POLICY p ON t USING (true)                                  | privilege
SECURITY LABEL ON TABLE t IS 'x'                                   | privilege
CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION f()   | ddl privilege
"""

OUTSIDE = """
COPY t TO '/tmp/x'                                                 | read server_side
COPY t FROM '/tmp/x'                                               | write server_side
COPY t TO PROGRAM 'sh'                                             | read server_side
COPY (SELECT 1) TO PROGRAM 'sh'                                    | read server_side
SELECT pg_read_file('/etc/passwd')                                 | read server_side
SELECT U&"pg\\005fread_file"('x')                                  | read server_side
SELECT * FROM "pg_ls_dir"('.')                                     | read server_side
SELECT PG_CATALOG.PG_READ_BINARY_FILE('x')                         | read server_side
SELECT lo_import('/etc/passwd')                                    | read server_side write
SELECT lo_create(0)                                                | read write
SELECT lo_unlink(1)                                                | read destructive
SELECT * FROM dblink('x', 'DELETE FROM t') AS x(a int)             | read server_side
SELECT ext.dblink_exec('x')                                        | read server_side unknown
SELECT pg_terminate_backend(pid) FROM pg_stat_activity             | read server_side
SELECT pg_reload_conf()                                            | read server_side
SELECT pg_create_physical_replication_slot('s')                    | read server_side
SELECT query_to_xml('DELETE FROM t', true, true, '')               | read unknown
SELECT ts_stat('DELETE FROM t')                                    | read unknown
SELECT cursor_to_xml('c', 1, true, true, '')                       | read unknown
SELECT * FROM pg_shadow                                            | read privilege
SELECT * FROM pg_catalog.pg_file_settings                          | read server_side
CREATE EXTENSION dblink                                            | ddl server_side
CREATE SERVER s FOREIGN DATA WRAPPER w                             | ddl server_side
CREATE FOREIGN TABLE f (a int) SERVER s                            | ddl server_side
CREATE USER MAPPING FOR u SERVER s                                 | ddl server_side
IMPORT FOREIGN SCHEMA a FROM SERVER s INTO b                       | ddl server_side
CREATE PUBLICATION p FOR ALL TABLES                                | ddl server_side
CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p                 | ddl server_side
DROP SUBSCRIPTION s                                                | ddl server_side destructive
CREATE TABLESPACE s LOCATION '/x'                                  | ddl server_side
CREATE LANGUAGE l HANDLER h                                        | ddl server_side
ALTER SYSTEM SET fsync = off                                       | server_side
LOAD 'x'                                                           | server_side
CHECKPOINT                                                         | server_side
PREPARE TRANSACTION 'x'                                            | server_side
COMMIT PREPARED 'x'                                                | server_side
DO $$ BEGIN END $$                                                 | read
DO $$ BEGIN DELETE FROM t; END $$                                  | bulk_write
DO $$ BEGIN EXECUTE 'DROP TABLE t'; END $$                         | ddl destructive
DO $$ BEGIN EXECUTE 'DROP TABLE ' || a(); END $$                   | read unknown
DO $$ BEGIN COMMIT; END $$                                         | session_escape
DO LANGUAGE plpython3u $$ x $$                                     | unknown
CALL p()                                                           | unknown
SELECT pg_sleep(1)                                                 | read exhaustion
SELECT pg_advisory_xact_lock(1)                                    | read exhaustion
SELECT pg_advisory_unlock_all()                                    | read
LOCK TABLE t                                                       | exhaustion
LOCK TABLE t IN ACCESS SHARE MODE                                  | read
SELECT * FROM a, b                                                 | read exhaustion
SELECT * FROM a CROSS JOIN b                                       | read exhaustion
SELECT * FROM a, b WHERE a.id = b.id                               | read
SELECT * FROM a NATURAL JOIN b                                     | read
WITH a AS (SELECT 1) SELECT * FROM a, b                            | read
"""


def lines(table: str) -> list[tuple[str, set[str]]]:
    """The statements of a table with their effects."""
    rows = [line.rpartition("|") for line in table.strip().splitlines()]
    return [(text.strip(), set(effects.split())) for text, _, effects in rows]


def effects_of(text: str) -> set[str]:
    reading = read(text)
    assert reading.problem is None, reading.problem
    return {effect.value for effect in reading.effects}


@pytest.mark.parametrize(
    ("text", "expected"),
    [*lines(QUERIES), *lines(CHANGES), *lines(DEFINITIONS), *lines(OUTSIDE)],
    ids=lambda value: value[:60] if isinstance(value, str) else "",
)
def test_a_statement_has_the_effects_the_server_would_have(text: str, expected: set[str]) -> None:
    assert effects_of(text) == expected


@pytest.mark.parametrize("place", PLACES)
def test_a_function_is_found_wherever_it_stands(place: str) -> None:
    unknown = read(place.format(f="evil()"))
    assert unknown.problem is None, unknown.problem
    assert Effect.UNKNOWN in unknown.effects
    assert "evil" in unknown.functions
    sleeping = read(place.format(f="pg_sleep(9)"))
    assert Effect.EXHAUSTION in sleeping.effects


@pytest.mark.parametrize("place", PLACES)
def test_a_harmless_function_in_the_same_place_is_not_unknown(place: str) -> None:
    if not place.startswith("CALL"):
        assert Effect.UNKNOWN not in read(place.format(f="version()")).effects


def test_the_effects_of_a_message_are_those_of_all_its_statements() -> None:
    reading = read("SELECT 1; DELETE FROM t; DROP TABLE u")
    assert [statement.tag for statement in reading.statements] == ["SELECT", "DELETE", "DROP TABLE"]
    assert [statement.text for statement in reading.statements] == [
        "SELECT 1",
        "DELETE FROM t",
        "DROP TABLE u",
    ]
    assert reading.effects == frozenset().union(*(s.effects for s in reading.statements))


def test_a_copy_from_the_client_reads_data_and_nothing_else_does() -> None:
    assert read("COPY t (a) FROM STDIN (FORMAT csv) WHERE a > 1").reads_data
    for text in (
        "COPY t TO STDOUT",
        "COPY (INSERT INTO t VALUES (1) RETURNING a) TO STDOUT",
        "COPY t FROM '/tmp/x'",
        "COPY t FROM PROGRAM 'cat'",
        "COPY t FROM STDIN; SELECT 1",
        "INSERT INTO t SELECT 1",
    ):
        assert not read(text).reads_data


def test_slices_of_a_text_with_wide_characters_are_right() -> None:
    reading = read("SELECT 'grüße 🙂' ; SELECT 'ж'")
    assert [statement.text for statement in reading.statements] == [
        "SELECT 'grüße 🙂'",
        "SELECT 'ж'",
    ]


@pytest.mark.parametrize("text", ["", " ", ";;", "-- nothing", "/* nothing */"])
def test_a_text_without_statements_reads(text: str) -> None:
    reading = read(text)
    assert reading.statements == ()
    assert reading.problem is None
    assert reading.effects == {Effect.READ}


def test_a_syntax_error_has_its_place() -> None:
    reading = read("SELECT 'é' FRO m x")
    assert reading.problem is not None
    assert "syntax error" in reading.problem.message
    assert reading.problem.position == 16
    assert reading.effects == {Effect.UNKNOWN}
    assert reading.statements == ()


@pytest.mark.parametrize("text", ["SELECT 1\x00", "SELECT '\ud800'"])
def test_text_no_server_can_receive_is_a_problem(text: str) -> None:
    reading = read(text)
    assert reading.problem is not None
    assert reading.effects == {Effect.UNKNOWN}


def test_unknown_effects_come_with_words() -> None:
    for text in ("SELECT f()", "DO 'x'", "CALL p()", "EXECUTE q", "SET x.y = 1", "SELEC"):
        reading = read(text)
        assert Effect.UNKNOWN in reading.effects
        assert reading.unknowns, text


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM a, b",
        "SELECT * FROM a, b WHERE true",
        "SELECT * FROM a, b WHERE 1 = 1",
        "SELECT * FROM a, b WHERE random() < 2",
        "SELECT * FROM a JOIN b ON 1 = 1",
        "SELECT * FROM a CROSS JOIN b WHERE EXISTS (SELECT 1)",
    ],
)
def test_a_condition_that_names_no_column_ties_no_tables(text: str) -> None:
    assert Effect.EXHAUSTION in read(text).effects


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM a WHERE 1 = 1",
        "SELECT * FROM a, b WHERE 1 = 1 AND a.id = b.id",
        "SELECT * FROM a JOIN b USING (id) WHERE true",
        "SELECT * FROM a CROSS JOIN LATERAL (SELECT 1 FROM b WHERE b.id = a.id) x",
        "SELECT * FROM a, unnest(a.tags) tag",
    ],
)
def test_joins_are_no_products(text: str) -> None:
    assert read(text).effects == {Effect.READ}


# The server calls a function of one argument in column notation, whatever the argument's type is:
# each of these ran on 16 and 18.
CALLED_AS_COLUMNS = [
    ("SELECT ('s'::regclass).nextval", Effect.WRITE),
    ("SELECT (x.r).nextval FROM (SELECT 's'::regclass AS r) x", Effect.WRITE),
    ("SELECT (ARRAY['s'::regclass])[1].nextval", Effect.WRITE),
    ("SELECT r.nextval FROM CAST('s' AS regclass) AS r", Effect.WRITE),
    ("SELECT (9::float8).pg_sleep", Effect.EXHAUSTION),
    ("SELECT f.pg_advisory_lock FROM generate_series(1::bigint, 2) AS f", Effect.EXHAUSTION),
    ("SELECT 1 FROM t ORDER BY (1::bigint).pg_advisory_lock", Effect.EXHAUSTION),
    ("SELECT ('/etc/passwd'::text).pg_read_file", Effect.SERVER_SIDE),
    ("SELECT f.pg_read_file FROM CAST('/etc/passwd' AS text) AS f", Effect.SERVER_SIDE),
    ("SELECT (pid).pg_cancel_backend FROM pg_stat_activity", Effect.SERVER_SIDE),
    ("SELECT ('SELECT f()'::text).ts_stat", Effect.UNKNOWN),
    ("SELECT (42).evil", Effect.UNKNOWN),
    ("SELECT ('x'::text).evil", Effect.UNKNOWN),
    ("SELECT (1 + 1).evil", Effect.UNKNOWN),
]


@pytest.mark.parametrize(("text", "effect"), CALLED_AS_COLUMNS)
def test_a_function_called_as_a_column_is_a_call(text: str, effect: Effect) -> None:
    reading = read(text)
    assert reading.problem is None, reading.problem
    assert effect in reading.effects


@pytest.mark.parametrize(
    "text",
    [
        "SELECT t.system, (t).bernoulli FROM t",
        "SELECT t.name, (t).name, (t.address).city, t.* FROM t",
        "SELECT (information_schema._pg_expandarray(i.indkey)).n FROM pg_index i",
        "SELECT ('x'::text).upper, (jsonb_each(t.a)).key, (ROW(1, 2)).f1 FROM t",
        "SELECT ('(1,2)'::app.pair).first, (t.tags)[1] FROM t",
    ],
)
def test_columns_and_fields_are_no_calls(text: str) -> None:
    assert read(text).effects == {Effect.READ}
