"""Undo: statement by statement, and several by the worst of them."""

from __future__ import annotations

import pytest

from holdpoint import sql
from holdpoint.impact.picture import describe
from holdpoint.model.impact import Impact, Undo

EXAMPLES: list[tuple[Undo, str]] = [
    (Undo.NOTHING, "SELECT 1"),
    (Undo.NOTHING, "SELECT * FROM t FOR UPDATE"),
    (Undo.NOTHING, "DECLARE c CURSOR FOR SELECT * FROM t FOR UPDATE"),
    (Undo.NOTHING, "PREPARE p AS DELETE FROM t"),
    (Undo.NOTHING, "VACUUM t"),
    (Undo.NOTHING, "VACUUM FULL t"),
    (Undo.NOTHING, "ANALYZE"),
    (Undo.NOTHING, "REINDEX TABLE t"),
    (Undo.NOTHING, "CLUSTER"),
    (Undo.NOTHING, "LOCK TABLE t"),
    (Undo.NOTHING, "BEGIN"),
    (Undo.NOTHING, "COMMIT"),
    (Undo.NOTHING, ""),
    (Undo.REVERSE, "INSERT INTO t VALUES (1)"),
    (Undo.REVERSE, "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING"),
    (Undo.WITH_OLD_ROWS, "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET b = 1"),
    (Undo.WITH_OLD_ROWS, "WITH x AS (DELETE FROM t RETURNING *) INSERT INTO u SELECT * FROM x"),
    (Undo.WITH_OLD_ROWS, "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x"),
    (Undo.REVERSE, "COPY t FROM STDIN"),
    (Undo.WITH_OLD_ROWS, "UPDATE t SET a = 1 WHERE id = 1"),
    (Undo.WITH_OLD_ROWS, "DELETE FROM t WHERE id = 1"),
    (Undo.WITH_OLD_ROWS, "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE"),
    (Undo.WITH_OLD_ROWS, "EXPLAIN ANALYZE DELETE FROM t WHERE id = 1"),
    (Undo.NOTHING, "EXPLAIN DELETE FROM t WHERE id = 1"),
    (Undo.BACKUP, "TRUNCATE t"),
    (Undo.BACKUP, "DROP TABLE t"),
    (Undo.BACKUP, "DROP MATERIALIZED VIEW t"),
    (Undo.BACKUP, "DROP SCHEMA t CASCADE"),
    (Undo.BACKUP, "DROP DATABASE t"),
    (Undo.BACKUP, "DROP OWNED BY t"),
    (Undo.BACKUP, "DROP EXTENSION hstore"),
    (Undo.BACKUP, "DROP TYPE t CASCADE"),
    (Undo.BACKUP, "ALTER TABLE t DROP COLUMN a"),
    (Undo.REVERSE, "DROP TYPE t"),
    (Undo.REVERSE, "DROP VIEW v CASCADE"),
    (Undo.REVERSE, "DROP INDEX i"),
    (Undo.REVERSE, "DROP TRIGGER g ON t"),
    (Undo.REVERSE, "DROP ROLE r"),
    (Undo.REVERSE, "CREATE TABLE t (a int)"),
    (Undo.REVERSE, "CREATE TABLE t AS SELECT 1"),
    (Undo.REVERSE, "CREATE INDEX i ON t (a)"),
    (Undo.REVERSE, "CREATE INDEX CONCURRENTLY i ON t (a)"),
    (Undo.REVERSE, "CREATE OR REPLACE VIEW v AS SELECT 1"),
    (Undo.REVERSE, "CREATE ROLE r"),
    (Undo.REVERSE, "CREATE EXTENSION hstore"),
    (Undo.REVERSE, "ALTER TABLE t ADD COLUMN a int"),
    (Undo.REVERSE, "ALTER TABLE t ALTER COLUMN a SET DEFAULT 1"),
    (Undo.REVERSE, "ALTER TABLE t RENAME TO u"),
    (Undo.REVERSE, "ALTER TABLE t SET SCHEMA s"),
    (Undo.REVERSE, "COMMENT ON TABLE t IS 'x'"),
    (Undo.REVERSE, "GRANT SELECT ON t TO r"),
    (Undo.REVERSE, "REVOKE SELECT ON t FROM r"),
    (Undo.REVERSE, "ALTER SYSTEM SET work_mem = '1MB'"),
    (Undo.WITH_OLD_ROWS, "ALTER TABLE t ALTER COLUMN a TYPE int"),
    (Undo.WITH_OLD_ROWS, "REFRESH MATERIALIZED VIEW m"),
    (Undo.NEVER, "ALTER TYPE mood ADD VALUE 'new'"),
    (Undo.NEVER, "SELECT nextval('s')"),
    (Undo.NEVER, "SELECT pg_catalog.setval('s', 1)"),
    (Undo.NEVER, "SELECT pg_notify('x', 'y')"),
    (Undo.NEVER, "NOTIFY x"),
    (Undo.NEVER, "COPY t TO PROGRAM 'sh'"),
    (Undo.NEVER, "COPY t TO '/tmp/x'"),
    (Undo.NEVER, "SELECT pg_terminate_backend(1)"),
    (Undo.NOTHING, "DO 'BEGIN END'"),
    (Undo.WITH_OLD_ROWS, "DO 'BEGIN DELETE FROM t WHERE id = 1; END'"),
    (Undo.BACKUP, "DO 'BEGIN TRUNCATE t; END'"),
    (Undo.UNKNOWN, "DO 'BEGIN EXECUTE $$x$$; END'"),
    (Undo.UNKNOWN, "SELECT unheard_of()"),
    (Undo.UNKNOWN, "SELEC"),
    (Undo.UNKNOWN, "ROLLBACK PREPARED 'x'"),
]


def told(text: str) -> Impact:
    return describe(sql.read(text), None)


@pytest.mark.parametrize(("undo", "text"), EXAMPLES, ids=[text for _, text in EXAMPLES])
def test_the_way_back(undo: Undo, text: str) -> None:
    assert told(text).undo is undo


@pytest.mark.parametrize(("undo", "text"), EXAMPLES, ids=[text for _, text in EXAMPLES])
def test_the_way_back_is_told_in_words(undo: Undo, text: str) -> None:
    assert bool(told(text).undo_how) is (undo is not Undo.NOTHING)


@pytest.mark.parametrize(
    ("text", "undo"),
    [
        ("INSERT INTO t VALUES (1); DELETE FROM t WHERE id = 1", Undo.WITH_OLD_ROWS),
        ("DROP TABLE t; DELETE FROM u", Undo.BACKUP),
        ("TRUNCATE t; SELECT unheard_of()", Undo.UNKNOWN),
        ("SELECT unheard_of(); NOTIFY x", Undo.NEVER),
        ("SELECT 1; SELECT 2", Undo.NOTHING),
        ("SELECT unheard_of(), nextval('s')", Undo.NEVER),
    ],
)
def test_several_are_as_hard_to_undo_as_the_hardest(text: str, undo: Undo) -> None:
    assert told(text).undo is undo


def test_equals_tell_both_ways() -> None:
    how = told("DROP TABLE t; ALTER TABLE u DROP COLUMN a").undo_how
    assert "what the table held" in how
    assert "the column's values" in how


@pytest.mark.parametrize(
    ("text", "helps"),
    [
        ("DELETE FROM t", True),
        ("DROP TABLE t", True),
        ("CREATE INDEX i ON t (a)", True),
        ("CREATE INDEX CONCURRENTLY i ON t (a)", False),
        ("DROP INDEX CONCURRENTLY i", False),
        ("DROP DATABASE t", False),
        ("ALTER SYSTEM SET work_mem = '1MB'", False),
        ("SELECT nextval('s')", False),
    ],
)
def test_a_rollback_helps_until_commit_where_there_can_be_one(text: str, helps: bool) -> None:
    assert ("ROLLBACK still takes it back until COMMIT" in told(text).undo_how) is helps


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO t SELECT * FROM (VALUES (1)) AS v /* on conflict do update */",
        'INSERT INTO "t" VALUES (1)',
    ],
)
def test_words_in_comments_make_nothing_harder_to_undo(text: str) -> None:
    assert told(text).undo is Undo.REVERSE
