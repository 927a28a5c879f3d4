"""A statement does what the objects behind its names do. The catalog is a real server's."""

from collections.abc import Iterator

import pytest

from holdpoint.embedded import EmbeddedPostgres
from holdpoint.model.effects import Effect, MarkKind, SessionView, Statement
from holdpoint.sql import read
from holdpoint.sql.names import Catalog
from support.catalogs import catalog_from

SCHEMA = """
CREATE SCHEMA app; CREATE SCHEMA other;
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL
    REFERENCES customers ON DELETE CASCADE ON UPDATE CASCADE, total numeric, status text);
CREATE TABLE items (id int PRIMARY KEY, order_id int REFERENCES orders ON DELETE SET NULL);
CREATE TABLE log (id serial, what text);
CREATE TABLE jobs (id int PRIMARY KEY, state text);

CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
CREATE FUNCTION wipe() RETURNS int LANGUAGE sql AS 'DELETE FROM jobs; SELECT 1';
CREATE FUNCTION wipe_deep() RETURNS void LANGUAGE plpgsql AS $$
    BEGIN IF true THEN PERFORM public.wipe(); END IF; END $$;
CREATE FUNCTION dynamic(t text) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN EXECUTE 'DELETE FROM ' || t; END $$;
CREATE FUNCTION ping(n int) RETURNS int LANGUAGE plpgsql AS $$
    BEGIN RETURN CASE WHEN n > 0 THEN public.pong(n - 1) ELSE 0 END; END $$;
CREATE FUNCTION pong(n int) RETURNS int LANGUAGE plpgsql AS $$
    BEGIN RETURN public.ping(n - 1); END $$;
CREATE FUNCTION add_job(n int) RETURNS void LANGUAGE sql AS 'INSERT INTO jobs VALUES ($1)';
CREATE FUNCTION add_jobs(n int) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN FOR i IN 1..n LOOP INSERT INTO jobs VALUES (i); END LOOP; END $$;
CREATE FUNCTION liar(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
    BEGIN PERFORM public.wipe(); RETURN n; END $$;
CREATE FUNCTION as_owner() RETURNS bigint LANGUAGE sql SECURITY DEFINER
    AS 'SELECT count(*) FROM public.customers';
CREATE FUNCTION label(customers) RETURNS text LANGUAGE sql AS 'DELETE FROM jobs; SELECT $1.name';
CREATE FUNCTION lower(int) RETURNS int LANGUAGE sql AS 'TRUNCATE jobs; SELECT 1';
CREATE FUNCTION other.twice(n int) RETURNS int LANGUAGE sql AS 'DELETE FROM jobs; SELECT 1';
CREATE FUNCTION app.helper() RETURNS void LANGUAGE sql SET search_path = other
    AS 'SELECT twice(1)';
CREATE PROCEDURE tidy() LANGUAGE plpgsql AS $$ BEGIN DELETE FROM jobs; COMMIT; END $$;
CREATE AGGREGATE evil_sum(int) (sfunc = pg_catalog.int4pl, stype = int, finalfunc = liar);

CREATE VIEW plain AS SELECT id, name FROM customers WHERE id > 0;
CREATE VIEW trap AS SELECT id, public.wipe() FROM customers;
CREATE VIEW ruled AS SELECT id FROM customers;
CREATE RULE ruled_delete AS ON DELETE TO ruled DO INSTEAD TRUNCATED;
"""
SCHEMA = (
    SCHEMA.replace("DO INSTEAD TRUNCATED", "DO INSTEAD DELETE FROM jobs")
    + """
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO public.log (what) VALUES (TG_OP); RETURN NULL; END $$;
CREATE TRIGGER orders_note AFTER UPDATE OF total ON orders
    FOR EACH ROW EXECUTE FUNCTION note();
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_notify('jobs', NEW.id::text); RETURN NULL; END $$;
CREATE TRIGGER jobs_tell AFTER INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TABLE quiet (id int); CREATE TRIGGER quiet_off AFTER INSERT ON quiet
    FOR EACH ROW EXECUTE FUNCTION tell(); ALTER TABLE quiet DISABLE TRIGGER quiet_off;

CREATE FUNCTION is_even(n int) RETURNS bool LANGUAGE sql AS 'DELETE FROM jobs; SELECT true';
CREATE DOMAIN even AS int CHECK (public.is_even(VALUE));
CREATE TABLE evens (n even);
CREATE TABLE defaulted (id int, n int DEFAULT public.liar(1));
CREATE TYPE pair AS (a int, b int);
CREATE FUNCTION pairs_equal(pair, pair) RETURNS bool LANGUAGE sql
    AS 'DELETE FROM jobs; SELECT true';
CREATE OPERATOR = (leftarg = pair, rightarg = pair, function = pairs_equal);
CREATE TABLE pairs (p pair);
CREATE TABLE secrets (id int, owner text);
ALTER TABLE secrets ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON secrets USING (public.is_even(id));
CREATE TABLE parts (id int, day int) PARTITION BY RANGE (day);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TRIGGER parts_1_tell AFTER INSERT ON parts_1 FOR EACH ROW EXECUTE FUNCTION tell();
"""
)


@pytest.fixture(scope="module", params=[18, 16], ids=["pg18", "pg16"])
def catalog(request: pytest.FixtureRequest) -> Iterator[Catalog]:
    server: EmbeddedPostgres = request.getfixturevalue(f"postgres{request.param}")
    with catalog_from(server, SCHEMA) as found:
        yield found


def only(catalog: Catalog, text: str, view: SessionView | None = None) -> Statement:
    """The last statement of a text."""
    return read(text, session=view or SessionView(), catalog=catalog).statements[-1]


def effects(catalog: Catalog, text: str, view: SessionView | None = None) -> set[str]:
    return {effect.value for effect in only(catalog, text, view).effects}


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM customers",
        "SELECT * FROM plain",
        "SELECT twice(2), twice(id) FROM orders",
        "SELECT ping(3)",
        "SELECT as_owner()",
        "SELECT c.name, lower(c.name) FROM customers c WHERE c.id = twice(1)",
        "SELECT count(*), sum(total) FROM orders GROUP BY status",
        "SELECT (ROW(1, 2)::pair).a",
        "SELECT * FROM pairs",
        "SELECT DISTINCT p FROM pairs ORDER BY p",  # by its operator class, not by its `=`
        "SELECT p FROM pairs UNION SELECT p FROM pairs",
        "SELECT p, count(*) FROM pairs GROUP BY p",
        "EXPLAIN SELECT wipe()",
        "DO $$ BEGIN PERFORM public.twice(1); END $$",
    ],
)
def test_what_only_reads_reads(catalog: Catalog, text: str) -> None:
    # `lower` of an integer is a user's: without types, each overload may be the one that is meant.
    expected = {"read"} if "lower(" not in text else {"read", "destructive"}
    assert effects(catalog, text) == expected


@pytest.mark.parametrize(
    ("text", "effect"),
    [
        ("SELECT wipe()", Effect.BULK_WRITE),
        ("SELECT wipe_deep()", Effect.BULK_WRITE),
        ("SELECT public.wipe_deep()", Effect.BULK_WRITE),
        ('SELECT "wipe"()', Effect.BULK_WRITE),
        ("SELECT WIPE()", Effect.BULK_WRITE),
        ("SELECT 1 FROM customers ORDER BY wipe()", Effect.BULK_WRITE),
        ("VALUES (wipe())", Effect.BULK_WRITE),
        ("SELECT * FROM wipe()", Effect.BULK_WRITE),
        ("SELECT * FROM trap", Effect.BULK_WRITE),
        ("TABLE trap", Effect.BULK_WRITE),
        ("COPY trap TO STDOUT", Effect.BULK_WRITE),
        ("COPY (SELECT * FROM trap) TO STDOUT", Effect.BULK_WRITE),
        ("DECLARE c CURSOR FOR SELECT * FROM trap", Effect.BULK_WRITE),
        ("PREPARE p AS SELECT wipe(); EXECUTE p", Effect.BULK_WRITE),
        ("EXPLAIN ANALYZE SELECT wipe()", Effect.BULK_WRITE),
        ("EXPLAIN SELECT liar(1)", Effect.BULK_WRITE),  # the planner runs what says IMMUTABLE
        ("DO $$ BEGIN PERFORM wipe(); END $$", Effect.BULK_WRITE),
        ("SELECT c.label FROM customers c", Effect.BULK_WRITE),
        ("SELECT (c).label FROM customers c", Effect.BULK_WRITE),
        ("SELECT lower(1)", Effect.DESTRUCTIVE),
        ("SELECT evil_sum(id) FROM customers", Effect.BULK_WRITE),
        ("SELECT app.helper()", Effect.BULK_WRITE),
        ("DELETE FROM ruled WHERE id = 1", Effect.BULK_WRITE),
        ("SELECT 3::even", Effect.BULK_WRITE),
        ("SELECT CAST(3 AS public.even)", Effect.BULK_WRITE),
        ("SELECT even(3)", Effect.BULK_WRITE),
        ("INSERT INTO evens VALUES (1)", Effect.BULK_WRITE),
        ("INSERT INTO defaulted (id) VALUES (1)", Effect.BULK_WRITE),
        ("COPY evens FROM STDIN", Effect.BULK_WRITE),
        ("SELECT * FROM pairs a, pairs b WHERE a.p = b.p", Effect.BULK_WRITE),
        ("SELECT * FROM pairs WHERE p IN (SELECT p FROM pairs)", Effect.BULK_WRITE),
        ("SELECT * FROM pairs a JOIN pairs b USING (p)", Effect.BULK_WRITE),
        ("SELECT * FROM pairs NATURAL JOIN pairs AS b", Effect.BULK_WRITE),
        ("SELECT CASE p WHEN (1, 2)::pair THEN 1 END FROM pairs", Effect.BULK_WRITE),
        ("SELECT NULLIF(p, (1, 2)::pair) FROM pairs", Effect.BULK_WRITE),
        ("SELECT p IS DISTINCT FROM (1, 2)::pair FROM pairs", Effect.BULK_WRITE),
        ("SELECT * FROM secrets", Effect.BULK_WRITE),
        ("CALL tidy()", Effect.SESSION_ESCAPE),
        ("SELECT dynamic('jobs')", Effect.UNKNOWN),
        ("SELECT nobody_knows(1)", Effect.UNKNOWN),
    ],
)
def test_what_is_set_off_counts(catalog: Catalog, text: str, effect: Effect) -> None:
    assert effect in only(catalog, text).effects


def test_the_way_to_an_effect_is_told(catalog: Catalog) -> None:
    statement = only(catalog, "SELECT * FROM trap")
    ways = {(use.name, use.verb.value): use.through for use in statement.uses}
    assert ways["jobs", "delete"] == ("view public.trap", "function public.wipe")
    assert ways["customers", "select"] == ("view public.trap",)
    marks = {(mark.kind, mark.subject) for mark in statement.marks}
    assert (MarkKind.THROUGH, "function public.wipe") in marks


def test_foreign_keys_act_level_by_level(catalog: Catalog) -> None:
    statement = only(catalog, "DELETE FROM customers WHERE id = 1")
    assert {effect.value for effect in statement.effects} == {"write"}
    ways = {(use.name, use.verb.value): len(use.through) for use in statement.uses}
    assert ways == {("customers", "delete"): 0, ("orders", "delete"): 1, ("items", "update"): 2}
    renamed = only(catalog, "UPDATE customers SET name = 'x' WHERE id = 1")
    assert [use.name for use in renamed.uses] == ["customers"], "no key changes"
    rekeyed = only(catalog, "UPDATE customers SET id = 2 WHERE id = 1")
    assert ("orders", "update") in {(use.name, use.verb.value) for use in rekeyed.uses}


def test_triggers_fire_for_their_columns_and_when_enabled(catalog: Catalog) -> None:
    def tables(text: str) -> set[str]:
        return {use.name for use in only(catalog, text).uses}

    assert tables("UPDATE orders SET total = 1 WHERE id = 1") == {"orders", "log"}
    assert tables("UPDATE orders SET status = 'x' WHERE id = 1") == {"orders"}
    assert tables("INSERT INTO orders VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET total = 1") == {
        "orders",
        "log",
    }
    told = {mark.kind for mark in only(catalog, "INSERT INTO jobs VALUES (1)").marks}
    assert MarkKind.TRIGGER_OUTSIDE in told
    assert not only(catalog, "INSERT INTO quiet VALUES (1)").marks
    parted = {mark.kind for mark in only(catalog, "INSERT INTO parts VALUES (1, 1)").marks}
    assert MarkKind.TRIGGER_OUTSIDE in parted, "a partition's own trigger"


def test_the_search_path_decides_which_function_is_meant(catalog: Catalog) -> None:
    assert effects(catalog, "SELECT twice(1)") == {"read"}
    assert "bulk_write" in effects(catalog, "SELECT other.twice(1)")
    there = SessionView(search_paths=(("other",),))
    assert "bulk_write" in effects(catalog, "SELECT twice(1)", there)
    either = SessionView(search_paths=(("public",), ("other", "public")))
    assert "bulk_write" in effects(catalog, "SELECT twice(1)", either)
    assert "bulk_write" in effects(catalog, "SET search_path = other; SELECT twice(1)")
    assert "bulk_write" in effects(catalog, "SELECT twice(1)", SessionView(any_path=True))
    move = "set_config('search_path', 'oth' || 'er', true)"
    moved = f"DO $$ BEGIN PERFORM {move}; PERFORM twice(1); END $$"
    assert "bulk_write" in effects(catalog, moved)


def test_rows_that_functions_change_are_proven_or_unknown(catalog: Catalog) -> None:
    assert only(catalog, "SELECT add_job(1)").rows_max == 1
    for text in (
        "SELECT add_jobs(1000000)",
        "SELECT add_job(id) FROM orders",
        "SELECT add_job(n) FROM generate_series(1, 9) n",
        "SELECT add_job(generate_series(1, 9))",
        "SELECT add_job(1), add_job(2)",
        "SELECT wipe_deep()",
        "UPDATE orders SET total = liar(1) WHERE id = 1",
    ):
        statement = only(catalog, text)
        assert statement.rows_inside, text
        assert statement.rows_max is None, text


def test_code_defined_in_the_open_transaction_makes_names_unsure(catalog: Catalog) -> None:
    define = "CREATE OR REPLACE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT 1'"
    assert "unknown" in effects(catalog, f"{define}; SELECT twice(1)")
    assert "unknown" in effects(catalog, "SELECT twice(1)", SessionView(defines_code=True))
    assert "unknown" not in effects(catalog, "COMMIT", SessionView(defines_code=True))
    plain = "CREATE TABLE fresh (id int); INSERT INTO fresh VALUES (1)"
    assert "unknown" not in effects(catalog, plain)


def test_an_approval_binds_to_what_is_reached(
    catalog: Catalog, postgres18: EmbeddedPostgres
) -> None:
    delete = "DELETE FROM customers WHERE id = 1"
    before = read(delete, catalog=catalog).schema
    assert before == read(delete, catalog=catalog).schema
    assert before != read("DELETE FROM jobs WHERE id = 1", catalog=catalog).schema
    changed = SCHEMA + "ALTER TABLE items ADD COLUMN note text;"
    with catalog_from(postgres18, changed) as other:
        assert read(delete, catalog=other).schema != before
    assert read("SELECT 1", catalog=catalog).schema == "", "a read needs no approval"
