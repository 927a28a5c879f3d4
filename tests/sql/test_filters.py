"""Filters that bound a change, and filters in name only."""

from __future__ import annotations

import pytest

from holdpoint.model.effects import Effect, MarkKind
from holdpoint.sql import read

BOUNDING = [
    "id = 1",
    "id = $1",
    "$1 = id",
    "orders.id = 1",
    "id IN (1, 2)",
    "id NOT IN (1, 2)",
    "id = ANY ($1)",
    "id BETWEEN 1 AND 5",
    "name LIKE 'a%'",
    "name LIKE ''",
    "lower(name) = 'x'",
    "starts_with(name, 'x')",
    "created_at < now() - interval '1 year'",
    "total > paid",
    "deleted_at IS NULL",
    "NOT (deleted_at IS NOT NULL)",
    "active",
    "NOT active",
    "active IS TRUE",
    "id = 1 AND true",
    "true AND (1 = 1 AND id = 7)",
    "id = 1 OR id = 2",
    "(id = 1 OR name = 'x') AND total > 0",
    "NOT (id = 1 OR id = 2)",
    "id < 10 OR id > 20",
    "COALESCE(active, false)",
    "id IN (SELECT order_id FROM refunds)",
    "id IN (SELECT id FROM orders WHERE total = 0)",
    "id IN (SELECT id FROM orders LIMIT 10)",
    "EXISTS (SELECT 1 FROM refunds r WHERE r.order_id = orders.id)",
    "NOT EXISTS (SELECT 1 FROM customers c WHERE c.id = orders.customer_id)",
    "(id, name) = (1, 'x')",
    "ctid = '(0,1)'",
    "data ->> 'state' = 'x'",
    "tags @> ARRAY['x']",
    "id IS DISTINCT FROM 1",
    "false",
    "NULL",
    "1 = 2",
    "NOT true",
    "CURRENT OF c",
    "(id = 1)::bool",
    "name = ''",
    "name > ''",
    "name LIKE '%x%' ESCAPE '!'",
    "name SIMILAR TO '(a|b)%'",
    "name ~ '^x*$'",
    "name ~ '^a|^b'",
    "name !~ ''",
    "name ^@ 'x'",
    "name LIKE ANY (ARRAY['a%', 'b%'])",
    "id <> ALL ('{1,2}')",
    "id <> ALL (ARRAY[1, 2])",
    "created_at < '-infinity'",
    "created_at = 'infinity'",
    "(id = 1) = true",
    "(deleted_at IS NULL) = true",
    "(deleted_at IS NOT NULL) = false",
    "(id = 1) IS NOT FALSE",
    "deleted_at IS NULL OR id <> 1",
    "id = 1 OR (id = 2 AND total = 0)",
    "id = 1 OR id = 2 OR name = 'x' OR total > 5",
    "id BETWEEN 1 AND 2 OR id BETWEEN 5 AND 6",
    "id IN (1, 2) OR name NOT IN ('a')",
    "5 > id OR 10 < id",
    "id NOT IN (SELECT order_id FROM refunds)",
    "id IN (SELECT id FROM (SELECT id FROM orders WHERE total = 0) x)",
    "xmin = $1",
    "id = (SELECT max(id) FROM orders)",
    "id = (SELECT id FROM orders WHERE NOT active ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)",
    "lower(name) IS NULL",
]

IN_NAME_ONLY = [
    "true",
    "'t'::boolean",
    "NOT false",
    "1 = 1",
    "1 < 2",
    "'a' = 'a'",
    "'a' <> 'b'",
    "id = id",
    "orders.id = id",
    "id >= id",
    "id IS NOT DISTINCT FROM id",
    "id IS DISTINCT FROM NULL",
    "NOT (id <> id)",
    "id = 5 OR 1 = 1",
    "true OR id = 5",
    "id = 1 OR id <> 1",
    "id = 1 OR NOT (id = 1)",
    "id < 10 OR id >= 10",
    "id < 10 OR id > 5",
    "id <> 1 OR id <> 2",
    "active OR NOT active",
    "name LIKE 'a%' OR name NOT LIKE 'a%'",
    "deleted_at IS NULL OR deleted_at IS NOT NULL",
    "id IS NOT NULL",
    "NOT (id IS NULL)",
    "id IS NOT UNKNOWN",
    "orders IS NOT NULL",
    "orders = orders",
    "COALESCE(true, false)",
    "COALESCE(id = 1, true)",
    "random() >= 0",
    "now() > '2000-01-01'",
    "$1",
    "$1 = $2",
    "($1 IS NULL OR id = $1)",
    "id IN (id, 2)",
    "id = ANY (ARRAY[id])",
    "id IN (SELECT id FROM orders)",
    "id IN (SELECT o.id FROM orders o WHERE o.id = o.id)",
    "id IN (SELECT id FROM orders WHERE id IN (SELECT id FROM orders))",
    "id >= (SELECT min(id) FROM orders)",
    "EXISTS (SELECT 1)",
    "EXISTS (SELECT 1 FROM customers)",
    "EXISTS (SELECT 1 FROM orders o WHERE o.id = orders.id)",
    "EXISTS (SELECT 1 FROM customers orders WHERE orders.id = 1)",
    "(SELECT true)",
    "name LIKE '%'",
    "name ILIKE '%%'",
    "name ~ '.*'",
    "name NOT LIKE 'a%' OR name LIKE 'a%'",
    "(id, name) = (id, name)",
    "CASE WHEN true THEN true END",
    "id = 1 OR EXISTS (SELECT 1)",
    "NOT (id = 1 AND false)",
    # constants that are equal, or true, for all that they are written differently
    "1 = 1.0",
    "1 = '01'",
    "true = 't'",
    "NOT (1 <> 1.0)",
    "'ab'::char(1) = 'ac'::char(1)",
    """'f'::"char"::int::bool""",
    """(id = 1)::text::"char"::int::bool""",
    # an alternative and its opposite
    "id = 1 OR id <> 1.0",
    "id = 1 OR id <> '01'",
    "id IN (1) OR id NOT IN (1)",
    "id = ANY ($1) OR id <> ALL ($1)",
    "id BETWEEN 1 AND 5 OR id NOT BETWEEN 1 AND 5",
    "id IS DISTINCT FROM 1 OR id IS NOT DISTINCT FROM 1",
    "5 >= id OR 5 < id",
    "id = 1 OR (id <> 1 AND true)",
    "id = 1 OR (id <> 1 AND 1 = 1)",
    "id = 1 OR (id <> 1 AND id IS NOT NULL)",
    "(id = 1 OR name = 'x') OR NOT (id = 1)",
    "NOT (id = 1 AND NOT (id = 1))",
    "(id = 1) IS TRUE OR (id = 1) IS NOT TRUE",
    "id = 1 OR (id = 1) IS NOT TRUE",
    "lower(name) = 'x' OR lower(name) <> 'x'",
    " OR ".join(f"id = {n}" for n in range(300)) + " OR id < 5 OR id > 3",
    "EXISTS (SELECT 1 FROM refunds r WHERE r.id = orders.id)"
    " OR NOT EXISTS (SELECT 1 FROM refunds r WHERE r.id = orders.id)",
    # patterns and bounds that everything meets
    "name LIKE '%' ESCAPE '!'",
    "name SIMILAR TO '%'",
    "NOT (name NOT LIKE '%')",
    "NOT (name !~ '')",
    "name ~ 'x*'",
    "name ~ '(.*)'",
    "name ~ 'a|'",
    "name ~ '^.*x?$'",
    "name ^@ ''",
    "starts_with(name, '')",
    "name LIKE ANY (ARRAY['a', '%'])",
    "name LIKE ANY ('{a,%}')",
    "name >= ''",
    "'' <= name",
    "NOT (name < '')",
    "created_at > '-infinity'",
    "created_at < 'infinity'::timestamptz",
    "tableoid = 'orders'::regclass",
    # tests that say nothing about a row
    "1 IN (id, 1)",
    "'x' = ANY (ARRAY[name, 'x'])",
    "id <> ALL ('{}')",
    "id <> ALL (ARRAY[]::int[])",
    "NOT (id = ANY ('{}'))",
    "id NOT IN (SELECT order_id FROM refunds WHERE false)",
    "id <> ALL (SELECT order_id FROM refunds LIMIT 0)",
    "NOT EXISTS (SELECT 1 FROM refunds r WHERE r.id = orders.id AND false)",
    "(id = id) = true",
    "(id IS NOT NULL) = true",
    "(id IS NULL) = false",
    "(id IS NULL) IS FALSE",
    "(id IS NULL) IS NOT TRUE",
    "(1 = 2) IS FALSE",
    "NULL IS NOT TRUE",
    "(id = NULL) IS NOT TRUE",
    "(id = NULL) IS DISTINCT FROM true",
    "(id = NULL) IS UNKNOWN",
    "(id = NULL) IS NULL",
    "nullif(id, id) IS NULL",
    "(CASE WHEN id = 1 THEN 1 ELSE 1 END) = 1",
    "greatest(id, 5) >= 5",
    "to_jsonb(orders) ->> 'id' = id::text",
    "(orders).id = id",
    "id IN (SELECT id FROM (SELECT * FROM orders) x)",
]

JOINED = [
    # (statement, bounded)
    ("DELETE FROM orders USING refunds r WHERE orders.id = r.order_id", True),
    ("DELETE FROM orders o USING refunds r WHERE o.id = r.id", True),
    ("DELETE FROM orders USING refunds r WHERE order_id = r.id", True),
    ("UPDATE orders o SET a = 1 FROM x WHERE o.id = 7", True),
    ("UPDATE orders SET a = x.a FROM x WHERE x.id = orders.id AND x.b = 2", True),
    ("DELETE FROM orders USING refunds r WHERE r.id = 1", False),
    ("DELETE FROM orders USING (SELECT * FROM orders) b WHERE orders.id = b.id", False),
    (
        "DELETE FROM orders USING (SELECT id FROM orders WHERE total = 0 LIMIT 9) b"
        " WHERE orders.id = b.id",
        True,
    ),
    (
        "WITH c AS (SELECT * FROM orders) DELETE FROM orders USING c WHERE orders.id = c.id",
        False,
    ),
    (
        "WITH c AS (SELECT id FROM orders) DELETE FROM orders WHERE id IN (SELECT id FROM c)",
        False,
    ),
    (
        "WITH c AS (SELECT id FROM orders WHERE total = 0)"
        " DELETE FROM orders WHERE id IN (SELECT id FROM c)",
        True,
    ),
    ("DELETE FROM orders o USING orders p WHERE o.id = p.id", False),
    ("DELETE FROM orders USING (SELECT 1 AS zz) q WHERE zz = 1", False),
    ("DELETE FROM orders USING (SELECT 1 AS zz) q WHERE zz = q.zz", False),
    ("DELETE FROM orders USING (VALUES (1)) AS q(zz) WHERE zz = 1", False),
    ("UPDATE orders o SET a = 1 FROM x WHERE orders.id = 7", False),
    ("MERGE INTO orders o USING x ON o.id = o.id WHEN MATCHED THEN DELETE", False),
    ("MERGE INTO orders o USING x ON x.id = 1 WHEN MATCHED THEN DELETE", False),
    ("MERGE INTO orders o USING x ON true WHEN MATCHED AND o.id = x.id THEN DELETE", True),
]


def is_bulk(text: str) -> bool:
    reading = read(text)
    assert reading.problem is None, reading.problem
    assert Effect.UNKNOWN not in reading.effects
    bulk = Effect.BULK_WRITE in reading.effects
    assert bulk != (Effect.WRITE in reading.effects)
    return bulk


@pytest.mark.parametrize("condition", BOUNDING)
def test_a_filter_on_a_column_of_the_table_bounds(condition: str) -> None:
    assert not is_bulk(f"DELETE FROM orders WHERE {condition}")
    assert not is_bulk(f"UPDATE orders SET x = 1 WHERE {condition}")


@pytest.mark.parametrize("condition", IN_NAME_ONLY)
def test_a_filter_that_every_row_meets_does_not(condition: str) -> None:
    assert is_bulk(f"DELETE FROM orders WHERE {condition}")
    assert is_bulk(f"UPDATE orders SET x = 1 WHERE {condition}")
    assert is_bulk(f"WITH d AS (DELETE FROM orders WHERE {condition}) SELECT 1")


@pytest.mark.parametrize(("text", "bounded"), JOINED)
def test_joins_bound_by_a_column_of_the_target(text: str, bounded: bool) -> None:
    assert is_bulk(text) != bounded


def test_the_mark_names_the_table_and_the_verb() -> None:
    (mark,) = read("DELETE FROM app.orders").statements[0].marks
    assert (mark.kind, mark.subject, mark.detail) == (MarkKind.NO_WHERE, "app.orders", "DELETE")
    (mark,) = read("UPDATE orders SET a = 1 WHERE true").statements[0].marks
    assert (mark.kind, mark.subject, mark.detail) == (MarkKind.CONSTANT_WHERE, "orders", "UPDATE")


def test_a_filter_nested_beyond_the_limit_counts_as_none() -> None:
    assert not is_bulk("DELETE FROM orders WHERE " + "NOT NOT " * 10 + "id = 1")
    assert is_bulk("DELETE FROM orders WHERE " + "NOT NOT " * 60 + "id = 1")


def test_subqueries_nested_deeply_do_not_overflow() -> None:
    inner = "id IN (SELECT id FROM orders)"
    for _ in range(150):
        inner = f"id IN (SELECT id FROM orders WHERE {inner})"
    reading = read(f"DELETE FROM orders WHERE {inner}")
    assert reading.effects & {Effect.BULK_WRITE, Effect.UNKNOWN}


@pytest.mark.parametrize(
    "condition",
    [
        "id" + " + 1" * 5_000 + " > 3",
        "id = " + "- " * 150 + "3",
        "id IN (" + ", ".join(str(n) for n in range(50_000)) + ") OR id = -1",
        " OR ".join(f"a{n} = {n}" for n in range(1_500)),
        "id IN (" + " UNION ".join(f"SELECT {n}" for n in range(300)) + ")",
        "NOT (" + " AND ".join(f"id <> {n}" for n in range(1_500)) + ")",
    ],
    ids=["sum", "signs", "list", "alternatives", "union", "conjunction"],
)
def test_long_filters_are_answered(condition: str) -> None:
    effects = read(f"DELETE FROM orders WHERE {condition}").effects
    assert effects & {Effect.BULK_WRITE, Effect.WRITE, Effect.UNKNOWN}
