"""A shop whose tables hang together in every way, its catalog as read from a real server."""

from __future__ import annotations

from dataclasses import dataclass

import anyio
import psycopg

from holdpoint import sql
from holdpoint.engine.catalogs import read_catalog
from holdpoint.impact.picture import describe
from holdpoint.model.catalog import CatalogRows
from holdpoint.model.effects import Reading
from holdpoint.model.impact import Impact
from holdpoint.sql.names import Catalog

SHOP = """
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN RAISE NOTICE 'fired %', TG_NAME; RETURN coalesce(NEW, OLD); END$$;
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN RAISE NOTICE 'fired %', TG_NAME; PERFORM pg_notify('orders', '1'); RETURN NULL; END$$;

CREATE TABLE customers (id int PRIMARY KEY, email text UNIQUE);
CREATE TABLE orders (
    id int PRIMARY KEY,
    customer int REFERENCES customers ON DELETE CASCADE ON UPDATE CASCADE,
    state text,
    at date
);
CREATE TABLE lines (
    id int, order_id int CONSTRAINT lines_order REFERENCES orders ON DELETE CASCADE
);
CREATE TABLE notes (id int, order_id int REFERENCES orders ON DELETE SET NULL);
CREATE TABLE points (id int, customer int DEFAULT 0 REFERENCES customers ON DELETE SET DEFAULT);
CREATE TABLE visits (id int, email text REFERENCES customers (email) ON UPDATE CASCADE);
CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree ON DELETE CASCADE);
CREATE TABLE hen (id int PRIMARY KEY, egg int);
CREATE TABLE egg (id int PRIMARY KEY, hen int REFERENCES hen ON DELETE CASCADE);
ALTER TABLE hen ADD CONSTRAINT hen_egg FOREIGN KEY (egg) REFERENCES egg ON DELETE CASCADE;
CREATE TABLE events (id int, customer int REFERENCES customers ON DELETE CASCADE)
    PARTITION BY RANGE (id);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (100);
CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM (100) TO (200);
CREATE TABLE accounts (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE accounts_1 PARTITION OF accounts FOR VALUES FROM (0) TO (100);
CREATE TABLE holdings (id int, account int REFERENCES accounts ON DELETE CASCADE);
CREATE TABLE archive (LIKE orders);
CREATE TABLE archive_old () INHERITS (archive);

INSERT INTO customers SELECT g, g FROM generate_series(0, 3) AS g;
INSERT INTO orders SELECT g, g, 'new', '2026-01-01' FROM generate_series(1, 3) AS g;
INSERT INTO lines SELECT g, g FROM generate_series(1, 3) AS g;
INSERT INTO notes SELECT g, g FROM generate_series(1, 3) AS g;
INSERT INTO points VALUES (1, 1), (3, 3);
INSERT INTO tree VALUES (1, NULL), (2, 1), (3, 2);
INSERT INTO hen VALUES (1, NULL);
INSERT INTO egg VALUES (1, 1), (2, 1);
UPDATE hen SET egg = 1;
INSERT INTO events VALUES (1, 1), (3, 3);
INSERT INTO accounts VALUES (1);
INSERT INTO holdings VALUES (1, 1);
INSERT INTO archive VALUES (1);
INSERT INTO archive_old VALUES (2);

CREATE TRIGGER orders_row AFTER INSERT OR DELETE ON orders
    FOR EACH ROW EXECUTE FUNCTION shout();
CREATE TRIGGER orders_state BEFORE UPDATE OF state ON orders
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION shout();
CREATE TRIGGER orders_off AFTER DELETE ON orders FOR EACH ROW EXECUTE FUNCTION shout();
ALTER TABLE orders DISABLE TRIGGER orders_off;
CREATE TRIGGER orders_emptied AFTER TRUNCATE ON orders
    FOR EACH STATEMENT EXECUTE FUNCTION tell();
CREATE TRIGGER lines_gone AFTER DELETE ON lines FOR EACH STATEMENT EXECUTE FUNCTION tell();
CREATE TRIGGER notes_cut AFTER UPDATE OF order_id ON notes
    FOR EACH ROW EXECUTE FUNCTION shout();
CREATE TRIGGER notes_id AFTER UPDATE OF id ON notes FOR EACH ROW EXECUTE FUNCTION shout();
CREATE TRIGGER events_row AFTER DELETE ON events FOR EACH ROW EXECUTE FUNCTION shout();
CREATE TRIGGER events_1_row AFTER DELETE ON events_1 FOR EACH ROW EXECUTE FUNCTION shout();
CREATE TRIGGER events_1_all AFTER DELETE ON events_1 FOR EACH STATEMENT EXECUTE FUNCTION shout();
CREATE TRIGGER events_2_new AFTER INSERT ON events_2 FOR EACH ROW EXECUTE FUNCTION shout();
CREATE TRIGGER archive_old_row AFTER DELETE ON archive_old
    FOR EACH ROW EXECUTE FUNCTION shout();

CREATE VIEW open_orders AS SELECT id, customer FROM orders WHERE state = 'new';
CREATE VIEW desk AS SELECT o.id, c.email FROM open_orders AS o JOIN customers AS c ON c.id = o.id;
CREATE TRIGGER desk_write INSTEAD OF DELETE ON desk FOR EACH ROW EXECUTE FUNCTION shout();
CREATE MATERIALIZED VIEW totals AS SELECT customer, count(*) FROM orders GROUP BY customer;
CREATE RULE visits_kept AS ON DELETE TO visits DO INSTEAD NOTIFY visits;

CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE DOMAIN grade AS int CHECK (VALUE > 0);
CREATE FUNCTION rank(mood) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
CREATE FUNCTION next_mark() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION count_orders() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM orders';
CREATE FUNCTION wipe() RETURNS void LANGUAGE plpgsql AS
    'BEGIN TRUNCATE lines, notes; DELETE FROM tree; END';
CREATE FUNCTION ruin() RETURNS void LANGUAGE plpgsql AS
    'BEGIN DROP TABLE lines; ALTER TABLE notes ADD extra int; END';
CREATE SEQUENCE numbers;
CREATE TABLE reviews (
    id int DEFAULT nextval('numbers'), mood mood, grade grade, mark int DEFAULT next_mark()
);
CREATE INDEX reviews_rank ON reviews (rank(mood));
CREATE TABLE spare (customer int);
CREATE POLICY spare_known ON spare USING (EXISTS (SELECT FROM customers));
CREATE SCHEMA side;
CREATE TABLE side.things (id int PRIMARY KEY);
CREATE VIEW side.few AS SELECT id FROM side.things;
CREATE FUNCTION side.help() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE TABLE borrowed (thing int CONSTRAINT borrowed_thing REFERENCES side.things);
ANALYZE;
"""


@dataclass(frozen=True)
class Shop:
    """A database with the script's objects, and the picture of its catalog."""

    url: str
    catalog: Catalog

    def read(self, text: str) -> Reading:
        return sql.read(text, catalog=self.catalog)

    def impact(self, text: str) -> Impact:
        return describe(self.read(text), self.catalog)


def open_shop(url: str) -> Shop:
    async def picture() -> CatalogRows:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            return await read_catalog(connection)

    return Shop(url, Catalog(anyio.run(picture)))


def bare(label: str) -> str:
    """A name without the schema that goes without saying."""
    return label.removeprefix("public.")
