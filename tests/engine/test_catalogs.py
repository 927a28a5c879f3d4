"""A catalog, read by a role that may do nothing: one of everything, each attribute as it is."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from holdpoint.embedded import EmbeddedPostgres
from holdpoint.engine.catalogs import read_catalog
from holdpoint.model.catalog import (
    CatalogRows,
    Column,
    Constraint,
    DataType,
    Function,
    Grant,
    Operator,
    Relation,
    RelationKind,
    RowPolicy,
)
from support.servers import fresh_database

pytestmark = pytest.mark.anyio

INT, TEXT, NUMERIC = 23, 25, 1700

SCHEMA = """
CREATE SCHEMA app;
CREATE DOMAIN app.amount AS numeric DEFAULT 1 NOT NULL
    CHECK (VALUE > 0) CHECK (VALUE < 1000000);
CREATE TYPE app.mood AS ENUM ('good', 'bad');
CREATE TYPE app.pair AS (a int, b app.mood);
CREATE FUNCTION app.span_gap(int, int) RETURNS float8 LANGUAGE sql IMMUTABLE
    AS 'SELECT ($1 - $2)::float8';
CREATE TYPE app.span AS RANGE (subtype = int, subtype_diff = app.span_gap);

CREATE TABLE app.customers (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email text NOT NULL UNIQUE,
    mood app.mood DEFAULT 'good',
    limit_amount app.amount,
    shown text GENERATED ALWAYS AS (upper(email)) STORED,
    gone int
);
ALTER TABLE app.customers DROP COLUMN gone;
CREATE TABLE app.orders (
    id bigint,
    customer int CONSTRAINT orders_customer_fk REFERENCES app.customers (id)
        ON DELETE CASCADE ON UPDATE SET NULL DEFERRABLE,
    total numeric(10,2) CONSTRAINT orders_total_positive CHECK (total > 0),
    note text,
    CONSTRAINT orders_pk PRIMARY KEY (id) INCLUDE (note)
);
ALTER TABLE app.orders ADD CONSTRAINT orders_note CHECK (note <> '') NOT VALID;
CREATE INDEX orders_low ON app.orders USING hash (lower(note)) WHERE total > 10;
CREATE INDEX orders_two ON app.orders (customer, lower(note), total DESC);

CREATE TABLE app.events (at date NOT NULL, id int) PARTITION BY RANGE (at);
CREATE TABLE app.events_1 PARTITION OF app.events
    FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE app.special (extra text) INHERITS (app.orders);

CREATE VIEW app.open_orders AS
    SELECT o.id, c.email FROM app.orders o JOIN app.customers c ON c.id = o.customer;
CREATE MATERIALIZED VIEW app.totals AS
    SELECT customer, sum(total) AS total FROM app.orders GROUP BY customer;
CREATE RULE orders_keep AS ON DELETE TO app.open_orders DO INSTEAD NOTHING;

CREATE FUNCTION app.noted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = app, pg_temp AS
    $$BEGIN PERFORM pg_notify('orders', NEW.id::text); RETURN NEW; END$$;
CREATE TRIGGER "note WHEN (it) changes" BEFORE UPDATE OF note, total ON app.orders FOR EACH ROW
    WHEN (OLD.note IS DISTINCT FROM NEW.note AND NEW.note <> 'a ) b') EXECUTE FUNCTION app.noted();
CREATE TRIGGER counted AFTER INSERT OR DELETE OR TRUNCATE ON app.orders
    FOR EACH STATEMENT EXECUTE FUNCTION app.noted('x');
ALTER TABLE app.orders DISABLE TRIGGER counted;
CREATE TRIGGER instead INSTEAD OF INSERT ON app.open_orders
    FOR EACH ROW EXECUTE FUNCTION app.noted();
CREATE TRIGGER each_event AFTER INSERT ON app.events FOR EACH ROW EXECUTE FUNCTION app.noted();

ALTER TABLE app.orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON app.orders FOR UPDATE USING (customer > 0) WITH CHECK (total < 100);
CREATE POLICY seen ON app.orders USING (EXISTS
    (SELECT 1 FROM app.customers c WHERE c.id = customer));

CREATE FUNCTION app.add(a int, b int DEFAULT 5, VARIADIC rest int[] DEFAULT '{}', OUT c int)
    LANGUAGE sql STABLE AS 'SELECT a + b';
CREATE FUNCTION app.standard(a int) RETURNS bigint LANGUAGE sql
    BEGIN ATOMIC SELECT a + 1; SELECT count(*) FROM app.orders WHERE id = a; END;
CREATE FUNCTION app.short(a int) RETURNS int LANGUAGE sql RETURN a + 1;
CREATE PROCEDURE app.tidy() LANGUAGE plpgsql AS 'BEGIN DELETE FROM app.orders; END';
CREATE FUNCTION app.of_row(app.orders) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION app.step(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + $2';
CREATE FUNCTION app.last(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE AGGREGATE app.summed(int)
    (sfunc = app.step, stype = int, finalfunc = app.last, initcond = '0');
CREATE FUNCTION app.guess(internal, oid, internal, int) RETURNS float8 LANGUAGE internal
    AS 'eqsel';
CREATE FUNCTION app.same(int, text) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE OPERATOR app.=== (leftarg = int, rightarg = text, function = app.same, restrict = app.guess);
CREATE FUNCTION app.to_mood(int) RETURNS app.mood LANGUAGE sql IMMUTABLE
    AS 'SELECT ''good''::app.mood';
CREATE CAST (int AS app.mood) WITH FUNCTION app.to_mood(int) AS ASSIGNMENT;
CREATE CAST (app.mood AS text) WITH INOUT;
CREATE FUNCTION app.watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER watching ON ddl_command_end WHEN TAG IN ('DROP TABLE', 'CREATE TABLE')
    EXECUTE FUNCTION app.watch();
ALTER EVENT TRIGGER watching DISABLE;

GRANT SELECT ON app.orders TO reader;
GRANT SELECT, UPDATE ON app.customers TO PUBLIC;
GRANT UPDATE (note) ON app.orders TO reader;
INSERT INTO app.customers (email, limit_amount) SELECT g, 5 FROM generate_series(1, 500) AS g;
ANALYZE app.customers;
"""


@pytest.fixture(scope="module")
def url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A database with one of everything, as a role that may only connect."""
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(
            f"""DO $$BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'reader') THEN
                CREATE ROLE team NOLOGIN BYPASSRLS;
                CREATE ROLE reader LOGIN PASSWORD '{postgres.password}' IN ROLE team;
            END IF;
        END$$""".encode()
        )
    with fresh_database(postgres, SCHEMA) as name:
        yield postgres.url("reader", database=name)


@pytest.fixture(scope="module")
async def picture(url: str) -> CatalogRows:
    return await read(url)


async def read(url: str) -> CatalogRows:
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    async with connection:
        return await read_catalog(connection)


def relation(picture: CatalogRows, name: str) -> Relation:
    [found] = [each for each in picture.relations if each.label == f"app.{name}"]
    return found


def function(picture: CatalogRows, name: str) -> Function:
    [found] = [each for each in picture.functions if each.label == f"app.{name}"]
    return found


def data_type(picture: CatalogRows, name: str) -> DataType:
    [found] = [each for each in picture.types if each.schema == "app" and each.name == name]
    return found


async def test_the_session_is_told_as_it_is_without_the_readers_settings(
    url: str, picture: CatalogRows
) -> None:
    assert picture.version // 10000 in (16, 18)
    assert picture.role == "reader"
    assert picture.search_path == ("pg_catalog", "public")
    assert set(picture.schemas) == {"information_schema", "pg_catalog", "public"}  # not app
    assert len(picture.mark) == 64


async def test_the_path_is_that_of_a_fresh_session(url: str) -> None:
    path = await read(url + "?options=-csearch_path%3D%22%24user%22%2Cnowhere%2Cpublic")
    assert path.search_path == ("pg_catalog", "public")


async def test_columns(picture: CatalogRows) -> None:
    assert relation(picture, "customers").columns == (
        Column("id", INT, True, identity=True, type_modifier=-1),
        Column("email", TEXT, True, type_modifier=-1),
        Column(
            "mood",
            data_type(picture, "mood").oid,
            default="'good'::app.mood",
            type_modifier=-1,
        ),
        Column("limit_amount", data_type(picture, "amount").oid, type_modifier=-1),
        Column("shown", TEXT, default="upper(email)", generated=True, type_modifier=-1),
    )
    total = relation(picture, "orders").columns[2]
    assert (total.type_oid, total.type_modifier) == (NUMERIC, (10 << 16 | 2) + 4)


async def test_relations_of_every_kind(picture: CatalogRows) -> None:
    kinds = {each.name: each.kind for each in picture.relations if each.schema == "app"}
    assert kinds == {
        "customers": RelationKind.TABLE,
        "customers_id_seq": RelationKind.SEQUENCE,
        "events": RelationKind.PARTITIONED,
        "events_1": RelationKind.TABLE,
        "open_orders": RelationKind.VIEW,
        "orders": RelationKind.TABLE,
        "pair": RelationKind.COMPOSITE,
        "special": RelationKind.TABLE,
        "totals": RelationKind.MATERIALIZED_VIEW,
    }
    assert {each.schema for each in picture.relations} == {"app"}, "nothing of the server's own"
    customers, orders = relation(picture, "customers"), relation(picture, "orders")
    assert (customers.rows, customers.size_bytes > 0) == (500, True)
    assert (orders.rows, orders.size_bytes) == (-1, 0)
    assert (orders.owner, orders.row_security, orders.temporary) == ("postgres", True, False)
    assert not customers.row_security
    [row_type] = [each for each in picture.types if each.oid == orders.type_oid]
    assert (row_type.name, row_type.kind, row_type.relation) == ("orders", "c", orders.oid)
    assert relation(picture, "events_1").parents == (relation(picture, "events").oid,)
    assert relation(picture, "special").parents == (orders.oid,)


async def test_queries_of_views_name_everything_in_full(picture: CatalogRows) -> None:
    view = relation(picture, "open_orders")
    assert "FROM (app.orders o" in view.definition
    assert "JOIN app.customers c" in view.definition
    assert not view.security_invoker
    assert "FROM app.orders" in relation(picture, "totals").definition
    assert relation(picture, "orders").definition == ""
    [rule] = view.rules
    assert (rule.name, rule.event, rule.instead, rule.enabled) == (
        "orders_keep",
        "delete",
        True,
        "O",
    )
    assert "DO INSTEAD NOTHING" in rule.definition


@pytest.mark.parametrize(
    ("value", "means"),
    [("on", True), ("1", True), ("true", True), ("off", False), ("false", False)],
)
async def test_security_invoker_as_the_server_reads_it(
    postgres18: EmbeddedPostgres, value: str, means: bool
) -> None:
    script = f"CREATE VIEW v WITH (security_barrier, security_invoker = {value}) AS SELECT 1 AS one"
    with fresh_database(postgres18, script) as name:
        picture = await read(postgres18.url(database=name))
    assert [each.security_invoker for each in picture.relations] == [means]


async def test_indexes(picture: CatalogRows) -> None:
    indexes = {each.name: each for each in relation(picture, "orders").indexes}
    assert set(indexes) == {"orders_pk", "orders_low", "orders_two"}
    key = indexes["orders_pk"]
    assert (key.columns, key.unique, key.primary, key.valid) == (("id",), True, True, True)
    assert (key.method, key.size_bytes) == ("btree", 8192)
    low = indexes["orders_low"]
    assert (low.columns, low.unique, low.primary, low.method) == (("",), False, False, "hash")
    assert (low.expressions, low.predicate) == ("lower(note)", "(total > (10)::numeric)")
    assert indexes["orders_two"].columns == ("customer", "", "total")


async def test_constraints(picture: CatalogRows) -> None:
    found = {each.name: each for each in relation(picture, "orders").constraints}
    assert found["orders_customer_fk"] == Constraint(
        "orders_customer_fk",
        "f",
        ("customer",),
        relation(picture, "customers").oid,
        ("id",),
        on_delete="c",
        on_update="n",
        deferrable=True,
    )
    assert found["orders_total_positive"] == Constraint(
        "orders_total_positive", "c", ("total",), expression="(total > (0)::numeric)"
    )
    assert not found["orders_note"].valid
    assert (found["orders_pk"].kind, found["orders_pk"].columns) == ("p", ("id",))


async def test_triggers_without_those_of_foreign_keys(picture: CatalogRows) -> None:
    noted = function(picture, "noted").oid
    counted, note = relation(picture, "orders").triggers
    assert (note.name, note.function) == ("note WHEN (it) changes", noted)
    assert (note.events, note.timing, note.per_row) == ({"update"}, "before", True)
    assert (note.enabled, note.columns) == ("O", ("note", "total"))
    assert note.when == ("((old.note IS DISTINCT FROM new.note) AND (new.note <> 'a ) b'::text))")
    assert (counted.events, counted.timing) == ({"insert", "delete", "truncate"}, "after")
    assert (counted.per_row, counted.enabled, counted.when) == (False, "D", "")
    [instead] = relation(picture, "open_orders").triggers
    assert (instead.timing, instead.events) == ("instead", {"insert"})
    [of_partition] = relation(picture, "events_1").triggers
    assert (of_partition.name, of_partition.function) == ("each_event", noted)
    assert relation(picture, "customers").triggers == ()


async def test_policies(picture: CatalogRows) -> None:
    own, seen = relation(picture, "orders").policies
    assert own == RowPolicy("own", "w", "(customer > 0)", "(total < (100)::numeric)")
    assert (seen.name, seen.command, seen.check) == ("seen", "*", "")
    assert "FROM app.customers c" in seen.using


async def test_grants_with_the_owners_and_those_on_columns(picture: CatalogRows) -> None:
    orders = relation(picture, "orders").grants
    assert {each for each in orders if each.grantee == "reader"} == {
        Grant("reader", "SELECT"),
        Grant("reader", "UPDATE (note)"),
    }
    assert Grant("postgres", "DELETE") in orders
    public = {each.privilege for each in relation(picture, "customers").grants if not each.grantee}
    assert public == {"SELECT", "UPDATE"}
    assert {each.grantee for each in relation(picture, "events").grants} == {"postgres"}


async def test_functions(picture: CatalogRows) -> None:
    add = function(picture, "add")
    assert (add.kind, add.language, add.owner, add.volatility) == ("f", "sql", "postgres", "s")
    assert (add.arguments, add.argument_names) == ((INT, INT, 1007), ("a", "b", "rest", "c"))
    assert (add.defaults, add.variadic, add.returns) == (2, True, INT)
    assert (add.body, add.standard_body) == ("SELECT a + b", False)
    assert add.default_expressions == "5, '{}'::integer[]"
    noted = function(picture, "noted")
    assert noted.security_definer
    assert noted.settings == ("search_path=app, pg_temp",)
    assert "pg_notify" in noted.body
    assert function(picture, "tidy").kind == "p"
    assert {each.schema for each in picture.functions} == {"app"}, "nothing of the server's own"


async def test_bodies_in_standard_sql(picture: CatalogRows) -> None:
    standard = function(picture, "standard")
    assert standard.standard_body
    lines = [line.strip() for line in standard.body.splitlines()]
    assert lines[0] == "SELECT (a + 1);"
    assert "FROM app.orders" in standard.body
    assert lines[-1].endswith(";")
    short = function(picture, "short")
    assert (short.body, short.standard_body) == ("SELECT (a + 1)", True)


async def test_what_functions_and_operators_stand_on(picture: CatalogRows) -> None:
    step, last = function(picture, "step").oid, function(picture, "last").oid
    summed = function(picture, "summed")
    assert (summed.kind, summed.uses) == ("a", (step, last))
    assert function(picture, "add").uses == ()
    [operator] = picture.operators
    assert operator == Operator(
        operator.oid,
        "app",
        "===",
        INT,
        TEXT,
        function(picture, "same").oid,
        estimators=(function(picture, "guess").oid,),
    )
    made = {(each.source, each.target): each for each in picture.casts}
    cast = made[INT, data_type(picture, "mood").oid]
    assert (cast.function, cast.context) == (function(picture, "to_mood").oid, "a")
    assert (data_type(picture, "mood").oid, TEXT) not in made, "it calls no function"


async def test_types(picture: CatalogRows) -> None:
    amount = data_type(picture, "amount")
    assert (amount.kind, amount.base, amount.not_null, amount.default) == ("d", NUMERIC, True, "1")
    assert amount.checks == ("(VALUE > (0)::numeric)", "(VALUE < (1000000)::numeric)")
    assert data_type(picture, "mood").kind == "e"
    assert data_type(picture, "_mood").base == data_type(picture, "mood").oid
    span = data_type(picture, "span")
    assert (span.kind, span.functions) == ("r", (function(picture, "span_gap").oid,))
    assert data_type(picture, "pair").relation == relation(picture, "pair").oid


async def test_event_triggers_roles_extensions(picture: CatalogRows) -> None:
    [watching] = picture.event_triggers
    assert (watching.name, watching.event) == ("watching", "ddl_command_end")
    assert (watching.function, watching.enabled) == (function(picture, "watch").oid, "D")
    assert set(watching.tags) == {"DROP TABLE", "CREATE TABLE"}
    roles = {each.name: each for each in picture.roles}
    assert roles["postgres"].superuser
    assert (roles["team"].bypass_row_security, roles["team"].can_login) == (True, False)
    assert (roles["reader"].member_of, roles["reader"].can_login) == (("team",), True)
    assert [(each.name, each.schema) for each in picture.extensions] == [("plpgsql", "pg_catalog")]


async def test_dependencies(picture: CatalogRows) -> None:
    def on(oid: int) -> set[tuple[str, str, str]]:
        return {
            (each.kind, each.name, each.column) for each in picture.dependencies if each.on == oid
        }

    orders = on(relation(picture, "orders").oid)
    assert {
        ("view", "app.open_orders", "id"),
        ("materialized view", "app.totals", "total"),
        ("function", "app.standard(integer)", "id"),
        ("function", "app.of_row(app.orders)", ""),
        ("policy", "app.orders own", "total"),
    } <= orders
    assert not {kind for kind, _, _ in orders} & {"index", "constraint", "table"}
    assert ("policy", "app.orders seen", "id") in on(relation(picture, "customers").oid)
    assert ("trigger", "app.orders counted", "") in on(function(picture, "noted").oid)
    assert on(function(picture, "watch").oid) == {("event trigger", "watching", "")}
    assert on(function(picture, "same").oid) == {("operator", "app.===", "")}
    assert on(function(picture, "step").oid) == {("aggregate", "app.summed(integer)", "")}
    assert on(function(picture, "to_mood").oid) == {("cast", "integer as app.mood", "")}
    assert ("sequence", "app.customers_id_seq", "id") in on(relation(picture, "customers").oid)


async def test_what_belongs_to_an_extension_says_so(postgres18: EmbeddedPostgres) -> None:
    script = """CREATE TABLE config (a int);
        CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';
        CREATE TABLE mine (a int);
        ALTER EXTENSION plpgsql ADD TABLE config; ALTER EXTENSION plpgsql ADD FUNCTION f();"""
    with fresh_database(postgres18, script) as name:
        picture = await read(postgres18.url(database=name))
    assert {each.name: each.extension for each in picture.relations} == {
        "config": "plpgsql",
        "mine": "",
    }
    assert [each.extension for each in picture.functions] == ["plpgsql"]
