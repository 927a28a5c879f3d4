"""A small shop for tests of filters: tables, data with and without NULLs, and its catalog."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import psycopg

from holdpoint.embedded import EmbeddedPostgres
from holdpoint.engine.catalogs import read_catalog
from holdpoint.sql.names import Catalog
from support.servers import fresh_database

SCRIPT = """
CREATE TABLE customers (id int PRIMARY KEY, country text NOT NULL, boss int REFERENCES customers);
CREATE TABLE orders (
    id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, name text,
    active bool NOT NULL, total numeric NOT NULL, paid numeric, small int2 NOT NULL,
    big int8 NOT NULL, deleted_at timestamptz, tags text[], data jsonb,
    spare int REFERENCES customers);
CREATE TABLE refunds (id int PRIMARY KEY, order_id int, amount numeric);
CREATE TABLE keyed (
    id int8 PRIMARY KEY, a int NOT NULL, b int, code text UNIQUE, email text, half int, late int,
    f8 float8 UNIQUE, at timestamp UNIQUE, doc uuid, UNIQUE (a, b));
CREATE UNIQUE INDEX keyed_email ON keyed (lower(email));
CREATE UNIQUE INDEX keyed_half ON keyed (half) WHERE a > 1;
ALTER TABLE keyed ADD CONSTRAINT keyed_late UNIQUE (late) DEFERRABLE INITIALLY DEFERRED;
CREATE TABLE parent (id int PRIMARY KEY, n int);
CREATE TABLE child () INHERITS (parent);
CREATE TABLE parts (id int PRIMARY KEY, n int) PARTITION BY RANGE (id);
CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (50);
CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (50) TO (1000);
CREATE TABLE ruled (id int PRIMARY KEY, n int);
CREATE RULE twice AS ON INSERT TO ruled WHERE new.n > 0 DO ALSO DELETE FROM parent;
CREATE VIEW all_orders AS SELECT * FROM orders;
CREATE TABLE copied AS SELECT 1 AS id;

INSERT INTO customers SELECT n, (ARRAY['de', 'fr', 'it'])[n % 3 + 1], NULL
    FROM generate_series(1, 9) n;
INSERT INTO orders SELECT n - 15, n % 9 + 1, (ARRAY['', 'a', 'ab', 'x', 'zz'])[n % 5 + 1],
    n % 2 = 0, (n % 7) - 3, (n % 4) - 1, (n % 5) - 2, n * 3 - 20,
    '2020-01-01'::timestamptz + n * interval '90 days', ARRAY[(ARRAY['x', 'y'])[n % 2 + 1]],
    jsonb_build_object('state', (ARRAY['x', 'y'])[n % 2 + 1], 'n', n % 3), n % 9 + 1
    FROM generate_series(1, 30) n;
INSERT INTO refunds SELECT n, n - 12, n FROM generate_series(1, 9) n;
INSERT INTO keyed SELECT n, n % 5, n / 5, 'c' || n, 'E' || n, n % 3, n, n, '2020-01-01'::timestamp
    + n * interval '1 day', NULL FROM generate_series(-5, 24) n WHERE n % 5 < 2;
UPDATE keyed SET b = NULL WHERE id % 2 = 0;
UPDATE keyed SET code = NULL WHERE id > 15;
INSERT INTO parent SELECT n, n % 3 FROM generate_series(1, 9) n;
INSERT INTO child SELECT n, n % 3 FROM generate_series(1, 9) n;
INSERT INTO child SELECT n, n % 3 FROM generate_series(1, 9) n;
INSERT INTO parts SELECT n, n % 3 FROM generate_series(40, 60) n;
"""

WITH_NULLS = """
UPDATE orders SET name = CASE WHEN id % 3 = 0 THEN name END, paid = NULL,
    deleted_at = CASE WHEN id % 4 = 0 THEN deleted_at END, spare = NULL, data = NULL
"""


@contextmanager
def shop(server: EmbeddedPostgres) -> Iterator[tuple[str, Catalog]]:
    """A database with the shop in it: its address, and its catalog as the gate reads it."""
    with fresh_database(server, SCRIPT) as name:
        url = server.url(database=name)
        yield url, catalog_of(url)


def catalog_of(url: str) -> Catalog:
    """The catalog of a database, as the gate reads it."""
    return anyio.run(_catalog, url)


async def _catalog(url: str) -> Catalog:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        return Catalog(await read_catalog(connection))
