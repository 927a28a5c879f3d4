"""What statements need, tried on servers: what is found is enough, and nothing of it is too much.

Each statement runs as a role that holds exactly what was found, then once without each part of it:
that must be refused. Nothing is open to PUBLIC here, so that functions and schemas count as well.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from suggest_support import granting

from holdpoint.access.suggest.least import settled
from holdpoint.embedded import EmbeddedPostgres
from holdpoint.model.effects import SessionView
from holdpoint.model.grants import ObjectClass
from holdpoint.model.needs import Need
from holdpoint.sql.names import Catalog
from holdpoint.sql.privileges import needs_of
from support.catalogs import catalog_of
from support.servers import fresh_database

SCHEMA = """
CREATE SCHEMA side;
CREATE TABLE a (id serial PRIMARY KEY, x int, y text, z int DEFAULT 7);
CREATE TABLE b (id int PRIMARY KEY, a_id int REFERENCES a ON DELETE CASCADE, note text);
CREATE TABLE i (
    id int GENERATED ALWAYS AS IDENTITY, v int, w int GENERATED ALWAYS AS (v + 1) STORED);
CREATE TABLE side.c (id int, "Odd ""name" int);
CREATE TABLE p (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2030-01-01') TO ('2031-01-01');
CREATE TABLE parent (id int, v int);
CREATE TABLE child (more int) INHERITS (parent);
CREATE TABLE log (what text);
CREATE TABLE watched (id int, v int);
CREATE TABLE ruled (id int, v int);
CREATE TABLE secured (id int, tenant text);
CREATE TABLE tenants (name text, active boolean);
INSERT INTO a (x, y) SELECT g, 'y' || g FROM generate_series(1, 5) AS g;
INSERT INTO b SELECT g, g, 'n' FROM generate_series(1, 5) AS g;
INSERT INTO side.c VALUES (1, 2); INSERT INTO p VALUES (1, '2030-05-01');
INSERT INTO parent VALUES (1, 1); INSERT INTO child VALUES (2, 2, 2);
INSERT INTO watched VALUES (1, 1); INSERT INTO ruled VALUES (1, 1); INSERT INTO i (v) VALUES (1);
INSERT INTO secured VALUES (1, 't'); INSERT INTO tenants VALUES ('t', true);
CREATE SEQUENCE side.s;
CREATE VIEW plain_view AS SELECT id, x, y FROM a;
CREATE VIEW joined AS SELECT a.id, b.note FROM a JOIN b ON b.a_id = a.id;
CREATE FUNCTION reads_a(n int) RETURNS int LANGUAGE sql AS 'SELECT x FROM a WHERE id = n';
CREATE FUNCTION as_owner(n int) RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = public
    AS 'SELECT x FROM a WHERE id = n';
CREATE FUNCTION counts(OUT n bigint) LANGUAGE plpgsql AS $$
DECLARE found record;
BEGIN
    SELECT count(*) INTO n FROM b WHERE note = 'n';
    FOR found IN SELECT id FROM a LOOP n := n + found.id; END LOOP;
END $$;
CREATE PROCEDURE writes_log(words text) LANGUAGE sql AS 'INSERT INTO log VALUES (words)';
CREATE FUNCTION standard(n int) RETURNS int LANGUAGE sql BEGIN ATOMIC
    SELECT v FROM watched WHERE watched.id = n; END;
CREATE VIEW calls AS SELECT id, reads_a(id) AS r FROM b;
CREATE FUNCTION on_watched() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO log VALUES (NEW.v::text); RETURN NEW; END $$;
CREATE TRIGGER t AFTER UPDATE OF v ON watched FOR EACH ROW EXECUTE FUNCTION on_watched();
CREATE TABLE keys (id int PRIMARY KEY);
CREATE TABLE locks (id int PRIMARY KEY, key_id int REFERENCES keys ON DELETE CASCADE);
INSERT INTO keys VALUES (1); INSERT INTO locks VALUES (1, 1);
CREATE FUNCTION on_lock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO log VALUES ('unlocked'); RETURN OLD; END $$;
CREATE TRIGGER t AFTER DELETE ON locks FOR EACH ROW EXECUTE FUNCTION on_lock();
CREATE RULE r AS ON UPDATE TO ruled DO ALSO INSERT INTO log VALUES ('ruled');
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON secured USING (tenant IN (SELECT name FROM tenants WHERE active));
CREATE FUNCTION adds_one(n int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN n + 1; END';
CREATE OPERATOR side.@#@ (rightarg = int, function = adds_one);
CREATE AGGREGATE total(int) (sfunc = int4pl, stype = int);
CREATE DOMAIN small AS int CHECK (adds_one(VALUE) < 1000);
REVOKE ALL ON SCHEMA public FROM PUBLIC;
REVOKE ALL ON ALL ROUTINES IN SCHEMA public FROM PUBLIC;
ANALYZE;
"""

INVOKER = """
CREATE VIEW invoker WITH (security_invoker) AS SELECT id, x FROM a WHERE z = 7;
CREATE VIEW over_invoker AS SELECT id FROM invoker;
"""

STATEMENTS = """
SELECT 1
SELECT x FROM a
SELECT a.x FROM a WHERE a.id = 1 ORDER BY y
SELECT * FROM a
SELECT a FROM a
SELECT a.* FROM a, b
SELECT count(*) FROM a
SELECT count(a.*) FROM a
SELECT row_to_json(q) FROM (SELECT id FROM a) AS q
SELECT (a).x FROM a
SELECT 1 FROM a, b
SELECT ctid FROM a
SELECT tableoid::int, x FROM a
SELECT x AS y FROM a ORDER BY y
SELECT y AS x FROM a GROUP BY y
SELECT x + 0 AS w FROM a GROUP BY w HAVING max(z) > 1
SELECT DISTINCT ON (x) y FROM a
SELECT a.y FROM a JOIN b ON b.a_id = a.id
SELECT note FROM a JOIN b USING (id)
SELECT j.id FROM a JOIN b USING (id) AS j
SELECT j.note FROM (a JOIN b ON b.a_id = a.id) AS j
SELECT note FROM b NATURAL JOIN watched
SELECT k FROM a AS renamed (k, l)
SELECT l FROM (SELECT id, y FROM a) AS q (k, l)
SELECT q.k FROM (VALUES (1)) AS q (k), a WHERE a.id = q.k
SELECT s.n FROM a, LATERAL (SELECT b.note AS n FROM b WHERE b.a_id = a.id) AS s
SELECT g FROM a, generate_series(1, a.x) AS g
SELECT x FROM a WHERE EXISTS (SELECT FROM b WHERE b.a_id = a.id)
SELECT x FROM a WHERE id IN (SELECT a_id FROM b)
SELECT (SELECT note FROM b WHERE b.id = a.id) FROM a
SELECT id FROM a WHERE x = (SELECT count(*) FROM b WHERE note = y)
WITH q AS (SELECT id, y FROM a) SELECT y FROM q
WITH q AS (SELECT id FROM a) SELECT id FROM b WHERE note IN (SELECT 'n' FROM q)
WITH RECURSIVE q AS (SELECT id FROM a UNION SELECT b.id FROM b, q WHERE a_id = q.id) TABLE q
WITH a AS (SELECT id FROM b) SELECT * FROM a
WITH d AS (DELETE FROM b WHERE id = 1 RETURNING a_id) SELECT a_id FROM d
SELECT x FROM a UNION SELECT id FROM b ORDER BY x
SELECT x FROM a WINDOW w AS (PARTITION BY y)
SELECT sum(x) OVER (PARTITION BY y ORDER BY z) FROM a
SELECT sum(x) FILTER (WHERE z = 7) FROM a
SELECT array(SELECT note FROM b)
SELECT CASE WHEN x = 1 THEN y END FROM a
SELECT x FROM a TABLESAMPLE system (50)
SELECT x FROM ONLY a LIMIT (SELECT count(*) FROM b)
SELECT x FROM a FOR UPDATE
SELECT x FROM a, b FOR KEY SHARE OF b
SELECT q.id FROM (SELECT id FROM a) AS q FOR SHARE
SELECT id FROM side.c
SELECT "Odd ""name" FROM side.c
SELECT public.a.y FROM public.a
EXPLAIN SELECT x FROM a
EXPLAIN UPDATE a SET x = 1
DECLARE cur CURSOR FOR SELECT y FROM a
TABLE b
SELECT at FROM p
SELECT id FROM parent
INSERT INTO a (id, x) VALUES (100, 1)
INSERT INTO a (x) VALUES (1)
INSERT INTO a VALUES (100, 1)
INSERT INTO a (id, x) VALUES (DEFAULT, 1)
INSERT INTO a DEFAULT VALUES
INSERT INTO a (id, x, y, z) SELECT id + 100, a_id, note, 1 FROM b
INSERT INTO b SELECT id + 100, id FROM a
INSERT INTO i (v) VALUES (2)
INSERT INTO i DEFAULT VALUES
INSERT INTO p VALUES (2, '2030-06-01')
INSERT INTO b (id) VALUES (100) RETURNING id
INSERT INTO b (id) VALUES (100) RETURNING *
INSERT INTO b (id, a_id) VALUES (1, 1) ON CONFLICT DO NOTHING
INSERT INTO b (id, a_id) VALUES (1, 1) ON CONFLICT (id) DO NOTHING
INSERT INTO b (id, a_id) VALUES (1, 1) ON CONFLICT ON CONSTRAINT b_pkey DO NOTHING
INSERT INTO b (id, a_id) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET note = 'o'
INSERT INTO b (id, note) VALUES (1, 'p') ON CONFLICT (id) DO UPDATE SET note = excluded.note
INSERT INTO b AS t (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET note = t.note WHERE t.a_id = 1
UPDATE a SET x = 1
UPDATE a SET x = x + 1
UPDATE a SET x = 1 WHERE id = 1
UPDATE a SET (x, y) = (SELECT a_id, note FROM b WHERE b.id = a.id)
UPDATE a SET x = b.a_id FROM b WHERE b.id = a.id
UPDATE a SET z = DEFAULT
UPDATE a SET x = 2 RETURNING y
UPDATE a AS t SET y = 'z' WHERE t.x = 1
UPDATE p SET id = 3 WHERE at = '2030-05-01'
UPDATE parent SET v = 2
DELETE FROM b
DELETE FROM b WHERE id = 1
DELETE FROM a WHERE id = 1
DELETE FROM b USING a WHERE b.a_id = a.id AND a.x = 1
DELETE FROM b WHERE id = 2 RETURNING note
MERGE INTO b USING a ON b.a_id = a.id WHEN MATCHED THEN UPDATE SET note = a.y
MERGE INTO b USING a ON b.id = a.id WHEN NOT MATCHED THEN INSERT (id, a_id) VALUES (a.id, a.id)
MERGE INTO b USING (SELECT 1 AS n) AS s ON b.id = s.n WHEN MATCHED AND b.note = 'n' THEN DELETE
MERGE INTO b USING a ON b.id = a.id WHEN MATCHED THEN DO NOTHING
TRUNCATE b
TRUNCATE a CASCADE
LOCK TABLE a IN ACCESS SHARE MODE
LOCK TABLE a IN EXCLUSIVE MODE
COPY a TO STDOUT
COPY a (x, y) TO STDOUT
COPY (SELECT note FROM b) TO STDOUT
SELECT nextval('side.s')
SELECT setval('side.s', 5)
SELECT last_value FROM side.s
SELECT nextval('a_id_seq')
SELECT nextval(pg_get_serial_sequence('a', 'id'))
SELECT x FROM plain_view
SELECT note FROM joined
SELECT x FROM plain_view FOR UPDATE
INSERT INTO plain_view (x) VALUES (1)
UPDATE plain_view SET y = 'v' WHERE id = 1
DELETE FROM plain_view WHERE id = 3
SELECT reads_a(1)
SELECT as_owner(1)
SELECT counts()
SELECT standard(1)
SELECT n FROM counts() AS n
CALL writes_log('x')
SELECT r FROM calls
SELECT total(x) FROM a
SELECT OPERATOR(side.@#@) 1
SELECT 5::small
UPDATE watched SET v = 2 WHERE id = 1
UPDATE watched SET id = 2
UPDATE ruled SET v = 2
DELETE FROM keys WHERE id = 1
DELETE FROM locks
SELECT id FROM secured
UPDATE secured SET id = 5
CREATE TEMP TABLE fresh (LIKE a)
CREATE TABLE side.fresh (id int, x int REFERENCES a)
CREATE TABLE side.fresh (id int)
CREATE TABLE side.fresh AS SELECT note FROM b
CREATE VIEW side.fresh AS SELECT note FROM b
CREATE TEMP TABLE fresh (v int CHECK (adds_one(v) > 1)); INSERT INTO fresh VALUES (1)
DO $$ BEGIN PERFORM x FROM a; END $$
SELECT 1 FROM pg_class
SELECT table_name FROM information_schema.tables
"""

SINCE_15 = """
SELECT id FROM invoker
SELECT x FROM over_invoker, invoker
SELECT id FROM over_invoker
UPDATE invoker SET x = 2
INSERT INTO invoker (x) VALUES (2)
"""

SINCE_17 = """
MERGE INTO b USING a ON b.id = a.id WHEN NOT MATCHED BY SOURCE THEN DELETE
MERGE INTO b USING a ON b.id = a.id WHEN MATCHED THEN UPDATE SET note = 'm' RETURNING a.x, b.note
"""

SINCE_18 = """
UPDATE a SET x = 9 RETURNING old.y, new.x
DELETE FROM b WHERE id = 4 RETURNING WITH (OLD AS gone) gone.note
"""


class Shop:
    """A database, its catalog and a role that holds nothing."""

    def __init__(self, admin: psycopg.Connection, catalog: Catalog, version: int) -> None:
        self.admin = admin
        self.catalog = catalog
        self.version = version
        names = admin.execute("SELECT oid::bigint, oid::regprocedure::text FROM pg_proc")
        self.functions = dict(names.fetchall())

    def needs(self, text: str) -> frozenset[Need]:
        """What a statement needs, with functions by their whole names."""
        found = needs_of(text, self.catalog, SessionView())
        assert (found.unknowns, found.beyond, found.missing) == ((), (), ()), text
        return settled([found], self.catalog)

    def grant(self, verb: str, need: Need) -> None:
        """Give the role something, or take it away."""
        if need.kind is ObjectClass.FUNCTION:
            name = self.functions[need.oid]
            need = Need(need.kind, need.schema, name, need.privilege, need.column, need.oid)
        self.admin.execute(granting(verb, need, sql.Identifier("needy")))

    def runs_with(self, needs: frozenset[Need], text: str) -> str:
        """The SQLSTATE with which the server refuses the statement to one who holds ``needs``."""
        with self.admin.transaction(force_rollback=True):
            for need in sorted(needs):
                self.grant("GRANT", need)
            return refused_within(self.admin, text)


def refused_within(admin: psycopg.Connection, text: str) -> str:
    """Run a statement as the role within an open transaction."""
    try:
        with admin.transaction(force_rollback=True):
            admin.execute("SET LOCAL ROLE needy")
            if text.startswith("COPY"):
                with admin.cursor().copy(text.encode()) as copy:
                    list(copy)
            else:
                admin.execute(text.encode())
    except psycopg.Error as error:
        return error.sqlstate or "?"
    return ""


@pytest.fixture(scope="module")
def shop(postgres: EmbeddedPostgres) -> Iterator[Shop]:
    """The schema above, on each version."""
    with fresh_database(postgres, SCHEMA + INVOKER) as name:
        url = postgres.url(database=name)
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute("CREATE ROLE needy")
            try:
                yield Shop(admin, catalog_of(url), postgres.version)
            finally:
                admin.execute("DROP ROLE needy")


def _listed(version: int) -> list[str]:
    texts = STATEMENTS + SINCE_15
    texts += SINCE_17 if version >= 17 else ""
    texts += SINCE_18 if version >= 18 else ""
    return [each for each in texts.splitlines() if each]


def test_what_is_found_is_enough_and_none_of_it_too_much(shop: Shop) -> None:
    wrong: list[str] = []
    for text in _listed(shop.version):
        needs = shop.needs(text)
        state = shop.runs_with(needs, text)
        if state:
            wrong.append(f"{text}: refused ({state}) with {sorted(n.label for n in needs)}")
            continue
        wrong += [
            f"{text}: runs without {need.label}"
            for need in sorted(needs)
            if not shop.runs_with(needs - {need}, text)
        ]
    assert not wrong, "\n".join(wrong)
