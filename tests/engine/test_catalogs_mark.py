"""The mark of a catalog changes with every kind of definition, and with nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from holdpoint.embedded import EmbeddedPostgres
from holdpoint.engine.catalog_mark import MARK
from holdpoint.engine.catalog_queries import SETTINGS
from holdpoint.engine.catalogs import read_catalog, read_mark
from support.servers import fresh_database

pytestmark = pytest.mark.anyio

SCHEMA = """
CREATE TABLE items (id int PRIMARY KEY, name text, price int DEFAULT 1 CHECK (price > 0));
CREATE TABLE parts (id int, item int REFERENCES items);
CREATE TABLE parents (id int, name text, price int);
CREATE TABLE measures (at date) PARTITION BY RANGE (at);
CREATE TABLE measures_1 (at date);
CREATE VIEW names AS SELECT name FROM items;
CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER firing BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION fire();
CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER watching ON ddl_command_end EXECUTE FUNCTION watch();
CREATE FUNCTION same(text, int) RETURNS bool LANGUAGE sql AS 'SELECT true';
CREATE TYPE mood AS ENUM ('good');
CREATE FUNCTION to_mood(int) RETURNS mood LANGUAGE sql AS 'SELECT ''good''::mood';
CREATE DOMAIN amount AS int;
CREATE POLICY own ON items USING (true);
CREATE RULE keep AS ON DELETE TO parts DO INSTEAD NOTHING;
CREATE SEQUENCE counter;
"""

DEFINITIONS = """
CREATE TABLE more (a int)
DROP TABLE parts
ALTER TABLE items RENAME TO things
ALTER TABLE items SET SCHEMA other
ALTER TABLE items ADD COLUMN b int
ALTER TABLE items DROP COLUMN price
ALTER TABLE items RENAME COLUMN name TO title
ALTER TABLE items ALTER COLUMN name SET NOT NULL
ALTER TABLE items ALTER COLUMN name SET DEFAULT one()
ALTER TABLE items ALTER COLUMN price DROP DEFAULT
ALTER TABLE items ALTER COLUMN price TYPE bigint
ALTER TABLE items ADD CHECK (price < 5)
ALTER TABLE parts DROP CONSTRAINT parts_item_fkey
ALTER TABLE items OWNER TO someone
ALTER TABLE items ENABLE ROW LEVEL SECURITY
ALTER TABLE items FORCE ROW LEVEL SECURITY
ALTER TABLE items DISABLE TRIGGER firing
ALTER TABLE items INHERIT parents
ALTER TABLE measures ATTACH PARTITION measures_1 FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')
ALTER VIEW names SET (security_invoker = on)
ALTER SEQUENCE counter OWNED BY items.id
CREATE OR REPLACE VIEW names AS SELECT name FROM items WHERE id > 0
CREATE MATERIALIZED VIEW prices AS SELECT price FROM items
CREATE INDEX ON items (name)
CREATE UNIQUE INDEX ON items (lower(name)) WHERE price > 1
DROP TRIGGER firing ON items
CREATE TRIGGER again AFTER UPDATE ON items FOR EACH ROW EXECUTE FUNCTION fire()
ALTER TRIGGER firing ON items RENAME TO burning
CREATE RULE quiet AS ON UPDATE TO items DO ALSO SELECT one()
ALTER TABLE parts DISABLE RULE keep
CREATE POLICY more ON items USING (id > 1)
ALTER POLICY own ON items USING (false)
CREATE OR REPLACE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 2'
ALTER FUNCTION one() SECURITY DEFINER
ALTER FUNCTION one() IMMUTABLE
ALTER FUNCTION one() SET search_path = evil
DROP FUNCTION one()
CREATE FUNCTION two() RETURNS int LANGUAGE sql AS 'SELECT 2'
CREATE AGGREGATE total(int) (sfunc = int4pl, stype = int)
CREATE OPERATOR === (leftarg = text, rightarg = int, function = same)
CREATE CAST (int AS mood) WITH FUNCTION to_mood(int) AS IMPLICIT
ALTER TYPE mood RENAME TO temper
ALTER DOMAIN amount ADD CHECK (VALUE > 0)
ALTER DOMAIN amount SET DEFAULT 5
CREATE TYPE pair AS (a int)
DROP EVENT TRIGGER watching
ALTER EVENT TRIGGER watching DISABLE
GRANT SELECT ON items TO PUBLIC
GRANT UPDATE (name) ON items TO PUBLIC
GRANT someone TO other
REVOKE ALL ON SCHEMA public FROM PUBLIC
CREATE SCHEMA fresh
ALTER SCHEMA other RENAME TO another
ALTER ROLE someone SUPERUSER
ALTER ROLE someone SET search_path = evil
ALTER ROLE someone RENAME TO nobody
ALTER DATABASE {database} SET search_path = other
ALTER EXTENSION plpgsql ADD TABLE items
DROP EXTENSION plpgsql CASCADE
CREATE PUBLICATION news FOR TABLE items
CREATE TEMPORARY VIEW passing AS SELECT one()
CREATE TEMPORARY TABLE passing (a int DEFAULT one())
CREATE TEMPORARY TABLE passing (a int CHECK (a > one()))
CREATE TEMPORARY TABLE passing (a int, b int GENERATED ALWAYS AS (a + 1) STORED)
CREATE TEMPORARY TABLE passing (a amount)
CREATE TEMPORARY TABLE passing (a items)
CREATE TEMPORARY TABLE passing () INHERITS (parents)
CREATE TEMPORARY TABLE a (b int); CREATE INDEX ON a ((b + 1))
CREATE TEMPORARY TABLE a (b int); CREATE POLICY p ON a; ALTER TABLE a ENABLE ROW LEVEL SECURITY
CREATE TEMPORARY TABLE a (b int); CREATE RULE r AS ON INSERT TO a DO ALSO SELECT one()
CREATE TEMPORARY TABLE a (b int); CREATE TRIGGER t AFTER INSERT ON a EXECUTE FUNCTION fire()
CREATE FUNCTION pg_temp.quiet() RETURNS int LANGUAGE sql AS 'SELECT 1'
CREATE DOMAIN pg_temp.quiet AS int CHECK (VALUE > 0)
""".strip().splitlines()

NO_DEFINITIONS = """
INSERT INTO items SELECT g, 'x', 1 FROM generate_series(1, 3000) AS g
UPDATE items SET price = 2
DELETE FROM items
ANALYZE
VACUUM (ANALYZE) items
VACUUM FREEZE items
VACUUM FULL items
VACUUM FREEZE pg_class
VACUUM FULL pg_attribute
TRUNCATE parts
REINDEX TABLE items
SELECT nextval('counter')
BEGIN; DROP TABLE parts; ROLLBACK
CREATE TEMPORARY TABLE passing AS SELECT * FROM items
CREATE TEMPORARY TABLE keyed (id int PRIMARY KEY, name text NOT NULL, mood mood, at timestamptz)
CREATE UNIQUE INDEX ON keyed (name)
CREATE TEMPORARY SEQUENCE numbers
DROP TABLE keyed
COMMENT ON TABLE items IS 'all of them'
SET search_path = evil
""".strip().splitlines()


@pytest.fixture(scope="module")
def url(postgres: EmbeddedPostgres) -> Iterator[str]:
    roles = "CREATE ROLE someone; CREATE ROLE other; CREATE SCHEMA other;"
    with fresh_database(postgres, SCHEMA + roles) as name:
        yield postgres.url(database=name)
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("DROP ROLE someone, other")


@pytest.mark.parametrize("text", DEFINITIONS)
def test_it_changes_with_every_definition(url: str, text: str) -> None:
    with psycopg.connect(url) as connection:
        before = mark_inside(connection)
        connection.rollback()
        connection.execute(text.format(database=connection.info.dbname).encode())
        assert mark_inside(connection) != before
        connection.rollback()
        assert mark_inside(connection) == before


def mark_inside(connection: psycopg.Connection[Any]) -> str:
    """The mark as the connection's own transaction sees it."""
    connection.execute(SETTINGS)
    row = connection.execute(MARK, ("a session",)).fetchone()
    assert row is not None
    return str(row[0])


async def test_it_changes_with_nothing_else(url: str) -> None:
    changed = []
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as reader:
        before = await read_mark(reader)
        with psycopg.connect(url, autocommit=True) as writer:
            for text in NO_DEFINITIONS:
                writer.execute(text.encode())
                after = await read_mark(reader)
                changed += [text] if after != before else []
                before = after
    assert changed == []


async def test_it_tells_sessions_with_other_settings_apart(url: str) -> None:
    marks = set()
    for options in (
        "",
        "?options=-csearch_path%3Dother",
        "?options=-csearch_path%3Dother%2Cpublic",
    ):
        async with await psycopg.AsyncConnection.connect(url + options, autocommit=True) as reader:
            marks.add(await read_mark(reader))
            marks.add((await read_catalog(reader)).mark)
    assert len(marks) == 3


async def test_nothing_of_the_reading_stays_in_the_session(url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as reader:
        await read_mark(reader)
        row = await (await reader.execute("SHOW search_path")).fetchone()
        assert row == ('"$user", public',)
        assert reader.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
