"""Ways out of a read-only tier, each tried through the wire against real servers.

The tier's role is a superuser, so nothing but the gate stands in the way. After each attempt the
session must still be what it was, and the database as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest
from door_support import Gate
from escape_support import OPENS, WEAK, database_with_traps, escaping

from holdpoint.embedded import EmbeddedPostgres

# How an attempt may end: refused or held by the gate, or (an error of) the server.
HELD: Final = ("E:42501", "E:HP001", "E:53400")

Attempt = str | tuple[str, ...]

ROLES: Final[list[Attempt]] = [
    f"SET ROLE {WEAK}",
    f"SET LOCAL ROLE {WEAK}",
    f"SET SESSION ROLE {WEAK}",
    f"SET role = '{WEAK}'",
    f'SET "role" TO {WEAK}',
    f"set/**/ROLE --\n {WEAK}",
    "SET ROLE NONE",
    f"SET SESSION AUTHORIZATION {WEAK}",
    f"SET LOCAL SESSION AUTHORIZATION {WEAK}",
    f"SET session_authorization = '{WEAK}'",
    f"SELECT set_config('role', '{WEAK}', false)",
    f"SELECT set_config('session_authorization', '{WEAK}', false)",
    "SELECT set_config('is_superuser', 'off', false)",
    f"DO $$BEGIN EXECUTE 'SET ROLE {WEAK}'; END$$",
    f"DO $$BEGIN SET ROLE {WEAK}; END$$",
    f"ALTER ROLE CURRENT_USER SET role = '{WEAK}'",
    "ALTER ROLE CURRENT_USER SET default_transaction_read_only = off",
    f"ALTER ROLE {WEAK} SUPERUSER",
    "ALTER DATABASE postgres SET default_transaction_read_only = off",
    "ALTER ROLE ALL SET work_mem = '1GB'",
    "ALTER SYSTEM SET default_transaction_read_only = off",
    "ALTER SYSTEM RESET ALL",
    f"GRANT pg_monitor TO {WEAK}",
    "CREATE ROLE escaped SUPERUSER",
    f"REASSIGN OWNED BY {WEAK} TO CURRENT_USER",
]

READ_WRITE: Final[list[Attempt]] = [
    "SET default_transaction_read_only = off",
    "SET Default_Transaction_Read_Only TO 'off'",
    'SET "default_transaction_read_only" = 0',
    "SET SESSION default_transaction_read_only = no",
    "SET LOCAL transaction_read_only = off",
    "SET transaction_read_only TO f",
    "RESET transaction_read_only",
    "SET transaction_read_only TO DEFAULT",
    "SET default_transaction_read_only FROM CURRENT",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE",
    "SET TRANSACTION READ WRITE",
    "BEGIN READ WRITE",
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE",
    "BEGIN TRANSACTION READ ONLY, READ WRITE",
    "START TRANSACTION READ WRITE",
    ("BEGIN", "SET TRANSACTION READ WRITE"),
    ("BEGIN", "SET LOCAL transaction_read_only = off"),
    ("BEGIN", "SAVEPOINT a", "SET TRANSACTION READ WRITE", "ROLLBACK TO a"),
    ("BEGIN READ ONLY", "COMMIT AND CHAIN", "INSERT INTO markers VALUES ('x')"),
    ("BEGIN", "ROLLBACK AND CHAIN", "SET transaction_read_only = off"),
    ("BEGIN", "SET TRANSACTION READ WRITE", "ROLLBACK AND CHAIN"),
    "UPDATE pg_settings SET setting = 'off' WHERE name = 'default_transaction_read_only'",
    "UPDATE pg_catalog.pg_settings AS s SET setting = v FROM (VALUES ('off')) AS n (v)",
    "WITH u AS (UPDATE pg_settings SET setting = 'off' RETURNING 1) SELECT 1",
    "SET session_replication_role = replica",
    "SET standard_conforming_strings = off",
    "SET client_encoding = 'SJIS'",
    "SET allow_system_table_mods = on",
    "SET search_path = public, pg_catalog",
    "SET search_path = 'public,pg_catalog'",
    "SET search_path = pg_temp, public",
    "SET SCHEMA 'pg_temp'",
    "SELECT set_config('search_path', 'public, pg_catalog', false)",
]

# `set_config` wherever an expression may stand.
EVERYWHERE: Final[list[Attempt]] = [
    text.format(OPENS)
    for text in (
        "SELECT {}",
        "SELECT pg_catalog.{}",
        "SELECT 1 WHERE {} = 'off'",
        "SELECT (SELECT {})",
        "SELECT EXISTS (SELECT {})",
        "SELECT ARRAY(SELECT {})",
        "SELECT 1 IN (SELECT length({}))",
        "WITH a AS (SELECT {}) SELECT * FROM a",
        "WITH a AS MATERIALIZED (SELECT {}) SELECT 1",
        "WITH RECURSIVE r AS (SELECT 1 UNION ALL SELECT length({}) FROM r WHERE false) TABLE r",
        "VALUES ({})",
        "SELECT * FROM generate_series(1, 2) AS g, LATERAL (SELECT {}) AS x",
        "SELECT * FROM {} AS x",
        "SELECT * FROM ROWS FROM (pg_catalog.{}) AS x",
        "SELECT * FROM generate_series(1, length({}))",
        "SELECT length({})",
        "SELECT CASE WHEN true THEN {} END",
        "SELECT COALESCE(NULL, {})",
        "SELECT ARRAY[{}]",
        "SELECT (ARRAY[1])[length({})]",
        "SELECT 1 ORDER BY {}",
        "SELECT 1 LIMIT length({})",
        "SELECT 1 OFFSET length({})",
        "SELECT 1 FETCH FIRST (length({})) ROWS ONLY",
        "SELECT 1 GROUP BY {}",
        "SELECT max(1) HAVING {} = 'off'",
        "SELECT count(*) FILTER (WHERE {} = 'off') FROM orders",
        "SELECT sum(1) OVER (PARTITION BY {})",
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY length({}))",
        "SELECT 1 FROM orders AS o JOIN orders AS p ON {} = 'x'",
        "SELECT * FROM orders TABLESAMPLE system(length({}))",
        'SELECT {} COLLATE "C"',
        "SELECT ({})::varchar LIKE 'x'",
        "SELECT 1 UNION SELECT length({})",
        "TABLE orders INTERSECT SELECT 1, {}",
        "COPY (SELECT {}) TO STDOUT",
        "EXPLAIN ANALYZE SELECT {}",
        "EXPLAIN (ANALYZE 'off', ANALYZE 'on') SELECT {}",
        "EXPLAIN (ANALYZE, TIMING off) VALUES ({})",
        "CREATE TEMP TABLE escaped AS SELECT {}",
        "CREATE TEMP VIEW escaped AS SELECT {}",
        "SELECT {} INTO TEMP escaped",
        "DO $$BEGIN PERFORM {}; END$$",
        "DO $$DECLARE x text := {}; BEGIN END$$",
        "DO $$BEGIN EXECUTE format('SELECT %s', {}); END$$",
    )
] + [
    'SELECT U&"\\0073et_config"(\'default_transaction_read_only\', \'off\', false)',
    "SELECT SET_CONFIG($a$default_transaction_read_only$a$, E'\\x6fff', false)",
    "SELECT set_config('default_' || 'transaction_read_only', 'off', false)",
    "SELECT set_config(n, 'off', false) FROM (VALUES ('default_transaction_read_only')) AS v (n)",
    ("BEGIN", f"DECLARE c CURSOR FOR SELECT {OPENS}", "FETCH c"),
    (f"DECLARE c CURSOR WITH HOLD FOR SELECT {OPENS}", "FETCH c"),
    ("PREPARE a(text) AS SELECT set_config($1, 'off', false)",
     "EXECUTE a('default_transaction_read_only')", "DEALLOCATE a"),
    (f"PREPARE a AS SELECT {OPENS}", "EXPLAIN ANALYZE EXECUTE a", "DEALLOCATE a"),
    (f"PREPARE a AS SELECT {OPENS}", "CREATE TEMP TABLE t AS EXECUTE a", "DEALLOCATE a"),
]  # fmt: skip

# What others have left in the database.
LEFT_BY_OTHERS: Final[list[Attempt]] = [
    "SELECT opens()",
    "SELECT opens_inside()",
    "SELECT opens_immutable()",
    "EXPLAIN SELECT opens_immutable()",
    "SELECT opens_by_name('default_transaction_read_only')",
    "SELECT becomes()",
    "SELECT becomes_meanwhile()",
    "SELECT writes_meanwhile()",
    "SELECT writes_as_definer()",
    "SELECT runs('SET default_transaction_read_only = off')",
    "SELECT has_default()",
    "SELECT more_memory()",
    "CALL opens_by_call()",
    "CALL commits()",
    "TABLE view_sets",
    "SELECT 1 WHERE EXISTS (TABLE view_calls)",
    "SELECT * FROM view_writes",
    "SELECT 1 @##@ 2",
    "SELECT 1 OPERATOR(public.@##@) 2",
    "SELECT aggregated(1)",
    "SELECT aggregated(id) OVER () FROM orders LIMIT 1",
    "SELECT 1::checked",
    "SELECT checked '1'",
    "SELECT '{1}'::checked[]",
    "SELECT ROW(1)::composed",
    "SELECT json_populate_record(NULL::composed, '{\"a\": 1}')",
    "SELECT * FROM json_to_record('{\"a\": 1}') AS x (a checked)",
    "SELECT CAST(ROW(1)::cast_from AS int)",
    "SELECT orders.of_row FROM orders LIMIT 1",
    "SELECT (o.*).of_row FROM orders AS o LIMIT 1",
    "SELECT lower(ROW(1)::cast_from)",
    "TABLE rows_hidden",
    "UPDATE markers SET name = 'x'",
]

SERVER: Final[list[Attempt]] = [
    "COPY markers FROM PROGRAM 'echo x'",
    "COPY (SELECT 1) TO PROGRAM 'touch escaped'",
    "COPY markers FROM '/etc/passwd'",
    "COPY markers FROM STDIN",
    "SELECT lo_create(4712)",
    "SELECT lo_unlink(4711)",
    "SELECT lo_put(4711, 0, 'x')",
    "SELECT lo_open(4711, x'20000'::int)",
    "SELECT lo_from_bytea(4713, 'x')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_export(4711, 'escaped')",
    "SELECT pg_read_file('postgresql.conf')",
    "SELECT pg_ls_dir('.')",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()",
    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()",
    "SELECT pg_reload_conf()",
    "SELECT pg_stat_reset()",
    "SELECT pg_switch_wal()",
    "SELECT pg_create_restore_point('escaped')",
    "SELECT pg_create_physical_replication_slot('escaped')",
    "SELECT pg_replication_origin_create('escaped')",
    "SELECT pg_logical_emit_message(false, 'escaped', 'x')",
    "SELECT query_to_xml('UPDATE markers SET name = 1', true, true, '')",
    "SELECT ts_rewrite('a'::tsquery, 'SELECT 1')",
    "SELECT nextval('payments_id_seq')",
    "SELECT setval('payments_id_seq', 99)",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_try_advisory_lock(1)",
    "SELECT pg_advisory_xact_lock_shared(1)",
    "NOTIFY escape",
    "SELECT pg_notify('escape', 'x')",
    ("BEGIN", "PREPARE TRANSACTION 'escaped'"),
    "COMMIT PREPARED 'escaped'",
    "LOAD 'auto_explain'",
    "CREATE TEMP TABLE orders (id int)",
    "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE EXTENSION plpgsql_check",
    "CREATE SERVER escaped FOREIGN DATA WRAPPER nobody",
    "SELECT dblink_exec('', 'SELECT 1')",
    "LOCK TABLE orders IN ACCESS EXCLUSIVE MODE",
    "SELECT * FROM orders FOR UPDATE",
    "VACUUM orders",
    "ANALYZE orders",
    "REINDEX TABLE orders",
    "CHECKPOINT",
    "TRUNCATE markers",
    "MERGE INTO markers USING orders ON true WHEN MATCHED THEN DELETE",
]

# Not raisable: memory, processes, files, and what else others share.
MORE: Final[list[Attempt]] = [
    spelled.format(name, value)
    for name, value in (
        ("work_mem", "1GB"),
        ("maintenance_work_mem", "1GB"),
        ("temp_buffers", "1GB"),
        ("hash_mem_multiplier", "1000"),
        ("max_parallel_workers", "100"),
        ("max_parallel_workers_per_gather", "8"),
        ("max_parallel_maintenance_workers", "8"),
        ("temp_file_limit", "-1"),
        ("logical_decoding_work_mem", "1GB"),
    )
    for spelled in (
        "SET {} = '{}'",
        "SET LOCAL {} TO '{}'",
        "SELECT set_config('{}', '{}', true)",
    )
]

# Clients' housekeeping: it passes, and leads nowhere.
HARMLESS: Final[list[Attempt]] = [
    "RESET ROLE",
    "SET SESSION AUTHORIZATION DEFAULT",
    "RESET SESSION AUTHORIZATION",
    "SET default_transaction_read_only TO DEFAULT",
    "RESET default_transaction_read_only",
    "SET default_transaction_read_only = on",
    "RESET ALL",
    "DISCARD ALL",
    "DISCARD TEMP",
    "DISCARD PLANS",
    "DISCARD SEQUENCES",
    "BEGIN READ ONLY",
    ("BEGIN", "COMMIT AND CHAIN"),
    ("BEGIN", "SAVEPOINT a", "ROLLBACK TO a"),
    f"EXPLAIN SELECT {OPENS}",
    "LISTEN escape",
    "UNLISTEN *",
    "SELECT pg_advisory_unlock_all()",
    "SET max_parallel_workers_per_gather = 0",
]

REFUSED: Final = {
    "roles": ROLES,
    "read-write": READ_WRITE,
    "everywhere": EVERYWHERE,
    "left by others": LEFT_BY_OTHERS,
    "server": SERVER,
    "more": MORE,
}


@pytest.fixture(scope="module")
def trap18(
    postgres18: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gate]:
    with database_with_traps(postgres18, tmp_path_factory.mktemp("escapes18")) as gate:
        yield gate


@pytest.fixture(scope="module")
def trap16(
    postgres16: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gate]:
    with database_with_traps(postgres16, tmp_path_factory.mktemp("escapes16")) as gate:
        yield gate


@pytest.fixture(params=["pg18-simple", "pg18-extended", "pg16-simple"])
def trap(request: pytest.FixtureRequest) -> tuple[Gate, bool]:
    version, protocol = request.param.split("-")
    gate: Gate = request.getfixturevalue(version.replace("pg", "trap"))
    return gate, protocol == "extended"


def texts_of(attempt: Attempt) -> tuple[str, ...]:
    return (attempt,) if isinstance(attempt, str) else attempt


@pytest.mark.parametrize("group", REFUSED)
def test_no_way_out(trap: tuple[Gate, bool], group: str) -> None:
    gate, extended = trap
    with escaping(gate) as escapes:
        for attempt in REFUSED[group]:
            texts = texts_of(attempt)
            before = len(escapes.agent.errors)
            escapes.attempt(extended, *texts)
            codes = ["E:" + fields["C"] for fields in escapes.agent.errors[before:]]
            # In the extended protocol the server parses first: it may have its own objection.
            assert codes, texts
            assert extended or codes[0] in HELD, (texts, codes)


def test_housekeeping_passes_and_leads_nowhere(trap: tuple[Gate, bool]) -> None:
    gate, extended = trap
    with escaping(gate) as escapes:
        for attempt in HARMLESS:
            answer = escapes.attempt(extended, *texts_of(attempt))
            assert "C:" in answer, attempt
            assert "E:" not in answer, attempt


@pytest.mark.parametrize("tier", ["write", "owner"])
def test_no_tier_gives_an_agent_more_of_the_server(trap18: Gate, tier: str) -> None:
    with trap18.raw(tier) as agent:
        before = agent.query("SELECT name, setting FROM pg_settings ORDER BY 1")
        for attempt in MORE[::3]:
            assert agent.query(texts_of(attempt)[0]).split()[-2] in HELD, attempt
        assert agent.query("SELECT name, setting FROM pg_settings ORDER BY 1") == before
