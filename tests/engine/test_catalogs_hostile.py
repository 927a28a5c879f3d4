"""Reading a catalog that is made to mislead, to run something, or to be too much."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from holdpoint.config import parse_url
from holdpoint.embedded import EmbeddedPostgres
from holdpoint.engine import catalogs
from holdpoint.engine.catalog_keeper import CatalogKeeper
from holdpoint.engine.catalog_rows import condition_of, statements_of
from holdpoint.engine.catalogs import CatalogUnavailable, read_catalog, read_mark
from holdpoint.model import limits
from holdpoint.model.catalog import CatalogRows
from holdpoint.model.effects import Effect
from holdpoint.sql import read as read_statement
from holdpoint.sql.names import Catalog
from support.servers import fresh_database

pytestmark = pytest.mark.anyio

# Everything here is found before the built-in of its name by a session of this database, fits the
# reader's calls better or equally, and fails as soon as it runs.
SHADOWS = """
CREATE SCHEMA evil;
CREATE FUNCTION evil.ran() RETURNS bool LANGUAGE plpgsql IMMUTABLE AS
    $$BEGIN RAISE EXCEPTION 'a user''s function ran'; END$$;
CREATE FUNCTION evil.ran_text() RETURNS text LANGUAGE plpgsql IMMUTABLE AS
    $$BEGIN RAISE EXCEPTION 'a user''s function ran'; END$$;
DO $do$
DECLARE types text[] := ARRAY['oid', 'name', 'text', '"char"', 'int2', 'int4', 'int8', 'bool'];
        l text; r text; symbol text;
BEGIN
    FOREACH l IN ARRAY types LOOP FOREACH r IN ARRAY types LOOP
        EXECUTE format('CREATE FUNCTION evil.ran(%s, %s) RETURNS bool LANGUAGE sql IMMUTABLE
                        AS ''SELECT evil.ran()''', l, r);
        FOREACH symbol IN ARRAY ARRAY['=', '<>', '>=', '<', '!~', '~', '||', '+'] LOOP
            EXECUTE format('CREATE OPERATOR evil.%s (leftarg = %s, rightarg = %s,
                                                     function = evil.ran)', symbol, l, r);
        END LOOP;
    END LOOP; END LOOP;
    FOREACH l IN ARRAY ARRAY['concat_ws(text, VARIADIC text[])', 'concat(VARIADIC text[])',
        'octet_length(text)', 'quote_ident(text)', 'quote_ident(name)', 'encode(bytea, text)',
        'convert_to(text, name)', 'pg_get_expr(pg_node_tree, oid)', 'pg_get_viewdef(oid)',
        'pg_get_userbyid(oid)', 'current_setting(text)', 'hashtextextended(text, int)',
        'format_type(oid, int)', 'oidvectortypes(oidvector)', 'pg_get_triggerdef(oid, bool)']
    LOOP
        EXECUTE format('CREATE FUNCTION evil.%s RETURNS text LANGUAGE sql
                        AS ''SELECT evil.ran_text()''', l);
    END LOOP;
    FOREACH l IN ARRAY ARRAY['pg_class', 'pg_proc', 'pg_namespace', 'pg_attribute', 'pg_roles'] LOOP
        EXECUTE format('CREATE VIEW evil.%I AS SELECT evil.ran(), 0::oid AS oid', l);
    END LOOP;
END$do$;
CREATE DOMAIN evil.text AS pg_catalog.text CHECK (evil.ran());
CREATE DOMAIN evil.oid AS pg_catalog.oid CHECK (evil.ran());
CREATE FUNCTION evil.trap(int4) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS
    $$BEGIN RAISE EXCEPTION 'a user''s function ran'; END$$;
CREATE TABLE evil.traps (a int4 DEFAULT evil.trap(1)::int4 CHECK (evil.trap(a)),
                         b bool GENERATED ALWAYS AS (evil.trap(a)) STORED);
CREATE INDEX ON evil.traps ((evil.trap(a))) WHERE evil.trap(a);
CREATE POLICY trap ON evil.traps USING (evil.trap(a));
CREATE VIEW evil.view AS SELECT evil.trap(1) WHERE evil.trap(2);
"""


async def read(url: str) -> CatalogRows:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        return await read_catalog(connection)


async def test_nothing_that_users_defined_runs(postgres: EmbeddedPostgres) -> None:
    with fresh_database(postgres, SHADOWS) as name:
        url = postgres.url(database=name)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {name} SET search_path = evil, pg_catalog".encode())
        with (
            psycopg.connect(url) as connection,
            pytest.raises(psycopg.errors.RaiseException, match="a user's function ran"),
        ):
            connection.execute("SELECT oid FROM pg_catalog.pg_class WHERE oid = 1::pg_catalog.oid")
        picture = await read(url)
    assert picture.search_path == ("evil", "pg_catalog")
    traps = next(each for each in picture.relations if each.name == "traps")
    assert traps.columns[0].default == "(evil.trap(1))::integer"
    assert traps.constraints[0].expression == "evil.trap(a)"
    assert traps.indexes[0].predicate == "evil.trap(a)"
    assert traps.policies[0].using == "evil.trap(a)"


NAMES = (
    "x" * 63,
    "é" * 31,
    'a"b',
    "a'b; DROP TABLE x; --",
    "two\nlines",
    "back\\slash",
    "%s %(a)s {b}",
    "$1",
    "🐘",
    "WHEN (",
    " ",
)


async def test_names_of_every_kind_arrive_as_they_are(postgres: EmbeddedPostgres) -> None:
    with fresh_database(postgres) as database:
        url = postgres.url(database=database)
        with psycopg.connect(url, autocommit=True) as connection:
            for name in NAMES:
                connection.execute(named(NAME_SCRIPT, name))
        picture = await read(url)
    assert {each.name for each in picture.relations} == set(NAMES)
    assert {each.schema for each in picture.relations} == set(NAMES)
    for table in picture.relations:
        name = table.name
        assert [each.name for each in table.columns] == [name]
        assert {each.name for each in table.indexes} == {table.constraints[0].name}
        assert [each.columns for each in table.constraints if each.kind == "u"] == [(name,)]
        assert [each.name for each in table.policies] == [name]
        [trigger] = table.triggers
        assert (trigger.name, trigger.columns) == (name, (name,))
        assert trigger.when.startswith("(new.")
        assert trigger.when.endswith(" IS NOT NULL)")
    assert {each.argument_names for each in picture.functions if each.language == "sql"} == {
        (name,) for name in NAMES
    }


NAME_SCRIPT = """
CREATE SCHEMA {0};
CREATE TABLE {0}.{0} ({0} int UNIQUE);
CREATE POLICY {0} ON {0}.{0} USING ({0} > 0);
CREATE FUNCTION {0}.{0}({0} int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION {0}.fired() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE TRIGGER {0} BEFORE UPDATE OF {0} ON {0}.{0} FOR EACH ROW WHEN (NEW.{0} IS NOT NULL)
    EXECUTE FUNCTION {0}.fired('it''s (');
"""


def named(script: str, name: str) -> sql.Composed:
    return sql.SQL(script).format(sql.Identifier(name))  # type: ignore[arg-type]


async def test_settings_of_the_database_do_not_change_how_texts_are_written(
    postgres: EmbeddedPostgres,
) -> None:
    script = r"CREATE TABLE t (a text DEFAULT 'a\b', b int CHECK (b > 0))"
    with fresh_database(postgres, script) as name:
        url = postgres.url(database=name)
        with psycopg.connect(url, autocommit=True) as connection:
            for setting in ("standard_conforming_strings = off", "quote_all_identifiers = on"):
                connection.execute(f"ALTER DATABASE {name} SET {setting}".encode())
        [table] = (await read(url)).relations
    assert table.columns[0].default == r"'a\b'::text"
    assert [each.expression for each in table.constraints if each.kind == "c"] == ["(b > 0)"]


async def test_what_someone_put_into_pg_catalog_is_seen(postgres: EmbeddedPostgres) -> None:
    script = """
        CREATE FUNCTION pg_catalog.harmless() RETURNS int LANGUAGE sql AS 'SELECT 1';
        CREATE OR REPLACE FUNCTION pg_catalog.lower(text) RETURNS text LANGUAGE plpgsql
            AS 'BEGIN RETURN 1; END';
    """
    with fresh_database(postgres, script) as name:
        picture = await read(postgres.url(database=name))
    assert {(each.label, each.language) for each in picture.functions} == {
        ("pg_catalog.harmless", "sql"),
        ("pg_catalog.lower", "plpgsql"),
    }


@pytest.mark.parametrize(
    ("limit", "most", "words"),
    [("CATALOG_ENTRIES_MAX", 5, "entries"), ("CATALOG_BYTES_MAX", 200_000, "200,0.. bytes")],
)
async def test_a_catalog_beyond_the_limits_is_not_read(
    postgres18: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, limit: str, most: int, words: str
) -> None:
    body = "x" * 199_990
    script = f"""CREATE TABLE t (a int, b int, c int);
        CREATE FUNCTION long() RETURNS int LANGUAGE plpgsql AS '/*{body}*/ BEGIN END';"""
    monkeypatch.setattr(limits, limit, most)
    with (
        fresh_database(postgres18, script) as name,
        pytest.raises(CatalogUnavailable, match=f"the .* catalog .*{words}|{words}"),
    ):
        await read(postgres18.url(database=name))


@pytest.fixture
def url(postgres18: EmbeddedPostgres) -> Iterator[str]:
    with fresh_database(postgres18, "CREATE TABLE t (a int CHECK (a > 0))") as name:
        yield postgres18.url(database=name)


@pytest.mark.parametrize("times", [1, limits.CATALOG_READ_TRIES])
async def test_a_picture_in_which_ddl_came_between_is_read_again(
    url: str, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    amounts = catalogs._check_amount
    left = [times]

    def between(entries: int, stored_bytes: int) -> None:
        amounts(entries, stored_bytes)
        if left[0]:
            left[0] -= 1
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(f"CREATE TABLE between_{left[0]} (a int)".encode())

    monkeypatch.setattr(catalogs, "_check_amount", between)
    if times == limits.CATALOG_READ_TRIES:
        with pytest.raises(CatalogUnavailable, match="changed while it was read, 3 times in a row"):
            await read(url)
    else:
        picture = await read(url)
        assert {each.name for each in picture.relations} == {"t", "between_0"}


async def test_a_locked_table_takes_no_picture_away_that_still_holds(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CATALOG_WHOLE_S", 0.0)
    keeper = CatalogKeeper(lambda: parse_url(url), clock=lambda: 1000.0, check_s=3600.0)
    try:
        before = await keeper.get(timeout_s=60.0)
        with psycopg.connect(url) as other:
            other.execute("LOCK TABLE t")
            keeper.invalidate()
            assert await keeper.get(timeout_s=60.0) is before
            with psycopg.connect(url, autocommit=True) as third:
                third.execute("CREATE TABLE more (a int)")
            keeper.invalidate()
            with pytest.raises(CatalogUnavailable, match="lock timeout"):
                await keeper.get(timeout_s=60.0)
            assert keeper.current is None
    finally:
        await keeper.close()


async def test_a_reader_leaves_no_transaction_behind_when_it_fails(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CATALOG_ENTRIES_MAX", 0)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        with pytest.raises(CatalogUnavailable):
            await read_catalog(connection)
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        assert len(await read_mark(connection)) == 64


@pytest.mark.parametrize(
    ("definition", "condition"),
    [
        (
            "CREATE TRIGGER t BEFORE INSERT ON s.t FOR EACH ROW WHEN ((a > 0)) EXECUTE f()",
            "(a > 0)",
        ),
        ("CREATE TRIGGER \"WHEN (x)\" BEFORE INSERT ON t WHEN (true) EXECUTE f('a')", "true"),
        ("CREATE TRIGGER t WHEN ((a = ')'::text)) EXECUTE FUNCTION f('(')", "(a = ')'::text)"),
        ("CREATE TRIGGER t WHEN ((a = 'it''s)'::text)) EXECUTE f()", "(a = 'it''s)'::text)"),
        ('CREATE TRIGGER "a""(" WHEN (("b)" > 0)) EXECUTE f()', '("b)" > 0)'),
        ("CREATE TRIGGER t WHEN ((a", "CREATE TRIGGER t WHEN ((a"),
    ],
)
def test_the_condition_of_a_trigger(definition: str, condition: str) -> None:
    assert condition_of(definition) == condition


@pytest.mark.parametrize(
    ("body", "statements"),
    [
        ("RETURN (a + 1)", "SELECT (a + 1)"),
        ("BEGIN ATOMIC\n SELECT 1;\n SELECT 2;\nEND", "SELECT 1;\n SELECT 2;"),
        ("BEGIN ATOMIC\nEND", ""),
        ("something new", "something new"),
    ],
)
def test_statements_of_a_body(body: str, statements: str) -> None:
    assert statements_of(body) == statements


BUILT_INS_BEHIND = """
CREATE OPERATOR public.!!! (leftarg = int4, rightarg = int8, function = pg_terminate_backend);
CREATE OPERATOR public.=+= (leftarg = int4, rightarg = int4, function = int4eq,
                            restrict = eqsel, join = eqjoinsel);
CREATE AGGREGATE public.configured(text, bool) (sfunc = set_config, stype = text);
CREATE AGGREGATE public.total(int) (sfunc = int4pl, stype = int);
CREATE TYPE span AS RANGE (subtype = int);
CREATE TABLE t (a tsvector, b text);
CREATE TRIGGER vector BEFORE INSERT ON t FOR EACH ROW
    EXECUTE FUNCTION tsvector_update_trigger(a, 'pg_catalog.english', b);
"""


@pytest.mark.parametrize(
    ("text", "effects"),
    [
        ("SELECT 1 !!! 2", {Effect.READ, Effect.SERVER_SIDE}),
        ("SELECT 1 =+= 2", {Effect.READ}),
        (
            "SELECT configured(v, false) FROM (VALUES ('off')) AS x (v)",
            {Effect.READ, Effect.SESSION_ESCAPE, Effect.UNKNOWN},
        ),
        ("SELECT total(v) FROM (VALUES (1)) AS x (v)", {Effect.READ}),
        ("INSERT INTO t (b) VALUES ('x')", {Effect.WRITE}),
        ("SELECT span(1, 2), span_multirange(span(1, 2, '[]'))", {Effect.READ}),
    ],
)
async def test_dangerous_built_ins_do_not_hide_behind_what_users_define(
    postgres18: EmbeddedPostgres, text: str, effects: set[Effect]
) -> None:
    with fresh_database(postgres18, BUILT_INS_BEHIND) as name:
        picture = await read(postgres18.url(database=name))
    assert read_statement(text, catalog=Catalog(picture)).effects == effects
    assert {name for _, name in picture.built_ins} == {
        "pg_terminate_backend",
        "int4eq",
        "int4pl",
        "eqsel",
        "eqjoinsel",
        "set_config",
        "tsvector_update_trigger",
    }
