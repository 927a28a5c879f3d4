"""Joins, copies of the table and MERGE: which statements change every row on a server."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from filter_shop import shop

from holdpoint.embedded import EmbeddedPostgres
from holdpoint.model.effects import Effect
from holdpoint.sql import read
from holdpoint.sql.names import Catalog

# Statements with joins: (statement, whether every order is deleted or updated by it).
JOINS = [
    ("DELETE FROM orders USING refunds r WHERE orders.id = r.order_id", False),
    ("DELETE FROM orders USING refunds WHERE orders.id = order_id AND amount > 1", False),
    ("DELETE FROM orders o USING customers c WHERE o.spare = c.id AND c.country = 'de'", False),
    ("DELETE FROM orders o USING customers c WHERE o.customer_id = c.id AND country = 'de'", False),
    ("DELETE FROM orders o USING customers c WHERE o.customer_id = c.id AND c.id = 3", False),
    ("DELETE FROM orders o USING customers c WHERE o.customer_id = c.id AND o.id = 3", False),
    ("DELETE FROM orders USING customers c WHERE customer_id = c.id AND name = 'a'", False),
    ("UPDATE orders o SET total = 0 FROM customers c WHERE c.id = 1 AND customer_id = c.id", False),
    (
        "DELETE FROM orders o USING customers c JOIN refunds r ON r.id = c.id AND r.amount > 3"
        " WHERE o.customer_id = c.id",
        False,
    ),
    (
        "DELETE FROM orders USING (SELECT id FROM orders WHERE total = 0) x WHERE orders.id = x.id",
        False,
    ),
    ("DELETE FROM orders USING customers", True),
    ("DELETE FROM orders USING customers c WHERE c.country = 'de'", True),
    ("DELETE FROM orders o USING customers c WHERE o.customer_id = c.id", True),
    ("DELETE FROM orders USING customers c WHERE customer_id = c.id", True),
    ("DELETE FROM orders o USING customers c (k) WHERE o.customer_id = c.k", True),
    ("DELETE FROM orders o USING customers c WHERE o.customer_id = c.id AND c.id = c.id", True),
    ("DELETE FROM orders o USING customers c WHERE o.customer_id = c.id AND true", True),
    ("UPDATE orders SET total = 0 FROM customers c WHERE c.id = customer_id", True),
    ("DELETE FROM orders o USING orders p WHERE o.id = p.id", True),
    ("DELETE FROM orders o USING orders p WHERE o.id >= p.id", True),
    ("DELETE FROM orders o USING orders AS p (k) WHERE o.id = p.k", True),
    ("DELETE FROM orders o USING (SELECT id AS k FROM orders) p WHERE o.id = p.k", True),
    ("DELETE FROM orders USING (SELECT id AS k FROM orders) p WHERE id = k", True),
    ("DELETE FROM orders o USING all_orders p WHERE o.id = p.id", True),
    ("DELETE FROM orders o USING refunds r JOIN orders p ON true WHERE o.id = p.id", True),
    ("DELETE FROM orders o USING orders p TABLESAMPLE system (100) WHERE o.id = p.id", True),
    ("WITH c AS (SELECT id AS k FROM orders) DELETE FROM orders USING c WHERE id = k", True),
    (
        "WITH c AS (SELECT id FROM orders), d AS (SELECT id AS k FROM c)"
        " DELETE FROM orders WHERE id IN (SELECT k FROM d)",
        True,
    ),
    ("MERGE INTO orders o USING customers c ON true WHEN MATCHED AND c.id = 1 THEN DELETE", True),
    ("MERGE INTO orders o USING orders s ON o.id = s.id WHEN MATCHED THEN DELETE", True),
    (
        "MERGE INTO orders o USING (SELECT id AS k FROM orders) s ON o.id = s.k"
        " WHEN MATCHED THEN UPDATE SET total = 1",
        True,
    ),
    (
        "MERGE INTO orders o USING customers c ON o.customer_id = c.id WHEN MATCHED THEN DELETE",
        True,
    ),
    (
        "MERGE INTO orders o USING customers c ON o.customer_id = c.id"
        " WHEN MATCHED AND o.total > 1 THEN DELETE WHEN MATCHED THEN DO NOTHING",
        False,
    ),
    (
        "MERGE INTO orders o USING customers c ON o.customer_id = c.id AND c.country = 'de'"
        " WHEN MATCHED THEN DELETE",
        False,
    ),
    ("MERGE INTO orders o USING refunds r ON o.id = r.order_id WHEN MATCHED THEN DELETE", False),
    (
        "MERGE INTO orders o USING customers c ON o.id = o.id AND c.id = 1"
        " WHEN MATCHED THEN DELETE",
        True,
    ),
    (
        "MERGE INTO orders o USING refunds r ON o.id = -1000"
        " WHEN NOT MATCHED BY SOURCE THEN DELETE",
        True,
    ),
    (
        "MERGE INTO orders o USING refunds r ON o.id = -1000"
        " WHEN NOT MATCHED BY SOURCE AND o.id IS NOT NULL THEN DELETE",
        True,
    ),
    (
        "MERGE INTO orders o USING refunds r ON o.id = -1000"
        " WHEN NOT MATCHED BY SOURCE AND o.id < 4 THEN DELETE",
        False,
    ),
    ("MERGE INTO orders o USING customers c ON true WHEN MATCHED THEN DO NOTHING", False),
]


@pytest.fixture(scope="module")
def world(postgres18: EmbeddedPostgres) -> Iterator[tuple[psycopg.Connection, Catalog]]:
    with shop(postgres18) as (url, catalog), psycopg.connect(url) as connection:
        yield connection, catalog


@pytest.mark.parametrize(("text", "everything"), JOINS)
def test_joins(text: str, everything: bool, world: tuple[psycopg.Connection, Catalog]) -> None:
    connection, catalog = world
    with connection.transaction(force_rollback=True):
        try:
            assert (connection.execute(text.encode()).rowcount == 30) == everything
        except psycopg.errors.CardinalityViolation:
            assert everything  # rows are met twice: every row is
    assert (Effect.BULK_WRITE in read(text, catalog=catalog).effects) == everything
