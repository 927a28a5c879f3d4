"""Which objects a statement names, and how it uses them; CTE names are not tables."""

from __future__ import annotations

import pytest

from holdpoint.model.effects import Access, ObjectKind
from holdpoint.sql import read

CASES = [
    # (statement, read, written, defined)
    ("SELECT * FROM a JOIN s.b USING (id)", "a s.b", "", ""),
    ('SELECT * FROM Orders, "Orders" WHERE true', "orders Orders", "", ""),
    ('SELECT * FROM U&"\\006frders"', "orders", "", ""),
    ("INSERT INTO a SELECT * FROM b", "b", "a", ""),
    ("UPDATE a SET x = (SELECT y FROM b) FROM c WHERE a.id = 1", "b c", "a", ""),
    ("DELETE FROM a USING b WHERE a.id = b.id", "b", "a", ""),
    ("MERGE INTO a USING b ON a.id = b.id WHEN MATCHED THEN DO NOTHING", "b", "a", ""),
    ("COPY a FROM STDIN", "", "a", ""),
    ("COPY a TO STDOUT", "a", "", ""),
    ("TRUNCATE a, s.b", "", "a s.b", ""),
    ("LOCK TABLE a", "a", "", ""),
    ("SELECT * FROM a FOR UPDATE OF a", "a", "", ""),
    ("SELECT * FROM a x FOR UPDATE OF x", "a", "", ""),
    ("SELECT * FROM a TABLESAMPLE system (1)", "a", "", ""),
    ("DROP TABLE a, s.b", "", "", "a s.b"),
    ("DROP TRIGGER g ON s.a", "", "", "s.a"),
    ("ALTER TABLE a ADD CONSTRAINT f FOREIGN KEY (x) REFERENCES b (id)", "b", "", "a"),
    ("ALTER TABLE a ATTACH PARTITION p FOR VALUES IN (1)", "", "", "a p"),
    ("CREATE TABLE a (LIKE b)", "b", "", "a"),
    ("CREATE TABLE a AS SELECT * FROM b", "b", "", "a"),
    ("SELECT * INTO a FROM b", "b", "", "a"),
    ("CREATE VIEW v AS SELECT * FROM b", "b", "", "v"),
    ("CREATE INDEX ON s.a (x)", "", "", "s.a"),
    ("COMMENT ON COLUMN s.a.x IS 'y'", "", "", "s.a"),
    ("GRANT SELECT ON a TO r", "", "", "a"),
    ("EXPLAIN DELETE FROM a", "a", "", ""),
    ("EXPLAIN ANALYZE DELETE FROM a", "", "a", ""),
    ("SELECT nextval('s.q')", "", "s.q", ""),
    # CTEs: a name hides a table only where it is in scope.
    ("WITH c AS (SELECT * FROM a) SELECT * FROM c", "a", "", ""),
    ("WITH a AS (SELECT * FROM a) SELECT * FROM a", "a", "", ""),
    ("WITH RECURSIVE a AS (SELECT * FROM a) SELECT * FROM a", "", "", ""),
    ("WITH c AS (SELECT 1) SELECT * FROM s.c", "s.c", "", ""),
    ("WITH x AS (SELECT * FROM y), y AS (SELECT 1) SELECT * FROM x, y", "y", "", ""),
    ("WITH RECURSIVE x AS (SELECT * FROM y), y AS (SELECT 1) SELECT * FROM x", "", "", ""),
    ("SELECT * FROM (WITH c AS (SELECT 1) SELECT * FROM c) z, c WHERE true", "c", "", ""),
    ("SELECT (WITH c AS (SELECT 1) SELECT * FROM c), (SELECT 1 FROM c)", "c", "", ""),
    ("WITH c AS (SELECT 1) SELECT * FROM (SELECT * FROM c WHERE EXISTS (TABLE c)) z", "", "", ""),
    ("WITH c AS (SELECT 1) SELECT 1 UNION SELECT * FROM c", "", "", ""),
    ("(WITH c AS (SELECT 1) SELECT * FROM c) UNION SELECT * FROM c", "c", "", ""),
    ("WITH a AS (SELECT 1) DELETE FROM a WHERE id IN (SELECT * FROM a)", "", "a", ""),
    ("WITH a AS (SELECT 1) UPDATE a SET x = 1 FROM a b WHERE a.id = 1", "", "a", ""),
    ("WITH a AS (SELECT 1) INSERT INTO a SELECT * FROM a", "", "a", ""),
    ("WITH d AS (DELETE FROM t WHERE id = 1 RETURNING *) SELECT * FROM d", "", "t", ""),
]


@pytest.mark.parametrize(("text", "reads", "writes", "defines"), CASES)
def test_tables_by_use(text: str, reads: str, writes: str, defines: str) -> None:
    reading = read(text)
    assert reading.problem is None, reading.problem
    kinds = (ObjectKind.RELATION, ObjectKind.VIEW, ObjectKind.SEQUENCE)
    for access, expected in (
        (Access.READ, reads),
        (Access.WRITE, writes),
        (Access.DEFINE, defines),
    ):
        found = {use.label for use in reading.objects if use.access is access and use.kind in kinds}
        assert found == set(expected.split()), access


def test_other_kinds_keep_their_kind() -> None:
    found = {
        (use.label, use.kind)
        for text in (
            "DROP FUNCTION s.f(int)",
            "DROP SCHEMA app",
            "DROP DATABASE shop",
            "CREATE EXTENSION hstore",
            "DROP ROLE r",
            "DROP TYPE s.mood",
            "DROP INDEX i",
        )
        for use in read(text).objects
    }
    assert found == {
        ("s.f", ObjectKind.FUNCTION),
        ("app", ObjectKind.SCHEMA),
        ("shop", ObjectKind.DATABASE),
        ("hstore", ObjectKind.EXTENSION),
        ("r", ObjectKind.ROLE),
        ("s.mood", ObjectKind.TYPE),
        ("i", ObjectKind.INDEX),
    }


def test_functions_are_listed_as_called() -> None:
    reading = read("SELECT Lower(a), pg_catalog.upper(b), s.f(1), count(*) FROM t")
    assert set(reading.functions) == {"lower", "upper", "s.f", "count"}
