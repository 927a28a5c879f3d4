"""The most rows a statement can change, held against what it changes."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from filter_shop import shop
from hypothesis import given, settings
from hypothesis import strategies as st

from holdpoint.embedded import EmbeddedPostgres
from holdpoint.model.effects import Effect
from holdpoint.sql import read
from holdpoint.sql.counts import SET_RETURNING
from holdpoint.sql.functions import HARMLESS
from holdpoint.sql.names import Catalog

World = tuple[psycopg.Connection, Catalog]

# Conditions on `keyed` (primary key id, unique (a, b), code, f8, at) with the most rows they meet.
PROVED = [
    ("id = 1", 1),
    ("1 = id", 1),
    ("keyed.id = '1'", 1),
    ("id = 1 AND random() < 2 AND id = id", 1),
    ("id = 1::int8", 1),
    ("id = 1.5", 1),
    ("id = NULL", 1),
    ("id = (SELECT max(id) FROM keyed)", 1),
    ("id = (SELECT k.id FROM keyed k WHERE k.a = 1 AND k.b = 2)", 1),
    ("id IN (1, 5, 6)", 3),
    ("id = ANY (ARRAY[1, 5]::int8[])", 2),
    ("id = ANY ('{1,5,6,7}')", 4),
    ("id = ANY ('{{1,5},{6,7}}')", 4),
    ("id IN (SELECT id FROM keyed ORDER BY a LIMIT 5)", 5),
    ("id IN (SELECT id FROM keyed WHERE b > 1 ORDER BY id LIMIT 2)", 2),
    ("a = 1 AND b = 1", 1),
    ("(a, b) = (1, 1)", 1),
    ("(a, b) IN ((1, 1), (0, 0), (0, 1))", 3),
    ("a IN (0, 1) AND b = 1", 2),
    ("a IN (0, 1) AND b IN (0, 1, 2)", 6),
    ("code = 'c1'", 1),
    ("code = 'c1'::text", 1),
    ("code = 'c1' OR id = 5", 2),
    ("id = 1 OR id = 5 OR (a = 1 AND b = 0)", 3),
    ("(id = 1 OR id = 5) AND a > 0", 2),
    ("f8 = 1", 1),
    ("at = '2020-01-02'", 1),
    ("at = '2020-01-02'::date", 1),
    ("ctid = '(0,1)'", 1),
    ("false", 0),
    ("NULL AND a > 1", 0),
]

NOT_PROVED = [
    # (condition, why)
    ("a = 1", "half of a key"),
    ("b = 1 AND b = 1", "half of a key"),
    ("half = 1", "a partial index"),
    ("lower(email) = 'e1'", "an expression"),
    ("email = 'E1'", "no key"),
    ("late = 1", "deferrable: two may be equal until COMMIT"),
    ("id > 1", "no equality"),
    ("id = a", "another value for each row"),
    ("id = id", "another value for each row"),
    ("id = 1 + 0", "operators may be anybody's"),
    ("id = random()", "another value for each row"),
    ("id = (SELECT keyed.id)", "the row's own value"),
    ("id = (SELECT k.id FROM keyed k WHERE k.ctid = keyed.ctid)", "the row's own value"),
    ("id = (SELECT id FROM refunds LIMIT 1) OR a = 1", "one side has no key"),
    ("id = 9007199254740992::float8", "float8 compares rounded values"),
    ("at = '2020-01-02'::timestamptz", "two timestamps are one when clocks change"),
    ("id IS NOT DISTINCT FROM 1", "not the index's equality"),
    ("id IN (1, a)", "another value for each row"),
    ("id = ANY (ARRAY(SELECT id FROM keyed))", "any number"),
    ("id IN (SELECT id FROM keyed)", "any number"),
    ("id IN (SELECT id FROM keyed LIMIT ALL)", "any number"),
    ("id IN (SELECT id FROM keyed ORDER BY a FETCH FIRST 1 ROW WITH TIES)", "any number"),
    ("id IN (SELECT id FROM keyed LIMIT 3 FOR UPDATE SKIP LOCKED)", "each run may give others"),
    ("id IN (SELECT id FROM keyed ORDER BY random() LIMIT 3)", "each run may give others"),
    ("id IN (SELECT keyed.id FROM refunds LIMIT 1)", "the row's own value"),
    ("id IN (SELECT a FROM keyed LIMIT 1)", "another type: compared by another equality"),
    ("id OPERATOR(pg_catalog.>=) 1", "no equality"),
    ("NOT (id <> 1)", "not read"),
    ("code = 'C1' COLLATE \"C\"", "a collation may take several for one"),
]

# (statement, the most rows; None where nothing is proved)
STATEMENTS = [
    ("INSERT INTO parent VALUES (100, 1)", 1),
    ("INSERT INTO parent VALUES (100, 1), (101, 1), (102, 1)", 3),
    ("INSERT INTO parent VALUES (1, 1), (2, 1) ON CONFLICT (id) DO UPDATE SET n = 9", 2),
    ("INSERT INTO parent DEFAULT VALUES ON CONFLICT DO NOTHING", 1),
    ("INSERT INTO parent SELECT 100, 1", 1),
    ("INSERT INTO parent VALUES (100, (SELECT max(n) FROM parent))", 1),
    ("INSERT INTO parent VALUES (100, length(lower('x')) + 1)", 1),
    ("INSERT INTO parent SELECT id + 100, n FROM parts LIMIT 4", 4),
    ("INSERT INTO parent SELECT id + 100, n FROM parts", None),
    ("INSERT INTO parent VALUES (generate_series(100, 150))", None),
    ("INSERT INTO parent VALUES (100 + generate_series(1, 50))", None),
    ("INSERT INTO parent VALUES (unnest(ARRAY[100, 101]))", None),
    ("INSERT INTO parent VALUES ((pg_catalog.generate_series(100, 101)))", None),
    ("INSERT INTO parent SELECT generate_series(100, 150)", None),
    (
        "INSERT INTO parent SELECT id + 100, n FROM parts ORDER BY n FETCH FIRST 1 ROW WITH TIES",
        None,
    ),
    ("INSERT INTO ruled VALUES (1, 1)", None),
    ("INSERT INTO all_orders (id) VALUES (1)", None),
    ("DELETE FROM parent WHERE id = 1", None),
    ("DELETE FROM ONLY parent WHERE id = 1", 1),
    ("DELETE FROM child WHERE id = 1", None),
    ("DELETE FROM parts WHERE id = 50", 1),
    ("DELETE FROM parts WHERE ctid = '(0,1)'", None),
    ("DELETE FROM parts_low WHERE id = 41", 1),
    ("UPDATE parts SET n = 1 WHERE id IN (49, 50, 51)", 3),
    ("UPDATE parts SET n = r.id FROM refunds r WHERE parts.id = 50", 1),
    ("UPDATE parts p SET n = v.n FROM (VALUES (49, 1), (50, 2)) v (k, n) WHERE p.id = v.k", 2),
    ("UPDATE parts p SET n = 1 FROM (VALUES (49), (50)) v (k) WHERE p.n = v.k", None),
    ("DELETE FROM parts p USING parts q WHERE p.id = q.id", None),
    ("DELETE FROM parts", None),
    ("WITH d AS (DELETE FROM parts WHERE id = 50 RETURNING *) SELECT * FROM d", 1),
    ("WITH d AS (DELETE FROM parts WHERE id = 50) DELETE FROM keyed WHERE id = 1", 2),
    ("WITH d AS (DELETE FROM parts) DELETE FROM keyed WHERE id = 1", None),
    ("WITH parts AS (SELECT 1) DELETE FROM parts WHERE id = 50", 1),
    ("WITH k AS (SELECT 1 AS id) DELETE FROM parts WHERE id = (SELECT id FROM k)", None),
    ("SELECT * FROM parts", None),
    (
        "MERGE INTO parts p USING (VALUES (49, 1), (50, 2), (70, 3)) v (k, n) ON p.id = v.k"
        " WHEN MATCHED THEN UPDATE SET n = v.n WHEN NOT MATCHED THEN INSERT VALUES (v.k, v.n)",
        3,
    ),
    (
        "MERGE INTO parts p USING (VALUES (49), (50)) v (k) ON p.id IN (51, 52) AND v.k = 49"
        " WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (v.k + 100, 1)",
        4,
    ),
    (
        "MERGE INTO parts p USING (VALUES (49), (50)) v (k) ON p.id = v.k"
        " WHEN MATCHED THEN DELETE WHEN NOT MATCHED BY SOURCE THEN DELETE",
        None,
    ),
    (
        "MERGE INTO parts p USING (VALUES (1)) v (k) ON p.n = v.k WHEN MATCHED THEN DELETE",
        None,
    ),
    (
        "MERGE INTO parts p USING (VALUES (generate_series(40, 60))) v (k) ON p.id = v.k"
        " WHEN MATCHED THEN DELETE",
        None,
    ),
    ("MERGE INTO parts p USING refunds r ON p.id = r.id WHEN MATCHED THEN DO NOTHING", 0),
    ("MERGE INTO parts p USING refunds r ON p.id = 50 WHEN MATCHED THEN DO NOTHING", 0),
]


@pytest.fixture(scope="module")
def world(postgres18: EmbeddedPostgres) -> Iterator[World]:
    with shop(postgres18) as (url, catalog), psycopg.connect(url) as connection:
        yield connection, catalog


def changed(text: str, connection: psycopg.Connection) -> int:
    """How many rows a statement changes; nothing remains of it."""
    with connection.transaction(force_rollback=True):
        return connection.execute(text.encode()).rowcount


def rows_max(text: str, catalog: Catalog | None) -> int | None:
    (statement,) = read(text, catalog=catalog).statements
    return statement.rows_max


@pytest.mark.parametrize(("condition", "most"), PROVED)
def test_a_unique_key_bounds(condition: str, most: int, world: World) -> None:
    connection, catalog = world
    for text in (
        f"DELETE FROM keyed WHERE {condition}",
        f"UPDATE keyed SET b = b WHERE {condition}",
    ):
        (statement,) = read(text, catalog=catalog).statements
        assert statement.rows_max == most
        assert Effect.BULK_WRITE not in statement.effects
        assert changed(text, connection) <= most


@pytest.mark.parametrize(("condition", "why"), NOT_PROVED)
def test_what_is_no_proof(condition: str, why: str, world: World) -> None:
    connection, catalog = world
    text = f"DELETE FROM keyed WHERE {condition}"
    changed(text, connection)  # the server takes it
    assert rows_max(text, catalog) is None, why


@pytest.mark.parametrize(("text", "most"), STATEMENTS)
def test_statements(text: str, most: int | None, world: World) -> None:
    connection, catalog = world
    assert rows_max(text, catalog) == most
    if most is not None and not text.startswith("WITH"):
        try:
            assert changed(text, connection) <= most
        except psycopg.errors.NotNullViolation:
            assert "DEFAULT VALUES" in text


def test_without_a_catalog_only_what_is_written_counts() -> None:
    assert rows_max("INSERT INTO t VALUES (1), (2)", None) == 2
    assert rows_max("INSERT INTO t VALUES (1)", None) == 1
    assert rows_max("INSERT INTO t VALUES (mine(1))", None) is None
    assert rows_max("DELETE FROM t WHERE id = 1", None) is None
    assert rows_max("DELETE FROM t WHERE false", None) == 0


def test_functions_that_return_sets(postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.url()) as connection:
        query = "SELECT DISTINCT proname FROM pg_proc WHERE proretset"
        found = {str(row[0]) for row in connection.execute(query)}
    assert {name for name in found & HARMLESS if not name.startswith("pg_")} <= SET_RETURNING


VALUES = st.sampled_from(["0", "1", "2", "'3'", "-1", "NULL", "1::int8", "2.0", "1.5::float8"])
COLUMNS = st.sampled_from(["id", "a", "b", "half", "late", "f8", "keyed.id", "keyed.b"])
TEXTS = st.sampled_from(
    ["code = 'c1'", "lower(email) = 'e1'", "email = 'E1'", "true", "false", "a > 0", "id = id"]
)


def both(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Conditions made of conditions."""
    return st.one_of(
        st.tuples(parts, parts).map(lambda two: f"({two[0]} AND {two[1]})"),
        st.tuples(parts, parts).map(lambda two: f"({two[0]} OR {two[1]})"),
        parts.map(lambda one: f"NOT ({one})"),
    )


EQUAL = st.tuples(COLUMNS, st.sampled_from(["=", "=", "=", "<>", ">="]), VALUES).map(" ".join)
LISTED = st.tuples(COLUMNS, st.lists(VALUES, min_size=1, max_size=3)).map(
    lambda two: f"{two[0]} IN ({', '.join(two[1])})"
)
PAIRED = st.tuples(VALUES, VALUES).map(lambda two: f"(a, b) = ({two[0]}, {two[1]})")
LIMITED = st.tuples(COLUMNS, COLUMNS, st.integers(0, 3)).map(
    lambda three: f"{three[0]} IN (SELECT {three[1]} FROM keyed k LIMIT {three[2]})"
)
CONDITIONS = st.recursive(st.one_of(EQUAL, LISTED, PAIRED, LIMITED, TEXTS), both, max_leaves=6)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(condition=CONDITIONS)
def test_no_statement_changes_more_rows_than_proved(condition: str, world: World) -> None:
    connection, catalog = world
    text = f"DELETE FROM keyed WHERE {condition}"
    most = rows_max(text, catalog)
    if most is None:
        return
    with connection.transaction(force_rollback=True):
        # What the keys allow: equal values in `late` until COMMIT, and in `half` where a <= 1.
        connection.execute("UPDATE keyed SET late = 1, half = 1")
        assert connection.execute(text.encode()).rowcount <= most
