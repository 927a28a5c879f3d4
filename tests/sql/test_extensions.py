"""Functions of extensions: what only reads, what does more, what nobody knows."""

from __future__ import annotations

import psycopg
import pytest

from holdpoint.embedded import EmbeddedPostgres
from holdpoint.model.effects import Effect, MarkKind
from holdpoint.sql.extensions import EXTENSIONS, extension_call
from support.servers import fresh_database


@pytest.mark.parametrize(
    ("extension", "function", "volatility"),
    [
        ("pg_trgm", "similarity", "i"),
        ("hstore", "each", "i"),
        ("vector", "cosine_distance", "i"),
        ("postgis", "st_intersects", "i"),
        ("pgcrypto", "gen_random_bytes", "v"),
        ("uuid-ossp", "uuid_generate_v4", "v"),
        ("unaccent", "unaccent", "s"),
        ("pg_stat_statements", "pg_stat_statements", "v"),
        ("pgstattuple", "pg_relpages", "v"),
        ("moddatetime", "moddatetime", "v"),
        ("postgres_fdw", "postgres_fdw_get_connections", "v"),
        ("http", "urlencode", "i"),
    ],
)
def test_what_only_reads(extension: str, function: str, volatility: str) -> None:
    assert extension_call(extension, function, volatility) is None


@pytest.mark.parametrize(
    ("extension", "function", "volatility", "effect"),
    [
        ("tablefunc", "crosstab", "s", Effect.UNKNOWN),  # runs its argument
        ("tablefunc", "crosstab4", "s", Effect.UNKNOWN),
        ("tablefunc", "connectby", "s", Effect.UNKNOWN),
        ("xml2", "xpath_table", "s", Effect.UNKNOWN),
        ("address_standardizer", "standardize_address", "i", Effect.UNKNOWN),
        ("pgrouting", "_pgr_dijkstra", "v", Effect.UNKNOWN),
        ("dblink", "dblink", "v", Effect.SERVER_SIDE),
        ("dblink", "a_new_one", "i", Effect.SERVER_SIDE),
        ("http", "http", "v", Effect.SERVER_SIDE),
        ("pg_net", "http_post", "v", Effect.SERVER_SIDE),
        ("pg_cron", "schedule", "v", Effect.SERVER_SIDE),
        ("adminpack", "pg_file_write", "v", Effect.SERVER_SIDE),
        ("file_fdw", "file_fdw_handler", "v", Effect.SERVER_SIDE),
        ("pageinspect", "get_raw_page", "v", Effect.SERVER_SIDE),
        ("pageinspect", "get_raw_page", "i", Effect.SERVER_SIDE),
        ("pg_stat_statements", "pg_stat_statements_reset", "v", Effect.SERVER_SIDE),
        ("pgstattuple", "pgstattuple", "v", Effect.EXHAUSTION),
        ("amcheck", "bt_index_parent_check", "v", Effect.EXHAUSTION),
        ("pg_surgery", "heap_force_kill", "v", Effect.DESTRUCTIVE),
        ("lo", "lo_manage", "v", Effect.DESTRUCTIVE),
        ("tcn", "triggered_change_notification", "v", Effect.WRITE),
        ("plpython3u", "plpython3_inline_handler", "v", Effect.UNKNOWN),
        ("postgis_raster", "st_fromgdalraster", "i", Effect.SERVER_SIDE),
    ],
)
def test_what_does_more(extension: str, function: str, volatility: str, effect: Effect) -> None:
    danger = extension_call(extension, function, volatility)
    assert danger is not None
    assert danger.effect is effect


@pytest.mark.parametrize("extension", ["timescaledb", "pg_graphql", "mine", "", "PG_TRGM"])
def test_an_extension_that_nobody_reviewed_is_unknown(extension: str) -> None:
    danger = extension_call(extension, "lower", "i")
    assert danger is not None
    assert danger.effect is Effect.UNKNOWN
    assert danger.mark is MarkKind.UNKNOWN_FUNCTION


@pytest.mark.parametrize("volatility", ["v", "", "x", "is"])
def test_a_new_volatile_function_of_a_known_extension_is_unknown(volatility: str) -> None:
    danger = extension_call("pg_trgm", "added_in_version_9", volatility)
    assert danger is not None
    assert danger.effect is Effect.UNKNOWN


def test_every_answer_is_more_than_a_read_and_says_why() -> None:
    for name, reviewed in EXTENSIONS.items():
        for danger in (reviewed.otherwise, *(danger for _, danger in reviewed.dangers)):
            assert danger.effect is not Effect.READ, name
            assert len(danger.why) > 10, name
            assert danger.mark is not None or danger.effect is Effect.WRITE, name


def test_vector_on_a_real_server_has_nothing_that_is_not_a_read(postgres: EmbeddedPostgres) -> None:
    """The one extension of the embedded servers; PostgreSQL's own were looked at by hand."""
    with (
        fresh_database(postgres, "CREATE EXTENSION vector") as name,
        psycopg.connect(postgres.url(database=name)) as connection,
    ):
        found = connection.execute(
            "SELECT p.proname, p.provolatile::text FROM pg_proc p"
            " JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass"
            " JOIN pg_extension e ON e.oid = d.refobjid AND d.deptype = 'e'"
            " WHERE e.extname = 'vector'"
        ).fetchall()
    assert len(found) > 50
    assert not [name for name, volatility in found if extension_call("vector", name, volatility)]
